"""Forecasts from initial fields in a file, with a trained run and without its data.

msvi forecast --workdir=runs/wave --initial=first.nc --times=0:2:201 --members=64 --output=forecast.nc
"""

import os
import re
import shutil

import numpy as np
import xarray as xr
from absl import flags

from msvi.cli import entry
from msvi.data.formats.arrays import reading
from msvi.errors import InputError
from msvi.library import Model, load

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
INITIAL = flags.DEFINE_string(
    "initial",
    None,
    "File of the fields to begin with: NetCDF or Zarr with the names of the training data, of one time or the first "
    "of several; or .npy, (*grid, channel) or several of these.",
    required=True,
)
TIMES = flags.DEFINE_string(
    "times",
    None,
    "FIRST:LAST:NUMBER evenly spaced, or all of them with commas between; as the data count.",
    required=True,
)
OUTPUT = flags.DEFINE_string("output", None, "File of the forecast, .nc or .zarr; must not exist.", required=True)
MEMBERS = flags.DEFINE_integer("members", 64, "Of the ensemble.", lower_bound=1)
NOISE = flags.DEFINE_boolean("noise", True, "Members as they would be observed, or as the decoder expects them.")
PARTS = flags.DEFINE_boolean("parts", False, "The macroscale and the microscale part of the mean too.")
SEED = flags.DEFINE_integer("seed", 0, "Of all that is drawn.", lower_bound=0)


def main() -> None:
    """Forecasts as the flags say and prints the path."""
    if not OUTPUT.value.endswith((".nc", ".zarr")):
        raise InputError(f"`--output` must end with .nc or .zarr, got {OUTPUT.value!r}.")
    if os.path.exists(OUTPUT.value):
        raise InputError(f"`--output` must not exist, but {OUTPUT.value} does; choose another.")
    t = read_times(TIMES.value)
    model = load(WORKDIR.value)
    u0 = read_initial(INITIAL.value, model)
    found = model.forecast(u0, t, MEMBERS.value, noise=NOISE.value, parts=PARTS.value, seed=SEED.value)
    write(found, OUTPUT.value)
    print(OUTPUT.value)


def read_times(text: str) -> np.ndarray:
    """Times from `FIRST:LAST:NUMBER` or `T1,T2,…`.

    Raises:
      InputError: it is neither.
    """
    number = r"[-+]?[\d.]+(e[-+]?\d+)?"
    try:
        if re.fullmatch(rf"{number}:{number}:\d+", text):
            first, last, count = text.split(":")
            return np.linspace(float(first), float(last), int(count))
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise InputError(
            f"`--times` must be FIRST:LAST:NUMBER or numbers with commas between, got {text!r}; 0:2:201 for example."
        ) from None


def read_initial(path: str, model: Model) -> xr.Dataset | np.ndarray:
    """Fields to begin with, the first ones where the file has several times.

    Raises:
      InputError: there is no such file, or it cannot be read.
    """
    if not os.path.exists(path):
        raise InputError(f"There is no file {path!r}; give the place of one that exists, --initial=FILE.")
    with reading(path, "file of initial fields"):
        if path.endswith(".npy"):
            return np.load(path, allow_pickle=False)
        engine = {"engine": "zarr"} if os.path.isdir(path) else {}
        with xr.open_dataset(path, **engine) as dataset:
            first = dataset.isel({axis: 0 for axis in ("time", "t") if axis in dataset.dims})
            return first.load()


def write(dataset: xr.Dataset, path: str) -> None:
    """The data set as NetCDF or Zarr, under its name only when it is whole."""
    temporary = path + ".tmp"
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    if path.endswith(".zarr"):
        shutil.rmtree(temporary, ignore_errors=True)
        dataset.to_zarr(temporary, zarr_format=2, consolidated=True)
    else:
        dataset.to_netcdf(temporary, engine="h5netcdf")
    os.replace(temporary, path)


def start() -> None:
    """Parses the flags and forecasts."""
    entry.run(main)
