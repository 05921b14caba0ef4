"""What baselines share: the fitted baseline, the choice on validation trajectories, and frame times."""

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from msvi.data.split import Dataset, Split
from msvi.data.statistics import spread
from msvi.errors import InputError

# Numbers and frames from which a baseline is fitted in seconds.
_FEW_NUMBERS, _FEW_FRAMES = 2**24, 20_000
# Part of its error by which a candidate has to be better for the search to go on from it, and seconds of a search.
_GAIN, _SEARCH_SECONDS = 1e-3, 300.0


class Baseline(NamedTuple):
    """A fitted baseline.

    Attributes:
      forecast: `(t, u0) -> u`, with frame times `(time,)`, the observed frame at `t[0]`, `(*grid, channel)`, and fields
        `(member, time, *grid, channel)` in float32, whose frame 0 is the baseline's own version of `u0`. A forecast
        without uncertainty has one member. One that diverges is not finite.
      settings: plain JSON data: what was chosen on the validation trajectories, and the alternatives with their errors.
      num_members: of every forecast.
    """

    forecast: Callable[[np.ndarray, np.ndarray], np.ndarray]
    settings: dict[str, Any]
    num_members: int = 1


class Ladder(NamedTuple):
    """Values of one setting.

    Attributes:
      values: all that may be tried, in their order.
      first: those of them that are tried in any case.
    """

    values: tuple[Any, ...]
    first: tuple[Any, ...]


