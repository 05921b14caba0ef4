"""Assimilation in the library: twin experiments with a linear model, units, forecasts from an analysis, pictures."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from linear_model import SPACING, X
from PIL import Image

import msvi
from msvi.assimilation.analysis import Analysis
from msvi.config import Config
from msvi.data.labels import Labels
from msvi.forecast.config import ForecastConfig
from msvi.library import Model
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales
from msvi.types import Gaussian

pytest_plugins = ["linear_model"]

T = SPACING * np.arange(41)
PLACES = np.array([0.03, 0.29, 0.52, 0.81])
NOISE = 0.1


@pytest.fixture(scope="module")
def model(linear):
    """The linear model as the library has it."""
    config = dataclasses.replace(Config(), forecast=ForecastConfig(steps_per_frame=1))
    return Model(config, *linear, (X,), Labels(), "nowhere/linear")


@pytest.fixture(scope="module")
def states(model):
    """Fields that stand for what may be: of a long path of the model, `(field, 12)`."""
    path = model.forecast(np.full(12, 0.3), 2.0 * SPACING * np.arange(200), members=1, noise=False)
    return path.u.values[0, 50:]


@pytest.fixture(scope="module")
def truth(model, states):
    """A path of the model without noise, `(time, 12)`, and what four sensors read of it."""
    u = model.forecast(states[20], T, members=1, noise=False, seed=5).u.values[0]
    index = PLACES * 12
    before = np.floor(index).astype(int)
    y = u[:, before] * (1 - index + before) + u[:, (before + 1) % 12] * (index - before)
    return u, y + NOISE * np.random.default_rng(2).standard_normal(y.shape)


@pytest.fixture(scope="module")
def run(model, states, truth):
    """The assimilation of the readings, with other arguments beside those that all have."""

    @functools.cache
    def assimilate(**options):
        given = {"positions": PLACES, "noise": NOISE, "initial": states, "decoder_noise": False} | options
        return model.assimilate(truth[1], T, **given)

    return assimilate


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.mark.slow
def test_it_finds_the_truth(run, truth, states):
    """From four sensors the error falls below that of the climate and near to what the ensemble says of itself; it is
    smaller with the later readings too; chi² is about one, and innovations are white."""
    found = run(smoother="full", members=256)
    assert isinstance(found, Analysis)
    error, after = (rms((one.u.mean("member").values - truth[0])[5:]) for one in (found.filtered, found.smoothed))
    spread = rms(found.filtered.u.std("member").values[5:])
    assert error < 0.6 * states.std() and 0.8 < spread / error < 1.25
    assert after < error and abs(found.statistics["chi2_per_reading"] - 1) < 0.25
    assert abs(found.statistics["autocorrelation"][0]) < 2 * found.statistics["autocorrelation_bound"]
    lagged = run(smoother=2, members=256)
    assert rms((lagged.smoothed.u.mean("member").values - truth[0])[5:]) < error
    np.testing.assert_allclose(lagged.filtered.u_mean, found.filtered.u_mean, atol=1e-3)


@pytest.mark.slow
def test_what_is_told(run, model, truth, tmp_path):
    """Names, axes and units; the standard deviation holds the decoder's; all in one file and back."""
    found = run(smoother="full", members=16)
    assert found.filtered.u.dims == ("member", "time", "x") and found.filtered.latents.dims == (
        "member",
        "time",
        "latent",
    )
    z = found.filtered.latents.values
    np.testing.assert_allclose(model.decode(z)[..., 0], found.filtered.u, rtol=1e-5, atol=1e-5)
    noise = found.filtered.u_std**2 - found.filtered.u.var("member")
    assert float(noise.min()) > 0 and float(noise.std("time").max()) < 1e-2 * float(noise.min())
    np.testing.assert_allclose(found.innovations.observation, truth[1])
    np.testing.assert_allclose(found.innovations.sensor_x, PLACES)
    found.to_dataset().to_netcdf(tmp_path / "analysis.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "analysis.nc", engine="h5netcdf") as read:
        np.testing.assert_array_equal(read.smoothed_u_mean, found.smoothed.u_mean)
        np.testing.assert_allclose(float(read.log_evidence.sum()), found.log_evidence)
        assert read.members == 16 and read.chi2_per_reading == found.statistics["chi2_per_reading"]
    assert "u" not in run(members=16, fields=False).filtered


@pytest.mark.slow
def test_units_change_nothing(model, run, states, truth):
    """Fields in other units with an offset, and times in others: the same latents, and an evidence that differs by the
    unit of each reading alone."""
    plain = run(members=16)
    scales = model.model.scales
    other_scales = Scales((50 + 1e3 * 0.3,), (1e3 * scales.field_std[0],), 60.0, 60 * SPACING)
    other = dataclasses.replace(model, model=dataclasses.replace(model.model, scales=other_scales))
    changed = other.assimilate(
        50 + 1e3 * truth[1],
        60 * T,
        positions=PLACES,
        noise=1e3 * NOISE,
        initial=50 + 1e3 * states,
        decoder_noise=False,
        members=16,
    )
    np.testing.assert_allclose(changed.filtered.latents, plain.filtered.latents, atol=2e-3)
    np.testing.assert_allclose((changed.filtered.u_mean - 50) / 1e3, plain.filtered.u_mean, atol=5e-3)
    expected = plain.log_evidence - truth[1].size * np.log(1e3)
    np.testing.assert_allclose(changed.log_evidence, expected, atol=0.2)
    np.testing.assert_allclose(changed.innovations.chi2, plain.innovations.chi2, rtol=2e-2, atol=2e-2)


def test_times_between(model, states, truth):
    """Readings at irregular times, and a first one after the start; a sensor that reports NaN is as one that is not
    there."""
    some = np.array([3, 4, 9, 21, 22, 40])
    t = T[some].copy()
    t[2] += 0.37 * SPACING
    y = truth[1][some].copy()
    y[:, 1] = np.nan
    options = {"initial": states, "start": T[0], "members": 32, "decoder_noise": False, "noise": NOISE}
    found = model.assimilate(y, t, positions=PLACES, **options)
    without = model.assimilate(np.delete(y, 1, axis=1), t, positions=np.delete(PLACES, 1), **options)
    np.testing.assert_array_equal(found.filtered.time, t)
    np.testing.assert_array_equal(found.filtered.latents, without.filtered.latents)
    assert found.start == T[0] and found.innovations.sizes["sensor"] == 3
    # At a time without any reading nothing but the model moves the members.
    y[3] = np.nan
    quiet = model.assimilate(y, t, positions=PLACES, **options)
    assert int(quiet.innovations.readings[3]) == 0 and float(quiet.innovations.log_evidence[3]) == 0
    assert np.isfinite(quiet.filtered.u_mean).all()


@pytest.mark.slow
def test_one_time_is_enough(model, states, truth):
    """Readings of one time alone correct the ensemble, which then forecasts."""
    found = model.assimilate(truth[1][:1], T[:1], positions=PLACES, noise=NOISE, initial=states, members=32)
    assert float(found.filtered.u.std("member").mean()) < 0.9 * states.std(axis=0).mean()
    assert model.forecast(found, T[:3]).u.shape == (32, 3, 12)


@pytest.mark.slow
def test_forecast_goes_on(model, run):
    """From the last ensemble, at its time or later; a frame later it is where the filter would be."""
    found = run()
    forecast = model.forecast(found, T[-1] + SPACING * np.arange(5), noise=False)
    np.testing.assert_allclose(forecast.u[:, 0], found.filtered.u[:, -1], rtol=1e-5, atol=1e-5)
    later = model.forecast(found, T[-1] + SPACING * np.arange(1, 5), noise=False)
    np.testing.assert_array_equal(later.time, forecast.time[1:])
    np.testing.assert_allclose(later.u, forecast.u[:, 1:], rtol=1e-5, atol=1e-5)
    with pytest.raises(msvi.InputError, match="before the first time 4.0"):
        model.forecast(found, T[-3:])


class LeastSquares(MultiscaleModel):
    """Encodes by inverting its linear decoder, as a trained encoder nearly does."""

    def encode(self, params, u, mask=None):
        """Mean latent state, and the variance of the posterior."""

        def field(z):
            return self.decode(params, z).mean.ravel()

        zero = jnp.zeros(self.latent_dim)
        mean = jnp.linalg.pinv(jax.jacobian(field)(zero)) @ (u.ravel() - field(zero))
        return Gaussian(mean, super().encode(params, u).log_var)


@pytest.mark.slow
@pytest.mark.parametrize("gaps", [False, True])
def test_several_first_frames(model, states, gaps):
    """They tell more of where a path is than the last one alone, which scatters by the decoder's noise."""
    fields = {field.name: getattr(model.model, field.name) for field in dataclasses.fields(model.model)}
    calm = model.params | {"log_q": jnp.full(5, -8.0)}  # older frames tell nothing of a state that noise drives
    model = dataclasses.replace(model, model=LeastSquares(**fields), params=calm)
    start = np.arange(5) * SPACING
    errors = {1: [], 5: []}
    for seed in range(6):
        path = model.forecast(states[10 * seed], np.append(start, start[-1] + SPACING), members=1, seed=seed)
        clean = model.forecast(
            states[10 * seed], np.append(start, start[-1] + SPACING), members=1, seed=seed, noise=False
        )
        u, expected = path.u.values[0, :5], clean.u.values[0, 4:]
        if gaps:
            u[2, 3] = np.nan
        several = model.forecast(u, start[-1] + SPACING * np.arange(2), window=start, noise=False)
        one = model.forecast(u[-1], start[-1] + SPACING * np.arange(2), noise=False)
        for number, found in ((5, several), (1, one)):
            errors[number].append(rms(found.u.mean("member").values - expected))
    assert np.mean(errors[5]) < 0.8 * np.mean(errors[1])
    few = model.forecast(u, start[-1] + SPACING * np.arange(2), members=2, window=start, noise=False)
    np.testing.assert_allclose(few.u, several.u[:2], rtol=1e-5, atol=1e-5)  # joined with as many


def test_what_cannot_be_used(model, states, truth, tmp_path):
    """Is refused in one sentence."""
    y = truth[1]

    def refused(message, observations=y, t=T, **options):
        given = {"positions": PLACES, "noise": NOISE, "initial": states} | options
        with pytest.raises(msvi.InputError, match=message) as error:
            model.assimilate(observations, t, **given)
        assert "\n" not in str(error.value)

    refused("`times` begins at 0.0, before the first time 0.1", start=0.1)
    refused("`times` must increase strictly", t=T[::-1])
    refused("outside of the domain", positions=PLACES + 1)
    refused("`noise` must be above zero", noise=-0.1)
    refused("All observations are missing", observations=np.nan * y)
    refused("`members` must be at least 3", members=2)
    refused("`smoother` must be None, 'full' or a number", smoother="lag")
    refused("`localisation` must be 'auto', None", localisation="wide")
    refused("radius above zero", localisation=-2.0)
    refused("`inflation` must not be negative", inflation=-0.1)
    refused("times in the unit of the data", t=1e9 * T)
    refused("numbers or dates", start=np.datetime64("2001-01-01"))
    refused("`u0` must have the shape", initial=states[:, :5])
    (tmp_path / "model.zip").write_text("")
    with pytest.raises(msvi.InputError, match="is an archive, which has no training data; give `initial`"):
        dataclasses.replace(model, workdir=str(tmp_path / "model.zip")).assimilate(y, T, positions=PLACES)
    for window, u in ((T[:1], truth[0][:1]), (T[:3], truth[0][:3]), (T[:3], truth[0][:2])):
        with pytest.raises(msvi.InputError, match="`window` must be the times of two frames or more"):
            model.forecast(u, T[3:5] if len(u) == 3 else T[2:4], window=window)


def test_without_cuthbert(model, states, truth, monkeypatch):
    """What is to be installed is said."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(msvi.InputError, match=r"msvi\[assimilation\]"):
        model.assimilate(truth[1], T, positions=PLACES, noise=NOISE, initial=states)


@pytest.mark.slow
def test_noise_of_the_decoder(model, run, states):
    """Readings as those of the training data, and a noise to which it is added, or without what is known of it."""
    options = {"members": 16}
    told = {
        name: run(**options | more).innovations.innovation_std[0].values
        for name, more in {
            "alone": {"noise": None},
            "added": {"decoder_noise": True},
            "less": {"decoder_noise": True, "data_noise": 10.0},
            "own": {},
        }.items()
    }
    spread = told["own"] ** 2 - NOISE**2
    decoder = told["alone"] ** 2 - spread
    assert (decoder > 0).all()
    np.testing.assert_allclose(told["added"] ** 2, spread + decoder + NOISE**2, rtol=1e-3)
    np.testing.assert_allclose(told["less"] ** 2, spread + NOISE**2, rtol=1e-3)


@pytest.mark.slow
def test_localised(run, truth):
    """A radius of the size of the domain changes little, and is told."""
    wide, none = run(localisation=50.0), run(localisation=None)
    assert wide.filtered.attrs["localisation"] == "50 coarse cells" and none.filtered.attrs["localisation"] == "none"
    errors = [rms((found.filtered.u.mean("member").values - truth[0])[5:]) for found in (wide, none)]
    assert abs(errors[0] / errors[1] - 1) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("with_truth", [False, True])
def test_pictures(model, states, truth, with_truth, tmp_path):
    """Images over space and time, and a moving picture with a frame for each time; fields of members are not needed."""
    options = {"positions": PLACES, "noise": NOISE, "initial": states, "members": 8, "fields": not with_truth}
    found = model.assimilate(truth[1][:5], T[:5], **options)
    known = truth[0][:5] if with_truth else None
    msvi.plot(found, str(tmp_path / "analysis.png"), truth=known)
    msvi.plot(found, str(tmp_path / "analysis.gif"), truth=known)
    with Image.open(tmp_path / "analysis.png") as picture:
        assert picture.size[0] > 800
    with Image.open(tmp_path / "analysis.gif") as animation:
        assert animation.n_frames == 5
    with pytest.raises(msvi.InputError, match="name one"):
        msvi.plot(found, str(tmp_path / "other.png"), "v")
