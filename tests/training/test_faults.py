"""What may befall a training from outside: damaged files, a full disk, a second process, `kill -9` at any moment.

Each ends in one sentence or in a run that goes on, and a run that went on is, to the bit, the one that met no fault.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax.numpy as jnp
import pytest
from smoke import CONFIG_FILE, ROOT, SmokeRun, assert_same_run, assert_same_state, change, run_python, snapshot
from test_checkpoint import DAMAGES, file_size_limit, files, names, one_sentence
from test_training import expected_scalars, read_scalars

from msvi.data.dataset import load_dataset
from msvi.errors import InputError
from msvi.recipe.build import build_model
from msvi.training import loop
from msvi.training.checkpoint import CheckpointStore
from msvi.training.monitoring import event_file
from msvi.training.state import Objective
from msvi.training.trained import open_run, restore_run
from msvi.training.workdir import Workdir
from msvi.writing import write_json

pytest_plugins = ["smoke"]

# A process in which no file can grow beyond so many bytes, and whose validation takes no time.
LIMITED = """
import math, resource, runpy, sys
from msvi.training import loop

loop.make_validation = lambda *parts: lambda state: dict.fromkeys(("val_crps", "val_nrmse", "val_reconstruction"), 0.0)
if math.isfinite(size := float(sys.argv[1])):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# A process that holds the lock on a workdir until it is killed.
HOLDER = """
import sys
from msvi.training.monitoring import event_file
from msvi.training.workdir import Workdir

with Workdir(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""

# A process that, for each line with a path and arguments, runs the given script in a process of its own, and tells its
# id and how it ended. That is forked where the imports are done but JAX has not computed anything. Validation needs no
# compilation, which would be most of the time: its error depends on the weights, and two of three are a new best.
STARTER = """
import os, runpy, sys
import jax, numpy as np
import msvi.cli.entry
from msvi.training import loop

def validate(state):
    norm = float(sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(state.average)))
    score = 1 / int(state.step) + int(state.step) // 4 % 3 // 2 + 1e-9 * norm
    return {"val_crps": score, "val_nrmse": score, "val_reconstruction": norm}

loop.make_validation = lambda model, dataset, config: validate
for line in sys.stdin:
    output, *arguments = line.split()
    child = os.fork()
    if not child:
        for number, name in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(output + name, os.O_CREAT | os.O_WRONLY), number)
        sys.argv = sys.argv[1:] + arguments
        runpy.run_path(sys.argv[0], run_name="__main__")
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def train_command(config, workdir):
    """The command line of a training with the smoke configuration and other steps."""
    fields = {"data.cache_dir": config.data.cache_dir}
    fields |= {f"train.{name}": getattr(config.train, name) for name in ("steps", "log_every", "eval_every")}
    command = [str(ROOT / "train.py"), f"--config={CONFIG_FILE}:smoke", f"--workdir={workdir}"]
    return command + [f"--config.{name}={value}" for name, value in fields.items()]


@pytest.fixture(scope="module")
def fault_environment(smoke_run, environment, tmp_path_factory):
    """Environment variables for processes that may die while they write: they find all programs and keep none.

    Half a program would be left where the other tests look for it.
    """
    folder = tmp_path_factory.mktemp("compiled")
    command = train_command(change(smoke_run.config, "train", steps=1), folder / "run")
    process = run_python("-c", LIMITED, "inf", *command, environment=environment, cwd=folder)
    assert process.returncode == 0, process.stderr
    return environment | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}


@pytest.fixture(scope="module")
def made():
    """What `compiled_once` has made, by name."""
    return {}


@pytest.fixture
def compiled_once(programs, made, monkeypatch):
    """All trainings of the smoke configuration share their compiled steps and validation."""

    def share(name):
        make = getattr(loop, name)

        def make_or_share(*parts):
            if name not in made:
                made[name] = make(*parts)
            return made[name]

        monkeypatch.setattr(loop, name, make_or_share)

    share("make_train_chunk")
    share("make_validation")


