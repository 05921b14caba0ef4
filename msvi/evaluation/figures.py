"""The figures of an evaluated run: what is computed for them, drawn and written."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.forecast.ensemble import decode_ensemble, decode_ensemble_parts, forecast_latents
from msvi.model.multiscale import MultiscaleModel
from msvi.recipe.build import build_conditions
from msvi.report import animation, plots, plots_2d, plots_run, plots_scores
from msvi.report.names import Names, names_of_channels
from msvi.report.save import check_formats, save_figure
from msvi.types import Params

_ANIMATION: dict[str, Any] = {"seconds": 5, "fps": 12}
# Frames of a 2D field that are decoded for pictures and animation.
_NUM_FRAMES = _ANIMATION["seconds"] * _ANIMATION["fps"]
# Snapshots of a forecast side by side.
_NUM_SNAPSHOTS = 5
# Which trajectory may be asked for by its place among the forecasts' errors.
SHOWN = ("median", "best", "worst")

Pictures = dict[str, Figure | list[Image.Image]]


class _Forecast(NamedTuple):
    """Forecast of one trajectory.

    Attributes:
      lead: times since the first frame, `(time,)`.
      frames: numbers of the frames whose fields follow, `(frame,)`.
      truth, mean, std, macro, micro: fields, `(frame, *grid, channel)`.
      z: latents of the members, `(member, time, latent_dim)`.
      encoded: mean latents of the true frames, `(time, latent_dim)`.
    """

    lead: np.ndarray
    frames: np.ndarray
    truth: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    macro: np.ndarray
    micro: np.ndarray
    z: np.ndarray
    encoded: np.ndarray


def draw_figures(
    directory: str,
    model: MultiscaleModel,
    params: Params,
    dataset: Dataset,
    config: Config,
    result: Mapping[str, Any],
    errors: Mapping[str, np.ndarray],
    history: list[dict[str, float | None]],
    formats: tuple[str, ...] = ("png",),
    shown: str | int = "median",
) -> list[str]:
    """Draws a test trajectory's forecast, errors, calibration and spectra of all, the filter and the training.

    A field of several channels has pictures of each, `forecast_<channel>`; of three dimensions the plane in the middle
    of the last axis is shown.

    Args:
      directory: that the files go to.
      result: of the evaluation, with its calibration and spectra.
      errors: label -> relative errors of the test trajectories at the lead times of the result, `(trajectory, time)`.
      history: of the training.
      formats: of the pictures, some of `msvi.report.save.FORMATS`.
      shown: the trajectory, as `find_shown` takes it.

    Returns:
      Paths of what was written: pictures and, for fields of two dimensions or three, animations.
    """
    check_formats(formats)
    nrmse = result["test"]["nrmse"]["per_trajectory"]
    trajectory = find_shown(nrmse, shown)
    title = _title(trajectory, nrmse, shown)
    labels, ndim = dataset.labels, len(dataset.grid)
    names = names_of_channels(labels.axis_names(ndim), labels.channels, labels.attributes, dataset.num_channels)
    found = _forecast(model, params, dataset, config, trajectory)

    pictures = _draw_forecast(found, dataset, names, title)
    largest, latents = shown_latents(model, found.encoded)
    pictures["latents"] = plots.latent_paths(
        found.lead,
        found.z[..., latents],
        found.encoded[:, latents],
        labels=[f"ζ {largest}", *(f"η {i}" for i in range(config.model.micro_dim))],
        colors=[plots.MACRO] + [plots.MICRO] * config.model.micro_dim,
        names=names[0],
        title=title,
    )
    pictures["error"] = plots.error_over_time(np.array(result["lead_time"]["t"]), errors, names=names[0])
    calibration = result["calibration"]
    coverage = {"forecast": np.array(calibration["coverage"], float)}
    pictures["reliability"] = plots_scores.reliability_diagram(calibration["levels"], coverage)
    power = {name.replace("macro", "macroscale part"): np.array(p, float) for name, p in result["spectra"].items()}
    pictures["spectra"] = plots_scores.spectra(power.pop("wavenumber"), power)
    pictures["kernel"] = _draw_kernel(model, params, names[0])
    pictures["training"] = plots_run.training_curves(_curves(history))

    paths = []
    for name, content in pictures.items():
        path = os.path.join(directory, name)
        if isinstance(content, Figure):
            paths += save_figure(content, path, formats)
        else:
            paths.append(path)
            animation.save_gif(path, content, _ANIMATION["fps"])
    return paths


def find_shown(nrmse: Sequence[float | None], shown: str | int) -> int:
    """Number of the test trajectory to show.

    Args:
      nrmse: of each trajectory's forecast, None where it diverged, which is worse than any number.
      shown: one of `SHOWN`, or the number of a trajectory, counted from 0, also as text.

    Raises:
      InputError: it is neither.
    """
    if shown in SHOWN:
        errors = [math.inf if error is None else error for error in nrmse]
        order = sorted(range(len(nrmse)), key=errors.__getitem__)
        return order[{"best": 0, "median": (len(nrmse) - 1) // 2, "worst": -1}[shown]]
    if not re.fullmatch(r"\d+", str(shown)) or int(shown) >= len(nrmse):
        raise InputError(
            f"The trajectory to show must be {', '.join(SHOWN)} or a number from 0 to {len(nrmse) - 1}, got {shown!r}; "
            "choose one of these."
        )
    return int(shown)


def shown_latents(model: MultiscaleModel, encoded: np.ndarray) -> tuple[int, list[int]]:
    """Which macroscale value is largest at the start, and where in `z` it and the microscale latents lie: all, or those
    of its cell.

    Args:
      encoded: `(time, latent_dim)`.
    """
    macro, micro = model.places
    largest = int(np.argmax(encoded[0, macro.ravel()]))
    if micro.ndim > 1:
        micro = micro[np.unravel_index(largest, macro.shape)[:-1]]
    return largest, [int(macro.ravel()[largest]), *micro.tolist()]


def _title(trajectory: int, nrmse: Sequence[float | None], shown: str | int) -> str:
    """Which of the test trajectories is shown, why, and how large its error is."""
    error = nrmse[trajectory]
    place = f"the {shown} by NRMSE" if shown in SHOWN else "NRMSE"
    last = f" of 0–{len(nrmse) - 1}" if len(nrmse) > 1 else ""
    return f"test trajectory {trajectory}{last}, {place}: {'diverged' if error is None else f'{error:.3g}'}"


def _forecast(model: MultiscaleModel, params: Params, dataset: Dataset, config: Config, trajectory: int) -> _Forecast:
    """Forecasts a test trajectory from its first frame, and encodes its frames."""
    test, length = dataset.test, dataset.test.lengths[trajectory]
    t, u = jnp.asarray(test.t[trajectory, :length], jnp.float32), jnp.asarray(test.u[trajectory, :length])
    mask = test.observed(trajectory)
    mask = None if mask is None or mask[:length].all() else jnp.asarray(mask[:length])
    conditions = jax.tree.map(lambda a: a[trajectory], build_conditions(model, test))
    frames = np.arange(len(t))
    if len(dataset.grid) > 1:
        frames = np.unique(np.linspace(0, len(t) - 1, _NUM_FRAMES).round().astype(int))

    @jax.jit
    def solve(params, u, mask, conditions, key):
        path_key, noise_key = jax.random.split(key)
        c, mask0 = config.forecast, None if mask is None else mask[0]
        sizes = c.num_members, c.steps_per_frame, c.solver
        z = forecast_latents(model, params, t, u[0], path_key, *sizes, conditions=conditions, mask0=mask0)
        fields = (
            *decode_ensemble(model, params, z[:, frames], noise_key),
            *decode_ensemble_parts(model, params, z[:, frames]),
        )
        return fields, z, jax.lax.map(lambda frame: model.encode(params, *frame).mean, (u, mask), batch_size=64)

    fields, z, encoded = jax.tree.map(np.asarray, solve(params, u, mask, conditions, jax.random.key(0)))
    if test.u_true is not None:
        truth = np.asarray(test.u_true[trajectory, :length])
    else:  # what was observed of it
        truth = np.asarray(u) if mask is None else np.where(mask, u, np.nan)
    lead = test.t[trajectory, :length] - test.t[trajectory, 0]
    return _Forecast(lead, frames, truth[frames], *fields, z=z, encoded=encoded)


def _draw_forecast(found: _Forecast, dataset: Dataset, names: Sequence[Names], title: str) -> Pictures:
    """The forecast of each channel, by the name of its file without an ending."""
    coordinates, solid = dataset.coordinates, dataset.solid
    fields = (found.truth, found.mean, found.macro, found.micro, found.std)
    if len(dataset.grid) == 3:
        middle = dataset.grid[2] // 2
        fields = [field[:, :, :, middle] for field in fields]
        solid = None if solid is None else solid[:, :, middle]
        title = f"{title}; plane {names[0].axes[2].at(coordinates[2][middle])}"
    snapshots = min(_NUM_SNAPSHOTS, len(found.frames))
    pictures: Pictures = {}
    for channel, (own, ending) in enumerate(zip(names, _endings(names), strict=True)):
        truth, mean, macro, micro, std = (field[..., channel] for field in fields)
        if len(dataset.grid) == 1:
            about = {"names": own, "title": title}
            arrays = (found.lead, coordinates[0], truth, mean)
            pictures[f"forecast{ending}"] = plots.forecast_1d(*arrays, std, macro, micro, snapshots, **about)
            pictures[f"space_time{ending}"] = plots.field_1d(*arrays, **about)
        else:
            about = {"names": own, "title": title, "mask": solid}
            x, y = coordinates[:2]
            arrays = (found.lead[found.frames], x, y, truth, mean, macro, micro, std)
            pictures[f"forecast{ending}"] = plots_2d.forecast_2d(*arrays, snapshots, **about)
            pictures[f"forecast{ending}.gif"] = animation.animation_2d(*arrays, **about, **_ANIMATION)
    return pictures


def _endings(names: Sequence[Names]) -> list[str]:
    """What the files of each channel end in: nothing if there is one, else its name, or its number if that is taken."""
    if len(names) == 1:
        return [""]
    plain = [re.sub(r"\W+", "_", own.field.text).strip("_") for own in names]
    return [f"_{name}" if name and plain.count(name) == 1 else f"_{i}" for i, name in enumerate(plain)]


def _draw_kernel(model: MultiscaleModel, params: Params, names: Names) -> Figure:
    kernel, initial, title = np.asarray(model.kernel(params)), np.asarray(model.filter.init_kernel()), ""
    if kernel.ndim == 3:
        kernel, initial = (values[..., values.shape[-1] // 2] for values in (kernel, initial))
        title = f"plane {names.axes[2].text} offset = 0"
    if kernel.ndim == 1:
        return plots_run.kernel_1d(kernel, initial, model.config.coarsening)
    return plots_run.kernel_2d(kernel, initial, model.config.coarsening, names, title)


def _curves(history: list[dict[str, float | None]]) -> dict[str, np.ndarray]:
    """Columns of the history; the validation ones only where there was a validation, NaN where one is not defined."""
    validated = [entry for entry in history if "val_crps" in entry]
    columns = {name: [e[name] for e in history] for name in ("step", "loss", "log_likelihood", "drift_residual")}
    columns |= {name: [e[name] for e in validated] for name in ("val_crps", "val_nrmse", "val_reconstruction")}
    columns["val_step"] = [e["step"] for e in validated]
    return {name: np.array(values, float) for name, values in columns.items()}
