"""Waves on domains of any size, and the configuration with which patches of them are learned from."""

import dataclasses

import numpy as np

from benchmarks.systems.learn import custom_config
from msvi.config import Config

# Points per coarse cell and axis, and cells to count in a patch, which is smaller than the smallest domain also with
# those around it that act on them.
COARSENING, _PATCH = 4, 8


def patches_config(path: str, steps: int) -> Config:
    """`configs/custom.py` with the microscale in cells and patches, whose size does not depend on the file."""
    config = custom_config(path, steps=steps, layout="cells")
    model = dataclasses.replace(config.model, coarsening=COARSENING, n_sigma=1, micro_dim=2)
    forecast = dataclasses.replace(config.forecast, num_members=8, stride=4)
    optimization = dataclasses.replace(
        config.train, patch_cells=_PATCH, log_every=steps, eval_every=steps, batch_windows=2
    )
    return dataclasses.replace(config, model=model, train=optimization, forecast=forecast)


def waves(rng: np.random.Generator, points: int, frames: int) -> np.ndarray:
    """`sum a_k cos(k x - |k| t + phase)` with a deviation of one, `(time, *grid)`; lengths are in cells."""
    k = (
        2 * np.pi * np.fft.fftfreq(points, 1 / COARSENING)[:, None],
        2 * np.pi * np.fft.rfftfreq(points, 1 / COARSENING),
    )
    size = np.hypot(*k)
    start = np.fft.rfft2(rng.standard_normal((points, points))) * size * np.exp(-((size / 1.5) ** 2))
    start /= np.fft.irfft2(start).std()
    t = 0.1 * np.arange(frames)
    return np.stack([np.fft.irfft2(start * np.exp(-1j * size * s)) for s in t]).astype(np.float32)
