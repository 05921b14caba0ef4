"""Viscous Burgers equation in one dimension: initial conditions and reference solver."""

import dataclasses

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from msvi.errors import InputError, require_at_least, require_positive


@dataclasses.dataclass(frozen=True)
class Burgers1D:
    """`u_t + (u²/2)_x = nu u_xx` on the periodic unit interval; all quantities non-dimensional.

    Initial condition `u(x, 0) = a exp(-(x - 1/2)² / v)` with `a ~ N(amplitude_mean, amplitude_std²)` and
    `v ~ N(width_mean, width_std²)`, the latter drawn again until positive. The flux form is kept by the
    central difference, so the mass `sum(u) dx` is conserved to round-off.

    Attributes:
      num_points: grid points on [0, 1); the point at 1 is the one at 0.
      num_frames: stored frames on [0, t1], both ends included.
      t1: final time.
      viscosity: `nu`.
      max_dt: largest time step of Heun's method; the frame spacing is divided evenly to stay below it.
      amplitude_mean, amplitude_std, width_mean, width_std: of the initial condition.
    """

    num_points: int = 1000
    num_frames: int = 1001
    t1: float = 1.0
    viscosity: float = 5e-4
    max_dt: float = 1e-3
    amplitude_mean: float = 0.25
    amplitude_std: float = 0.05
    width_mean: float = 0.01
    width_std: float = 0.0025

    @property
    def boundary(self) -> tuple[str, ...]:
        """Boundary kind of each axis."""
        return ("periodic",)

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return (self.num_points,)

    @property
    def x(self) -> np.ndarray:
        """Grid points, `(num_points,)`."""
        return np.arange(self.num_points) / self.num_points

    @property
    def t(self) -> np.ndarray:
        """Frame times, `(num_frames,)`."""
        return np.linspace(0.0, self.t1, self.num_frames)

    def __post_init__(self):
        require_at_least(self, "data.equation", num_points=3, num_frames=2, amplitude_std=0, width_std=0)
        require_positive(self, "data.equation", "t1", "max_dt", "viscosity", "width_mean")
        # Heun is stable for |lambda dt| <= 2 on the negative real axis and lambda = -4 nu / dx².
        limit = 0.5 / (self.viscosity * self.num_points**2)
        if self._dt > limit * (1 + 1e-9):
            raise InputError(
                f"`data.equation.max_dt` gives steps of {self._dt:.3g}, but diffusion on {self.num_points} points is "
                f"stable up to {limit:.3g}; lower max_dt or num_points."
            )

    @property
    def _steps_per_frame(self) -> int:
        return int(np.ceil(self.t1 / (self.num_frames - 1) / self.max_dt - 1e-9))

    @property
    def _dt(self) -> float:
        return self.t1 / (self.num_frames - 1) / self._steps_per_frame

    def sample_initial(self, rng: np.random.Generator) -> np.ndarray:
        """One random initial condition, `(num_points, 1)` in float64."""
        amplitude = rng.normal(self.amplitude_mean, self.amplitude_std)
        width = 0.0
        while width <= 0.0:
            width = rng.normal(self.width_mean, self.width_std)
        return (amplitude * np.exp(-((self.x - 0.5) ** 2) / width))[:, None]

    def solve(self, u0: np.ndarray) -> np.ndarray:
        """Integrates one initial condition with central differences and Heun's method in float64.

        Args:
          u0: `(num_points, 1)`.

        Returns:
          float64 field at the frame times, `(num_frames, num_points, 1)`.
        """
        # On the CPU everywhere: the cached numbers are not to depend on the accelerator.
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            steps = jnp.linspace(0.0, self.t1, (self.num_frames - 1) * self._steps_per_frame + 1)
            return np.asarray(
                _solve(jnp.asarray(u0), steps, self._steps_per_frame, 1 / self.num_points, self.viscosity)
            )


def _rate(t, u, args):
    """Right-hand side `-(u²/2)_x + nu u_xx` by second-order central differences."""
    del t
    dx, viscosity = args
    right, left = jnp.roll(u, -1, axis=0), jnp.roll(u, 1, axis=0)
    return (left**2 - right**2) / (4 * dx) + viscosity * (right - 2 * u + left) / dx**2


@jax.jit(static_argnames="steps_per_frame")
def _solve(u0, steps, steps_per_frame, dx, viscosity):
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_rate),
        diffrax.Heun(),
        t0=steps[0],
        t1=steps[-1],
        dt0=None,
        y0=u0,
        args=(dx, viscosity),
        stepsize_controller=diffrax.StepTo(ts=steps),
        saveat=diffrax.SaveAt(ts=steps[::steps_per_frame]),
        adjoint=diffrax.ForwardMode(),
        max_steps=steps.shape[0],
    )
    return solution.ys
