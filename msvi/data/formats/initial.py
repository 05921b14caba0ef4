"""Files of the fields that forecasts begin with, and of what acts on the system from then on."""

import os
from typing import NamedTuple

import numpy as np
import xarray as xr

from msvi.data.formats.arrays import reading
from msvi.data.formats.files import open_variables, recognise
from msvi.data.formats.gridded import find_time
from msvi.data.labels import Labels
from msvi.errors import InputError


class Initial(NamedTuple):
    """What stands in such a file.

    Attributes:
      u: fields at the first time, as `msvi.Model.forecast` takes them: a data set with the names of the training data,
        or an array.
      mu, forcing: of each field or of all; None if the file has none.
      forcing_t: times of `forcing`, None if the file does not say them.
    """

    u: xr.Dataset | np.ndarray
    mu: np.ndarray | None = None
    forcing: np.ndarray | None = None
    forcing_t: np.ndarray | None = None


def read_initial(path: str, labels: Labels, field_shape: tuple[int, ...]) -> Initial:
    """The first frame of each trajectory of a file of any kind that can be learned from, or of single fields.

    Args:
      path: of a file whose variables have the names of the training data, with or without an axis of time, and `mu` and
        `forcing` beside them; or of an .npy file, `(*grid, channel)` or several of these.
      labels: of the training data.
      field_shape: `(*grid, channel)`.

    Raises:
      InputError: there is no such file, it cannot be read, or lacks the fields.
    """
    if not os.path.exists(path):
        raise InputError(f"There is no file {path!r}; give the place of one that exists, --initial=FILE.")
    if path.endswith(".npy"):
        with reading(path, "file of initial fields"):
            return Initial(np.load(path, allow_pickle=False))
    with open_variables(path, recognise(path)) as dataset, reading(path, "file of initial fields"):
        names = list(labels.channels or ("u",))
        if set(names) - set(dataset.variables):
            raise InputError(
                f"The file {path} must hold {', '.join(names)} as the training data do, found "
                f"{', '.join(map(str, dataset.variables)) or 'nothing'}; rename its variables."
            )
        if "mask" in dataset.variables:
            raise InputError(f"The file {path} has a `mask`, which is not read; put NaN where nothing was observed.")
        mu, forcing = (dataset[name].values if name in dataset.variables else None for name in ("mu", "forcing"))
        time = find_time(dataset)
        place = next((name for name in (time, "t") if name in dataset.variables), None)
        t = None if forcing is None or place is None else dataset[place].values
        return Initial(_first_frames(dataset[names], time, labels, field_shape), mu, forcing, t)


def _first_frames(
    fields: xr.Dataset, time: str | None, labels: Labels, field_shape: tuple[int, ...]
) -> xr.Dataset | np.ndarray:
    names = labels.axis_names(len(field_shape) - 1)
    if set(names) <= set(fields.dims):
        return (fields.isel({time: 0}) if time in fields.dims else fields).load()
    # Axes without names are in the order of `msvi.data.formats.layout`.
    u = fields[list(fields.data_vars)[0]]
    return (u[:, 0] if u.ndim == len(field_shape) + 2 else u).values
