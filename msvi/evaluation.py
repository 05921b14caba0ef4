"""Evaluation of a trained run: test forecasts, errors with their floor and their parts, result file, figures."""

import importlib.metadata
import json
import os
import platform
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi import metrics
from msvi.build import build_elbo, build_model
from msvi.config import Config, differences, from_dict, load_json, to_dict
from msvi.data.dataset import load_dataset
from msvi.data.split import Split
from msvi.errors import InputError
from msvi.figures import draw_figures
from msvi.forecast import forecast_field, reconstruct
from msvi.model.multiscale import MultiscaleModel
from msvi.training.state import init_state
from msvi.training.workdir import Workdir, write_json
from msvi.types import Params


class Scores(NamedTuple):
    """Errors of each trajectory of a split, `(trajectory,)` each, under the names of the result file.

    `*_clean` are against the noise-free truth, the others against the observation; `reconstruction_nrmse` is
    encode–decode of every frame without dynamics; `noise_floor` the NRMSE of the truth itself.
    """

    nrmse: np.ndarray
    nrmse_clean: np.ndarray
    rel_l2: np.ndarray
    rel_l2_clean: np.ndarray
    reconstruction_nrmse: np.ndarray
    noise_floor: np.ndarray


class ErrorCurves(NamedTuple):
    """Relative L2 errors against the observation at every scored frame of a split, `(trajectory, time)` each."""

    forecast: np.ndarray
    reconstruction: np.ndarray
    noise_floor: np.ndarray


class Evaluation(NamedTuple):
    """What `evaluate` returns: the result as written, and the paths of everything written."""

    result: dict[str, Any]
    paths: list[str]


def evaluate(workdir: str, results_dir: str = "results", figures_dir: str | None = None) -> Evaluation:
    """Forecasts the test trajectories with the best checkpoint of a run, scores them and draws figures.

    Writes `<workdir>/result.json`, the same to `<results_dir>/<case>/d<micro_dim>_s<seed>.json` unless another run's
    result stands there, and figures to `figures_dir` (`<workdir>/figures` if None).

    Raises:
      InputError: `workdir` is missing, no run of msvi, has no checkpoint yet, or holds another model's.
    """
    began = time.monotonic()
    run = Workdir(os.path.abspath(workdir))
    if not os.path.exists(run.config):
        raise InputError(f"`workdir` must be a run of msvi, but {run.config} does not exist; train first.")
    config = load_json(run.config)
    if run.best.latest_step() is None:
        raise InputError(f"{run.path} has no checkpoint yet; train it to its first validation.")
    dataset = load_dataset(config.case, config.data)
    model = build_model(config, dataset)
    template = init_state(build_elbo(config, model), config.train, jax.random.key(config.seed))
    state, record = run.best.restore(template)
    # What cannot be written is found before the work, not after it.
    figures_dir = figures_dir or os.path.join(run.path, "figures")
    for folder in (os.path.join(results_dir, config.case), figures_dir):
        os.makedirs(folder, exist_ok=True)
    params = state.average["model"]

    scores, curves = score_split(model, params, dataset.test, config)
    seconds = time.monotonic() - began
    result = {
        "case": config.case,
        "micro_dim": config.model.micro_dim,
        "seed": config.seed,
        "steps": run.latest.latest_step(),
        "best_step": int(state.step),
        "train_seconds": _train_seconds(run, template, record),
        "evaluate_seconds": seconds,
        "versions": versions(),
        "config": to_dict(config),
        "data": {name: len(getattr(dataset, name).u) for name in ("train", "val", "test")},
        "val": {"nrmse": record["val_nrmse"], "reconstruction_nrmse": record["val_reconstruction"]},
        "test": {name: summarize(values) for name, values in scores._asdict().items()},
    }
    if dataset.published is not None:
        published = score_split(model, params, dataset.published, config)[0]
        result["published_test"] = {name: summarize(values) for name, values in published._asdict().items()}
    paths = [os.path.join(run.path, "result.json")]
    write_json(paths[0], result)
    shared = os.path.join(results_dir, config.case, f"d{config.model.micro_dim}_s{config.seed}.json")
    foreign = _other_run(shared, config)
    if foreign:
        print(f"{shared} holds another run's result ({foreign}) and is left as it is; --results=DIR writes elsewhere.")
    else:
        write_json(shared, result)
        paths.append(shared)
    errors = {name.replace("_", " "): values for name, values in curves._asdict().items()}
    paths += draw_figures(figures_dir, model, params, dataset, config, errors, run.read_history())
    return Evaluation(result, paths)


