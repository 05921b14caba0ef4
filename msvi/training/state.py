"""Training state and the jitted chunk of optimiser steps."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from msvi.errors import InputError
from msvi.inference.config import InferenceConfig
from msvi.inference.elbo import Frames, WindowElbo
from msvi.model.condition import NO_CONDITIONS, Conditions
from msvi.training.config import TrainConfig, check_shift
from msvi.training.sharding import data_mesh, divide_windows, replicated
from msvi.types import Array, Params


class TrainState(NamedTuple):
    """All that a step changes; a checkpoint holds exactly this.

    `average` is the exponential average of `params` that forecasts use; `key` is the root key, from which the
    key of a step follows by folding in `step`, so that a resumed run draws what an uninterrupted one would.
    """

    params: Params
    average: Params
    opt_state: optax.OptState
    step: Array
    key: Array


class Trajectories(NamedTuple):
    """What is learned from, on the device.

    Attributes:
      t: frame times, `(trajectory, time)`.
      frames: observed frames, with an axis `trajectory` in front; None where they are fed.
      num_frames: frames of each trajectory, `(trajectory,)`; those beyond are never looked at.
      conditions: what acts on each, with an axis `trajectory` in front.
      fed: in place of `frames` those that the steps of a chunk look at (see `draw_step`), with axes `step` and `window`
        in front.
    """

    t: Array
    frames: Frames | None
    num_frames: Array
    conditions: Conditions = NO_CONDITIONS
    fed: Frames | None = None


class Objective(NamedTuple):
    """What is minimised, per frame and field value, and its parts.

    `loss = -log_likelihood + weight * drift_residual` with the current weight of the residual.
    """

    loss: Array
    log_likelihood: Array
    drift_residual: Array


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Adam on the clipped gradient; the learning rate is multiplied by `decay_rate` every `decay_steps` steps."""
    schedule = optax.exponential_decay(config.learning_rate, config.decay_steps, config.decay_rate)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    return optax.chain(clip, optax.adam(schedule))


def average_weights(average: Params, params: Params, step: Array, decay: float) -> Params:
    """The exponential average of weights after one more step; it forgets the first steps fast.

    Args:
      step: number of steps before, with which the decay grows.
      decay: per step, in the end.
    """
    decay_now = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, p: decay_now * a + (1 - decay_now) * p, average, params)


def init_state(elbo: WindowElbo, train: TrainConfig, key: Array) -> TrainState:
    """State at step 0."""

    @jax.jit  # one program instead of one for each initial array
    def init(key):
        *keys, root = jax.random.split(key, 3)
        params = elbo.init(*keys)
        # Types as a step returns them: weak ones, from Python numbers, would have it compiled twice.
        params = jax.tree.map(lambda a: jnp.asarray(a, a.dtype), params)
        return TrainState(params, params, make_optimizer(train).init(params), jnp.zeros((), jnp.int32), root)

    return init(key)


def template_state(elbo: WindowElbo, train: TrainConfig) -> TrainState:
    """Zeros in the shapes of `init_state`, to restore a checkpoint into; compiles nothing."""
    shapes = jax.eval_shape(lambda: init_state(elbo, train, jax.random.key(0))._replace(key=None))
    zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
    return zeros._replace(key=jax.random.key(0))


def place_state(state: TrainState, mesh: Mesh) -> TrainState:
    """A copy of `state` on every device of `mesh`; of several processes, as the first has it."""

    @jax.jit(out_shardings=replicated(mesh))
    def place(host):
        return host._replace(key=jax.random.wrap_key_data(host.key))

    return place(multihost_utils.broadcast_one_to_all(state._replace(key=jax.random.key_data(state.key))))


