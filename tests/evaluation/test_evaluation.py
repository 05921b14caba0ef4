"""Evaluation of a run: the result file's numbers against independent ones, the figures, and what is refused."""

import dataclasses
import json
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scoringrules
from smoke import change, snapshot

from msvi.config import Config, from_dict, to_dict
from msvi.data.config import DataConfig, Recorded
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.evaluation import evaluate as evaluation
from msvi.evaluation.evaluate import evaluate, evaluate_baseline, evaluate_ensemble
from msvi.evaluation.text import format_table
from msvi.forecast.ensemble import forecast_latents, reconstruct, sample_field, solver_steps
from msvi.recipe.build import build_model
from msvi.recipe.measure import field_scales
from msvi.scores.spectra import variance_share
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]

METRICS = [
    *("nrmse", "nrmse_clean", "rel_l2", "rel_l2_clean", "vrmse", "crps", "energy_score"),
    *(
        "anomaly_nrmse",
        "crps_scaled",
        "spread_skill",
        "spread_skill_clean",
        "coverage_90",
        "macro_share",
        "reconstruction_nrmse",
        "noise_floor",
    ),
]


@pytest.fixture(scope="module")
def result(evaluated):
    """What `evaluate.py` wrote into the run's folder."""
    return read_strict(evaluated.path / "result.json")


@pytest.fixture(scope="module")
def dataset(smoke_config, smoke_run):
    """The data that the run was trained and tested on."""
    return load_dataset(smoke_config.case, smoke_config.data)


def read_strict(path):
    """JSON without NaN and infinity, which Python alone reads."""

    def refuse(constant):
        raise AssertionError(f"{path} holds {constant}")

    return json.loads(pathlib.Path(path).read_text(), parse_constant=refuse)


def nrmse(estimate, reference):
    """`sqrt(mean_t ||estimate - reference||² / ||reference||²)` in float64, spelt out."""
    ratios = []
    for a, b in zip(np.asarray(estimate, np.float64), np.asarray(reference, np.float64), strict=True):
        ratios.append(np.sum((a - b) ** 2) / np.sum(b**2))
    return np.sqrt(np.mean(ratios))


def rel_l2(estimate, reference):
    """`mean_t ||estimate - reference|| / ||reference||` in float64, spelt out."""
    ratios = []
    for a, b in zip(np.asarray(estimate, np.float64), np.asarray(reference, np.float64), strict=True):
        ratios.append(np.linalg.norm(a - b) / np.linalg.norm(b))
    return np.mean(ratios)


def test_result_file(evaluated, result, smoke_run):
    """The documented keys, with the run's own values, as strict JSON, the same in both places."""
    assert read_strict(evaluated.results / "burgers_1d" / "d2_s0.json") == result
    expected = {"case": "burgers_1d", "micro_dim": 2, "seed": 0, "steps": 40}
    assert {name: result[name] for name in expected} == expected
    assert result["data"] == {"train": 2, "val": 1, "test": 2}
    assert from_dict(result["config"]) == smoke_run.config
    assert {"msvi", "jax", "numpy", "python", "device"} <= result["versions"].keys()
    reference = Workdir(smoke_run.path)
    assert result["best_step"] == reference.best.latest_step()
    assert result["train_seconds"] == reference.latest.restore(smoke_run.state)[1]["train_seconds"] > 0
    assert result["evaluate_seconds"] > 0
    lowest = min((e for e in reference.read_history() if "val_crps" in e), key=lambda e: e["val_crps"])
    names = {"crps_scaled": "val_crps", "nrmse": "val_nrmse", "reconstruction_nrmse": "val_reconstruction"}
    names |= {"spread_skill": "val_spread_skill"}
    factors = {"dispersion_factor": None, "decoder_factor": None}  # of a dispersion that is the bound's own
    assert result["val"] == {name: lowest[key] for name, key in names.items()} | factors
    assert result["diverged"] == 0 and result["data_digest"] == ""


