"""From an ensemble forecast and what came to pass to the numbers of a result file."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.model.scales import Scales
from msvi.scores import metrics
from msvi.types import Array

# Central intervals whose coverage is counted, and the quantiles that are their ends.
LEVELS = np.arange(1, 20) / 20
PROBABILITIES = np.arange(1, 40) / 40

# Relative L2 errors up to which a forecast counts as good: its horizon is the time until the first larger one.
HORIZON_THRESHOLDS = (0.05, 0.1, 0.2)

# Most lead times for which the result file holds scores and spectra are averaged.
_MAX_LEAD_TIMES = 51


# A forecast further from the data, in their deviations, has left the range of numbers: sums of its squares may not be.
_LARGEST = 1e15
# A channel whose root mean square deviation from the training mean is smaller, in the training deviation, stands still.
_STILL = 1e-6


class CommonUnit(NamedTuple):
    """From standardised fields `v` to one unit of all channels, `v * width + origin`, of order one.

    Attributes:
      width, origin: of each channel, `(channel,)`.
      size: the unit, in that of the data.
      mean: of the training trajectories, standardised, `(channel,)`.
    """

    width: np.ndarray
    origin: np.ndarray
    size: float
    mean: np.ndarray


class FrameScores(NamedTuple):
    """Scores of one frame, or of many with leading axes.

    `rel_l2` and `skill` (mean squared error) are of the ensemble's mean, `spread` is its variance (see
    `metrics.spread_and_skill`), `reliability` `(probability,)` the share of points below the quantile of each of
    `PROBABILITIES`. `*_clean` are against the noise-free truth, NaN where it is not known, the others against what was
    observed. Of a forecast without uncertainty `spread` and `reliability` are NaN, and so are relative errors of a
    frame that is zero. Of a forecast that has left the range of numbers all are infinite.

    Of each channel, `(channel,)`, in its deviation, are means over the grid of what was observed, zero elsewhere:
    `crps_channels`, the CRPS; `spread_channels` and `error_channels`, as `spread` and `skill`; `anomaly_channels`, the
    squared deviation of the observation from the training mean; `observed_channels`, the share that was observed.
    """

    rel_l2: Array
    rel_l2_clean: Array
    vrmse: Array
    crps: Array
    energy_score: Array
    spread: Array
    skill: Array
    skill_clean: Array
    reliability: Array
    crps_channels: Array
    spread_channels: Array
    error_channels: Array
    anomaly_channels: Array
    observed_channels: Array


def common_unit(scales: Scales) -> CommonUnit:
    """The largest channel's mean and deviation together are the unit."""
    mean, std = (np.array(values, np.float64) for values in (scales.field_mean, scales.field_std))
    size = float(np.max(np.abs(mean) + std))
    origin = scales.restore(np.zeros(len(std)))
    width, origin = (v.astype(np.float32) for v in (std / size, origin / size))
    return CommonUnit(width, origin, size, scales.standardise(mean))


