"""Orthonormal modes of a field on the mesh: real Fourier modes along periodic axes, cosine modes along others.

A noise that is the same everywhere is correlated between cells and not between modes (on an axis with edges nearly so),
so that in modes a diagonal dispersion is enough: that of a Wiener process with a covariance operator, as in stochastic
partial differential equations. Source: Lord, Powell & Shardlow, "An Introduction to Computational Stochastic PDEs",
Cambridge University Press 2014, chapter 10.
"""

import functools

import jax.numpy as jnp
import numpy as np

from msvi.types import Array


def to_modes(zeta: Array, boundary: tuple[str, ...]) -> Array:
    """Cells `(*coarse_grid, channel)` to modes, of the same shape, by wavenumber along each axis."""
    for axis, kind in enumerate(boundary):
        zeta = _apply(_basis(zeta.shape[axis], kind), zeta, axis)
    return zeta


def to_cells(zeta: Array, boundary: tuple[str, ...]) -> Array:
    """Modes `(*coarse_grid, channel)` to cells, of the same shape: the inverse of `to_modes`."""
    for axis, kind in enumerate(boundary):
        zeta = _apply(_basis(zeta.shape[axis], kind).T, zeta, axis)
    return zeta


def _apply(matrix: np.ndarray, field: Array, axis: int) -> Array:
    return jnp.moveaxis(jnp.tensordot(matrix, field, axes=(1, axis)), 0, axis)


@functools.cache
def _basis(n: int, kind: str) -> np.ndarray:
    """Orthonormal rows `(mode, cell)`: constant, and then cosine and sine of each wavenumber; or cosines alone."""
    cell, rows = np.arange(n), []
    if kind == "periodic":
        for k in range(n // 2 + 1):
            rows.append(np.cos(2 * np.pi * k * cell / n))
            if 0 < 2 * k < n:
                rows.append(np.sin(2 * np.pi * k * cell / n))
    else:
        rows = [np.cos(np.pi * k * (cell + 0.5) / n) for k in range(n)]
    return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)
