"""The web page: every number is there, it loads nothing, and what is missing or damaged is said."""

import copy
import html.parser
import json
import os
import re
import shutil

import numpy as np
import pytest
from made_results import make_baseline, make_result, summary, write
from PIL import Image

from msvi.cli.report import main
from msvi.errors import InputError
from msvi.report.page import build
from msvi.report.page_case import case_section
from msvi.report.results import load_baselines, load_cells, load_data_files, load_ensembles, load_results
from msvi.report.sources import Case
from msvi.report.tables import (
    Table,
    baselines_table,
    calibration_table,
    cost_table,
    data_files_table,
    horizon_table,
    quick_baselines_table,
    results_table,
    settings_table,
    summary_table,
)
from msvi.report.tables_systems import systems_scores_table
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


def own_data(micro_dim, layout):
    """A result of a run on a file: its truth is not known, and it carries the baselines that anyone would try."""
    result = full(make_result(case="custom", micro_dim=micro_dim, micro_layout=layout), 0.2)
    del result["test"]["nrmse_clean"], result["test"]["noise_floor"], result["lead_time"]["noise_floor"]
    result["test"] |= {name: summary(0.4, 0.4321, 0.1, 0.4) for name in ("crps_scaled", "anomaly_nrmse")}
    mean = {"crps_scaled": 0.987, "anomaly_nrmse": 1.01, "crps": 0.0567, "nrmse": None}
    result["baselines"] = {"mean": mean, "dmd": {"left_out": "too few"}}
    result["config"] = {"data": {"path": "/somewhere/wind <1>.nc"}}
    return result | {"data": {"train": 12, "val": 2, "test": 1}}


SYSTEM = {
    "system": "wave",
    "checks": {"speed of the wave": {"value": 1.25, "bar": [0.5, 1.5], "met": False}},
    "test": {name: {"median": 0.111} for name in ("crps_scaled", "anomaly_nrmse")},
    "baselines": {"mean": {"crps_scaled": 0.222, "anomaly_nrmse": 0.333}},
}


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
    cells = full(make_result(case="kdv_1d", micro_dim=2, micro_layout="cells"), 0.013)
    (results / "kdv_1d" / "cells_d2_s0.json").write_text(json.dumps(cells))
    for dim, path in ((3, "d3_s0"), (1, "cells_d1_s0")):
        (results / "custom" / "wind <1>").mkdir(parents=True, exist_ok=True)
        own = own_data(dim, "cells" if "cells" in path else "global")
        (results / "custom" / "wind <1>" / f"{path}.json").write_text(json.dumps(own))
    (results / "systems").mkdir()
    (results / "systems" / "wave.json").write_text(json.dumps(SYSTEM))
    (results / "benchmark").mkdir()
    step = {"processors": 2, "micro_dim": 5, "step_recipe": {"whole step in the loop": {"median_s": 0.00687}}}
    (results / "benchmark" / "kdv_1d.json").write_text(json.dumps(step))
    return str(results), str(figures)


@pytest.fixture(scope="module")
def text(folders):
    return build([folders[0]], folders[1])


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
    cells, own = load_cells(folders[0]), load_data_files(folders[0])
    kdv[0] += cells
    tables = [summary_table(results), baselines_table(results, baselines), results_table(results)]
    tables += [
        results_table(cells).without("published"),
        data_files_table(own),
        calibration_table([*results, *cells], load_ensembles(folders[0])),
        calibration_table(own, []).without("case"),
        systems_scores_table([SYSTEM]),
        horizon_table(*kdv),
        cost_table(*kdv),
        settings_table(kdv[1]),
    ]
    for table in tables:
        assert table.rows and {cell for row in table.rows for cell in row if cell} <= {*page.cells}, table
    for number in (
        "0.0287 / 0.0287",
        "0.523",
        "87.6 %",
        "> 1 (2 of 4 never)",
        "7,654,321",
        "1.25 GiB",
        "0.10.2",
        "5, seeds 0 + 1",
        "2 per cell",
        "1 per cell",
        "speed of the wave",
        "no",
    ):
        assert number in page.cells
    assert "6.87 ms" in text
    # Error against micro_dim of two cases, and six more of the one with all keys and of the data file.
    assert text.count("<svg") == 14
    for name in (
        "Own data: wind <1>",
        "Systems of which something is known exactly",
        "1D Burgers",
        "1D Korteweg–de Vries",
        "What the scores are",
        "Versions and hardware",
    ):
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
    assert burgers.count('class="missing"') == 5 and "msvi evaluate --workdir=runs/burgers_1d_d5_s0" in burgers
    assert 'class="missing"' not in kdv.split('<section id="custom')[0]
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
    page = Reader(build([results], figures))
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
    with pytest.raises(InputError, match="folder of results must hold files such as.*without any") as caught:
        build([str(tmp_path)], str(tmp_path))
    assert "\n" not in str(caught.value)


