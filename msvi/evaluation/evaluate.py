"""Evaluation on the test trajectories: of a trained run, of several together, of a baseline."""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.baselines.base import few_trajectories
from msvi.baselines.fit import fit_baseline
from msvi.config import OF_NO_EFFECT, Config, differences, from_dict, to_dict
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.evaluation.figures import draw_figures, find_shown
from msvi.evaluation.progress import Progress
from msvi.evaluation.scoring import (
    SplitScores,
    pick_frames,
    score_baseline,
    score_groups,
    score_model,
    scored_frames,
    shown_frames,
    split_totals,
)
from msvi.evaluation.steps import change_by_halving
from msvi.forecast.config import DRIFT_EVALUATIONS, ForecastConfig
from msvi.forecast.ensemble import forecast_field, solver_steps
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales
from msvi.provenance import peak_memory_gib, versions
from msvi.recipe.build import build_conditions, build_model
from msvi.recipe.measure import field_scales
from msvi.recipe.suggest import resolve
from msvi.scores.scores import calibration, thinning
from msvi.training.calibration import scale
from msvi.training.monitoring import add_pictures
from msvi.training.state import TrainState
from msvi.training.trained import open_run, restore_run
from msvi.training.workdir import Workdir, with_data_at
from msvi.types import Params
from msvi.writing import explain_full_disk, write_json

# What a baseline's numbers depend on beside what all do.
_BASELINE_PACKAGES = {
    "coarse": ("scipy",),
    "dmd": ("pydmd", "scipy"),
    "sindy": ("pysindy", "scikit-learn", "scipy"),
    "fno": ("pdequinox", "equinox", "scipy"),
    "unet": ("pdequinox", "equinox", "scipy"),
}

# Shown beside a run on own data.
_QUICK_BASELINES = ("persistence", "mean", "dmd")

# Runs of an ensemble may differ in these; staged ones start each from a run of its own seed.
_FREE_IN_ENSEMBLE = ("seed", "train.steps", "train.warm_start", *OF_NO_EFFECT)


class Evaluation(NamedTuple):
    """The result as written, and the paths of everything written."""

    result: dict[str, Any]
    paths: list[str]


