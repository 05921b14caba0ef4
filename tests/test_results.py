"""The README's tables: made from result files, put between their marks, and up to date with this repository's own."""

import copy
import json
import sys

import pytest
from smoke import ROOT

from msvi.errors import InputError
from msvi.results import (
    draw_sweeps,
    insert_table,
    load_results,
    main,
    markdown_table,
    summary_table,
    sweep_figure,
    text_table,
    update_readme,
)

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
SUMMARY = "<!-- summary: begin -->\n<!-- summary: end -->\n"


def summary(*values):
    return {"mean": values[0], "median": values[1], "std": values[2], "per_trajectory": list(values[3:])}


RESULT = {
    "case": "burgers_1d",
    "micro_dim": 5,
    "seed": 0,
    "steps": 30000,
    "train_seconds": 90.0,
    "test": {
        "nrmse": summary(0.0312, 0.0287, 0.0044, 0.0287, 0.0356, 0.0293),
        "nrmse_clean": summary(0.0277, 0.0266, 0.004, 0.0266, 0.0301),
        "reconstruction_nrmse": summary(0.02, 0.0211, 0.001, 0.02, 0.0211),
        "noise_floor": summary(0.011, 0.0109, 0.001, 0.011, 0.0109),
    },
}


def make_result(**changes):
    return copy.deepcopy(RESULT) | changes


def rows(table):
    """Cells of each row below the head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def write(directory, result):
    path = directory / result["case"] / f"d{result['micro_dim']}_s{result['seed']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))


def test_row():
    """Every number of a result stands in its row, the published value of that case and dimension beside it."""
    (cells,) = rows(markdown_table([make_result()]))
    text = " ".join(cells)
    for part in ("burgers_1d", "30,000", "1.5 min", "0.0287", "0.0312 ± 0.0044", "0.0356"):
        assert part in text
    for part in ("0.0266", "0.0211", "0.0109", "0.011"):
        assert part in cells
    head = markdown_table([]).splitlines()
    assert len(head) == 2 and head[0].count("|") == head[1].count("|") == len(cells) + 1


def test_case_without_published_value():
    """A case that the paper lacks has an empty cell, not another case's number."""
    (cells,) = rows(markdown_table([make_result(case="cylinder_3d", micro_dim=9)]))
    assert cells[-1] == ""


def test_published_trajectory_has_a_row_of_its_own():
    """And the published number stands there, since it is of that trajectory."""
    test = make_result()["test"] | {"nrmse": summary(0.5, 0.25, 0.0, 0.25)}
    first, second = rows(markdown_table([make_result(case="cylinder_2d", micro_dim=5, published_test=test)]))
    assert (first[0], first[-1]) == ("cylinder_2d (our simulation)", "")
    assert (second[0], second[-1]) == ("cylinder_2d (our simulation), from t = 14.01", "0.049")
    assert "**0.2500**" in second and first[1:5] == second[1:5]


def test_diverged_run():
    """A run with a diverged trajectory is in the table all the same; what it lacks is called so."""
    result = make_result()
    for name in ("nrmse", "nrmse_clean"):
        result["test"][name] = summary(None, None, None, 0.1, None)
    (cells,) = rows(markdown_table([result]))
    assert "diverged" in " ".join(cells) and "None" not in " ".join(cells) and "0.0211" in cells


def test_order(tmp_path):
    """Rows are sorted by case, dimension and seed as numbers; other files in the folder are left out."""
    for case, micro_dim, seed in (("kdv_1d", 0, 0), ("burgers_1d", 10, 0), ("burgers_1d", 2, 1), ("burgers_1d", 2, 0)):
        write(tmp_path, make_result(case=case, micro_dim=micro_dim, seed=seed))
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "burgers_1d.json").write_text("{}")
    found = [(r["case"], r["micro_dim"], r["seed"]) for r in load_results(str(tmp_path))]
    assert found == [("burgers_1d", 2, 0), ("burgers_1d", 2, 1), ("burgers_1d", 10, 0), ("kdv_1d", 0, 0)]
    assert load_results(str(tmp_path / "nowhere")) == []


def test_insert():
    """The table replaces what stands between the marks and nothing else; doing it again changes nothing."""
    readme = f"# Title\n\n{BEGIN}\nold\n| table |\n{END}\n\nEnd.\n"
    inserted = insert_table(readme, "results", "| new |\n|---|")
    assert inserted == f"# Title\n\n{BEGIN}\n| new |\n|---|\n{END}\n\nEnd.\n"
    assert insert_table(inserted, "results", "| new |\n|---|") == inserted
    assert insert_table(inserted, "results", "old\n| table |") == readme


