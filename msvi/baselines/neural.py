"""An ensemble of small neural emulators, Fourier neural operators or U-Nets, that go through a forecast in steps."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.baselines.base import Baseline, Ladder, few_trajectories, search
from msvi.baselines.networks import make_emulator
from msvi.baselines.stepping import Frames, Stepper, Stride, Training, even_split, make_stepper, make_stride, roll_out
from msvi.baselines.times import Steps, frame_steps, interpolation, own_times
from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.model.scales import Scales
from msvi.recipe.measure import field_scales
from msvi.types import Array, Params

_GAPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_NOISES = (0.0, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
# Where the search begins; of the frames per step where a validation forecast takes so many steps.
_FIRST_STEPS, _FIRST_NOISE = 50, 1e-2
# Fewest steps of a forecast, between which a spline has to stand.
_FEWEST_STEPS = 10
# Part of the minutes that the search may take, trials that are to fit into it, and part of the steps that each may
# take: of five members either leads to as many.
_SEARCH_SHARE, _TRIALS, _TRIAL_SHARE = 1 / 3, 10, 1 / 4
# Steps by which their speed is measured, and fewest from one look at the validation trajectories to the next.
_MEASURED, _ROUND = 20, 200
# A look takes no longer than a quarter of the steps before it, if one costs as much as forecasting so many fields.
_FIELDS_PER_STEP = 48
# Numbers of the training fields on the device, two gigabytes, and frames of a validation trajectory.
_MAX_NUMBERS, _MAX_VAL_FRAMES = 2**29, 50


class _Val(NamedTuple):
    """Validation trajectories: standardised first fields, `(trajectory, *grid, channel)`, and of each trajectory times
    in steps since the first, `(time,)`, with the standardised fields, `(time, *grid, channel)`."""

    start: Array
    times: list[np.ndarray]
    fields: list[np.ndarray]


class _Member(NamedTuple):
    """A network as it was when its validation error was lowest, and all looks at that error, `(step, error)`."""

    params: Params
    looks: list[tuple[int, float]]

    @property
    def best(self) -> tuple[int, float]:
        """The step of its training, and the error."""
        return min(self.looks, key=lambda look: look[1])


def fit_neural(name: str, config: Config, dataset: Dataset) -> Baseline:
    """`baseline.num_members` networks of the kind `name` (see `msvi.baselines.networks.make_emulator`).

    Each learns from pairs of frames, with noise on the first, to give the second, and a forecast goes on from the first
    frame in such steps (`msvi.baselines.stepping`); between two of them it is a cubic spline. Chosen on the validation
    trajectories, by forecasts of networks that are trained for a quarter of the steps, or for as many as a thirtieth of
    the minutes allows: frames per step, size of the noise, and whether a network is told where it is. Of each member,
    which has a seed of its own, that step of its training is taken at which it forecast them best. Training ends with
    `baseline.steps` or `baseline.minutes`. What the members differ in is what data and training leave open; the noise
    of observations is no part of it.

    Where frames are not equally spaced the fields are interpolated to the mean step; a forecast has any times.

    Raises:
      InputError: too few frames, or fields that do not vary.
    """
    began, budget = time.monotonic(), config.baseline
    seconds = 60 * budget.minutes or np.inf
    train = few_trajectories(dataset, _MAX_NUMBERS, _MAX_NUMBERS).train
    steps, scales = frame_steps(train), field_scales(dataset.train)
    frames, val = even_split(train, scales, steps), _validation(dataset.val, scales, steps, config.forecast.stride)
    emulator = make_emulator(name, dataset.grid, dataset.num_channels, dataset.boundary)
    stepper, ladders = make_stepper(emulator), _ladders(frames, val)
    first = make_stride(frames, ladders["frames_per_step"].first[0], _FIRST_NOISE, False)
    affordable = seconds * _SEARCH_SHARE / _TRIALS / _seconds_per_step(stepper, frames, first)
    trial_steps = int(np.clip(affordable, 1, np.ceil(_TRIAL_SHARE * budget.steps)))

    def error(candidate):
        stride = make_stride(frames, *candidate.values())
        training = _advance(stepper, frames, stride, stepper.start(jax.random.key(config.seed)), trial_steps)
        return _nrmse(_forecast(stepper, training.average, stride, val.start, val.times), val.fields)

    chosen, settings = search(ladders, error, seconds * _SEARCH_SHARE)
    stride = make_stride(frames, *chosen.values())
    seeds = [config.seed + i for i in range(budget.num_members)]
    members = _train(stepper, frames, stride, val, seeds, budget.steps, began + seconds)

    def ensemble(start, times):
        return [_forecast(stepper, member.params, stride, start, times) for member in members]

    def forecast(t, u0):
        times = (np.asarray(t, np.float64) - t[0]) / steps.spacing
        start = jnp.asarray(scales.standardise_data(np.asarray(u0)[None]))
        paths = np.stack([path for (path,) in ensemble(start, [times])])
        with np.errstate(all="ignore"):  # of one that diverged
            return scales.restore(paths)

    mean = [np.mean(paths, axis=0) for paths in zip(*ensemble(val.start, val.times), strict=True)]
    settings |= steps.settings | {
        "network": emulator.sizes,
        "trial_steps": trial_steps,
        "ensemble_val_nrmse": _plain(_nrmse(mean, val.fields)),
        "members": [_describe(seed, member) for seed, member in zip(seeds, members, strict=True)],
    }
    return Baseline(forecast, settings, len(members))


def _validation(split: Split, scales: Scales, steps: Steps, stride: int) -> _Val:
    step = max(stride, int(split.lengths.max()) // _MAX_VAL_FRAMES)
    times = [own_times(split, i)[::step] / steps.spacing for i in range(len(split.t))]
    fields = [scales.standardise_data(u[:length:step]) for u, length in zip(split.u, split.lengths, strict=True)]
    return _Val(jnp.asarray(np.stack([u[0] for u in fields])), times, fields)


def _ladders(frames: Frames, val: _Val) -> dict[str, Ladder]:
    """Of frames per step, up to half of the longest trajectory and to a validation forecast of ten steps, noises and
    positions."""
    longest, end = int(frames.length.max()), max(float(times[-1]) for times in val.times)
    gaps = tuple(gap for gap in _GAPS if gap == 1 or gap <= min(longest // 2, end / _FEWEST_STEPS))
    first = min(gaps, key=lambda gap: abs(np.log(gap * _FIRST_STEPS / max(end, 1.0))))
    return {
        "frames_per_step": Ladder(gaps, (first,)),
        "noise": Ladder(_NOISES, (_FIRST_NOISE,)),
        "position": Ladder((False, True), (False,)),
    }


def _advance(stepper: Stepper, frames: Frames, stride: Stride, training: Training, number: int) -> Training:
    """So many steps on; the host waits for none of them."""
    for _ in range(number):
        training = stepper.step(training, frames, stride)
    return training


def _seconds_per_step(stepper: Stepper, frames: Frames, stride: Stride) -> float:
    """After compilation."""
    training = jax.block_until_ready(stepper.step(stepper.start(jax.random.key(0)), frames, stride))
    began = time.monotonic()
    jax.block_until_ready(_advance(stepper, frames, stride, training, _MEASURED))
    return (time.monotonic() - began) / _MEASURED


def _train(
    stepper: Stepper, frames: Frames, stride: Stride, val: _Val, seeds: list[int], steps: int, deadline: float
) -> list[_Member]:
    """A network for each seed, side by side, so that all are as old when the time is over."""
    looked_at = len(val.start) * (max(float(times[-1]) for times in val.times) / int(stride.frames))
    every = max(_ROUND, round(4 * looked_at / _FIELDS_PER_STEP))
    trainings = [stepper.start(jax.random.key(seed)) for seed in seeds]
    members = [_Member(None, []) for _ in seeds]
    done, ended = 0, False
    while not ended:
        began, number = time.monotonic(), min(every, steps - done)
        done += number
        for i, training in enumerate(trainings):
            trainings[i] = training = _advance(stepper, frames, stride, training, number)
            error = _nrmse(_forecast(stepper, training.average, stride, val.start, val.times), val.fields)
            members[i].looks.append((done, error))
            if members[i].params is None or members[i].best[0] == done:
                # The step hands the memory of its weights on.
                members[i] = members[i]._replace(params=jax.tree.map(jnp.copy, training.average))
        now = time.monotonic()
        ended = done == steps or now + (now - began) / 2 > deadline
    return members


def _forecast(
    stepper: Stepper, params: Params, stride: Stride, start: Array, times: list[np.ndarray]
) -> list[np.ndarray]:
    """Standardised fields `(time, *grid, channel)` of each trajectory at its times, in steps since the first field."""
    gap = int(stride.frames)
    number = int(np.ceil(max(float(own[-1]) for own in times) / gap - 1e-6))
    path, nodes = np.asarray(roll_out(stepper, params, start, stride, number)), gap * np.arange(number + 1.0)
    maps = [interpolation(nodes, np.minimum(own, nodes[-1])).astype(np.float32) for own in times]
    with np.errstate(all="ignore"):  # of one that diverged
        return [np.tensordot(matrix, own, axes=1) for matrix, own in zip(maps, path, strict=True)]


def _nrmse(estimates: list[np.ndarray], fields: list[np.ndarray]) -> float:
    """`sqrt(sum_t ||estimate - u||² / sum_t ||u||²)` of standardised fields, as a mean over the trajectories; infinite
    where it is not defined."""
    with np.errstate(all="ignore"):
        errors = [
            np.sqrt(np.sum((np.asarray(estimate, np.float64) - u) ** 2) / np.sum(np.asarray(u, np.float64) ** 2))
            for estimate, u in zip(estimates, fields, strict=True)
        ]
    return float(np.nan_to_num(np.mean(errors), nan=np.inf))


def _describe(seed: int, member: _Member) -> dict[str, Any]:
    step, error = member.best
    looks = [[at, _plain(found)] for at, found in member.looks]
    return {"seed": seed, "best_step": step, "val_nrmse": _plain(error), "looks": looks}


def _plain(error: float) -> float | None:
    return error if np.isfinite(error) else None
