"""Systems of which something is known exactly: their solvers, their files, and the arithmetic of their checks."""

import dataclasses
import json
import types

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import fft, stats
from smoke import ROOT, command_module

from benchmarks.systems import SYSTEMS, base
from benchmarks.systems.base import Sizes, beats, beats_over_time, data_file, judge, noise_of, ratio_to
from benchmarks.systems.domains import band_power, count_left, mode_power
from benchmarks.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from benchmarks.systems.learn import beside, custom_config, format_checks
from benchmarks.systems.ou_field import OUField, Parameters, fit, from_moments, log_likelihood
from benchmarks.systems.spectral import make_stepper, random_field
from benchmarks.systems.stochastic_burgers import StochasticBurgers
from benchmarks.systems.vorticity_2d import Vorticity2D, truncate
from benchmarks.systems.wave import Wave
from msvi.data.recorded import load_recorded
from msvi.errors import InputError
from msvi.evaluation.evaluate import Evaluation
from msvi.forecast.config import ForecastConfig
from msvi.model.scales import Scales
from msvi.report.results import load_systems
from msvi.report.tables_systems import checks_table, systems_scores_table
from msvi.training.trained import TrainedModel
from msvi.types import Gaussian

pytest_plugins = ["smoke"]

SMALL = {
    "ou_field": OUField(Sizes(8, 1, 2, 401), num_latents=3, points=10),
    "stochastic_burgers": StochasticBurgers(Sizes(2, 1, 2, 11), num_points=64, duration=0.05, spin_up=0.1, members=4),
    "kuramoto_sivashinsky": KuramotoSivashinsky(Sizes(2, 1, 1, 11)),
    "wave": Wave(Sizes(2, 1, 2, 201), num_points=32, num_modes=3),
    "vorticity_2d": Vorticity2D(Sizes(1, 1, 1, 11), num_points=32, duration=0.5),
}


