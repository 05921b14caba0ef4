"""Evaluation on the test trajectories: of a trained run, of several together, of a baseline."""

import json
import os
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.baselines import fit_baseline
from msvi.build import build_conditions, build_model
from msvi.config import Config, differences, from_dict, to_dict
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.figures import draw_figures
from msvi.forecast import DRIFT_EVALUATIONS, forecast_field
from msvi.model.multiscale import MultiscaleModel
from msvi.provenance import peak_memory_gib, versions
from msvi.scores import calibration
from msvi.scoring import (
    SplitScores,
    pick_frames,
    score_baseline,
    score_groups,
    score_model,
    scored_frames,
    shown_frames,
    split_totals,
)
from msvi.trained import open_run, restore_run
from msvi.training.checkpoint import explain_full_disk
from msvi.training.workdir import write_json
from msvi.types import Params

# What a baseline's numbers depend on beside what all do.
_BASELINE_PACKAGES = {"coarse": ("scipy",), "dmd": ("pydmd", "scipy"), "sindy": ("pysindy", "scikit-learn", "scipy")}

# Runs of an ensemble may differ in these; staged ones start each from a run of its own seed.
_FREE_IN_ENSEMBLE = ("seed", "train.steps", "train.warm_start", "train.data_parallel", "data.cache_dir")


class Evaluation(NamedTuple):
    """The result as written, and the paths of everything written."""

    result: dict[str, Any]
    paths: list[str]


def evaluate(workdir: str, results_dir: str = "results", figures_dir: str | None = None) -> Evaluation:
    """Forecasts the test trajectories with the best checkpoint of a run, scores them and draws figures.

    Writes `<workdir>/result.json`, the same to `<results_dir>/<folder>/d<micro_dim>_s<seed>.json` (`Config.folder`)
    unless another run's result stands there, and figures to `figures_dir` (`<workdir>/figures` if None).

    Raises:
      InputError: `workdir` is missing, no run of msvi, has no checkpoint yet, or holds another model's.
    """
    began = time.monotonic()
    run, config = open_run(workdir)
    dataset = load_dataset(config.case, config.data)
    model = build_model(config, dataset)
    state, best, newest = restore_run(run, config, dataset, model)
    # What cannot be written is found before the work, not after it.
    figures_dir = figures_dir or os.path.join(run.path, "figures")
    for folder in (os.path.join(results_dir, config.folder), figures_dir):
        os.makedirs(folder, exist_ok=True)

    params = state.average["model"]
    scores, groups = _score(model, jax.tree.map(lambda a: a[None], params), dataset, config)
    result = {
        "case": config.case,
        "micro_dim": config.model.micro_dim,
        "seed": config.seed,
        "steps": newest["step"],
        "best_step": int(state.step),
        "train_seconds": newest["train_seconds"],
        **_provenance(config, dataset),
        "val": {"nrmse": best["val_nrmse"], "reconstruction_nrmse": best["val_reconstruction"]},
        **groups,
        "cost": {
            "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
            "train_drift_evaluations": newest["step"] * config.train.batch_windows * config.inference.num_quadrature,
            **_forecast_cost(model, params, dataset.test, config),
            "train_peak_memory_gib": newest.get("peak_memory_gib"),  # runs of earlier versions did not record it
            "peak_memory_gib": peak_memory_gib(),
        },
        "evaluate_seconds": time.monotonic() - began,
    }
    paths = [os.path.join(run.path, "result.json")]
    write_json(paths[0], result)
    shared = os.path.join(results_dir, config.folder, f"d{config.model.micro_dim}_s{config.seed}.json")
    paths += _publish(shared, result, config)
    errors = {"forecast": scores.frames.rel_l2, "reconstruction": scores.reconstruction}
    if scores.noise_floor is not None:
        errors["noise floor"] = scores.noise_floor
    shown = shown_frames(dataset.test, config.forecast.stride)[1]
    errors = {name: pick_frames(values, shown) for name, values in errors.items()}
    with explain_full_disk(figures_dir):
        paths += draw_figures(figures_dir, model, params, dataset, config, result, errors, run.read_history())
    return Evaluation(result, paths)