def test_statistics(result):
    """One value per test trajectory and metric, and mean, median and population sd of just these."""
    scores = result["test"]
    assert list(scores) == METRICS
    for score in scores.values():
        values = score["per_trajectory"]
        assert len(values) == 2 and values[0] != values[1]
        np.testing.assert_allclose(score["mean"], sum(values) / 2, rtol=1e-12)
        np.testing.assert_allclose(score["median"], sum(values) / 2, rtol=1e-12)
        np.testing.assert_allclose(score["std"], abs(values[0] - values[1]) / 2, rtol=1e-12)


def test_noise_floor(result, dataset):
    """The floor is the truth's own error against the observation, from the data alone; float32 round-off."""
    floor = result["test"]["noise_floor"]["per_trajectory"]
    expected = [nrmse(u_true, u) for u, u_true in zip(dataset.test.u, dataset.test.u_true, strict=True)]
    np.testing.assert_allclose(floor, expected, rtol=1e-5)
    # Noise of 1e-3 on fields of order 0.1.
    assert min(floor) > 0.003 and max(floor) < 0.05


def test_forecast_errors(result, smoke_run, dataset, programs):
    """The scores of the first test trajectory, computed again by other means.

    Best checkpoint, averaged weights, the ensemble from its first frame under key 0; the members as one array, scores
    in float64 with numpy and the library.
    """
    config, scores = smoke_run.config, result["test"]
    params = Workdir(smoke_run.path).best.restore(smoke_run.state)[0].average["model"]
    model = build_model(config, dataset)
    u, u_true = dataset.test.u[0], dataset.test.u_true[0]

    t = dataset.test.t[0]
    steps = solver_steps(t[None], model.scales.spacing, config.forecast.steps_per_frame)[0]

    @jax.jit
    def forecast(params, t, steps, u):
        path_key, noise_key = jax.random.split(jax.random.key(0))
        (path_key,) = jax.random.split(path_key, 1)  # one run
        settings = config.forecast
        z = forecast_latents(
            model, params, t, u[0], path_key, settings.num_members, solver=settings.solver, steps=steps
        )
        keys = jax.vmap(lambda key: jax.random.split(key, 1)[0])(jax.random.split(noise_key, len(t)))
        noise = jax.vmap(lambda key: jax.random.normal(key, (len(z), *u.shape[1:])))(keys)
        members = jax.vmap(sample_field, (None, None, 1, 0), 1)(model, params, z, noise)
        parts = jax.vmap(model.decode_parts, (None, 0))(params, z[0, ::2])
        return members, reconstruct(model, params, u), parts

    members, reconstruction, (macro, micro) = forecast(
        params, jnp.asarray(t, jnp.float32), jnp.asarray(steps, jnp.float32), u
    )
    members = np.asarray(members, np.float64)
    mean, spread = members.mean(axis=0), members.var(axis=0, ddof=1)
    ordered = np.sort(members, axis=0)
    # With 8 members 90 % intervals end outside them.
    inside = (ordered[0] < u) & (u <= ordered[-1])
    expected = {
        "nrmse": nrmse(mean, u),
        "nrmse_clean": nrmse(mean, u_true),
        "rel_l2": rel_l2(mean, u),
        "rel_l2_clean": rel_l2(mean, u_true),
        "reconstruction_nrmse": nrmse(reconstruction, u),
        "crps": scoringrules.crps_ensemble(u, members, m_axis=0, estimator="fair", backend="numpy").mean(),
        "spread_skill": np.sqrt(9 / 8 * spread.mean() / np.mean((mean - u) ** 2)),
        "coverage_90": inside.mean(),
        "anomaly_nrmse": np.linalg.norm(mean - u) / np.linalg.norm(u - model.scales.field_mean),
        "macro_share": variance_share(np.asarray(macro), np.asarray(macro + micro)),
    }
    expected["crps_scaled"] = expected["crps"] / model.scales.field_std[0]
    # Another program of the same float32 computation.
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name]["per_trajectory"][0], value, rtol=1e-4, err_msg=name)
    # The forecast starts from the encoded first frame: early errors are reconstruction errors.
    assert nrmse(mean[:1], u[:1]) < 2 * nrmse(reconstruction[:1], u[:1]) + 0.05


