"""Tables of the whole study: what was aimed at, both versions of the paper, and what generalises."""

import glob
import itertools
import os
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from msvi.report.results import load_json
from msvi.report.tables import (
    MISSING,
    NOTES,
    PUBLISHED_PARTS,
    PUBLISHED_REL_L2,
    Result,
    Table,
    format_number,
    published_cell,
)
from msvi.report.wording import average, computed_on, devices_of, in_cells, microscale, score_cell, worst
from msvi.scores.scores import summarize

# Trajectories that an error of the later version of the paper is a mean over.
_LATER_TRAJECTORIES = 5
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
        name = case + NOTES.get(case, "") + part
        for whose, runs in ours.items():
            chosen = [r | {"test": r.get("published_test", r["test"])} for r in runs if r["case"] == case]
            if chosen:
                label = whose.format(**chosen[0].get("data", {}))
                table.rows.append([name, label, *_of_rel_l2(chosen, dims)])
        theirs = [published_cell(PUBLISHED_REL_L2[case].get(dim), MISSING) for dim in dims]
        table.rows.append([name, "published", str(_LATER_TRAJECTORIES), MISSING, *theirs])
    return table


def _of_rel_l2(runs: list[Result], dims: list[int]) -> list[str]:
    """Numbers of trajectories, noise floor and the error by micro_dim."""
    counts = dict.fromkeys(str(len(r["test"]["rel_l2"]["per_trajectory"])) for r in runs if "rel_l2" in r["test"])
    by_dim = [[r for r in runs if r["micro_dim"] == dim] for dim in dims]
    floor = score_cell(runs, "noise_floor", "mean")
    return [" / ".join(counts) or MISSING, floor, *(score_cell(of_dim, "rel_l2", "mean") for of_dim in by_dim)]


def bars_table(results: list[Result]) -> Table:
    """A row per bar: what each seed reached, in the mean too, and whether that meets it."""
    columns = ["case", "micro_dim", "error", "seeds", "mean", "bar", "aim", "met", "worst seed over median"]
    table = Table(columns, [], strong="mean")
    for bar in BARS:
        runs = [r for r in results if (r["case"], r["micro_dim"]) == (bar.case, bar.micro_dim) and bar.of in r]
        values = [r[bar.of][bar.score][bar.statistic] for r in runs if bar.score in r[bar.of]]
        part = f", {PUBLISHED_PARTS[bar.case]}" if bar.of == "published_test" else ""
        cells = [bar.case + NOTES.get(bar.case, "") + part, str(bar.micro_dim)]
        cells += [f"{_SCORES[bar.score]}, {bar.statistic}", " / ".join(map(format_number, values)) or MISSING]
        whole = bool(values) and None not in values
        mean = statistics.fmean(values) if whole else None
        cells += [
            format_number(mean) if values else MISSING,
            f"{bar.bar:g}",
            MISSING if not bar.aim else f"{bar.aim:g}",
        ]
        cells += [MISSING if not values else "yes" if mean is not None and mean <= bar.bar else "no"]
        cells += [f"{max(values) / statistics.median(values):.2f}" if whole else MISSING]
        table.rows.append(cells)
    return table


def seeds_table(results: list[Result]) -> Table:
    """A row per case and microscale: the errors of the seeds and how far the worst is from the median one."""
    table = Table(["case", "micro_dim", "seeds", "NRMSE median", "worst seed over median", f"within {_FAR}"], [])
    for key in sorted({_key(r) for r in results}):
        runs = [r for r in results if _key(r) == key]
        errors = [r["test"]["nrmse"]["median"] for r in runs]
        if len(errors) < 2:
            continue
        far = None if None in errors else max(errors) / statistics.median(errors)
        cells = [runs[0]["case"] + NOTES.get(runs[0]["case"], ""), microscale(runs[0]), str(len(errors))]
        cells += [" / ".join(map(format_number, errors)), MISSING if far is None else f"{far:.2f}"]
        table.rows.append([*cells, "yes" if far is not None and far <= _FAR else "no"])
    return table


def range_table(results: list[Result]) -> Table:
    """A row per case and microscale with known initial draws: the median error against truth of the trajectories of
    both test sets inside the range of the training draws and outside of it, means over the seeds."""
    columns = ["case", "micro_dim", "inside", "of", "outside", "of", "second test set", "of", "first test set"]
    table = Table(columns, [])
    for key in sorted({_key(r) for r in results if "test_inside" in r}):
        runs = [r for r in results if _key(r) == key and "test_inside" in r]
        cells = [runs[0]["case"] + NOTES.get(runs[0]["case"], ""), microscale(runs[0])]
        for wanted in (True, False):
            each = [_errors_where(r, wanted) for r in runs]
            medians = [_median(errors) for errors in each if errors]
            cells += [average(medians, format_number), str(len(each[0]))]
        second = [r["second_test"]["nrmse_clean"] for r in runs if "second_test" in r]
        cells += [average([s["median"] for s in second], format_number)]
        cells += [str(len(second[0]["per_trajectory"])) if second else MISSING]
        table.rows.append([*cells, score_cell(runs, "nrmse_clean", "median")])
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
                largest = [most for r in runs if (most := worst(r["test"]["nrmse"])) is not None]
                cells = [case, name, str(len(runs)), " / ".join(dict.fromkeys(f"{r['steps']:,}" for r in runs))]
                cells += [score_cell(runs, "nrmse", statistic) for statistic in ("median", "mean")]
                cells += [format_number(max(largest) if len(largest) == len(runs) else None)]
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
        name = case + NOTES.get(case, "") if case else "all"
        table.rows.append([name, device, str(len(runs)), *hours[:2], str(len(fitted)), *hours[2:]])
    return table


def _dims(row: dict[Any, float]) -> list[int]:
    return [dim for dim in row if isinstance(dim, int)]


def _key(r: Result) -> tuple[str, bool, int]:
    return r["case"], in_cells(r), r["micro_dim"]


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
