"""Somebody else's benchmark: scenarios of APEBench, learned in cells and scored by its own metric on its own roll-outs.

pip install -e .[apebench]
python -m benchmarks.apebench --scenario=diff_burgers --seeds=0,1,2,3,4
python -m benchmarks.apebench --scenario=diff_burgers --reference="Res;26;8;relu"

A scenario has 50 training trajectories of 51 frames on 160 points without noise, and test trajectories of 200 steps.
Five of the training trajectories validate; nothing of the test is seen before the end. What is scored is the mean of
the ensemble: the geometric mean over the first 100 steps of APEBench's mean nRMSE. Beside it stand scores of the
ensemble, which no network there has. Runs that are there go on or are taken as they are; each seed adds to the result
file.
`--reference` trains one of APEBench's own networks, to see that the numbers are of the same set-up.

F. Koehler, S. Niedermayr, R. Westermann, N. Thuerey, "APEBench: a benchmark for autoregressive neural emulators of
PDEs", NeurIPS 2024. Published medians over 50 seeds are those of google-research/generalized-pde-emulator.
"""

import json
import os
import statistics
import time
from typing import Any

import jax
import numpy as np
from absl import flags

import msvi
from benchmarks.systems.base import judge
from msvi.cli import entry
from msvi.errors import InputError
from msvi.provenance import versions
from msvi.scores import metrics
from msvi.training.trained import open_run, restore_run
from msvi.writing import write_json

FLAGS = flags.FLAGS

# Steps whose errors are averaged, and trajectories of the training set that validate; one more, which the library asks
# for to test on, is not looked at.
_SCORED, _VALIDATING = 100, 5
# Frames from one that is reconstructed to the next.
_APART = 20

# Medians over 50 seeds of what is scored.
PUBLISHED = {
    "diff_burgers": {"Conv": 0.0265, "UNet": 0.0649, "Res": 0.0128, "FNO": 0.0698, "Dil": 0.0571},
    "diff_kdv": {"Conv": 0.1225, "UNet": 0.0963, "Res": 0.876, "FNO": 0.210, "Dil": 0.0769},
    "diff_ks_cons": {"Conv": 0.343, "UNet": 0.411, "Res": 0.242, "FNO": 1.04, "Dil": 0.284},
}
BARS = {"diff_burgers": 0.0265, "diff_kdv": 0.0769, "diff_ks_cons": 0.30}


def define_flags() -> None:
    """Defines them when the command starts: importing it changes nothing."""
    flags.DEFINE_string("scenario", None, "Of APEBench, for example diff_burgers.", required=True)
    flags.DEFINE_integer("dims", 1, "Axes of space.", lower_bound=1, upper_bound=2)
    flags.DEFINE_list("seeds", ["0"], "Of the trainings.")
    flags.DEFINE_integer("steps", 0, "Of each training; what the data suggest if 0.", lower_bound=0)
    flags.DEFINE_integer("coarsening", 0, "Points of a cell along an axis; what the data suggest if 0.", lower_bound=0)
    flags.DEFINE_integer("windows", 8, "Of trajectories, that a step looks at.", lower_bound=1)
    flags.DEFINE_integer("micro_dim", -1, "Latents per cell; what the data suggest if -1.")
    flags.DEFINE_integer("members", 32, "Of the ensemble.", lower_bound=2)
    flags.DEFINE_string("reference", None, "Train this network of APEBench's in place of ours.")
    flags.DEFINE_string("folder", "runs/apebench", "Of the runs.")
    flags.DEFINE_string("results", "results/apebench", "Folder of the result file.")


