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
_RADIUS, _KEPT = 8.0, 1 - 1e-4


class Taper(NamedTuple):
    """Factors of covariances.

    Attributes:
      state: of each number of the state with each reading, `(state, sensor)`.
      factor: `F` with `F Fᵀ` those of readings with each other, `(sensor, rank)`; its rows have length one.
    """

    state: np.ndarray
    factor: np.ndarray


def default_radius(model: MultiscaleModel, positions: np.ndarray, members: int) -> float | None:
    """Where an ensemble is no larger than the state: eight cells, or twice the way from any cell to its next sensor.

    None where it is larger, or where the state is held in modes, which are in no place.

    Args:
      positions: of the sensors, in grid points, `(sensor, axis)`.
    """
    if members > model.latent_dim or model.config.coordinates == "modes":
        return None
    apart = distances(model, cell_centres(model), positions)
    return float(max(_RADIUS, 2 * apart.min(axis=1).max()))


def make_taper(model: MultiscaleModel, positions: np.ndarray, radius: float) -> Taper:
    """The factors for sensors at `positions` `(sensor, axis)`, in grid points, and a radius in coarse cells."""
    zeta, eta = model.places
    cells = np.asarray(gaspari_cohn(distances(model, cell_centres(model), positions), radius))
    state = np.ones((model.latent_dim, len(positions)), np.float32)
    for places in (zeta, eta):
        if places.ndim > 1 and places.size:  # in cells
            state[places.reshape(len(cells), -1)] = cells[:, None]
    return Taper(state, taper_factor(np.asarray(gaspari_cohn(distances(model, positions, positions), radius))))


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


def cell_centres(model: MultiscaleModel) -> np.ndarray:
    """Of the coarse cells one after another, in grid points, `(cell, axis)`: where the filter's kernel is centred."""
    grid, size = model.filter.coarse_grid, model.filter.coarsening
    return np.stack(np.unravel_index(np.arange(int(np.prod(grid))), grid), axis=1) * size + size // 2


def distances(model: MultiscaleModel, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between places in grid points, `(a, axis)` and `(b, axis)`, in coarse cells, `(a, b)`."""
    apart = np.abs(a[:, None] - b[None])
    for axis, (number, kind) in enumerate(zip(model.grid, model.boundary, strict=True)):
        if kind == "periodic":
            apart[..., axis] = np.minimum(apart[..., axis], number - apart[..., axis])
    return np.linalg.norm(apart, axis=-1) / model.filter.coarsening
