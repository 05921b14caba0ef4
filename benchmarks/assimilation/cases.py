"""The systems: how their models are trained, their truths and their sensors."""

import dataclasses

import numpy as np
from scipy import fft

from benchmarks.assimilation import solvers
from benchmarks.assimilation.twin import Twin
from benchmarks.systems.base import data_file, noise_of
from benchmarks.systems.kuramoto_sivashinsky import LYAPUNOV, KuramotoSivashinsky
from benchmarks.systems.learn import case_config, custom_config
from msvi.config import Config
from msvi.data.dataset import load_dataset
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.kdv_1d import KortewegDeVries1D

# Of the sensors, in deviations of the field; of the truths of Kuramoto–Sivashinsky and of what may be, of which no
# training trajectory is one.
_NOISE, _TRUTHS, _STATES = 0.05, 200, 201
_LYAPUNOV_TIMES = 20


def training_config(system: str, data: str, steps: int | None, variant: str, cache: str | None = None) -> Config:
    """The documented configuration with which a system is learned.

    Args:
      data: folder of the data file of Kuramoto–Sivashinsky.
      steps: in place of the default.
      variant: of the configuration, such as `cells`; Kuramoto–Sivashinsky has its latents in cells.
    """
    if system == "kuramoto_sivashinsky":
        path = data_file(KuramotoSivashinsky(), data)
        return custom_config(path, 0, steps, noise_of(path)[0], "cells", system)
    data_changes = {} if cache is None else {"cache_dir": cache}
    return case_config(system, variant, data=data_changes, train={} if steps is None else {"steps": steps})


def make_twin(system: str, config: Config, runs: int) -> Twin:
    """So many truths of a system at most, and its sensors."""
    if system == "kuramoto_sivashinsky":
        return _kuramoto_sivashinsky(runs)
    dataset = load_dataset(config.case, config.data)
    u_true = dataset.test.u if dataset.test.u_true is None else dataset.test.u_true
    truth = np.asarray(u_true[:runs], np.float64)
    t = np.asarray(dataset.test.t[0])
    if system == "cylinder_2d":
        period = shedding_period(np.asarray(dataset.train.t[0]), np.asarray(dataset.train.u[0]))
        return _cylinder(t, truth, np.asarray(dataset.train.u), period)
    equation = config.data.equation
    (x,) = dataset.coordinates
    spacing = x[1] - x[0]
    positions = x[0] + spacing * len(x) * (np.arange(10) + 0.5) / 10
    noise = np.full(10, _NOISE * truth.std())
    if isinstance(equation, Burgers1D):
        solver = solvers.burgers(equation)
    else:
        assert isinstance(equation, KortewegDeVries1D)
        solver = solvers.kdv(equation)
    first = np.asarray(dataset.train.u[:, 0])  # pulses of all sizes, as the truth begins with one
    return Twin(t, truth, first, positions[:, None], np.zeros(10, int), noise, 10, solver)


def _kuramoto_sivashinsky(runs: int) -> Twin:
    """20 Lyapunov times, eight sensors that report once in a unit of time; the start is any state of the attractor."""
    system = KuramotoSivashinsky()
    frames = round(_LYAPUNOV_TIMES / LYAPUNOV[1] / system.dt)
    many = dataclasses.replace(system, sizes=dataclasses.replace(system.sizes, num_train=max(runs, 1)))
    start = many.initial(runs, _TRUTHS)
    truth = np.stack([many.fields(u_hat) for u_hat in many.solve(start, frames, many.steps)], axis=1)[..., None]
    first = many.fields(many.initial(128, _STATES))[..., None]
    positions = system.extent * (np.arange(8) + 0.5) / 8
    noise = np.full(8, _NOISE * truth.std())
    t, solver = system.dt * np.arange(frames), solvers.kuramoto_sivashinsky(system)
    return Twin(t, truth, first, positions[:, None], np.zeros(8, int), noise, 4, solver)


def _cylinder(t: np.ndarray, truth: np.ndarray, train: np.ndarray, period: float) -> Twin:
    """Five sensors of the velocity across the stream in the wake; the start is any frame that was learned from."""
    positions = np.array([[0.3, 0.0], [0.6, 0.1], [0.6, -0.1], [1.0, 0.0], [1.5, 0.1]])
    channels = np.ones(5, int)
    noise = np.full(5, _NOISE * truth[..., 1].std())
    frames = train.reshape(-1, *train.shape[2:])
    first = frames[np.linspace(0, len(frames) - 1, 128).round().astype(int)]
    return Twin(t, truth, first, positions, channels, noise, 10, period=period)


def shedding_period(t: np.ndarray, u: np.ndarray) -> float:
    """Of the flow past a cylinder, from the strongest frequency of the velocity across the stream where it varies most.

    Args:
      t: `(time,)`, evenly spaced.
      u: `(time, *grid, 2)`.
    """
    v = u.reshape(len(t), -1, 2)[..., 1]
    v = v[:, v.std(axis=0).argmax()].astype(float)
    number = 16 * len(v)  # a finer comb of frequencies
    power = np.abs(fft.rfft((v - v.mean()) * np.hanning(len(v)), number)) ** 2
    return float(number * (t[1] - t[0]) / power.argmax())
