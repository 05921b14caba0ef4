"""Pseudo-spectral solution of `u_t = L u + N(u)` on periodic axes with the exponential scheme ETDRK4.

Source: Kassam & Trefethen, "Fourth-Order Time-Stepping for Stiff PDEs", SIAM Journal on Scientific Computing 26, 2005.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import fft

# Points on the circle over which the scheme's coefficients are averaged.
_CONTOUR = 32


class Stepper(NamedTuple):
    """Coefficients of the scheme for one step size, each of the shape of `L`.

    `decay` is `exp(L dt)`, `half` is `exp(L dt / 2)`; `middle` multiplies `N` of the inner stages, `first`, `second`
    and `last` that of the beginning, the middle twice, and the end.
    """

    decay: np.ndarray
    half: np.ndarray
    middle: np.ndarray
    first: np.ndarray
    second: np.ndarray
    last: np.ndarray

    def __call__(self, u_hat: np.ndarray, nonlinear: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """One step of Fourier coefficients `(..., *wavenumber)`."""
        n_u = nonlinear(u_hat)
        start = self.half * u_hat
        a = start + self.middle * n_u
        n_a = nonlinear(a)
        n_b = nonlinear(start + self.middle * n_a)
        n_c = nonlinear(self.half * a + self.middle * (2 * n_b - n_u))
        return self.decay * u_hat + self.first * n_u + self.second * (n_a + n_b) + self.last * n_c


def make_stepper(linear: np.ndarray, dt: float) -> Stepper:
    """The scheme for the real eigenvalues `linear` of `L` and steps of `dt`."""
    z = linear * dt
    # Means over a circle around each eigenvalue, where the formulas do not cancel.
    circle = np.exp(1j * np.pi * (np.arange(1, _CONTOUR + 1) - 0.5) / _CONTOUR)
    r = z[..., None] + circle
    e = np.exp(r)

    def mean(values: np.ndarray) -> np.ndarray:
        return dt * values.mean(axis=-1).real

    return Stepper(
        decay=np.exp(z),
        half=np.exp(z / 2),
        middle=mean((np.exp(r / 2) - 1) / r),
        first=mean((-4 - r + e * (4 - 3 * r + r**2)) / r**3),
        second=2 * mean((2 + r + e * (r - 2)) / r**3),
        last=mean((-4 - 3 * r - r**2 + e * (4 - r)) / r**3),
    )


def wavenumbers(num_points: int, extent: float) -> np.ndarray:
    """Of `scipy.fft.rfft` on a periodic line, `(num_points // 2 + 1,)`."""
    return 2 * np.pi / extent * np.arange(num_points // 2 + 1)


def dealiased(num_points: int) -> np.ndarray:
    """Which coefficients of `rfft` the two-thirds rule keeps."""
    return np.arange(num_points // 2 + 1) < num_points / 3


def advection(num_points: int, extent: float) -> Callable[[np.ndarray], np.ndarray]:
    """`-(u² / 2)_x` of Fourier coefficients `(..., wavenumber)`, dealiased."""
    factor = -0.5j * wavenumbers(num_points, extent) * dealiased(num_points)
    return lambda u_hat: factor * fft.rfft(fft.irfft(u_hat, num_points) ** 2)


def random_field(rng: np.random.Generator, amplitudes: np.ndarray, number: int, num_points: int) -> np.ndarray:
    """Gaussian periodic fields `sum_k a_k (xi_k cos(k x) + xi'_k sin(k x))`, `(number, num_points)`.

    Args:
      amplitudes: `a_k` for `k = 1, 2, ...`; the variance at a point is the sum of their squares.
    """
    phase = 2 * np.pi * np.outer(np.arange(1, len(amplitudes) + 1), np.arange(num_points) / num_points)
    draws = rng.standard_normal((2, number, len(amplitudes))) * amplitudes
    return draws[0] @ np.cos(phase) + draws[1] @ np.sin(phase)
