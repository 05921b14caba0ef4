"""Training as a whole: a run that is stopped and started again ends as one that was not, and spoils nothing.

"The same" is to the bit throughout: parameters, their average, Adam's moments, the random key, the history's text.
"""

import dataclasses
import json
import pathlib
import shutil
import signal
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import XLA_FLAGS
from smoke import CONFIG_FILE, ROOT, assert_same_run, assert_same_state, change, run_python, snapshot
from tensorboardX.proto import event_pb2

from msvi.data.dataset import load_dataset
from msvi.errors import InputError
from msvi.recipe.build import build_model
from msvi.training import loop
from msvi.training.build import build_elbo, build_trajectories
from msvi.training.config import TrainConfig
from msvi.training.monitoring import group_tags
from msvi.training.state import Objective, init_state, make_optimizer, make_train_chunk
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]

# A process that is killed when the given checkpoint is about to be renamed to its final name.
KILLED_WHILE_SAVING = """
import os, runpy, signal, sys

rename, checkpoint, sys.argv = os.rename, sys.argv[1], sys.argv[2:]

def rename_or_die(source, destination, **options):
    if str(destination).endswith(checkpoint):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(source, destination, **options)

os.rename = rename_or_die
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def smoke_model(smoke_config, smoke_run):
    """The model that the smoke training trains, in the units of the data."""
    return build_model(smoke_config, load_dataset(smoke_config.case, smoke_config.data))


@pytest.fixture(scope="module")
def parts(smoke_config, smoke_model):
    """The pieces of the smoke training: data, estimator of the bound, trajectories on the device."""
    dataset = load_dataset(smoke_config.case, smoke_config.data)
    return dataset, build_elbo(smoke_config, smoke_model), build_trajectories(smoke_model, dataset.train)


@pytest.fixture(scope="module")
def train_chunk(smoke_config, parts):
    """The compiled loop over steps, one for all tests of it."""
    return make_train_chunk(parts[1], smoke_config.inference, smoke_config.train)


def fresh_state(config, elbo):
    """The state at step 0; made anew for every use, since a chunk of steps takes its state away."""
    return init_state(elbo, config.train, jax.random.key(config.seed))


def test_resumed_equals_uninterrupted(half_copy, smoke_run, programs, capsys):
    """20 steps and then 40 in the same folder are 40 steps; raising `train.steps` is all it takes to go on.

    Only the wall time adds up: the whole run's stands beside the checkpoint.
    """
    latest = Workdir(str(half_copy)).latest
    seconds = latest.restore(smoke_run.state)[1]["train_seconds"]
    state = loop.train(smoke_run.config, str(half_copy))
    assert latest.restore(smoke_run.state)[1]["train_seconds"] > seconds
    assert "from step 20 to 40" in capsys.readouterr().out
    assert_same_state(state, smoke_run.state)
    assert_same_run(half_copy, smoke_run)
    assert json.loads((half_copy / "config.json").read_text())["train"]["steps"] == 40


@pytest.mark.slow
def test_interrupted_between_checkpoints(half_copy, smoke_run, programs, monkeypatch):
    """Stopped at step 30, after its history but long before its checkpoint, and with a torn last line: no trace."""
    append = Workdir.append_history

    def append_and_stop(run, entry):
        append(run, entry)
        if entry["step"] == 30:
            with open(run.history, "a", encoding="utf-8") as file:
                file.write('{"step": 31, "lo')
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Workdir, "append_history", append_and_stop)
        with pytest.raises(KeyboardInterrupt):
            loop.train(smoke_run.config, str(half_copy))
    run = Workdir(str(half_copy))
    assert run.latest.latest_step() == 20
    assert [entry["step"] for entry in run.read_history()] == [10, 20, 30]
    assert_same_state(loop.train(smoke_run.config, run.path), smoke_run.state)
    assert_same_run(run.path, smoke_run)
    assert read_scalars(run.tensorboard) == expected_scalars(run)


@pytest.mark.slow
def test_killed_while_saving(smoke_run, tmp_path, tmp_path_factory):
    """`kill -9` within the save of the last checkpoint, when the best one of that step is there already.

    The same command, in a process of its own, ends with what the uninterrupted run has. The programs are compiled as
    users have them: only where XLA optimises could two programs that should round alike round differently.
    """
    environment = {
        "XLA_FLAGS": XLA_FLAGS,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "False",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("optimised")),
    }
    command = [ROOT / "train.py", f"--config={CONFIG_FILE}:smoke"]
    command.append(f"--config.data.cache_dir={smoke_run.config.data.cache_dir}")
    reference = tmp_path_factory.mktemp("uninterrupted") / "run"
    whole = run_python(*command, f"--workdir={reference}", environment=environment, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr

    workdir = tmp_path / "run"
    command.append(f"--workdir={workdir}")
    killed = run_python("-c", KILLED_WHILE_SAVING, "latest/40", *command, environment=environment, cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = Workdir(str(workdir))
    assert (run.latest.latest_step(), run.best.latest_step()) == (20, 40)
    assert len(list((workdir / "checkpoints" / "latest").iterdir())) > 1  # what was being written

    resumed = run_python(*command, environment=environment, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "from step 20 to 40" in resumed.stdout and resumed.stderr == ""
    assert_same_run(workdir, smoke_run._replace(path=str(reference)))
    assert sorted(p.name for p in (workdir / "checkpoints" / "latest").iterdir()) == ["20", "40"]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_killed_before_the_first_checkpoint(half_run, programs, tmp_path):
    """A folder with a configuration and history but no checkpoint yet starts from the beginning."""
    workdir = tmp_path / "run"
    workdir.mkdir()
    shutil.copy(pathlib.Path(half_run.path) / "config.json", workdir)
    line = (pathlib.Path(half_run.path) / "history.jsonl").read_text().splitlines()[0]
    (workdir / "history.jsonl").write_text(line + "\n")
    assert_same_state(loop.train(half_run.config, str(workdir)), half_run.state)
    assert_same_run(workdir, half_run)


def test_chunks_validations_and_best(smoke_config, programs, monkeypatch, tmp_path):
    """A loop of scripted errors: where it looks at the loss, where it validates and saves, and what it calls best.

    The best of an earlier command is not forgotten by a later one whose first errors are worse.
    """
    errors, counts = {25: 0.5, 50: 0.3, 57: 0.4, 75: 0.35, 80: 0.2}, []

    def make_chunk(elbo, inference, train):
        def chunk(state, trajectories, count):
            counts.append(count)
            return state._replace(step=state.step + count), Objective(*jnp.zeros((3, train.log_every)))

        return chunk

    def make_validation(model, dataset, config):
        return lambda state: {"val_crps": errors[int(state.step)], "val_nrmse": 0.2, "val_reconstruction": 0.1}

    monkeypatch.setattr(loop, "make_train_chunk", make_chunk)
    monkeypatch.setattr(loop, "make_validation", make_validation)
    run = Workdir(str(tmp_path / "run"))
    for steps, expected, best in ((57, [10, 10, 5, 5, 10, 10, 7], 50), (75, [3, 10, 5], 50), (80, [5], 80)):
        counts.clear()
        config = change(smoke_config, "train", steps=steps, log_every=10, eval_every=25)
        assert int(loop.train(config, run.path).step) == steps
        assert counts == expected
        assert (run.latest.latest_step(), run.best.latest_step()) == (steps, best)
    history = {entry["step"]: entry for entry in run.read_history()}
    assert list(history) == [10, 20, 25, 30, 40, 50, 57, 60, 70, 75, 80]
    assert {step: entry["val_crps"] for step, entry in history.items() if "val_crps" in entry} == errors


def test_finished_run_is_left_alone(smoke_run, programs, capsys):
    """The command of a finished run says so, gives its last state, and writes nothing; nor with fewer steps."""
    before = snapshot(smoke_run.path)
    for steps in (40, 20):
        state = loop.train(change(smoke_run.config, "train", steps=steps), smoke_run.path)
        assert_same_state(state, smoke_run.state)
        assert "has 40 steps already; raise --config.train.steps" in capsys.readouterr().out
    assert snapshot(smoke_run.path) == before


@pytest.mark.parametrize(
    ("group", "values", "shown"),
    [
        ("train", {"learning_rate": 0.25}, "train.learning_rate: {} -> 0.25"),
        ("model", {"micro_dim": 3}, "model.micro_dim: {} -> 3"),
        ("data", {"num_train": 3}, "data.num_train: {} -> 3"),
        (None, {"seed": 1}, "seed: {} -> 1"),
    ],
)
def test_other_configuration_is_refused(smoke_run, group, values, shown):
    """A run never goes on under another configuration: old and new value are shown, and no file is touched."""
    config = smoke_run.config
    changed = change(config, group, **values) if group else dataclasses.replace(config, **values)
    old = getattr(getattr(config, group) if group else config, *values)
    before = snapshot(smoke_run.path)
    with pytest.raises(InputError, match="holds a run with another configuration") as error:
        loop.train(changed, smoke_run.path)
    assert f"({shown.format(old)})" in str(error.value)
    assert snapshot(smoke_run.path) == before


def test_foreign_folder_is_refused(smoke_config, tmp_path):
    """A folder with anything else in it is not written to."""
    (tmp_path / "thesis.tex").write_text("years of work")
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="holds other files"):
        loop.train(smoke_config, str(tmp_path))
    assert snapshot(tmp_path) == before


def test_foreign_configuration_is_refused(smoke_config, tmp_path):
    """Nor is one whose config.json is another program's or cut short."""
    for text in ('{"name": "webpack"}', '{"case": "burgers_1d", "seed": 0', "[]"):
        (tmp_path / "config.json").write_text(text)
        before = snapshot(tmp_path)
        with pytest.raises(InputError):
            loop.train(smoke_config, str(tmp_path))
        assert snapshot(tmp_path) == before


