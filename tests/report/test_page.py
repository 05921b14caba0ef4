"""The web page: every number is there, it loads nothing, and what is missing or damaged is said."""

import copy
import html.parser
import json
import os
import shutil

import numpy as np
import pytest
from made_results import make_baseline, make_result, summary, write
from PIL import Image

from msvi.cli.report import main
from msvi.errors import InputError
from msvi.report.page import build
from msvi.report.results import load_baselines, load_ensembles, load_results
from msvi.report.tables import (
    Table,
    baselines_table,
    calibration_table,
    cost_table,
    horizon_table,
    results_table,
    settings_table,
    summary_table,
)
from msvi.report.webpage import table_html

T = [0.0, 0.5, 1.0]
VOID = {"meta", "img", "br", "path", "use", "rect"}


def curve(level):
    return {"q10": [level, level, None], "median": [level, 2 * level, None], "q90": [level, 3 * level, None]}


def full(result, level):
    """The result with all the keys that `evaluate.py` writes."""
    result = copy.deepcopy(result)
    result["test"] |= {"rel_l2": summary(level, level, 0, level), "crps": summary(level / 7, level / 9, 0, level)}
    result["lead_time"] = {"t": T} | {name: curve(level) for name in ("rel_l2", "vrmse", "crps", "noise_floor")}
    result["horizon"] = {"0.1": {"median": None, "censored": 1, "per_trajectory": [None, 0.1357]}}
    result["spectra"] = {"wavenumber": [1.0, 2.0, 4.0], "truth": [1.0, 0.1, 0.01], "forecast": [1.0, 0.2, 0.01]}
    result["cost"] = {"forecast_seconds": 1.234, "peak_memory_gib": 1.75}
    result["versions"] = {"jax": "0.10.2", "device": "<cpu>"}
    if "baseline" not in result:
        result["test"] |= {"spread_skill": summary(1, 0.83, 0, 1), "macro_share": summary(0.951, 1, 0, 1)}
        result["lead_time"]["spread_skill"] = [0.5, None, 1.0]
        result["spectra"]["macro"] = [1.0, 1e-3, 1e-9]
        result["calibration"] = {
            "levels": [0.25, 0.5, 0.75],
            "coverage": [0.2, 0.45, None],
            "probabilities": [0.25, 0.5, 0.75],
            "reliability": [0.3, 0.5, 0.8],
            "spread_skill": 0.77,
            "spread_skill_clean": 0.66,
            "coverage_90": 0.876,
        }
        result["cost"] |= {"num_parameters": 54321, "train_drift_evaluations": 7654321}
        result["cost"] |= {"forecast_drift_evaluations": 65432, "train_peak_memory_gib": 1.25}
    return result


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Results of one case with baselines, and of one as older versions wrote them; figures of the first."""
    root = tmp_path_factory.mktemp("report")
    results, figures = root / "results", root / "figures"
    for dim, seed in ((0, 0), (3, 0), (5, 0), (5, 1)):
        write(results, full(make_result(case="kdv_1d", micro_dim=dim, seed=seed), 0.3 / (1 + dim)))
    ensemble = full(make_result(case="kdv_1d"), 0.05) | {"seeds": [0, 1]}
    (results / "kdv_1d" / "ensemble_d5_s0-1.json").write_text(json.dumps(ensemble))
    for name in ("coarse", "sindy"):
        baseline = full(make_baseline(name, settings={"chosen": {"scheme": "<upwind>"}}), 0.4)
        (results / "kdv_1d" / f"baseline_{name}.json").write_text(json.dumps(baseline))
    write(results, make_result(case="burgers_1d", micro_dim=0))
    write(results, make_result(case="burgers_1d"))
    (figures / "kdv_1d").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(figures / "kdv_1d" / "forecast.png")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(figures / "kdv_1d" / "forecast.gif")
    (results / "benchmark").mkdir()
    step = {"processors": 2, "micro_dim": 5, "step_recipe": {"whole step in the loop": {"median_s": 0.00687}}}
    (results / "benchmark" / "kdv_1d.json").write_text(json.dumps(step))
    return str(results), str(figures)


@pytest.fixture(scope="module")
def text(folders):
    return build(*folders)


class Reader(html.parser.HTMLParser):
    """Checks that tags are balanced, and collects ids, links and what would be loaded."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.loaded, self.cells, self.text = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.add(attrs, tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.add(attrs, tag)

    def add(self, attrs, tag):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        address = attributes.get("src") or attributes.get("href") or attributes.get("srcset")
        if address:
            (self.links if address.startswith("#") else self.loaded).append(address)
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and {"td", "th"} & set(self.open[-2:]):
            self.cells.append(data)


