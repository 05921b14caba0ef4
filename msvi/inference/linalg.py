"""Solves with small Gram matrices, by operations that XLA compiles itself.

The calls to LAPACK that `jax.scipy.linalg` makes on a CPU wait for threads of the pool they run in, and batches of them
can leave every thread waiting for another.
"""

import jax
import jax.numpy as jnp

from msvi.types import Array


@jax.custom_vjp
def inverse(gram: Array) -> Array:
    """Inverse of a symmetric positive definite matrix `(n, n)`, by Gauss-Jordan elimination.

    Without pivots, which such a matrix does not need, and with one step of Newton's iteration `P <- P (2 I - A P)`.
    """
    n = gram.shape[0]

    def eliminate(k, a):
        # Sweep of the pivot k: after all n of them the matrix is minus its inverse.
        pivot = a[k, k]
        row, column = a[k] / pivot, a[:, k]
        a = a - column[:, None] * row[None]
        a = a.at[k].set(row).at[:, k].set(column / pivot)
        return a.at[k, k].set(-1.0 / pivot)

    found = -jax.lax.fori_loop(0, n, eliminate, gram)
    return found @ (2 * jnp.eye(n, dtype=gram.dtype) - gram @ found)


def _forward(gram: Array) -> tuple[Array, Array]:
    found = inverse(gram)
    return found, found


def _backward(found: Array, cotangent: Array) -> tuple[Array]:
    return (-found.T @ cotangent @ found.T,)


inverse.defvjp(_forward, _backward)
