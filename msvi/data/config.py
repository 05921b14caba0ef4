"""What a configuration says of the data."""

import dataclasses
from typing import Any

from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.burgers_2d import Burgers2D
from msvi.data.equations.cylinder_2d import Cylinder2D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.equations.shallow_water_2d import ShallowWater2D
from msvi.data.equations.wave_1d import Wave1D
from msvi.errors import InputError, require_at_least
from msvi.types import BOUNDARIES


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Trajectories from a data file; no equation is known."""


EQUATIONS = {
    "burgers_1d": Burgers1D,
    "kdv_1d": KortewegDeVries1D,
    "burgers_2d": Burgers2D,
    "cylinder_2d": Cylinder2D,
    "wave_1d": Wave1D,
    "shallow_water_2d": ShallowWater2D,
    "custom": Recorded,
}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which trajectories to generate and where to keep them, or to read from a file.

    Attributes:
      equation: parameters of the case's equation, grid and initial conditions; none of a data file.
      path: of the data file of the case `custom`, in one of the forms that `msvi.data.formats.layout` describes; or of
        the published flow past a cylinder, NetCDF or VTK image data, empty for the embedded simulation.
      boundary: kind of each axis, `"periodic"` or `"edge"`, of a data file that does not say it, or to overrule it.
      num_train, num_val, num_test: trajectories per split. The flow past a cylinder is a single one, cut by time into
        one to train, one to validate and `num_test` forecasts; of the published file there is one forecast. Of a data
        file 0 divides all that there are (see `msvi.data.recorded`).
      noise_std: standard deviation of the observation noise, in units of `u`; of a data file what is known of it.
      seed: of the initial conditions and the noise, or of the division of a data file; independent of the training
        seed.
      test_seed: of a second set of `num_test` test trajectories, which is scored beside the first; 0 for none.
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
    test_seed: int = 0
    cache_dir: str = "data"

    def __post_init__(self):
        least = 0 if isinstance(self.equation, Recorded) else 1
        require_at_least(self, "data", num_train=least, num_val=least, num_test=least, noise_std=0, seed=0)
        require_at_least(self, "data", test_seed=0)
        if self.test_seed and (isinstance(self.equation, Recorded | Cylinder2D) or self.test_seed == self.seed):
            raise InputError(
                f"`data.test_seed` is for generated trajectories and must not be `data.seed`, got {self.test_seed} "
                f"with {type(self.equation).__name__} and the seed {self.seed}; set it to 0."
            )
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
