"""What the macroscale state says of the unresolved field beyond its linear lift."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from msvi.model.blocks import from_blocks, pool
from msvi.model.networks import MLP, apply, near, stencil
from msvi.types import Array, Params


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


def lift_means(network: SubgridLift, params: Params, zeta: Array, pooling: int) -> Array:
    """Means over blocks of `pooling` points per axis, a divisor of the cell's, of what the network gives.

    Its last layer is linear: with averaged weights it gives averages, and the points are never computed.

    Returns:
      `(*grid / pooling, channel)`.
    """
    if pooling > 1:
        layers, last = params["params"]["MLP_0"], f"Dense_{len(network.hidden)}"
        points = (network.size,) * len(network.boundary)

        def averages(weights):
            return pool(weights.reshape(*points, -1), pooling).ravel()

        averaged = {"kernel": jax.vmap(averages)(layers[last]["kernel"]), "bias": averages(layers[last]["bias"])}
        params = {"params": {"MLP_0": layers | {last: averaged}}}
        network = network.clone(size=network.size // pooling)
    return apply(network, params, zeta)
