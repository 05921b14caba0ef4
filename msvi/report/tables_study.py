"""Tables of the whole study: what was aimed at, both versions of the paper, and what generalises."""

import glob
import itertools
import os
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from msvi.report.plots_scores import RIGHT_SPREAD
from msvi.report.results import load_json
from msvi.report.tables import (
    LATENTS,
    LATER_TRAJECTORIES,
    PUBLISHED_PARTS,
    PUBLISHED_REL_L2,
    Result,
    Table,
    as_published,
    case_name,
    count_cell,
    format_number,
    published_cell,
)
from msvi.report.wording import (
    MISSING,
    average,
    computed_on,
    devices_of,
    format_percent,
    format_ratio,
    format_short,
    gap_cell,
    in_cells,
    listed,
    microscale,
    pooled_cell,
    score_cell,
    unformatted,
    worst_cell,
)
from msvi.scores.scores import summarize

# A seed is far off where its error is so many times that of the median seed.
_FAR = 1.5


class Bar(NamedTuple):
    """What one case was to reach: a statistic of a score in the mean over the seeds, and what is aimed at beyond."""

    case: str
    micro_dim: int
    score: str
    statistic: str
    bar: float
    aim: float | None = None
    of: str = "test"

    @property
    def name(self) -> str:
        """What tables call the error."""
        return f"{_SCORES[self.score]}, {self.statistic}"

    @property
    def part(self) -> str:
        """What tables add to the name of the case or of the error where it is of what the paper scores."""
        return f", {PUBLISHED_PARTS[self.case]}" if self.of == "published_test" else ""

    def errors(self, runs: list[Result]) -> list[float | None]:
        """The error of each run that has it."""
        return [r[self.of][self.score][self.statistic] for r in runs if self.score in r.get(self.of, ())]


BARS = (
    Bar("burgers_1d", 5, "nrmse_clean", "median", 0.006, 0.004),
    Bar("kdv_1d", 5, "nrmse_clean", "median", 0.018, 0.012),
    Bar("burgers_2d", 5, "nrmse_clean", "median", 0.005, 0.003),
    Bar("cylinder_2d", 0, "rel_l2", "mean", 0.063),
    Bar("cylinder_2d", 1, "rel_l2", "mean", 0.038),
    Bar("cylinder_2d", 2, "rel_l2", "mean", 0.015),
    Bar("cylinder_2d", 5, "rel_l2", "mean", 0.009, 0.005),
    Bar("wave_1d", 5, "rel_l2", "mean", 0.079, 0.03, "published_test"),
    Bar("shallow_water_2d", 5, "rel_l2", "mean", 0.152, 0.1),
)
# What a forecast that is right as a distribution has, of each seed in the mean: its spread over its error, in the
# median and pooled, and the coverage of its central 90 %.
_RIGHT = {"median": RIGHT_SPREAD, "pooled": RIGHT_SPREAD, "coverage": (0.85, 0.95)}
_SCORES = {"nrmse_clean": "against truth", "rel_l2": "rel. L2", "nrmse": "NRMSE"}


def rel_l2_table(results: list[Result], splits: Sequence[Result] = (), cells: Sequence[Result] = ()) -> Table:
    """Rows of each case: our mean relative L2 error by micro_dim, a mean over the seeds, and that of the later paper.

    Where the paper scores other trajectories or times than we do, ours are of these.

    Args:
      splits: runs with as many trajectories as the paper has, in a row of their own.
      cells: runs with latents in every coarse cell, in a row of their own.
    """
    dims = sorted({r["micro_dim"] for r in results} | {d for row in PUBLISHED_REL_L2.values() for d in _dims(row)})
    table = Table(["case", "rel. L2, mean", "trajectories", "noise floor", *(f"micro_dim {dim}" for dim in dims)], [])
    ours = {"ours": results, "ours, in cells": cells, "ours, {train} / {val} / {test} trajectories": splits}
    for case in sorted({r["case"] for r in results} & PUBLISHED_REL_L2.keys()):
        part = f", {PUBLISHED_PARTS[case]}" if any("published_test" in r for r in results if r["case"] == case) else ""
        name = case_name(case) + part
        for whose, runs in ours.items():
            chosen = [as_published(r) for r in runs if r["case"] == case]
            if chosen:
                label = whose.format(**chosen[0].get("data", {}))
                table.rows.append([name, label, *_of_rel_l2(chosen, dims)])
        theirs = [published_cell(PUBLISHED_REL_L2[case].get(dim), MISSING) for dim in dims]
        table.rows.append([name, "published", str(LATER_TRAJECTORIES), MISSING, *theirs])
    return table


