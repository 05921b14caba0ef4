"""From scores of frames to the numbers of a result file: against the definitions spelt out, and by hand."""

import jax
import numpy as np
import pytest
import scoringrules

from msvi.model.scales import Scales
from msvi.scores import metrics
from msvi.scores.scores import (
    LEVELS,
    PROBABILITIES,
    FrameScores,
    calibration,
    channel_scores,
    common_unit,
    diverged,
    horizons,
    in_data_units,
    lead_time_scores,
    quantiles,
    score_frame,
    summarize,
    thin,
    total_scores,
)

NOISE = 0.3
NUM_MEMBERS, NUM_TRAJECTORIES, NUM_TIMES, GRID = 39, 3, 4, (200, 2)


def draw(scale):
    """Members, observation and truth, where the observation is one more member if `scale` is 1.

    Each frame has a mean of its own, known to the forecast; around it the truth varies with variance 1.
    """
    rng = np.random.default_rng(0)
    shape = (NUM_TRAJECTORIES, NUM_TIMES, *GRID)
    mean = rng.standard_normal(shape)
    u_true = mean + rng.standard_normal(shape)
    u = u_true + NOISE * rng.standard_normal(shape)
    deviation = scale * np.hypot(1, NOISE)
    members = mean[:, :, None] + deviation * rng.standard_normal((*shape[:2], NUM_MEMBERS, *GRID))
    return members.astype(np.float32), u.astype(np.float32), u_true.astype(np.float32)


def score(members, u, u_true, unit=None):
    """`score_frame` over trajectories and times, as float64."""
    scores = jax.vmap(jax.vmap(lambda *frame: score_frame(*frame, unit=unit)))(members, u, u_true)
    return jax.tree.map(lambda a: np.asarray(a, np.float64), scores)


@pytest.fixture(scope="module")
def drawn():
    return draw(1.0)


@pytest.fixture(scope="module")
def frames(drawn):
    return score(*drawn)


def test_frame_scores(drawn, frames):
    """Each score of a frame is the metric of that name, of the ensemble's mean or of its members."""
    members, u, u_true = (a[1, 2] for a in drawn)
    mean = members.mean(axis=0)
    expected = {
        "rel_l2": np.linalg.norm(mean - u) / np.linalg.norm(u),
        "rel_l2_clean": np.linalg.norm(mean - u_true) / np.linalg.norm(u_true),
        "vrmse": np.mean(np.sqrt(np.mean((mean - u) ** 2, axis=0) / np.var(u, axis=0))),
        "crps": metrics.fair_crps(members, u),
        "energy_score": metrics.fair_energy_score(members, u),
        "spread": np.mean(np.var(members, axis=0, ddof=1)) * 40 / 39,
        "skill": np.mean((mean - u) ** 2),
        "skill_clean": np.mean((mean - u_true) ** 2),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(frames, name)[1, 2], value, rtol=1e-5, err_msg=name)
    position = np.asarray(metrics.quantile_position(members, u))
    np.testing.assert_allclose(frames.reliability[1, 2], [(position < p).mean() for p in PROBABILITIES], rtol=1e-6)


