"""One twin experiment: the filter with the model, and what it is compared with, on the same readings.

| name | what it is |
|---|---|
| `model` | the filter with the learned model |
| `solver` | the same filter, as many members, with the equation itself |
| `free` | a forecast from the whole first frame, which has the noise of the sensors, without any later reading |
| `persistence` | the analysis at a time of readings, kept until the next |
| `filling` | readings interpolated in space, kept until the next |
"""

import dataclasses
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.assimilation.solvers import Solver
from msvi.assimilation.filter import Observed, Schedule, run_filter
from msvi.assimilation.localise import Cells, make_taper
from msvi.assimilation.sensors import point_sensors
from msvi.library import Model
from msvi.model.gaps import fill_gaps

# Part of the times that is left for the filter to find the truth, and the error of what never does, in deviations.
_FIRST, _LOST = 0.25, 0.5


class Twin(NamedTuple):
    """Truths and their sensors.

    Attributes:
      t: of the frames, `(time,)`.
      truth: noise-free fields, `(run, time, *grid, channel)`.
      first: fields that stand for what may be at the start, `(field, *grid, channel)`.
      positions, channels: of the sensors, `(sensor, axis)` and `(sensor,)`.
      noise: standard deviation of their noise, `(sensor,)`.
      every: frames from one reading to the next.
      solver: of the equation, where the filter is to run on it too.
      period: after which a truth that is periodic comes back; 0 for others.
    """

    t: np.ndarray
    truth: np.ndarray
    first: np.ndarray
    positions: np.ndarray
    channels: np.ndarray
    noise: np.ndarray
    every: int
    solver: Solver | None = None
    period: float = 0.0

    def readings(self, model: Model, run: int) -> np.ndarray:
        """`(time, sensor)`, NaN between the times of readings."""
        sensors = self.sensors(model)
        y = sensors.read(self.truth[run])
        y += self.noise * np.random.default_rng([7, run]).standard_normal(y.shape)
        return np.where((np.arange(len(y)) % self.every == 0)[:, None], y, np.nan)

    def sensors(self, model: Model):
        """On the model's grid."""
        shape = model.model.field_shape
        return point_sensors(self.positions, self.channels, model.coordinates, model.model.boundary, shape)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of the filter, the same for all.

    Attributes:
      members: of the ensembles.
      localisation: as in `msvi.library.Model.assimilate`.
      inflation: likewise.
    """

    members: int = 64
    localisation: str | float | None = "auto"
    inflation: float | None = None


def run_twin(model: Model, twin: Twin, run: int, settings: Settings) -> dict[str, Any]:
    """Scores of one run, plain data."""
    y, truth = twin.readings(model, run), twin.truth[run]
    options = {"positions": twin.positions, "channel": twin.channels.tolist(), "noise": twin.noise, "seed": run}
    options |= dataclasses.asdict(settings) | {"initial": twin.first, "fields": False}
    began = time.monotonic()
    analysis = model.assimilate(y, twin.t, **options)
    seconds = time.monotonic() - began
    mean, std = (_stack(model, analysis.filtered, suffix) for suffix in ("mean", "std"))
    own = np.broadcast_to(np.asarray(model.config.data.noise_std, float), mean.shape[-1:])
    spread = np.sqrt(np.maximum(std**2 - own**2, 0))  # the truth has no noise of the training data
    found = {
        "seconds": seconds,
        "model": _scores(mean, truth, spread),
        "chi2_per_reading": analysis.statistics["chi2_per_reading"],
        "autocorrelation": analysis.statistics["autocorrelation"],
        "autocorrelation_bound": analysis.statistics["autocorrelation_bound"],
        "log_evidence": analysis.log_evidence,
        "localisation": analysis.filtered.attrs["localisation"],
        "inflation": analysis.filtered.attrs["inflation"],
        "persistence": _scores(_kept(mean, twin.every), truth),
        "filling": _scores(_kept(filled(model, twin, y), twin.every), truth),
        "free": _scores(_free(model, twin, run, settings.members), truth),
        "noise_over_deviation": float(np.mean(twin.noise / _deviation(truth)[twin.channels])),
        "error_over_time": np.sqrt(np.mean((mean - truth) ** 2, axis=tuple(range(1, mean.ndim)))).tolist(),
    }
    if twin.solver is not None:
        radius = analysis.filtered.attrs["localisation"].partition(" ")[0]
        same = None if radius == "none" else float(radius) * model.model.config.coarsening / twin.solver.stride
        found["solver"] = solve_twin(twin, y, run, settings.members, same, found["inflation"])
        found["solver_not_localised"] = (
            found["solver"] if same is None else solve_twin(twin, y, run, settings.members, None, found["inflation"])
        )
    return plain(found)


def plain(values: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON does not know."""
    if isinstance(values, dict):
        return {name: plain(value) for name, value in values.items()}
    if isinstance(values, list):
        return [plain(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values


def solve_twin(
    twin: Twin, y: np.ndarray, run: int, members: int, radius: float | None, inflation: float
) -> dict[str, Any]:
    """Scores of the filter with the equation itself, which knows the noise and has no error of its own.

    Args:
      radius: of the localisation in points of the solver; None for none.
    """
    solver = twin.solver
    assert solver is not None
    truth = twin.truth[run][:, :: solver.stride]
    points = np.arange(solver.points)
    sensors = point_sensors(twin.positions, twin.channels, (solver.x,), ("periodic",), truth.shape[1:])
    rng = np.random.default_rng([8, run])
    chosen = rng.choice(len(twin.first), members, replace=len(twin.first) < members)
    start = jnp.asarray(twin.first[chosen][:, :: solver.stride, 0], jnp.float32)
    cells = Cells((len(points),), ("periodic",), 1, points[:, None], points[:, None], len(points))
    taper = None if radius is None else make_taper(cells, sensors.positions, radius)
    observed = Observed(jnp.asarray(y, jnp.float32), jnp.broadcast_to(jnp.asarray(twin.noise, jnp.float32), y.shape))
    analysis = _run_solver(
        jax.random.key(run),
        start,
        observed,
        sensors.places,
        sensors.weights.astype(np.float32),
        taper,
        solver,
        inflation,
    )
    mean, var = np.asarray(analysis.mean(axis=1)), np.asarray(analysis.var(axis=1))
    return _scores(mean[..., None], truth, np.sqrt(var)[..., None])


@functools.partial(jax.jit, static_argnames=("solver", "inflation"))
def _run_solver(key, start, observed, places, weights, taper, solver, inflation):
    number = len(observed.y)
    schedule = Schedule(jnp.zeros((number, 1)), jnp.arange(number))
    found = run_filter(
        key,
        start,
        schedule,
        observed,
        lambda u, key, inputs: solver.frame(u),
        lambda u: jnp.sum(u[places] * weights, axis=1),
        taper,
        inflation,
    )
    return found.analysis


def filled(model: Model, twin: Twin, y: np.ndarray) -> np.ndarray:
    """Each reading at its nearest point of the grid, and between them what stands in for gaps; without a channel's
    readings its mean over the training data. `(time, *grid, channel)`, NaN where nothing was read."""
    sensors, shape = twin.sensors(model), model.model.field_shape
    nearest = sensors.places[np.arange(len(sensors.places)), sensors.weights.argmax(axis=1)]
    mask = np.zeros(int(np.prod(shape)), bool)
    mask[nearest] = True
    fill = jax.jit(lambda u: fill_gaps(u, jnp.asarray(mask.reshape(shape)), model.model.boundary))
    found = np.full((len(y), *shape), np.nan)
    for k in np.flatnonzero(np.isfinite(y).all(axis=1)):
        u = np.tile(np.array(model.model.scales.field_mean), mask.size // shape[-1])
        u[nearest] = y[k]
        found[k] = fill(jnp.asarray(u.reshape(shape), jnp.float32))
    unseen = [c for c in range(shape[-1]) if c not in twin.channels]
    found[..., unseen] = np.where(
        np.isfinite(found[..., unseen]), np.array(model.model.scales.field_mean)[unseen], np.nan
    )
    return found


def _free(model: Model, twin: Twin, run: int, members: int) -> np.ndarray:
    """The mean of a forecast from the whole first frame, with the sensors' noise on it."""
    truth = twin.truth[run]
    size = np.array(
        [
            twin.noise[twin.channels == c].mean() if (twin.channels == c).any() else twin.noise.mean()
            for c in range(truth.shape[-1])
        ]
    )
    u0 = truth[0] + size * np.random.default_rng([9, run]).standard_normal(truth[0].shape)
    return _stack(model, model.forecast(u0, twin.t, members=members, seed=run), "mean")


def _stack(model: Model, dataset, suffix: str) -> np.ndarray:
    """The channels of a data set, `(time, *grid, channel)`."""
    channels = model.labels.channels or ("u",)
    found = [dataset[f"{name}_{suffix}"].values for name in channels]
    return found[0] if len(found) == 1 and model.model.num_channels > 1 else np.stack(found, axis=-1)


def _kept(u: np.ndarray, every: int) -> np.ndarray:
    """Each frame as the last one with readings was."""
    return u[np.arange(len(u)) // every * every]


def _deviation(truth: np.ndarray) -> np.ndarray:
    """Of each channel, over all times and places."""
    return truth.reshape(-1, truth.shape[-1]).std(axis=0)


def _scores(mean: np.ndarray, truth: np.ndarray, spread: np.ndarray | None = None) -> dict[str, Any]:
    """Errors after the first times, in deviations of the truth, and the spread over them.

    `lost`: the error of the last times is as large as half a deviation, or not finite.
    """
    first = int(_FIRST * len(truth))
    errors = (mean - truth) / _deviation(truth)
    error = float(np.sqrt(np.mean(errors[first:] ** 2)))
    last = float(np.sqrt(np.mean(errors[-first:] ** 2)))
    found = {"error": error, "lost": not last < _LOST}
    if spread is not None:
        found["spread_over_error"] = float(np.sqrt(np.mean((spread / _deviation(truth))[first:] ** 2))) / error
    return found
