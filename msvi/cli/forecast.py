"""Forecasts from initial fields in a file, with a trained run and without its data.

msvi forecast --workdir=runs/wave --initial=first.nc --times=0:2:201 --members=64 --output=forecast.nc
msvi forecast --workdir=runs/wave --initial=first.nc --times=0:2:201 --figure=forecast.pdf --animation=forecast.gif
"""

import os
import re
import warnings

import numpy as np
import xarray as xr
from absl import flags

from msvi.cli import entry
from msvi.cli.outputs import check_endings, given_paths, require, require_some
from msvi.data.formats.initial import Initial, read_initial
from msvi.data.times import elapsed
from msvi.errors import InputError
from msvi.library import load, plot
from msvi.report.plots_forecast import channels_of
from msvi.training.checkpoint import warn
from msvi.writing import replacing


def define_flags() -> None:
    """Defines the flags of the forecast."""
    flags.DEFINE_string("workdir", None, "Folder of the run, or the archive that `msvi export` wrote of it.")
    flags.DEFINE_string(
        "initial",
        None,
        "File of the fields to begin with, of any kind that can be learned from, with the names of the training data: "
        "the first frame of each trajectory, or fields without times, NaN where nothing was observed; beside them `mu` "
        "and, at the times of the forecast, `forcing`, if the model learned of such. Or .npy, (*grid, channel) or "
        "several of these.",
    )
    flags.DEFINE_string(
        "times", None, "FIRST:LAST:NUMBER evenly spaced, or all of them with commas between; as the data count."
    )
    flags.DEFINE_string("output", None, "File of the forecast, .nc or .zarr; must not exist.")
    flags.DEFINE_string("figure", None, "Snapshots of the first field's forecast, .png, .pdf or .svg; must not exist.")
    flags.DEFINE_string("animation", None, "The same as a moving picture, .gif; must not exist.")
    flags.DEFINE_string("channel", "", "Channel that is drawn; the first if left out.")
    flags.DEFINE_integer("members", 64, "Of the ensemble.", lower_bound=1)
    flags.DEFINE_boolean("noise", True, "Members as they would be observed, or as the decoder expects them.")
    flags.DEFINE_boolean("parts", False, "The macroscale and the microscale part of the mean too.")
    flags.DEFINE_integer("seed", 0, "Of all that is drawn.", lower_bound=0)


def main() -> None:
    """Forecasts as the flags say and prints the paths."""
    given = flags.FLAGS
    require("workdir", "initial", "times")
    paths = given_paths()
    check_paths(paths)
    t = read_times(given.times)
    model = load(given.workdir)
    initial = read_initial(given.initial, model.labels, model.model.field_shape)
    check_forcing_times(initial, t, given.initial)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = model.forecast(
            initial.u,
            t,
            given.members,
            noise=given.noise,
            parts=True,  # which pictures show
            seed=given.seed,
            mu=initial.mu,
            forcing=initial.forcing,
        )
    for warning in warned:
        warn(str(warning.message))
    if given.channel and given.channel not in channels_of(found):
        raise InputError(f"`--channel` must be one of {', '.join(channels_of(found))}, got {given.channel!r}.")
    for name, path in paths.items():
        if name == "output":
            write(found if given.parts else without_parts(found), path)
        else:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            plot(found, path, given.channel)
        print(path)


def check_paths(paths: dict[str, str]) -> None:
    """Passes where at least one file is to be written, and each may be, by its flag.

    Raises:
      InputError: none is, one has another ending, or exists.
    """
    require_some(paths)
    check_endings(paths)


def read_times(text: str) -> np.ndarray:
    """Times from `FIRST:LAST:NUMBER` or `T1,T2,…`.

    Raises:
      InputError: it is neither.
    """
    number = r"[-+]?[\d.]+(e[-+]?\d+)?"
    try:
        if re.fullmatch(rf"{number}:{number}:\d+", text):
            first, last, count = text.split(":")
            t = np.linspace(float(first), float(last), int(count))
        else:
            t = np.array([float(part) for part in text.split(",")])
        if len(t) > 1 and np.isfinite(t).all() and (np.diff(t) > 0).all():
            return t
    except ValueError:
        pass
    raise InputError(
        f"`--times` must be FIRST:LAST:NUMBER or numbers with commas between, two or more and increasing, got "
        f"{text!r}; 0:2:201 for example."
    )


def check_forcing_times(initial: Initial, t: np.ndarray, path: str) -> None:
    """Passes where the forcing of a file, if it has one, is known at times that are as far from the first one as `t`.

    Raises:
      InputError: it is at other times.
    """
    if initial.forcing_t is None:
        return
    own, since = np.atleast_2d(initial.forcing_t), t - t[0]
    if own.shape[-1] != len(t) or not np.allclose(elapsed(own, own[:, :1]), since, rtol=1e-6, atol=1e-6 * since[-1]):
        raise InputError(
            f"The forcing in {path} is at {own.shape[-1]} times, not at the {len(t)} of --times; give it at these."
        )


def without_parts(forecast: xr.Dataset) -> xr.Dataset:
    """The forecast without the macroscale and the microscale part of its mean."""
    bases = [str(name).removesuffix("_mean") for name in forecast.data_vars if str(name).endswith("_mean")]
    return forecast.drop_vars([f"{name}_{part}" for name in bases for part in ("macro", "micro")])


def write(dataset: xr.Dataset, path: str) -> None:
    """The data set as NetCDF or Zarr, under its name only when it is whole."""
    with replacing(path) as temporary:
        if path.endswith(".zarr"):
            dataset.to_zarr(temporary, zarr_format=2, consolidated=True)
        else:
            dataset.to_netcdf(temporary, engine="h5netcdf")


def start() -> None:
    """Parses the flags and forecasts."""
    define_flags()
    entry.run(main)
