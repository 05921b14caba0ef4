"""The reference solver against solitons and linear waves, and the draws of initial conditions."""

import re

import numpy as np
import pytest

from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.errors import InputError

SMALL = KortewegDeVries1D(num_points=50, num_frames=3, max_dt=5e-3)


def around(equation, centre):
    """Signed distance from `centre`, the short way around the circle."""
    half = equation.extent / 2
    return (equation.x - centre + half) % equation.extent - half


def soliton(equation, t, speed=2 / 3, centre=5.0):
    """`3 c sech²(sqrt(c / delta) (x - c t) / 2)` around the circle."""
    distance = around(equation, centre + speed * t)
    return 3 * speed / np.cosh(np.sqrt(speed / equation.dispersion) / 2 * distance) ** 2


def two_solitons(equation, t, speeds, starts):
    """Hirota's `12 delta (log F)_xx`, `F = 1 + e1 + e2 + ((k1 - k2) / (k1 + k2))² e1 e2`, where

    `e = exp(k (x - start - c t))`, `c = delta k²`; on the line, of which the circle is the part around the pair.
    """
    middle = 5 + np.mean(speeds) * t
    x = middle + around(equation, middle)
    k1, k2 = np.sqrt(np.array(speeds) / equation.dispersion)
    e1, e2 = (np.exp(k * (x - s - c * t)) for k, c, s in zip((k1, k2), speeds, starts, strict=True))
    both = ((k1 - k2) / (k1 + k2)) ** 2 * e1 * e2
    f = 1 + e1 + e2 + both
    f_x = k1 * e1 + k2 * e2 + (k1 + k2) * both
    f_xx = k1**2 * e1 + k2**2 * e2 + (k1 + k2) ** 2 * both
    return 12 * equation.dispersion * (f_xx / f - (f_x / f) ** 2)


def largest_step(**parameters):
    """The largest stable step as the refusal of a much larger one tells it."""
    with pytest.raises(InputError, match="max_dt") as error:
        KortewegDeVries1D(**parameters, num_frames=2, t1=1.0, max_dt=1.0)
    return float(re.search(r"stable up to ([\d.e+-]+);", str(error.value))[1])


def test_default_resolution_matches_the_travelling_soliton():
    """Measured 2.2e-12 of a height of 2, round-off of 2000 steps; the observation noise is 1e-2."""
    equation = KortewegDeVries1D(num_frames=3)  # the default steps, fewer of them stored
    u = equation.solve(soliton(equation, 0)[:, None])[..., 0]
    for frame in (1, 2):
        np.testing.assert_allclose(u[frame], soliton(equation, equation.t[frame]), rtol=0, atol=1e-11)


def test_mass_and_momentum_are_conserved():
    """Along a default trajectory: the mean mode stands still, and the product without aliasing keeps `∫ u² dx`.

    Measured 1e-15 and 2e-13 of 2.5: round-off, and what the time steps lose.
    """
    equation = KortewegDeVries1D(num_frames=3)
    u = equation.solve(equation.sample_initial(np.random.default_rng(0)))[..., 0]
    assert np.ptp(u.sum(axis=1) * equation.spacing) < 1e-13
    momentum = (u**2).sum(axis=1) * equation.spacing
    assert np.ptp(momentum) < 1e-11 * momentum[0]
    assert np.abs(u[-1] - u[0]).max() > 1.0  # the field itself moved


