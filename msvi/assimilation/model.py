"""Observations assimilated with a trained model, from readings to the analysis under the names of the data."""

import functools
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from msvi.assimilation.analysis import Analysis, innovations_of
from msvi.assimilation.filter import Observed
from msvi.assimilation.localise import cells_of, default_radius, make_taper
from msvi.assimilation.readings import Readings, Space
from msvi.assimilation.run import Settings, assimilate, decoder_noise, draw_members, make_schedule, unit_of
from msvi.assimilation.sensors import from_index
from msvi.errors import InputError
from msvi.forecast.ensemble import ensemble_fields
from msvi.model.condition import Conditions
from msvi.model.multiscale import MultiscaleModel
from msvi.types import Array, Gaussian, Params

# Readings at one time that can be localised: factors of matrices of this size take seconds.
_MOST_LOCALISED = 2048


class Learned(NamedTuple):
    """A trained model: the model, its weights, and the grid with its names."""

    model: MultiscaleModel
    params: Params
    space: Space


class Options(NamedTuple):
    """What may be chosen; the fields are those of `msvi.library.Model.assimilate`."""

    members: int
    smoother: str | int | None
    localisation: str | float | None
    inflation: float | None
    decoder_noise: bool
    data_noise: Any
    fields: bool
    seed: int


def check(options: Options) -> None:
    """Passes where options can be used.

    Raises:
      InputError: naming the first that cannot.
    """
    o = options
    if o.members < 3:
        raise InputError(f"`members` must be at least 3, whose covariance can be told, got {o.members}.")
    if not (o.smoother is None or o.smoother == "full" or (isinstance(o.smoother, int) and o.smoother >= 1)):
        raise InputError(f"`smoother` must be None, 'full' or a number of times of at least 1, got {o.smoother!r}.")
    if isinstance(o.localisation, str) and o.localisation != "auto":
        raise InputError(f"`localisation` must be 'auto', None or a radius in coarse cells, got {o.localisation!r}.")
    if not isinstance(o.localisation, str | None) and not 0 < o.localisation < np.inf:
        raise InputError(f"`localisation` must be a radius above zero in coarse cells, got {o.localisation}.")
    if o.inflation is not None and not 0 <= o.inflation < np.inf:
        raise InputError(f"`inflation` must not be negative, got {o.inflation}; 0.02 is two per cent.")


def analyse(
    learned: Learned,
    readings: Readings,
    t: np.ndarray,
    since: np.ndarray,
    start: Any,
    encoded: Gaussian,
    conditions: Conditions,
    solver: tuple[str, int],
    options: Options,
) -> Analysis:
    """Filter and smoother over all times, and what they found.

    Args:
      readings: at the times.
      t, since: times as they are written, and since the start in the unit of the data, `(time,)`.
      start: time at which the ensemble begins, as it is written.
      encoded: Gaussians of the fields that stand for the ensemble at the start.
      conditions: what acts from outside, of one trajectory.
      solver: its name, and steps per frame.
      options: see `Options`.

    Raises:
      InputError: more readings than can be localised, or readings without any noise.

    Warns:
      RuntimeWarning: members that were lost.
    """
    model, params, _ = learned
    key = jax.random.key(options.seed)
    draw_key, filter_key = jax.random.split(key)
    z0 = draw_members(encoded, options.members, draw_key)
    unit, sensors = unit_of(model, readings.sensors), readings.sensors
    noise = _noise(learned, readings, options)
    observed = Observed(
        *(
            jnp.asarray(array, jnp.float32)
            for array in ((readings.y - unit.rest) / unit.size, np.broadcast_to(noise / unit.size, readings.y.shape))
        )
    )
    radius = _radius(model, sensors.positions, z0, options)
    taper = None if radius is None else make_taper(cells_of(model), sensors.positions, radius)
    # Covariances of few members get too small once these are corrected by them; of many nothing is added.
    inflation = 1 / options.members if options.inflation is None else options.inflation
    lag = options.smoother if isinstance(options.smoother, int) else 0
    settings = Settings(*solver, inflation, lag, options.smoother == "full")
    filtered, smoothed = assimilate(
        params,
        filter_key,
        z0,
        *make_schedule(model, since, solver[1]),
        observed,
        sensors.places,
        np.asarray(sensors.weights / unit.size[:, None] * _std_of(model, sensors.places), np.float32),
        taper,
        conditions,
        model=model,
        settings=settings,
    )
    _warn_of_lost(np.asarray(filtered.lost), np.asarray(filtered.analysis), t)
    innovation = filtered.innovation
    seen = np.isfinite(readings.y)
    attributes = {
        "members": options.members,
        "localisation": "none" if radius is None else f"{radius:g} coarse cells",
        "inflation": inflation,
    }
    naming = learned.space.naming
    time = ("time", t, naming.attributes("time"))
    found = innovations_of(
        np.asarray(innovation.mean) * unit.size,
        np.asarray(innovation.deviation) * unit.size,
        np.asarray(innovation.chi2, np.float64),
        np.asarray(innovation.log_evidence, np.float64) - np.sum(seen * np.log(unit.size), axis=1),
        time,
    )
    places = zip(naming.axes, learned.space.coordinates, sensors.positions.T, strict=True)
    found = found.assign_coords(
        {f"sensor_{axis}": ("sensor", from_index(x, index)) for axis, x, index in places}
        | {"sensor_channel": ("sensor", sensors.places[:, 0] % model.num_channels)}
    ).assign(observation=(("time", "sensor"), readings.y))
    analysis = _described(learned, filtered.analysis, time, options.fields).assign_attrs(attributes)
    after = None if smoothed is None else _described(learned, smoothed, time, options.fields).assign_attrs(attributes)
    return Analysis(analysis, after, found, start)


