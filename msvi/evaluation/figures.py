"""The figures of an evaluated run: what is computed for them, drawn and written."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msvi.config import Config
from msvi.data.split import Dataset
from msvi.forecast.ensemble import decode_ensemble, decode_ensemble_parts, forecast_latents
from msvi.model.multiscale import MultiscaleModel
from msvi.recipe.build import build_conditions
from msvi.report import plots, plots_2d, plots_scores
from msvi.types import Params

_ANIMATION = {"seconds": 5, "fps": 12}
# Frames of a 2D field that are decoded for pictures and animation.
_NUM_FRAMES = _ANIMATION["seconds"] * _ANIMATION["fps"]
# Snapshots of a forecast side by side.
_NUM_SNAPSHOTS = 5


def draw_figures(
    directory: str,
    model: MultiscaleModel,
    params: Params,
    dataset: Dataset,
    config: Config,
    result: Mapping[str, Any],
    errors: Mapping[str, np.ndarray],
    history: list[dict[str, float | None]],
) -> list[str]:
    """Draws the first test trajectory's forecast, errors, calibration and spectra of all, the filter and the training.

    Args:
      directory: that the files go to.
      result: of the evaluation, with its calibration and spectra.
      errors: label -> relative errors of the test trajectories at the lead times of the result, `(trajectory, time)`.
      history: of the training.

    Returns:
      Paths of what was written: pictures and, for fields of two dimensions, an animation.
    """
    test, length = dataset.test, dataset.test.lengths[0]
    t, u = jnp.asarray(test.t[0, :length], jnp.float32), jnp.asarray(test.u[0, :length])
    mask = test.observed(0)
    mask = None if mask is None or mask[:length].all() else jnp.asarray(mask[:length])
    conditions = jax.tree.map(lambda a: a[0], build_conditions(model, test))
    one_axis = len(dataset.grid) == 1
    shown = np.arange(len(t)) if one_axis else np.unique(np.linspace(0, len(t) - 1, _NUM_FRAMES).round().astype(int))

    @jax.jit
    def solve(params, u, mask, conditions, key):
        path_key, noise_key = jax.random.split(key)
        c, mask0 = config.forecast, None if mask is None else mask[0]
        sizes = c.num_members, c.steps_per_frame, c.solver
        z = forecast_latents(model, params, t, u[0], path_key, *sizes, conditions=conditions, mask0=mask0)
        fields = (
            *decode_ensemble(model, params, z[:, shown], noise_key),
            *decode_ensemble_parts(model, params, z[:, shown]),
        )
        return fields, z, jax.lax.map(lambda frame: model.encode(params, *frame).mean, (u, mask), batch_size=64)

    found = solve(params, u, mask, conditions, jax.random.key(0))
    fields, z, encoded = jax.tree.map(np.asarray, found)
    if test.u_true is not None:
        truth = test.u_true[0, :length]
    else:  # what was observed of it
        truth = np.asarray(u) if mask is None else np.where(mask, u, np.nan)
    if len(dataset.grid) == 3:  # the plane in the middle
        fields, truth = jax.tree.map(lambda a: a[:, :, :, a.shape[3] // 2], (fields, truth))
    # The last channel: of a velocity the component across the stream, which the mean flow leaves clear.
    mean, std, macro, micro = (field[..., -1] for field in fields)
    truth = truth[shown][..., -1]
    lead, snapshots = test.t[0, :length] - test.t[0, 0], min(_NUM_SNAPSHOTS, len(shown))
    files = {}
    if one_axis:
        (x,) = dataset.coordinates
        files["forecast.png"] = plots.forecast_1d(lead, x, truth, mean, std, macro, micro, snapshots)
        files["space_time.png"] = plots.field_1d(lead, x, truth, mean)
    else:
        label = "uvw"[dataset.num_channels - 1] if dataset.num_channels <= 3 else f"channel {dataset.num_channels}"
        arguments = (lead[shown], *dataset.coordinates[:2], truth, mean, macro, micro, std)
        files["forecast.png"] = plots_2d.forecast_2d(*arguments, snapshots, label=label, mask=dataset.solid)
        files["forecast.gif"] = plots_2d.animation_2d(*arguments, label=label, mask=dataset.solid, **_ANIMATION)
    largest, latents = shown_latents(model, encoded)
    files["latents.png"] = plots.latent_paths(
        lead,
        z[..., latents],
        encoded[:, latents],
        labels=[f"ζ {largest}", *(f"η {i}" for i in range(config.model.micro_dim))],
        colors=[plots.MACRO] + [plots.MICRO] * config.model.micro_dim,
    )
    files["error.png"] = plots.error_over_time(np.array(result["lead_time"]["t"]), errors)
    calibration = result["calibration"]
    coverage = {"forecast": np.array(calibration["coverage"], float)}
    files["reliability.png"] = plots_scores.reliability_diagram(calibration["levels"], coverage)
    power = {name.replace("macro", "macroscale part"): np.array(p, float) for name, p in result["spectra"].items()}
    files["spectra.png"] = plots_scores.spectra(power.pop("wavenumber"), power)
    kernels = np.asarray(params["kernel"]), np.asarray(model.filter.init_kernel())
    if len(dataset.grid) == 3:
        kernels = tuple(kernel[..., kernel.shape[-1] // 2] for kernel in kernels)
    kernel = plots.kernel_1d if one_axis else plots_2d.kernel_2d
    files["kernel.png"] = kernel(*kernels, model.config.coarsening)
    files["training.png"] = plots.training_curves(_curves(history))
    paths = {os.path.join(directory, name): content for name, content in files.items()}
    for path, content in paths.items():
        if path.endswith(".gif"):
            plots_2d.save_gif(path, content, _ANIMATION["fps"])
        else:
            content.savefig(path, dpi=120)
    return list(paths)


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


def _curves(history: list[dict[str, float | None]]) -> dict[str, np.ndarray]:
    """Columns of the history; the validation ones only where there was a validation, NaN where one is not defined."""
    validated = [entry for entry in history if "val_crps" in entry]
    columns = {name: [e[name] for e in history] for name in ("step", "loss", "log_likelihood", "drift_residual")}
    columns |= {name: [e[name] for e in validated] for name in ("val_crps", "val_nrmse", "val_reconstruction")}
    columns["val_step"] = [e["step"] for e in validated]
    return {name: np.array(values, float) for name, values in columns.items()}
