"""Scores of all forecasts of a split, of a model or of a baseline, and their part of the result file."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi import metrics
from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.forecast import forecast_latents, reconstruct, sample_field
from msvi.model.multiscale import MultiscaleModel
from msvi.scores import (
    FrameScores,
    horizons,
    lead_time_scores,
    plain,
    quantiles,
    score_frame,
    summarize,
    thin,
    total_scores,
)
from msvi.spectra import power_spectrum, variance_share
from msvi.types import Params


class SplitScores(NamedTuple):
    """Scores of every trajectory of a split at the frames that `forecast.stride` leaves.

    Attributes:
      frames: of the forecast, `(trajectory, time)` each.
      noise_floor: relative L2 error of the truth itself against the observation, `(trajectory, time)`.
      reconstruction: that of encode–decode of every frame, without dynamics, `(trajectory, time)`; None of a baseline.
      macro_share: share of the variance of one member's field that the macro expert carries, `(trajectory,)`; None of a
        baseline.
      spectra: label -> power of the field at the frames that `thin` leaves, `(trajectory, wavenumber)`; of the truth,
        of one member, and of its macroscale part.
      wavenumber: cycles per unit length, `(wavenumber,)`.
    """

    frames: FrameScores
    noise_floor: np.ndarray
    reconstruction: np.ndarray | None
    macro_share: np.ndarray | None
    spectra: dict[str, np.ndarray]
    wavenumber: np.ndarray


def score_model(model: MultiscaleModel, runs: Params, dataset: Dataset, split: Split, config: Config) -> SplitScores:
    """Forecasts every trajectory of a split of the data set from its first frame and scores it.

    `num_members` latent paths are solved, decoded and sampled, as many by each run; trajectory `i` uses the random key
    `i`.

    Args:
      runs: parameters of the model, stacked along a first axis `run` that divides the number of members.
    """
    c = config.forecast
    num_runs = len(jax.tree.leaves(runs)[0])

    @jax.jit
    def score(runs, t, u, u_true, key):
        path_key, noise_key = jax.random.split(key)

        def solve(arguments):
            params, key = arguments
            members = c.num_members // num_runs
            z = forecast_latents(model, params, t, u[0], key, members, c.steps_per_frame, c.solver)
            return z[:, :: c.stride]

        z = jax.lax.map(solve, (runs, jax.random.split(path_key, num_runs)))
        frames, truth = u[:: c.stride], u_true[:: c.stride]

        def score_one(arguments):
            z, u, u_true, key = arguments
            keys = jax.random.split(key, num_runs)
            members = jax.vmap(lambda params, z, key: sample_field(model, params, z, key))(runs, z, keys)
            return score_frame(members.reshape(-1, *u.shape), u, u_true)

        keys = jax.random.split(noise_key, len(frames))
        scores = jax.lax.map(score_one, (jnp.moveaxis(z, 2, 0), frames, truth, keys))
        reconstruction = jax.lax.map(lambda params: reconstruct(model, params, frames), runs).mean(axis=0)
        first = jax.tree.map(lambda a: a[0], runs)
        parts = jax.lax.map(lambda z: model.decode_parts(first, z), z[0, 0, thin(len(frames))])
        errors = metrics.relative_errors(truth, frames), metrics.relative_errors(reconstruction, frames)
        return scores, *errors, parts

    def one_trajectory(i, t, u, u_true):
        t, key = jnp.asarray(t, jnp.float32), jax.random.key(i)
        frames, noise_floor, reconstruction, (macro, micro) = jax.device_get(score(runs, t, u, u_true, key))
        fields = {"truth": u_true[:: c.stride][thin(len(noise_floor))], "macro": macro, "forecast": macro + micro}
        wavenumber, spectra = _spectra(fields, dataset)
        share = np.float64(variance_share(macro, macro + micro))
        return SplitScores(frames, noise_floor, reconstruction, share, spectra, wavenumber)

    return _stack([one_trajectory(i, *trajectory) for i, trajectory in enumerate(zip(*split, strict=True))])


def score_baseline(
    forecast: Callable[[np.ndarray, np.ndarray], np.ndarray], dataset: Dataset, split: Split, config: Config
) -> SplitScores:
    """The same of a forecast `(t, u0) -> u` `(time, *grid, channel)` without uncertainty."""
    stride = config.forecast.stride

    @jax.jit
    def score(estimate, u, u_true):
        frames = jax.lax.map(lambda frame: score_frame(frame[0][None], *frame[1:]), (estimate, u, u_true))
        return frames, metrics.relative_errors(u_true, u)

    def one_trajectory(t, u, u_true):
        estimate, u, u_true = forecast(t, np.asarray(u[0]))[::stride], u[::stride], u_true[::stride]
        shown = thin(len(u))
        wavenumber, spectra = _spectra({"truth": u_true[shown], "forecast": estimate[shown]}, dataset)
        return SplitScores(*jax.device_get(score(estimate, u, u_true)), None, None, spectra, wavenumber)

    return _stack([one_trajectory(*trajectory) for trajectory in zip(*split, strict=True)])


def split_totals(scores: SplitScores, config: Config) -> dict[str, Any]:
    """The part of the result file that has one value for each trajectory."""
    totals = total_scores(scores.frames, config.data.noise_std)
    if scores.reconstruction is not None:
        totals["macro_share"] = summarize(scores.macro_share)
        totals["reconstruction_nrmse"] = summarize(np.sqrt(np.mean(scores.reconstruction**2, axis=1)))
    return totals | {"noise_floor": summarize(np.sqrt(np.mean(scores.noise_floor**2, axis=1)))}


def score_groups(scores: SplitScores, dataset: Dataset, config: Config) -> dict[str, Any]:
    """The parts of the result file that are of the test trajectories, as far as runs and baselines share them."""
    lead = (dataset.test.t[0] - dataset.test.t[0, 0])[:: config.forecast.stride]
    curves = lead_time_scores(scores.frames, lead)
    for name in ("reconstruction", "noise_floor"):
        if getattr(scores, name) is not None:
            curves[name] = quantiles(getattr(scores, name)[:, thin(len(lead))])
    spectra = {"wavenumber": plain(scores.wavenumber)}
    spectra |= {label: plain(np.mean(power, axis=0)) for label, power in scores.spectra.items()}
    return {
        "test": split_totals(scores, config),
        "lead_time": curves,
        "horizon": horizons(scores.frames.rel_l2, lead),
        "spectra": spectra,
    }


def _spectra(fields: dict[str, np.ndarray], dataset: Dataset) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    found = {label: power_spectrum(u, dataset.coordinates, dataset.boundary) for label, u in fields.items()}
    return found["truth"][0], {label: power for label, (_, power) in found.items()}


def _stack(each: list[SplitScores]) -> SplitScores:
    """Of single trajectories to those of all, in float64."""
    stacked = jax.tree.map(lambda *values: np.array(values, np.float64), *each)
    return stacked._replace(wavenumber=each[0].wavenumber)
