"""From pieces of trajectories in a file to the arrays of a split, one trajectory held in memory at a time beside it."""

from typing import NamedTuple

import numpy as np

from msvi.data.arrays import StoredArray
from msvi.data.division import Piece
from msvi.data.layout import Layout
from msvi.data.problems import refuse
from msvi.data.split import Split


class Frames(NamedTuple):
    """Frames of one trajectory in float32, each `(time, *grid, channel)`; `mask` and `u_true` as in `Split`."""

    u: np.ndarray
    mask: np.ndarray | None
    u_true: np.ndarray | None


def observed_frames(layout: Layout) -> np.ndarray:
    """Which frames have a time and at least one observed value, boolean, `(trajectory, time)`.

    Without any times, all of them count.
    """
    observed = np.ones(layout.u.shape[:2], bool) if layout.t is None else np.isfinite(layout.times)
    if layout.mask is not None:
        for trajectory, row in enumerate(observed):
            number = int(row.sum())
            mask = layout.mask.read(trajectory, slice(0, number)).astype(bool)
            row[:number] = mask.any(axis=tuple(range(1, mask.ndim)))
    return observed


def read_frames(layout: Layout, piece: Piece) -> tuple[Frames, list[tuple[str, str]]]:
    """Reads a piece, with `u` set to 0 where it was not observed, and the problems with it.

    Raises:
      InputError: the file is damaged.
    """

    def read(array: StoredArray) -> np.ndarray:
        first, last = int(piece.frames[0]), int(piece.frames[-1])
        return array.read(piece.trajectory, slice(first, last + 1))[piece.frames - first]

    u, mask, u_true, problems = _single(read(layout.u)), None, None, []
    if layout.mask is not None and len(layout.mask.shape) > 2:  # a mask of whole frames is in the piece
        mask = read(layout.mask).astype(bool)
        mask = np.broadcast_to(mask.reshape(mask.shape + (1,) * (u.ndim - mask.ndim)), u.shape)
        u = np.where(mask, u, np.float32(0))
    missing = "give `mask`, false where values are missing, for example np.isfinite(u)"
    problems += _infinite("u", u, piece, missing if layout.mask is None else "make `mask` false there")
    if layout.u_true is not None:
        u_true = _single(read(layout.u_true))
        problems += _infinite("u_true", u_true, piece, "correct the truth or leave it out")
    return Frames(u, mask, u_true), problems


def read_forcing(
    layout: Layout, piece: Piece, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    """All of the forcing of the trajectory of a piece, its times, and the problems with it.

    After the last time it goes on with its last value.

    Args:
      layout, piece: as `read_frames`.
      times: of the forcing of all trajectories, `Layout.forcing_times`.

    Raises:
      InputError: the file is damaged.
    """
    t = times[piece.trajectory]
    given = np.flatnonzero(np.isfinite(t))
    forcing = _single(layout.forcing.read(piece.trajectory, slice(0, len(given))))
    problems = _infinite("forcing", forcing, Piece(piece.trajectory, given), "correct them")
    filling = ((0, len(t) - len(given)), *((0, 0) for _ in forcing.shape[1:]))
    return np.pad(forcing, filling, mode="edge"), _continue(t[given], len(t)), problems


def read_split(layout: Layout, path: str, pieces: list[Piece]) -> Split:
    """The pieces as one split; shorter ones are filled up to the length of the longest.

    Raises:
      InputError: an observed value, one of the truth or of the forcing is not finite; or the file is damaged.
    """
    lengths = np.array([len(piece.frames) for piece in pieces])
    shape = (len(pieces), lengths.max(), *layout.u.shape[2:])
    u, mask = np.zeros(shape, np.float32), None if layout.mask is None else np.zeros(shape, bool)
    u_true = None if layout.u_true is None else np.zeros(shape, np.float32)
    forcing, times, forcing_times = [], layout.times, layout.forcing_times
    rows = [piece.trajectory for piece in pieces]
    origin = layout.origin[rows]
    for i, (piece, length) in enumerate(zip(pieces, lengths, strict=True)):
        frames, problems = read_frames(layout, piece)
        u[i, :length] = frames.u
        if mask is not None:
            mask[i, :length] = True if frames.mask is None else frames.mask
        if u_true is not None:
            u_true[i, :length] = frames.u_true
        if layout.forcing is not None:
            *values, wrong = read_forcing(layout, piece, forcing_times)
            forcing.append(values)
            problems += wrong
        refuse(path, [text for _, text in problems])
    if mask is not None and np.count_nonzero(mask) == lengths.sum() * np.prod(shape[2:]):
        mask = None
    return Split(
        t=np.stack([_continue(times[piece.trajectory, piece.frames], shape[1]) for piece in pieces]),
        u=u,
        u_true=u_true,
        mask=mask,
        num_frames=None if (lengths == shape[1]).all() else lengths,
        mu=None if layout.mu is None else _single(layout.mu[rows]),
        forcing=np.stack([values for values, _ in forcing]) if forcing else None,
        forcing_t=np.stack([t for _, t in forcing]) if forcing else None,
        origin=origin if origin.any() else None,
    )


def _continue(t: np.ndarray, length: int) -> np.ndarray:
    """Times `t` followed by as many as are missing, with the last spacing between them."""
    t = t.astype(np.float64)
    return np.concatenate([t, t[-1] + (t[-1] - t[-2]) * np.arange(1, length - len(t) + 1)])


def _single(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite afterwards is found there
        return values.astype(np.float32)


def _infinite(name: str, values: np.ndarray, piece: Piece, mend: str) -> list[tuple[str, str]]:
    """The problem with values that are not finite, if there are any."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return []
    frame, *where = np.argwhere(bad)[0].tolist()
    text = (
        f"holds {int(bad.sum())} values of `{name}` that are not finite in single precision in trajectory "
        f"{piece.trajectory}, the first at (time, ...) = {(int(piece.frames[frame]), *where)}; {mend}"
    )
    return [(name, text)]
