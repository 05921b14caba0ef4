"""What a step costs on larger and larger domains when it learns from patches of them, and what memory the whole needs.

python -m benchmarks.patches --output=results/benchmark/patches.json

Domains have 128, 256 and 512 points along both axes: 1, 4 and 16 times the first. Fields are waves of random phase that
disperse, of the same lengths on all domains, and the cells are of the same size. On each domain, in a process of its
own, it writes the data file, times steps, trains for a few, validates and evaluates with `configs/custom.py` and
`train.patch_cells`.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import jax
import numpy as np
from absl import flags

from benchmarks.timing import time_step
from benchmarks.waves import COARSENING, patches_config, waves
from msvi.cli import entry
from msvi.config import Config
from msvi.data.dataset import load_dataset
from msvi.data.split import SPLITS
from msvi.evaluation.evaluate import evaluate
from msvi.provenance import peak_memory_gib, versions
from msvi.recipe.build import build_model
from msvi.recipe.suggest import resolve
from msvi.training.build import build_elbo, build_trajectories
from msvi.training.loop import train
from msvi.training.state import init_state
from msvi.writing import write_json

POINTS = flags.DEFINE_multi_integer("points", [128, 256, 512], "Points along each axis, one domain for each.")
STEPS = flags.DEFINE_integer("steps", 20, "Of the training, and timed five times.", lower_bound=1)
NUMBER = flags.DEFINE_multi_integer("number", [12, 2, 2], "Trajectories to train on, to validate and to test on.")
FRAMES = flags.DEFINE_integer("frames", 65, "Of each trajectory.", lower_bound=33)
FOLDER = flags.DEFINE_string("folder", "runs/patches", "Of data files and runs; emptied before.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write; nothing is written if left out.")
ALONE = flags.DEFINE_boolean("alone", False, "Measure one domain in this process, and print it as JSON.")


def main() -> None:
    """Measures each domain in a process of its own, prints a table and writes the JSON."""
    if ALONE.value:
        print(json.dumps(measure(POINTS.value[0], FOLDER.value)))
        return
    domains = []
    for points in POINTS.value:
        own = [f"--points={points}", f"--steps={STEPS.value}", f"--frames={FRAMES.value}", f"--folder={FOLDER.value}"]
        own += [f"--number={n}" for n in NUMBER.value]
        command = [sys.executable, "-m", "benchmarks.patches", "--alone", *own]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        domains.append(json.loads(done.stdout.splitlines()[-1]))
        print(format_domain(domains[-1]), flush=True)
    if OUTPUT.value:
        write_json(OUTPUT.value, {"versions": versions(), "steps": STEPS.value, "domains": domains})
        print(OUTPUT.value)


def measure(points: int, folder: str) -> dict:
    """Numbers of parameters, seconds and memory on one domain.

    Args:
      points: along each axis.
      folder: of its file and run.
    """
    folder = os.path.join(folder, str(points))
    shutil.rmtree(folder, ignore_errors=True)
    path = write_file(folder, points)
    config = patches_config(path, STEPS.value)
    step = measure_step(config)
    began = time.monotonic()
    train(config, os.path.join(folder, "run"))
    trained = time.monotonic()
    result = evaluate(os.path.join(folder, "run"), os.path.join(folder, "results")).result
    return {
        "points": [points, points],
        "cells": [points // COARSENING] * 2,
        "latents": (points // COARSENING) ** 2 * (1 + config.model.micro_dim),
        "file_gib": os.path.getsize(path) / 2**30,
        **step,
        "train_s": trained - began,
        "evaluate_s": time.monotonic() - trained,
        "peak_memory_gib": peak_memory_gib(),
        "config": result["config"],
    }


def measure_step(config: Config) -> dict:
    """Parameters, and seconds per step inside the training loop."""
    dataset = load_dataset(config.case, config.data)
    config = resolve(config, dataset)
    model = build_model(config, dataset)
    elbo = build_elbo(config, model)
    state = jax.eval_shape(lambda: init_state(elbo, config.train, jax.random.key(0)))
    parameters = sum(a.size for a in jax.tree.leaves(state.params))
    seconds = time_step(config, elbo, build_trajectories(model, dataset.train), STEPS.value, repeats=5)
    return {"parameters": parameters, "step_s": seconds["median_s"], "step": seconds}


def write_file(folder: str, points: int) -> str:
    """A data file of waves on a domain of one cell for each `COARSENING` points; its path."""
    rng = np.random.default_rng(0)
    u = np.stack([waves(rng, points, FRAMES.value) for _ in range(sum(NUMBER.value))])[..., None]
    os.makedirs(folder, exist_ok=True)
    path, x = os.path.join(folder, "waves.npz"), np.arange(points) / COARSENING
    split = np.repeat(SPLITS, NUMBER.value)
    np.savez(path, u=u, t=0.1 * np.arange(FRAMES.value), x=x, y=x, boundary=np.array(["periodic"] * 2), split=split)
    return path


def format_domain(domain: dict) -> str:
    """One line of the table."""
    return (
        f"{domain['points'][0]:4} x {domain['points'][1]:<4} {domain['parameters']:8} parameters, "
        f"{1e3 * domain['step_s']:7.1f} ms a step, {domain['peak_memory_gib']:5.1f} GiB at most, file "
        f"{domain['file_gib']:.2f} GiB, {domain['latents']} latents"
    )


if __name__ == "__main__":
    entry.run(main)
