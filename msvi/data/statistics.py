"""What the values of a split are like, of each channel: found in one pass, with a few frames in memory at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Values of a trajectory that are looked at together, and those of each channel whose median is taken.
_BLOCK, _PICKED = 2**25, 1_000_000


class Statistics(NamedTuple):
    """Of the observed values of a split, in units of the data, each `(channel,)` and float64.

    Attributes:
      number: how many there are.
      mean, std: of all.
      median: of about a million spread over trajectories, frames and points; the mean where none of them was observed.
      low, high: the least and the largest, infinite where there is none.
    """

    number: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Collector:
    """Takes one trajectory's frames after the other, so that the same data give the same numbers from wherever they
    are read.

    Args:
      shape: of the split, `(trajectory, time, *grid, channel)`.
      first: frames of the first trajectory up to the first block's end, `(time, *grid, channel)`, 0 where nothing was
        observed. Values are counted from their mean and in units of their size, so that squares neither lose what an
        offset leaves nor leave the range of numbers.
    """

    def __init__(self, shape: tuple[int, ...], first: np.ndarray):
        channels = shape[-1]
        self._each, self._time = max(1, _PICKED // shape[0]), shape[1]
        self._origin = np.asarray(first[0], np.float64).reshape(-1, channels).mean(axis=0)
        size = np.abs(np.asarray(first, np.float64) - self._origin).reshape(-1, channels).max(axis=0)
        self._size = np.where(size > 0, size, np.where(self._origin == 0, 1.0, np.abs(self._origin)))
        self._count, self._first, self._second = np.zeros((3, channels))
        self._low, self._high = np.full((2, channels), [[np.inf], [-np.inf]])
        self._picked: list[np.ndarray] = []

    def add(self, start: int, u: np.ndarray, observed: np.ndarray | None) -> None:
        """Frames from number `start` of a trajectory on, `(time, *grid, channel)`, and where they were observed."""
        axes, where = tuple(range(u.ndim - 1)), True if observed is None else observed
        values = (np.asarray(u, np.float64) - self._origin) / self._size
        self._count += values.size / values.shape[-1] if observed is None else observed.sum(axis=axes)
        self._first += values.sum(axis=axes, where=where)
        self._second += np.square(values).sum(axis=axes, where=where)
        self._low = np.minimum(self._low, u.min(axis=axes, where=where, initial=np.inf))
        self._high = np.maximum(self._high, u.max(axis=axes, where=where, initial=-np.inf))
        frames = spread(self._time, max(1, int(np.sqrt(self._each))))
        inside = frames[(start <= frames) & (frames < start + len(u))] - start
        if len(inside):
            at_points = (values if observed is None else np.where(observed, values, np.nan))[inside]
            at_points = at_points.reshape(len(inside), -1, u.shape[-1])
            points = spread(at_points.shape[1], max(1, self._each // len(frames)))
            self._picked.append(at_points[:, points].reshape(-1, u.shape[-1]))

    def statistics(self) -> Statistics:
        """Of all that was added."""
        count = np.maximum(self._count, 1)
        mean = self._first / count
        std = np.sqrt(np.maximum(self._second / count - mean**2, 0))
        found = np.concatenate(self._picked)
        seen = np.isfinite(found).any(axis=0)
        median = np.where(seen, np.nanmedian(np.where(seen, found, 0.0), axis=0), mean)
        mean, median = (self._origin + self._size * values for values in (mean, median))
        return Statistics(self._count, mean, self._size * std, median, self._low, self._high)


def blocks_of_frames(shape: tuple[int, ...]) -> Iterator[slice]:
    """The frames of one trajectory of a field of this shape, `(trajectory, time, *grid, channel)`, a block after the
    other."""
    frames = max(1, _BLOCK // max(1, int(np.prod(shape[2:]))))
    yield from (slice(start, min(start + frames, shape[1])) for start in range(0, shape[1], frames))


def spread(count: int, most: int) -> np.ndarray:
    """At most so many of the numbers up to `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
