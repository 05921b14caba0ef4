"""How the trajectory of the flow past a cylinder is cut by time, from the simulation and from the published file."""

import numpy as np
import pytest
from smoke import ROOT, load_module

from msvi.config import from_dict
from msvi.data import flow as flow_module
from msvi.data.config import DataConfig
from msvi.data.dataset import load_dataset
from msvi.data.equations.cylinder_2d import Cylinder2D, Flow
from msvi.errors import InputError
from msvi.training.loop import train

EQUATION = Cylinder2D(num_rows=8, refinement=1)  # 1701 frames up to t = 17, as the default


class FakeFile:
    """The published file with 32 x 8 points, each frame filled with its number."""

    def __init__(self, path):
        assert path == "cylinder2d.nc"
        self.t = np.linspace(0.0, 15.0, 1501, dtype=np.float32)  # single precision, as files have it
        self.x = (np.linspace(-0.5, 3.5, 32), np.linspace(-0.5, 0.5, 8))

    def frames(self, start, stop):
        return np.broadcast_to(np.arange(start, stop, dtype=np.float32)[:, None, None, None], (stop - start, 32, 8, 2))


def numbered(equation):
    """A simulation whose frames hold their number."""
    u = np.empty((equation.num_frames, *equation.grid, 2), np.float32)
    u[:] = np.arange(equation.num_frames)[:, None, None, None]
    return Flow(u, *(np.zeros(equation.num_frames) for _ in range(3)))


def numbers(split):
    """Numbers of the frames of each trajectory, which must be the same at all points."""
    assert (split.u == split.u[:, :, :1, :1, :1]).all()
    return split.u[:, :, 0, 0, 0].astype(int)


def config(tmp_path, equation=EQUATION, **changes):
    values = {"num_train": 1, "num_val": 1, "noise_std": 0.0, "cache_dir": str(tmp_path / "cache")}
    return DataConfig(equation=equation, **values | changes)


@pytest.fixture
def simulated(monkeypatch, tmp_path):
    """The default split of 1701 frames."""
    monkeypatch.setattr(Cylinder2D, "solve", numbered)
    return load_dataset("cylinder_2d", config(tmp_path))


def test_times_of_the_splits(simulated):
    """[0, 13] to learn from, (13, 14] to validate, (14, 15] as the paper: frames 0–1300, 1301–1400, 1401–1500."""
    for split, first, last in (
        (simulated.train, 0, 1300),
        (simulated.val, 1301, 1400),
        (simulated.published, 1401, 1500),
    ):
        np.testing.assert_array_equal(numbers(split), [np.arange(first, last + 1)])
        np.testing.assert_allclose(split.t, 0.01 * numbers(split), atol=1e-9)
        assert split.u_true is split.u  # nothing is added to the simulation


def test_forecasts_are_spread_and_never_seen(simulated):
    """16 of 100 consecutive frames, starts an eighth of a unit apart up to t = 16, all after validation."""
    frames = numbers(simulated.test)
    assert frames.shape == (16, 100) and (np.diff(frames, axis=1) == 1).all()
    np.testing.assert_allclose(frames[:, 0] / 100, 14 + np.arange(1, 17) / 8, atol=0.006)
    assert frames[0, 0] > 1400 and frames[-1, 0] == 1600 and frames.max() <= 1700
    np.testing.assert_allclose(simulated.test.t, 0.01 * frames, atol=1e-9)


def test_geometry(simulated):
    """Edges all around, and the points within the cylinder's radius of 1/16 marked as solid."""
    x, y = simulated.coordinates
    assert simulated.boundary == ("edge", "edge") and simulated.grid == (32, 8) and simulated.num_channels == 2
    np.testing.assert_array_equal(simulated.solid, x[:, None] ** 2 + y[None] ** 2 < 0.0625**2)


def test_shorter_simulation_is_cut_in_proportion(monkeypatch, tmp_path):
    """A fifth of the time with a tenth of the frames: 131, 10, and forecasts of 10."""
    monkeypatch.setattr(Cylinder2D, "solve", numbered)
    short = Cylinder2D(num_rows=8, refinement=1, num_frames=171, t1=3.4)
    dataset = load_dataset("cylinder_2d", config(tmp_path, short, num_test=3))
    assert [s.u.shape[:2] for s in dataset[2:6]] == [(1, 131), (1, 10), (3, 10), (1, 10)]
    assert numbers(dataset.test)[-1, 0] == 160


def test_too_few_frames_are_refused(monkeypatch, tmp_path):
    """One frame a unit of time leaves nothing to forecast; the message counts what there is."""
    monkeypatch.setattr(Cylinder2D, "solve", numbered)
    short = Cylinder2D(num_rows=8, refinement=1, num_frames=18, t1=17.0)
    with pytest.raises(InputError, match="got 18 frames, of which 14, 1 and 1 lie"):
        load_dataset("cylinder_2d", config(tmp_path, short))


def test_window_longer_than_the_training_part(monkeypatch, tmp_path):
    """All 341 frames are enough for it, the 261 that are learned from are not; nothing is written."""
    monkeypatch.setattr(Cylinder2D, "solve", numbered)
    values = load_module(ROOT / "configs" / "cylinder_2d.py").get_config("smoke").to_dict()
    values["data"]["cache_dir"] = str(tmp_path / "cache")
    values["inference"]["window"] = 300
    with pytest.raises(InputError, match="got a window of 300 and 261 frames"):
        train(from_dict(values), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_published_file(monkeypatch, tmp_path):
    """Ends at t = 15: the paper's forecast is the test split, and nothing is simulated or cached."""
    monkeypatch.setattr(flow_module, "CylinderFile", FakeFile)
    monkeypatch.setattr(Cylinder2D, "solve", lambda equation: pytest.fail("simulated"))
    dataset = load_dataset("cylinder_2d", config(tmp_path, path="cylinder2d.nc"))
    for split, first, last in ((dataset.train, 0, 1300), (dataset.val, 1301, 1400), (dataset.test, 1401, 1500)):
        np.testing.assert_array_equal(numbers(split), [np.arange(first, last + 1)])
    assert dataset.published is None and not (tmp_path / "cache").exists()


def test_simulation_that_is_not_finite_is_refused(monkeypatch, tmp_path):
    """And leaves no cache behind."""

    def broken(equation):
        flow = numbered(equation)
        flow.u[3, 2, 1, 0] = np.nan
        return flow

    monkeypatch.setattr(Cylinder2D, "solve", broken)
    with pytest.raises(InputError, match="not finite"):
        load_dataset("cylinder_2d", config(tmp_path))
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("changes", [{"num_train": 2}, {"num_val": 4}, {"noise_std": 1e-3}], ids=str)
def test_one_trajectory_without_noise(tmp_path, changes):
    """Other numbers of trajectories or noise are refused before anything is simulated."""
    with pytest.raises(InputError, match="one trajectory without noise"):
        config(tmp_path, **changes)


def test_path_is_of_this_case_alone():
    """Another equation is always generated."""
    with pytest.raises(InputError, match="for the cases custom and cylinder_2d, got 'a.nc' with Burgers1D"):
        DataConfig(path="a.nc")
