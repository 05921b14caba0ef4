"""The solver against the exact solution, and the draws of widths."""

import numpy as np
import pytest

from msvi.data.config import DataConfig
from msvi.data.dataset import load_dataset
from msvi.data.equations.wave_1d import Wave1D
from msvi.errors import InputError


def exact(equation, width):
    """`exp(-(d / w)²)`, `d` the distance around the circle from `x = t`, `(time, point)`."""
    distance = (equation.x - equation.t[:, None] + 0.5) % 1.0 - 0.5
    return np.exp(-((distance / width) ** 2))


@pytest.mark.parametrize("num_points", [1000, 999])
def test_pulse_moves_at_speed_one(num_points):
    """Also between the points and around the circle; measured 1e-15 of a height of 1, for the narrowest pulse."""
    equation = Wave1D(num_points=num_points, num_frames=8)  # seventh parts of the circle, off the points
    u = equation.solve(equation.initial(0.01))[..., 0]
    np.testing.assert_allclose(u, exact(equation, 0.01), rtol=0, atol=1e-13)
    np.testing.assert_allclose(u[-1], u[0], rtol=0, atol=1e-13)


def test_highest_mode_stands_in_phase_with_the_points():
    """The mode of alternating signs has no speed of its own: moved by half a turn it is its mirror image."""
    equation = Wave1D(num_points=8, num_frames=9, width_min=0.1, width_max=0.2)
    u = equation.solve(((-1.0) ** np.arange(8))[:, None])[..., 0]
    np.testing.assert_allclose(u[1], -u[0], atol=1e-13)


def test_widths_are_uniform():
    """Mean and deviation of 400 draws within five standard errors, all within the range."""
    rng = np.random.default_rng(0)
    widths = np.array([Wave1D().draw(rng)[0] for _ in range(400)])
    assert widths.min() >= 0.01 and widths.max() <= 0.02
    assert abs(widths.mean() - 0.015) < 5 * 0.01 / np.sqrt(12 * 400)
    assert abs(widths.std() - 0.01 / np.sqrt(12)) < 5 * 0.01 / np.sqrt(12) * np.sqrt(0.2 / 400)


def test_published_errors_are_of_a_fifth_of_the_time(tmp_path):
    """Beside the test trajectories stands what the paper scores: the same up to t = 0.2, the last frame included."""
    equation = Wave1D(num_points=50, num_frames=101)
    dataset = load_dataset("wave_1d", DataConfig(equation, num_train=2, num_val=1, num_test=3, cache_dir=str(tmp_path)))
    assert dataset.published is not None
    assert dataset.published.t.shape == (3, 21) and dataset.published.t[0, -1] == pytest.approx(0.2)
    np.testing.assert_array_equal(dataset.published.u, dataset.test.u[:, :21])
    assert dataset.published.u_true is not None and dataset.published.u_true.shape == dataset.published.u.shape


@pytest.mark.parametrize("value", [0.0, -0.01, float("nan")])
def test_senseless_widths_are_refused(value):
    """Each end by its name, and ends in the wrong order."""
    with pytest.raises(InputError, match=f"`data.equation.width_min` must be positive and finite, got {value};"):
        Wave1D(width_min=value)
    with pytest.raises(InputError, match="`data.equation.width_max` must be at least `width_min`, 0.03, got 0.02;"):
        Wave1D(width_min=0.03)
