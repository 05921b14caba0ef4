"""Whether the solver's steps are short enough for what is forecast."""

import jax
import jax.numpy as jnp
import numpy as np

from msvi.data.split import Split
from msvi.forecast.config import ForecastConfig
from msvi.forecast.ensemble import mean_path, solver_steps
from msvi.model.multiscale import MultiscaleModel
from msvi.recipe.build import build_conditions
from msvi.scores.scores import thin
from msvi.types import Params

# Trajectories that are looked at.
_FEW = 4


def change_by_halving(model: MultiscaleModel, params: Params, split: Split, config: ForecastConfig) -> float | None:
    """How much forecasts without noise change where the solver takes two steps for one, over how much they err.

    Root mean squares over the first trajectories, over one unit of the model's time at most: later on a chaotic system
    makes much of any change. Their error is that against the truth where it is known. With a method of order `p` the
    error of the steps themselves is `2^p / (2^p - 1)` times the change.

    Returns:
      None if a forecast diverged, or errs nowhere.
    """
    lead = split.t - split.t[:, :1]
    within = (lead[:_FEW] <= model.scales.time_unit).sum(axis=1).min()
    num_frames = int(min(split.lengths[:_FEW].min(), max(2, within)))
    chosen, conditions, unit = thin(num_frames), build_conditions(model, split), model.scales.time_unit
    t = split.t[:_FEW, :num_frames]
    steps = [solver_steps(t, model.scales.spacing, k * config.steps_per_frame) / unit for k in (1, 2)]
    inner = model.standardised

    @jax.jit
    def forecast(t, steps, conditions, u0, mask0):
        z = mean_path(inner, params, t, u0, steps, config.solver, conditions, mask0)
        return jax.lax.map(lambda z: inner.decode(params, z).mean, z[chosen])

    change, error = 0.0, 0.0
    for i in range(len(t)):
        own, mask = jax.tree.map(lambda a, i=i: a[i], conditions), split.observed(i)
        u = model.scales.standardise_data(split.u[i, :num_frames])
        true = u if split.u_true is None else model.scales.standardise_data(split.u_true[i, :num_frames])
        mask0 = None if mask is None else jnp.asarray(mask[0])
        seen = True if mask is None or split.u_true is not None else mask[chosen]
        arguments = own, jnp.asarray(u[0]), mask0
        times = jnp.asarray(t[i] / unit, jnp.float32)
        whole, halved = (np.asarray(forecast(times, jnp.asarray(s[i], jnp.float32), *arguments)) for s in steps)
        with np.errstate(all="ignore"):  # of a forecast that diverged
            change += np.sum((halved - whole) ** 2, dtype=np.float64)
            error += np.sum((whole - true[chosen]) ** 2, where=seen, dtype=np.float64)
    return float(np.sqrt(change / error)) if np.isfinite(change) and np.isfinite(error) and error else None