@pytest.fixture
def smoke_copy(smoke_run, tmp_path):
    """A copy of the finished run's folder to damage."""
    return shutil.copytree(smoke_run.path, tmp_path / "run")


@pytest.mark.parametrize("damage", ["flipped", "folder removed"])
def test_newest_checkpoint_damaged(smoke_copy, smoke_run, compiled_once, capsys, damage):
    """The same command goes on from the checkpoint before and ends as if nothing had been; what is damaged is kept."""
    checkpoints = smoke_copy / "checkpoints"
    if damage == "flipped":
        DAMAGES[damage](max(files(checkpoints / "latest" / "40" / "state"), key=lambda path: path.stat().st_size))
    else:
        shutil.rmtree(checkpoints / "latest" / "40" / "state" / "ocdbt.process_0")
    best = snapshot(checkpoints / "best")
    assert_same_state(loop.train(smoke_run.config, str(smoke_copy)), smoke_run.state)
    told = capsys.readouterr()
    assert "from step 20 to 40" in told.out
    folder = checkpoints / "latest"
    assert re.fullmatch(
        rf"warning: {folder}/40 is damaged \(.*\); {folder}/20 is used instead.\n"
        rf"warning: {folder}/40 is damaged \(.*\) and is kept as {folder}/40.damaged.\n",
        told.err,
    )
    assert names(folder) == ["20", "40", "40.damaged"] and snapshot(checkpoints / "best") == best
    assert_same_run(smoke_copy, smoke_run)
    assert read_scalars(smoke_copy / "tensorboard") == expected_scalars(Workdir(str(smoke_copy)))
    loop.train(smoke_run.config, str(smoke_copy))
    assert capsys.readouterr().err == ""


def test_all_newest_checkpoints_damaged(smoke_copy, smoke_run, compiled_once):
    """With nothing to go on from the run is left as it is, and does not start from the beginning."""
    for step in ("20", "40"):
        DAMAGES["emptied"](smoke_copy / "checkpoints" / "latest" / step / "checksums.json")
    before = snapshot(smoke_copy)
    with pytest.raises(InputError, match="40 is damaged .* put back a copy of it") as error:
        loop.train(change(smoke_run.config, "train", steps=60), str(smoke_copy))
    one_sentence(error)
    assert snapshot(smoke_copy) == before


@pytest.mark.parametrize("damage", [None, "best/20", "best/20.spare", "latest/40"])
def test_best_outlasts_damage(smoke_config, programs, monkeypatch, tmp_path, damage):
    """Errors that only rise, and damage after the second of three validations: the first stays the best, with a spare.

    The best is not that of the step gone on from, nor made again: without its spare copy it would be lost.
    """

    def make_chunk(elbo, inference, train):
        zeros = Objective(*jnp.zeros((3, train.log_every)))
        return lambda state, *data_and_count: (state._replace(step=state.step + data_and_count[-1]), zeros)

    def make_validation(model, dataset, config):
        return lambda state: {"val_crps": int(state.step) / 100, "val_nrmse": 0.2, "val_reconstruction": 0.1}

    monkeypatch.setattr(loop, "make_train_chunk", make_chunk)
    monkeypatch.setattr(loop, "make_validation", make_validation)
    run = Workdir(str(tmp_path / "run"))
    loop.train(smoke_config, run.path)
    if damage:
        DAMAGES["truncated"](files(tmp_path / "run" / "checkpoints" / damage / "state")[-1])
    state = loop.train(change(smoke_config, "train", steps=60), run.path)
    assert (run.latest.latest_step(), run.best.latest_step()) == (60, 20)
    assert run.best.restore(state)[1]["val_crps"] == 0.2
    aside = [f"{damage.removeprefix('best/')}.damaged"] if damage and damage.startswith("best") else []
    assert names(tmp_path / "run" / "checkpoints" / "best") == sorted(["20", "20.spare", *aside])
    assert [entry["step"] for entry in run.read_history()] == [10, 20, 30, 40, 50, 60]


