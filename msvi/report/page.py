"""One web page from result files, which loads nothing: `msvi report`.

The same files give the same bytes. What a file lacks, being older than the score, is left out with a line that says how
to get it.
"""

import glob
import os

from msvi.report.page_case import case_section
from msvi.report.results import load_ensembles, load_results
from msvi.report.sources import Case, Sources, find_sources
from msvi.report.tables import (
    PUBLISHED,
    Result,
    Table,
    baselines_table,
    calibration_table,
    data_files_table,
    results_table,
    summary_table,
)
from msvi.report.tables_systems import checks_table, systems_scores_table
from msvi.report.webpage import Section, methods_html, page, table_html


def build(paths: list[str], figures_dir: str) -> str:
    """The page as HTML.

    Args:
      paths: result files; workdirs that hold a `result.json`, with their figures; folders of result files, with
        `custom/`, `systems/`, `benchmark/`, `validation/` and `sweeps/` if there are any.
      figures_dir: folder of the pictures and animations of folders of results, `<case>/<name>`.

    Raises:
      InputError: a path holds no result, or a file is damaged.
    """
    sources = find_sources(paths, figures_dir)
    sections = [
        Section("summary", "Summary", _summary(sources.cases)),
        *(case_section(case, sources.folders, figures_dir) for case in sources.cases),
        Section("systems", "Systems of which something is known exactly", _systems(sources.systems)),
        Section("sweeps", "Other recipes", "".join(map(_sweeps, sources.folders))),
        Section("methods", "What the scores are", methods_html()),
        Section("versions", "Versions and hardware", _versions(sources)),
    ]
    lead = (
        "<p>Stochastic multiscale models learned from trajectories: a macroscale state on a coarse mesh and a few "
        "microscale latents, <code>micro_dim</code>, forecast fields of full resolution with their uncertainty.</p>"
    )
    return page("msvi: results", lead, sections)


def _summary(cases: list[Case]) -> str:
    own = [r for case in cases if case.is_own_data for r in (*case.runs, *case.cells)]
    known = [case for case in cases if not case.is_own_data]
    runs, baselines = [r for case in known for r in case.runs], [r for case in known for r in case.baselines]
    number = sum(len(case.runs) + len(case.cells) for case in cases)
    text = (
        f"<p>{_count(number, 'run')} of {_count(len(cases), 'case')}. Every number is over test trajectories that "
        "neither training nor the choice of the checkpoint has seen"
    )
    if any(case.key in PUBLISHED for case in known):
        text += (
            "; published ones are of Ilersich and Nair, NRMSE of one seed on one test trajectory with other noise, "
            "relative L2 errors on five"
        )
    return (
        f"{text}.</p>"
        + table_html(summary_table(runs), "NRMSE, median over the test trajectories, mean over seeds")
        + table_html(baselines_table(runs, baselines), "Beside other methods, over the same test trajectories")
        + table_html(data_files_table(own), "Own data: errors over the test trajectories of each file")
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _systems(systems: list[Result]) -> str:
    checks = checks_table(systems)
    plain = Table(checks.columns, [[cell.strip("*") for cell in row] for row in checks.rows])  # of Markdown
    return table_html(systems_scores_table(systems), "Medians over the test trajectories") + table_html(
        plain, "What was measured, what it had to be, and whether it was"
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


def _versions(sources: Sources) -> str:
    """What the numbers depend on, side by side where files differ."""
    found: dict[str, dict[str, None]] = {}
    for case in sources.cases:
        for r in (*case.runs, *case.cells, *case.baselines, *case.ensembles):
            for name, version in r.get("versions", {}).items():
                found.setdefault(name, {})[version] = None
    table = Table(["package", "version"], [[name, " / ".join(versions)] for name, versions in sorted(found.items())])
    return table_html(table, "Versions and device that the result files were computed with")
