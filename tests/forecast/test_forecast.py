"""The SDE solver on an Ornstein-Uhlenbeck process, and the two ends of a forecast."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb

from msvi.errors import InputError
from msvi.forecast.config import ForecastConfig
from msvi.forecast.ensemble import (
    decode_ensemble,
    decode_ensemble_parts,
    forecast_field,
    forecast_latents,
    solve_sde,
    solver_steps,
)
from msvi.model.condition import Conditions, ConditionScale
from msvi.model.scales import Scales

RATE = jnp.array([1.0, 3.0])
LOG_Q = jnp.log(jnp.array([0.5, 2.0]))
Z0 = jnp.array([1.0, -2.0])


def decay(t, z):
    return -RATE * z


@functools.partial(jax.jit, static_argnames="solver")
def paths(t, log_q, keys, steps=None, solver="euler"):
    """Ensemble of `dz = -RATE z dt + sqrt(Q) dW` from `Z0`, `(member, time, 2)`."""
    return jax.vmap(lambda key: solve_sde(decay, lambda t: log_q, t, Z0, key, steps, solver))(keys)


def refined(t, steps_per_frame):
    """So many equal steps from each frame to the next."""
    return jnp.asarray(solver_steps(np.asarray(t)[None], 0, steps_per_frame)[0], jnp.float32)


def test_ornstein_uhlenbeck_moments():
    """Mean and variance of 4000 paths at the end: five standard errors, plus the scheme's first-order bias.

    The mean is `(1 - a dt)^n` for `exp(-a T)`, off by the factor `a² T dt / 2`; the variance by `a dt / 2` at most.
    """
    t, n = jnp.linspace(0.0, 1.0, 51), 4000
    end = np.asarray(paths(t, LOG_Q, jax.random.split(jax.random.key(0), n)), np.float64)[:, -1]
    rate, q, dt = np.asarray(RATE), np.exp(LOG_Q), 0.02
    mean, var = np.asarray(Z0) * np.exp(-rate), q / (2 * rate) * (1 - np.exp(-2 * rate))
    assert np.all(np.abs(end.mean(axis=0) - mean) < 5 * np.sqrt(var / n) + np.abs(mean) * rate**2 * dt / 2)
    assert np.all(np.abs(end.var(axis=0) - var) < var * (5 * np.sqrt(2 / n) + rate * dt))
    # What the scheme itself should give, without the allowance.
    growth = 1 - rate * dt
    exact_var = q * dt * (1 - growth**100) / (1 - growth**2)
    assert np.all(np.abs(end.mean(axis=0) - np.asarray(Z0) * growth**50) < 5 * np.sqrt(exact_var / n))
    assert np.all(np.abs(end.var(axis=0) - exact_var) < 5 * exact_var * np.sqrt(2 / n))
    # The two latents have noise of their own.
    assert abs(np.corrcoef(end.T)[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize(
    ("solver", "growth", "tolerance", "ahead"),
    [("euler", 0.53, 0.02, None), ("shark", 0.0, 2e-3, 0.103**3 / 6), ("rk4", 0.0, 2e-5, -(0.103**5) / 120)],
)
def test_growth_of_an_oscillation(solver, growth, tolerance, ahead):
    """A rotation by 0.103 radian a step, as in the flow past a cylinder, for 100 steps of 0.01, and hardly any noise.

    Euler's growth rate is `log(1 + (w dt)²) / (2 dt)`, 0.53; of second order it is below `w⁴ dt³ / 8`, 1.4e-3, and of
    fourth below `(w dt)⁶ / 144 dt`, 8e-7. By `ahead` radian a step the phase is wrong, to the precision of the numbers.
    """
    w, t = 10.3, jnp.linspace(0.0, 1.0, 101)
    rotate = lambda t, z: w * jnp.array([-z[1], z[0]])  # noqa: E731
    path = solve_sde(rotate, lambda t: jnp.full(2, -40.0), t, jnp.array([1.0, 0.0]), jax.random.key(0), solver=solver)
    assert abs(np.log(np.linalg.norm(path[-1])) - growth) < tolerance
    if ahead is not None:
        found = np.angle((path[-1, 0] + 1j * path[-1, 1]) / np.exp(1j * w))
        np.testing.assert_allclose(found, 100 * ahead, rtol=0.02, atol=2e-5)


@pytest.mark.parametrize("solver", ["shark", "rk4"])
def test_noise_of_higher_order(solver):
    """Without drift it gives a Brownian path of the right size: five standard errors of 400 increments."""
    t = jnp.linspace(0.0, 1.0, 401)
    path = solve_sde(lambda t, z: 0 * z, lambda t: LOG_Q, t, Z0, jax.random.key(0), solver=solver)
    scaled = np.diff(np.asarray(path), axis=0) ** 2 * 400
    np.testing.assert_allclose(scaled.mean(axis=0), np.exp(LOG_Q), rtol=5 * np.sqrt(2 / 400))


def test_unknown_solver_is_refused():
    """With the names of those there are."""
    with pytest.raises(InputError, match="euler, shark, rk4 or auto, got 'heun'"):
        ForecastConfig(solver="heun")


def test_quadratic_variation():
    """Increments of one path, unequal frames and 4 steps each: their squares sum to `q T`.

    Five standard errors `sqrt(2 / n)` of 400 increments, and the drift's share, `dt` times order one.
    """
    t = np.cumsum(np.concatenate([[0.0], np.tile([0.001, 0.003], 200)]))
    frames = jnp.asarray(t, jnp.float32)
    path = np.asarray(paths(frames, LOG_Q, jax.random.split(jax.random.key(0), 1), refined(t, 4)))[0]
    increments = np.diff(path, axis=0)
    scaled = increments**2 / np.diff(t)[:, None]
    np.testing.assert_allclose(scaled.mean(axis=0), np.exp(LOG_Q), rtol=5 * np.sqrt(2 / 400) + 0.02)
    # Long and short frames alike, and no memory from one increment to the next.
    np.testing.assert_allclose(scaled[::2].mean(axis=0), np.exp(LOG_Q), rtol=5 * np.sqrt(2 / 200) + 0.02)
    assert abs(np.corrcoef(increments[1:, 0], increments[:-1, 0])[0, 1]) < 5 / np.sqrt(400)


@pytest.mark.parametrize("steps_per_frame", [1, 3])
def test_without_noise_it_is_the_explicit_euler_loop(steps_per_frame):
    """Unequal frames and a drift that knows the time: against the loop in float64, 1e-6."""
    t = np.array([0.0, 0.1, 0.15, 0.4, 0.5])

    def drift(time, z):
        return jnp.stack([z[1], -z[0] + jnp.sin(3 * time)])

    steps, silent = refined(t, steps_per_frame), jnp.full(2, -jnp.inf)
    solved = solve_sde(
        drift, lambda t: silent, jnp.asarray(t, jnp.float32), Z0, jax.random.key(0), steps, solver="euler"
    )
    z, time, expected = np.asarray(Z0, np.float64), 0.0, [np.asarray(Z0, np.float64)]
    for dt in np.diff(t) / steps_per_frame:
        for _ in range(steps_per_frame):
            z = z + dt * np.array([z[1], -z[0] + np.sin(3 * time)])
            time += dt
        expected.append(z)
    np.testing.assert_allclose(solved, expected, atol=1e-6)


def test_steps_per_frame_refine():
    """First order: twice the steps, half the error of a linear decay, within 10 %."""
    t, silent, keys = jnp.linspace(0.0, 1.0, 11), jnp.full(2, -jnp.inf), jax.random.split(jax.random.key(0), 1)
    exact = np.asarray(Z0) * np.exp(-np.asarray(RATE))
    coarse, fine = (np.abs(paths(t, silent, keys, refined(t, n))[0, -1] - exact) for n in (4, 8))
    np.testing.assert_allclose(coarse / fine, 2, rtol=0.1)


def test_solver_steps():
    """All frames, in equal steps no longer than the spacing, and as many for each trajectory."""
    t = np.array([[0.0, 1.0, 2.0, 5.0], [0.0, 1.0, 2.0, 3.0]])
    steps = solver_steps(t, 1.0)
    np.testing.assert_allclose(steps[0], [0, 1, 2, 3, 4, 5])
    assert steps.shape == (2, 6) and set(t[1]) <= set(steps[1]) and np.diff(steps[1]).max() <= 1
    np.testing.assert_allclose(solver_steps(t[:1], 1.0, 2)[0], np.linspace(0, 5, 11))
    np.testing.assert_allclose(solver_steps(t[:1], 0.0, 2)[0], [0, 0.5, 1, 1.5, 2, 3.5, 5])
    # Times as single precision keeps them are not spaced wider than they were.
    uneven = np.float64(np.float32(0.1) * np.arange(101, dtype=np.float32))[None]
    assert solver_steps(uneven, 0.1).shape == (1, 101)


@pytest.mark.parametrize("solver", ["euler", "shark", "rk4"])
def test_gap_is_crossed_in_steps_of_the_usual_length(solver):
    """An Ornstein-Uhlenbeck process of rate 2 and sigma .5 across a gap of 1 with frames .01 apart: its exact mean,
    `z0 exp(-2)`, and variance `sigma² (1 - exp(-4)) / 4`, within five standard errors of 4000 and the bias of Euler.

    In one step it would be at `-z0`, with a variance of .25.
    """
    t, rate, sigma, z0, n = np.array([0.0, 0.01, 1.01, 1.02]), 2.0, 0.5, 0.368, 4000
    steps = jnp.asarray(solver_steps(t[None], 0.01)[0], jnp.float32)
    log_q = jnp.full(1, 2 * np.log(sigma))

    @jax.jit
    def run(keys):
        return jax.vmap(
            lambda key: solve_sde(
                lambda t, z: -rate * z, lambda t: log_q, jnp.float32(t), jnp.full(1, z0), key, steps, solver
            )
        )(keys)

    z = np.asarray(run(jax.random.split(jax.random.key(0), n)), np.float64)[:, 2, 0]
    mean = z0 * np.exp(-rate * t[2])
    var = sigma**2 / (2 * rate) * (1 - np.exp(-2 * rate * t[2]))
    assert abs(mean - 0.050) < 2e-3 and abs(var - 0.0625) < 2e-3
    bias = 0.02 if solver == "euler" else 1e-3
    assert abs(z.mean() - mean) < 5 * np.sqrt(var / n) + bias * mean
    assert abs(z.var() / var - 1) < 5 * np.sqrt(2 / n) + bias


U0 = jnp.asarray(0.1 * np.random.default_rng(1).standard_normal((40, 1)), jnp.float32)
MEMBERS, DT = 2000, 0.25


@pytest.fixture(scope="module")
def two_frames(model, params):
    """Latents of many members at the first frame and one frame on, `(member, 2, latent_dim)`."""
    t = np.array([0.5, 0.5 + DT])
    run = jax.jit(lambda key: forecast_latents(model, params, t, U0, key, MEMBERS, solver="euler"))
    return run(jax.random.key(2))


def test_forecast_starts_from_the_encoder(model, params, two_frames):
    """First latents: mean and deviation of the encoder's Gaussian within five standard errors."""
    start = np.asarray(two_frames, np.float64)[:, 0]
    encoded = jax.jit(model.encode)(params, U0)
    std = np.exp(0.5 * np.asarray(encoded.log_var))
    assert np.all(np.abs(start.mean(axis=0) - encoded.mean) < 5 * std / np.sqrt(MEMBERS))
    assert np.all(np.abs(start.std(axis=0) - std) < 5 * std / np.sqrt(2 * MEMBERS))


