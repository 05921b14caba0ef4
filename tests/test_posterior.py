"""Gaussian-process interpolation in time against dense formulas and finite differences, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb

from msvi.inference.posterior import GaussianProcessPosterior, Warp
from msvi.types import Gaussian

POSTERIOR = GaussianProcessPosterior(init_length=0.4, init_noise=1e-3)
NODES = np.array([1.0, 1.2, 1.5, 1.8, 2.2, 2.5, 3.0])
T = np.linspace(1.03, 2.97, 15)  # no query at a node

weights = jax.jit(POSTERIOR.weights)
marginals = jax.jit(POSTERIOR.marginals)  # the initial values differ from test to test, the function does not


@pytest.fixture(autouse=True)
def double_precision():
    """Single precision would hide errors behind the condition number of the Gram matrix."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["fresh", "warped"])
def gp_params(request):
    """As initialised (no warp, the values asked for), and with everything moved."""
    fresh = POSTERIOR.init(jax.random.key(0))
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
    params = POSTERIOR.init(jax.random.key(0))
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
    params = GaussianProcessPosterior(init_length=0.4, init_noise=1e-12).init(jax.random.key(0))
    nodes, t = np.linspace(0, 2, 21), np.linspace(0.1, 1.9, 30)
    mean = jnp.asarray(np.sin(2 * nodes)[:, None])
    found = marginals(params, nodes, Gaussian(mean, mean), t)
    np.testing.assert_allclose(found.mean[:, 0], np.sin(2 * t), atol=1e-3)
    np.testing.assert_allclose(found.mean_dot[:, 0], 2 * np.cos(2 * t), atol=1e-2)


def test_nodes_are_reached_without_noise():
    """At vanishing noise (the floor of 1e-5 is left) the interpolant passes through arbitrary node values."""
    params = GaussianProcessPosterior(init_length=0.1, init_noise=1e-12).init(jax.random.key(0))
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
    posterior = GaussianProcessPosterior(init_length=0.3, init_noise=1e-3)
    nodes, t = np.linspace(0, 0.127, 32), np.linspace(0, 0.127, 50)
    mean = np.random.default_rng(0).standard_normal((32, 3))
    double = marginals(posterior.init(jax.random.key(0)), nodes, Gaussian(mean, mean), t)
    with jax.enable_x64(False):
        single = marginals(
            posterior.init(jax.random.key(0)),
            *(jax.tree.map(jnp.float32, value) for value in (nodes, Gaussian(mean, mean), t)),
        )
    assert single.mean.dtype == jnp.float32
    np.testing.assert_allclose(single.mean, double.mean, atol=1e-3)
    scale = np.abs(double.mean_dot).max()
    np.testing.assert_allclose(single.mean_dot / scale, double.mean_dot / scale, atol=1e-3)
