"""The domain of the one-dimensional equations; what they share with others is tested in `test_equation.py`."""

import numpy as np
import pytest

from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.equations.line import PeriodicLine
from msvi.errors import InputError


@pytest.mark.parametrize(
    ("line", "extent"),
    [
        (PeriodicLine(num_points=50), 1.0),
        (Burgers1D(num_points=50), 1.0),
        (KortewegDeVries1D(num_points=50), 10.0),
    ],
    ids=["line", "burgers_1d", "kdv_1d"],
)
def test_grid(line, extent):
    """The point at `extent` is left out, being the one at 0."""
    assert line.grid == (50,) and line.boundary == ("periodic",) and line.extent == extent
    np.testing.assert_allclose(line.x, line.spacing * np.arange(50), rtol=1e-14)
    assert line.x[-1] + line.spacing == pytest.approx(extent, rel=1e-14)
    (x,) = line.coordinates
    np.testing.assert_array_equal(x, line.x)


@pytest.mark.parametrize("num_points", [2, 0, -5])
def test_too_few_points_are_refused(num_points):
    """Central differences need three."""
    with pytest.raises(InputError, match=rf"`data\.equation\.num_points` must be .* at least 3, got {num_points};"):
        PeriodicLine(num_points=num_points)