def test_file_in_place_of_the_folder_is_refused(smoke_config, smoke_run, tmp_path):
    """A workdir that is a file, or lies below one, is refused, and before anything is computed."""
    file = tmp_path / "notes.txt"
    file.write_text("text")
    for path in (file, file / "run"):
        with pytest.raises(InputError, match="`workdir` must be"):
            loop.train(smoke_config, str(path))
    assert file.read_text() == "text"


def test_empty_folder_is_used(smoke_config, tmp_path):
    """An empty folder is as good as none, also where the configuration has other free fields."""
    Workdir(str(tmp_path)).check(smoke_config)
    Workdir(str(tmp_path / "new" / "folder")).check(smoke_config)
    assert not any(tmp_path.iterdir())


def test_overflow_stops_the_run(half_copy, half_run, smoke_config, programs, monkeypatch):
    """Fields that overflow from step 21 on: the term and the step are named, the checkpoint of step 20 stays good."""
    make = loop.make_train_chunk

    def make_poisoned(*arguments):
        chunk = make(*arguments)

        def poisoned(state, trajectories, count):
            if int(state.step) >= 20:
                frames = trajectories.frames._replace(u=trajectories.frames.u * 1e30)
                trajectories = trajectories._replace(frames=frames)
            return chunk(state, trajectories, count)

        return poisoned

    monkeypatch.setattr(loop, "make_train_chunk", make_poisoned)
    with pytest.raises(InputError, match="log_likelihood is (-inf|nan) at step 21; the last good checkpoint"):
        loop.train(smoke_config, str(half_copy))
    run = Workdir(str(half_copy))
    assert run.latest.latest_step() == run.best.latest_step() == 20
    assert_same_state(run.latest.restore(half_run.state)[0], half_run.state)
    assert [entry["step"] for entry in run.read_history()] == [10, 20]


