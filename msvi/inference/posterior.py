"""Gaussian posteriors over a window: latent marginals and their time derivatives at any time.

Encoded frames, the nodes, are joined by a Gaussian process in time. Which one decides what can be learned: a smooth
process cannot follow a rough path, so that process noise is booked as observation noise; and between the nodes of a
smooth path a Markov process is rougher than needed.
"""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from msvi.inference.linalg import inverse
from msvi.model.networks import apply
from msvi.types import Array, Gaussian, Params


class Marginals(NamedTuple):
    """Posterior marginals `N(m(t), S(t))` and their time derivatives, all `(time, latent_dim)`.

    `log_var` is the logarithm of the diagonal of `S`; `*_dot` are derivatives with respect to `t`.
    """

    mean: Array
    log_var: Array
    mean_dot: Array
    log_var_dot: Array

    @property
    def gaussian(self) -> Gaussian:
        """The marginals without their derivatives."""
        return Gaussian(self.mean, self.log_var)


class Warp(nn.Module):
    """`w(tau) = tau + MLP(tau)` on the rescaled time `tau` in [-1, 1]; only its differences matter."""

    width: int = 16

    @nn.compact
    def __call__(self, tau: Array) -> Array:
        hidden = nn.tanh(nn.Dense(self.width)(tau[..., None]))
        return tau + nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros)(hidden)[..., 0]


@dataclasses.dataclass(frozen=True)
class SmoothPosterior:
    """Interpolates encoded nodes in time, `m(t) = k(t, T) (K_TT + v I)^-1 m_T`, and `log S(t)` alike.

    `k(t, t') = exp(-(w(t) - w(t'))² / (2 l²))`: the amplitude only matters relative to the noise variance `v`, so
    it is set to one. The mean of the nodes is taken out before and added after, which leaves constants (a
    log-variance that is the same for all frames, say) exactly as they are.

    Attributes:
      init_length: initial `l`, in units of half the window.
      init_noise: initial `v`, relative to the kernel's amplitude.
    """

    init_length: float
    init_noise: float

    def init(self, key: Array, shape: tuple[int, ...]) -> Params:
        """Fresh kernel and warp parameters, the same for all latents."""
        return {
            "log_length": jnp.log(self.init_length),
            "log_noise": jnp.log(self.init_noise),
            "warp": Warp().init(key, jnp.zeros(1)),
        }

    def weights(self, params: Params, nodes: Array, t: Array) -> tuple[Array, Array]:
        """Interpolation weights `W = k(t, T) (K_TT + v I)^-1` and `dW / dt`, each `(time, node)`.

        Args:
          nodes: times of the encoded frames, `(node,)`, increasing.
          t: query times, `(time,)`.
        """
        first, half = nodes[0], 0.5 * (nodes[-1] - nodes[0])

        def warp(time):
            return apply(Warp(), params["warp"], (time - first) / half - 1.0)

        def kernel(time):
            distance = (warp(time)[:, None] - warp(nodes)[None]) * jnp.exp(-params["log_length"])
            return jnp.exp(-0.5 * distance**2)

        # The floor keeps the inverse of a smooth kernel's Gram matrix finite in single precision.
        noise = jnp.exp(params["log_noise"]) + 1e-5
        precision = inverse(kernel(nodes) + noise * jnp.eye(nodes.shape[0]))
        cross, cross_dot = jax.jvp(kernel, (t,), (jnp.ones_like(t),))
        return cross @ precision, cross_dot @ precision

    def marginals(self, params: Params, nodes: Array, encoded: Gaussian, t: Array, log_q: Array) -> Marginals:
        """Posterior marginals at times `t` from the encoded frames at `nodes`.

        Args:
          nodes: `(node,)`.
          encoded: Gaussians of `z` at the nodes, `(node, latent_dim)`.
          t: `(time,)`.
          log_q: not used: this process knows no dispersion.
        """
        weights, weights_dot = self.weights(params, nodes, t)

        def interpolate(values):
            level = values.mean(axis=0, keepdims=True)
            return level + weights @ (values - level), weights_dot @ (values - level)

        (mean, mean_dot), (log_var, log_var_dot) = interpolate(encoded.mean), interpolate(encoded.log_var)
        return Marginals(mean, log_var, mean_dot, log_var_dot)


