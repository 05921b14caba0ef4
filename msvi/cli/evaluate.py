"""Evaluates a run on its test trajectories, or a baseline on the same.

msvi evaluate --workdir=runs/burgers_1d
msvi evaluate --workdir=runs/burgers_1d --members=256 --steps_per_frame=4
msvi evaluate --workdir=runs/custom_my_auto_s0 --data=/where/it/is/now/my.npz
msvi evaluate --workdir=runs/burgers_1d_d5_s0 --workdir=runs/burgers_1d_d5_s1
msvi evaluate --config=configs/burgers_1d.py --baseline=dmd

Result and figures go to the run's folder, and with --results=DIR the result to DIR too. Of a baseline or of several
runs the result goes to DIR, or without it to a folder of its own in runs/.
"""

from typing import Any

from absl import flags

from msvi.baselines.fit import BASELINES
from msvi.cli import entry
from msvi.config import Config
from msvi.errors import InputError
from msvi.evaluation.evaluate import Evaluation, evaluate, evaluate_baseline, evaluate_ensemble
from msvi.evaluation.figures import SHOWN
from msvi.evaluation.text import format_table
from msvi.forecast.config import SOLVERS
from msvi.report.save import FORMATS
from msvi.training.loop import train

# Flags of the settings of a forecast that may differ from the training's, and what its configuration calls them.
_FORECAST = {"solver": "solver", "members": "num_members", "steps_per_frame": "steps_per_frame"}


def define_flags() -> None:
    """Defines the flags of the evaluation."""
    flags.DEFINE_multi_string(
        "workdir", [], "Folder of the run, as given to train.py; repeated, runs of several seeds are one ensemble."
    )
    flags.DEFINE_string(
        "results",
        None,
        "Folder that collects results of many runs, DIR/<case>/[cells_]d<micro_dim>_s<seed>.json; none if left out.",
    )
    flags.DEFINE_string("figures", None, "Folder of a run's figures; <workdir>/figures if left out.")
    flags.DEFINE_multi_enum("format", ["png"], list(FORMATS), "Format of a run's figures; repeated, several of them.")
    flags.DEFINE_string(
        "shown", "median", f"Test trajectory that a run's figures show: {', '.join(SHOWN)} by its NRMSE, or its number."
    )
    flags.DEFINE_string("data", None, "Where a run's data file is now, if not where it was trained.")
    flags.DEFINE_enum("solver", None, sorted(SOLVERS), "Solver of a run's forecasts.")
    flags.DEFINE_integer("members", None, "Members of a run's forecasts.", lower_bound=1)
    flags.DEFINE_integer(
        "steps_per_frame",
        None,
        "Solver steps of a run's forecasts in the usual time between two frames.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "baseline",
        None,
        [*BASELINES, "closure"],
        "In place of a run, evaluate this on the data of --config. The closure is trained first, in --workdir or "
        "runs/<case>_d0_s<seed>, unless it is already.",
    )


def main() -> None:
    """Evaluates as the flags say and prints the table and the paths."""
    evaluation = _evaluate_run() if flags.FLAGS.baseline is None else _evaluate_baseline()
    print(format_table(evaluation.result))
    print("\n".join(evaluation.paths))


def _evaluate_run() -> Evaluation:
    given = flags.FLAGS
    if given.config is not None:
        raise InputError("`--config` is for a baseline, a run has its own; add --baseline or give --workdir alone.")
    if not given.workdir:
        raise InputError("Nothing to evaluate; give the `--workdir` of a run, or --config and --baseline.")
    if len(given.workdir) == 1:
        return evaluate(given.workdir[0], given.results, given.figures, given.data, _forecast_settings(), *_drawing())
    if given.figures:
        raise InputError("An ensemble of runs draws no figures; leave out `--figures`.")
    return evaluate_ensemble(given.workdir, given.results, given.data, _forecast_settings(), _root())


def _forecast_settings() -> dict[str, Any]:
    return {field: flags.FLAGS[name].value for name, field in _FORECAST.items() if flags.FLAGS[name].value is not None}


def _drawing() -> tuple[tuple[str, ...], str]:
    return tuple(flags.FLAGS.format), flags.FLAGS.shown


def _root() -> str | None:
    """Where what is no single run has a folder, if its result is not collected elsewhere: nothing is lost."""
    return "runs" if flags.FLAGS.results is None else None


def _evaluate_baseline() -> Evaluation:
    given, config = flags.FLAGS, entry.read_config()
    if given.data is not None or _forecast_settings():
        raise InputError(
            "`--data`, `--solver`, `--members` and `--steps_per_frame` are for a run, which its configuration does not "
            "change any more; with --baseline give fields of --config instead."
        )
    if given.baseline == "closure":
        return _evaluate_closure(config)
    if given.workdir or given.figures:
        raise InputError(f"The baseline {given.baseline} leaves no run and draws no figures; leave out --workdir.")
    return evaluate_baseline(given.baseline, config, given.results, _root())


def _evaluate_closure(config: Config) -> Evaluation:
    """Trains the model without microscale latents, unless it is, and evaluates it."""
    given = flags.FLAGS
    if config.model.micro_dim:
        raise InputError(
            f"The closure has no microscale latents, got `model.micro_dim` {config.model.micro_dim}; give "
            "--config=FILE:closure."
        )
    if len(given.workdir) > 1:
        raise InputError(f"The closure is one run, got {len(given.workdir)} times `--workdir`; give one or none.")
    workdir = given.workdir[0] if given.workdir else f"runs/{config.run_name}"
    train(config, workdir)
    return evaluate(workdir, given.results, given.figures, None, None, *_drawing())


def start() -> None:
    """Parses the flags and evaluates."""
    entry.define_config_flag()
    define_flags()
    entry.run(main)
