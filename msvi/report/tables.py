"""The tables of README and report as data, each built in one place from result files.

A score that a result file lacks, being older than the score, is `MISSING`; one that is not finite is `DIVERGED`.
"""

import math
import os
import statistics
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Result = dict[str, Any]

# Published errors by case and micro_dim (Ilersich & Nair): NRMSE of one seed on one test trajectory, and in a later
# version the relative L2 error on five, there also of other methods.
PUBLISHED = {
    "burgers_1d": {0: 0.105, 1: 0.024, 2: 0.021, 3: 0.028, 4: 0.028, 5: 0.011},
    "kdv_1d": {0: 0.317, 1: 0.139, 2: 0.057, 3: 0.064, 4: 0.132, 5: 0.058},
    "burgers_2d": {0: 0.127, 1: 0.044, 2: 1.005, 3: 0.011, 4: 0.022, 5: 0.013},
    "cylinder_2d": {0: 0.124, 1: 0.073, 2: 0.063, 3: 0.054, 4: 0.052, 5: 0.049},
}
PUBLISHED_REL_L2 = {
    "kdv_1d": {"coarse": 0.523, "dmd": 0.163, "sindy": 0.057, 0: 0.324, 5: 0.042},
    "burgers_2d": {"coarse": 0.560, "dmd": 0.097, "sindy": 0.057, 0: 0.141, 5: 0.028},
    "cylinder_2d": {"coarse": 0.130, "dmd": 0.016, "sindy": 0.051, 0: 0.063, 5: 0.009},
}
# Baselines by the name in their result file, and what tables and figures call them.
BASELINE_LABELS = {
    "persistence": "persistence",
    "mean": "training mean",
    "coarse": "coarse simulation",
    "dmd": "DMD",
    "sindy": "POD-SINDy",
}

MISSING, DIVERGED = "—", "diverged"  # cells that hold no number
# What a table adds to a case's name.
_NOTES = {"cylinder_2d": " (our simulation)"}


class Table(NamedTuple):
    """Cells as text; the column called `strong` stands out."""

    columns: list[str]
    rows: list[list[str]]
    strong: str = ""

    def without(self, column: str) -> "Table":
        """The same table less one column."""
        keep = [i for i, name in enumerate(self.columns) if name != column]
        return Table([self.columns[i] for i in keep], [[row[i] for i in keep] for row in self.rows], self.strong)


def markdown(table: Table) -> str:
    """The table as the README holds it."""
    strong = ["**{}**" if name == table.strong else "{}" for name in table.columns]
    lines = ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    for row in table.rows:
        lines.append("| " + " | ".join(style.format(cell) for style, cell in zip(strong, row, strict=True)) + " |")
    return "\n".join(lines)


def summary_table(results: list[Result]) -> Table:
    """Two rows per case: our errors by micro_dim, means over the seeds of the median, and the published ones."""
    dims = sorted({r["micro_dim"] for r in results} | {dim for r in results for dim in PUBLISHED.get(r["case"], {})})
    table = Table(["case", "NRMSE", *(f"micro_dim {dim}" for dim in dims)], [])
    for case in sorted({r["case"] for r in results}):
        published = PUBLISHED.get(case, {})
        ours = [_score(_select(results, case, dim), "nrmse", "median") for dim in dims]
        name = case + _NOTES.get(case, "")
        table.rows.append([name, "ours", *ours])
        table.rows.append([name, "published", *(_published(published.get(dim), MISSING) for dim in dims)])
    return table


def results_table(results: list[Result]) -> Table:
    """A row per case and micro_dim: NRMSE over the test trajectories, its parts, the published value, and the cost.

    Of several seeds the medians stand side by side and the largest error is that of all; the rest are means. Where the
    paper's test trajectory is none of ours, it has a row of its own.
    """
    columns = ["case", "micro_dim", "seeds", "steps", "training", "NRMSE median", "mean ± sd", "worst"]
    columns += ["against truth", "reconstruction", "noise floor", "published"]
    table = Table(columns, [], strong="NRMSE median")
    for case, dim in sorted({(r["case"], r["micro_dim"]) for r in results}):
        runs = _select(results, case, dim)
        name, published = case + _NOTES.get(case, ""), _published(PUBLISHED.get(case, {}).get(dim))
        rows = [(name, runs, published)]
        of_the_paper = [r | {"test": r["published_test"]} for r in runs if "published_test" in r]
        if of_the_paper:  # the number of the paper belongs to this one
            rows = [(name, runs, ""), (f"{name}, from t = 14.01", of_the_paper, published)]
        for name, chosen, published in rows:
            errors = [r["test"]["nrmse"] for r in chosen]
            largest = [worst(error) for error in errors]
            mean, std = (_score(chosen, "nrmse", statistic) for statistic in ("mean", "std"))
            cells = [name, str(dim), _listed(str(r["seed"]) for r in chosen)]
            cells += [_listed(f"{r['steps']:,}" for r in chosen)]
            cells += [_listed(f"{r['train_seconds'] / 60:.1f}" for r in chosen) + " min"]
            cells += [" / ".join(format_number(error["median"]) for error in errors)]
            cells += [f"{mean} ± {std}", format_number(None if None in largest else max(largest))]
            cells += [_score(chosen, part, "median") for part in ("nrmse_clean", "reconstruction_nrmse", "noise_floor")]
            table.rows.append([*cells, published])
    return table


