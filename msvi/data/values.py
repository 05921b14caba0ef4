"""What the values of a data set tell against it: what a training refuses, and what it would do badly with."""

from collections.abc import Iterator

import numpy as np

from msvi.data.formats.layout import AXES
from msvi.data.split import Dataset, Split
from msvi.data.statistics import spread

# Trajectories, and frames of each, in which the ends of periodic axes are compared.
_TRAJECTORIES, _FRAMES = 16, 16
# Values smaller than these lose digits in single precision, or all of them.
_SMALLEST = 1e-35
# Beyond these a data set is warned of: gaps over the usual time between frames, parts that are missing, deviations of a
# channel over its size; and below these: frames to learn from and to test on, trajectories to learn from.
_GAP, _MISSING, _OFFSET = 10, 0.5, 1e-5
_LEARNED, _TESTED, _TRAJECTORIES_LEARNED = 32, 5, 4


def find_value_problems(dataset: Dataset) -> list[str]:
    """Each problem as `msvi.data.problems` puts it."""
    problems = []
    for axis in range(len(dataset.grid)):
        if dataset.boundary[axis] == "periodic" and _repeats(dataset, axis):
            problems.append(
                f"repeats the first point of its periodic axis {AXES[axis]} as the last one, expected each point once; "
                f"drop the last one of everything on the grid, u[{':, ' * (2 + axis)}:-1]"
            )
    found = dataset.train.statistics()
    sizes = np.maximum(np.abs(found.low), np.abs(found.high))
    largest = float(sizes.max(where=np.isfinite(sizes), initial=0))
    if 0 < largest < _SMALLEST:
        problems.append(f"holds `u` of at most {largest:.3g}, too small for single precision; take a smaller unit")
    return problems


def find_warnings(dataset: Dataset) -> Iterator[str]:
    """What can be trained on, but badly; one sentence each."""
    train, test = dataset.train, dataset.test
    number, shortest, tested = len(train.u), int(train.lengths.min()), int(test.lengths.min())
    if number < _TRAJECTORIES_LEARNED:
        yield f"There are few trajectories to learn from, {number}; forecasts from other initial states will err."
    if shortest < _LEARNED:
        yield f"The shortest trajectory to learn from has {shortest} frames, a window has {_LEARNED}; store more."
    if tested < _TESTED:
        yield f"Forecasts are tested on as few as {tested} frames; store more frames or trajectories."
    steps = np.concatenate([np.diff(t[:n]) for t, n in zip(train.t, train.lengths, strict=True)])
    usual, longest = np.median(steps), steps.max()
    if longest > _GAP * usual:
        yield (
            f"Frames are up to {longest:.4g} apart, {longest / usual:.3g} times the usual {usual:.4g}; what happens in "
            "such gaps is guessed, so cut the trajectories there or store more frames."
        )
    missing = 1 - train.statistics().number.sum() / (train.lengths.sum() * np.prod(train.u.shape[2:]))
    if missing > _MISSING:
        yield f"Of the values to learn from {100 * missing:.1f} % are missing; the gaps are guessed."
    yield from _channels(train)


def _channels(train: Split) -> Iterator[str]:
    """Of channels that never change, or by less than single precision tells, among others that do."""
    found = train.statistics()
    ranges, sizes = found.high - found.low, np.maximum(np.abs(found.low), np.abs(found.high))
    for channel, (between, size) in enumerate(zip(ranges, sizes, strict=True)):
        if not between > 0:
            yield f"Channel {channel} is the same everywhere; leave it out."
        elif between < _OFFSET * size:
            yield (
                f"Channel {channel} varies by {between:.3g} about {size:.6g}, of which single precision keeps few "
                "digits; take off its mean."
            )


def _repeats(dataset: Dataset, axis: int) -> bool:
    """Whether the last point of a periodic axis is the first one again.

    That shows if both have the same values where neighbours differ. A field that is even about the middle between its
    ends has equal ends as well: there the extent has to tell, as 1 or two pi.
    """
    if dataset.grid[axis] < 4:
        return False
    ends, seen = zip(*_ends(dataset.train, axis), strict=True)
    first, second, before, last = np.concatenate(ends, axis=1)
    # One row for each point of the other axes in each frame.
    where = np.all(np.concatenate(seen, axis=1), axis=0)
    repeated = False
    for channel in range(first.shape[-1]):
        a, b, c, d = (end[where[:, channel], channel] for end in (first, second, before, last))
        size = max(np.abs(a).max(initial=0), np.abs(d).max(initial=0), np.finfo(np.float32).tiny)
        near = min(_rms(a, b, size), _rms(c, d, size))
        if a.size < 8 or near < 1e-5:
            continue
        if _rms(a, d, size) > 1e-3 * near:
            return False
        repeated |= _rms(b, c, size) > 0.1 * near or _spans_a_period(dataset.coordinates[axis])
    return repeated


def _ends(train: Split, axis: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """First, second, last but one and last points of an axis in some frames of some trajectories, and which were seen.

    Both are `(4, row, channel)`.
    """
    for i in spread(len(train.u), _TRAJECTORIES):
        frames = spread(int(train.lengths[i]), _FRAMES)
        u, observed = train.u[i, frames], train.observed(i)
        seen = np.ones(u.shape, bool) if observed is None else observed[frames]
        ends, at_ends = (
            np.moveaxis(np.take(values, (0, 1, -2, -1), axis=1 + axis), 1 + axis, 0).reshape(4, -1, u.shape[-1])
            for values in (u.astype(np.float64), seen)
        )
        yield ends, at_ends


def _rms(a: np.ndarray, b: np.ndarray, size: float) -> float:
    return float(np.sqrt(np.mean(((a - b) / size) ** 2))) if a.size else 0.0


def _spans_a_period(points: np.ndarray) -> bool:
    """Whether the first and last point are a round number apart, or one of pi, and a step more is none."""
    extent, step = points[-1] - points[0], points[1] - points[0]
    return _is_round(extent) and not _is_round(extent + step)


def _is_round(length: float) -> bool:
    return any(abs(float(f"{x:.1e}") - x) < 1e-6 * x for x in (length, length / np.pi))
