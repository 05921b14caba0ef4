"""What streaming costs: the files of the benchmark and how they are learned from."""

import os

import numpy as np
import pytest
from smoke import ROOT, command_module

from msvi.data.dataset import load_dataset
from msvi.data.recorded import load_recorded
from msvi.data.streamed import StreamedField

pytest_plugins = ["smoke"]


@pytest.fixture
def streaming(tmp_path):
    """The command as a module, with small files in a folder of its own."""
    names = ("gib", "distinct", "points", "growth", "steps", "folder", "output", "only", "asked")
    with command_module(ROOT / "benchmarks" / "streaming.py", *names) as module:
        module.flags.FLAGS.points, module.flags.FLAGS.steps, module.flags.FLAGS.folder = 72, 2, str(tmp_path)
        yield module


def test_a_large_folder_of_few_files(streaming):
    """As many trajectories as its files have, of which the names are more than the files; each read from its own."""
    each = 4 * 16 * 64 * 72**2
    folder, files = streaming.write_folder("large", 5 * each, 2 * each)
    names = sorted(os.listdir(os.path.join(folder, "train")))
    assert files == len(names) == 5
    assert sum(os.path.islink(os.path.join(folder, "train", name)) for name in names) == 3
    config = streaming.in_2d(folder, "disk")
    dataset = load_dataset(config.case, config.data, "disk")
    assert isinstance(dataset.train.u, StreamedField) and dataset.train.u.shape == (80, 64, 72, 72, 1)
    assert dataset.train.u.frames_together == 2**18 // (4 * 72**2) and len(dataset.val.u) == len(dataset.test.u) == 2
    np.testing.assert_array_equal(dataset.train.u[3, 5], dataset.train.u[2 * 16 + 3, 5])
    assert np.abs(dataset.train.u[3, 5] - dataset.train.u[16 + 3, 5]).max() > 1
    assert abs(dataset.train.statistics().std[0] - 1) < 0.1


def test_lines_of_any_number(streaming):
    """Trajectories to learn from as asked, beside those to validate and test on."""
    found = load_recorded(streaming.write_line(9), (), 0, 0, 0, 0, "disk")
    assert [len(split.u) for split in (found.train, found.val, found.test)] == [9, 2, 2]
    assert found.train.u.shape[1:] == (64, 256, 1)
    assert streaming.in_1d("a.h5", "disk").train.data_on == "disk"
