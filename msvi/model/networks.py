"""Building blocks of both layouts: networks and stencils that know nothing of scales."""

import functools
from collections.abc import Callable, Sequence, Sized
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from msvi.types import BOUNDARIES, Array, Params


class MLP(nn.Module):
    """Dense layers with SiLU in between; the last one is linear.

    Attributes:
      hidden: widths of the hidden layers.
      out: width of the output.
      out_scale: standard deviation of the initial output in units of its input's; small values start a
        network near zero without stopping its gradients.
      last: makes the last layer, of `kernel_init` and `name`, in place of a dense one.
    """

    hidden: Sequence[int]
    out: int
    out_scale: float = 1.0
    last: Callable | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.hidden:
            x = nn.silu(nn.Dense(width)(x))
        init = nn.initializers.variance_scaling(self.out_scale**2, "fan_in", "truncated_normal")
        last = self.last or functools.partial(nn.Dense, self.out)
        return last(kernel_init=init, name=f"Dense_{len(self.hidden)}")(x)


def apply(network: nn.Module, params: Params, *inputs: ArrayLike | None) -> Any:
    """What a network makes of its inputs; flax's own annotation allows for a state beside it, which none has here."""
    return network.apply(params, *inputs)


def nonlinear(hidden: Sequence[int], out: int, x: Array) -> Array:
    """A rate near zero at first; for the calls of modules, which then hold it."""
    return MLP(hidden, out, out_scale=0.1)(x)


def linear(out: int, x: Array) -> Array:
    """Zero at first; of a linear system all there is to learn. For the calls of modules, which then hold it."""
    return nn.Dense(out, use_bias=False, kernel_init=nn.initializers.zeros)(x)


def quadratic(rank: int, out: int, x: Array, y: Array) -> Array:
    """Sums of `rank` products of a linear map of `x` and one of `y`, zero at first: what advection is in any
    coordinates. For the calls of modules, which then hold it."""
    product = nn.Dense(rank, use_bias=False)(x) * nn.Dense(rank, use_bias=False)(y)
    return linear(out, product)


def stencil(
    field: Array, reach: Sequence[tuple[int, int]], boundary: Sequence[str], zero_beyond: bool = False
) -> list[Array]:
    """`field` at each offset of `reach` cells before and after along each axis, `(*coarse_grid, channel)` each.

    Beyond an edge it has the value of the edge, or is zero.
    """
    grid = field.shape[:-1]
    for axis, (kind, width) in enumerate(zip(boundary, reach, strict=True)):
        widths = [(0, 0)] * field.ndim
        widths[axis] = width
        mode = "constant" if zero_beyond and kind == "edge" else BOUNDARIES[kind]
        field = jnp.pad(field, widths, mode=mode)
    offsets = np.ndindex(*(sum(width) + 1 for width in reach))
    return [field[tuple(slice(o, o + n) for o, n in zip(offset, grid, strict=True))] for offset in offsets]


def near(radius: int, grid: Sized) -> list[tuple[int, int]]:
    """`radius` cells to each side along every axis."""
    return [(radius, radius)] * len(grid)


def far(radius: int, grid: Sequence[int], boundary: Sequence[str]) -> list[tuple[int, int]]:
    """`radius` cells to each side along every axis, on a periodic one as far as no cell is met twice."""
    return [
        (min(radius, n // 2), min(radius, (n - 1) // 2)) if kind == "periodic" else (radius, radius)
        for n, kind in zip(grid, boundary, strict=True)
    ]
