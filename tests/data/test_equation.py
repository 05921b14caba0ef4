"""What all generated equations share: frame times, step sizes, the solve in float64, draws that must be positive."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from msvi.data.equations.base import Equation, RandomPulse
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.burgers_2d import Burgers2D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.equations.shallow_water_2d import ShallowWater2D
from msvi.data.equations.wave_1d import Wave1D
from msvi.errors import InputError

SMALL = {  # 16 steps per frame
    "burgers_1d": Burgers1D(num_points=50, num_frames=5, max_dt=1 / 64),
    "kdv_1d": KortewegDeVries1D(num_points=50, num_frames=5, max_dt=1 / 64),
    "burgers_2d": Burgers2D(num_points=10, num_frames=5, max_dt=1 / 64, viscosity=4e-2),
    "wave_1d": Wave1D(num_points=50, num_frames=5, max_dt=1 / 64, width_min=0.1, width_max=0.2),
    "shallow_water_2d": ShallowWater2D(num_points=32, num_frames=5, max_dt=1 / 64),
}
# Those that begin with random pulses.
PULSES = [case for case, equation in SMALL.items() if isinstance(equation, RandomPulse)]


@pytest.fixture(params=SMALL)
def equation(request):
    """Each case's equation on few points."""
    return SMALL[request.param]


def test_frame_times(equation):
    """Both ends of the time axis are there."""
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
    equation = Equation(t1=t1, num_frames=num_frames, max_dt=max_dt)
    assert equation.steps_per_frame == steps
    assert equation.dt * steps * (num_frames - 1) == pytest.approx(t1, rel=1e-14)
    assert equation.dt <= max_dt * (1 + 1e-8)


def test_frames_do_not_depend_on_how_many_are_stored(equation):
    """The same steps, each one stored or every 16th: float64 round-off of the step times only."""
    u0 = equation.sample_initial(np.random.default_rng(0))
    few, many = equation.solve(u0), dataclasses.replace(equation, num_frames=65).solve(u0)
    assert few.shape == (5, *equation.grid, 1)
    np.testing.assert_allclose(many[::16], few, rtol=0, atol=1e-13)
    np.testing.assert_allclose(few[0], u0, rtol=0, atol=1e-14)
    assert np.abs(few[1] - u0).max() > 0.01  # the field itself moved


def test_solver_and_draws_are_deterministic(equation):
    """Same seed, same bits; another seed, another field."""
    first, second, other = (equation.solve(equation.sample_initial(np.random.default_rng(s))) for s in (7, 7, 8))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


def test_solution_is_in_float64_and_the_rest_of_jax_is_not(equation):
    """The setting holds for the solve alone."""
    assert equation.solve(equation.sample_initial(np.random.default_rng(0))).dtype == np.float64
    assert jnp.ones(1).dtype == jnp.float32


def test_coordinates_are_those_of_the_grid(equation):
    """One array for each axis, with equal steps of the spacing; of points it starts at 0."""
    assert tuple(len(x) for x in equation.coordinates) == equation.grid and len(equation.boundary) == len(equation.grid)
    start = -equation.half_width + equation.spacing / 2 if isinstance(equation, ShallowWater2D) else 0.0
    for x in equation.coordinates:
        np.testing.assert_allclose(x, start + equation.spacing * np.arange(len(x)), rtol=1e-14, atol=1e-14)


@dataclasses.dataclass(frozen=True)
class Pulse(RandomPulse, Equation):
    """Nothing but the draws."""

    amplitude_mean: float = 2.0
    amplitude_std: float = 0.5
    width_mean: float = 1e-9
    width_std: float = 1.0


def test_width_is_drawn_again_until_positive():
    """`N(0, 1)` is half-normal then: mean sqrt(2 / pi), variance 1 - 2 / pi; the amplitude, drawn once, keeps its own
    distribution and knows nothing of the width. Five standard errors of 4000 draws from one generator."""
    rng = np.random.default_rng(0)
    amplitude, width = np.array([Pulse().draw(rng) for _ in range(4000)]).T
    mean, std = np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)
    assert width.min() > 0
    assert abs(width.mean() - mean) < 5 * std / np.sqrt(4000)
    # The fourth central moment of the half-normal is 3.87 times its squared variance.
    assert abs(width.var() - std**2) < 5 * std**2 * np.sqrt(2.87 / 4000)
    assert abs(amplitude.mean() - 2.0) < 5 * 0.5 / np.sqrt(4000)
    assert abs(amplitude.std() - 0.5) < 5 * 0.5 / np.sqrt(8000)
    assert abs(np.corrcoef(amplitude, width)[0, 1]) < 5 / np.sqrt(4000)


def test_first_positive_draw_is_taken():
    """Where the first width is positive, nothing but amplitude and width is drawn, in this order."""
    reference = np.random.default_rng(0)
    rng, pulse = np.random.default_rng(0), Pulse(width_mean=10.0)
    assert pulse.draw(rng) == (reference.normal(2.0, 0.5), reference.normal(10.0, 1.0))
    assert rng.bit_generator.state == reference.bit_generator.state
    assert Pulse(amplitude_std=0.0, width_mean=3.0, width_std=0.0).draw(rng) == (2.0, 3.0)


@pytest.mark.parametrize("equation", PULSES, indirect=True)
def test_no_field_grows_away_from_its_centre(equation):
    """About half of the first widths are negative here, with which a Gaussian of that width squared would do so."""
    wide = dataclasses.replace(equation, width_mean=1e-6, width_std=0.1)
    largest = abs(wide.amplitude_mean) + 6 * wide.amplitude_std
    for seed in range(40):
        assert np.abs(wide.sample_initial(np.random.default_rng(seed))).max() < largest


SENSELESS = {
    "num_points": [2, 0],
    "num_frames": [1],
    "t1": [0.0, -1.0, float("nan"), float("inf")],
    "max_dt": [0.0, float("nan")],
    "width_mean": [0.0, -1.0],
    "width_std": [-1.0, float("nan")],
    "amplitude_std": [-1.0],
}


@pytest.mark.parametrize(
    ("equation", "name"),
    [(case, name) for case, equation in SMALL.items() for name in SENSELESS if hasattr(equation, name)],
    indirect=["equation"],
)
def test_senseless_parameters_are_refused(equation, name):
    """The message names the parameter, as it is written on the command line, and its value."""
    for value in SENSELESS[name]:
        with pytest.raises(InputError, match=rf"`data\.equation\.{name}` must be .*, got {value};"):
            dataclasses.replace(equation, **{name: value})
