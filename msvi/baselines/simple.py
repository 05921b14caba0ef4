"""Forecasts that know no dynamics: the first frame held, and the mean of the training fields."""

import numpy as np

from msvi.baselines.base import Baseline
from msvi.config import Config
from msvi.data.split import Dataset


def fit_persistence(config: Config, dataset: Dataset) -> Baseline:
    """The first observed frame, held."""
    del config, dataset
    return Baseline(lambda t, u0: np.repeat(np.asarray(u0, np.float32)[None], len(t), axis=0), {})


def fit_mean(config: Config, dataset: Dataset) -> Baseline:
    """The mean of the training fields over trajectories and times, whatever the first frame."""
    del config
    each = [np.mean(u, axis=0, dtype=np.float64) for u in dataset.train.u]  # one at a time: they may be large
    mean = np.mean(each, axis=0).astype(np.float32)
    return Baseline(lambda t, u0: np.repeat(mean[None], len(t), axis=0), {})
