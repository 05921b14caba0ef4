"""The periodic line, domain of the one-dimensional equations."""

import dataclasses
from typing import ClassVar

import numpy as np

from msvi.data.equations.base import Equation
from msvi.errors import require_at_least


@dataclasses.dataclass(frozen=True)
class PeriodicLine(Equation):
    """An equation on `[0, extent)`, periodic; all quantities non-dimensional.

    Attributes:
      num_points: grid points on [0, extent); the point at `extent` is the one at 0.
    """

    num_points: int = 1000

    extent: ClassVar[float] = 1.0

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, "data.equation", num_points=3)

    @property
    def boundary(self) -> tuple[str, ...]:
        """Boundary kind of each axis."""
        return ("periodic",)

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return (self.num_points,)

    @property
    def spacing(self) -> float:
        """Distance between grid points."""
        return self.extent / self.num_points

    @property
    def x(self) -> np.ndarray:
        """Grid points, `(num_points,)`."""
        return self.extent * np.arange(self.num_points) / self.num_points

    @property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Grid points of each axis."""
        return (self.x,)
