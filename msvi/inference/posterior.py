"""Gaussian-process posterior over a window: latent marginals and their time derivatives at any time."""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

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
class GaussianProcessPosterior:
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

    def init(self, key: Array) -> Params:
        """Fresh kernel and warp parameters."""
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
            return Warp().apply(params["warp"], (time - first) / half - 1.0)

        def kernel(time):
            distance = (warp(time)[:, None] - warp(nodes)[None]) * jnp.exp(-params["log_length"])
            return jnp.exp(-0.5 * distance**2)

        # The floor keeps the Cholesky factor of a smooth kernel finite in single precision.
        noise = jnp.exp(params["log_noise"]) + 1e-5
        gram = kernel(nodes) + noise * jnp.eye(nodes.shape[0])
        factor = jax.scipy.linalg.cho_factor(gram, lower=True)
        cross, cross_dot = jax.jvp(kernel, (t,), (jnp.ones_like(t),))
        solved = jax.scipy.linalg.cho_solve(factor, jnp.concatenate([cross, cross_dot]).T).T
        return solved[: t.shape[0]], solved[t.shape[0] :]

    def marginals(self, params: Params, nodes: Array, encoded: Gaussian, t: Array) -> Marginals:
        """Posterior marginals at times `t` from the encoded frames at `nodes`.

        Args:
          nodes: `(node,)`.
          encoded: Gaussians of `z` at the nodes, `(node, latent_dim)`.
          t: `(time,)`.
        """
        weights, weights_dot = self.weights(params, nodes, t)

        def interpolate(values):
            level = values.mean(axis=0, keepdims=True)
            return level + weights @ (values - level), weights_dot @ (values - level)

        (mean, mean_dot), (log_var, log_var_dot) = interpolate(encoded.mean), interpolate(encoded.log_var)
        return Marginals(mean, log_var, mean_dot, log_var_dot)
