"""The training run: everything with a side effect, from an empty folder to the last checkpoint."""

import json
import os
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tensorboardX
import tqdm

from msvi import metrics
from msvi.build import build_elbo, build_model
from msvi.config import Config, differences, load_json, to_dict
from msvi.data.dataset import Dataset, load_dataset
from msvi.errors import InputError
from msvi.forecast import forecast_field
from msvi.model.multiscale import MultiscaleModel
from msvi.training.checkpoint import CheckpointStore
from msvi.training.state import TrainState, init_state, make_optimizer, make_train_chunk

# Fields that may change between two commands on one workdir: they do not touch the numbers already computed.
_FREE_FIELDS = ("train.steps", "data.cache_dir")


class Workdir(NamedTuple):
    """Where a run keeps what it writes."""

    path: str

    @property
    def config(self) -> str:
        """The resolved configuration, JSON."""
        return os.path.join(self.path, "config.json")

    @property
    def history(self) -> str:
        """Objective and validation errors by step, one JSON object a line."""
        return os.path.join(self.path, "history.jsonl")

    @property
    def tensorboard(self) -> str:
        """TensorBoard event files."""
        return os.path.join(self.path, "tensorboard")

    @property
    def latest(self) -> CheckpointStore:
        """The newest checkpoints, to resume from."""
        return CheckpointStore(os.path.join(self.path, "checkpoints", "latest"), keep=2)

    @property
    def best(self) -> CheckpointStore:
        """The checkpoint with the lowest validation forecast error."""
        return CheckpointStore(os.path.join(self.path, "checkpoints", "best"), keep=1)


def train(config: Config, workdir: str) -> TrainState:
    """Trains until `config.train.steps`, from the newest checkpoint in `workdir` if there is one.

    A run that is killed and started again ends bit-identical to one that was not, on the same machine.

    Args:
      config: of the run; must be the one in `workdir` but for the number of steps.
      workdir: folder for configuration, checkpoints, history and event files.

    Returns:
      The final state.

    Raises:
      InputError: `workdir` belongs to something else, data cannot be used, or the objective is not finite.
    """
    run = Workdir(os.path.abspath(workdir))
    _check_workdir(run, config)
    dataset = load_dataset(config.case, config.data)
    model = build_model(config, dataset)
    elbo = build_elbo(config, model)
    optimizer = make_optimizer(config.train)
    state = init_state(elbo, optimizer, jax.random.key(config.seed))
    record = {"train_seconds": 0.0}
    best = float("inf")
    if run.latest.latest_step() is not None:
        state, record = run.latest.restore(state)
        if run.best.latest_step() is not None:
            best = run.best.restore(state)[1]["val_nrmse"]
    start, step = int(state.step), int(state.step)
    if step >= config.train.steps:
        print(f"{run.path} has {step} of {config.train.steps} steps already; raise --config.train.steps to go on.")
        return state
    os.makedirs(run.path, exist_ok=True)
    _write_json(run.config, to_dict(config))
    history = [entry for entry in read_history(run) if entry["step"] <= step]
    _write_lines(run.history, history)

    train_chunk = make_train_chunk(
        elbo,
        optimizer,
        window=config.inference.window,
        drift_weight=config.inference.drift_weight,
        drift_warmup_steps=config.inference.drift_warmup_steps,
        batch_windows=config.train.batch_windows,
        average_decay=config.train.average_decay,
        capacity=config.train.log_every,
    )
    validate = make_validation(model, dataset, config)
    t, u = jnp.asarray(dataset.t, jnp.float32), jnp.asarray(dataset.train.u)
    earlier, began = record["train_seconds"], time.monotonic()
    bar = tqdm.tqdm(total=config.train.steps, initial=start, unit="step", disable=None, dynamic_ncols=True)
    with tensorboardX.SummaryWriter(run.tensorboard, purge_step=start + 1) as writer, bar:
        while step < config.train.steps:
            stop = min(_next_multiple(step, config.train.log_every), _next_multiple(step, config.train.eval_every))
            count = min(stop, config.train.steps) - step
            state, objective = train_chunk(state, t, u, count)
            entry = _summarize(objective._asdict(), count, step)
            step += count
            entry["step"] = step
            if step % config.train.eval_every == 0 or step == config.train.steps:
                entry |= validate(state)
                record = {"train_seconds": earlier + time.monotonic() - began, **entry}
                # Best before latest: a run killed in between redoes this step and finds its best in place.
                if entry["val_nrmse"] < best:
                    best = entry["val_nrmse"]
                    run.best.save(state, record)
                run.latest.save(state, record)
                left = (time.monotonic() - began) / (step - start) * (config.train.steps - step)
                tqdm.tqdm.write(_progress_line(entry, best, config.train.steps, left), file=sys.stdout)
                sys.stdout.flush()
            history.append(entry)
            _append_line(run.history, entry)
            for name, value in entry.items():
                writer.add_scalar(name, value, step)
            bar.update(count)
            bar.set_postfix(
                {name: f"{entry[name]:.4g}" for name in ("log_likelihood", "drift_residual")}, refresh=False
            )
    return state


