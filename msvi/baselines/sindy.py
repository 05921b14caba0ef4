"""Sparse identification of quadratic dynamics of the POD coefficients, with pysindy."""

import functools
import warnings
from typing import NamedTuple

import numpy as np
import scipy

from msvi.baselines import pod
from msvi.baselines.base import Baseline, Ladder, limited, search
from msvi.baselines.times import frame_steps
from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.recipe.measure import field_scales

# What may be tried, and what is in any case: rank; frames of the smoothing filter; threshold; ridge penalty times the
# number of rows, pysindy's `alpha`.
_RANKS = (3, 5, 8, 12, 16, 20, 24, 28, 34, 40, 48, 56, 68, 80)
_WINDOWS = (5, 7, 11, 15, 21, 31, 45, 61)
_THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_RIDGES = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
_FIRST_RANKS, _FIRST_WINDOWS = (3, 5, 8, 12, 16, 20), (7, 21)
_FIRST_THRESHOLDS, _FIRST_RIDGES = (0.0, 0.05), (1e-6, 3e-4, 3e-3, 3e-2)
# Rows times squared features of the largest least-squares problem: some ten seconds and a gigabyte.
_MAX_PROBLEM = 1e11
_MAX_VAL_FRAMES = 200


class _Dynamics(NamedTuple):
    """`dx/dt = weights @ features(x)` for `x = a / scale`, `|x| <= bound`."""

    weights: np.ndarray
    scale: np.ndarray
    bound: np.ndarray


def fit_sindy(config: Config, dataset: Dataset) -> Baseline:
    """Quadratic dynamics `dx/dt = c + L x + Q(x, x)` of scaled POD coefficients, by thresholded ridge fits.

    S. L. Brunton, J. L. Proctor, J. N. Kutz, "Discovering governing equations from data by sparse identification of
    nonlinear dynamical systems", PNAS 113, 2016, in the coefficients of a basis common to all training trajectories,
    each over its standard deviation. Coefficients and their derivatives are smoothed by a filter of Savitzky and Golay
    of order 3. The forecast is a solve by the classical method of Runge and Kutta, in which no coefficient gets larger
    than it was in training: quadratic dynamics may run to infinity outside the region that they were fitted to. Chosen
    on the validation trajectories: rank, width of the filter, threshold, ridge penalty, and whether a training
    trajectory much longer than the forecasts is used whole or from its middle on.

    Time is counted in lengths of the longest validation trajectory, so that the threshold means the same in any unit.
    Where frames are not equally spaced the coefficients are interpolated to the mean step; a forecast has any times.

    Raises:
      InputError: too few frames to smooth, or fields that do not change.
    """
    scales, steps = field_scales(dataset.train), frame_steps(dataset.train)
    val = pod.val_frames(dataset.val, config.forecast.stride, _MAX_VAL_FRAMES)
    fitted = {}
    for first in pod.training_parts(dataset):
        basis = pod.fit_basis(dataset.train, scales, first)
        paths = pod.reduce_split(basis, dataset.train, first).even(steps)
        fitted[first] = basis, paths, pod.reduce_split(basis, val)
    unit = max(float(reduced.t.max()) for _, _, reduced in fitted.values()) or 1.0
    max_step = 1 / _MAX_VAL_FRAMES
    longest = max(len(path) for _, paths, _ in fitted.values() for path in paths)
    windows = tuple(w for w in _WINDOWS if 2 * w <= longest)
    if longest < 2 * _FIRST_WINDOWS[0]:
        raise InputError(
            f"`sindy` needs at least {2 * _FIRST_WINDOWS[0]} frames in a training trajectory to smooth them, got "
            f"{longest}; store more frames."
        )
    ladders = {
        "first_frame": Ladder(tuple(fitted), tuple(fitted)),
        "rank": limited(_RANKS, _FIRST_RANKS, (_largest_rank(basis, paths) for basis, paths, _ in fitted.values())),
        "window": Ladder(windows, tuple(w for w in _FIRST_WINDOWS if w in windows)),
        "threshold": Ladder(_THRESHOLDS, _FIRST_THRESHOLDS),
        "ridge": Ladder(_RIDGES, _FIRST_RIDGES),
    }

    @functools.cache
    def problem(first, rank, window):
        return _least_squares([a[:, :rank] for a in fitted[first][1]], window, steps.spacing / unit)

    def fit(candidate):
        first, rank = candidate["first_frame"], candidate["rank"]
        weights = _fit_weights(*problem(first, rank, candidate["window"]), candidate["threshold"], candidate["ridge"])
        coefficients = np.concatenate(fitted[first][1])[:, :rank]
        scale = coefficients.std(axis=0)
        return _Dynamics(weights, scale, np.abs(coefficients / scale).max(axis=0))

    def error(candidate):
        basis, paths, reduced = fitted[candidate["first_frame"]]
        if candidate["rank"] > _largest_rank(basis, paths):
            return None
        start = reduced.coefficients[:, 0, : candidate["rank"]]
        return pod.mean_nrmse(reduced, _roll_out(fit(candidate), start, reduced.t / unit, max_step))

    chosen, settings = search(ladders, error)
    basis, dynamics = fitted[chosen["first_frame"]][0], fit(chosen)
    settings |= {"terms": int(np.count_nonzero(dynamics.weights)), "possible_terms": dynamics.weights.size}

    def forecast(t, u0):
        start = pod.encode(basis, u0)[: chosen["rank"]]
        return pod.decode(basis, _roll_out(dynamics, start[None], (t - t[0])[None] / unit, max_step))

    return Baseline(forecast, settings | steps.settings)


