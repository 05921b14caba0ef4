"""Tables of README and docs: made from result files, put between their marks, up to date with this repository's own."""

import json
import pathlib
import sys

import pytest
from made_results import RESULT, make_baseline, make_result, summary, write
from smoke import ROOT

from msvi.errors import InputError
from msvi.report.readme import find_pages, insert_table, main, make_tables, overview_table, update_pages
from msvi.report.results import (
    draw_ranks,
    draw_sweeps,
    load_baselines,
    load_domains,
    load_results,
    rank_shares,
    sweep_figure,
    text_table,
)
from msvi.report.tables import (
    Table,
    baselines_table,
    calibration_table,
    cost_table,
    data_files_table,
    horizon_table,
    markdown,
    results_table,
    settings_table,
    summary_table,
    time_until,
)
from msvi.report.tables_systems import apebench_table, patches_table

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


# What `python -m benchmarks.patches` measures of one.
DOMAIN = {"points": [128, 64], "cells": [32, 16], "latents": 1536, "parameters": 60392}
DOMAIN |= {"step_s": 0.394, "file_gib": 0.0634, "peak_memory_gib": 2.52}


def named(table):
    """Rows below the head, each as column -> cell."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_markdown():
    """Head, rule and rows have the same number of cells; one column stands out."""
    table = Table(["a", "b"], [["1", "2"], ["", "x"]], strong="b")
    assert markdown(table).splitlines() == ["| a | b |", "|---|---|", "| 1 | **2** |", "|  | **x** |"]
    assert table.without("a") == Table(["b"], [["2"], ["x"]], "b")


def test_row():
    """Every number of a result stands in its row, the published value of that case and dimension beside it."""
    (row,) = named(results_table([make_result()]))
    assert row == {
        "case": "burgers_1d",
        "micro_dim": "5",
        "seeds": "0",
        "steps": "30,000",
        "training": "1.5 min",
        "NRMSE median": "0.0287",
        "mean ± sd": "0.0312 ± 0.0044",
        "worst": "0.0356",
        "against truth": "0.0266",
        "reconstruction": "0.0211",
        "noise floor": "0.0109",
        "published": "0.011",
    }
    assert results_table([]).rows == []


def test_seeds_share_a_row():
    """Their medians, and what differs, side by side; the largest of all errors; means of the rest."""
    second = make_result(seed=1, steps=8000)
    second["test"]["nrmse"] = summary(0.0314, 0.03, 0.0046, 0.03, 0.05)
    first, other = named(results_table([make_result(), second, make_result(micro_dim=7)]))
    assert (first["seeds"], first["steps"], first["training"]) == ("0 / 1", "30,000 / 8,000", "1.5 min")
    assert first["NRMSE median"] == "0.0287 / 0.0300"
    assert (first["mean ± sd"], first["worst"]) == ("0.0313 ± 0.0045", "0.0500")
    assert (other["micro_dim"], other["published"]) == ("7", "")


def test_minutes_on_an_accelerator_stand_apart():
    """After its name, so that nobody takes them for those of a core."""
    runs = [make_result(), make_result(seed=1, train_seconds=12.0, versions={"device": "fast card"})]
    (row,) = named(results_table(runs))
    assert row["training"] == "1.5 min, fast card: 0.2 min"


def test_case_without_published_value():
    """A case that the paper lacks has an empty cell, not another case's number."""
    (row,) = named(results_table([make_result(case="cylinder_3d", micro_dim=9)]))
    assert row["published"] == ""


def test_published_trajectory_has_a_row_of_its_own():
    """And the published number stands there, since it is of that trajectory."""
    test = make_result()["test"] | {"nrmse": summary(0.5, 0.25, 0.0, 0.25)}
    first, second = named(results_table([make_result(case="cylinder_2d", micro_dim=5, published_test=test)]))
    assert (first["case"], first["published"]) == ("cylinder_2d (our simulation)", "")
    assert (second["case"], second["published"]) == ("cylinder_2d (our simulation), from t = 14.01", "0.049")
    assert second["NRMSE median"] == "0.2500" and first["steps"] == second["steps"]


