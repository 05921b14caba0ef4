"""What a user has in memory, as the data set of a file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from msvi.data.formats.gridded import find_fields, read_fields
from msvi.data.labels import AXES
from msvi.errors import InputError


def kinds_of(boundary: str | Sequence[str], ndim: int) -> tuple[str, ...]:
    """The kind of each of so many axes; empty if none is given."""
    return (boundary,) * ndim if isinstance(boundary, str) else tuple(boundary)


def from_xarray(u: xr.Dataset | xr.DataArray, boundary: str | Sequence[str], arrays: dict[str, Any]) -> xr.Dataset:
    """A data set, or one array of it, with the kinds of its boundary if they are given.

    Raises:
      InputError: arrays beside it, or no fields in it.
    """
    if arrays:
        raise InputError(f"With xarray the arrays are variables of the data set; leave out {', '.join(arrays)}.")
    found = u.to_dataset(name=u.name or "u") if isinstance(u, xr.DataArray) else u.copy()
    fields = find_fields(found)
    if not fields:
        raise InputError(
            f"The data set must hold fields of floating-point numbers with an axis `time`, found the axes "
            f"{', '.join(map(str, found.dims))}; rename the one of time."
        )
    kinds = kinds_of(boundary, len(read_fields(found, fields, "")["coordinates"]))
    return found.assign_attrs(boundary=",".join(kinds)) if kinds else found


def from_arrays(u: np.ndarray, boundary: str | Sequence[str], arrays: dict[str, Any]) -> xr.Dataset:
    """Arrays as a data set in the layout of `msvi.data.formats.layout`.

    Args:
      u: `(trajectory, time, *grid, channel)`, or without the last axis.
      boundary: kind of all axes, or of each.
      arrays: what else there is, by the names there; `coordinates` are the points of the axes.

    Raises:
      InputError: arrays that do not fit each other.
    """
    if u.dtype.kind != "f":
        raise InputError(f"`u` must be floating-point numbers, got {u.dtype}; convert it with u.astype(float).")
    if "t" not in arrays:
        raise InputError("`t` is missing; give the times of the frames, (time,) or (trajectory, time).")
    if u.ndim == 3 or (not isinstance(boundary, str) and len(boundary) == u.ndim - 2):
        u = u[..., None]
    if not 4 <= u.ndim <= 6:
        raise InputError(f"`u` must have the shape (trajectory, time, *grid, channel), got {u.shape}.")
    axes, kinds = AXES[: u.ndim - 3], kinds_of(boundary, u.ndim - 3)
    t = np.asarray(arrays["t"])
    found = {"u": (("trajectory", "time", *axes, "channel"), u), "t": (("trajectory", "time")[2 - t.ndim :], t)}
    for name in arrays.keys() & {"mask", "mu", "forcing"}:
        array = np.asarray(arrays[name])
        array = array.astype(np.int8) if array.dtype == bool else array  # NetCDF knows no booleans
        found[name] = tuple(f"{name}_{axis}" for axis in range(array.ndim)), array
    if "split" in arrays:
        found["split"] = ("trajectory",), np.asarray(arrays["split"], "U5")
    points = zip(axes, arrays.get("coordinates", ()), strict=False)
    found |= {axis: ((axis,), np.asarray(values, float)) for axis, values in points}
    try:
        return xr.Dataset(found, attrs={"boundary": ",".join(kinds)} if kinds else {})
    except ValueError as error:
        raise InputError(f"The arrays do not fit each other ({' '.join(str(error).split())}).") from None
