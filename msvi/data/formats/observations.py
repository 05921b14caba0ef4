"""Files of observations at times: of sensors, or of frames with gaps."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from msvi.data.formats.arrays import reading
from msvi.data.formats.files import open_variables, recognise
from msvi.data.formats.gridded import find_time
from msvi.data.labels import Labels
from msvi.errors import InputError


class Observations(NamedTuple):
    """What stands in such a file.

    Attributes:
      data: as `msvi.Model.assimilate` takes them, times under the name `time`.
      mu, forcing: what acts on the system; None if the file has none.
    """

    data: xr.Dataset
    mu: np.ndarray | None = None
    forcing: np.ndarray | None = None


def read_observations(path: str, labels: Labels) -> Observations:
    """Observations of a file whose variables have the names of the training data.

    Times that count from a date are dates here, if those of the training data do too.

    Args:
      path: of any kind of file that can be learned from.
      labels: of the training data.

    Raises:
      InputError: there is no such file, it cannot be read, or lacks times or fields.
    """
    with open_variables(path, recognise(path)) as dataset, reading(path, "file of observations"):
        time = find_time(dataset)
        channels = [name for name in labels.channels or ("u",) if name in dataset.variables]
        if time is None or time not in dataset.variables or not channels:
            raise InputError(
                f"The file {path} must hold {' or '.join(labels.channels or ('u',))} with an axis `time` and its "
                f"values, found {', '.join(map(str, dataset.variables)) or 'nothing'}; rename its variables."
            )
        mu, forcing = (dataset[name].values if name in dataset.variables else None for name in ("mu", "forcing"))
        found = dataset.drop_vars([name for name in ("mu", "forcing") if name in dataset.variables]).load()
    units = labels.attributes.get("time", {}).get("units", "")
    if " since " in units and " since " in str(found[time].attrs.get("units", "")):
        found = xr.decode_cf(found)
    return Observations(found.rename({time: "time"}) if time != "time" else found, mu, forcing)
