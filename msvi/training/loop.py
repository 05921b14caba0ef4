"""The training run: everything with a side effect, from an empty folder to the last checkpoint."""

import os
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tensorboardX
import tqdm

from msvi import metrics
from msvi.build import build_elbo, build_model
from msvi.config import Config
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.forecast import forecast_field, reconstruct
from msvi.inference.elbo import WindowElbo
from msvi.model.multiscale import MultiscaleModel
from msvi.provenance import peak_memory_gib
from msvi.training.state import Objective, TrainState, init_state, make_train_chunk
from msvi.training.warm_start import warm_start
from msvi.training.workdir import Workdir


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
    run.check(config)
    dataset = load_dataset(config.case, config.data)
    frames = dataset.train.t.shape[1]
    if config.inference.window > frames:
        raise InputError(
            f"`inference.window` needs at most as many frames as there are to learn from, got a window of "
            f"{config.inference.window} and {frames} frames; shorten the window or store more frames."
        )
    elbo = build_elbo(config, build_model(config, dataset))
    state = init_state(elbo, config.train, jax.random.key(config.seed))
    best, train_seconds = float("inf"), 0.0
    if run.latest.latest_step() is not None:
        state, record = run.latest.restore(state)
        best, train_seconds = run.best.restore(state)[1]["val_nrmse"], record["train_seconds"]
    elif config.train.warm_start:
        state = warm_start(state, config, dataset)
    if int(state.step) >= config.train.steps:
        print(f"{run.path} has {int(state.step)} steps already; raise --config.train.steps to go on.")
        return state
    run.start(config, int(state.step))
    return _optimize(config, run, dataset, elbo, state, best, train_seconds)


def _optimize(
    config: Config, run: Workdir, dataset: Dataset, elbo: WindowElbo, state: TrainState, best: float, seconds: float
) -> TrainState:
    """The loop over chunks of steps; `best` and `seconds` are what the run has reached and spent so far."""
    train_chunk = make_train_chunk(elbo, config.inference, config.train)
    validate = make_validation(elbo.model, dataset, config)
    t, u = jnp.asarray(dataset.train.t, jnp.float32), jnp.asarray(dataset.train.u)
    start, step, began = int(state.step), int(state.step), time.monotonic()
    print(f"training in {run.path} from step {start} to {config.train.steps} on {jax.devices()[0].device_kind}")
    shown: dict[str, float] = {}
    bar = tqdm.tqdm(total=config.train.steps, initial=start, unit="step", disable=None, dynamic_ncols=True)
    with tensorboardX.SummaryWriter(run.tensorboard, purge_step=start + 1) as writer, bar:
        while step < config.train.steps:
            stop = min(_next_multiple(step, every) for every in (config.train.log_every, config.train.eval_every))
            count = min(stop, config.train.steps) - step
            state, objective = train_chunk(state, t, u, count)
            entry = _summarize(objective, count, step)
            step += count
            if step % config.train.eval_every == 0 or step == config.train.steps:
                entry |= validate(state)
                elapsed = time.monotonic() - began
                record = entry | {"train_seconds": seconds + elapsed, "peak_memory_gib": peak_memory_gib()}
                # Best before latest: a run killed in between redoes this step and finds its best in place.
                if entry["val_nrmse"] < best:
                    best = entry["val_nrmse"]
                    run.best.save(state, record)
                run.latest.save(state, record)
                left = elapsed / (step - start) * (config.train.steps - step)
                bar.write(_progress_line(entry, best, config.train.steps, left), file=sys.stdout)
                sys.stdout.flush()
            run.append_history(entry)
            for name, value in entry.items():
                writer.add_scalar(name, value, step)
            bar.update(count)
            shown |= {name: value for name, value in entry.items() if name not in ("step", "loss")}
            bar.set_postfix({name: f"{value:.3g}" for name, value in shown.items()})
    return state


def make_validation(model: MultiscaleModel, dataset: Dataset, config: Config) -> Callable[[TrainState], dict]:
    """A function `state -> {"val_nrmse", "val_reconstruction"}`: means over the validation trajectories.

    Forecasts are made with the averaged weights, few members and one fixed key, so that two steps are compared
    on the same noise. Nothing is differentiated here: training itself never solves the SDE.

    Raises:
      InputError: (the function) parameters that are not finite; nothing of such a state is saved.
    """
    t, trajectories = jnp.asarray(dataset.val.t, jnp.float32), jnp.asarray(dataset.val.u)
    c = config.forecast

    @jax.jit
    def errors(params, t, trajectories):
        def one(trajectory):
            (t, u), key = trajectory, jax.random.key(0)
            mean, _, _ = forecast_field(
                model, params, t, u[0], key, c.num_val_members, c.steps_per_frame, c.stride, c.solver
            )
            u = u[:: c.stride]
            return metrics.nrmse(mean, u), metrics.nrmse(reconstruct(model, params, u), u)

        return jax.lax.map(one, (t, trajectories))

    def validate(state: TrainState) -> dict[str, float]:
        for path, leaf in jax.tree.leaves_with_path(state.params):
            if not jnp.isfinite(leaf).all():
                _refuse(f"parameter {jax.tree_util.keystr(path)} is not finite", int(state.step))
        forecast, reconstruction = (float(e.mean()) for e in errors(state.average["model"], t, trajectories))
        # A forecast that leaves the range of numbers is the worst there is, not an invalid entry.
        largest = float(jnp.finfo(jnp.float32).max)
        return {
            "val_nrmse": min(largest, forecast) if forecast == forecast else largest,
            "val_reconstruction": reconstruction,
        }

    return validate


def _summarize(objective: Objective, count: int, step: int) -> dict[str, float]:
    """Means over the chunk of `count` steps after `step`, refusing values that are not finite."""
    values = {name: np.asarray(value)[:count] for name, value in objective._asdict().items()}
    # The parts before their sum, so that the one at fault is named.
    for name in ("log_likelihood", "drift_residual", "loss"):
        bad = np.flatnonzero(~np.isfinite(values[name]))
        if bad.size:
            _refuse(f"{name} is {values[name][bad[0]]}", step + int(bad[0]) + 1)
    return {"step": step + count} | {name: float(value.mean()) for name, value in values.items()}


def _refuse(what: str, step: int) -> None:
    raise InputError(
        f"Training stopped, {what} at step {step}; the last good checkpoint is kept: look at the data, or lower "
        "train.learning_rate or inference.drift_weight in another workdir."
    )


def _progress_line(entry: dict[str, float], best: float, steps: int, left: float) -> str:
    minutes, seconds = divmod(round(left), 60)
    return (
        f"step {entry['step']:>6}/{steps}  log-likelihood {entry['log_likelihood']:.4f}  drift residual "
        f"{entry['drift_residual']:.2e}  validation NRMSE {entry['val_nrmse']:.4f} (best {best:.4f}, reconstruction "
        f"{entry['val_reconstruction']:.4f})  {minutes}:{seconds:02d} left"
    )


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval
