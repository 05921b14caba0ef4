"""Observations as users have them, arrays or xarray, as readings of sensors with their noise."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from msvi.assimilation.sensors import Sensors, grid_sensors, point_sensors, weighted_sensors
from msvi.data.named import Naming
from msvi.errors import InputError


class Space(NamedTuple):
    """The grid of a model.

    Attributes:
      naming: what its fields are called.
      coordinates: points of each axis.
      boundary: kind of each axis.
    """

    naming: Naming
    coordinates: tuple[np.ndarray, ...]
    boundary: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """`(*grid, channel)`."""
        return self.naming.shape


class Readings(NamedTuple):
    """What was observed.

    Attributes:
      y: `(time, sensor)`, NaN where a sensor did not report.
      noise: standard deviation of the sensors' noise, `(time, sensor)`; None where none was told.
      sensors: what they read.
    """

    y: np.ndarray
    noise: np.ndarray | None
    sensors: Sensors


def times_of(observations: Any, times: Any) -> Any:
    """The times that are given, or those that xarray has.

    Raises:
      InputError: neither.
    """
    if times is not None:
        return times
    if isinstance(observations, xr.Dataset | xr.DataArray) and "time" in observations.coords:
        return observations["time"].values
    raise InputError("`times` is missing; give the times of the observations, (time,).")


def read(
    observations: Any,
    number: int,
    space: Space,
    *,
    positions: Any = None,
    channel: Any = None,
    widths: Any = None,
    weights: Any = None,
    noise: Any = None,
) -> Readings:
    """Readings of observations at so many times; sensors that never report are left out.

    Args:
      observations, positions, channel, widths, weights, noise: see `msvi.library.Model.assimilate`.

    Raises:
      InputError: a shape that does not fit, sensors outside of the domain, noise that is not above zero, or nothing
        but missing values.
    """
    if isinstance(observations, xr.DataArray):
        observations = observations.to_dataset(name=observations.name or space.naming.channels[0])
    if isinstance(observations, xr.Dataset):
        if any(given is not None for given in (positions, channel, widths, weights)):
            raise InputError("With xarray the sensors are variables of the data set; leave out what tells of them.")
        y, sensors, own = _from_dataset(observations, space)
        noise = own if noise is None else noise
    else:
        y, sensors = _from_arrays(np.asarray(observations), space, positions, channel, widths, weights)
    if len(y) != number:
        raise InputError(f"`observations` must have one row for each of the {number} times, got {len(y)}; check them.")
    if y.dtype.kind not in "fiu" or np.isinf(y).any():
        raise InputError("`observations` must be numbers, NaN where a sensor did not report, and not infinite.")
    seen = np.isfinite(y)
    if not seen.any():
        raise InputError("All observations are missing; give at least one that is a number.")
    deviation = None if noise is None else _deviations(noise, y.shape, space.shape, seen)
    chosen = np.flatnonzero(seen.any(axis=0))
    deviation = None if deviation is None else deviation[:, chosen]
    return Readings(y[:, chosen].astype(np.float64), deviation, sensors.subset(chosen))


def _from_arrays(
    y: np.ndarray, space: Space, positions: Any, channel: Any, widths: Any, weights: Any
) -> tuple[np.ndarray, Sensors]:
    """Values `(time, sensor)` and the sensors."""
    shape, ndim = space.shape, len(space.shape) - 1
    if weights is not None:
        if positions is not None or widths is not None or channel is not None:
            raise InputError("`weights` tell all of a sensor; leave out `positions`, `widths` and `channel`.")
        weights = np.asarray(weights, float)
        weights = weights[..., None] if shape[-1] == 1 and weights.shape[1:] == shape[:-1] else weights
        if weights.shape[1:] != shape or y.shape[1:] != weights.shape[:1]:
            raise InputError(
                f"`weights` must have the shape (sensor, {', '.join(map(str, shape))}) and `observations` (time, "
                f"sensor), got {weights.shape} and {y.shape}."
            )
        return y, weighted_sensors(weights, space.boundary)
    if positions is None:
        if channel is not None or widths is not None:
            raise InputError("`channel` and `widths` are of sensors at `positions`; give these too.")
        y = y[..., None] if y.shape[1:] == shape[:-1] and shape[-1] == 1 else y
        if y.shape[1:] != shape:
            raise InputError(
                f"`observations` without `positions` must be frames of the shape {shape}, NaN where nothing was "
                f"observed, got {y.shape[1:]}; give `positions` of sensors, or frames."
            )
        return y.reshape(len(y), -1), grid_sensors(shape)
    positions = np.asarray(positions, float)
    positions = positions[:, None] if ndim == 1 and positions.ndim == 1 else positions
    if positions.ndim != 2 or positions.shape[1] != ndim or y.shape[1:2] != positions.shape[:1]:
        raise InputError(
            f"`positions` must have the shape (sensor, {ndim}) and `observations` (time, sensor), got "
            f"{positions.shape} and {y.shape}."
        )
    if y.ndim == 3 and channel is None and y.shape[2] == shape[-1]:  # all channels at each of them
        number = len(positions)
        positions, channels = np.repeat(positions, shape[-1], axis=0), np.tile(np.arange(shape[-1]), number)
        widths = None if widths is None else np.repeat(_widths(widths, number, ndim), shape[-1], axis=0)
        y = y.reshape(len(y), -1)
    elif y.ndim == 2 and (channel is not None or shape[-1] == 1):
        channels = _channels(0 if channel is None else channel, len(positions), space.naming)
    else:
        raise InputError(
            f"`observations` of sensors must have the shape (time, sensor) with their `channel`, or (time, sensor, "
            f"{shape[-1]}), got {y.shape}."
        )
    widths = None if widths is None else _widths(widths, len(positions), ndim)
    return y, point_sensors(positions, channels, space.coordinates, space.boundary, shape, widths)


def _from_dataset(dataset: xr.Dataset, space: Space) -> tuple[np.ndarray, Sensors, np.ndarray | None]:
    """Values `(time, sensor)`, the sensors, and their noise if the data set says it."""
    naming = space.naming
    if "time" not in dataset.dims:
        raise InputError(f"`observations` must have an axis `time`, got {', '.join(map(str, dataset.dims))}.")
    names = [name for name in naming.channels if name in dataset]
    if not names:
        raise InputError(
            f"`observations` must hold {' or '.join(naming.channels)}, got {', '.join(map(str, dataset.data_vars))}."
        )
    if "sensor" not in dataset.dims:
        if len(names) < len(naming.channels):
            blank = xr.full_like(dataset[names[0]], np.nan)
            dataset = dataset.assign({name: blank for name in naming.channels if name not in names})
        frames = naming.fields(dataset)
        return frames.reshape(len(frames), -1), grid_sensors(space.shape), _noise_of_frames(dataset, naming)
    if missing := [axis for axis in naming.axes if axis not in dataset]:
        raise InputError(f"`observations` of sensors must say their place, `{missing[0]}` (sensor,); add it.")
    positions = np.stack([dataset[axis].values for axis in naming.axes], axis=1).astype(float)
    widths = [dataset[f"{axis}_width"].values if f"{axis}_width" in dataset else 0 for axis in naming.axes]
    widths = np.stack([np.broadcast_to(np.asarray(w, float), len(positions)) for w in widths], axis=1)
    parts, own = [], []
    for name in names:
        number = naming.channels.index(name)
        variable = dataset[name].transpose("time", "sensor", ...)
        for last in range(variable.shape[2] if variable.ndim == 3 else 1):
            values = variable.values[..., last] if variable.ndim == 3 else variable.values
            channels = np.full(len(positions), number + last)
            made = point_sensors(positions, channels, space.coordinates, space.boundary, space.shape, widths)
            parts.append((values, made))
            own.append(dataset.get(f"{name}_noise"))
    longest = max(made.places.shape[1] for _, made in parts)
    places, weights = (
        np.concatenate([np.pad(array, ((0, 0), (0, longest - array.shape[1]))) for array in arrays])
        for arrays in ([made.places for _, made in parts], [made.weights for _, made in parts])
    )
    sensors = Sensors(places, weights, np.concatenate([made.positions for _, made in parts]))
    y = np.concatenate([values for values, _ in parts], axis=1)
    if any(one is None for one in own):
        if any(one is not None for one in own):
            raise InputError("Some channels have a noise and others none; give that of all.")
        return y, sensors, None
    like = dataset[names[0]].transpose("time", "sensor", ...)
    like = like[..., 0] if like.ndim == 3 else like
    told = [np.broadcast_to(xr.broadcast(one, like)[0].transpose("time", "sensor").values, like.shape) for one in own]
    return y, sensors, np.concatenate(told, axis=1)


def _noise_of_frames(dataset: xr.Dataset, naming: Naming) -> np.ndarray | None:
    """Noise of each channel of frames, `(channel,)`, from numbers beside them."""
    told = [dataset[f"{name}_noise"] for name in naming.channels if f"{name}_noise" in dataset]
    if not told:
        return None
    if len(told) < len(naming.channels) or any(one.ndim for one in told):
        raise InputError("The noise of frames is one number for each channel, NAME_noise; give these.")
    return np.broadcast_to(np.array([float(one) for one in told]), naming.shape[-1:])


def _deviations(noise: Any, shape: tuple[int, ...], field: tuple[int, ...], seen: np.ndarray) -> np.ndarray:
    """Standard deviations `(time, sensor)`.

    Raises:
      InputError: another shape, or noise that is not above zero.
    """
    noise = np.asarray(noise, float)
    if shape[1] == int(np.prod(field)) and noise.shape in ((field[-1],), field, (shape[0], *field)):  # of frames
        noise = np.broadcast_to(noise, (*noise.shape[: noise.ndim - len(field)], *field))
        noise = noise.reshape(*noise.shape[: noise.ndim - len(field)], -1)
    try:
        found = np.broadcast_to(noise, shape)
    except ValueError:
        raise InputError(
            f"`noise` must be one number, (sensor,) or (time, sensor), here {shape}, got {noise.shape}."
        ) from None
    if not (np.where(seen, found, 1) > 0).all() or np.isinf(found).any():
        raise InputError(
            "`noise` must be above zero and finite, the standard deviation of each sensor; leave it out for that of "
            "the training data."
        )
    return found


def _channels(channel: Any, number: int, naming: Naming) -> np.ndarray:
    """Numbers of channels that are told by name or number, of all sensors or of each."""
    given = np.broadcast_to(np.asarray(channel), number).tolist()
    found = [naming.channels.index(one) if one in naming.channels else one for one in given]
    if not all(isinstance(one, int) and 0 <= one < naming.shape[-1] for one in found):
        raise InputError(
            f"`channel` must be {', '.join(naming.channels)} or a number below {naming.shape[-1]}, got {channel!r}."
        )
    return np.array(found)


def _widths(widths: Any, number: int, ndim: int) -> np.ndarray:
    found = np.asarray(widths, float)
    found = found[:, None] if found.ndim == 1 and ndim == 1 and len(found) == number else found
    if found.ndim > 2 or found.shape not in ((), (ndim,), (number, ndim)) or not (found >= 0).all():
        raise InputError(f"`widths` must not be negative, of the shape ({number}, {ndim}), got {np.shape(widths)}.")
    return np.broadcast_to(found, (number, ndim))
