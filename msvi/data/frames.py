"""From pieces of trajectories in a file to the arrays of the splits, with little else in memory beside them.

`msvi.data.survey` does the same where the arrays are too large, and leaves them in the file.
"""

from typing import NamedTuple

import numpy as np

from msvi.data.division import LEAST_FRAMES, cut_by_time
from msvi.data.formats.arrays import Piece, StoredArray, blocks, mapped
from msvi.data.formats.layout import Layout
from msvi.data.split import Split
from msvi.data.streamed import Field

# Pieces of each split, by its name.
Pieces = dict[str, list[Piece]]


class Reading(NamedTuple):
    """What was read of a file.

    Attributes:
      splits: by their names; empty if there are problems.
      missing: part of the values of `u` that are NaN without a `mask`, and so count as not observed.
      num_missing: how many these are.
      problems: with the values, each with the array that it is about.
    """

    splits: dict[str, Split]
    missing: float
    num_missing: int
    problems: list[tuple[str, str]]


def observed_frames(layout: Layout, look: bool = False) -> np.ndarray:
    """Which frames have a time and at least one observed value, boolean, `(trajectory, time)`.

    Without any times, all of them count. Without a mask, fields are looked at only where they are cut by time or with
    `look`: of others the frames without a number are left out when they are read.
    """
    observed = np.ones(layout.u.shape[:2], bool) if layout.t is None else np.isfinite(layout.times)
    array = layout.mask
    look = look or cut_by_time(len(observed), layout.split_names)
    if array is None and look and layout.u.dtype.kind == "f":
        array = layout.u
    for rows, frames, values in () if array is None else blocks(array):
        seen = ~np.isnan(values) if array is layout.u else values.astype(bool)
        observed[rows, frames] &= seen.any(axis=tuple(range(2, seen.ndim)))
    return observed


def read_splits(layout: Layout, pieces: Pieces) -> Reading:
    """Reads all splits in one pass over each array; shorter trajectories are filled up in their split.

    Where `u` was not observed it is 0. Frames of which nothing was observed are left out.

    Raises:
      InputError: the file is damaged.
    """
    shape, nothing = layout.u.shape, dict.fromkeys(pieces)
    u = _read(layout.u, pieces, shape[2:], np.float32)
    u_true = nothing if layout.u_true is None else _read(layout.u_true, pieces, shape[2:], np.float32)
    if layout.mask is None:
        mask = {name: _where_numbers(fields) for name, fields in u.items()}
    elif len(layout.mask.shape) > 2:
        mask = _read(as_fields(layout.mask, shape), pieces, shape[2:], bool)
    else:  # whole frames, which the pieces leave out
        mask = nothing
    seen = [m for m in mask.values() if layout.mask is None and m is not None]
    num_missing = sum(m.size - int(np.count_nonzero(m)) for m in seen)
    finished = {name: _finish(layout, pieces[name], u[name], mask[name], u_true[name]) for name in pieces}
    problems = [problem for _, found in finished.values() for problem in found]
    forcing, found = read_forcing(layout, pieces)
    problems += found
    splits = {
        name: split._replace(**forcing[name])
        for name, (split, _) in finished.items()
        if split is not None and not problems
    }
    return Reading(splits, num_missing / sum(fields.size for fields in u.values()), num_missing, problems)


def _read(array: StoredArray, pieces: Pieces, shape: tuple[int, ...], dtype: type) -> dict[str, np.ndarray]:
    """Of each split `(piece, frame, *shape)`, from the first to the last frame of each piece and zero after that."""
    found, wanted = {}, {}
    for name, some in pieces.items():
        lengths = [int(piece.frames[-1] - piece.frames[0]) + 1 for piece in some]
        found[name] = np.zeros((len(some), max(lengths), *shape), dtype)
        for piece, length, to in zip(some, lengths, found[name], strict=True):
            wanted.setdefault(piece.trajectory, []).append((int(piece.frames[0]), to[:length]))
    for rows, frames, values in blocks(array, np.array(sorted(wanted))):
        for row, one in zip(range(rows.start, rows.stop), values, strict=True):
            for first, to in wanted.get(row, ()):
                begin, end = max(first, frames.start), min(first + len(to), frames.stop)
                if begin < end:
                    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # found when it was read
                        to[begin - first : end - first] = one[begin - frames.start : end - frames.start]
    return found


def as_fields(mask: StoredArray, shape: tuple[int, ...]) -> StoredArray:
    """A mask of points as one of values, which repeats it for each channel."""
    return mask if mask.shape == shape else mapped(mask, (*mask.shape, 1), lambda values: values[..., None])


def _where_numbers(u: np.ndarray) -> np.ndarray | None:
    """Mask of the values that are not NaN, None if none is."""
    if not any(np.isnan(one).any() for one in u):
        return None
    mask = np.empty(u.shape, bool)
    for one, to in zip(u, mask, strict=True):
        np.logical_not(np.isnan(one), out=to)
    return mask