def test_forecast_follows_drift_and_dispersion(model, params, two_frames):
    """One frame on: what is left after the model's drift is noise of variance `Q dt`, independent of the start."""
    drift = jax.jit(jax.vmap(model.drift, (None, None, 0)))(params, jnp.array(0.5), two_frames[:, 0])
    start, end = np.asarray(two_frames, np.float64).swapaxes(0, 1)
    noise = end - start - DT * np.asarray(drift)
    std = np.sqrt(DT) * np.exp(0.5 * np.asarray(model.log_q(params)))
    assert np.all(np.abs(noise.mean(axis=0)) < 5 * std / np.sqrt(MEMBERS))
    assert np.all(np.abs(noise.std(axis=0) - std) < 5 * std / np.sqrt(2 * MEMBERS))
    correlation = np.mean(noise * (start - start.mean(axis=0)), axis=0) / (std * start.std(axis=0))
    assert np.all(np.abs(correlation) < 5 / np.sqrt(MEMBERS))


@pytest.mark.slow
def test_dispersion_follows_the_forcing(model):
    """In each step the noise has the variance of the forcing at its start, which changes on the way."""
    model = dataclasses.replace(model, condition_scale=ConditionScale(forcing_mean=(0.0,), forcing_std=(1.0,)))
    params = perturb(jax.jit(model.init)(jax.random.key(0)), scale=0.5)
    t = DT * np.arange(3)
    conditions = Conditions(forcing_t=jnp.array([0, t[-1]]), forcing=jnp.array([[-3.0], [3.0]]))
    forecast = jax.jit(lambda key: forecast_latents(model, params, t, U0, key, MEMBERS, 1, "euler", conditions))
    z, log_q = np.asarray(forecast(jax.random.key(1))), []
    for k in range(2):
        condition = conditions.at(jnp.asarray(t[k]))
        log_q.append(np.asarray(model.log_q(params, condition)))
        drift = jax.vmap(lambda z, k=k, c=condition: model.drift(params, jnp.asarray(t[k]), z, c))(z[:, k])
        noise, std = z[:, k + 1] - z[:, k] - DT * np.asarray(drift), np.sqrt(DT) * np.exp(0.5 * log_q[-1])
        assert np.all(np.abs(noise.std(axis=0) - std) < 5 * std / np.sqrt(2 * MEMBERS))
    assert np.abs(log_q[1] - log_q[0]).max() > 0.5