def test_page(folders, text):
    """Well formed, loads nothing, and holds every kind of number and figure."""
    page = Reader(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert len(page.loaded) == 2 and all(address.startswith("data:image/") for address in page.loaded)
    assert not any(loading in text for loading in ("http", "<script", "@import", "url(h", "url(d"))
    results, baselines = load_results(folders[0]), load_baselines(folders[0])
    kdv = [[r for r in found if r["case"] == "kdv_1d"] for found in (results, baselines)]
    tables = [summary_table(results), baselines_table(results, baselines), results_table(results)]
    tables += [
        calibration_table(results, load_ensembles(folders[0])),
        horizon_table(*kdv),
        cost_table(*kdv),
        settings_table(kdv[1]),
    ]
    for table in tables:
        assert table.rows and {cell for row in table.rows for cell in row if cell} <= {*page.cells}
    for number in (
        "0.0287 / 0.0287",
        "0.523",
        "87.6 %",
        "> 1 (2 of 4 never)",
        "7,654,321",
        "1.25 GiB",
        "0.10.2",
        "5, seeds 0 + 1",
    ):
        assert number in page.cells
    assert "6.87 ms" in text
    assert text.count("<svg") == 8  # error against micro_dim of two cases, and six more of the one with all keys
    for name in ("1D Burgers", "1D Korteweg–de Vries", "What the scores are", "Versions and hardware"):
        assert name in page.text


def test_names_are_escaped(text):
    """A value that looks like HTML is shown as it is."""
    assert "<upwind>" not in text and "<cpu>" not in text
    assert {"scheme <upwind>", "<cpu>"} <= set(Reader(text).cells)
    assert "<b>" not in table_html(Table(["<b>"], [["<b>"]]), "<b>")


def test_what_older_files_lack_is_left_out(text):
    """With a line that names the command, in the section of that case alone."""
    burgers, kdv = (text.split(f'<section id="{case}">')[1] for case in ("burgers_1d", "kdv_1d"))
    burgers = burgers.split('<section id="kdv_1d">')[0]
    assert burgers.count('class="missing"') == 5 and "evaluate.py --workdir=runs/burgers_1d_d5_s0" in burgers
    assert 'class="missing"' not in kdv
    assert "<figure" in burgers and 'id="burgers_1d-forecast"' not in text


def test_diverged(folders, tmp_path):
    """A run whose every number is null has its rows and figures all the same."""
    results, figures = shutil.copytree(folders[0], tmp_path / "results"), folders[1]
    path = os.path.join(results, "kdv_1d", "d5_s0.json")
    with open(path, encoding="utf-8") as file:
        result = json.load(file)

    def without_numbers(value):
        if isinstance(value, dict):
            return {key: item if key in ("t", "wavenumber") else without_numbers(item) for key, item in value.items()}
        return [None] * len(value) if isinstance(value, list) else None

    for key in ("test", "lead_time", "spectra"):
        result[key] = without_numbers(result[key])
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file)
    page = Reader(build(results, figures))
    assert "diverged" in page.cells and "None" not in " ".join(page.cells) and "nan" not in page.cells


def test_command(folders, text, tmp_path, capsys):
    """Writes the page, the same bytes each time; what cannot be used ends in one line and leaves the page as it was."""
    results, figures = shutil.copytree(folders[0], tmp_path / "results"), folders[1]
    output = tmp_path / "page.html"
    arguments = [f"--results={results}", f"--figures={figures}", f"--output={output}"]
    assert main(arguments) == 0
    assert output.read_text(encoding="utf-8") == text and sorted(tmp_path.glob("page*")) == [output]
    with open(os.path.join(results, "kdv_1d", "d3_s0.json"), "w", encoding="utf-8") as file:
        file.write('{"case": ')
    capsys.readouterr()
    assert main(arguments) == 2 and output.read_text(encoding="utf-8") == text
    (line,) = capsys.readouterr().err.splitlines()
    assert "d3_s0.json" in line


def test_nothing_to_report(tmp_path):
    with pytest.raises(InputError, match="`--results` must hold result files.*without any") as caught:
        build(str(tmp_path), str(tmp_path))
    assert "\n" not in str(caught.value)
