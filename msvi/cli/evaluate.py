"""Evaluates a run on its test trajectories, or a baseline on the same.

msvi evaluate --workdir=runs/burgers_1d
msvi evaluate --workdir=runs/burgers_1d --members=256 --steps_per_frame=4
msvi evaluate --workdir=runs/custom_my_auto_s0 --data=/where/it/is/now/my.npz
msvi evaluate --workdir=runs/burgers_1d_d5_s0 --workdir=runs/burgers_1d_d5_s1
msvi evaluate --config=configs/burgers_1d.py --baseline=dmd
"""

from absl import flags

from msvi.baselines import BASELINES
from msvi.cli import entry
from msvi.errors import InputError
from msvi.evaluation.evaluate import Evaluation, evaluate, evaluate_baseline, evaluate_ensemble, format_table
from msvi.forecast.ensemble import SOLVERS
from msvi.training.loop import train

WORKDIR = flags.DEFINE_multi_string(
    "workdir", [], "Folder of the run, as given to train.py; repeated, runs of several seeds are one ensemble."
)
RESULTS = flags.DEFINE_string("results", "results", "Result files go to DIR/<case>/[cells_]d<micro_dim>_s<seed>.json.")
FIGURES = flags.DEFINE_string("figures", None, "Folder of a run's figures; <workdir>/figures if left out.")
DATA = flags.DEFINE_string("data", None, "Where a run's data file is now, if not where it was trained.")
# Settings of the forecast that may differ from the training's, and what they are called in its configuration.
FORECAST = {
    "solver": flags.DEFINE_enum("solver", None, sorted(SOLVERS), "Solver of a run's forecasts."),
    "num_members": flags.DEFINE_integer("members", None, "Members of a run's forecasts.", lower_bound=1),
    "steps_per_frame": flags.DEFINE_integer(
        "steps_per_frame",
        None,
        "Solver steps of a run's forecasts in the usual time between two frames.",
        lower_bound=1,
    ),
}
BASELINE = flags.DEFINE_enum(
    "baseline",
    None,
    [*BASELINES, "closure"],
    "In place of a run, evaluate this on the data of --config. The closure is trained first, in --workdir or "
    "runs/<case>_d0_s<seed>, unless it is already.",
)


def main() -> None:
    """Evaluates as the flags say and prints the table and the paths."""
    evaluation = _evaluate_run() if BASELINE.value is None else _evaluate_baseline()
    print(format_table(evaluation.result))
    print("\n".join(evaluation.paths))


def _evaluate_run() -> Evaluation:
    if flags.FLAGS.config is not None:
        raise InputError("`--config` is for a baseline, a run has its own; add --baseline or give --workdir alone.")
    if not WORKDIR.value:
        raise InputError("Nothing to evaluate; give the `--workdir` of a run, or --config and --baseline.")
    if len(WORKDIR.value) == 1:
        return evaluate(WORKDIR.value[0], RESULTS.value, FIGURES.value, DATA.value, _forecast_settings())
    if FIGURES.value:
        raise InputError("An ensemble of runs draws no figures; leave out `--figures`.")
    return evaluate_ensemble(WORKDIR.value, RESULTS.value, DATA.value, _forecast_settings())


def _forecast_settings() -> dict[str, int | str]:
    return {name: flag.value for name, flag in FORECAST.items() if flag.value is not None}


def _evaluate_baseline() -> Evaluation:
    config = entry.read_config()
    if DATA.value is not None or _forecast_settings():
        raise InputError(
            "`--data`, `--solver`, `--members` and `--steps_per_frame` are for a run, which its configuration does not "
            "change any more; with --baseline give fields of --config instead."
        )
    if BASELINE.value != "closure":
        if WORKDIR.value or FIGURES.value:
            raise InputError(f"The baseline {BASELINE.value} leaves no run and draws no figures; leave out --workdir.")
        return evaluate_baseline(BASELINE.value, config, RESULTS.value)
    if config.model.micro_dim:
        raise InputError(
            f"The closure has no microscale latents, got `model.micro_dim` {config.model.micro_dim}; give "
            "--config=FILE:closure."
        )
    if len(WORKDIR.value) > 1:
        raise InputError(f"The closure is one run, got {len(WORKDIR.value)} times `--workdir`; give one or none.")
    workdir = WORKDIR.value[0] if WORKDIR.value else f"runs/{config.run_name}"
    train(config, workdir)
    return evaluate(workdir, RESULTS.value, FIGURES.value)


def start() -> None:
    """Parses the flags and evaluates."""
    entry.define_config_flag(required=False)
    entry.run(main)
