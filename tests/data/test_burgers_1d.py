"""The reference solver against the Cole-Hopf solution, and the draws of initial conditions."""

import math

import numpy as np
import pytest

from msvi.data.equations.burgers_1d import Burgers1D
from msvi.errors import InputError

AMPLITUDE, WIDTH = 0.25, 0.01
SMALL = Burgers1D(num_points=50, num_frames=5, viscosity=5e-3, max_dt=1 / 64)  # 16 steps per frame
erf = np.vectorize(math.erf)


def initial(x, derivative=True):
    """The periodic Gaussian as a sum of images, or its antiderivative."""
    total = 0.0
    for image in range(-3, 4):
        y = (x - 0.5 - image) / np.sqrt(WIDTH)
        total = total + (np.exp(-(y**2)) if derivative else 0.5 * np.sqrt(np.pi * WIDTH) * erf(y))
    return AMPLITUDE * total


def cole_hopf(x, t, viscosity):
    """`∫ u0 exp(-G / 2 nu) dy / ∫ exp(-G / 2 nu) dy`, `G = ∫^y u0 + (x - y)² / 2t`; periodic since `u0` is."""
    y = np.linspace(-1.0, 2.0, 12001)
    exponent = -(initial(y, derivative=False) + (x[:, None] - y) ** 2 / (2 * t)) / (2 * viscosity)
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return weight @ initial(y) / weight.sum(axis=1)


def relative_error(u, exact):
    return np.linalg.norm(u - exact) / np.linalg.norm(exact)


def test_default_resolution_matches_the_exact_solution():
    """Measured 2.4e-4 at t = 0.5 and 4e-4 at t = 1; 1e-3 is the size of the observation noise."""
    equation = Burgers1D(num_frames=3)  # the default steps, fewer of them stored
    u = equation.solve(initial(equation.x)[:, None])[..., 0]
    for frame in (1, 2):
        exact = cole_hopf(equation.x[::5], equation.t[frame], equation.viscosity)
        assert relative_error(u[frame, ::5], exact) < 1e-3


def test_second_order_convergence():
    """Slope of log error against log spacing, step and spacing refined together: 2 within 0.15 on either side."""
    sizes = np.array([50, 100, 200])
    errors = []
    for n in sizes:
        equation = Burgers1D(num_points=int(n), num_frames=2, t1=0.5, viscosity=5e-3, max_dt=0.4 / n)
        u = equation.solve(initial(equation.x)[:, None])[-1, :, 0]
        errors.append(relative_error(u, cole_hopf(equation.x, 0.5, 5e-3)))
    slope = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert 1.85 < slope < 2.15, errors


def test_mass_is_conserved():
    """Central differences of the flux telescope; what is left is float64 round-off over 64 steps."""
    u = SMALL.solve(SMALL.sample_initial(np.random.default_rng(0)))
    np.testing.assert_allclose(u.sum(axis=(1, 2)), u[0].sum(), rtol=1e-12)
    assert np.abs(u[-1] - u[0]).max() > 0.01  # the field itself moved


def test_unstable_steps_are_refused():
    """The largest stable step `dx² / 2 nu` passes, 2 % more does not."""
    stable = 0.5 / (5e-3 * 100**2)
    Burgers1D(num_points=100, num_frames=2, t1=stable, viscosity=5e-3, max_dt=1.0)
    with pytest.raises(InputError, match="max_dt"):
        Burgers1D(num_points=100, num_frames=2, t1=1.02 * stable, viscosity=5e-3, max_dt=1.0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_senseless_viscosity_is_refused(value):
    """Named with its value; what other equations have too is tested in `test_equation.py`."""
    with pytest.raises(InputError, match=f"`data.equation.viscosity` must be positive and finite, got {value};"):
        Burgers1D(viscosity=value)


def test_initial_amplitudes_follow_their_distribution():
    """Peak value over 400 draws: mean and deviation within five standard errors."""
    equation = Burgers1D(num_points=20, viscosity=5e-3)
    peak = np.array([equation.sample_initial(np.random.default_rng(seed))[10, 0] for seed in range(400)])
    assert abs(peak.mean() - 0.25) < 5 * 0.05 / 20
    assert abs(peak.std() - 0.05) < 5 * 0.05 / np.sqrt(800)
