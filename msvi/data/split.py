"""Trajectories split by what they are for, and what they must satisfy."""

from typing import NamedTuple

import numpy as np

from msvi.errors import InputError

SPLITS = ("train", "val", "test")


class Split(NamedTuple):
    """Trajectories in float32, `u` of the shape `(trajectory, time, *grid, channel)`; on disk until they are read.

    `t` are the frame times of each trajectory, `(trajectory, time)`. `u_true` is `u` without observation noise, None
    where it is not known or not kept.
    """

    t: np.ndarray
    u: np.ndarray
    u_true: np.ndarray | None


class Dataset(NamedTuple):
    """Everything the model may learn from, and what it is tested on.

    All quantities are non-dimensional.

    Attributes:
      coordinates: grid points of each axis.
      boundary: kind of each axis.
      train, val, test: what is learned from, what the checkpoint is chosen by, and what the errors are measured on.
      published: the paper's test trajectory, where it is none of `test`.
      solid: true where there is no fluid, `(*grid)`; None if there is fluid everywhere.
    """

    coordinates: tuple[np.ndarray, ...]
    boundary: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    published: Split | None = None
    solid: np.ndarray | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return self.train.u.shape[2:-1]

    @property
    def num_channels(self) -> int:
        """Fields per grid point."""
        return self.train.u.shape[-1]


def check_dataset(dataset: Dataset) -> Dataset:
    """Returns `dataset` if a model can be trained on it.

    Raises:
      InputError: a value that is not finite, or times that do not increase.
    """
    for name in SPLITS:
        split = getattr(dataset, name)
        for field in ("u", "u_true"):
            values = getattr(split, field)
            for trajectory, one in enumerate(() if values is None else values):  # one at a time: they may be large
                bad = ~np.isfinite(one)
                if bad.any():
                    where = tuple(int(i) for i in np.argwhere(bad)[0])
                    raise InputError(
                        f"Data must be finite, got {one[where]} in {name}.{field} at (trajectory, time, *grid, channel)"
                        f" = {(trajectory, *where)} and {int(bad.sum())} such values in this trajectory; mend or "
                        "remove it."
                    )
        if not np.all(np.diff(split.t, axis=1) > 0):
            raise InputError("Frame times must increase strictly; sort the frames and drop repeated times.")
    return dataset
