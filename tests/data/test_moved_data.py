"""A run whose data file lies elsewhere than where it was trained: known by what it holds, not by where it is."""

import numpy as np
import pytest

from msvi.config import Config
from msvi.data.config import DataConfig, Recorded
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.training.checkpoint import CheckpointStore
from msvi.training.workdir import Workdir, check_same_data, with_data_at


def trained_on(path):
    return Config("custom", data=DataConfig(equation=Recorded(), path=path))


def test_the_place_is_replaced(tmp_path, monkeypatch):
    """Where it was trained if it is there, where the command says if that is given, and else a sentence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "d.npz").write_bytes(b"")
    config = trained_on("d.npz")
    with pytest.raises(InputError, match=r"data file 'd.npz', which is not there, seen from .*; give .* --data=PATH"):
        with_data_at(config, None, "run")
    with pytest.raises(InputError, match="`--data` must be the place of the run's data file, got 'nowhere.npz'"):
        with_data_at(config, "nowhere.npz", "run")
    assert with_data_at(config, "home/d.npz", "run") == trained_on("home/d.npz")
    assert with_data_at(trained_on("home/d.npz"), None, "run") == trained_on("home/d.npz")
    with pytest.raises(InputError, match="data of run are generated"):
        with_data_at(Config(), "home/d.npz", "run")


def test_a_run_goes_on_with_its_data_elsewhere(tmp_path, monkeypatch):
    """Once there is a checkpoint its digest tells whether the data are the same; before, its path."""
    run = Workdir(str(tmp_path / "run"))
    run.start(trained_on("scratch/d.npz"), 0)
    with pytest.raises(InputError, match="data.path: scratch/d.npz -> home/d.npz"):
        run.check(trained_on("home/d.npz"))
    monkeypatch.setattr(CheckpointStore, "latest_step", lambda store: 20)
    run.check(trained_on("home/d.npz"))
    with pytest.raises(InputError, match="case: custom -> burgers_1d"):
        run.check(Config())


def test_another_file_is_refused():
    split = Split(np.zeros((1, 2)), np.zeros((1, 2, 4, 1)))
    dataset = Dataset((np.arange(4.0),), ("periodic",), split, split, split, digest="0123abcd")
    check_same_data({"data_digest": "0123abcd"}, dataset, "home/d.npz")
    with pytest.raises(InputError, match="home/d.npz has other trajectories to learn from than this run"):
        check_same_data({"data_digest": "4567abcd"}, dataset, "home/d.npz")
