"""What the training fields are like, by which settings are chosen: their scales, and how they change in time.

Nothing here changes when the data come in other units.
"""

from typing import NamedTuple

import numpy as np

from msvi.data.split import Dataset, Split
from msvi.data.statistics import spread
from msvi.errors import InputError
from msvi.model.blocks import pool
from msvi.model.scales import Scales

# Trajectories, frames of each and frames in all that are looked at.
_TRAJECTORIES, _FRAMES, _SNAPSHOTS = 16, 512, 256
# Exponent of the mean squared increment in time, below which paths count as rough: 1 of a diffusion, 2 of a smooth one.
_ROUGH = 1.5
# Part of its deviation by which a straight line between two nodes may miss the coarse field half-way: the nodes of a
# pure oscillation then lie 0.4 radian apart.
_MISSED = 0.02


class Motion(NamedTuple):
    """How the field, averaged over coarse cells, changes in time.

    Attributes:
      spacing: median time between frames.
      correlation_time: after which the mean squared increment is 1 - 1/e of its largest.
      exponent: of the mean squared increment at short lags, noise taken off; 1 of a diffusion, 2 of a smooth path.
      node_frames: frames from one node to the next that a smooth interpolation may leave out.
      diffusion: mean squared increment per unit of time at the shortest lag, in units of the field's variance.
    """

    spacing: float
    correlation_time: float
    exponent: float
    node_frames: int
    diffusion: float

    @property
    def rough(self) -> bool:
        """Whether noise drives the paths."""
        return self.exponent < _ROUGH


def field_scales(train: Split) -> Scales:
    """Mean, deviation and median of each channel, and the usual spacing.

    A channel that never changes has the deviation of one that is as large as itself, or 1 where it is zero.

    Raises:
      InputError: no channel varies.
    """
    found = train.statistics()
    constant = found.std <= 1e-6 * np.abs(found.mean)
    if constant.all():
        raise InputError("The training fields must vary, got one constant; check the data.")
    std = np.where(constant, np.where(found.mean == 0, 1.0, np.abs(found.mean)), found.std)
    mean, std, rest = (tuple(numbers.tolist()) for numbers in (found.mean, std, found.median))
    return Scales(mean, std, 1.0, _spacing(train), rest)


def find_motion(train: Split, scales: Scales, coarsening: int) -> Motion:
    """Increments of the standardised field, averaged over coarse cells, at lags of 1, 2, 4, ... frames."""
    paths = [_coarse_path(train, scales, coarsening, i) for i in spread(len(train.u), _TRAJECTORIES)]
    longest = max(len(x) for x in paths)
    lags = [2**k for k in range(int(np.log2(max(longest - 1, 1))) + 1)]
    squares = np.array([_mean([np.mean((x[k:] - x[:-k]) ** 2, axis=1) for x in paths if len(x) > k]) / 2 for k in lags])
    spacing = _spacing(train)
    # Halves of the longest lags are seen by few pairs of frames.
    half = max(1, len(lags) - 1)
    # The shortest lags at which more than noise is seen.
    start = 0
    while start + 2 < len(lags) and squares[start + 1] - squares[start] < 0.3 * squares[start]:
        start += 1
    if start + 2 >= len(lags):
        start = 0
    near, far = squares[start + 1] - squares[start], squares[min(start + 2, len(lags) - 1)] - squares[start + 1]
    # Two estimates that err on the side of rough: the first where increments stop growing, the second by noise.
    exponent = max(_power(near, far), _power(squares[start], squares[start + 1])) if len(lags) > 2 else 2.0
    noise = max(0.0, squares[start] - near / (2**exponent - 1)) if exponent > 0 else 0.0
    signal = np.maximum(squares - noise, 0)
    # The first lag that is far enough, with a straight line between lags.
    level = (1 - np.exp(-1)) * signal[:half].max()
    lag = float(np.interp(level, np.maximum.accumulate(signal[:half]), lags[:half])) if half > 1 else float(lags[-1])
    missed = [_mean([_half_way(x, k) for x in paths if len(x) > 2 * k]) for k in lags if 2 * k < longest]
    allowed = _MISSED**2 * signal.max() + 1.5 * noise
    fine = [2 * k for k, error in zip(lags, missed, strict=False) if error <= allowed]
    return Motion(
        spacing=spacing,
        correlation_time=max(lag, 1.0) * spacing,
        exponent=exponent,
        node_frames=max(fine, default=1),
        diffusion=float(2 * signal[start] / (lags[start] * spacing)),
    )