def test_diverged_run():
    """A run with a diverged trajectory is in the table all the same; what it lacks is called so."""
    result = make_result()
    for name in ("nrmse", "nrmse_clean"):
        result["test"][name] = summary(None, None, None, 0.1, None)
    (row,) = named(results_table([result]))
    assert row["NRMSE median"] == row["worst"] == row["against truth"] == "diverged"
    assert row["mean ± sd"] == "diverged ± diverged" and row["reconstruction"] == "0.0211"


def test_baselines():
    """Baselines beside the closure and the largest micro_dim, means over seeds, and the published errors below."""
    results = [make_result(case="kdv_1d", micro_dim=dim, seed=seed) for dim, seed in ((0, 0), (2, 0), (5, 0), (5, 1))]
    for result, value in zip(results, (0.3, 0.1, 0.02, 0.04), strict=True):
        result["test"]["rel_l2"] = summary(value, 9.0, 9.0, 9.0)
    diverged = make_baseline("sindy")
    diverged["test"]["nrmse"]["median"] = None
    truth, nrmse, rel_l2, published = named(baselines_table(results, [make_baseline(), diverged]))
    assert (truth["score"], truth["DMD"], truth["micro_dim 5"]) == ("against truth, median", "—", "0.0266")
    assert list(nrmse)[2:] == [
        "persistence",
        "training mean",
        "coarse simulation",
        "DMD",
        "POD-SINDy",
        "FNO",
        "U-Net",
        "closure (micro_dim 0)",
        "micro_dim 5",
        "lowest",
    ]
    none, two = ["—"] * 3, ["—"] * 2
    assert list(nrmse.values())[2:] == [*none, "0.1650", "diverged", *two, "0.0287", "0.0287", "closure (micro_dim 0)"]
    assert list(rel_l2.values())[2:] == [*none, "0.1600", "0.1600", *two, "0.3000", "0.0300", "micro_dim 5"]
    row = [*none[1:], "0.523", "0.163", "0.057", *two, "0.324", "0.042", "micro_dim 5"]
    assert list(published.values())[2:] == row
    assert [row["score"] for row in (nrmse, rel_l2, published)] == [
        "NRMSE, median",
        "rel. L2, mean",
        "rel. L2, published",
    ]
    for result in results:
        result["test"]["crps"] = summary(0.000123456, 9.0, 9.0, 9.0)
    (crps,) = [row for row in named(baselines_table(results, [])) if row["score"] == "CRPS, mean"]
    assert (crps["DMD"], crps["micro_dim 5"]) == ("—", "0.000123")


def test_baselines_where_the_paper_scores_a_part():
    """A row of what it scores stands above its numbers."""
    result, baseline = make_result(case="wave_1d"), make_baseline(case="wave_1d")
    result["published_test"] = {"rel_l2": summary(0.02, 9.0, 9.0)}
    baseline["published_test"] = {"rel_l2": summary(0.01, 9.0, 9.0)}
    *_, part, published = named(baselines_table([result], [baseline, make_baseline("mean", "wave_1d")]))
    assert (part["score"], published["score"]) == ("rel. L2, mean, to t = 0.2", "rel. L2, published")
    found = part["DMD"], part["micro_dim 5"], part["training mean"], part["lowest"]
    assert found == ("0.0100", "0.0200", "—", "DMD")


def test_only_the_closure_and_a_case_without_published_baselines():
    """No column twice, no row that nobody has a number for."""
    table = baselines_table([make_result(micro_dim=0)], [])
    assert table.columns[-2:] == ["closure (micro_dim 0)", "lowest"] and "micro_dim 5" not in table.columns
    assert [row["score"] for row in named(table)] == ["against truth, median", "NRMSE, median"]
    exact = make_result()
    exact["test"]["noise_floor"]["median"] = 0.0  # the error against the truth is that against the data
    assert [row["score"] for row in named(baselines_table([exact], []))] == ["NRMSE, median"]