def test_own_data(text):
    """Beside the baselines that its runs carry, which a median that diverged does not hide, and without the paper's."""
    own = text.split('<section id="custom-wind-1-">')[1].split('<section id="systems">')[0]
    page = Reader(f"<section>{own}")
    assert "Learned from 12 trajectories of wind &lt;1&gt;.nc" in own and "published" not in own
    rows = {row[0]: row[1:] for row in quick_baselines_table([own_data(3, "global"), own_data(1, "cells")]).rows}
    assert rows == {
        "CRPS over deviation": ["0.987", "0.432", "0.432"],
        "anomaly error": ["1.01", "0.432", "0.432"],
        "CRPS": ["0.0567", "0.0222", "0.0222"],
        "NRMSE": ["diverged", "0.0287", "0.0287"],
    }
    assert {cell for row in rows.values() for cell in row} <= {*page.cells}
    assert "training mean" in page.cells and "DMD" not in page.cells
    assert 'class="missing"' not in own


def test_single_results(folders, tmp_path):
    """A workdir with its figures, and files: one section for each case, with the numbers of these alone."""
    workdir = tmp_path / "run"
    (workdir / "figures").mkdir(parents=True)
    (workdir / "result.json").write_text(json.dumps(own_data(4, "global")))
    for name in ("forecast", "forecast_u", "forecast_v", "training", "error"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(workdir / "figures" / f"{name}.png")
    run, baseline = (os.path.join(folders[0], "kdv_1d", f"{name}.json") for name in ("d3_s0", "baseline_sindy"))
    text = build([str(workdir), run, baseline], folders[1])
    page = Reader(text)
    assert [name for name in page.ids if name in ("kdv_1d", "custom-wind-1-", "systems", "sweeps")] == [
        "kdv_1d",
        "custom-wind-1-",
    ]
    captions = [caption for caption in page.text if caption.startswith("micro_dim 4, seed 0: ")]
    assert len(captions) == 3 and [caption[-11:] for caption in captions[:2]] == [" Channel u.", " Channel v."]
    assert "2 runs of 2 cases" in text and "POD-SINDy" in page.cells and "coarse simulation" in page.cells
    system = os.path.join(folders[0], "systems", "wave.json")
    assert "speed of the wave" in Reader(build([system], folders[1])).cells
    with pytest.raises(InputError, match="nowhere must be a result file, a workdir or a folder of results"):
        build([str(tmp_path / "nowhere")], folders[1])


def test_fits_a_phone(text):
    """The page is as wide as the screen: tables scroll in a box of their own, pictures shrink."""
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert text.count("<table>") == text.count('tabindex="0">\n<table>') == text.count('<div class="scroll"')
    rules = re.search("<style>(.*)</style>", text, re.DOTALL)[1]
    for selector, rule in (
        (".scroll", "overflow-x: auto"),
        (".image img", "max-width: 100%"),
        (".drawn svg", "width: 100%"),
    ):
        assert rule in re.search(rf"^{re.escape(selector)} {{(.*?)}}", rules, re.DOTALL | re.MULTILINE)[1]
    assert not re.search(r"<svg[^>]* (width|height)=", text)


def test_one_method_does_not_hide_the_rest():
    """A baseline at 1e-5 is in the legend of the figure, with its number, and the axis does not reach it."""
    runs = [full(make_result(case="kdv_1d", micro_dim=dim), 0.3 / (1 + dim)) for dim in (0, 5)]
    exact = full(make_baseline("coarse"), 1e-5)
    exact["test"]["nrmse"] = summary(1e-5, 1e-5, 0, 1e-5)
    case = Case("kdv_1d", runs, [], [exact], [], [])
    errors, lead = (part.body for part in case_section(case, [], "").parts[:3:2])
    for drawn in (errors, lead):
        assert "coarse simulation" in drawn and "e-05, below)" in drawn
    assert ">1e-05<" not in errors and ">1e-05<" not in lead
