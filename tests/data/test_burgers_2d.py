"""The reference solver against exact solutions: steady, decaying, and along the diagonal; and the initial draws."""

import math

import numpy as np
import pytest

from msvi.data.equations.burgers_2d import Burgers2D
from msvi.errors import InputError

SMALL = Burgers2D(num_points=24, num_frames=5, viscosity=2e-2, max_dt=1 / 128)
erf = np.vectorize(math.erf)


def mesh(equation):
    """Both coordinates of every point, `(num_points, num_points)` each."""
    return np.meshgrid(*equation.coordinates, indexing="ij")


def random_field(equation, seed=0):
    """A smooth field without symmetry, not zero at the edges."""
    x, y = mesh(equation)
    a = np.random.default_rng(seed).normal(size=(3, 3))
    field = sum(a[i, j] * np.cos(np.pi * (i * x + 0.3)) * np.cos(np.pi * (j * y + 0.2)) for i, j in np.ndindex(3, 3))
    return 0.5 * (field / np.abs(field).max())[..., None]


def steady(equation, a=1.0):
    """`-a tanh(a (x + y - 1) / 2 nu)`."""
    x, y = mesh(equation)
    return -a * np.tanh(a * (x + y - 1) / (2 * equation.viscosity))


def ridge(s, derivative=True):
    """A Gaussian of the diagonal coordinate `x + y`, or its antiderivative."""
    z = (s - 1.0) / 0.2
    return np.exp(-(z**2)) if derivative else 0.1 * np.sqrt(np.pi) * erf(z)


def cole_hopf(s, t, viscosity):
    """`∫ g exp(-G / 2 nu) dr / ∫ exp(-G / 2 nu) dr`, `G = ∫^r g + (s - r)² / 2t`: 1D Burgers from `g` on the line."""
    r = np.linspace(-1.5, 3.0, 24001)
    exponent = -(ridge(r, derivative=False) + (s[:, None] - r) ** 2 / (2 * t)) / (2 * viscosity)
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return weight @ ridge(r) / weight.sum(axis=1)


def error_on_the_diagonal(equation):
    """Relative error at the end where `x = y`, of a ridge across it.

    The ridge depends on `x + y` alone, so it moves as a 1D wave in the time `2 t`. What the edges hold back reaches the
    diagonal by diffusion only, `exp(-d² / 4 nu t)` of it over a distance `d`: 1e-6 in all at most here, where the ridge
    ends in the far corners and `nu t` is 4e-3 or less.
    """
    x, y = mesh(equation)
    u = equation.solve(ridge(x + y)[..., None])[-1, :, :, 0]
    exact = cole_hopf(2 * equation.coordinates[0], 2 * equation.t1, equation.viscosity)
    inside = slice(1, -1)
    return np.linalg.norm(np.diag(u)[inside] - exact[inside]) / np.linalg.norm(exact[inside])


def slope(spacings, errors):
    """Order of convergence, of log error against log spacing."""
    return np.polyfit(np.log(spacings), np.log(errors), 1)[0]


@pytest.mark.slow
def test_steady_solution_is_kept():
    """From the exact front towards the scheme's own, which is off by the second order: slope of the log error against
    log spacing within 0.1 of 2; at a spacing of 1/32, a sixth of the front's width, below 0.4 % of the height."""
    errors, spacings = [], []
    for n in (17, 25, 33):
        equation = Burgers2D(num_points=n, num_frames=2, t1=2.0, viscosity=0.1, max_dt=2.2 / (n - 1) ** 2)
        exact = steady(equation)
        u = equation.solve(exact[..., None])[-1, ..., 0]
        errors.append(np.abs(u - exact).max())
        spacings.append(equation.spacing)
    assert 1.9 < slope(spacings, errors) < 2.1, errors
    assert errors[-1] < 4e-3, errors