def evaluate_ensemble(workdirs: list[str], results_dir: str = "results") -> Evaluation:
    """Forecasts the test trajectories with several runs that only their seeds tell apart, and scores them as one.

    Each run gives as many of the members. Where the data leave the dynamics open the runs differ, so that the spread
    tells more of what is not known than that of one. Writes
    `<results_dir>/<folder>/ensemble_d<micro_dim>_s<seeds>.json` unless one of another configuration stands there.
    Source: Lakshminarayanan, Pritzel & Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
    Ensembles", NeurIPS 2017.

    Args:
      workdirs: two or more, whose number divides `forecast.num_members`.
      results_dir: folder of the result files.

    Raises:
      InputError: as for `evaluate`; or runs that differ in more than seed and steps, or do not differ.
    """
    began = time.monotonic()
    opened = [open_run(workdir) for workdir in workdirs]
    config = opened[0][1]
    seeds = [other.seed for _, other in opened]
    for run, other in opened[1:]:
        changed = differences(config, other, ignore=_FREE_IN_ENSEMBLE)
        if changed:
            raise InputError(f"Runs of an ensemble must differ in the seed alone, but {run.path} has {changed[0]}.")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"Runs of an ensemble need seeds of their own, got {seeds}; name each run once.")
    if config.forecast.num_members % len(seeds):
        raise InputError(
            f"The {config.forecast.num_members} members of `forecast.num_members` cannot be shared evenly by "
            f"{len(seeds)} runs; leave some out."
        )
    dataset = load_dataset(config.case, config.data)
    model = build_model(config, dataset)
    os.makedirs(os.path.join(results_dir, config.folder), exist_ok=True)
    restored = [restore_run(run, other, dataset, model) for run, other in opened]
    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state.average["model"] for state, _, _ in restored))
    result = {
        "case": config.case,
        "micro_dim": config.model.micro_dim,
        "seeds": seeds,
        "steps": [newest["step"] for _, _, newest in restored],
        "train_seconds": sum(newest["train_seconds"] for _, _, newest in restored),
        **_provenance(config, dataset),
        **_score(model, runs, dataset, config)[1],
        "evaluate_seconds": time.monotonic() - began,
    }
    name = f"ensemble_d{config.model.micro_dim}_s{'-'.join(map(str, seeds))}.json"
    return Evaluation(result, _publish(os.path.join(results_dir, config.folder, name), result, config))


def evaluate_baseline(name: str, config: Config, results_dir: str = "results") -> Evaluation:
    """Fits a baseline to the training and validation trajectories, and scores its forecasts of the test trajectories.

    Data, frames, scores and form of the result are those of `evaluate`. It is written to
    `<results_dir>/<folder>/baseline_<name>.json` unless one of another configuration stands there. A forecast without
    uncertainty is an ensemble of one: its CRPS is its mean absolute error, and there is no calibration.

    Args:
      name: a key of `msvi.baselines.BASELINES`.
      config: the data, `model.coarsening` for the coarse solve, and `forecast.stride`.
      results_dir: folder of the result files.

    Raises:
      InputError: an unknown name, or a package that is not installed.
    """
    dataset = load_dataset(config.case, config.data)
    os.makedirs(os.path.join(results_dir, config.folder), exist_ok=True)
    began = time.monotonic()
    baseline = fit_baseline(name, config, dataset)
    fitted = time.monotonic()
    baseline.forecast(dataset.test.t[0], np.asarray(dataset.test.u[0, 0]))
    forecast_seconds = time.monotonic() - fitted
    scores = score_baseline(baseline.forecast, dataset, dataset.test, config)
    result = {
        "case": config.case,
        "baseline": name,
        "settings": baseline.settings,
        "fit_seconds": fitted - began,
        **_provenance(config, dataset, *_BASELINE_PACKAGES.get(name, ())),
        **score_groups(scores, dataset, config),
    }
    if dataset.published is not None:
        published = score_baseline(baseline.forecast, dataset, dataset.published, config)
        result["published_test"] = split_totals(published, dataset.published, config)
    result["cost"] = {"forecast_seconds": forecast_seconds, "peak_memory_gib": peak_memory_gib()}
    result["evaluate_seconds"] = time.monotonic() - began
    path = os.path.join(results_dir, config.folder, f"baseline_{name}.json")
    return Evaluation(result, _publish(path, result, config))


