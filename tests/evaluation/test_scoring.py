"""Scores of trajectories with frames at times of their own, of unequal length, and observed in part."""

import dataclasses

import jax
import numpy as np
import pytest

from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.evaluation.scoring import score_baseline, score_groups, score_model, scored_frames, shown_frames
from msvi.model.scales import Scales
from msvi.recipe.measure import field_scales

LENGTHS = np.array([12, 7, 9])


@pytest.fixture(scope="module")
def config():
    config = Config()
    return dataclasses.replace(config, forecast=dataclasses.replace(config.forecast, num_members=4))


@pytest.fixture(scope="module")
def ragged():
    """Three trajectories of 12, 7 and 9 frames at random times, the shorter ones filled with zeros."""
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(0.01, 0.03, (3, 12)), axis=1)
    u = (0.1 * rng.standard_normal((3, 12, 40, 1))).astype(np.float32)
    for own, length in zip(u, LENGTHS, strict=True):
        own[length:] = 0
    return Split(t, u, u + np.float32(0.01) * (u != 0), num_frames=LENGTHS)


def dataset_of(split):
    return Dataset((np.arange(40) / 40,), ("periodic",), split, split, split)


@pytest.fixture(scope="module")
def scored(model, params, config, ragged):
    runs = jax.tree.map(lambda a: a[None], params)
    return score_model(model, runs, dataset_of(ragged), ragged, config)


def test_common_times_are_kept():
    """Where all trajectories share their times these are shown, from the first frame on, after the stride."""
    t = np.array([[2.0, 2.1, 2.3, 2.4], [5.0, 5.1, 5.3, 5.4]])
    lead, index = shown_frames(Split(t, np.zeros((2, 4, 3, 1))), 2)
    np.testing.assert_allclose(lead, [0, 0.3])
    np.testing.assert_array_equal(index, [[0, 1], [0, 1]])


def test_other_times_are_met_by_the_nearest_frame():
    """Equal steps up to the end of the shortest trajectory, as many as it has frames; never what fills an array."""
    t = np.array([[0.0, 0.1, 0.9, 1.0], [1.0, 1.2, 1.6, 1.7]])
    lead, index = shown_frames(Split(t, np.zeros((2, 4, 3, 1)), num_frames=np.array([4, 3])), 1)
    np.testing.assert_allclose(lead, [0, 0.3, 0.6])
    np.testing.assert_array_equal(index, [[0, 1, 2], [0, 1, 2]])


@pytest.mark.slow
def test_shorter_trajectories_score_as_they_would_alone(scored, ragged, model, params, config):
    """What fills the arrays changes no score: the same forecast, cut at the trajectory's end."""
    np.testing.assert_array_equal(scored_frames(ragged, 1).sum(axis=1), LENGTHS)
    runs = jax.tree.map(lambda a: a[None], params)
    # The first trajectory has the key that it has among the others.
    alone = ragged._replace(**{name: getattr(ragged, name)[:1] for name in ("t", "u", "u_true")}, num_frames=None)
    expected = score_model(model, runs, dataset_of(alone), alone, config)
    for name in ("rel_l2", "crps", "spread"):
        found = getattr(scored.frames, name)
        np.testing.assert_allclose(found[0], getattr(expected.frames, name)[0], rtol=1e-5)
        assert np.isfinite(found[scored_frames(ragged, 1)]).all()
    np.testing.assert_allclose(scored.reconstruction[0], expected.reconstruction[0], rtol=1e-5)


