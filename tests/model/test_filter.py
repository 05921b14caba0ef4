"""The algebra of restriction and lift."""

import itertools

import jax
import numpy as np
import pytest

from msvi.errors import InputError
from msvi.model.blocks import pool
from msvi.model.filter import MacroFilter

restrict, lift = (jax.jit(method, static_argnums=0) for method in (MacroFilter.restrict, MacroFilter.lift))

PERIODIC = {
    "1d periodic": MacroFilter((40,), 8, 2, ("periodic",)),
    "1d odd": MacroFilter((15,), 5, 1, ("periodic",)),
    "1d wider than the grid": MacroFilter((8,), 4, 2, ("periodic",)),
    "2d": MacroFilter((12, 8), 4, 1, ("periodic", "periodic")),
}
EDGE = {
    "1d edge": MacroFilter((40,), 8, 2, ("edge",)),
    "1d edge odd": MacroFilter((15,), 5, 1, ("edge",)),
    "1d edge wider than the grid": MacroFilter((8,), 4, 2, ("edge",)),
    "2d edge": MacroFilter((12, 8), 4, 1, ("edge", "edge")),
    "2d first axis edge": MacroFilter((12, 8), 4, 1, ("edge", "periodic")),
    "2d second axis edge": MacroFilter((12, 8), 4, 2, ("periodic", "edge")),
    "3d mixed": MacroFilter((4, 6, 8), 2, 1, ("edge", "periodic", "edge")),
}
FILTERS = PERIODIC | EDGE
every_filter = pytest.mark.parametrize("macro", FILTERS.values(), ids=FILTERS.keys())


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def random_kernel(macro, seed=0):
    """Without symmetry, so that a flipped or transposed kernel would show."""
    shape = macro.init_kernel().shape
    return normal(seed, *shape) / np.float32(np.sqrt(np.prod(shape)))


def continued(index, n, kind):
    """Where, among `n` values, the one numbered `index` is found; around the circle, or the nearest end."""
    return index % n if kind == "periodic" else min(max(index, 0), n - 1)


