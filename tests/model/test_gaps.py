"""Filling gaps in observed fields."""

import jax
import numpy as np
import pytest

from msvi.model.gaps import fill_gaps

fill = jax.jit(fill_gaps, static_argnums=2)


def random_field(*shape):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape).astype(np.float32), rng.random(shape) > 0.5


@pytest.mark.parametrize("boundary", [("periodic",), ("edge",), ("edge", "periodic"), ("edge", "periodic", "edge")])
def test_observed_values_stay(boundary):
    """Bit for bit, whatever stands at the other points; constants are filled in exactly."""
    u, mask = random_field(*(9, 7, 5)[: len(boundary)], 2)
    filled = np.asarray(fill(u, mask, boundary))
    np.testing.assert_array_equal(filled[mask], u[mask])
    np.testing.assert_array_equal(fill(np.where(mask, u, np.nan), mask, boundary), filled)
    np.testing.assert_allclose(fill(np.full_like(u, 3), mask, boundary), np.full_like(u, 3), rtol=1e-6)


def test_a_line_is_interpolated():
    """Linear between observed points, the nearest value beyond the last; around the circle on a periodic axis."""
    u = np.array([0, 9, 2, 9, 9, 9, 6, 9], np.float32)[:, None]
    mask = (u != 9).astype(bool)
    np.testing.assert_allclose(fill(u, mask, ("edge",))[:, 0], [0, 1, 2, 3, 4, 5, 6, 6], rtol=1e-6)
    np.testing.assert_allclose(fill(u, mask, ("periodic",))[:, 0], [0, 1, 2, 3, 4, 5, 6, 3], rtol=1e-6)


def test_weights_on_a_plane():
    """One missing point among four neighbours at distances 1, 1, 1 and 2."""
    u, mask = np.zeros((5, 5, 1), np.float32), np.ones((5, 5, 1), bool)
    u[1, 2], u[3, 2], u[2, 1], u[2, 4] = 1, 2, 3, 8
    mask[2, 2:4] = False
    np.testing.assert_allclose(fill(u, mask, ("edge", "edge"))[2, 2], (1 + 2 + 3 + 8 / 2) / 3.5, rtol=1e-6)


def test_nothing_near():
    """The mean of the frame on lines without an observed point, and zero in a channel without any."""
    u, mask = np.full((4, 4, 2), 7, np.float32), np.zeros((4, 4, 2), bool)
    u[0, 0], mask[0, 0, 0] = 2, True
    filled = np.asarray(fill(u, mask, ("edge", "edge")))
    np.testing.assert_array_equal(filled[..., 0], 2)
    np.testing.assert_array_equal(filled[..., 1], 0)