def scored(seed, times, **calibration):
    """A result with the keys that later versions write."""
    result = make_result(seed=seed)
    result["test"] |= {"crps": summary(0.001, 9.0, 9.0), "spread_skill": summary(9.0, 0.8 + seed / 10, 9.0)}
    result["calibration"] = calibration
    result["lead_time"] = {"t": [0.0, 0.5, 2.0]}
    result["horizon"] = {"0.1": {"median": None, "censored": times.count(None), "per_trajectory": times}}
    return result


def test_calibration():
    """Means over the seeds; older results and what they lack are left out."""
    results = [
        scored(0, [None, 0.5], spread_skill=0.7, spread_skill_clean=0.5, coverage_90=0.8),
        scored(1, [None, 1.5], spread_skill=0.9, spread_skill_clean=None, coverage_90=0.9),
        make_result(seed=2),
    ]
    results[0]["calibration"] |= {"probabilities": [0.1, 0.5, 0.9], "reliability": [0.15, 0.7, 0.8]}
    results[1]["bound_dispersion"] = {"calibration": {"spread_skill": 1.5}}
    ensemble = scored(9, [None, None], spread_skill=0.99) | {"seeds": [0, 1]}
    networks = make_baseline("fno", case="burgers_1d", calibration={"spread_skill": 0.3, "coverage_90": 0.4})
    row, together, fno = named(calibration_table(results, [ensemble], [networks, make_baseline(case="burgers_1d")]))
    assert (fno["micro_dim"], fno["pooled"], fno["90 % coverage"]) == ("FNO", "0.30", "40.0 %")
    assert (together["micro_dim"], together["pooled"], together["90 % coverage"]) == ("5, seeds 0 + 1", "0.99", "—")
    assert together["rel. L2 above 0.1 after"] == "> 2 (2 of 2 never)"
    assert row == {
        "case": "burgers_1d",
        "micro_dim": "5",
        "CRPS": "0.00100",
        "energy score": "—",
        "spread-skill median": "0.85",
        "pooled": "0.80",
        "pooled, unscaled": "1.50",
        "pooled, against truth": "diverged",
        "90 % coverage": "85.0 %",
        "largest gap of quantiles": "20.0 %",
        "macroscale variance": "—",
        "rel. L2 above 0.1 after": "> 2 (2 of 4 never)",
    }
    assert calibration_table([make_result()], []).rows == []


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([0.25, 0.5, 0.125], "0.25"),
        ([None, 0.25, 0.5], "0.5 (1 of 3 never)"),
        ([None, None, 0.5], "> 2 (2 of 3 never)"),
        ([None, 0.5], "> 2 (1 of 2 never)"),
    ],
)
def test_censored_times(times, text):
    """What never happens counts as later than the end."""
    assert time_until([scored(0, times)], "0.1") == text
    assert time_until([scored(0, times), make_result()], "0.1") == text
    assert time_until([scored(0, times)], "0.2") == "—"


def test_horizon_and_cost():
    """A row per model and per run, baselines first; what a file lacks is an empty cell."""
    run = scored(0, [0.25])
    run["cost"] = {"num_parameters": 12345, "train_drift_evaluations": 6400000, "forecast_seconds": 1.2345}
    run["cost"] |= {"train_peak_memory_gib": None, "peak_memory_gib": 1.5}
    run["versions"] = {"device": "GPU"}
    baseline = make_baseline("coarse", horizon={"0.1": {"per_trajectory": [None]}}, lead_time={"t": [0, 1]})
    chosen = {"first_frame": 20, "ridge": 0.12345}
    baseline |= {"settings": {"chosen": chosen, "candidates": [chosen, chosen], "mesh": [20]}}
    assert horizon_table([run], [baseline, make_baseline()]).rows == [
        ["coarse simulation", "> 1 (1 of 1 never)"],
        ["micro_dim 5", "0.25"],
    ]
    first, second = cost_table([run], [baseline]).rows
    assert first == ["coarse simulation", "", "CPU", "", "", "2.5 s", "", "", "", "", ""]
    expected = ["micro_dim 5", "0", "GPU", "12,345", "30,000", "90.0 s", "6,400,000", "", "1.23 s", "", "1.50 GiB"]
    assert second == expected
    assert settings_table([baseline, make_baseline()]).rows == [
        ["coarse simulation", "first frame 20, ridge 0.123", "2"],
        ["DMD", "none", ""],
    ]


