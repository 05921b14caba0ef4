"""Sensors, observations in all their forms, localisation, and what cannot be used."""

import jax
import numpy as np
import pytest
import xarray as xr

from msvi.assimilation.analysis import statistics
from msvi.assimilation.filter import replace_lost
from msvi.assimilation.localise import Cells, cells_of, default_radius, distances, make_taper, participation
from msvi.assimilation.readings import Space, read, times_of
from msvi.assimilation.sensors import (
    domain,
    from_index,
    grid_index,
    grid_sensors,
    point_sensors,
    weighted_sensors,
)
from msvi.data.labels import Labels
from msvi.data.named import Naming
from msvi.errors import InputError
from msvi.model.config import ModelConfig
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales

X, Y = np.arange(8) / 4, 10.0 - 2 * np.arange(5)  # the second decreases
SPACE = Space(Naming(Labels(("lon", "lat"), ("u", "v")), (8, 5, 2)), (X, Y), ("periodic", "edge"))


def field(f):
    """Both channels of a function on the grid, `(8, 5, 2)`."""
    x, y = np.meshgrid(X, Y, indexing="ij")
    return np.stack([f(x, y), -f(x, y)], axis=-1)


def points(positions, channels=None, **options):
    positions = np.atleast_2d(np.asarray(positions, float))
    channels = np.zeros(len(positions), int) if channels is None else np.asarray(channels)
    return point_sensors(positions, channels, SPACE.coordinates, SPACE.boundary, SPACE.shape, **options)