def format_table(result: dict[str, Any]) -> str:
    """The result's scores as a text table."""
    if "baseline" in result:
        head = f"{result['case']}, baseline {result['baseline']}"
    elif "seeds" in result:
        head = (
            f"{result['case']}, micro_dim {result['micro_dim']}, seeds {', '.join(map(str, result['seeds']))} together"
        )
    else:
        head = (
            f"{result['case']}, micro_dim {result['micro_dim']}, seed {result['seed']}, checkpoint of step "
            f"{result['best_step']} of {result['steps']}"
        )
    lines = [
        f"{head}, {result['data']['test']} test trajectories",
        f"{'':24}{'median':>9}{'mean':>9}{'sd':>9}{'smallest':>10}{'largest':>9}",
    ]
    for name, score in result["test"].items():
        values = score["per_trajectory"]
        ends = [None, None] if None in values else [min(values), max(values)]
        numbers = [score["median"], score["mean"], score["std"], *ends]
        cells = ["diverged" if v is None else f"{v:.4f}" if abs(v) >= 0.001 or v == 0 else f"{v:.2e}" for v in numbers]
        lines.append(f"{name:24}" + "".join(f"{cell:>{n}}" for cell, n in zip(cells, (9, 9, 9, 10, 9), strict=True)))
    for threshold, horizon in result["horizon"].items():
        count, number = horizon["censored"], result["data"]["test"]
        median = "beyond the end" if horizon["median"] is None else f"{horizon['median']:.3g}"
        lines.append(f"relative L2 error above {threshold}: after {median} (median), never in {count} of {number}")
    if "calibration" in result:
        found = result["calibration"]
        numbers = ["diverged" if v is None else f"{v:.3f}" for v in (found["spread_skill"], found["coverage_90"])]
        lines.append(f"over all trajectories: spread–skill ratio {numbers[0]}, coverage of 90 % intervals {numbers[1]}")
    return "\n".join(lines)


def _score(
    model: MultiscaleModel, runs: Params, dataset: Dataset, config: Config
) -> tuple[SplitScores, dict[str, Any]]:
    """Scores of the test trajectories, and all that the result file says of them."""
    scores = score_model(model, runs, dataset, dataset.test, config)
    groups = score_groups(scores, dataset, config)
    scored = scored_frames(dataset.test, config.forecast.stride)
    groups["calibration"] = calibration(scores.frames, config.forecast.num_members, config.data.noise_std, scored)
    if dataset.published is not None:
        published = score_model(model, runs, dataset, dataset.published, config)
        groups["published_test"] = split_totals(published, dataset.published, config)
    return scores, groups


def _provenance(config: Config, dataset: Dataset, *packages: str) -> dict[str, Any]:
    return {
        "versions": versions(*packages),
        "config": to_dict(config),
        "data": {name: len(getattr(dataset, name).u) for name in ("train", "val", "test")},
    }


def _forecast_cost(model: MultiscaleModel, params: Params, split: Split, config: Config) -> dict[str, Any]:
    """What one forecast takes: evaluations of the drift, and seconds after compilation."""
    c = config.forecast
    t, u0, mask = jnp.asarray(split.t[0], jnp.float32), jnp.asarray(split.u[0, 0]), split.observed(0)
    conditions = jax.tree.map(lambda a: a[0], build_conditions(model, split))
    mask0 = None if mask is None else jnp.asarray(mask[0])

    @jax.jit
    def forecast(params, u0, key):
        sizes = c.num_members, c.steps_per_frame, c.stride, c.solver
        return forecast_field(model, params, t, u0, key, *sizes, conditions=conditions, mask0=mask0)[:2]

    jax.block_until_ready(forecast(params, u0, jax.random.key(0)))
    began = time.monotonic()
    jax.block_until_ready(forecast(params, u0, jax.random.key(1)))
    seconds = time.monotonic() - began
    steps = (len(t) - 1) * c.steps_per_frame
    evaluations = c.num_members * steps * DRIFT_EVALUATIONS[c.solver]
    return {"forecast_drift_evaluations": evaluations, "forecast_seconds": seconds}


def _publish(path: str, result: dict[str, Any], config: Config) -> list[str]:
    """Writes the result unless one of another configuration stands there; returns the paths written."""
    foreign = _other_run(path, config)
    if foreign:
        print(f"{path} holds another run's result ({foreign}) and is left as it is; --results=DIR writes elsewhere.")
        return []
    write_json(path, result)
    return [path]


def _other_run(path: str, config: Config) -> str:
    """How the result at `path` differs in configuration, empty if it is this run's or there is none."""
    if not os.path.exists(path):
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            other = from_dict(json.load(file)["config"])
    except (ValueError, KeyError, TypeError) as error:
        return f"which cannot be read: {error}"
    # A run trained further replaces its own result; a shorter one does not replace a longer one's.
    free = ("train.data_parallel", "data.cache_dir")
    free += ("train.steps",) if other.train.steps <= config.train.steps else ()
    return "; ".join(differences(other, config, ignore=free))