def _noise(learned: Learned, readings: Readings, options: Options) -> np.ndarray:
    """Standard deviation of all that readings differ from those of the ensemble by, `(time, sensor)` or `(sensor,)`."""
    model, params, _ = learned
    own, known = readings.noise, options.data_noise
    if own is None:
        noise = decoder_noise(model, params, readings.sensors)
    elif options.decoder_noise:
        known = None if known is None else np.broadcast_to(np.asarray(known, float), (model.num_channels,))
        noise = np.sqrt(own**2 + decoder_noise(model, params, readings.sensors, known) ** 2)
    else:
        noise = own
    if not (noise > 0).any():
        raise InputError("Readings have no noise, neither of their own nor of the decoder; give `noise`.")
    return np.where(np.isfinite(noise) & (noise > 0), noise, np.nanmax(noise))  # of missing readings it plays no part


def _radius(model: MultiscaleModel, positions: np.ndarray, z0: Array, options: Options) -> float | None:
    if options.localisation is None:
        return None
    if options.localisation == "auto":
        local = model.config.coordinates == "cells" and len(positions) <= _MOST_LOCALISED
        return default_radius(cells_of(model), positions, np.asarray(z0)) if local else None
    if model.config.coordinates == "modes":
        raise InputError(
            "`localisation` needs a state in cells, but the model holds it in modes, which are in no place; set it to "
            "None, and take more members."
        )
    if len(positions) > _MOST_LOCALISED:
        raise InputError(
            f"`localisation` takes at most {_MOST_LOCALISED} sensors, got {len(positions)}; set it to None, or leave "
            "out some."
        )
    return float(options.localisation)


def _std_of(model: MultiscaleModel, places: np.ndarray) -> np.ndarray:
    """Scale of the channel at each of the places in the raveled field."""
    return np.array(model.scales.field_std)[places % model.num_channels]


def _described(learned: Learned, z: Array, time: Any, with_members: bool) -> xr.Dataset:
    """Ensembles `(time, member, latent_dim)` as a data set of fields and latents."""
    naming, coordinates, _ = learned.space
    found = _fields(learned.params, z.swapaxes(0, 1), model=learned.model, with_members=with_members)
    values = {name: np.asarray(array) for name, array in found.items()}
    dims = {"": ("member", "time"), "mean": ("time",), "std": ("time",)}
    points = {axis: (axis, x, naming.attributes(axis)) for axis, x in zip(naming.axes, coordinates, strict=True)}
    place = {"time": time, "member": np.arange(z.shape[1])} | points
    latents = ("member", "time", "latent"), np.asarray(z.swapaxes(0, 1))
    return naming.dataset(values, dims, place).assign(latents=latents)


def _warn_of_lost(lost: np.ndarray, analysis: np.ndarray, t: np.ndarray) -> None:
    if not np.isfinite(analysis).all():
        warnings.warn(
            "The whole ensemble is lost: no member is finite; give larger `noise`, another `initial`, or more members.",
            RuntimeWarning,
            stacklevel=4,
        )
    elif lost.any():
        warnings.warn(
            f"{lost.sum()} times a member was not finite and another one took its place, first at {t[lost > 0][0]}.",
            RuntimeWarning,
            stacklevel=4,
        )


@functools.partial(jax.jit, static_argnames=("model", "with_members"))
def _fields(params: Params, z: Array, *, model: MultiscaleModel, with_members: bool) -> dict[str, Array]:
    found = ensemble_fields(model, params, z, jax.random.key(0), noise=False)
    return {name: found[name] for name in ("", "mean", "std") if name or with_members}
