"""Learning from data that stay on disk: memory, speed, and what a step costs as the files grow.

python -m benchmarks.streaming --output=results/benchmark/streaming.json

Three questions, each measured in processes of their own:

- *memory*: a folder of The Well of 40 GiB, fields of 256² points in chunks of 4 frames, is surveyed, learned from,
  validated and evaluated; its peak beside that of a folder of one small file, which is in memory. To spare the disk,
  the large folder's files are names of a few (`--distinct` GiB in all); what is read is read under each name.
- *speed*: steps a second from disk over those of the same file in memory, in 1D and of patches of 256².
- *growth*: seconds a step from disk, of files with 8 to 8,000 trajectories in 1D.

Files that were just written are mostly in the system's memory, so the disk itself counts for little.
"""

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import h5py
import jax
import numpy as np
from absl import flags

from benchmarks.systems.base import judge
from benchmarks.systems.learn import custom_config, format_checks
from benchmarks.waves import patches_config, waves
from msvi.cli import entry
from msvi.config import Config
from msvi.data.dataset import load_dataset
from msvi.errors import InputError
from msvi.evaluation.evaluate import evaluate
from msvi.provenance import peak_memory_gib, versions
from msvi.recipe.build import build_model
from msvi.recipe.suggest import resolve
from msvi.training.build import build_elbo
from msvi.training.loop import make_learner, train
from msvi.training.state import init_state
from msvi.writing import write_json

GIB = flags.DEFINE_float("gib", 40.0, "Of the large folder, as its names say.", lower_bound=0)
DISTINCT = flags.DEFINE_float("distinct", 4.0, "GiB of it that are different files.", lower_bound=0)
POINTS = flags.DEFINE_integer("points", 256, "Points along each axis of the fields in 2D.", lower_bound=72)
GROWTH = flags.DEFINE_multi_integer("growth", [8, 80, 800, 8000], "Trajectories of the files in 1D.")
STEPS = flags.DEFINE_integer("steps", 20, "Of the training in 2D, and timed at a time; in 1D ten times as many.")
FOLDER = flags.DEFINE_string("folder", "runs/streaming", "Of data files and runs; emptied before and after.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write; nothing is written if left out.")
ONLY = flags.DEFINE_multi_enum(
    "only", None, ["memory", "speed", "growth"], "Questions; of the others the answers in --output are kept."
)
ASKED = flags.DEFINE_string("asked", None, "Answer one question in this process, and print it as JSON.")

# Frames of a trajectory, in chunks of so many; trajectories of a file; and points of a field in 1D.
_FRAMES, _CHUNK, _EACH, _LINE = 64, 4, 16, 256
# Allowed: memory over that of the model, parts of the speed in memory, and the spread of seconds a step.
_MEMORY_GIB, _SPEED_1D, _SPEED_2D, _GROWTH = 2.0, 0.9, 0.7, 1.1


def main() -> None:
    """Puts each question to a process of its own, prints the checks and writes the JSON."""
    if ASKED.value:
        print(json.dumps(_QUESTIONS[ASKED.value.split(":")[0]](*ASKED.value.split(":")[1:])))
        return
    asked, measured = set(ONLY.value or ("memory", "speed", "growth")), {}
    if ONLY.value:
        if not OUTPUT.value or not os.path.exists(OUTPUT.value):
            raise InputError("`--only` keeps the other answers of an `--output` that is there; give such a file.")
        with open(OUTPUT.value, encoding="utf-8") as file:
            measured = json.load(file)["measured"]
    shutil.rmtree(FOLDER.value, ignore_errors=True)
    measured |= answer(asked)
    checks = make_checks(measured)
    print(format_checks(checks))
    if OUTPUT.value:
        head = {"system": "streaming", "versions": versions("grain", "h5py")}
        head |= {"distinct_gib": DISTINCT.value, "frames_in_a_chunk": _CHUNK}
        write_json(OUTPUT.value, head | {"measured": measured, "checks": checks})
        print(OUTPUT.value)
    shutil.rmtree(FOLDER.value)


