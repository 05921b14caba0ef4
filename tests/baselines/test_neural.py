"""Networks that must learn a simple system in seconds, whatever its units and times, and say how sure they are."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msvi.baselines import base, neural, stepping
from msvi.baselines.config import BaselineConfig
from msvi.baselines.fit import fit_baseline
from msvi.baselines.networks import find_fold, fold_field, make_emulator, unfold_field
from msvi.baselines.times import Steps, frame_steps
from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.evaluation.scoring import score_baseline, score_groups
from msvi.model.scales import Scales
from msvi.recipe.measure import field_scales

pytest.importorskip("pdequinox")

X = np.arange(32) / 32
BUDGET = BaselineConfig(minutes=0.0, steps=400, num_members=3)
SHORT = BaselineConfig(minutes=0.0, steps=10, num_members=2)


def config_of(budget=BUDGET):
    return dataclasses.replace(Config(), baseline=budget)


def heat(t, amplitude, phase):
    """Two modes that are carried along at speed 1 and damped by the diffusivity 0.02, `(time, point, 1)`."""
    k = 2 * np.pi * np.array([1, 2])
    waves = np.exp(-0.02 * k**2 * t[:, None])[:, None] * np.sin(k * (X[:, None] - t[:, None, None]) + phase)
    return (waves @ amplitude)[..., None].astype(np.float32)


def trajectories(times, seed):
    rng = np.random.default_rng(seed)
    draws = [(rng.uniform(0.5, 1.5, 2), rng.uniform(0, 2 * np.pi, 2)) for _ in times]
    return Split(np.stack(times), np.stack([heat(t, *draw) for t, draw in zip(times, draws, strict=True)]))


def dataset_of(train, val, test):
    return Dataset((X,), ("periodic",), train, val, test)


def even_times(number):
    return [np.linspace(0, 1, 41)] * number


@pytest.fixture(scope="module")
def even():
    return dataset_of(*(trajectories(even_times(n), seed) for seed, n in enumerate((8, 2, 3))))


@pytest.fixture(scope="module", params=["fno", pytest.param("unet", marks=pytest.mark.slow)])
def fitted(request, even):
    return fit_baseline(request.param, config_of(), even)


def test_a_linear_system_is_learned(fitted, even):
    """To some per cent in 400 steps; the CRPS of the ensemble is below that of its mean, and of the training mean."""
    assert fitted.settings["ensemble_val_nrmse"] < 0.15
    u = fitted.forecast(even.test.t[0], even.test.u[0, 0])
    assert u.shape == (3, 41, 32, 1) and u.dtype == np.float32
    np.testing.assert_allclose(u[:, 0], np.broadcast_to(even.test.u[0, 0], (3, 32, 1)), atol=1e-5)
    assert not np.array_equal(u[0, 1:], u[1, 1:])

    def scores(forecast):
        found = score_baseline(forecast, even, even.test, config_of())
        return score_groups(found, even, config_of(), field_scales(even.train), noise_std=0.0)["test"]

    ours, alone = scores(fitted.forecast), scores(lambda t, u0: fitted.forecast(t, u0).mean(axis=0, keepdims=True))
    mean = scores(fit_baseline("mean", config_of(), even).forecast)
    assert ours["crps"]["mean"] < alone["crps"]["mean"] < 0.2 * mean["crps"]["mean"]
    assert 0.1 < ours["spread_skill"]["median"] < 10 and "spread_skill" not in alone
    assert ours["nrmse"]["median"] == pytest.approx(alone["nrmse"]["median"])


def test_what_was_chosen_is_told(fitted):
    settings = fitted.settings
    assert json.loads(json.dumps(settings, allow_nan=False)) == settings
    assert settings["chosen"] in settings["candidates"] and settings["ended"] == "turned"
    assert settings["trial_steps"] == 100 and settings["frames"] == "as they are"
    for seed, member in enumerate(settings["members"]):
        assert member["seed"] == seed
        assert [member["best_step"], member["val_nrmse"]] == min(member["looks"], key=lambda look: look[1])
        assert [step for step, _ in member["looks"]] == [200, 400]


@pytest.mark.slow
def test_times_of_their_own(even):
    """Frames at random times, of trajectories of unequal length: nearly the forecast that even ones give."""
    rng = np.random.default_rng(7)
    train, val = (
        trajectories([np.sort(np.r_[0, 1, rng.uniform(0, 1, 39)]) for _ in range(n)], seed)
        for seed, n in enumerate((8, 2))
    )
    train = train._replace(num_frames=np.array([41] * 7 + [30]))
    uneven = fit_baseline("fno", config_of(), dataset_of(train, val, even.test))
    assert uneven.settings["frames"] == "interpolated by cubic splines"
    assert uneven.settings["ensemble_val_nrmse"] < 0.1
    times = np.sort(np.r_[0, rng.uniform(0, 1, 9)])
    exact = heat(times, np.array([1.0, 0.7]), np.array([0.3, 2.0]))
    assert base.nrmse(uneven.forecast(times, exact[0]).mean(axis=0), exact) < 0.15


@pytest.fixture(scope="module")
def short(even):
    """The forecast of networks that have learned little yet."""
    return fit_baseline("fno", config_of(SHORT), even).forecast(even.test.t[0], even.test.u[0, 0])


@pytest.mark.parametrize("factor, time", [(2.0**60, 2.0**-40), (1e-20, 3.7e9)])
def test_units_change_nothing(factor, time, even, short):
    """Neither those of the field nor those of time; powers of two not even the rounding."""
    splits = (Split(split.t * time, (split.u.astype(np.float64) * factor).astype(np.float32)) for split in even[2:5])
    data = dataset_of(*splits)
    u = fit_baseline("fno", config_of(SHORT), data).forecast(data.test.t[0], data.test.u[0, 0])
    np.testing.assert_allclose(u.astype(np.float64) / factor, short, rtol=0, atol=1e-6 if factor > 1 else 1e-2)


def test_seeds_tell_all(even, short):
    again = fit_baseline("fno", config_of(SHORT), even)
    np.testing.assert_array_equal(again.forecast(even.test.t[0], even.test.u[0, 0]), short)


def test_minutes_end_a_training(even):
    """All members have then been trained for as many steps, and at least for one round."""
    baseline = fit_baseline("fno", config_of(BaselineConfig(minutes=0.02, steps=10**6, num_members=2)), even)
    looks = [[step for step, _ in member["looks"]] for member in baseline.settings["members"]]
    assert looks[0] == looks[1] and 200 <= looks[0][-1] < 10**5


def test_members_and_minutes_are_checked():
    with pytest.raises(InputError, match="`baseline.num_members` must be finite and at least 1, got 0"):
        BaselineConfig(num_members=0)
    with pytest.raises(InputError, match="`baseline.minutes` must be finite and at least 0, got -1"):
        BaselineConfig(minutes=-1.0)


def test_pairs_are_of_one_trajectory():
    """Each field holds its number: a network sees no pair that crosses from one trajectory to another."""
    length = np.array([3, 9, 2, 5])
    u = jnp.arange(19.0)[:, None, None] + jnp.zeros((19, 8, 1))
    frames = stepping.Frames(u, jnp.asarray(np.cumsum(length) - length), jnp.asarray(length))
    own = np.repeat(np.arange(4), length)
    stride = stepping.make_stride(frames, 4, 0.0, False)
    seen = set()
    for seed in range(20):
        before, after = stepping.draw_pairs(frames, stride, jax.random.key(seed), 16)
        first, second = (np.asarray(part[:, 0, 0]).astype(int) for part in (before, after))
        np.testing.assert_array_equal(second - first, 4)
        np.testing.assert_array_equal(own[first], own[second])
        seen |= set(first.tolist())
    assert seen == {3, 4, 5, 6, 7, 14}
    np.testing.assert_allclose(stride.size, [[[4.0]]])
    np.testing.assert_allclose(stepping.make_stride(frames, 4, 3.0, False).size, [[[5.0]]])


def test_folding_loses_nothing():
    x = np.random.default_rng(0).standard_normal((3, 12, 8)).astype(np.float32)
    folded = fold_field(jnp.asarray(x), 4)
    assert folded.shape == (48, 3, 2)
    np.testing.assert_array_equal(unfold_field(folded, 4), x)
    np.testing.assert_array_equal(folded[:16, 1, 1], x[0, 4:8, 4:8].ravel())
    np.testing.assert_array_equal(fold_field(jnp.asarray(x), 1), x)


@pytest.mark.parametrize(
    "grid, multiple, fold",
    [((1000,), 1, 4), ((1000,), 8, 5), ((128, 128), 8, 4), ((640, 80), 8, 10), ((1009,), 8, 1), ((33,), 8, 1)],
)
def test_fold_of_a_grid(grid, multiple, fold):
    """As small as leaves few points, of a size that can be halved where there is one; a prime number stays as it is."""
    assert find_fold(grid, multiple) == fold


@pytest.mark.parametrize("name", ["fno", "unet"])
@pytest.mark.parametrize(
    "grid, boundary", [((33,), ("periodic",)), ((30, 16), ("edge", "periodic")), ((8, 8, 8), ("edge",) * 3)]
)
def test_any_grid_and_boundary(name, grid, boundary):
    """Sizes that do not halve and boundaries that differ are continued; what the network gives is of the grid."""
    emulator = make_emulator(name, grid, 2, boundary)
    params = emulator.init(jax.random.key(0))
    v = jax.random.normal(jax.random.key(1), (*grid, 2))
    change, placed = (jax.jit(emulator.apply)(params, v, position) for position in (0.0, 1.0))
    assert change.shape == (*grid, 2) and bool(jnp.isfinite(change).all())
    assert not np.allclose(change, placed)


@pytest.mark.parametrize("name", ["fno", "unet"])
def test_periodic_networks_take_all_points_alike(name):
    """Without its position a network commutes with shifts, by blocks of the points that it folds and halves."""
    emulator = make_emulator(name, (64,), 1, ("periodic",))
    params, v = emulator.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (64, 1))
    apply = jax.jit(emulator.apply)
    shifted = jnp.roll(apply(params, jnp.roll(v, 8, 0), 0.0), -8, 0)
    np.testing.assert_allclose(shifted, apply(params, v, 0.0), atol=1e-5)
    moved = jnp.roll(apply(params, jnp.roll(v, 8, 0), 1.0), -8, 0)
    assert not np.allclose(moved, apply(params, v, 1.0), atol=1e-5)


def test_gaps_between_steps_are_bridged():
    """Every frame of a forecast in steps of five: exact where the path is a cubic in time, and at the steps."""
    stepper = stepping.Stepper(None, None, lambda params, v, stride: v + 1.0)
    stride = stepping.Stride(jnp.asarray(5), jnp.asarray(0.0), jnp.asarray(0.0), jnp.ones(1))
    (path,) = neural._forecast(stepper, None, stride, jnp.zeros((1, 4, 1)), [np.arange(21.0)])
    np.testing.assert_allclose(path[:, 0, 0], np.arange(21) / 5, atol=1e-6)


def test_steps_of_a_split():
    t = np.array([[0.0, 0.1, 0.2, 0.3], [5.0, 5.1, 5.2, 9.0]])
    split = Split(t, np.zeros((2, 4, 3, 1)), num_frames=np.array([4, 3]))
    assert frame_steps(split) == Steps(pytest.approx(0.1), True)
    assert not frame_steps(split._replace(num_frames=None)).even
    with pytest.raises(InputError, match="at least 2 frames, got 1"):
        frame_steps(split._replace(num_frames=np.array([1, 1])))


def test_uneven_frames_are_interpolated():
    """A cubic in time comes out exactly at even times, and the trajectories keep their own lengths."""
    t = np.array([[0.0, 0.1, 0.25, 0.3, 0.55, 0.6], [0.0, 0.05, 0.1, 0.2, 0.3, 9.0]])
    split = Split(t, (t**3 - t)[..., None, None].astype(np.float32), num_frames=np.array([6, 5]))
    steps = frame_steps(split)
    assert steps == Steps(pytest.approx(0.1), False)
    frames = stepping.even_split(split, Scales((0.0,), (1.0,)), steps)
    np.testing.assert_array_equal(frames.length, [7, 4])
    times = 0.1 * np.r_[np.arange(7), np.arange(4)]
    np.testing.assert_allclose(frames.u[:, 0, 0], times**3 - times, atol=1e-6)
