"""The examples: data files with parameters and with forcing, learned from with and without them, and the notebook."""

import dataclasses
import re
import warnings

import jax
import jax.numpy as jnp
import nbclient
import nbformat
import numpy as np
import pytest
from smoke import ROOT, load_module, settings, snapshot

from msvi.config import Config
from msvi.data.config import DataConfig, Recorded
from msvi.data.dataset import load_dataset
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.errors import InputError
from msvi.forecast.ensemble import forecast_field, solver_steps
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.recipe.build import build_conditions
from msvi.scores import metrics
from msvi.training.config import TrainConfig
from msvi.training.loop import train
from msvi.training.trained import load_trained

pytest_plugins = ["smoke"]

burgers = load_module(ROOT / "examples" / "burgers.py")
cells = load_module(ROOT / "examples" / "cells.py")

EQUATION = Burgers1D(viscosity=5e-3, num_points=64, num_frames=51, max_dt=5e-3)


def forecast_error(path, workdir, window=32):
    """NRMSE of forecasts of the test trajectories after a short training on a data file, the mean over them."""
    config = Config(
        case="custom",
        data=DataConfig(Recorded(), str(path), num_train=0, num_val=0, num_test=0),
        model=ModelConfig(
            micro_dim=2,
            coarsening=0,
            macro_hidden=(32, 32),
            micro_hidden=(32,),
            encoder_hidden=(32,),
            decoder_hidden=(32,),
        ),
        inference=InferenceConfig(window=window, drift_warmup_steps=200),
        train=TrainConfig(steps=1000, eval_every=500, learning_rate=4e-3),
    )
    train(config, str(workdir))
    trained = load_trained(str(workdir))
    test = trained.dataset.test

    @jax.jit
    def error(t, steps, u, conditions):
        model, key = trained.model, jax.random.key(0)
        mean = forecast_field(model, trained.params, t, u[0], key, 8, conditions=conditions, steps=steps)[0]
        return metrics.nrmse(mean, u)

    times = (
        jnp.asarray(test.t, jnp.float32),
        jnp.asarray(solver_steps(test.t, trained.model.scales.spacing), jnp.float32),
    )
    trajectories = *times, jnp.asarray(test.u), build_conditions(trained.model, test)
    return float(jnp.mean(jax.lax.map(lambda trajectory: error(*trajectory), trajectories)))


def test_file_is_written_where_no_folder_is(tmp_path, monkeypatch):
    """As in a fresh copy of the repository, which has no `data/`; what is hidden is not in the file."""
    path = tmp_path / "data" / "viscosity.npz"
    monkeypatch.setattr(burgers, "viscosity", lambda: {"u": np.zeros((2, 3)), "mu": np.ones((2, 1))})
    for flags, names in (([], {"u", "mu"}), (["--blind"], {"u"})):
        monkeypatch.setattr("sys.argv", ["burgers.py", "viscosity", str(path), *flags])
        burgers.main()
        with np.load(path) as arrays:
            assert set(arrays) == names


@pytest.fixture(scope="module")
def told(compilation, tmp_path_factory):
    """For each kind of file its arrays, and the error where all of them are learned from."""
    errors, folder = {}, tmp_path_factory.mktemp("told")
    for kind in ("viscosity", "forcing"):
        arrays = getattr(burgers, kind)(EQUATION, (10, 1, 4))
        np.savez(folder / f"{kind}.npz", **arrays)
        with settings(compilation):
            errors[kind] = arrays, forecast_error(folder / f"{kind}.npz", folder / kind)
    return errors


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "hidden"), [("viscosity", "mu"), ("forcing", "forcing")])
def test_what_acts_from_outside_is_learned(told, kind, hidden, programs, tmp_path):
    """Forecasts at viscosities, or under forcings, of no training trajectory; without them the error doubles."""
    arrays, error = told[kind]
    assert arrays["u"].shape == (15, 51, 64, 1)
    np.savez(tmp_path / "blind.npz", **{name: a for name, a in arrays.items() if name != hidden})
    assert error < 0.1 and 2 * error < forecast_error(tmp_path / "blind.npz", tmp_path / "run")


@pytest.mark.slow
def test_half_of_the_frames(told, programs, tmp_path):
    """Half of the frames to learn from, other ones in each trajectory, cost less than a factor of 1.5."""
    arrays, error = told["viscosity"]
    mask = np.random.default_rng(0).random(arrays["u"].shape[:2]) < 0.5
    mask[:, 0] = True
    mask[arrays["split"] == "test"] = True
    u = np.where(mask[..., None, None], arrays["u"], np.nan)
    np.savez(tmp_path / "half.npz", **arrays | {"u": u, "mask": mask})
    assert forecast_error(tmp_path / "half.npz", tmp_path / "run", window=16) < 1.5 * error