def answer(asked: set[str]) -> dict:
    """What is measured of each question, by its name."""
    small, found = write_folder("small", 1, 1)[0], {}
    if "memory" in asked:
        large, files = write_folder("large", round(GIB.value * 2**30), round(DISTINCT.value * 2**30))
        found["large"] = {"files": files} | ask("memory", large, "auto" if GIB.value >= 40 else "disk")
        found["small"] = ask("memory", small, "host")
    line = {number: write_line(number) for number in GROWTH.value} if asked & {"speed", "growth"} else {}
    if "speed" in asked:
        middle = sorted(line)[len(line) // 2]
        found["line"] = {place: ask("speed", line[middle], place, "1d") for place in ("host", "disk")}
        found["patches"] = {place: ask("speed", small, place, "2d") for place in ("host", "disk")}
    if "growth" in asked:
        found["growth"] = {str(number): ask("speed", path, "disk", "1d") for number, path in line.items()}
    return found


def make_checks(found: dict) -> dict:
    """The checks of all questions."""
    growth = {int(number): one["step_s"] for number, one in found["growth"].items()}
    few, many = min(growth), max(growth)
    over_model = found["large"]["peak_memory_gib"] - found["small"]["peak_memory_gib"]
    places = (("1D", found["line"], _SPEED_1D), (f"{POINTS.value}²", found["patches"], _SPEED_2D))
    return {
        "GiB of the data": judge(found["large"]["data_gib"], None),
        "GiB of memory over that of the model": judge(over_model, _MEMORY_GIB),
        "seconds to survey": judge(found["large"]["survey_s"], None),
        "seconds to open what was surveyed": judge(found["large"]["open_s"], None),
        **{
            f"steps a second over those in memory, {kind}": judge(
                at["host"]["step_s"] / at["disk"]["step_s"], [bar, None]
            )
            for kind, at, bar in places
        },
        f"seconds a step of {many} trajectories over those of {few}": judge(growth[many] / growth[few], _GROWTH),
    }


def ask(question: str, *about: str) -> dict:
    """The answer of another process."""
    flags_here = [f"--steps={STEPS.value}", f"--points={POINTS.value}", f"--folder={FOLDER.value}"]
    command = [sys.executable, "-m", "benchmarks.streaming", f"--asked={':'.join((question, *about))}", *flags_here]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(question, *about, done.stdout.splitlines()[-1], flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_memory(path: str, place: str) -> dict:
    """Peak of a process that surveys, trains, validates and evaluates."""
    config, run = in_2d(path, place), os.path.join(FOLDER.value, "run")
    shutil.rmtree(run, ignore_errors=True)
    seconds = []
    for _ in range(2):
        began = time.monotonic()
        dataset = load_dataset(config.case, config.data, place)
        seconds.append(time.monotonic() - began)
    size = 4 * sum(int(np.prod(split.u.shape)) for split in (dataset.train, dataset.val, dataset.test))
    train(config, run)
    trained = peak_memory_gib()
    evaluate(run, os.path.join(FOLDER.value, "results"))
    return {
        "data_gib": size / 2**30,
        "trajectories": len(dataset.train.u),
        "survey_s": seconds[0],
        "open_s": seconds[1],
        "trained_memory_gib": trained,
        "peak_memory_gib": peak_memory_gib(),
    }


def measure_speed(path: str, place: str, kind: str) -> dict:
    """Seconds a step inside the training loop, the median of five times so many."""
    config, steps = (in_1d(path, place), 10 * STEPS.value) if kind == "1d" else (in_2d(path, place), STEPS.value)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=7 * steps))
    dataset = load_dataset(config.case, config.data, place)
    config = resolve(config, dataset)
    model = build_model(config, dataset)
    elbo = build_elbo(config, model)
    state = init_state(elbo, config.train, jax.random.key(0))
    learn, seconds = make_learner(config, model, elbo, dataset, state, place, None), []
    for _ in range(6):
        began = time.perf_counter()
        state, objective = learn(state, steps)
        jax.block_until_ready((state, objective))
        seconds.append((time.perf_counter() - began) / steps)
    return {"step_s": statistics.median(seconds[1:]), "steps_s": seconds[1:], "trajectories": len(dataset.train.u)}


_QUESTIONS = {"memory": measure_memory, "speed": measure_speed}


def in_2d(path: str, place: str) -> Config:
    """The configuration of `benchmarks.patches`, of a folder, and few trajectories to validate and test on."""
    config = patches_config(path, STEPS.value)
    data = dataclasses.replace(config.data, cache_dir=os.path.join(FOLDER.value, "cache"), num_val=2, num_test=2)
    return dataclasses.replace(config, data=data, train=dataclasses.replace(config.train, data_on=place))


