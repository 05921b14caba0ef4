"""Trajectories split by what they are for, and what they must satisfy."""

from typing import NamedTuple

import numpy as np

from msvi.data.labels import Labels
from msvi.data.statistics import Collector, Statistics, blocks_of_frames, spread
from msvi.data.streamed import Field, StreamedField
from msvi.errors import InputError

SPLITS = ("train", "val", "test")


class Split(NamedTuple):
    """Trajectories in the units of their file, float32 but for times; fields are on disk until they are read.

    Attributes:
      t: frame times of each trajectory, `(trajectory, time)`, strictly increasing, evenly spaced or not, in float64 and
        since its start: that of the whole one where it is cut by time.
      u: observed fields, `(trajectory, time, *grid, channel)`; zero where nothing was observed.
      u_true: `u` without observation noise, None where it is not known or not kept.
      mask: where `u` was observed, boolean, of its shape; None if everywhere.
      num_frames: frames of each trajectory, `(trajectory,)`; what lies beyond, with times that go on increasing, only
        fills the arrays. None if all are as long. Frames of which nothing was observed are left out, and no frames.
      mu: parameters of each trajectory's system, `(trajectory, parameter)`; None if there are none.
      forcing: what acts on the system from outside, `(trajectory, forcing_time, force)` or, as a field,
        `(trajectory, forcing_time, *grid, force)`; None if nothing does.
      forcing_t: its times, `(trajectory, forcing_time)`, as `t`; a line joins the values between them.
      origin: when each trajectory started, `(trajectory,)` in float64, which was taken off `t` and `forcing_t`; a date
        is in seconds since 1970. None for zeros.
      inside: whether the random parameters of each trajectory lie in the range of those learned from, `(trajectory,)`;
        None where they are not known.
      measured: `u` and what its values are like, where that was found when they were read; see `statistics`.
    """

    t: np.ndarray
    u: Field
    u_true: Field | None = None
    mask: Field | None = None
    num_frames: np.ndarray | None = None
    mu: np.ndarray | None = None
    forcing: np.ndarray | None = None
    forcing_t: np.ndarray | None = None
    origin: np.ndarray | None = None
    inside: np.ndarray | None = None
    measured: tuple[Field, Statistics] | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each trajectory, `(trajectory,)`."""
        return np.full(len(self.t), self.t.shape[1]) if self.num_frames is None else self.num_frames

    def observed(self, trajectory: int) -> np.ndarray | None:
        """Where one trajectory was observed, `(time, *grid, channel)`, nowhere in what fills it; None if everywhere."""
        mask = None if self.mask is None else self.mask[trajectory]
        if self.num_frames is None:
            return mask
        shape = self.u.shape[1:]
        frames = np.arange(shape[0]) < self.num_frames[trajectory]
        frames = np.broadcast_to(frames.reshape(-1, *(1,) * (len(shape) - 1)), shape)
        return frames if mask is None else frames & mask

    def statistics(self) -> Statistics:
        """What the values of `u` are like, in one pass unless that of this very `u` is known."""
        if self.measured is not None and self.measured[0] is self.u:
            return self.measured[1]
        pieces, collector = list(blocks_of_frames(self.u.shape)), None
        for i in range(len(self.u)):
            observed = self.observed(i)
            for frames in pieces:
                u = self.u[i, frames]
                collector = collector or Collector(self.u.shape, u)
                collector.add(frames.start, u, None if observed is None else observed[frames])
        assert collector is not None  # a split has a trajectory
        return collector.statistics()


def measure(split: Split, known: Statistics | None = None) -> Split:
    """The split that knows its statistics, so that asking for them again costs nothing."""
    return split._replace(measured=(split.u, known or split.statistics()))


def some_frames(split: Split, number: int, seed: int) -> np.ndarray:
    """So many frames of a split at random, or all where there are less, `(frame, *grid, channel)`, NaN where nothing
    was observed."""
    places = [(i, k) for i, length in enumerate(split.lengths) for k in range(length)]
    chosen = np.random.default_rng(seed).choice(len(places), min(number, len(places)), replace=False)
    frames = []
    for i, k in (places[one] for one in chosen):
        frame = np.array(split.u[i, k])
        frames.append(frame if split.mask is None else np.where(split.mask[i, k], frame, np.nan))
    return np.stack(frames)


def cut_windows(split: Split, length: int, every: int, most: int | None = None) -> Split:
    """Windows of `length` frames of each trajectory, one beginning `every` frames after the other, as trajectories
    of their own.

    What is left at the end of one is dropped; a trajectory that is shorter is one window. Parameters and forcing, whose
    times stay, are those of the trajectory.

    Args:
      most: frames in all; of more some windows are taken, evenly spread.
    """
    length = min(length, split.t.shape[1])
    starts = [(i, s) for i, n in enumerate(split.lengths) for s in range(0, max(n - length, 0) + 1, every)]
    if most is not None and len(starts) * length > most:
        starts = [starts[number] for number in spread(len(starts), max(1, most // length))]

    def cut(array: Field) -> Field:
        if isinstance(array, StreamedField):
            return array.windows(starts, length)
        return np.stack([array[i, s : s + length] for i, s in starts])

    frames = {name: cut(array) for name in ("u_true", "mask") if (array := getattr(split, name)) is not None}
    others = {
        name: np.stack([array[i] for i, _ in starts])
        for name in ("mu", "forcing", "forcing_t", "origin")
        if (array := getattr(split, name)) is not None
    }
    lengths = np.array([min(length, split.lengths[i] - s) for i, s in starts])
    num_frames = None if (lengths == length).all() else lengths
    found = Split(np.asarray(cut(split.t)), cut(split.u), num_frames=num_frames)
    return found._replace(**frames, **others)


class Dataset(NamedTuple):
    """Everything the model may learn from, and what it is tested on.

    Attributes:
      coordinates: grid points of each axis.
      boundary: kind of each axis.
      train, val, test: what is learned from, what the checkpoint is chosen by, and what the errors are measured on.
      published: what the paper's errors are measured on, where it is not `test`.
      second_test: test trajectories that no choice has seen, of another seed.
      solid: true where there is no fluid, `(*grid)`; None if there is fluid everywhere.
      coarsening: full points per coarse cell and axis that the data ask for; None if they leave it open.
      digest: of what is learned from, where it was read from a file that may change; else empty.
      labels: what the file calls its axes, channels and times.
    """

    coordinates: tuple[np.ndarray, ...]
    boundary: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    published: Split | None = None
    second_test: Split | None = None
    solid: np.ndarray | None = None
    coarsening: int | None = None
    digest: str = ""
    labels: Labels = Labels()

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return self.train.u.shape[2:-1]

    @property
    def num_channels(self) -> int:
        """Fields per grid point."""
        return self.train.u.shape[-1]


def check_dataset(dataset: Dataset) -> Dataset:
    """Returns `dataset` if a model can be trained on it; what fills the arrays has to be finite too.

    Raises:
      InputError: a value that is not finite, or times that do not increase.
    """
    fields = "(trajectory, time, *grid, channel)"
    axes = {"u": fields, "u_true": fields, "mu": "(trajectory, parameter)", "forcing": "(trajectory, forcing_time, …)"}
    for name in SPLITS:
        split = getattr(dataset, name)
        for field in axes:
            values = getattr(split, field)
            if isinstance(values, StreamedField):  # which was looked at when it was surveyed
                continue
            for trajectory, one in enumerate(() if values is None else values):  # one at a time: they may be large
                bad = ~np.isfinite(one)
                if bad.any():
                    where = tuple(int(i) for i in np.argwhere(bad)[0])
                    raise InputError(
                        f"Data must be finite, got {one[where]} in {name}.{field} at {axes[field]} = "
                        f"{(trajectory, *where)} and {int(bad.sum())} such values in this trajectory; mend or remove "
                        "it."
                    )
        for t in (split.t, split.forcing_t):
            if t is not None and not np.all(np.diff(t, axis=1) > 0):
                raise InputError("Frame times must increase strictly; sort the frames and drop repeated times.")
    return dataset