def draw_ensemble(model, num_members, num_times, seed=1):
    """Latents `(member, time, latent_dim)` of order one."""
    shape = (num_members, num_times, model.latent_dim)
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def decode_each(model, params, z):
    """Decoder's means `(member, time, *grid, channel)` and its variance `(*grid, channel)`, in float64."""
    decoded = jax.jit(jax.vmap(jax.vmap(lambda z: model.decode(params, z))))(z)
    return np.asarray(decoded.mean, np.float64), np.exp(np.asarray(decoded.log_var, np.float64)[0, 0])


decode = jax.jit(decode_ensemble, static_argnums=0)


@pytest.mark.parametrize("num_members", [1, 3, 200])
def test_std_is_that_of_the_mixture(model, params, num_members):
    """The law of total variance: variance of the members' means plus the one that they share; float32 round-off.

    200 members are more than are decoded at once for one time, 3 are fewer.
    """
    z = draw_ensemble(model, num_members, 5)
    means, variance = decode_each(model, params, z)
    expected = np.sqrt(means.var(axis=0) + variance[None])
    np.testing.assert_allclose(decode(model, params, z, jax.random.key(2))[1], expected, rtol=1e-5)
    if num_members > 1:
        assert (expected**2 / variance[None]).max() > 1.05  # the spread counts


