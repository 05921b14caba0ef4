"""Scores of all forecasts of a split, of a model or of a baseline, and their part of the result file."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.forecast.config import ForecastConfig
from msvi.forecast.ensemble import forecast_latents, map_with_noise, reconstruct, sample_field, solver_steps
from msvi.model.condition import Conditions
from msvi.model.gaps import fill_gaps
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales
from msvi.recipe.build import build_conditions
from msvi.recipe.measure import field_scales
from msvi.scores import metrics
from msvi.scores.scores import (
    CommonUnit,
    FrameScores,
    channel_scores,
    common_unit,
    diverged,
    horizons,
    in_data_units,
    lead_time_scores,
    mean_of_defined,
    plain,
    quantiles,
    score_frame,
    summarize,
    thin,
    total_scores,
)
from msvi.scores.spectra import power_spectrum, variance_share
from msvi.types import Array, Params


class SplitScores(NamedTuple):
    """Scores of every trajectory of a split at the frames that `forecast.stride` leaves.

    Attributes:
      frames: of the forecast, `(trajectory, time)` each.
      noise_floor: relative L2 error of the truth itself against the observation, `(trajectory, time)`; None where the
        truth is not known.
      reconstruction: that of encode–decode of every frame, without dynamics, `(trajectory, time)`; None of a baseline.
      macro_share: share of the variance of one member's field that the macro expert carries, channels in units of their
        deviation, `(trajectory,)`; None of a baseline.
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


class _Observed(NamedTuple):
    """One trajectory, standardised: `u`, `u_true` and `mask` are `(time, *grid, channel)`, the last two may be None."""

    u: np.ndarray
    u_true: np.ndarray | None
    mask: np.ndarray | None

    def every(self, stride: int) -> "_Observed":
        """Every so many frames."""
        return jax.tree.map(lambda a: a[::stride], self)


def score_model(
    model: MultiscaleModel,
    runs: Params,
    dataset: Dataset,
    split: Split,
    config: Config,
    ended: Callable[[], None] = lambda: None,
) -> SplitScores:
    """Forecasts every trajectory of a split of the data set from its first frame and scores it.

    `num_members` latent paths are solved, decoded and sampled, as many by each run; trajectory `i` uses the random key
    `i`. All is done in the model's own units, in which nothing leaves the range of numbers that the data do not.

    Args:
      runs: parameters of the model, stacked along a first axis `run` that divides the number of members.
      ended: called after each trajectory.
    """
    c, inner, unit = config.forecast, model.standardised, common_unit(model.scales)
    conditions, (_, shown) = build_conditions(model, split), shown_frames(split, c.stride)
    steps = solver_steps(split.t, model.scales.spacing, c.steps_per_frame)
    t, steps = (jnp.asarray(times / model.scales.time_unit, jnp.float32) for times in (split.t, steps))

    def one_trajectory(i):
        observed, own = _observed(split, i, model.scales), jax.tree.map(lambda a: a[i], conditions)
        trajectory = t[i], steps[i], observed, own, shown[i], jax.random.key(i)
        found = _score_forecast(runs, *trajectory, unit, model=inner, config=c)
        frames, noise_floor, reconstruction, (macro, micro) = jax.device_get(found)
        fields = _truth(observed, c.stride, shown[i]) | {"macro": macro, "forecast": macro + micro}
        with np.errstate(all="ignore"):  # of a forecast that diverged
            share = np.asarray(variance_share(macro, macro + micro), np.float64)
        spectra = _spectra(fields, dataset, model.scales)
        return SplitScores(in_data_units(frames, unit.size), noise_floor, reconstruction, share, *spectra)

    return _each_trajectory(one_trajectory, len(split.u), ended)


