"""Korteweg–de Vries equation in one dimension: initial conditions and reference solver."""

import dataclasses
import math
from typing import ClassVar

import diffrax
import jax.numpy as jnp
import numpy as np

from msvi.data.equations.base import RandomPulse
from msvi.data.equations.line import PeriodicLine
from msvi.errors import InputError, require_positive


@dataclasses.dataclass(frozen=True)
class KortewegDeVries1D(RandomPulse, PeriodicLine):
    """`u_t + u u_x + delta u_xxx = 0` on `[0, 10)`, periodic; all quantities non-dimensional.

    Initial condition `u(x, 0) = A cos(pi x) exp(-d² / w)` with `A ~ N(amplitude_mean, amplitude_std²)` and
    `w ~ N(width_mean, width_std²)`, the latter drawn again until positive. `d` is the distance from `x` to 7.5 around
    the circle, which makes the field as smooth at the periodic edge as elsewhere (without, it jumps there by some
    0.004). Solitons `3 c sech²(sqrt(c / delta) (x - c t) / 2)` of any speed `c` are exact solutions; mass `∫ u dx` and
    momentum `∫ u² dx` are conserved.

    Attributes:
      dispersion: `delta`.

    Raises:
      InputError: a parameter out of range, or a time step for which advection is unstable.
    """

    max_dt: float = 5e-4
    dispersion: float = 0.02
    amplitude_mean: float = 2.0
    amplitude_std: float = 0.1
    width_mean: float = 1.0
    width_std: float = 0.1

    extent: ClassVar[float] = 10.0

    def __post_init__(self):
        super().__post_init__()
        require_positive(self, "data.equation", "dispersion")
        # Both bounds are for the highest wavenumber kept and a height five deviations above the mean. Advection:
        # Tsitouras' method amplifies `exp(iy)` by 1.3e-4 a step at y = 1, and by 3e-3 at 1.5. Resonance: modes there
        # that a soliton couples must turn against each other by less than a whole turn a step, or their coupling, which
        # should average out, adds up from step to step and the field blows up.
        height = abs(self.amplitude_mean) + 5 * self.amplitude_std
        wavenumber = 2 * np.pi / self.extent * self.num_points / 3
        soliton = math.sqrt(height / (12 * self.dispersion))  # one over its width
        fastest = max(height * wavenumber, 3 * self.dispersion * wavenumber**2 * soliton / (2 * np.pi))
        if self.dt * fastest > 1:
            raise InputError(
                f"`data.equation.max_dt` gives steps of {self.dt:.3g}, but advection on {self.num_points} points is "
                f"stable up to {1 / fastest:.3g}; lower max_dt or num_points."
            )

    def initial(self, *draws: float) -> np.ndarray:
        """The initial condition of this amplitude and width, `(num_points, 1)` in float64."""
        amplitude, width = draws
        half = self.extent / 2
        distance = (self.x - 7.5 + half) % self.extent - half
        return (amplitude * np.cos(np.pi * self.x) * np.exp(-(distance**2) / width))[:, None]

    def solve(self, u0: np.ndarray) -> np.ndarray:
        """Integrates one initial condition pseudo-spectrally in float64.

        Derivatives are exact for the Fourier modes, of which the product keeps the lower two thirds, so that it is
        free of aliasing. The dispersion is integrated exactly: the unknown is the field carried back along the linear
        waves, `y(t) = exp(t delta ∂_xxx) u(t)`, and the fifth-order method of Tsitouras only sees the advection.

        Args:
          u0: `(num_points, 1)`.

        Returns:
          float64 field at the frame times, `(num_frames, num_points, 1)`.
        """
        wavenumber = 2 * np.pi / self.extent * np.arange(self.num_points // 2 + 1)
        kept = np.arange(len(wavenumber)) < self.num_points / 3
        args = (wavenumber * kept, self.dispersion * wavenumber**3 * kept)
        return self._integrate(rate, diffrax.Tsit5(), u0, args, observe=carry_forward)


def rate(t, y, args):
    """`exp(t delta ∂_xxx) (-(u²/2)_x)` for `u = exp(-t delta ∂_xxx) y`."""
    wavenumber, frequency = args
    u = carry_forward(t, y, args)
    flux_hat = jnp.fft.rfft(u**2 / 2, axis=0)
    return jnp.fft.irfft(jnp.exp(-1j * t * frequency)[:, None] * -1j * wavenumber[:, None] * flux_hat, len(y), axis=0)


def carry_forward(t, y, args):
    """`exp(-t delta ∂_xxx) y`: every mode turned by `exp(i delta k³ t)`."""
    _, frequency = args
    return jnp.fft.irfft(jnp.exp(1j * t * frequency)[:, None] * jnp.fft.rfft(y, axis=0), len(y), axis=0)