def test_disturbed_front_comes_back():
    """The front's line is held at its two ends in the corners and straightens between them, slowly, like a string in
    honey: `exp(-nu pi² t / 2)` at least, 5e-5 here."""
    equation = Burgers2D(num_points=13, num_frames=2, t1=20.0, viscosity=0.1, max_dt=1.5e-2)
    exact = steady(equation)
    x, y = mesh(equation)
    bump = 0.3 * np.sin(np.pi * x) * np.sin(2 * np.pi * y)
    kept, back = (equation.solve(u0[..., None])[-1] for u0 in (exact, exact + bump))
    np.testing.assert_allclose(back, kept, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kx", "ky"), [(1, 1), (2, 3)])
def test_small_waves_decay_at_their_exact_rate(kx, ky):
    """Sine modes with zero edges: `exp(-nu pi² (kx² + ky²) t)`, for (1, 1) `exp(-2 pi² nu t)`.

    The mode is one of the scheme's too, with the rate `nu ((2 sin(pi kx dx / 2) / dx)² + ...)` for which Heun's factor
    is known: equal to round-off and to the nonlinearity, 1e-9. That rate is below the exact one by less than
    `(pi k dx)² / 12` of it.
    """
    equation = Burgers2D(num_points=33, num_frames=3, t1=0.5, viscosity=0.05, max_dt=2e-3)
    x, y = mesh(equation)
    mode = np.sin(kx * np.pi * x) * np.sin(ky * np.pi * y)
    u = equation.solve(1e-9 * mode[..., None])[..., 0] * 1e9
    dx, nu = equation.spacing, equation.viscosity
    discrete = nu * sum((2 * np.sin(np.pi * k * dx / 2) / dx) ** 2 for k in (kx, ky))
    factor = 1 - equation.dt * discrete + 0.5 * (equation.dt * discrete) ** 2
    for frame in (1, 2):
        np.testing.assert_allclose(u[frame], factor ** (frame * equation.steps_per_frame) * mode, rtol=0, atol=1e-7)
        rate = -np.log((u[frame] * mode).sum() / (mode**2).sum()) / equation.t[frame]
        exact = nu * np.pi**2 * (kx**2 + ky**2)
        assert 1 - (np.pi * max(kx, ky) * dx) ** 2 / 12 - 1e-3 < rate / exact < 1


@pytest.mark.slow
def test_second_order_convergence_of_a_moving_front():
    """Slope of log error against log spacing, step and spacing refined together: 2 within 0.15 on either side."""
    errors, spacings = [], []
    for n in (33, 49, 65):
        equation = Burgers2D(num_points=n, num_frames=2, t1=0.2, viscosity=2e-2, max_dt=0.08 / (n - 1))
        errors.append(error_on_the_diagonal(equation))
        spacings.append(equation.spacing)
    assert 1.85 < slope(spacings, errors) < 2.15, errors


def test_default_resolution_matches_the_exact_solution():
    """Of a front as steep as the defaults make it, 2.5 points wide at t = 0.3: within 5 %."""
    assert error_on_the_diagonal(Burgers2D(num_frames=2, t1=0.3)) < 0.05


def test_edge_values_are_held():
    """To the bit, at every frame; the inside moves."""
    u0 = random_field(SMALL)
    u = SMALL.solve(u0)
    for frame in u:
        for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            np.testing.assert_array_equal(frame[edge], u0[edge])
    assert np.abs(u[-1] - u0).max() > 0.1


def test_axes_are_alike():
    """Exchanging x and y exchanges them in the solution, up to the order of a sum; the field has no such symmetry."""
    u0 = random_field(SMALL)
    u, exchanged = SMALL.solve(u0), SMALL.solve(u0.swapaxes(0, 1))
    np.testing.assert_allclose(exchanged.swapaxes(1, 2), u, rtol=0, atol=1e-13)
    assert np.abs(u[-1] - u[-1].swapaxes(0, 1)).max() > 0.1


def test_reflection():
    """`-u(1 - x, 1 - y)` solves the equation where `u` does: no direction is preferred; round-off."""
    u0 = random_field(SMALL)
    u, reflected = SMALL.solve(u0), SMALL.solve(-u0[::-1, ::-1])
    np.testing.assert_allclose(-reflected[:, ::-1, ::-1], u, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("parameters", "limit"),
    [
        ({"num_points": 33, "viscosity": 5e-2}, 1 / (32**2 * 4 * 5e-2)),  # diffusion, dx² / 4 nu
        ({"num_points": 33, "viscosity": 5e-3}, 5e-3 / 1.5**2),  # advection, nu / u², five deviations above the mean
        ({"num_points": 33, "viscosity": 5e-3, "amplitude_mean": -2.0, "amplitude_std": 0.2}, 5e-3 / 3.0**2),
    ],
)
def test_unstable_steps_are_refused(parameters, limit):
    """The largest stable step passes, 2 % more does not; the message tells it."""
    Burgers2D(**parameters, num_frames=2, t1=0.999 * limit, max_dt=1.0)
    with pytest.raises(InputError, match=f"`data.equation.max_dt` .* on 33 points .* up to {limit:.3g}; lower max_dt"):
        Burgers2D(**parameters, num_frames=2, t1=1.02 * limit, max_dt=1.0)


def test_default_steps_are_stable():
    """The paper's step of 1e-3 on its grid passes, and is less than half of what would."""
    assert Burgers2D().dt == pytest.approx(1e-3, rel=1e-12)
    Burgers2D(num_frames=501, max_dt=2e-3)


@pytest.mark.parametrize("viscosity", [5e-2, 5e-3])
def test_steps_that_pass_are_stable(viscosity):
    """Diffusion or advection at 99 % of the limit: the largest draw, with a checkerboard on it that damping alone can
    take away, stays within its own range but for the ripples of a front that the grid does not resolve."""
    limit = min(1 / (32**2 * 4 * viscosity), viscosity / 1.5**2)
    equation = Burgers2D(num_points=33, num_frames=2, t1=1.0, viscosity=viscosity, max_dt=0.99 * limit)
    x, y = mesh(equation)
    u0 = 1.5 * np.exp(-((x - 0.3) ** 2 + (y - 0.3) ** 2) / 0.04)
    u0[1:-1, 1:-1] += 0.01 * (-1.0) ** np.add.outer(np.arange(31), np.arange(31))
    u = equation.solve(u0[..., None])[-1]
    assert np.isfinite(u).all() and np.abs(u).max() < 1.5


def test_field_that_is_always_zero_is_allowed():
    """No amplitude, no limit from advection."""
    equation = Burgers2D(num_points=9, viscosity=1e-3, amplitude_mean=0.0, amplitude_std=0.0, max_dt=1.0, num_frames=2)
    assert not equation.sample_initial(np.random.default_rng(0)).any()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_senseless_viscosity_is_refused(value):
    """Named with its value; what other equations have too is tested in `test_equation.py`."""
    with pytest.raises(InputError, match=f"`data.equation.viscosity` must be positive and finite, got {value};"):
        Burgers2D(viscosity=value)


def test_grid():
    """Both edges are points of the grid, on both axes."""
    assert SMALL.grid == (24, 24) and SMALL.boundary == ("edge", "edge")
    for x in SMALL.coordinates:
        np.testing.assert_allclose(x, np.arange(24) / 23, rtol=1e-14)
    assert SMALL.spacing == pytest.approx(1 / 23, rel=1e-15)


def test_initial_condition_is_the_formula():
    """Without spread `exp(-((x - 0.3)² + (y - 0.3)²) / 0.2²)`; the width is a length, and squared."""
    equation = Burgers2D(num_points=11, num_frames=2, max_dt=2e-3, amplitude_std=0.0, width_std=0.0)
    u0 = equation.sample_initial(np.random.default_rng(0))[..., 0]
    assert u0.shape == (11, 11)
    assert u0[3, 3] == pytest.approx(1.0, rel=1e-12)
    assert u0[5, 3] == u0[3, 5] == pytest.approx(np.exp(-1), rel=1e-12)
    assert u0[5, 7] == pytest.approx(np.exp(-5), rel=1e-12)


def test_initial_amplitudes_and_widths_follow_their_distributions():
    """Read off at the centre and at 0.2 from it, of 400 draws: means and deviations within five standard errors."""
    equation = Burgers2D(num_points=11, num_frames=2, max_dt=2e-3)
    u0 = np.stack([equation.sample_initial(np.random.default_rng(seed))[..., 0] for seed in range(400)])
    amplitude, width = u0[:, 3, 3], 0.2 / np.sqrt(-np.log(u0[:, 5, 3] / u0[:, 3, 3]))
    for values, mean, std in ((amplitude, 1.0, 0.1), (width, 0.2, 0.01)):
        assert abs(values.mean() - mean) < 5 * std / 20
        assert abs(values.std() - std) < 5 * std / np.sqrt(800)
    assert abs(np.corrcoef(amplitude, width)[0, 1]) < 5 / 20
