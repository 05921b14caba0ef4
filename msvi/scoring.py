"""Scores of all forecasts of a split, of a model or of a baseline, and their part of the result file."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi import metrics
from msvi.build import build_conditions
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
from msvi.types import Array, Params


class SplitScores(NamedTuple):
    """Scores of every trajectory of a split at the frames that `forecast.stride` leaves.

    Attributes:
      frames: of the forecast, `(trajectory, time)` each.
      noise_floor: relative L2 error of the truth itself against the observation, `(trajectory, time)`; None where the
        truth is not known.
      reconstruction: that of encode–decode of every frame, without dynamics, `(trajectory, time)`; None of a baseline.
      macro_share: share of the variance of one member's field that the macro expert carries, `(trajectory,)`; None of a
        baseline.
      spectra: label -> power of the field at the frames that `thin` leaves, `(trajectory, wavenumber)`; of the truth,
        where it is known and all of it, of one member, and of its macroscale part.
      wavenumber: cycles per unit length, `(wavenumber,)`.
    """

    frames: FrameScores
    noise_floor: np.ndarray | None
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
    conditions, (_, shown) = build_conditions(model, split), shown_frames(split, c.stride)

    @jax.jit
    def score(runs, t, u, u_true, mask, conditions, shown, key):
        path_key, noise_key = jax.random.split(key)
        mask0 = None if mask is None else mask[0]

        def solve(arguments):
            params, key = arguments
            members = c.num_members // num_runs
            z = forecast_latents(
                model, params, t, u[0], key, members, c.steps_per_frame, c.solver, conditions=conditions, mask0=mask0
            )
            return z[:, :: c.stride]

        z = jax.lax.map(solve, (runs, jax.random.split(path_key, num_runs)))
        frames, truth, mask = jax.tree.map(lambda a: a[:: c.stride], (u, u_true, mask))

        def score_one(arguments):
            z, key, *observed = arguments
            keys = jax.random.split(key, num_runs)
            members = jax.vmap(lambda params, z, key: sample_field(model, params, z, key))(runs, z, keys)
            return score_frame(members.reshape(-1, *u.shape[1:]), *observed)

        keys = jax.random.split(noise_key, len(frames))
        scores = jax.lax.map(score_one, (jnp.moveaxis(z, 2, 0), keys, frames, truth, mask))
        reconstruction = jax.lax.map(lambda params: reconstruct(model, params, frames, mask), runs).mean(axis=0)
        first = jax.tree.map(lambda a: a[0], runs)
        parts = jax.lax.map(lambda z: model.decode_parts(first, z), z[0, 0, shown])
        return scores, _noise_floor(frames, truth, mask), metrics.relative_errors(reconstruction, frames, mask), parts

    def one_trajectory(i, t, u, u_true, mask):
        t, key, own = jnp.asarray(t, jnp.float32), jax.random.key(i), jax.tree.map(lambda a: a[i], conditions)
        found = score(runs, t, u, u_true, mask, own, shown[i], key)
        frames, noise_floor, reconstruction, (macro, micro) = jax.device_get(found)
        fields = _truth(u, u_true, mask, c.stride, shown[i]) | {"macro": macro, "forecast": macro + micro}
        share = np.float64(variance_share(macro, macro + micro))
        return SplitScores(frames, noise_floor, reconstruction, share, *_spectra(fields, dataset))

    return _stack([one_trajectory(i, *_trajectory(split, i)) for i in range(len(split.u))])


def score_baseline(
    forecast: Callable[[np.ndarray, np.ndarray], np.ndarray], dataset: Dataset, split: Split, config: Config
) -> SplitScores:
    """The same of a forecast `(t, u0) -> u` `(time, *grid, channel)` without uncertainty."""
    stride, shown = config.forecast.stride, shown_frames(split, config.forecast.stride)[1]

    @jax.jit
    def score(estimate, u, u_true, mask):
        frames = jax.lax.map(lambda frame: score_frame(frame[0][None], *frame[1:]), (estimate, u, u_true, mask))
        return frames, _noise_floor(u, u_true, mask)

    def one_trajectory(i, t, u, u_true, mask):
        estimate = forecast(t, np.asarray(u[0]))[::stride]
        found = jax.device_get(score(estimate, *jax.tree.map(lambda a: a[::stride], (u, u_true, mask))))
        fields = _truth(u, u_true, mask, stride, shown[i]) | {"forecast": estimate[shown[i]]}
        return SplitScores(*found, None, None, *_spectra(fields, dataset))

    return _stack([one_trajectory(i, *_trajectory(split, i)) for i in range(len(split.u))])


def scored_frames(split: Split, stride: int) -> np.ndarray:
    """Which frames, of those that the stride leaves, are the trajectories' own, `(trajectory, time)`."""
    return np.arange(split.t.shape[1])[None, ::stride] < split.lengths[:, None]