def evaluate(
    workdir: str,
    results_dir: str | None = None,
    figures_dir: str | None = None,
    data: str | None = None,
    forecast: dict[str, Any] | None = None,
    formats: tuple[str, ...] = ("png",),
    shown: str | int = "median",
) -> Evaluation:
    """Forecasts the test trajectories with the best checkpoint of a run, scores them and draws figures.

    Writes `<workdir>/result.json` and figures to `figures_dir` (`<workdir>/figures` if None), which TensorBoard shows
    too. With `results_dir` the result is also written to `<results_dir>/<folder>/<label>.json` (`Config.folder`,
    `.label`) unless another run's stands there. Forecasts with other settings than the run's are written to the workdir
    alone, under names that tell the settings.

    Args:
      data: where the run's data file is now, if not where it was trained.
      forecast: fields of `ForecastConfig` that are to differ from the run's.
      formats, shown: of the figures, as in `msvi.evaluation.figures.draw_figures`.

    Raises:
      InputError: `workdir` is missing, no run of msvi, has no checkpoint yet, or holds another model's; or the data
        file is missing or another one.
    """
    began, progress = time.monotonic(), Progress()
    run, config, given = _open(workdir, data, forecast)
    progress.begin(f"evaluating {run.path}: reading its data and weights")
    dataset = load_dataset(config.case, config.data, config.train.data_on)
    config = resolve(config, dataset)
    model = build_model(config, dataset)
    state, best, newest = restore_run(run, config, dataset, model)
    # What cannot be written or drawn is found before the work, not after it.
    find_shown([0.0] * len(dataset.test.u), shown)
    suffix = _suffix(resolve(given, dataset).forecast, config.forecast) if forecast else ""
    figures_dir = figures_dir or os.path.join(run.path, f"figures{suffix}")
    shared = None if suffix or results_dir is None else os.path.join(results_dir, config.folder)
    for folder in filter(None, (figures_dir, shared)):
        os.makedirs(folder, exist_ok=True)

    params = state.average["model"]
    scores, groups = _score(model, jax.tree.map(lambda a: a[None], params), dataset, config, progress)
    if config.forecast.dispersion == "validation":
        progress.say("scoring what the bound's own dispersion would give")
        groups["bound_dispersion"] = _score_unscaled(model, state, best, scores, dataset, config)
    progress.say("compiling and timing one forecast")
    groups["change_by_halving"] = change_by_halving(model, params, dataset.test, config.forecast)
    result = {
        "case": config.case,
        "micro_dim": config.model.micro_dim,
        "micro_layout": config.model.micro_layout,
        "seed": config.seed,
        "steps": newest["step"],
        "best_step": int(state.step),
        "train_seconds": newest["train_seconds"],
        **_provenance(config, dataset),
        "val": {
            "crps_scaled": best.get("val_crps"),
            "nrmse": best["val_nrmse"],
            "reconstruction_nrmse": best["val_reconstruction"],
            "spread_skill": best.get("val_spread_skill"),
            "dispersion_factor": best.get("dispersion_factor"),
            "decoder_factor": best.get("decoder_factor"),
        },
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
    paths = [os.path.join(run.path, f"result{suffix}.json")]
    write_json(paths[0], result)
    if shared:
        paths += _publish(os.path.join(shared, f"{config.label}.json"), result, config)
    errors = {"forecast": scores.frames.rel_l2, "reconstruction": scores.reconstruction}
    if scores.noise_floor is not None:
        errors["noise floor"] = scores.noise_floor
    frames = shown_frames(dataset.test, config.forecast.stride)[1]
    errors = {name: pick_frames(np.where(np.isfinite(v), v, np.nan), frames) for name, v in errors.items()}
    progress.say(f"drawing figures into {figures_dir}")
    content, history = (model, params, dataset, config, result, errors), run.read_history()
    with explain_full_disk(figures_dir):
        figures = draw_figures(figures_dir, *content, history, formats, shown)
    pictures = {os.path.basename(path).removesuffix(".png"): path for path in figures if path.endswith(".png")}
    if pictures and not suffix:
        add_pictures(run.tensorboard, pictures, int(state.step))
    return Evaluation(result, paths + figures)


def evaluate_ensemble(
    workdirs: list[str],
    results_dir: str | None = None,
    data: str | None = None,
    forecast: dict[str, Any] | None = None,
    root: str | None = None,
) -> Evaluation:
    """Forecasts the test trajectories with several runs that only their seeds tell apart, and scores them as one.

    Each run gives as many of the members. Where the data leave the dynamics open the runs differ, so that the spread
    tells more of what is not known than that of one. Written is what `evaluate_baseline` says, under the name
    `ensemble_<microscale>_s<seeds>`.
    Source: Lakshminarayanan, Pritzel & Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
    Ensembles", NeurIPS 2017.

    Args:
      workdirs: two or more, whose number divides `forecast.num_members`.
      results_dir, root: as for `evaluate_baseline`.
      data, forecast: as for `evaluate`.

    Raises:
      InputError: as for `evaluate`; or runs that differ in more than seed and steps, or do not differ.
    """
    began, progress = time.monotonic(), Progress()
    opened = [_open(workdir, data, forecast)[:2] for workdir in workdirs]
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
            f"{len(seeds)} runs; leave some out, or give another number, --members=N."
        )
    progress.begin(f"evaluating {len(workdirs)} runs as one: reading their data and weights")
    dataset = load_dataset(config.case, config.data, config.train.data_on)
    config = resolve(config, dataset)
    model = build_model(config, dataset)
    places = _places(f"ensemble_{config.microscale}_s{'-'.join(map(str, seeds))}", config, results_dir, root)
    restored = [restore_run(run, other, dataset, model) for run, other in opened]
    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state.average["model"] for state, _, _ in restored))
    result = {
        "case": config.case,
        "micro_dim": config.model.micro_dim,
        "micro_layout": config.model.micro_layout,
        "seeds": seeds,
        "steps": [newest["step"] for _, _, newest in restored],
        "train_seconds": sum(newest["train_seconds"] for _, _, newest in restored),
        **_provenance(config, dataset),
        **_score(model, runs, dataset, config, progress)[1],
        "evaluate_seconds": time.monotonic() - began,
    }
    return Evaluation(result, [path for place in places for path in _publish(place, result, config)])


