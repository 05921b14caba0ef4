"""Fields with gaps: what stands where nothing was observed."""

import jax
import jax.numpy as jnp

from msvi.types import Array


def fill_gaps(u: Array, mask: Array, boundary: tuple[str, ...]) -> Array:
    """`u` where `mask` is true, elsewhere the mean of the nearest observed points along each axis, `(*grid, channel)`.

    Their weights are the inverse distances in points, which on a line is linear interpolation. Where no axis through a
    point meets an observed one stands the mean of all, and zero in a channel of which nothing was observed.

    Args:
      u: values where the mask is false do not matter.
      mask: boolean, `(*grid, channel)`.
      boundary: kind of each axis; around a periodic one the nearest point may lie beyond the end.
    """
    axes = tuple(range(u.ndim - 1))
    observed = jnp.where(mask, u, 0)
    mean = observed.sum(axes, keepdims=True) / jnp.maximum(mask.sum(axes, keepdims=True), 1)
    total, weight = jnp.zeros_like(u), jnp.zeros_like(u)
    for axis, kind in zip(axes, boundary, strict=True):
        for reverse in (False, True):
            value, distance = _nearest(observed, mask, axis, kind == "periodic", reverse)
            inverse = jnp.where(jnp.isfinite(distance), 1 / jnp.maximum(distance, 1), 0)
            total, weight = total + inverse * value, weight + inverse
    around = jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), mean)
    return jnp.where(mask, u, around)


def _nearest(u: Array, mask: Array, axis: int, periodic: bool, reverse: bool) -> tuple[Array, Array]:
    """Value and distance of the nearest observed point before each along an axis, or after; infinitely far if none."""
    n = u.shape[axis]
    if periodic:  # the period before, or the one after, beside it
        u, mask = (jnp.concatenate([a, a], axis) for a in (u, mask))
    shape = [1] * u.ndim
    shape[axis] = -1
    number = jnp.broadcast_to(jnp.arange(u.shape[axis]).reshape(shape), u.shape)
    scan, none = (jax.lax.cummin, u.shape[axis]) if reverse else (jax.lax.cummax, -1)
    nearest = scan(jnp.where(mask, number, none), axis, reverse=reverse)
    value = jnp.take_along_axis(u, jnp.clip(nearest, 0, u.shape[axis] - 1), axis)
    distance = jnp.where(nearest == none, jnp.inf, jnp.abs(number - nearest))
    own = slice(0, n) if reverse else slice(u.shape[axis] - n, None)
    first, last, _ = own.indices(u.shape[axis])
    value, distance = (jax.lax.slice_in_dim(a, first, last, axis=axis) for a in (value, distance))
    return value, distance
