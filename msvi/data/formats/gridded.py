"""Files of fields under any names, as NetCDF and Zarr have them: which axis and which variable is what.

- *Time* is the axis called `time` or `t`, or whose variable has `standard_name: time`, `axis: T` or units such as `days
  since 2000-01-01`.
- *Trajectories* lie along the axis called `trajectory`, `sample`, `member`, `realization`, `ensemble`, `run`, `case` or
  `batch`; without one there is one trajectory.
- *Channels* lie along the axis called `channel` or `component`, if there is one.
- *Space* is what is left, 1, 2 or 3 axes in the order that they have.
- *Fields* are all variables of floating-point numbers with all of these axes, each a channel or several.

Points of the axes and times are the variables that have their names. What else `msvi.data.formats.layout` knows, such
as `boundary` and `split`, may stand beside them.
"""

from typing import Any, cast

import numpy as np
import xarray as xr

from msvi.data.formats.arrays import StoredArray, join_channels, mapped, stored
from msvi.data.labels import labels_of
from msvi.errors import InputError

_TIME = ("time", "t")
_TRAJECTORY = ("trajectory", "sample", "member", "realization", "ensemble", "run", "case", "batch")
_CHANNEL = ("channel", "component")


def find_fields(dataset: xr.Dataset) -> tuple[str, ...]:
    """Names of the variables that are fields: of all with an axis of time and at least one of space those that have the
    most axes, and the same ones; none if there are none."""
    time = find_time(dataset)
    found = {}
    for name, variable in dataset.variables.items():
        space = [axis for axis in variable.dims if axis != time and axis not in (*_TRAJECTORY, *_CHANNEL)]
        if time in variable.dims and space and variable.dtype.kind == "f" and name not in variable.dims:
            found.setdefault(frozenset(variable.dims) - set(_CHANNEL), []).append(str(name))
    return tuple(found[max(found, key=len)]) if found else ()


def find_time(dataset: xr.Dataset) -> str | None:
    """Name of the axis of time, None if there is none."""
    axes = [str(axis) for axis in dataset.sizes]
    for axis in axes:
        attributes = dataset.variables[axis].attrs if axis in dataset.variables else {}
        said = attributes.get("standard_name") == "time" or attributes.get("axis") == "T"
        if axis in _TIME or said or " since " in str(attributes.get("units", "")):
            return axis
    return None


def read_fields(dataset: xr.Dataset, names: tuple[str, ...], path: str) -> dict[str, Any]:
    """What `msvi.data.formats.layout.Layout` needs of a file of fields: `u`, `t`, `coordinates` and `labels`.

    Args:
      names: of the fields, from `find_fields`.
      path: for errors.

    Raises:
      InputError: more than three axes of space, or fields in another order of them.
    """
    time = cast(str, find_time(dataset))  # else there would be no fields
    first = dataset.variables[names[0]]
    trajectory = next((axis for axis in first.dims if axis in _TRAJECTORY), None)
    axes = tuple(str(axis) for axis in first.dims if axis not in (time, trajectory, *_CHANNEL))
    if len(axes) > 3:
        raise InputError(
            f"The data file {path} holds {names[0]} with the axes of space {', '.join(axes)}, expected 1, 2 or 3; "
            "select one place of the others, or call that of trajectories `trajectory`."
        )
    order = (*((trajectory,) if trajectory else ()), time, *axes)
    fields, channels = [], []
    for name in names:
        field, own = _field(dataset, name, order, path)
        fields.append(field if trajectory else _alone(field))
        channels += own
    t = dataset.variables[time].values if time in dataset.variables else None
    coordinates = tuple(np.asarray(dataset.variables[a].values) if a in dataset.variables else None for a in axes)
    labels = labels_of(dataset.variables, axes, tuple(channels), str(time))
    return {"u": join_channels(fields), "t": t, "coordinates": coordinates, "labels": labels}


def _field(dataset: xr.Dataset, name: str, order: tuple[str, ...], path: str) -> tuple[StoredArray, list[str]]:
    """A variable with its axes in this order and channels last, and the names of these."""
    variable = dataset.variables[name]
    channel = [axis for axis in variable.dims if axis in _CHANNEL]
    moved = variable.transpose(*order, *channel)
    sizes = variable.encoding.get("chunksizes")
    if sizes:  # which are in the order of the file
        moved.encoding["chunksizes"] = tuple(sizes[variable.dims.index(axis)] for axis in moved.dims)
    array = stored(moved, path)
    if not channel:
        return mapped(array, (*array.shape, 1), lambda values: values[..., None]), [name]
    number = array.shape[-1]
    known = dataset.variables[channel[0]].values if channel[0] in dataset.variables else np.arange(number)
    return array, [f"{name}_{label}" for label in known.tolist()] if number > 1 else [name]


def _alone(array: StoredArray) -> StoredArray:
    """`(time, ...)` as the one trajectory that it is."""
    chunks = (1, array.chunks[0])

    def read(rows: slice, frames: slice, *points: slice) -> np.ndarray:
        first, *others = points or (slice(None),)
        return array.read(frames, first, *others)[None]

    return StoredArray((1, *array.shape), array.dtype, read, chunks)
