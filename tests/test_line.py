"""What all equations on a periodic line share: grid, frame times, step sizes, draws that must be positive."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from msvi.data.dataset import EQUATIONS
from msvi.data.line import PeriodicLine, sample_positive
from msvi.errors import InputError

SMALL = {
    name: equation(num_points=50, num_frames=5, max_dt=1 / 64)  # 16 steps per frame
    for name, equation in EQUATIONS.items()
    if issubclass(equation, PeriodicLine)
}


@pytest.fixture(params=SMALL)
def equation(request):
    """Each case's equation on 50 points."""
    return SMALL[request.param]


def test_grid_and_frame_times(equation):
    """The point at `extent` is left out, being the one at 0; both ends of the time axis are there."""
    assert equation.grid == (50,) and equation.boundary == ("periodic",)
    np.testing.assert_allclose(equation.x, equation.spacing * np.arange(50), rtol=1e-14)
    assert equation.x[-1] + equation.spacing == pytest.approx(equation.extent, rel=1e-14)
    np.testing.assert_array_equal(equation.t, [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("t1", "num_frames", "max_dt", "steps"),
    [
        (1.0, 1001, 1e-3, 1),
        (1.0, 1001, 5e-4, 2),
        (1.0, 1001, 4.9e-4, 3),
        (2.1, 2, 0.7, 3),  # 2.1 / 0.7 is above 3 in floating point
        (2.1, 4, 0.7, 1),
        (3.0, 2, 0.7, 5),
        (1e-3, 2, 1.0, 1),
    ],
)
def test_steps_divide_the_frame_spacing(t1, num_frames, max_dt, steps):
    """As few equal steps as stay below `max_dt`, up to the round-off of the division."""
    line = PeriodicLine(t1=t1, num_frames=num_frames, max_dt=max_dt)
    assert line.steps_per_frame == steps
    assert line.dt * steps * (num_frames - 1) == pytest.approx(t1, rel=1e-14)
    assert line.dt <= max_dt * (1 + 1e-8)


def test_frames_do_not_depend_on_how_many_are_stored(equation):
    """The same steps, each one stored or every 16th: float64 round-off of the step times only."""
    u0 = equation.sample_initial(np.random.default_rng(0))
    few, many = equation.solve(u0), dataclasses.replace(equation, num_frames=65).solve(u0)
    assert few.shape == (5, 50, 1)
    np.testing.assert_allclose(many[::16], few, rtol=0, atol=1e-13)
    np.testing.assert_allclose(few[0], u0, rtol=0, atol=1e-14)
    assert np.abs(few[-1] - u0).max() > 0.01  # the field itself moved


def test_solver_and_draws_are_deterministic(equation):
    """Same seed, same bits; another seed, another field."""
    first, second, other = (equation.solve(equation.sample_initial(np.random.default_rng(s))) for s in (7, 7, 8))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


def test_solution_is_in_float64_and_the_rest_of_jax_is_not(equation):
    """The setting holds for the solve alone."""
    assert equation.solve(equation.sample_initial(np.random.default_rng(0))).dtype == np.float64
    assert jnp.ones(1).dtype == jnp.float32


def test_sample_positive():
    """Drawn again until positive, `N(0, 1)` is half-normal: mean sqrt(2 / pi), variance 1 - 2 / pi; five errors."""
    rng = np.random.default_rng(0)
    values = np.array([sample_positive(rng, 0.0, 1.0) for _ in range(4000)])
    mean, std = np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)
    assert values.min() > 0
    assert abs(values.mean() - mean) < 5 * std / np.sqrt(4000)
    # The fourth central moment of the half-normal is 3.87 times its squared variance.
    assert abs(values.var() - std**2) < 5 * std**2 * np.sqrt(2.87 / 4000)


def test_first_positive_draw_is_taken():
    """Where the first draw is positive, nothing else is drawn."""
    rng = np.random.default_rng(0)
    assert sample_positive(rng, 10.0, 1.0) == np.random.default_rng(0).normal(10.0, 1.0)
    assert sample_positive(rng, 3.0, 0.0) == 3.0


def test_width_is_drawn_again_until_positive(equation):
    """About half of the first widths are negative here, with which the Gaussian would grow away from its centre."""
    wide = dataclasses.replace(equation, width_mean=1e-6, width_std=0.1)
    largest = wide.amplitude_mean + 6 * wide.amplitude_std
    for seed in range(40):
        u0 = wide.sample_initial(np.random.default_rng(seed))
        assert 0 < np.abs(u0).max() < largest


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("num_points", [2, 0]),
        ("num_frames", [1]),
        ("t1", [0.0, -1.0, float("nan"), float("inf")]),
        ("max_dt", [0.0, float("nan")]),
        ("width_mean", [0.0, -1.0]),
        ("width_std", [-1.0, float("nan")]),
        ("amplitude_std", [-1.0]),
    ],
)
def test_senseless_parameters_are_refused(equation, name, values):
    """The message names the parameter, as it is written on the command line, and its value."""
    for value in values:
        with pytest.raises(InputError, match=rf"`data\.equation\.{name}` must be .*, got {value};"):
            dataclasses.replace(equation, **{name: value})
