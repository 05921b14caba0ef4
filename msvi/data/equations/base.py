"""What generated equations share: frame times, the fixed-step solve between frames, and random initial pulses."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, cast

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from msvi.errors import require_at_least, require_positive
from msvi.types import Array


@dataclasses.dataclass(frozen=True)
class Equation:
    """An equation observed at equally spaced times; all quantities non-dimensional.

    A subclass adds `grid`, `coordinates`, `boundary`, `draw`, `initial`, `solve` and its own parameters.

    Attributes:
      num_frames: stored frames on [0, t1], both ends included.
      t1: final time.
      max_dt: largest time step of the solver; the frame spacing is divided evenly to stay below it.
    """

    num_frames: int = 1001
    t1: float = 1.0
    max_dt: float = 1e-3

    # Until when the paper scores forecasts; to their end if None.
    published_end: ClassVar[float | None] = None

    def __post_init__(self):
        require_at_least(self, "data.equation", num_frames=2)
        require_positive(self, "data.equation", "t1", "max_dt")

    @property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Grid points of each axis."""
        raise NotImplementedError

    def generator(self, seed: int, split: int, index: int) -> np.random.Generator:
        """Of what is random in a trajectory: one of its own, so that a split's size never changes the others' draws.

        Args:
          seed: of the data.
          split, index: number of the split, and that of the trajectory within it.
        """
        return np.random.default_rng([seed, split, index])

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """Random parameters of one initial condition."""
        raise NotImplementedError

    def initial(self, *draws: float) -> np.ndarray:
        """The initial condition that the parameters give, `(*grid, channel)` in float64."""
        raise NotImplementedError

    def sample_initial(self, rng: np.random.Generator) -> np.ndarray:
        """One random initial condition, `(*grid, channel)` in float64."""
        return self.initial(*self.draw(rng))

    def solve(self, u0: np.ndarray) -> Any:
        """The field at the frame times, `(num_frames, *grid, channel)`, and what else a solver finds, from `u0`."""
        raise NotImplementedError

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
          u0: initial `y`, `(*grid, channel)`.
          args: numbers and arrays, handed to `rate` in float64.
          observe: `(t, y, args) -> u`; the identity if None.

        Returns:
          `u` at the frame times, `(num_frames, *grid, channel)`.
        """
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            steps = jnp.linspace(0.0, self.t1, (self.num_frames - 1) * self.steps_per_frame + 1)
            args = jax.tree.map(jnp.asarray, args)
            return np.asarray(_solve(rate, solver, observe, jnp.asarray(u0), steps, self.steps_per_frame, args))


@dataclasses.dataclass(frozen=True)
class RandomPulse:
    """Amplitude `N(amplitude_mean, amplitude_std²)` and width `N(width_mean, width_std²)` of an initial pulse.

    The width is drawn again until it is positive. To be inherited before the `Equation`.
    """

    amplitude_mean: float
    amplitude_std: float
    width_mean: float
    width_std: float

    def __post_init__(self):
        super().__post_init__()  # pyright: ignore[reportAttributeAccessIssue]  the `Equation`'s
        require_at_least(self, "data.equation", amplitude_std=0, width_std=0)
        require_positive(self, "data.equation", "width_mean")

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """One random amplitude and width."""
        amplitude = rng.normal(self.amplitude_mean, self.amplitude_std)
        width = 0.0
        while width <= 0.0:
            width = rng.normal(self.width_mean, self.width_std)
        return amplitude, width


@jax.jit(static_argnames=("rate", "solver", "observe", "steps_per_frame"))
def _solve(
    rate: Callable, solver: Any, observe: Callable | None, y0: Array, steps: Array, steps_per_frame: int, args: Any
) -> Array:
    solution = diffrax.diffeqsolve(
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
    )
    return cast(Array, solution.ys)  # None only of a solve that saves nothing
