"""The Kuramoto–Sivashinsky equation on its chaotic attractor.

    u_t + u u_x + u_xx + u_xxxx = 0  on [0, 22), periodic

The largest Lyapunov exponent there is 0.043 (Edson, Bunder, Mattner & Roberts, "Lyapunov exponents of the
Kuramoto–Sivashinsky PDE", ANZIAM Journal 61, 2019) to 0.048 (Cvitanović, Davidchack & Siminos, "On the state space
geometry of the Kuramoto–Sivashinsky flow in a periodic domain", SIAM Journal on Applied Dynamical Systems 9, 2010).
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy import fft

from benchmarks.systems.base import Check, Sizes, Trajectories, beats, judge, make_forecast, of_baseline
from benchmarks.systems.domains import MODES, check_domains, count_left, draw_domain, mode_power
from benchmarks.systems.spectral import Stepper, advection, make_stepper, random_field, wavenumbers
from msvi.data.split import Dataset
from msvi.scores import metrics
from msvi.training.trained import TrainedModel

# Published values of the largest Lyapunov exponent, and what an estimate from a finite time may add to them.
LYAPUNOV = (0.043, 0.048)
_ESTIMATE = 0.006
# Relative L2 error from which on a path counts as lost.
_LOST = 0.4
# Where the microscale is in cells: least valid prediction time, and spread over error at each lead time.
_LEAST_TIME, _SPREAD = 2.5, [0.8, 1.25]
# Perfect ensembles for comparison: draws, and how unsure of the first frame, in deviations of the field, in how many
# waves; and the first of their purposes, by which random numbers are told apart.
_DRAWS, _UNSURE, _HELD, _FIRST_PURPOSE = 8, 6e-3, 10, 100


@dataclasses.dataclass(frozen=True)
class KuramotoSivashinsky:
    """The equation and its observation.

    Attributes:
      num_points, extent: of the line.
      solver_points: on which it is solved; smooth fields have no more waves than these can tell apart.
      dt: time between frames.
      steps: of the solver, per frame.
      spin_up: time from a random field to the first frame.
      noise: of the observation, in deviations of the field.
      long_frames, members: of the long roll-outs, members per test trajectory.
    """

    sizes: Sizes = Sizes(34, 4, 16, 300)
    num_points: int = 256
    extent: float = 22.0
    solver_points: int = 64
    dt: float = 0.25
    steps: int = 2
    spin_up: float = 200.0
    noise: float = 0.01
    long_frames: int = 3000
    members: int = 4
    name: str = "kuramoto_sivashinsky"
    must_beat: bool = False

    def stepper(self, steps: int) -> Stepper:
        """One of `steps` steps per frame."""
        k = wavenumbers(self.solver_points, self.extent)
        return make_stepper(k**2 - k**4, self.dt / steps)

    def initial(self, number: int, purpose: int = 1) -> np.ndarray:
        """Fourier coefficients on the attractor, `(number, wavenumber)`."""
        u = random_field(self.sizes.rng(purpose), np.full(4, 0.5), number, self.solver_points)
        for u_hat in self.solve(fft.rfft(u), round(self.spin_up / self.dt) + 1, self.steps):
            found = u_hat
        return found

    def solve(self, u_hat: np.ndarray, num_frames: int, steps: int) -> Iterator[np.ndarray]:
        """The frames' coefficients one after another, `(..., wavenumber)`, the first that are given."""
        step, nonlinear = self.stepper(steps), advection(self.solver_points, self.extent)
        yield u_hat
        for _ in range(num_frames - 1):
            for _ in range(steps):
                u_hat = step(u_hat, nonlinear)
            yield u_hat

    def fields(self, u_hat: np.ndarray) -> np.ndarray:
        """On the grid, `(..., point)`."""
        return fft.irfft(u_hat, self.num_points) * (self.num_points / self.solver_points)

    def coefficients(self, u: np.ndarray) -> np.ndarray:
        """The inverse of `fields`."""
        return fft.rfft(u)[..., : self.solver_points // 2 + 1] * (self.solver_points / self.num_points)

    def generate(self) -> Trajectories:
        """Pieces of as many independent paths."""
        frames = self.solve(self.initial(self.sizes.total), self.sizes.num_frames, self.steps)
        u = np.stack([self.fields(u_hat) for u_hat in frames], axis=1)[..., None]
        x = self.extent * np.arange(self.num_points) / self.num_points
        return Trajectories(self.dt * np.arange(self.sizes.num_frames), u, (x,), (self.noise * float(u.std()),))

    def check_data(self, dataset: Dataset) -> dict[str, Check]:
        """The solver against half its step, and the Lyapunov exponent against the published ones."""
        start = self.initial(4, purpose=2)
        coarse, fine = (np.stack(list(self.solve(start, 41, steps)))[-1] for steps in (self.steps, 2 * self.steps))
        power = mode_power(np.asarray(dataset.train.u_true[..., 0], float))
        bounds = [LYAPUNOV[0] - _ESTIMATE, LYAPUNOV[1] + _ESTIMATE]
        return {
            "relative change from half the time step in 10": judge(
                np.abs(coarse - fine).max() / np.abs(fine).max(), 1e-3
            ),
            "share of the power in the last waves solved": judge(power[self.solver_points // 3] / power.sum(), 1e-9),
            "largest Lyapunov exponent": judge(self.lyapunov_exponent(32, 200), bounds),
        }

    def lyapunov_exponent(self, number: int, intervals: int) -> float:
        """From the growth of a small distance between two paths, brought back to its size every ten frames.

        The first tenth is left out, until the distance points where it grows.

        Args:
          number: pairs of paths.
          intervals: of ten frames.
        """
        u = self.initial(number, purpose=3)
        size = 1e-6
        v = u + fft.rfft(size * random_field(self.sizes.rng(4), np.ones(4), number, self.solver_points))
        step, nonlinear, frames = self.stepper(self.steps), advection(self.solver_points, self.extent), 10
        growth = []
        for _ in range(intervals):
            before = np.linalg.norm(v - u, axis=-1, keepdims=True)
            both = np.stack([u, v])
            for _ in range(frames * self.steps):
                both = step(both, nonlinear)
            u, v = both
            after = np.linalg.norm(v - u, axis=-1, keepdims=True)
            growth.append(np.log(after / before).mean() / (frames * self.dt))
            v = u + (v - u) * (before / after)
        return float(np.mean(growth[intervals // 10 :]))

    def check_model(self, trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
        """Long roll-outs beside those of the equation from the same states, and for how long a path is followed."""
        truth = self.coefficients(np.asarray(trained.dataset.test.u_true[:, 0, :, 0], float))
        reference = np.stack([self.fields(u_hat) for u_hat in self.solve(truth, self.long_frames, self.steps)])
        found = self.roll_out(trained)
        skip = self.long_frames // 10
        power, expected = (mode_power(u[skip:])[1 : MODES + 1] for u in (found, reference))
        local = trained.config.model.micro_layout == "cells"
        checks = {
            "members that leave the attractor": judge(count_left(found, reference), 0),
            "mean energy over truth": judge(np.mean(found[skip:] ** 2) / np.mean(reference[skip:] ** 2), [0.9, 1.1]),
            f"power in modes 1 to {MODES} over truth": judge((power / expected).tolist(), [0.75, 1.25]),
            "valid prediction time in Lyapunov times, median": judge(
                self.valid_time(trained), [_LEAST_TIME, None] if local else None
            ),
        } | beats(result, self.must_beat)
        return checks | self.check_cells(trained, result) if local else checks

    def check_cells(self, trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
        """What more is asked of a model with microscale latents in every cell."""
        sindy = of_baseline("sindy", trained)["test"]["nrmse"]["median"]
        perfect = self.perfect_spread(trained.config.forecast.num_members, _DRAWS)
        return {
            "NRMSE over that of POD-SINDy": judge(result["test"]["nrmse"]["median"] / sindy, 1.0),
            "spread over error, every lead time": judge(result["lead_time"]["spread_skill"], _SPREAD),
            "the same of perfect ensembles, smallest and largest of each": judge(perfect, None),
        } | check_domains(self, trained)

    def perfect_spread(self, members: int, draws: int) -> list[float]:
        """What chance does to spread over error: the least and the largest value over lead times, on average over draws
        of as many trajectories as the test has, of ensembles whose members and truth come from one normal distribution
        about the same state and are followed by the equation itself.

        Errors of chaotic paths differ so much that a few trajectories make up their mean square.

        Args:
          members: of each ensemble.
          draws: how many.
        """
        found = []
        for draw in range(draws):
            purpose = _FIRST_PURPOSE + draw
            states = self.initial(self.sizes.num_test, purpose)
            size = _UNSURE * np.std(fft.irfft(states))
            shape = (members + 1, len(states), self.solver_points)
            noise = fft.rfft(size * self.sizes.rng(_FIRST_PURPOSE + draws + draw).standard_normal(shape))
            noise[..., _HELD:] = 0
            ratios = []
            for u_hat in self.solve(states + noise, self.sizes.num_frames, self.steps):
                truth, ensemble = np.split(fft.irfft(u_hat), [1])
                spread = np.var(ensemble, axis=0, ddof=1).mean() * (1 + 1 / members)
                ratios.append(np.sqrt(spread / np.mean((np.mean(ensemble, axis=0) - truth) ** 2)))
            found.append((min(ratios), max(ratios)))
        return np.mean(found, axis=0).tolist()

    def draw(self, trained: TrainedModel) -> Figure:
        """Of a model with microscale latents in every cell, a forecast on a larger domain."""
        return draw_domain(self, trained)

    def roll_out(self, trained: TrainedModel) -> np.ndarray:
        """Noise-free fields of long forecasts from the test trajectories' first frames, `(time, path, point)`."""
        model, test = trained.model, trained.dataset.test
        forecast = make_forecast(trained, self.dt * np.arange(self.long_frames), self.members)
        decode = jax.jit(lambda z: jax.lax.map(lambda z: model.decode(trained.params, z).mean[..., 0], z))
        paths = []
        for i, u0 in enumerate(test.u[:, 0]):
            z = forecast(jnp.asarray(u0), jax.random.key(i))
            paths += [np.asarray(decode(member)) for member in z]
        return np.stack(paths, axis=1)

    def valid_time(self, trained: TrainedModel) -> float:
        """Median time until the error of the ensemble's mean exceeds `_LOST`, in Lyapunov times of the larger exponent.

        Paths that never do count with the length of the trajectory.
        """
        model, test = trained.model, trained.dataset.test
        forecast = make_forecast(trained, test.t[0], trained.config.forecast.num_members)

        @jax.jit
        def errors(z, u):
            mean = jax.lax.map(lambda z: jax.vmap(lambda z: model.decode(trained.params, z).mean)(z).mean(axis=0), z)
            return metrics.relative_errors(mean, u)

        first = []
        for i, (u, truth) in enumerate(zip(test.u, test.u_true, strict=True)):
            z = forecast(jnp.asarray(u[0]), jax.random.key(i)).swapaxes(0, 1)
            first.append(int(metrics.first_above(errors(z, jnp.asarray(truth)), _LOST)))
        return float(np.median(first) * self.dt * LYAPUNOV[1])
