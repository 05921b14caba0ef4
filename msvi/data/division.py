"""Which trajectories of a data file are learned from, validated on and tested on."""

import numpy as np

from msvi.data.formats.arrays import Piece
from msvi.data.split import SPLITS

# Fewer trajectories than this are cut by time.
_FEWEST = 3
# Parts of a trajectory that is cut.
_PART = 0.1
# Frames that a trajectory, or a part of one, needs.
LEAST_FRAMES = 2


def divide(
    observed: np.ndarray, split: list[str] | None, numbers: dict[str, int], seed: int
) -> tuple[dict[str, list[Piece]], list[str]]:
    """The pieces of each split, and what stands in the way, as `msvi.data.problems` puts it.

    A file's own division is taken as it is. Else at least 3 trajectories are divided at random: the test split is drawn
    first, so that it does not depend on the sizes of the others. Fewer are each cut by time: the last tenth tests, the
    tenth before it validates, and the rest is learned from. In a split the trajectories stand in the file's order.

    Args:
      observed: frames of which something was observed, boolean, `(trajectory, time)`.
      split: a name for each trajectory from the file, or None.
      numbers: trajectories asked for, per split; 0 for all of a file's division or of a cut, else for a tenth of them
        to validate and to test and the rest to learn from.
      seed: of the division at random.
    """
    trajectories = [Piece(i, np.flatnonzero(row)) for i, row in enumerate(observed)]
    least = 3 * LEAST_FRAMES if cut_by_time(len(trajectories), split) else LEAST_FRAMES
    short = [piece.trajectory for piece in trajectories if len(piece.frames) < least]
    if short:
        return {}, [
            f"has {len(short)} of {len(observed)} trajectories with fewer than {least} observed frames, the first of "
            f"them number {short[0]}; leave them out, or add frames"
        ]
    if split is not None:
        pieces = {name: [trajectories[i] for i in np.flatnonzero(np.array(split) == name)] for name in SPLITS}
    elif cut_by_time(len(trajectories), split):
        pieces = _cut(trajectories)
    else:
        return _draw(trajectories, numbers, seed)
    problems = [
        f"has {len(pieces[name])} trajectories for {name}, expected at least {max(numbers[name], 1)}; lower "
        f"data.num_{name}, or add trajectories"
        for name in SPLITS
        if len(pieces[name]) < max(numbers[name], 1)
    ]
    return {name: pieces[name][: numbers[name] or None] for name in SPLITS}, problems


def cut_by_time(number: int, split: list[str] | None) -> bool:
    """Whether so many trajectories, with a file's own division or None, are each cut."""
    return split is None and number < _FEWEST


def _cut(trajectories: list[Piece]) -> dict[str, list[Piece]]:
    pieces: dict[str, list[Piece]] = {name: [] for name in SPLITS}
    for trajectory, frames in trajectories:
        part = max(LEAST_FRAMES, round(_PART * len(frames)))
        for name, some in zip(SPLITS, np.split(frames, [-2 * part, -part]), strict=True):
            pieces[name].append(Piece(trajectory, some))
    return pieces


def _draw(trajectories: list[Piece], numbers: dict[str, int], seed: int) -> tuple[dict[str, list[Piece]], list[str]]:
    count = len(trajectories)
    test, val = (numbers[name] or max(1, round(_PART * count)) for name in ("test", "val"))
    train = numbers["train"] or max(1, count - test - val)
    if train + val + test > count:
        return {}, [
            f"has {count} trajectories, fewer than the {train} to learn from, {val} to validate and {test} to test "
            "that are asked for; lower data.num_train, data.num_val or data.num_test"
        ]
    order = np.random.default_rng(seed).permutation(count)
    chosen = {"test": order[:test], "val": order[test:][:val], "train": order[test + val :][:train]}
    return {name: [trajectories[i] for i in np.sort(chosen[name])] for name in SPLITS}, []
