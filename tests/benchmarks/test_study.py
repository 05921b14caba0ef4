"""The study of a case: which runs it has, where they go, and that nothing is done twice."""

import os

import pytest

from benchmarks import study
from benchmarks.systems.learn import case_config
from msvi.errors import InputError

pytest_plugins = ["smoke"]


def test_every_row_is_a_run():
    """Of each seed, in folders that the tables are made of; without latents it is the variant for that."""
    runs = study.plan_study("kdv_1d", ["closure", "default", "cells"], [0, 1], "runs", "results")
    names = [os.path.basename(run.workdir) for run in runs]
    own = ["d0", "d1", "d2", "d3", "d4", "d5", "cells_d1", "cells_d2", "cells_d4"]
    assert names == [f"kdv_1d_{row}_s{seed}" for seed in (0, 1) for row in own]
    assert {run.results_dir for run in runs} == {"results"}
    assert runs[0].config == case_config("kdv_1d", "closure")
    assert runs[5].config == case_config("kdv_1d")
    (only,) = study.plan_study("burgers_2d", ["closure"], [2], "runs", "results")
    assert (only.config.seed, only.config.model.micro_dim) == (2, 0)


def test_unknown_row_is_refused():
    with pytest.raises(InputError, match="some of closure, default, cells, got published"):
        study.plan_study("kdv_1d", ["closure", "published"], [0], "runs", "results")


def test_baselines_are_fitted_once(smoke_config, tmp_path):
    """As long as their configuration stays the same."""
    names, folders = ["persistence", "mean"], (str(tmp_path / "runs"), str(tmp_path / "results"))
    paths = study.fit_baselines(names, smoke_config, *folders)
    assert [os.path.basename(path) for path in paths if "results" in path.split(os.sep)] == [
        "baseline_persistence.json",
        "baseline_mean.json",
    ]
    assert study.fit_baselines(names, smoke_config, *folders) == []
