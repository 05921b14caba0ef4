"""Fields of a split that stay in their file: what is asked for is read when it is asked for."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from msvi.data.formats.arrays import Piece, StoredArray, runs

# Bytes that are read in about the time that asking for them takes.
_CHEAP = 2**18


class StreamedField:
    """An array `(trajectory, time, *grid, channel)` in a file, indexed as NumPy's arrays are.

    It takes one trajectory or several, then frames, then slices of the axes; other indices as NumPy does with what has
    been read. Converted to an array it is read whole. Frames after the last of a shorter trajectory are zero.

    Attributes:
      shape, dtype, ndim: as of an array.
      frames_together: frames that cost no more than one of them: they are stored together, or so small that reading
        those between is cheaper than reading twice.
      frames_in_chunk: frames that are stored together.
    """

    def __init__(self, array: StoredArray, pieces: Sequence[Piece], dtype: Any):
        self._array, self._pieces = array, tuple(pieces)
        self.dtype = np.dtype(dtype)
        frame = array.dtype.itemsize * math.prod(array.shape[2:])
        self.frames_in_chunk = max(1, array.chunks[1])
        self.frames_together = max(self.frames_in_chunk, _CHEAP // max(frame, 1))
        self.shape = (len(self._pieces), max(len(piece.frames) for piece in self._pieces), *array.shape[2:])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, where: Any) -> np.ndarray:
        where = where if isinstance(where, tuple) else (where,)
        rows, frames, *points = (*where, *(slice(None),) * (2 - len(where)))
        chosen = np.arange(len(self))[rows]
        if chosen.ndim == 0:
            return self._one(int(chosen), frames, tuple(points))
        if not isinstance(frames, slice | int | np.integer):
            raise IndexError("Frames of several trajectories must be a slice or one number.")
        found = [self._one(int(i), frames, tuple(points)) for i in chosen]
        return np.stack(found) if found else np.zeros(self.shape, self.dtype)[:0]

    def windows(self, starts: Sequence[tuple[int, int]], length: int) -> "StreamedField":
        """The same field cut into windows `(trajectory, first frame)`, as trajectories of their own."""
        pieces = [Piece(self._pieces[i].trajectory, self._pieces[i].frames[s : s + length]) for i, s in starts]
        return StreamedField(self._array, pieces, self.dtype)

    def _one(self, i: int, frames: Any, points: tuple) -> np.ndarray:
        """Frames of one trajectory, and of these the points."""
        row, own = self._pieces[i]
        chosen = np.arange(self.shape[1])[frames]
        numbers, back = np.unique(np.atleast_1d(chosen), return_inverse=True)
        numbers = own[numbers[numbers < len(own)]]  # in the file, the others fill
        sliced = all(isinstance(part, slice) for part in points)
        parts = []
        for run in runs(numbers, self.frames_together) if len(numbers) else ():
            where = slice(row, row + 1), slice(int(run[0]), int(run[-1]) + 1)
            values = self._array.read(*where, *(points if sliced else ()))[0]
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # found when the file was surveyed
                parts.append(values[run - run[0]].astype(self.dtype, copy=False))
        shape = parts[0].shape[1:] if parts else np.empty((0, *self.shape[2:]))[(slice(None), *points)].shape[1:]
        parts.append(np.zeros((back.max(initial=-1) + 1 - len(numbers), *shape), self.dtype))
        found = np.concatenate(parts)[back]
        found = found if sliced else found[(slice(None), *points)]
        return found if chosen.ndim else found[0]


# Fields of a split: in memory, or in their file.
Field = np.ndarray | StreamedField
