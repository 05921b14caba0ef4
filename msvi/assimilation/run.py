"""The ensemble filter with a trained model: its SDE between times, its decoder under the sensors."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.assimilation.filter import Advance, Filtered, Observed, Schedule, analyse_each, run_filter, smooth
from msvi.assimilation.localise import Taper
from msvi.assimilation.sensors import Sensors
from msvi.forecast.ensemble import advance, count_frames, solver_steps
from msvi.model.condition import Conditions
from msvi.model.multiscale import MultiscaleModel
from msvi.types import Array, Gaussian, Params

# Frames with noise drawn into them, at least, by which it is told how far encoded latents scatter.
_NOISY_FRAMES = 128


class Settings(NamedTuple):
    """How ensembles are carried and corrected.

    Attributes:
      solver, steps_per_frame: of the SDE, as in `msvi.forecast.config.ForecastConfig`.
      inflation: by what part members move away from their mean before readings are taken in.
      lag: later times whose readings correct an ensemble; 0 for none.
      full: whether all later readings do.
    """

    solver: str
    steps_per_frame: int
    inflation: float = 0.0
    lag: int = 0
    full: bool = False


class Unit(NamedTuple):
    """What is of order one of readings, `(y - rest) / size`; each `(sensor,)`, in the units of the data."""

    rest: np.ndarray
    size: np.ndarray


def unit_of(model: MultiscaleModel, sensors: Sensors) -> Unit:
    """The mean reading of a field at rest, and the sum of the sizes of its terms."""
    scales = model.scales
    channels = sensors.places % model.num_channels
    rest, std = (np.array(values)[channels] for values in (scales.field_rest or scales.field_mean, scales.field_std))
    return Unit(np.sum(sensors.weights * rest, axis=1), np.sum(np.abs(sensors.weights) * std, axis=1))


def decoder_noise(
    model: MultiscaleModel, params: Params, sensors: Sensors, data_noise: np.ndarray | None = None
) -> np.ndarray:
    """Standard deviation of what readings of a field differ from those of its latent state by, `(sensor,)`.

    It comes from the decoder's variance `v` at the sensor's places: the scales that latents do not carry, and the noise
    of the data that were learned from. The errors at the places of one sensor are taken as one, as those of
    neighbouring points nearly are: `sum_k |w_k| sqrt(v_k)`.

    Args:
      data_noise: standard deviation of the noise in the training data, of each channel `(channel,)`, whose variance is
        taken off `v`; None to leave it in.
    """
    inner = model.standardised
    log_var = jax.jit(lambda params: inner.decode(params, jnp.zeros(model.latent_dim)).log_var)(params)
    std = np.array(model.scales.field_std)
    variance = np.exp(np.asarray(log_var, np.float64)) - (0 if data_noise is None else (data_noise / std) ** 2)
    deviation = np.sqrt(np.maximum(variance, 0)) * std
    return np.sum(np.abs(sensors.weights) * deviation.ravel()[sensors.places], axis=1)


def make_schedule(
    model: MultiscaleModel, since: np.ndarray, steps_per_frame: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretches from the start over all times, none longer than frames lie apart.

    Args:
      since: times of the analysis since the start, increasing from zero or later, `(time,)`.
      steps_per_frame: of the solver, in each.

    Returns:
      Beginnings `(stretch,)`, steps `(stretch, steps_per_frame + 1)`, and which time is at each beginning, -1 for none.
      The last stretch begins at the last time and leads nowhere.
    """
    spacing = model.scales.spacing
    stops = since if since[0] == 0 else np.append(0.0, since)
    starts = solver_steps(stops[None], spacing, 1)[0] if len(stops) > 1 else stops
    last = spacing or (starts[-1] - starts[-2] if len(starts) > 1 else model.scales.time_unit)
    ends = np.append(starts[1:], starts[-1] + last)
    part = np.arange(steps_per_frame + 1) / steps_per_frame
    place = np.searchsorted(since, starts)
    found = since[np.minimum(place, len(since) - 1)] == starts
    return starts, starts[:, None] + (ends - starts)[:, None] * part, np.where(found, place, -1)


