"""The bound where the answer is known: linear drift and Gaussian noise, so that every process is Gaussian.

First the formula itself, in float64 and without sampling: with the exact smoothing process as posterior the bound is
the log evidence, with any other it is lower. Then the estimator over a window of frames: unbiased, and below the log
evidence.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb

from msvi.inference.elbo import ElboTerms, Frames, WindowElbo, drift_residual
from msvi.inference.posterior import Marginals, MarkovPosterior, SmoothPosterior
from msvi.types import Gaussian


@dataclasses.dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """`dz = -rate z dt + sqrt(q) dW`, `z(0) ~ N(0, prior)`, observed at times `t` with noise of variance `noise`."""

    rate: float
    q: float
    prior: float
    noise: float

    def covariance(self, a, b):
        """Of `z` at times `a` and `b`, `(a, b)`."""
        stationary = self.q / (2 * self.rate)
        a, b = a[:, None], b[None]
        decayed = np.exp(-self.rate * (a + b))
        return self.prior * decayed + stationary * (np.exp(-self.rate * np.abs(a - b)) - decayed)

    def sample(self, t, rng):
        """Observations `(time,)`."""
        joint = self.covariance(t, t) + self.noise * np.eye(len(t))
        return np.linalg.cholesky(joint) @ rng.standard_normal(len(t))

    def log_evidence(self, t, y):
        """Of the dense joint Gaussian."""
        joint = self.covariance(t, t) + self.noise * np.eye(len(t))
        return -0.5 * (y @ np.linalg.solve(joint, y) + np.linalg.slogdet(2 * np.pi * joint)[1])

    def smoother(self, t, y):
        """Exact posterior mean and variance as functions of time, by conditioning the dense joint Gaussian."""
        inverse = np.linalg.inv(self.covariance(t, t) + self.noise * np.eye(len(t)))

        def mean(time):
            return self.covariance(time, t) @ inverse @ y

        def var(time):
            cross = self.covariance(time, t)
            return np.diag(self.covariance(time, time)) - np.sum((cross @ inverse) * cross, axis=1)

        return mean, var

    def log_likelihood(self, y, mean, var):
        """`E log p(y | z)` for `z ~ N(mean, var)`, summed."""
        return -0.5 * np.sum(np.log(2 * np.pi * self.noise) + ((y - mean) ** 2 + var) / self.noise)

    def initial_kl(self, mean, var):
        """`KL(N(mean, var) || N(0, prior))`."""
        return 0.5 * (var / self.prior + mean**2 / self.prior - 1 - np.log(var / self.prior))


# The formula of the bound.

MODEL = OrnsteinUhlenbeck(rate=0.8, q=0.5, prior=1.5, noise=0.1)
T = np.array([0.3, 0.9, 1.0, 1.7, 2.0])
END = 2.4
Y = np.array([0.9, 0.2, 0.5, -0.6, -0.1])


def elbo_without_sampling(ou, mean, var):
    """The bound by quadrature: Gauss-Legendre in time between the observations, Gauss-Hermite in `z`."""
    node, weight = np.polynomial.legendre.leggauss(24)
    ends = np.concatenate([[0.0], T, [END]])
    half = np.diff(ends)[:, None] / 2
    time, time_weight = (ends[:-1, None] + half * (1 + node)).ravel(), (half * weight).ravel()
    step = 1e-5  # central differences: errors of 1e-10, away from the kinks at the observations

    def with_derivative(f):
        return f(time)[:, None], ((f(time + step) - f(time - step)) / (2 * step))[:, None]

    (m, m_dot), (log_s, log_s_dot) = with_derivative(mean), with_derivative(lambda t: np.log(var(t)))
    residual = 0.0
    with jax.enable_x64(True):
        for x, x_weight in zip(*np.polynomial.hermite_e.hermegauss(3), strict=True):  # exact for the square
            z = m + np.exp(0.5 * log_s) * x
            value = drift_residual(Marginals(m, log_s, m_dot, log_s_dot), z, -ou.rate * z, np.log([[ou.q]]))
            residual += x_weight / np.sqrt(2 * np.pi) * np.asarray(value)
    zero = np.zeros(1)
    kl = ou.initial_kl(mean(zero)[0], var(zero)[0])
    return ou.log_likelihood(Y, mean(T), var(T)) - time_weight @ residual - kl


def test_bound_is_tight_for_the_exact_posterior():
    """ELBO = log evidence, with 1e-7 for the derivatives by finite differences."""
    bound = elbo_without_sampling(MODEL, *MODEL.smoother(T, Y))
    np.testing.assert_allclose(bound, MODEL.log_evidence(T, Y), atol=1e-7)


@pytest.mark.parametrize(
    ("shift", "log_factor"),
    [
        (lambda t: 0.1 + 0 * t, lambda t: 0 * t),
        (lambda t: 0.1 * np.sin(5 * t), lambda t: 0 * t),
        (lambda t: 0 * t, lambda t: 0.3 + 0 * t),
        (lambda t: 0 * t, lambda t: -0.3 + 0 * t),
        (lambda t: 0 * t, lambda t: 0.3 * t),
        (lambda t: 0 * t, lambda t: 0.2 * np.cos(4 * t)),
    ],
    ids=["mean", "mean in time", "wide", "narrow", "variance trend", "variance in time"],
)
def test_bound_is_below_for_any_other_posterior(shift, log_factor):
    """Every wrong posterior loses at least 0.01 nats here, a hundred thousand times the tolerance above."""
    mean, var = MODEL.smoother(T, Y)
    bound = elbo_without_sampling(MODEL, lambda t: mean(t) + shift(t), lambda t: var(t) * np.exp(log_factor(t)))
    assert bound < MODEL.log_evidence(T, Y) - 0.01


def test_loss_of_a_shifted_mean():
    """For a mean wrong by `d` everywhere the gap has a closed form: `d²/2 (K / noise + 1 / prior + rate² T / q)`."""
    mean, var = MODEL.smoother(T, Y)
    gap = MODEL.log_evidence(T, Y) - elbo_without_sampling(MODEL, lambda t: mean(t) + 0.1, var)
    expected = 0.005 * (len(T) / MODEL.noise + 1 / MODEL.prior + MODEL.rate**2 * END / MODEL.q)
    np.testing.assert_allclose(gap, expected, atol=1e-7)


@pytest.mark.parametrize("name", ["rate", "q", "prior", "noise"])
def test_gradient_at_the_exact_posterior_is_that_of_the_evidence(name):
    """The posterior held fixed, the bound touches the log evidence: equal slopes in every parameter of the model.

    Central differences over 2e-4, truncation about 1e-6 of slopes of order one.
    """
    posterior, step = MODEL.smoother(T, Y), 1e-4
    up, down = (dataclasses.replace(MODEL, **{name: getattr(MODEL, name) + h}) for h in (step, -step))
    bound = (elbo_without_sampling(up, *posterior) - elbo_without_sampling(down, *posterior)) / (2 * step)
    evidence = (up.log_evidence(T, Y) - down.log_evidence(T, Y)) / (2 * step)
    np.testing.assert_allclose(bound, evidence, rtol=1e-4, atol=1e-4)


def random_marginals():
    return Marginals(*(jnp.asarray(x, jnp.float32) for x in np.random.default_rng(0).standard_normal((4, 6, 3))))


@pytest.mark.parametrize("varying", [False, True])
def test_residual_vanishes_for_the_drift_of_the_posterior(varying):
    """Drift `m' + A (z - m)` with `A` from the Lyapunov equation `S' = 2 A S + Q`, also where `Q` changes with time;
    squares of float32 round-off."""
    marginals, log_q = random_marginals(), jnp.array([-0.5, 0.3, 1.0])[None]
    if varying:
        log_q = log_q + jnp.linspace(-1, 1, 6)[:, None]
    z = marginals.gaussian.sample(jax.random.key(0))
    var = jnp.exp(marginals.log_var)
    slope = (var * marginals.log_var_dot - jnp.exp(log_q)) / (2 * var)
    drift = marginals.mean_dot + slope * (z - marginals.mean)
    np.testing.assert_allclose(drift_residual(marginals, z, drift, log_q), 0, atol=1e-9)
    # An error in the drift costs its square over 2 Q, summed over the latents.
    wrong = drift_residual(marginals, z, drift + 0.5, log_q)
    np.testing.assert_allclose(wrong, np.sum(0.125 / np.exp(log_q), axis=1) * np.ones(6), rtol=1e-4)


def test_rotation_turns_deviations_and_keeps_the_marginals():
    """A noise-driven oscillator in its stationary state: its own drift leaves no residual, and what is paid without the
    rotation is `w² tr(S Q^-1) / 2` on average. Any antisymmetric rotation solves the Lyapunov equation of `S`."""
    rate, speed, log_q = 0.5, 3.0, jnp.log(jnp.array([[0.2, 0.2]]))
    turn = speed * jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    var = jnp.exp(log_q) / (2 * rate)
    mean = jnp.array([[0.7, -0.4]])
    flow = turn - rate * jnp.eye(2)
    marginals = Marginals(mean, jnp.log(var), mean @ flow.T, jnp.zeros((1, 2)))
    z = mean + jnp.sqrt(var) * jax.random.normal(jax.random.key(0), (20_000, 2))
    at_draws = Marginals(*(jnp.broadcast_to(a, z.shape) for a in marginals))
    np.testing.assert_allclose(drift_residual(at_draws, z, z @ flow.T, log_q, turn), 0, atol=1e-9)
    paid = drift_residual(at_draws, z, z @ flow.T, log_q).mean()
    np.testing.assert_allclose(paid, 0.5 * speed**2 * float((var / jnp.exp(log_q)).sum()), rtol=0.02)
    # Unequal variances that change: the covariance of the posterior process moves as its marginals say.
    log_var, log_var_dot = jnp.array([-1.0, 0.6]), jnp.array([0.3, -0.8])
    uneven = Marginals(jnp.zeros((1, 2)), log_var[None], jnp.zeros((1, 2)), log_var_dot[None])

    def posterior_drift(z):
        # Of a model with the drift `e` the residual is `|b - e|² / 2`: with `e = 0` and unit vectors it gives `b`.
        rows = [drift_residual(uneven, z[None], push[None], jnp.zeros((1, 2)), turn)[0] for push in jnp.eye(2)]
        base = drift_residual(uneven, z[None], jnp.zeros((1, 2)), jnp.zeros((1, 2)), turn)[0]
        return base + 0.5 - jnp.array(rows)

    slope = jax.jacobian(posterior_drift)(jnp.zeros(2))
    covariance = jnp.diag(jnp.exp(log_var))
    moved = slope @ covariance + covariance @ slope.T + jnp.eye(2)
    np.testing.assert_allclose(moved, jnp.diag(log_var_dot * jnp.exp(log_var)), atol=1e-5)


# The estimator over a window. Two independent latents; a "field" of two points, each one latent plus noise.

PAIR = (OrnsteinUhlenbeck(1.0, 0.3, 1.0, 1.0), OrnsteinUhlenbeck(2.0, 0.5, 0.5, 1.0))


@dataclasses.dataclass(frozen=True)
class LinearModel:
    """Has what `WindowElbo` needs of a model."""

    def encode(self, params, u, mask=None):
        """Nearest frame of a table, if there is one; else what was observed, as it is."""
        if "table" in params:
            frame = jnp.argmin(jnp.sum((params["table"]["u"] - u[None]) ** 2, axis=(1, 2)))
            return jax.tree.map(lambda a: a[frame], params["table"]["encoded"])
        return Gaussian(u[:, 0], params["log_var"])

    def decode(self, params, z):
        return Gaussian(z[:, None], jnp.full((2, 1), params["log_noise"]))

    def drift(self, params, t, z, condition=None):
        return -params["rate"] * z

    def log_q(self, params, condition=None):
        return params["log_q"]


def window_data(num_frames, t1=2.0, seed=0, power=1.0):
    """Times, frames `(time, 2, 1)` and the parameters that made them, float32; unequal steps for another power."""
    t, rng = t1 * np.linspace(0, 1, num_frames) ** power, np.random.default_rng(seed)
    y = np.stack([ou.sample(t, rng) for ou in PAIR], axis=1)
    params = {
        "rate": np.array([ou.rate for ou in PAIR]),
        "log_q": np.log([ou.q for ou in PAIR]),
        "log_noise": np.log(PAIR[0].noise),
        "log_var": np.array([-2.0, -1.0]),
    }
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)
    return t, y, params


@jax.jit(static_argnums=0)
def estimates(elbo, params, t, u, keys):
    return jax.vmap(lambda key: elbo(params, t, lambda index: Frames(u[index]), key))(keys)


def estimate(elbo, params, t, y, num_keys):
    """Means and standard errors of log-likelihood, drift residual and bound over many keys."""
    keys = jax.random.split(jax.random.key(1), num_keys)
    terms = estimates(elbo, params, jnp.float32(t), jnp.float32(y[..., None]), keys)
    values = np.asarray([terms.log_likelihood, terms.drift_residual, terms.elbo], np.float64)
    return values.mean(axis=1), values.std(axis=1) / np.sqrt(num_keys)


def posterior_marginals(elbo, params, t, y, times):
    """The posterior that `elbo` uses, from the frames it says it encodes; float64 arrays `(time, latent)`."""
    node = np.round(np.linspace(0, len(t) - 1, elbo.num_nodes)).astype(int)
    arguments = (jnp.float32(a) for a in (t[node], y[node][..., None], times))
    return Marginals(*(np.asarray(a, np.float64) for a in encode_and_join(elbo, params, *arguments)))


@jax.jit(static_argnums=0)
def encode_and_join(elbo, params, nodes, u, times):
    encoded = jax.vmap(elbo.model.encode, (None, 0))(params["model"], u)
    return elbo.posterior.marginals(params["posterior"], nodes, encoded, times, elbo.model.log_q(params["model"]))


def expected_terms(elbo, params, t, y, pair=PAIR):
    """What the estimator estimates, in closed form but for the midpoint rule in time."""
    at_frames = posterior_marginals(elbo, params, t, y, t)
    log_likelihood = sum(
        ou.log_likelihood(y[:, d], at_frames.mean[:, d], np.exp(at_frames.log_var[:, d])) for d, ou in enumerate(pair)
    )
    time = t[0] + (t[-1] - t[0]) * (np.arange(2000) + 0.5) / 2000
    m = posterior_marginals(elbo, params, t, y, time)
    rate, q, var = np.array([o.rate for o in pair]), np.array([o.q for o in pair]), np.exp(m.log_var)
    # B (m - z) + m' + rate z has mean m' + rate m and variance (rate - B)² S.
    gain = 0.5 * (q / var - m.log_var_dot)
    residual = 0.5 * np.sum(((m.mean_dot + rate * m.mean) ** 2 + (rate - gain) ** 2 * var) / q, axis=1)
    return log_likelihood, (t[-1] - t[0]) * residual.mean()


@pytest.mark.parametrize(("num_scored", "num_quadrature", "power"), [(9, 8, 1), (3, 2, 1), (1, 1, 1), (3, 2, 1.5)])
def test_estimator_is_unbiased(num_scored, num_quadrature, power):
    """Any number of scored frames and of quadrature points estimates the same two numbers, at any times of the frames.

    Five standard errors of 10,000 draws, which are less than 5 % of the numbers. The five encoded frames are the
    same in all cases: their number changes the posterior itself.
    """
    t, y, model_params = window_data(9, power=power)
    posterior = SmoothPosterior(0.5, 1e-2)
    params = {"model": model_params, "posterior": perturb(posterior.init(jax.random.key(0), 2), scale=0.1)}
    elbo = WindowElbo(LinearModel(), posterior, num_nodes=5, num_scored=num_scored, num_quadrature=num_quadrature)
    mean, error = estimate(elbo, params, t, y, 10_000)
    expected = expected_terms(elbo, params, t, y)
    for k in range(2):
        assert abs(mean[k] - expected[k]) < 5 * error[k]
        assert 5 * error[k] < 0.05 * abs(expected[k])


def log_evidence(t, y):
    return sum(ou.log_evidence(t, y[:, d]) for d, ou in enumerate(PAIR))


def initial_kl(elbo, params, t, y):
    """The estimator's prior at the window's start is flat; the evidence is that of a proper one."""
    start = posterior_marginals(elbo, params, t, y, t[:1])
    return sum(ou.initial_kl(start.mean[0, d], np.exp(start.log_var[0, d])) for d, ou in enumerate(PAIR))


@pytest.mark.parametrize("log_var", [-4.0, -2.0, -1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_estimate_is_below_the_log_evidence(seed, log_var):
    """Encoders that return the observation with some variance: less the initial divergence, a strict bound."""
    t, y, model_params = window_data(9, seed=seed)
    posterior = SmoothPosterior(0.5, 1e-2)
    params = {
        "model": model_params | {"log_var": jnp.full(2, log_var)},
        "posterior": posterior.init(jax.random.key(0), 2),
    }
    elbo = WindowElbo(LinearModel(), posterior, num_nodes=5, num_scored=9, num_quadrature=8)
    mean, error = estimate(elbo, params, t, y, 10_000)
    assert mean[2] - initial_kl(elbo, params, t, y) + 5 * error[2] < log_evidence(t, y)


def test_estimate_is_nearly_tight_for_the_exact_marginals():
    """Encoder that knows the exact smoothing marginals at all frames: what is lost is the Gaussian process's.

    It rounds the kinks that the exact process has at every observation: jumps of the drift by `q (y - z) / noise`,
    which cost `q T / (24 noise)` each on average, .07 nats in all; measured .095.
    """
    t, y, model_params = window_data(33)
    mean, var = zip(*(ou.smoother(t, y[:, d]) for d, ou in enumerate(PAIR)), strict=True)
    exact = Gaussian(np.stack([m(t) for m in mean], axis=1), np.log(np.stack([v(t) for v in var], axis=1)))
    table = jax.tree.map(jnp.float32, {"u": y[..., None], "encoded": exact})
    posterior = SmoothPosterior(0.15, 1e-6)
    params = {"model": model_params | {"table": table}, "posterior": posterior.init(jax.random.key(0), 2)}
    elbo = WindowElbo(LinearModel(), posterior, num_nodes=33, num_scored=33, num_quadrature=64)
    log_likelihood, residual = expected_terms(elbo, params, t, y)
    mean, error = estimate(elbo, params, t, y, 2000)
    assert abs(mean[2] - (log_likelihood - residual)) < 5 * error[2]
    gap = log_evidence(t, y) - (log_likelihood - residual - initial_kl(elbo, params, t, y))
    assert 0 < gap < 0.15


def test_bound_is_tight_for_the_markov_posterior():
    """Encoder that gives the observations with their noise, and the rates of the model: the exact smoother, so that
    the bound is the log evidence, to the midpoint rule between kinks, 1e-3 nats. Wrong rates or dispersion lose.
    """
    pair = (
        OrnsteinUhlenbeck(1.0, 0.3, 0.15, 0.1),
        OrnsteinUhlenbeck(2.0, 0.5, 0.125, 0.1),
    )  # in their stationary state
    t, rng = np.linspace(0, 2, 17), np.random.default_rng(0)
    y = np.stack([ou.sample(t, rng) for ou in pair], axis=1)
    y = y - y.mean(axis=0)  # the level of the posterior is the mean of the nodes; that of the model is 0
    rate, q = (jnp.array([getattr(ou, name) for ou in pair]) for name in ("rate", "q"))
    noise = {"log_noise": jnp.log(0.1), "log_var": jnp.full(2, jnp.log(0.1))}
    params = {"model": {"rate": rate, "log_q": jnp.log(q)} | noise, "posterior": {"log_rate": jnp.log(rate)}}
    elbo = WindowElbo(LinearModel(), MarkovPosterior(1.0), num_nodes=17, num_scored=17, num_quadrature=64)
    evidence = sum(ou.log_evidence(t, y[:, d]) for d, ou in enumerate(pair))

    def bound(params):
        log_likelihood, residual = expected_terms(elbo, params, t, y, pair)
        start = posterior_marginals(elbo, params, t, y, t[:1])
        kl = sum(ou.initial_kl(start.mean[0, d], np.exp(start.log_var[0, d])) for d, ou in enumerate(pair))
        return log_likelihood - residual - kl

    assert abs(bound(params) - evidence) < 2e-3
    assert bound(params | {"posterior": {"log_rate": jnp.log(4 * rate)}}) < evidence - 0.02
    # The estimator by sampling estimates just this.
    mean, error = estimate(elbo, params, t, y, 4000)
    log_likelihood, residual = expected_terms(elbo, params, t, y, pair)
    assert abs(mean[2] - (log_likelihood - residual)) < 5 * error[2] < 0.6


def test_signs_of_the_terms():
    """`elbo` is the bound itself: likelihood minus residual."""
    assert ElboTerms(jnp.array(-3.0), jnp.array(2.0)).elbo == -5.0


@pytest.mark.parametrize("posterior", [SmoothPosterior(0.5, 1e-2), MarkovPosterior(1.0)], ids=["smooth", "markov"])
def test_every_parameter_of_the_multiscale_model_is_trained(model, params, posterior):
    """One gradient of the bound: finite everywhere, and no leaf without any.

    But one: a constant added to the warped time drops out of the kernel, which sees differences.
    """
    everything = {"model": params, "posterior": perturb(posterior.init(jax.random.key(0), model.latent_dim))}
    elbo = WindowElbo(model, posterior, num_nodes=4, num_scored=3, num_quadrature=4)
    u, t = random_frames(8), jnp.linspace(0.0, 1.0, 8)
    gradients = jax.jit(jax.grad(lambda p: elbo(p, t, lambda i: Frames(u[i]), jax.random.key(3)).elbo))(everything)
    for path, gradient in jax.tree.leaves_with_path(gradients):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(gradient).all(), name
        if not name.endswith("['warp']['params']['Dense_1']['bias']"):
            assert np.abs(gradient).max() > 0, name


def without_variance(model, params):
    """Estimator, parameters with a vanishing posterior variance, and all scored frames with their times."""
    posterior = SmoothPosterior(0.5, 1e-2)
    params = params | {"posterior_log_var": jnp.full(model.latent_dim, -40.0)}
    everything = {"model": params, "posterior": posterior.init(jax.random.key(0), 2)}
    elbo = WindowElbo(model, posterior, num_nodes=4, num_scored=7, num_quadrature=1)
    return elbo, everything, random_frames(7), jnp.linspace(0.0, 1.0, 7)


def test_log_likelihood_of_the_multiscale_model(model, params):
    """At vanishing posterior variance the term is the decoder's density at the interpolated means, frame by frame."""
    elbo, everything, u, t = without_variance(model, params)
    params = everything["model"]
    node = np.array([0, 2, 4, 6])
    mean = encode_and_join(elbo, everything, t[node], u[node], t).mean
    decoded = jax.jit(jax.vmap(model.decode, (None, 0)))(params, mean)
    error, var = np.asarray(u - decoded.mean, np.float64), np.exp(np.asarray(decoded.log_var, np.float64))
    expected = -0.5 * np.sum(error**2 / var + np.log(2 * np.pi * var))
    terms = jax.jit(lambda params, u: elbo(params, t, lambda i: Frames(u[i]), jax.random.key(3)))(everything, u)
    np.testing.assert_allclose(terms.log_likelihood, expected, rtol=1e-4)