def test_figures(evaluated):
    """Every figure printed is there, a PNG of a size to be looked at and not blank."""
    figures = [pathlib.Path(line) for line in evaluated.process.stdout.splitlines() if line.endswith(".png")]
    names = {"forecast", "space_time", "error", "latents", "kernel", "training", "reliability", "spectra"}
    assert names <= {path.stem for path in figures}
    assert sorted(figures) == sorted((evaluated.path / "figures").iterdir())
    for path in figures:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = (int.from_bytes(data[a : a + 4], "big") for a in (16, 20))
        assert min(width, height) > 200 and len(data) > 5000, path


def test_table(result):
    """The table has every metric with its median, mean, sd and range, the horizons, and the calibration."""
    lines = format_table(result).splitlines()
    assert lines[0].startswith(f"burgers_1d, micro_dim 2, seed 0, checkpoint of step {result['best_step']} of 40")
    assert format_table(result | {"micro_layout": "cells"}).startswith("burgers_1d, micro_dim 2 per cell, seed 0")
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:-4]}
    assert list(rows) == METRICS
    for name, row in rows.items():
        score = result["test"][name]
        values = score["per_trajectory"]
        numbers = (score["median"], score["mean"], score["std"], min(values), max(values))
        np.testing.assert_allclose([float(cell) for cell in row], numbers, rtol=5e-3, atol=5.1e-5)
    for line, (threshold, horizon) in zip(lines[-4:-1], result["horizon"].items(), strict=True):
        assert f"above {threshold}:" in line and f"never in {horizon['censored']} of 2" in line
    assert f"ratio {result['calibration']['spread_skill']:.3f}" in lines[-1]


def test_score_groups(result, dataset):
    """Beside the totals stand scores by lead time, horizons, calibration, spectra and cost, for the same forecasts."""
    t = dataset.test.t[0]
    curves, totals = result["lead_time"], result["test"]
    np.testing.assert_allclose(curves["t"], (t - t[0])[::2], atol=1e-6)
    for name in ("rel_l2", "vrmse", "crps", "energy_score", "reconstruction", "noise_floor"):
        assert {len(curve) for curve in curves[name].values()} == {len(curves["t"])}
        if name in totals:  # the mean of the medians of two trajectories is that of the totals
            np.testing.assert_allclose(np.mean(curves[name]["median"]), totals[name]["median"], rtol=0.2)
    calibration = result["calibration"]
    assert len(calibration["coverage"]) == len(calibration["levels"]) == 19 and calibration["coverage"][-1] is None
    np.testing.assert_allclose(calibration["coverage_90"], totals["coverage_90"]["mean"], rtol=1e-4)
    channels = result["per_channel"]
    assert channels["channel"] == [0] and channels["std"][0] > 0
    for name in ("anomaly_nrmse", "crps_scaled"):
        np.testing.assert_allclose(channels[name], [totals[name]["median"]], rtol=1e-5)
    assert list(result["horizon"]) == ["0.05", "0.1", "0.2"]
    spectra = result["spectra"]
    assert set(spectra) == {"wavenumber", "truth", "macro", "forecast"} and spectra["wavenumber"][0] == 1.0
    assert {len(values) for values in spectra.values()} == {len(spectra["wavenumber"])}
    cost = result["cost"]
    assert cost["train_drift_evaluations"] == 40 * 8 * 8 and cost["forecast_drift_evaluations"] == 8 * 64
    assert cost["forecast_seconds"] > 0 and cost["peak_memory_gib"] > 0 and cost["train_peak_memory_gib"] > 0
    assert cost["num_parameters"] > 1000