def own_file(name, seed, **scores):
    """A result of a run on a data file, whose truth is not known."""
    result = make_result(case="custom", seed=seed)
    del result["test"]["noise_floor"], result["test"]["nrmse_clean"]
    result |= {"config": {"data": {"path": f"data/{name}"}}, "data": {"train": 24, "val": 4, "test": 12}}
    return result


def test_data_files():
    """A row per file and micro_dim with all of its seeds; scores that need a known truth are not asked for."""
    first, second = own_file("b.npz", 0), own_file("b.npz", 1)
    second["test"]["nrmse"]["median"] = 0.0313
    table = data_files_table([first, second, own_file("a.h5", 0)])
    assert [row[0] for row in table.rows] == ["a.h5", "b.npz"]
    seeds = ["24 + 4, test 12", "5", "0 / 1", "30,000", "0.0287 / 0.0313", "0.0211", "—"]
    assert table.rows[1][1:] == seeds
    assert text_table([({"seed": 0}, first)]).splitlines()[1].split()[-1] == "—"


def test_order(tmp_path):
    """Rows are sorted by case, dimension and seed as numbers; other files in the folder are left out."""
    for case, micro_dim, seed in (("kdv_1d", 0, 0), ("burgers_1d", 10, 0), ("burgers_1d", 2, 1), ("burgers_1d", 2, 0)):
        write(tmp_path, make_result(case=case, micro_dim=micro_dim, seed=seed))
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "burgers_1d.json").write_text("{}")
    found = [(r["case"], r["micro_dim"], r["seed"]) for r in load_results(str(tmp_path))]
    assert found == [("burgers_1d", 2, 0), ("burgers_1d", 2, 1), ("burgers_1d", 10, 0), ("kdv_1d", 0, 0)]
    assert load_results(str(tmp_path / "nowhere")) == []


def test_domains(tmp_path):
    """A row for each domain; none without a file, and another file is refused."""
    assert patches_table(load_domains(str(tmp_path))).rows == []
    (tmp_path / "benchmark").mkdir()
    path = tmp_path / "benchmark" / "patches.json"
    path.write_text(json.dumps({"domains": [DOMAIN]}))
    row = ["128 x 64", "32 x 16", "1,536", "60,392", "0.39 s", "0.06 GiB", "2.5 GiB"]
    assert patches_table(load_domains(str(tmp_path))).rows == [row]
    path.write_text("{}")
    with pytest.raises(InputError, match="must hold the `domains`"):
        load_domains(str(tmp_path))


