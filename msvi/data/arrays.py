"""Arrays in files, of which nothing is read before it is asked for, and then the frames of one trajectory."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from msvi.errors import InputError


class StoredArray(NamedTuple):
    """An array `(trajectory, time, ...)` in a file.

    Attributes:
      shape, dtype: of all of it.
      read: from the number of a trajectory and a slice of its frames to their values, `(frame, ...)`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[int, slice], np.ndarray]


@contextlib.contextmanager
def reading(path: str, what: str = "data file", mend: str = "write or download it again") -> Iterator[None]:
    """Turns whatever a library says of a file it cannot read into `InputError`, which calls it `what`."""
    try:
        yield
    except InputError:
        raise
    # No narrower: on damaged bytes the libraries' parsers fail with almost any exception.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"The {what} {path} cannot be read or is damaged ({reason}); {mend}.") from None


def stored(array: Any, path: str, repeat: int | None = None) -> StoredArray:
    """`array` of the file at `path`, anything that is sliced as NumPy's arrays are.

    Args:
      array: `(trajectory, time, ...)`, or `(time, ...)` with `repeat`.
      path: for errors.
      repeat: trajectories that are all the same.
    """

    def read(trajectory: int, frames: slice) -> np.ndarray:
        with reading(path):
            return np.asarray(array[trajectory, frames] if repeat is None else array[frames])

    return StoredArray((() if repeat is None else (repeat,)) + tuple(array.shape), array.dtype, read)


def mapped(array: StoredArray, shape: tuple[int, ...], function: Callable[[np.ndarray], np.ndarray]) -> StoredArray:
    """`array` with `function` applied to what is read; `shape` is what it makes of all of it."""
    return array._replace(shape=shape, read=lambda *where: function(array.read(*where)))


def join_channels(arrays: list[StoredArray]) -> StoredArray:
    """Channels of all `arrays`, which are of one shape but for the last axis."""
    first = arrays[0]
    return StoredArray(
        (*first.shape[:-1], sum(array.shape[-1] for array in arrays)),
        _common_type(arrays),
        lambda *where: np.concatenate([array.read(*where) for array in arrays], axis=-1),
    )


def join_trajectories(arrays: list[StoredArray]) -> StoredArray:
    """Trajectories of all `arrays`, one after the other; there are as many frames as in the longest.

    Frames that a shorter one lacks must not be read.
    """
    each = [(array, index) for array in arrays for index in range(array.shape[0])]
    return StoredArray(
        (len(each), max(array.shape[1] for array in arrays), *arrays[0].shape[2:]),
        _common_type(arrays),
        lambda trajectory, frames: each[trajectory][0].read(each[trajectory][1], frames),
    )


def join_times(times: list[np.ndarray]) -> np.ndarray:
    """Frame times of several sets of trajectories, each `(trajectory, time)`, with NaN after the shorter ones."""
    rows = [row for t in times for row in t]
    joined = np.full((len(rows), max(map(len, rows))), np.nan)
    for to, row in zip(joined, rows, strict=True):
        to[: len(row)] = row
    return joined


def _common_type(arrays: list[StoredArray]) -> np.dtype:
    """Of floating-point arrays the wider type, else the first one that is not of floating point."""
    others = [array.dtype for array in arrays if array.dtype.kind != "f"]
    return others[0] if others else np.result_type(*(array.dtype for array in arrays))