def shown_frames(split: Split, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Lead times at which trajectories are compared, `(shown,)`, and the frame of each, `(trajectory, shown)`.

    Where all have frames at the same times, some of these. Elsewhere equally spaced times up to the end of the
    shortest trajectory, and the frame nearest to each. Frames are counted among those that the stride leaves.
    """
    lead, scored = _lead_times(split, stride), scored_frames(split, stride)
    if scored.all() and np.allclose(lead, lead[:1], rtol=1e-6, atol=1e-6 * lead[0, -1]):
        index = thin(lead.shape[1])
        return lead[0, index], np.tile(index, (len(lead), 1))
    end = min(own[chosen][-1] for own, chosen in zip(lead, scored, strict=True))
    common = np.linspace(0, end, len(thin(scored.sum(axis=1).min())))
    distance = np.where(scored[:, :, None], np.abs(lead[:, :, None] - common), np.inf)
    return common, distance.argmin(axis=1)


def pick_frames(values: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Of `values` `(trajectory, time, ...)` those of the frames `shown` `(trajectory, shown)`."""
    return np.stack([own[index] for own, index in zip(values, shown, strict=True)])


def split_totals(scores: SplitScores, split: Split, config: Config) -> dict[str, Any]:
    """The part of the result file that has one value for each trajectory of the split."""
    scored = scored_frames(split, config.forecast.stride)
    totals = total_scores(scores.frames, config.data.noise_std, scored)
    curves = {"reconstruction_nrmse": scores.reconstruction, "noise_floor": scores.noise_floor}
    if scores.macro_share is not None:
        totals["macro_share"] = summarize(scores.macro_share)
    for name, errors in curves.items():
        if errors is not None:
            totals[name] = summarize(np.sqrt(np.mean(errors**2, axis=1, where=scored)))
    return totals


def score_groups(scores: SplitScores, dataset: Dataset, config: Config) -> dict[str, Any]:
    """The parts of the result file that are of the test trajectories, as far as runs and baselines share them."""
    split, stride = dataset.test, config.forecast.stride
    lead, shown = shown_frames(split, stride)
    curves = lead_time_scores(jax.tree.map(lambda values: pick_frames(values, shown), scores.frames), lead)
    for name in ("reconstruction", "noise_floor"):
        if getattr(scores, name) is not None:
            curves[name] = quantiles(pick_frames(getattr(scores, name), shown))
    spectra = {"wavenumber": plain(scores.wavenumber)}
    spectra |= {label: plain(np.mean(power, axis=0)) for label, power in scores.spectra.items()}
    errors = np.where(scored_frames(split, stride), scores.frames.rel_l2, 0)  # what fills an array is no error
    return {
        "test": split_totals(scores, split, config),
        "lead_time": curves,
        "horizon": horizons(errors, _lead_times(split, stride)),
        "spectra": spectra,
    }


def _lead_times(split: Split, stride: int) -> np.ndarray:
    """Time since the first frame, of the frames that the stride leaves, `(trajectory, time)`."""
    return (split.t - split.t[:, :1])[:, ::stride]


def _trajectory(split: Split, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Times, observation, noise-free truth and mask of one trajectory; None where there is none."""
    return split.t[i], split.u[i], None if split.u_true is None else split.u_true[i], split.observed(i)


def _noise_floor(u: Array, u_true: Array | None, mask: Array | None) -> Array | None:
    return None if u_true is None else metrics.relative_errors(u_true, u, mask)


def _truth(
    u: np.ndarray, u_true: np.ndarray | None, mask: np.ndarray | None, stride: int, shown: np.ndarray
) -> dict[str, np.ndarray]:
    """The shown frames of the truth, or of the observation in its place; none where that has gaps."""
    frames = (u if u_true is None else u_true)[::stride][shown]
    whole = u_true is not None or mask is None or mask[::stride][shown].all()
    return {"truth": frames} if whole else {}


def _spectra(fields: dict[str, np.ndarray], dataset: Dataset) -> tuple[dict[str, np.ndarray], np.ndarray]:
    found = {label: power_spectrum(u, dataset.coordinates, dataset.boundary) for label, u in fields.items()}
    return {label: power for label, (_, power) in found.items()}, found["forecast"][0]


def _stack(each: list[SplitScores]) -> SplitScores:
    """Of single trajectories to those of all, in float64; of spectra those that all have."""
    common = set.intersection(*(set(scores.spectra) for scores in each))
    each = [scores._replace(spectra={k: scores.spectra[k] for k in sorted(common)}) for scores in each]
    stacked = jax.tree.map(lambda *values: np.array(values, np.float64), *each)
    return stacked._replace(wavenumber=each[0].wavenumber)
