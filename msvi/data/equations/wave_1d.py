"""Linear advection of a narrow pulse around the circle: initial conditions and exact solution."""

import dataclasses
from typing import ClassVar

import numpy as np

from msvi.data.equations.line import PeriodicLine
from msvi.errors import require_order, require_positive


@dataclasses.dataclass(frozen=True)
class Wave1D(PeriodicLine):
    """`u_t + u_x = 0` on `[0, 1)`, periodic; all quantities non-dimensional.

    Initial condition `u(x, 0) = exp(-(d / w)²)`, `d` the distance from `x` to 0 around the circle, of width
    `w ~ U(width_min, width_max)`; so `u(x, t)` is the same around `x = t`. A coarse cell of the published mesh is wider
    than the pulse.

    Attributes:
      width_min, width_max: ends of the range of widths.

    Raises:
      InputError: a parameter out of range.
    """

    width_min: float = 0.01
    width_max: float = 0.02

    # The paper scores forecasts up to this time.
    published_end: ClassVar[float | None] = 0.2

    def __post_init__(self):
        super().__post_init__()
        require_positive(self, "data.equation", "width_min", "width_max")
        require_order(self, "data.equation", "width_min", "width_max")

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """One random width."""
        return (rng.uniform(self.width_min, self.width_max),)

    def initial(self, *draws: float) -> np.ndarray:
        """The initial condition of this width, `(num_points, 1)` in float64."""
        (width,) = draws
        distance = np.minimum(self.x, self.extent - self.x)
        return np.exp(-((distance / width) ** 2))[:, None]

    def solve(self, u0: np.ndarray) -> np.ndarray:
        """The exact solution of the trigonometric polynomial through the points: each mode turns at its own rate.

        Args:
          u0: `(num_points, 1)`.

        Returns:
          float64 field at the frame times, `(num_frames, num_points, 1)`.
        """
        wavenumber = 2 * np.pi / self.extent * np.arange(self.num_points // 2 + 1)
        turned = np.exp(-1j * wavenumber * self.t[:, None])[..., None] * np.fft.rfft(u0, axis=0)
        return np.fft.irfft(turned, self.num_points, axis=1)
