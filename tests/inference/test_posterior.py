"""Both posterior processes in time against dense formulas and finite differences, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb

from msvi.inference.linalg import inverse
from msvi.inference.posterior import MarkovPosterior, SmoothPosterior, Warp
from msvi.types import Gaussian

POSTERIOR = SmoothPosterior(init_length=0.4, init_noise=1e-3)
NODES = np.array([1.0, 1.2, 1.5, 1.8, 2.2, 2.5, 3.0])
T = np.linspace(1.03, 2.97, 15)  # no query at a node

LOG_Q = np.array([-1.0, 0.2, 0.9])

weights = jax.jit(POSTERIOR.weights)


@jax.jit
def marginals(params, nodes, encoded, t):
    """The initial values differ from test to test, the function does not."""
    return POSTERIOR.marginals(params, nodes, encoded, t, jnp.zeros(encoded.mean.shape[1]))


@pytest.fixture(autouse=True)
def double_precision():
    """Single precision would hide errors behind the condition number of the Gram matrix."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["fresh", "warped"])
def gp_params(request):
    """As initialised (no warp, the values asked for), and with everything moved."""
    fresh = POSTERIOR.init(jax.random.key(0), 3)
    return fresh if request.param == "fresh" else perturb(fresh, scale=0.3)


def warp(params, t):
    """`w(tau)` on time rescaled to [-1, 1] over the nodes, taken from the module and checked on its own below."""
    return np.asarray(Warp().apply(params["warp"], 2 * (t - NODES[0]) / (NODES[-1] - NODES[0]) - 1))


def encoded_frames(seed=0):
    mean, log_var = np.random.default_rng(seed).standard_normal((2, len(NODES), 3))
    return Gaussian(jnp.asarray(mean), jnp.asarray(log_var))


def test_weights_are_the_dense_formula(gp_params):
    """`k(t, T) (K_TT + v I)^-1` with an explicit inverse; the floor of 1e-5 on `v` is part of the definition."""
    length, noise = np.exp(gp_params["log_length"]), np.exp(gp_params["log_noise"]) + 1e-5

    def kernel(a, b):
        return np.exp(-((warp(gp_params, a)[:, None] - warp(gp_params, b)[None]) ** 2) / (2 * length**2))

    expected = kernel(T, NODES) @ np.linalg.inv(kernel(NODES, NODES) + noise * np.eye(len(NODES)))
    np.testing.assert_allclose(weights(gp_params, NODES, T)[0], expected, atol=1e-9)


def test_initial_values():
    """No warp at first; length scale and noise are those asked for."""
    params = POSTERIOR.init(jax.random.key(0), 3)
    np.testing.assert_allclose(warp(params, NODES), NODES - 2, atol=1e-12)
    np.testing.assert_allclose(np.exp(params["log_length"]), 0.4)
    np.testing.assert_allclose(np.exp(params["log_noise"]), 1e-3)


def test_warp_bends_time(gp_params, request):
    """The perturbed fixture does test a warp: far from the identity, and not a rescaling of it."""
    bend = warp(gp_params, NODES) - (NODES - 2)
    curved = np.ptp(np.diff(bend) / np.diff(NODES))
    assert curved == 0 if "fresh" in request.node.name else curved > 0.02


