"""Plugin of the outer layers' tests: one smoke training that they share, and one cache of compiled programs.

Compiling is nearly all of what these tests cost, so a program compiled once is loaded by every later run of the
session, in this process and, through the environment, in those it starts.

PYTEST_DONT_REWRITE: the tests import this module before pytest loads it as a plugin.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

import jax
import numpy as np
import pytest
from absl import flags
from jax.experimental.compilation_cache import compilation_cache

from msvi.config import Config, from_dict
from msvi.training import loop
from msvi.training.state import TrainState
from msvi.training.workdir import Workdir

ROOT = pathlib.Path(__file__).parents[1]
CONFIG_FILE = ROOT / "configs" / "burgers_1d.py"

# `min_compile_time`: the many tiny programs are faster compiled than looked up.
_COMPILATION = {
    "jax_compilation_cache_dir": None,
    "jax_persistent_cache_min_compile_time_secs": 0.1,
    "jax_disable_most_optimizations": True,
}


# For `run_commands`: reads cases from a file, a script with its arguments each, and prints their exit status, output
# and files as JSON.
DRIVER = """
import json, os, pathlib, runpy, sys, traceback

import msvi.cli.entry, msvi.evaluation.evaluate, msvi.training.loop

def run(argv):
    sys.argv = argv
    try:
        runpy.run_path(argv[0], run_name="__main__")
        return 0
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

finished = []
for i, (argv, files) in enumerate(json.load(open(sys.argv[1]))):
    folder = pathlib.Path(f"case{i}")
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    child = os.fork()
    if not child:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{name}{i}", os.O_CREAT | os.O_WRONLY), number)
        os.chdir(folder)
        os._exit(run(argv))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    finished.append((code, open(f"out{i}").read(), open(f"err{i}").read(), left))
print(json.dumps(finished))
"""


class SmokeRun(NamedTuple):
    """A training: its configuration, its folder and the state it ended with."""

    config: Config
    path: str
    state: TrainState


class EvaluatedRun(NamedTuple):
    """An evaluated training: its folder, the folder of results, and the finished process of `evaluate.py`."""

    path: pathlib.Path
    results: pathlib.Path
    process: subprocess.CompletedProcess


def load_module(path):
    """The module in a file that is in no package, imported and not run as a command."""
    spec = importlib.util.spec_from_file_location(f"file_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def command_module(path, *names):
    """The module of a command that is imported and not run; its flags, by their names, are gone afterwards.

    Flags are global: those of another command under the same names are put aside meanwhile.
    """
    aside = {name: flags.FLAGS[name] for name in names if name in flags.FLAGS}
    for name in aside:
        delattr(flags.FLAGS, name)
    module = load_module(path)
    flags.FLAGS.mark_as_parsed()
    yield module
    flags.FLAGS.unparse_flags()
    for name in names:
        delattr(flags.FLAGS, name)
    for name, flag in aside.items():
        flags.FLAGS[name] = flag


class Watched(np.ndarray):
    """Counts the values that are read of an array."""

    read = 0

    def __getitem__(self, where):
        found = np.asarray(super().__getitem__(where))
        Watched.read += found.size
        return found


def change(config, name, **values):
    """`config` with other fields in the group called `name`."""
    return dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **values)})


def assert_same_state(state, expected):
    """Every leaf identical to the bit, the random key among them."""
    state, expected = (s._replace(key=jax.random.key_data(s.key)) for s in (state, expected))
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(state), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype, jax.tree_util.keystr(path)
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path), strict=True)


def assert_same_run(path, expected: SmokeRun):
    """Both checkpoints, what stands beside them (but for wall times) and the history, all as in `expected`."""
    run, reference = Workdir(str(path)), Workdir(expected.path)
    for name in ("latest", "best"):
        state, record = getattr(run, name).restore(expected.state)
        reference_state, reference_record = getattr(reference, name).restore(expected.state)
        assert_same_state(state, reference_state)
        assert record.keys() == reference_record.keys()
        cost = {"train_seconds": 0, "peak_memory_gib": 0}
        assert {**record, **cost} == {**reference_record, **cost}
    assert pathlib.Path(run.history).read_text() == pathlib.Path(reference.history).read_text()


def snapshot(path):
    """Everything below a folder: when it was last written, and what it holds."""
    paths = [pathlib.Path(path), *sorted(pathlib.Path(path).rglob("*"))]
    return {
        str(p): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else None)
        for p in paths
    }


def run_python(*arguments, environment, cwd):
    """A Python process in another folder than the repository."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, cwd=cwd, capture_output=True, text=True, timeout=600)