def score_split(model: MultiscaleModel, params: Params, split: Split, config: Config) -> tuple[Scores, ErrorCurves]:
    """Forecasts every trajectory of a split from its first frame and scores it.

    The estimate is the mean of `num_members` decoded and sampled members; trajectory `i` uses the random key `i`.
    Scored are the frames that `forecast.stride` leaves.
    """

    @jax.jit
    def score(params, t, u, u_true, key):
        c = config.forecast
        mean, _, _ = forecast_field(model, params, t, u[0], key, c.num_members, c.steps_per_frame, c.stride, c.solver)
        u, u_true = u[:: c.stride], u_true[:: c.stride]
        reconstruction = reconstruct(model, params, u)
        scores = Scores(
            nrmse=metrics.nrmse(mean, u),
            nrmse_clean=metrics.nrmse(mean, u_true),
            rel_l2=metrics.relative_l2(mean, u),
            rel_l2_clean=metrics.relative_l2(mean, u_true),
            reconstruction_nrmse=metrics.nrmse(reconstruction, u),
            noise_floor=metrics.nrmse(u_true, u),
        )
        return scores, ErrorCurves(*(metrics.relative_errors(a, u) for a in (mean, reconstruction, u_true)))

    each = [
        jax.device_get(score(params, jnp.asarray(t, jnp.float32), u, u_true, jax.random.key(i)))
        for i, (t, u, u_true) in enumerate(zip(*split, strict=True))
    ]
    return jax.tree.map(lambda *values: np.array(values, np.float64), *each)


def summarize(values: np.ndarray) -> dict[str, Any]:
    """Mean, median, standard deviation and the values; a value that is not finite is written as null."""
    finite = [float(v) if np.isfinite(v) else None for v in values]
    with np.errstate(invalid="ignore"):
        statistics = {"mean": np.mean(values), "median": np.median(values), "std": np.std(values)}
    return {k: float(v) if np.isfinite(v) else None for k, v in statistics.items()} | {"per_trajectory": finite}


def format_table(result: dict[str, Any]) -> str:
    """The result's errors as a text table."""
    lines = [
        f"{result['case']}, micro_dim {result['micro_dim']}, seed {result['seed']}, checkpoint of step "
        f"{result['best_step']} of {result['steps']}, {result['data']['test']} test trajectories",
        f"{'':24}{'median':>9}{'mean':>9}{'sd':>9}{'worst':>9}",
    ]
    for name, score in result["test"].items():
        numbers = [score["median"], score["mean"], score["std"]]
        numbers.append(None if None in score["per_trajectory"] else max(score["per_trajectory"]))
        lines.append(f"{name:24}" + "".join(f"{'diverged':>9}" if v is None else f"{v:9.4f}" for v in numbers))
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the device they were computed on."""
    packages = ("msvi", "jax", "jaxlib", "flax", "optax", "diffrax", "orbax-checkpoint", "numpy")
    found = {name: importlib.metadata.version(name) for name in packages}
    return found | {"python": platform.python_version(), "device": jax.devices()[0].device_kind}


def _train_seconds(run: Workdir, template, record: dict[str, Any]) -> float:
    """Wall time of the whole training, from its newest checkpoint; the best may be older."""
    if run.latest.latest_step() is None:
        return record["train_seconds"]
    return run.latest.restore(template)[1]["train_seconds"]


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
    free = ("train.steps", "data.cache_dir") if other.train.steps <= config.train.steps else ("data.cache_dir",)
    return "; ".join(differences(other, config, ignore=free))
