"""What equations on a periodic line share: grid, frame times, and the fixed-step solve between frames."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from msvi.errors import require_at_least, require_positive
from msvi.types import Array


@dataclasses.dataclass(frozen=True)
class PeriodicLine:
    """An equation on `[0, extent)`, periodic, observed at equally spaced times; all quantities non-dimensional.

    An equation adds `sample_initial`, `solve` and its own parameters.

    Attributes:
      num_points: grid points on [0, extent); the point at `extent` is the one at 0.
      num_frames: stored frames on [0, t1], both ends included.
      t1: final time.
      max_dt: largest time step of the solver; the frame spacing is divided evenly to stay below it.
    """

    num_points: int = 1000
    num_frames: int = 1001
    t1: float = 1.0
    max_dt: float = 1e-3

    extent: ClassVar[float] = 1.0

    def __post_init__(self):
        require_at_least(self, "data.equation", num_points=3, num_frames=2)
        require_positive(self, "data.equation", "t1", "max_dt")

    @property
    def boundary(self) -> tuple[str, ...]:
        """Boundary kind of each axis."""
        return ("periodic",)

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return (self.num_points,)

    @property
    def spacing(self) -> float:
        """Distance between grid points."""
        return self.extent / self.num_points

    @property
    def x(self) -> np.ndarray:
        """Grid points, `(num_points,)`."""
        return self.extent * np.arange(self.num_points) / self.num_points

    @property
    def t(self) -> np.ndarray:
        """Frame times, `(num_frames,)`."""
        return np.linspace(0.0, self.t1, self.num_frames)

    @property
    def steps_per_frame(self) -> int:
        """Equal solver steps between two frames."""
        return int(np.ceil(self.t1 / (self.num_frames - 1) / self.max_dt - 1e-9))

    @property
    def dt(self) -> float:
        """Solver step."""
        return self.t1 / (self.num_frames - 1) / self.steps_per_frame

    def _integrate(
        self, rate: Callable, solver: diffrax.AbstractSolver, u0: np.ndarray, args: Any, observe: Callable | None = None
    ) -> np.ndarray:
        """Solves over the frames in float64, on the CPU everywhere: the numbers are not to depend on the device.

        Args:
          rate: `(t, y, args) -> dy / dt`.
          solver: of diffrax.
          u0: initial `y`, `(num_points, 1)`.
          args: numbers and arrays, handed to `rate` in float64.
          observe: `(t, y, args) -> u`; the identity if None.

        Returns:
          `u` at the frame times, `(num_frames, num_points, 1)`.
        """
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            steps = jnp.linspace(0.0, self.t1, (self.num_frames - 1) * self.steps_per_frame + 1)
            args = jax.tree.map(jnp.asarray, args)
            return np.asarray(_solve(rate, solver, observe, jnp.asarray(u0), steps, self.steps_per_frame, args))


def sample_positive(rng: np.random.Generator, mean: float, std: float) -> float:
    """A draw of `N(mean, std²)`, taken again until it is positive."""
    value = 0.0
    while value <= 0.0:
        value = rng.normal(mean, std)
    return value


@jax.jit(static_argnames=("rate", "solver", "observe", "steps_per_frame"))
def _solve(
    rate: Callable, solver: Any, observe: Callable | None, y0: Array, steps: Array, steps_per_frame: int, args: Any
) -> Array:
    return diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        solver,
        t0=steps[0],
        t1=steps[-1],
        dt0=None,
        y0=y0,
        args=args,
        stepsize_controller=diffrax.StepTo(ts=steps),
        saveat=diffrax.SaveAt(ts=steps[::steps_per_frame], fn=observe or (lambda t, y, args: y)),
        adjoint=diffrax.ForwardMode(),
        max_steps=steps.shape[0],
    ).ys