def load(system, directory):
    return load_recorded(data_file(system, str(directory)), (), 0, 0, 0, 0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_data(name, tmp_path):
    """All that is exact or known of the solver and of the file holds in a small one as it has to in the large."""
    system = SMALL[name]
    dataset = load(system, tmp_path)
    assert [len(split.u) for split in (dataset.train, dataset.val, dataset.test)] == list(system.sizes.numbers)
    assert dataset.boundary == ("periodic",) * len(dataset.grid)
    assert dataset.coarsening == (system.points if name == "ou_field" else None)
    noise = np.std(dataset.train.u - dataset.train.u_true, axis=tuple(range(dataset.train.u.ndim - 1)))
    np.testing.assert_allclose(noise, noise_of(data_file(system, str(tmp_path))), rtol=0.05)
    checks = system.check_data(dataset)
    assert all(check["met"] for check in checks.values()), format_checks(checks)


def test_file_is_made_once(tmp_path):
    """The same parameters find their file, others make one anew."""
    first = data_file(SMALL["wave"], str(tmp_path))
    with np.load(first) as file:
        seconds, u = float(file["seconds"]), file["u"]
    with np.load(data_file(SMALL["wave"], str(tmp_path))) as file:
        assert float(file["seconds"]) == seconds
    other = dataclasses.replace(SMALL["wave"], speed=2.0)
    with np.load(data_file(other, str(tmp_path))) as file:
        assert np.abs(file["u"] - u).max() > 0.1


def test_exponential_step():
    """`u_t = L u + c` is solved without error, whatever the step."""
    linear, constant, dt = np.array([-2.0, 0.0, 1e-3, -300.0]), 0.7, 0.4
    found = make_stepper(linear, dt)(np.ones(4), lambda u: np.full(4, constant))
    divisor = np.where(linear == 0, 1, linear)
    grown = np.where(linear == 0, dt, np.expm1(linear * dt) / divisor)
    np.testing.assert_allclose(found, np.exp(linear * dt) + constant * grown, rtol=1e-10)


def test_exponential_step_is_of_fourth_order():
    """Errors of the logistic equation fall sixteenfold with half the step."""
    errors = []
    for n in (8, 16):
        u, step = np.array([0.1]), make_stepper(np.array([1.0]), 2.0 / n)
        for _ in range(n):
            u = step(u, lambda u: -(u**2))
        errors.append(abs(u[0] - 1 / (1 + 9 * np.exp(-2.0))))
    assert 10 < errors[0] / errors[1] < 25


def test_random_field_has_its_variance():
    """The variance at a point is the sum of the squared amplitudes."""
    u = random_field(np.random.default_rng(0), np.array([1.0, 0.5]), 4000, 16)
    np.testing.assert_allclose(u.var(axis=0), 1.25, rtol=0.1)


def test_wave_travels():
    """A cosine to the right and a sine to the left, and their derivatives in time."""
    system = Wave(num_points=16)
    t, x = np.array([0.0, 0.3]), np.arange(16) / 16
    found = system.solve(np.array([[1.0, 0.0]]), np.array([[0.0, -0.5j]]), t)[0]
    right, left = 2 * np.pi * (x - t[:, None]), 4 * np.pi * (x + t[:, None])
    np.testing.assert_allclose(found[..., 0], np.cos(right) + 0.5 * np.sin(left), atol=1e-12)
    rate = 2 * np.pi * np.sin(right) + 2 * np.pi * np.cos(left)
    np.testing.assert_allclose(found[..., 1], rate, atol=1e-12)


def test_burgers_noise_has_its_variance():
    """Forcing adds `num_forced s² dt` at a point, the same at each."""
    system = SMALL["stochastic_burgers"]
    added = fft.irfft(system.increments(np.random.default_rng(0), (4000,), 0.25), 64)
    np.testing.assert_allclose(added.var(axis=0), 8 * 0.016 * 0.25, rtol=0.15)


def test_burgers_conditional_law(tmp_path):
    """All members start alike; then the variance grows by what the forcing adds at first; the file is used again."""
    system = dataclasses.replace(SMALL["stochastic_burgers"], members=256)
    dataset = load(system, tmp_path)
    found = system.conditional(dataset, str(tmp_path))
    np.testing.assert_allclose(found.mean[:, 0], dataset.test.u_true[:, 0, :, 0], atol=1e-6)
    assert np.abs(found.variance[:, 0]).max() < 1e-12
    np.testing.assert_allclose(found.variance[:, 1].mean(), 8 * 0.016 * system.dt, rtol=0.1)
    again = system.conditional(dataset._replace(test=None), str(tmp_path))
    np.testing.assert_array_equal(again.variance, found.variance)


def test_ks_grids():
    """The grid of the file and that of the solver hold the same waves; powers are those of the modes."""
    system = SMALL["kuramoto_sivashinsky"]
    x = np.arange(256) / 256
    u = 3 + 2 * np.cos(2 * np.pi * 2 * x)
    coefficients = system.coefficients(u)
    np.testing.assert_allclose(fft.irfft(coefficients, 64), u[::4], atol=1e-12)
    np.testing.assert_allclose(system.fields(coefficients), u, atol=1e-12)
    np.testing.assert_allclose(mode_power(u[None])[:4], [9, 0, 1, 0], atol=1e-12)


def test_shortened_series():
    """One number leaves the mean, five the four longest waves too."""
    x = 2 * np.pi * np.arange(8) / 8
    u = 1 + np.cos(x)[:, None] + np.sin(x)[None] + np.cos(3 * x)[:, None]
    np.testing.assert_allclose(truncate(u, 1), 1, atol=1e-12)
    np.testing.assert_allclose(truncate(u, 5), 1 + np.cos(x)[:, None] + np.sin(x)[None], atol=1e-12)


def test_likelihood_is_the_dense_one():
    """The filter's likelihood is that of the joint Gaussian of all times."""
    parameters, dt = Parameters(2.0, 0.5, 0.02), 0.1
    t = dt * np.arange(6)
    covariance = 0.0625 * np.exp(-2 * np.abs(t[:, None] - t)) + 0.02 * np.eye(6)
    y = np.random.default_rng(0).standard_normal((6, 3)) * 0.3
    expected = stats.multivariate_normal(np.zeros(6), covariance).logpdf(y.T).sum()
    np.testing.assert_allclose(log_likelihood(y, dt, parameters), expected, rtol=1e-10)


def test_moments_of_an_exact_path():
    """Series with the covariance of the process exactly, and noise beside it, give its parameters."""
    t = 0.1 * np.arange(40)
    covariance = 0.5 * np.exp(-0.3 * np.abs(t[:, None] - t)) + 0.02 * np.eye(40)
    series = np.sqrt(40) * np.linalg.cholesky(covariance)  # their mean products are the covariance
    np.testing.assert_allclose(from_moments(series, 0.1, 10), [0.3, np.sqrt(0.3), 0.02], rtol=1e-6)


def test_fit_is_the_maximum():
    """No parameter near it is more likely."""
    rng, dt, z = np.random.default_rng(1), 0.05, [np.zeros(20)]
    for _ in range(200):
        z.append(0.9 * z[-1] + 0.1 * rng.standard_normal(20))
    y = np.array(z) + 0.05 * rng.standard_normal((201, 20))
    found = fit(y, dt)
    best = log_likelihood(y, dt, found)
    for i in range(3):
        for factor in (0.97, 1.03):
            assert log_likelihood(y, dt, found._replace(**{found._fields[i]: found[i] * factor})) < best
    np.testing.assert_allclose(found.rate, -np.log(0.9) / dt, rtol=0.2)


class ExactModel:
    """The processes behind the field in coordinates mixed by a matrix, in units of time of its own."""

    def __init__(self, system, unit):
        rng = np.random.default_rng(0)
        self.system, self.unit, n = system, unit, system.num_latents
        self.mixing = jnp.asarray(np.eye(n) + 0.3 * rng.standard_normal((n, n)), jnp.float32)
        self.basis = jnp.asarray(system.basis, jnp.float32)
        self.scales, self.zeta_dim = Scales((0.0,), (1.0,), unit, system.dt), n

    def encode(self, params, u, mask=None):
        mean = self.mixing @ (self.basis @ u[:, 0]) / self.system.points
        return Gaussian(mean, jnp.full(self.zeta_dim, -20.0))

    def decode(self, params, z):
        u = jnp.linalg.solve(self.mixing, z) @ self.basis
        return Gaussian(u[:, None], jnp.full((len(u), 1), 2 * np.log(self.system.noise)))

    def drift(self, params, t, z, condition=None):
        return -self.system.rate * self.unit * z

    def log_q(self, params, condition=None):
        return jnp.log(self.system.sigma**2 * self.unit * jnp.square(self.mixing).sum(axis=1))


@pytest.mark.slow
def test_ou_measures_do_not_depend_on_coordinates(tmp_path):
    """Rate, dispersion and noise of the exact model, in mixed coordinates and another unit of time, are found."""
    system = SMALL["ou_field"]
    config = types.SimpleNamespace(forecast=ForecastConfig())
    model = ExactModel(system, 0.7)
    trained = TrainedModel(config, load(system, tmp_path), model, None)
    found, slope = system.learned_parameters(trained)
    np.testing.assert_allclose(found, [system.rate, system.sigma, system.noise**2], rtol=1e-4)
    np.testing.assert_allclose(slope, system.rate, rtol=1e-4)
    # With noise that is independent in coordinates that are not, the field varies as the mixing says; of this size.
    assert 0.02 < system.stationary_variance(trained) < 0.2
    test = {"crps_scaled": {"median": 0.5}, "anomaly_nrmse": {"median": 0.5}}
    others = {"mean": {"crps_scaled": 1.0, "anomaly_nrmse": 1.0}}
    checks = system.check_model(
        trained, {"test": test, "baselines": others, "config": {"forecast": {"num_members": 64}}}
    )
    known = system.maximum_likelihood(trained.dataset)
    np.testing.assert_allclose(checks["rate over maximum likelihood"]["value"], system.rate / known.rate, rtol=1e-4)
    assert checks["noise variance over truth"]["met"] and checks["sigma over maximum likelihood"]["met"]


def test_power_in_bands():
    """A wave of the small domain is as strong in its band on three times the domain, and so are those close by."""
    x = np.arange(48) / 48
    small = np.stack([np.cos(2 * np.pi * k * x) for k in (2, 5)]).sum(axis=0)
    np.testing.assert_allclose(band_power(small, 1), mode_power(small)[1:8], atol=1e-12)
    np.testing.assert_allclose(band_power(np.tile(small, 3), 3), band_power(small, 1), atol=1e-12)
    near = np.cos(2 * np.pi * 7 * np.arange(144) / 144)  # 7 / 3 of a wave to the small domain
    np.testing.assert_allclose(band_power(near, 3), [0, 0.25, 0, 0, 0, 0, 0], atol=1e-12)


def test_paths_that_leave():
    """Not finite at any time, or ten times as strong as the truth on average."""
    truth, found = np.ones((5, 4, 3)), np.ones((5, 4, 3))
    found[2, 1, 0], found[4, 2], found[1, 3] = np.nan, 3.3, 3.1
    assert count_left(found, truth) == 2


def test_results_of_another_layout_stand_beside():
    """Its checks are named after it and replace older ones of it; what the file had stays."""
    first = {"system": "wave", "steps": 1, "checks": {"a": 1, "b": 2}}
    second = beside(first, "cells", {"system": "wave", "steps": 5, "checks": {"a": 3, "c": 4}})
    assert second == first | {"checks": {"a": 1, "b": 2, "cells: a": 3, "cells: c": 4}, "cells": {"steps": 5}}
    third = beside(second, "cells", {"system": "wave", "steps": 6, "checks": {"a": 7}})
    assert third["checks"] == {"a": 1, "b": 2, "cells: a": 7} and third["cells"] == {"steps": 6}


@pytest.mark.parametrize(
    "value, bar, met",
    [
        (1.0, 1.0, True),
        (1.1, 1.0, False),
        (1.0, [0.9, 1.1], True),
        (0.8, [0.9, 1.1], False),
        (5.0, [0.9, None], True),
        ([0.95, 1.2], [0.9, 1.1], False),
        (float("nan"), 1.0, False),
        (float("-inf"), 1.0, False),
        (3.0, None, None),
    ],
)
def test_judge(value, bar, met):
    """Every one of the values has to be within the bar and finite; without a bar there is nothing to meet."""
    found = judge(value, bar)
    assert found["met"] is met and found["bar"] == bar
    json.dumps(found, allow_nan=False)


def test_baselines():
    """The largest ratio counts; a baseline that was left out does not, one that diverged is beaten."""
    result = {
        "test": {"crps_scaled": {"median": 0.5}, "anomaly_nrmse": {"median": None}},
        "baselines": {
            "persistence": {"crps_scaled": 1.0, "anomaly_nrmse": 1.0},
            "mean": {"crps_scaled": 0.4, "anomaly_nrmse": None},
            "dmd": {"left_out": "no"},
        },
        "config": {"forecast": {"num_members": 64}},
    }
    found = list(beats(result, True).values())
    assert (found[0]["value"], found[0]["met"]) == (1.25, False)
    assert (found[1]["value"], found[1]["met"]) == (None, False)
    assert [check["bar"] for check in found] == [1.0, pytest.approx(np.sqrt(65 / 64))]
    assert [check["met"] for check in beats(result, False).values()] == [None, None]
    result["test"]["anomaly_nrmse"]["median"] = 2.0
    assert ratio_to(result, "mean", "anomaly_nrmse") == 0.0


def test_default_configuration():
    """Only the file, the seed, the noise and the number of steps differ from `configs/custom.py`."""
    config, other = custom_config("a.npz"), custom_config("b.npz", 3, 10, 0.1)
    assert (other.seed, other.data.path, other.data.noise_std, other.train.steps) == (3, "b.npz", 0.1, 10)
    assert (config.train.steps, config.model.coarsening, config.model.micro_layout) == (0, 0, "auto")
    back = dataclasses.replace(
        other, seed=0, data=config.data, train=dataclasses.replace(other.train, steps=config.train.steps)
    )
    assert back == config


@pytest.fixture(scope="module")
def invariance():
    """The command as a module."""
    with command_module(ROOT / "benchmarks" / "invariance.py", "steps", "root", "results") as module:
        yield module


def test_variants_are_the_same_data(invariance, tmp_path):
    """A variant differs from the original in units and offsets alone."""
    factors = {"times x 1000": 1e3, "times x 1e-8": 1e-8}

    def test_split(name):
        path = str(tmp_path / f"{len(list(tmp_path.iterdir()))}.npz")
        invariance.write_variant(path, invariance.VARIANTS.get(name))
        return load_recorded(path, (), 0, 0, 0, 0).test

    original = test_split(invariance.ORIGINAL)
    for name in invariance.VARIANTS:
        found = test_split(name)
        np.testing.assert_allclose(found.t, original.t * factors.get(name, 1.0), rtol=1e-4, atol=1e-12)
        u = found.u - 300 * (name == "fields + 300")
        u = u / np.array([1e5 if name == "first channel x 1e5" else 1.0, 1.0])
        np.testing.assert_allclose(u, original.u, atol=1e-4)


def test_change_over_range_of_seeds(invariance):
    """The largest over the scores, each in units of its own range; of two seeds the means are compared."""
    seeds = [{"a": 1.0, "b": 10.0}, {"a": 1.2, "b": 14.0}, {"a": 0.8, "b": 10.0}]
    variants = {"x": [{"a": 1.1, "b": 9.0}], "y": [{"a": 2.0, "b": 10.0}], "z": [{"a": 1.3, "b": 15.0}, seeds[0]]}
    checks = invariance.compare(seeds, variants)
    values = [check["value"] for check in checks.values()]
    np.testing.assert_allclose(values, [0.25, 0.1, 2.5, 1.0, 0.125, 0.5 / 11])
    assert [check["met"] for check in checks.values()] == [True, None, False, None, True, None]


def test_tables(tmp_path):
    """Checks with several values, without a bar and missed ones; a file that was cut off is refused."""
    checks = {"a": judge([1.0, 2.0], [0.5, 1.5]), "b": judge(0.25, None), "c": judge(0.5, 1.0)}
    checks["d"] = judge(3.0, [2.5, None])
    scores = {name: {"median": 0.5} for name in ("crps_scaled", "anomaly_nrmse")}
    others = {"dmd": {"crps_scaled": 0.25, "anomaly_nrmse": None}, "mean": {"left_out": "no"}}
    (tmp_path / "systems").mkdir()
    path = tmp_path / "systems" / "wave.json"
    cells = {"test": {name: {"median": 0.125} for name in scores}}
    whole = {"system": "wave", "checks": checks, "test": scores, "baselines": others}
    path.write_text(json.dumps(whole | {"cells": cells}))
    (tmp_path / "systems" / "invariance.json").write_text(json.dumps({"system": "invariance", "checks": {}}))
    results = load_systems(str(tmp_path))
    assert checks_table(results).rows == [
        ["wave", "a", "1 to 2", "0.5 to 1.5", "**no**"],
        ["wave", "b", "0.25", "—", "measured"],
        ["wave", "c", "0.5", "at most 1", "yes"],
        ["wave", "d", "3", "at least 2.5", "yes"],
    ]
    assert [row[2:] for row in systems_scores_table(results).rows] == [
        ["—", "—", "0.25", "0.5", "0.125"],
        ["—", "—", "—", "0.5", "0.125"],
    ]
    path.write_text(json.dumps(whole))
    rows = systems_scores_table(load_systems(str(tmp_path))).rows
    assert [row[-2:] for row in rows] == [["0.5", "—"]] * 2
    path.write_text(path.read_text()[:40])
    with pytest.raises(InputError, match=r"wave\.json must hold JSON"):
        load_systems(str(tmp_path))


def test_layouts():
    """`--layout=cells` sets the layout, beside which a system may change something; the other one changes nothing."""
    plain, own = (custom_config("a.npz", layout="cells", system=name) for name in ("wave", "vorticity_2d"))
    assert plain == custom_config("a.npz", layout="cells")
    assert (plain.model.micro_layout, plain.model.micro_dim, own.model.micro_dim) == ("cells", -1, 15)
    assert own.train.batch_windows < plain.train.batch_windows
    others = [custom_config("a.npz", layout="global", system=name) for name in ("", "kuramoto_sivashinsky")]
    assert others[0] == others[1] and others[0].model.micro_layout == "global"


def test_chance_in_the_spread_of_perfect_ensembles():
    """Over many short trajectories spread is error; over few long ones of chaotic paths it is not."""
    sure = KuramotoSivashinsky(sizes=Sizes(1, 1, 256, 3), spin_up=50.0)
    np.testing.assert_allclose(sure.perfect_spread(32, 1), 1.0, atol=0.05)
    least, most = KuramotoSivashinsky(sizes=Sizes(1, 1, 4, 300), spin_up=50.0).perfect_spread(32, 4)
    assert least < 0.85 < 1.15 < most


def test_every_lead_time_beside_the_baselines(monkeypatch):
    """The largest ratio of errors over all lead times but the first, at which nothing is forecast."""
    errors = {"persistence": [0.0, 2.0, 4.0], "mean": [1.0, 1.0, 1.0], "dmd": [1.0, 0.5, 2.0], "sindy": [1.0, 1.0, 2.0]}

    def evaluate_baseline(name, config, directory):
        return Evaluation({"lead_time": {"rel_l2": {"median": errors[name]}}}, [])

    monkeypatch.setattr(base, "evaluate_baseline", evaluate_baseline)
    result = {"lead_time": {"rel_l2": {"median": [0.1, 0.5, 1.5]}}}
    checks = beats_over_time(TrainedModel(None, None, None, None), result)
    assert [check["value"] for check in checks.values()] == [0.375, 1.5, 1.0, 0.75]
    assert [check["met"] for check in checks.values()] == [True, False, True, True]
