"""What a file calls its field, its axes and its times, so that forecasts come back under the same names."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

# Names of the axes of space where a file gives none.
AXES = ("x", "y", "z")


class Labels(NamedTuple):
    """Names, and attributes such as units; plain data, so that they can be kept beside a checkpoint.

    Attributes:
      axes: names of the axes of space; empty for x, y and z.
      channels: names of the channels; empty where they have none.
      attributes: of the variables with these names, and of `u` and `time`; texts and numbers alone.
    """

    axes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    attributes: dict[str, dict[str, Any]] = {}

    def axis_names(self, ndim: int) -> tuple[str, ...]:
        """Names of so many axes of space."""
        return self.axes or AXES[:ndim]


def plain_attributes(variable: xr.Variable) -> dict[str, Any]:
    """The attributes of a variable that are texts and numbers, but for those that say how it is stored."""
    stored = {"scale_factor", "add_offset", "_FillValue", "missing_value", "_ARRAY_DIMENSIONS"}
    found = {}
    for name, value in variable.attrs.items():
        value = value.item() if isinstance(value, np.generic) else value
        if name not in stored and isinstance(value, str | int | float):
            found[str(name)] = value
    return found


def labels_of(variables: Any, axes: tuple[str, ...], channels: tuple[str, ...], time: str) -> Labels:
    """Labels with the attributes of the variables that are called so.

    Args:
      variables: of the file, by name.
      axes: names of the axes of space.
      channels: names of the channels, which are variables or not.
      time: name of the times.
    """
    names = {name: name for name in (*axes, *channels, "u")} | {"time": time}
    attributes = {name: plain_attributes(variables[own]) for name, own in names.items() if own in variables}
    return Labels(axes, channels, {name: found for name, found in attributes.items() if found})
