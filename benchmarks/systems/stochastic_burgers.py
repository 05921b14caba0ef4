"""Burgers' equation driven by white noise: what may come is a distribution, and it is known from many solutions.

    du = (nu u_xx - u u_x) dt + sum_k s (cos(2 pi k x) dW_k + sin(2 pi k x) dW'_k),   k = 1, ..., num_forced

on the unit interval, periodic, with `s²` the variance that a mode adds at a point per unit of time. All trajectories
start in the statistically steady state, which one model has to know; the mean over the line stays zero. Steps of the
equation without noise (ETDRK4) stand between two halves of each Brownian increment.

The conditional law is that of many solutions from the noise-free first frame of each test trajectory with fresh noise.
"""

import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import fft

from benchmarks.systems.base import Check, Sizes, Trajectories, beats, judge, make_forecast, noise_of
from benchmarks.systems.spectral import advection, make_stepper, wavenumbers
from msvi.data.split import Dataset
from msvi.scores import metrics
from msvi.training.trained import TrainedModel

# Lead times at which variances are compared.
_LEADS = 10
# By how much the error of the true conditional mean may be exceeded.
_ALLOWED = 1.03


class Conditional(NamedTuple):
    """Mean and variance of the solutions from the test trajectories' first frames, `(trajectory, time, point)`."""

    mean: np.ndarray
    variance: np.ndarray


