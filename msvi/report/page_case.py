"""The section of a web report about one case: its tables, figures, pictures and costs."""

import os
from html import escape

import numpy as np

from msvi.report import plots_scores, plots_sweep
from msvi.report.results import load_json, sweep_errors
from msvi.report.tables import (
    PUBLISHED,
    Result,
    Table,
    baselines_table,
    calibration_table,
    cost_table,
    horizon_table,
    model_name,
    results_table,
    settings_table,
)
from msvi.report.webpage import Section, figure_html, image_html, table_html

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
# Pictures of a case, as evaluation and benchmarks write them: what is seen, and what it means.
_FORECAST_IMAGES = {
    "forecast.gif": (
        "animation of six fields over one test trajectory: truth, ensemble mean, macroscale part, microscale part, "
        "error and standard deviation",
        "A test trajectory forecast from its first frame alone.",
    ),
    "forecast.png": (
        "snapshots at five times of a forecast beside the truth, with its macroscale and microscale parts",
        "Snapshots of the forecast of a test trajectory from its first frame alone, and of its two parts.",
    ),
    "space_time.png": (
        "space-time images of the truth, of the ensemble mean and of their difference",
        "The same forecast over space and time.",
    ),
}
_SIMULATION_IMAGES = {
    "vorticity.png": ("snapshot of the vorticity behind the cylinder", "Vorticity of the simulated flow."),
    "lift.png": ("lift and drag of the cylinder against time", "Lift and drag of the simulated flow."),
}


def case_section(
    case: str,
    results: list[Result],
    baselines: list[Result],
    ensembles: list[Result],
    results_dir: str,
    figures_dir: str,
) -> Section:
    """Everything about one case.

    Args:
      case: its name.
      results, baselines, ensembles: those of the case.
      results_dir: folder with `benchmark/` and `validation/` if there are any.
      figures_dir: folder of the pictures and animations, `<case>/<name>`.
    """
    title, sentence = _CASES.get(case, (case, ""))
    parts = [
        ("errors", "Error against micro_dim", _errors(title, results, baselines)),
        ("baselines", "Beside other methods", _baselines(results, baselines)),
        ("lead-time", "Over lead time", _lead_time(title, results, baselines)),
        ("calibration", "Calibration", _calibration(title, results, ensembles)),
        ("spectra", "Spectra", _spectra(title, results)),
        ("forecast", "A forecast", _images(title, os.path.join(figures_dir, case), _FORECAST_IMAGES)),
        ("simulation", "The simulation", _simulation(title, case, results_dir, figures_dir)),
        ("cost", "Cost", _cost(results, baselines, os.path.join(results_dir, "benchmark", f"{case}.json"))),
    ]
    body = f"<p>{escape(sentence)}</p>\n" if sentence else ""
    return Section(case, title, body, tuple(Section(f"{case}-{name}", *part) for name, *part in parts if part[1]))


def _errors(title: str, results: list[Result], baselines: list[Result]) -> str:
    caption = "NRMSE over the test trajectories; of several seeds the medians stand side by side"
    text = table_html(_of_one_case(results_table(results)), caption)
    if len({r["micro_dim"] for r in results}) < 2:
        return text
    # A median that diverged is null; it has no line.
    references = {model_name(b["baseline"]): value for b in baselines if (value := b["test"]["nrmse"]["median"])}
    published = PUBLISHED.get(results[0]["case"], {})
    figure = plots_sweep.error_beside_references(*sweep_errors(results), references, published)
    caption = "Median NRMSE against the number of microscale latents: runs as points, lines through means over seeds."
    return text + figure_html(figure, f"{title}: NRMSE against micro_dim, the numbers of the table above", caption)


def _baselines(results: list[Result], baselines: list[Result]) -> str:
    table = _of_one_case(baselines_table(results, baselines))
    text = table_html(table, "Errors of other methods, ours and the published ones; means over seeds")
    if not baselines:
        return text + _missing(
            "baselines", f"python evaluate.py --config=configs/{results[0]['case']}.py --baseline=NAME"
        )
    return text + table_html(
        settings_table(baselines), "Settings of the baselines, chosen on the validation trajectories"
    )


def _lead_time(title: str, results: list[Result], baselines: list[Result]) -> str:
    runs = _shown(results, "lead_time")
    if not runs:
        return _missing("scores over lead time", _evaluate(results))
    t = np.array(next(iter(runs.values()))["lead_time"]["t"])
    references = {model_name(b["baseline"]): b for b in baselines if "lead_time" in b}
    figures = []
    for score, name in (("rel_l2", "relative L2 error"), ("crps", "CRPS")):
        curves = {label: _curves(r, score, ("q10", "median", "q90"), t) for label, r in runs.items()}
        if score == "rel_l2":
            floor = _curves(next(iter(runs.values())), "noise_floor", ("median",), t)[0]
            curves |= {"noise floor": floor} if floor.any() else {}
        lines = {label: _curves(b, score, ("median",), t)[0] for label, b in references.items()}
        figure = plots_scores.score_over_lead_time(t, curves, name, lines)
        caption = f"{name[0].upper()}{name[1:]}: medians over the test trajectories, bands their 10–90 % range."
        figures.append(
            figure_html(figure, f"{title}: {name} against lead time, for {_and([*curves, *lines])}", caption)
        )
    caption = "Lead time until the relative L2 error first exceeds a threshold: medians over trajectories and seeds"
    return _figures(figures) + table_html(horizon_table(results, baselines), caption)


