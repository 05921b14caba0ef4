"""How much of a forecast's error is that of the solver's steps: against linear dynamics, stepped by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from linear_model import SPACING

from msvi.data.split import Split
from msvi.evaluation.steps import change_by_halving
from msvi.forecast.config import ForecastConfig

pytest_plugins = ["linear_model"]

TIMES = SPACING * np.arange(15)  # the model's unit of time is ten of them


@pytest.fixture(scope="module")
def split():
    """Two trajectories of random fields, of which the second ends after eight frames."""
    u = np.random.default_rng(0).normal(0.3, 2.0, (2, len(TIMES), 12, 1)).astype(np.float32)
    return Split(np.stack([TIMES, TIMES]), u, num_frames=np.array([15, 8]))


def by_hand(model, params, u0, num_frames, halves):
    """Euler steps of the linear drift from the encoded frame, decoded and standardised, `(time, 12)`."""
    rest, std = model.scales.field_mean[0], model.scales.field_std[0]
    offset = np.asarray(model.drift(params, 0.0, jnp.zeros(model.latent_dim)))
    columns = [np.asarray(model.drift(params, 0.0, e)) - offset for e in jnp.eye(model.latent_dim)]
    matrix, z = np.stack(columns, axis=1), np.asarray(model.encode(params, jnp.asarray(u0)).mean, np.float64)
    fields = []
    for _ in range(num_frames):
        fields.append((np.asarray(model.decode(params, jnp.asarray(z, jnp.float32)).mean)[:, 0] - rest) / std)
        for _ in range(halves):
            z = z + SPACING / halves * (matrix @ z + offset)
    return np.stack(fields)


def expected(model, params, u, num_frames, seen=True):
    change, error = 0.0, 0.0
    for one in u:
        whole, halved = (by_hand(model, params, one[0], num_frames, halves) for halves in (1, 2))
        observed = (one[:num_frames, :, 0] - model.scales.field_mean[0]) / model.scales.field_std[0]
        change += np.sum((halved - whole) ** 2)
        error += np.sum((whole - observed) ** 2, where=seen)
    return np.sqrt(change / error)


def test_change_of_euler_steps(linear, split):
    """Over the frames that all have, and against the truth where it is known."""
    model, params = linear
    config = ForecastConfig(solver="euler")
    found = change_by_halving(model, params, split, config)
    assert found == pytest.approx(expected(model, params, split.u, 8), rel=1e-4)
    true = split._replace(u_true=split.u + 10)
    assert change_by_halving(model, params, true, config) < found / 2
    # Steps so short, or a solver so good, are no matter any more.
    assert change_by_halving(model, params, split, dataclasses.replace(config, steps_per_frame=8)) < found / 7
    assert change_by_halving(model, params, split, dataclasses.replace(config, solver="rk4")) < found / 200


def test_one_unit_of_time_is_looked_at(linear, split):
    """And no units of the data matter."""
    model, params = linear
    config, whole = ForecastConfig(solver="euler"), split._replace(num_frames=None)
    found = change_by_halving(model, params, whole, config)
    assert found == pytest.approx(expected(model, params, whole.u, 11), rel=1e-4)
    scales = dataclasses.replace(
        model.scales, time_unit=60.0, spacing=60 * SPACING, field_mean=(0.0,), field_std=(1e3,)
    )
    other = dataclasses.replace(model, scales=scales)
    u = ((split.u - 0.3) / 2 * 1e3).astype(np.float32)
    same = change_by_halving(other, params, whole._replace(t=60 * whole.t, u=u), config)
    assert same == pytest.approx(found, rel=1e-4)


def test_gaps_are_no_error(linear, split):
    """What was not observed is not compared, whatever stands in its place."""
    model, params = linear
    mask = np.ones(split.u.shape, bool)
    mask[:, 1:, :6] = False
    filled = np.where(mask, split.u, np.float32(1e6))
    config, observed = ForecastConfig(solver="euler"), split._replace(u=filled, mask=mask)
    found = change_by_halving(model, params, observed, config)
    assert found == pytest.approx(expected(model, params, split.u, 8, mask[0, :8, :, 0]), rel=1e-4)


def test_forecast_that_diverges_has_none(linear, split):
    model, params = linear
    wild = dataclasses.replace(model, config=dataclasses.replace(model.config, drift_scale=1e30))
    assert change_by_halving(wild, params, split, ForecastConfig(solver="euler")) is None