def make_train_chunk(
    elbo: WindowElbo, inference: InferenceConfig, train: TrainConfig, domain: tuple[int, ...] | None = None
) -> Callable[[TrainState, Trajectories, int], tuple[TrainState, Objective]]:
    """A jitted function `(state, trajectories, num_steps) -> (state, objective of each step)`.

    The trajectories stay on the device; up to `train.log_every` steps run in one compiled loop, with no word to the
    host in between. The number of steps is not compiled in, so that chunks of any length are the same program and round
    the same way. The objective's arrays are `(log_every,)`, NaN beyond `num_steps`. The state is donated. With
    `train.data_parallel` state and trajectories are on all devices, and so is what is returned.

    Args:
      domain: points of each axis of the whole field; needed where frames are fed.

    Raises:
      InputError: `train.random_shift` on an axis that is not periodic, or under a forcing field, which stays; windows
        that cannot be divided over the devices.
    """
    optimizer, length = make_optimizer(train), inference.window
    mesh = data_mesh(train.data_parallel, train.batch_windows)
    warmup_steps = 0 if train.warm_start else inference.drift_warmup_steps
    check_shift(train.random_shift, elbo.model.boundary)
    if train.random_shift and elbo.model.condition_scale.local:
        shift = train.random_shift
        raise InputError(f"`train.random_shift` cannot shift the forcing field too, got {shift}; set it to 0.")
    grid, cell = elbo.model.grid, elbo.model.config.coarsening

    def cut_conditions(conditions, window):
        """Of the forcing field what acts on the cells of the window."""
        if not train.patch_cells or not elbo.model.condition_scale.local:
            return conditions
        forcing = conditions.forcing
        size = (len(forcing), *(n // cell for n in grid), forcing.shape[-1])
        return conditions._replace(forcing=jax.lax.dynamic_slice(forcing, (0, *(window.origin // cell), 0), size))

    def terms(params, trajectories, windows, keys, fed):
        def one(window, key, fed):
            times = window_times(trajectories.t, window, length)
            conditions = jax.tree.map(lambda a: a[window.trajectory], trajectories.conditions)
            conditions = cut_conditions(conditions, window)
            frames = (lambda _: fed) if fed is not None else lambda i: cut_frames(trajectories, window, i, grid)
            return elbo(params, times, frames, key, conditions.at)

        return jax.vmap(one)(windows, keys, fed)

    terms = divide_windows(terms, mesh)

    def objective(params, trajectories, windows, weight, keys, fed):
        each = terms(params, trajectories, windows, keys, fed)
        per_value = 1.0 / (length * np.prod(elbo.counted_shape))
        log_likelihood, residual = (term.mean() * per_value for term in each)
        loss = weight * residual - log_likelihood
        return loss, Objective(loss, log_likelihood, residual)

    def step(state, trajectories, origins, fed):
        windows, keys = draw_step(state.key, state.step, trajectories.num_frames, origins, length, train.batch_windows)
        weight = inference.drift_weight * jnp.minimum(1.0, (state.step + 1) / max(warmup_steps, 1))
        grads, info = jax.grad(objective, has_aux=True)(state.params, trajectories, windows, weight, keys, fed)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = average_weights(state.average, params, state.step, train.average_decay)
        return TrainState(params, average, opt_state, state.step + 1, state.key), info

    @jax.jit(donate_argnames="state", out_shardings=replicated(mesh))
    def train_chunk(state, trajectories, num_steps):
        def body(i, carry):
            state, history = carry
            # Behind the barrier as frames that are cut are, so that what follows is the same computation.
            fed = jax.lax.optimization_barrier(jax.tree.map(lambda a: a[i], trajectories.fed))
            state, info = step(state, trajectories, origins, fed)
            return state, jax.tree.map(lambda values, value: values.at[i].set(value), history, info)

        whole = trajectories.frames.u.shape[2:-1] if domain is None else domain
        forcing, origins = trajectories.conditions.forcing, find_origins(train, whole, cell)
        # Periods continued, once, so that a window that goes beyond one is cut like any other.
        beyond = [origin.last + n - size for origin, n, size in zip(origins, grid, whole, strict=True)]
        frames = jax.tree.map(lambda a: _continue(a, beyond), trajectories.frames)
        trajectories = trajectories._replace(frames=frames)
        if forcing is not None and elbo.model.condition_scale.local:
            conditions = trajectories.conditions._replace(forcing=_continue(forcing, [n // cell for n in beyond]))
            trajectories = trajectories._replace(conditions=conditions)
        history = Objective(*(jnp.full(train.log_every, jnp.nan) for _ in Objective._fields))
        return jax.lax.fori_loop(0, num_steps, body, (state, history))

    return train_chunk


class Origins(NamedTuple):
    """First points that windows may have along one axis: multiples of `step` up to `last`."""

    last: int
    step: int = 1


def find_origins(train: TrainConfig, domain: tuple[int, ...], cell: int) -> list[Origins]:
    """Of each axis. Patches begin anywhere if there are random shifts, else at any cell."""
    if not train.patch_cells:
        return [Origins(train.random_shift)] * len(domain)
    return [Origins(n - 1) if train.random_shift else Origins(n - cell, cell) for n in domain]


def _continue(a: Array, beyond: Sequence[int]) -> Array:
    """`(trajectory, time, *grid, channel)` with each axis of the grid continued by so many points of its period."""
    if not any(beyond):
        return a
    return jnp.pad(a, ((0, 0), (0, 0), *((0, n) for n in beyond), (0, 0)), mode="wrap")


class Windows(NamedTuple):
    """Where windows of consecutive frames lie: trajectory and first frame, `(window,)`, and first point of each axis,
    `(window, ndim)`."""

    trajectory: Array
    start: Array
    origin: Array


def sample_windows(
    key: Array, frames_of_each: Array, origins: Sequence[Origins], length: int, num_windows: int
) -> Windows:
    """Random windows of `length` frames that begin at a random one of the origins along each axis.

    Starts are uniform over `1 - length, ..., num_frames - 1` and then clipped to where the window fits, so that the
    first and last frames of a trajectory, which lie in few windows, are seen as often as those in the middle. (The
    frames between are seen more often, at most twice as often.)

    Args:
      frames_of_each: number of frames of each trajectory, `(trajectory,)`.
      origins: of each axis of the grid.
    """
    trajectory_key, start_key, shift_key = jax.random.split(key, 3)
    trajectory = jax.random.randint(trajectory_key, (num_windows,), 0, len(frames_of_each))
    num_frames = frames_of_each[trajectory]
    start = jax.random.randint(start_key, (num_windows,), 1 - length, num_frames)
    start = jnp.clip(start, 0, num_frames - length)
    step = np.array([[origin.step for origin in origins]])
    number = np.array([[origin.last for origin in origins]]) // step + 1
    return Windows(trajectory, start, jax.random.randint(shift_key, (num_windows, len(origins)), 0, number) * step)


def draw_step(
    key: Array, step: Array, frames_of_each: Array, origins: Sequence[Origins], length: int, num_windows: int
) -> tuple[Windows, Array]:
    """Windows of a step and the key of each, from the root key: `WindowElbo.looked_at` says of the latter which frames
    the step looks at. Args as for `sample_windows`."""
    window_key, elbo_key = jax.random.split(jax.random.fold_in(key, step))
    windows = sample_windows(window_key, frames_of_each, origins, length, num_windows)
    return windows, jax.random.split(elbo_key, num_windows)


def window_times(t: Array, window: Windows, length: int) -> Array:
    """Frame times of one window, `(frame,)`, from those of all trajectories, `(trajectory, time)`."""
    return jax.lax.dynamic_slice(t, (window.trajectory, window.start), (1, length))[0]


def cut_frames(trajectories: Trajectories, window: Windows, index: Array, grid: tuple[int, ...]) -> Frames:
    """Frames `index` `(n,)` of one window, `grid` points of each from where it begins.

    Args:
      trajectories: with each axis continued as far as windows may go.
    """

    def cut(a):
        size = (1, 1, *grid, a.shape[-1])

        def one(i):
            return jax.lax.dynamic_slice(a, (window.trajectory, window.start + i, *window.origin, 0), size)[0, 0]

        # Without the barrier XLA fuses the slices into each of their consumers and cuts them many times.
        return jax.lax.optimization_barrier(jax.vmap(one)(index))

    return jax.tree.map(cut, trajectories.frames)
