"""What the systems share: trajectories and their file, checks with bars, and forecasts of a trained model."""

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from msvi.data.split import SPLITS, Dataset
from msvi.evaluation.evaluate import evaluate_baseline
from msvi.forecast.ensemble import forecast_latents, solver_steps
from msvi.training.trained import TrainedModel
from msvi.types import Array

# Of the arrays in a data file. Raise it whenever the same parameters would give other numbers.
_VERSION = 1

# All that need nothing but a data file.
OWN_BASELINES = ("persistence", "mean", "dmd", "sindy")

# By which a model is worth its training.
SCORES = ("crps_scaled", "anomaly_nrmse")

Bar = float | list[float | None] | None
Check = dict[str, Any]


class Trajectories(NamedTuple):
    """Noise-free fields and how they are observed; all quantities non-dimensional.

    Attributes:
      t: frame times, `(time,)`.
      u: noise-free fields, `(trajectory, time, *grid, channel)`, those to train on first, those to test on last.
      coordinates: grid points of each axis.
      noise: standard deviation of the observation noise of each channel.
      coarsening: full points per coarse cell, where it is known; else None.
    """

    t: np.ndarray
    u: np.ndarray
    coordinates: tuple[np.ndarray, ...]
    noise: tuple[float, ...]
    coarsening: int | None = None


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is generated.

    Attributes:
      num_train, num_val, num_test: trajectories.
      num_frames: of each trajectory.
      seed: of everything drawn.
    """

    num_train: int
    num_val: int
    num_test: int
    num_frames: int
    seed: int = 0

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Trajectories per split."""
        return self.num_train, self.num_val, self.num_test

    @property
    def total(self) -> int:
        """All trajectories."""
        return sum(self.numbers)

    def rng(self, purpose: int) -> np.random.Generator:
        """A generator of its own for each purpose, so that sizes of one do not change the draws of another."""
        return np.random.default_rng([self.seed, purpose])


