"""Viscous Burgers equation in one dimension: initial conditions and reference solver."""

import dataclasses

import diffrax
import jax.numpy as jnp
import numpy as np

from msvi.data.equations.base import RandomPulse
from msvi.data.equations.line import PeriodicLine
from msvi.errors import InputError, require_positive


@dataclasses.dataclass(frozen=True)
class Burgers1D(RandomPulse, PeriodicLine):
    """`u_t + (u²/2)_x = nu u_xx` on the periodic unit interval; all quantities non-dimensional.

    Initial condition `u(x, 0) = a exp(-(x - 1/2)² / v)` with `a ~ N(amplitude_mean, amplitude_std²)` and
    `v ~ N(width_mean, width_std²)`, the latter drawn again until positive. The flux form is kept by the
    central difference, so the mass `sum(u) dx` is conserved to round-off.

    Attributes:
      viscosity: `nu`.

    Raises:
      InputError: a parameter out of range, or a time step for which diffusion is unstable.
    """

    viscosity: float = 5e-4
    amplitude_mean: float = 0.25
    amplitude_std: float = 0.05
    width_mean: float = 0.01
    width_std: float = 0.0025

    def __post_init__(self):
        super().__post_init__()
        require_positive(self, "data.equation", "viscosity")
        # Heun is stable for |lambda dt| <= 2 on the negative real axis and lambda = -4 nu / dx².
        limit = 0.5 / (self.viscosity * self.num_points**2)
        if self.dt > limit * (1 + 1e-9):
            raise InputError(
                f"`data.equation.max_dt` gives steps of {self.dt:.3g}, but diffusion on {self.num_points} points is "
                f"stable up to {limit:.3g}; lower max_dt or num_points."
            )

    def initial(self, *draws: float) -> np.ndarray:
        """The initial condition of this amplitude and width, `(num_points, 1)` in float64."""
        amplitude, width = draws
        return (amplitude * np.exp(-((self.x - 0.5) ** 2) / width))[:, None]

    def solve(self, u0: np.ndarray) -> np.ndarray:
        """Integrates one initial condition with central differences and Heun's method in float64.

        Args:
          u0: `(num_points, 1)`.

        Returns:
          float64 field at the frame times, `(num_frames, num_points, 1)`.
        """
        return self._integrate(rate, diffrax.Heun(), u0, (self.spacing, self.viscosity))


def rate(t, u, args):
    """Right-hand side `-(u²/2)_x + nu u_xx` by second-order central differences."""
    del t
    dx, viscosity = args
    right, left = jnp.roll(u, -1, axis=0), jnp.roll(u, 1, axis=0)
    return (left**2 - right**2) / (4 * dx) + viscosity * (right - 2 * u + left) / dx**2