@functools.partial(jax.jit, static_argnames=("model", "config"))
def _score_forecast(
    runs: Params,
    t: Array,
    steps: Array,
    observed: _Observed,
    conditions: Conditions,
    shown: Array,
    key: Array,
    unit: CommonUnit,
    *,
    model: MultiscaleModel,
    config: ForecastConfig,
) -> tuple[FrameScores, Array | None, Array, tuple[Array, Array]]:
    """Scores of a forecast of one trajectory, noise floor, reconstruction, and macroscale and microscale parts.

    A function of its own, so that splits of the same length are one program.
    """
    num_runs = len(jax.tree.leaves(runs)[0])
    path_key, noise_key = jax.random.split(key)
    u0, mask0 = observed.u[0], None if observed.mask is None else observed.mask[0]

    def solve(arguments):
        params, key = arguments
        members, solver = config.num_members // num_runs, config.solver
        return forecast_latents(
            model, params, t, u0, key, members, solver=solver, conditions=conditions, mask0=mask0, steps=steps
        )[:, :: config.stride]

    z = jax.lax.map(solve, (runs, jax.random.split(path_key, num_runs)))
    frames = observed.every(config.stride)

    def score_one(noise, arguments):
        z, frame = arguments
        members = jax.vmap(functools.partial(sample_field, model))(runs, z, noise)
        return score_frame(members.reshape(-1, *frame.u.shape), *frame, unit=unit)

    keys = jax.vmap(lambda key: jax.random.split(key, num_runs))(jax.random.split(noise_key, len(frames.u)))
    shape = (config.num_members // num_runs, *frames.u.shape[1:])
    scores = map_with_noise(score_one, keys, shape, (jnp.moveaxis(z, 2, 0), frames))
    u, mask = jax.tree.map(jnp.asarray, (frames.u, frames.mask))
    decoded = jax.lax.map(lambda params: reconstruct(model, params, u, mask), runs)
    reconstruction, first = decoded.mean(axis=0), jax.tree.map(lambda a: a[0], runs)
    parts = jax.lax.map(lambda z: model.decode_parts(first, z), z[0, 0, shown])
    return scores, _noise_floor(frames, unit), _relative(reconstruction, frames, unit), parts


def score_baseline(
    forecast: Callable[[np.ndarray, np.ndarray], np.ndarray],
    dataset: Dataset,
    split: Split,
    config: Config,
    scales: Scales | None = None,
    ended: Callable[[], None] = lambda: None,
) -> SplitScores:
    """The same of a forecast `(t, u0) -> u` `(member, time, *grid, channel)`, in the units of the data.

    One member is a forecast without uncertainty: its CRPS is its mean absolute error. It is asked for the frames of
    each trajectory alone, and in the gaps of a first frame sees what `msvi.model.gaps` fills them with.

    Args:
      scales: of the training trajectories, if they are known already.
      ended: called after each trajectory.
    """
    scales = field_scales(dataset.train) if scales is None else scales
    stride, shown, unit = config.forecast.stride, shown_frames(split, config.forecast.stride)[1], common_unit(scales)

    def one_trajectory(i):
        observed = _observed(split, i, scales)
        u0 = np.asarray(split.u[i, 0])
        if observed.mask is not None and not observed.mask[0].all():
            u0 = scales.restore(np.asarray(fill_gaps(observed.u[0], observed.mask[0], dataset.boundary)))
        members = scales.standardise_data(forecast(split.t[i, : split.lengths[i]], u0))
        filled = [(0, 0), (0, len(observed.u) - members.shape[1]), *((0, 0),) * (members.ndim - 2)]
        members = np.pad(members, filled)[:, ::stride]
        frames, noise_floor = jax.device_get(_score_members(members, observed.every(stride), unit))
        fields = _truth(observed, stride, shown[i]) | {"forecast": members[0, shown[i]]}
        spectra = _spectra(fields, dataset, scales)
        return SplitScores(in_data_units(frames, unit.size), noise_floor, None, None, *spectra)

    return _each_trajectory(one_trajectory, len(split.u), ended)


@jax.jit
def _score_members(members: Array, observed: _Observed, unit: CommonUnit) -> tuple[FrameScores, Array | None]:
    of_frames = jnp.moveaxis(members, 1, 0), observed
    frames = jax.lax.map(lambda frame: score_frame(frame[0], *frame[1], unit=unit), of_frames)
    return frames, _noise_floor(observed, unit)


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


def split_totals(scores: SplitScores, split: Split, config: Config, noise_std: float | None = None) -> dict[str, Any]:
    """The part of the result file that has one value for each trajectory of the split.

    Args:
      noise_std: deviation of the observation noise in the members; None for that of the data, of which a model's have
        as much.
    """
    scored = scored_frames(split, config.forecast.stride)
    noise_std = config.data.noise_std if noise_std is None else noise_std
    totals = total_scores(scores.frames, noise_std, scored)
    curves = {"reconstruction_nrmse": scores.reconstruction, "noise_floor": scores.noise_floor}
    if scores.macro_share is not None:
        totals["macro_share"] = summarize(np.where(diverged(scores.frames, scored), np.inf, scores.macro_share))
    for name, errors in curves.items():
        if errors is not None:
            totals[name] = summarize(np.sqrt(mean_of_defined(errors**2, 1, scored)))
    return totals


def score_groups(
    scores: SplitScores, dataset: Dataset, config: Config, scales: Scales, noise_std: float | None = None
) -> dict[str, Any]:
    """The parts of the result file that are of the test trajectories, as far as runs and baselines share them.

    Args:
      scales: of the training trajectories.
      noise_std: as for `split_totals`.
    """
    split, stride = dataset.test, config.forecast.stride
    (lead, shown), scored = shown_frames(split, stride), scored_frames(split, stride)
    curves = lead_time_scores(jax.tree.map(lambda values: pick_frames(values, shown), scores.frames), lead)
    for name in ("reconstruction", "noise_floor"):
        if getattr(scores, name) is not None:
            curves[name] = quantiles(pick_frames(getattr(scores, name), shown))
    spectra = {"wavenumber": plain(scores.wavenumber)}
    spectra |= {label: plain(np.mean(power, axis=0)) for label, power in scores.spectra.items()}
    errors = np.where(scored, scores.frames.rel_l2, 0)  # what fills an array is no error
    medians = {name: quantiles(v)["median"] for name, v in channel_scores(scores.frames, scored).items()}
    return {
        "test": split_totals(scores, split, config, noise_std),
        "diverged": int(diverged(scores.frames, scored).sum()),
        "per_channel": {
            "channel": list(range(dataset.num_channels)),
            "mean": plain(scales.field_mean),
            "std": plain(scales.field_std),
            **medians,
        },
        "lead_time": curves,
        "horizon": horizons(errors, _lead_times(split, stride)),
        "spectra": spectra,
    }


def _lead_times(split: Split, stride: int) -> np.ndarray:
    """Time since the first frame, of the frames that the stride leaves, `(trajectory, time)`."""
    return (split.t - split.t[:, :1])[:, ::stride]


def _observed(split: Split, i: int, scales: Scales) -> _Observed:
    """Observation, noise-free truth and mask of one trajectory."""
    truth = None if split.u_true is None else scales.standardise_data(split.u_true[i])
    return _Observed(scales.standardise_data(split.u[i]), truth, split.observed(i))


def _relative(estimate: Array | np.ndarray, observed: _Observed, unit: CommonUnit) -> Array:
    """Relative errors of standardised fields, `(time,)`, as if they were in one unit."""
    width = jnp.asarray(unit.width).reshape((1,) * (estimate.ndim - 1) + (-1,))
    return metrics.relative_errors(width * estimate, width * observed.u, observed.mask, unit.origin)


def _noise_floor(observed: _Observed, unit: CommonUnit) -> Array | None:
    return None if observed.u_true is None else _relative(observed.u_true, observed, unit)


def _truth(observed: _Observed, stride: int, shown: np.ndarray) -> dict[str, np.ndarray]:
    """The shown frames of the truth, or of the observation in its place; none where that has gaps."""
    u, u_true, mask = observed.every(stride)
    whole = u_true is not None or mask is None or mask[shown].all()
    return {"truth": (u if u_true is None else u_true)[shown]} if whole else {}


def _spectra(
    fields: dict[str, np.ndarray], dataset: Dataset, scales: Scales
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Power of standardised fields in the units of the data; the mean over the grid is no part of it."""
    fields = {label: np.asarray(u, np.float64) * scales.field_std for label, u in fields.items()}
    with np.errstate(all="ignore"):  # of a forecast that diverged
        found = {label: power_spectrum(u, dataset.coordinates, dataset.boundary) for label, u in fields.items()}
    return {label: power for label, (_, power) in found.items()}, found["forecast"][0]


def _each_trajectory(score: Callable[[int], SplitScores], number: int, ended: Callable[[], None]) -> SplitScores:
    found = []
    for i in range(number):
        found.append(score(i))
        ended()
    return _stack(found)


def _stack(each: list[SplitScores]) -> SplitScores:
    """Of single trajectories to those of all, in float64; of spectra those that all have."""
    common = set.intersection(*(set(scores.spectra) for scores in each))
    each = [scores._replace(spectra={k: scores.spectra[k] for k in sorted(common)}) for scores in each]
    stacked = jax.tree.map(lambda *values: np.array(values, np.float64), *each)
    return stacked._replace(wavenumber=each[0].wavenumber)