def test_result_of_unequal_trajectories(scored, ragged, model, config):
    """Totals are means over a trajectory's own frames, horizons are its own times, and nothing is null."""
    groups = score_groups(scored, dataset_of(ragged), config, model.scales)
    errors = [own[:n] for own, n in zip(scored.frames.rel_l2, LENGTHS, strict=True)]
    nrmse = [np.sqrt(np.mean(own**2)) for own in errors]
    np.testing.assert_allclose(groups["test"]["nrmse"]["per_trajectory"], nrmse)
    assert groups["lead_time"]["t"][-1] == pytest.approx(
        min(own[n - 1] - own[0] for own, n in zip(ragged.t, LENGTHS, strict=True)), rel=1e-5
    )
    assert None not in groups["lead_time"]["rel_l2"]["median"] + groups["lead_time"]["noise_floor"]["q90"]
    for own, lead, found in zip(errors, ragged.t, groups["horizon"]["0.1"]["per_trajectory"], strict=True):
        first = int(np.argmax(own > 0.1))
        assert found == pytest.approx(lead[first] - lead[0], rel=1e-5)


@pytest.mark.slow
def test_without_a_known_truth(model, params, ragged, config):
    """Nothing is said of the noise-free truth, no null stands in its place; gaps leave the truth's spectrum out."""
    runs = jax.tree.map(lambda a: a[None], params)
    mask = np.random.default_rng(0).random(ragged.u.shape) > 0.3
    split = ragged._replace(u=np.where(mask, ragged.u, 0), u_true=None, mask=mask)
    scores = score_model(model, runs, dataset_of(split), split, config)
    groups = score_groups(scores, dataset_of(split), config, model.scales)
    assert not {"nrmse_clean", "rel_l2_clean", "spread_skill_clean", "noise_floor"} & groups["test"].keys()
    assert "noise_floor" not in groups["lead_time"] and set(groups["spectra"]) == {"wavenumber", "macro", "forecast"}
    garbled = split._replace(u=np.where(mask, ragged.u, 1e3).astype(np.float32))
    again = score_model(model, runs, dataset_of(garbled), garbled, config)
    np.testing.assert_allclose(again.frames.crps[0, :7], scores.frames.crps[0, :7], rtol=1e-4)


def test_baseline_of_unequal_trajectories(ragged, config):
    """The same frames count for a forecast without uncertainty."""
    scores = score_baseline(lambda t, u0: np.repeat(u0[None], len(t), 0)[None], dataset_of(ragged), ragged, config)
    totals = score_groups(scores, dataset_of(ragged), config, field_scales(ragged))["test"]
    u = ragged.u[1, :7].astype(np.float64)
    errors = np.linalg.norm(u - u[:1], axis=(1, 2)) / np.linalg.norm(u, axis=(1, 2))
    assert totals["nrmse"]["per_trajectory"][1] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)


def test_members_of_a_baseline(config):
    """Two of them, one unit above what comes and one below: no error of the mean, a spread, and a fair CRPS of zero."""
    u = np.random.default_rng(0).standard_normal((1, 5, 40, 1)).astype(np.float32)
    split = Split(0.1 * np.arange(5)[None], u)
    dataset, scales = dataset_of(split), Scales((0.0,), (1.0,))
    found = []
    for shifts in ([1.0, -1.0], [1.0]):
        members = np.stack([u[0] + np.float32(shift) for shift in shifts])
        scores = score_baseline(lambda t, u0, members=members: members, dataset, split, config, scales)
        found.append(score_groups(scores, dataset, config, scales, noise_std=0.0)["test"])
    ensemble, alone = found
    for score in ("crps", "nrmse"):
        assert ensemble[score]["mean"] == pytest.approx(0, abs=1e-6)
    assert alone["crps"]["mean"] == pytest.approx(1, rel=1e-5)
    assert "coverage_90" in ensemble and "coverage_90" not in alone


def held(t, u0):
    return np.repeat(u0[None], len(t), 0)[None]


def scores_of_persistence(u, config, mask=None):
    split = Split(0.1 * np.tile(np.arange(u.shape[1]), (len(u), 1)), u.astype(np.float32), mask=mask)
    dataset = dataset_of(split)
    return score_groups(score_baseline(held, dataset, split, config), dataset, config, field_scales(split))