def main() -> None:
    """Learns and scores each seed, and writes the result after each."""
    scenario = open_scenario(FLAGS.scenario, FLAGS.dims)
    name = FLAGS.scenario if FLAGS.dims == 1 else f"{FLAGS.scenario}_{FLAGS.dims}d"
    path = os.path.join(FLAGS.results, f"{name}.json")
    if FLAGS.reference:
        found = {"reference": {FLAGS.reference: train_reference(scenario, FLAGS.reference)}}
        write_json(path, merge(path, found))
        print(path)
        return
    for seed in map(int, FLAGS.seeds):
        result = learn(scenario, os.path.join(FLAGS.folder, f"{name}_s{seed}"), seed)
        whole = merge(path, {"seeds": {str(seed): result}})
        whole |= {"system": name, "published": PUBLISHED.get(name, {})}
        whole["checks"] = checks(name, list(whole["seeds"].values()))
        write_json(path, whole)
        error = "diverged" if result["error"] is None else f"{result['error']:.4f}"
        print(f"seed {seed}: {error} ({result['train_seconds'] / 60:.1f} min)", flush=True)
    print(path)


def open_scenario(name: str, dims: int) -> Any:
    """A scenario of APEBench.

    Raises:
      InputError: the package is not installed, or it has no such scenario.
    """
    try:
        import apebench
    except ImportError:
        raise InputError("This needs the package apebench; pip install -e .[apebench]") from None
    known = apebench.scenarios.scenario_dict
    if name not in known:
        raise InputError(f"`--scenario` must be one of {', '.join(sorted(known))}, got {name!r}.")
    return known[name](num_spatial_dims=dims)


def fields(trajectories: Any) -> np.ndarray:
    """APEBench's `(trajectory, time, channel, *grid)` as ours, `(trajectory, time, *grid, channel)`."""
    return np.moveaxis(np.asarray(trajectories), 2, -1)


def learn(scenario: Any, workdir: str, seed: int) -> dict[str, Any]:
    """Trains in cells on the training data alone and scores the roll-outs of the test.

    Returns:
      `error`, what is scored, `error_by_step`, scores of the ensemble, `config`, `versions` and seconds.
    """
    train, test = fields(scenario.get_train_data()), fields(scenario.get_test_data())
    number, frames, *grid, _ = train.shape
    split = ["train"] * (number - _VALIDATING - 1) + ["val"] * _VALIDATING + ["test"]
    axes = tuple(np.arange(n) / n for n in grid)
    chosen = {"micro_layout": "cells", "steps": FLAGS.steps, "seed": seed}
    chosen |= {"coarsening": FLAGS.coarsening, "micro_dim": FLAGS.micro_dim, "batch_windows": FLAGS.windows}
    model = msvi.fit(
        train,
        np.arange(frames, dtype=float),
        workdir=workdir,
        boundary="periodic",
        coordinates=axes,
        split=split,
        **chosen,
    )
    means, scores, seconds = [], [], 0.0
    for one, truth in enumerate(test):
        began = time.monotonic()
        members = roll_out(model, truth[0], len(truth), seed=one)
        seconds += time.monotonic() - began
        means.append(members.mean(axis=0))
        scores += frame_scores(members, truth[1:])
    errors = own_metric(scenario, np.stack(means))
    config = msvi.config.to_dict(model.config)
    config["data"]["path"] = os.path.relpath(config["data"]["path"])
    return {
        "error": finite(geometric_mean(errors)),
        "error_by_step": [finite(e) for e in errors],
        "reconstruction_nrmse": relative(model.reconstruct(test[:, ::_APART]), test[:, ::_APART]),
        "first_step_nrmse": finite(errors[0]),
        **ensemble_scores(scores),
        "latents": int(model.model.latent_dim),
        "points": int(np.prod(test.shape[2:])),
        "steps": model.config.train.steps,
        "train_seconds": trained_seconds(model),
        "forecast_seconds": seconds,
        "config": config,
        "versions": versions("apebench", "exponax"),
    }


def trained_seconds(model: msvi.Model) -> float:
    """What the training took, also if it was interrupted."""
    run, _ = open_run(model.workdir)
    return restore_run(run, model.config, None, model.model)[2]["train_seconds"]


