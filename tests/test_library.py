"""The library: learning from arrays, forecasts under the names of the data, and a run that is used without its data."""

import dataclasses
import json
import shutil
import zipfile

import jax
import numpy as np
import pytest
import xarray as xr
from conftest import perturb
from PIL import Image
from smoke import ROOT, run_python, settings

import msvi
from msvi.cli import export
from msvi.config import Config
from msvi.data.labels import Labels
from msvi.data.split import Split
from msvi.forecast.config import ForecastConfig
from msvi.forecast.ensemble import forecast_latents, solver_steps
from msvi.library import Model
from msvi.model.condition import ConditionScale
from msvi.model.scales import Scales
from msvi.recipe.build import build_conditions
from msvi.report.plots_forecast import channels_of

pytest_plugins = ["smoke"]

POINTS, FRAMES, MEMBERS = 64, 33, 4
T = 0.05 * np.arange(FRAMES)
FIELDS = {"steps": 20, "eval_every": 20, "log_every": 20, "coarsening": 8, "drift_warmup_steps": 5, "window": 16}
FIELDS |= dict.fromkeys(("micro_hidden", "encoder_hidden", "decoder_hidden", "macro_hidden"), (8,))
FIELDS |= {"num_nodes": 8, "num_quadrature": 8, "micro_dim": 1, "num_val_members": 2, "micro_layout": "global"}
FIELDS |= {"solver": "euler", "micro_frame": "fixed", "linear_radius": 0, "steps_per_frame": 1, "rotation": "none"}


def waves(speed=0.3):
    """Two channels of waves on a circle, `(run, time, lon)` each, in their units."""
    rng, x = np.random.default_rng(0), np.arange(POINTS) / POINTS
    phases = rng.uniform(0, 2 * np.pi, (6, 2, 1, 1))
    angles = 2 * np.pi * np.arange(1, 3)[None, :, None, None] * (x - speed * T[:, None])
    wind = np.cos(angles + phases).sum(axis=1)
    return wind + 1e-2 * rng.standard_normal(wind.shape), 300 + 5 * np.sin(angles + phases).sum(axis=1)


def dataset():
    """The same as a data set in an order of axes of its own, with units and dates."""
    wind, temperature = waves()
    time = np.datetime64("2001-01-01") + np.timedelta64(3, "h") * np.arange(FRAMES)
    return xr.Dataset(
        {
            "wind": (("lon", "time", "run"), wind.transpose(2, 1, 0), {"units": "m s-1"}),
            "temperature": (("run", "time", "lon"), temperature, {"units": "K", "long_name": "of the air"}),
        },
        {"lon": ("lon", 360 * np.arange(POINTS) / POINTS, {"units": "degrees_east"}), "time": time},
    )


@pytest.fixture(scope="module")
def fitted(compilation, tmp_path_factory):
    """A model of the data set, learned for a moment; nothing may be written into its folder."""
    path = str(tmp_path_factory.mktemp("fit") / "run")
    with settings(compilation):
        return msvi.fit(dataset(), boundary="periodic", workdir=path, **FIELDS)


def frame(number=0):
    """A field of both channels, `(lon, channel)`."""
    return np.stack([field[number, 0] for field in waves()], axis=-1)