@pytest.mark.parametrize("num_points", [50, 51])
def test_momentum_of_a_rough_field_is_conserved(num_points):
    """All modes below two thirds are of one size: aliasing or a wrong cut would cost a part of order one.

    An even number of points, and an odd one that three divides; measured 1e-15 over 200 steps.
    """
    equation = KortewegDeVries1D(num_points=num_points, num_frames=3, t1=0.2, max_dt=1e-3)
    rng, kept = np.random.default_rng(0), -(-num_points // 3)
    modes = np.zeros(num_points // 2 + 1, complex)
    modes[1:kept] = rng.normal(size=(kept - 1, 2)) @ [1, 1j]
    u0 = np.fft.irfft(modes, num_points)
    u = equation.solve((u0 / u0.std())[:, None])[..., 0]
    np.testing.assert_allclose((u**2).mean(axis=1), 1.0, rtol=1e-12)
    assert np.abs(u[-1] - u[0]).max() > 1.0


def test_small_waves_travel_at_their_exact_speed():
    """`cos(k x)` moves at `-delta k²`, up to the largest wavenumber kept, whatever the time step.

    What is left of the nonlinearity is of the size of the amplitude, 1e-9; measured 7e-9.
    """
    equation = KortewegDeVries1D(num_points=100, num_frames=5, max_dt=1e-2)
    for number in (1, 7, 33):
        k = 2 * np.pi / equation.extent * number
        u = equation.solve(1e-9 * np.cos(k * equation.x)[:, None])[..., 0]
        exact = np.cos(k * (equation.x + equation.dispersion * k**2 * equation.t[:, None]))
        np.testing.assert_allclose(u * 1e9, exact, rtol=0, atol=1e-7)


def test_fast_soliton_overtakes_a_slow_one():
    """Against Hirota's exact solution, through the collision and out again.

    Measured 3e-9, the tails around the circle, of a height of 3.6; without the collision both would stand elsewhere.
    """
    speeds, starts = (1.2, 0.6), (4.4, 5.4)
    equation = KortewegDeVries1D(num_points=300, num_frames=4, t1=3.0, max_dt=1e-3)
    u = equation.solve(two_solitons(equation, 0, speeds, starts)[:, None])[..., 0]
    for frame in (1, 2, 3):
        exact = two_solitons(equation, equation.t[frame], speeds, starts)
        np.testing.assert_allclose(u[frame], exact, rtol=0, atol=1e-7)
    apart = sum(soliton(equation, 3.0, c, start) for c, start in zip(speeds, starts, strict=True))
    assert np.abs(u[-1] - apart).max() > 1.0


@pytest.mark.slow
def test_fifth_order_convergence_in_time():
    """Slope of log error against log step, 5 within 0.2 on either side; measured 5.07.

    Three smooth modes, since the error of order five is so small in Tsitouras' method that sharp fields show order six;
    against four times the steps of the finest, on the same grid; errors of 2e-7 to 2e-10, far above round-off.
    """
    solutions = []
    for steps in (40, 80, 160, 640):
        equation = KortewegDeVries1D(num_points=10, num_frames=2, t1=4.0, max_dt=1 / steps, amplitude_mean=5)
        u0 = 4 + np.cos(2 * np.pi * equation.x / equation.extent)
        solutions.append(equation.solve(u0[:, None])[-1])
    errors = [np.abs(u - solutions[-1]).max() for u in solutions[:-1]]
    slope = -np.polyfit(np.log([40, 80, 160]), np.log(errors), 1)[0]
    assert 4.8 < slope < 5.2, (slope, errors)


@pytest.mark.slow
def test_spectral_accuracy_in_space():
    """Twice the points divide the soliton's error by 32,000, where a fourth-order scheme would divide it by 16."""
    errors = []
    for n in (100, 200):
        equation = KortewegDeVries1D(num_points=n, num_frames=2, t1=0.5, max_dt=1e-3)
        u = equation.solve(soliton(equation, 0)[:, None])[-1, :, 0]
        errors.append(np.abs(u - soliton(equation, 0.5)).max())
    assert errors[0] < 1e-3 and errors[1] < 3e-8, errors


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [
        # Advection: the largest |u|, five deviations above the mean, times the largest wavenumber kept.
        ({"num_points": 100}, 2.5 * 2 * np.pi / 10 * 100 / 3),
        ({"num_points": 100, "amplitude_mean": -6.0, "amplitude_std": 0.2}, 7.0 * 2 * np.pi / 10 * 100 / 3),
        # Resonance: turns a time of two modes there, one over the width of a soliton of that height apart.
        ({}, 3 * 0.02 * (2 * np.pi / 10 * 1000 / 3) ** 2 * np.sqrt(2.5 / 0.24) / (2 * np.pi)),
        ({"dispersion": 0.2}, 3 * 0.2 * (2 * np.pi / 10 * 1000 / 3) ** 2 * np.sqrt(2.5 / 2.4) / (2 * np.pi)),
    ],
)
def test_unstable_steps_are_refused(parameters, rate):
    """The largest stable step passes, 1 % more does not."""
    assert largest_step(**parameters) == pytest.approx(1 / rate, rel=5e-3)  # three digits are told
    KortewegDeVries1D(**parameters, num_frames=2, t1=0.999 / rate, max_dt=1.0)
    with pytest.raises(InputError, match="`data.equation.max_dt` gives steps of .*; lower max_dt or num_points"):
        KortewegDeVries1D(**parameters, num_frames=2, t1=1.01 / rate, max_dt=1.0)


@pytest.mark.parametrize(("num_points", "dispersion"), [(200, 0.02), (1000, 0.02), (600, 0.2)])
def test_steps_that_pass_are_stable(num_points, dispersion):
    """At 99 % of the limit momentum holds to 1e-5: on few points advection sets it, on many resonance.

    Measured 1e-6 for the first, the method's own loss, and 5e-13; with twice the step the others are not finite.
    """
    parameters = {"num_points": num_points, "dispersion": dispersion}
    equation = KortewegDeVries1D(**parameters, num_frames=2, max_dt=0.99 * largest_step(**parameters))
    u = equation.solve(equation.sample_initial(np.random.default_rng(0)))
    before, after = (u**2).mean(axis=(1, 2))
    assert after == pytest.approx(before, rel=1e-5)


def test_field_that_is_always_zero_is_allowed():
    """No amplitude, no limit on the step."""
    equation = KortewegDeVries1D(amplitude_mean=0.0, amplitude_std=0.0, max_dt=1.0, num_frames=2)
    assert not equation.sample_initial(np.random.default_rng(0)).any()


@pytest.mark.parametrize("value", [0.0, -0.02, float("nan"), float("inf")])
def test_senseless_dispersion_is_refused(value):
    """Named with its value; what other equations have too is tested in `test_equation.py`."""
    with pytest.raises(InputError, match=f"`data.equation.dispersion` must be positive and finite, got {value};"):
        KortewegDeVries1D(dispersion=value)


def test_initial_condition_is_the_formula():
    """Without spread `2 cos(pi x) exp(-(x - 7.5)²)`, and left of 2.5, nearer from the other side, `x + 10` for `x`."""
    equation = KortewegDeVries1D(amplitude_std=0.0, width_std=0.0)
    u0 = equation.sample_initial(np.random.default_rng(0))[:, 0]
    x = np.where(equation.x < 2.5, equation.x + 10, equation.x)
    np.testing.assert_allclose(u0, 2 * np.cos(np.pi * x) * np.exp(-((x - 7.5) ** 2)), rtol=0, atol=1e-13)
    assert u0[700] == pytest.approx(-2 * np.exp(-0.25), rel=1e-12)  # x = 7
    assert u0[0] == pytest.approx(2 * np.exp(-6.25), rel=1e-12)


def test_initial_condition_is_smooth_at_the_edge():
    """Second differences across the edge are like those beside it; a jump of 0.004 would be 100 times as large."""
    u0 = KortewegDeVries1D().sample_initial(np.random.default_rng(0))[:, 0]
    second = np.abs(np.roll(u0, 1) - 2 * u0 + np.roll(u0, -1))
    beside = np.r_[second[3:30], second[-30:-3]].max()
    assert second[[-2, -1, 0, 1]].max() < beside < 1e-4


def test_initial_amplitudes_and_widths_follow_their_distributions():
    """Read off at x = 6 and x = 7 of 400 draws: means and deviations within five standard errors, no correlation."""
    equation = KortewegDeVries1D(num_points=10)
    u0 = np.stack([equation.sample_initial(np.random.default_rng(seed))[:, 0] for seed in range(400)])
    width = -2 / np.log(-u0[:, 6] / u0[:, 7])  # exp(-9 / 4w) to exp(-1 / 4w)
    amplitude = -u0[:, 7] * np.exp(1 / (4 * width))
    for values, mean in ((amplitude, 2.0), (width, 1.0)):
        assert abs(values.mean() - mean) < 5 * 0.1 / 20
        assert abs(values.std() - 0.1) < 5 * 0.1 / np.sqrt(800)
    assert abs(np.corrcoef(amplitude, width)[0, 1]) < 5 / 20
