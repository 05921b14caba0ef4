"""Viscous Burgers equation on the unit square with held edge values: initial conditions and reference solver."""

import dataclasses

import diffrax
import jax.numpy as jnp
import numpy as np

from msvi.data.equations.base import RandomPulse
from msvi.data.equations.square import Square
from msvi.errors import InputError, require_at_least, require_positive


@dataclasses.dataclass(frozen=True)
class Burgers2D(RandomPulse, Square):
    """`u_t + (u²/2)_x + (u²/2)_y = nu (u_xx + u_yy)` on the unit square, non-dimensional; values at the edges are held.

    Initial condition `u(x, y, 0) = a exp(-((x - 0.3)² + (y - 0.3)²) / c²)` with `a ~ N(amplitude_mean, amplitude_std²)`
    and `c ~ N(width_mean, width_std²)`, the latter drawn again until positive. On every line along which only `x + y`
    varies it is the 1D equation in the time `2 t`, so `-a tanh(a (x + y - 1) / (2 nu))` is an exact steady solution.

    Attributes:
      num_points: grid points per axis on [0, 1], both edges included.
      viscosity: `nu`.

    Raises:
      InputError: a parameter out of range, or a time step for which diffusion or advection is unstable.
    """

    amplitude_mean: float = 1.0
    amplitude_std: float = 0.1
    width_mean: float = 0.2
    width_std: float = 0.01
    viscosity: float = 5e-3

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, "data.equation", num_points=3)
        require_positive(self, "data.equation", "viscosity")
        # Heun is stable for |lambda dt| <= 2 on the negative real axis, lambda = -8 nu / dx². Advection is damped by
        # the diffusion as long as the speed u of a diagonal wave satisfies u² dt <= nu.
        height = abs(self.amplitude_mean) + 5 * self.amplitude_std
        diffusive, advective = self.spacing**2 / (4 * self.viscosity), self.viscosity / max(height**2, 1e-300)
        limit = min(diffusive, advective)
        if self.dt > limit * (1 + 1e-9):
            raise InputError(
                f"`data.equation.max_dt` gives steps of {self.dt:.3g}, but on {self.num_points} points and with this "
                f"viscosity the scheme is stable up to {limit:.3g}; lower max_dt or num_points."
            )

    @property
    def spacing(self) -> float:
        """Distance between grid points."""
        return 1.0 / (self.num_points - 1)

    @property
    def x(self) -> np.ndarray:
        """Grid points along either axis, `(num_points,)`."""
        return np.linspace(0.0, 1.0, self.num_points)

    def initial(self, *draws: float) -> np.ndarray:
        """The initial condition of this amplitude and width, `(num_points, num_points, 1)` in float64."""
        amplitude, width = draws
        x, y = np.meshgrid(*self.coordinates, indexing="ij")
        return (amplitude * np.exp(-((x - 0.3) ** 2 + (y - 0.3) ** 2) / width**2))[..., None]

    def solve(self, u0: np.ndarray) -> np.ndarray:
        """Integrates one initial condition with central differences and Heun's method in float64.

        Args:
          u0: `(num_points, num_points, 1)`.

        Returns:
          float64 field at the frame times, `(num_frames, num_points, num_points, 1)`.
        """
        return self._integrate(_rate, diffrax.Heun(), u0, (self.spacing, self.viscosity))


def _rate(t, u, args):
    """Right-hand side by second-order central differences inside, zero on the edges."""
    del t
    dx, viscosity = args
    inside, right, left, up, down = u[1:-1, 1:-1], u[2:, 1:-1], u[:-2, 1:-1], u[1:-1, 2:], u[1:-1, :-2]
    advection = (left**2 - right**2 + down**2 - up**2) / (4 * dx)
    diffusion = viscosity * (right + left + up + down - 4 * inside) / dx**2
    return jnp.pad(advection + diffusion, ((1, 1), (1, 1), (0, 0)))
