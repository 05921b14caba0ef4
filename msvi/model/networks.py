"""Building blocks of the model: linen modules that know nothing of scales."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from msvi.types import Array


class MLP(nn.Module):
    """Dense layers with SiLU in between; the last one is linear.

    Attributes:
      hidden: widths of the hidden layers.
      out: width of the output.
      out_scale: standard deviation of the initial output in units of its input's; small values start a
        network near zero without stopping its gradients.
    """

    hidden: Sequence[int]
    out: int
    out_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.hidden:
            x = nn.silu(nn.Dense(width)(x))
        init = nn.initializers.variance_scaling(self.out_scale**2, "fan_in", "truncated_normal")
        return nn.Dense(self.out, kernel_init=init)(x)


def pool(field: Array, size: int) -> Array:
    """Mean over blocks of `size` points per axis, `(*grid, channel)` to `(*grid / size, channel)`."""
    for axis in range(field.ndim - 1):
        *before, n = field.shape[: axis + 1]
        field = field.reshape(*before, n // size, size, *field.shape[axis + 1 :]).mean(axis + 1)
    return field


class MicroEncoder(nn.Module):
    """What the mesh does not carry, `(*grid, channel)`, to the mean of `eta`, `(micro_dim,)`."""

    hidden: Sequence[int]
    micro_dim: int

    @nn.compact
    def __call__(self, residual: Array) -> Array:
        return MLP(self.hidden, self.micro_dim)(residual.ravel())


class MicroDecoder(nn.Module):
    """`g(eta)`: the microscale latent `(micro_dim,)` to its part of the field, `(*grid, channel)`."""

    hidden: Sequence[int]
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, eta: Array) -> Array:
        return MLP(self.hidden, int(np.prod(self.shape)), out_scale=0.1)(eta).reshape(self.shape)


class Displacement(nn.Module):
    """How far ahead of the macroscale's centroid the unresolved part lies, one phase per axis, `(ndim,)`.

    Args of the call:
      zeta: the state, on periodic axes seen from its centroid, `(*coarse_grid, channel)`, so that the answer is the
        same everywhere.
    """

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, zeta: Array) -> Array:
        return MLP(self.hidden, zeta.ndim - 1, out_scale=0.1)(zeta.ravel())


class MacroDrift(nn.Module):
    """Local macroscale drift: one MLP shared by all cells, equivariant to shifts of a periodic mesh.

    `d zeta_c / dt = MLP(zeta_{c-r}, ..., zeta_{c+r}, x_c) + A (zeta_{c-R}, ..., zeta_{c+R}, x_c)`, all channels of all
    cells of the two stencils; `x_c = (p_c, c, eta)`. `p_c`, if given, says where the cell lies and what acts on it from
    outside, and `c` what acts on all cells.

    Attributes:
      hidden: hidden widths.
      radius: `r`, cells to each side along every axis.
      linear_radius: `R`, as far as it goes on a periodic axis; 0 for no linear map.
      boundary: per axis, `"periodic"` or `"edge"`.
    """

    hidden: Sequence[int]
    radius: int
    linear_radius: int
    boundary: tuple[str, ...]

    @nn.compact
    def __call__(self, zeta: Array, eta: Array, position: Array | None = None, condition: Array | None = None) -> Array:
        *coarse_grid, num_channels = zeta.shape
        everywhere = eta if condition is None else jnp.concatenate([condition, eta])
        beside = [jnp.broadcast_to(everywhere, (*coarse_grid, everywhere.shape[0]))]
        if position is not None:
            beside = [position, *beside]
        near = [(self.radius, self.radius)] * len(coarse_grid)
        rate = _nonlinear(self.hidden, num_channels, jnp.concatenate([*self._stencil(zeta, near), *beside], axis=-1))
        if self.linear_radius:
            # No cell of a periodic axis twice.
            far = [
                (min(self.linear_radius, n // 2), min(self.linear_radius, (n - 1) // 2))
                if kind == "periodic"
                else (self.linear_radius,) * 2
                for n, kind in zip(coarse_grid, self.boundary, strict=True)
            ]
            rate += _linear(num_channels, jnp.concatenate([*self._stencil(zeta, far), *beside], axis=-1))
        return rate

    def _stencil(self, zeta: Array, reach: list[tuple[int, int]]) -> list[Array]:
        """`zeta` at each offset of `reach` cells before and after along each axis, `(*coarse_grid, channel)` each."""
        grid = zeta.shape[:-1]
        for axis, (kind, width) in enumerate(zip(self.boundary, reach, strict=True)):
            widths = [(0, 0)] * zeta.ndim
            widths[axis] = width
            zeta = jnp.pad(zeta, widths, mode="wrap" if kind == "periodic" else "edge")
        offsets = np.ndindex(*(sum(width) + 1 for width in reach))
        return [zeta[tuple(slice(o, o + n) for o, n in zip(offset, grid, strict=True))] for offset in offsets]


class MicroDrift(nn.Module):
    """Microscale drift `d eta / dt = MLP(zeta, sin t, cos t, c, eta)`, `zeta` all over the mesh.

    `c`, if given, is what acts on the system from outside, all over the mesh.

    As in `MacroDrift`, `eta` is the last of the inputs: a further latent only adds a row to the weights.

    Attributes:
      hidden: hidden widths.
      clock: whether `sin t` and `cos t` are inputs; an autonomous system needs neither.
      linear: whether a linear map stands beside the MLP.
    """

    hidden: Sequence[int]
    clock: bool
    linear: bool = False

    @nn.compact
    def __call__(self, t: Array, zeta: Array, eta: Array, condition: Array | None = None) -> Array:
        seen = [zeta.ravel(), jnp.array([jnp.sin(t), jnp.cos(t)] if self.clock else [])]
        if condition is not None:
            seen.append(condition)
        seen = jnp.concatenate([*seen, eta])
        rate = _nonlinear(self.hidden, eta.shape[0], seen)
        return rate + _linear(eta.shape[0], seen) if self.linear else rate


# For the calls of modules, which then hold them.


def _nonlinear(hidden: Sequence[int], out: int, x: Array) -> Array:
    return MLP(hidden, out, out_scale=0.1)(x)


def _linear(out: int, x: Array) -> Array:
    """Zero at first; of a linear system all there is to learn."""
    return nn.Dense(out, use_bias=False, kernel_init=nn.initializers.zeros)(x)
