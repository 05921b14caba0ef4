"""Independent Ornstein–Uhlenbeck processes behind a field: rate and noise are known, and so is what data can tell.

    du = sum_c z_c(t) phi(x - x_c),     dz_c = -rate z_c dt + sigma dW_c

`phi` is the periodic sinc, the sum of all waves up to `(num_latents - 1) / 2` periods, on `points` grid points for each
latent, of unit mean square over as many. Its shifts by `points` are orthogonal, so the projections `y_c` of an
observed field on them are all that the data tell of `z`, `z_c` plus noise of variance `noise² / points`, as if each
latent had been seen at `points` points. Shifts by any other distance span the same fields: the law of the field does
not depend on the place, and a mesh of as many cells carries it wherever its cells lie, but for the tails of `phi`
beyond the reach of the filter's kernel. What these lose is a field with the same rates.

The exact answer is the maximum of the likelihood of `y` by a Kalman filter. The model's coordinates are free, and two
measures do not depend on them: all latents have one rate, so that the drift is `-rate` times the state in any
coordinates, and the rate is minus the slope of its regression on the state. (The diagonal of the drift's Jacobian is
the same only where no two latents tell the same: a mode that the mesh hardly carries, and that a microscale latent
tells too, may hold itself back by the one and be driven by the other.) A coordinate `zeta = a · z` has the
dispersion `Q = sigma² a · a`, with `a` the derivative of the encoder along the basis, so that the mean over the
coordinates of `Q / (a · a)`, learned, is `sigma²`. Both are per unit of time of the file.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from benchmarks.systems.base import Check, Sizes, Trajectories, beats, judge, make_forecast
from msvi.data.split import Dataset
from msvi.training.trained import TrainedModel

# Frames of the test trajectories at which drift and dispersion are looked at.
_STATES = 1024
# Members of each roll-out.
_MEMBERS = 8


class Parameters(NamedTuple):
    """Of the processes and of their observation: rate, deviation per root of time, variance of the noise."""

    rate: float
    sigma: float
    noise: float


@dataclasses.dataclass(frozen=True)
class OUField:
    """The field, on the unit interval.

    Attributes:
      num_latents: odd.
      points: grid points per latent.
      rate, sigma: of each latent; the stationary variance is `sigma² / (2 rate)`.
      noise: standard deviation of the observation noise at each point.
      dt: time between frames.
    """

    sizes: Sizes = Sizes(16, 4, 16, 1001)
    num_latents: int = 11
    points: int = 50
    rate: float = 2.0
    sigma: float = 0.5
    noise: float = 0.1
    dt: float = 0.01
    name: str = "ou_field"
    must_beat: bool = True

    @property
    def basis(self) -> np.ndarray:
        """`phi(x - x_c)`, `(num_latents, point)`, each of mean square 1 / num_latents."""
        n = self.num_latents * self.points
        centres = self.points * np.arange(self.num_latents) + self.points // 2
        phase = 2 * np.pi / n * (np.arange(n) - centres[:, None])
        waves = np.arange(1, self.num_latents // 2 + 1)
        return (1 + 2 * np.cos(phase[..., None] * waves).sum(axis=-1)) / self.num_latents

    def project(self, u: np.ndarray) -> np.ndarray:
        """`y` `(..., num_latents)` of fields `(..., point, 1)`."""
        return u[..., 0] @ self.basis.T / self.points

    def generate(self) -> Trajectories:
        """Exact transitions from the stationary law."""
        rng, shape = self.sizes.rng(1), (self.sizes.total, self.num_latents)
        decay = np.exp(-self.rate * self.dt)
        deviation = self.sigma / np.sqrt(2 * self.rate)
        z = [deviation * rng.standard_normal(shape)]
        for _ in range(self.sizes.num_frames - 1):
            z.append(decay * z[-1] + deviation * np.sqrt(1 - decay**2) * rng.standard_normal(shape))
        basis = self.basis
        u = (np.stack(z, axis=1).astype(np.float32) @ basis.astype(np.float32))[..., None]
        x = np.arange(basis.shape[1]) / basis.shape[1]
        return Trajectories(self.dt * np.arange(self.sizes.num_frames), u, (x,), (self.noise,), self.points)

    def check_data(self, dataset: Dataset) -> dict[str, Check]:
        """Orthogonal shifts, and maximum likelihood within some four standard errors of what was put in.

        The errors are those of the rate seen without noise, and of the moments of increments at the shortest lags.
        """
        gram = self.basis @ self.basis.T / self.points
        found, (number, frames) = self.maximum_likelihood(dataset), dataset.train.t.shape
        added, noise, count = self.sigma**2 * self.dt, self.noise**2 / self.points, number * frames * self.num_latents
        errors = {
            "rate": np.sqrt(2 / (self.rate * self.dt * count)),
            "sigma": (1 + 2 * noise / added) / np.sqrt(2 * count),
            "noise": (2 + added / noise) / np.sqrt(count),
        }
        known = Parameters(self.rate, self.sigma, noise)
        return {"shifts of the basis are orthogonal": judge(np.abs(gram - np.eye(self.num_latents)).max(), 1e-9)} | {
            f"maximum likelihood, {name} over truth": judge(
                getattr(found, name) / getattr(known, name), [float(1 - 4 * error), float(1 + 4 * error)]
            )
            for name, error in errors.items()
        }

    def maximum_likelihood(self, dataset: Dataset) -> Parameters:
        """Of the projections of the observed training trajectories."""
        y = np.stack([self.project(u) for u in dataset.train.u]).swapaxes(0, 1).reshape(dataset.train.u.shape[1], -1)
        return fit(y.astype(np.float64), self.dt)

    def check_model(self, trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
        """Rate, dispersion, noise and stationary variance against maximum likelihood, and scores against baselines."""
        known = self.maximum_likelihood(trained.dataset)
        learned, slope = self.learned_parameters(trained)
        variance = known.sigma**2 / (2 * known.rate)
        return {
            "rate over maximum likelihood": judge(slope / known.rate, [0.9, 1.1]),
            "diagonal of the drift's Jacobian over maximum likelihood": judge(learned.rate / known.rate, None),
            "sigma over maximum likelihood": judge(learned.sigma / known.sigma, [0.95, 1.05]),
            "stationary variance over maximum likelihood": judge(
                self.stationary_variance(trained) / variance, [0.9, 1.1]
            ),
            "noise variance over truth": judge(learned.noise / self.noise**2, [0.9, 1.1]),
        } | beats(result, self.must_beat)

    def learned_parameters(self, trained: TrainedModel) -> tuple[Parameters, float]:
        """Rate and dispersion of the macroscale state, and the mean variance of the decoder at a point; and the rate as
        minus the slope of the drift on the state, which counts what comes by way of the other latents too."""
        model, params = trained.model, trained.params
        size, unit = model.zeta_dim, model.scales.time_unit
        test, rng = trained.dataset.test, self.sizes.rng(2)
        trajectory, frame = (rng.integers(n, size=_STATES) for n in test.u.shape[:2])
        basis = jnp.asarray(self.basis, jnp.float32)

        @jax.jit
        def look(t, u):
            encoded = model.encode(params, u)
            along = jax.jacfwd(lambda z: model.encode(params, u + (z @ basis)[:, None]).mean)(jnp.zeros(len(basis)))
            z, drift = encoded.mean, model.drift(params, t, encoded.mean)
            jacobian = jax.jacfwd(lambda z: model.drift(params, t, z))(z)
            squares = jnp.exp(model.log_q(params))[:size] / jnp.square(along[:size]).sum(axis=1)
            noise = jnp.exp(model.decode(params, z).log_var)
            return -jnp.diag(jacobian)[:size].mean(), squares.mean(), noise.mean(), z[:size], drift[:size]

        t = jnp.asarray(test.t[trajectory, frame] / unit, jnp.float32)
        found = jax.lax.map(lambda state: look(*state), (t, jnp.asarray(test.u[trajectory, frame])), batch_size=32)
        *means, z, drift = (np.asarray(values, np.float64) for values in found)
        rate, square, noise = (float(values.mean()) for values in means)
        z = z - z.mean(axis=0)
        slope = -float(np.sum(z * drift) / np.sum(z**2))
        return Parameters(rate / unit, float(np.sqrt(square / unit)), noise), slope / unit

    def stationary_variance(self, trained: TrainedModel) -> float:
        """Of `y` about zero in the second half of roll-outs from the test trajectories' first frames."""
        model, test = trained.model, trained.dataset.test
        forecast = make_forecast(trained, test.t[0], _MEMBERS)
        basis = jnp.asarray(self.basis / self.points, jnp.float32)

        @jax.jit
        def squares(z):
            return jax.lax.map(lambda z: jnp.mean((basis @ model.decode(trained.params, z).mean[..., 0]) ** 2), z)

        found = []
        for i, u0 in enumerate(test.u[:, 0]):
            z = forecast(jnp.asarray(u0), jax.random.key(i))
            found.append(squares(z[:, z.shape[1] // 2 :: 20].reshape(-1, z.shape[-1])).mean())
        return float(np.mean(found))


def fit(y: np.ndarray, dt: float) -> Parameters:
    """Maximum likelihood of stationary Ornstein–Uhlenbeck processes with mean zero seen through white noise.

    Args:
      y: `(time, series)`, all with the same parameters, at times `dt` apart.
    """
    start = np.log(from_moments(y, dt))

    def loss(logs):
        return -log_likelihood(y, dt, Parameters(*np.exp(logs))) / y.size

    # Where there is hardly any noise the likelihood no longer tells how little, and a search would not come back.
    bounds = [(value - 3, value + 3) for value in start]
    options = {"xatol": 1e-5, "fatol": 1e-10}
    found = optimize.minimize(loss, start, method="Nelder-Mead", bounds=bounds, options=options)
    return Parameters(*np.exp(found.x).tolist())


def from_moments(y: np.ndarray, dt: float, lags: int = 20) -> Parameters:
    """Estimates from a line through the logarithms of the covariances at the first lags, which noise does not reach.

    Args:
      y: `(time, series)`.
    """
    lag, total = np.arange(1, lags + 1), np.mean(y**2)
    covariance = np.array([np.mean(y[k:] * y[:-k]) for k in lag])
    slope, level = np.polyfit(lag, np.log(np.maximum(covariance, 1e-3 * total)), 1)
    rate, stationary = max(-slope, 1e-3) / dt, np.exp(level)
    return Parameters(rate, np.sqrt(2 * rate * stationary), max(total - stationary, 1e-3 * total))


def log_likelihood(y: np.ndarray, dt: float, parameters: Parameters) -> float:
    """`log p(y)` by a scalar Kalman filter, whose variances are the same for all series.

    Args:
      y: `(time, series)`.
    """
    rate, sigma, noise = parameters
    decay, stationary = np.exp(-rate * dt), sigma**2 / (2 * rate)
    mean, variance, total = np.zeros(y.shape[1]), stationary, 0.0
    for observed in y:
        innovation, seen = observed - mean, variance + noise
        total -= 0.5 * (y.shape[1] * np.log(2 * np.pi * seen) + innovation @ innovation / seen)
        gain = variance / seen
        mean = decay * (mean + gain * innovation)
        variance = decay**2 * (1 - gain) * variance + stationary * (1 - decay**2)
    return float(total)
