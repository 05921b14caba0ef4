"""The section of a web report about one case or data file: its tables, figures, pictures and costs."""

import os

from msvi.report import plots_sweep
from msvi.report.page_figures import calibration_figures, lead_time_figures, shown_runs, spectra_figure
from msvi.report.page_pictures import forecast_images, images
from msvi.report.results import load_json, sweep_errors
from msvi.report.sources import Case
from msvi.report.tables import (
    PUBLISHED,
    Table,
    baselines_table,
    by_model,
    calibration_table,
    cost_table,
    horizon_table,
    quick_baselines_table,
    results_table,
    settings_table,
)
from msvi.report.webpage import Section, figure_html, figures_html, missing_html, paragraph_html, table_html
from msvi.report.wording import BASELINE_LABELS, in_cells, model_name

_CASES = {
    "burgers_1d": (
        "1D Burgers",
        "The viscous Burgers equation on a periodic line: a bump steepens into a travelling front; 1000 points are "
        "carried by 20 coarse cells and the microscale latents.",
    ),
    "burgers_2d": (
        "2D Burgers",
        "The Burgers equation on a square with held edge values: a bump travels along the diagonal and forms a curved "
        "front; 128 × 128 points are carried by 8 × 8 coarse cells and the microscale latents.",
    ),
    "cylinder_2d": (
        "Flow past a cylinder",
        "Vortex shedding at Reynolds number 160, from our own simulation without noise: 2 × 320 × 80 numbers are "
        "carried by 2 × 32 × 8 and the microscale latents.",
    ),
    "kdv_1d": (
        "1D Korteweg–de Vries",
        "A wave packet on a periodic line breaks into solitons and dispersive waves, which no coarse mesh can carry; "
        "1000 points are carried by 20 coarse cells and the microscale latents.",
    ),
}
_SIMULATION_IMAGES = {
    "vorticity.png": ("snapshot of the vorticity behind the cylinder", "Vorticity of the simulated flow."),
    "lift.png": ("lift and drag of the cylinder against time", "Lift and drag of the simulated flow."),
}


def case_section(case: Case, folders: list[str], figures_dir: str) -> Section:
    """Everything about one case.

    Args:
      case: its results.
      folders: of results, with `benchmark/` and `validation/` if there are any.
      figures_dir: folder of the pictures of a simulation, `<case>/<name>`.
    """
    title, sentence = _CASES.get(case.key, (case.key, ""))
    if case.is_own_data:
        title, sentence = f"Own data: {case.key.removeprefix('custom/')}", _own_data(case)
    parts = [
        ("errors", "Error against micro_dim", _errors(title, case)),
        ("baselines", "Beside other methods", _baselines(case)),
        ("lead-time", "Over lead time", _lead_time(title, case)),
        ("calibration", "Calibration", _calibration(title, case)),
        ("spectra", "Spectra", _spectra(title, case)),
        ("forecast", "A forecast", forecast_images(title, case.pictures)),
        ("simulation", "The simulation", _simulation(title, case.key, folders, figures_dir)),
        ("cost", "Cost", _cost(case, folders)),
    ]
    sections = tuple(Section(f"{case.name}-{name}", heading, body) for name, heading, body in parts if body)
    return Section(case.name, title, paragraph_html(sentence), sections)


def _own_data(case: Case) -> str:
    """What the numbers of a data file are of."""
    found = next((r for r in (*case.runs, *case.cells, *case.baselines, *case.ensembles) if "data" in r), None)
    if found is None:
        return ""
    train, val, test = (found["data"][split] for split in ("train", "val", "test"))
    return (
        f"Learned from {train} trajectories of {os.path.basename(found['config']['data']['path'])}; the checkpoint is "
        f"chosen by {val} others, and every number is over {test} that neither has seen."
    )


def _errors(title: str, case: Case) -> str:
    caption = "NRMSE over the test trajectories; of several seeds the medians stand side by side"
    tables = [_of_one_case(results_table(case.runs)), _of_one_case(results_table(case.cells).without("published"))]
    if case.key not in PUBLISHED:
        tables[0] = tables[0].without("published")
    text = table_html(tables[0], caption)
    text += table_html(tables[1], "The same with microscale latents in every coarse cell, micro_dim of each")
    if len({r["micro_dim"] for r in case.runs}) < 2:
        return text
    figure = plots_sweep.error_beside_references(
        *sweep_errors(case.runs), references=_references(case), published=PUBLISHED.get(case.key)
    )
    caption = (
        "Median NRMSE against the number of microscale latents: runs as points, lines through means over seeds. Other "
        "models are horizontal lines; those far off stand in the legend alone, with their number."
    )
    return text + figure_html(figure, f"{title}: NRMSE against micro_dim, the numbers of the table above", caption)


