"""True solvers as functions of one state over one frame, for the filter to run on in place of a model.

They are those of the data: the same schemes and time steps, in single precision.
"""

import dataclasses
from collections.abc import Callable

import diffrax
import jax.numpy as jnp
import numpy as np

from benchmarks.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from benchmarks.systems.spectral import dealiased, wavenumbers
from msvi.data.equations import burgers_1d, kdv_1d
from msvi.types import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Solver:
    """An equation on a periodic line; compared by identity, so that it can be static in what is compiled.

    Attributes:
      x: the points of the state.
      stride: every so many points of the data's grid are the state's.
      frame: the state one frame later, `(points,) -> (points,)`.
    """

    x: np.ndarray
    stride: int
    frame: Callable[[Array], Array]

    @property
    def points(self) -> int:
        """Of the state."""
        return len(self.x)


def kuramoto_sivashinsky(system: KuramotoSivashinsky) -> Solver:
    """The exponential scheme on the points that the system is solved on."""
    points = system.solver_points
    step = system.stepper(system.steps)
    step = type(step)(*(np.asarray(a, np.float32) for a in step))
    factor = (-0.5j * wavenumbers(points, system.extent) * dealiased(points)).astype(np.complex64)

    def nonlinear(u_hat):
        return factor * jnp.fft.rfft(jnp.fft.irfft(u_hat, points) ** 2)

    def frame(u):
        u_hat = jnp.fft.rfft(u)
        for _ in range(system.steps):
            u_hat = step(u_hat, nonlinear)
        return jnp.fft.irfft(u_hat, points)

    x = system.extent * np.arange(points) / points
    return Solver(x, system.num_points // points, frame)


def burgers(equation: burgers_1d.Burgers1D) -> Solver:
    """Central differences and Heun's method."""
    return _by_diffrax(equation, burgers_1d.rate, diffrax.Heun(), (equation.spacing, equation.viscosity))


def kdv(equation: kdv_1d.KortewegDeVries1D) -> Solver:
    """Pseudo-spectral, the dispersion exactly."""
    wavenumber = 2 * np.pi / equation.extent * np.arange(equation.num_points // 2 + 1)
    kept = np.arange(len(wavenumber)) < equation.num_points / 3
    args = tuple(np.asarray(a, np.float32) for a in (wavenumber * kept, equation.dispersion * wavenumber**3 * kept))
    return _by_diffrax(equation, kdv_1d.rate, diffrax.Tsit5(), args, kdv_1d.carry_forward)


def _by_diffrax(equation, rate, solver, args, observe=None) -> Solver:
    """Steps of the equation's length over one frame."""
    steps = np.arange(equation.steps_per_frame + 1) * np.float32(equation.dt)

    def frame(u):
        y = u[:, None]
        for start, end in zip(steps[:-1], steps[1:], strict=True):
            y, *_ = solver.step(
                diffrax.ODETerm(rate),
                start,
                end,
                y,
                args,
                solver.init(diffrax.ODETerm(rate), start, end, y, args),
                True,
            )
        return (y if observe is None else observe(steps[-1], y, args))[:, 0]

    return Solver(equation.x, 1, frame)
