"""The training run: everything with a side effect, from an empty folder to the last checkpoint."""

import contextlib
import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.sharding import Mesh

from msvi.config import Config, to_dict
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset, cut_windows
from msvi.data.streamed import StreamedField
from msvi.errors import InputError
from msvi.forecast.ensemble import forecast_latents, map_with_noise, reconstruct, sample_field, solver_steps
from msvi.inference.elbo import WindowElbo
from msvi.model.multiscale import MultiscaleModel
from msvi.provenance import peak_memory_gib
from msvi.recipe.build import build_conditions, build_model, check_data_file
from msvi.recipe.suggest import suggest
from msvi.scores import metrics
from msvi.training.build import build_elbo, build_trajectories, check_patches
from msvi.training.calibration import calibrate
from msvi.training.feed import Feed, choose_place, make_advance
from msvi.training.monitoring import check_wandb, event_file, wandb_run
from msvi.training.portable import describe_model
from msvi.training.sharding import data_mesh, is_first_process, on_one_device, stop_together
from msvi.training.signs import find_signs
from msvi.training.state import Objective, TrainState, init_state, make_train_chunk, place_state
from msvi.training.warm_start import warm_start
from msvi.training.watchdog import watching
from msvi.training.workdir import Workdir, check_same_data, check_same_scales
from msvi.writing import write_json

# Units of time, of the model's, over which a validation forecast goes, frames of it that are scored at least where it
# has as many, and bytes of fields that are validated on.
_HORIZON, _SCORED, _VALIDATED = 3, 100, 2**30


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
            check_wandb(config.train.wandb)
            check_data_file(config)
            dataset = load_dataset(config.case, config.data, config.train.data_on)
            given, (config, reasons) = config, suggest(config, dataset)
            frames = int(dataset.train.lengths.min())
            if config.inference.window > frames:
                raise InputError(
                    f"`inference.window` needs at most as many frames as every trajectory to learn from has, got a "
                    f"window of {config.inference.window} and {frames} frames; shorten the window or store more frames."
                )
            check_patches(config, dataset)
            model = build_model(config, dataset)
            elbo = build_elbo(config, model)
            state = init_state(elbo, config.train, jax.random.key(config.seed))
            best, train_seconds = float("inf"), 0.0
            if is_first_process():  # the others get its state
                if run.latest.latest_step() is not None:
                    state, record = run.latest.restore(state)
                    check_same_data(record, dataset, config.data.path)
                    check_same_scales(record, model.scales, run.path)
                    best, train_seconds = _score(run.best.restore(state)[1]), record["train_seconds"]
                elif config.train.warm_start:
                    state = warm_start(state, config, dataset)
                if int(state.step) >= config.train.steps:
                    print(f"{run.path} has {int(state.step)} steps already; raise --config.train.steps to go on.")
                else:
                    held.enter_context(run.lock())
                    run.start(given, int(state.step))
                    write_json(run.model, describe_model(config, dataset, model))
                    if reasons:
                        print("\n  ".join(["from the training trajectories:", *reasons]))
        if mesh is not None:
            state = place_state(state, mesh)
        if int(state.step) < config.train.steps:
            state = _optimize(config, run, dataset, model, elbo, state, best, train_seconds, mesh)
        return on_one_device(state, mesh)