def _power(near: float, far: float) -> float:
    """To which power of the lag something grows that doubling the lag takes from `near` to `far`, from 0 to 2."""
    return float(np.clip(np.log2(max(far, 1e-12) / max(near, 1e-12)), 0, 2))


def _half_way(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each frame from the mean of those `k` before and after it, the mean over cells."""
    return np.mean((x[k:-k] - (x[2 * k :] + x[: -2 * k]) / 2) ** 2, axis=1)


def _mean(values: list[np.ndarray]) -> float:
    return float(np.mean(np.concatenate(values)))


def _coarse_path(train: Split, scales: Scales, coarsening: int, i: int) -> np.ndarray:
    """Averages over coarse cells of one trajectory's first frames, `(time, cell)`."""
    u = _first_frames(train, scales, i)
    # Time as a further channel: blocks are of the grid's axes alone.
    moved = np.moveaxis(u, 0, -1).reshape(*u.shape[1:-1], -1)
    return pool(moved, coarsening).reshape(-1, len(u)).T


def snapshots_of(train: Split, scales: Scales) -> np.ndarray:
    """Standardised frames spread over trajectories and times, gaps filled with the median, `(frame, *grid,
    channel)`."""
    each = max(1, _SNAPSHOTS // len(train.u))
    found = []
    for i in spread(len(train.u), _SNAPSHOTS):
        observed = train.observed(i)
        for k in spread(int(train.lengths[i]), each):
            u = scales.standardise(np.asarray(train.u[i, k], np.float64))
            found.append(u if observed is None else np.where(observed[k], u, 0.0))
    return np.stack(found).astype(np.float32)


def short_waves(dataset: Dataset, scales: Scales) -> list[np.ndarray]:
    """For each axis the share of the increments' power in waves that `n` cells cannot tell apart, for `n` from 0 on."""
    train, powers = dataset.train, [np.zeros(()) for _ in dataset.grid]
    for i in spread(len(train.u), _TRAJECTORIES):
        change = np.diff(_first_frames(train, scales, i), axis=0)
        powers = [
            power + _power_spectrum(np.moveaxis(change, axis + 1, -1), kind)
            for axis, (power, kind) in enumerate(zip(powers, dataset.boundary, strict=True))
        ]
    return [_beyond(*of_axis) for of_axis in zip(powers, dataset.grid, dataset.boundary, strict=True)]


def _power_spectrum(u: np.ndarray, kind: str) -> np.ndarray:
    """Along the last axis, the mean over the others: of whole waves on a circle, of half waves between edges."""
    # Half waves are those of a circle twice as long.
    around = u if kind == "periodic" else np.concatenate([u, u[..., ::-1]], axis=-1)
    return np.mean(np.abs(np.fft.rfft(around)) ** 2, axis=tuple(range(u.ndim - 1)))


def _beyond(power: np.ndarray, points: int, kind: str) -> np.ndarray:
    """Share of the power, white noise taken off, in waves too short for `n` cells, for `n` from 0 to `points`."""
    power = np.maximum(power - np.median(power[len(power) // 2 :]), 0.0)
    beyond = np.cumsum(power[::-1])[::-1] / max(power.sum(), 1e-30)
    waves = np.arange(points + 1) // (2 if kind == "periodic" else 1)
    return beyond[np.minimum(waves, len(beyond) - 1)]


def _first_frames(train: Split, scales: Scales, i: int) -> np.ndarray:
    """Standardised first frames of one trajectory, gaps filled with the median, `(time, *grid, channel)`."""
    frames, observed = min(int(train.lengths[i]), _FRAMES), train.observed(i)
    u = scales.standardise(np.asarray(train.u[i, :frames], np.float64))
    return u if observed is None else np.where(observed[:frames], u, 0.0)


def _spacing(train: Split) -> float:
    return float(np.median(np.concatenate([np.diff(t[:n]) for t, n in zip(train.t, train.lengths, strict=True)])))
