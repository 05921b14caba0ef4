"""What 1, 5 and 20 first frames tell a forecast: joined as it joins them, taken in as readings of all points, or as the
posterior of the training joins them.

Forecasts begin at the same frame of each test trajectory and are scored over the same frames after it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from benchmarks.systems.base import judge
from msvi.assimilation.analysis import Analysis
from msvi.library import Model
from msvi.model.multiscale import MultiscaleModel
from msvi.training.build import build_elbo
from msvi.training.state import TrainState
from msvi.training.trained import load_trained, open_run, restore_run
from msvi.types import Array, Params

WINDOWS = (1, 5, 20)
# Frames over which a forecast is scored, how far apart they are looked at by axes of space, and trajectories.
_SCORED, _APART, _MOST = 200, {1: 1, 2: 10}, 16


def window_checks(model: Model, members: int) -> dict[str, Any]:
    """Errors of the test trajectories, by the frames that forecasts begin with and how, and what they say."""
    trained = load_trained(model.workdir)
    run, _ = open_run(model.workdir)
    state = restore_run(run, trained.config, trained.dataset, trained.model)[0]
    test = trained.dataset.test
    truth = test.u if test.u_true is None else test.u_true
    start, apart = max(WINDOWS) - 1, _APART[truth.ndim - 3]
    errors: dict[str, list[float]] = {}
    for i in range(min(len(test.u), _MOST)):
        t = np.asarray(test.t[i])
        ahead = t[start : start + 1 + _SCORED : apart]
        expected = np.asarray(truth[i, start : start + 1 + _SCORED : apart])
        scale = expected.reshape(-1, expected.shape[-1]).std(axis=0)
        for number in WINDOWS:
            first = slice(start + 1 - number, start + 1)
            u = np.asarray(test.u[i, first])
            ways: dict[str, Any] = {}
            if number == 1:
                ways["encoder"] = model.forecast(u[0], ahead, members, noise=False, seed=i)
            else:
                ways["joined"] = model.forecast(u, ahead, members, window=t[first], noise=False, seed=i)
                told = {"initial": u[0], "start": t[first][0], "members": members, "fields": False, "seed": i}
                ways["readings"] = model.forecast(
                    model.assimilate(u[1:], t[first][1:], **told), ahead, noise=False, seed=i
                )
                z0 = posterior_at_end(trained, state, t[first], u, members, jax.random.key(i))
                ways["posterior"] = model.forecast(_as_analysis(z0, t[first]), ahead, noise=False, seed=i)
            for how, forecast in ways.items():
                channels = model.labels.channels or ("u",)
                mean = np.stack([forecast[f"{name}_mean"].values for name in channels], axis=-1).reshape(expected.shape)
                error = np.sqrt(np.mean(((mean - expected) / scale) ** 2))
                errors.setdefault(f"{how}, {number} frames", []).append(float(error))
    return {"errors": errors, "checks": compare(errors)}


def compare(errors: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Checks of the errors of each way, one for each trajectory: that from one frame, and what others are of it, as
    geometric mean over the trajectories."""
    one = np.array(errors["encoder, 1 frames"])
    checks = {f"error from 1 frame, {_SCORED} frames ahead, median": judge(float(np.median(one)), None)}
    for name, values in errors.items():
        if not name.startswith("encoder"):
            ratio = float(np.exp(np.mean(np.log(np.array(values) / one))))
            bar = 1.0 if name.startswith("joined") else None
            checks[f"{name}: error over that from 1 frame"] = judge(ratio, bar)
    return checks


def posterior_at_end(trained, state: TrainState, t: np.ndarray, u: np.ndarray, members: int, key: Array) -> Array:
    """Draws `(member, latent_dim)` of the amortized posterior of a window at its last frame."""
    elbo = build_elbo(trained.config, trained.model)
    model, scales = trained.model.standardised, trained.model.scales
    frames, posterior = jnp.asarray(scales.standardise_data(u)), elbo.posterior
    nodes = jnp.asarray((t - t[0]) / scales.time_unit, jnp.float32)
    return _draw(state.average, frames, nodes, key, posterior, model, members)


@functools.partial(jax.jit, static_argnames=("posterior", "model", "members"))
def _draw(
    average: Params, u: Array, nodes: Array, key: Array, posterior, model: MultiscaleModel, members: int
) -> Array:
    params = average["model"]
    encoded = jax.lax.map(lambda frame: model.encode(params, frame), u)
    marginals = posterior.marginals(average["posterior"], nodes, encoded, nodes[-1:], model.log_q(params))
    last = jax.tree.map(lambda a: a[0], marginals.gaussian)
    return jax.vmap(last.sample)(jax.random.split(key, members))


def _as_analysis(z0: Array, t: np.ndarray) -> Analysis:
    """An ensemble at the last of the times, for a forecast to go on from."""
    latents = ("member", "time", "latent"), np.asarray(z0)[:, None]
    filtered = xr.Dataset({"latents": latents}, {"time": t[-1:]})
    return Analysis(filtered, None, xr.Dataset(), t[0])
