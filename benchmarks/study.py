"""The whole study of a case: runs of each number of latents with each seed, and the baselines.

python -m benchmarks.study --case=kdv_1d
python -m benchmarks.study --case=kdv_1d --seeds=0 --dry_run

No latents are the variant `:closure`, 1 to 5 the recipe, and 1, 2 and 4 in each cell the variant `:cells`. Runs are
processes of one thread, one for each usable core; then the baselines are fitted one after another. The same command
again goes on with what is not finished. At the end `python -m msvi.report.readme` writes the tables.
"""

import dataclasses
import os
import pathlib
import sys

from absl import flags

from benchmarks.systems.learn import case_config
from msvi.baselines.fit import BASELINES
from msvi.cli import entry
from msvi.config import OF_NO_EFFECT, Config
from msvi.errors import InputError
from msvi.evaluation.evaluate import evaluate_baseline
from msvi.sweep.execute import check_folders, command_lines, execute, run_here, task_commands, usable_cores
from msvi.sweep.grid import Run, plan, read_result

FLAGS = flags.FLAGS

# What is trained of a case: variant -> numbers of latents.
ROWS = {"closure": (0,), "default": (1, 2, 3, 4, 5), "cells": (1, 2, 4)}

_CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def define_flags() -> None:
    """Defines them when the command starts: importing it changes nothing."""
    cases = sorted(path.stem for path in _CONFIGS.glob("*.py") if path.stem != "custom")
    flags.DEFINE_enum("case", None, cases, "Whose study it is.", required=True)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Of the trainings.")
    flags.DEFINE_list("rows", list(ROWS), "Variants that are trained.")
    flags.DEFINE_list("baselines", list(BASELINES), "Baselines that are fitted.")
    flags.DEFINE_string("root", "runs", "Folder of the workdirs and their logs.")
    flags.DEFINE_string("results", "results", "Folder of the result files.")
    flags.DEFINE_integer("task", None, "Only the run of this number, counted from 0, in this process.", lower_bound=0)
    flags.DEFINE_boolean("dry_run", False, "Only print one command line for each run that is not finished.")


def main() -> None:
    """Trains, evaluates and fits as the flags say; status 1 if a run failed."""
    runs = plan_study(FLAGS.case, FLAGS.rows, [int(seed) for seed in FLAGS.seeds], FLAGS.root, FLAGS.results)
    if FLAGS.task is not None:
        run_here(runs, FLAGS.task)
        return
    check_folders(runs)
    commands = task_commands(["benchmarks.study", *sys.argv[1:]], len(runs))
    if FLAGS.dry_run:
        print(*command_lines(runs, commands), sep="\n")
        return
    os.makedirs(FLAGS.root, exist_ok=True)
    failed = execute(runs, commands, len(usable_cores()))
    for path in fit_baselines(FLAGS.baselines, case_config(FLAGS.case), FLAGS.root, FLAGS.results):
        print(path)
    sys.exit(bool(failed))


def plan_study(case: str, rows: list[str], seeds: list[int], root: str, results: str) -> list[Run]:
    """The runs of some of `ROWS`, seed by seed, so that there is one of each early on.

    Raises:
      InputError: an unknown row, or a seed given twice.
    """
    if unknown := set(rows) - ROWS.keys():
        raise InputError(f"`--rows` must be some of {', '.join(ROWS)}, got {', '.join(sorted(unknown))}.")
    configs = []
    for seed in seeds:
        for variant in rows:
            rows_of_variant = [case_config(case, variant, model={"micro_dim": dim}) for dim in ROWS[variant]]
            configs += [dataclasses.replace(config, seed=seed) for config in rows_of_variant]
    return plan(["model.micro_dim", "seed"], configs, root, results)


def fit_baselines(names: list[str], config: Config, root: str, results: str) -> list[str]:
    """Fits and scores the baselines that have no result of this configuration yet; paths of what is written."""
    paths = []
    for name in names:
        path = os.path.join(root, f"{config.folder}_baseline_{name}", "result.json")
        if not read_result(path, config, OF_NO_EFFECT):
            paths += evaluate_baseline(name, config, results, root).paths
    return paths


if __name__ == "__main__":
    define_flags()
    entry.run(main)