def restrict_by_loops(macro, kernel, u):
    """`zeta_c = sum_o k_o u[s c + s // 2 + o]` in float64, one number at a time, with `u` continued beyond the grid."""
    s, half = macro.coarsening, macro.n_sigma * macro.coarsening
    kernel, u = np.asarray(kernel, np.float64), np.asarray(u, np.float64)
    zeta = np.zeros((*macro.coarse_grid, u.shape[-1]))
    for cell in np.ndindex(*macro.coarse_grid):
        for offset in itertools.product(range(-half, half + 1), repeat=len(macro.grid)):
            point = []
            for c, o, n, kind in zip(cell, offset, macro.grid, macro.boundary, strict=True):
                point.append(continued(s * c + s // 2 + o, n, kind))
            zeta[cell] += kernel[tuple(o + half for o in offset)] * u[tuple(point)]
    return zeta


def lift_by_loops(macro, kernel, zeta):
    """`u_p = sum_c zeta_c k_{p - s c - s // 2}` in float64, the sum over all cells of the continued mesh in reach.

    Around a circle every cell is there once, and reaches a point once for each turn that the kernel is long; beyond an
    edge there are more cells, two further than the kernel reaches, with the value of the last one.
    """
    s, half, ghosts = macro.coarsening, macro.n_sigma * macro.coarsening, macro.n_sigma + 2
    kernel, zeta = np.asarray(kernel, np.float64), np.asarray(zeta, np.float64)
    u = np.zeros((*macro.grid, zeta.shape[-1]))
    cells = [
        range(n) if kind == "periodic" else range(-ghosts, n + ghosts)
        for n, kind in zip(macro.coarse_grid, macro.boundary, strict=True)
    ]
    for cell in itertools.product(*cells):
        value = zeta[tuple(map(continued, cell, macro.coarse_grid, macro.boundary))]
        for offset in itertools.product(range(-half, half + 1), repeat=len(macro.grid)):
            point = [s * c + s // 2 + o for c, o in zip(cell, offset, strict=True)]
            turns = zip(point, macro.grid, macro.boundary, strict=True)
            point = [p % n if kind == "periodic" else p for p, n, kind in turns]
            if all(0 <= p < n for p, n in zip(point, macro.grid, strict=True)):
                u[tuple(point)] += kernel[tuple(o + half for o in offset)] * value
    return u


@every_filter
def test_restriction_is_the_sum_it_says(macro):
    """Against the double loop, two channels at once; float32 sums of some hundred terms of order 0.1."""
    kernel = random_kernel(macro)
    u = normal(1, *macro.grid, 2)
    np.testing.assert_allclose(restrict(macro, kernel, u), restrict_by_loops(macro, kernel, u), atol=2e-6)


@every_filter
def test_lift_is_the_sum_it_says(macro):
    """Against the double loop, two channels at once; float32 sums of some hundred terms of order 0.1."""
    kernel = random_kernel(macro)
    zeta = normal(2, *macro.coarse_grid, 2)
    np.testing.assert_allclose(lift(macro, kernel, zeta), lift_by_loops(macro, kernel, zeta), atol=2e-6)


@every_filter
def test_lift_to_means_of_blocks(macro):
    """Is the lift, averaged."""
    zeta, kernel = normal(1, *macro.coarse_grid, 2), random_kernel(macro)
    means = jax.jit(MacroFilter.lift, static_argnums=(0, 3))(macro, kernel, zeta, macro.coarsening)
    np.testing.assert_allclose(means, pool(lift(macro, kernel, zeta), macro.coarsening), atol=1e-5)


@pytest.mark.parametrize("macro", PERIODIC.values(), ids=PERIODIC.keys())
def test_lift_is_the_adjoint_on_periodic_axes(macro):
    """`<R u, zeta> = <u, Rᵀ zeta>` up to float32 round-off."""
    kernel = random_kernel(macro)
    u = normal(1, *macro.grid, 2)
    zeta = normal(2, *macro.coarse_grid, 2)
    left = np.sum(np.asarray(restrict(macro, kernel, u)) * np.asarray(zeta))
    right = np.sum(np.asarray(u) * np.asarray(lift(macro, kernel, zeta)))
    np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("kind", ["periodic", "edge"])
@pytest.mark.parametrize("n_sigma", [2, 3])
@pytest.mark.parametrize("ndim", [1, 2])
def test_unit_gain_on_constants(ndim, n_sigma, kind):
    """The initial kernel carries a constant down with `gain` and back to itself, on average over the points.

    Point by point the lifted constant ripples with the period of the mesh: a Gaussian of `s` points sampled every
    `s` points sums to 1 + 2 exp(-2 pi²) of ripple, plus its cut at `n_sigma` (1.2 % per axis of the sum at 2). At an
    edge it is no worse than elsewhere.
    """
    macro = MacroFilter((24,) * ndim, 4, n_sigma, (kind,) * ndim)
    kernel = macro.init_kernel()
    one = np.ones((24,) * ndim + (1,))
    zeta = restrict(macro, kernel, one)
    np.testing.assert_allclose(zeta, macro.gain, rtol=1e-5)
    lifted = np.asarray(lift(macro, kernel, zeta))
    np.testing.assert_allclose(lifted.mean(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(lifted, 1.0, atol={2: 0.06, 3: 0.006}[n_sigma] * ndim)


def test_constants_on_the_grid_of_burgers_2d():
    """Down and back again, corners included, a constant stays within half a percent; measured 0.997 to 1.0044.

    The adjoint, which is the lift on periodic axes, gives back the corner 37 times too large: the restriction has
    taken it for everything beyond.
    """
    macro = MacroFilter((128, 128), 16, 3, ("edge", "edge"))
    kernel = macro.init_kernel()
    one = np.ones((128, 128, 1), np.float32)
    zeta = restrict(macro, kernel, one)
    lifted = np.asarray(lift(macro, kernel, zeta))
    assert lifted.min() > 0.995 and lifted.max() < 1.005
    (adjoint,) = jax.jit(jax.linear_transpose(lambda u: macro.restrict(kernel, u), one))(zeta)
    assert adjoint[0, 0, 0] > 30


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


@pytest.mark.parametrize("kind", ["reflect", "Edge", "", None])
def test_unknown_boundaries_are_refused(kind):
    """What there is instead is named."""
    with pytest.raises(InputError, match=r"`boundary` needs one of periodic, edge per axis of grid \(12, 12\), got"):
        MacroFilter((12, 12), 4, 2, ("periodic", kind))


def test_unsuitable_grids_are_refused():
    """A grid the factor does not divide, with a divisor proposed, and axes without a boundary or boundaries without."""
    with pytest.raises(InputError, match="divisor of 6"):
        MacroFilter((12, 18), 5, 2, ("periodic", "edge"))
    for boundary in (("edge",), ("edge",) * 3):
        with pytest.raises(InputError, match="boundary"):
            MacroFilter((12, 12), 4, 2, boundary)