@pytest.mark.parametrize("name", ["log_likelihood", "drift_residual"])
def test_first_bad_term_and_step_are_named(half_copy, smoke_config, programs, monkeypatch, name):
    """One term, not finite at step 24 of a chunk from 20 to 30: that term and that step, though the loss is bad too."""
    make = loop.make_train_chunk

    def make_poisoned(*arguments):
        chunk = make(*arguments)

        def poisoned(*arguments):
            state, objective = chunk(*arguments)
            bad = {key: getattr(objective, key).at[3:].set(jnp.nan) for key in (name, "loss")}
            return state, objective._replace(**bad)

        return poisoned

    monkeypatch.setattr(loop, "make_train_chunk", make_poisoned)
    with pytest.raises(InputError, match=f"{name} is nan at step 24;"):
        loop.train(smoke_config, str(half_copy))


def test_best_is_not_one_that_diverged(smoke_config, programs, monkeypatch, tmp_path, capsys):
    """A first validation that diverged is kept until a better one comes; the last that diverges replaces none, and is
    told of when it is seen and at the end."""
    errors = {10: None, 20: 0.3, 30: None}

    def make_chunk(elbo, inference, train):
        zeros = Objective(*jnp.zeros((3, train.log_every)))
        return lambda state, *data_and_count: (state._replace(step=state.step + data_and_count[-1]), zeros)

    def make_validation(model, dataset, config):
        return lambda state: {"val_crps": errors[int(state.step)], "val_nrmse": None, "val_reconstruction": 0.1}

    monkeypatch.setattr(loop, "make_train_chunk", make_chunk)
    monkeypatch.setattr(loop, "make_validation", make_validation)
    run = Workdir(str(tmp_path / "run"))
    for steps, best in ((10, 10), (20, 20), (30, 20)):
        loop.train(change(smoke_config, "train", steps=steps, log_every=10, eval_every=10), run.path)
        assert run.best.latest_step() == best
        out = capsys.readouterr().out
        assert ("validation CRPS diverged" in out) == (errors[steps] is None)
        assert out.count("forecast of step") == (2 if errors[steps] is None else 0)
    assert [entry["val_crps"] for entry in run.read_history()] == list(errors.values())


