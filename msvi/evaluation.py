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

from msvi import metrics, plotting
from msvi.build import build_elbo, build_model
from msvi.config import Config, differences, from_dict, load_json, to_dict
from msvi.data.dataset import Dataset, Split, load_dataset
from msvi.errors import InputError
from msvi.forecast import forecast_field, reconstruct
from msvi.model.multiscale import MultiscaleModel
from msvi.training.state import init_state
from msvi.training.workdir import Workdir, write_json
from msvi.types import Array, Params


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
    """Relative L2 errors against the observation at every frame of a split, `(trajectory, time)` each."""

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

    scores, curves = score_split(model, params, dataset.t, dataset.test, config)
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
    paths = [os.path.join(run.path, "result.json")]
    write_json(paths[0], result)
    shared = os.path.join(results_dir, config.case, f"d{config.model.micro_dim}_s{config.seed}.json")
    foreign = _other_run(shared, config)
    if foreign:
        print(f"{shared} holds another run's result ({foreign}) and is left as it is; --results=DIR writes elsewhere.")
    else:
        write_json(shared, result)
        paths.append(shared)
    paths += draw_figures(figures_dir, model, params, dataset, config, curves, run.read_history())
    return Evaluation(result, paths)


def score_split(
    model: MultiscaleModel, params: Params, t: Array, split: Split, config: Config
) -> tuple[Scores, ErrorCurves]:
    """Forecasts every trajectory of a split from its first frame and scores it.

    The estimate is the mean of `num_members` decoded and sampled members; trajectory `i` uses the random key `i`.
    """

    @jax.jit
    def score(u, u_true, key):
        members, steps = config.forecast.num_members, config.forecast.steps_per_frame
        mean, _, _ = forecast_field(model, params, t, u[0], key, members, steps)
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

    t = jnp.asarray(t, jnp.float32)
    each = [score(u, u_true, jax.random.key(i)) for i, (u, u_true) in enumerate(zip(*split, strict=True))]
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


def draw_figures(
    directory: str,
    model: MultiscaleModel,
    params: Params,
    dataset: Dataset,
    config: Config,
    curves: ErrorCurves,
    history: list[dict[str, float]],
) -> list[str]:
    """Draws the first test trajectory's forecast, the errors of all, the filter and the training; returns the paths."""
    t, u, u_true = jnp.asarray(dataset.t, jnp.float32), dataset.test.u[0], dataset.test.u_true[0]

    @jax.jit
    def solve(u, key):
        members, steps = config.forecast.num_members, config.forecast.steps_per_frame
        mean, std, z = forecast_field(model, params, t, u[0], key, members, steps)
        macro, micro = jax.vmap(jax.vmap(lambda z: model.decode_parts(params, z)))(z)
        encoded = jax.vmap(lambda frame: model.encode(params, frame).mean)(u)
        return mean, std, macro.mean(axis=0), micro.mean(axis=0), z, encoded

    mean, std, macro, micro, z, encoded = (np.asarray(a) for a in solve(u, jax.random.key(0)))
    # A macroscale cell under the initial maximum, then all microscale latents.
    cell = int(np.argmax(encoded[0, : model.zeta_dim]))
    shown = [cell, *range(model.zeta_dim, model.latent_dim)]
    labels = [f"ζ {cell}", *(f"η {i}" for i in range(config.model.micro_dim))]
    colors = [plotting.MACRO] + [plotting.MICRO] * config.model.micro_dim
    figures = {
        "forecast": plotting.forecast_1d(
            dataset.t, dataset.x[0], *(field[..., 0] for field in (u_true, mean, std, macro, micro))
        ),
        "space_time": plotting.field_1d(dataset.t, dataset.x[0], u_true[..., 0], mean[..., 0]),
        "error": plotting.error_over_time(
            dataset.t, {name.replace("_", " "): curve for name, curve in curves._asdict().items()}
        ),
        "latents": plotting.latent_paths(dataset.t, z[..., shown], encoded[:, shown], labels=labels, colors=colors),
        "kernel": plotting.kernel_1d(
            np.asarray(params["kernel"]), np.asarray(model.filter.init_kernel()), config.model.coarsening
        ),
        "training": plotting.training_curves(_curves(history)),
    }
    paths = []
    for name, figure in figures.items():
        paths.append(os.path.join(directory, f"{name}.png"))
        figure.savefig(paths[-1], dpi=120)
    return paths


def _curves(history: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Columns of the history; the validation ones only where there was a validation."""
    validated = [entry for entry in history if "val_nrmse" in entry]
    columns = {name: [e[name] for e in history] for name in ("step", "loss", "log_likelihood", "drift_residual")}
    columns |= {"val_step": [e["step"] for e in validated], "val_nrmse": [e["val_nrmse"] for e in validated]}
    columns["val_reconstruction"] = [e["val_reconstruction"] for e in validated]
    return {name: np.array(values) for name, values in columns.items()}


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