def test_baseline(smoke_config, dataset, programs, tmp_path):
    """Persistence, scored like a run: errors against the first frame held, the CRPS its mean absolute error."""
    returned = evaluate_baseline("persistence", smoke_config, str(tmp_path))
    result = read_strict(tmp_path / "burgers_1d" / "baseline_persistence.json")
    assert result == json.loads(json.dumps(returned.result))
    assert returned.paths == [str(tmp_path / "burgers_1d" / "baseline_persistence.json")]
    assert (result["case"], result["baseline"], result["data"]["test"]) == ("burgers_1d", "persistence", 2)
    assert from_dict(result["config"]) == smoke_config
    u, u_true = dataset.test.u[1], dataset.test.u_true[1]
    held = np.broadcast_to(u[0], u.shape)
    expected = {"nrmse": nrmse(held, u), "nrmse_clean": nrmse(held, u_true), "rel_l2": rel_l2(held, u)}
    expected |= {"crps": np.abs(held.astype(np.float64) - u).mean()}
    for name, value in expected.items():
        np.testing.assert_allclose(result["test"][name]["per_trajectory"][1], value, rtol=1e-4, err_msg=name)
    assert not {"spread_skill", "coverage_90", "reconstruction_nrmse"} & result["test"].keys()
    assert "calibration" not in result and set(result["spectra"]) == {"wavenumber", "truth", "forecast"}
    assert format_table(result).startswith("burgers_1d, baseline persistence, 2 test trajectories")


@pytest.mark.slow
def test_a_baseline_of_several_members(smoke_config, programs, tmp_path):
    """It has a calibration, as a run has, and names its packages."""
    config = change(smoke_config, "baseline", minutes=0.0, steps=3, num_members=2)
    result = evaluate_baseline("fno", config, str(tmp_path)).result
    assert {"spread_skill", "coverage_90"} < result["test"].keys() and result["calibration"]["spread_skill"] > 0
    assert {"pdequinox", "equinox"} < result["versions"].keys()
    assert "spread–skill ratio" in format_table(result)
    assert read_strict(tmp_path / "burgers_1d" / "baseline_fno.json") == json.loads(json.dumps(result))


@pytest.mark.slow
def test_again_beside_a_foreign_result(evaluated, result, smoke_config, programs, monkeypatch, tmp_path, capsys):
    """Evaluated again, in another process: the same numbers to the bit.

    In the folder of results another run's result stands in the way. It is left as it is, and that is said.
    """
    run = shutil.copytree(evaluated.path, tmp_path / "run")
    foreign = tmp_path / "results" / "burgers_1d" / "d2_s0.json"
    foreign.parent.mkdir(parents=True)
    other = change(smoke_config, "train", learning_rate=0.25)
    foreign.write_text(json.dumps({"config": to_dict(other), "test": {}}))
    before = snapshot(foreign)
    monkeypatch.setattr(evaluation, "draw_figures", lambda *arguments: [])
    again = evaluate(str(run), str(tmp_path / "results"))
    cost = {"evaluate_seconds": 0, "cost": {}}
    assert {**read_strict(run / "result.json"), **cost} == {**result, **cost}
    assert snapshot(foreign) == before and again.paths == [str(run / "result.json")]
    printed = capsys.readouterr().out
    assert f"{foreign} holds another run's result" in printed
    assert f"train.learning_rate: 0.25 -> {smoke_config.train.learning_rate}" in printed


