"""The console command: its commands, their help, and forecasts into files."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest
import xarray as xr
from absl import flags
from smoke import run_python

import msvi
from msvi import __main__ as console
from msvi.cli import entry
from msvi.config import Config, field_texts
from msvi.library import Model

pytest_plugins = ["smoke"]

MODULE = "msvi.cli.forecast"


@pytest.fixture(scope="module")
def forecast():
    """The command as a module; its flags count as parsed meanwhile."""
    from msvi.cli import forecast as module

    flags.FLAGS.mark_as_parsed()
    yield module
    flags.FLAGS.unparse_flags()


@pytest.fixture(scope="module")
def model(smoke_run):
    """The smoke run, which has names of no file."""
    return msvi.load(smoke_run.path)


def test_commands(capsys):
    """Without a command they are listed, each with a module that is there; a misspelt one is guessed."""
    console.main([])
    out = capsys.readouterr().out
    for name, text in console.COMMANDS.items():
        assert f"  {name}" in out and text in out
        assert (pathlib.Path(console.__file__).parent / "cli" / f"{name}.py").exists()
    console.main(["--version"])
    assert re.fullmatch(r"msvi \d+\.\d+\.\d+\n", capsys.readouterr().out)
    for given, hint in (("trian", "did you mean `train`?"), ("xyz", "known are train, evaluate")):
        with pytest.raises(SystemExit) as end:
            console.main([given])
        assert end.value.code == 2 and hint in capsys.readouterr().err


def test_every_field_is_explained():
    """Of every field of every group the default and what its docstring says."""
    found = field_texts()
    for group in dataclasses.fields(Config):
        if dataclasses.is_dataclass(group.type):
            for field in dataclasses.fields(group.type):
                if field.name != "equation":
                    default, text = found.pop(f"{group.name}.{field.name}")
                    assert default == field.default and len(text) > 10
    assert not found
    assert field_texts()["model.encoder_hidden"][1].startswith("hidden widths of the microscale encoder and decoder.")
    assert field_texts()["train.steps"][1].endswith("0 leaves it to `msvi.recipe.suggest`.")


def test_help(forecast):
    """The flags of a command with their defaults; the configuration's fields where it has one."""
    text = entry.help_text(MODULE)
    assert (
        text.startswith("Forecasts from initial fields") and "--members\n      Of the ensemble. (default: 64)" in text
    )
    assert "--config" not in text


def test_times(forecast):
    """Evenly spaced or one by one."""
    np.testing.assert_allclose(forecast.read_times("0:2:5"), [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(forecast.read_times("-1e-1,0,3"), [-0.1, 0, 3])
    for text in ("0:2", "a,b", ""):
        with pytest.raises(msvi.InputError, match="`--times` must be FIRST:LAST:NUMBER"):
            forecast.read_times(text)


def test_initial_fields(forecast, model: Model, tmp_path):
    """The first time of a file under the names of the data, or an array; what cannot be read is refused."""
    u = np.random.default_rng(0).standard_normal((3, *model.model.grid))
    dataset = xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(3.0)})
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    np.save(tmp_path / "a.npy", u[:2])
    for name in ("a.nc", "a.zarr"):
        np.testing.assert_array_equal(forecast.read_initial(str(tmp_path / name), model).u, u[0])
    np.testing.assert_array_equal(forecast.read_initial(str(tmp_path / "a.npy"), model), u[:2])
    with pytest.raises(msvi.InputError, match="There is no file"):
        forecast.read_initial(str(tmp_path / "b.nc"), model)
    (tmp_path / "c.nc").write_text("no NetCDF")
    with pytest.raises(msvi.InputError, match="cannot be read or is damaged"):
        forecast.read_initial(str(tmp_path / "c.nc"), model)
    for name in ("out.nc", "out.zarr"):
        forecast.write(dataset, str(tmp_path / "new" / name))
        with xr.open_dataset(tmp_path / "new" / name, engine=None if name.endswith("nc") else "zarr") as read:
            xr.testing.assert_equal(read.load(), dataset)


def test_forecast_from_a_file(smoke_run, model, programs, environment, tmp_path):
    """The command writes what the library gives, once, and refuses to write over it."""
    u0 = 0.25 * np.exp(-(np.linspace(-5, 5, *model.model.grid) ** 2))
    np.save(tmp_path / "u0.npy", u0)
    command = ["-m", "msvi", "forecast", f"--workdir={smoke_run.path}", "--initial=u0.npy", "--times=0:0.1:5"]
    command += ["--members=3", "--seed=2", "--parts", "--output=out/forecast.nc"]
    process = run_python(*command, environment=environment, cwd=tmp_path)
    assert (process.returncode, process.stdout) == (0, "out/forecast.nc\n"), process.stderr
    with xr.open_dataset(tmp_path / "out" / "forecast.nc", engine="h5netcdf") as found:
        expected = model.forecast(u0, np.linspace(0, 0.1, 5), members=3, parts=True, seed=2)
        xr.testing.assert_allclose(found.load(), expected, rtol=1e-4, atol=1e-6)
    process = run_python(*command, environment=environment, cwd=tmp_path)
    assert process.returncode == 2 and "must not exist" in process.stderr
