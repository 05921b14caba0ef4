"""The console command: its commands, their help, and forecasts into files."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest
import xarray as xr
from absl import flags
from PIL import Image
from smoke import ROOT, run_python

import msvi
from msvi import __main__ as console
from msvi.cli import entry, forecast
from msvi.config import Config, field_texts
from msvi.data.formats.initial import read_initial
from msvi.library import Model

pytest_plugins = ["smoke"]


@pytest.fixture
def forecast_flags():
    """The flags of the command, which are gone afterwards."""
    before = set(flags.FLAGS)
    forecast.define_flags()
    yield
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


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


def test_importing_a_command_changes_nothing():
    """Flags are global, so that two commands in one process could not both have a `--workdir`."""
    names = ", ".join(f"msvi.cli.{name}" for name in console.COMMANDS)
    code = (
        f"import {names}; from absl.flags import FLAGS; print([m for m in FLAGS.flags_by_module_dict() if 'msvi' in m])"
    )
    process = run_python("-c", code, environment={}, cwd=ROOT)
    assert (process.returncode, process.stdout, process.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help_of_what_has_a_configuration(command, tmp_path):
    """The flags of the command and every field of the configuration."""
    process = run_python("-m", "msvi", command, "--help", environment={"PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    for name in {"train": ["workdir", "distributed"], "evaluate": ["workdir", "results", "format", "shown"]}[command]:
        assert f"  --{name}\n" in process.stdout
    assert all(f"  --config.{name}\n" in process.stdout for name in field_texts())


def test_help(forecast_flags):
    """The flags of a command with their defaults; the configuration's fields where it has one."""
    text = entry.help_text(forecast.__name__)
    assert (
        text.startswith("Forecasts from initial fields") and "--members\n      Of the ensemble. (default: 64)" in text
    )
    assert "--config" not in text


def test_times():
    """Evenly spaced or one by one."""
    np.testing.assert_allclose(forecast.read_times("0:2:5"), [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(forecast.read_times("-1e-1,0,3"), [-0.1, 0, 3])
    for text in ("0:2", "a,b", "", "0,5,3", "1:0:5", "0,nan", "2"):
        with pytest.raises(msvi.InputError, match="`--times` must be FIRST:LAST:NUMBER"):
            forecast.read_times(text)


def read(path, model):
    return read_initial(str(path), model.labels, model.model.field_shape)


def test_initial_fields(model: Model, tmp_path):
    """The first time of a file under the names of the data, or an array; what cannot be read is refused."""
    u = np.random.default_rng(0).standard_normal((3, *model.model.grid))
    dataset = xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(3.0)})
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    np.save(tmp_path / "a.npy", u[:2])
    np.savez(tmp_path / "a.npz", u=u[:2])
    for name in ("a.nc", "a.zarr"):
        np.testing.assert_array_equal(read(tmp_path / name, model).u.u, u[0])
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(read(tmp_path / name, model).u, u[:2])
    with pytest.raises(msvi.InputError, match="There is no file"):
        read(tmp_path / "b.nc", model)
    (tmp_path / "c.nc").write_text("no NetCDF")
    with pytest.raises(msvi.InputError, match="begins with b'no NetCDF'"):
        read(tmp_path / "c.nc", model)
    dataset.rename(u="v").to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    with pytest.raises(msvi.InputError, match="must hold u as the training data do, found v, time"):
        read(tmp_path / "d.nc", model)
    dataset.assign(mask=dataset.u > 0).to_netcdf(tmp_path / "e.nc", engine="h5netcdf")
    with pytest.raises(msvi.InputError, match="put NaN where nothing was observed"):
        read(tmp_path / "e.nc", model)
    for name in ("out.nc", "out.zarr"):
        forecast.write(dataset, str(tmp_path / "new" / name))
        with xr.open_dataset(tmp_path / "new" / name, engine=None if name.endswith("nc") else "zarr") as found:
            xr.testing.assert_equal(found.load(), dataset)


def test_initial_fields_of_trajectories(model: Model, tmp_path):
    """Of a file that is learned from the first frame of each trajectory, gaps and all, and what acts on them."""
    rng, t = np.random.default_rng(0), 0.1 * np.arange(4)
    u, forcing = rng.standard_normal((3, 4, *model.model.field_shape)), rng.standard_normal((3, 4, 1))
    u[1, 0, 5:9], mu = np.nan, np.ones((3, 2))
    np.savez(tmp_path / "a.npz", u=u, t=t, mu=mu, forcing=forcing)
    axes = ("trajectory", "time")
    variables = {"u": ((*axes, "x", "channel"), u), "t": ("time", t), "mu": (("trajectory", "parameter"), mu)}
    dataset = xr.Dataset(variables | {"forcing": ((*axes, "force"), forcing)})
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for name in ("a.npz", "a.nc"):
        found = read(tmp_path / name, model)
        fields = found.u if name == "a.npz" else found.u.u.values
        for array, expected in ((fields, u[:, 0]), (found.mu, mu), (found.forcing, forcing), (found.forcing_t, t)):
            np.testing.assert_array_equal(array, expected)
        forecast.check_forcing_times(found, 7 + t, name)
        for other in (t[:3], 2 * t):
            with pytest.raises(msvi.InputError, match=f"The forcing in {name} is at 4 times, not at the"):
                forecast.check_forcing_times(found, other, name)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({}, "Nothing to write; give `--output`"),
        ({"output": "a.txt"}, "`--output` must end with .nc or .zarr"),
        ({"figure": "a.gif"}, "`--figure` must end with .png or .pdf or .svg"),
        ({"output": "a.nc", "animation": "a.png"}, "`--animation` must end with .gif"),
        ({"figure": "there.png"}, "`--figure` must not exist, but there.png does"),
    ],
)
def test_what_cannot_be_written(paths, message, monkeypatch, tmp_path):
    """Is refused before anything is forecast."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.png").write_text("a picture")
    with pytest.raises(msvi.InputError, match=message):
        forecast.check_paths(paths)


@pytest.mark.slow
def test_forecast_from_a_file(smoke_run, model, programs, environment, tmp_path):
    """The command writes what the library gives, and pictures of it, once, and refuses to write over it."""
    u0 = 0.25 * np.exp(-(np.linspace(-5, 5, *model.model.grid) ** 2))
    np.save(tmp_path / "u0.npy", np.stack([u0, 2 * u0]))
    command = ["-m", "msvi", "forecast", f"--workdir={smoke_run.path}", "--initial=u0.npy", "--times=0:0.1:5"]
    command += ["--members=3", "--seed=2", "--output=out/forecast.nc"]
    command += ["--figure=out/forecast.pdf", "--animation=out/forecast.gif"]
    process = run_python(*command, environment=environment, cwd=tmp_path)
    expected = "out/forecast.nc\nout/forecast.pdf\nout/forecast.gif\n"
    assert (process.returncode, process.stdout, process.stderr) == (0, expected, "")
    with xr.open_dataset(tmp_path / "out" / "forecast.nc", engine="h5netcdf") as found:
        expected = model.forecast(np.stack([u0, 2 * u0]), np.linspace(0, 0.1, 5), members=3, seed=2)
        xr.testing.assert_allclose(found.load(), expected, rtol=1e-4, atol=1e-6)
    assert (tmp_path / "out" / "forecast.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "out" / "forecast.gif") as animation:
        assert animation.n_frames == 5
    process = run_python(*command, environment=environment, cwd=tmp_path)
    assert process.returncode == 2 and "must not exist" in process.stderr