@pytest.mark.slow
def test_published_trajectory(evaluated, result, dataset, programs, monkeypatch, tmp_path):
    """Where the paper's test trajectory is kept apart, it is scored like the others and written beside them, the table
    left as it is; without one the key is absent.

    It is the first of the test trajectories here, forecast with the same key: the same numbers to the bit.
    """
    assert "published_test" not in result
    first = jax.tree.map(lambda values: values[:1], dataset.test)
    run = shutil.copytree(evaluated.path, tmp_path / "run")
    monkeypatch.setattr(evaluation, "load_dataset", lambda *arguments: dataset._replace(published=first))
    monkeypatch.setattr(evaluation, "draw_figures", lambda *arguments: [])
    again = evaluate(str(run), str(tmp_path / "results")).result
    assert again["test"] == result["test"] and list(again["published_test"]) == METRICS
    for name, score in again["published_test"].items():
        value = result["test"][name]["per_trajectory"][0]
        assert score == {"mean": value, "median": value, "std": 0.0, "per_trajectory": [value]}, name
    assert read_strict(run / "result.json")["published_test"] == again["published_test"]
    assert format_table(again) == format_table(result)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"config": 3}', '{"config": {"case": "burgers_1d"}}'])
def test_unreadable_result_is_foreign(smoke_config, tmp_path, text):
    """A result file that is damaged or another program's is another run's too: it is never written over."""
    path = tmp_path / "d2_s0.json"
    path.write_text(text)
    assert evaluation._other_run(str(path), smoke_config)


def test_a_result_of_the_same_data_elsewhere_is_replaced(smoke_config, tmp_path):
    """Data are known by their digest; without one the path tells."""
    config = Config("custom", data=DataConfig(equation=Recorded(), path="here.npz"))
    path, moved = tmp_path / "d5_s0.json", change(config, "data", path="there.npz")
    path.write_text(json.dumps({"config": to_dict(config), "data_digest": "0123abcd"}))
    assert evaluation._other_run(str(path), moved, "0123abcd") == ""
    for digest in ("", "4567abcd"):
        assert "data.path" in evaluation._other_run(str(path), moved, digest)


def test_own_result_is_replaced(smoke_config, tmp_path):
    """A result of the same run may be written over, also after the data cache has moved."""
    path = tmp_path / "d2_s0.json"
    assert evaluation._other_run(str(path), smoke_config) == ""
    path.write_text(json.dumps({"config": to_dict(smoke_config)}))
    assert evaluation._other_run(str(path), smoke_config) == ""
    assert evaluation._other_run(str(path), change(smoke_config, "data", cache_dir="elsewhere")) == ""


@pytest.mark.slow
def test_diverged_forecast(smoke_run, programs, tmp_path):
    """A model whose forecast leaves the range of numbers is evaluated all the same: null in JSON, "diverged" shown."""
    run = Workdir(str(shutil.copytree(smoke_run.path, tmp_path / "run")))
    state, record = run.best.restore(smoke_run.state)
    model = state.average["model"]
    average = state.average | {"model": model | {"log_q": jnp.full_like(model["log_q"], 150.0)}}
    run.best.save(state._replace(average=average, step=jnp.int32(41)), record)
    returned = evaluate(run.path, str(tmp_path / "results"), str(tmp_path / "figures"))
    result = read_strict(tmp_path / "results" / "burgers_1d" / "d2_s0.json")
    assert result["test"] == returned.result["test"] and result["best_step"] == 41
    assert result["test"]["nrmse"] == {"mean": None, "median": None, "std": None, "per_trajectory": [None, None]}
    assert result["test"]["reconstruction_nrmse"]["mean"] > 0
    rows = {line.split()[0]: line.split()[1:] for line in format_table(result).splitlines()[2:]}
    assert rows["nrmse"] == ["diverged"] * 5 and "diverged" not in rows["noise_floor"]
    assert result["diverged"] == 2
    last = format_table(result).splitlines()[-1]
    assert last.startswith("The forecasts of 2 of 2 trajectories diverged") and "--steps_per_frame=4" in last
    assert len(list((tmp_path / "figures").iterdir())) == len(returned.paths) - 2


