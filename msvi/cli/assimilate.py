"""Observations in a file taken in by the ensemble of a trained run, and a forecast from there, without its data.

msvi assimilate --workdir=runs/wave --observations=obs.nc --output=analysis.nc
msvi assimilate --workdir=runs/wave --observations=obs.nc --noise=0.05 --smoother=full --figure=analysis.png
msvi assimilate --workdir=runs/wave --observations=obs.nc --times=2:4:201 --forecast=forecast.nc
"""

import os
import warnings

from absl import flags

from msvi.cli import entry
from msvi.cli.forecast import read_times, write
from msvi.cli.outputs import check_endings, given_paths, require, require_some
from msvi.data.formats.initial import read_initial
from msvi.data.formats.observations import read_observations
from msvi.errors import InputError
from msvi.library import load, plot
from msvi.report.plots_forecast import channels_of
from msvi.training.checkpoint import warn


def define_flags() -> None:
    """Defines the flags of the assimilation."""
    flags.DEFINE_string("workdir", None, "Folder of the run, or the archive that `msvi export` wrote of it.")
    flags.DEFINE_string(
        "observations",
        None,
        "File of any kind that can be learned from, with an axis `time` and the names of the training data, NaN where "
        "nothing was observed: on the grid; or with an axis `sensor`, beside them the axes of space (sensor,) and, "
        "where there are such, NAME_noise and AXIS_width. `mu` and, at the same times, `forcing`, if the model learned "
        "of such.",
    )
    flags.DEFINE_float("noise", None, "Standard deviation of the sensors' noise; as the file or the decoder says.")
    flags.DEFINE_string("initial", None, "File of what is known at the start, as for `msvi forecast`.")
    flags.DEFINE_float("start", None, "Time at which that holds; the first of the observations if left out.")
    flags.DEFINE_integer("members", 64, "Of the ensemble.", lower_bound=3)
    flags.DEFINE_string("smoother", None, "full, or of how many later times an ensemble takes observations in.")
    flags.DEFINE_string("localisation", "auto", "auto, none, or a radius in coarse cells.")
    flags.DEFINE_float("inflation", None, "Part by which members move away from their mean; 1 / members if left out.")
    flags.DEFINE_boolean("decoder_noise", True, "Add the decoder's variance to that of a noise that is given.")
    flags.DEFINE_boolean("fields", True, "Write fields of all members, not only their mean and standard deviation.")
    flags.DEFINE_string("times", None, "Of a forecast from the last analysis, as for `msvi forecast`.")
    flags.DEFINE_string("output", None, "File of the analysis, .nc or .zarr; must not exist.")
    flags.DEFINE_string("forecast", None, "File of that forecast, .nc or .zarr; must not exist.")
    flags.DEFINE_string("figure", None, "Picture of the analysis, .png, .pdf or .svg; must not exist.")
    flags.DEFINE_string("animation", None, "The same as a moving picture, .gif; must not exist.")
    flags.DEFINE_string("channel", "", "Channel that is drawn; the first if left out.")
    flags.DEFINE_integer("seed", 0, "Of all that is drawn.", lower_bound=0)


def main() -> None:
    """Assimilates as the flags say, prints the statistics and the paths."""
    given = flags.FLAGS
    require("workdir", "observations")
    paths = given_paths()
    check_paths(paths, given.times)
    t = None if given.times is None else read_times(given.times)
    smoother, localisation = read_smoother(given.smoother), read_localisation(given.localisation)
    model = load(given.workdir)
    read = read_observations(given.observations, model.labels)
    initial = None
    if given.initial is not None:
        initial = read_initial(given.initial, model.labels, model.model.field_shape).u
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        analysis = model.assimilate(
            read.data,
            noise=given.noise,
            initial=initial,
            start=given.start,
            members=given.members,
            smoother=smoother,
            localisation=localisation,
            inflation=given.inflation,
            decoder_noise=given.decoder_noise,
            fields=given.fields,
            seed=given.seed,
            mu=read.mu,
            forcing=read.forcing,
        )
        forecast = None if t is None else model.forecast(analysis, t, seed=given.seed, mu=read.mu)
    for warning in warned:
        warn(str(warning.message))
    if given.channel and given.channel not in channels_of(analysis.filtered):
        known = ", ".join(channels_of(analysis.filtered))
        raise InputError(f"`--channel` must be one of {known}, got {given.channel!r}.")
    told = analysis.statistics
    print(f"log evidence {analysis.log_evidence:.6g}")
    print(f"chi² per reading {told['chi2_per_reading']:.3g} (1 where the ensemble errs as much as it spreads)")
    print(
        f"autocorrelation of innovations {told['autocorrelation'][0]:.2g} "
        f"(within {told['autocorrelation_bound']:.2g} by chance)"
    )
    for name, path in paths.items():
        if name == "output":
            write(analysis.to_dataset(), path)
        elif name == "forecast" and forecast is not None:
            write(forecast, path)
        else:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            plot(analysis, path, given.channel)
        print(path)


def check_paths(paths: dict[str, str], times: str | None) -> None:
    """Passes where at least one file is to be written, and each may be, by its flag.

    Raises:
      InputError: none is, one has another ending, or exists; or a forecast without times, or times without one.
    """
    require_some(paths)
    if ("forecast" in paths) != (times is not None):
        raise InputError("A forecast needs `--times` and `--forecast`, its file; give both, or neither.")
    check_endings(paths)


def read_smoother(text: str | None) -> str | int | None:
    """None, `"full"`, or a number of times.

    Raises:
      InputError: it is none of these.
    """
    if text in (None, "full"):
        return text
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise InputError(f"`--smoother` must be full or a number of times of at least 1, got {text!r}.")


def read_localisation(text: str) -> str | float | None:
    """`"auto"`, None for `none`, or a radius.

    Raises:
      InputError: it is none of these.
    """
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"`--localisation` must be auto, none or a radius in coarse cells, got {text!r}.") from None


def start() -> None:
    """Parses the flags and assimilates."""
    define_flags()
    entry.run(main)