class System(Protocol):
    """A system to learn: how it is generated, what is known of it, and what a model of it has to get right.

    Attributes:
      name: of its files.
      sizes: how much is generated.
      must_beat: whether losing to a baseline is a failure, or only measured.
    """

    name: str
    sizes: Sizes
    must_beat: bool

    def generate(self) -> Trajectories:
        """The trajectories, from the seed alone."""

    def check_data(self, dataset: Dataset) -> dict[str, Check]:
        """Solver and data against what is exact or known."""

    def check_model(self, trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
        """What the model has to get right.

        Args:
          trained: on the system's file.
          result: of its evaluation.
        """


def judge(value: float | list[float], bar: Bar) -> Check:
    """A measured value beside what it has to be.

    Args:
      value: one number or several, of which all have to be right; one that is not finite is written as None.
      bar: the largest value allowed, or `[least, largest]` where None leaves an end open; None if it is only measured.

    Returns:
      `value`, `bar` and `met`, which is None without a bar.
    """
    values = np.atleast_1d(np.asarray(value, float))
    least, largest = bar if isinstance(bar, list) else (None, bar)
    right = np.isfinite(values)
    if least is not None:
        right &= values >= least
    if largest is not None:
        right &= values <= largest
    written = [float(v) if np.isfinite(v) else None for v in values]
    met = None if bar is None else bool(right.all())
    return {"value": written if np.ndim(value) else written[0], "bar": bar, "met": met}


def data_file(system: System, directory: str) -> str:
    """Path of the system's data file, which is generated if it is not there with the same parameters.

    Files are in the layout of `msvi.data.formats.layout`, with the parameters and the seconds that it took beside it;
    observation noise is drawn here.
    """
    path = os.path.join(directory, f"{system.name}.npz")
    parameters = json.dumps({"version": _VERSION} | dataclasses.asdict(system), sort_keys=True)
    if os.path.exists(path):
        with np.load(path) as file:
            if "parameters" in file and str(file["parameters"]) == parameters:
                return path
    began = time.monotonic()
    found = system.generate()
    truth = found.u.astype(np.float32)
    noise = system.sizes.rng(0).standard_normal(truth.shape, np.float32) * np.float32(found.noise)
    os.makedirs(directory, exist_ok=True)
    temporary = f"{path}.{os.getpid()}.npz"
    known = {} if found.coarsening is None else {"coarsening": np.array(found.coarsening)}
    np.savez(
        temporary,
        u=truth + noise,
        u_true=truth,
        t=found.t,
        boundary=np.array(["periodic"] * len(found.coordinates)),
        split=np.repeat(SPLITS, system.sizes.numbers),
        noise=np.array(found.noise),
        parameters=np.array(parameters),
        seconds=np.array(time.monotonic() - began),
        **known,
        **dict(zip("xyz", found.coordinates, strict=False)),
    )
    os.replace(temporary, path)
    return path


def seconds_of(path: str) -> float:
    """How long it took to generate a file that `data_file` wrote."""
    with np.load(path) as file:
        return float(file["seconds"])


def noise_of(path: str) -> tuple[float, ...]:
    """Standard deviation of each channel's observation noise in a file that `data_file` wrote."""
    with np.load(path) as file:
        return tuple(file["noise"].tolist())


def make_forecast(trained: TrainedModel, t: np.ndarray, members: int) -> Callable[[Array, Array], Array]:
    """A compiled function `(u0, key) -> z` `(member, time, latent_dim)`: forecasts over the times `t` from one frame.

    Args:
      trained: the model, its weights, and the solver's settings.
      t: since the start of the trajectory, in the file's unit, `(time,)`.
      members: of the ensemble.
    """
    model, c = trained.model, trained.config.forecast
    steps = solver_steps(np.asarray(t)[None], model.scales.spacing, c.steps_per_frame)[0]

    @jax.jit
    def forecast(u0, key):
        return forecast_latents(model, trained.params, t, u0, key, members, solver=c.solver, steps=steps)

    return forecast


def ratio_to(result: dict[str, Any], baseline: str, score: str) -> float:
    """The model's median over the test trajectories over that of a baseline; infinite where the model's is not finite.

    Args:
      result: of an evaluation, with `test` and `baselines`.
    """
    ours, theirs = result["test"][score]["median"], result["baselines"][baseline][score]
    if ours is None:
        return float("inf")
    return 0.0 if theirs is None else ours / theirs


def of_baseline(name: str, trained: TrainedModel) -> dict[str, Any]:
    """The result of a baseline on the model's data, of which nothing is kept on disk."""
    with tempfile.TemporaryDirectory() as directory:
        return evaluate_baseline(name, trained.config, directory).result


def beats_over_time(trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
    """For each of the baselines for own data the largest ratio of the model's median error to its, over all lead times
    but the first, at which nothing is forecast.

    Args:
      result: of the model's evaluation, with `lead_time`.
    """
    ours = np.array(result["lead_time"]["rel_l2"]["median"], float)
    checks = {}
    for name in OWN_BASELINES:
        ratios = ours[1:] / np.array(of_baseline(name, trained)["lead_time"]["rel_l2"]["median"], float)[1:]
        checks[f"largest ratio of the error to that of {name}, every lead time"] = judge(float(ratios.max()), 1.0)
    return checks


def beats(result: dict[str, Any], must: bool) -> dict[str, Check]:
    """For each of `SCORES` the largest ratio of the model's to that of a baseline.

    The mean of `M` members that were drawn from the truth errs by a factor of `sqrt(1 + 1 / M)` more than the mean of
    all that may come, where nothing can be told; that much is no loss. The CRPS is the fair one and knows no such
    factor.

    Args:
      result: of an evaluation, with `test`, `baselines` and `config`.
      must: whether a larger ratio is a failure.
    """
    finite = float(np.sqrt(1 + 1 / result["config"]["forecast"]["num_members"]))
    names = [name for name, scores in result["baselines"].items() if "left_out" not in scores]
    return {
        f"largest ratio of {score} to a baseline's": judge(
            max(ratio_to(result, name, score) for name in names),
            None if not must else 1.0 if score == "crps_scaled" else finite,
        )
        for score in SCORES
    }
