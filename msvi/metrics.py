"""Error metrics: one trajectory in, one number out; means over trajectories are the caller's."""

import jax.numpy as jnp

from msvi.types import Array


def relative_errors(estimate: Array, reference: Array) -> Array:
    """`||estimate(t) - reference(t)|| / ||reference(t)||` at each time, norms over grid and channels.

    Args:
      estimate, reference: `(time, *grid, channel)`.

    Returns:
      `(time,)`.
    """
    axes = tuple(range(1, reference.ndim))
    error = jnp.sum((estimate - reference) ** 2, axis=axes)
    return jnp.sqrt(error / jnp.sum(reference**2, axis=axes))


def nrmse(estimate: Array, reference: Array) -> Array:
    """`sqrt(mean_t ||estimate - reference||² / ||reference||²)`, the published metric."""
    return jnp.sqrt(jnp.mean(relative_errors(estimate, reference) ** 2))


def relative_l2(estimate: Array, reference: Array) -> Array:
    """`mean_t ||estimate - reference|| / ||reference||`."""
    return jnp.mean(relative_errors(estimate, reference))
