"""The algebra of restriction and lift."""

import itertools

import jax
import numpy as np
import pytest

from msvi.errors import InputError
from msvi.model.filter import MacroFilter

restrict, lift = (jax.jit(method, static_argnums=0) for method in (MacroFilter.restrict, MacroFilter.lift))

FILTERS = {
    "1d periodic": MacroFilter((40,), 8, 2, ("periodic",)),
    "1d odd": MacroFilter((15,), 5, 1, ("periodic",)),
    "1d wider than the grid": MacroFilter((8,), 4, 2, ("periodic",)),
    "2d": MacroFilter((12, 8), 4, 1, ("periodic", "periodic")),
}
every_filter = pytest.mark.parametrize("macro", FILTERS.values(), ids=FILTERS.keys())


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def random_kernel(macro, seed=0):
    """Without symmetry, so that a flipped or transposed kernel would show."""
    shape = macro.init_kernel().shape
    return normal(seed, *shape) / np.float32(np.sqrt(np.prod(shape)))


def restrict_by_loops(macro, kernel, u):
    """`zeta_c = sum_o k_o u[s c + s // 2 + o]` in float64, one number at a time."""
    s, half = macro.coarsening, macro.n_sigma * macro.coarsening
    kernel, u = np.asarray(kernel, np.float64), np.asarray(u, np.float64)
    zeta = np.zeros((*macro.coarse_grid, u.shape[-1]))
    for cell in np.ndindex(*macro.coarse_grid):
        for offset in itertools.product(range(-half, half + 1), repeat=len(macro.grid)):
            point = []
            for c, o, n in zip(cell, offset, macro.grid, strict=True):
                point.append((s * c + s // 2 + o) % n)
            zeta[cell] += kernel[tuple(o + half for o in offset)] * u[tuple(point)]
    return zeta


@every_filter
def test_restriction_is_the_sum_it_says(macro):
    """Against the double loop, two channels at once; float32 sums of some hundred terms of order 0.1."""
    kernel = random_kernel(macro)
    u = normal(1, *macro.grid, 2)
    np.testing.assert_allclose(restrict(macro, kernel, u), restrict_by_loops(macro, kernel, u), atol=2e-6)


@every_filter
def test_lift_is_the_adjoint(macro):
    """`<R u, zeta> = <u, Rᵀ zeta>` up to float32 round-off."""
    kernel = random_kernel(macro)
    u = normal(1, *macro.grid, 2)
    zeta = normal(2, *macro.coarse_grid, 2)
    left = np.sum(np.asarray(restrict(macro, kernel, u)) * np.asarray(zeta))
    right = np.sum(np.asarray(u) * np.asarray(lift(macro, kernel, zeta)))
    np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("n_sigma", [2, 3])
@pytest.mark.parametrize("ndim", [1, 2])
def test_unit_gain_on_constants(ndim, n_sigma):
    """The initial kernel carries a constant down with `gain` and back to itself, on average over the points.

    Point by point the lifted constant ripples with the period of the mesh: a Gaussian of `s` points sampled every
    `s` points sums to 1 + 2 exp(-2 pi²) of ripple, plus its cut at `n_sigma` (1.2 % per axis of the sum at 2).
    """
    macro = MacroFilter((24,) * ndim, 4, n_sigma, ("periodic",) * ndim)
    kernel = macro.init_kernel()
    one = np.ones((24,) * ndim + (1,))
    zeta = restrict(macro, kernel, one)
    np.testing.assert_allclose(zeta, macro.gain, rtol=1e-5)
    lifted = np.asarray(lift(macro, kernel, zeta))
    np.testing.assert_allclose(lifted.mean(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(lifted, 1.0, atol={2: 0.06, 3: 0.006}[n_sigma] * ndim)


@pytest.mark.parametrize("shift", [1, 2])
def test_equivariance_to_shifts_by_cells(shift):
    """On a periodic grid a shift by `s` points is a shift by one cell, both ways; the same numbers, so 1e-6."""
    macro = FILTERS["1d periodic"]
    kernel = random_kernel(macro)
    u = normal(1, 40, 1)
    zeta = restrict(macro, kernel, u)
    lifted = lift(macro, kernel, zeta)
    u, zeta_shifted = np.roll(u, 8 * shift, axis=0), np.roll(zeta, shift, axis=0)
    np.testing.assert_allclose(restrict(macro, kernel, u), zeta_shifted, atol=1e-6)
    np.testing.assert_allclose(lift(macro, kernel, zeta_shifted), np.roll(lifted, 8 * shift, axis=0), atol=1e-6)


def test_initial_kernel_is_a_gaussian_of_one_cell():
    """Ratios to the centre: exp(-1/2) at one cell, exp(-2) at two."""
    macro = FILTERS["1d periodic"]
    kernel = np.asarray(macro.init_kernel())
    assert kernel.shape == (33,)
    np.testing.assert_allclose(kernel[[0, 8, 24, 32]] / kernel[16], np.exp([-2, -0.5, -0.5, -2]), rtol=1e-5)


def test_unsuitable_grids_are_refused():
    """A grid the factor does not divide, and boundaries that do not exist; the message proposes a divisor."""
    with pytest.raises(InputError, match="divisor of 6"):
        MacroFilter((12, 18), 5, 2, ("periodic", "periodic"))
    with pytest.raises(InputError, match="boundary"):
        MacroFilter((12,), 4, 2, ("reflect",))
    with pytest.raises(InputError, match="boundary"):
        MacroFilter((12, 12), 4, 2, ("periodic",))
