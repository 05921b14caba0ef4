"""Legend of symbols and array layouts, the same in every module.

| symbol | meaning | shape |
|---|---|---|
| `u` | full-resolution field | `(*grid, channel)` |
| `zeta` | macroscale state | `(*coarse_grid, channel)` |
| `eta` | microscale latent, of the domain or of each cell | `(micro_dim,)` or `(*coarse_grid, micro_dim)` |
| `z` | joint latent state: `zeta` raveled and then `eta`, or one cell after another | `(latent_dim,)` |
| `t` | time, non-dimensional | `()` |
| `Q`, `log_q` | diagonal of the squared dispersion `L Lᵀ`, and its logarithm | `(latent_dim,)` |
| `s` | coarsening factor, full points per coarse cell and axis | int |
| `params`, `key` | nested dict of arrays; JAX random key | |

Leading axes, where there are any, are `trajectory`, `member` or `time` and are named in the docstring.
Functions work on one sample; `jax.vmap` is applied by the caller.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

Array = jax.Array
# An array on the device or on the host; what is made of it lies where it did.
HostOrDevice = TypeVar("HostOrDevice", jax.Array, np.ndarray)
Params = Any  # nested dict of arrays

# How a field or a state continues beyond each end of an axis, and the name numpy's `pad` has for it.
BOUNDARIES = {"periodic": "wrap", "edge": "edge"}


class Gaussian(NamedTuple):
    """Diagonal Gaussian `N(mean, exp(log_var))`; both of one shape."""

    mean: Array
    log_var: Array

    def sample(self, key: Array) -> Array:
        """One draw `mean + exp(log_var / 2) * eps` with standard normal `eps`."""
        eps = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jax.numpy.exp(0.5 * self.log_var) * eps

    def log_prob(self, x: Array) -> Array:
        """Elementwise log density of `x`, of the shape of `mean`."""
        precision = jax.numpy.exp(-self.log_var)
        return -0.5 * ((x - self.mean) ** 2 * precision + self.log_var + jax.numpy.log(2 * jax.numpy.pi))


# Of `jax.vmap`, the axes of Gaussians that differ in their means alone.
ONE_VARIANCE = Gaussian(0, None)  # pyright: ignore[reportArgumentType]  numbers of axes in place of arrays
