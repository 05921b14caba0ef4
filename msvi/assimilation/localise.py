"""Localisation: what a sensor may tell of a coarse cell falls off with the distance between them.

A small ensemble has correlations between places far apart that are there by chance alone. Covariances are multiplied by
the function of Gaspari and Cohn, which is one at no distance and zero from a radius on. Distances are counted in coarse
cells, so that axes of different units count alike, and go the shorter way round a periodic axis. Latents that belong to
the whole domain have no place, and every sensor tells of them.
"""

from typing import NamedTuple

import numpy as np
from cuthbertlib.ensemble_kalman import gaspari_cohn

from msvi.model.multiscale import MultiscaleModel

# Coarse cells from a sensor to where it tells nothing any more, at least; and how much of the taper between sensors is
# kept where its factor is cut off.
_RADIUS, _KEPT = 8.0, 1 - 1e-3
# For each direction that an ensemble varies in: with so many chance correlations are weak.
_MEMBERS = 4


class Taper(NamedTuple):
    """Factors of covariances.

    Attributes:
      state: of each number of the state with each reading, `(state, sensor)`.
      factor: `F` with `F Fᵀ` those of readings with each other, `(sensor, rank)`; its rows have length one.
    """

    state: np.ndarray
    factor: np.ndarray


class Cells(NamedTuple):
    """Where the numbers of a state belong.

    Attributes:
      grid: points of each axis.
      boundary: kind of each axis.
      size: points that count as one, of each axis.
      centres: of the cells, in grid points, `(cell, axis)`.
      numbers: of the state in each cell, `(cell, number)`; those in none belong to the whole domain.
      dim: numbers in the state.
    """

    grid: tuple[int, ...]
    boundary: tuple[str, ...]
    size: int
    centres: np.ndarray
    numbers: np.ndarray
    dim: int


def cells_of(model: MultiscaleModel) -> Cells:
    """Where the latents of a model belong: `zeta` to where the filter's kernel is centred, and `eta` too if it is in
    cells."""
    coarse, size = model.filter.coarse_grid, model.filter.coarsening
    number = int(np.prod(coarse))
    centres = np.stack(np.unravel_index(np.arange(number), coarse), axis=1) * size + size // 2
    local = [places.reshape(number, -1) for places in model.places if places.ndim > 1]
    return Cells(model.grid, model.boundary, size, centres, np.concatenate(local, axis=1), model.latent_dim)


def default_radius(cells: Cells, positions: np.ndarray, ensemble: np.ndarray) -> float | None:
    """Where an ensemble is small: eight cells, or twice the way from any cell to its next sensor if that is longer.

    It is small where it has less than four members for each direction that it varies in, by the participation ratio of
    the variances, `(sum s²)² / sum s⁴`. None where it is larger.

    Args:
      positions: of the sensors, in grid points, `(sensor, axis)`.
      ensemble: at the start, `(member, state)`.
    """
    if len(ensemble) >= _MEMBERS * participation(ensemble):
        return None
    return float(max(_RADIUS, 2 * distances(cells, cells.centres, positions).min(axis=1).max()))


def participation(ensemble: np.ndarray) -> float:
    """How many directions members `(member, state)` vary in: of `k` equal variances `k`; at most one less than the
    members."""
    deviations = np.asarray(ensemble, float) - np.mean(ensemble, axis=0, dtype=float)
    products = deviations @ deviations.T
    return float(np.trace(products) ** 2 / max(np.sum(products**2), 1e-300))


def make_taper(cells: Cells, positions: np.ndarray, radius: float) -> Taper:
    """The factors for sensors at `positions` `(sensor, axis)`, in grid points, and a radius in cells."""
    of_cells = np.asarray(gaspari_cohn(distances(cells, cells.centres, positions), radius))
    state = np.ones((cells.dim, len(positions)), np.float32)
    state[cells.numbers] = of_cells[:, None]
    return Taper(state, taper_factor(np.asarray(gaspari_cohn(distances(cells, positions, positions), radius))))


def taper_factor(taper: np.ndarray) -> np.ndarray:
    """`F` with `F Fᵀ` close to a symmetric matrix with a diagonal of ones, in as few columns as keep nearly all of it.

    Round a circle the function need not be positive definite; what is negative is cut off, and rows are of length one
    again.
    """
    values, vectors = np.linalg.eigh(taper.astype(float))
    values = np.maximum(values[::-1], 0)
    rank = int(np.searchsorted(np.cumsum(values) / values.sum(), _KEPT)) + 1
    factor = vectors[:, ::-1][:, :rank] * np.sqrt(values[:rank])
    return (factor / np.linalg.norm(factor, axis=1, keepdims=True)).astype(np.float32)


def distances(cells: Cells, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between places in grid points, `(a, axis)` and `(b, axis)`, in cells, `(a, b)`."""
    apart = np.abs(a[:, None] - b[None])
    for axis, (number, kind) in enumerate(zip(cells.grid, cells.boundary, strict=True)):
        if kind == "periodic":
            apart[..., axis] = np.minimum(apart[..., axis], number - apart[..., axis])
    return np.linalg.norm(apart, axis=-1) / cells.size
