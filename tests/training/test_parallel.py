"""Training on several devices and by several processes ends with the numbers of one device.

A sum over the windows of a batch is made of partial sums then, so gradients differ by their rounding, 1e-7 relative. 40
steps of training amplify that a hundredfold: 2e-5 in losses, whose terms are of order one. Other windows, or other
random numbers, change the loss of a single step by more than 0.1. Compiling is nearly all that these tests cost: the
model has no moving frame, which halves it.
"""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from smoke import CONFIG_FILE, ROOT, change, run_python, settings

from msvi.cli import entry
from msvi.config import to_dict
from msvi.data.dataset import load_dataset
from msvi.errors import InputError
from msvi.recipe.build import build_model
from msvi.training import loop
from msvi.training.build import build_elbo, build_trajectories
from msvi.training.state import init_state, make_train_chunk
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]
pytestmark = pytest.mark.slow

# Of the losses' terms, of order one; five times what is seen.
TOLERANCE = 1e-4

DEVICES = 4

# Trains on all devices: a new run half-way, another one to its end. Then what the compiled steps do, and their losses.
DRIVER = """
import dataclasses, json, re, sys

import jax, numpy as np

from msvi.recipe.build import build_model
from msvi.training.build import build_elbo, build_trajectories
from msvi.config import from_dict
from msvi.data.dataset import load_dataset
from msvi.errors import InputError
from msvi.training import loop
from msvi.training.sharding import data_mesh
from msvi.training.state import init_state, make_train_chunk, place_state

config = from_dict(json.loads(sys.argv[1]))
new, half = sys.argv[2:]

def change(**values):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))

try:
    loop.train(change(batch_windows=6), new)
except InputError as error:
    refusal = str(error)
loop.train(change(steps=20), new)
loop.train(config, half)

dataset = load_dataset(config.case, config.data)
model, mesh = build_model(config, dataset), data_mesh(True, config.train.batch_windows)
elbo, trajectories = build_elbo(config, model), build_trajectories(model, dataset.train, mesh)
state = init_state(elbo, config.train, jax.random.key(0))
states = [place_state(state._replace(key=jax.random.key(seed)), mesh) for seed in (0, 1)]
chunk = make_train_chunk(elbo, config.inference, config.train).lower(states[0], trajectories, 1).compile()
text, exchanged = chunk.as_text(), []
for shapes, kind in re.findall(r"= (.*?) (all-\\w+|collective-\\w+|reduce-scatter)(?:-start)?\\(", text):
    exchanged += [(kind, shape) for shape in re.findall(r"[a-z]+\\d+\\[[\\d,]*\\]", shapes)]
print(json.dumps({
    "refusal": refusal,
    "exchanged": exchanged,
    "flops": chunk.cost_analysis()["flops"],
    "losses": [np.asarray(chunk(state, trajectories, 1)[1].loss)[0].item() for state in states],
}))
"""

