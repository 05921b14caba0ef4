"""Moving frame of the microscale: where on a periodic mesh the macroscale state says that the unresolved part lies.

Seen from a frame that travels with the field, a front or a wave packet hardly changes. A microscale latent then need
not tell where the unresolved part lies, only what it looks like, and what was learned in one place holds in all.
"""

import jax.numpy as jnp
import numpy as np

from msvi.types import Array


def centroid(zeta: Array) -> Array:
    """Centre of `|zeta|²` on the torus, one phase in (-pi, pi] per axis, `(ndim,)`.

    The phase of the first Fourier coefficient of `|zeta|²` along each axis: it follows every shift of the field. For a
    field without a centre, such as a constant, it is arbitrary.

    Args:
      zeta: `(*coarse_grid, channel)`, periodic.
    """
    energy = jnp.sum(zeta**2, axis=-1)
    phases = []
    for axis, n in enumerate(energy.shape):
        along = energy.sum(axis=tuple(other for other in range(energy.ndim) if other != axis))
        angle = 2 * np.pi * np.arange(n, dtype=np.float32) / n
        # The small number keeps the gradient at a zero field finite.
        phases.append(jnp.arctan2(along @ np.sin(angle), along @ np.cos(angle) + 1e-12))
    return jnp.stack(phases)


def centre(zeta: Array, phase: Array) -> Array:
    """`zeta(x + d)` for `d = phase / 2 pi` periods per axis, by Fourier interpolation; `(*coarse_grid, channel)`.

    Dense products with cosines and sines, since a coarse mesh has few cells; smooth in `phase`.
    """
    for axis, n in enumerate(zeta.shape[:-1]):
        wavenumber = np.arange(n // 2 + 1)
        angle = 2 * np.pi * np.outer(wavenumber, np.arange(n)) / n
        cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        # On the way back, a wavenumber that stands for a pair of conjugate modes counts twice.
        weight = np.where((wavenumber == 0) | (2 * wavenumber == n), 1, 2).astype(np.float32)[:, None] / n
        lines = jnp.moveaxis(zeta, axis, 0)
        flat = lines.reshape(n, -1)
        even, odd = cosine @ flat, sine @ flat
        along, across = jnp.cos(wavenumber * phase[axis])[:, None], jnp.sin(wavenumber * phase[axis])[:, None]
        even, odd = even * along + odd * across, odd * along - even * across
        flat = (weight * cosine).T @ even + (weight * sine).T @ odd
        zeta = jnp.moveaxis(flat.reshape(lines.shape), 0, axis)
    return zeta


def shift(field: Array, phase: Array) -> Array:
    """`field(x - d)` for `d = phase / 2 pi` periods per axis, linear between grid points; `(*grid, channel)`."""
    for axis, n in enumerate(field.shape[:-1]):
        distance = phase[axis] * (n / (2 * np.pi))
        whole = jnp.floor(distance)
        part = distance - whole
        near = jnp.roll(field, whole.astype(int), axis)
        field = (1 - part) * near + part * jnp.roll(near, 1, axis)
    return field


def cell_positions(coarse_grid: tuple[int, ...], phase: Array, harmonics: int) -> Array:
    """Where each coarse cell lies in the frame at `phase`, `(*coarse_grid, 2 * harmonics * ndim)`.

    Cosines and sines of the phase from the frame's origin to the cell along each axis, and of its first multiples.
    """
    features = []
    for axis, n in enumerate(coarse_grid):
        distance = 2 * np.pi * np.arange(n, dtype=np.float32) / n - phase[axis]
        angle = distance[:, None] * np.arange(1, harmonics + 1, dtype=np.float32)[None]
        along = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        shape = [n if other == axis else 1 for other in range(len(coarse_grid))]
        features.append(jnp.broadcast_to(along.reshape(*shape, -1), (*coarse_grid, 2 * harmonics)))
    return jnp.concatenate(features, axis=-1)
