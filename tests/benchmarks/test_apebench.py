"""What the benchmark of other people's scenarios computes itself; the scenarios are theirs."""

import json

import numpy as np
import pytest

from benchmarks import apebench


def seed(error, **changes):
    return {"error": error, "train_seconds": 600.0, "latents": 80, "points": 160, "spread_skill": 1.1} | changes


def test_geometric_mean_of_the_first_hundred_steps():
    """Later ones do not count; of errors that double each step it is the middle one."""
    errors = np.r_[2.0 ** np.arange(-50, 50), np.full(100, 1e9)]
    assert apebench.geometric_mean(errors) == pytest.approx(2**-0.5)


def test_checks_take_the_median_over_seeds():
    """A seed that diverged counts as the worst; a scenario without a bar is only measured."""
    checks = apebench.checks("diff_burgers", [seed(0.02), seed(0.03), seed(None), seed(0.01), seed(0.025)])
    assert checks["error, median over seeds"] == {"value": 0.025, "bar": 0.0265, "met": True}
    assert checks["error over the best published median"]["value"] == pytest.approx(0.025 / 0.0128)
    assert checks["training, minutes, longest"]["met"] and checks["latents over points"]["value"] == 0.5
    checks = apebench.checks("diff_adv", [seed(0.5, spread_skill=None)])
    assert checks["error, median over seeds"]["met"] is None
    assert not checks["spread over error"]["met"]


def test_each_run_adds_to_the_result_file(tmp_path):
    """Seeds of before stay, and one that is there already is replaced."""
    path = str(tmp_path / "diff_burgers.json")
    assert apebench.merge(path, {"seeds": {"0": 1}}) == {"seeds": {"0": 1}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"seeds": {"0": 1, "1": 2}, "checks": {}}, file)
    assert apebench.merge(path, {"seeds": {"1": 3}}) == {"seeds": {"0": 1, "1": 3}, "checks": {}}
    assert apebench.merge(path, {"reference": {"Res": 4}})["seeds"] == {"0": 1, "1": 2}


def test_scores_of_an_ensemble_that_is_right():
    """Members and truth from one distribution: spread is error, and nine tenths lie within, to what interpolating
    between 32 members costs in the tails."""
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(4, 1, 100, 64, 1))
    members = centre + rng.normal(size=(4, 32, 100, 64, 1))
    truth = (centre + rng.normal(size=(4, 1, 100, 64, 1)))[:, 0]
    found = [apebench.frame_scores(*both) for both in zip(members, truth, strict=True)]
    scores = apebench.ensemble_scores([score for one in found for score in one])
    assert scores["spread_skill"] == pytest.approx(1, abs=0.03)
    assert scores["coverage_90"] == pytest.approx(0.9, abs=0.02)
    assert scores["crps"] == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)