def _references(case: Case) -> dict[str, float]:
    """Median NRMSE of other models by name; one that diverged, whose median is null, has none."""
    found = {BASELINE_LABELS[n]: s.get("nrmse") for r in case.runs for n, s in r.get("baselines", {}).items()}
    found |= {model_name(b["baseline"]): b["test"]["nrmse"]["median"] for b in case.baselines}
    found |= {name: runs[0]["test"]["nrmse"]["median"] for name, runs in by_model(case.cells, [])}
    return {name: value for name, value in found.items() if value is not None}


def _baselines(case: Case) -> str:
    text = table_html(
        _of_one_case(baselines_table(case.runs, case.baselines)) if case.runs or case.baselines else Table([], []),
        "Errors of other methods, ours and the published ones; means over seeds",
    )
    if case.is_own_data:
        caption = "Medians of what anyone would try first, and of each of our models; means over seeds"
        text = table_html(quick_baselines_table([*case.runs, *case.cells]), caption) + (text if case.baselines else "")
    elif not case.baselines:
        command = f"msvi evaluate --config=configs/{case.key}.py --baseline=NAME --results=results"
        text += missing_html("baselines", command)
    return text + table_html(
        settings_table(case.baselines), "Settings of the baselines, chosen on the validation trajectories"
    )


def _lead_time(title: str, case: Case) -> str:
    runs = shown_runs([*case.runs, *case.cells], "lead_time")
    if not runs:
        return _missing("scores over lead time", case)
    figures = lead_time_figures(title, runs, case.baselines)
    caption = "Lead time until the relative L2 error first exceeds a threshold: medians over trajectories and seeds"
    return figures_html(figures) + table_html(horizon_table([*case.runs, *case.cells], case.baselines), caption)


def _calibration(title: str, case: Case) -> str:
    runs = shown_runs([*case.runs, *case.cells], "calibration")
    if not runs and not case.ensembles and not any("calibration" in b for b in case.baselines):
        return _missing("calibration", case)
    caption = "The forecast as a distribution: means over seeds, or members of several seeds together"
    text = table_html(
        _of_one_case(calibration_table([*case.runs, *case.cells], case.ensembles, case.baselines)), caption
    )
    return text + (figures_html(calibration_figures(title, runs)) if runs else "")


def _spectra(title: str, case: Case) -> str:
    runs = shown_runs([*case.runs, *case.cells], "spectra")
    return spectra_figure(title, runs) if runs else _missing("spectra", case)


def _simulation(title: str, case: str, folders: list[str], figures_dir: str) -> str:
    """How our simulation changes under refinement, of a case that is validated so."""
    path = _find(folders, "validation", f"{case}.json")
    if path is None:
        return ""
    table = Table(["cells", "Strouhal number", "drag", "lift, root mean square", "largest divergence"], [])
    for run in load_json(path)["runs"]:
        common = run["common"]
        numbers = [f"{common[name]:.4f}" for name in ("strouhal", "drag", "lift_rms")]
        table.rows.append([" × ".join(map(str, run["cells"])), *numbers, f"{run['max_divergence']:.1e}"])
    pictures = images(title, os.path.join(figures_dir, case), _SIMULATION_IMAGES)
    return table_html(table, "The simulation under refinement; the data are sampled from the second") + pictures


def _cost(case: Case, folders: list[str]) -> str:
    runs = [*case.runs, *case.cells]
    text = table_html(cost_table(runs, case.baselines), "What each run took; of a baseline training is its fit")
    if not any("cost" in r for r in (*runs, *case.baselines)):
        text += _missing("drift evaluations and memory", case)
    benchmark = _find(folders, "benchmark", f"{case.key}.json")
    if benchmark is not None:
        found = load_json(benchmark)
        seconds = found["step_recipe"]["whole step in the loop"]["median_s"]
        text += (
            f"<p>On {found['processors']} processors with nothing beside it a training step with micro_dim "
            f"{found['micro_dim']} takes {1000 * seconds:.3g} ms, median of <code>python -m benchmarks</code>.</p>\n"
        )
    return text


def _find(folders: list[str], *names: str) -> str | None:
    """The first of the folders' files that is there."""
    paths = (os.path.join(folder, *names) for folder in folders)
    return next((path for path in paths if os.path.exists(path)), None)


def _of_one_case(table: Table) -> Table:
    """The table without the name of the case where that is the same in all rows."""
    return table.without("case") if len({row[0] for row in table.rows}) == 1 else table


def _missing(what: str, case: Case) -> str:
    """Which command scores a run anew; nothing where there is no run."""
    runs = [*case.runs, *case.cells]
    if not runs:
        return ""
    r = runs[-1]
    layout = "cells_" if in_cells(r) else ""
    name = f"{case.key.replace('/', '_')}_{layout}d{r['micro_dim']}_s{r['seed']}"
    return missing_html(what, f"msvi evaluate --workdir=runs/{name} --results=results")
