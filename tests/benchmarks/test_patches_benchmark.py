"""What patches cost on larger domains: the files and the configuration of the benchmark."""

import numpy as np
import pytest
from smoke import ROOT, command_module

from benchmarks.waves import patches_config, waves
from msvi.data.recorded import load_recorded

pytest_plugins = ["smoke"]


@pytest.fixture(scope="module")
def patches():
    """The command as a module."""
    names = ("points", "steps", "number", "frames", "folder", "output", "alone")
    with command_module(ROOT / "benchmarks" / "patches.py", *names) as module:
        yield module


def test_waves_of_any_domain():
    """Of deviation one, with power at the same lengths on a domain and one four times as large, and moving."""
    small, large = (waves(np.random.default_rng(0), points, 3) for points in (64, 128))
    for u in (small, large):
        np.testing.assert_allclose(u.std(axis=(1, 2)), 1.0, rtol=0.05)
        assert 0.01 < np.abs(u[1] - u[0]).mean() < 0.5
    power = [np.abs(np.fft.rfft2(u[0]) / u[0].size) ** 2 for u in (small, large)]
    numbers = [np.hypot(np.fft.fftfreq(n, 1 / 4)[:, None], np.fft.rfftfreq(n, 1 / 4)[None]) for n in (64, 128)]
    lengths = [np.sqrt((k**2 * p).sum() / p.sum()) for k, p in zip(numbers, power, strict=True)]
    np.testing.assert_allclose(*lengths, rtol=0.1)


def test_patches_do_not_depend_on_the_domain(patches, tmp_path):
    """The file can be read, and one that holds four times the domain has the same configuration."""
    path = patches.write_file(str(tmp_path), 128)
    assert load_recorded(path, (), 0, 0, 0, 0).grid == (128, 128)
    config = patches_config(path, 20)
    assert config.train.patch_cells > 0 and config.model.coarsening == 4