def evaluate_baseline(name: str, config: Config, results_dir: str | None = None, root: str | None = None) -> Evaluation:
    """Fits a baseline to the training and validation trajectories, and scores its forecasts of the test trajectories.

    Data, frames, scores and form of the result are those of `evaluate`. It is written to
    `<results_dir>/<folder>/baseline_<name>.json` and to `<root>/<folder>_baseline_<name>/result.json`, unless one of
    another configuration stands there. A forecast without uncertainty is an ensemble of one: its CRPS is its mean
    absolute error, and there is no calibration; that of several members has it.

    Args:
      name: a key of `msvi.baselines.BASELINES`.
      config: the data, `model.coarsening` for the coarse solve, `forecast.stride`, and for networks `baseline` and
        `seed`.
      results_dir: folder of the result files of many runs; None for no such file.
      root: folder of the folders of runs, in which this has one too; None for no such folder.

    Raises:
      InputError: an unknown name, or a package that is not installed.
    """
    progress = Progress()
    progress.begin(f"evaluating the baseline {name}: reading the data")
    dataset = load_dataset(config.case, config.data, config.train.data_on)
    scales = field_scales(dataset.train)
    places = _places(f"baseline_{name}", config, results_dir, root)
    began = time.monotonic()
    progress.say(f"fitting it to {len(dataset.train.u)} trajectories, then forecasting {len(dataset.test.u)}")
    baseline = fit_baseline(name, config, dataset)
    fitted = time.monotonic()
    baseline.forecast(dataset.test.t[0], np.asarray(dataset.test.u[0, 0]))
    forecast_seconds = time.monotonic() - fitted
    with progress.counting(_count(dataset)):
        scores, groups = _score_splits(
            lambda split: score_baseline(baseline.forecast, dataset, split, config, scales, progress.ended),
            dataset,
            config,
            scales,
            noise_std=0.0,
        )
    if baseline.num_members > 1:
        groups["calibration"] = _calibration(scores, dataset, config, baseline.num_members, noise_std=0.0)
    result = {
        "case": config.case,
        "baseline": name,
        "settings": baseline.settings,
        "fit_seconds": fitted - began,
        **_provenance(config, dataset, *_BASELINE_PACKAGES.get(name, ())),
        **groups,
        "cost": {"forecast_seconds": forecast_seconds, "peak_memory_gib": peak_memory_gib()},
        "evaluate_seconds": time.monotonic() - began,
    }
    return Evaluation(result, [path for place in places for path in _publish(place, result, config)])


def _score(
    model: MultiscaleModel, runs: Params, dataset: Dataset, config: Config, progress: Progress
) -> tuple[SplitScores, dict[str, Any]]:
    """Scores of the test trajectories, and all that the result file says of them."""
    c, frames = config.forecast, dataset.test.t.shape[1]
    progress.say(
        f"compiling the forecast of {c.num_members} members over {frames} frames, then {len(dataset.test.u)} test "
        "trajectories"
    )
    with progress.counting(_count(dataset)):
        scores, groups = _score_splits(
            lambda split: score_model(model, runs, dataset, split, config, progress.ended),
            dataset,
            config,
            model.scales,
        )
    groups["calibration"] = _calibration(scores, dataset, config, config.forecast.num_members, config.data.noise_std)
    if config.case == "custom":
        progress.say(f"fitting what anyone would try first: {', '.join(_QUICK_BASELINES)}")
        groups["baselines"] = _baselines(dataset, config, model.scales)
    return scores, groups


def _score_splits(
    score: Callable[[Split], SplitScores],
    dataset: Dataset,
    config: Config,
    scales: Scales,
    noise_std: float | None = None,
) -> tuple[SplitScores, dict[str, Any]]:
    """Scores of the test trajectories, and what the result file says of them and of the other sets. `noise_std` is as
    for `split_totals`."""
    scores = score(dataset.test)
    groups = score_groups(scores, dataset, config, scales, noise_std)
    for name, split in _other_tests(dataset).items():
        groups[name] = split_totals(score(split), split, config, noise_std)
    for name, split in {"test": dataset.test, **_other_tests(dataset)}.items():
        if split.inside is not None:
            groups[f"{name}_inside"] = split.inside.tolist()
    return scores, groups


def _score_unscaled(
    model: MultiscaleModel,
    state: TrainState,
    best: dict[str, Any],
    scores: SplitScores,
    dataset: Dataset,
    config: Config,
) -> dict[str, Any]:
    """Scores of the test trajectories with the variances that the bound found, before validation scaled them.

    At the frames of the scores by lead time, a few dozen: a comparison need not cost as much as what is compared.

    Args:
      scores: of them with the scaled ones, which are the same where no factor is other than one.
    """
    factors, split = (best["dispersion_factor"], best.get("decoder_factor", 1.0)), dataset.test
    if factors != (1.0, 1.0):
        stride = config.forecast.stride * thinning(scored_frames(split, config.forecast.stride).shape[1])
        config = dataclasses.replace(config, forecast=dataclasses.replace(config.forecast, stride=stride))
        params = scale(state, *(1 / factor for factor in factors)).average["model"]
        scores = score_model(model, jax.tree.map(lambda a: a[None], params), dataset, split, config)
    pooled = _calibration(scores, dataset, config, config.forecast.num_members, config.data.noise_std)
    totals = split_totals(scores, split, config)
    kept = {name: totals[name] for name in ("nrmse", "crps", "spread_skill", "coverage_90") if name in totals}
    return kept | {"calibration": {name: pooled[name] for name in ("spread_skill", "coverage_90") if name in pooled}}


