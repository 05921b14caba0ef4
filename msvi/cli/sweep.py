"""Trains and evaluates a grid of overrides, single-threaded runs side by side.

    msvi sweep --config=configs/kdv_1d.py --set model.micro_dim=0,1,2,3,4,5 --set seed=0,1

The same command again skips what is finished and goes on with the rest. On a cluster each point of the grid is one task
of an array job, and the same command without `--task` gathers at the end. With Slurm, for the 12 points above,

    sbatch --array=0-11 --cpus-per-task=1 --wrap='msvi sweep … --task=$SLURM_ARRAY_TASK_ID'
"""

import os
import signal
import sys
from typing import Any, NamedTuple

from absl import flags

from msvi.cli import entry
from msvi.errors import InputError
from msvi.report.results import text_table
from msvi.sweep.execute import check_folders, command_lines, draw, execute, run_here, task_commands, usable_cores
from msvi.sweep.grid import expand, finished_result, plan, stage


class SweepFlags(NamedTuple):
    """Values of the flags that `define_flags` defines."""

    set: list[str]
    root: str
    results: str
    workers: int | None
    task: int | None
    dry_run: bool
    staged: bool
    staged_learning_rate: float | None
    staged_steps: int | None


def define_flags() -> None:
    """Defines the flags of the sweep."""
    flags.DEFINE_multi_string(
        "set", [], "field=v1,v2,…, repeated for a grid; where values hold commas, `;` stands between them."
    )
    flags.DEFINE_string("root", "runs", "Folder of the workdirs, their logs and the figures.")
    flags.DEFINE_string("results", "results", "Folder of the result files, those of other fields in sweeps/ below it.")
    flags.DEFINE_integer("workers", None, "Runs side by side; one for each usable core if left out.", lower_bound=1)
    flags.DEFINE_integer("task", None, "Only this point of the grid, counted from 0, in this process.", lower_bound=0)
    flags.DEFINE_boolean("dry_run", False, "Only print one command line for each run that is not finished.")
    flags.DEFINE_boolean("staged", False, "Start each run from the weights of the one with the next smaller micro_dim.")
    flags.DEFINE_float("staged_learning_rate", None, "train.learning_rate of the runs that --staged starts so.")
    flags.DEFINE_integer("staged_steps", None, "train.steps of the runs that --staged starts so.")


def read_flags() -> SweepFlags:
    """The values of the flags."""
    values: dict[str, Any] = {name: flags.FLAGS[name].value for name in SweepFlags._fields}
    return SweepFlags(**values)


def main() -> None:
    """Runs the sweep as the flags say; status 1 if a run failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: leaves no process behind
    given = read_flags()
    points = expand(given.set)
    runs = plan(list(points[0]), entry.read_grid(points), given.root, given.results)
    changes = {"learning_rate": given.staged_learning_rate, "steps": given.staged_steps}
    if given.staged:
        runs = stage(runs, given.root, given.results, **changes)
    elif changes != dict.fromkeys(changes):
        raise InputError("`--staged_learning_rate` and `--staged_steps` are of staged runs; add --staged.")
    if given.task is not None:
        run_here(runs, given.task)
        return
    check_folders(runs)
    commands = task_commands(["msvi", "sweep", *sys.argv[1:]], len(runs))
    if given.dry_run:
        for line in command_lines(runs, commands):
            print(line)
        return
    os.makedirs(given.root, exist_ok=True)
    failed = execute(runs, commands, given.workers or len(usable_cores()))
    print(text_table([(run.fields, finished_result(run)) for run in runs]), *draw(runs, given.root), sep="\n")
    if failed:
        print(
            f"{len(failed)} of {len(runs)} runs failed: {', '.join(runs[n].workdir for n in failed)}", file=sys.stderr
        )
        sys.exit(1)


def start() -> None:
    """Parses the flags and sweeps."""
    entry.define_config_flag()
    define_flags()
    entry.run(main)