def make_validation(model: MultiscaleModel, dataset: Dataset, config: Config):
    """A function `state -> {"val_nrmse", "val_reconstruction"}`: medians over the validation trajectories.

    Forecasts are made with the averaged weights, few members and one fixed key, so that two steps are compared
    on the same noise. Nothing is differentiated here: training itself never solves the SDE.
    """
    t, trajectories = jnp.asarray(dataset.t, jnp.float32), jnp.asarray(dataset.val.u)
    num_members, steps_per_frame = config.forecast.num_val_members, config.forecast.steps_per_frame

    @jax.jit
    def errors(params, trajectories):
        def one(u):
            key = jax.random.key(0)
            mean, _ = forecast_field(model, params, t, u[0], key, num_members, steps_per_frame)
            return metrics.nrmse(mean, u), metrics.nrmse(reconstruct(model, params, u), u)

        return jax.lax.map(one, trajectories)

    def validate(state: TrainState) -> dict[str, float]:
        forecast, reconstruction = errors(state.average["model"], trajectories)
        # A forecast that leaves the range of numbers is the worst there is, not an invalid entry.
        forecast = jnp.where(jnp.isfinite(forecast), forecast, jnp.finfo(jnp.float32).max)
        return {"val_nrmse": float(jnp.median(forecast)), "val_reconstruction": float(jnp.median(reconstruction))}

    return validate


def reconstruct(model: MultiscaleModel, params: Any, u: jax.Array) -> jax.Array:
    """Encode and decode each frame of `u` `(time, *grid, channel)`, without dynamics and without noise."""
    return jax.vmap(lambda frame: model.decode(params, model.encode(params, frame).mean).mean)(u)


def read_history(run: Workdir) -> list[dict[str, float]]:
    """The history of a run, oldest entry first; a last line cut short by a kill is left out."""
    if not os.path.exists(run.history):
        return []
    entries = []
    with open(run.history, encoding="utf-8") as file:
        for line in file:
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
    return entries


def _check_workdir(run: Workdir, config: Config) -> None:
    if not os.path.exists(run.path):
        return
    if not os.path.isdir(run.path):
        raise InputError(f"`workdir` must be a folder, got the file {run.path}; choose another.")
    if not os.path.exists(run.config):
        if os.listdir(run.path):
            raise InputError(
                f"`workdir` must be new, empty or a run of msvi, but {run.path} holds other files; choose another."
            )
        return
    changed = [line for line in differences(load_json(run.config), config) if line.split(":")[0] not in _FREE_FIELDS]
    if changed:
        raise InputError(
            f"{run.path} holds a run with another configuration ({'; '.join(changed)}); choose another workdir or "
            "give the same configuration."
        )


def _summarize(objective: dict[str, jax.Array], count: int, step: int) -> dict[str, float]:
    """Means over the chunk of `count` steps after `step`, refusing values that are not finite."""
    values = {name: np.asarray(value)[:count] for name, value in objective.items()}
    for name in ("log_likelihood", "drift_residual", "loss"):
        bad = np.flatnonzero(~np.isfinite(values[name]))
        if bad.size:
            raise InputError(
                f"The {name} is {values[name][bad[0]]} at step {step + int(bad[0]) + 1}; the last good checkpoint is "
                "kept: lower train.learning_rate or inference.drift_weight and start in another workdir."
            )
    return {name: float(value.mean()) for name, value in values.items()}


def _progress_line(entry: dict[str, float], best: float, steps: int, left: float) -> str:
    minutes, seconds = divmod(round(left), 60)
    return (
        f"step {entry['step']:>6}/{steps}  log-likelihood {entry['log_likelihood']:.4f}  drift residual "
        f"{entry['drift_residual']:.2e}  validation NRMSE {entry['val_nrmse']:.4f} (best {best:.4f}, reconstruction "
        f"{entry['val_reconstruction']:.4f})  {minutes}:{seconds:02d} left"
    )


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval


def _write_json(path: str, values: dict[str, Any]) -> None:
    _replace(path, json.dumps(values, indent=2) + "\n")


def _write_lines(path: str, entries: list[dict[str, float]]) -> None:
    _replace(path, "".join(json.dumps(entry) + "\n" for entry in entries))


def _append_line(path: str, entry: dict[str, float]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _replace(path: str, text: str) -> None:
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".tmp", path)
