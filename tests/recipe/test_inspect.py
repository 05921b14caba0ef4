"""`msvi inspect`: what it prints, its exit status, and that it neither fails nor writes."""

import os

import h5py
import numpy as np
import pytest
import xarray as xr

from msvi.cli.inspect import main


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "recorded.npz")


def write(path, **changes):
    rng = np.random.default_rng(0)
    mask = np.ones((10, 6, 12, 8), bool)
    mask[0, 3], mask[1, 0, :6] = False, False
    held = {
        "u": np.where(mask[..., None], rng.uniform(-1, 1, (10, 6, 12, 8, 2)), np.nan).astype(np.float32),
        "t": 0.5 * np.arange(6),
        "mask": mask,
        "mu": np.linspace(1, 2, 10)[:, None],
        "forcing": np.ones((10, 6, 3)),
        "boundary": np.array(["periodic", "edge"]),
        "notes": np.zeros(3),
    }
    held["u"][2, 2, 2, 2, 0], held["u"][3, 3, 3, 3, 1] = -3, 4
    np.savez(path, **{name: values for name, values in (held | changes).items() if values is not None})


def wave(trajectories, frames, points, channels=1):
    """Travelling round a periodic axis."""
    t, x = np.arange(frames) / frames, np.arange(points) / points
    phase = np.random.default_rng(0).random((trajectories, 1, 1, channels))
    return np.sin(2 * np.pi * (x[:, None] - t[:, None, None] + phase))


def run(capsys, *arguments):
    status = main(arguments)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return status, printed.out, printed.err


def test_usable_file(path, capsys, tmp_path):
    """Everything there is to know, line by line; nothing is written."""
    write(path)
    before = os.listdir(tmp_path)
    status, out, err = run(capsys, path)
    assert (status, err) == (0, "") and os.listdir(tmp_path) == before
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[: lines.index("a training would take") + 1] == [
        f"{path}: NumPy archive",
        "arrays",
        "u (10, 6, 12, 8, 2) float32 -3 to 4, 288 not finite",
        "mask (10, 6, 12, 8) bool 97.5 % true",
        "t (6,) float64 0 to 2.5",
        "mu (10, 1) float64 1 to 2",
        "forcing (10, 6, 3) float64 1 to 1",
        "not used: notes",
        "frames",
        "6 in each of 10 trajectories, 1.7 % of them missing",
        "spacing 0.5 to 1, irregular",
        "0.8 % of the points missing in the others",
        "axes",
        "x: 12 points from 0 to 0.9167, periodic",
        "y: 8 points from 0 to 1, edge",
        "channels: 2",
        "parameters: 1",
        "forcing: 3, the same everywhere",
        "would be used",
        "train: 8 trajectories of 5 to 6 frames",
        "val: 1 trajectory of 6 frames",
        "test: 1 trajectory of 6 frames",
        "coarsening: not said; may be set, --config.model.coarsening=2",
        "nothing is wrong",
        "warnings",
        "The shortest trajectory to learn from has 5 frames, a window has 32; store more.",
        "a training would take",
    ]


def test_flags(path, capsys):
    """They fill, override and choose as in a training."""
    write(path, mask=None, u=np.random.default_rng(1).random((10, 6, 12, 8, 1)), coarsening=2, boundary=None)
    flags = ("--boundary=edge,edge", "--num_train=3", "--num_val=2", "--num_test=1", "--seed=5")
    status, out, _ = run(capsys, path, *flags)
    assert status == 0
    for part in (
        "x: 12 points from 0 to 1, edge",
        "0.0 % of them missing",
        "spacing 0.5 to 0.5, even",
        "train: 3 trajectories of 6 frames",
        "val: 2 trajectories",
        "coarsening: 2, as the file says",
    ):
        assert part in out