def test_loss_falls(smoke_run):
    """40 steps lower the loss: -log-likelihood per value, by more than the whole drift term can account for."""
    history = Workdir(smoke_run.path).read_history()
    assert [entry["step"] for entry in history] == [10, 20, 30, 40]
    losses = np.array([entry["loss"] for entry in history])
    assert losses[-1] < losses[0] - 1
    assert history[-1]["log_likelihood"] > history[0]["log_likelihood"] + 1
    for name in ("val_crps", "val_nrmse"):
        assert history[-1][name] < history[1][name]


def test_best_checkpoint_is_the_best(smoke_run):
    """The best checkpoint is that of the lowest validation CRPS in the history, with that CRPS beside it."""
    run = Workdir(smoke_run.path)
    validated = [entry for entry in run.read_history() if "val_crps" in entry]
    lowest = min(validated, key=lambda entry: entry["val_crps"])
    state, record = run.best.restore(smoke_run.state)
    assert int(state.step) == lowest["step"] and record["val_crps"] == lowest["val_crps"]
    assert record["train_seconds"] > 0


@pytest.mark.slow
def test_validation(smoke_run, parts, smoke_model, programs):
    """The validation of a checkpoint gives the number in its record, from the averaged weights.

    Of a forecast that diverges the scores are None, and parameters that are not finite are refused by name.
    """
    state = smoke_run.state
    validate = loop.make_validation(smoke_model, parts[0], smoke_run.config)
    record = Workdir(smoke_run.path).latest.restore(state)[1]
    names = ("val_crps", "val_nrmse", "val_reconstruction", "val_spread_skill", "val_decoder_spread")
    expected = {name: record[name] for name in names}
    assert validate(state) == expected
    assert validate(state._replace(params=jax.tree.map(jnp.zeros_like, state.params))) == expected
    # Nothing is validated on what is learned from or tested on.
    val = parts[0].val
    unseen = val._replace(u=np.full_like(val.u, np.nan))
    other = parts[0]._replace(train=unseen, test=unseen)
    assert loop.make_validation(smoke_model, other, smoke_run.config)(state) == expected
    other = parts[0]._replace(val=val._replace(u=1.1 * val.u))
    assert loop.make_validation(smoke_model, other, smoke_run.config)(state)["val_crps"] != expected["val_crps"]

    average = state.average["model"] | {"log_q": jnp.full_like(state.average["model"]["log_q"], 150.0)}
    diverged = validate(state._replace(average=state.average | {"model": average}))
    assert diverged["val_crps"] is None and diverged["val_nrmse"] is None
    assert diverged["val_reconstruction"] == expected["val_reconstruction"]

    kernel = state.params["model"]["kernel"].at[3].set(jnp.inf)
    bad = state._replace(params=state.params | {"model": state.params["model"] | {"kernel": kernel}})
    with pytest.raises(InputError, match=r"\['model'\]\['kernel'\] is not finite at step 40"):
        validate(bad)


def test_chunks_of_any_length_are_the_same_steps(smoke_config, parts, train_chunk, programs):
    """10 steps at once are 1 + 6 + 3 steps, state and objective; what lies beyond the steps asked for is NaN."""
    _, elbo, trajectories = parts
    whole, objective = train_chunk(fresh_state(smoke_config, elbo), trajectories, 10)
    state, pieces = fresh_state(smoke_config, elbo), []
    for count in (1, 6, 3):
        state, piece = train_chunk(state, trajectories, count)
        assert np.isnan(np.stack(piece)[:, count:]).all()
        pieces.append(np.stack(piece)[:, :count])
    assert_same_state(state, whole)
    np.testing.assert_array_equal(np.stack(objective), np.concatenate(pieces, axis=1))


def test_objective_and_average(smoke_config, parts, train_chunk, programs):
    """The loss is its parts with a weight that rises linearly; the average follows its recursion from the start."""
    _, elbo, trajectories = parts
    state = fresh_state(smoke_config, elbo)
    before = jax.tree.map(np.asarray, state.params)
    state, objective = train_chunk(state, trajectories, 1)
    # (1 + 0) / (10 + 0) is below the configured decay.
    expected = jax.tree.map(lambda a, p: 0.1 * a + 0.9 * np.asarray(p), before, state.params)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-7), state.average, expected)

    objective = train_chunk(fresh_state(smoke_config, elbo), trajectories, 10)[1]
    loss, log_likelihood, residual = (np.asarray(values, np.float64) for values in objective)
    inference = smoke_config.inference
    weight = inference.drift_weight * np.minimum(1, np.arange(1, 11) / inference.drift_warmup_steps)
    np.testing.assert_allclose(loss, weight * residual - log_likelihood, rtol=1e-5)
    assert (residual > 0).all()