def data_files_table(results: list[Result]) -> Table:
    """A row per data file and micro_dim: how much was learned from, and the errors of each seed and in the median."""
    columns = ["data file", "trajectories", "micro_dim", "seeds", "steps", "NRMSE median", "reconstruction"]
    table = Table([*columns, "90 % coverage"], [], strong="NRMSE median")
    files: dict[tuple[str, str], list[Result]] = {}
    for r in results:
        dim = str(r["micro_dim"]) + (" per cell" if r.get("micro_layout") == "cells" else "")
        files.setdefault((os.path.basename(r["config"]["data"]["path"]), dim), []).append(r)
    for (name, dim), chosen in sorted(files.items()):
        table.rows.append(
            [
                name,
                _listed(f"{r['data']['train']} + {r['data']['val']}, test {r['data']['test']}" for r in chosen),
                dim,
                _listed(str(r["seed"]) for r in chosen),
                _listed(f"{r['steps']:,}" for r in chosen),
                " / ".join(format_number(r["test"]["nrmse"]["median"]) for r in chosen),
                _score(chosen, "reconstruction_nrmse", "median"),
                _score(chosen, "coverage_90", "mean", format_percent),
            ]
        )
    return table


def baselines_table(results: list[Result], baselines: list[Result]) -> Table:
    """A row per case and score: the baselines, the closure without microscale latents, and our largest micro_dim.

    Ours are means over the seeds. A row that no file has a number for is left out.
    """
    dims = sorted({0, *(r["micro_dim"] for r in results)})
    models = [*BASELINE_LABELS, *dict.fromkeys((dims[0], dims[-1]))]
    scores = (
        ("NRMSE, median", "nrmse", "median", format_number),
        ("rel. L2, mean", "rel_l2", "mean", format_number),
        ("CRPS, mean", "crps", "mean", format_short),
    )
    table = Table(["case", "score", *map(model_name, models)], [])
    for case in sorted({r["case"] for r in results + baselines}):
        found = [[b for b in baselines if (b["case"], b["baseline"]) == (case, name)] for name in BASELINE_LABELS]
        found += [_select(results, case, dim) for dim in models[len(BASELINE_LABELS) :]]
        for label, score, statistic, show in scores:
            cells = [_score(chosen, score, statistic, show) for chosen in found]
            if set(cells) != {MISSING}:
                table.rows.append([case + _NOTES.get(case, ""), label, *cells])
        if case in PUBLISHED_REL_L2:
            numbers = [_published(PUBLISHED_REL_L2[case].get(model), MISSING) for model in models]
            table.rows.append([case + _NOTES.get(case, ""), "rel. L2, published", *numbers])
    return table


def calibration_table(results: list[Result], ensembles: list[Result]) -> Table:
    """A row per case and micro_dim: how good the forecasts are as distributions; means over the seeds.

    Ensembles of runs, whose members come from several seeds, have rows of their own.
    """
    columns = ["case", "micro_dim", "CRPS", "energy score", "spread-skill median", "pooled", "pooled, against truth"]
    table = Table([*columns, "90 % coverage", "macroscale variance", "rel. L2 above 0.1 after"], [])
    rows: dict[tuple, list[Result]] = {}
    for r in results:
        if "calibration" in r:
            rows.setdefault((r["case"], r["micro_dim"], ""), []).append(r)
    for r in ensembles:
        rows[r["case"], r["micro_dim"], f", seeds {_listed(map(str, r['seeds']), ' + ')}"] = [r]
    for (case, dim, together), runs in sorted(rows.items(), key=lambda row: row[0]):
        cells = [case + _NOTES.get(case, ""), f"{dim}{together}"]
        cells += [_score(runs, score, "mean", format_short) for score in ("crps", "energy_score")]
        cells += [_score(runs, "spread_skill", "median", format_ratio)]
        cells += [_pooled(runs, name, format_ratio) for name in ("spread_skill", "spread_skill_clean")]
        cells += [_pooled(runs, "coverage_90", format_percent)]
        cells += [_score(runs, "macro_share", "mean", format_percent), time_until(runs, "0.1")]
        table.rows.append(cells)
    return table


def horizon_table(results: list[Result], baselines: list[Result]) -> Table:
    """A row per model of one case: median lead time until the relative L2 error first exceeds each threshold."""
    thresholds = dict.fromkeys(threshold for r in results + baselines for threshold in r.get("horizon", {}))
    table = Table(["model", *(f"above {threshold}" for threshold in thresholds)], [])
    for name, chosen in _by_model(results, baselines):
        if any("horizon" in r for r in chosen):
            table.rows.append([name, *(time_until(chosen, threshold) for threshold in thresholds)])
    return table


