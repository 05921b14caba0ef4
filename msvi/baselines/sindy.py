"""Sparse identification of quadratic dynamics of the POD coefficients, with pysindy."""

import warnings
from typing import NamedTuple

import numpy as np
import scipy

from msvi.baselines import pod
from msvi.baselines.base import Baseline, frame_spacing, select
from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.recipe.measure import field_scales

_RANKS = (3, 5, 8, 12, 16, 20)
_WINDOWS = (7, 21)  # frames of the smoothing filter
_THRESHOLDS = (0.0, 0.05)
_RIDGES = (1e-6, 3e-4, 3e-3, 3e-2)  # times the number of rows, pysindy's `alpha`
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

    Raises:
      InputError: frames that are not equally spaced, too few to smooth, or fields that do not change.
    """
    scales, unit = field_scales(dataset.train), float(np.ptp(dataset.val.t, axis=1).max()) or 1.0
    spacing, max_step = frame_spacing(dataset.train.t) / unit, 1 / _MAX_VAL_FRAMES
    val = pod.val_frames(dataset.val, config.forecast.stride, _MAX_VAL_FRAMES)
    windows = [w for w in _WINDOWS if 2 * w <= dataset.train.u.shape[1]]
    if not windows:
        raise InputError(
            f"`sindy` needs at least {2 * _WINDOWS[0]} frames in a training trajectory to smooth them, got "
            f"{dataset.train.u.shape[1]}; store more frames."
        )
    fitted = {}
    for first in pod.training_parts(dataset):
        basis = pod.fit_basis(dataset.train.u[:, first:], scales)
        fitted[first] = basis, pod.reduce_split(basis, dataset.train.u[:, first:]), pod.reduce_split(basis, val.u)
    problems = {
        (first, rank, window): _least_squares(train.coefficients[..., :rank], window, spacing)
        for first, (basis, train, _) in fitted.items()
        for rank in sorted({min(rank, len(basis.modes)) for rank in _RANKS})
        for window in windows
    }
    candidates = [
        {"first_frame": first, "rank": rank, "window": window, "threshold": threshold, "ridge": ridge}
        for first, rank, window in problems
        for threshold in _THRESHOLDS
        for ridge in _RIDGES
    ]

    def fit(candidate):
        first, rank = candidate["first_frame"], candidate["rank"]
        coefficients = fitted[first][1].coefficients[..., :rank]
        weights = _fit_weights(*problems[first, rank, candidate["window"]], candidate["threshold"], candidate["ridge"])
        scale = coefficients.std(axis=(0, 1))
        return _Dynamics(weights, scale, np.abs(coefficients / scale).max(axis=(0, 1)))

    def error(candidate):
        reduced = fitted[candidate["first_frame"]][2]
        start = reduced.coefficients[:, 0, : candidate["rank"]]
        return pod.mean_nrmse(reduced, _roll_out(fit(candidate), start, val.t / unit, max_step))

    chosen, settings = select(candidates, error)
    basis, dynamics = fitted[chosen["first_frame"]][0], fit(chosen)
    settings |= {"terms": int(np.count_nonzero(dynamics.weights)), "possible_terms": dynamics.weights.size}

    def forecast(t, u0):
        start = pod.encode(basis, u0)[: chosen["rank"]]
        return pod.decode(basis, _roll_out(dynamics, start[None], t[None] / unit, max_step)[0])

    return Baseline(forecast, settings)


def features(x: np.ndarray) -> np.ndarray:
    """`(..., mode)` to `(..., feature)`: 1, the components, and their products, in the order of pysindy's library."""
    i, j = np.triu_indices(x.shape[-1])
    return np.concatenate([np.ones_like(x[..., :1]), x, x[..., i] * x[..., j]], axis=-1)


def _least_squares(coefficients: np.ndarray, window: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Features and derivatives of scaled coefficients `(trajectory, time, mode)`, divided by `sqrt(rows)`.

    Rotated by the features' QR factors, which leaves as many rows as features, and least squares, penalty and threshold
    as they were: a hundred times faster to solve again and again.
    """
    scaled = coefficients / coefficients.std(axis=(0, 1))
    # Half a window at the ends is left out: the filter knows one side only there.
    inside = slice(window // 2, -(window // 2))
    states, rates = (
        scipy.signal.savgol_filter(scaled, window, 3, deriv=order, delta=spacing, axis=1)[:, inside] for order in (0, 1)
    )
    rows = features(states.reshape(-1, states.shape[-1]))
    q, r = np.linalg.qr(rows)
    return r / np.sqrt(len(rows)), q.T @ rates.reshape(len(rows), -1) / np.sqrt(len(rows))


def _fit_weights(rows: np.ndarray, rates: np.ndarray, threshold: float, ridge: float) -> np.ndarray:
    """Weights `(mode, feature)`."""
    with warnings.catch_warnings():
        # Of packages that pysindy imports, and of thresholds that drop everything or do not settle: validation tells.
        warnings.simplefilter("ignore")
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
