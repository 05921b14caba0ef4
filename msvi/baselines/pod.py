"""Proper orthogonal decomposition of the training fields, and errors of forecasts made in its coefficients."""

from typing import NamedTuple

import numpy as np
import scipy

from msvi.baselines.times import Steps, even_frames, own_times
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.model.scales import Scales

_MAX_MODES = 400
# Numbers of the snapshot matrix in float64, half a gigabyte; every so-many-th frame is left out of a larger one.
_MAX_SNAPSHOT_SIZE = 2**26


class Basis(NamedTuple):
    """`u ≈ mean + coefficients @ modes` of fields in the units of `scales`, in which all channels count alike.

    `mean` is `(*grid, channel)`, `modes` is orthonormal, `(mode, point)` with all numbers of a field as points, in
    falling order of energy.
    """

    scales: Scales
    mean: np.ndarray
    modes: np.ndarray


class Reduced(NamedTuple):
    """Trajectories in a basis, filled up with zeros to the length of the longest.

    `t` and `known`, whether the frame is the trajectory's own, are `(trajectory, time)`, `coefficients` are
    `(trajectory, time, mode)`; of each frame, `(trajectory, time)`, `rest` is `||u - mean||²` and `energy` is `||u||²`;
    `u` is the standardised field. What fills `t` is the last own time.
    """

    t: np.ndarray
    known: np.ndarray
    coefficients: np.ndarray
    rest: np.ndarray
    energy: np.ndarray

    def even(self, steps: Steps) -> list[np.ndarray]:
        """Coefficients of each trajectory at even times, `(time, mode)`."""
        parts = zip(self.t, self.known, self.coefficients, strict=True)
        return [even_frames(t[own] - t[0], a[own], steps) for t, own, a in parts]


def fit_basis(split: Split, scales: Scales, first: int = 0) -> Basis:
    """Leading modes of the deviations from the mean, of all trajectories in common.

    By the smaller of the two covariances, over points or over snapshots (L. Sirovich, "Turbulence and the dynamics of
    coherent structures", Quarterly of Applied Mathematics 45, 1987).

    Args:
      split: what is learned from.
      scales: of its channels.
      first: frame of each trajectory from which on it is used.

    Raises:
      InputError: fields that never change.
    """
    points = int(np.prod(split.u.shape[2:]))
    step = -(-int(np.sum(split.lengths - first)) * points // _MAX_SNAPSHOT_SIZE)
    fields = (u[first:length:step] for u, length in zip(split.u, split.lengths, strict=True))
    snapshots = np.concatenate([scales.standardise(np.asarray(u, np.float64)).reshape(-1, points) for u in fields])
    mean = snapshots.mean(axis=0)
    snapshots -= mean
    few = len(snapshots) < points
    covariance = snapshots @ snapshots.T if few else snapshots.T @ snapshots
    n = len(covariance)
    energies, vectors = scipy.linalg.eigh(covariance, subset_by_index=[max(n - _MAX_MODES, 0), n - 1])
    if not energies[-1] > 1e-24 * snapshots.size:
        raise InputError("The training fields must change in time, got the same frame throughout; check the data.")
    # Below round-off of the largest the covariance knows no directions.
    vectors = vectors[:, energies > 1e-13 * n * energies[-1]][:, ::-1].T
    modes = vectors @ snapshots if few else vectors
    return Basis(scales, mean.reshape(split.u.shape[2:]), modes / np.linalg.norm(modes, axis=1, keepdims=True))


def encode(basis: Basis, u: np.ndarray) -> np.ndarray:
    """Coefficients `(..., mode)` of fields `(..., *grid, channel)`."""
    rest = basis.scales.standardise(np.asarray(u, np.float64)) - basis.mean
    return rest.reshape(*rest.shape[: rest.ndim - basis.mean.ndim], -1) @ basis.modes.T


def decode(basis: Basis, coefficients: np.ndarray) -> np.ndarray:
    """Fields `(..., *grid, channel)` in float32 of coefficients `(..., mode)`, which may be fewer than the modes."""
    modes = basis.modes[: coefficients.shape[-1]].astype(np.float32)
    with np.errstate(all="ignore"):  # what has diverged becomes infinite
        rest = coefficients.astype(np.float32) @ modes
        rest = rest.reshape(*rest.shape[:-1], *basis.mean.shape)
        return basis.scales.restore(rest + basis.mean.astype(np.float32))


def reduce_split(basis: Basis, split: Split, first: int = 0) -> Reduced:
    """Trajectories in the basis, from the frame `first` on, one at a time: they may be large."""
    shape = len(split.u), int(split.lengths.max()) - first
    found = Reduced(
        np.zeros(shape), np.zeros(shape, bool), np.zeros((*shape, len(basis.modes))), np.zeros(shape), np.zeros(shape)
    )
    for i, length in enumerate(split.lengths):
        u, own = np.asarray(split.u[i, first:length], np.float64), slice(0, length - first)
        found.coefficients[i, own] = encode(basis, u)
        u = basis.scales.standardise(u)
        axes = tuple(range(1, u.ndim))
        found.energy[i, own] = (u**2).sum(axis=axes)
        found.rest[i, own] = ((u - basis.mean) ** 2).sum(axis=axes)
        found.known[i, own] = True
        t = own_times(split, i)[first:]
        found.t[i] = np.pad(t, (0, shape[1] - len(t)), mode="edge")
    return found


def mean_nrmse(reduced: Reduced, forecast: np.ndarray) -> float:
    """`sqrt(sum_t ||forecast - u||² / sum_t ||u||²)` of standardised fields, as a mean over the trajectories.

    No offset or unit of a channel matters to it, nor frames at rest. `forecast` are coefficients; no field is built.

    The modes being orthonormal, `||u - mean - forecast @ modes||² = ||u - mean||² - 2 a · forecast + ||forecast||²`
    with the coefficients `a` of `u`.

    Args:
      forecast: `(trajectory, time, mode)`, of the first modes.
    """
    of_field = reduced.coefficients[..., : forecast.shape[-1]]
    with np.errstate(all="ignore"):  # of a forecast that diverged
        error = reduced.rest + (forecast * (forecast - 2 * of_field)).sum(axis=-1)
        error = np.where(reduced.known, np.maximum(error, 0), 0)
        energy = reduced.energy.sum(axis=1)
        varied = energy > 0
        return float(np.sqrt(error.sum(axis=1)[varied] / energy[varied]).mean()) if varied.any() else 0.0


def training_parts(dataset: Dataset) -> list[int]:
    """First training frames to choose from: 0, and where trajectories are much longer than forecasts, their middle.

    The flow past a cylinder is one long trajectory, whose beginning is another regime than its end.
    """
    middle = int(dataset.train.lengths.min()) // 2
    return [0, middle] if middle > 2 * dataset.val.lengths.max() else [0]


def val_frames(split: Split, stride: int, most: int) -> Split:
    """Every `stride`-th frame, or fewer: at most some `most` frames of a trajectory."""
    step = max(stride, int(split.lengths.max()) // most)
    return Split(split.t[:, ::step], split.u[:, ::step], num_frames=-(-split.lengths // step))