def test_totals(frames):
    """Of a trajectory: NRMSE and relative L2 as defined, variances pooled before the root, means of the others."""
    totals = total_scores(frames, NOISE)
    assert list(totals) == [
        *("nrmse", "nrmse_clean", "rel_l2", "rel_l2_clean", "vrmse", "crps", "energy_score"),
        *("anomaly_nrmse", "crps_scaled", "spread_skill", "spread_skill_clean", "coverage_90"),
    ]
    one = {name: score["per_trajectory"][1] for name, score in totals.items()}
    expected = {
        "nrmse": np.sqrt(np.mean(frames.rel_l2[1] ** 2)),
        "rel_l2_clean": np.mean(frames.rel_l2_clean[1]),
        "crps": np.mean(frames.crps[1]),
        "spread_skill": np.sqrt(frames.spread[1].sum() / frames.skill[1].sum()),
        "spread_skill_clean": np.sqrt((frames.spread[1] - NOISE**2).sum() / frames.skill_clean[1].sum()),
        "coverage_90": np.mean(frames.reliability[1, :, 37] - frames.reliability[1, :, 1]),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(one[name], value, rtol=1e-12, err_msg=name)


def test_calibrated_ensemble(frames):
    """The observation being one more member: ratios of 1, with the noise and without, and coverage as named."""
    found = calibration(frames, NUM_MEMBERS, NOISE)
    for name in ("spread_skill", "spread_skill_clean"):
        assert abs(found[name] - 1) < 0.06, name
    np.testing.assert_allclose(found["levels"], LEVELS)
    # 4800 points: a standard error of .007 at most.
    np.testing.assert_allclose(found["coverage"], LEVELS, atol=0.03)
    np.testing.assert_allclose(found["reliability"], PROBABILITIES, atol=0.03)
    assert found["coverage_90"] == found["coverage"][17]


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_wrong_uncertainty_shows(scale):
    """Half or twice the spread gives half or twice the ratio; coverage moves to the same side."""
    found = calibration(score(*draw(scale)), NUM_MEMBERS, NOISE)
    np.testing.assert_allclose(found["spread_skill"], scale, rtol=0.07)
    assert (found["coverage_90"] - 0.9) * (scale - 1) > 0.05


def test_unresolved_levels(drawn):
    """Four members span 3/5: wider intervals are null."""
    members, u, u_true = drawn
    found = calibration(score(members[:, :, :4], u, u_true), 4, NOISE)
    assert [level for level, c in zip(LEVELS, found["coverage"], strict=True) if c is not None] == list(LEVELS[:12])
    np.testing.assert_allclose(found["coverage"][:12], LEVELS[:12], atol=0.04)


def test_no_uncertainty(drawn):
    """An ensemble of one has no spread and no coverage; the CRPS is its mean absolute error."""
    members, u, u_true = drawn
    single = score(members[:, :, :1], u, u_true)
    totals = total_scores(single, NOISE)
    assert not {"spread_skill", "spread_skill_clean", "coverage_90"} & totals.keys()
    error = np.abs(members[:, :, 0].astype(np.float64) - u).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(totals["crps"]["per_trajectory"], error, rtol=1e-5)
    assert not {"spread_skill", "coverage_90"} & lead_time_scores(single, np.arange(NUM_TIMES)).keys()


def test_lead_times(frames):
    """Medians and quantiles over the trajectories at each time; ratio and coverage pooled over them."""
    found = lead_time_scores(frames, 0.5 * np.arange(NUM_TIMES))
    assert found["t"] == [0.0, 0.5, 1.0, 1.5]
    for name in ("rel_l2", "vrmse", "crps", "energy_score"):
        np.testing.assert_allclose(found[name]["median"], np.median(getattr(frames, name), axis=0), rtol=1e-5)
    ratio = np.sqrt(frames.spread.sum(axis=0) / frames.skill.sum(axis=0))
    np.testing.assert_allclose(found["spread_skill"], ratio, rtol=1e-5)
    coverage = frames.reliability[..., 37] - frames.reliability[..., 1]
    np.testing.assert_allclose(found["coverage_90"], coverage.mean(axis=0), rtol=1e-5)


def test_diverged(frames):
    """Where one trajectory is lost, null stands in its place and where it spoils a mean; JSON has no NaN."""
    lost = FrameScores(*(a.copy() for a in frames))
    for name in ("rel_l2", "skill", "spread", "crps"):
        getattr(lost, name)[0, 2:] = np.inf
    totals = total_scores(lost, NOISE)
    assert totals["nrmse"]["per_trajectory"][0] is None and totals["nrmse"]["per_trajectory"][1] is not None
    assert totals["spread_skill"]["mean"] is None
    found = lead_time_scores(lost, np.arange(NUM_TIMES))
    assert found["spread_skill"][:2] != [None, None] and found["spread_skill"][2:] == [None, None]
    assert found["crps"]["median"][1] is not None and found["crps"]["median"][2:] == [None, None]
    assert calibration(lost, NUM_MEMBERS, NOISE)["spread_skill"] is None


def test_horizons():
    """The time of the first larger error, lost frames among them; trajectories without one are counted."""
    lead = np.array([0.0, 0.1, 0.2, 0.3])
    errors = np.array([[0.01, 0.06, 0.01, 0.3], [0.01, 0.01, 0.01, 0.15], [0.01, 0.01, np.inf, np.inf]])
    found = horizons(errors, lead)
    assert found["0.05"] == {"median": 0.2, "censored": 0, "per_trajectory": [0.1, 0.3, 0.2]}
    assert found["0.1"] == {"median": 0.3, "censored": 0, "per_trajectory": [0.3, 0.3, 0.2]}
    assert found["0.2"] == {"median": 0.3, "censored": 1, "per_trajectory": [0.3, None, 0.2]}
    found = horizons(errors[[1, 1, 0]] / 10, lead)["0.1"]
    assert found == {"median": None, "censored": 3, "per_trajectory": [None] * 3}
    assert horizons(errors[[0, 1]], lead)["0.2"]["median"] is None


@pytest.mark.parametrize(("num_times", "stride"), [(1, 1), (2, 1), (51, 1), (52, 2), (101, 2), (201, 4), (1001, 20)])
def test_thin(num_times, stride):
    """At most 51 frames from the first on, as many as equal steps allow."""
    shown = thin(num_times)
    assert list(shown) == list(range(0, num_times, stride)) and len(shown) <= 51


def test_summaries_without_some_trajectories():
    """A forecast that diverged is null and spoils the statistics it takes part in; one without a score does not."""
    summary = summarize(np.array([0.25, np.inf, 0.5]))
    assert summary == {"mean": None, "median": 0.5, "std": None, "per_trajectory": [0.25, None, 0.5]}
    summary = summarize(np.array([0.25, np.nan, 0.5]))
    assert summary == {"mean": 0.375, "median": 0.375, "std": 0.125, "per_trajectory": [0.25, None, 0.5]}
    assert summarize(np.array([np.nan])) == dict.fromkeys(("mean", "median", "std")) | {"per_trajectory": [None]}


def test_quantiles_of_what_is_defined():
    """A frame of norm zero takes no part; where all trajectories rest there is no quantile."""
    found = quantiles(np.array([[np.nan, np.nan, 1.0], [np.nan, 2.0, 3.0]]))
    assert found["median"] == [None, 2.0, 2.0]


@pytest.mark.parametrize("rest", [(), (-4e4, 299.5)])
def test_channels_count_alike_and_offsets_flatter_nobody(drawn, rest):
    """Scores of anomalies and of channels in their deviations, computed from the fields in the data's units.

    One channel is of order 1e5 and one lies about 300; trajectories are pooled over time, channels by mean squares.
    Whatever value is zero inside, anomalies are those from the mean, and norms those of the fields.
    """
    scales = Scales((0.0, 300.0), (1e5, 0.5), field_rest=rest)
    members, u, u_true = (scales.restore(a.astype(np.float64)) for a in drawn)
    frames = score(*drawn, common_unit(scales))
    frames = in_data_units(frames, common_unit(scales).size)
    totals = total_scores(frames, 0.0)
    mean = members.mean(axis=2)
    squares = {"error": (mean - u) ** 2, "anomaly": (u - scales.field_mean) ** 2}
    error, anomaly = (values[1].sum(axis=(0, 1)) for values in squares.values())
    found = {name: values["per_trajectory"][1] for name, values in totals.items()}
    np.testing.assert_allclose(found["anomaly_nrmse"], np.sqrt(np.mean(error / anomaly)), rtol=1e-4)
    np.testing.assert_allclose(channel_scores(frames)["anomaly_nrmse"][1], np.sqrt(error / anomaly), rtol=1e-4)
    crps = scoringrules.crps_ensemble(u, members, m_axis=2, estimator="fair", backend="numpy")
    np.testing.assert_allclose(found["crps"], crps[1].mean(), rtol=1e-4)
    np.testing.assert_allclose(found["crps_scaled"], (crps[1] / scales.field_std).mean(), rtol=1e-4)
    norms = [np.linalg.norm(field[1].reshape(NUM_TIMES, -1), axis=1) for field in (mean - u, u)]
    np.testing.assert_allclose(found["rel_l2"], np.mean(norms[0] / norms[1]), rtol=1e-4)
    variance, skill = members.var(axis=2, ddof=1)[1].mean(), squares["error"][1].mean()
    np.testing.assert_allclose(found["spread_skill"], np.sqrt(40 / 39 * variance / skill), rtol=1e-4)


@pytest.mark.parametrize("unit", [1e20, 1e-25])
def test_units_do_not_matter(drawn, unit):
    """Scores without a unit are the same, those with one are in it, squares in double precision."""
    ours, theirs = (
        total_scores(in_data_units(score(*drawn, found), found.size), 0.0)
        for found in (common_unit(Scales((0.0, 0.1 * size), (size, size))) for size in (1.0, unit))
    )
    assert common_unit(Scales((0.0,), (unit,))).size == unit
    for name in ("vrmse", "anomaly_nrmse", "crps_scaled", "spread_skill"):
        assert theirs[name]["median"] == pytest.approx(ours[name]["median"], rel=1e-5)
    for name in ("crps", "energy_score"):
        assert theirs[name]["median"] == pytest.approx(ours[name]["median"] * unit, rel=1e-5)


def test_a_channel_that_stands_still_has_no_anomaly(drawn):
    """It is left out of the mean over channels; so is one that was never observed."""
    members, u, _ = (a.copy() for a in drawn)
    u[..., 1] = 0
    frames = score(members, u, None)
    found = channel_scores(frames)["anomaly_nrmse"]
    assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 1]).all()
    totals = total_scores(frames, 0.0)
    np.testing.assert_allclose(totals["anomaly_nrmse"]["per_trajectory"], found[:, 0], rtol=1e-6)
    unseen = jax.vmap(jax.vmap(score_frame, (0, 0, None, None)), (0, 0, None, None))(
        members, u, None, np.broadcast_to([True, False], GRID)
    )
    unseen = in_data_units(unseen, 1.0)
    assert np.isnan(channel_scores(unseen)["crps_scaled"][:, 1]).all()
    expected = channel_scores(frames)["crps_scaled"][:, 0]
    np.testing.assert_allclose(total_scores(unseen, 0.0)["crps_scaled"]["per_trajectory"], expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e25])
def test_a_forecast_out_of_range_has_diverged(drawn, bad):
    """One value of one member suffices: every score of its trajectory is null, and nothing else is."""
    members, u, u_true = (a.copy() for a in drawn)
    members[0, 3, 5, 7, 1] = bad
    frames = in_data_units(score(members, u, u_true), 1.0)
    np.testing.assert_array_equal(diverged(frames), [True, False, False])
    np.testing.assert_array_equal(diverged(frames, np.arange(NUM_TIMES) < 3), False)
    for name, score_ in total_scores(frames, NOISE).items():
        assert score_["per_trajectory"][0] is None and None not in score_["per_trajectory"][1:], name
    assert lead_time_scores(frames, np.arange(NUM_TIMES))["coverage_90"][3] is None


def test_quantiles():
    """Of eleven trajectories in order the 10 % quantile is the second; six digits are kept."""
    values = np.stack([np.arange(11.0), np.arange(11.0) / 3], axis=1)
    assert quantiles(values) == {"median": [5.0, 1.66667], "q10": [1.0, 0.333333], "q90": [9.0, 3.0]}