def test_baselines_in_their_order(tmp_path):
    """As the tables list them, not by name; runs are not among them."""
    write(tmp_path, make_result(case="kdv_1d"))
    for case, name in (("kdv_1d", "coarse"), ("kdv_1d", "persistence"), ("burgers_1d", "sindy")):
        (tmp_path / case).mkdir(exist_ok=True)
        (tmp_path / case / f"baseline_{name}.json").write_text(json.dumps(make_baseline(name, case)))
    found = [(b["case"], b["baseline"]) for b in load_baselines(str(tmp_path))]
    assert found == [("burgers_1d", "sindy"), ("kdv_1d", "persistence"), ("kdv_1d", "coarse")]
    (tmp_path / "kdv_1d" / "baseline_x.json").write_text(json.dumps(make_baseline("x")))
    with pytest.raises(InputError, match="Baselines are persistence.*got a result of 'x'"):
        load_baselines(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"case": "kd', "must hold JSON"),
        ("[1]", "JSON object, got a list"),
        ("{}", "lacks case, micro_dim, seed, steps, train_seconds, test, test.nrmse"),
        (json.dumps(RESULT | {"test": RESULT["test"] | {"crps": 3}}), "mean, median, per_trajectory, std of test.crps"),
        (json.dumps(RESULT | {"test": 1}), "lacks test.nrmse"),
    ],
)
def test_damaged_file_is_named(tmp_path, text, message):
    """In one sentence, with what is wrong."""
    path = tmp_path / "kdv_1d" / "d5_s0.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_results(str(tmp_path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


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
    """By case the means over the seeds of the medians, against the truth where the data have noise, over the published
    errors if there are any; what is missing is a dash."""
    first, second, diverged = make_result(seed=0), make_result(seed=1), make_result(case="kdv_1d", micro_dim=7)
    second["test"]["nrmse"]["median"] = 0.0313
    diverged["test"]["nrmse"]["median"] = None
    diverged["test"]["noise_floor"]["median"] = 0.0
    table = summary_table([first, second, diverged, make_result(case="wave_1d")])
    assert table.columns[4:] == [f"micro_dim {dim}" for dim in (0, 1, 2, 3, 4, 5, 7)]
    none = ["—"] * 5
    assert table.rows == [
        ["burgers_1d", "ours, against truth", "3", "—", *none, "0.0266", "—"],
        ["burgers_1d", "ours", "3", "0.0109", *none, "0.0300", "—"],
        ["burgers_1d", "published", "1", "—", "0.105", "0.024", "0.021", "0.028", "0.028", "0.011", "—"],
        ["kdv_1d", "ours", "3", "0.0000", *none, "—", "diverged"],
        ["kdv_1d", "published", "1", "—", "0.317", "0.139", "0.057", "0.064", "0.132", "0.058", "—"],
        ["wave_1d", "ours, against truth", "3", "—", *none, "0.0266", "—"],
        ["wave_1d", "ours", "3", "0.0109", *none, "0.0287", "—"],
    ]


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


def test_ranks(tmp_path):
    """One panel per case for five latents of the domain and two of each cell, means over the seeds; nothing of what was
    not told or has gaps."""
    told = {"probabilities": [0.25, 0.5, 0.75]}
    results = [make_result(calibration=told | {"reliability": shares}) for shares in ([0.2, 0.5, 0.7], [0.4, 0.5, 0.7])]
    results.append(make_result(calibration=told | {"reliability": [None, 0.5, 0.7]}, seed=3))
    results.append(make_result(micro_dim=2, micro_layout="cells", calibration=told | {"reliability": [0.1, 0.5, 0.9]}))
    assert rank_shares([*results, make_result(micro_dim=1, calibration=results[0]["calibration"])]) == (
        (0.25, 0.5, 0.75),
        {"burgers_1d": {"micro_dim 5": pytest.approx([0.3, 0.5, 0.7]), "micro_dim 2 per cell": [0.1, 0.5, 0.9]}},
    )
    assert draw_ranks(results, str(tmp_path)) == str(tmp_path / "ranks.png") and (tmp_path / "ranks.png").exists()
    assert draw_ranks([make_result()], str(tmp_path / "none")) is None and not (tmp_path / "none").exists()