def test_time_derivatives(gp_params):
    """Central differences over 2e-5 in float64: truncation 1e-9, round-off 1e-10 of values of order one."""
    encoded, step = encoded_frames(), 1e-5
    here, after, before = (marginals(gp_params, NODES, encoded, T + h) for h in (0, step, -step))
    np.testing.assert_allclose(here.mean_dot, (after.mean - before.mean) / (2 * step), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(here.log_var_dot, (after.log_var - before.log_var) / (2 * step), rtol=1e-6, atol=1e-7)
    assert np.abs(here.mean_dot).max() > 0.1


def test_marginals_are_the_weighted_nodes(gp_params):
    """Level plus weights times deviations, for mean and log-variance alike and each latent on its own."""
    encoded = encoded_frames()
    rows = np.asarray(weights(gp_params, NODES, T)[0])
    found = marginals(gp_params, NODES, encoded, T)
    for value, nodes in ((found.mean, encoded.mean), (found.log_var, encoded.log_var)):
        level = np.mean(nodes, axis=0)
        expected = np.array([[level[d] + w @ (nodes[:, d] - level[d]) for d in range(3)] for w in rows])
        np.testing.assert_allclose(value, expected, atol=1e-12)


def test_constants_are_kept(gp_params):
    """A log-variance that is the same at all nodes is that between them, with derivative zero: float64 round-off."""
    constant = jnp.full((len(NODES), 2), -6.3)
    found = marginals(gp_params, NODES, Gaussian(constant, constant), T)
    np.testing.assert_allclose(found.mean, -6.3, rtol=1e-13)
    np.testing.assert_allclose(found.log_var, -6.3, rtol=1e-13)
    np.testing.assert_allclose(found.mean_dot, 0, atol=1e-10)
    np.testing.assert_allclose(found.log_var_dot, 0, atol=1e-10)


def test_smooth_functions_are_interpolated():
    """A sine over 0.6 periods from 21 nodes: value and slope to the noise, of which the floor of 1e-5 is left."""
    params = SmoothPosterior(init_length=0.4, init_noise=1e-12).init(jax.random.key(0), 3)
    nodes, t = np.linspace(0, 2, 21), np.linspace(0.1, 1.9, 30)
    mean = jnp.asarray(np.sin(2 * nodes)[:, None])
    found = marginals(params, nodes, Gaussian(mean, mean), t)
    np.testing.assert_allclose(found.mean[:, 0], np.sin(2 * t), atol=1e-3)
    np.testing.assert_allclose(found.mean_dot[:, 0], 2 * np.cos(2 * t), atol=1e-2)


def test_nodes_are_reached_without_noise():
    """At vanishing noise (the floor of 1e-5 is left) the interpolant passes through arbitrary node values."""
    params = SmoothPosterior(init_length=0.1, init_noise=1e-12).init(jax.random.key(0), 3)
    encoded = encoded_frames()
    np.testing.assert_allclose(marginals(params, NODES, encoded, NODES).mean, encoded.mean, atol=1e-3)


def test_unit_of_time_does_not_matter(gp_params):
    """Times in another unit and from another origin: the same marginals, derivatives in the new unit."""
    encoded = encoded_frames()
    here = marginals(gp_params, NODES, encoded, T)
    there = marginals(gp_params, 5 + 10 * NODES, encoded, 5 + 10 * T)
    np.testing.assert_allclose(there.mean, here.mean, atol=1e-9)
    np.testing.assert_allclose(10 * there.mean_dot, here.mean_dot, atol=1e-8)


def test_single_precision_is_good_enough():
    """The default window, 32 nodes and a smooth kernel, in float32 against float64: 1e-3 of values of order one."""
    posterior = SmoothPosterior(init_length=0.3, init_noise=1e-3)
    nodes, t = np.linspace(0, 0.127, 32), np.linspace(0, 0.127, 50)
    mean = np.random.default_rng(0).standard_normal((32, 3))
    double = marginals(posterior.init(jax.random.key(0), 3), nodes, Gaussian(mean, mean), t)
    with jax.enable_x64(False):
        single = marginals(
            posterior.init(jax.random.key(0), 3),
            *(jax.tree.map(jnp.float32, value) for value in (nodes, Gaussian(mean, mean), t)),
        )
    assert single.mean.dtype == jnp.float32
    np.testing.assert_allclose(single.mean, double.mean, atol=1e-3)
    scale = np.abs(double.mean_dot).max()
    np.testing.assert_allclose(single.mean_dot / scale, double.mean_dot / scale, atol=1e-3)


# The Markov process.

MARKOV = MarkovPosterior(init_rate=0.7)
RATE = np.array([0.3, 1.0, 4.0])
RATES = {"log_rate": np.log(RATE)}

markov = jax.jit(MARKOV.marginals)


def dense_markov(encoded, t):
    """Mean and covariance diagonal `(time, 3)` of an Ornstein-Uhlenbeck process given its noisy nodes, by conditioning
    the dense joint Gaussian."""
    y, noise = np.asarray(encoded.mean), np.exp(np.asarray(encoded.log_var))
    mean, var = np.empty((2, len(t), 3))
    for d, (rate, q) in enumerate(zip(RATE, np.exp(LOG_Q), strict=True)):

        def covariance(a, b, rate=rate, q=q):
            return q / (2 * rate) * np.exp(-rate * np.abs(a[:, None] - b[None]))

        cross, joint = covariance(t, NODES), covariance(NODES, NODES) + np.diag(noise[:, d])
        level = y[:, d].mean()
        mean[:, d] = level + cross @ np.linalg.solve(joint, y[:, d] - level)
        var[:, d] = q / (2 * rate) - np.sum(cross * np.linalg.solve(joint, cross.T).T, axis=1)
    return mean, var


def test_markov_is_the_dense_formula():
    """Filter, smoother and bridge give what one inverse gives, at nodes and between them, with unequal steps."""
    encoded, t = encoded_frames(), np.sort(np.concatenate([T, NODES]))
    found, (mean, var) = markov(RATES, NODES, encoded, t, LOG_Q), dense_markov(encoded, t)
    np.testing.assert_allclose(found.mean, mean, atol=1e-10)
    np.testing.assert_allclose(np.exp(found.log_var), var, rtol=1e-10)
    assert np.ptp(var, axis=0).min() > 0.1


def test_markov_time_derivatives():
    """Central differences over 2e-5 of the dense formula, between the nodes: truncation 1e-9, round-off 1e-10."""
    encoded, step = encoded_frames(), 1e-5
    found = markov(RATES, NODES, encoded, T, LOG_Q)
    (mean_after, var_after), (mean_before, var_before) = (dense_markov(encoded, T + h) for h in (step, -step))
    np.testing.assert_allclose(found.mean_dot, (mean_after - mean_before) / (2 * step), rtol=1e-6, atol=1e-7)
    slope = (np.log(var_after) - np.log(var_before)) / (2 * step)
    np.testing.assert_allclose(found.log_var_dot, slope, rtol=1e-6, atol=1e-7)
    assert np.abs(found.mean_dot).max() > 0.1 and np.abs(found.log_var_dot).max() > 0.1


def test_markov_follows_nodes_that_are_sure():
    """Nodes without noise are passed through with a kink, and the variance opens between them as a bridge's."""
    encoded = encoded_frames()._replace(log_var=jnp.full((len(NODES), 3), -30.0))
    found = markov({"log_rate": np.full(3, np.log(1e-4))}, NODES, encoded, NODES, LOG_Q)
    np.testing.assert_allclose(found.mean, encoded.mean, atol=1e-9)
    middle = (NODES[1:] + NODES[:-1]) / 2
    found = markov({"log_rate": np.full(3, np.log(1e-4))}, NODES, encoded, middle, LOG_Q)
    np.testing.assert_allclose(found.mean, (encoded.mean[1:] + encoded.mean[:-1]) / 2, atol=1e-6)
    expected = np.exp(LOG_Q)[None] * np.diff(NODES)[:, None] / 4  # Q s (1 - s / h) at the middle of a Brownian bridge
    np.testing.assert_allclose(np.exp(found.log_var), expected, rtol=1e-6)


def test_markov_initial_and_largest_rate():
    """Each latent has a rate of its own, at first the one asked for; beyond the largest nothing changes."""
    params = MARKOV.init(jax.random.key(0), 3)
    np.testing.assert_allclose(np.exp(params["log_rate"]), [0.7] * 3, rtol=1e-6)
    bounded, encoded = MarkovPosterior(init_rate=1.0, max_rate=2.0), encoded_frames()
    at, above = (bounded.marginals({"log_rate": jnp.log(jnp.full(3, r))}, NODES, encoded, T, LOG_Q) for r in (2.0, 9.0))
    for a, b in zip(at, above, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("rate", [1e-3, 1.0, 30.0])
def test_markov_in_single_precision(rate):
    """128 nodes, noise from 1e-4 to 1 and slow, usual and fast rates, in float32 against float64: 1e-3."""
    rng = np.random.default_rng(0)
    nodes, t = np.linspace(0, 4, 128), np.linspace(0, 4, 300)
    encoded = Gaussian(rng.standard_normal((128, 3)).cumsum(axis=0) * 0.1, rng.uniform(-9, 0, (128, 3)))
    arguments = {"log_rate": np.full(3, np.log(rate))}, nodes, encoded, t, LOG_Q
    double = markov(*arguments)
    with jax.enable_x64(False):
        single = markov(*jax.tree.map(jnp.float32, arguments))
    assert single.mean.dtype == jnp.float32
    np.testing.assert_allclose(single.mean, double.mean, atol=1e-3)
    np.testing.assert_allclose(single.log_var, double.log_var, atol=2e-3)


# Inverse of a Gram matrix.


def gram(n, condition, seed=0):
    """A symmetric positive definite matrix with eigenvalues from 1 down to 1 / condition."""
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    return q * np.geomspace(1, 1 / condition, n) @ q.T


@pytest.mark.parametrize(("n", "condition"), [(1, 1), (2, 10), (7, 1e3), (32, 1e6), (128, 1e8)])
def test_inverse(n, condition):
    """Against LAPACK's, to what the condition leaves of float64; also of a batch, each by itself."""
    a, b = gram(n, condition), gram(n, condition, seed=1)
    for found, matrix in zip(jax.jit(jax.vmap(inverse))(jnp.stack([a, b])), (a, b), strict=True):
        np.testing.assert_allclose(found, np.linalg.inv(matrix), atol=1e-14 * condition**2)
        np.testing.assert_allclose(matrix @ found, np.eye(n), atol=1e-13 * condition)


def test_gradient_of_the_inverse():
    """In the direction of `B` the inverse changes by `-A^-1 B A^-1`: of its entries weighted with `C`, exactly."""
    rng = np.random.default_rng(2)
    a, c = gram(6, 100), rng.standard_normal((6, 6))
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(c * inverse(a))))(a)
    expected = -np.linalg.inv(a).T @ c @ np.linalg.inv(a).T
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)
    # And by central differences, in a symmetric direction.
    b = rng.standard_normal((6, 6))
    b, step = b + b.T, 1e-6
    slope = (np.sum(c * np.linalg.inv(a + step * b)) - np.sum(c * np.linalg.inv(a - step * b))) / (2 * step)
    np.testing.assert_allclose(np.sum(gradient * b), slope, rtol=1e-5)


def test_inverse_in_single_precision():
    """The Gram matrix of 128 nodes of a smooth kernel and the least noise that is allowed, against float64: what the
    interpolation uses, the product with the kernel, to 1e-3."""
    nodes = np.linspace(-1, 1, 128)
    kernel = np.exp(-((nodes[:, None] - nodes[None]) ** 2) / (2 * 0.1**2))
    matrix = kernel + 1e-3 * np.eye(128)
    expected = kernel @ np.linalg.inv(matrix)
    with jax.enable_x64(False):
        found = kernel.astype(np.float32) @ np.asarray(jax.jit(inverse)(jnp.float32(matrix)))
    np.testing.assert_allclose(found, expected, atol=1e-3)
