"""Dynamic mode decomposition of all training trajectories, with PyDMD."""

import warnings
from typing import NamedTuple, cast

import numpy as np

from msvi.baselines import pod
from msvi.baselines.base import Baseline, frame_numbers, frame_spacing, select
from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.recipe.measure import field_scales

_RANKS = (2, 4, 8, 12, 16, 24, 32, 48, 64, 100)
_LAGS = (1, 5, 20, 50)
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

    Raises:
      InputError: frames that are not equally spaced, too few of them, or fields that do not change.
    """
    spacing, scales = frame_spacing(dataset.train.t), field_scales(dataset.train)
    val = pod.val_frames(dataset.val, config.forecast.stride, _MAX_VAL_FRAMES)
    numbers = frame_numbers(val.t, spacing)
    fitted = {}
    for first in pod.training_parts(dataset):
        basis = pod.fit_basis(dataset.train.u[:, first:], scales)
        fitted[first] = basis, pod.reduce_split(basis, dataset.train.u[:, first:]), pod.reduce_split(basis, val.u)
    candidates = [
        {"first_frame": first, "rank": rank, "lag": lag}
        for first, (basis, train, _) in fitted.items()
        for rank in _at_most(_RANKS, len(basis.modes))
        for lag in _at_most(_LAGS, _longest_lag(*train.coefficients.shape[:2]))
    ]
    if not candidates:
        raise InputError(
            f"`dmd` needs at least two pairs of frames to learn from, got {dataset.train.u.shape[1]} frames in "
            f"{len(dataset.train.u)} training trajectories; store more frames."
        )

    def fit(candidate):
        rank, lag = candidate["rank"], candidate["lag"]
        return _fit_map(fitted[candidate["first_frame"]][1].coefficients[..., :rank], lag)

    def error(candidate):
        reduced = fitted[candidate["first_frame"]][2]
        start = reduced.coefficients[:, 0, : candidate["rank"]]
        return pod.mean_nrmse(reduced, _roll_out(fit(candidate), start, numbers))

    chosen, settings = select(candidates, error)
    basis, linear_map = fitted[chosen["first_frame"]][0], fit(chosen)

    def forecast(t, u0):
        start = pod.encode(basis, u0)[: chosen["rank"]]
        return pod.decode(basis, _roll_out(linear_map, start[None], frame_numbers(t, spacing)[None])[0])

    return Baseline(forecast, settings)


def _at_most(values: tuple[int, ...], bound: int) -> list[int]:
    """Those of the values up to the bound, and the bound itself where it cuts some off; none below 1."""
    return sorted({min(value, bound) for value in values} - {0})


def _longest_lag(num_trajectories: int, num_frames: int) -> int:
    """The longest lag that leaves two pairs of frames; 0 if there is none."""
    return max(num_frames - (1 if num_trajectories > 1 else 2), 0)


def _fit_map(coefficients: np.ndarray, lag: int) -> _LinearMap:
    """Decomposes the pairs of frames `lag` apart, of coefficients `(trajectory, time, mode)`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyDMD's plots import; nothing is plotted
        import pydmd

    unit = float(np.sqrt(np.mean(coefficients[..., 0] ** 2)))  # the constant, as large as the others
    states = np.concatenate([coefficients, np.full_like(coefficients[..., :1], unit)], axis=-1)
    before, after = (part.reshape(-1, states.shape[-1]).T for part in (states[:, :-lag], states[:, lag:]))
    with warnings.catch_warnings():
        # Coefficients of the last modes are small by nature, and where they make a poor map, validation tells.
        warnings.filterwarnings("ignore", message="Input data condition number")
        dmd = pydmd.DMD(svd_rank=-1, exact=True).fit(before, after)
    eigenvalues, modes = (cast(np.ndarray, found) for found in (dmd.eigs, dmd.modes))  # None before the fit
    return _LinearMap(eigenvalues.astype(complex), modes, unit, lag)


def _roll_out(linear_map: _LinearMap, start: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Coefficients `(trajectory, time, mode)` from the first ones, `(trajectory, mode)`.

    Args:
      numbers: of the frames, `(trajectory, time)`.
    """
    m = linear_map
    states = np.concatenate([start, np.full_like(start[:, :1], m.unit)], axis=-1)
    amplitudes = states @ np.linalg.pinv(m.modes).T
    with np.errstate(all="ignore"):  # what grows without bound loses
        powers = m.eigenvalues ** (numbers[..., None] / m.lag)
        return ((amplitudes[:, None] * powers) @ m.modes[:-1].T).real