def roll_out(model: msvi.Model, u0: np.ndarray, frames: int, seed: int) -> np.ndarray:
    """Members `(member, step, *grid, channel)` after the first frame, from an initial field."""
    t = np.arange(frames, dtype=float)
    members = model.forecast(u0, t, members=FLAGS.members, noise=False, seed=seed)["u"].values
    return members.reshape(*members.shape[:2], *u0.shape)[:, 1:]


def own_metric(scenario: Any, u: np.ndarray) -> np.ndarray:
    """APEBench's mean nRMSE of roll-outs `(trajectory, step, *grid, channel)`, `(step,)`."""
    return np.asarray(scenario.perform_tests_on_rollout(np.moveaxis(u, -1, 2))["mean_nRMSE"])[0]


def finite(value: float) -> float | None:
    """A number as JSON has it; None of a forecast that diverged."""
    return float(value) if np.isfinite(value) else None


def geometric_mean(errors: np.ndarray) -> float:
    """Of the first steps."""
    return float(np.exp(np.log(errors[:_SCORED]).mean()))


def relative(u: np.ndarray, reference: np.ndarray) -> float:
    """Size of the difference over that of the reference, all frames together."""
    return float(np.linalg.norm(u - reference) / np.linalg.norm(reference))


@jax.jit
def _scores(members, observed):
    spread, skill = metrics.spread_and_skill(members, observed)
    return metrics.fair_crps(members, observed), spread, skill, metrics.quantile_position(members, observed)


def frame_scores(members: np.ndarray, observed: np.ndarray) -> list[list[np.ndarray]]:
    """CRPS, spread, skill and place among the members, of each tenth of the scored steps of a trajectory."""
    return [[np.asarray(a) for a in _scores(members[:, k], observed[k])] for k in range(0, _SCORED, 10)]


def ensemble_scores(found: list[list[np.ndarray]]) -> dict[str, float | None]:
    """CRPS, spread over error and 90 % coverage over all that `frame_scores` found."""
    crps, spread, skill, position = (np.stack(part) for part in zip(*found, strict=True))
    return {
        "crps": finite(crps.mean()),
        "spread_skill": finite(np.sqrt(spread.mean() / skill.mean())),
        "coverage_90": finite(((position >= 0.05) & (position <= 0.95)).mean()),
    }


def checks(name: str, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """What is to be reached: the error in the median over the seeds, minutes of training, fewer latents than points."""
    diverged = float("inf")
    median = statistics.median(diverged if r["error"] is None else r["error"] for r in seeds)
    found = {"error, median over seeds": judge(median, BARS.get(name))}
    found["training, minutes, longest"] = judge(max(r["train_seconds"] for r in seeds) / 60, 30.0)
    found["latents over points"] = judge(max(r["latents"] / r["points"] for r in seeds), 1.0)
    found["spread over error"] = judge(statistics.median(r["spread_skill"] or diverged for r in seeds), [0.8, 1.25])
    if name in PUBLISHED:
        found["error over the best published median"] = judge(median / min(PUBLISHED[name].values()), None)
    return found


def train_reference(scenario: Any, network: str) -> dict[str, Any]:
    """Error of one of APEBench's networks, trained here as it trains it."""
    began = time.monotonic()
    table, _ = scenario(task_config="predict", network_config=network, train_config="one", start_seed=0, num_seeds=1)
    errors = table[[c for c in table.columns if c.startswith("mean_nRMSE_")]].to_numpy(float)[0]
    return {"error": geometric_mean(errors), "seed": 0, "train_seconds": time.monotonic() - began}


def merge(path: str, found: dict[str, dict]) -> dict[str, Any]:
    """What a result file holds with more in each of its groups."""
    before = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    return before | {name: before.get(name, {}) | group for name, group in found.items()}


if __name__ == "__main__":
    define_flags()
    entry.run(main)