def _calibration(title: str, results: list[Result], ensembles: list[Result]) -> str:
    runs = _shown(results, "calibration")
    if not runs:
        return _missing("calibration", _evaluate(results))
    found = {label: r["calibration"] for label, r in runs.items()}
    first = next(iter(found.values()))
    figures = []
    for levels, values, kind, meaning in (
        (
            "levels",
            "coverage",
            "coverage",
            "Share of observations within central intervals: above the diagonal these are too wide.",
        ),
        ("probabilities", "reliability", "share below quantile", "Share of observations below predictive quantiles."),
    ):
        observed = {label: np.array(c[values], float) for label, c in found.items()}
        figure = plots_scores.reliability_diagram(first[levels], observed, f"nominal {kind}", f"observed {kind}")
        figures.append(
            figure_html(figure, f"{title}: observed against nominal {kind}, for {_and(list(found))}", meaning)
        )
    runs = {label: r["lead_time"] for label, r in runs.items() if "spread_skill" in r.get("lead_time", {})}
    if runs:
        t = next(iter(runs.values()))["t"]
        ratios = {label: np.array(lead["spread_skill"], float) for label, lead in runs.items()}
        figure = plots_scores.spread_skill_over_lead_time(t, ratios)
        caption = "Spread of the ensemble over the error of its mean, all trajectories pooled: below 1 it is too sure."
        figures.append(
            figure_html(figure, f"{title}: spread–skill ratio against lead time, for {_and(list(runs))}", caption)
        )
    caption = "The forecast as a distribution: means over seeds, or members of several seeds together"
    return table_html(_of_one_case(calibration_table(results, ensembles)), caption) + _figures(figures)


def _spectra(title: str, results: list[Result]) -> str:
    runs = _shown(results, "spectra")
    if not runs:
        return _missing("spectra", _evaluate(results))
    label, spectrum = next((label, r["spectra"]) for label, r in runs.items())
    names = {"truth": "truth", "forecast": "forecast", "macro": "macroscale part"}
    power = {name: np.array(spectrum[key], float) for key, name in names.items() if key in spectrum}
    figure = plots_scores.spectra(np.array(spectrum["wavenumber"]), power)
    caption = (
        f"Power of one member of {label}, of its macroscale part, and of the truth; mean over frames and trajectories."
    )
    return figure_html(figure, f"{title}: power against wavenumber, for {_and(list(power))}", caption)


def _images(title: str, directory: str, images: dict[str, tuple[str, str]]) -> str:
    return "".join(
        image_html(os.path.join(directory, name), f"{title}: {description}", caption)
        for name, (description, caption) in images.items()
    )


def _simulation(title: str, case: str, results_dir: str, figures_dir: str) -> str:
    """How our simulation changes under refinement, of a case that is validated so."""
    path = os.path.join(results_dir, "validation", f"{case}.json")
    if not os.path.exists(path):
        return ""
    table = Table(["cells", "Strouhal number", "drag", "lift, root mean square", "largest divergence"], [])
    for run in load_json(path)["runs"]:
        common = run["common"]
        numbers = [f"{common[name]:.4f}" for name in ("strouhal", "drag", "lift_rms")]
        table.rows.append([" × ".join(map(str, run["cells"])), *numbers, f"{run['max_divergence']:.1e}"])
    pictures = _images(title, os.path.join(figures_dir, case), _SIMULATION_IMAGES)
    return table_html(table, "The simulation under refinement; the data are sampled from the second") + pictures


def _cost(results: list[Result], baselines: list[Result], benchmark: str) -> str:
    text = table_html(cost_table(results, baselines), "What each run took; of a baseline training is its fit")
    if not any("cost" in r for r in results):
        text += _missing("drift evaluations and memory", _evaluate(results))
    if os.path.exists(benchmark):
        found = load_json(benchmark)
        seconds = found["step_recipe"]["whole step in the loop"]["median_s"]
        text += (
            f"<p>On {found['processors']} processors with nothing beside it a training step with micro_dim "
            f"{found['micro_dim']} takes {1000 * seconds:.3g} ms, median of <code>python -m benchmarks</code>.</p>\n"
        )
    return text


def _shown(results: list[Result], key: str) -> dict[str, Result]:
    """Of the runs with the key those with the largest, smallest and middle micro_dim, the first seed of each."""
    first: dict[int, Result] = {}
    for r in results:
        if key in r:
            first.setdefault(r["micro_dim"], r)
    dims = sorted(first)
    chosen = dict.fromkeys((dims[-1], dims[0], dims[len(dims) // 2])) if dims else ()
    return {model_name(dim): first[dim] for dim in chosen}


def _curves(result: Result, score: str, lines: tuple[str, ...], t: np.ndarray) -> np.ndarray:
    """Lines of a score at the lead times `t`, `(line, time)`; NaN where there is none."""
    lead = result["lead_time"]
    values = np.array([lead[score][line] for line in lines], float)
    own = np.array(lead["t"])
    return values if np.array_equal(own, t) else np.stack([np.interp(t, own, line) for line in values])


def _of_one_case(table: Table) -> Table:
    """The table without the name of the case where that is the same in all rows."""
    return table.without("case") if len({row[0] for row in table.rows}) == 1 else table


def _figures(figures: list[str]) -> str:
    return f'<div class="figures">\n{"".join(figures)}</div>\n'


def _missing(what: str, command: str) -> str:
    return f'<p class="missing">These result files hold no {what}: <code>{escape(command)}</code> adds them.</p>\n'


def _evaluate(results: list[Result]) -> str:
    """The command that scores a run anew."""
    r = results[-1]
    return f"python evaluate.py --workdir=runs/{r['case']}_d{r['micro_dim']}_s{r['seed']}"


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
