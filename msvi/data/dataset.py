"""Observed trajectories with their noise-free truth: which there are, and where they come from."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from msvi.data import store
from msvi.data.burgers_1d import Burgers1D
from msvi.data.burgers_2d import Burgers2D
from msvi.data.cylinder_2d import Cylinder2D
from msvi.data.flow import load_flow
from msvi.data.kdv_1d import KortewegDeVries1D
from msvi.data.recorded import Recorded, load_recorded
from msvi.data.split import SPLITS, Dataset, Split
from msvi.errors import InputError, require_at_least
from msvi.types import BOUNDARIES

EQUATIONS = {
    "burgers_1d": Burgers1D,
    "kdv_1d": KortewegDeVries1D,
    "burgers_2d": Burgers2D,
    "cylinder_2d": Cylinder2D,
    "custom": Recorded,
}

_SIZES = tuple(f"num_{name}" for name in SPLITS)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which trajectories to generate and where to keep them, or to read from a file.

    Attributes:
      equation: parameters of the case's equation, grid and initial conditions; none of a data file.
      path: of the data file of the case `custom`, in one of the forms that `msvi.data.layout` describes; or of the
        published flow past a cylinder, NetCDF or VTK image data, empty for the embedded simulation.
      boundary: kind of each axis, `"periodic"` or `"edge"`, of a data file that does not say it, or to overrule it.
      num_train, num_val, num_test: trajectories per split. The flow past a cylinder is a single one, cut by time into
        one to train, one to validate and `num_test` forecasts; of the published file there is one forecast. Of a data
        file 0 divides all that there are (see `msvi.data.recorded`).
      noise_std: standard deviation of the observation noise, in units of `u`; of a data file what is known of it.
      seed: of the initial conditions and the noise, or of the division of a data file; independent of the training
        seed.
      cache_dir: folder of the generated data sets.
    """

    equation: Any = Burgers1D()
    path: str = ""
    boundary: tuple[str, ...] = ()
    num_train: int = 8
    num_val: int = 4
    num_test: int = 16
    noise_std: float = 1e-3
    seed: int = 0
    cache_dir: str = "data"

    def __post_init__(self):
        least = 0 if isinstance(self.equation, Recorded) else 1
        require_at_least(self, "data", num_train=least, num_val=least, num_test=least, noise_std=0, seed=0)
        unknown = [kind for kind in self.boundary if kind not in BOUNDARIES]
        if unknown:
            raise InputError(f"`data.boundary` must be {' or '.join(BOUNDARIES)} for each axis, got {unknown[0]!r}.")
        if isinstance(self.equation, Recorded):
            return
        if self.boundary:
            raise InputError(f"`data.boundary` is for the case custom, got {self.boundary}; leave it empty.")
        if isinstance(self.equation, Cylinder2D):
            if (self.num_train, self.num_val, self.noise_std) != (1, 1, 0):
                raise InputError(
                    "The flow past a cylinder is one trajectory without noise: `data.num_train` and `data.num_val` "
                    f"must be 1 and `data.noise_std` 0, got {self.num_train}, {self.num_val} and {self.noise_std}."
                )
        elif self.path:
            raise InputError(
                f"`data.path` is for the cases custom and cylinder_2d, got {self.path!r} with "
                f"{type(self.equation).__name__}; leave it empty."
            )


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
        return load_recorded(config.path, config.boundary, *sizes, config.seed)
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
    shapes = {f"{name}_u": (getattr(config, size), *one) for name, size in zip(SPLITS, _SIZES, strict=True)}
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