@pytest.mark.slow
def test_other_data_under_the_same_name(programs, tmp_path):
    """A run neither goes on nor is read with a file that has changed since; one that is whole again is taken."""
    path, workdir = tmp_path / "data.npz", str(tmp_path / "run")
    arrays = burgers.viscosity(EQUATION, (2, 1, 1))
    np.savez(path, **arrays)
    config = Config(
        case="custom",
        data=DataConfig(Recorded(), str(path), num_train=0, num_val=0, num_test=0),
        model=ModelConfig(micro_dim=0, coarsening=0, macro_hidden=(8,)),
        inference=InferenceConfig(window=16),
        train=TrainConfig(steps=4, eval_every=2, log_every=2),
    )
    half = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2))
    train(half, workdir)
    np.savez(path, **arrays | {"mu": arrays["mu"] + 1})
    before = snapshot(workdir)
    for use in (lambda: train(config, workdir), lambda: load_trained(workdir)):
        with pytest.raises(InputError, match="data.npz has other trajectories to learn from"):
            use()
    changed = {path for path, state in snapshot(workdir).items() if before.get(path) != state}
    assert changed <= {workdir, str(tmp_path / "run" / "lock")}
    np.savez(path, **arrays)
    assert int(train(config, workdir).step) == 4


def test_forced_equation():
    """Under a forcing that is constant in space the mean of the field is its integral over time, to round-off; without
    any the solution is that of the equation."""
    forced = burgers.ForcedBurgers(**dataclasses.asdict(EQUATION))
    u0 = forced.sample_initial(np.random.default_rng(0))
    still = np.zeros((51, 64, 1))
    np.testing.assert_allclose(forced.solve_forced(u0, still), EQUATION.solve(u0), atol=1e-12)
    f = still + 0.5 * forced.t[:, None, None]
    mean = forced.solve_forced(u0, f).mean(axis=1)[:, 0]
    np.testing.assert_allclose(mean - mean[0], 0.25 * forced.t**2, atol=1e-12)


def test_every_trajectory_is_its_own():
    """Viscosities that all differ, between the bounds; the noise is of the size stated."""
    arrays = burgers.viscosity(EQUATION, (3, 1, 2))
    assert len(np.unique(arrays["mu"])) == 6 and list(arrays["split"]) == ["train"] * 3 + ["val"] + ["test"] * 2
    np.testing.assert_allclose(np.std(arrays["u"] - arrays["u_true"]), burgers.NOISE, rtol=0.02)


def test_file_from_the_command_line(monkeypatch, tmp_path):
    """What is written can be read; `--blind` leaves the parameters out."""
    make = burgers.viscosity
    monkeypatch.setattr(burgers, "viscosity", lambda: make(EQUATION, (1, 1, 1)))
    for arguments, parameters in ([], 1), (["--blind"], None):
        path = str(tmp_path / f"data{len(arguments)}.npz")
        monkeypatch.setattr("sys.argv", ["burgers.py", "viscosity", path, *arguments])
        burgers.main()
        dataset = load_dataset("custom", DataConfig(Recorded(), path, num_train=0, num_val=0, num_test=0))
        assert dataset.train.u.shape == (1, 51, 64, 1) and dataset.coarsening == 4
        assert (dataset.test.mu.shape[1] if dataset.test.mu is not None else None) == parameters


@pytest.fixture
def run_notebook(environment, monkeypatch, tmp_path):
    """A function that runs all cells of a notebook in a folder of its own: their outputs, and these as one text."""

    def run(name, pictures):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        notebook = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
        client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the notebook's machinery
            client.execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        assert sum("image/png" in output.get("data", {}) for output in outputs) == pictures
        return outputs, "".join(output.get("text", "") for output in outputs)

    return run


@pytest.mark.slow
def test_notebook(run_notebook):
    """Every cell of the quickstart runs as it stands there; the forecast is good and the pictures are there."""
    outputs, text = run_notebook("quickstart", pictures=2)
    assert float(re.search(r"relative error over all frames ([.\d]+)", text)[1]) < 0.06
    assert "spread–skill ratio" in text
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)


@pytest.mark.slow
def test_which_cell_sees_what(tmp_path):
    """The drift of a cell sees two to each side and the decoder's patches reach as far, the filter sees three; the
    encoder sees the neighbouring cells, and more only through the filter. Drawn into a file."""
    found = cells.influences(cells.make_model(), jax.random.key(0))

    def reach(values, size):
        seen = np.flatnonzero(values > 1e-6) / size - cells.CELL
        return [int(np.floor(seen.min())), int(np.floor(seen.max()))]

    for values in found["drift"]:
        assert reach(values, 1) == [-2, 2]
    macro, micro = found["encoder"]
    assert reach(macro, cells.SIZE) == [-3, 3]
    near = np.arange(len(micro)) // cells.SIZE - cells.CELL
    assert micro[np.abs(near) <= 1].max() == 1 and micro[np.abs(near) > 1].max() < 0.3
    assert reach(found["decoder"][1], cells.SIZE) == [-2, 2]
    path = tmp_path / "cells.png"
    cells.draw(found).savefig(path)
    assert path.stat().st_size > 10_000


@pytest.mark.slow
def test_notebook_of_assimilation(run_notebook):
    """Every cell runs as it stands there; with readings the error is a small part of that without, and smaller still
    with later ones."""
    _, text = run_notebook("assimilation", pictures=1)
    free, filtered, smoothed = map(
        float, re.search(r"without readings ([.\d]+), filtered ([.\d]+), smoothed ([.\d]+)", text).groups()
    )
    assert smoothed < filtered < 0.2 * free
    assert float(re.search(r"error of the forecast ([.\d]+)", text)[1]) < 0.5 * free
