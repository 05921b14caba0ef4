"""The square with open or held edges, domain of two of the two-dimensional equations."""

import dataclasses

import numpy as np

from msvi.data.equations.base import Equation


@dataclasses.dataclass(frozen=True)
class Square(Equation):
    """An equation on a square with as many points along both axes; all quantities non-dimensional.

    Attributes:
      num_points: grid points per axis.
    """

    num_points: int = 128

    @property
    def boundary(self) -> tuple[str, ...]:
        """Boundary kind of each axis."""
        return ("edge", "edge")

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return (self.num_points, self.num_points)

    @property
    def x(self) -> np.ndarray:
        """Grid points along either axis, `(num_points,)`."""
        raise NotImplementedError

    @property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Grid points of each axis."""
        return (self.x, self.x)
