"""Observed trajectories with their noise-free truth: which there are, and where they come from."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from msvi.data import store
from msvi.data.config import DataConfig, Recorded
from msvi.data.equations.cylinder_2d import Cylinder2D
from msvi.data.flow import load_flow
from msvi.data.recorded import load_recorded
from msvi.data.split import SPLITS, Dataset, Split
from msvi.errors import InputError

_SIZES = tuple(f"num_{name}" for name in SPLITS)


def load_dataset(case: str, config: DataConfig) -> Dataset:
    """The data set of `case`: from its file; or from the cache if it is there, generated and cached if not.

    Args:
      case: name of the equation, a key of `EQUATIONS`.
      config: which trajectories, and where they are kept.

    Raises:
      InputError: the file cannot be used, the cached data are damaged or hold other parameters, or the solution is not
        finite.
    """
    equation = config.equation
    if isinstance(equation, Recorded):
        if not config.path:
            raise InputError("`data.path` is empty; give the data file, --config.data.path=FILE.")
        sizes = (getattr(config, size) for size in _SIZES)
        return load_recorded(config.path, config.boundary, *sizes, seed=config.seed)
    if isinstance(equation, Cylinder2D):
        return load_flow(equation, config.path, config.cache_dir, config.num_test)
    parameters = {"equation": dataclasses.asdict(equation)}
    parameters |= {name: getattr(config, name) for name in (*_SIZES, "noise_std", "seed")}
    arrays = store.load(config.cache_dir, case, parameters, _shapes(config), lambda out: _generate(config, out))
    splits = []
    for name, size in zip(SPLITS, _SIZES, strict=True):
        t = np.broadcast_to(equation.t, (getattr(config, size), equation.num_frames))
        splits.append(Split(t, arrays[f"{name}_u"], arrays.get(f"{name}_u_true")))
    return Dataset(equation.coordinates, equation.boundary, *splits)


def _shapes(config: DataConfig) -> dict[str, tuple[int, ...]]:
    """Arrays to be stored. Only the test split is compared with the truth, so only its truth is kept."""
    one = (config.equation.num_frames, *config.equation.grid, 1)
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}_u": (getattr(config, size), *one) for name, size in zip(SPLITS, _SIZES, strict=True)
    }
    return shapes | {"test_u_true": shapes["test_u"]}


def _generate(config: DataConfig, out: dict[str, np.ndarray]) -> None:
    """Fills the arrays, a trajectory at a time.

    Every trajectory has a generator of its own, so a split's size never changes the others' draws.
    """
    equation = config.equation
    for split, split_name, index in _each_trajectory(config):
        rng = np.random.default_rng([config.seed, split, index])
        solution = equation.solve(equation.sample_initial(rng))
        if not np.isfinite(solution).all():
            raise InputError(
                f"The reference solution of {split_name} trajectory {index} is not finite; lower "
                "data.equation.max_dt or the size of the initial condition."
            )
        out[f"{split_name}_u"][index] = solution + config.noise_std * rng.standard_normal(solution.shape)
        if f"{split_name}_u_true" in out:
            out[f"{split_name}_u_true"][index] = solution


def _each_trajectory(config: DataConfig) -> Iterable[tuple[int, str, int]]:
    """Number and name of the split, and number within it, of every trajectory."""
    for split, (name, size) in enumerate(zip(SPLITS, _SIZES, strict=True)):
        for index in range(getattr(config, size)):
            yield split, name, index
