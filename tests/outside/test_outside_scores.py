"""Our scores against those of scoringrules, in NumPy and double precision."""

import numpy as np
import pytest
import scoringrules

from msvi.scores import metrics

pytestmark = pytest.mark.outside


@pytest.fixture
def ensemble():
    """Members `(member, x, y, channel)` and an observation, whose errors and spread differ from point to point."""
    rng = np.random.default_rng(0)
    width = rng.uniform(0.2, 2.0, (6, 5, 2))
    members = (width * rng.normal(size=(12, 6, 5, 2))).astype(np.float32)
    return members, (width * rng.normal(size=(6, 5, 2)) + 0.3).astype(np.float32)


def test_crps(ensemble):
    """The fair one, in the mean and at every point."""
    members, observed = ensemble
    theirs = scoringrules.crps_ensemble(
        observed.astype(float), np.moveaxis(members.astype(float), 0, -1), estimator="fair"
    )
    np.testing.assert_allclose(metrics.fair_crps_at_points(members, observed), theirs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics.fair_crps(members, observed), theirs.mean(), rtol=1e-5)


def test_energy_score(ensemble):
    """Of the field as one vector, whose norm is a root mean square in ours; theirs is that of all pairs, a member with
    itself among them, of which the fair one takes off what these dilute."""
    members, observed = ensemble
    flat, number = members.reshape(len(members), -1).astype(float), len(members)
    theirs = scoringrules.es_ensemble(observed.ravel().astype(float), flat)
    pairs = np.linalg.norm(flat[:, None] - flat[None], axis=-1).sum()
    fair = theirs + pairs / 2 / number**2 - pairs / 2 / number / (number - 1)
    np.testing.assert_allclose(metrics.fair_energy_score(members, observed), fair / np.sqrt(observed.size), rtol=1e-4)