def _other_tests(dataset: Dataset) -> dict[str, Split]:
    """Sets of test trajectories beside the first, by the name of their scores in the result file."""
    others = {"published_test": dataset.published, "second_test": dataset.second_test}
    return {name: split for name, split in others.items() if split is not None}


def _calibration(
    scores: SplitScores, dataset: Dataset, config: Config, num_members: int, noise_std: float
) -> dict[str, Any]:
    """Of the test trajectories; `noise_std` is that of the members."""
    return calibration(scores.frames, num_members, noise_std, scored_frames(dataset.test, config.forecast.stride))


def _baselines(dataset: Dataset, config: Config, scales: Scales) -> dict[str, Any]:
    """Medians of the scores of what anyone would try first, fitted in seconds; in their place why one is left out."""
    found = {}
    for name in _QUICK_BASELINES:
        try:
            forecast = fit_baseline(name, config, few_trajectories(dataset) if name == "dmd" else dataset).forecast
            totals = split_totals(score_baseline(forecast, dataset, dataset.test, config, scales), dataset.test, config)
        except (InputError, np.linalg.LinAlgError) as error:
            found[name] = {"left_out": str(error)}
        else:
            found[name] = {score: values["median"] for score, values in totals.items()}
    return found


def _open(workdir: str, data: str | None, forecast: dict[str, Any] | None) -> tuple[Workdir, Config, Config]:
    """A run, its configuration with the changes that are asked for, and that of its training."""
    run, given = open_run(workdir)
    config = dataclasses.replace(given, forecast=dataclasses.replace(given.forecast, **(forecast or {})))
    return run, with_data_at(config, data, run.path), given


def _suffix(trained: ForecastConfig, used: ForecastConfig) -> str:
    """What names of files say of the settings of a forecast that are not those of the training."""
    changed = {name: value for name, value in vars(used).items() if value != getattr(trained, name)}
    return "".join(f"_{name}_{value}" for name, value in changed.items())


def _provenance(config: Config, dataset: Dataset, *packages: str) -> dict[str, Any]:
    return {
        "versions": versions(*packages),
        "config": to_dict(config),
        "data": {name: len(getattr(dataset, name).u) for name in ("train", "val", "test")},
        "data_digest": dataset.digest,
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
    steps = solver_steps(split.t[:1], model.scales.spacing, c.steps_per_frame).shape[1] - 1
    evaluations = c.num_members * steps * DRIFT_EVALUATIONS[c.solver]
    return {"forecast_drift_evaluations": evaluations, "forecast_seconds": seconds}


def _count(dataset: Dataset) -> int:
    """Trajectories that are forecast."""
    return sum(len(split.u) for split in (dataset.test, *_other_tests(dataset).values()))


def _places(name: str, config: Config, results_dir: str | None, root: str | None) -> list[str]:
    """Where the result of what is no single run goes; the folders are created."""
    places = [] if results_dir is None else [os.path.join(results_dir, config.folder, f"{name}.json")]
    if root is not None:
        places.append(os.path.join(root, f"{config.folder.replace(os.sep, '_')}_{name}", "result.json"))
    for place in places:
        os.makedirs(os.path.dirname(place), exist_ok=True)
    return places


def _publish(path: str, result: dict[str, Any], config: Config) -> list[str]:
    """Writes the result unless one of another configuration stands there; returns the paths written."""
    foreign = _other_run(path, config, result["data_digest"])
    if foreign:
        print(f"{path} holds another run's result ({foreign}) and is left as it is; --results=DIR writes elsewhere.")
        return []
    write_json(path, result)
    return [path]


def _other_run(path: str, config: Config, digest: str = "") -> str:
    """How the result at `path` differs in configuration, empty if it is this run's or there is none.

    Args:
      digest: of the data file; with the same it may lie elsewhere.
    """
    if not os.path.exists(path):
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        other = from_dict(found["config"])
    except (ValueError, KeyError, TypeError) as error:
        return f"which cannot be read: {error}"
    # A run trained further replaces its own result; a shorter one does not replace a longer one's.
    free = OF_NO_EFFECT
    free += ("data.path",) if digest and found.get("data_digest") == digest else ()
    free += ("train.steps",) if other.train.steps <= config.train.steps else ()
    return "; ".join(differences(other, config, ignore=free))
