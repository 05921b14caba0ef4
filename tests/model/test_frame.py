"""Centroid, centring and shifting, around circles and between edges, against closed forms and one another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msvi.model.frame import cell_positions, centre, centroid, concentration, shift


def bump(shape, at):
    """A smooth periodic bump with its centre at the fractions `at` of the periods, `(*shape, 1)`."""
    field = 1.0
    for axis, (n, a) in enumerate(zip(shape, at, strict=True)):
        profile = np.exp(np.cos(2 * np.pi * (np.arange(n) / n - a)))
        field = field * profile.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return jnp.asarray(field[..., None], jnp.float32)


LINE, TORUS, SQUARE = ("periodic",), ("periodic", "periodic"), ("edge", "edge")
around = {1: LINE, 2: TORUS}


def phase(*fractions):
    return jnp.asarray([2 * np.pi * f for f in fractions], jnp.float32)


@pytest.mark.parametrize(("shape", "at"), [((20,), (0.37,)), ((13,), (0.8,)), ((14, 12), (0.25, 0.6))])
def test_centroid_of_a_symmetric_bump(shape, at):
    """The centre of symmetry, between the points too; in two dimensions each axis by itself."""
    found = centroid(bump(shape, at), around[len(shape)])
    difference = np.angle(np.exp(1j * (np.asarray(found) - np.asarray(phase(*at)))))
    np.testing.assert_allclose(difference, 0.0, atol=1e-5)


def test_sign_and_size_do_not_move_the_centroid():
    """It is that of the squared differences, summed over channels: nor does a constant added to each."""
    zeta = bump((20,), (0.3,))
    other = jnp.concatenate([7 - 3 * zeta, 2 * zeta - 1], axis=-1)
    np.testing.assert_allclose(centroid(other, LINE), centroid(zeta, LINE), atol=1e-5)


def test_centroid_of_nothing_has_a_finite_gradient():
    """A field of zeros has no centre; training must survive it."""
    for boundary in (LINE, ("edge",)):
        gradient = jax.grad(lambda zeta, boundary=boundary: centroid(zeta, boundary).sum())(jnp.zeros((6, 1)))
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(20,), (9,), (6, 5)])
def test_centring_by_whole_cells_is_a_roll(shape):
    """Exact for any field, the highest mode of an even axis included."""
    zeta = jnp.asarray(np.random.default_rng(0).standard_normal((*shape, 2)), jnp.float32)
    cells = (3, 1)[: len(shape)]
    moved = centre(zeta, phase(*(k / n for k, n in zip(cells, shape, strict=True))), around[len(shape)])
    np.testing.assert_allclose(moved, jnp.roll(zeta, [-k for k in cells], range(len(shape))), atol=2e-6)


def test_centring_between_cells_is_exact_for_resolved_modes():
    """A sampled cosine becomes the cosine at the shifted points."""
    x = np.arange(20) / 20
    zeta = jnp.asarray(np.cos(2 * np.pi * 3 * x)[:, None], jnp.float32)
    np.testing.assert_allclose(centre(zeta, phase(0.237), LINE)[:, 0], np.cos(2 * np.pi * 3 * (x + 0.237)), atol=2e-6)


def test_what_is_seen_from_the_centroid_does_not_move():
    """The same bump anywhere on the circle looks the same; 1e-4 is what its unresolved modes leave."""
    seen = [centre(zeta, centroid(zeta, LINE), LINE) for zeta in (bump((20,), (a,)) for a in (0.0, 0.111, 0.5, 0.93))]
    for other in seen[1:]:
        np.testing.assert_allclose(other, seen[0], atol=1e-4)


def test_shift_is_centring_reversed():
    """By whole points exactly, between points to second order in their distance."""
    errors = []
    for n in (100, 200):
        field = bump((n,), (0.3,))
        np.testing.assert_allclose(shift(field, phase(0.25), LINE), jnp.roll(field, n // 4, 0), atol=1e-5)
        errors.append(float(jnp.abs(shift(field, phase(0.1234), LINE) - bump((n,), (0.4234,))).max()))
    assert 1e-6 < errors[1] < errors[0] / 3, errors  # the factor is 4 up to where between two points the shift ends


def test_shift_in_two_dimensions_and_its_gradient():
    """Axes are shifted one after the other; the derivative with respect to the phase is that of the field."""
    np.testing.assert_allclose(
        shift(bump((40, 50), (0.1, 0.2)), phase(0.25, 0.5), TORUS), bump((40, 50), (0.35, 0.7)), atol=1e-4
    )
    field = bump((400,), (0.3,))
    slope = jax.jvp(lambda p: shift(field, p, LINE), (phase(0.10025),), (jnp.ones(1),))[1]
    exact = -jnp.gradient(bump((400,), (0.40025,))[:, 0], 2 * np.pi / 400)
    np.testing.assert_allclose(slope[:, 0], exact, atol=0.02 * float(jnp.abs(exact).max()))


def test_cell_positions():
    """Harmonics of the phase from the frame's origin to each cell, axis by axis; zero distance is (1, …, 0, …)."""
    found = cell_positions((8, 5), phase(0.25, 0.4), 2, TORUS)
    assert found.shape == (8, 5, 8)
    np.testing.assert_allclose(found[2, 2], [1, 1, 0, 0] * 2, atol=1e-6)
    angle = 2 * np.pi * (7 / 8 - 0.25)
    for column in range(5):
        np.testing.assert_allclose(
            found[7, column, :4], [np.cos(angle), np.cos(2 * angle), np.sin(angle), np.sin(2 * angle)], atol=1e-6
        )
    assert cell_positions((8,), phase(0.1), 0, LINE).shape == (8, 0)