def _finish(
    layout: Layout, pieces: list[Piece], u: np.ndarray, mask: np.ndarray | None, u_true: np.ndarray | None
) -> tuple[Split | None, list[tuple[str, str]]]:
    """A split without its forcing, and the problems with it; the arrays are changed in place."""
    points, kept, problems = tuple(range(1, u.ndim - 1)), [], []
    for i, piece in enumerate(pieces):
        chosen = piece.frames - piece.frames[0]
        if mask is not None:
            np.copyto(u[i], 0, where=~mask[i])
            chosen = chosen[mask[i].any(axis=points)[chosen]]
        kept.append(Piece(piece.trajectory, piece.frames[0] + chosen))
        problems += too_short(piece.trajectory, len(chosen))
        for name, array in (("mask", mask), ("u", u), ("u_true", u_true)):
            if array is not None:
                _choose(array[i], chosen)
                if name != "mask":
                    infinite = Infinite(name, kept[-1], layout.mask is not None)
                    infinite.look(0, array[i])
                    problems += infinite.problems()
    if problems:
        return None, problems
    observed = sum(len(piece.frames) for piece in kept)
    if mask is not None and np.count_nonzero(mask) == observed * np.prod(u.shape[2:]):
        mask = None
    longest = max(len(piece.frames) for piece in kept)
    u_true, mask = (None if array is None else array[:, :longest] for array in (u_true, mask))
    return make_split(layout, kept, u[:, :longest], mask, u_true), []


def make_split(layout: Layout, kept: list[Piece], u: Field, mask: Field | None, u_true: Field | None) -> Split:
    """A split without its forcing, of these observed frames and what was found at them."""
    lengths, times, rows = np.array([len(piece.frames) for piece in kept]), layout.times, [p.trajectory for p in kept]
    longest, origin = int(lengths.max()), layout.origin[rows]
    return Split(
        t=np.stack([_continue(times[row, frames], longest) for row, frames in kept]),
        u=u,
        u_true=u_true,
        mask=mask,
        num_frames=None if (lengths == longest).all() else lengths,
        mu=None if layout.mu is None else layout.mu[rows].astype(np.float32),
        origin=origin if origin.any() else None,
    )


def too_short(trajectory: int, frames: int) -> list[tuple[str, str]]:
    """The problem with a trajectory of which so many frames were observed, if it is one."""
    if frames >= LEAST_FRAMES:
        return []
    text = f"has {frames} observed frames in what is used of trajectory {trajectory}"
    return [("frames", f"{text}, expected at least {LEAST_FRAMES}; leave it out, or add frames")]


def _choose(array: np.ndarray, frames: np.ndarray) -> None:
    """Moves the chosen frames of `(time, ...)` to its beginning and sets what is after them to 0."""
    if len(frames) and frames[-1] != len(frames) - 1:
        array[: len(frames)] = array[frames]
    array[len(frames) :] = 0


def read_forcing(layout: Layout, pieces: Pieces) -> tuple[dict[str, dict[str, np.ndarray]], list[tuple[str, str]]]:
    """All of the forcing of each piece's trajectory and its times, by the names in `Split`, and the problems with it.

    After the last time it goes on with its last value.
    """
    if layout.forcing is None:
        return {name: {} for name in pieces}, []
    times, shape, problems, found = layout.forcing_times, layout.forcing.shape, [], {}
    given = {name: [Piece(row, np.flatnonzero(np.isfinite(times[row]))) for row, _ in pieces[name]] for name in pieces}
    for name, forcing in _read(layout.forcing, given, shape[2:], np.float32).items():
        for to, piece in zip(forcing, given[name], strict=True):
            infinite = Infinite("forcing", piece)
            infinite.look(0, to[: len(piece.frames)])
            problems += infinite.problems()
            to[len(piece.frames) :] = to[len(piece.frames) - 1]
        filling = ((0, 0), (0, shape[1] - forcing.shape[1]), *((0, 0) for _ in shape[2:]))
        found[name] = {
            "forcing": np.pad(forcing, filling, mode="edge") if forcing.shape[1] < shape[1] else forcing,
            "forcing_t": np.stack([_continue(times[row, frames], shape[1]) for row, frames in given[name]]),
        }
    return found, problems


def _continue(t: np.ndarray, length: int) -> np.ndarray:
    """Times `t` followed by as many as are missing, with the last spacing between them."""
    return np.concatenate([t, t[-1] + (t[-1] - t[-2]) * np.arange(1, length - len(t) + 1)])


class Infinite:
    """Counts values of an array that are not finite in one piece, a few frames at a time.

    Args:
      name: of the array.
      piece: where its frames stand in the file.
      masked: whether the file has a mask, to say how to mend it.

    Attributes:
      number: of such values so far.
    """

    def __init__(self, name: str, piece: Piece, masked: bool = False):
        self._name, self._piece, self._masked = name, piece, masked
        self.number, self._first = 0, ()

    def look(self, start: int, values: np.ndarray) -> None:
        """At frames `(time, ...)` from number `start` of the piece on."""
        bad = ~np.isfinite(values)
        if bad.any():
            frame, *where = np.argwhere(bad)[0].tolist()
            self._first = self._first or (int(self._piece.frames[start + frame]), *where)
            self.number += int(bad.sum())

    def problems(self) -> list[tuple[str, str]]:
        """The problem with them, if there are any."""
        if not self.number:
            return []
        mend = {
            "u": "make `mask` false there" if self._masked else "make them NaN where they are missing",
            "u_true": "correct the truth or leave it out",
            "forcing": "correct them",
        }
        text = (
            f"holds {self.number} values of `{self._name}` that are not finite in single precision in trajectory "
            f"{self._piece.trajectory}, the first at (time, ...) = {self._first}; {mend[self._name]}, or take a larger "
            "unit"
        )
        return [(self._name, text)]