@pytest.mark.parametrize("num_members", [1, 4, 25])
def test_mean_has_the_noise_of_a_mean(model, params, num_members):
    """Over 1000 keys at every time and point: the mean of the members' means within five standard errors, and a
    variance of a member's over their number, within five of its.

    Over all times and points together the variance is that of 200,000 draws and good to 1.6 %; noise of one draw, not
    of a mean, would make it `num_members` times as large.
    """
    number, num_times = 1000, 5
    z = draw_ensemble(model, num_members, num_times)
    means, variance = decode_each(model, params, z)
    run = jax.jit(jax.vmap(lambda key: decode_ensemble(model, params, z, key)[0]))
    drawn = np.asarray(run(jax.random.split(jax.random.key(2), number)), np.float64)
    error = (drawn - means.mean(axis=0)[None]) / np.sqrt(variance / num_members)[None, None]
    assert np.abs(error.mean(axis=0)).max() < 5 / np.sqrt(number)
    assert np.abs(error.var(axis=0) - 1).max() < 5 * np.sqrt(2 / number)
    assert abs(error.var() - 1) < 5 * np.sqrt(2 / error.size)
    # Neither times nor points share a draw.
    assert abs(np.mean(error[:, 1:] * error[:, :-1])) < 5 / np.sqrt(error[:, 1:].size)
    assert abs(np.mean(error[:, :, 1:] * error[:, :, :-1])) < 5 / np.sqrt(error[:, :, 1:].size)