@dataclasses.dataclass(frozen=True)
class MarkovPosterior:
    """Posterior of a Markov process whose noisy observations are the encoded nodes.

    Each latent follows `dz = -r (z - level) dt + sqrt(Q) dW` with the dispersion `Q` of the model, a rate `r` of its
    own, and as level the mean of the nodes; the encoder's mean is an observation of it with the encoder's variance. The
    posterior then has a mean with a kink at every node, and a variance that opens between nodes as `Q` says: it can
    follow a path as rough as the model's. For a linear model with independent latents it holds the exact posterior.

    Computed by Kalman's filter and the smoother of Rauch, Tung and Striebel over the nodes, and by the bridge of the
    process between two nodes; no matrix is factored. Source: Särkkä & Solin, "Applied Stochastic Differential
    Equations", Cambridge University Press 2019, chapters 6, 10 and 12.

    Attributes:
      init_rate: initial `r`, per unit of time.
      max_rate: largest `r`. What is forgotten within a frame cannot be told from noise of the observation, and would
        only make the model stiff.
    """

    init_rate: float
    max_rate: float = float("inf")

    def init(self, key: Array, shape: tuple[int, ...]) -> Params:
        """Fresh rates (of which shape says `msvi.model.multiscale.MultiscaleModel.own_shape`)."""
        return {"log_rate": jnp.full(shape, jnp.log(self.init_rate))}

    def marginals(self, params: Params, nodes: Array, encoded: Gaussian, t: Array, log_q: Array) -> Marginals:
        """Posterior marginals at times `t` from the encoded frames at `nodes`.

        Args:
          nodes: `(node,)`, increasing.
          encoded: Gaussians of `z` at the nodes, `(node, latent_dim)`.
          t: `(time,)`, between the first and the last node.
          log_q: logarithm of the dispersion `Q`, `(latent_dim,)`.
        """
        rate = jnp.minimum(jnp.exp(params["log_rate"]), self.max_rate).ravel()
        rate = jnp.tile(rate, len(log_q) // len(rate))
        stationary = jnp.exp(log_q) / (2 * rate)
        level = encoded.mean.mean(axis=0)
        at_nodes = _smooth(rate, stationary, jnp.diff(nodes), encoded._replace(mean=encoded.mean - level[None]))
        before = jnp.clip(jnp.searchsorted(nodes, t, side="right") - 1, 0, len(nodes) - 2)

        def between(t):
            mean, var = _bridge(rate, stationary, nodes, at_nodes, before, t)
            return level[None] + mean, jnp.log(var)

        (mean, log_var), (mean_dot, log_var_dot) = jax.jvp(between, (t,), (jnp.ones_like(t),))
        return Marginals(mean, log_var, mean_dot, log_var_dot)


class _Smoothed(NamedTuple):
    """Of the nodes: posterior mean and variance, `(node, latent_dim)`, and covariance of each with the one before,
    `(node - 1, latent_dim)`."""

    mean: Array
    var: Array
    covariance: Array


def _smooth(rate: Array, stationary: Array, steps: Array, observed: Gaussian) -> _Smoothed:
    """Filter and smoother of each latent over the nodes, whose distances are `steps` `(node - 1,)`."""
    noise = jnp.exp(observed.log_var)
    decay = jnp.exp(-steps[:, None] * rate[None])
    added = -jnp.expm1(-2 * steps[:, None] * rate[None]) * stationary[None]

    def update(mean, var, y, v):
        gain = var / (var + v)
        return mean + gain * (y - mean), gain * v

    def forward(carry, inputs):
        (mean, var), (a, q, y, v) = carry, inputs
        predicted = a * mean, a**2 * var + q
        carry = update(*predicted, y, v)
        return carry, (carry, predicted)

    first = update(jnp.zeros_like(stationary), stationary, observed.mean[0], noise[0])
    last, (filtered, predicted) = jax.lax.scan(forward, first, (decay, added, observed.mean[1:], noise[1:]))
    filtered = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[:-1], first, filtered)

    def backward(carry, inputs):
        (mean_after, var_after), ((mean, var), (mean_predicted, var_predicted), a, q) = carry, inputs
        gain = a * var / var_predicted
        mean = mean + gain * (mean_after - mean_predicted)
        var = var * q / var_predicted + gain**2 * var_after  # a sum of positive terms: nothing cancels
        return (mean, var), ((mean, var), gain * var_after)

    _, (before, covariance) = jax.lax.scan(backward, last, (filtered, predicted, decay, added), reverse=True)
    mean, var = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), before, last)
    return _Smoothed(mean, var, covariance)


def _bridge(
    rate: Array, stationary: Array, nodes: Array, at_nodes: _Smoothed, before: Array, t: Array
) -> tuple[Array, Array]:
    """Mean and variance at times `t` `(time,)`, each between the nodes `before` and `before + 1`."""
    passed, left = t - nodes[before], nodes[before + 1] - t
    # With a = exp(-r (t - t_k)) and b = exp(-r (t_k+1 - t)): the part of both ends, and what is added between them.
    a, b = (jnp.exp(-d[:, None] * rate[None]) for d in (passed, left))
    not_a, not_b, not_both = (-jnp.expm1(-2 * d[:, None] * rate[None]) for d in (passed, left, passed + left))
    from_before, from_after = a * not_b / not_both, b * not_a / not_both
    mean = from_before * at_nodes.mean[before] + from_after * at_nodes.mean[before + 1]
    var = (
        from_before**2 * at_nodes.var[before]
        + from_after**2 * at_nodes.var[before + 1]
        + 2 * from_before * from_after * at_nodes.covariance[before]
        + stationary[None] * not_a * not_b / not_both
    )
    return mean, var