def test_forecast_has_the_names_of_the_data(fitted, programs, tmp_path):
    """Axes, channels, units and dates, also when it is read back from NetCDF; and no noise in the ensemble's mean."""
    u0, time = dataset().isel(run=0, time=0), dataset().time.values
    found = fitted.forecast(u0, time, members=MEMBERS, parts=True)
    assert dict(found.sizes) == {"member": MEMBERS, "time": FRAMES, "lon": POINTS}
    assert found.wind.dims == ("member", "time", "lon") and found.temperature_mean.dims == ("time", "lon")
    found.to_netcdf(tmp_path / "forecast.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "forecast.nc", engine="h5netcdf") as read:
        np.testing.assert_array_equal(read.time, time)
        np.testing.assert_allclose(read.lon, dataset().lon)
        assert (read.temperature.units, read.temperature.long_name) == ("K", "of the air")
        assert (read.wind.units, read.lon.units) == ("m s-1", "degrees_east")
        assert abs(float(read.temperature.mean()) - 300) < 30
    means = fitted.forecast(frame(), time, members=MEMBERS, noise=False)
    for name in ("wind", "temperature"):
        np.testing.assert_allclose(means[name].mean("member"), found[f"{name}_mean"], rtol=1e-5, atol=1e-4)
        parts = found[f"{name}_macro"] + found[f"{name}_micro"]
        np.testing.assert_allclose(parts, found[f"{name}_mean"], rtol=1e-5, atol=1e-3)
        # Law of total variance: what the members differ by, and the noise.
        noise = found[f"{name}_std"] ** 2 - means[name].var("member")
        assert float(noise.min()) > 0 and float(noise.std("time").max()) < 1e-2 * float(noise.max())


def test_members_that_are_lost(fitted, programs):
    """A forecast that is not finite says so, with how many members and since when."""
    params = fitted.params | {"log_q": np.full_like(fitted.params["log_q"], 200.0)}
    diverging = dataclasses.replace(fitted, params=params)
    with pytest.warns(RuntimeWarning, match=rf"{MEMBERS} of {MEMBERS} members .* not finite, the first of them from"):
        found = diverging.forecast(frame(), dataset().time.values, members=MEMBERS)
    assert not np.isfinite(found.wind).all()


def test_times_in_another_unit(fitted):
    """Are refused, where a forecast would not end."""
    with pytest.raises(msvi.InputError, match="give times in the unit of the data"):
        fitted.forecast(frame(), T[0] + 1e9 * np.arange(3.0), members=2)


def test_several_fields_with_gaps(fitted, programs):
    """One after another as each alone, with keys of their own; a gap is filled in; the horizon is as long as asked."""
    t = T[0] + 3.0 * np.arange(12)  # hours, three times as far apart as half a day of the training is long
    several = np.stack([frame(0), frame(1)])
    both = fitted.forecast(several, t, members=2)
    one = fitted.forecast(several[0], t, members=2)
    assert list(both.initial) == [0, 1] and "initial" not in one.coords
    assert both.wind.dims == ("initial", "member", "time", "lon") and one.wind.dims == ("member", "time", "lon")
    np.testing.assert_array_equal(both.wind[0], one.wind)
    np.testing.assert_array_equal(both.time, t)
    gap = several[0].copy()
    gap[3:6] = np.nan
    filled = fitted.forecast(gap, t, members=2)
    assert np.isfinite(filled.wind).all() and not np.array_equal(filled.wind, one.wind)
    other = fitted.forecast(several[0], t, members=2, seed=1)
    assert not np.array_equal(other.wind, one.wind)


def test_states(fitted, programs):
    """Encoding and decoding are those of the model, in any number of axes; rates are per hour here."""
    u = np.stack(waves(), axis=-1)[:2, :3]
    z = fitted.encode(u)
    assert z.shape == (2, 3, fitted.model.latent_dim)
    expected = fitted.model.encode(fitted.params, u[1, 2].astype(np.float32)).mean
    np.testing.assert_allclose(z[1, 2], expected, rtol=1e-4, atol=1e-4)
    assert fitted.reconstruct(u).shape == u.shape
    np.testing.assert_allclose(fitted.decode(z), fitted.reconstruct(u))
    zeta, eta = fitted.latents(z)
    assert zeta.shape == (2, 3, 8, 2) and eta.shape == (2, 3, 1)
    rate = fitted.model.drift(fitted.params, 0.0, expected) / fitted.model.scales.time_unit
    np.testing.assert_allclose(fitted.drift(z)[1, 2], rate, rtol=1e-3, atol=1e-4)


def test_a_run_is_used_without_its_data(fitted, programs, tmp_path):
    """Copied to another place, and without the data, it makes the same forecasts; damage is told."""
    path = tmp_path / "elsewhere"
    shutil.copytree(fitted.workdir, path, ignore=shutil.ignore_patterns("data.nc"))
    moved = msvi.load(str(path))
    t = 3.0 * np.arange(5)
    xr.testing.assert_equal(moved.forecast(frame(), t, members=2), fitted.forecast(frame(), t, members=2))
    assert moved.config == fitted.config and moved.labels == fitted.labels
    model = path / "model.json"
    values = json.loads(model.read_text())
    for text, message in (
        ("{", "does not describe a model"),
        (json.dumps(values | {"coordinates": None}), "does not describe a model"),
        (json.dumps(values | {"format": 99}), "format 99"),
    ):
        model.write_text(text)
        with pytest.raises(msvi.InputError, match=message):
            msvi.load(str(path))
    model.unlink()
    with pytest.raises(msvi.InputError, match="an earlier version trained it"):
        msvi.load(str(path))


def test_one_file(fitted, programs, tmp_path, capsys):
    """An archive makes the same forecasts; what does not fit is told, and nothing is written over."""
    path = str(tmp_path / "model.zip")
    assert export.main([fitted.workdir, path]) == 0 and capsys.readouterr().out == f"{path}\n"
    loaded, t = msvi.load(path), 3.0 * np.arange(5)
    expected = fitted.forecast(frame(), t, members=2).drop_attrs()
    xr.testing.assert_equal(loaded.forecast(frame(), t, members=2).drop_attrs(), expected)
    with pytest.raises(msvi.InputError, match="has no data to evaluate on"):
        loaded.evaluate()
    assert export.main([fitted.workdir, path]) == 2 and "not exist" in capsys.readouterr().err
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert json.loads(files["record.json"])["step"] == 20
    name = next(name for name in files if name.endswith("kernel.npy"))
    for broken, message in (
        (files | {name: files[name][:40]}, "cannot be read or is damaged"),
        ({other: text for other, text in files.items() if other != name}, "do not fit the model"),
        ({other: text for other, text in files.items() if other != "model.json"}, "cannot be read or is damaged"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for other, text in broken.items():
                archive.writestr(other, text)
        with pytest.raises(msvi.InputError, match=message):
            msvi.load(path)


@pytest.mark.slow
def test_the_same_call_goes_on(fitted, programs, capsys):
    """With the data and fields of before nothing is trained again; other data are refused, and nothing is lost."""
    before = fitted.forecast(frame(), T, members=2)
    again = msvi.fit(dataset(), boundary="periodic", workdir=fitted.workdir, **FIELDS)
    assert "steps already" in capsys.readouterr().out
    xr.testing.assert_equal(again.forecast(frame(), T, members=2), before)
    other = dataset()
    other["wind"] = 2 * other.wind
    with pytest.raises(msvi.InputError, match="trained on other data"):
        msvi.fit(other, boundary="periodic", workdir=fitted.workdir, **FIELDS)
    xr.testing.assert_equal(msvi.load(fitted.workdir).forecast(frame(), T, members=2), before)


def test_arrays_are_files_of_the_layout(monkeypatch, tmp_path):
    """Arrays with or without an axis of channels, dates, gaps and splits, as the file that is learned from has them."""
    from msvi import library
    from msvi.data.recorded import load_recorded

    seen = []
    monkeypatch.setattr(library, "train", lambda config, workdir: seen.append(config))
    monkeypatch.setattr(library, "load", lambda workdir: None)
    wind = waves()[0]
    mask = np.ones(wind.shape[:2], bool)
    mask[:, 4] = False
    split = ["train"] * 4 + ["val", "test"]
    dates = np.datetime64("2001-01-01") + np.timedelta64(3, "h") * np.arange(FRAMES)
    calls = {
        "plain": ((wind, T), {"boundary": "periodic"}, T),
        "channel": ((wind[..., None], T), {"boundary": ("periodic",)}, T),
        "dates": ((wind, dates), {"boundary": "periodic", "split": split}, 3.0 * np.arange(FRAMES)),
        "gaps": ((wind, T), {"boundary": "edge", "mask": mask, "mu": np.ones((6, 1))}, np.delete(T, 4)),
        "array": ((dataset().temperature,), {"boundary": "periodic"}, 3.0 * np.arange(FRAMES)),
    }
    for name, (arguments, rest, t) in calls.items():
        msvi.fit(*arguments, workdir=str(tmp_path / name), micro_dim=3, seed=7, data_seed=5, **rest)
        config = seen[-1]
        assert (config.model.micro_dim, config.seed, config.data.seed) == (3, 7, 5)
        found = load_recorded(config.data.path, (), 0, 0, 0, 0)
        assert found.grid == (POINTS,) and found.num_channels == 1
        np.testing.assert_allclose(found.train.t[0], t, atol=1e-6)
    np.testing.assert_allclose(load_recorded(seen[2].data.path, (), 0, 0, 0, 0).test.u[0, :, :, 0], wind[5], rtol=1e-6)
    np.savez(tmp_path / "my.npz", u=wind[..., None], t=T)
    msvi.fit(str(tmp_path / "my.npz"), boundary="periodic", workdir=str(tmp_path / "file"))
    assert (seen[-1].data.path, seen[-1].data.boundary) == (str(tmp_path / "my.npz"), ("periodic",))


@pytest.mark.parametrize(
    ("arguments", "rest", "message"),
    [
        (lambda: (waves()[0], None), {}, "`t` is missing"),
        (lambda: (np.ones((2, 3, 4), int), T), {}, "floating-point numbers, got int64"),
        (lambda: (waves()[0], T[:5]), {"boundary": "periodic"}, "do not fit each other"),
        (lambda: (np.ones((3, 4)), T), {"boundary": "periodic"}, "must have the shape"),
        (lambda: (dataset(), T), {}, "leave out t"),
        (lambda: (xr.Dataset({"a": ("b", np.ones(3))}),), {}, "with an axis `time`"),
        (
            lambda: (waves()[0], T),
            {"boundary": "periodic", "micro_dims": 3},
            "There is no field `micro_dims`; did you mean `micro_dim`",
        ),
        (lambda: ("nowhere.npz",), {}, "There is no data file"),
        (lambda: ("nowhere.npz", T), {}, "leave out t"),
        (lambda: (waves()[0], T), {}, "does not say the boundary"),
    ],
)
def test_what_cannot_be_learned_from(tmp_path, arguments, rest, message):
    """Is refused in one sentence before anything is trained, and no data are left behind."""
    with pytest.raises(msvi.InputError, match=message):
        msvi.fit(*arguments(), workdir=str(tmp_path / "run"), **rest)
    assert not (tmp_path / "run" / "data.nc").exists()


@pytest.mark.parametrize(
    ("u0", "t", "rest", "message"),
    [
        (lambda: frame()[:-1], T, {}, r"must have the shape \(64, 2\)"),
        (lambda: np.stack([frame(), np.nan * frame()]), T, {}, "some of each field not NaN"),
        (lambda: dataset().wind.isel(run=0, lon=0), T, {}, "must have the axes lon, got time"),
        (lambda: dataset()[["wind"]].isel(run=0, time=0), T, {}, "must hold wind, temperature, got wind"),
        (lambda: np.full((POINTS, 2), np.inf), T, {}, "must be numbers"),
        (frame, T[::-1], {}, "must increase"),
        (frame, T[:1], {}, "two times or more"),
        (frame, T, {"members": 0}, "at least 1"),
        (frame, T, {"mu": [1.0]}, "`mu` is given, but the model knows none"),
    ],
)
def test_what_cannot_be_forecast(fitted, u0, t, rest, message):
    """Is refused likewise."""
    with pytest.raises(msvi.InputError, match=message):
        fitted.forecast(u0(), t, **rest)


def test_forecasts_are_those_of_the_evaluation(fitted, programs):
    """The same latent paths as `forecast_latents` with the same key."""
    model, c = fitted.model, fitted.config.forecast
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[0]
    t = 3.0 * np.arange(6)
    steps = solver_steps(t[None], model.scales.spacing, c.steps_per_frame)[0]
    u0 = frame().astype(np.float32)
    z = forecast_latents(model, fitted.params, t, u0, key, 3, solver=c.solver, steps=steps)
    found = fitted.forecast(frame(), t, members=3, noise=False)
    expected = fitted.decode(z)
    np.testing.assert_allclose(found.wind, expected[..., 0], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def conditioned(model, model_config):
    """A model, with random weights, of a system with two parameters and a forcing field, and another of one number."""
    found = []
    for local in (True, False):
        scale = ConditionScale((1.0, 2.0), (0.5, 1.0), (0.1,), (0.2,), local=local)
        own = dataclasses.replace(model, condition_scale=scale, scales=Scales((0.5,), (0.1,), time_unit=0.3))
        params = perturb(jax.jit(own.init)(jax.random.key(0)))
        config = Config(model=model_config, forecast=ForecastConfig(solver="euler", steps_per_frame=1))
        found.append(Model(config, own, params, (np.arange(40) / 40,), Labels(), "nowhere"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["field", "number"])
def test_what_acts_from_outside(conditioned, number):
    """Parameters and forcing of each field or of all, as the evaluation takes them, in the model's unit of time."""
    own, t, rng = conditioned[number], 7 + 0.05 * np.arange(5), np.random.default_rng(0)
    u0 = rng.standard_normal((2, 40))
    mu, forcing = rng.standard_normal((2, 2)), rng.standard_normal((2, 5, *(40,)[: 1 - number], 1))
    both = own.forecast(u0, t, members=2, noise=False, mu=mu, forcing=forcing)
    one = own.forecast(u0[1], t, members=2, noise=False, mu=mu[1], forcing=forcing[1])
    other = own.forecast(u0, t, members=2, noise=False, mu=mu[0], forcing=forcing[0])
    np.testing.assert_array_equal(both.u[0], other.u[0])
    assert both.u.dims == ("initial", *one.u.dims) and not np.allclose(both.u[1], other.u[1])
    since = t - t[0]
    rows = np.stack([since, since])
    conditions = build_conditions(own.model, Split(rows, u0[:, None], mu=mu, forcing=forcing, forcing_t=rows))
    np.testing.assert_allclose(conditions.forcing_t[0], since / 0.3, rtol=1e-5)
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[0]
    z = forecast_latents(
        own.model,
        own.params,
        since,
        u0[0, :, None].astype(np.float32),
        key,
        2,
        solver="euler",
        conditions=jax.tree.map(lambda a: a[0], conditions),
        steps=solver_steps(since[None], own.model.scales.spacing, 1)[0],
    )
    np.testing.assert_allclose(both.u[0], own.decode(z)[..., 0], rtol=1e-4, atol=1e-5)
    for values, message in (
        ({"mu": mu}, "`forcing` is missing, but the model learned of 1 numbers"),
        ({"mu": mu[:, :1], "forcing": forcing}, r"`mu` must be finite, of the shape \(2,\), got \(2, 1\)"),
        ({"mu": mu, "forcing": forcing[:, :4]}, "`forcing` must be finite, of the shape"),
        ({"mu": mu * np.nan, "forcing": forcing}, "`mu` must be finite"),
    ):
        with pytest.raises(msvi.InputError, match=message):
            own.forecast(u0, t, members=2, **values)


def test_pictures(fitted, programs, tmp_path):
    """Snapshots and a moving picture of a channel of a forecast, with parts or without; what is unknown is refused."""
    t = 3.0 * np.arange(5)
    found = fitted.forecast(np.stack([frame(0), frame(1)]), t, members=2, parts=True)
    assert channels_of(found) == ["wind", "temperature"]
    msvi.plot(found, str(tmp_path / "a.png"), "temperature")
    msvi.plot(found[["wind", "wind_mean", "wind_std"]], str(tmp_path / "b.svg"))
    msvi.plot(found, str(tmp_path / "c.gif"))
    with Image.open(tmp_path / "a.png") as picture, Image.open(tmp_path / "c.gif") as animation:
        assert picture.width > 900 and animation.n_frames == 5
    text = (tmp_path / "b.svg").read_text()
    assert all(word in text for word in ("wind [m s-1]", "lon [degrees_east]", "2 sd")) and "macroscale" not in text
    for path, channel, message in (("d.png", "wnd", "wind, temperature, got 'wnd'"), ("d.jpg", "", "png, pdf, svg")):
        with pytest.raises(msvi.InputError, match=message):
            msvi.plot(found, str(tmp_path / path), channel)


@pytest.mark.slow
def test_example_of_own_data(environment, tmp_path):
    """The script of a user, as it stands there: arrays, a model, a forecast in a file, and a picture of it."""
    process = run_python(ROOT / "examples" / "own_data.py", environment=environment, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    with xr.open_dataset(tmp_path / "forecast.nc", engine="h5netcdf") as found:
        assert found.u.sizes == {"member": 16, "time": 41, "x": 64} and np.isfinite(found.u).all()
    assert (tmp_path / "forecast.png").stat().st_size > 10_000