def test_overview():
    """Against the truth means over the seeds of the medians, two latents in cells alone; against the data our errors
    beside both of the paper, where it scores other times of these."""
    results = [make_result(micro_dim=dim, seed=seed) for dim, seed in ((0, 0), (5, 0), (5, 1))]
    results[2]["test"]["nrmse"]["median"] = 0.0313
    results[2]["test"]["nrmse_clean"]["median"] = 0.0246
    cells = [make_result(micro_dim=2), make_result(case="kdv_1d", micro_dim=6), make_result(micro_dim=4)]
    cells[2]["test"]["nrmse_clean"]["median"] = 0.0313
    other = make_result(case="kdv_1d", published_test={"rel_l2": summary(0.05, 0.04, 0.0, 0.05)})
    dmd = make_baseline(case="burgers_1d")
    dmd["test"]["nrmse_clean"] = summary(0.2, 0.15, 0.0, 0.15)
    row, other = named(overview_table([*results, other], cells, [dmd]))
    assert row == {
        "case": "burgers_1d",
        "test trajectories": "3",
        "micro_dim 0": "0.0266",
        "micro_dim 5": "0.0256",
        "2 per cell": "0.0266",
        "DMD": "0.1500",
        "POD-SINDy": "—",
        "5 against data": "0.0300 / —",
        "5, published": "0.011 / —",
        "noise floor": "0.0109",
    }
    assert (other["micro_dim 0"], other["2 per cell"]) == ("—", "—")
    assert (other["5 against data"], other["5, published"]) == ("0.0287 / 0.0500", "0.058 / 0.042")
    assert overview_table([], cells, []).rows == []
    unknown = make_result(case="cylinder_3d")
    unknown["test"]["nrmse_clean"]["median"] = None
    (row,) = named(overview_table([unknown], [], []))
    assert (row["micro_dim 5"], row["5, published"]) == ("diverged", "— / —")


def test_pages():
    """Every table goes wherever its marks are; one without marks, half of a mark, and marks of nothing are refused."""
    pages = {"README.md": f"a\n{BEGIN}\n{END}\nb\n", "docs/x.md": f"{BEGIN}\nold\n{END}\n", "docs/y.md": "none\n"}
    assert update_pages(pages, {"results": "| 1 |"}) == {
        "README.md": f"a\n{BEGIN}\n| 1 |\n{END}\nb\n",
        "docs/x.md": f"{BEGIN}\n| 1 |\n{END}\n",
        "docs/y.md": "none\n",
    }
    with pytest.raises(InputError, match="No page has the marks of the table `cells`; put <!-- cells: begin -->"):
        update_pages(pages, {"results": "| 1 |", "cells": "| 2 |"})
    with pytest.raises(InputError, match="docs/x.md has the marks of `results`, but tables are cells"):
        update_pages({"docs/x.md": pages["docs/x.md"], "z": "<!-- cells: begin --><!-- cells: end -->"}, {"cells": ""})
    with pytest.raises(InputError, match="docs/y.md: The table needs the marks"):
        update_pages({"docs/y.md": END}, {"results": "| 1 |"})