def test_parts_of_the_ensemble(model, params):
    """Means over the members of either part, at each time; together they are the mean of the members' means."""
    z = draw_ensemble(model, 6, 5)
    macro, micro = jax.jit(decode_ensemble_parts, static_argnums=0)(model, params, z)
    parts = jax.jit(jax.vmap(jax.vmap(lambda z: model.decode_parts(params, z))))(z)
    for part, members in zip((macro, micro), parts, strict=True):
        np.testing.assert_allclose(part, np.asarray(members, np.float64).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(macro + micro, decode_each(model, params, z)[0].mean(axis=0), atol=1e-6)
    assert np.abs(micro).max() > 1e-3


@pytest.mark.parametrize("stride", [2, 3, 7])
def test_stride_leaves_the_path_as_it_is(model, params, stride):
    """The latents are every so many of those of the whole forecast, to the bit, since the solver takes the same steps.

    Mean and deviation are those of the latents decoded by themselves with the key that the forecast keeps for noise.
    """
    t, members = np.linspace(0.0, 0.7, 8), 4
    run = jax.jit(lambda key, stride: forecast_field(model, params, t, U0, key, members, 2, stride), static_argnums=1)
    whole, (mean, std, z) = run(jax.random.key(2), 1), run(jax.random.key(2), stride)
    assert z.shape == (members, len(range(0, 8, stride)), model.latent_dim)
    np.testing.assert_array_equal(z, whole[2][:, ::stride])
    np.testing.assert_allclose(std, whole[1][::stride], rtol=1e-5)
    expected_mean, expected_std = decode(model, params, z, jax.random.split(jax.random.key(2))[1])
    np.testing.assert_allclose(mean, expected_mean, atol=1e-6)
    np.testing.assert_allclose(std, expected_std, rtol=1e-5)
    assert len(mean) == z.shape[1]


def test_forecasts_are_reproducible(model, params):
    """The same key gives the same bits, another key another ensemble."""
    run = jax.jit(lambda key: forecast_field(model, params, np.linspace(0.0, 0.2, 3), U0, key, 4))
    first, again, other = (run(jax.random.key(k)) for k in (2, 2, 3))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - c).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "scales", [Scales((0.0,), (1.0,), 7.0), Scales((300.0,), (50.0,), 2.0**-10), Scales((0.0,), (1e20,))]
)
def test_forecast_in_other_units(model, params, scales):
    """Fields and times in other units, and from another origin: the same latents, and the same fields in those units.

    300 is 6 deviations, of which float32 keeps 1e-6. Brownian paths hang on the bits of the times, so that these are
    multiplied without rounding.
    """
    unit = dataclasses.replace(model, scales=Scales((0.0,), (1.0,)))
    other = dataclasses.replace(model, scales=scales)
    t, u0 = np.linspace(0.0, 0.5, 6), 10 * np.asarray(U0)
    mean, std, z = forecast_field(unit, params, t, jnp.asarray(u0), jax.random.key(2), 4)
    u0 = jnp.float32(u0 * scales.field_std[0] + scales.field_mean[0])
    found = forecast_field(other, params, t * scales.time_unit, u0, jax.random.key(2), 4)
    np.testing.assert_allclose(found[2], z, atol=1e-3)
    np.testing.assert_allclose((found[0] - scales.field_mean[0]) / scales.field_std[0], mean, atol=1e-3)
    np.testing.assert_allclose(found[1] / scales.field_std[0], std, atol=1e-4)


def test_traced_times_need_steps(model, params):
    """Their number cannot be known; with the steps given the forecast is that of known times."""
    t = np.linspace(0.0, 0.5, 6)
    with pytest.raises(TypeError, match="pass `steps`, from `solver_steps`"):
        jax.jit(lambda t: forecast_latents(model, params, t, U0, jax.random.key(2), 2))(t)
    steps = solver_steps(t[None], model.scales.spacing)[0]
    run = jax.jit(lambda t, steps: forecast_latents(model, params, t, U0, jax.random.key(2), 2, steps=steps))
    known = forecast_latents(model, params, t, U0, jax.random.key(2), 2)
    np.testing.assert_allclose(run(t, steps), known, atol=1e-5)