def _optimize(
    config: Config,
    run: Workdir,
    dataset: Dataset,
    model: MultiscaleModel,
    elbo: WindowElbo,
    state: TrainState,
    best: float,
    seconds: float,
    mesh: Mesh | None,
) -> TrainState:
    """The loop over chunks of steps; `best` and `seconds` are what the run has reached and spent so far."""
    place, why = choose_place(config.train.data_on, dataset.train)
    validate = make_validation(model, dataset, config)
    start, step, began, first = int(state.step), int(state.step), time.monotonic(), is_first_process()
    shown: dict[str, str] = {}
    history = run.read_history() if first else []
    said = _signs(config, history)
    with contextlib.ExitStack() as opened:
        with stop_together():
            advance = make_learner(config, model, elbo, dataset, state, place, mesh)
            boards = []
            if first:
                kind = f"{'' if mesh is None else f'{mesh.size} x '}{jax.devices()[0].device_kind}"
                print(f"training in {run.path} from step {start} to {config.train.steps} on {kind}; {why}")
                boards += [
                    opened.enter_context(event_file(run.tensorboard, start)),
                    opened.enter_context(wandb_run(config.train.wandb, run.path, to_dict(config))),
                ]
            hidden = None if first else True  # None hides it where there is no terminal
            bar = tqdm.tqdm(total=config.train.steps, initial=start, unit="step", disable=hidden, dynamic_ncols=True)
            opened.enter_context(bar)
        watch = opened.enter_context(watching(start))
        while step < config.train.steps:
            stop = min(_next_multiple(step, every) for every in (config.train.log_every, config.train.eval_every))
            count = min(stop, config.train.steps) - step
            state, objective = advance(state, count)
            with stop_together():
                entry = _summarize(objective, count, step)
                step += count
                validated = step % config.train.eval_every == 0 or step == config.train.steps
                one = on_one_device(state, mesh)
                if validated:
                    scaled = config.forecast.dispersion == "validation"
                    entry |= calibrate(validate, one) if scaled else validate(one)
                watch.ended(step)
                if not first:
                    continue
                elapsed = time.monotonic() - began
                cost = {"train_seconds": seconds + elapsed, "peak_memory_gib": peak_memory_gib()}
                # Before the checkpoints: what is later than the one gone on from is dropped, what is missing stays
                # missing.
                run.append_history(entry)
                history.append(entry)
                for add in boards:
                    add(entry | cost if validated else entry)
                if validated:
                    record = entry | cost | {"data_digest": dataset.digest, "scales": dataclasses.asdict(model.scales)}
                    # Best before latest: a run killed in between redoes this step and finds its best in place.
                    if _score(entry) < best or run.best.latest_step() is None:
                        best = _score(entry)
                        run.best.save(one, record)
                    run.latest.save(one, record)
                    left = elapsed / (step - start) * (config.train.steps - step)
                    bar.write(_progress_line(entry, best, config.train.steps, left), file=sys.stdout)
                    found = _signs(config, history)
                    for name, text in found.items():
                        if name not in said:
                            bar.write(f"warning: {text}", file=sys.stdout)
                    said |= found
                    sys.stdout.flush()
                bar.update(count)
                shown |= {name: _text(value, ".3g") for name, value in entry.items() if name not in ("step", "loss")}
                bar.set_postfix(shown)
    for text in _signs(config, history).values():
        print(f"warning, at the end: {text}")
    return state


def make_learner(
    config: Config,
    model: MultiscaleModel,
    elbo: WindowElbo,
    dataset: Dataset,
    state: TrainState,
    place: str,
    mesh: Mesh | None,
) -> Callable[[TrainState, int], tuple[TrainState, Objective]]:
    """A function `(state, count) -> (state, objective of each step)` that learns from where the data are kept."""
    train, split = config.train, dataset.train
    if place == "device":
        trajectories = build_trajectories(model, split, mesh)
        train_chunk = make_train_chunk(elbo, config.inference, train)
        return lambda state, count: train_chunk(state, trajectories, count)
    if place == "host":
        mask = None if split.mask is None else np.asarray(split.mask)
        split = split._replace(u=np.array(split.u), mask=mask)
    trajectories = build_trajectories(model, split, mesh, fed=True)
    train_chunk = make_train_chunk(elbo, config.inference, train, dataset.grid)
    feed = Feed(split, model.scales, elbo, train, config.inference.window, mesh)
    key = on_one_device(state, mesh).key
    return make_advance(train_chunk, trajectories, feed, key, int(state.step), train.steps)


def _signs(config: Config, history: list[dict]) -> dict[str, str]:
    """Text by name of what the history up to its last validation shows to be wrong."""
    warmup_steps = 0 if config.train.warm_start else config.inference.drift_warmup_steps
    return {sign.name: sign.text for sign in find_signs(history, warmup_steps)}