@dataclasses.dataclass(frozen=True)
class StochasticBurgers:
    """The equation and its observation.

    Attributes:
      num_points: of the line.
      viscosity: `nu`.
      num_forced: modes that are forced.
      forcing: `s²`.
      duration: time from the first to the last frame.
      steps: of the solver, per frame.
      spin_up: time from rest to the first frame.
      noise: of the observation, in deviations of the field.
      members: solutions from each first frame of the test trajectories.
    """

    sizes: Sizes = Sizes(40, 4, 16, 201)
    num_points: int = 256
    viscosity: float = 0.01
    num_forced: int = 8
    forcing: float = 0.016
    duration: float = 1.0
    steps: int = 5
    spin_up: float = 5.0
    noise: float = 0.01
    members: int = 64
    name: str = "stochastic_burgers"
    must_beat: bool = True

    @property
    def dt(self) -> float:
        """Time between frames."""
        return self.duration / (self.sizes.num_frames - 1)

    def increments(self, rng: np.random.Generator, shape: tuple[int, ...], dt: float) -> np.ndarray:
        """Fourier coefficients `(*shape, wavenumber)` of what the noise adds in a time `dt`."""
        found = np.zeros((*shape, self.num_points // 2 + 1), complex)
        draws = rng.standard_normal((2, *shape, self.num_forced))
        # cos and sin of unit amplitude have the coefficients n / 2 and -i n / 2.
        size = 0.5 * self.num_points * np.sqrt(self.forcing * dt)
        found[..., 1 : self.num_forced + 1] = size * (draws[0] - 1j * draws[1])
        return found

    def paths(self, rng: np.random.Generator, u_hat: np.ndarray, num_frames: int) -> Iterator[np.ndarray]:
        """The frames' coefficients one after another, `(..., wavenumber)`, the first that are given."""
        yield u_hat
        for _ in range(num_frames - 1):
            increments = [self.increments(rng, u_hat.shape[:-1], self.dt / self.steps) for _ in range(self.steps)]
            u_hat = self.advance(u_hat, increments)
            yield u_hat

    def advance(self, u_hat: np.ndarray, increments: list[np.ndarray]) -> np.ndarray:
        """One frame on, in as many steps as there are Brownian increments."""
        linear = -self.viscosity * wavenumbers(self.num_points, 1.0) ** 2
        step, nonlinear = make_stepper(linear, self.dt / len(increments)), advection(self.num_points, 1.0)
        for increment in increments:
            u_hat = step(u_hat + 0.5 * increment, nonlinear) + 0.5 * increment
        return u_hat

    def initial(self, number: int, purpose: int) -> tuple[np.random.Generator, np.ndarray]:
        """Coefficients in the steady state, `(number, wavenumber)`, and the generator to go on with."""
        rng, rest = self.sizes.rng(purpose), np.zeros((number, self.num_points // 2 + 1), complex)
        for u_hat in self.paths(rng, rest, round(self.spin_up / self.dt) + 1):
            found = u_hat
        return rng, found

    def generate(self) -> Trajectories:
        """As many independent solutions."""
        rng, start = self.initial(self.sizes.total, purpose=1)
        frames = self.paths(rng, start, self.sizes.num_frames)
        u = np.stack([fft.irfft(u_hat, self.num_points) for u_hat in frames], axis=1)[..., None]
        x = np.arange(self.num_points) / self.num_points
        return Trajectories(self.dt * np.arange(self.sizes.num_frames), u, (x,), (self.noise * float(u.std()),))

    def check_data(self, dataset: Dataset) -> dict[str, Check]:
        """The solver against half its step on the same Brownian path, and the energy that the noise puts in."""
        rng, start = self.initial(64, purpose=2)
        coarse = fine = start
        for _ in range(min(self.sizes.num_frames - 1, 40)):
            halves = [self.increments(rng, (64,), self.dt / (2 * self.steps)) for _ in range(2 * self.steps)]
            fine = self.advance(fine, halves)
            coarse = self.advance(coarse, [a + b for a, b in zip(halves[::2], halves[1::2], strict=True)])
        change = np.linalg.norm(coarse - fine) / np.linalg.norm(fine)
        return {
            "relative change from half the time step": judge(change, 5e-3),
            "energy gained over what forcing gives and viscosity takes": judge(self.energy_budget(), [0.97, 1.03]),
        }

    def energy_budget(self, number: int = 2048) -> float:
        """`d/dt <u²> / 2` plus `nu <u_x²>` over `num_forced s² / 2`, means over solutions from rest; 1 if right."""
        k = wavenumbers(self.num_points, 1.0)
        weights = np.full(len(k), 2.0) / self.num_points**2  # of the squared coefficients in the mean over the points
        weights[[0, -1]] /= 2
        rest = np.zeros((number, len(k)), complex)
        losses, frames = [], 41
        for u_hat in self.paths(self.sizes.rng(3), rest, frames):
            power = np.mean(np.abs(u_hat) ** 2, axis=0) * weights
            losses.append(self.viscosity * np.sum(k**2 * power))
        time = self.dt * (frames - 1)
        lost = np.trapezoid(losses, dx=self.dt)
        return float((power.sum() / 2 + lost) / (0.5 * self.num_forced * self.forcing * time))

    def conditional(self, dataset: Dataset, directory: str) -> Conditional:
        """The conditional law, kept in a file of `directory` for the test trajectories that the parameters give."""
        path = os.path.join(directory, f"{self.name}_conditional.npz")
        parameters = json.dumps(dataclasses.asdict(self), sort_keys=True)
        if os.path.exists(path):
            with np.load(path) as file:
                if str(file["parameters"]) == parameters:
                    return Conditional(file["mean"], file["variance"])
        truth = np.asarray(dataset.test.u_true[:, 0, :, 0], float)
        start = np.repeat(fft.rfft(truth)[:, None], self.members, axis=1)
        moments = []
        for u_hat in self.paths(self.sizes.rng(4), start, self.sizes.num_frames):
            u = fft.irfft(u_hat, self.num_points)
            moments.append((u.mean(axis=1), u.var(axis=1, ddof=1)))
        found = Conditional(*(np.stack(a, axis=1).astype(np.float32) for a in zip(*moments, strict=True)))
        os.makedirs(directory, exist_ok=True)
        temporary = f"{path}.{os.getpid()}.npz"
        np.savez(temporary, parameters=np.array(parameters), **found._asdict())
        os.replace(temporary, path)
        return found

    def check_model(self, trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
        """Variance and mean of the forecasts beside those of the conditional law, and scores against baselines."""
        test = trained.dataset.test
        known = self.conditional(trained.dataset, os.path.dirname(trained.config.data.path))
        mean, variance = self.forecast_moments(trained)
        leads = np.linspace(0, test.t.shape[1] - 1, _LEADS + 1).round().astype(int)[1:]
        ratio = variance[:, leads].mean(axis=(0, 2)) / known.variance[:, leads].mean(axis=(0, 2))
        error, least = (
            np.mean([metrics.relative_errors(m[..., None], u) for m, u in zip(means, test.u, strict=True)])
            for means in (mean, known.mean)
        )
        return {
            "conditional variance over truth, by lead time": judge(ratio.tolist(), [0.85, 1.15]),
            "rel. L2 of the mean over that of the true one": judge(error / least, _ALLOWED),
        } | beats(result, self.must_beat)

    def forecast_moments(self, trained: TrainedModel) -> Conditional:
        """Mean and variance of sampled fields, the variance less that of the known observation noise."""
        model, test = trained.model, trained.dataset.test
        noise = noise_of(trained.config.data.path)[0] ** 2
        forecast = make_forecast(trained, test.t[0], trained.config.forecast.num_members)

        @jax.jit
        def moments(z):
            def frame(z):
                decoded = jax.vmap(lambda z: model.decode(trained.params, z))(z)
                own = jnp.exp(decoded.log_var[0, :, 0]) - noise
                return decoded.mean[..., 0].mean(axis=0), decoded.mean[..., 0].var(axis=0, ddof=1) + own

            return jax.lax.map(frame, z.swapaxes(0, 1))

        each = [moments(forecast(jnp.asarray(u[0]), jax.random.key(i))) for i, u in enumerate(test.u)]
        return Conditional(*(np.stack([np.asarray(a) for a in values]) for values in zip(*each, strict=True)))