def cost_table(results: list[Result], baselines: list[Result]) -> Table:
    """A row per run of one case: parameters, training and forecast in seconds, drift evaluations, and memory."""
    columns = ["model", "seed", "parameters", "steps", "training", "drift evaluations, training"]
    columns += ["drift evaluations, forecast", "forecast", "memory, training", "memory, evaluation"]
    table = Table(columns, [])
    for name, chosen in _by_model(results, baselines):
        for r in chosen:
            cost = r.get("cost", {})
            table.rows.append(
                [
                    name,
                    str(r.get("seed", "")),
                    _unless_missing(cost.get("num_parameters"), "{:,}"),
                    _unless_missing(r.get("steps"), "{:,}"),
                    _unless_missing(r.get("train_seconds", r.get("fit_seconds")), "{:,.1f} s"),
                    _unless_missing(cost.get("train_drift_evaluations"), "{:,}"),
                    _unless_missing(cost.get("forecast_drift_evaluations"), "{:,}"),
                    _unless_missing(cost.get("forecast_seconds"), "{:.3g} s"),
                    _unless_missing(cost.get("train_peak_memory_gib"), "{:.2f} GiB"),
                    _unless_missing(cost.get("peak_memory_gib"), "{:.2f} GiB"),
                ]
            )
    return table


def settings_table(baselines: list[Result]) -> Table:
    """A row per baseline of one case: what was chosen for it, and from how many candidates."""
    table = Table(["model", "settings", "candidates"], [])
    for b in baselines:
        settings = b.get("settings", {})
        chosen = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in _rounded(settings.get("chosen", {})))
        table.rows.append([model_name(b["baseline"]), chosen or "none", str(len(settings.get("candidates", [])) or "")])
    return table


def time_until(results: list[Result], threshold: str) -> str:
    """Median lead time until the relative L2 error first exceeds the threshold, trajectories of all results pooled.

    Those that never exceed it count as later than the forecast is long: "> 1 (14 of 16 never)".
    """
    found = [r for r in results if threshold in r.get("horizon", {})]
    times = [t for r in found for t in r["horizon"][threshold]["per_trajectory"]]
    if not times:
        return MISSING
    median = statistics.median(math.inf if t is None else t for t in times)
    last = max(r["lead_time"]["t"][-1] for r in found)
    text = f"> {last:.3g}" if math.isinf(median) else f"{median:.3g}"
    return f"{text} ({times.count(None)} of {len(times)} never)" if None in times else text


def model_name(model: str | int) -> str:
    """What tables and figures call a baseline, or our model with so many microscale latents."""
    if isinstance(model, str):
        return BASELINE_LABELS[model]
    return "closure (micro_dim 0)" if model == 0 else f"micro_dim {model}"


def worst(score: dict[str, Any]) -> float | None:
    """Largest error of the trajectories; None if one diverged."""
    return None if None in score["per_trajectory"] else max(score["per_trajectory"])


def format_number(value: float | None) -> str:
    """A relative error as the tables show it."""
    if value is None:
        return DIVERGED
    return f"{value:.1e}" if 0 < value < 5e-5 else f"{value:.4f}"


def format_short(value: float | None) -> str:
    """A score in units of the field, of which only the leading figures matter."""
    return DIVERGED if value is None else f"{value:#.3g}"


def format_ratio(value: float | None) -> str:
    """A ratio whose aim is 1."""
    return DIVERGED if value is None else f"{value:.2f}"


def format_percent(value: float | None) -> str:
    """A share."""
    return DIVERGED if value is None else f"{100 * value:.1f} %"


def _rounded(values: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, f"{value:.3g}" if isinstance(value, float) else value) for name, value in values.items())


def _select(results: list[Result], case: str, micro_dim: int) -> list[Result]:
    return [r for r in results if (r["case"], r["micro_dim"]) == (case, micro_dim)]


def _by_model(results: list[Result], baselines: list[Result]) -> list[tuple[str, list[Result]]]:
    """Results of one case with the name of their model, baselines first, then by micro_dim."""
    models = [(model_name(b["baseline"]), [b]) for b in baselines]
    for dim in sorted({r["micro_dim"] for r in results}):
        models.append((model_name(dim), [r for r in results if r["micro_dim"] == dim]))
    return models


def _score(results: list[Result], score: str, statistic: str, show: Callable = format_number) -> str:
    """A statistic of a test score, its mean over the results for which it is defined."""
    found = [(r["test"][score][statistic], r.get("diverged")) for r in results if score in r["test"]]
    return _average([value for value, diverged in found if value is not None or diverged != 0], show)


def _pooled(results: list[Result], name: str, show: Callable) -> str:
    """A number of the calibration over all points and trajectories, its mean over the results."""
    return _average([r["calibration"][name] for r in results if name in r["calibration"]], show)


def _average(values: list[float | None], show: Callable) -> str:
    return show(None if None in values else statistics.fmean(values)) if values else MISSING


def _published(value: float | None, missing: str = "") -> str:
    return missing if value is None else f"{value:.3f}"


def _unless_missing(value: float | None, text: str) -> str:
    return "" if value is None else text.format(value)


def _listed(values: Iterable[str], separator: str = " / ") -> str:
    """The values side by side, or one if they are all the same."""
    return separator.join(dict.fromkeys(values))