def test_command(tmp_path, monkeypatch, capsys):
    """`--check` fails and writes nothing while a table is old; without it all is written, and then passes."""
    results, figures, root = tmp_path / "results", tmp_path / "figures", tmp_path / "root"
    known = make_result(case="kdv_1d", test_inside=[True, False])
    known["test"]["rel_l2"] = summary(0.04, 0.04, 0.0, 0.04)
    known["test"]["nrmse_clean"]["per_trajectory"] = [0.1, 0.2]
    known |= {"calibration": {}, "bound_dispersion": {"calibration": {}}}
    for result in (make_result(micro_dim=0), scored(0, [0.5], coverage_90=0.9), known, make_result(seed=1)):
        write(results, result)
    folder = results / "burgers_1d"
    (folder / "baseline_dmd.json").write_text(json.dumps(make_baseline(case="burgers_1d")))
    (folder / "ensemble_d5_s0-1.json").write_text(json.dumps(scored(0, [0.5]) | {"seeds": [0, 1]}))
    (folder / "cells_d2_s7.json").write_text(json.dumps(make_result(micro_dim=2, seed=7, micro_layout="cells")))
    for result in (own_file("a.h5", 0), own_file("a.h5", 1)):
        path = results / "custom" / "a" / f"d5_s{result['seed']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    system = {"system": "wave", "checks": {"a": {"value": 0.5, "bar": 1.0, "met": True}}, "baselines": {}}
    system["test"] = {name: {"median": 0.5} for name in ("crps_scaled", "anomaly_nrmse")}
    for kind in ("systems", "assimilation"):
        (results / kind).mkdir()
        (results / kind / "wave.json").write_text(json.dumps(system))
    code = {"micro_dim": 5, "error_by_step": {"9": 0.1}} | dict.fromkeys(("nrmse", "nrmse_clean"), [0.1])
    (results / "published_code").mkdir()
    (results / "published_code" / "burgers_1d.json").write_text(json.dumps(code | {"reconstruction_nrmse": [0.1]}))
    (results / "benchmark").mkdir()
    (results / "benchmark" / "patches.json").write_text(json.dumps({"domains": [DOMAIN]}))
    (results / "benchmark" / "forecast.json").write_text(json.dumps(system))
    (results / "apebench").mkdir()
    (results / "apebench" / "diff_burgers.json").write_text(json.dumps(APEBENCH))
    tables = make_tables(str(results))
    assert all(len(table.splitlines()) > 2 for table in tables.values())

    (root / "docs").mkdir(parents=True)
    first, *others = tables
    old = {
        root / "README.md": f"# Title\n<!-- {first}: begin -->\n<!-- {first}: end -->\n",
        root / "docs" / "a.md": "".join(f"<!-- {name}: begin -->\n<!-- {name}: end -->\n\n" for name in others),
        root / "docs" / "b.md": "no table\n",
    }
    for path, text in old.items():
        path.write_text(text)
    assert find_pages(str(root)) == list(map(str, old))
    arguments = ["results", f"--results={results}", f"--root={root}", f"--figures={figures}"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert main() == 1 and not figures.exists()
    assert all(path.read_text() == text for path, text in old.items())
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" does not show")[0] for line in said] == [str(path) for path in list(old)[:2]]

    monkeypatch.setattr(sys, "argv", arguments)
    assert main() == 0 and (figures / "burgers_1d" / "sweep.png").is_file()
    assert tables[first] in (root / "README.md").read_text()
    assert all(tables[name] in (root / "docs" / "a.md").read_text() for name in others)
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert main() == 0
    (folder / "d9_s9.json").write_text("{")
    capsys.readouterr()
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {folder / 'd9_s9.json'}")


def test_readme_is_up_to_date():
    """README and docs show the result files of this repository; `python -m msvi.report.readme` rewrites them."""
    pages = {path: pathlib.Path(path).read_text(encoding="utf-8") for path in find_pages(str(ROOT))}
    tables = make_tables(str(ROOT / "results"))
    assert len(tables["results"].splitlines()) > 10 and len(pages) > 10
    assert update_pages(pages, tables) == pages


SEED = {"first_step_nrmse": 0.001, "reconstruction_nrmse": 0.0005, "spread_skill": 1.1, "coverage_90": 0.9}
SEED |= {"latents": 80, "points": 160, "train_seconds": 600.0}
SEEDS = {"0": SEED | {"error": 0.02}, "1": SEED | {"error": None}, "2": SEED | {"error": 0.03, "train_seconds": 900}}
APEBENCH = {
    "system": "diff_burgers",
    "seeds": SEEDS,
    "published": {"Res": 0.0128},
    "checks": {"error, median over seeds": {"value": 0.03, "bar": 0.025, "met": False}},
}


def test_apebench_beside_its_networks():
    """Medians over our seeds, one that diverged as infinite; what was published, what was trained here, and the bar."""
    reference = {"reference": {"Res;26;8;relu": {"error": 0.013}}}
    table = apebench_table([APEBENCH | reference, {"system": "a", "checks": {}}])
    assert table.columns[3:6] == ["Res", "trained here", "allowed"]
    errors = ["0.03 (0.02 to inf)", "3", "0.0128", "Res 0.013", "0.025", "0.001", "0.0005"]
    assert table.rows == [["diff_burgers", *errors, "1.1", "0.9", "80 / 160", "15"]]