def in_1d(path: str, place: str) -> Config:
    """`configs/custom.py`, of a file."""
    config = custom_config(path, layout="cells")
    data = dataclasses.replace(config.data, cache_dir=os.path.join(FOLDER.value, "cache"))
    model = dataclasses.replace(config.model, coarsening=16, micro_dim=2)
    return dataclasses.replace(config, data=data, model=model, train=dataclasses.replace(config.train, data_on=place))


def write_folder(name: str, size: int, distinct: int) -> tuple[str, int]:
    """A folder of The Well of so many bytes, and how many files there are; of so many bytes are the different ones."""
    folder = os.path.join(os.path.abspath(FOLDER.value), name)
    each = 4 * _EACH * _FRAMES * POINTS.value**2
    files, different = max(1, round(size / each)), max(1, round(distinct / each))
    for split in ("train", "valid", "test"):
        os.makedirs(os.path.join(folder, split))
    for number in range(min(files, different)):
        write_well(os.path.join(folder, "train", f"{number:03}.hdf5"), number, _EACH)
    for number in range(different, files):
        os.symlink(f"{number % different:03}.hdf5", os.path.join(folder, "train", f"{number:03}.hdf5"))
    for number, split in ((10_000, "valid"), (20_000, "test")):
        write_well(os.path.join(folder, split, "0.hdf5"), number, 2)
    return folder, files


def write_well(path: str, seed: int, trajectories: int) -> None:
    """A file in the layout of The Well with waves that disperse."""
    t, x = 0.1 * np.arange(_FRAMES), np.arange(POINTS.value) / 4
    shape = (trajectories, _FRAMES, POINTS.value, POINTS.value)
    with h5py.File(path, "w") as file:
        file.attrs.update({"n_trajectories": trajectories, "grid_type": "cartesian", "n_spatial_dims": 2})
        dimensions, fields = file.create_group("dimensions"), file.create_group("t0_fields")
        dimensions.attrs["spatial_dims"], fields.attrs["field_names"] = ["x", "y"], ["height"]
        for name, values in (("time", t), ("x", x), ("y", x)):
            dimensions[name] = values
        for axis in "xy":
            condition = file.create_group(f"boundary_conditions/{axis}_periodic")
            condition.attrs.update({"bc_type": "PERIODIC", "associated_dims": [axis]})
        height = fields.create_dataset("height", shape, np.float32, chunks=(1, _CHUNK, *shape[2:]))
        height.attrs.update({"sample_varying": True, "time_varying": True, "dim_varying": [True, True]})
        rng = np.random.default_rng(seed)
        for row in range(trajectories):
            height[row] = waves(rng, POINTS.value, _FRAMES)


def write_line(trajectories: int) -> str:
    """An HDF5 file of so many trajectories of waves in 1D to learn from, and a few beside."""
    path = os.path.join(os.path.abspath(FOLDER.value), f"line_{trajectories}.h5")
    whole, beside = trajectories + 4, np.array(["train", "val", "test"], "S5")
    with h5py.File(path, "w") as file:
        u = file.create_dataset("u", (whole, _FRAMES, _LINE, 1), np.float32, chunks=(1, 16, _LINE, 1))
        for row, values in enumerate(waves_1d(whole)):
            u[row] = values[..., None]
        file["t"], file["split"] = 0.1 * np.arange(_FRAMES), np.repeat(beside, [trajectories, 2, 2])
        file.attrs["boundary"] = "periodic"
    return path


def waves_1d(number: int) -> Iterator[np.ndarray]:
    """The waves of `benchmarks.waves.waves` along one axis, `(time, x)` each."""
    rng, k = np.random.default_rng(0), 2 * np.pi * np.fft.rfftfreq(_LINE, 1 / 4)
    phase = np.exp(-1j * np.outer(0.1 * np.arange(_FRAMES), k))
    for _ in range(number):
        start = np.fft.rfft(rng.standard_normal(_LINE)) * k * np.exp(-((k / 1.5) ** 2))
        u = np.fft.irfft(start * phase)
        yield (u / u.std()).astype(np.float32)


if __name__ == "__main__":
    entry.run(main)
