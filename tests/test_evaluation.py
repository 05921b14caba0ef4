"""Evaluation of a run: the result file's numbers against independent ones, the figures, and what is refused."""

import json
import math
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke import change, snapshot

from msvi import evaluation
from msvi.build import build_model
from msvi.config import from_dict, to_dict
from msvi.data.dataset import load_dataset
from msvi.errors import InputError
from msvi.evaluation import evaluate, format_table, summarize
from msvi.forecast import forecast_field, reconstruct
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]

METRICS = ["nrmse", "nrmse_clean", "rel_l2", "rel_l2_clean", "reconstruction_nrmse", "noise_floor"]


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
    lowest = min((e for e in reference.read_history() if "val_nrmse" in e), key=lambda e: e["val_nrmse"])
    assert result["val"] == {"nrmse": lowest["val_nrmse"], "reconstruction_nrmse": lowest["val_reconstruction"]}


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
    """The forecast and reconstruction errors of the first test trajectory, computed again by other means.

    Best checkpoint, averaged weights, the ensemble from its first frame under key 0; metrics in float64 with numpy.
    """
    config, scores = smoke_run.config, result["test"]
    params = Workdir(smoke_run.path).best.restore(smoke_run.state)[0].average["model"]
    model = build_model(config, dataset)
    u, u_true = dataset.test.u[0], dataset.test.u_true[0]

    @jax.jit
    def forecast(params, t, u):
        mean = forecast_field(
            model, params, t, u[0], jax.random.key(0), config.forecast.num_members, config.forecast.steps_per_frame
        )[0]
        return mean, reconstruct(model, params, u)

    mean, reconstruction = forecast(params, jnp.asarray(dataset.test.t[0], jnp.float32), u)
    expected = {
        "nrmse": nrmse(mean, u),
        "nrmse_clean": nrmse(mean, u_true),
        "rel_l2": rel_l2(mean, u),
        "rel_l2_clean": rel_l2(mean, u_true),
        "reconstruction_nrmse": nrmse(reconstruction, u),
    }
    # Another program of the same float32 computation.
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name]["per_trajectory"][0], value, rtol=1e-4, err_msg=name)
    # The forecast starts from the encoded first frame: early errors are reconstruction errors.
    assert nrmse(mean[:1], u[:1]) < 2 * nrmse(reconstruction[:1], u[:1]) + 0.05


def test_figures(evaluated):
    """Every figure printed is there, a PNG of a size to be looked at and not blank."""
    figures = [pathlib.Path(line) for line in evaluated.process.stdout.splitlines() if line.endswith(".png")]
    assert {"forecast", "space_time", "error", "latents", "kernel", "training"} <= {path.stem for path in figures}
    assert sorted(figures) == sorted((evaluated.path / "figures").iterdir())
    for path in figures:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = (int.from_bytes(data[a : a + 4], "big") for a in (16, 20))
        assert min(width, height) > 200 and len(data) > 5000, path


def test_table(result):
    """The table has every metric with its median, mean, sd and worst trajectory."""
    lines = format_table(result).splitlines()
    assert lines[0].startswith(f"burgers_1d, micro_dim 2, seed 0, checkpoint of step {result['best_step']} of 40")
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert list(rows) == METRICS
    for name, row in rows.items():
        score = result["test"][name]
        numbers = (score["median"], score["mean"], score["std"], max(score["per_trajectory"]))
        assert row == [f"{number:.4f}" for number in numbers]


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
    assert {**read_strict(run / "result.json"), "evaluate_seconds": 0} == {**result, "evaluate_seconds": 0}
    assert snapshot(foreign) == before and again.paths == [str(run / "result.json")]
    printed = capsys.readouterr().out
    assert f"{foreign} holds another run's result" in printed
    assert f"train.learning_rate: 0.25 -> {smoke_config.train.learning_rate}" in printed


def test_published_trajectory(evaluated, result, dataset, programs, monkeypatch, tmp_path):
    """Where the paper's test trajectory is kept apart, it is scored like the others and written beside them, the table
    left as it is; without one the key is absent.

    It is the first of the test trajectories here, forecast with the same key: the same numbers to the bit.
    """
    assert "published_test" not in result
    first = type(dataset.test)(*(values[:1] for values in dataset.test))
    run = shutil.copytree(evaluated.path, tmp_path / "run")
    monkeypatch.setattr(evaluation, "load_dataset", lambda case, config: dataset._replace(published=first))
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


def test_own_result_is_replaced(smoke_config, tmp_path):
    """A result of the same run may be written over, also after the data cache has moved."""
    path = tmp_path / "d2_s0.json"
    assert evaluation._other_run(str(path), smoke_config) == ""
    path.write_text(json.dumps({"config": to_dict(smoke_config)}))
    assert evaluation._other_run(str(path), smoke_config) == ""
    assert evaluation._other_run(str(path), change(smoke_config, "data", cache_dir="elsewhere")) == ""


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
    assert rows["nrmse"] == ["diverged"] * 4 and "diverged" not in rows["noise_floor"]
    assert len(list((tmp_path / "figures").iterdir())) == len(returned.paths) - 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_diverged_trajectory(bad):
    """One trajectory of three lost, by NaN or by infinity: its place is null, so are the statistics it spoils."""
    summary = summarize(np.array([0.25, bad, 0.5]))
    assert summary["per_trajectory"] == [0.25, None, 0.5]
    assert summary["mean"] is None and summary["std"] is None
    assert summary["median"] == (None if math.isnan(bad) else 0.5)


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


def test_checkpoint_of_another_model(half_copy, smoke_config, programs, tmp_path):
    """A folder whose configuration was edited after training: the checkpoint does not fit, and that is said."""
    edited = change(smoke_config, "model", micro_dim=3)
    (half_copy / "config.json").write_text(json.dumps(to_dict(edited)))
    with pytest.raises(InputError, match="does not fit this model"):
        evaluate(str(half_copy), str(tmp_path / "results"))
    assert not os.path.exists(tmp_path / "results")
