"""Evidence lower bound of a window, estimated without solving the SDE.

`ELBO = E_q[log p(u | z)] - 1/2 ∫ E_q || m' + (S^1/2 W S^-1/2 - B) (z - m) - f(z, t) ||²_{Q^-1} dt`,
`B = (Q S^-1 - d/dt log S) / 2`, `W` antisymmetric (zero in the source),
where `q` has the marginals `N(m(t), S(t))`. The prior of the state at the window's start is flat. Frames may lie at any
times, and of a frame only what was observed is in the likelihood. `Q` may change with time, not with the state.

Source: Course & Nair 2023, "Amortized Reparametrization", arXiv 2312.10550.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.inference.posterior import Marginals, MarkovPosterior, SmoothPosterior
from msvi.model.condition import NO_CONDITION, Condition
from msvi.model.multiscale import MultiscaleModel
from msvi.types import ONE_VARIANCE, Array, Gaussian, Params


class ElboTerms(NamedTuple):
    """The bound of one window, in nats: `elbo = log_likelihood - drift_residual`.

    `log_likelihood` is summed over all frames and grid points of the window, `drift_residual` (never negative)
    integrated over its time. Both are unbiased estimates.
    """

    log_likelihood: Array
    drift_residual: Array

    @property
    def elbo(self) -> Array:
        """The bound itself."""
        return self.log_likelihood - self.drift_residual


def drift_residual(
    marginals: Marginals,
    z: Array,
    drift: Array,
    log_q: Array,
    rotation: Array | None = None,
    counted: np.ndarray | None = None,
) -> Array:
    """`1/2 || m' + (S^1/2 W S^-1/2 - B) (z - m) - f(z, t) ||²_{Q^-1}` at each time, `B = (Q - S') / (2 S)`.

    What stands before `f` is the drift of the posterior process, a linear SDE with dispersion `Q` and marginals
    `N(m(t), S(t))`. Each antisymmetric `W` gives another one with the same marginals: deviations from the mean go round
    in it without growing or shrinking, as those of an oscillation do. Without it a model that turns them pays for
    that, and learns to damp. The integral of the expectation is the relative entropy to the model.

    Args:
      marginals: of the posterior, `(time, latent_dim)`.
      z: draws from them, `(time, latent_dim)`.
      drift: `f(z, t)` at the draws, `(time, latent_dim)`.
      log_q: logarithm of the diagonal of `Q` at each time, `(time, latent_dim)`, or at all, `(1, latent_dim)`.
      rotation: `W`, `(latent_dim, latent_dim)`, or one block of it, of which as many are on the diagonal as there are
        cells; zero if None.
      counted: numbers of the latents over which the norm is taken; all if None.

    Returns:
      `(time,)`.
    """
    gain = 0.5 * (jnp.exp(log_q - marginals.log_var) - marginals.log_var_dot)
    residual = gain * (marginals.mean - z) + marginals.mean_dot - drift
    if rotation is not None:
        std = jnp.exp(0.5 * marginals.log_var)
        # Of all latents together, or within each cell.
        deviation = ((z - marginals.mean) / std).reshape(len(z), -1, len(rotation))
        residual += std * (deviation @ rotation.T).reshape(z.shape)
    squares = residual**2 * jnp.exp(-log_q)
    return 0.5 * jnp.sum(squares if counted is None else squares[:, counted], axis=-1)


class Frames(NamedTuple):
    """Observed frames, `(frame, *grid, channel)`; `mask` is true where they were observed, None if everywhere."""

    u: Array
    mask: Array | None = None


@dataclasses.dataclass(frozen=True)
class WindowElbo:
    """Estimator of `ElboTerms` over a window of consecutive frames.

    Attributes:
      model: the generative model and its encoder.
      posterior: process that joins the encoded frames.
      num_nodes: frames encoded, spread evenly over those of the window, both ends included.
      num_scored: frames whose likelihood is computed, a uniform random subset rescaled to the whole window.
      num_quadrature: points of the time integral, one drawn uniformly in each of as many equal intervals.
      rotates: whether the rotation is learned.
      margin: coarse cells at both ends of each axis that are there to be seen by those within, and not counted: of a
        patch of the domain, to whose ends the state is not known. 0 for the whole domain.
    """

    model: MultiscaleModel
    posterior: SmoothPosterior | MarkovPosterior
    num_nodes: int
    num_scored: int
    num_quadrature: int
    rotates: bool = False
    margin: int = 0

    @property
    def counted_shape(self) -> tuple[int, ...]:
        """Points and channels that are counted."""
        around = 2 * self.margin * self.model.config.coarsening if self.margin else 0
        return (*(n - around for n in self.model.grid), self.model.num_channels)

    def init(self, model_key: Array, posterior_key: Array) -> Params:
        """`{"model": ..., "posterior": ...}` and, if it is learned, half of the rotation, in units of the drift's."""
        model, posterior = self.model, self.posterior.init(posterior_key, self.model.own_shape)
        rotation = {"rotation": jnp.zeros((model.turned_dim, model.turned_dim))} if self.rotates else {}
        return {"model": model.init(model_key), "posterior": posterior} | rotation

    def __call__(
        self,
        params: Params,
        t: Array,
        frames: Callable[[Array], Frames],
        key: Array,
        condition: Callable[[Array], Condition] = lambda t: NO_CONDITION,
    ) -> ElboTerms:
        """One-sample estimate.

        Args:
          params: as `init` makes them.
          t: frame times, `(frame,)`.
          frames: numbers of frames in the window, `(n,)`, to the observed frames. It is asked once, for those of
            `looked_at`, which are few, so that a window need not be cut out as a whole.
          key: of the frames scored, the quadrature times and the latent draws.
          condition: a time to what acts on the system at it.
        """
        model, num_frames = self.model, t.shape[0]
        _, time_key, draw_key = jax.random.split(key, 3)
        numbers = self.looked_at(key, num_frames)
        node, scored = numbers[: self.num_nodes], numbers[self.num_nodes :]
        seen = frames(numbers)
        at_nodes, at_scored = (jax.tree.map(lambda a, part=part: a[part], seen) for part in self._parts)
        duration = t[-1] - t[0]
        stratum = jnp.arange(self.num_quadrature) + jax.random.uniform(time_key, (self.num_quadrature,))
        quadrature = t[0] + duration * stratum / self.num_quadrature

        encoded = jax.vmap(model.encode, (None, 0, 0))(params["model"], *at_nodes)
        times = jnp.concatenate([t[scored], quadrature])
        log_q = model.log_q(params["model"], condition(t[0]))
        marginals = self.posterior.marginals(params["posterior"], t[node], encoded, times, log_q)
        z = marginals.gaussian.sample(draw_key)

        # One variance for all frames; the mean alone is batched.
        decode = jax.vmap(model.decode, (None, 0), ONE_VARIANCE)
        decoded = decode(params["model"], z[: self.num_scored])
        log_likelihood = _log_likelihood(*self._within(decoded, at_scored)) * (num_frames / self.num_scored)

        at_quadrature = jax.tree.map(lambda a: a[self.num_scored :], marginals)
        z = z[self.num_scored :]
        acting = jax.vmap(condition)(quadrature)
        drift = jax.vmap(model.drift, (None, 0, 0, 0))(params["model"], quadrature, z, acting)
        log_q = jax.vmap(model.log_q, (None, 0), axis_size=self.num_quadrature)(params["model"], acting)
        rotation = None
        if self.rotates:
            rotation = model.config.drift_scale * (params["rotation"] - params["rotation"].T)
        residual = drift_residual(at_quadrature, z, drift, log_q, rotation, self._counted_latents())
        return ElboTerms(log_likelihood, duration * residual.mean())

    def looked_at(self, key: Array, num_frames: int) -> Array:
        """Numbers of the frames of a window that an estimate with this key looks at, `(num_nodes + num_scored,)`: first
        the nodes, then those whose likelihood is computed."""
        node = jnp.round(jnp.linspace(0, num_frames - 1, self.num_nodes)).astype(int)
        scored = jnp.arange(num_frames)
        if self.num_scored < num_frames:
            subset_key = jax.random.split(key, 3)[0]
            scored = jax.random.choice(subset_key, num_frames, (self.num_scored,), replace=False)
        return jnp.concatenate([node, scored])

    @property
    def _parts(self) -> tuple[slice, slice]:
        """Where nodes and scored frames lie among those looked at."""
        return slice(None, self.num_nodes), slice(self.num_nodes, None)

    def _within(self, decoded: Gaussian, frames: Frames) -> tuple[Gaussian, Frames]:
        """What is counted of means and frames `(frame, *grid, channel)` and of the variance `(*grid, channel)`."""
        if not self.margin:
            return decoded, frames
        inner = self._inner(self.margin * self.model.config.coarsening)
        decoded = Gaussian(decoded.mean[:, *inner], decoded.log_var[inner])
        return decoded, jax.tree.map(lambda a: a[:, *inner], frames)

    def _counted_latents(self) -> np.ndarray | None:
        if not self.margin:
            return None
        inner = self._inner(self.margin)
        return np.concatenate([numbers[inner].ravel() for numbers in self.model.places])

    def _inner(self, width: int) -> tuple[slice, ...]:
        """Of each axis what is left when so much is taken off both ends."""
        return (slice(width, -width),) * len(self.model.grid)


def _log_likelihood(decoded: Gaussian, frames: Frames) -> Array:
    """Sum of the log densities of what was observed of the frames, under means of their shape and one variance.

    The sum over the grid is a matrix product, and the barrier keeps XLA from computing means and variance anew within
    it: several times faster on a CPU than the sum of `Gaussian.log_prob`.
    """
    mean, log_var = jax.lax.optimization_barrier(decoded)
    squares = (frames.u - mean).reshape(len(mean), -1) ** 2
    if frames.mask is None:
        constant = len(mean) * (log_var.sum() + log_var.size * jnp.log(2 * jnp.pi))
    else:
        observed = frames.mask.reshape(squares.shape).astype(squares.dtype)
        squares = squares * observed
        constant = (observed @ (log_var.ravel() + jnp.log(2 * jnp.pi))).sum()
    return -0.5 * ((squares @ jnp.exp(-log_var).ravel()).sum() + constant)