def test_every_problem_is_listed(path, capsys):
    """Facts that are missing, arrays that do not fit, values, too few trajectories, a coarsening that cannot be."""
    u = np.zeros((10, 6, 12, 8, 2))
    u[0, 3] = np.inf
    write(path, boundary=None, mask=None, mu=np.zeros(10), coarsening=5, u=u, split=np.arange(10) % 3)
    status, out, err = run(capsys, path)
    problems = out.partition("wrong\n")[2].splitlines()
    assert (status, err) == (2, "")
    for problem, begin in zip(
        problems,
        (
            "holds `mu` of the shape (10,), expected (10, parameter)",
            "does not say the boundary of its 2 axes; give --config.data.boundary=periodic,edge",
            "has the grid (12, 8), which the coarsening 5 does not divide; give --config.model.coarsening=N, a divisor",
            "holds 192 values of `u` that are not finite in single precision in trajectory ",
        ),
        strict=True,
    ):
        assert problem.startswith("  it " + begin)
    write(path, t=None)
    status, out, _ = run(capsys, path, "--num_train=30")
    assert status == 2 and "frames\n  not known" in out and "train: nothing" in out
    assert "it has no frame times `t`" in out and "it has 10 trajectories, fewer than the 30 to learn from" in out


def test_the_same_problem_in_many_trajectories(path, capsys):
    """Told once, with their number."""
    write(path, u=np.full((10, 6, 12, 8, 2), np.inf), mask=None)
    status, out, _ = run(capsys, path)
    assert status == 2 and out.count("not finite in single") == 1 and "take a larger unit (the same in 9 others)" in out
    write(path, u=np.full((10, 6, 12, 8, 2), np.nan), mask=None)
    status, out, _ = run(capsys, path)
    assert status == 2 and "it has 0 observed frames in what is used of trajectory 0, expected at least 2" in out
    assert "add frames (the same in 9 others)" in out


def test_trajectory_cut_by_time(path, capsys):
    """Said, so that nobody takes the pieces for trajectories."""
    np.savez(path, u=wave(1, 40, 16), t=np.arange(40.0))
    status, out, _ = run(capsys, path, "--boundary=periodic")
    assert status == 0 and "every trajectory is cut by time" in out and "train: 1 trajectory of 32 frames" in out


def test_grid_without_divisors(path, capsys):
    """It has no mesh, as a training says too."""
    np.savez(path, u=wave(5, 40, 7), t=np.arange(40.0))
    status, out, _ = run(capsys, path, "--boundary=periodic")
    assert status == 2 and "no number divides (7,) into 4 cells or more" in out
    assert "wrong\n  No coarsening divides the grid (7,) into at least 4 cells" in out


def test_other_kinds(tmp_path, capsys):
    """PDEBench: the arrays are named as the layout names them."""
    path = str(tmp_path / "burgers.hdf5")
    with h5py.File(path, "w") as file:
        file["tensor"], file["t-coordinate"] = np.zeros((5, 4, 16)), np.arange(5.0)
    status, out, _ = run(capsys, path)
    assert status == 2 and "HDF5, PDEBench, scalar field" in out and "u        (5, 4, 16, 1)" in out
    assert "boundary not known" in out and "coarsening: not said; may be set, --config.model.coarsening=2 or 4" in out


def test_files_that_cannot_be_opened(tmp_path, capsys):
    """Missing, of another kind, damaged: one line."""
    (tmp_path / "text").write_text("text")
    (tmp_path / "damaged").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 600)
    for name in ("missing", "text", "damaged"):
        status, out, err = run(capsys, str(tmp_path / name))
        assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["x", "--num_val=-1"], ["x", "--seed=a"]])
def test_wrong_use(arguments, capsys):
    """argparse tells how."""
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2 and "usage: msvi inspect" in capsys.readouterr().err


def test_names_and_units_are_those_of_the_file(capsys, tmp_path):
    """Of axes, of channels and of the times, where the file has them."""
    axes, rng = ("member", "time", "lon"), np.random.default_rng(2)
    fields = {
        name: (axes, rng.random((10, 40, 12)), {"units": unit}) for name, unit in (("wind", "m/s"), ("heat", "K"))
    }
    coordinates = {
        "time": ("time", np.arange(40.0), {"units": "hours since 2000-01-01"}),
        "lon": ("lon", 30.0 * np.arange(12), {"units": "degrees_east"}),
    }
    xr.Dataset(fields, coordinates, {"boundary": "periodic"}).to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    _, out, _ = run(capsys, str(tmp_path / "own.nc"))
    for line in (
        "  times in hours since 2000-01-01",
        "  x (lon, degrees_east): 12 points from 0 to 330, periodic",
        "  channels: 2, wind (m/s), heat (K)",
    ):
        assert f"{line}\n" in out, out