def test_centroid_between_edges_is_the_mean_place():
    """Of the squared differences, in phases from the middle of the axis, to float32: a peak's own place, two peaks'
    weighted mean, a step's middle. An axis around a circle beside it is counted as ever; a constant changes nothing."""
    one = jnp.zeros((8, 7, 1)).at[5, 2].set(-3.0)
    np.testing.assert_allclose(centroid(one, SQUARE), phase(5.5 / 8 - 0.5, 2.5 / 7 - 0.5), atol=1e-5)
    np.testing.assert_allclose(centroid(one + 4, SQUARE), centroid(one, SQUARE), atol=1e-5)
    two = one.at[2, 2].set(1.0)
    np.testing.assert_allclose(centroid(two, SQUARE)[0], 2 * np.pi * ((9 * 5.5 + 2.5) / 80 - 0.5), atol=1e-5)
    step = jnp.zeros((8, 1)).at[3:].set(2.0)
    np.testing.assert_allclose(centroid(step, ("edge",)), phase(3 / 8 - 0.5), atol=1e-5)
    np.testing.assert_allclose(centroid(one, ("edge", "periodic")), phase(5.5 / 8 - 0.5, 2 / 7), atol=1e-5)


def test_concentration():
    """0 for a wave that changes everywhere alike, near 1 for a front in one place, whatever constant is added, and for
    the least concentrated of two axes; between edges nothing is."""
    x = np.arange(64) / 64
    wave = jnp.asarray(np.sin(4 * np.pi * x)[:, None], jnp.float32)
    front = jnp.zeros((64, 1)).at[30:32].set(1.0)
    assert concentration(wave, LINE) < 0.01
    assert concentration(front, LINE) > 0.98 and concentration(front + 100, LINE) > 0.98
    assert concentration(front, ("edge",)) == 0
    assert concentration(jnp.broadcast_to(front[:, None], (64, 64, 1)), TORUS) < 0.01


def test_edges_stay_where_they_are():
    """Only periodic axes are centred."""
    zeta = jnp.asarray(np.random.default_rng(0).standard_normal((6, 5, 2)), jnp.float32)
    np.testing.assert_array_equal(centre(zeta, phase(0.3, 0.2), SQUARE), zeta)
    moved = centre(zeta, phase(0.3, 2 / 5), ("edge", "periodic"))
    np.testing.assert_allclose(moved, jnp.roll(zeta, -2, axis=1), atol=2e-6)


@pytest.mark.parametrize("points", [3, -4, 0, 11, -30, 2.25, -0.75])
def test_shift_between_edges(points):
    """What comes in from beyond an edge has the edge's value, however far it comes; between points linear, 1e-5."""
    n = 12
    field = np.random.default_rng(0).standard_normal((n, 2)).astype(np.float32)
    place = np.clip(np.arange(n) - points, 0, n - 1)
    expected = np.stack([np.interp(place, np.arange(n), column) for column in field.T], axis=1)
    np.testing.assert_allclose(shift(jnp.asarray(field), phase(points / n), ("edge",)), expected, atol=1e-5)


def test_shift_of_one_axis_with_edges():
    """The other, around a circle, is shifted as ever: by whole points both are copies, to round-off."""
    field = np.random.default_rng(0).standard_normal((6, 8, 1)).astype(np.float32)
    expected = np.roll(field[np.clip(np.arange(6) - 2, 0, 5)], 3, axis=1)
    np.testing.assert_allclose(
        shift(jnp.asarray(field), phase(2 / 6, 3 / 8), ("edge", "periodic")), expected, atol=1e-5
    )


def test_cell_positions_between_edges():
    """Harmonics of half the phase, so that the two ends of the axis are told apart."""
    found = cell_positions((8,), phase(0.25), 2, ("edge",))
    angle = np.pi * ((np.arange(8) + 0.5) / 8 - 0.5 - 0.25)
    expected = np.stack([np.cos(angle), np.cos(2 * angle), np.sin(angle), np.sin(2 * angle)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found[0] - found[-1]).max() > 1