def run_commands(commands, environment, folder):
    """Exit status, output, what was said on stderr, and files left, of each command line.

    Importing JAX takes seconds, so they run in one process that forks for each of them, with the imports done but JAX
    not yet started.

    Args:
      commands: pairs of a script with its arguments and of files, name to text, that its working folder has.
      folder: an empty one.
    """
    (folder / "cases.json").write_text(json.dumps(commands))
    # The benchmarks are no part of the package: `python -m benchmarks` finds them from the repository.
    environment = environment | {"PYTHONPATH": str(ROOT)}
    process = run_python("-c", DRIVER, "cases.json", environment=environment, cwd=folder)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def assert_refused(code, out, err):
    """Status 2, one line on stderr, no traceback, no output."""
    assert code == 2, err
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err
    assert len(err) < 900 and not any(text in err for text in ("Traceback", "<class")), err
    assert out == ""


@contextlib.contextmanager
def settings(values):
    """JAX's settings changed for a while."""
    before = {name: jax.config.values[name] for name in values}
    try:
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def compilation(tmp_path_factory):
    """How the outer layers' programs are compiled."""
    return _COMPILATION | {"jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs"))}


@pytest.fixture
def programs(compilation):
    """The test compiles as users do, and what it compiles is kept for the others."""
    with settings(compilation):
        yield


@pytest.fixture(scope="session")
def environment(compilation):
    """Environment variables with which a process compiles like this one."""
    return {name.upper(): str(value) for name, value in compilation.items()}


@pytest.fixture(scope="session")
def smoke_config(tmp_path_factory):
    """The smoke variant of the Burgers configuration with a data cache of the session's own."""
    values = load_module(CONFIG_FILE).get_config("smoke").to_dict()
    values["data"]["cache_dir"] = str(tmp_path_factory.mktemp("data"))
    return from_dict(values)


@pytest.fixture(scope="session")
def smoke_run(smoke_config, compilation, tmp_path_factory):
    """An uninterrupted training; nothing may be written into its folder."""
    path = str(tmp_path_factory.mktemp("smoke") / "run")
    with settings(compilation):
        state = loop.train(smoke_config, path)
    return SmokeRun(smoke_config, path, state)


@pytest.fixture(scope="session")
def half_run(smoke_config, compilation, tmp_path_factory):
    """The same training stopped after the first of its two checkpoints; nothing may be written into its folder."""
    path = str(tmp_path_factory.mktemp("half") / "run")
    config = change(smoke_config, "train", steps=20)
    with settings(compilation):
        state = loop.train(config, path)
    return SmokeRun(config, path, state)


@pytest.fixture
def half_copy(half_run, tmp_path):
    """A copy of the half-finished run's folder to go on in."""
    return shutil.copytree(half_run.path, tmp_path / "run")


@pytest.fixture(scope="session")
def evaluated(smoke_run, environment, tmp_path_factory):
    """A copy of the smoke run, evaluated from the command line; nothing may be written into its folders."""
    base = tmp_path_factory.mktemp("evaluated")
    path = shutil.copytree(smoke_run.path, base / "run")
    command = [ROOT / "evaluate.py", f"--workdir={path}", "--results=results"]
    return EvaluatedRun(path, base / "results", run_python(*command, environment=environment, cwd=base))