@pytest.mark.slow
def test_other_settings_of_the_forecast(smoke_run, result, programs, monkeypatch, tmp_path):
    """Solver, members and steps of the command are used and told, beside the result of the run's own settings."""
    run = shutil.copytree(smoke_run.path, tmp_path / "run")
    monkeypatch.setattr(evaluation, "draw_figures", lambda *arguments: [])
    changes = {"solver": "shark", "num_members": 4, "steps_per_frame": 3}
    returned = evaluate(str(run), str(tmp_path / "results"), forecast=changes)
    name = "result_num_members_4_steps_per_frame_3_solver_shark.json"
    assert returned.paths == [str(run / name)] and not (tmp_path / "results").exists()
    found = read_strict(run / name)
    assert found["config"]["forecast"] == result["config"]["forecast"] | changes
    steps = (len(result["lead_time"]["t"]) - 1) * 2 * 3  # every other frame is scored
    assert found["cost"]["forecast_drift_evaluations"] == 4 * 2 * steps  # twice a step
    assert found["test"]["noise_floor"] == result["test"]["noise_floor"]
    assert found["test"]["crps"] != result["test"]["crps"]
    with pytest.raises(InputError, match=r"data of .* are generated, but `--data`"):
        evaluate(str(run), str(tmp_path / "results"), data="my.npz")


