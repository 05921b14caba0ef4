"""A model with linear networks and sensors: ensembles against the exact filter and smoother of cuthbert."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cuthbert import filtering, smoothing
from cuthbert.gaussian import kalman
from linear_model import SPACING, X
from scipy.linalg import expm

from msvi.assimilation.filter import Observed, Schedule, analyse, analyse_each, run_filter
from msvi.assimilation.localise import Taper
from msvi.assimilation.run import Settings, assimilate, decoder_noise, make_schedule, unit_of
from msvi.assimilation.sensors import point_sensors
from msvi.forecast.ensemble import solve_ensemble, solver_steps
from msvi.model.condition import NO_CONDITIONS

pytest_plugins = ["linear_model"]

# Three times without observations between some, and one stretch that is longer than a frame.
TIMES = np.array([0.0, 0.1, 0.2, 0.3, 0.55, 0.6, 0.7, 0.8])
NOISE = np.array([0.2, 0.1, 0.3, 0.2])


@pytest.fixture(scope="module")
def problem(linear):
    """Sensors at four places, their readings with some missing, and a prior `N(mean, I)`."""
    model, params = linear
    sensors = point_sensors(np.array([[0.02], [0.3], [0.55], [0.9]]), np.zeros(4, int), (X,), ("periodic",), (12, 1))
    rng = np.random.default_rng(1)
    mean = rng.standard_normal(model.latent_dim)
    z0 = jnp.asarray(mean + rng.standard_normal(model.latent_dim), jnp.float32)[None]
    steps = solver_steps(TIMES[None], SPACING, 4)[0]
    z = solve_ensemble(model, params, TIMES, z0, jax.random.split(jax.random.key(7), 1), steps)[0]
    fields = np.stack([model.decode(params, one).mean for one in z])
    y = sensors.read(fields) + total_noise(linear, sensors) * rng.standard_normal((len(TIMES), 4))
    y[2], y[4, :2] = np.nan, np.nan
    return sensors, y, mean


def exact(linear, problem):
    """Means and covariances of filter and smoother, `(time, ...)`, and the log evidence at each time, in double
    precision; a time earlier there is the prior."""
    model, params = linear
    sensors, y, mean = problem
    unit = unit_of(model, sensors)
    zero = jnp.zeros(model.latent_dim)
    rates = np.array(jax.jacobian(lambda z: model.drift(params, 0.0, z))(zero), float)
    constant = np.array(model.drift(params, 0.0, zero), float)
    assert np.linalg.eigvals(rates).real.max() < -0.3, "the model must be stable"

    def observe(z):
        field = model.standardised.decode(params, z).mean.ravel()
        return jnp.sum(field[sensors.places] * (sensors.weights * 2.0 / unit.size[:, None]), axis=1)

    gain, offset = np.array(jax.jacobian(observe)(zero), float), np.array(observe(zero), float)
    noise = total_noise(linear, sensors) / unit.size
    inputs = {"F": [], "c": [], "chol_Q": [], "y": (y - unit.rest) / unit.size}
    size = model.latent_dim
    for length in np.diff(TIMES, prepend=TIMES[0]):
        # exp of [[A, b], [0, 0]], and Van Loan's integral of the noise.
        moved = expm(length * np.block([[rates, constant[:, None]], [np.zeros((1, size + 1))]]))
        both = np.block(
            [[-rates, np.diag(np.exp(np.array(params["log_q"], float)))], [np.zeros((size, size)), rates.T]]
        )
        both = expm(length * both)
        noise_of = both[size:, size:].T @ both[:size, size:]
        inputs["F"].append(moved[:size, :size])
        inputs["c"].append(moved[:size, size])
        values, vectors = np.linalg.eigh(noise_of)
        inputs["chol_Q"].append(vectors * np.sqrt(np.maximum(values, 0)))
    with jax.enable_x64(True):
        inputs = {name: jnp.asarray(np.array(value, float)) for name, value in inputs.items()}
        filter_obj = kalman.build_filter(
            jnp.asarray(mean),
            jnp.eye(size),
            lambda i: (i["F"], i["c"], i["chol_Q"]),
            lambda i: (jnp.asarray(gain), jnp.asarray(offset), jnp.diag(jnp.asarray(noise)), i["y"]),
        )
        states = filtering.filter(filter_obj, inputs, filter_obj.init_prepare())
        after = smoothing.smoother(kalman.build_smoother(lambda i: (i["F"], i["c"], i["chol_Q"])), states, inputs)
        found = [(s.mean[1:], s.chol_cov[1:] @ s.chol_cov[1:].swapaxes(1, 2)) for s in (states, after)]
        evidence = np.diff(np.array(states.log_normalizing_constant))
        return jax.tree.map(np.array, found), evidence


def total_noise(linear, sensors):
    """Of the sensors and of the decoder."""
    return np.sqrt(NOISE**2 + decoder_noise(*linear, sensors) ** 2)


def ensemble(linear, problem, members, seed, lag=0, full=False, steps=4):
    """The filter's and the smoother's ensembles `(time, member, latent_dim)`, and the innovations."""
    model, params = linear
    sensors, y, mean = problem
    unit = unit_of(model, sensors)
    noise = np.broadcast_to(total_noise(linear, sensors) / unit.size, y.shape)
    observed = Observed(*(jnp.asarray(a, jnp.float32) for a in ((y - unit.rest) / unit.size, noise)))
    prior_key, key = jax.random.split(jax.random.key(seed))
    z0 = jnp.asarray(mean, jnp.float32)[None] + jax.random.normal(prior_key, (members, model.latent_dim))
    weights = np.asarray(sensors.weights * 2.0 / unit.size[:, None], np.float32)
    schedule = make_schedule(model, TIMES, steps)
    settings = Settings("shark", steps, 0.0, lag, full)
    return assimilate(
        params,
        key,
        z0,
        *schedule,
        observed,
        sensors.places,
        weights,
        None,
        NO_CONDITIONS,
        model=model,
        settings=settings,
    )


def errors(z, mean, covariance):
    """Root mean squares of what means and covariances differ by, over the posterior deviations."""
    z = np.array(z, float)
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    of_mean = (z.mean(axis=1) - mean) / deviation
    found = np.stack([np.cov(one.T) for one in z])
    of_covariance = (found - covariance) / (deviation[:, :, None] * deviation[:, None, :])
    return np.sqrt(np.mean(of_mean**2)), np.sqrt(np.mean(of_covariance**2))


@pytest.fixture(scope="module")
def errors_of_runs(linear, problem):
    """By members and smoother: errors of mean and covariance of the filter, of the smoother, and of the evidence, each
    the root mean square over four runs."""
    (filtered, smoothed), evidence = exact(linear, problem)
    found = {}
    for members, how in ((256, "full"), (256, "lag"), (4096, "full"), (4096, "lag")):
        rows = []
        for seed in range(4):
            options = {"full": True} if how == "full" else {"lag": len(TIMES)}
            run, after = ensemble(linear, problem, members, seed, **options)
            off = np.array(run.innovation.log_evidence).sum() - evidence.sum()
            rows.append([*errors(run.analysis, *filtered), *errors(after, *smoothed), off])
        found[members, how] = np.sqrt(np.mean(np.square(rows), axis=0))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", ["full", "lag"])
def test_converges_to_the_exact_answer(errors_of_runs, how):
    """Errors of means and covariances, of the filter and of both smoothers (one with a lag over all times), and of the
    evidence, are a few standard errors of so many members, 1 / sqrt(N), and fall with their square root."""
    few, many = errors_of_runs[256, how], errors_of_runs[4096, how]
    np.testing.assert_array_less(many, [3 / 64, 3 / 64, 3 / 64, 3 / 64, 10 / 64])
    ratio = few / many
    assert np.all(ratio > 2) and np.all(ratio < 8), ratio


def test_what_is_consistent_says_so(linear, problem):
    """Of readings that come from the model, chi² is about their number: five deviations of it."""
    run, _ = ensemble(linear, problem, 4096, 0)
    number = np.isfinite(problem[1]).sum()
    assert abs(np.sum(run.innovation.chi2) - number) < 5 * np.sqrt(2 * number)
    exact_evidence = exact(linear, problem)[1]
    np.testing.assert_allclose(run.innovation.log_evidence, exact_evidence, atol=0.2)
    assert run.innovation.log_evidence[2] == run.innovation.chi2[2] == 0 and np.isnan(run.innovation.mean[2]).all()


@pytest.mark.parametrize("members", [3, 12])
def test_more_readings_than_members(members):
    """Solved in the space of the members it is the same as in that of the readings, and so is what is told of it; a
    taper of ones changes nothing, and states before are corrected with the newest."""
    rng = np.random.default_rng(0)
    x, past, readings = (jnp.asarray(rng.standard_normal((members, n)), jnp.float32) for n in (5, 10, 7))
    whole = jnp.asarray(rng.standard_normal(7), jnp.float32)
    y, noise = whole.at[2].set(jnp.nan), jnp.linspace(0.3, 0.9, 7)
    ones = Taper(np.ones((5, 7), np.float32), np.ones((7, 1), np.float32))
    key = jax.random.key(0)
    plain, tapered = (analyse(key, x, past, readings, whole, noise, taper) for taper in (None, ones))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), plain, tapered)
    plain, tapered = (analyse(key, x, past, readings, y, noise, taper)[2] for taper in (None, ones))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), plain, tapered)
    # By hand, with the library's perturbations taken out of the mean over many of them.
    seen = np.array(jnp.isfinite(y))
    dx, dy = (np.array(a - a.mean(axis=0, keepdims=True), float) for a in (past, readings[:, seen]))
    s = dy.T @ dy / (members - 1) + np.diag(np.array(noise, float)[seen] ** 2)
    d = np.array(y - readings.mean(axis=0))[seen]
    expected = np.array(past).mean(axis=0) + dx.T @ dy / (members - 1) @ np.linalg.solve(s, d)
    keys = jax.random.split(key, 4000)
    found = jax.vmap(lambda key: analyse(key, x, past, readings, y, noise, None)[1].mean(axis=0))(keys)
    bound = 5 * np.std(found, axis=0) / np.sqrt(len(keys)) + 1e-4
    assert np.all(np.abs(np.mean(found, axis=0) - expected) < bound)
    chi2, evidence = d @ np.linalg.solve(s, d), -0.5 * (np.linalg.slogdet(2 * np.pi * s)[1] + d @ np.linalg.solve(s, d))
    np.testing.assert_allclose(plain.chi2, chi2, rtol=1e-3)
    np.testing.assert_allclose(plain.log_evidence, evidence, rtol=1e-3)
    np.testing.assert_allclose(np.array(plain.deviation)[seen], np.sqrt(np.diag(s)), rtol=1e-4)


def test_readings_of_the_state():
    """With a reading of each number of the state, some of them missing, means, variances and evidence are those of as
    many scalar Kalman filters."""
    rate, dispersion, noise = np.array([0.9, 0.5]), np.array([0.3, 0.6]), np.array([0.2, 0.5])
    y = np.random.default_rng(3).standard_normal((6, 2))
    y[2, 0] = np.nan
    mean, variance, evidence = np.zeros(2), np.ones(2), []
    for k, row in enumerate(y):
        if k:
            mean, variance = rate * mean, rate**2 * variance + dispersion**2
        total, seen = variance + noise**2, np.isfinite(row)
        d = np.where(seen, row - mean, 0)
        evidence.append(-0.5 * np.sum(np.where(seen, d**2 / total + np.log(2 * np.pi * total), 0)))
        gain = np.where(seen, variance / total, 0)
        mean, variance = mean + gain * d, (1 - gain) * variance
    draw_key, filter_key = jax.random.split(jax.random.key(4))
    number = 40_000

    def ahead(z, key, _):
        return jnp.asarray(rate) * z + jnp.asarray(dispersion) * jax.random.normal(key, z.shape)

    found = run_filter(
        filter_key,
        jax.random.normal(draw_key, (number, 2)),
        Schedule(jnp.zeros(6), jnp.arange(6)),
        Observed(jnp.asarray(y, jnp.float32), jnp.tile(jnp.asarray(noise, jnp.float32), (6, 1))),
        ahead,
        lambda z: z,
        correct=analyse_each,
    )
    last = np.asarray(found.analysis[-1])
    np.testing.assert_allclose(last.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(last.var(axis=0), variance, rtol=0.03)
    np.testing.assert_allclose(found.innovation.log_evidence, evidence, rtol=0.01, atol=0.02)
