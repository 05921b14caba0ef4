"""How tables and figures put numbers and models into words, and statistics of several results into one cell."""

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

Result = dict[str, Any]

# Baselines by the name in their result file, and what tables and figures call them.
BASELINE_LABELS = {
    "persistence": "persistence",
    "mean": "training mean",
    "coarse": "coarse simulation",
    "dmd": "DMD",
    "sindy": "POD-SINDy",
    "fno": "FNO",
    "unet": "U-Net",
}

MISSING, DIVERGED = "—", "diverged"  # cells that hold no number


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


def in_cells(r: Result) -> bool:
    """Whether the run has microscale numbers in every coarse cell."""
    return r.get("micro_layout") == "cells"


def microscale(r: Result) -> str:
    """How many microscale numbers the run has, and whether each cell has as many."""
    return f"{r['micro_dim']} per cell" if in_cells(r) else str(r["micro_dim"])


def run_name(r: Result) -> str:
    """What tables and figures call the model of a run."""
    return f"micro_dim {microscale(r)}" if in_cells(r) else model_name(r["micro_dim"])


def worst(score: dict[str, Any]) -> float | None:
    """Largest error of the trajectories; None if one diverged."""
    return None if None in score["per_trajectory"] else max(score["per_trajectory"])


def worst_cell(scores: Iterable[dict[str, Any]]) -> str:
    """Largest error of the trajectories of several results."""
    largest = [worst(score) for score in scores]
    known = [error for error in largest if error is not None]
    return format_number(max(known) if len(known) == len(largest) else None) if largest else MISSING


def format_number(value: float | None) -> str:
    """A relative error as the tables show it."""
    if value is None:
        return DIVERGED
    return f"{value:.1e}" if 0 < value < 5e-5 else f"{value:.4f}"


def unformatted(value: float | None) -> Any:
    """The number itself, where it is judged in place of shown."""
    return value


def format_short(value: float | None) -> str:
    """A score in units of the field, of which only the leading figures matter."""
    return DIVERGED if value is None else f"{value:#.3g}"


def format_ratio(value: float | None) -> str:
    """A ratio whose aim is 1."""
    return DIVERGED if value is None else f"{value:.2f}"


def format_percent(value: float | None) -> str:
    """A share."""
    return DIVERGED if value is None else f"{100 * value:.1f} %"


def score_cell(results: list[Result], score: str, statistic: str, show: Callable = format_number) -> str:
    """A statistic of a test score, its mean over the results for which it is defined."""
    found = [(r["test"][score][statistic], r.get("diverged")) for r in results if score in r["test"]]
    return average([value for value, diverged in found if value is not None or diverged != 0], show)


def is_noisy(results: Iterable[Result]) -> bool:
    """Whether observations have noise, so that the error against the truth is another one than against them."""
    floors = [r["test"]["noise_floor"]["median"] for r in results if {"noise_floor", "nrmse_clean"} <= r["test"].keys()]
    return any(floor is None or floor > 0 for floor in floors)


def pooled_cell(results: list[Result], name: str, show: Callable) -> str:
    """A number of the calibration over all points and trajectories, its mean over the results."""
    return average([r["calibration"][name] for r in results if name in r["calibration"]], show)


def gap_cell(results: list[Result]) -> str:
    """How far the share of observations below a quantile of the ensemble is from its probability, for the quantile at
    which it is furthest: 0 of a flat rank histogram. Mean over the results."""
    gaps = []
    for r in results:
        told = r["calibration"]
        if told.keys() >= {"reliability", "probabilities"}:
            pairs = zip(told["reliability"], told["probabilities"], strict=True)
            gaps.append(None if None in told["reliability"] else max(abs(share - level) for share, level in pairs))
    return average(gaps, format_percent)


def average(values: list[float | None], show: Callable) -> str:
    """The mean as `show` writes it, which is given None where one of them is missing."""
    known = [value for value in values if value is not None]
    return show(statistics.fmean(known) if len(known) == len(values) else None) if values else MISSING


def published_cell(value: float | None, missing: str = "") -> str:
    """An error as it was published, in three digits."""
    return missing if value is None else f"{value:.3f}"


def cell_of(value: float | None, text: str) -> str:
    """The value in the form `text`; nothing where there is none."""
    return "" if value is None else text.format(value)


def listed(values: Iterable[str], separator: str = " / ") -> str:
    """The values side by side, or one if they are all the same."""
    return separator.join(dict.fromkeys(values))


def computed_on(r: Result) -> str:
    """What it was computed on: "CPU", or the name of an accelerator; results without versions are of a CPU."""
    device = r.get("versions", {}).get("device", "cpu")
    return "CPU" if device == "cpu" else device


def devices_of(results: Iterable[Result]) -> list[str]:
    """What the results were computed on, CPUs first."""
    return sorted({computed_on(r) for r in results}, key=lambda name: (name != "CPU", name))


def training_minutes(runs: list[Result]) -> str:
    """Minutes of each seed; those on an accelerator stand apart, after its name."""
    parts = []
    for device in devices_of(runs):
        minutes = listed(f"{r['train_seconds'] / 60:.1f}" for r in runs if computed_on(r) == device) + " min"
        parts.append(minutes if device == "CPU" else f"{device}: {minutes}")
    return ", ".join(parts)