# `train.py` in a process that waits no longer than 2 seconds for the others.
IMPATIENT = """
import runpy, sys
import msvi.cli.entry
msvi.cli.entry._CONNECT_SECONDS, sys.argv = 2, sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def config(smoke_config):
    """The training on one device."""
    return change(smoke_config, "model", micro_frame="fixed")


@pytest.fixture(scope="module")
def one_device(config, compilation, tmp_path_factory):
    """Folders of a run on one device: as it was after step 30, its only checkpoint being of step 20, and at its end."""
    half, whole = (tmp_path_factory.mktemp("one") / name for name in ("half", "whole"))
    append = Workdir.append_history

    def append_and_copy(run, entry):
        append(run, entry)
        if entry["step"] == 30:
            shutil.copytree(whole, half)

    with settings(compilation), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workdir, "append_history", append_and_copy)
        loop.train(config, str(whole))
    return half, whole


@pytest.fixture(scope="module")
def four_devices(config, one_device, environment, tmp_path_factory):
    """What the driver prints, and the folders of its runs: from the start half-way, and from there to the end."""
    base = tmp_path_factory.mktemp("four")
    half = shutil.copytree(one_device[0], base / "half")
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={DEVICES}"
    text = json.dumps(to_dict(change(config, "train", data_parallel=True)))
    process = run_python(
        "-c", DRIVER, text, base / "new", half, environment=environment | {"XLA_FLAGS": flags}, cwd=base
    )
    assert process.returncode == 0, process.stderr
    assert f"from step 0 to 20 on {DEVICES} x cpu" in process.stdout
    return json.loads(process.stdout.splitlines()[-1]), base / "new", half


@pytest.fixture(scope="module")
def parts(config, compilation):
    """On one device: the estimator of the bound, trajectories, and the compiled steps."""
    dataset = load_dataset(config.case, config.data)
    model = build_model(config, dataset)
    elbo, trajectories = build_elbo(config, model), build_trajectories(model, dataset.train)
    state = init_state(elbo, config.train, jax.random.key(0))
    with settings(compilation):
        chunk = make_train_chunk(elbo, config.inference, config.train).lower(state, trajectories, 1).compile()
    return elbo, trajectories, chunk


def run_two_processes(*arguments, environment, cwd):
    """Two processes of one distributed run on this host, each with its exit status, output and errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | environment | {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    command = [sys.executable, *map(str, arguments), "--distributed"]
    processes = [
        subprocess.Popen(
            command,
            env=environment | {"JAX_PROCESS_ID": str(process)},
            cwd=cwd,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for process in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def assert_close_run(path, expected):
    """History and last state as in another run, within the tolerance."""
    run, reference = Workdir(str(path)), Workdir(str(expected))
    history, entries = run.read_history(), reference.read_history()
    assert [one.keys() for one in history] == [one.keys() for one in entries]
    for one, other in zip(history, entries, strict=True):
        np.testing.assert_allclose([*one.values()], [*other.values()], rtol=TOLERANCE, atol=TOLERANCE)


def train_command(config, workdir):
    """Arguments of the same training, data-parallel."""
    command = [ROOT / "train.py", f"--config={CONFIG_FILE}:smoke", f"--workdir={workdir}"]
    command += [
        f"--config.data.cache_dir={config.data.cache_dir}",
        f"--config.model.micro_frame={config.model.micro_frame}",
    ]
    return [*command, "--config.train.data_parallel"]


def names(path):
    """Of the checkpoints and of what stands beside them."""
    folders = (path, path / "checkpoints", *(path / "checkpoints" / name for name in ("latest", "best")))
    return [sorted(path.name for path in folder.iterdir()) for folder in folders]


def said(process):
    """The lines a process printed, but for those of the library that joins processes."""
    return [line for line in (process[1] + process[2]).splitlines() if not line.startswith("[Gloo]")]


def test_four_devices_then_one(four_devices, one_device, config, compilation):
    """Half-way on four devices and the rest on one, with `data_parallel` set or not, is as all on one."""
    path = four_devices[1]
    with settings(compilation):
        loop.train(config, str(path))
    assert_close_run(path, one_device[1])


def test_one_device_then_four(four_devices, one_device):
    """Nor does it matter the other way round."""
    assert_close_run(four_devices[2], one_device[1])


def test_two_processes(one_device, config, environment, tmp_path):
    """Two processes of `train.py` with a device each: the numbers of one device, and only the first writes or says
    anything, so that the folder is like that of any run."""
    command = train_command(config, tmp_path / "run")
    first, second = run_two_processes(*command, environment=environment, cwd=tmp_path)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "from step 0 to 40 on 2 x cpu" in first[1] and "step     40/40" in first[1]
    assert said(second) == []
    assert_close_run(tmp_path / "run", one_device[1])
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    assert names(tmp_path / "run") == names(one_device[1])


def test_error_of_one_process_ends_all(config, environment, tmp_path):
    """The first process alone sees what is wrong with the folder; both end with its sentence and status 2."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    command = train_command(config, tmp_path / "run")
    for code, _, errors in run_two_processes(*command, environment=environment, cwd=tmp_path):
        assert code == 2
        assert "holds other files" in errors and "Traceback" not in errors
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_several_processes_need_data_parallel(config, monkeypatch, tmp_path):
    """Otherwise each would train a model of its own in the same folder."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(
        InputError, match="`train.data_parallel` must be true where .* together, got 2 of them and false"
    ):
        loop.train(config, str(tmp_path / "run"))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "`--distributed` cannot tell the processes of the run from the environment (coordinator_address should"),
        (
            {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:9", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"},
            "`--distributed` waited 2 seconds for the other processes of the run in vain",
        ),
    ],
)
def test_processes_that_do_not_meet(config, environment, tmp_path, variables, message):
    """One sentence and status 2 where nothing says who they are, or the others never come; no folder is made."""
    command = [*train_command(config, tmp_path / "run"), "--distributed"]
    process = run_python("-c", IMPATIENT, *command, environment=environment | variables, cwd=tmp_path)
    assert process.returncode == 2
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1 and message in process.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("JAX_COORDINATOR_ADDRESS", "localhost", "must be host:port, got 'localhost'"),
        ("JAX_NUM_PROCESSES", "two", "must be a whole number, got 'two'"),
        ("JAX_PROCESS_ID", "-1", "must be a whole number, got '-1'"),
    ],
)
def test_ill_formed_variables(monkeypatch, name, value, message):
    """Refused by name, before anything is tried."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"environment variable {name} {message}"):
        entry.connect()


def test_work_is_divided(four_devices, parts, config):
    """Every device has its share of the windows, and what they exchange is the gradient of each parameter, once, and
    the two terms of the loss, as sums: no trajectories, no windows."""
    found = four_devices[0]
    elbo, _, chunk = parts
    state = init_state(elbo, config.train, jax.random.key(0))
    assert {kind for kind, _ in found["exchanged"]} == {"all-reduce"}
    shapes = [re.fullmatch(r"f32\[([\d,]*)\]", shape)[1] for _, shape in found["exchanged"]]
    sizes = [math.prod(int(n) for n in shape.split(",") if n) for shape in shapes]
    assert sorted(sizes) == sorted([a.size for a in jax.tree.leaves(state.params)] + [1, 1])
    flops = chunk.cost_analysis()["flops"]
    # The optimiser's part is not divided.
    assert flops / DEVICES < found["flops"] < 1.2 * flops / DEVICES


def test_same_windows(four_devices, parts, config):
    """The loss of the first step, which nothing has amplified yet, is that of one device; with another key, so with
    other windows and random numbers, it is another one."""
    elbo, trajectories, chunk = parts
    losses = []
    for seed in (0, 1):
        state = init_state(elbo, config.train, jax.random.key(0))._replace(key=jax.random.key(seed))
        losses.append(chunk(state, trajectories, 1)[1].loss[0].item())
    np.testing.assert_allclose(four_devices[0]["losses"], losses, rtol=1e-6)
    assert abs(losses[0] - losses[1]) > 0.1


def test_batch_must_divide(four_devices):
    """Refused before anything is written, with both numbers."""
    assert four_devices[0]["refusal"].startswith(
        "`train.batch_windows` must be a multiple of the number of devices, got 6 for 4 devices"
    )
