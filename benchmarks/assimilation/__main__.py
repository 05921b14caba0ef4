"""Twin experiments of a system: trains its model unless it is there, assimilates, compares, and writes checks.

python -m benchmarks.assimilation --system=kuramoto_sivashinsky
python -m benchmarks.assimilation --system=kdv_1d --workdir=runs/kdv_1d_d5_s0 --figures=figures/assimilation
python -m benchmarks.assimilation --system=burgers_1d --windows

writes `results/assimilation/<system>.json`; with `--windows` what 1, 5 and 20 first frames tell a forecast goes into
`results/assimilation/<system>_windows.json`. A killed command goes on where it was: a training with its last
checkpoint, the experiments with the run of which nothing stands in `<workdir>/assimilation.json`.
"""

import dataclasses
import json
import os
import time
from typing import Any

from absl import flags

from benchmarks.assimilation import SYSTEMS, WINDOWED
from benchmarks.assimilation.cases import make_twin, training_config
from benchmarks.assimilation.checks import make_checks
from benchmarks.assimilation.picture import draw
from benchmarks.assimilation.twin import Settings, run_twin
from benchmarks.assimilation.windows import window_checks
from benchmarks.assimilation.wrong import found_after
from benchmarks.systems.learn import format_checks
from msvi.cli import entry
from msvi.config import to_dict
from msvi.errors import InputError
from msvi.library import load
from msvi.provenance import versions
from msvi.training.loop import train
from msvi.writing import write_json

SYSTEM = flags.DEFINE_enum("system", None, WINDOWED, "Which system.", required=True)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "A run that is trained, or to be; runs/assimilation_<system> if left out."
)
VARIANT = flags.DEFINE_string("variant", "default", "Of the configuration that is trained with.")
STEPS = flags.DEFINE_integer("steps", None, "train.steps, for a quick look.", lower_bound=1)
RUNS = flags.DEFINE_integer(
    "runs", None, "Truths; 20 of Kuramoto–Sivashinsky, 16 of others if left out.", lower_bound=1
)
MEMBERS = flags.DEFINE_integer("members", 64, "Of the ensembles.", lower_bound=3)
WINDOWS = flags.DEFINE_boolean("windows", False, "What several first frames tell a forecast, in place of sensors.")
RESULTS = flags.DEFINE_string("results", "results/assimilation", "Folder of the result file.")
DATA = flags.DEFINE_string("data", "data/systems", "Folder of the data file of Kuramoto–Sivashinsky.")
FIGURES = flags.DEFINE_string("figures", None, "Folder of a picture and a moving one of the first run.")


def main() -> None:
    """Does it as the flags say and prints the checks."""
    name = SYSTEM.value
    if name not in SYSTEMS and not WINDOWS.value:
        raise InputError(f"`--system={name}` has no twin experiment, only first frames; add `--windows`.")
    workdir = WORKDIR.value or os.path.join("runs", f"assimilation_{name}")
    if WORKDIR.value is None or not os.path.exists(os.path.join(workdir, "config.json")):
        train(training_config(name, DATA.value, STEPS.value, VARIANT.value), workdir)
    model = load(workdir)
    told = f"{name}, first frames" if WINDOWS.value else name
    head = {"system": told, "config": to_dict(model.config), "versions": versions()}
    if WINDOWS.value:
        result = head | window_checks(model, MEMBERS.value)
        path = os.path.join(RESULTS.value, f"{name}_windows.json")
    else:
        result = head | experiments(model, name, workdir)
        path = os.path.join(RESULTS.value, f"{name}.json")
    write_json(path, result)
    print(format_checks(result["checks"]))
    print(path)


def experiments(model, name: str, workdir: str) -> dict[str, Any]:
    """All runs, of which those are taken as they stand in the run's folder that were made with the same settings."""
    settings = Settings(MEMBERS.value)
    twin = make_twin(name, model.config, RUNS.value or (20 if name == "kuramoto_sivashinsky" else 16))
    path = os.path.join(workdir, "assimilation.json")
    trained = os.path.getmtime(os.path.join(workdir, "history.jsonl"))
    given = json.loads(json.dumps(dataclasses.asdict(settings) | {"system": name, "trained": trained}))
    kept: dict[str, Any] = {"settings": given, "runs": []}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
        kept = before if before["settings"] == given else kept
    for run in range(len(kept["runs"]), len(twin.truth)):
        began = time.monotonic()
        kept["runs"].append(run_twin(model, twin, run, settings))
        write_json(path, kept)
        error = kept["runs"][-1]["model"]["error"]
        print(f"run {run + 1} of {len(twin.truth)}: error {error:.4g}, {time.monotonic() - began:.0f} s", flush=True)
    runs = kept["runs"][: len(twin.truth)]
    # Of truths that are shorter than their period, as those of a quick look are, it cannot be told.
    wrong = found_after(model, twin, settings) if 0 < twin.period < twin.t[-1] - twin.t[0] else None
    if FIGURES.value:
        draw(model, twin, settings, os.path.join(FIGURES.value, name))
    return {
        "settings": dataclasses.asdict(settings),
        "sensors": twin.positions.tolist(),
        "every": twin.every,
        "runs": runs,
        "checks": make_checks(name, runs, wrong),
    }


if __name__ == "__main__":
    entry.run(main)
