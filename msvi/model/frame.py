"""Moving frame of the microscale: where on the mesh the macroscale state says that the unresolved part lies.

Seen from a frame that travels with the field, a front or a wave packet hardly changes. A microscale latent then need
not tell where the unresolved part lies, only what it looks like, and what was learned in one place holds in all.

Places are phases: `2 pi` is the length of an axis. On a periodic axis the origin is its first point, on one with edges
its middle, which is where the frame then shows what lies at the phase.
"""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from msvi.types import Array


def centroid(zeta: Array, boundary: tuple[str, ...]) -> Array:
    """Centre of the squared differences between cells, one phase per axis, `(ndim,)`.

    Differences, so that a constant added to the field, as by another origin of its scale, moves nothing. On a periodic
    axis the phase, in (-pi, pi], of the first Fourier coefficient: it follows every shift of the field, and is
    arbitrary for a field without a centre, such as a constant. On others the mean place.

    Args:
      zeta: `(*coarse_grid, channel)`.
      boundary: kind of each axis.
    """
    energy = _change(zeta, boundary)
    phases = []
    for axis, (n, kind) in enumerate(zip(energy.shape, boundary, strict=True)):
        along = energy.sum(axis=tuple(other for other in range(energy.ndim) if other != axis))
        # The small number keeps the gradient at a zero field finite.
        if kind == "periodic":
            angle = 2 * np.pi * np.arange(n, dtype=np.float32) / n
            phases.append(jnp.arctan2(along @ np.sin(angle), along @ np.cos(angle) + 1e-12))
        else:
            place = 2 * np.pi * ((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5)
            phases.append((along @ place) / (along.sum() + 1e-12))
    return jnp.stack(phases)


def _change(zeta: Array, boundary: tuple[str, ...]) -> Array:
    """Squared differences along all axes, summed over the channels, `(*grid)`."""
    return cast(Array, sum(jnp.sum(_slope(zeta, axis, kind) ** 2, axis=-1) for axis, kind in enumerate(boundary)))


def _slope(zeta: Array, axis: int, kind: str) -> Array:
    """Central differences along an axis, one-sided at edges, of the shape of `zeta`."""
    if kind == "periodic":
        return (jnp.roll(zeta, -1, axis) - jnp.roll(zeta, 1, axis)) / 2
    return cast(Array, jnp.gradient(zeta, axis=axis)) if zeta.shape[axis] > 1 else jnp.zeros_like(zeta)


def centre(zeta: Array, phase: Array, boundary: tuple[str, ...]) -> Array:
    """`zeta(x + d)` for `d = phase / 2 pi` periods per periodic axis, by Fourier interpolation; other axes stay.

    Dense products with cosines and sines, since a coarse mesh has few cells; smooth in `phase`.
    """
    for axis, (n, kind) in enumerate(zip(zeta.shape[:-1], boundary, strict=True)):
        if kind != "periodic":
            continue
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


def shift(field: Array, phase: Array, boundary: tuple[str, ...]) -> Array:
    """`field(x - d)` for `d = phase / 2 pi` lengths per axis, linear between grid points; `(*grid, channel)`.

    What lies beyond an edge has the edge's value.
    """
    for axis, (n, kind) in enumerate(zip(field.shape[:-1], boundary, strict=True)):
        distance = phase[axis] * (n / (2 * np.pi))
        if kind != "periodic":
            distance = jnp.clip(distance, 1 - n, n - 1)  # farther, and nothing but the edge's value is seen
        whole = jnp.floor(distance)
        part, whole = distance - whole, whole.astype(int)
        if kind == "periodic":
            near = jnp.roll(field, whole, axis)
            far = jnp.roll(near, 1, axis)
        else:
            continued = jnp.pad(field, [(n, n) if a == axis else (0, 0) for a in range(field.ndim)], mode="edge")
            near = jax.lax.dynamic_slice_in_dim(continued, n - whole, n, axis)
            far = jax.lax.dynamic_slice_in_dim(continued, n - 1 - whole, n, axis)
        field = (1 - part) * near + part * far
    return field


def cell_positions(coarse_grid: tuple[int, ...], phase: Array, harmonics: int, boundary: tuple[str, ...]) -> Array:
    """Where each coarse cell lies in the frame at `phase`, `(*coarse_grid, 2 * harmonics * ndim)`.

    Cosines and sines of the phase from the frame's origin to the cell along each axis, and of its first multiples;
    on an axis with edges of half the phase, which does not come back to where it began.
    """
    features = []
    for axis, (n, kind) in enumerate(zip(coarse_grid, boundary, strict=True)):
        if kind == "periodic":
            distance = 2 * np.pi * np.arange(n, dtype=np.float32) / n - phase[axis]
        else:
            distance = (2 * np.pi * ((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5) - phase[axis]) / 2
        angle = distance[:, None] * np.arange(1, harmonics + 1, dtype=np.float32)[None]
        along = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        shape = [n if other == axis else 1 for other in range(len(coarse_grid))]
        features.append(jnp.broadcast_to(along.reshape(*shape, -1), (*coarse_grid, 2 * harmonics)))
    return jnp.concatenate(features, axis=-1)


def concentration(zeta: Array, boundary: tuple[str, ...]) -> Array:
    """How far the squared differences between points gather at one place, from 0 (evenly spread) to 1 (one point).

    The size of their first Fourier coefficient along each axis, the smallest over the axes; 0 where an axis has edges.
    """
    if any(kind != "periodic" for kind in boundary):
        return jnp.zeros(())
    energy, found = _change(zeta, boundary), []
    for axis, n in enumerate(energy.shape):
        along = energy.sum(axis=tuple(other for other in range(energy.ndim) if other != axis))
        angle = 2 * np.pi * np.arange(n, dtype=np.float32) / n
        found.append(jnp.hypot(along @ np.cos(angle), along @ np.sin(angle)) / (along.sum() + 1e-12))
    return jnp.stack(found).min()
