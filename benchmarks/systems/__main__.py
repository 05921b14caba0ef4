"""Learns a system of which something is known exactly, with the default for own data, and checks what came out.

python -m benchmarks.systems --system=ou_field
python -m benchmarks.systems --system=kuramoto_sivashinsky --layout=cells

generates `data/systems/<system>.npz`, checks it, trains, evaluates and writes `results/systems/<system>.json`. With
`--layout=cells` the microscale is in every coarse cell, and what is measured goes beside what the file has of the
default; `--figure=figures/large_domain.png` then draws a forecast on a larger domain, if the system has one. A killed
command goes on where it was, and what is done is not done again.
"""

import os

from absl import flags

from benchmarks.systems import SYSTEMS
from benchmarks.systems.learn import beside, check_data, format_checks, learn
from msvi.cli import entry
from msvi.model.config import LAYOUTS
from msvi.report.results import load_json
from msvi.training.trained import load_trained
from msvi.writing import write_json

SYSTEM = flags.DEFINE_enum("system", None, list(SYSTEMS), "Which system.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; runs/systems_<system>[_cells] if left out.")
LAYOUT = flags.DEFINE_enum("layout", "global", LAYOUTS, "Of the microscale.")
STEPS = flags.DEFINE_integer("steps", None, "train.steps, for a quick look.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the training.", lower_bound=0)
RESULTS = flags.DEFINE_string("results", "results/systems", "Folder of the result file.")
DATA = flags.DEFINE_string("data", "data/systems", "Folder of the data file.")
FIGURE = flags.DEFINE_string("figure", None, "PNG of a forecast on a larger domain, of a run in cells.")
CHECK_ONLY = flags.DEFINE_boolean("check_only", False, "Generate and check the data alone; write no result.")


def main() -> None:
    """Does it as the flags say and prints the checks."""
    system = SYSTEMS[SYSTEM.value]
    if CHECK_ONLY.value:
        print(format_checks(check_data(system, DATA.value)))
        return
    cells = LAYOUT.value == "cells"
    name = f"{system.name}_cells" if cells else system.name
    path = os.path.join(RESULTS.value, f"{system.name}.json")
    before = load_json(path) if cells else {}
    workdir = WORKDIR.value or os.path.join("runs", f"systems_{name}")
    result = learn(system, DATA.value, workdir, SEED.value, STEPS.value, LAYOUT.value)
    write_json(path, beside(before, LAYOUT.value, result) if cells else result)
    print(format_checks(result["checks"]))
    print(path)
    if FIGURE.value and cells and hasattr(system, "draw"):
        os.makedirs(os.path.dirname(FIGURE.value) or ".", exist_ok=True)
        system.draw(load_trained(workdir)).savefig(FIGURE.value, dpi=120)
        print(FIGURE.value)


if __name__ == "__main__":
    entry.run(main)
