"""Scores against numbers computed by hand, against their definitions spelt out, and against a library."""

import jax.numpy as jnp
import numpy as np
import pytest
import scoringrules
from scipy import stats

from msvi.scores import metrics

# Reference norms 5 and 2, error norms 1 and 1: relative errors 0.2 and 0.5.
REFERENCE = jnp.array([[[3.0], [4.0]], [[0.0], [2.0]]])
ESTIMATE = jnp.array([[[3.0], [5.0]], [[1.0], [2.0]]])


def ensemble(num_members=7, shape=(5, 3, 2), seed=0):
    """Members and a reference that is one more draw."""
    draws = np.random.default_rng(seed).standard_normal((num_members + 1, *shape)).astype(np.float32)
    return draws[:-1], draws[-1]


def test_hand_computed():
    """Relative errors 1/5 and 1/2, their root mean square and their mean; float32 round-off."""
    np.testing.assert_allclose(metrics.relative_errors(ESTIMATE, REFERENCE), [0.2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(metrics.nrmse(ESTIMATE, REFERENCE), np.sqrt((0.04 + 0.25) / 2), rtol=1e-6)


def test_norms_run_over_grid_and_channels():
    """A 2D grid of two channels gives what the raveled field gives."""
    estimate, reference = np.random.default_rng(0).standard_normal((2, 5, 3, 4, 2)).astype(np.float32)
    error, size = (np.linalg.norm(field.reshape(5, -1), axis=1) for field in (estimate - reference, reference))
    flat = error / size
    np.testing.assert_allclose(metrics.relative_errors(estimate, reference), flat, rtol=1e-6)
    np.testing.assert_allclose(metrics.nrmse(estimate, reference), np.sqrt(np.mean(flat**2)), rtol=1e-6)


def test_units_do_not_matter():
    """Both fields in another unit, here a power of two: the same bits."""
    for metric in (metrics.relative_errors, metrics.nrmse):
        np.testing.assert_array_equal(metric(8 * ESTIMATE, 8 * REFERENCE), metric(ESTIMATE, REFERENCE))


def test_perfect_and_null_estimates():
    """Zero error for the truth; exactly 1 for an estimate of zero."""
    for metric in (metrics.nrmse, lambda *fields: metrics.relative_errors(*fields).mean()):
        assert metric(REFERENCE, REFERENCE) == 0
        np.testing.assert_allclose(metric(jnp.zeros_like(REFERENCE), REFERENCE), 1.0, rtol=1e-6)


def test_vrmse_by_hand():
    """Two channels: errors of mean square 1 and 4 over variances of 1 and 0.25 give (1 + 4) / 2."""
    reference = np.array([[1.0, 0.5], [-1.0, -0.5]])
    estimate = reference + np.array([[1.0, 2.0], [-1.0, 2.0]])
    np.testing.assert_allclose(metrics.vrmse(estimate, reference), 2.5, rtol=1e-6)


def test_vrmse_of_the_mean_and_of_a_constant():
    """1 for the frame's own mean; a frame without variance divides by 1e-7 of what is usual, and is exact if right."""
    reference = np.random.default_rng(0).standard_normal((6, 4, 1)) + 3
    np.testing.assert_allclose(metrics.vrmse(np.full_like(reference, reference.mean()), reference), 1.0, rtol=1e-5)
    constant = np.full((4, 1), 2.0)
    found = metrics.vrmse(constant + 0.5, constant, deviation=[3.0])
    np.testing.assert_allclose(found, 0.5 / np.sqrt(9e-7), rtol=1e-5)
    for exact in (metrics.vrmse(constant, constant), metrics.vrmse(0 * constant, 0 * constant, deviation=[1.0])):
        assert exact == 0
    assert np.isfinite(metrics.vrmse(constant + 0.5, constant))


@pytest.mark.parametrize("unit", [1e6, 1e20, 1e-25])
def test_units_far_from_one_do_not_matter(unit):
    """The numbers of fields of order one, in units whose squares leave the range of single precision."""
    members, reference = ensemble()
    scaled = (members * unit).astype(np.float32), (reference * unit).astype(np.float32)
    for score in (metrics.relative_errors, metrics.nrmse, lambda *fields: metrics.vrmse(*fields)):
        np.testing.assert_allclose(score(scaled[0][0], scaled[1]), score(members[0], reference), rtol=1e-5)
    for score in (metrics.fair_crps, metrics.fair_energy_score):
        np.testing.assert_allclose(score(*scaled) / unit, score(members, reference), rtol=1e-5)
    usual = np.array([1.0, 2.0], np.float32)
    np.testing.assert_allclose(
        metrics.vrmse(scaled[0][0], scaled[1], deviation=usual * np.float32(unit)),
        metrics.vrmse(members[0], reference, deviation=usual),
        rtol=1e-5,
    )


def test_an_origin_is_part_of_the_norm():
    """Errors of fields counted from an origin are those of the whole fields."""
    members, reference = ensemble()
    origin = np.array([4.0, -1.0], np.float32)
    found = metrics.relative_errors(members[0], reference, origin=origin)
    np.testing.assert_allclose(found, metrics.relative_errors(members[0] + origin, reference + origin), rtol=1e-5)


def test_frames_of_norm_zero_are_left_out():
    """A field that starts from rest has no relative error there; an estimate that is not finite is still told."""
    reference = jnp.concatenate([0 * REFERENCE[:1], REFERENCE])
    estimate = jnp.concatenate([ESTIMATE[:1], ESTIMATE])
    errors = metrics.relative_errors(estimate, reference)
    assert np.isnan(errors[0])
    np.testing.assert_allclose(errors[1:], [0.2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(metrics.nrmse(estimate, reference), np.sqrt((0.04 + 0.25) / 2), rtol=1e-6)
    assert np.isnan(metrics.nrmse(estimate, 0 * reference))
    for lost in (np.nan, np.inf, 1e30):
        assert metrics.nrmse(estimate.at[1, 0].set(lost), reference) == np.inf


def test_crps_by_hand():
    """Members 0 and 2 around 1: mean distance 1 less half the distance 2 of the only pair is 0; around 5, 4 - 1."""
    members = np.array([[[0.0]], [[2.0]]])
    np.testing.assert_allclose(metrics.fair_crps(members, np.array([[1.0]])), 0.0, atol=1e-7)
    np.testing.assert_allclose(metrics.fair_crps(members, np.array([[5.0]])), 3.0, rtol=1e-6)


def test_crps_of_many_points():
    """More points than are compared at once, and not a multiple: the definition in float64 all the same."""
    members, reference = ensemble(6, (2111, 2))
    x, y = members.reshape(6, -1).astype(np.float64), reference.ravel().astype(np.float64)
    pairs = np.abs(x[:, None] - x[None]).sum((0, 1)) / (2 * 6 * 5)
    expected = (np.abs(x - y).mean(0) - pairs).mean()
    np.testing.assert_allclose(metrics.fair_crps(members, reference), expected, rtol=1e-5)


def test_crps_is_fair():
    """Whatever the size of the ensemble, the mean is the CRPS of the distribution it is drawn from, in closed form.

    8,000 points: a standard error of .006 at most.
    """
    expected = scoringrules.crps_normal(0.3, 0.0, 1.0)
    for num_members in (2, 5, 30):
        members, _ = ensemble(num_members, (8000, 1), seed=num_members)
        found = metrics.fair_crps(members, np.full((8000, 1), 0.3, np.float32))
        np.testing.assert_allclose(found, expected, atol=0.02)


def test_energy_score_against_the_library():
    """The library's fair energy score of the raveled field, over the root of the number of values."""
    members, reference = ensemble()
    flat = members.reshape(len(members), -1)
    expected = scoringrules.es_ensemble(reference.ravel(), flat, estimator="fair") / np.sqrt(reference.size)
    np.testing.assert_allclose(metrics.fair_energy_score(members, reference), expected, rtol=1e-5)


def test_energy_score_of_close_members():
    """Members a thousand times closer to each other than their size: round-off is that of the differences."""
    members, reference = ensemble()
    members, reference = 1 + 1e-3 * members, 1 + 1e-3 * reference
    flat = members.reshape(len(members), -1).astype(np.float64)
    expected = scoringrules.es_ensemble(reference.ravel().astype(np.float64), flat, estimator="fair")
    np.testing.assert_allclose(
        metrics.fair_energy_score(members, reference), expected / np.sqrt(reference.size), rtol=1e-4
    )


def test_scores_of_one_member():
    """Without uncertainty the CRPS is the absolute and the energy score the root mean square error."""
    members = np.array([[[1.0], [2.0]]])
    reference = np.array([[4.0], [6.0]])
    np.testing.assert_allclose(metrics.fair_crps(members, reference), 3.5, rtol=1e-6)
    np.testing.assert_allclose(metrics.fair_energy_score(members, reference), np.sqrt(12.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("reference", "position"),
    [(2.0, 2 / 4), (1.5, 1.5 / 4), (3.0, 2.25 / 4), (6.0, 3 / 4), (0.9, 0.0), (1.0, 0.0), (6.1, 1.0)],
)
def test_quantile_position(reference, position):
    """Members 1, 2, 6 are the quantiles of 1/4, 2/4, 3/4, with straight lines between; outside of them 0 and 1."""
    members = np.array([6.0, 1.0, 2.0])[:, None, None]
    np.testing.assert_allclose(metrics.quantile_position(members, np.array([[reference]])), position, atol=1e-7)


def test_quantile_position_is_uniform():
    """The reference being one more draw, each level's share below is that level, within four standard errors."""
    members, reference = ensemble(39, (20000, 1))
    position = np.asarray(metrics.quantile_position(members, reference))
    for level in (0.025, 0.1, 0.5, 0.9, 0.975):
        share = np.mean(position < level)
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / 20000), (level, share)


def test_spread_and_skill_by_hand():
    """Members 0, 2, 4: variance 4, times 4/3; their mean is 2, and 5 is 3 away."""
    spread, skill = metrics.spread_and_skill(np.array([0.0, 2.0, 4.0])[:, None, None], np.array([[5.0]]))
    np.testing.assert_allclose((spread, skill), (16 / 3, 9.0), rtol=1e-6)


@pytest.mark.parametrize("num_members", [2, 5])
def test_spread_equals_skill(num_members):
    """The reference being one more draw, both have the same mean, in small ensembles too: 50,000 points, 3 %."""
    spread, skill = metrics.spread_and_skill(*ensemble(num_members, (50000, 1), seed=3))
    np.testing.assert_allclose(spread / skill, 1.0, atol=0.03)
    # Without the factor of (M + 1) / M it would be missed by far more.
    assert abs(spread * num_members / (num_members + 1) / skill - 1) > 0.1


def test_first_above():
    """The first value above, an infinite or undefined one too; equal to the threshold is not above; none is the end."""
    assert metrics.first_above(np.array([0.1, 0.2, 0.3]), 0.2) == 2
    assert metrics.first_above(np.array([0.3, 0.1]), 0.2) == 0
    assert metrics.first_above(np.array([0.1, np.nan, 0.3]), 0.2) == 1
    assert metrics.first_above(np.array([0.1, np.inf]), 0.2) == 1
    assert metrics.first_above(np.array([0.1, 0.2]), 0.2) == 2


def test_quantiles_of_a_normal_ensemble():
    """The ensemble's own quantiles: the position of a normal's quantile is its probability; 4,000 members."""
    members = np.random.default_rng(1).standard_normal((4000, 1, 1)).astype(np.float32)
    for probability in (0.1, 0.5, 0.8):
        found = metrics.quantile_position(members, np.full((1, 1), stats.norm.ppf(probability), np.float32))
        np.testing.assert_allclose(found, probability, atol=0.03)


def test_masked_scores_are_those_of_what_was_observed():
    """Every score with a mask is that of the observed values alone, and what stands at the others does not matter."""
    members, reference = ensemble(shape=(40, 2))
    mask = np.random.default_rng(3).random((40, 2)) > 0.4
    mask[:, 1] = mask[:, 0]  # so that the observed points are a field again, which the VRMSE needs
    points = mask[:, 0]
    wrong = np.where(mask, reference, 1e3).astype(np.float32)
    few, seen = members[:, points], reference[points]
    for score in (metrics.fair_crps, metrics.fair_energy_score, metrics.spread_and_skill):
        np.testing.assert_allclose(score(members, wrong, mask), score(few, seen), rtol=1e-5)
        if score is not metrics.spread_and_skill:
            np.testing.assert_allclose(score(members[:1], wrong, mask), score(few[:1], seen), rtol=1e-5)
    np.testing.assert_allclose(metrics.vrmse(members[0], wrong, mask), metrics.vrmse(few[0], seen), rtol=1e-5)


def test_masked_errors():
    """Norms over what was observed; a time of which nothing was is no error, and is left out of the NRMSE."""
    estimate = jnp.concatenate([ESTIMATE, ESTIMATE[:1]])
    reference = jnp.concatenate([REFERENCE, 0 * REFERENCE[:1]])
    mask = np.array([[[True], [True]], [[False], [True]], [[False], [False]]])
    errors = metrics.relative_errors(estimate, reference, mask)
    np.testing.assert_allclose(errors[:2], [0.2, 0.0], rtol=1e-6)
    assert np.isnan(errors[2])
    np.testing.assert_allclose(metrics.nrmse(estimate, reference, mask), 0.2 / np.sqrt(2), rtol=1e-6)
    # A forecast that diverged at an observed place is still seen to.
    assert metrics.nrmse(estimate.at[0, 0].set(jnp.nan), reference, mask) == np.inf