def test_likelihood_of_what_was_observed(model, params):
    """Values under a false mask, whatever they are, take no part: the sum of the densities of the others is left."""
    elbo, everything, u, t = without_variance(model, params)
    params = everything["model"]
    mask = jnp.asarray(np.random.default_rng(0).random(u.shape) > 0.4)

    @jax.jit
    def terms(u, mask):
        return elbo(everything, t, lambda i: Frames(u[i], mask[i]), jax.random.key(3))

    garbled = jnp.where(mask, u, 1e6)
    found = terms(garbled, mask)
    np.testing.assert_allclose(found, terms(u, mask), rtol=1e-6)
    node = np.array([0, 2, 4, 6])
    encoded = jax.vmap(model.encode, (None, 0, 0))(params, garbled[node], mask[node])
    mean = elbo.posterior.marginals(everything["posterior"], t[node], encoded, t, params["log_q"]).mean
    decoded = jax.jit(jax.vmap(model.decode, (None, 0)))(params, mean)
    log_prob = np.asarray(decoded.log_prob(u), np.float64)
    np.testing.assert_allclose(found.log_likelihood, log_prob[np.asarray(mask)].sum(), rtol=1e-4)


def test_only_the_frames_needed_are_asked_for(model, params):
    """The encoded ones, both ends among them, and the scored ones, each of these once: a window is never cut whole."""
    posterior = SmoothPosterior(0.5, 1e-2)
    everything = {"model": params, "posterior": posterior.init(jax.random.key(0), 2)}
    elbo = WindowElbo(model, posterior, num_nodes=4, num_scored=3, num_quadrature=4)
    u, t, asked = random_frames(10), jnp.linspace(0.0, 1.0, 10), []

    def frames(index):
        jax.debug.callback(lambda i: asked.append(np.asarray(i)), index)
        return Frames(u[index])

    jax.block_until_ready(jax.jit(lambda key: elbo(everything, t, frames, key))(jax.random.key(3)))
    jax.effects_barrier()
    (numbers,) = asked  # at once, and they are known beforehand
    np.testing.assert_array_equal(numbers, elbo.looked_at(jax.random.key(3), 10))
    nodes, scored = numbers[:4], numbers[4:]
    np.testing.assert_array_equal(nodes, [0, 3, 6, 9])
    assert len(set(scored.tolist())) == 3 and scored.min() >= 0 and scored.max() < 10


def random_frames(number):
    return jnp.asarray(0.1 * np.random.default_rng(2).standard_normal((number, 40, 1)), jnp.float32)
