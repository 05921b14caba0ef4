"""Observed trajectories with their noise-free truth: generation, cache and checks."""

import dataclasses
import hashlib
import json
import os
import tempfile
import zipfile
from typing import Any, NamedTuple

import numpy as np

from msvi.data.burgers_1d import Burgers1D
from msvi.data.kdv_1d import KortewegDeVries1D
from msvi.errors import InputError, require_at_least

EQUATIONS = {"burgers_1d": Burgers1D, "kdv_1d": KortewegDeVries1D}

# Part of the cache key: raise it whenever the same parameters would give other numbers.
_GENERATOR_VERSION = 1


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which trajectories to generate and where to keep them.

    Attributes:
      equation: parameters of the case's equation, grid and initial conditions.
      num_train, num_val, num_test: trajectories per split.
      noise_std: standard deviation of the observation noise, in units of `u`.
      seed: of the initial conditions and the noise; independent of the training seed.
      cache_dir: folder of the generated data sets.
    """

    equation: Any = Burgers1D()
    num_train: int = 8
    num_val: int = 4
    num_test: int = 16
    noise_std: float = 1e-3
    seed: int = 0
    cache_dir: str = "data"

    def __post_init__(self):
        require_at_least(self, "data", num_train=1, num_val=1, num_test=1, noise_std=0, seed=0)


class Split(NamedTuple):
    """Trajectories `(trajectory, time, *grid, channel)` in float32.

    `u` is observed, `u_true` the same without observation noise.
    """

    u: np.ndarray
    u_true: np.ndarray


class Dataset(NamedTuple):
    """Everything the model may learn from, and what it is tested on.

    `t` are the frame times `(time,)`; `x` the grid coordinates, one array per axis; `boundary` the kind of
    each axis; all quantities non-dimensional.
    """

    t: np.ndarray
    x: tuple[np.ndarray, ...]
    boundary: tuple[str, ...]
    train: Split
    val: Split
    test: Split

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return self.train.u.shape[2:-1]

    @property
    def num_channels(self) -> int:
        """Fields per grid point."""
        return self.train.u.shape[-1]


def load_dataset(case: str, config: DataConfig) -> Dataset:
    """The data set of `case`, from the cache if it is there, generated and cached if not.

    The file's name carries a hash of every parameter that the numbers depend on, and the parameters stand
    in the file, so neither a stale nor a foreign file is ever read in its place.

    Args:
      case: name of the equation, a key of `EQUATIONS`.
      config: which trajectories, and where they are kept.

    Raises:
      InputError: the cached file is damaged, holds other parameters, or holds values that are not finite.
    """
    parameters = {
        "case": case,
        "version": _GENERATOR_VERSION,
        "equation": dataclasses.asdict(config.equation),
        **{k: getattr(config, k) for k in ("num_train", "num_val", "num_test", "noise_std", "seed")},
    }
    text = json.dumps(parameters, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = os.path.join(config.cache_dir, f"{case}-{digest}.npz")
    if os.path.exists(path):
        arrays = _read(path, text)
    else:
        arrays = _generate(config)
        _write(path, {"parameters": np.frombuffer(text.encode(), np.uint8), **arrays})
    stop = np.cumsum([config.num_train, config.num_val, config.num_test])
    splits = [Split(arrays["u"][a:b], arrays["u_true"][a:b]) for a, b in zip((0, *stop[:-1]), stop, strict=True)]
    equation = config.equation
    return check_dataset(Dataset(equation.t, (equation.x,), equation.boundary, *splits))


def check_dataset(dataset: Dataset) -> Dataset:
    """Returns `dataset` if a model can be trained on it.

    Raises:
      InputError: a value that is not finite, or times that do not increase.
    """
    for name in ("train", "val", "test"):
        for field, values in getattr(dataset, name)._asdict().items():
            bad = ~np.isfinite(values)
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise InputError(
                    f"Data must be finite, got {values[where]} in {name}.{field} at (trajectory, time, *grid, "
                    f"channel) = {where} and {int(bad.sum())} such values in all; mend or remove these trajectories."
                )
    if not np.all(np.diff(dataset.t) > 0):
        raise InputError("Frame times must increase strictly; sort the frames and drop repeated times.")
    return dataset


def _generate(config: DataConfig) -> dict[str, np.ndarray]:
    """Every trajectory has a generator of its own, so a split's size never changes the others' draws."""
    equation = config.equation
    u_true, u = [], []
    splits = (("train", config.num_train), ("val", config.num_val), ("test", config.num_test))
    for split, (split_name, number) in enumerate(splits):
        for index in range(number):
            rng = np.random.default_rng([config.seed, split, index])
            solution = equation.solve(equation.sample_initial(rng))
            if not np.isfinite(solution).all():
                raise InputError(
                    f"The reference solution of {split_name} trajectory {index} is not finite; lower "
                    "data.equation.max_dt or the size of the initial condition."
                )
            u_true.append(solution.astype(np.float32))
            u.append((solution + config.noise_std * rng.standard_normal(solution.shape)).astype(np.float32))
    return {"u": np.stack(u), "u_true": np.stack(u_true)}


def _read(path: str, expected: str) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("parameters", "u", "u_true")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The cached data set {path} cannot be read ({error}); delete it to generate it anew."
        ) from None
    found = arrays.pop("parameters").tobytes().decode(errors="replace")
    if found != expected:
        raise InputError(
            f"The cached data set {path} holds parameters {found}, expected {expected}; delete it to generate it anew."
        )
    return arrays


def _write(path: str, arrays: dict[str, np.ndarray]) -> None:
    """Writes beside the final place and moves, so that a killed process leaves no half file there."""
    directory = os.path.dirname(path) or "."
    os.makedirs(directory, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