def _of_rel_l2(runs: list[Result], dims: list[int]) -> list[str]:
    """Numbers of trajectories, noise floor and the error by micro_dim."""
    by_dim = [[r for r in runs if r["micro_dim"] == dim] for dim in dims]
    floor = score_cell(runs, "noise_floor", "mean")
    return [count_cell(runs, "rel_l2"), floor, *(score_cell(of_dim, "rel_l2", "mean") for of_dim in by_dim)]


def bars_table(results: list[Result]) -> Table:
    """A row per bar: what each seed reached, in the mean too, and whether that meets it."""
    columns = ["case", "micro_dim", "error", "seeds", "mean", "bar", "aim", "met", "worst seed over median"]
    table = Table(columns, [], strong="mean")
    for bar in BARS:
        values = bar.errors([r for r in results if (r["case"], r["micro_dim"]) == (bar.case, bar.micro_dim)])
        mean: Any = average(values, unformatted)
        far = _far_off(values)
        cells = [case_name(bar.case) + bar.part, str(bar.micro_dim)]
        cells += [bar.name, " / ".join(map(format_number, values)) or MISSING]
        cells += [average(values, format_number), f"{bar.bar:g}", MISSING if not bar.aim else f"{bar.aim:g}"]
        cells += [MISSING if not values else "yes" if mean is not None and mean <= bar.bar else "no"]
        cells += [MISSING if far is None else format_ratio(far)]
        table.rows.append(cells)
    return table


def seeds_table(results: list[Result]) -> Table:
    """A row per case and microscale: the errors of the seeds and how far the worst is from the median one, of the error
    by which the case's bars go and of the median of the NRMSE."""
    columns = ["case", "micro_dim", "seeds", "error", "of each seed", "its worst over median"]
    table = Table([*columns, "NRMSE median", "worst seed over median", f"both within {_FAR}"], [])
    for key in sorted({_key(r) for r in results}):
        runs = [r for r in results if _key(r) == key]
        if len(runs) < 2:
            continue
        bar = next((bar for bar in BARS if bar.case == key[0]), None)
        errors, of_bar = [r["test"]["nrmse"]["median"] for r in runs], bar.errors(runs) if bar else []
        if len(of_bar) < len(runs):  # not told of every seed
            of_bar = []
        cells = [case_name(key[0]), microscale(runs[0]), str(len(runs))]
        cells += [bar.name + bar.part if bar and of_bar else MISSING]
        for values in (of_bar, errors):
            cells += [" / ".join(map(format_number, values)) or MISSING]
            cells += [format_ratio(_far_off(values)) if values else MISSING]
        ratios = [_far_off(values) for values in (of_bar, errors) if values]
        table.rows.append([*cells, "yes" if all(far is not None and far <= _FAR for far in ratios) else "no"])
    return table


def scaling_table(results: list[Result]) -> Table:
    """A row per case and microscale of which the bars are asked: how right the spread is with the factors of the
    validation and without them, and which bars it misses with them; means over the seeds.

    What is without has fewer frames.
    """
    columns = ["case", "micro_dim", "spread-skill median", "without", "pooled", "without", "90 % coverage", "without"]
    table = Table([*columns, "CRPS", "without", "largest gap of quantiles", "missed"], [])
    asked = [r for r in results if {"calibration", "bound_dispersion"} <= r.keys()]
    for key in sorted({_key(r) for r in asked if in_cells(r) or r["micro_dim"] == LATENTS}):
        runs = [r for r in asked if _key(r) == key]
        both = runs, [{"test": r["bound_dispersion"]} | r["bound_dispersion"] for r in runs]
        cells = [case_name(key[0]), microscale(runs[0])]
        cells += [score_cell(some, "spread_skill", "median", format_ratio) for some in both]
        cells += [pooled_cell(some, "spread_skill", format_ratio) for some in both]
        cells += [pooled_cell(some, "coverage_90", format_percent) for some in both]
        cells += [score_cell(some, "crps", "mean", format_short) for some in both]
        numbers = [score_cell(runs, "spread_skill", "median", unformatted)]
        numbers += [pooled_cell(runs, name, unformatted) for name in ("spread_skill", "coverage_90")]
        missed = [
            name
            for (name, (low, high)), value in zip(_RIGHT.items(), numbers, strict=True)
            if not isinstance(value, float) or not low <= value <= high
        ]
        table.rows.append([*cells, gap_cell(runs), ", ".join(missed) or "none"])
    return table


