"""Baselines: exact where they are simple, the equation itself on a coarse mesh, and systems they must recover."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from msvi.baselines import base, coarse, dmd, pod, sindy
from msvi.baselines.config import BaselineConfig
from msvi.baselines.fit import BASELINES, fit_baseline
from msvi.config import Config
from msvi.data.config import DataConfig, Recorded
from msvi.data.dataset import load_dataset
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.burgers_2d import Burgers2D
from msvi.data.equations.cylinder_2d import Cylinder2D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.model.scales import Scales
from msvi.scores import metrics

LINE = Burgers1D(num_points=40, num_frames=11, t1=0.2, viscosity=5e-3, max_dt=5e-3)


def make_config(case="burgers_1d", equation=LINE, coarsening=2, stride=1, **data):
    return Config(
        case=case,
        data=DataConfig(equation=equation, **data),
        model=ModelConfig(coarsening=coarsening, n_sigma=1, encoder_pooling=1),
        inference=InferenceConfig(window=3, num_nodes=2, num_scored=2),
        forecast=ForecastConfig(stride=stride),
        baseline=BaselineConfig(minutes=0.0, steps=4, num_members=2),
    )


def make_dataset(train, val, spacing, boundary=("periodic",), coordinates=None):
    """A data set of the given trajectories, `(trajectory, time, point, channel)`; the test split is the validation."""

    def split(u):
        return Split(np.tile(spacing * np.arange(u.shape[1]), (len(u), 1)), np.asarray(u, np.float32), None)

    coordinates = coordinates or (np.arange(train.shape[2]) / train.shape[2],)
    return Dataset(coordinates, boundary, split(train), split(val), split(val))


def single(baseline, t, u0):
    """The forecast of a baseline without uncertainty, `(time, *grid, channel)`."""
    (u,) = baseline.forecast(t, u0)
    assert baseline.num_members == 1
    return u


@pytest.fixture
def line_dataset(tmp_path):
    config = make_config(num_train=2, num_val=1, num_test=1, cache_dir=str(tmp_path))
    return config, load_dataset("burgers_1d", config.data)


def test_persistence_and_mean_are_exact(line_dataset):
    config, dataset = line_dataset
    t, u = dataset.test.t[0], dataset.test.u[0]
    held = single(fit_baseline("persistence", config, dataset), t, u[0])
    np.testing.assert_array_equal(held, np.broadcast_to(u[0], u.shape))
    mean = single(fit_baseline("mean", config, dataset), t, u[0])
    expected = np.asarray(dataset.train.u, np.float64).mean(axis=(0, 1))
    np.testing.assert_allclose(mean, np.broadcast_to(expected, u.shape), atol=1e-7)
    assert held.dtype == mean.dtype == np.float32


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in ("sindy", "unet"))) for name in sorted(BASELINES)],
)
def test_settings_are_plain_json_and_forecasts_have_the_fields_shape(name, tmp_path):
    equation = dataclasses.replace(LINE, num_frames=41)
    config = make_config(equation=equation, stride=4, num_train=2, num_val=1, num_test=1, cache_dir=str(tmp_path))
    dataset = load_dataset("burgers_1d", config.data)
    baseline = fit_baseline(name, config, dataset)
    assert json.loads(json.dumps(baseline.settings, allow_nan=False)) == baseline.settings
    forecast = baseline.forecast(dataset.test.t[0, ::4], dataset.test.u[0, 0])
    assert forecast.shape == (baseline.num_members, 11, 40, 1)
    assert forecast.dtype == np.float32


class Unread:
    """A split that nothing may be read of."""

    def __getattr__(self, name):
        raise AssertionError(f"`{name}` of the test trajectories was read")


@pytest.mark.parametrize("name", ["coarse", "dmd", pytest.param("sindy", marks=pytest.mark.slow)])
def test_validation_chooses(name, tmp_path):
    """Without a look at the test trajectories; other validation trajectories give other errors."""
    equation = dataclasses.replace(LINE, num_frames=41)
    config = make_config(equation=equation, stride=4, num_train=2, num_val=1, num_test=1, cache_dir=str(tmp_path))
    dataset = load_dataset("burgers_1d", config.data)
    chosen = fit_baseline(name, config, dataset).settings
    assert fit_baseline(name, config, dataset._replace(test=Unread())).settings == chosen
    other = fit_baseline(name, config, dataset._replace(val=dataset.test)).settings
    assert other["chosen"]["val_nrmse"] != chosen["chosen"]["val_nrmse"]


@pytest.mark.parametrize("equation", [LINE, KortewegDeVries1D(num_points=60, num_frames=5, t1=0.02)])
def test_coarse_without_coarsening_is_the_reference_solution(equation):
    u = equation.solve(equation.sample_initial(np.random.default_rng(0)))[None]
    case = "burgers_1d" if equation is LINE else "kdv_1d"
    dataset = make_dataset(u, u, equation.t[1], coordinates=equation.coordinates)
    baseline = fit_baseline("coarse", make_config(case, equation, coarsening=1), dataset)
    np.testing.assert_allclose(single(baseline, equation.t, u[0, 0]), u[0], atol=1e-6)
    np.testing.assert_allclose(single(baseline, equation.t[::2], u[0, 0]), u[0, ::2], atol=1e-6)


@pytest.mark.slow
def test_coarse_converges_with_the_mesh():
    """The scheme is of second order, the cubic interpolation of a higher one."""
    equation = Burgers1D(num_points=240, num_frames=5, t1=0.2, viscosity=1e-2, max_dt=5e-4)
    start = 0.2 * np.sin(2 * np.pi * equation.x)[:, None]
    u = equation.solve(start)[None]
    dataset = make_dataset(u, u, equation.t[1], coordinates=equation.coordinates)
    errors = []
    for coarsening in (12, 6):
        baseline = fit_baseline("coarse", make_config(equation=equation, coarsening=coarsening), dataset)
        errors.append(baseline.settings["chosen"]["val_nrmse"])
        assert baseline.settings["mesh"] == [240 // coarsening]
    assert 1.8 < np.log2(errors[0] / errors[1]) < 2.4


def test_coarse_waves_have_all_modes_of_the_mesh():
    """A small wave in mode 8 of 10 goes at its own speed, which the scheme on 20 points would leave out."""
    equation = KortewegDeVries1D(num_points=200, num_frames=5, t1=0.1)
    k = 2 * np.pi / equation.extent * 8
    phase = k * (equation.x - 0.4) + equation.dispersion * k**3 * equation.t[:, None]
    u = 1e-4 * np.cos(phase)[None, ..., None]
    dataset = make_dataset(u, u, equation.t[1], coordinates=equation.coordinates)
    baseline = fit_baseline("coarse", make_config("kdv_1d", equation, coarsening=10), dataset)
    assert baseline.settings["mesh"] == [20]
    assert baseline.settings["chosen"]["val_nrmse"] < 1e-3


def test_coarse_holds_edges_in_two_dimensions():
    """The tanh wave stands still: what is left is what a mesh of 16 points makes of it."""
    equation = Burgers2D(num_points=32, num_frames=3, t1=0.02, viscosity=5e-2, max_dt=1e-3)
    x, y = np.meshgrid(*equation.coordinates, indexing="ij")
    steady = -0.5 * np.tanh(0.5 * (x + y - 1) / (2 * equation.viscosity))
    u = np.broadcast_to(steady[..., None], (1, 3, 32, 32, 1))
    dataset = make_dataset(u, u, 0.01, ("edge", "edge"), equation.coordinates)
    baseline = fit_baseline("coarse", make_config("burgers_2d", equation, coarsening=2), dataset)
    assert baseline.settings["chosen"]["val_nrmse"] < 0.02
    assert len(baseline.settings["candidates"]) == 4  # no Fourier modes where an axis is not periodic


def test_restriction_keeps_constants_and_averages_noise():
    fine, mesh = np.arange(100) / 100, np.arange(10) / 10
    noise = np.random.default_rng(0).standard_normal((100, 1))
    for kind in coarse.RESTRICTIONS:
        constant = coarse.restrict(np.ones((100, 1)), (fine,), (mesh,), (True,), kind)
        np.testing.assert_allclose(constant, np.ones((10, 1)), atol=1e-12)
    sample = coarse.restrict(noise, (fine,), (mesh,), (True,), "sample")
    np.testing.assert_allclose(sample, noise[::10], atol=1e-12)
    mean = coarse.restrict(noise, (fine,), (mesh,), (True,), "mean")
    np.testing.assert_allclose(mean[3], noise[25:36].mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(mean[0], np.roll(noise, 5)[:11].mean(axis=0), atol=1e-12)


def test_flow_goes_on_from_its_own_velocity():
    """Started from a stored frame, on the same grid, the flow behind the cylinder goes the same way."""
    equation = Cylinder2D(num_rows=16, num_frames=11, t1=0.5, max_dt=0.01, reynolds=40.0, refinement=1)
    whole = equation.solve().u
    rest = dataclasses.replace(equation, num_frames=6, t1=0.25).solve(whole[5])
    change = np.linalg.norm(whole[10] - whole[5])
    assert rest.divergence.max() < 1e-10
    np.testing.assert_allclose(rest.u[0], whole[5], atol=0.2)
    assert np.linalg.norm(rest.u[-1] - whole[10]) < 0.5 * change


def test_coarse_flow_is_on_the_macroscale_mesh():
    equation = Cylinder2D(num_rows=16, num_frames=21, t1=0.4, max_dt=0.01, reynolds=40.0, refinement=1)
    u = equation.solve().u[None]
    config = make_config("cylinder_2d", equation, num_train=1, num_val=1, noise_std=0.0)
    dataset = make_dataset(u, u, equation.t[1], equation.boundary, equation.coordinates)
    baseline = fit_baseline("coarse", config, dataset)
    assert baseline.settings["mesh"] == [32, 8]
    forecast = single(baseline, equation.t[:11], u[0, 10])
    assert forecast.shape == (11, 64, 16, 2)
    # The body, one cell wide, is crude; the stream around it is not.
    assert base.nrmse(forecast, u[0, 10:]) < 0.2


def test_meshes_too_coarse_are_refused():
    equation = Cylinder2D(num_rows=16, num_frames=3, t1=0.02, max_dt=0.01, reynolds=40.0, refinement=1)
    u = np.ones((1, 3, 64, 16, 2))
    config = make_config("cylinder_2d", equation, coarsening=4, num_train=1, num_val=1, noise_std=0.0)
    dataset = make_dataset(u, u, equation.t[1], equation.boundary, equation.coordinates)
    with pytest.raises(InputError, match="`model.coarsening` 4, 4 points .* Lower the coarsening"):
        fit_baseline("coarse", config, dataset)


def rotations(starts, num_frames, spacing):
    """Two damped rotations and a steady part as fields of 40 points, `(trajectory, time, point, 1)`."""
    rates = np.array([-0.3 + 7j, -0.8 + 17j])
    x = 2 * np.pi * np.arange(40) / 40
    shapes = np.stack([np.exp(1j * x), np.exp(2j * x) + 0.3 * np.exp(3j * x)])
    t = spacing * np.arange(num_frames)
    return ((starts[:, None] * np.exp(np.outer(t, rates))) @ shapes).real[..., None] + 2 + np.cos(4 * x)[:, None]


@pytest.fixture(scope="module")
def rotating():
    rng = np.random.default_rng(0)
    starts = rng.standard_normal((4, 2)) + 1j * rng.standard_normal((4, 2))
    return make_dataset(rotations(starts[:3], 60, 0.01), rotations(starts[3:], 60, 0.01), 0.01)


def test_dmd_recovers_a_linear_system(rotating):
    baseline = fit_baseline("dmd", make_config(), rotating)
    unseen = rotations(np.array([[0.7 - 1.1j, -0.4 + 0.5j]]), 60, 0.01)[0]
    t = 0.01 * np.arange(60)
    np.testing.assert_allclose(single(baseline, t, unseen[0]), unseen, atol=2e-5)
    # Every other frame of it, which the eigenvalues' powers reach at once.
    np.testing.assert_allclose(single(baseline, t[::2], unseen[0]), unseen[::2], atol=2e-5)
    assert baseline.settings["chosen"]["rank"] == 4


def test_pairs_do_not_cross_trajectories(rotating):
    """The order of the trajectories, and so who follows whom, makes no difference."""
    train = Split(*(None if a is None else a[::-1] for a in rotating.train))
    forecasts = [
        single(fit_baseline("dmd", make_config(), dataset), rotating.val.t[0], rotating.val.u[0, 0])
        for dataset in (rotating, rotating._replace(train=train))
    ]
    np.testing.assert_allclose(*forecasts, atol=1e-5)


def test_dmd_goes_to_any_time(rotating):
    """Between frames by fractional powers of the eigenvalues."""
    baseline = fit_baseline("dmd", make_config(), rotating)
    start, t = np.array([[0.7 - 1.1j, -0.4 + 0.5j]]), np.array([0.0, 0.013, 0.0377, 0.5])
    exact = [rotations(start, 2, time)[0, 1] for time in t[1:]]
    np.testing.assert_allclose(single(baseline, t, rotations(start, 1, 0.0)[0, 0])[1:], exact, atol=5e-5)


def quadratic(starts, num_frames, spacing, steps=20):
    """Logistic growth and decay that it feeds, as fields of 12 points: `x' = 2 x (1 - x)`, `y' = x² - y`."""
    x, y = np.asarray(starts, np.float64).T
    h, path = spacing / steps, []
    for _ in range(num_frames):
        path.append(np.stack([x, y], axis=-1))
        for _ in range(steps):
            xm, ym = x + h * x * (1 - x), y + h / 2 * (x**2 - y)
            x, y = x + 2 * h * xm * (1 - xm), y + h * (xm**2 - ym)
    shapes = np.stack([np.sin(np.arange(12)), np.cos(2 * np.arange(12))])
    return (np.stack(path, axis=1) @ shapes)[..., None] + 1


def test_sindy_recovers_a_quadratic_system():
    train = quadratic([[0.1, 0.5], [0.3, -0.4], [1.6, 0.1], [0.8, 1.0]], 60, 0.02)
    val = quadratic([[0.2, 0.3]], 60, 0.02)
    dataset = make_dataset(train, val, 0.02)
    baseline = fit_baseline("sindy", make_config(), dataset)
    unseen = quadratic([[0.5, 0.2]], 60, 0.02)[0]
    forecast = single(baseline, dataset.val.t[0], unseen[0])
    assert base.nrmse(forecast, unseen) < 1e-4
    assert baseline.settings["chosen"]["rank"] == 2
    # The linear method cannot.
    assert base.nrmse(single(fit_baseline("dmd", make_config(), dataset), dataset.val.t[0], unseen[0]), unseen) > 1e-3


def test_features_are_those_of_pysindy():
    pysindy = pytest.importorskip("pysindy")
    x = np.random.default_rng(0).standard_normal((5, 3))
    library = pysindy.PolynomialLibrary(degree=2)
    np.testing.assert_allclose(sindy.features(x), np.asarray(library.fit_transform(x)), rtol=1e-12)


def test_compressed_least_squares_are_the_whole_ones():
    """The QR factors leave weights as they are, penalised or not."""
    coefficients = np.cumsum(np.random.default_rng(0).standard_normal((2, 300, 2)), axis=1)
    scaled = coefficients / coefficients.std(axis=(0, 1))
    states, rates = (
        sindy.scipy.signal.savgol_filter(scaled, 7, 3, deriv=d, delta=0.1, axis=1)[:, 3:-3].reshape(-1, 2)
        for d in (0, 1)
    )
    rows = sindy.features(states)
    expected = np.linalg.solve(rows.T @ rows + 0.01 * len(rows) * np.eye(6), rows.T @ rates).T
    found = sindy._fit_weights(*sindy._least_squares(list(coefficients), 7, 0.1), threshold=0.0, ridge=0.01)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)
    # By pysindy itself, of which a threshold below all weights drops none.
    least = 0.5 * np.abs(expected).min()
    by_pysindy = sindy._fit_weights(*sindy._least_squares(list(coefficients), 7, 0.1), threshold=least, ridge=0.01)
    np.testing.assert_allclose(by_pysindy, expected, rtol=1e-7, atol=1e-10)


def test_a_solution_that_runs_to_infinity_stays_bounded():
    dynamics = sindy._Dynamics(np.array([[0.0, 0.0, 5.0]]), np.array([2.0]), np.array([3.0]))  # x' = 5 x²
    path = sindy._roll_out(dynamics, np.array([[2.0]]), np.linspace(0, 1, 11)[None], 0.1)
    assert path.shape == (1, 11, 1)
    assert path.max() == 6.0


def test_the_lowest_validation_error_is_taken():
    errors = {"a": np.nan, "b": 0.3, "c": 0.2, "d": np.inf, "e": 0.2}
    chosen, settings = base.select([{"name": name} for name in errors], lambda candidate: errors[candidate["name"]])
    assert chosen == {"name": "c"}
    assert settings["chosen"] == {"name": "c", "val_nrmse": 0.2}
    assert [c["val_nrmse"] for c in settings["candidates"]] == [None, 0.3, 0.2, None, 0.2]
    assert base.select([{"name": "a"}], lambda candidate: np.nan)[1]["chosen"]["val_nrmse"] is None


def valley(candidate):
    """Lowest at rank 40 and a ridge of 1e-3, both beyond what is tried at first."""
    return 1 + np.log(candidate["rank"] / 40) ** 2 + np.log10(candidate["ridge"] / 1e-3) ** 2


RANKS = base.Ladder((2, 5, 10, 20, 40, 80, 160), (2, 10))


def test_a_search_goes_on_until_the_error_turns():
    """Beyond the ends of what is tried at first, a step at a time, and no further than one step past the best."""
    ladders = {"rank": RANKS, "ridge": base.Ladder((1e-4, 1e-3, 1e-2, 1e-1, 1.0), (1e-2, 1.0))}
    chosen, settings = base.search(ladders, valley)
    assert chosen == {"rank": 40, "ridge": 1e-3} and settings["ended"] == "turned"
    tried = [(c["rank"], c["ridge"]) for c in settings["candidates"]]
    assert tried[:4] == [(2, 1e-2), (2, 1.0), (10, 1e-2), (10, 1.0)] and len(set(tried)) == len(tried)
    assert (80, 1e-3) in tried and not any(rank == 160 for rank, _ in tried)
    assert settings["chosen"]["val_nrmse"] == min(c["val_nrmse"] for c in settings["candidates"])


def test_a_search_ends_where_a_ladder_or_the_time_does():
    ladders = {"rank": RANKS}
    falling = base.search(ladders, lambda candidate: 1 / candidate["rank"])
    assert falling[0] == {"rank": 160} and falling[1]["ended"] == "turned"
    flat = base.search(ladders, lambda candidate: 1 - 1e-6 * candidate["rank"])[1]
    assert [c["rank"] for c in flat["candidates"]] == [2, 10, 20, 5]
    # Some candidates cannot be tried, and are told of nowhere.
    bounded = base.search(ladders, lambda candidate: 1 / candidate["rank"] if candidate["rank"] < 30 else None)
    assert bounded[0] == {"rank": 20} and max(c["rank"] for c in bounded[1]["candidates"]) == 20
    hasty = base.search(ladders, lambda candidate: 1 / candidate["rank"], seconds=0.0)
    assert hasty[0] == {"rank": 2} and hasty[1]["ended"] == "time"
    lost = base.search(ladders, lambda candidate: np.nan)
    assert lost[1]["chosen"]["val_nrmse"] is None and lost[1]["ended"] == "turned"


@pytest.mark.parametrize("method, first", [(dmd, 2), (sindy, 3)])
def test_ranks_go_on_beyond_those_tried_at_first(method, first, rotating, monkeypatch):
    """Two rotations are four modes: a rank below is not enough."""
    monkeypatch.setattr(method, "_FIRST_RANKS", (first,))
    name = method.__name__.rpartition(".")[2]
    settings = fit_baseline(name, make_config(), rotating).settings
    assert settings["candidates"][0]["rank"] == first
    assert settings["chosen"]["rank"] >= 4 and settings["ended"] == "turned"
    assert settings["chosen"]["val_nrmse"] < 0.2 * settings["candidates"][0]["val_nrmse"]


def test_errors_in_the_basis_are_those_of_the_fields():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((2, 30, 5, 2, 1)) + 1
    scales = Scales((0.7,), (1.5,))
    split = Split(np.tile(np.arange(30.0), (2, 1)), u)
    basis = pod.fit_basis(split._replace(t=split.t[:, ::2], u=u[:, ::2]), scales)
    np.testing.assert_allclose(basis.modes @ basis.modes.T, np.eye(len(basis.modes)), atol=1e-10)
    forecast = rng.standard_normal((2, 30, 3))
    fields = pod.decode(basis, forecast)
    expected = np.mean([np.linalg.norm(f - own) / np.linalg.norm(own - 0.7) for f, own in zip(fields, u, strict=True)])
    np.testing.assert_allclose(pod.mean_nrmse(pod.reduce_split(basis, split), forecast), expected, rtol=1e-5)
    np.testing.assert_allclose(
        base.nrmse(fields[0], u[0]), metrics.nrmse(fields[0], u[0].astype(np.float32)), rtol=1e-5
    )
    assert pod.mean_nrmse(pod.reduce_split(basis, split), np.full((2, 30, 3), np.inf)) != 0


def test_basis_is_the_same_from_either_covariance():
    u = np.random.default_rng(0).standard_normal((1, 12, 9, 1)) * np.linspace(1, 3, 9)[:, None]
    wide = np.concatenate([u, np.zeros((1, 12, 9, 1))], axis=2)  # more points than snapshots
    tall, padded = (pod.fit_basis(Split(np.arange(12.0)[None], one), Scales((0.0,), (1.0,))) for one in (u, wide))
    agreement = np.abs(np.sum(tall.modes * padded.modes[:9, :9], axis=1))
    np.testing.assert_allclose(agreement, 1, atol=1e-8)


def test_a_long_trajectory_may_be_learned_from_its_middle_on(rotating):
    assert pod.training_parts(rotating) == [0]
    short = Split(rotating.val.t[:, :10], rotating.val.u[:, :10], None)
    assert pod.training_parts(rotating._replace(val=short)) == [0, 30]


def test_unknown_baselines_and_missing_packages_are_refused(rotating, monkeypatch):
    with pytest.raises(InputError, match="persistence, mean, coarse, dmd, sindy, fno, unet, got 'oracle'"):
        fit_baseline("oracle", make_config(), rotating)
    for name, package in (("dmd", "pydmd"), ("sindy", "pysindy"), ("fno", "pdequinox"), ("unet", "pdequinox")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"needs the package {package}; pip install -e \.\[baselines\]"):
            fit_baseline(name, make_config(), rotating)
    assert len(single(fit_baseline("persistence", make_config(), rotating), np.arange(3.0), np.ones((4, 1)))) == 3


def test_what_some_baselines_refuse(rotating):
    """Gaps are refused by all but the simplest, unequal lengths and a data file by the one that needs an equation."""
    gaps = rotating._replace(train=rotating.train._replace(mask=np.ones(rotating.train.u.shape, bool)))
    for name in ("dmd", "sindy", "coarse", "fno", "unet"):
        with pytest.raises(InputError, match=f"{name} needs trajectories without gaps, got some; fill them"):
            fit_baseline(name, make_config(), gaps)
    unequal = rotating._replace(train=rotating.train._replace(num_frames=np.array([50, 60, 60])))
    with pytest.raises(InputError, match="coarse needs trajectories of equal length"):
        fit_baseline("coarse", make_config(), unequal)
    with pytest.raises(InputError, match="coarse needs the equation"):
        fit_baseline("coarse", make_config("custom", Recorded()), rotating)


def test_mean_of_what_was_observed():
    """Of two trajectories, one with a frame less and a value that was never observed in either."""
    u = np.array([[[1.0, 2.0], [3.0, 9.0]], [[8.0, 4.0], [0.0, 0.0]]], np.float32)[..., None]
    mask = np.array([[[True, False], [True, False]], [[True, False], [True, True]]])[..., None]
    dataset = make_dataset(u, u, 0.1)
    train = dataset.train._replace(mask=mask, num_frames=np.array([2, 1]))
    forecast = single(fit_baseline("mean", make_config(), dataset._replace(train=train)), np.arange(3.0), u[0, 0])
    np.testing.assert_allclose(forecast[..., 0], [[4.0, 4.0]] * 3)


@pytest.mark.parametrize("name", ["dmd", "sindy"])
def test_units_and_offsets_of_channels_do_not_matter(name, rotating):
    """The field beside its quarter turn, in any units and about any mean: the same forecast in these units."""

    def both(split):
        u = np.asarray(split.u, np.float64)
        return split._replace(u=np.concatenate([u, np.roll(u, 10, axis=2)], axis=-1))

    def change(split):
        return split._replace(u=(split.u * factor + offset).astype(np.float32))

    factor, offset = np.array([1e20, 1.0]), np.array([0.0, 300.0])
    plain = Dataset(rotating.coordinates, rotating.boundary, *map(both, rotating[2:5]))
    changed = Dataset(rotating.coordinates, rotating.boundary, *map(change, plain[2:5]))
    found = []
    for dataset, unit in ((plain, (1.0, 0.0)), (changed, (factor, offset))):
        baseline = fit_baseline(name, make_config(), dataset)
        u = single(baseline, dataset.test.t[0], dataset.test.u[0, 0]).astype(np.float64)
        found.append((u - unit[1]) / unit[0])
        assert baseline.settings["chosen"]["val_nrmse"] < 0.1
    # Single precision keeps five digits of deviations about 300.
    np.testing.assert_allclose(*found, atol=0.02)


@pytest.mark.parametrize("name", ["dmd", "sindy"])
def test_each_validation_trajectory_has_its_own_times(name):
    """A wave is a linear system, whatever the spacing of the frames at which it is looked for."""
    x, spacing = np.arange(32) / 32, np.array([0.01, 0.01, 0.01, 0.01, 0.02])
    t = spacing[:, None] * np.arange(41)
    phase = np.random.default_rng(0).random((5, 1, 1))
    u = np.sin(2 * np.pi * (x - t[..., None] + phase))[..., None].astype(np.float32)
    splits = [Split(t[part], u[part]) for part in (slice(3), slice(3, 5), slice(4, 5))]
    baseline = fit_baseline(name, make_config(), Dataset((x,), ("periodic",), *splits))
    assert baseline.settings["chosen"]["val_nrmse"] < 2e-3
    np.testing.assert_allclose(single(baseline, t[4], u[4, 0]), u[4], atol=5e-3)


@pytest.mark.parametrize("name", ["dmd", "sindy"])
def test_uneven_times_of_unequal_trajectories(name):
    """Frames of a wave at random times, some trajectories shorter: nearly what even ones of equal length give."""
    x, rng = np.arange(32) / 32, np.random.default_rng(0)
    even = np.tile(0.01 * np.arange(61), (7, 1))
    uneven = np.sort(np.concatenate([np.zeros((7, 1)), rng.uniform(0, 0.6, (7, 60))], axis=1), axis=1)
    phase, lengths, found = rng.random((7, 1, 1)), np.array([61, 61, 50, 61, 40]), []
    for t, num_frames in ((even, None), (uneven, lengths)):
        u = np.sin(2 * np.pi * (x - t[..., None] + phase))[..., None].astype(np.float32)
        train = Split(t[:5], u[:5], num_frames=num_frames)
        val = Split(t[5:6], u[5:6])
        baseline = fit_baseline(name, make_config(), Dataset((x,), ("periodic",), train, val, val))
        found.append(single(baseline, even[6], np.sin(2 * np.pi * (x + phase[6]))[0, :, None]))
        interpolated = baseline.settings["frames"] == "interpolated by cubic splines"
        assert interpolated == (num_frames is not None)
    exact = np.sin(2 * np.pi * (x - even[6][:, None] + phase[6]))[..., None]
    np.testing.assert_allclose(found[0], exact, atol=5e-3)
    np.testing.assert_allclose(found[1], exact, atol=2e-2)


@pytest.mark.parametrize("name", ["dmd", "sindy"])
def test_the_unit_of_time_does_not_matter(name, rotating):
    found = []
    for unit in (1.0, 3.7e9):
        splits = (split._replace(t=unit * split.t) for split in rotating[2:5])
        baseline = fit_baseline(name, make_config(), Dataset(rotating.coordinates, rotating.boundary, *splits))
        found.append(single(baseline, unit * rotating.val.t[0], rotating.val.u[0, 0]))
    np.testing.assert_allclose(*found, atol=1e-4)


@pytest.mark.parametrize("num_frames", [20, 60])
def test_dmd_of_one_trajectory(num_frames):
    """Lags that leave a single pair are left out; a wave is exact all the same."""
    x, t = np.arange(32) / 32, 0.01 * np.arange(num_frames)
    u = np.sin(2 * np.pi * (x - t[:, None]))[None, ..., None]
    dataset = make_dataset(u, u, 0.01)
    np.testing.assert_allclose(single(fit_baseline("dmd", make_config(), dataset), t, u[0, 0]), u[0], atol=1e-4)
    with pytest.raises(InputError, match="at least two pairs of frames to learn from, got 2 frames in 1 training"):
        fit_baseline("dmd", make_config(), make_dataset(u[:, :2], u, 0.01))


@pytest.mark.parametrize("name", ["dmd", "sindy"])
def test_fields_that_do_not_vary_are_refused(name):
    u = np.ones((2, 60, 32, 1))
    with pytest.raises(InputError, match="The training fields must vary, got one constant; check the data"):
        fit_baseline(name, make_config(), make_dataset(u, u, 0.01))
    steady = u * np.sin(np.arange(32))[:, None]
    with pytest.raises(InputError, match="must change in time, got the same frame throughout"):
        fit_baseline(name, make_config(), make_dataset(steady, steady, 0.01))


def test_errors_leave_out_frames_at_rest():
    u = np.array([[0.0, 0.0], [3.0, 4.0]])[..., None]
    assert base.nrmse(u + [[[1.0], [0.0]]], u) == pytest.approx(0.2)
    assert np.isnan(base.nrmse(u, 0 * u))


def test_a_quick_fit_learns_from_a_part(rotating):
    """As many numbers and frames as are allowed: some trajectories spread over all, or the end of a long one."""
    assert base.few_trajectories(rotating) is rotating
    part = base.few_trajectories(rotating, most_frames=125).train
    np.testing.assert_array_equal(part.u, rotating.train.u[[0, 2]])
    part = base.few_trajectories(rotating, most_frames=50).train
    np.testing.assert_array_equal(part.u, rotating.train.u[:1, 10:])
    np.testing.assert_array_equal(part.t, rotating.train.t[:1, 10:])
    ragged = rotating._replace(train=rotating.train._replace(num_frames=np.array([30, 60, 60])))
    part = base.few_trajectories(ragged, most_frames=50).train
    assert part.u.shape[1] == 50 and list(part.num_frames) == [30]