def test_trajectories_have_times_of_their_own(smoke_config, parts, train_chunk, programs):
    """The bound depends on the spacing of the frames: other times in one trajectory of two give another residual, and
    times moved as a whole, for a drift that knows no clock, the same up to their rounding."""
    _, elbo, trajectories = parts
    t = trajectories.t
    assert t.shape == trajectories.frames.u.shape[:2] and not elbo.model.config.micro_clock

    def residual(t):
        state = fresh_state(smoke_config, elbo)
        return np.asarray(train_chunk(state, trajectories._replace(t=t), 1)[1].drift_residual[0])

    np.testing.assert_allclose(residual(t + jnp.array([[0.0], [1.0]])), residual(t), rtol=1e-2)
    assert abs(residual(t * jnp.array([[1.0], [3.0]])) / residual(t) - 1) > 0.05


def test_one_program_for_all_chunks(smoke_config, parts, train_chunk):
    """State out has the types of state in, weak ones too, and the number of steps is no part of the program.

    Otherwise the steps are compiled again and again, and chunks of other lengths may round differently.
    """
    _, elbo, trajectories = parts
    state = fresh_state(smoke_config, elbo)
    given = jax.tree.map(jax.typeof, state)
    # Not `train_chunk` itself, which would let a static number of steps pass.
    returned = jax.eval_shape(lambda *arguments: train_chunk(*arguments), state, trajectories, 1)[0]
    for (path, a), b in zip(jax.tree.leaves_with_path(given), jax.tree.leaves(returned), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type), jax.tree_util.keystr(path)


def test_shifts_need_periodic_axes(smoke_config, parts):
    """Refused where the loop is made, by name."""
    elbo = parts[1]
    fixed = dataclasses.replace(elbo.model.config, micro_frame="fixed")
    elbo = dataclasses.replace(elbo, model=dataclasses.replace(elbo.model, config=fixed, boundary=("edge",)))
    with pytest.raises(InputError, match=r"`train.random_shift` needs periodic axes, got \('edge',\) and a shift of 9"):
        make_train_chunk(elbo, smoke_config.inference, smoke_config.train)


def test_learning_rate_schedule():
    """Adam on a constant gradient moves by the learning rate: 0.9 of it is left every 1000 steps, continuously."""
    optimizer = make_optimizer(TrainConfig(learning_rate=2e-3, decay_rate=0.9, decay_steps=1000))

    @jax.jit
    def moves(params):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update({"w": jnp.array([3.0, -0.02])}, state, params)
            return (params, state), updates["w"]

        return jax.lax.scan(step, (params, optimizer.init(params)), length=2501)[1]

    moved = np.asarray(moves({"w": jnp.zeros(2)}))
    for step, rate in ((0, 2e-3), (500, 2e-3 * 0.9**0.5), (1000, 1.8e-3), (2000, 1.62e-3), (2500, 2e-3 * 0.9**2.5)):
        # Adam's epsilon of 1e-8 and its float32 bias correction.
        np.testing.assert_allclose(moved[step], [-rate, rate], rtol=1e-4)


def test_tensorboard(smoke_run):
    """The event files hold every number of the history, in float32, at its step."""
    run = Workdir(smoke_run.path)
    assert read_scalars(run.tensorboard) == expected_scalars(run)


def expected_scalars(run):
    """`{(tag, step): value}` that the history calls for."""
    found = {}
    for entry in run.read_history():
        found |= {(tag, entry["step"]): np.float32(value) for tag, value in group_tags(entry).items()}
    return found


def read_scalars(directory):
    """`{(tag, step): value}` as TensorBoard would show it but for `cost/…`, which is no part of the history: a restart
    at a step purges what came from there on."""
    scalars = {}
    for path in sorted(pathlib.Path(directory).iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:  # length, its checksum, an event, its checksum
            length = struct.unpack("<Q", data[:8])[0]
            event = event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.HasField("session_log") and event.session_log.status == event.session_log.START:
                scalars = {key: value for key, value in scalars.items() if key[1] < event.step}
            for value in event.summary.value:
                scalars[value.tag, event.step] = np.float32(value.simple_value)
    return {key: value for key, value in scalars.items() if not key[0].startswith("cost/")}