@functools.partial(jax.jit, static_argnames=("model", "settings"))
def assimilate(
    params: Params,
    key: Array,
    z0: Array,
    starts: Array,
    steps: Array,
    place: Array,
    observed: Observed,
    places: Array,
    weights: Array,
    taper: Taper | None,
    conditions: Conditions,
    *,
    model: MultiscaleModel,
    settings: Settings,
) -> tuple[Filtered, Array | None]:
    """Ensembles of latent states from readings.

    Args:
      key: of all that is drawn.
      z0: at the start, `(member, latent_dim)`.
      starts, steps, place: from `make_schedule`.
      observed: readings and noise in the units of `unit_of`.
      places, weights: of the sensors, the latter for fields of order one over `Unit.size`.
      taper: of the covariances; None for none.
      conditions: what acts on the system from outside.

    Returns:
      The filter's ensembles, and the smoothed ones `(time, member, latent_dim)` if `settings` say so.
    """
    inner = model.standardised
    schedule, ahead = _dynamics(params, starts, steps, place, conditions, model, settings.solver)

    def observe(z):
        return jnp.sum(inner.decode(params, z).mean.ravel()[places] * weights, axis=1)

    filtered = run_filter(
        key, z0, schedule, observed, ahead, observe, taper, settings.inflation, 0 if settings.full else settings.lag
    )
    return filtered, smooth(filtered) if settings.full else filtered.smoothed


@functools.partial(jax.jit, static_argnames=("model", "settings", "members"))
def join_frames(
    params: Params,
    key: Array,
    frames: Array,
    starts: Array,
    steps: Array,
    place: Array,
    conditions: Conditions,
    *,
    model: MultiscaleModel,
    settings: Settings,
    members: int,
) -> Array:
    """Latent states `(member, latent_dim)` at the last of several whole frames, from all of them.

    What the encoder makes of a frame is a reading of each latent, which scatters as the decoder's noise lets it. As
    readings of the field a frame would say more than it knows: what latents do not carry of it is alike at neighbouring
    points and from frame to frame, and the state would leave where the drift was learned for the sake of a closer fit.

    Args:
      key: of all that is drawn.
      frames: in the units of the data, `(frame, *grid, channel)`.
      starts, steps, place: from `make_schedule`, of the frames after the first one.
      conditions: what acts on the system from outside.
    """
    noise_key, draw_key, filter_key = jax.random.split(key, 3)
    mean = jax.lax.map(lambda u: model.encode(params, u).mean, frames)
    log_var = jnp.log(_encoding_noise(params, noise_key, frames, mean, model))
    z0 = jax.vmap(Gaussian(mean[0], log_var).sample)(jax.random.split(draw_key, members))
    observed = Observed(mean[1:], jnp.tile(jnp.exp(0.5 * log_var), (len(mean) - 1, 1)))
    schedule, ahead = _dynamics(params, starts, steps, place, conditions, model, settings.solver)
    found = run_filter(
        filter_key, z0, schedule, observed, ahead, lambda z: z, inflation=settings.inflation, correct=analyse_each
    )
    return found.analysis[-1]


def _encoding_noise(params: Params, key: Array, frames: Array, mean: Array, model: MultiscaleModel) -> Array:
    """Variance of encoded latents `(latent_dim,)` due to the decoder's noise in the frames."""
    number = -(-_NOISY_FRAMES // len(frames)) * len(frames)
    log_var = model.decode(params, mean[0]).log_var

    def squared(drawn):
        key, place = drawn
        noisy = Gaussian(frames[place], log_var).sample(key)
        return (model.encode(params, noisy).mean - mean[place]) ** 2

    return jax.lax.map(squared, (jax.random.split(key, number), jnp.arange(number) % len(frames))).mean(axis=0)


def _dynamics(
    params: Params,
    starts: Array,
    steps: Array,
    place: Array,
    conditions: Conditions,
    model: MultiscaleModel,
    solver: str,
) -> tuple[Schedule, Advance]:
    """The stretches of `make_schedule`, and the SDE over one of them."""
    _, flat, unit = count_frames(model, starts, steps.ravel())
    move = advance(model, params, unit, solver, conditions)

    def ahead(z, key, steps):
        return move(jnp.stack([steps[0], steps[-1]]), z, key, steps)[-1]

    return Schedule(flat.reshape(steps.shape), place), ahead


def draw_members(encoded: Gaussian, members: int, key: Array) -> Array:
    """An ensemble `(member, latent_dim)` that stands for encoded fields.

    With as many fields as members or more each member has a field of its own. With less, members are drawn from the
    normal distribution that has their mean and covariance. The encoder's uncertainty is added.

    Args:
      encoded: Gaussians of fields, mean and log variance `(field, latent_dim)`.
    """
    which_key, noise_key = jax.random.split(key)
    mean, number = encoded.mean, len(encoded.mean)
    if number >= members:
        chosen = mean[jax.random.choice(which_key, number, (members,), replace=False)]
    else:
        middle = mean.mean(axis=0, keepdims=True)
        mixed = jax.random.normal(which_key, (members, number)) / np.sqrt(max(number - 1, 1))
        chosen = middle + mixed @ (mean - middle)
    deviation = jnp.exp(0.5 * encoded.log_var.mean(axis=0, keepdims=True))
    return chosen + deviation * jax.random.normal(noise_key, chosen.shape)