def test_evaluation_beside_a_training(smoke_copy, smoke_run, capsys):
    """It reads what the training writes without a lock of its own, passes over damage, and moves nothing."""
    checkpoints = smoke_copy / "checkpoints"
    for damaged in ("best/40", "latest/40"):
        DAMAGES["flipped"](checkpoints / damaged / "record" / "metadata")
    with Workdir(str(smoke_copy)).lock():
        before = snapshot(smoke_copy)
        run, config = open_run(str(smoke_copy))
        dataset = load_dataset(config.case, config.data)
        state, best, newest = restore_run(run, config, dataset, build_model(config, dataset))
        assert snapshot(smoke_copy) == before
    assert (best["step"], newest["step"]) == (40, 20)
    assert_same_state(state, Workdir(smoke_run.path).best.restore(smoke_run.state)[0])
    assert re.fullmatch(
        rf"warning: {checkpoints}/best/40 is damaged \(.*\); {checkpoints}/best/40.spare is used instead.\n"
        rf"warning: {checkpoints}/latest/40 is damaged \(.*\); {checkpoints}/latest/20 is used instead.\n",
        capsys.readouterr().err,
    )


@pytest.mark.slow
def test_full_disk(half_copy, smoke_run, compiled_once, fault_environment, tmp_path):
    """No space for the next checkpoint: one line and status 2. With space again the same command goes on to the end."""
    command = train_command(smoke_run.config, half_copy)
    before = snapshot(half_copy / "checkpoints")
    full = run_python("-c", LIMITED, 20_000, *command, environment=fault_environment, cwd=tmp_path)
    assert full.returncode == 2 and "from step 20 to 40" in full.stdout
    assert "Traceback" not in full.stderr
    assert re.fullmatch(
        f"error: {half_copy}/checkpoints/(best|latest) cannot be written, the disk is full or a limit is reached .*; "
        "free some space and give the same command again.",
        full.stderr.splitlines()[-1],
    )
    after = snapshot(half_copy / "checkpoints")
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in before if os.path.isfile(path))
    assert_same_state(loop.train(smoke_run.config, str(half_copy)), smoke_run.state)
    assert_same_run(half_copy, smoke_run)
    assert read_scalars(half_copy / "tensorboard") == expected_scalars(Workdir(str(half_copy)))


@pytest.mark.parametrize("name", ["start", "history", "events", "event file", "lock", "result"])
def test_full_disk_names_the_folder(smoke_config, tmp_path, name):
    """Whatever the run writes: one sentence, nothing spoilt, and the next attempt succeeds."""
    run = Workdir(str(tmp_path / "run"))
    run.start(smoke_config, 0)
    run.append_history({"step": 10})

    @contextlib.contextmanager
    def events():
        with event_file(run.tensorboard, 0) as add:
            yield lambda: add({"step": 10, "loss": 1.0})

    def open_event_file():
        with events() as add:
            add()

    def take_lock():
        with run.lock():
            pass

    with events() as add_event:
        write = {
            "start": lambda: run.start(smoke_config, 0),
            "history": lambda: run.append_history({"step": 20}),
            "events": add_event,
            "event file": open_event_file,
            "lock": take_lock,
            "result": lambda: write_json(os.path.join(run.path, "result.json"), {"case": "x"}),
        }[name]
        with file_size_limit(0), pytest.raises(InputError, match="is full or a limit is reached") as error:
            write()
        assert re.match(rf"{run.path}(/tensorboard)? cannot be written", one_sentence(error))
        run.check(smoke_config)
        assert [entry["step"] for entry in run.read_history()] == [10]
        assert not list(tmp_path.rglob("*.tmp"))
        write()


@pytest.mark.slow
def test_second_process_is_refused(half_copy, smoke_config, environment, tmp_path):
    """A command on a workdir in which another process trains: it is named, and nothing is touched."""
    with Workdir(str(half_copy)).lock():
        before = snapshot(half_copy)
        refused = run_python(*train_command(smoke_config, half_copy), environment=environment, cwd=tmp_path)
        assert snapshot(half_copy) == before
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"error: {half_copy} is in use by process {os.getpid()} on {socket.gethostname()}; wait until that has ended, "
        "stop it, or choose another workdir.\n"
    )


