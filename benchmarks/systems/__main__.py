"""Learns a system of which something is known exactly, with the default for own data, and checks what came out.

python -m benchmarks.systems --system=ou_field

generates `data/systems/<system>.npz`, checks it, trains, evaluates and writes `results/systems/<system>.json`. A killed
command goes on where it was, and what is done is not done again.
"""

import os

from absl import flags

from benchmarks.systems import SYSTEMS
from benchmarks.systems.learn import check_data, format_checks, learn
from msvi import cli
from msvi.training.workdir import write_json

SYSTEM = flags.DEFINE_enum("system", None, list(SYSTEMS), "Which system.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; runs/systems_<system> if left out.")
STEPS = flags.DEFINE_integer("steps", None, "train.steps, for a quick look.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the training.", lower_bound=0)
RESULTS = flags.DEFINE_string("results", "results/systems", "Folder of the result file.")
DATA = flags.DEFINE_string("data", "data/systems", "Folder of the data file.")
CHECK_ONLY = flags.DEFINE_boolean("check_only", False, "Generate and check the data alone; write no result.")


def main() -> None:
    """Does it as the flags say and prints the checks."""
    system = SYSTEMS[SYSTEM.value]
    if CHECK_ONLY.value:
        print(format_checks(check_data(system, DATA.value)))
        return
    workdir = WORKDIR.value or os.path.join("runs", f"systems_{system.name}")
    result = learn(system, DATA.value, workdir, SEED.value, STEPS.value)
    path = os.path.join(RESULTS.value, f"{system.name}.json")
    write_json(path, result)
    print(format_checks(result["checks"]))
    print(path)


if __name__ == "__main__":
    cli.run(main)