@pytest.mark.slow
def test_settings_that_were_left_to_the_data(smoke_run, programs, monkeypatch, tmp_path):
    """What the training data fill in is no other setting than the run's: the result goes where those of runs go."""
    run = shutil.copytree(smoke_run.path, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["forecast"]["steps_per_frame"] = 0
    (run / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(evaluation, "draw_figures", lambda *arguments: [])
    returned = evaluate(str(run), str(tmp_path / "results"))
    assert returned.paths == [str(run / "result.json"), str(tmp_path / "results" / "burgers_1d" / "d2_s0.json")]
    assert returned.result["config"]["forecast"]["steps_per_frame"] > 0
    monkeypatch.setattr(evaluation, "_score", lambda *arguments: pytest.fail("was asked for its name alone"))
    monkeypatch.setattr(evaluation, "_suffix", lambda trained, used: pytest.fail(f"{trained} {used}"))
    with pytest.raises(pytest.fail.Exception, match="steps_per_frame=[1-9].* steps_per_frame=9"):
        evaluate(str(run), str(tmp_path / "results"), forecast={"steps_per_frame": 9})


def test_what_a_table_says(result):
    """Baselines beside the model and why one is left out; a loss in one line; what is not defined is no divergence; and
    that the solver's steps are too long."""
    score = {name: result["test"][name]["median"] for name in ("crps_scaled", "anomaly_nrmse", "crps", "nrmse")}
    worse, better = ({name: factor * value for name, value in score.items()} for factor in (2, 0.5))
    beside = result | {"baselines": {"persistence": worse, "dmd": {"left_out": "it needs the package pydmd."}}}
    table = format_table(beside)
    assert "DMD is left out: it needs the package pydmd." in table and "loses" not in table
    last = format_table(beside | {"baselines": {"persistence": worse, "mean": better}}).splitlines()[-1]
    assert last.startswith("The model loses to the training mean in crps_scaled") and "anomaly_nrmse" in last
    undefined = {"mean": None, "median": None, "std": None, "per_trajectory": [None, None]}
    table = format_table(result | {"test": result["test"] | {"nrmse": undefined}})
    assert "diverged" not in table
    assert result["change_by_halving"] > 0
    long = format_table(result | {"change_by_halving": 0.42}).splitlines()[-1]
    assert "change by 42 % of their error; try --steps_per_frame=2 or --solver=rk4." in long
    assert "steps are long" not in format_table(result | {"change_by_halving": 0.2})
    huge = {"mean": 3e30, "median": 3e30, "std": 0.0, "per_trajectory": [3e30, 3e30]}
    assert max(map(len, format_table(result | {"test": {"nrmse": huge}}).splitlines()[:3])) < 90


def test_forecasts_that_are_far_too_sure_are_named(result):
    """Those whose spread is below a quarter of their error, and whether all lie outside of what was learned."""
    ratios = {"mean": 0.6, "median": 0.6, "std": 0.5, "per_trajectory": [0.2, 1.0]}
    wrong = result | {"test": result["test"] | {"spread_skill": ratios}, "test_inside": [False, True]}
    told = "1 of 2 forecasts err more than 4 times what their members say (test trajectories 0, outside of"
    assert told in format_table(wrong) and "several seeds together" in format_table(wrong)
    assert ", outside" not in format_table(wrong | {"test_inside": [True, True]})
    assert "several seeds" not in format_table(wrong | {"seeds": [0, 1]})
    right = wrong | {"test": result["test"] | {"spread_skill": ratios | {"per_trajectory": [0.3, None]}}}
    assert "their members say" not in format_table(right)


def test_a_macroscale_that_carries_nothing_is_named(result):
    """Below two hundredths of the variance, which no error shows."""
    share = {"mean": 0.1, "median": 2e-4, "std": 0.0, "per_trajectory": [2e-4, 2e-4]}
    idle = result | {"test": result["test"] | {"macro_share": share}}
    assert "The macroscale carries 0.02 % of the field's variance" in format_table(idle)
    used = result | {"test": result["test"] | {"macro_share": share | {"median": 0.02}}}
    diverged = result | {"test": result["test"] | {"macro_share": share | {"median": None}}}
    assert "macroscale carries" not in format_table(used) + format_table(diverged)


def test_baselines_beside_a_run_on_own_data():
    """Of travelling waves DMD knows all, and the mean nothing, an error of 1; with gaps DMD is left out, and why."""
    t, x, start = np.linspace(0, 1, 21), np.arange(32) / 32, np.random.default_rng(0).random((6, 1, 1))
    u = np.sin(2 * np.pi * (x - t[:, None] + start))[..., None].astype(np.float32)
    split = Split(np.tile(t, (6, 1)), u)
    dataset = Dataset((x,), ("periodic",), split, split, split)
    config = Config("custom", data=DataConfig(equation=Recorded(), path="waves.npz", noise_std=0.0))
    scales = field_scales(split)
    found = evaluation._baselines(dataset, config, scales)
    assert list(found) == ["persistence", "mean", "dmd"]
    assert found["mean"]["anomaly_nrmse"] == pytest.approx(1, abs=0.05)
    assert found["dmd"]["nrmse"] < 1e-5 and found["dmd"]["crps_scaled"] < 1e-5 < found["persistence"]["rel_l2"]
    mask = np.random.default_rng(0).random(u.shape) > 0.1
    gaps = split._replace(u=np.where(mask, u, 0), mask=mask)
    found = evaluation._baselines(dataset._replace(train=gaps, val=gaps, test=gaps), config, scales)
    assert "without gaps" in found["dmd"]["left_out"] and found["persistence"]["nrmse"] > 0.5


def test_missing_workdir(tmp_path):
    """A folder that is not there, or holds something else, or is a file: one sentence, and nothing is written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    before = snapshot(tmp_path)
    for name in ("nowhere", "folder", "folder/thesis.tex"):
        with pytest.raises(InputError, match="`workdir` must be a run of msvi") as error:
            evaluate(str(tmp_path / name), str(tmp_path / "results"))
        assert "\n" not in str(error.value)
    assert snapshot(tmp_path) == before


def test_untrained_workdir(smoke_config, tmp_path):
    """A run that was stopped before its first checkpoint: told to train on; nothing is written."""
    run = Workdir(str(tmp_path / "run"))
    run.start(smoke_config, 0)
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="has no checkpoint yet; train"):
        evaluate(run.path, str(tmp_path / "results"))
    assert snapshot(tmp_path) == before


@pytest.mark.slow
def test_checkpoint_of_another_model(half_copy, smoke_config, programs, tmp_path):
    """A folder whose configuration was edited after training: the checkpoint does not fit, and that is said."""
    edited = change(smoke_config, "model", micro_dim=3)
    (half_copy / "config.json").write_text(json.dumps(to_dict(edited)))
    with pytest.raises(InputError, match="does not fit this model"):
        evaluate(str(half_copy), str(tmp_path / "results"))
    assert not os.path.exists(tmp_path / "results")


@pytest.fixture
def second_run(smoke_run, smoke_config, tmp_path):
    """A run of another seed with other weights: the smoke run's copy with its decoder's outputs scaled."""
    run = Workdir(str(shutil.copytree(smoke_run.path, tmp_path / "second")))
    pathlib.Path(run.config).write_text(json.dumps(to_dict(dataclasses.replace(smoke_config, seed=1))))
    state, record = run.best.restore(smoke_run.state)
    model = state.average["model"]
    scaled = jax.tree.map(lambda a: 1.5 * a, model["decoder"])
    average = state.average | {"model": model | {"decoder": scaled}}
    run.best.save(state._replace(average=average, step=jnp.int32(41)), record)
    return run.path


@pytest.mark.slow
def test_ensemble_of_runs(smoke_run, second_run, result, dataset, programs, tmp_path):
    """Two seeds as one: half of the members each, the mean of both reconstructions, and a file of their own."""
    returned = evaluate_ensemble([smoke_run.path, second_run], str(tmp_path / "results"))
    path = tmp_path / "results" / "burgers_1d" / "ensemble_d2_s0-1.json"
    found = read_strict(path)
    assert found == json.loads(json.dumps(returned.result)) and returned.paths == [str(path)]
    assert (found["seeds"], found["steps"], found["micro_dim"]) == ([0, 1], [40, 40], 2)
    assert list(found["test"]) == METRICS and len(found["calibration"]["coverage"]) == 19
    model = build_model(smoke_run.config, dataset)
    both = []
    for path in (smoke_run.path, second_run):
        params = Workdir(path).best.restore(smoke_run.state)[0].average["model"]
        both.append(np.asarray(jax.jit(reconstruct, static_argnums=0)(model, params, dataset.test.u[1])))
    assert np.abs(both[0] - both[1]).max() > 1e-3
    expected = nrmse(np.mean(both, axis=0), dataset.test.u[1])
    np.testing.assert_allclose(found["test"]["reconstruction_nrmse"]["per_trajectory"][1], expected, rtol=1e-4)
    # Runs that differ spread further than one of them.
    spread = [r["test"]["spread_skill"]["mean"] * r["test"]["nrmse"]["mean"] for r in (found, result)]
    assert spread[0] > spread[1]
    assert format_table(found).startswith("burgers_1d, micro_dim 2, seeds 0, 1 together, 2 test trajectories")


def test_ensemble_refusals(smoke_run, second_run, smoke_config, tmp_path):
    """The same run twice, a run of another configuration, and a number that does not divide the members."""
    results = str(tmp_path / "results")
    with pytest.raises(InputError, match=r"seeds of their own, got \[0, 0\]"):
        evaluate_ensemble([smoke_run.path, smoke_run.path], results)
    other = shutil.copytree(second_run, tmp_path / "other")
    changed = change(dataclasses.replace(smoke_config, seed=2), "inference", drift_weight=1.0)
    (other / "config.json").write_text(json.dumps(to_dict(changed)))
    with pytest.raises(InputError, match="differ in the seed alone.*inference.drift_weight"):
        evaluate_ensemble([smoke_run.path, str(other)], results)
    (other / "config.json").write_text(json.dumps(to_dict(dataclasses.replace(smoke_config, seed=2))))
    with pytest.raises(InputError, match="8 members .* cannot be shared evenly by 3 runs"):
        evaluate_ensemble([smoke_run.path, second_run, str(other)], results)
    assert not os.path.exists(results)
