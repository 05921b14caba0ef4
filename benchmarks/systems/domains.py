"""Long roll-outs of the Kuramoto–Sivashinsky equation, and of its model on domains larger than that of the training."""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy import fft

from benchmarks.systems.base import Check, Sizes, judge, make_forecast
from msvi.report.plots import field_1d
from msvi.training.trained import TrainedModel

# Modes that carry the power, and times the mean energy that no state of the attractor comes near.
MODES, _BLOWN_UP = 7, 10.0
# Times the domain that was trained on, of length 22: lengths of 66 and 198, as near to 64 and 200 as whole numbers get.
# Paths of each: over four on the first the equation's own power in a band is off by up to a third, over 16 by 6 %.
FACTORS = {3: 32, 9: 16}
# Frames in the picture.
_DRAWN = 601


class Attractor(Protocol):
    """What is asked of the equation here, a dataclass; see `benchmarks.systems.kuramoto_sivashinsky`."""

    sizes: Sizes
    num_points: int
    extent: float
    solver_points: int
    dt: float
    steps: int
    noise: float
    long_frames: int

    def initial(self, number: int, purpose: int = 1) -> np.ndarray:
        """Fourier coefficients on the attractor, `(number, wavenumber)`."""

    def solve(self, u_hat: np.ndarray, num_frames: int, steps: int) -> Iterator[np.ndarray]:
        """The frames' coefficients one after another."""

    def fields(self, u_hat: np.ndarray) -> np.ndarray:
        """On the grid, `(..., point)`."""


def check_domains(system: Attractor, trained: TrainedModel) -> dict[str, Check]:
    """Long roll-outs on larger domains, with cells of the same size, against the equation's own from the same states.

    Power is that in bands as wide as the distance of two modes of the small domain, each about one of its modes.
    """
    checks = {}
    for factor, number in FACTORS.items():
        truth, found = roll_outs(system, trained, factor, number)
        late = system.long_frames // 10
        bands, expected = (band_power(u[late:], factor) for u in (found, truth))
        name = f"on {factor} times the domain"
        checks |= {
            f"{name}, members that leave the attractor": judge(count_left(found, truth), 0),
            f"{name}, mean energy over truth": judge(
                np.mean(found[late:] ** 2) / np.mean(truth[late:] ** 2), [0.9, 1.1]
            ),
            f"{name}, power in {MODES} bands over truth": judge((bands / expected).tolist(), [0.9, 1.1]),
        }
    return checks


def roll_outs(system: Attractor, trained: TrainedModel, factor: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Fields of the equation on so many paths and of the model's members, one for each, `(time, path, point)`."""
    large = dataclasses.replace(
        system,
        sizes=dataclasses.replace(system.sizes, num_train=number, num_val=0, num_test=0),
        num_points=factor * system.num_points,
        extent=factor * system.extent,
        solver_points=factor * system.solver_points,
    )
    start = large.initial(number, purpose=5)
    truth = np.stack([large.fields(u_hat) for u_hat in large.solve(start, system.long_frames, system.steps)])
    noise = system.noise * truth[0].std() * system.sizes.rng(6).standard_normal(truth[0].shape)
    model = trained.model.on((large.num_points,))
    forecast = make_forecast(trained._replace(model=model), system.dt * np.arange(system.long_frames), 1)
    decode = jax.jit(lambda z: jax.lax.map(lambda z: model.decode(trained.params, z).mean[..., 0], z))
    paths = []
    for i, u0 in enumerate(truth[0] + noise):
        z = forecast(jnp.asarray(u0[:, None], jnp.float32), jax.random.key(i))
        paths.append(np.asarray(decode(z[0])))
    return truth, np.stack(paths, axis=1)


def band_power(u: np.ndarray, factor: int) -> np.ndarray:
    """Power of fields `(..., point)` about each of the first modes of the small domain, `(band,)`."""
    power = mode_power(u)
    band = np.round(np.arange(len(power)) / factor).astype(int)
    return np.bincount(band, power)[1 : MODES + 1]


def draw_domain(system: Attractor, trained: TrainedModel) -> Figure:
    """The equation and the model from one state on the largest domain, in space and time, and their difference."""
    factor = max(FACTORS)
    system = dataclasses.replace(system, long_frames=_DRAWN)
    truth, found = roll_outs(system, trained, factor, 1)
    t = system.dt * np.arange(len(truth))
    x = factor * system.extent * np.arange(truth.shape[-1]) / truth.shape[-1]
    figure = field_1d(t, x, truth[:, 0], found[:, 0])
    for axes, title in zip(figure.axes, ("the equation", "one path of the model", "model − equation"), strict=False):
        axes.set_title(title)
    return figure


def count_left(found: np.ndarray, truth: np.ndarray) -> int:
    """Paths `(time, path, point)` that leave the attractor: not finite, or of an energy far above that of the truth."""
    energy = np.mean(found**2, axis=-1).max(axis=0)
    return int(np.sum(~np.isfinite(found).all(axis=(0, -1)) | (energy > _BLOWN_UP * np.mean(truth**2))))


def mode_power(u: np.ndarray) -> np.ndarray:
    """Mean power of each Fourier mode of fields `(..., point)`, `(wavenumber,)`."""
    power = np.abs(fft.rfft(u) / u.shape[-1]) ** 2
    return power.reshape(-1, power.shape[-1]).mean(axis=0)
