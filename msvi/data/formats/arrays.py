"""Arrays in files, of which nothing is read before it is asked for, and then in blocks as they are stored."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from msvi.errors import InputError

# A file or a group of h5py, which has no annotations: what is inferred of its code allows for groups where arrays are.
Hdf5 = Any

# Bytes that are read at once, if what is stored together is no more.
_BLOCK = 16 * 2**20


class StoredArray(NamedTuple):
    """An array `(trajectory, time, ...)` in a file.

    Attributes:
      shape, dtype: of all of it.
      read: from a slice of the trajectories, one of the frames and, if not all points are wanted, one of each axis, to
        the values there, `(trajectory, frame, ...)`.
      chunks: trajectories and frames that are stored together, so that reading one of them is reading all.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[..., np.ndarray]
    chunks: tuple[int, int] = (1, 1)


class Piece(NamedTuple):
    """Observed frames of one trajectory: numbers, increasing."""

    trajectory: int
    frames: np.ndarray


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
      array: `(trajectory, time, ...)`, or `(time, ...)` with `repeat`; xarray's and h5py's tell their chunks.
      path: for errors.
      repeat: trajectories that are all the same.
    """
    there = os.path.exists(path)

    def read(rows: slice, frames: slice, *points: slice) -> np.ndarray:
        with reading(path):
            # A Zarr store that is gone would be read as what fills its chunks, an open file as if it were there.
            if there and not os.path.exists(path):
                raise FileNotFoundError("it is gone")
            if repeat is None:
                return np.asarray(array[(rows, frames, *points)])
            values = np.asarray(array[(frames, *points)])
            return np.broadcast_to(values, (len(range(repeat)[rows]), *values.shape))

    chunks = getattr(array, "chunks", None) or getattr(array, "encoding", {}).get("chunksizes") or ()
    first = () if repeat is None else (1,)
    rows, frames = (*first, *chunks, 1, 1)[:2] if chunks else (1, 1)
    return StoredArray((() if repeat is None else (repeat,)) + tuple(array.shape), array.dtype, read, (rows, frames))


def blocks(array: StoredArray, rows: np.ndarray | None = None) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """All frames of some trajectories, block by block: which trajectories and frames, and their values.

    A block holds whole chunks, so that nothing is decoded twice, unless a chunk is large. Trajectories that were not
    asked for it may hold where they share a chunk with others.

    Args:
      array: at least `(trajectory, time)`.
      rows: numbers of the trajectories, increasing; all of them if None.
    """
    rows = np.arange(array.shape[0]) if rows is None else rows
    num_rows, num_frames = _block_shape(array)
    # Blocks end at multiples of their length, and before chunks of which nothing is asked for.
    apart = np.diff(rows // min(num_rows, max(1, array.chunks[0]))) > 1
    for inside in np.split(rows, np.flatnonzero(apart | (np.diff(rows // num_rows) > 0)) + 1):
        where = slice(int(inside[0]), int(inside[-1]) + 1)
        for start in range(0, array.shape[1], num_frames):
            frames = slice(start, min(start + num_frames, array.shape[1]))
            yield where, frames, array.read(where, frames)


def _block_shape(array: StoredArray) -> tuple[int, int]:
    """Trajectories and frames of a block: as many chunks as are small together, and a quarter of one that is large."""
    rows, frames = (max(1, min(n, size)) for n, size in zip(array.chunks, array.shape, strict=False))
    frame = max(1, array.dtype.itemsize * int(np.prod(array.shape[2:])))
    allowed = max(_BLOCK, rows * frames * frame // 4)
    rows = max(1, min(rows, allowed // (frames * frame)))
    frames = min(frames * max(1, allowed // (rows * frames * frame)), array.shape[1])
    return rows * max(1, allowed // (rows * frames * frame)), frames


def runs(numbers: np.ndarray, together: int = 1) -> list[np.ndarray]:
    """Increasing numbers of frames, parted where what is stored between them holds none of them.

    Args:
      together: frames that are stored together, and so read at once.
    """
    return np.split(numbers, np.flatnonzero(np.diff(numbers // together) > 1) + 1)


def mapped(
    array: StoredArray, shape: tuple[int, ...], function: Callable[[np.ndarray], np.ndarray], pointwise: bool = True
) -> StoredArray:
    """`array` with `function` applied to what is read.

    Args:
      shape: of what it makes of all of it.
      pointwise: whether it treats each point for itself, so that of some points no others have to be read.
    """

    def read(rows: slice, frames: slice, *points: slice) -> np.ndarray:
        if pointwise:
            return function(array.read(rows, frames, *points))
        return function(array.read(rows, frames))[(slice(None), slice(None), *points)]

    return array._replace(shape=shape, read=read)


def join_channels(arrays: list[StoredArray]) -> StoredArray:
    """Channels of all `arrays`, which are of one shape but for the last axis."""
    first = arrays[0]
    return StoredArray(
        (*first.shape[:-1], sum(array.shape[-1] for array in arrays)),
        _common_type(arrays),
        lambda *where: np.concatenate([array.read(*where) for array in arrays], axis=-1),
        tuple(np.max([array.chunks for array in arrays], axis=0).tolist()),
    )


def join_trajectories(arrays: list[StoredArray]) -> StoredArray:
    """Trajectories of all `arrays`, one after the other; there are as many frames as in the longest.

    Frames that a shorter one lacks are NaN.
    """
    shape = (sum(array.shape[0] for array in arrays), max(array.shape[1] for array in arrays), *arrays[0].shape[2:])
    starts = np.cumsum([0, *(array.shape[0] for array in arrays)])
    dtype = _common_type(arrays)

    def read(rows: slice, frames: slice, *points: slice) -> np.ndarray:
        first, last, _ = rows.indices(shape[0])
        begin, end, _ = frames.indices(shape[1])
        parts = []
        for array, start in zip(arrays, starts, strict=False):
            some = slice(max(first - start, 0), min(last - start, array.shape[0]))
            if some.start < some.stop:
                values = array.read(some, slice(begin, max(begin, min(end, array.shape[1]))), *points)
                parts.append(_lengthen(values, end - begin))
        return np.concatenate(parts)

    return StoredArray(shape, dtype, read, arrays[0].chunks)


def _lengthen(values: np.ndarray, frames: int) -> np.ndarray:
    """`(trajectory, frame, ...)` with NaN after its last frame."""
    missing = frames - values.shape[1]
    filling = np.full((len(values), missing, *values.shape[2:]), np.nan) if missing else None
    return values if filling is None else np.concatenate([values, filling.astype(values.dtype)], axis=1)


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