def range_table(results: list[Result]) -> Table:
    """A row per case and microscale with known initial draws: the median error against truth of the trajectories of
    both test sets inside the range of the training draws and outside of it, and of each set, means over the seeds; and
    the largest error of a trajectory of each set with any seed."""
    columns = ["case", "micro_dim", "inside", "of", "outside", "of", "second test set", "of", "first test set"]
    table = Table([*columns, "worst of second", "worst of first"], [])
    for key in sorted({_key(r) for r in results if "test_inside" in r}):
        runs = [r for r in results if _key(r) == key and "test_inside" in r]
        cells = [case_name(key[0]), microscale(runs[0])]
        for wanted in (True, False):
            each = [_errors_where(r, wanted) for r in runs]
            medians = [_median(errors) for errors in each if errors]
            cells += [average(medians, format_number), str(len(each[0]))]
        second = [r["second_test"]["nrmse_clean"] for r in runs if "second_test" in r]
        cells += [average([s["median"] for s in second], format_number)]
        cells += [str(len(second[0]["per_trajectory"])) if second else MISSING]
        cells += [score_cell(runs, "nrmse_clean", "median")]
        cells += [worst_cell(scores) for scores in (second, [r["test"]["nrmse_clean"] for r in runs])]
        table.rows.append(cells)
    return table


def published_code_table(directory: str, results: list[Result]) -> Table:
    """The published code trained on our data beside our variant `:published` and our recipe: errors of the same
    trajectories, a row per model, from `published_code/<case>.json` and `published/<case>/*.json` below a folder."""
    columns = ["case", "model", "runs", "steps", "NRMSE median", "mean", "worst", "against truth", "reconstruction"]
    table = Table(columns, [])
    for path in sorted(glob.glob(os.path.join(directory, "published_code", "*.json"))):
        case, code = os.path.splitext(os.path.basename(path))[0], load_json(path)
        theirs = {name: summarize(np.array(code[name])) for name in ("nrmse", "nrmse_clean", "reconstruction_nrmse")}
        steps = max(map(int, code["error_by_step"]))
        models = [("published code, our data", [{"test": theirs, "steps": steps}])]
        variant = [load_json(p) for p in sorted(glob.glob(os.path.join(directory, "published", case, "d*_s*.json")))]
        models.append(("our variant `:published`", [r for r in variant if r["micro_dim"] == code["micro_dim"]]))
        models.append(("our recipe", [r for r in results if (r["case"], r["micro_dim"]) == (case, code["micro_dim"])]))
        for name, runs in models:
            if runs:
                cells = [case, name, str(len(runs)), listed(f"{r['steps']:,}" for r in runs)]
                cells += [score_cell(runs, "nrmse", statistic) for statistic in ("median", "mean")]
                cells += [worst_cell(r["test"]["nrmse"] for r in runs)]
                cells += [score_cell(runs, score, "median") for score in ("nrmse_clean", "reconstruction_nrmse")]
                table.rows.append(cells)
    return table


def study_cost_table(results: list[Result], baselines: list[Result]) -> Table:
    """A row per case and device, and one of all: runs and baselines, and the hours that they took, as measured."""
    columns = ["case", "on", "runs", "training, h", "evaluation, h"]
    columns += ["baselines", "fit and evaluation, h", "together, h"]
    table, cases = Table(columns, [], strong="together, h"), sorted({r["case"] for r in results})
    baselines = [r for r in baselines if r["case"] in cases]
    for case, device in itertools.product([*cases, ""], devices_of(results + baselines)):
        runs, fitted = (
            [r for r in some if case in ("", r["case"]) and computed_on(r) == device] for some in (results, baselines)
        )
        if not runs + fitted:
            continue
        seconds = [sum(r["train_seconds"] for r in runs)]
        # Earlier versions did not record the latter.
        seconds += [sum(r.get("evaluate_seconds", 0.0) for r in some) for some in (runs, fitted)]
        hours = [f"{value / 3600:.1f}" for value in (*seconds, sum(seconds))]
        name = case_name(case) if case else "all"
        table.rows.append([name, device, str(len(runs)), *hours[:2], str(len(fitted)), *hours[2:]])
    return table


def _dims(row: dict[Any, float]) -> list[int]:
    return [dim for dim in row if isinstance(dim, int)]


def _key(r: Result) -> tuple[str, bool, int]:
    return r["case"], in_cells(r), r["micro_dim"]


def _far_off(errors: list[float | None]) -> float | None:
    """The largest error of the seeds over that of the median seed."""
    known = [error for error in errors if error is not None]
    return max(known) / statistics.median(known) if known and len(known) == len(errors) else None


def _errors_where(r: Result, wanted: bool) -> list[float | None]:
    """Errors against truth of the trajectories of both test sets that are inside, or outside."""
    found = []
    for name in ("test", "second_test"):
        if name in r:
            errors = r[name]["nrmse_clean"]["per_trajectory"]
            found += [e for e, inside in zip(errors, r[f"{name}_inside"], strict=True) if inside == wanted]
    return found


def _median(errors: list[float | None]) -> float | None:
    return None if None in errors else statistics.median(errors)  # pyright: ignore[reportArgumentType]
