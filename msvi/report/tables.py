"""The tables of README and report as data, each built in one place from result files.

A score that a result file lacks, being older than the score, is `MISSING`; one that is not finite is `DIVERGED`.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from msvi.report.wording import (
    BASELINE_LABELS,
    MISSING,
    Result,
    cell_of,
    computed_on,
    format_number,
    format_percent,
    format_ratio,
    format_short,
    gap_cell,
    in_cells,
    is_noisy,
    listed,
    microscale,
    model_name,
    pooled_cell,
    published_cell,
    run_name,
    score_cell,
    time_until,
    training_minutes,
    unformatted,
    worst_cell,
)
from msvi.report.wording import DIVERGED as DIVERGED

# Published errors by case and micro_dim (Ilersich & Nair): NRMSE of one seed on one test trajectory, and in a later
# version the relative L2 error on five, there also of other methods.
PUBLISHED = {
    "burgers_1d": {0: 0.105, 1: 0.024, 2: 0.021, 3: 0.028, 4: 0.028, 5: 0.011},
    "kdv_1d": {0: 0.317, 1: 0.139, 2: 0.057, 3: 0.064, 4: 0.132, 5: 0.058},
    "burgers_2d": {0: 0.127, 1: 0.044, 2: 1.005, 3: 0.011, 4: 0.022, 5: 0.013},
    "cylinder_2d": {0: 0.124, 1: 0.073, 2: 0.063, 3: 0.054, 4: 0.052, 5: 0.049},
}
PUBLISHED_REL_L2: dict[str, dict[str | int, float]] = {
    "kdv_1d": {"coarse": 0.523, "dmd": 0.163, "sindy": 0.057}
    | {0: 0.324, 1: 0.197, 2: 0.077, 3: 0.059, 4: 0.062, 5: 0.042},
    "burgers_2d": {"coarse": 0.560, "dmd": 0.097, "sindy": 0.057}
    | {0: 0.141, 1: 0.108, 2: 0.035, 3: 0.037, 4: 0.047, 5: 0.028},
    "cylinder_2d": {"coarse": 0.130, "dmd": 0.016, "sindy": 0.051} | {0: 0.063, 1: 0.038, 2: 0.015, 3: 0.011, 5: 0.009},
    "wave_1d": {"coarse": 1.381, "dmd": 0.492, "sindy": 0.469}
    | {0: 0.565, 1: 0.517, 2: 0.210, 3: 0.105, 4: 0.089, 5: 0.079},
    "shallow_water_2d": {"coarse": 0.861, "dmd": 0.531, "sindy": 0.535}
    | {0: 0.426, 1: 0.543, 2: 0.202, 3: 0.190, 4: 0.163, 5: 0.152},
}
# Trajectories that an error of each version is of.
PUBLISHED_TRAJECTORIES, LATER_TRAJECTORIES = 1, 5
# What a table adds to a case's name, and to that of the part which the paper scores.
NOTES = {"cylinder_2d": " (our simulation)"}
PUBLISHED_PARTS = {"cylinder_2d": "from t = 14.01", "wave_1d": "to t = 0.2"}


# Microscale latents where few models stand for all: of the domain, and of a cell.
LATENTS, LATENTS_PER_CELL = 5, 2


def case_name(case: str) -> str:
    """What tables call a case."""
    return case + NOTES.get(case, "")


class Table(NamedTuple):
    """Cells as text; the column called `strong` stands out."""

    columns: list[str]
    rows: list[list[str]]
    strong: str = ""

    def without(self, *columns: str) -> "Table":
        """The same table less some columns."""
        keep = [i for i, name in enumerate(self.columns) if name not in columns]
        return Table([self.columns[i] for i in keep], [[row[i] for i in keep] for row in self.rows], self.strong)


def markdown(table: Table) -> str:
    """The table as the README holds it."""
    strong = ["**{}**" if name == table.strong else "{}" for name in table.columns]
    lines = ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    for row in table.rows:
        lines.append("| " + " | ".join(style.format(cell) for style, cell in zip(strong, row, strict=True)) + " |")
    return "\n".join(lines)


def summary_table(results: list[Result]) -> Table:
    """Rows of each case: our errors by micro_dim, means over the seeds of the median, against the truth where the data
    have noise and against the data, and those that were published of it."""
    dims = sorted({r["micro_dim"] for r in results} | {dim for r in results for dim in PUBLISHED.get(r["case"], {})})
    table = Table(["case", "NRMSE", "trajectories", "noise floor", *(f"micro_dim {dim}" for dim in dims)], [])
    for case in sorted({r["case"] for r in results}):
        chosen, name = [r for r in results if r["case"] == case], case_name(case)
        measured = {"ours, against truth": "nrmse_clean"} if is_noisy(chosen) else {}
        for whose, score in (measured | {"ours": "nrmse"}).items():
            floor = score_cell(chosen, "noise_floor", "median") if score == "nrmse" else MISSING
            ours = [score_cell(_select(results, case, dim), score, "median") for dim in dims]
            table.rows.append([name, whose, count_cell(chosen), floor, *ours])
        if case in PUBLISHED:
            theirs = [published_cell(PUBLISHED[case].get(dim), MISSING) for dim in dims]
            table.rows.append([name, "published", str(PUBLISHED_TRAJECTORIES), MISSING, *theirs])
    return table


def count_cell(results: list[Result], score: str = "nrmse") -> str:
    """How many test trajectories an error is of."""
    return listed(str(len(r["test"][score]["per_trajectory"])) for r in results if score in r["test"]) or MISSING


def results_table(results: list[Result]) -> Table:
    """A row per case and micro_dim: errors over the test trajectories, their parts, the published value, and the cost.

    Of several seeds the medians stand side by side and the largest error is that of all; the rest are means. Where the
    paper's test trajectory is none of ours, it has a row of its own. The error against the truth stands out where the
    truth is known.
    """
    columns = ["case", "micro_dim", "seeds", "steps", "training", "against truth", "NRMSE median", "mean ± sd", "worst"]
    columns += ["reconstruction", "noise floor", "published"]
    known = any("nrmse_clean" in r["test"] for r in results)
    table = Table(columns, [], strong="against truth" if known else "NRMSE median")
    for case, dim in sorted({(r["case"], r["micro_dim"]) for r in results}):
        runs = _select(results, case, dim)
        name, published = case_name(case), published_cell(PUBLISHED.get(case, {}).get(dim))
        rows = [(name, runs, published)]
        of_the_paper = _of_the_paper(runs)
        if of_the_paper:  # the number of the paper belongs to this one
            rows = [(name, runs, ""), (f"{name}, {PUBLISHED_PARTS[case]}", of_the_paper, published)]
        for name, chosen, published in rows:
            errors = [r["test"]["nrmse"] for r in chosen]
            mean, std = (score_cell(chosen, "nrmse", statistic) for statistic in ("mean", "std"))
            cells = [name, str(dim), listed(str(r["seed"]) for r in chosen)]
            cells += [listed(f"{r['steps']:,}" for r in chosen)]
            cells += [training_minutes(chosen)]
            against_truth = [r["test"]["nrmse_clean"] for r in chosen if "nrmse_clean" in r["test"]]
            for scores in (against_truth, errors):
                cells += [" / ".join(format_number(score["median"]) for score in scores) or MISSING]
            cells += [f"{mean} ± {std}", worst_cell(errors)]
            cells += [score_cell(chosen, part, "median") for part in ("reconstruction_nrmse", "noise_floor")]
            table.rows.append([*cells, published])
    return table


def data_files_table(results: list[Result]) -> Table:
    """A row per data file and micro_dim: how much was learned from, and the errors of each seed and in the median."""
    columns = ["data file", "trajectories", "micro_dim", "seeds", "steps", "NRMSE median", "reconstruction"]
    table = Table([*columns, "90 % coverage"], [], strong="NRMSE median")
    files: dict[tuple[str, str], list[Result]] = {}
    for r in results:
        files.setdefault((os.path.basename(r["config"]["data"]["path"]), microscale(r)), []).append(r)
    for (name, dim), chosen in sorted(files.items()):
        table.rows.append(
            [
                name,
                listed(f"{r['data']['train']} + {r['data']['val']}, test {r['data']['test']}" for r in chosen),
                dim,
                listed(str(r["seed"]) for r in chosen),
                listed(f"{r['steps']:,}" for r in chosen),
                " / ".join(format_number(r["test"]["nrmse"]["median"]) for r in chosen),
                score_cell(chosen, "reconstruction_nrmse", "median"),
                score_cell(chosen, "coverage_90", "mean", format_percent),
            ]
        )
    return table


def quick_baselines_table(results: list[Result]) -> Table:
    """A row per score of what anyone would try first on own data, and of each of our models beside it: medians.

    The baselines are those that the evaluations of the runs carry; their columns and rows are left out where none does.
    """
    labels = {"crps_scaled": "CRPS over deviation", "anomaly_nrmse": "anomaly error", "crps": "CRPS", "nrmse": "NRMSE"}
    carried = [item for r in results for item in r.get("baselines", {}).items()]
    found = {name: scores for name, scores in carried if "left_out" not in scores}
    models = by_model(results, [])
    table = Table(["score, median", *(BASELINE_LABELS[name] for name in found), *(name for name, _ in models)], [])
    for key, label in labels.items():
        if any(key in scores for scores in found.values()):
            others = [format_short(scores[key]) if key in scores else MISSING for scores in found.values()]
            table.rows.append([label, *others, *(score_cell(runs, key, "median", format_short) for _, runs in models)])
    return table


def baselines_table(results: list[Result], baselines: list[Result]) -> Table:
    """A row per case and score: the baselines, the closure without microscale latents, and our largest micro_dim.

    Ours are means over the seeds. The error against the truth has a row where the data have noise. A row that no file
    has a number for is left out. Where the paper scores other trajectories or times there is a row for these. The last
    column names the model with the lowest number.
    """
    dims = sorted({0, *(r["micro_dim"] for r in results)})
    models = [*BASELINE_LABELS, *dict.fromkeys((dims[0], dims[-1]))]
    scores = (
        ("against truth, median", "nrmse_clean", "median", format_number),
        ("NRMSE, median", "nrmse", "median", format_number),
        ("rel. L2, mean", "rel_l2", "mean", format_number),
        ("CRPS, mean", "crps", "mean", format_short),
    )
    names = [model_name(model) for model in models]
    table = Table(["case", "score", *names, "lowest"], [])
    for case in sorted({r["case"] for r in results + baselines}):
        found = [[b for b in baselines if (b["case"], b["baseline"]) == (case, name)] for name in BASELINE_LABELS]
        found += [_select(results, case, dim) for dim in models[len(BASELINE_LABELS) :]]
        noisy = is_noisy(r for some in found for r in some)
        rows = [(found, *score) for score in scores if noisy or score[1] != "nrmse_clean"]
        if case in PUBLISHED_PARTS:
            of_part = [_of_the_paper(some) for some in found]
            rows.append((of_part, f"rel. L2, mean, {PUBLISHED_PARTS[case]}", "rel_l2", "mean", format_number))
        for chosen, label, score, statistic, show in rows:
            cells = [score_cell(some, score, statistic, show) for some in chosen]
            if set(cells) != {MISSING}:
                values = [score_cell(some, score, statistic, unformatted) for some in chosen]
                table.rows.append([case_name(case), label, *cells, _lowest(names, values)])
        if case in PUBLISHED_REL_L2:
            numbers = [PUBLISHED_REL_L2[case].get(model) for model in models]
            cells = [published_cell(number, MISSING) for number in numbers]
            table.rows.append([case_name(case), "rel. L2, published", *cells, _lowest(names, numbers)])
    return table


def _of_the_paper(results: list[Result]) -> list[Result]:
    """Of the results whose paper scores other trajectories or times than we do, with these in place of ours."""
    return [as_published(r) for r in results if "published_test" in r]


def as_published(r: Result) -> Result:
    """The result with what the paper scores as its test, where that is something else."""
    return r | {"test": r.get("published_test", r["test"])}


def _lowest(names: list[str], values: list[Any]) -> str:
    """The name beside the lowest number; what is no number is none of them."""
    known = [(value, name) for name, value in zip(names, values, strict=True) if isinstance(value, int | float)]
    return min(known)[1] if known else MISSING


def calibration_table(results: list[Result], ensembles: list[Result], baselines: Sequence[Result] = ()) -> Table:
    """A row per case and micro_dim: how good the forecasts are as distributions; means over the seeds.

    Ensembles of runs, whose members come from several seeds, have rows of their own, and so have baselines that are
    ensembles.
    """
    columns = ["case", "micro_dim", "CRPS", "energy score", "spread-skill median", "pooled", "pooled, unscaled"]
    table = Table(
        [
            *columns,
            "pooled, against truth",
            "90 % coverage",
            "largest gap of quantiles",
            "macroscale variance",
            "rel. L2 above 0.1 after",
        ],
        [],
    )
    rows: dict[tuple, list[Result]] = {}
    for r in results:
        if "calibration" in r:
            rows.setdefault((r["case"], in_cells(r), r["micro_dim"], ""), []).append(r)
    for r in ensembles:
        rows[r["case"], in_cells(r), r["micro_dim"], f", seeds {listed(map(str, r['seeds']), ' + ')}"] = [r]
    named = [(case, microscale(runs[0]) + together, runs) for (case, _, _, together), runs in sorted(rows.items())]
    named += [(b["case"], model_name(b["baseline"]), [b]) for b in baselines if "calibration" in b]
    for case, name, runs in sorted(named, key=lambda row: row[0]):
        cells = [case_name(case), name]
        cells += [score_cell(runs, score, "mean", format_short) for score in ("crps", "energy_score")]
        cells += [score_cell(runs, "spread_skill", "median", format_ratio)]
        unscaled = [r["bound_dispersion"] for r in runs if "bound_dispersion" in r]
        cells += [pooled_cell(runs, "spread_skill", format_ratio), pooled_cell(unscaled, "spread_skill", format_ratio)]
        cells += [pooled_cell(runs, "spread_skill_clean", format_ratio)]
        cells += [pooled_cell(runs, "coverage_90", format_percent), gap_cell(runs)]
        cells += [score_cell(runs, "macro_share", "mean", format_percent), time_until(runs, "0.1")]
        table.rows.append(cells)
    return table


def horizon_table(results: list[Result], baselines: list[Result]) -> Table:
    """A row per model of one case: median lead time until the relative L2 error first exceeds each threshold."""
    thresholds = dict.fromkeys(threshold for r in results + baselines for threshold in r.get("horizon", {}))
    table = Table(["model", *(f"above {threshold}" for threshold in thresholds)], [])
    for name, chosen in by_model(results, baselines):
        if any("horizon" in r for r in chosen):
            table.rows.append([name, *(time_until(chosen, threshold) for threshold in thresholds)])
    return table


def cost_table(results: list[Result], baselines: list[Result]) -> Table:
    """A row per run of one case: device, parameters, training and forecast in seconds, drift evaluations, memory."""
    columns = ["model", "seed", "device", "parameters", "steps", "training", "drift evaluations, training"]
    columns += ["drift evaluations, forecast", "forecast", "memory, training", "memory, evaluation"]
    table = Table(columns, [])
    for name, chosen in by_model(results, baselines):
        for r in chosen:
            cost = r.get("cost", {})
            table.rows.append(
                [
                    name,
                    str(r.get("seed", "")),
                    computed_on(r),
                    cell_of(cost.get("num_parameters"), "{:,}"),
                    cell_of(r.get("steps"), "{:,}"),
                    cell_of(r.get("train_seconds", r.get("fit_seconds")), "{:,.1f} s"),
                    cell_of(cost.get("train_drift_evaluations"), "{:,}"),
                    cell_of(cost.get("forecast_drift_evaluations"), "{:,}"),
                    cell_of(cost.get("forecast_seconds"), "{:.3g} s"),
                    cell_of(cost.get("train_peak_memory_gib"), "{:.2f} GiB"),
                    cell_of(cost.get("peak_memory_gib"), "{:.2f} GiB"),
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


def _rounded(values: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, f"{value:.3g}" if isinstance(value, float) else value) for name, value in values.items())


def _select(results: list[Result], case: str, micro_dim: int) -> list[Result]:
    return [r for r in results if (r["case"], r["micro_dim"]) == (case, micro_dim)]


def by_model(results: list[Result], baselines: list[Result]) -> list[tuple[str, list[Result]]]:
    """Results of one case with the name of their model: baselines, then by layout and micro_dim."""
    models = [(model_name(b["baseline"]), [b]) for b in baselines]
    found: dict[str, list[Result]] = {}
    for r in sorted(results, key=lambda r: (in_cells(r), r["micro_dim"])):
        found.setdefault(run_name(r), []).append(r)
    return [*models, *found.items()]
