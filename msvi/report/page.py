"""One web page from all result files, which loads nothing: `msvi report`.

The same files give the same bytes. What a file lacks, being older than the score, is left out with a line that says how
to get it.
"""

import glob
import os
from importlib import resources

from msvi.errors import InputError
from msvi.report.page_case import case_section
from msvi.report.results import load_baselines, load_ensembles, load_results
from msvi.report.tables import Result, Table, baselines_table, calibration_table, results_table, summary_table
from msvi.report.webpage import Section, page, table_html


def build(results_dir: str, figures_dir: str) -> str:
    """The page as HTML.

    Args:
      results_dir: folder of the result files, with `benchmark/`, `validation/` and `sweeps/` if there are any.
      figures_dir: folder of the pictures and animations, `<case>/<name>`.

    Raises:
      InputError: there is no result, or a file is damaged.
    """
    results, baselines, ensembles = (load(results_dir) for load in (load_results, load_baselines, load_ensembles))
    if not results:
        raise InputError(
            f"`--results` must hold result files such as kdv_1d/d5_s0.json, got {results_dir!r} without any; train and "
            "evaluate first."
        )
    cases = []
    for case in sorted({r["case"] for r in results}):
        chosen = [[r for r in found if r["case"] == case] for found in (results, baselines, ensembles)]
        cases.append(case_section(case, *chosen, results_dir, figures_dir))
    methods = resources.files("msvi.report").joinpath("methods.html").read_text(encoding="utf-8")
    sections = [
        Section("summary", "Summary", _summary(results, baselines)),
        *cases,
        Section("sweeps", "Other recipes", _sweeps(results_dir)),
        Section("methods", "What the scores are", methods),
        Section("versions", "Versions and hardware", _versions(results, baselines)),
    ]
    lead = (
        "<p>Stochastic multiscale models learned from trajectories: a macroscale state on a coarse mesh and a few "
        "microscale latents, <code>micro_dim</code>, forecast fields of full resolution with their uncertainty.</p>"
    )
    return page("msvi: results", lead, sections)


def _summary(results: list[Result], baselines: list[Result]) -> str:
    cases = {r["case"] for r in results}
    text = (
        f"<p>{len(results)} runs of {len(cases)} {'case' if len(cases) == 1 else 'cases'}. Every number is over test "
        "trajectories that neither training nor the choice of the checkpoint has seen; published ones are of Ilersich "
        "and Nair, NRMSE of one seed on one test trajectory, relative L2 errors on five.</p>"
    )
    return (
        text
        + table_html(summary_table(results), "NRMSE, median over the test trajectories, mean over seeds")
        + table_html(baselines_table(results, baselines), "Beside other methods, over the same test trajectories")
    )


def _sweeps(results_dir: str) -> str:
    """Tables of the runs with other fields changed, a folder each."""
    text = ""
    for folder in sorted(glob.glob(os.path.join(results_dir, "sweeps", "*"))):
        runs, name = load_results(folder), f"sweeps/{os.path.basename(folder)}"
        text += table_html(results_table(runs), f"Runs of {name}")
        text += table_html(calibration_table(runs, load_ensembles(folder)), f"{name}: the forecast as a distribution")
    introduction = (
        "<p>Runs with other fields changed than <code>micro_dim</code> and seed; <code>staged</code> ones start from "
        "the weights of the one with the next smaller <code>micro_dim</code>.</p>\n"
    )
    return introduction + text if text else ""


def _versions(results: list[Result], baselines: list[Result]) -> str:
    """What the numbers depend on, side by side where files differ."""
    found: dict[str, dict[str, None]] = {}
    for r in results + baselines:
        for name, version in r.get("versions", {}).items():
            found.setdefault(name, {})[version] = None
    table = Table(["package", "version"], [[name, " / ".join(versions)] for name, versions in sorted(found.items())])
    return table_html(table, "Versions and device that the result files were computed with")
