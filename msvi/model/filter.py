"""Macroscale filter: one kernel, shared by the restriction to the coarse mesh and the lift back."""

import dataclasses
import functools
import string

import jax.numpy as jnp
import numpy as np

from msvi.errors import InputError
from msvi.model.blocks import pool
from msvi.types import BOUNDARIES, Array


@dataclasses.dataclass(frozen=True)
class MacroFilter:
    """Restriction `zeta_c = sum_o k_o u[s c + s // 2 + o]` and lift `u_p = sum_c zeta_c k_{p - s c - s // 2}`.

    The kernel `k` has support `2 n_sigma s + 1` per axis. Beyond the grid, `u` is continued as the boundary says:
    periodic, or with its edge value. So is the coarse mesh beyond its ends, by `zeta`. On periodic axes the lift is the
    adjoint of the restriction. On others the adjoint would give back too much of a constant near the edges, and the
    continued mesh gives it back as well there as anywhere.

    Both are small matrix products: along the first axis block by block, `s` points each, since the kernel reaches few
    of them; along the others with all points at once.

    Attributes:
      grid: full-resolution points per axis.
      coarsening: `s`, the same on every axis.
      n_sigma: half-width of the kernel in units of `s`.
      boundary: kind of each axis, one of `BOUNDARIES`.

    Raises:
      InputError: a grid that `s` does not divide, or an unknown boundary.
    """

    grid: tuple[int, ...]
    coarsening: int
    n_sigma: int
    boundary: tuple[str, ...]

    def __post_init__(self):
        if any(n % self.coarsening for n in self.grid):
            raise InputError(
                f"Every grid size must be divisible by `model.coarsening`, got grid {self.grid} and coarsening "
                f"{self.coarsening}; choose a divisor of {int(np.gcd.reduce(self.grid))}."
            )
        unknown = [kind for kind in self.boundary if kind not in BOUNDARIES]
        if unknown or len(self.boundary) != len(self.grid):
            raise InputError(
                f"`boundary` needs one of {', '.join(BOUNDARIES)} per axis of grid {self.grid}, got {self.boundary}."
            )

    @property
    def coarse_grid(self) -> tuple[int, ...]:
        """Coarse cells per axis."""
        return tuple(n // self.coarsening for n in self.grid)

    @property
    def gain(self) -> float:
        """Size of `zeta` for a unit constant field: the sum of the initial kernel."""
        return self.coarsening ** (len(self.grid) / 2)

    def init_kernel(self) -> Array:
        """Gaussian of standard deviation `s` points, `(2 n_sigma s + 1,) * ndim`.

        Its sum is `s^(ndim / 2)`: restriction multiplies a constant by the sum, lift by the sum over `s^ndim`,
        so that `lift(restrict(.))` has unit gain on constants.
        """
        offsets = np.arange(-self.n_sigma * self.coarsening, self.n_sigma * self.coarsening + 1)
        axis = np.exp(-0.5 * (offsets / self.coarsening) ** 2)
        kernel = functools.reduce(np.multiply.outer, [axis / axis.sum()] * len(self.grid))
        return jnp.asarray(kernel * self.gain, jnp.float32)

    def restrict(self, kernel: Array, u: Array) -> Array:
        """`(*grid, channel)` to `(*coarse_grid, channel)`."""
        reach, cells, num_channels = self.n_sigma, self.coarse_grid[0], u.shape[-1]
        blocks = self._continue(u, reach * self.coarsening).reshape(cells + 2 * reach, -1, num_channels)
        # What each block gives to each of the cells around it, then the sum over the blocks around each cell.
        weights = self._weights(kernel, lift=False).reshape(blocks.shape[1], -1)
        given = (jnp.moveaxis(blocks, -1, 0) @ weights).reshape(num_channels, cells + 2 * reach, 2 * reach + 1, -1)
        zeta = sum(given[:, b : b + cells, b] for b in range(2 * reach + 1))
        return jnp.moveaxis(zeta, 0, -1).reshape(*self.coarse_grid, num_channels)

    def lift(self, kernel: Array, zeta: Array, pooling: int = 1) -> Array:
        """`(*coarse_grid, channel)` to `(*grid, channel)`, or to means over blocks of `pooling` points per axis, of
        which a cell has a whole number: `(*grid / pooling, channel)`, without the points in between."""
        reach, cells, num_channels = self.n_sigma, self.coarse_grid[0], zeta.shape[-1]
        lines = self._continue(zeta, reach).reshape(cells + 2 * reach, -1, num_channels)
        lines = jnp.moveaxis(lines, -1, 0)
        # A block gets from the cell `b` before it what that cell would take from the block `b` after it.
        around = [lines[:, 2 * reach - b : 2 * reach - b + cells] for b in range(2 * reach + 1)]
        around = jnp.stack(around, axis=2).reshape(num_channels, cells, -1)
        weights = self._weights(kernel, lift=True)
        weights = pool(weights.reshape(*weights.shape[: len(self.grid)], -1), pooling).reshape(-1, around.shape[-1])
        grid = (n // pooling for n in self.grid)
        return jnp.moveaxis(around @ weights.T, 0, -1).reshape(*grid, num_channels)

    def _continue(self, field: Array, width: int) -> Array:
        """`field` continued by `width` at both ends of its first axis."""
        padding = [(width, width)] + [(0, 0)] * (field.ndim - 1)
        return jnp.pad(field, padding, mode=BOUNDARIES[self.boundary[0]])

    def _weights(self, kernel: Array, lift: bool) -> Array:
        """What cells and points have to do with each other, `(s, *other points, block, *other cells)`.

        `block` counts the `2 n_sigma + 1` blocks of the first axis that the kernel of a cell reaches.
        """
        s, reach = self.coarsening, 2 * self.n_sigma + 1
        before = s // 2  # of a block's first point, to where the kernel's support begins
        ends = [(before, s - 1 - before)] + [(0, 0)] * (kernel.ndim - 1)
        weights = jnp.pad(kernel, ends).reshape(reach, s, *kernel.shape[1:])
        weights = weights.swapaxes(0, 1)
        names = iter(string.ascii_letters[2:])
        offsets = [next(names) for _ in self.grid[1:]]
        points = [next(names) for _ in self.grid[1:]]
        cells = [next(names) for _ in self.grid[1:]]
        operands = [_meets(self, axis, lift) for axis in range(1, len(self.grid))]
        links = [f"{c}{p}{o}" for c, p, o in zip(cells, points, offsets, strict=True)]
        equation = f"{','.join(['ab' + ''.join(offsets), *links])}->a{''.join(points)}b{''.join(cells)}"
        return jnp.einsum(equation, weights, *operands, optimize=True)


@functools.cache
def _meets(macro_filter: MacroFilter, axis: int, lift: bool) -> np.ndarray:
    """How often a cell meets a point at an offset of the kernel along one axis, `(cell, point, offset)`.

    In the restriction points beyond the grid stand for the ones that they repeat, in the lift cells do.
    """
    f = macro_filter
    half, n, s = f.n_sigma * f.coarsening, f.grid[axis], f.coarsening
    num_cells, periodic = n // s, f.boundary[axis] == "periodic"
    meets = np.zeros((num_cells, n, 2 * half + 1), np.float32)
    ghosts = f.n_sigma if lift and not periodic else 0
    for cell in range(-ghosts, num_cells + ghosts):
        for offset in range(-half, half + 1):
            point = s * cell + s // 2 + offset
            if periodic:
                point %= n
            elif not lift:
                point = min(max(point, 0), n - 1)
            if 0 <= point < n:
                meets[min(max(cell, 0), num_cells - 1), point, offset + half] += 1
    return meets
