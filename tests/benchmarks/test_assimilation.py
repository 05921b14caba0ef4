"""Twin experiments: true solvers as functions of a frame, scores, checks, and a whole small experiment."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from linear_model import SPACING, X, make_linear

from benchmarks.assimilation import solvers
from benchmarks.assimilation.cases import make_twin, shedding_period, training_config
from benchmarks.assimilation.checks import make_checks
from benchmarks.assimilation.twin import Settings, Twin, plain, run_twin, solve_twin
from benchmarks.assimilation.windows import window_checks
from benchmarks.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from msvi.config import Config
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.labels import Labels
from msvi.forecast.config import ForecastConfig
from msvi.library import Model, load

pytest_plugins = ["smoke"]


@pytest.mark.parametrize(
    ("equation", "make"),
    [
        (Burgers1D(num_points=100, viscosity=5e-3, num_frames=6, t1=0.06, max_dt=2e-3), solvers.burgers),
        (KortewegDeVries1D(num_points=100, num_frames=6, t1=0.006, max_dt=5e-4), solvers.kdv),
    ],
)
def test_solvers_of_a_frame(equation, make):
    """One frame after another they are the equation's own solution, to single precision."""
    u0 = equation.sample_initial(np.random.default_rng(0))
    expected, solver = equation.solve(u0)[..., 0], make(equation)
    u = u0[:, 0].astype(np.float32)
    for frame in expected[1:]:
        u = jax.jit(solver.frame)(u)
        np.testing.assert_allclose(u, frame, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(solver.x, equation.x)


def test_solver_of_the_chaotic_equation():
    """The same of Kuramoto–Sivashinsky, on the points that it is solved on."""
    system = KuramotoSivashinsky()
    solver, start = solvers.kuramoto_sivashinsky(system), system.initial(1, 5)
    expected = [system.fields(u_hat)[0, :: solver.stride] for u_hat in system.solve(start, 9, system.steps)]
    u = expected[0].astype(np.float32)
    for frame in expected[1:]:
        u = jax.jit(solver.frame)(u)
        np.testing.assert_allclose(u, frame, atol=2e-5 * np.abs(frame).max())


def test_the_filter_with_the_equation():
    """It finds the state of Kuramoto–Sivashinsky from eight sensors, to less than their noise."""
    twin = make_twin("kuramoto_sivashinsky", Config(), 1)
    assert twin.truth.shape[1:] == (1667, 256, 1) and abs(twin.t[-1] * 0.048 - 20) < 0.01
    short = twin._replace(t=twin.t[:121], truth=twin.truth[:, :121])
    rng = np.random.default_rng(0)
    y = short.truth[0, :, np.arange(16, 256, 32), 0].T + short.noise * rng.standard_normal((121, 8))
    y[np.arange(121) % 4 != 0] = np.nan
    found = solve_twin(short, y, 0, 64, None, 1 / 64)
    assert found["error"] < 0.06 and not found["lost"] and 0.5 < found["spread_over_error"] < 2


@pytest.mark.slow
def test_a_small_experiment(tmp_path):
    """With a linear model as its own truth: the filter is better than all that it is compared with, and says how far it
    errs; what is written can be read."""
    config = dataclasses.replace(Config(), forecast=ForecastConfig(steps_per_frame=1))
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, noise_std=0.0))
    model = Model(config, *make_linear(), (X,), Labels(), "nowhere/linear")
    t = SPACING * np.arange(61)
    states = model.forecast(np.full(12, 0.3), 2 * SPACING * np.arange(150), members=1, noise=False).u.values[0, 50:]
    truth = model.forecast(states[7], t, members=1, noise=False, seed=3).u.values[0, ..., None]
    places = np.array([[0.03], [0.29], [0.52], [0.81]])
    noise = np.full(4, 0.05 * truth.std())
    twin = Twin(t, truth[None], states[..., None], places, np.zeros(4, int), noise, 5)
    found = run_twin(model, twin, 0, Settings(members=128))
    json.dumps(found, allow_nan=False)
    assert found["model"]["error"] < min(found[name]["error"] for name in ("free", "persistence", "filling"))
    assert found["localisation"] == "none" and found["inflation"] == 1 / 128 and len(found["error_over_time"]) == 61
    assert not found["model"]["lost"] and found["model"]["spread_over_error"] > 0.5


def made_run(error, lost=False):
    """A run's scores."""
    of = {"error": error, "lost": lost, "spread_over_error": 1.0}
    run = dict.fromkeys(("model", "solver", "solver_not_localised"), of)
    run |= {name: {"error": 2 * error, "lost": lost} for name in ("free", "persistence", "filling")}
    run |= {"seconds": 3.0, "chi2_per_reading": 1.0, "autocorrelation": [0.1], "noise_over_deviation": 0.05}
    return run | {"error_over_time": [0.0] * 500}


def test_checks():
    """Errors are root mean squares over the runs; what is not finite is missed."""
    found = make_checks("kuramoto_sivashinsky", [made_run(0.03), made_run(0.04)], None)
    assert all(check["met"] is not False for check in found.values())
    np.testing.assert_allclose(found["error over that of a sensor"]["value"], np.sqrt((9 + 16) / 2) / 5)
    assert (
        found["seconds for 1000 frames, compiled"]["value"] == 6
        and found["error over that of filling the gaps"]["value"] == 0.5
    )
    lost = make_checks("kdv_1d", [plain(made_run(float("nan"), lost=True))], None)
    assert lost["runs lost"] == {"value": 1.0, "bar": 0, "met": False}
    assert lost["error over that of the analysis kept"] == {"value": None, "bar": 1.0, "met": False}
    flow = {name: value for name, value in made_run(0.1).items() if not name.startswith("solver")}
    found = make_checks("cylinder_2d", [flow], [0.5, float("inf")])
    assert found["periods until a wrong state is found"] == {"value": [0.5, None], "bar": 1.0, "met": False}
    assert found["seconds for 1000 frames, compiled"]["bar"] is None and len(found) == 11


def test_shedding_period():
    """Of an oscillation whose period is no whole number of frames."""
    t = 0.01 * np.arange(400)
    v = np.sin(2 * np.pi * t / 0.613)[:, None, None, None] * np.ones((3, 2, 2)) * [0.1, 1.0]
    assert abs(shedding_period(t, v) / 0.613 - 1) < 0.01


@pytest.mark.slow
def test_first_frames(smoke_run, programs):
    """Of a trained run: errors for each number of frames and each way, and their ratios."""
    found = window_checks(load(smoke_run.path), members=4)
    ways = {f"{way}, {number} frames" for way in ("joined", "readings", "posterior") for number in (5, 20)}
    assert set(found["errors"]) == ways | {"encoder, 1 frames"}
    assert sum("error over that from 1 frame" in name for name in found["checks"]) == len(ways)
    assert all(np.isfinite(values).all() and len(values) > 0 for values in found["errors"].values())


def test_configurations(tmp_path):
    """Are those of the documentation."""
    assert training_config("kdv_1d", str(tmp_path), 70, "cells").train.steps == 70
    assert training_config("cylinder_2d", str(tmp_path), None, "smoke").case == "cylinder_2d"