def make_validation(model: MultiscaleModel, dataset: Dataset, config: Config) -> Callable[[TrainState], dict]:
    """A function `state -> {"val_crps", "val_nrmse", "val_reconstruction", "val_spread_skill", "val_decoder_spread"}`:
    means over the validation forecasts; the ratio of their spread to their error, and that of the decoder's deviation
    to the error of reconstructions, 1 if each is what the other says.

    Validation trajectories that are longer than a few units of time, in the model's unit, are cut into several
    forecasts: later on a chaotic or noisy system has forgotten its start, and all that is left to score is chance. The
    checkpoint is chosen by the first, the fair CRPS of the ensemble in deviations of each channel: no offset or
    unit flatters it, and of a chaotic system, whose paths cannot be followed for long, it still tells whether the
    forecast is a draw from what may come. Forecasts are made with the averaged weights, few members and one fixed key,
    so that two steps are compared on the same noise. Nothing is differentiated here: training itself never solves the
    SDE. Of a forecast that leaves the range of numbers the scores are None.

    Raises:
      InputError: (the function) parameters that are not finite; nothing of such a state is saved.
    """
    c, scales = config.forecast, model.scales
    length = 1 + round(min(_HORIZON * scales.time_unit / scales.spacing, dataset.val.t.shape[1]))
    # Spread is told from error by large errors, which are rare: windows that overlap see more of them.
    every = -(-length // 2) if c.dispersion == "validation" else length
    val = cut_windows(dataset.val, length, every, _VALIDATED // (4 * math.prod(dataset.val.u.shape[2:])))
    # Neighbouring frames tell the same, and most of the time would go into scoring them.
    stride = max(c.stride, length // _SCORED)
    steps = solver_steps(val.t, model.scales.spacing, c.steps_per_frame)
    t, steps = (jnp.asarray(times, jnp.float32) for times in (val.t, steps))
    inner = model.standardised
    keys = jax.random.split(jax.random.key(0), len(val.u))
    others = keys, t, steps, build_conditions(model, val)

    def some(windows: slice) -> tuple:
        """Those windows, on the device."""
        masks = [mask for i in range(len(val.u))[windows] if (mask := val.observed(i)) is not None]
        mask = jnp.asarray(np.stack(masks)) if masks else None
        return *jax.tree.map(lambda a: a[windows], others), jnp.asarray(val.u[windows]), mask

    # All at once; of fields that stay in their file one after the other.
    whole = () if isinstance(val.u, StreamedField) else (some(slice(None)),)

    @jax.jit
    def errors(params, trajectories):
        def one(trajectory):
            key, t, steps, conditions, u, mask = trajectory
            path_key, noise_key = jax.random.split(key)
            mask0 = None if mask is None else mask[0]
            z = forecast_latents(
                model,
                params,
                t,
                u[0],
                path_key,
                c.num_val_members,
                solver=c.solver,
                conditions=conditions,
                mask0=mask0,
                steps=steps,
            )[:, ::stride]
            u, mask = jax.tree.map(lambda a: a[::stride], (u, mask))

            def frame(noise, arguments):
                z, u, mask = arguments
                members = sample_field(inner, params, z, noise)
                standardised, mean = model.scales.standardise(u), members.mean(axis=0)
                crps = metrics.fair_crps(members, standardised, mask)
                # Of a finite ensemble, whose mean errs a little more than that of all that may come.
                spread = (members.var(axis=0, ddof=1) * (1 + 1 / len(members))).mean(where=mask)
                skill = ((mean - standardised) ** 2).mean(where=mask)
                return crps, model.scales.restore(mean), (spread, skill)

            keys = jax.random.split(noise_key, len(u))
            shape = (c.num_val_members, *u.shape[1:])
            crps, mean, squares = map_with_noise(frame, keys, shape, (z.swapaxes(0, 1), u, mask))
            observed = None if mask is None else mask.any(axis=tuple(range(1, mask.ndim)))
            reconstruction = reconstruct(model, params, u, mask)
            missed = scales.standardise(reconstruction) - scales.standardise(u)
            variance = jnp.exp(inner.decode(params, z[0, 0]).log_var)  # the same of all states
            decoder = [jnp.mean(jnp.broadcast_to(square, u.shape), where=mask) for square in (variance, missed**2)]
            return (
                jnp.mean(crps, where=observed),
                metrics.nrmse(mean, u, mask),
                metrics.nrmse(reconstruction, u, mask),
                *(jnp.mean(square, where=observed) for square in squares),
                *decoder,
            )

        return jax.lax.map(one, trajectories)

    def validate(state: TrainState) -> dict[str, float | None]:
        for path, leaf in jax.tree.leaves_with_path(state.params):
            if not jnp.isfinite(leaf).all():
                _refuse(f"parameter {jax.tree_util.keystr(path)} is not finite", int(state.step))
        params = state.average["model"]
        parts = [errors(params, part) for part in whole or (some(slice(i, i + 1)) for i in range(len(val.u)))]
        *found, spread, skill, width, missed = (float(np.concatenate(e).mean()) for e in zip(*parts, strict=True))
        found += [float(np.sqrt(a / b)) if b > 0 else np.nan for a, b in ((spread, skill), (width, missed))]
        names = ("val_crps", "val_nrmse", "val_reconstruction", "val_spread_skill", "val_decoder_spread")
        return {name: e if np.isfinite(e) else None for name, e in zip(names, found, strict=True)}

    return validate


def _score(entry: dict[str, float | None]) -> float:
    """What the best checkpoint has the lowest of."""
    return float("inf") if entry["val_crps"] is None else entry["val_crps"]


def _text(value: float | None, form: str) -> str:
    return "diverged" if value is None or not np.isfinite(value) else format(value, form)


def _summarize(objective: Objective, count: int, step: int) -> dict[str, float | None]:
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


def _progress_line(entry: dict[str, float | None], best: float, steps: int, left: float) -> str:
    minutes, seconds = divmod(round(left), 60)
    crps, nrmse, reconstruction = (_text(entry[f"val_{name}"], ".4f") for name in ("crps", "nrmse", "reconstruction"))
    return (
        f"step {entry['step']:>6}/{steps}  log-likelihood {entry['log_likelihood']:.4f}  drift residual "
        f"{entry['drift_residual']:.2e}  validation CRPS {crps} (best {_text(best, '.4f')}), NRMSE {nrmse}, "
        f"reconstruction {reconstruction}  {minutes}:{seconds:02d} left"
    )


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval
