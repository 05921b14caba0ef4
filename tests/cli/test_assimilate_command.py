"""The command `msvi assimilate`: files of observations, flags, and what it writes."""

import re

import numpy as np
import pytest
import xarray as xr
from smoke import run_python

import msvi
from msvi.cli.assimilate import check_paths, read_localisation, read_smoother
from msvi.data.formats.observations import read_observations
from msvi.data.labels import Labels
from msvi.errors import InputError

pytest_plugins = ["smoke"]

LABELS = Labels(("lon",), ("wind", "heat"), {"time": {"units": "hours since 2001-01-01"}})


def sensors(number=5):
    """Readings of two sensors, of one channel, at times in another unit than those of the training data."""
    return xr.Dataset(
        {"wind": (("time", "sensor"), np.arange(2.0 * number).reshape(number, 2)), "mu": ("parameter", [3.0])},
        {
            "time": ("time", np.arange(number), {"units": "days since 2001-01-02"}),
            "lon": ("sensor", [0.1, 0.2]),
        },
    )


def test_file_of_observations(tmp_path):
    """Times are dates where both count from one; what acts on the system stands beside the readings."""
    sensors().to_netcdf(tmp_path / "obs.nc", engine="h5netcdf")
    found = read_observations(str(tmp_path / "obs.nc"), LABELS)
    expected = np.datetime64("2001-01-02") + np.timedelta64(1, "D") * np.arange(5)
    np.testing.assert_array_equal(found.data["time"], expected)
    np.testing.assert_array_equal(found.data["wind"], sensors().wind)
    assert found.mu == [3.0] and found.forcing is None and "mu" not in found.data
    plain = read_observations(str(tmp_path / "obs.nc"), Labels(("lon",), ("wind",)))
    np.testing.assert_array_equal(plain.data["time"], np.arange(5))
    other = sensors().rename(time="t")
    other["t"].attrs.clear()
    other.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    assert read_observations(str(tmp_path / "t.nc"), Labels(("lon",), ("wind",))).data["wind"].dims == (
        "time",
        "sensor",
    )


def test_files_that_cannot_be_used(tmp_path):
    """Say what they lack."""
    sensors().rename(wind="gust").to_netcdf(tmp_path / "gust.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="must hold wind or heat with an axis `time`"):
        read_observations(str(tmp_path / "gust.nc"), LABELS)
    with pytest.raises(InputError, match="There is no data file"):
        read_observations(str(tmp_path / "nowhere.nc"), LABELS)


def test_flags(tmp_path):
    """As they are written, and what none of them can be."""
    assert [read_smoother(text) for text in (None, "full", "7")] == [None, "full", 7]
    assert [read_localisation(text) for text in ("auto", "none", "2.5")] == ["auto", None, 2.5]
    for read, text in ((read_smoother, "0"), (read_smoother, "lag"), (read_localisation, "wide")):
        with pytest.raises(InputError, match=f"got '{text}'"):
            read(text)
    (tmp_path / "there.nc").write_text("")
    for paths, times, message in (
        ({}, None, "Nothing to write"),
        ({"output": "a.txt"}, None, "`--output` must end with .nc or .zarr"),
        ({"output": str(tmp_path / "there.nc")}, None, "must not exist"),
        ({"forecast": "a.nc"}, None, "needs `--times` and `--forecast`"),
        ({"output": "a.nc"}, "0:1:3", "needs `--times` and `--forecast`"),
    ):
        with pytest.raises(InputError, match=message):
            check_paths(paths, times)
    check_paths({"output": "a.nc", "forecast": "b.zarr", "animation": "c.gif", "figure": "d.svg"}, "0:1:3")


@pytest.mark.slow
def test_from_a_file(smoke_run, programs, environment, tmp_path):
    """The command writes what the library gives from the training frames, and a forecast from there; bad observations
    are refused before anything is written."""
    model = msvi.load(smoke_run.path)
    x, t = model.coordinates[0], 0.02 * np.arange(4)
    places = x[[10, 40, 70]] + 0.3 * (x[1] - x[0])
    y = 0.1 + 0.05 * np.random.default_rng(0).standard_normal((4, 3))
    y[1] = np.nan
    obs = xr.Dataset({"u": (("time", "sensor"), y), "u_noise": 0.02}, {"time": t, "x": ("sensor", places)})
    obs.to_netcdf(tmp_path / "obs.nc", engine="h5netcdf")
    command = ["-m", "msvi", "assimilate", f"--workdir={smoke_run.path}", "--members=5", "--smoother=2", "--seed=3"]
    given = [
        "--observations=obs.nc",
        "--output=out/a.nc",
        "--times=0.06:0.1:3",
        "--forecast=out/f.nc",
        "--figure=out/a.png",
    ]
    process = run_python(*command, *given, environment=environment, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert re.search(r"log evidence .*\nchi² per reading .*\nautocorrelation", process.stdout)
    assert process.stdout.endswith("out/a.nc\nout/f.nc\nout/a.png\n")
    analysis = model.assimilate(obs, members=5, smoother=2, seed=3)
    with xr.open_dataset(tmp_path / "out" / "a.nc", engine="h5netcdf") as found:
        xr.testing.assert_allclose(found.load(), analysis.to_dataset(), rtol=1e-3, atol=1e-4)
    with xr.open_dataset(tmp_path / "out" / "f.nc", engine="h5netcdf") as found:
        expected = model.forecast(analysis, np.linspace(0.06, 0.1, 3), seed=3)
        xr.testing.assert_allclose(found.load(), expected, rtol=1e-3, atol=1e-4)
    obs.assign_coords(x=("sensor", places + 5)).to_netcdf(tmp_path / "far.nc", engine="h5netcdf")
    given = ["--observations=far.nc", "--output=out/b.nc"]
    process = run_python(*command, *given, environment=environment, cwd=tmp_path)
    assert process.returncode == 2 and process.stderr.count("\n") == 1 and "outside of the domain" in process.stderr
    assert not (tmp_path / "out" / "b.nc").exists()
