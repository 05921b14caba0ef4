"""Dynamic mode decomposition of all training trajectories, with PyDMD."""

import warnings
from typing import NamedTuple, cast

import numpy as np

from msvi.baselines import pod
from msvi.baselines.base import Baseline, Ladder, limited, search
from msvi.baselines.times import frame_steps
from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.recipe.measure import field_scales

_RANKS = (2, 4, 8, 12, 16, 24, 32, 48, 64, 100, 140, 200, 280, 400)
_LAGS = (1, 2, 5, 10, 20, 50, 100, 200, 400, 1000)
# Those that are tried in any case.
_FIRST_RANKS, _FIRST_LAGS = (2, 4, 8, 12, 16, 24, 32, 48, 64, 100), (1, 5, 20, 50)
_MAX_VAL_FRAMES = 200


class _LinearMap(NamedTuple):
    """`b(t + lag) = modes diag(eigenvalues) pinv(modes) b(t)` for the coefficients `b = (a, unit)` of affine states."""

    eigenvalues: np.ndarray
    modes: np.ndarray
    unit: float
    lag: int


def fit_dmd(config: Config, dataset: Dataset) -> Baseline:
    """Affine linear dynamics of the POD coefficients: `a_{k + lag} = A a_k + c`, by least squares over all pairs.

    The modes are common to all training trajectories, and so are `A` and `c`; no pair crosses from one trajectory to
    another. The constant stands beside the coefficients as a component that never changes, so that the method is the
    exact decomposition of P. J. Schmid, "Dynamic mode decomposition of numerical and experimental data", Journal of
    Fluid Mechanics 656, 2010. Frames in between are fractional powers of the eigenvalues. Chosen on the validation
    trajectories: the rank, the lag (noise in the first of two frames damps what pairs close in time seem to do), and
    whether a training trajectory much longer than the forecasts is used whole or from its middle on.

    Where frames are not equally spaced the coefficients are interpolated to the mean step; a forecast has any times.

    Raises:
      InputError: too few frames, or fields that do not change.
    """
    steps, scales = frame_steps(dataset.train), field_scales(dataset.train)
    val = pod.val_frames(dataset.val, config.forecast.stride, _MAX_VAL_FRAMES)
    fitted = {}
    for first in pod.training_parts(dataset):
        basis = pod.fit_basis(dataset.train, scales, first)
        paths = pod.reduce_split(basis, dataset.train, first).even(steps)
        fitted[first] = basis, paths, pod.reduce_split(basis, val)
    # Of each part its own: the ladder may be longer than one of them.
    ranks = {first: len(basis.modes) for first, (basis, _, _) in fitted.items()}
    lags = {first: _longest_lag(paths) for first, (_, paths, _) in fitted.items()}
    ladders = {
        "first_frame": Ladder(tuple(fitted), tuple(fitted)),
        "rank": limited(_RANKS, _FIRST_RANKS, ranks.values()),
        "lag": limited(_LAGS, _FIRST_LAGS, lags.values()),
    }
    if not ladders["lag"].values:
        raise InputError(
            f"`dmd` needs at least two pairs of frames to learn from, got {dataset.train.lengths.max()} frames in "
            f"{len(dataset.train.u)} training trajectories; store more frames."
        )

    def fit(candidate):
        return _fit_map([a[:, : candidate["rank"]] for a in fitted[candidate["first_frame"]][1]], candidate["lag"])

    def error(candidate):
        first = candidate["first_frame"]
        if candidate["rank"] > ranks[first] or candidate["lag"] > lags[first]:
            return None
        reduced = fitted[first][2]
        start = reduced.coefficients[:, 0, : candidate["rank"]]
        return pod.mean_nrmse(reduced, _roll_out(fit(candidate), start, reduced.t / steps.spacing))

    chosen, settings = search(ladders, error)
    basis, linear_map = fitted[chosen["first_frame"]][0], fit(chosen)

    def forecast(t, u0):
        start, numbers = pod.encode(basis, u0)[: chosen["rank"]], (t - t[0]) / steps.spacing
        return pod.decode(basis, _roll_out(linear_map, start[None], numbers[None]))

    return Baseline(forecast, settings | steps.settings)


def _longest_lag(paths: list[np.ndarray]) -> int:
    """The longest lag that leaves two pairs of frames; 0 if there is none."""
    lengths = sorted((len(path) for path in paths), reverse=True)
    return max(lengths[0] - 2, lengths[1] - 1 if len(lengths) > 1 else 0)


def _fit_map(paths: list[np.ndarray], lag: int) -> _LinearMap:
    """Decomposes the pairs of frames `lag` apart, of coefficients `(time, mode)` of each trajectory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyDMD's plots import; nothing is plotted
        import pydmd

    # The constant, as large as the others.
    unit = float(np.sqrt(np.mean(np.concatenate([path[:, 0] for path in paths]) ** 2)))
    states = [np.pad(path, ((0, 0), (0, 1)), constant_values=unit) for path in paths]
    before, after = (np.concatenate(parts).T for parts in ([s[:-lag] for s in states], [s[lag:] for s in states]))
    with warnings.catch_warnings():
        # Coefficients of the last modes are small by nature, and where they make a poor map, validation tells.
        warnings.filterwarnings("ignore", message="Input data condition number")
        dmd = pydmd.DMD(svd_rank=-1, exact=True).fit(before, after)
    eigenvalues, modes = (cast(np.ndarray, found) for found in (dmd.eigs, dmd.modes))  # None before the fit
    return _LinearMap(eigenvalues.astype(complex), modes, unit, lag)


def _roll_out(linear_map: _LinearMap, start: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Coefficients `(trajectory, time, mode)` from the first ones, `(trajectory, mode)`.

    Args:
      numbers: times in steps since the first, whole or not, `(trajectory, time)`.
    """
    m = linear_map
    states = np.concatenate([start, np.full_like(start[:, :1], m.unit)], axis=-1)
    amplitudes = states @ np.linalg.pinv(m.modes).T
    with np.errstate(all="ignore"):  # what grows without bound loses
        powers = m.eigenvalues ** (numbers[..., None] / m.lag)
        return ((amplitudes[:, None] * powers) @ m.modes[:-1].T).real
