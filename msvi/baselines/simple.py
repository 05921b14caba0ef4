"""Forecasts that know no dynamics: the first frame held, and the mean of the training fields."""

import numpy as np

from msvi.baselines.base import Baseline
from msvi.config import Config
from msvi.data.split import Dataset


def fit_persistence(config: Config, dataset: Dataset) -> Baseline:
    """The first observed frame, held."""
    del config, dataset
    return Baseline(lambda t, u0: _hold(u0, t), {})


def fit_mean(config: Config, dataset: Dataset) -> Baseline:
    """The mean of the training fields over trajectories and times, whatever the first frame.

    At a point it is over what was observed there, and where nothing was that of the whole channel.
    """
    del config
    total, count = np.zeros((2, *dataset.train.u.shape[2:]))
    for i, u in enumerate(dataset.train.u):  # one at a time: they may be large
        observed = dataset.train.observed(i)
        total += np.sum(u, axis=0, dtype=np.float64, where=True if observed is None else observed)
        count += len(u) if observed is None else observed.sum(axis=0)
    grid = tuple(range(total.ndim - 1))
    of_channel = total.sum(axis=grid) / np.maximum(count.sum(axis=grid), 1)
    mean = np.where(count > 0, total / np.maximum(count, 1), of_channel).astype(np.float32)
    return Baseline(lambda t, u0: _hold(mean, t), {})


def _hold(u: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The field at all times, of one member: `(1, time, *grid, channel)`."""
    return np.repeat(np.asarray(u, np.float32)[None], len(t), axis=0)[None]