def _largest_rank(basis: pod.Basis, paths: list[np.ndarray]) -> int:
    """The largest rank whose least squares are solved in seconds."""
    rows, rank = sum(map(len, paths)), 1
    while rank < len(basis.modes) and rows * _num_features(rank + 1) ** 2 <= _MAX_PROBLEM:
        rank += 1
    return rank


def _num_features(rank: int) -> int:
    return (rank + 1) * (rank + 2) // 2


def features(x: np.ndarray) -> np.ndarray:
    """`(..., mode)` to `(..., feature)`: 1, the components, and their products, in the order of pysindy's library."""
    i, j = np.triu_indices(x.shape[-1])
    return np.concatenate([np.ones_like(x[..., :1]), x, x[..., i] * x[..., j]], axis=-1)


def _least_squares(paths: list[np.ndarray], window: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Features and derivatives of scaled coefficients, `(time, mode)` of each trajectory, divided by `sqrt(rows)`.

    Rotated by the features' QR factors, which leaves as many rows as features, and least squares, penalty and threshold
    as they were: a hundred times faster to solve again and again. A trajectory too short to smooth is left out.
    """
    scale = np.concatenate(paths).std(axis=0)
    # Half a window at the ends is left out: the filter knows one side only there.
    inside = slice(window // 2, -(window // 2))
    states, rates = (
        np.concatenate(
            [
                scipy.signal.savgol_filter(path / scale, window, 3, deriv=order, delta=spacing, axis=0)[inside]
                for path in paths
                if len(path) >= 2 * window
            ]
        )
        for order in (0, 1)
    )
    rows = features(states)
    # Of both side by side, whose triangular factor holds the derivatives as the orthogonal one would rotate them.
    r = np.linalg.qr(np.concatenate([rows, rates], axis=1), mode="r")[: rows.shape[1]] / np.sqrt(len(rows))
    return r[:, : rows.shape[1]], r[:, rows.shape[1] :]


def _fit_weights(rows: np.ndarray, rates: np.ndarray, threshold: float, ridge: float) -> np.ndarray:
    """Weights `(mode, feature)`."""
    with warnings.catch_warnings():
        # Of packages that pysindy imports, of thresholds that drop everything or do not settle, and of a penalty too
        # small to tell features apart: validation tells.
        warnings.simplefilter("ignore")
        if not threshold:
            # Nothing is dropped, and one factorisation serves all modes.
            gram = rows.T @ rows + ridge * np.eye(rows.shape[1])
            return scipy.linalg.solve(gram, rows.T @ rates, assume_a="pos").T
        import pysindy

        # Without `unbias` the last fit keeps the penalty, and with it what the data do not determine stays small.
        return pysindy.STLSQ(threshold=threshold, alpha=ridge, unbias=False).fit(rows, rates).coef_


def _roll_out(dynamics: _Dynamics, start: np.ndarray, t: np.ndarray, max_step: float) -> np.ndarray:
    """Coefficients `(trajectory, time, mode)` at the times `t` `(trajectory, time)`, from the first ones."""
    weights, bound = dynamics.weights.T, dynamics.bound
    x = start / dynamics.scale
    path = [x]
    for gaps in np.diff(np.asarray(t, np.float64), axis=1).T:
        steps = int(np.ceil(gaps.max() / max_step * (1 - 1e-3)))
        h = gaps[:, None] / steps
        for _ in range(steps):
            k1 = features(x) @ weights
            k2 = features(x + h / 2 * k1) @ weights
            k3 = features(x + h / 2 * k2) @ weights
            k4 = features(x + h * k3) @ weights
            x = np.clip(x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), -bound, bound)
        path.append(x)
    return np.stack(path, axis=1) * dynamics.scale
