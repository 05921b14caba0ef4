"""Proper orthogonal decomposition of the training fields, and errors of forecasts made in its coefficients."""

from typing import NamedTuple

import numpy as np
import scipy

from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.model.scales import Scales

_MAX_MODES = 100
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
    """Trajectories in a basis.

    `coefficients` are `(trajectory, time, mode)`; of each frame, `(trajectory, time)`, `rest` is `||u - mean||²` and
    `energy` is `||u||²`; `u` is the standardised field.
    """

    coefficients: np.ndarray
    rest: np.ndarray
    energy: np.ndarray


def fit_basis(u: np.ndarray, scales: Scales) -> Basis:
    """Leading modes of the deviations from the mean, of all trajectories in common.

    By the smaller of the two covariances, over points or over snapshots (L. Sirovich, "Turbulence and the dynamics of
    coherent structures", Quarterly of Applied Mathematics 45, 1987).

    Args:
      u: `(trajectory, time, *grid, channel)`.
      scales: of its channels.

    Raises:
      InputError: fields that never change.
    """
    points = int(np.prod(u.shape[2:]))
    step = -(-u.shape[0] * u.shape[1] * points // _MAX_SNAPSHOT_SIZE)
    standardised = (scales.standardise(np.asarray(one[::step], np.float64)) for one in u)
    snapshots = np.concatenate([one.reshape(-1, points) for one in standardised])
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
    return Basis(scales, mean.reshape(u.shape[2:]), modes / np.linalg.norm(modes, axis=1, keepdims=True))


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


def reduce_split(basis: Basis, u: np.ndarray) -> Reduced:
    """Trajectories `(trajectory, time, *grid, channel)` in the basis, one at a time: they may be large."""
    coefficients, rest, energy = [], [], []
    for one in u:
        coefficients.append(encode(basis, one))
        one = basis.scales.standardise(np.asarray(one, np.float64))
        axes = tuple(range(1, one.ndim))
        energy.append((one**2).sum(axis=axes))
        rest.append(((one - basis.mean) ** 2).sum(axis=axes))
    return Reduced(np.stack(coefficients), np.stack(rest), np.stack(energy))


def mean_nrmse(reduced: Reduced, forecast: np.ndarray) -> float:
    """`sqrt(sum_t ||forecast - u||² / sum_t ||u||²)` of standardised fields, as a mean over the trajectories.

    No offset or unit of a channel matters to it, nor frames at rest. `forecast` are coefficients; no field is built.

    The modes being orthonormal, `||u - mean - forecast @ modes||² = ||u - mean||² - 2 a · forecast + ||forecast||²`
    with the coefficients `a` of `u`.

    Args:
      forecast: `(trajectory, time, mode)`, of the first modes.
    """
    known = reduced.coefficients[..., : forecast.shape[-1]]
    with np.errstate(all="ignore"):  # of a forecast that diverged
        error = reduced.rest + (forecast * (forecast - 2 * known)).sum(axis=-1)
        energy = reduced.energy.sum(axis=1)
        varied = energy > 0
        return float(np.sqrt(np.maximum(error, 0).sum(axis=1)[varied] / energy[varied]).mean()) if varied.any() else 0.0


def training_parts(dataset: Dataset) -> list[int]:
    """First training frames to choose from: 0, and where trajectories are much longer than forecasts, their middle.

    The flow past a cylinder is one long trajectory, whose beginning is another regime than its end.
    """
    middle = dataset.train.u.shape[1] // 2
    return [0, middle] if middle > 2 * dataset.val.u.shape[1] else [0]


def val_frames(split: Split, stride: int, most: int) -> Split:
    """Every `stride`-th frame, or fewer: at most some `most` frames of a trajectory."""
    step = max(stride, split.u.shape[1] // most)
    return Split(split.t[:, ::step], split.u[:, ::step], None)
