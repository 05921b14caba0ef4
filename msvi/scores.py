"""From an ensemble forecast and what came to pass to the numbers of a result file."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from msvi import metrics
from msvi.types import Array

# Central intervals whose coverage is counted, and the quantiles that are their ends.
LEVELS = np.arange(1, 20) / 20
PROBABILITIES = np.arange(1, 40) / 40

# Relative L2 errors up to which a forecast counts as good: its horizon is the time until the first larger one.
HORIZON_THRESHOLDS = (0.05, 0.1, 0.2)

# Most lead times for which the result file holds scores and spectra are averaged.
_MAX_LEAD_TIMES = 51


class FrameScores(NamedTuple):
    """Scores of one frame, or of many with leading axes.

    `rel_l2` and `skill` (mean squared error) are of the ensemble's mean, `spread` is its variance (see
    `metrics.spread_and_skill`), `reliability` `(probability,)` the share of points below the quantile of each of
    `PROBABILITIES`. `*_clean` are against the noise-free truth, NaN where it is not known, the others against what was
    observed. Of a forecast without uncertainty `spread` and `reliability` are NaN.
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


def score_frame(members: Array, u: Array, u_true: Array | None = None, mask: Array | None = None) -> FrameScores:
    """Scores of one frame.

    Args:
      members: draws of the observed field, `(member, *grid, channel)`.
      u, u_true: the observation and the noise-free truth, `(*grid, channel)`; None if that is not known.
      mask: where `u` was observed, of its shape; None if everywhere.
    """
    mean = jnp.mean(members, axis=0)
    spread, skill = jnp.nan, jnp.mean((mean - u) ** 2, where=mask)
    reliability = jnp.full(len(PROBABILITIES), jnp.nan)
    if len(members) > 1:
        spread, skill = metrics.spread_and_skill(members, u, mask)
        position = metrics.quantile_position(members, u)
        reliability = jnp.stack([jnp.mean(position < p, where=mask) for p in PROBABILITIES])
    clean = jnp.nan, jnp.nan
    if u_true is not None:
        clean = metrics.relative_errors(mean[None], u_true[None])[0], jnp.mean((mean - u_true) ** 2)
    return FrameScores(
        rel_l2=metrics.relative_errors(mean[None], u[None], None if mask is None else mask[None])[0],
        rel_l2_clean=clean[0],
        vrmse=metrics.vrmse(mean, u, mask),
        crps=metrics.fair_crps(members, u, mask),
        energy_score=metrics.fair_energy_score(members, u, mask),
        spread=spread,
        skill=skill,
        skill_clean=clean[1],
        reliability=reliability,
    )


def thin(num_times: int) -> np.ndarray:
    """Numbers of at most 51 equally spaced frames, the first and the last among them if they can be."""
    stride = -(-(num_times - 1) // (_MAX_LEAD_TIMES - 1)) if num_times > 1 else 1
    return np.arange(0, num_times, stride)


def total_scores(frames: FrameScores, noise_std: float, scored: np.ndarray | bool = True) -> dict[str, Any]:
    """Scores of whole trajectories, summarised over the trajectories.

    Args:
      frames: `(trajectory, time)` each.
      noise_std: standard deviation of the observation noise, which is not part of the spread around the truth.
      scored: the frames to take the means over, `(trajectory, time)`, boolean; True for all.
    """

    def mean(values):
        return np.mean(values, axis=1, where=scored)

    clean = _without_noise(frames.spread, noise_std)
    totals = {
        "nrmse": np.sqrt(mean(frames.rel_l2**2)),
        "nrmse_clean": np.sqrt(mean(frames.rel_l2_clean**2)),
        "rel_l2": mean(frames.rel_l2),
        "rel_l2_clean": mean(frames.rel_l2_clean),
        "vrmse": mean(frames.vrmse),
        "crps": mean(frames.crps),
        "energy_score": mean(frames.energy_score),
    }
    if _has_spread(frames):
        totals["spread_skill"] = _ratio(frames.spread, frames.skill, 1, scored)
        totals["spread_skill_clean"] = _ratio(clean, frames.skill_clean, 1, scored)
        totals["coverage_90"] = mean(_coverage(frames.reliability)[..., _index(0.9)])
    known = _has_truth(frames)
    return {name: summarize(values) for name, values in totals.items() if known or not name.endswith("_clean")}


def lead_time_scores(frames: FrameScores, lead: np.ndarray) -> dict[str, Any]:
    """Scores at single lead times, over the trajectories: median and quantiles, or pooled.

    Args:
      frames: `(trajectory, time)` each.
      lead: time since the frame that the forecast starts from, `(time,)`.
    """
    curves = {"t": plain(lead)}
    for name in ("rel_l2", "vrmse", "crps", "energy_score"):
        curves[name] = quantiles(getattr(frames, name))
    if _has_spread(frames):
        curves["spread_skill"] = plain(_ratio(frames.spread, frames.skill, axis=0))
        curves["coverage_90"] = plain(np.mean(_coverage(frames.reliability)[..., _index(0.9)], axis=0))
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
      rel_l2: `(trajectory, time)`.
      lead: the same, or `(time,)` if all trajectories share it.
    """
    found = {}
    for threshold in HORIZON_THRESHOLDS:
        first = [int(metrics.first_above(errors, threshold)) for errors in rel_l2]
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
    """Mean, median, standard deviation and the values; a value that is not finite is written as null."""
    finite = [float(v) if np.isfinite(v) else None for v in values]
    with np.errstate(invalid="ignore"):
        statistics = {"mean": np.mean(values), "median": np.median(values), "std": np.std(values)}
    return {k: float(v) if np.isfinite(v) else None for k, v in statistics.items()} | {"per_trajectory": finite}


def quantiles(values: np.ndarray) -> dict[str, list[float | None]]:
    """Median, 10 % and 90 % quantile over the trajectories of `(trajectory, time)`."""
    with np.errstate(invalid="ignore"):
        low, median, high = np.quantile(values, (0.1, 0.5, 0.9), axis=0)
    return {"median": plain(median), "q10": plain(low), "q90": plain(high)}


def _has_truth(frames: FrameScores) -> bool:
    """Whether the noise-free truth was known; a forecast that diverged was finite at first."""
    return bool(np.isfinite(frames.rel_l2_clean).any())


def _has_spread(frames: FrameScores) -> bool:
    """Whether the forecast had an ensemble; one that diverged has, so all of its frames are looked at."""
    return bool(np.isfinite(frames.reliability).any())


def _ratio(
    spread: np.ndarray, skill: np.ndarray, axis: int | tuple[int, ...], scored: np.ndarray | bool = True
) -> np.ndarray:
    """Spread–skill ratio: variances are averaged before the root is taken."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.mean(spread, axis, where=scored) / np.mean(skill, axis, where=scored))


def _without_noise(spread: np.ndarray, noise_std: float) -> np.ndarray:
    return np.maximum(spread - noise_std**2, 0)


def _coverage(reliability: np.ndarray) -> np.ndarray:
    """Coverage at `LEVELS`, `(..., level)`, from the shares below the quantiles of `PROBABILITIES`."""
    return reliability[..., 20:] - reliability[..., 18::-1]


def _index(level: float) -> int:
    return int(np.argmin(np.abs(LEVELS - level)))


def plain(values: np.ndarray) -> list[float | None]:
    """Numbers for a result file, null where they are not finite."""
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    """Six digits are more than any of these numbers means; null where it is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