@pytest.mark.parametrize("unit", [1e20, 1e-25])
def test_units_of_the_data_do_not_matter(unit, config):
    """Results of fields in other units: the same relative scores, those in units of the field scaled likewise."""
    u = np.random.default_rng(0).standard_normal((2, 6, 40, 1))
    ours, theirs = (scores_of_persistence(size * u, config) for size in (1.0, unit))
    assert theirs["diverged"] == 0
    for name, score in ours["test"].items():
        size = unit if name in ("crps", "energy_score") else 1
        assert theirs["test"][name]["median"] == pytest.approx(size * score["median"], rel=1e-5), name
    assert theirs["per_channel"]["std"][0] == pytest.approx(unit * ours["per_channel"]["std"][0], rel=1e-5)
    np.testing.assert_allclose(
        np.array(theirs["spectra"]["truth"]) / unit**2, np.array(ours["spectra"]["truth"]), rtol=1e-4
    )


def test_offsets_flatter_no_anomaly_and_channels_count_alike(config):
    """About a mean of 300 and beside a channel of 1e5 the anomaly error stays, while the NRMSE tells less and less."""
    u = np.random.default_rng(0).standard_normal((2, 6, 40, 1))
    alone, lifted = scores_of_persistence(u, config), scores_of_persistence(u + 300, config)
    beside = scores_of_persistence(np.concatenate([u + 300, 1e5 * u], axis=-1), config)
    assert lifted["test"]["nrmse"]["median"] < 0.01 < alone["test"]["nrmse"]["median"]
    for name in ("anomaly_nrmse", "crps_scaled", "vrmse"):
        for other in (lifted, beside):
            assert other["test"][name]["median"] == pytest.approx(alone["test"][name]["median"], rel=1e-3), name
    for name in ("anomaly_nrmse", "crps_scaled"):
        np.testing.assert_allclose(beside["per_channel"][name], alone["test"][name]["median"], rtol=1e-3)


def test_a_field_that_starts_from_rest(config):
    """Frames of norm zero take no part; the mean of the others stands, and the horizon is not their time."""
    u = np.random.default_rng(0).standard_normal((2, 6, 40, 1))
    u[:, :2] = 0
    found = scores_of_persistence(u, config)
    # Of a field that is held at rest the error is the field.
    np.testing.assert_allclose(found["test"]["nrmse"]["per_trajectory"], 1.0, rtol=1e-6)
    assert found["lead_time"]["rel_l2"]["median"][:2] == [None, None] and found["diverged"] == 0
    assert found["horizon"]["0.1"]["median"] == pytest.approx(0.2)


def test_baseline_of_a_first_frame_with_gaps(config):
    """It starts from what stands around the gap."""
    u = np.ones((2, 6, 40, 1)) * np.arange(40)[:, None]
    mask = np.ones(u.shape, bool)
    mask[:, 0, 20] = False
    u[:, 0, 20] = 0
    found = scores_of_persistence(u, config, mask)
    np.testing.assert_allclose(found["test"]["nrmse"]["median"], 0, atol=1e-6)


@pytest.mark.slow
def test_a_model_is_scored_alike_in_any_units(model, params, config, ragged):
    """The same standardised data with scales of 1e20 about a mean: the same relative scores."""
    runs, found = jax.tree.map(lambda a: a[None], params), []
    for mean, std in ((0.0, 0.1), (3e20, 1e20)):
        scales = Scales((mean,), (std,))
        u = (mean + std / 0.1 * ragged.u.astype(np.float64)).astype(np.float32)
        split = ragged._replace(u=u, u_true=None)
        scored = score_model(dataclasses.replace(model, scales=scales), runs, dataset_of(split), split, config)
        found.append(score_groups(scored, dataset_of(split), config, scales))
    for name in ("anomaly_nrmse", "crps_scaled", "vrmse", "spread_skill", "coverage_90"):
        assert found[1]["test"][name]["median"] == pytest.approx(found[0]["test"][name]["median"], rel=1e-3), name
    assert found[1]["test"]["crps"]["median"] == pytest.approx(1e21 * found[0]["test"]["crps"]["median"], rel=1e-3)
    assert found[1]["diverged"] == 0