def score_frame(
    members: Array, u: Array, u_true: Array | None = None, mask: Array | None = None, unit: CommonUnit | None = None
) -> FrameScores:
    """Scores of one frame.

    Args:
      members: draws of the observed field, standardised, `(member, *grid, channel)`.
      u, u_true: the observation and the noise-free truth, standardised, `(*grid, channel)`; None if that is not known.
      mask: where `u` was observed, of its shape; None if everywhere.
      unit: of the scores over all channels; None for fields that have none, and score as they are.
    """
    num_channels, axes = u.shape[-1], tuple(range(u.ndim - 1))
    zeros = np.zeros(num_channels)
    width, origin, _, mean = CommonUnit(zeros + 1, zeros, 1.0, zeros) if unit is None else unit
    shape = (1,) * len(axes) + (-1,)
    width = jnp.asarray(width).reshape(shape)
    # Counted from what is zero inside: an offset costs no digits.
    scaled, observation = members * width[None], u * width
    truth = None if u_true is None else u_true * width

    def of_channels(values):
        return jnp.mean(values if mask is None else jnp.where(mask, values, 0), axes)

    def relative(reference, mask=None):
        found = metrics.relative_errors(average[None], reference[None], None if mask is None else mask[None], origin)
        return found[0]

    average, crps = scaled.mean(axis=0), metrics.fair_crps_at_points(members, u)
    nan = jnp.asarray(jnp.nan)
    spread, skill = nan, jnp.mean((average - observation) ** 2, where=mask)
    spread_channels, reliability = jnp.full(num_channels, jnp.nan), jnp.full(len(PROBABILITIES), jnp.nan)
    if len(members) > 1:
        spread, skill = metrics.spread_and_skill(scaled, observation, mask)
        spread_channels = of_channels(jnp.var(members, axis=0, ddof=1)) * (len(members) + 1) / len(members)
        position = metrics.quantile_position(members, u)
        reliability = jnp.stack([jnp.mean(position < p, where=mask) for p in PROBABILITIES])
    clean = (nan, nan) if truth is None else (relative(truth), jnp.mean((average - truth) ** 2))
    scores = FrameScores(
        rel_l2=relative(observation, mask),
        rel_l2_clean=clean[0],
        vrmse=metrics.vrmse(members.mean(axis=0), u, mask, np.ones(num_channels)),
        crps=jnp.mean(crps * width, where=mask),
        energy_score=metrics.fair_energy_score(scaled, observation, mask),
        spread=spread,
        skill=skill,
        skill_clean=clean[1],
        reliability=reliability,
        crps_channels=of_channels(crps),
        spread_channels=spread_channels,
        error_channels=of_channels((members.mean(axis=0) - u) ** 2),
        anomaly_channels=of_channels((u - jnp.asarray(mean, u.dtype).reshape(shape)) ** 2),
        observed_channels=of_channels(jnp.ones_like(u)),
    )
    lost = ~jnp.all(jnp.abs(members) < _LARGEST)
    return jax.tree.map(lambda score: jnp.where(lost, jnp.inf, score), scores)


def in_data_units(frames: FrameScores, size: float) -> FrameScores:
    """Scores in units of `size` of the data to those in units of the data, in double precision."""
    frames = jax.tree.map(lambda score: np.asarray(score, np.float64), frames)
    scaled = {name: getattr(frames, name) * size for name in ("crps", "energy_score")}
    return frames._replace(
        **scaled, **{name: getattr(frames, name) * size**2 for name in ("spread", "skill", "skill_clean")}
    )


