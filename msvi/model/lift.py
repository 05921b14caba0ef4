"""What the macroscale state says of the unresolved field beyond its linear lift."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from msvi.model.networks import MLP, from_blocks, near, stencil
from msvi.types import Array


class SubgridLift(nn.Module):
    """`h(zeta)`, `(*grid, channel)`: what of the unresolved field follows from the macroscale state around it.

    One MLP shared by all cells gives the points of each from `(zeta_{c-r}, ..., zeta_{c+r})`, so that a sharp structure
    that few cells see is placed among them, wherever it is.

    Attributes:
      hidden: hidden widths.
      radius: `r`, cells to each side along every axis.
      size: points per cell and axis.
      boundary: per axis, `"periodic"` or `"edge"`.
    """

    hidden: Sequence[int]
    radius: int
    size: int
    boundary: tuple[str, ...]

    @nn.compact
    def __call__(self, zeta: Array) -> Array:
        *coarse_grid, num_channels = zeta.shape
        seen = jnp.concatenate(stencil(zeta, near(self.radius, coarse_grid), self.boundary), axis=-1)
        blocks = MLP(self.hidden, self.size ** len(coarse_grid) * num_channels, out_scale=0.1)(seen)
        return from_blocks(blocks, self.size, len(coarse_grid))
