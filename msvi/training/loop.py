"""The training run: everything with a side effect, from an empty folder to the last checkpoint."""

import contextlib
import os
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.sharding import Mesh

from msvi import metrics
from msvi.build import build_conditions, build_elbo, build_model, build_trajectories, check_data_file
from msvi.config import Config
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.forecast import forecast_field, reconstruct
from msvi.inference.elbo import WindowElbo
from msvi.model.multiscale import MultiscaleModel
from msvi.provenance import peak_memory_gib
from msvi.training.sharding import data_mesh, is_first_process, on_one_device, stop_together
from msvi.training.state import Objective, TrainState, init_state, make_train_chunk, place_state
from msvi.training.warm_start import warm_start
from msvi.training.workdir import Workdir, check_same_data


def train(config: Config, workdir: str) -> TrainState:
    """Trains until `config.train.steps`, from the newest checkpoint in `workdir` if there is one.

    A run that is killed and started again ends bit-identical to one that was not, on the same machine. It may go on on
    another number of devices. Where several processes train together each calls this, and the first alone reads and
    writes `workdir`.

    Args:
      config: of the run; must be the one in `workdir` but for the number of steps.
      workdir: folder for configuration, checkpoints, history and event files.

    Returns:
      The final state.

    Raises:
      InputError: `workdir` belongs to something else or another process trains in it, data cannot be used, the
        objective is not finite, the disk is full, or a batch cannot be divided over the devices.
    """
    mesh = data_mesh(config.train.data_parallel, config.train.batch_windows)
    run = Workdir(os.path.abspath(workdir))
    with contextlib.ExitStack() as held:
        with stop_together():
            if is_first_process():
                run.check(config)
            # All that can be refused is, before anything is written.
            check_data_file(config)
            dataset = load_dataset(config.case, config.data)
            frames = int(dataset.train.lengths.min())
            if config.inference.window > frames:
                raise InputError(
                    f"`inference.window` needs at most as many frames as every trajectory to learn from has, got a "
                    f"window of {config.inference.window} and {frames} frames; shorten the window or store more frames."
                )
            elbo = build_elbo(config, build_model(config, dataset))
            state = init_state(elbo, config.train, jax.random.key(config.seed))
            best, train_seconds = float("inf"), 0.0
            if is_first_process():  # the others get its state
                if run.latest.latest_step() is not None:
                    state, record = run.latest.restore(state)
                    check_same_data(record, dataset, config.data.path)
                    best, train_seconds = run.best.restore(state)[1]["val_nrmse"], record["train_seconds"]
                elif config.train.warm_start:
                    state = warm_start(state, config, dataset)
                if int(state.step) >= config.train.steps:
                    print(f"{run.path} has {int(state.step)} steps already; raise --config.train.steps to go on.")
                else:
                    held.enter_context(run.lock())
                    run.start(config, int(state.step))
        if mesh is not None:
            state = place_state(state, mesh)
        if int(state.step) < config.train.steps:
            state = _optimize(config, run, dataset, elbo, state, best, train_seconds, mesh)
        return on_one_device(state, mesh)


def _optimize(
    config: Config,
    run: Workdir,
    dataset: Dataset,
    elbo: WindowElbo,
    state: TrainState,
    best: float,
    seconds: float,
    mesh: Mesh | None,
) -> TrainState:
    """The loop over chunks of steps; `best` and `seconds` are what the run has reached and spent so far."""
    train_chunk = make_train_chunk(elbo, config.inference, config.train)
    validate = make_validation(elbo.model, dataset, config)
    start, step, began, first = int(state.step), int(state.step), time.monotonic(), is_first_process()
    shown: dict[str, float] = {}
    with contextlib.ExitStack() as opened:
        with stop_together():
            trajectories = build_trajectories(elbo.model, dataset.train, mesh)
            if first:
                kind = f"{'' if mesh is None else f'{mesh.size} x '}{jax.devices()[0].device_kind}"
                print(f"training in {run.path} from step {start} to {config.train.steps} on {kind}")
                add_event = opened.enter_context(run.event_file(start))
                bar = tqdm.tqdm(total=config.train.steps, initial=start, unit="step", disable=None, dynamic_ncols=True)
                opened.enter_context(bar)
        while step < config.train.steps:
            stop = min(_next_multiple(step, every) for every in (config.train.log_every, config.train.eval_every))
            count = min(stop, config.train.steps) - step
            state, objective = train_chunk(state, trajectories, count)
            with stop_together():
                entry = _summarize(objective, count, step)
                step += count
                validated = step % config.train.eval_every == 0 or step == config.train.steps
                one = on_one_device(state, mesh)
                if validated:
                    entry |= validate(one)
                if not first:
                    continue
                # Before the checkpoints: what is later than the one gone on from is dropped, what is missing stays
                # missing.
                run.append_history(entry)
                add_event(entry)
                if validated:
                    elapsed = time.monotonic() - began
                    cost = {"train_seconds": seconds + elapsed, "peak_memory_gib": peak_memory_gib()}
                    record = entry | cost | {"data_digest": dataset.digest}
                    # Best before latest: a run killed in between redoes this step and finds its best in place.
                    if entry["val_nrmse"] < best:
                        best = entry["val_nrmse"]
                        run.best.save(one, record)
                    run.latest.save(one, record)
                    left = elapsed / (step - start) * (config.train.steps - step)
                    bar.write(_progress_line(entry, best, config.train.steps, left), file=sys.stdout)
                    sys.stdout.flush()
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
    val, c = dataset.val, config.forecast
    masks = [val.observed(i) for i in range(len(val.u))]
    mask = None if masks[0] is None else jnp.asarray(np.stack(masks))
    trajectories = jnp.asarray(val.t, jnp.float32), jnp.asarray(val.u), mask, build_conditions(model, val)

    @jax.jit
    def errors(params, trajectories):
        def one(trajectory):
            (t, u, mask, conditions), key = trajectory, jax.random.key(0)
            sizes = c.num_val_members, c.steps_per_frame, c.stride, c.solver
            mask0 = None if mask is None else mask[0]
            mean, _, _ = forecast_field(model, params, t, u[0], key, *sizes, conditions=conditions, mask0=mask0)
            u, mask = jax.tree.map(lambda a: a[:: c.stride], (u, mask))
            reconstruction = reconstruct(model, params, u, mask)
            return metrics.nrmse(mean, u, mask), metrics.nrmse(reconstruction, u, mask)

        return jax.lax.map(one, trajectories)

    def validate(state: TrainState) -> dict[str, float]:
        for path, leaf in jax.tree.leaves_with_path(state.params):
            if not jnp.isfinite(leaf).all():
                _refuse(f"parameter {jax.tree_util.keystr(path)} is not finite", int(state.step))
        forecast, reconstruction = (float(e.mean()) for e in errors(state.average["model"], trajectories))
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
