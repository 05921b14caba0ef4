"""Macroscale filter: one kernel, shared by the restriction to the coarse mesh and the lift back."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from msvi.errors import InputError
from msvi.types import Array

BOUNDARIES = ("periodic",)


@dataclasses.dataclass(frozen=True)
class MacroFilter:
    """Restriction `zeta_c = sum_o k_o u[s c + s // 2 + o]` and its adjoint, the lift.

    The kernel `k` has support `2 n_sigma s + 1` per axis. What its offsets `o` reach beyond the grid is taken from the
    other side; the adjoint follows by itself, since both are the same small matrix.

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
            raise InputError(f"`boundary` needs one of {BOUNDARIES} per axis of grid {self.grid}, got {self.boundary}.")

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

    def matrix(self, kernel: Array) -> Array:
        """The restriction as a matrix `(cells, points)`; its transpose is the lift."""
        cells, points = _indices(self)
        shape = (int(np.prod(self.coarse_grid)), int(np.prod(self.grid)))
        # Broadcast rather than indexed: the gradient is then a sum, not a scatter of many values to one place.
        entries = jnp.broadcast_to(kernel.ravel()[None], (shape[0], kernel.size)).ravel()
        return jnp.zeros(shape, kernel.dtype).at[cells, points].add(entries)

    def restrict(self, kernel: Array, u: Array) -> Array:
        """`(*grid, channel)` to `(*coarse_grid, channel)`."""
        return (self.matrix(kernel) @ u.reshape(-1, u.shape[-1])).reshape(*self.coarse_grid, u.shape[-1])

    def lift(self, kernel: Array, zeta: Array) -> Array:
        """`(*coarse_grid, channel)` to `(*grid, channel)`, the transpose of `restrict`."""
        return (self.matrix(kernel).T @ zeta.reshape(-1, zeta.shape[-1])).reshape(*self.grid, zeta.shape[-1])


@functools.cache
def _indices(macro_filter: MacroFilter) -> tuple[np.ndarray, np.ndarray]:
    """For every (cell, kernel entry) pair, in this order: the cell and the point it reads, as flat indices."""
    f = macro_filter
    half, ndim = f.n_sigma * f.coarsening, len(f.grid)
    # Axes in the order (cell_0, ..., cell_d, entry_0, ..., entry_d).
    point = np.zeros((1,) * 2 * ndim, np.int64)
    for axis, n in enumerate(f.grid):
        centres = np.arange(n // f.coarsening) * f.coarsening + f.coarsening // 2
        reached = (centres[:, None] + np.arange(-half, half + 1)) % n
        shape = [1] * 2 * ndim
        shape[axis], shape[ndim + axis] = reached.shape
        point = point * n + reached.reshape(shape)
    cell = np.arange(np.prod(f.coarse_grid)).reshape(*f.coarse_grid, *(1,) * ndim)
    return np.broadcast_to(cell, point.shape).ravel(), point.ravel()
