"""Units: what the training trajectories give, and that no unit or origin changes what the model makes of a field."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.model.scales import Scales
from msvi.recipe.build import build_model
from msvi.recipe.measure import field_scales
from msvi.training.build import build_trajectories
from msvi.training.workdir import check_same_scales


def make_split(seed=0, channels=1, number=3, num_frames=20):
    """Smooth random fields of order one, `(trajectory, time, 40, channel)`, in float64, with frames .5 apart."""
    rng = np.random.default_rng(seed)
    t, x = 0.5 * np.arange(num_frames), np.arange(40) / 40
    k = np.arange(1, 5)[:, None]
    a, p = rng.standard_normal((2, number, channels, 4, 1, 1))
    waves = a * np.sin(2 * np.pi * (k[..., None] * x[None, None] - 0.05 * t[None, :, None]) + p)
    return Split(np.tile(t, (number, 1)), np.moveaxis(waves.sum(axis=2), 1, -1))


def in_units(split, mean=0.0, std=1.0, unit=1.0):
    """The same trajectories in other units, float32 as files have them."""
    return split._replace(t=split.t * unit, u=(mean + std * split.u).astype(np.float32))


def make_model(split, config):
    dataset = Dataset((np.arange(40) / 40,), ("periodic",), split, split, split)
    return build_model(Config(model=config), dataset)


@pytest.mark.parametrize(
    "units",
    [(300.0, 1.0), (0.0, 1e5), (0.0, 1e20), (0.0, 1e-20), (-3e4, 50.0)],
    ids=["u + 300", "1e5 u", "1e20 u", "1e-20 u", "-3e4 + 50 u"],
)
def test_model_of_other_units_is_the_same(model_config, units):
    """Latents, and decoded fields and deviations in units of the data, to 1e-4 and what float32 keeps of the offset.

    In float32 300 has the digits to 3e-5 of a unit, and 600 deviations those to 6e-5.
    """
    mean, std = units
    config = dataclasses.replace(model_config, time_unit=2.0)
    split = make_split()
    plain, other = (make_model(s, config) for s in (in_units(split), in_units(split, mean, std)))
    assert other.scales.field_std[0] == pytest.approx(std * plain.scales.field_std[0], rel=1e-5)
    params = jax.jit(plain.init)(jax.random.key(0))
    u = split.u[1, 7]
    z = plain.encode(params, jnp.float32(u)).mean
    z_other = other.encode(params, jnp.float32(mean + std * u)).mean
    np.testing.assert_allclose(z_other, z, atol=1e-4 + 2e-7 * abs(mean / std))
    here, there = plain.decode(params, z), other.decode(params, z)
    size = plain.scales.field_std[0]
    tolerance = 1e-4 + 2e-7 * abs(mean / std)
    np.testing.assert_allclose((np.float64(there.mean) - mean) / std / size, here.mean / size, atol=tolerance)
    np.testing.assert_allclose(there.log_var - 2 * np.log(std), here.log_var, rtol=1e-5, atol=1e-4)
    assert np.isfinite(there.log_var).all() and np.ptp(np.asarray(here.mean)) > 0.1


@pytest.mark.parametrize("units", [(300.0, 1.0, 1e-9), (0.0, 1e20, 3600.0)])
def test_what_is_learned_from_has_no_units(model_config, units):
    """Trajectories on the device: mean 0, deviation 1, and times in units of the correlation time, the same from
    whatever file."""
    mean, std, unit = units
    split = make_split()
    found = []
    for one in (in_units(split), in_units(split, mean, std, unit)):
        found.append(build_trajectories(make_model(one, model_config), one))
    plain, other = found
    assert abs(float(jnp.median(plain.frames.u))) < 0.05 and abs(float(plain.frames.u.std()) - 1) < 1e-4
    np.testing.assert_allclose(other.frames.u, plain.frames.u, atol=2e-4)
    np.testing.assert_allclose(other.t, plain.t, rtol=1e-5)


def test_field_scales_of_each_channel():
    """Mean and deviation by themselves, over what was observed; one that never changes is in units of its size."""
    u = np.concatenate([5 + 2 * make_split(1).u, 1e-3 * make_split(2).u, np.full((3, 20, 40, 1), -7.0)], axis=-1)
    mask = np.random.default_rng(0).random(u.shape) > 0.3
    split = Split(make_split().t, np.where(mask, u, 0).astype(np.float32), mask=mask)
    scales = field_scales(split)
    for c in range(2):
        values = u[..., c][mask[..., c]]
        assert scales.field_mean[c] == pytest.approx(values.mean(), rel=1e-4, abs=1e-8)
        assert scales.field_std[c] == pytest.approx(values.std(), rel=1e-4)
    assert scales.field_mean[2] == pytest.approx(-7) and scales.field_std[2] == pytest.approx(7)
    assert scales.spacing == 0.5 and scales.time_unit == 1


def test_scales_do_not_rest_on_the_first_trajectory():
    """Where it is at rest, or its first frame is, the others give mean and deviation."""
    split = make_split()
    u = split.u.astype(np.float32)
    u[0] = 0
    scales = field_scales(split._replace(u=u))
    assert scales.field_mean[0] == pytest.approx(u.mean(), abs=1e-6)
    assert scales.field_std[0] == pytest.approx(u.std(), rel=1e-5)


def test_rest_is_what_most_of_the_field_is():
    """A bump that comes and goes in a field at rest: the value at rest is zero inside, whatever it is outside, in any
    unit, with values missing, and in trajectories of unequal length; mean and deviation stay what they are."""
    x = np.linspace(0, 1, 40)
    u = np.sin(np.linspace(0.5, 3, 20))[None, :, None] * np.exp(-(((x - 0.5) / 0.05) ** 2)) * np.ones((3, 1, 1))
    split, mask = make_split(), np.random.default_rng(0).random((3, 20, 40, 1)) > 0.3
    plain = field_scales(split._replace(u=u[..., None]))
    assert plain.field_rest[0] == pytest.approx(0, abs=1e-6) and plain.field_mean[0] > 0.05
    for factor, offset, kept in ((1.0, 300.0, None), (1e5, 0.0, None), (1e-20, -1e-19, None), (2.0, 1.0, mask)):
        moved = np.where(True if kept is None else kept, factor * u[..., None] + offset, 0)
        scales = field_scales(split._replace(u=moved, mask=kept))
        assert scales.field_rest[0] == pytest.approx(offset, abs=1e-6 * factor)
        inside = scales.standardise(moved)
        expected = plain.standardise(u[..., None])
        seen = np.ones_like(mask) if kept is None else kept
        np.testing.assert_allclose(inside[seen], expected[seen], rtol=0.05, atol=1e-5)


def test_constant_fields_are_refused():
    """There is nothing to learn, whatever the constant."""
    for value in (0.0, 300.0):
        split = make_split()
        with pytest.raises(InputError, match="must vary"):
            field_scales(split._replace(u=np.full_like(split.u, value)))


def test_round_trip():
    """`restore` undoes `standardise`, channel by channel; deviations know no origin."""
    scales = Scales((3.0, -1.0), (2.0, 0.1), 5.0, 0.5)
    u = np.random.default_rng(0).standard_normal((4, 6, 2))
    np.testing.assert_allclose(scales.restore(scales.standardise(u)), u, atol=1e-12)
    np.testing.assert_allclose(scales.standardise(u)[..., 1], (u[..., 1] + 1) / 0.1)
    np.testing.assert_allclose(scales.widths(u), u * [2.0, 0.1])
    rested = dataclasses.replace(scales, field_rest=(2.0, 0.0))
    np.testing.assert_allclose(rested.standardise(u)[..., 0], (u[..., 0] - 2) / 2)
    np.testing.assert_allclose(rested.restore(rested.standardise(u)), u, atol=1e-12)
    assert rested.unit == scales.unit
    assert scales.unit == Scales((0.0, 0.0), (1.0, 1.0), 1.0, 0.1)


@pytest.mark.parametrize(
    "wrong", [{"field_std": (0.0,)}, {"time_unit": -1.0}, {"field_mean": (0.0, 1.0)}, {"field_rest": (0.0, 1.0)}]
)
def test_scales_that_are_none(wrong):
    """Neither zero nor negative, and one for each channel."""
    with pytest.raises(InputError, match="Scales must be positive numbers"):
        Scales(**({"field_mean": (0.0,), "field_std": (1.0,)} | wrong))


def test_scales_that_are_the_same_but_for_rounding():
    """A median or mean near zero may differ in all of its digits; a deviation may not."""
    scales = Scales((1e-9,), (2.0,), 1.0, 0.1, (1.15e-7,))
    record = {
        "scales": {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(scales).items()}
    }
    check_same_scales(record, dataclasses.replace(scales, field_mean=(-1e-8,), field_rest=(1.38e-7,)), "run")
    for changes in ({"field_std": (2.001,)}, {"field_rest": (1e-3,)}, {"time_unit": 1.01}, {"field_rest": ()}):
        with pytest.raises(InputError, match="has the scales"):
            check_same_scales(record, dataclasses.replace(scales, **changes), "run")
    del record["scales"]["field_rest"]
    with pytest.raises(InputError, match="earlier version"):
        check_same_scales(record, scales, "run")
