"""Even frames: what methods that step from frame to frame make of trajectories with times of their own."""

from typing import NamedTuple

import numpy as np
import scipy  # whose parts load when they are first used

from msvi.data.split import Split
from msvi.errors import InputError

# Part of a step by which frames may miss even times; files may keep these in single precision.
_TOLERANCE = 1e-3


class Steps(NamedTuple):
    """The mean time between two frames, and whether all frames are as far apart."""

    spacing: float
    even: bool

    @property
    def settings(self) -> dict[str, object]:
        """What a result file says of them, as plain JSON data."""
        return {"spacing": self.spacing, "frames": "as they are" if self.even else "interpolated by cubic splines"}


def frame_steps(split: Split) -> Steps:
    """Steps of the trajectories of a split.

    Raises:
      InputError: no trajectory has two frames.
    """
    steps = np.concatenate([np.diff(own_times(split, i)) for i in range(len(split.t))])
    if not len(steps):
        raise InputError("A trajectory to learn from needs at least 2 frames, got 1; store more frames.")
    return Steps(float(steps.mean()), bool(np.allclose(steps, steps.mean(), rtol=_TOLERANCE, atol=0)))


def own_times(split: Split, trajectory: int) -> np.ndarray:
    """Times of a trajectory's own frames since its first, `(time,)`, in float64."""
    t = np.asarray(split.t[trajectory, : split.lengths[trajectory]], np.float64)
    return t - t[0]


def even_frames(t: np.ndarray, values: np.ndarray, steps: Steps) -> np.ndarray:
    """Values `(time, ...)` at the times `t`, `(time,)` from 0 on, at multiples of the spacing; as they are if even."""
    if steps.even or len(t) < 2:
        return values
    times = steps.spacing * np.arange(int(t[-1] / steps.spacing * (1 + 1e-9)) + 1)
    return interpolate(t, values, np.minimum(times, t[-1]))


def interpolate(t: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values `(time, ...)` at the times `t` at other ones between them, by a cubic spline where `t` are enough."""
    return scipy.interpolate.make_interp_spline(t, values, k=min(3, len(t) - 1))(times)


def interpolation(nodes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The same as a matrix `(time, node)`; a row with a single 1 at a node."""
    return interpolate(nodes, np.eye(len(nodes)), times) if len(nodes) > 1 else np.ones((len(times), 1))