def thinning(num_times: int) -> int:
    """The least number of which every so many frames are at most 51."""
    return -(-(num_times - 1) // (_MAX_LEAD_TIMES - 1)) if num_times > 1 else 1


def thin(num_times: int) -> np.ndarray:
    """Numbers of at most 51 equally spaced frames, the first and the last among them if they can be."""
    return np.arange(0, num_times, thinning(num_times))


def total_scores(frames: FrameScores, noise_std: float, scored: np.ndarray | bool = True) -> dict[str, Any]:
    """Scores of whole trajectories, summarised over the trajectories.

    Beside the published errors, which are put over the norm of the field, stand two that no offset flatters and in
    which every channel counts alike: `anomaly_nrmse` puts the error over the deviation from the training mean, and
    `crps_scaled` is in units of the deviation (see `channel_scores`; over the channels the root mean square and the
    mean).

    Args:
      frames: `(trajectory, time)` each.
      noise_std: standard deviation of the observation noise, which is not part of the spread around the truth.
      scored: the frames to take the means over, `(trajectory, time)`, boolean; True for all.
    """

    def mean(values):
        return mean_of_defined(values, 1, scored)

    clean, channels = _without_noise(frames.spread, noise_std), channel_scores(frames, scored)
    totals = {
        "nrmse": np.sqrt(mean(frames.rel_l2**2)),
        "nrmse_clean": np.sqrt(mean(frames.rel_l2_clean**2)),
        "rel_l2": mean(frames.rel_l2),
        "rel_l2_clean": mean(frames.rel_l2_clean),
        "vrmse": mean(frames.vrmse),
        "crps": mean(frames.crps),
        "energy_score": mean(frames.energy_score),
        "anomaly_nrmse": np.sqrt(mean_of_defined(channels["anomaly_nrmse"] ** 2, 1)),
        "crps_scaled": mean_of_defined(channels["crps_scaled"], 1),
    }
    if _has_spread(frames):
        totals["spread_skill"] = _ratio(frames.spread, frames.skill, 1, scored)
        totals["spread_skill_clean"] = _ratio(clean, frames.skill_clean, 1, scored)
        totals["coverage_90"] = mean(_coverage(frames.reliability)[..., _index(0.9)])
    lost, known = diverged(frames, scored), _has_truth(frames)
    return {
        name: summarize(np.where(lost, np.inf, values))
        for name, values in totals.items()
        if known or not name.endswith("_clean")
    }


def channel_scores(frames: FrameScores, scored: np.ndarray | bool = True) -> dict[str, np.ndarray]:
    """Scores of each trajectory and channel, `(trajectory, channel)`; NaN of a channel never observed.

    `anomaly_nrmse` is `sqrt(sum_t ||estimate - u||² / sum_t ||u - mean||²)` with the training mean, NaN of a channel
    that stands still there; `crps_scaled` the mean CRPS in units of the channel's deviation; `spread_skill` as over all
    channels, NaN without uncertainty.
    """
    scored = np.broadcast_to(scored, frames.crps.shape)[..., None]
    names = ("crps", "spread", "error", "anomaly", "observed")
    crps, spread, error, anomaly, observed = (
        np.sum(getattr(frames, f"{name}_channels"), axis=1, where=scored, initial=0.0) for name in names
    )
    moves = anomaly > _STILL**2 * observed
    with np.errstate(all="ignore"):
        found = {
            "anomaly_nrmse": np.where(moves, np.sqrt(error / anomaly), np.nan),
            "crps_scaled": np.where(observed > 0, crps / observed, np.nan),
            "spread_skill": np.sqrt(spread / error),
        }
    lost = diverged(frames, scored[..., 0])[:, None]
    return {name: np.where(lost, np.inf, values) for name, values in found.items()}


def diverged(frames: FrameScores, scored: np.ndarray | bool = True) -> np.ndarray:
    """Which forecasts left the range of numbers, `(trajectory,)`."""
    return np.any(np.isinf(frames.crps) & scored, axis=1)


def lead_time_scores(frames: FrameScores, lead: np.ndarray) -> dict[str, Any]:
    """Scores at single lead times, over the trajectories: median and quantiles, or pooled.

    Args:
      frames: `(trajectory, time)` each.
      lead: time since the frame that the forecast starts from, `(time,)`.
    """
    curves: dict[str, Any] = {"t": plain(lead)}
    for name in ("rel_l2", "vrmse", "crps", "energy_score"):
        curves[name] = quantiles(getattr(frames, name))
    if _has_spread(frames):
        curves["spread_skill"] = plain(_ratio(frames.spread, frames.skill, axis=0))
        curves["coverage_90"] = plain(mean_of_defined(_coverage(frames.reliability)[..., _index(0.9)], 0))
    return curves


def calibration(
    frames: FrameScores, num_members: int, noise_std: float, scored: np.ndarray | bool = True
) -> dict[str, Any]:
    """Whether the uncertainty is right, over all trajectories, times and points.

    Coverage of central intervals wider than the ensemble can tell, `(M - 1) / (M + 1)`, is null, and so is what needs
    the noise-free truth where that is not known.

    Args:
      frames, noise_std, scored: as for `total_scores`.
      num_members: `M`.
    """
    reliability = np.mean(frames.reliability, axis=(0, 1), where=np.asarray(scored)[..., None])
    coverage = _coverage(reliability)
    clean = _ratio(_without_noise(frames.spread, noise_std), frames.skill_clean, (0, 1), scored)
    return {
        "levels": plain(LEVELS),
        "coverage": plain(np.where((num_members - 1) / (num_members + 1) >= LEVELS, coverage, np.nan)),
        "probabilities": plain(PROBABILITIES),
        "reliability": plain(reliability),
        "spread_skill": _number(_ratio(frames.spread, frames.skill, (0, 1), scored)),
        "spread_skill_clean": _number(clean),
        "coverage_90": _number(coverage[_index(0.9)]),
    }


def horizons(rel_l2: np.ndarray, lead: np.ndarray) -> dict[str, Any]:
    """For each of `HORIZON_THRESHOLDS` the lead time of the first frame with a larger relative L2 error.

    A trajectory without one is null and counted as censored; it counts as longer than all others in the median, which
    is null where it falls on such trajectories.

    Args:
      rel_l2: `(trajectory, time)`; what is not defined exceeds nothing.
      lead: the same, or `(time,)` if all trajectories share it.
    """
    found = {}
    for threshold in HORIZON_THRESHOLDS:
        first = [int(metrics.first_above(errors, threshold)) for errors in np.nan_to_num(rel_l2, posinf=np.inf)]
        times = np.array(
            [np.append(own, np.inf)[i] for own, i in zip(np.broadcast_to(lead, rel_l2.shape), first, strict=True)]
        )
        with np.errstate(invalid="ignore"):  # the mean of two censored ones
            median = np.median(times)
        found[f"{threshold:g}"] = {
            "median": _number(median),
            "censored": int(np.isinf(times).sum()),
            "per_trajectory": plain(times),
        }
    return found


def summarize(values: np.ndarray) -> dict[str, Any]:
    """Mean, median, standard deviation and the values; one that is not finite is written as null.

    One that is not defined, NaN, is left out of the statistics; one that is infinite, of a forecast that diverged,
    makes those null that it takes part in.
    """
    finite = [float(v) if np.isfinite(v) else None for v in values]
    defined = values[~np.isnan(values)]
    if not len(defined):
        return {"mean": None, "median": None, "std": None, "per_trajectory": finite}
    with np.errstate(invalid="ignore"):
        statistics = {"mean": np.mean(defined), "median": np.median(defined), "std": np.std(defined)}
    return {k: float(v) if np.isfinite(v) else None for k, v in statistics.items()} | {"per_trajectory": finite}


def quantiles(values: np.ndarray) -> dict[str, list[float | None]]:
    """Median, 10 % and 90 % quantile over the trajectories of `(trajectory, time)`, of those that are defined."""
    known = ~np.isnan(values).all(axis=0)
    found = np.full((3, values.shape[1]), np.nan)
    with np.errstate(invalid="ignore"):
        found[:, known] = np.nanquantile(values[:, known], (0.1, 0.5, 0.9), axis=0)
    low, median, high = found
    return {"median": plain(median), "q10": plain(low), "q90": plain(high)}


def mean_of_defined(values: np.ndarray, axis: int, where: np.ndarray | bool = True) -> np.ndarray:
    """The mean over an axis of what is no NaN; NaN where there is nothing."""
    where = ~np.isnan(values) & where
    return np.where(where.any(axis), np.sum(values, axis, where=where) / np.maximum(where.sum(axis), 1), np.nan)


def _has_truth(frames: FrameScores) -> bool:
    """Whether the noise-free truth was known; a forecast that diverged was finite at first."""
    return bool(np.isfinite(frames.rel_l2_clean).any())


def _has_spread(frames: FrameScores) -> bool:
    """Whether the forecast had an ensemble; one that diverged has, so all of its frames are looked at."""
    return bool(np.isfinite(frames.reliability).any())


def _ratio(
    spread: Array | np.ndarray,
    skill: Array | np.ndarray,
    axis: int | tuple[int, ...],
    scored: np.ndarray | bool = True,
) -> np.ndarray:
    """Spread–skill ratio: variances are averaged before the root is taken."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.mean(spread, axis, where=scored) / np.mean(skill, axis, where=scored))


def _without_noise(spread: Array | np.ndarray, noise_std: float) -> np.ndarray:
    return np.maximum(spread - noise_std**2, 0)


def _coverage(reliability: Array | np.ndarray) -> np.ndarray:
    """Coverage at `LEVELS`, `(..., level)`, from the shares below the quantiles of `PROBABILITIES`."""
    above, below = reliability[..., 20:], reliability[..., 18::-1]
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(above), np.inf, above - below)  # infinite of a forecast that diverged


def _index(level: float) -> int:
    return int(np.argmin(np.abs(LEVELS - level)))


def plain(values: Iterable[float] | np.ndarray) -> list[float | None]:
    """Numbers for a result file, null where they are not finite."""
    return [_number(value) for value in values]


def _number(value: float | np.ndarray) -> float | None:
    """Six digits are more than any of these numbers means; null where it is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