def test_interpolation_of_a_plane():
    """Is exact between points, along an axis that decreases too, for each channel; and at points themselves."""
    positions = np.array([[0.1, 9.5], [1.6, 3.0], [0.75, 4.0]])
    plane = field(lambda x, y: 3 * x + y - 2)
    found = points(positions, [0, 1, 0]).read(plane)
    expected = (3 * positions[:, 0] + positions[:, 1] - 2) * [1, -1, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (points([[0.75, 4.0]]).weights == 1).all()


def test_round_a_periodic_axis_and_beyond_an_edge():
    """Halfway from the last point to the first is their mean; beyond an edge the field goes on as it is there."""
    values = field(lambda x, y: x + 100 * y)
    np.testing.assert_allclose(points([[1.875, 10.0]]).read(values), [(1.75 + 0) / 2 + 1000])
    np.testing.assert_allclose(points([[-0.125, 10.0]]).read(values), points([[1.875, 10.0]]).read(values))
    np.testing.assert_allclose(points([[0.0, 10.9]]).read(values), [1000])


@pytest.mark.parametrize("position", [(2.1, 4.0), (-0.2, 4.0), (1.0, 11.1), (1.0, 0.9), (np.nan, 4.0)])
def test_outside_of_the_domain(position):
    """Is refused with the domain."""
    with pytest.raises(InputError, match=r"Sensor 0 at .* outside of the domain \[-0.125, 2\], \[1, 11\]"):
        points([position])


def test_places_there_and_back():
    """In grid points and in coordinates, whichever way an axis goes."""
    for x, periodic in ((X, True), (Y, False), (X[::-1], True)):
        index = np.array([0.0, 0.3, len(x) - 1.0])
        np.testing.assert_allclose(grid_index(x, from_index(x, index), periodic), index, atol=1e-12)
    assert domain(X[::-1], True) == (-0.25, 1.875)


def test_boxes_and_weights():
    """A box is the mean of the points in it, round a periodic axis too; weights say the same of any sum."""
    values = np.random.default_rng(0).standard_normal((3, *SPACE.shape))
    box = points([[0.0, 6.0]], widths=np.array([[0.5, 4.0]])).read(values)
    inside = values[:, [7, 0, 1]][:, :, [1, 2, 3], 0]
    np.testing.assert_allclose(box[:, 0], inside.mean(axis=(1, 2)))
    weights = np.zeros((2, *SPACE.shape))
    weights[0, [7, 0, 1], 1:4, 0] = 1 / 9
    weights[0] = np.where(np.isin(np.arange(8), [7, 0, 1])[:, None, None], weights[0], 0)
    weights[1, 2, :, 1] = 2.0
    sensors = weighted_sensors(weights, SPACE.boundary)
    found = sensors.read(values)
    np.testing.assert_allclose(found[:, 1], 2 * values[:, 2, :, 1].sum(axis=1))
    np.testing.assert_allclose(sensors.positions, [[0.0, 2.0], [2.0, 2.0]], atol=1e-12)
    with pytest.raises(InputError, match="holds no point"):
        points([[0.1, 6.0]], widths=np.array([[0.1, 4.0]]))
    with pytest.raises(InputError, match="not all zero"):
        weighted_sensors(0 * weights, SPACE.boundary)


def dataset(y, positions, **more):
    """Sensors of both channels as xarray."""
    return xr.Dataset(
        {"v": (("sensor", "time"), y[..., 1].T), "u": (("time", "sensor"), y[..., 0])} | more,
        {
            "time": np.arange(len(y), dtype=float),
            "lon": ("sensor", positions[:, 0]),
            "lat": ("sensor", positions[:, 1]),
        },
    )


def test_the_same_in_every_form():
    """Arrays and xarray, sensors on points and frames with gaps: the same readings of the same places."""
    rng = np.random.default_rng(0)
    frames = np.full((4, *SPACE.shape), np.nan)
    chosen = [(0, 1), (3, 4), (7, 0)]
    y = rng.standard_normal((4, 3, 2))
    y[1, 2, 0] = np.nan
    for number, (i, j) in enumerate(chosen):
        frames[:, i, j] = y[:, number]
    positions = np.array([(X[i], Y[j]) for i, j in chosen])

    def as_dict(readings):
        place = readings.sensors.places[np.arange(len(readings.y[0])), readings.sensors.weights.argmax(axis=1)]
        order = np.argsort(place)
        noise = None if readings.noise is None else readings.noise[:, order]
        return place[order], readings.y[:, order], noise

    expected = as_dict(read(y, 4, SPACE, positions=positions, noise=0.3))
    noise = {"u_noise": ("sensor", [0.3, 0.3, 0.3]), "v_noise": 0.3}
    frames_set = xr.Dataset(
        {name: (("lat", "time", "lon"), frames[..., k].transpose(2, 0, 1)) for k, name in enumerate("uv")},
        {"lon": X, "lat": Y},
    )
    for found in (
        read(dataset(y, positions, **noise), 4, SPACE),
        read(frames, 4, SPACE, noise=[0.3, 0.3]),
        read(frames_set.assign(u_noise=0.3, v_noise=0.3), 4, SPACE),
    ):
        for a, b in zip(as_dict(found), expected, strict=True):
            np.testing.assert_allclose(a, b)
    one = read(y[..., 1], 4, SPACE, positions=positions, channel="v")
    np.testing.assert_array_equal(one.y, y[..., 1])
    assert one.noise is None and (one.sensors.places[:, 0] % 2 == 1).all()
    np.testing.assert_array_equal(times_of(dataset(y, positions), None), np.arange(4.0))


Y_OF = np.zeros((4, 3))
PLACES = np.array([[0.1, 4.0], [0.2, 4.0], [1.2, 8.0]])
BAD = {
    "outside": (Y_OF, {"positions": PLACES + [2, 0]}, "lies outside of the domain"),
    "negative noise": (Y_OF, {"positions": PLACES, "noise": -0.1}, "`noise` must be above zero"),
    "noise of zero": (Y_OF, {"positions": PLACES, "noise": [0.1, 0.0, 0.1]}, "`noise` must be above zero"),
    "noise of another shape": (Y_OF, {"positions": PLACES, "noise": [0.1, 0.1]}, "`noise` must be one number"),
    "all missing": (np.nan * Y_OF, {"positions": PLACES}, "All observations are missing"),
    "infinite": (np.inf + Y_OF, {"positions": PLACES}, "not infinite"),
    "other times": (Y_OF[:3], {"positions": PLACES}, "one row for each of the 4 times, got 3"),
    "other sensors": (Y_OF[:, :2], {"positions": PLACES}, r"`positions` must have the shape \(sensor, 2\)"),
    "no positions": (Y_OF, {}, "without `positions` must be frames"),
    "unknown channel": (Y_OF, {"positions": PLACES, "channel": "w"}, "`channel` must be u, v or a number below 2"),
    "no channel": (Y_OF, {"positions": PLACES}, "`channel`"),
    "negative widths": (Y_OF, {"positions": PLACES, "channel": 0, "widths": -1.0}, "`widths` must not be negative"),
    "weights and positions": (Y_OF, {"positions": PLACES, "weights": np.ones((3, 8, 5, 2))}, "leave out `positions`"),
    "weights of another shape": (Y_OF, {"weights": np.ones((2, 8, 5, 2))}, "`weights` must have the shape"),
    "channel of frames": (np.zeros((4, 8, 5, 2)), {"channel": 0}, "give these too"),
    "a dataset without time": (xr.Dataset({"u": ("sensor", [0.0])}), {}, "must have an axis `time`"),
    "a dataset of others": (xr.Dataset({"w": ("time", [0.0])}), {}, "must hold u or v"),
    "a dataset without places": (xr.Dataset({"u": (("time", "sensor"), Y_OF)}), {}, "must say their place, `lon`"),
    "two sayings": (xr.Dataset({"u": (("time", "sensor"), Y_OF)}), {"positions": PLACES}, "With xarray"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used(name):
    """Is refused in one sentence."""
    observations, options, message = BAD[name]
    if name not in ("no channel", "unknown channel", "weights and positions") and "positions" in options:
        options = {"channel": 0} | options if name != "two sayings" else options
    with pytest.raises(InputError, match=message) as error:
        read(observations, 4, SPACE, **options)
    assert str(error.value).count("\n") == 0


def test_no_times():
    """Are asked for."""
    with pytest.raises(InputError, match="`times` is missing"):
        times_of(Y_OF, None)


def test_sensors_that_never_report_are_left_out():
    """Whatever their noise."""
    y = Y_OF.copy()
    y[:, 1] = np.nan
    found = read(y, 4, SPACE, positions=PLACES, channel=0, noise=[0.1, np.nan, 0.2])
    assert found.y.shape == (4, 2) and found.sensors.places.shape[0] == 2
    np.testing.assert_array_equal(found.noise[0], [0.1, 0.2])


CELLS = Cells(
    (16, 8), ("periodic", "edge"), 4, np.array([[2, 2], [6, 2], [10, 2], [14, 2]]), np.arange(8).reshape(4, 2), 10
)


def test_distances_go_the_shorter_way():
    """In cells, round a periodic axis, and not round an edge."""
    found = distances(CELLS, np.array([[1.0, 0.0]]), np.array([[15.0, 0.0], [1.0, 6.0], [4.0, 4.0]]))
    np.testing.assert_allclose(found, [[0.5, 1.5, 1.25]])


def test_taper():
    """One at no distance, zero from the radius on, one for what belongs to the whole domain; between sensors it is a
    product of factors close to the function itself, with ones on its diagonal."""
    positions = np.array([[2.0, 2.0], [6.0, 2.0], [14.0, 2.0]])
    taper = make_taper(CELLS, positions, 2.0)
    at_one = 5 / 24  # of Gaspari and Cohn's function at half of its radius
    expected = np.array([[1, at_one, at_one], [at_one, 1, 0], [0, at_one, at_one], [at_one, 0, 1]])
    np.testing.assert_allclose(taper.state[:8].reshape(4, 2, 3), np.repeat(expected[:, None], 2, axis=1), atol=1e-6)
    np.testing.assert_array_equal(taper.state[8:], 1)
    between = np.array([[1, at_one, at_one], [at_one, 1, 0], [at_one, 0, 1]])
    np.testing.assert_allclose(taper.factor @ taper.factor.T, between, atol=1e-6)
    many = np.stack([np.linspace(0, 15.9, 60), np.full(60, 3.0)], axis=1)
    factor = make_taper(CELLS, many, 3.0).factor
    assert factor.shape[1] < 25
    np.testing.assert_allclose(np.sum(factor**2, axis=1), 1, rtol=1e-5)
    from cuthbertlib.ensemble_kalman import gaspari_cohn

    np.testing.assert_allclose(factor @ factor.T, gaspari_cohn(distances(CELLS, many, many), 3.0), atol=0.02)


def test_when_an_ensemble_is_small():
    """By the directions that it varies in, not by the size of the state; a radius reaches every cell."""
    rng = np.random.default_rng(0)
    few = rng.standard_normal((64, 3)) @ rng.standard_normal((3, 10))
    assert participation(few) <= 3 < 8 < participation(rng.standard_normal((4000, 10))) <= 10
    near, far = np.array([[2.0, 2.0], [10.0, 2.0]]), np.array([[2.0, 2.0]])
    assert default_radius(CELLS, near, few) is None
    small = rng.standard_normal((12, 10))
    assert default_radius(CELLS, near, small) == 8
    wide = CELLS._replace(grid=(64, 8), centres=CELLS.centres * np.array([4, 1]))
    assert default_radius(wide, far, small) == 2 * distances(wide, wide.centres, far).max() > 8


@pytest.mark.parametrize("layout", ["global", "cells"])
def test_where_latents_belong(layout):
    """Those in cells to their cell, those of the domain to none; centred where the filter is."""
    config = ModelConfig(micro_layout=layout, micro_dim=3, coarsening=4, n_sigma=1, encoder_pooling=1)
    model = MultiscaleModel(config, (16, 8), 2, ("periodic", "edge"), Scales((0.0, 0.0), (1.0, 1.0)))
    cells = cells_of(model)
    assert cells.numbers.shape == (8, 2 if layout == "global" else 5)
    z = np.zeros(model.latent_dim)
    z[cells.numbers[3]] = 1
    zeta, eta = (z[places] for places in model.places)
    assert zeta.reshape(8, 2)[3].all() and zeta.sum() == 2 and eta.sum() == (0 if layout == "global" else 3)
    np.testing.assert_array_equal(cells.centres[3], [6, 6])


def test_members_that_are_lost():
    """Others take their place, and they are counted."""
    x = np.arange(12.0).reshape(4, 3)
    x[1, 2], x[3, 0] = np.nan, np.inf
    found, lost = map(np.array, replace_lost(jax.random.key(0), x))
    assert lost == 2 and np.isfinite(found).all()
    np.testing.assert_array_equal(found[[0, 2]], x[[0, 2]])
    assert all(any(np.array_equal(one, other) for other in x[[0, 2]]) for one in found[[1, 3]])


def test_statistics():
    """Of innovations as they should be, of some that are twice as large, and of some that go on as they are."""
    rng = np.random.default_rng(0)
    d, s = rng.standard_normal((2000, 4)) * [1, 2, 3, 4], np.broadcast_to([1.0, 2, 3, 4], (2000, 4))
    d[::7, 1] = np.nan
    d[3] = np.nan
    chi2 = np.nansum((d / s) ** 2, axis=1)
    told = statistics(d, s, chi2)
    assert abs(told["chi2_per_reading"] - 1) < 0.06
    assert np.all(np.abs(told["autocorrelation"]) < 2.5 * told["autocorrelation_bound"])
    assert abs(told["autocorrelation_bound"] - 1.96 / np.sqrt(np.isfinite(d).sum())) < 1e-9
    assert abs(statistics(2 * d, s, 4 * chi2)["chi2_per_reading"] - 4) < 0.3
    kept = np.repeat(d[4:1000], 2, axis=0)
    assert abs(statistics(kept, s[: len(kept)], chi2[: len(kept)])["autocorrelation"][0] - 0.5) < 0.05


def test_grid_sensors_read_all():
    """The field itself, each value at its place."""
    values = np.random.default_rng(0).standard_normal(SPACE.shape)
    sensors = grid_sensors(SPACE.shape)
    np.testing.assert_array_equal(sensors.read(values), values.ravel())
    np.testing.assert_array_equal(sensors.positions[13], [1, 1])
