"""The figures of an evaluated run: what is computed for them, drawn and written."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msvi import plotting, plotting_2d, plotting_scores
from msvi.config import Config
from msvi.data.split import Dataset
from msvi.forecast import decode_ensemble, decode_ensemble_parts, forecast_latents
from msvi.model.multiscale import MultiscaleModel
from msvi.types import Params

_ANIMATION = {"seconds": 5, "fps": 12}
# Frames of a 2D field that are decoded for pictures and animation.
_NUM_FRAMES = _ANIMATION["seconds"] * _ANIMATION["fps"]


def draw_figures(
    directory: str,
    model: MultiscaleModel,
    params: Params,
    dataset: Dataset,
    config: Config,
    result: Mapping[str, Any],
    errors: Mapping[str, np.ndarray],
    history: list[dict[str, float]],
) -> list[str]:
    """Draws the first test trajectory's forecast, errors, calibration and spectra of all, the filter and the training.

    Args:
      directory: that the files go to.
      result: of the evaluation, with its calibration and spectra.
      errors: label -> relative errors of the test trajectories, `(trajectory, scored frame)`.
      history: of the training.

    Returns:
      Paths of what was written: pictures and, for fields of two dimensions, an animation.
    """
    t, u = jnp.asarray(dataset.test.t[0], jnp.float32), jnp.asarray(dataset.test.u[0])
    one_axis = len(dataset.grid) == 1
    shown = np.arange(len(t)) if one_axis else np.unique(np.linspace(0, len(t) - 1, _NUM_FRAMES).round().astype(int))

    @jax.jit
    def solve(params, u, key):
        path_key, noise_key = jax.random.split(key)
        c = config.forecast
        z = forecast_latents(model, params, t, u[0], path_key, c.num_members, c.steps_per_frame, c.solver)
        fields = (
            *decode_ensemble(model, params, z[:, shown], noise_key),
            *decode_ensemble_parts(model, params, z[:, shown]),
        )
        return fields, z, jax.lax.map(lambda frame: model.encode(params, frame).mean, u, batch_size=64)

    fields, z, encoded = jax.tree.map(np.asarray, solve(params, u, jax.random.key(0)))
    # The last channel: of a velocity the component across the stream, which the mean flow leaves clear.
    mean, std, macro, micro = (field[..., -1] for field in fields)
    truth = dataset.test.u_true[0][shown][..., -1]
    lead = dataset.test.t[0] - dataset.test.t[0, 0]
    files = {}
    if one_axis:
        (x,) = dataset.coordinates
        files["forecast.png"] = plotting.forecast_1d(lead, x, truth, mean, std, macro, micro)
        files["space_time.png"] = plotting.field_1d(lead, x, truth, mean)
    else:
        label = "uvw"[dataset.num_channels - 1]
        arguments = (lead[shown], *dataset.coordinates, truth, mean, macro, micro, std)
        files["forecast.png"] = plotting_2d.forecast_2d(*arguments, label=label, mask=dataset.solid)
        files["forecast.gif"] = plotting_2d.animation_2d(*arguments, label=label, mask=dataset.solid, **_ANIMATION)
    # The macroscale cell that is largest at the start, then all microscale latents.
    cell = int(np.argmax(encoded[0, : model.zeta_dim]))
    latents = [cell, *range(model.zeta_dim, model.latent_dim)]
    files["latents.png"] = plotting.latent_paths(
        lead,
        z[..., latents],
        encoded[:, latents],
        labels=[f"ζ {cell}", *(f"η {i}" for i in range(config.model.micro_dim))],
        colors=[plotting.MACRO] + [plotting.MICRO] * config.model.micro_dim,
    )
    files["error.png"] = plotting.error_over_time(lead[:: config.forecast.stride], errors)
    calibration = result["calibration"]
    coverage = {"forecast": np.array(calibration["coverage"], float)}
    files["reliability.png"] = plotting_scores.reliability_diagram(calibration["levels"], coverage)
    power = {name.replace("macro", "macroscale part"): np.array(p, float) for name, p in result["spectra"].items()}
    files["spectra.png"] = plotting_scores.spectra(power.pop("wavenumber"), power)
    kernels = np.asarray(params["kernel"]), np.asarray(model.filter.init_kernel())
    kernel = plotting.kernel_1d if one_axis else plotting_2d.kernel_2d
    files["kernel.png"] = kernel(*kernels, config.model.coarsening)
    files["training.png"] = plotting.training_curves(_curves(history))
    paths = {os.path.join(directory, name): content for name, content in files.items()}
    for path, content in paths.items():
        if path.endswith(".gif"):
            plotting_2d.save_gif(path, content, _ANIMATION["fps"])
        else:
            content.savefig(path, dpi=120)
    return list(paths)


def _curves(history: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Columns of the history; the validation ones only where there was a validation."""
    validated = [entry for entry in history if "val_nrmse" in entry]
    columns = {name: [e[name] for e in history] for name in ("step", "loss", "log_likelihood", "drift_residual")}
    columns |= {"val_step": [e["step"] for e in validated], "val_nrmse": [e["val_nrmse"] for e in validated]}
    columns["val_reconstruction"] = [e["val_reconstruction"] for e in validated]
    return {name: np.array(values) for name, values in columns.items()}
