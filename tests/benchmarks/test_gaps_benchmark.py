"""What gaps cost: the files that the benchmark writes, and the results of the whole runs that stand in `results/`."""

import json

import numpy as np
import pytest
from smoke import ROOT, command_module

from msvi.config import from_dict
from msvi.data.dataset import load_dataset

pytest_plugins = ["smoke"]


@pytest.fixture(scope="module")
def gaps():
    """The command as a module."""
    with command_module(ROOT / "benchmarks" / "gaps.py", "kind", "share", "results") as module:
        yield module


@pytest.mark.parametrize("kind", ["whole", "frames", "points"])
def test_files(gaps, smoke_config, kind, tmp_path):
    """Half of the frames, or of the points, is missing from what is learned from, and nothing from the test split."""
    dataset = load_dataset(smoke_config.case, smoke_config.data)
    path = str(tmp_path / "a" / "file.npz")
    gaps.write_file(path, dataset, kind, 0.5)
    config = gaps.own_config(smoke_config, path, kind)
    found = load_dataset(config.case, config.data)
    np.testing.assert_array_equal(found.test.u, dataset.test.u)
    frames = dataset.train.t.shape[1]
    if kind == "frames":
        assert config.inference.window == smoke_config.inference.window // 2
        assert (np.abs(found.train.lengths / frames - 0.5) < 0.2).all() and found.train.mask is None
        for t, u, length in zip(found.train.t, found.train.u, found.train.lengths, strict=True):
            index = np.searchsorted(dataset.train.t[0], t[:length] - 1e-9)
            assert index[0] == 0
            assert any(np.array_equal(u[:length], whole[index]) for whole in dataset.train.u)
    else:
        np.testing.assert_array_equal(found.train.lengths, frames)
    if kind == "points":
        assert abs(found.train.mask.mean() - 0.5) < 0.02
        np.testing.assert_array_equal(found.train.u, np.where(found.train.mask, dataset.train.u, 0))
    if kind == "whole":
        np.testing.assert_array_equal(found.train.u, dataset.train.u)


@pytest.mark.parametrize("kind", ["frames", "points"])
@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_the_data_costs_little(kind, seed):
    """In the results of the whole trainings: less than a factor of 1.5 in the median NRMSE of the test trajectories."""
    errors = {}
    for name in ("whole", kind):
        path = ROOT / "results" / "custom" / f"burgers_1d_{name}" / f"d3_s{seed}.json"
        result = json.loads(path.read_text())
        config = from_dict(result["config"])
        assert (config.model.micro_dim, result["steps"], result["data"]["test"]) == (3, 20_000, 16)
        errors[name] = result["test"]["nrmse"]["median"]
    assert errors[kind] < 1.5 * errors["whole"] < 0.03