def select(
    candidates: list[dict[str, Any]], error: Callable[[dict[str, Any]], float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The candidate with the lowest validation error, and the settings that report it beside the alternatives.

    An error that is not finite loses against every other, and is reported as None.

    Args:
      candidates: at least one, each plain JSON data; of equal ones the first is taken.
      error: mean NRMSE over the validation trajectories.
    """
    return _report([(candidate, float(error(candidate))) for candidate in candidates])


def search(
    ladders: dict[str, Ladder],
    error: Callable[[dict[str, Any]], float | None],
    seconds: float = _SEARCH_SECONDS,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The candidate from which no step to a neighbour lowers the validation error, and settings as of `select`.

    First all combinations of the ladders' `first` values are tried. From the best one on its neighbours are, which
    differ in one setting by one step of its ladder, until none is better by a thousandth of the error: so a setting
    goes on beyond the values that were tried at first while the error falls. A value that no candidate had yet is also
    tried with the `first` values of each other setting, one at a time. What ended the search is in the settings:
    `"turned"`, or `"time"` where the seconds were over first.

    Args:
      ladders: of each setting, plain JSON data.
      error: mean NRMSE over the validation trajectories; None for a candidate that cannot be tried.
      seconds: after which no further candidate is tried.
    """
    began, tried = time.monotonic(), {}

    def over() -> bool:
        return time.monotonic() - began > seconds

    def attempt(points: list[tuple]) -> None:
        for point in points:
            if point in tried or (over() and any(e is not None for e in tried.values())):
                continue
            found = error(_candidate(ladders, point))
            tried[point] = None if found is None else float(found)

    def best() -> tuple:
        known = {point: e for point, e in tried.items() if e is not None}
        return min(known, key=lambda point: known[point] if np.isfinite(known[point]) else np.inf)

    attempt(list(itertools.product(*([ladder.values.index(v) for v in ladder.first] for ladder in ladders.values()))))
    at, turned = best(), False
    while not turned and not over():
        attempt(_neighbours(ladders, at, list(tried)))
        at, before = best(), tried[at]
        turned = not tried[at] < (1 - _GAIN) * before
    candidates = [(_candidate(ladders, point), e) for point, e in tried.items() if e is not None]
    chosen, settings = _report(candidates)
    return chosen, settings | {"ended": "turned" if turned and not over() else "time"}


def limited(values: tuple[int, ...], first: tuple[int, ...], bounds: Iterable[int]) -> Ladder:
    """A ladder of those values up to the largest bound; of each bound that cuts some off it is one itself."""
    ladder, tried = set(), set()
    for bound in bounds:
        ladder |= {min(value, bound) for value in values} - {0}
        tried |= {min(value, bound) for value in first} - {0}
    return Ladder(tuple(sorted(ladder)), tuple(sorted(tried)))


def _candidate(ladders: dict[str, Ladder], point: tuple) -> dict[str, Any]:
    return {name: ladder.values[i] for (name, ladder), i in zip(ladders.items(), point, strict=True)}


def _neighbours(ladders: dict[str, Ladder], point: tuple, tried: list[tuple]) -> list[tuple]:
    """Up the ladder of each setting, and down; a value that is new also with each first value of the others."""
    found = []
    for axis, ladder in enumerate(ladders.values()):
        for i in (point[axis] + 1, point[axis] - 1):
            if not 0 <= i < len(ladder.values):
                continue
            step = (*point[:axis], i, *point[axis + 1 :])
            found.append(step)
            if all(other[axis] != i for other in tried):
                found += [
                    (*step[:a], other.values.index(value), *step[a + 1 :])
                    for a, other in enumerate(ladders.values())
                    if a != axis
                    for value in other.first
                ]
    return found


def _report(tried: list[tuple[dict[str, Any], float]]) -> tuple[dict[str, Any], dict[str, Any]]:
    best = int(np.argmin([e if np.isfinite(e) else np.inf for _, e in tried]))
    table = [candidate | {"val_nrmse": e if np.isfinite(e) else None} for candidate, e in tried]
    return tried[best][0], {"chosen": table[best], "candidates": table}


def few_trajectories(dataset: Dataset, numbers: int = _FEW_NUMBERS, most_frames: int = _FEW_FRAMES) -> Dataset:
    """The data set with no more to learn from than so many numbers and frames: by default what a baseline is fitted to
    in seconds.

    Of many training trajectories some that are spread over all, of one that is too long its end, which is nearest to
    what is forecast where a single one is cut by time.
    """
    train = dataset.train
    frames = max(2, min(most_frames, numbers // int(np.prod(train.u.shape[2:]))))
    count = max(1, frames // train.u.shape[1])
    chosen = spread(len(train.u), count)
    kept = max(train.u.shape[1] - frames, 0)
    if len(chosen) == len(train.u) and not kept:
        return dataset
    # Frames that only fill the arrays stand at the end of a trajectory; then it is its beginning that is kept.
    part = slice(kept, None) if train.num_frames is None else slice(0, frames)
    lengths = None if train.num_frames is None else np.minimum(train.num_frames[chosen], frames)
    mask = None if train.mask is None else train.mask[chosen, part]
    return dataset._replace(train=Split(train.t[chosen, part], train.u[chosen, part], mask=mask, num_frames=lengths))


def nrmse(estimate: np.ndarray, reference: np.ndarray) -> float:
    """`sqrt(mean_t ||estimate - reference||² / ||reference||²)` in float64, as `msvi.scores.metrics.nrmse`.

    Times at which the reference is zero are left out; NaN if there are no others.

    Args:
      estimate, reference: `(time, *grid, channel)`.
    """
    shape = (len(reference), -1)
    reference = np.asarray(reference, np.float64).reshape(shape)
    with np.errstate(all="ignore"):  # of a forecast that diverged
        error = ((np.asarray(estimate, np.float64).reshape(shape) - reference) ** 2).sum(axis=1)
    energy = (reference**2).sum(axis=1)
    known = energy > 0
    return float(np.sqrt(np.mean(error[known] / energy[known]))) if known.any() else np.nan


def frame_spacing(t: np.ndarray) -> float:
    """Time between two frames of the training trajectories.

    Args:
      t: frame times, `(trajectory, time)`.

    Raises:
      InputError: it is not the same everywhere.
    """
    steps = np.diff(np.asarray(t, np.float64), axis=1)
    if not np.allclose(steps, steps.mean(), rtol=1e-3, atol=0):
        raise InputError(
            f"This baseline needs equally spaced frames, got steps from {steps.min():.6g} to {steps.max():.6g}; "
            "interpolate the trajectories to equal steps."
        )
    return float(steps.mean())


def frame_numbers(t: np.ndarray, spacing: float) -> np.ndarray:
    """Number of each frame, counted from the first in steps of `spacing`, of the shape of `t`.

    Args:
      t: frame times, `(time,)` or `(trajectory, time)`.

    Raises:
      InputError: a time that lies between two frames.
    """
    exact = (np.asarray(t, np.float64) - t[..., :1]) / spacing
    numbers = np.round(exact).astype(int)
    # Files may keep times in single precision.
    if np.abs(exact - numbers).max() > 0.05:
        raise InputError(
            f"`t` must be spaced by whole multiples of {spacing:.6g}, as the training frames are, got steps from "
            f"{np.diff(t).min():.6g} to {np.diff(t).max():.6g}; choose the times of stored frames."
        )
    return numbers