def test_lock_ends_with_its_process(smoke_config, tmp_path):
    """A holder that is killed leaves a lock file behind and no lock; one in a new folder is no other file."""
    run = Workdir(str(tmp_path / "new" / "run"))
    command = [sys.executable, "-c", HOLDER, run.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout.readline() == b"held\n"
        run.check(smoke_config)
        with pytest.raises(InputError, match=f"in use by process {holder.pid} on ") as error:
            loop.train(smoke_config, run.path)
        one_sentence(error)
        assert os.listdir(run.path) == ["lock"]
        holder.kill()
    run.check(smoke_config)
    with run.lock():
        assert pathlib.Path(run.path, "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    with run.lock():
        pass


def test_another_process_went_on_meanwhile(half_copy, smoke_run, compiled_once, monkeypatch):
    """What was read is no longer the newest when the lock is had: refused, with nothing written over."""
    lock = Workdir.lock

    def lock_late(run):
        monkeypatch.setattr(Workdir, "lock", lock)
        loop.train(smoke_run.config, run.path)
        return lock(run)

    monkeypatch.setattr(Workdir, "lock", lock_late)
    with pytest.raises(InputError, match="by another process since its step 20 was read") as error:
        loop.train(smoke_run.config, str(half_copy))
    one_sentence(error)
    assert_same_run(half_copy, smoke_run)


def test_finished_run_needs_no_lock(smoke_copy, smoke_run, compiled_once):
    """It is only read, also while another process holds it."""
    with Workdir(str(smoke_copy)).lock():
        before = snapshot(smoke_copy)
        assert_same_state(loop.train(smoke_run.config, str(smoke_copy)), smoke_run.state)
        assert snapshot(smoke_copy) == before


def test_file_system_without_locks(tmp_path, monkeypatch, capsys):
    """Where there are none the run goes on, and says that it is not protected."""

    def refuse(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Workdir(str(tmp_path)).lock():
        told = capsys.readouterr().err
    assert told.startswith(f"warning: {tmp_path}/lock cannot be locked (") and told.count("\n") == 1


def test_killed_at_the_very_beginning(smoke_config, half_run, compiled_once, tmp_path):
    """What is there before the configuration is does not keep the run from starting again; anything else does."""
    (tmp_path / "lock").write_text("process 1 on a host of old\n")
    left = tmp_path / "config.json.0a1b2c3d.tmp"
    left.write_text('{"case": "burg')
    os.utime(left, (0, 0))
    Workdir(str(tmp_path)).check(smoke_config)
    assert_same_state(loop.train(half_run.config, str(tmp_path)), half_run.state)
    assert_same_run(tmp_path, half_run)
    assert not list(tmp_path.rglob("*.tmp"))
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match="holds other files"):
        Workdir(str(tmp_path)).check(smoke_config)


@pytest.mark.parametrize("store", ["best", "latest"])
def test_stopped_right_after_a_checkpoint(smoke_run, compiled_once, monkeypatch, tmp_path, store):
    """Nothing that belongs to a checkpoint is written after it, neither history nor events."""
    run = Workdir(str(tmp_path / "run"))
    save = CheckpointStore.save

    def save_and_stop(self, state, record):
        save(self, state, record)
        if self._directory.endswith(store):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(CheckpointStore, "save", save_and_stop)
        loop.train(smoke_run.config, run.path)
    assert run.latest.latest_step() == (20 if store == "latest" else None) and run.best.latest_step() == 20
    assert_same_state(loop.train(smoke_run.config, run.path), smoke_run.state)
    assert_same_run(run.path, smoke_run)
    assert read_scalars(run.tensorboard) == expected_scalars(run)


class Starter:
    """Trainings in processes of their own, one after the other, that can be killed; see `STARTER`."""

    def __init__(self, process, folder):
        self._process, self._folder, self.number = process, folder, 0

    def start(self, *arguments):
        """Starts the next one."""
        self.number += 1
        self._process.stdin.write(" ".join([str(self._folder / str(self.number)), *arguments, "\n"]).encode())
        self.pid, self.code = int(self._process.stdout.readline()), None

    def wait(self, condition=lambda: False, seconds=120.0):
        """Waits until the condition holds, the process ends or the time is over, and says whether it has ended."""
        end = time.monotonic() + seconds
        while self.code is None and not condition() and time.monotonic() < end:
            if select.select([self._process.stdout], [], [], 0.002)[0]:
                self.code = int(self._process.stdout.readline())
        return self.code is not None

    def kill(self):
        """`kill -9`."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()
        assert self.code == -signal.SIGKILL

    def read(self, stream):
        """What the present one has written to `out` or `err`."""
        return (self._folder / f"{self.number}.{stream}").read_text()


@pytest.fixture
def starter(fault_environment, tmp_path):
    """A `Starter` of train.py."""
    (tmp_path / "output").mkdir()
    command = [sys.executable, "-c", STARTER, ROOT / "train.py"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen(command, env=os.environ | fault_environment, cwd=ROOT, **pipes) as process:
        yield Starter(process, tmp_path / "output")
        process.stdin.close()


@pytest.mark.slow
def test_killed_twenty_times(smoke_run, starter, tmp_path):
    """Killed while it starts, computes and saves, twenty times in a row: each start goes on from the newest checkpoint.

    Kills are random; most are aimed at the folders in which a checkpoint is being written, of which there are many.
    The run ends as one that was never killed, with nothing left of what was half written, and no kill looks like
    damage.
    """
    rng = random.Random(0)
    run = Workdir(str(tmp_path / "run"))
    checkpoints = tmp_path / "run" / "checkpoints"
    config = change(smoke_run.config, "train", steps=1000, eval_every=4)

    def unfinished(store):
        return list((checkpoints / store).glob("*tmp"))

    def kill_while_starting():
        starter.wait(lambda: f"process {starter.pid} " in pathlib.Path(run.path, "lock").read_text())
        starter.wait(seconds=rng.uniform(0, 4))

    def kill_while_computing():
        entries = len(run.read_history())
        starter.wait(lambda: len(run.read_history()) > entries)
        starter.wait(seconds=rng.uniform(0, 1))

    def kill_while_saving(store):
        first, further = run.latest.latest_step() or 0, rng.choice([0, 4, 8])
        starter.wait(lambda: (run.latest.latest_step() or 0) >= first + further)
        starter.wait(lambda: unfinished(store))
        starter.wait(seconds=0.3 * rng.random() ** 2)

    aims = [lambda: kill_while_saving("best"), lambda: kill_while_saving("latest")] * 6
    aims += [kill_while_starting, kill_while_computing] * 4
    rng.shuffle(aims)
    starts, within_saves, between_saves = [], 0, 0
    for aim in aims:
        expected = run.latest.latest_step() or 0
        starter.start(*train_command(config, run.path)[1:])
        aim()
        starter.kill()
        found = re.search(r"from step (\d+) to 1000", starter.read("out"))
        assert starter.read("err") == "" and (found is None or int(found[1]) == expected)
        starts += [int(found[1])] if found else []
        within_saves += bool(unfinished("best") or unfinished("latest"))
        between_saves += (run.best.latest_step() or 0) > (run.latest.latest_step() or 0)
    assert len(aims) == 20 and len(starts) > 12 and len(set(starts)) > 4, starts
    assert within_saves > 4, (within_saves, between_saves)

    config = change(config, "train", steps=(run.latest.latest_step() or 0) + 8)
    reference = tmp_path / "reference"
    for path in (run.path, reference):
        starter.start(*train_command(config, path)[1:])
        assert starter.wait() and starter.code == 0 and starter.read("err") == ""
    assert_same_run(run.path, SmokeRun(config, str(reference), smoke_run.state))
    assert (tmp_path / "run" / "config.json").read_text() == (reference / "config.json").read_text()
    for store in ("latest", "best"):
        assert names(checkpoints / store) == names(reference / "checkpoints" / store)
    assert read_scalars(run.tensorboard) == expected_scalars(run)