@pytest.mark.parametrize("readme", ["", f"{BEGIN}\n", f"text\n{END}\n", f"{END}\n{BEGIN}\n"])
def test_marks_missing(readme):
    """Without both marks, in their order, the README is refused."""
    with pytest.raises(InputError, match="needs the marks"):
        insert_table(readme, "results", "| new |")


def test_summary():
    """By case the means over the seeds of the medians, over the published errors; what is missing is a dash."""
    first, second, diverged = make_result(seed=0), make_result(seed=1), make_result(case="kdv_1d", micro_dim=7)
    second["test"]["nrmse"]["median"] = 0.0313
    diverged["test"]["nrmse"]["median"] = None
    lines = summary_table([first, second, diverged]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][2:] == [f"micro_dim {dim}" for dim in (0, 1, 2, 3, 4, 5, 7)]
    assert cells[2:] == [
        ["burgers_1d", "ours", "—", "—", "—", "—", "—", "0.0300", "—"],
        ["burgers_1d", "published", "0.105", "0.024", "0.021", "0.028", "0.028", "0.011", "—"],
        ["kdv_1d", "ours", "—", "—", "—", "—", "—", "—", "diverged"],
        ["kdv_1d", "published", "0.317", "0.139", "0.057", "0.064", "0.132", "0.058", "—"],
    ]
    assert {line.count("|") for line in lines} == {10}


def test_text_table():
    """What names a run, then its cost and errors, in columns; a run without a result has its row all the same."""
    lines = text_table([({"seed": 3, "a": (1, 2)}, make_result()), ({"seed": 10, "a": (1,)}, None)]).splitlines()
    assert lines[0].split()[:4] == ["seed", "a", "steps", "minutes"]
    numbers = ["30,000", "1.5", "0.0287", "0.0312", "0.0356", "0.0211", "0.0109", "0.011"]
    assert lines[1].split() == ["3", "(1,", "2)", *numbers]
    assert lines[2].split() == ["10", "(1,)", "not", "finished"]
    assert len({len(line) for line in lines}) == 1


def test_figures(tmp_path):
    """One for each case with two values of micro_dim, with its published errors; what diverged leaves a gap."""
    results = [make_result(micro_dim=dim, seed=seed) for dim, seed in ((0, 0), (0, 1), (5, 0))]
    results[2]["test"]["nrmse"]["median"] = None
    published, floor, reconstruction, forecast, runs = sweep_figure(results).axes[0].lines
    assert list(published.get_ydata()) == [0.105, 0.024, 0.021, 0.028, 0.028, 0.011]
    assert list(floor.get_ydata()) == [0.0109] * 2 and list(reconstruction.get_ydata()) == [0.0211] * 2
    assert forecast.get_ydata()[0] == 0.0287 and list(runs.get_xdata()) == [0, 0, 5]
    assert all(line.get_ydata()[-1] != line.get_ydata()[-1] for line in (forecast, runs))
    others = [make_result(case="kdv_1d", seed=seed) for seed in (0, 1)]
    assert draw_sweeps(results + others, str(tmp_path)) == [str(tmp_path / "burgers_1d" / "sweep.png")]
    assert [path.name for path in tmp_path.rglob("*.png")] == ["sweep.png"]


def test_command(tmp_path, monkeypatch):
    """`--check` fails and writes nothing while a table is old; without it all is written, and then passes."""
    results, readme, figures = tmp_path / "results", tmp_path / "README.md", tmp_path / "figures"
    found = [make_result(micro_dim=0), make_result()]
    for result in found:
        write(results, result)
    old = f"# Title\n{SUMMARY}{BEGIN}\n{END}\n"
    readme.write_text(old)
    arguments = ["results", f"--results={results}", f"--readme={readme}", f"--figures={figures}"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert main() == 1 and readme.read_text() == old and not figures.exists()
    monkeypatch.setattr(sys, "argv", arguments)
    assert main() == 0 and readme.read_text() == update_readme(old, found)
    assert markdown_table(found) in readme.read_text() and summary_table(found) in readme.read_text()
    assert (figures / "burgers_1d" / "sweep.png").is_file()
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert main() == 0


def test_readme_is_up_to_date():
    """The README shows the result files of this repository; `python -m msvi.results` rewrites it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = load_results(str(ROOT / "results"))
    assert results
    assert update_readme(readme, results) == readme
