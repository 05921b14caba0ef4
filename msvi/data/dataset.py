"""Observed trajectories with their noise-free truth: which there are, and where they come from."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from msvi.data import store
from msvi.data.config import DataConfig, Recorded
from msvi.data.equations.cylinder_2d import Cylinder2D
from msvi.data.flow import load_flow
from msvi.data.recorded import load_recorded
from msvi.data.split import SPLITS, Dataset, Split
from msvi.errors import InputError

_SIZES = tuple(f"num_{name}" for name in SPLITS)


def load_dataset(case: str, config: DataConfig, place: str = "auto") -> Dataset:
    """The data set of `case`: from its file; or from the cache if it is there, generated and cached if not.

    Args:
      case: name of the equation, a key of `EQUATIONS`.
      config: which trajectories, and where they are kept.
      place: `train.data_on`, which says whether the fields of a data file stay in it; generated ones always do.

    Raises:
      InputError: the file cannot be used, the cached data are damaged or hold other parameters, or the solution is not
        finite.
    """
    equation = config.equation
    if isinstance(equation, Recorded):
        if not config.path:
            raise InputError("`data.path` is empty; give the data file, --config.data.path=FILE.")
        sizes = (getattr(config, size) for size in _SIZES)
        kept = {"place": place, "cache_dir": config.cache_dir}
        return load_recorded(config.path, config.boundary, *sizes, seed=config.seed, **kept)
    if isinstance(equation, Cylinder2D):
        return load_flow(equation, config.path, config.cache_dir, config.num_test)
    parameters: dict[str, Any] = {"equation": dataclasses.asdict(equation)}
    parameters |= {name: getattr(config, name) for name in (*_SIZES, "noise_std", "seed")}
    if config.test_seed:  # else the folders of before are found
        parameters["test_seed"] = config.test_seed
    arrays = store.load(config.cache_dir, case, parameters, _shapes(config), lambda out: _generate(config, out))
    draws: dict[str, list[tuple[float, ...]]] = {}
    for name, _, _, drawn in _each_trajectory(config):
        draws.setdefault(name, []).append(drawn)
    low, high = np.min(draws["train"], axis=0), np.max(draws["train"], axis=0)
    splits = {}
    for name, size in _sizes(config).items():
        t = np.broadcast_to(equation.t, (size, equation.num_frames))
        inside = ((low <= draws[name]) & (draws[name] <= high)).all(axis=1)
        splits[name] = Split(t, arrays[f"{name}_u"], arrays.get(f"{name}_u_true"), inside=inside)
    if equation.published_end is not None:
        frames = int(np.searchsorted(equation.t, equation.published_end * (1 + 1e-9), side="right"))
        splits["published"] = jax.tree.map(lambda a: a[:, :frames] if a.ndim > 1 else a, splits["test"])
    return Dataset(equation.coordinates, equation.boundary, **splits)


def _sizes(config: DataConfig) -> dict[str, int]:
    """Trajectories of each split."""
    sizes = {name: getattr(config, size) for name, size in zip(SPLITS, _SIZES, strict=True)}
    return sizes | ({"second_test": config.num_test} if config.test_seed else {})


def _shapes(config: DataConfig) -> dict[str, tuple[int, ...]]:
    """Arrays to be stored. Only the test splits are compared with the truth, so only their truth is kept."""
    one = (config.equation.num_frames, *config.equation.grid, 1)
    shapes: dict[str, tuple[int, ...]] = {f"{name}_u": (size, *one) for name, size in _sizes(config).items()}
    return shapes | {f"{name}_true": shape for name, shape in shapes.items() if "test" in name}


def _generate(config: DataConfig, out: dict[str, np.ndarray]) -> None:
    """Fills the arrays, a trajectory at a time."""
    equation = config.equation
    for name, index, rng, draws in _each_trajectory(config):
        solution = equation.solve(equation.initial(*draws))
        if not np.isfinite(solution).all():
            raise InputError(
                f"The reference solution of {name.replace('_', ' ')} trajectory {index} is not finite; lower "
                "data.equation.max_dt or the size of the initial condition."
            )
        out[f"{name}_u"][index] = solution + config.noise_std * rng.standard_normal(solution.shape)
        if f"{name}_u_true" in out:
            out[f"{name}_u_true"][index] = solution


def _each_trajectory(config: DataConfig) -> Iterable[tuple[str, int, np.random.Generator, tuple[float, ...]]]:
    """Name of the split, number within it, draws of the initial condition and the generator after them, of every
    trajectory; the second test split is the test split of another seed."""
    numbers = {name: split for split, name in enumerate(SPLITS)}
    for name, size in _sizes(config).items():
        seed = config.seed if name in numbers else config.test_seed
        for index in range(size):
            rng = config.equation.generator(seed, numbers.get(name, numbers["test"]), index)
            draws = config.equation.draw(rng)
            yield name, index, rng, draws
