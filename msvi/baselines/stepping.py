"""Training of a network that goes from one field to that some frames later, and forecasts by going on and on."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from msvi.baselines.networks import Emulator
from msvi.baselines.times import Steps, even_frames, own_times
from msvi.data.split import Split
from msvi.model.scales import Scales
from msvi.training.config import TrainConfig
from msvi.training.state import average_weights, make_optimizer
from msvi.types import Array, Params

# As our model is trained, at another rate of learning.
_TRAINING = TrainConfig(learning_rate=1e-3)
# Pairs of frames by which the size of changes is measured.
_MEASURED = 64


class Frames(NamedTuple):
    """Standardised fields of all trajectories one after the other, `(frame, *grid, channel)`, and where each begins and
    how long it is, `(trajectory,)`."""

    u: Array
    first: Array
    length: Array


class Stride(NamedTuple):
    """What a network is trained to do; numbers, which one compiled step takes in any combination.

    Attributes:
      frames: from a field to that which follows.
      noise: standard deviation of the noise on what is gone from, in standardised units.
      position: 1 where the network is told where it is, else 0.
      size: of changes over so many frames with that noise, by which the network's are multiplied, `(1, …, channel)`.
    """

    frames: Array
    noise: Array
    position: Array
    size: Array


class Training(NamedTuple):
    """Parameters, their average over the steps, state of the optimiser, random key, and how many steps these are."""

    params: Params
    average: Params
    opt_state: Any
    key: Array
    age: Array


class Stepper(NamedTuple):
    """Jitted functions of an emulator.

    Attributes:
      start: random key -> `Training`.
      step: `(training, frames, stride) -> training`, whose memory is handed on.
      advance: `(params, v, stride) -> v` some frames later, of standardised fields `(trajectory, *grid, channel)`.
    """

    start: Callable[[Array], Training]
    step: Callable[[Training, Frames, Stride], Training]
    advance: Callable[[Params, Array, Stride], Array]


def even_split(split: Split, scales: Scales, steps: Steps) -> Frames:
    """Frames of the trajectories, interpolated to even times if they are not."""
    each = [
        even_frames(own_times(split, i), scales.standardise_data(split.u[i, : split.lengths[i]]), steps)
        for i in range(len(split.t))
    ]
    length = np.array([len(u) for u in each])
    return Frames(
        jnp.asarray(np.concatenate(each), jnp.float32), jnp.asarray(np.cumsum(length) - length), jnp.asarray(length)
    )


def make_stride(frames: Frames, gap: int, noise: float, position: bool) -> Stride:
    """A stride of `gap` frames, its size measured on pairs spread over those that there are."""
    first, length = np.asarray(frames.first), np.asarray(frames.length)
    starts = np.concatenate([f + np.arange(max(n - gap, 0)) for f, n in zip(first, length, strict=True)])
    starts = starts[np.linspace(0, len(starts) - 1, min(len(starts), _MEASURED)).astype(int)]
    change = frames.u[starts + gap] - frames.u[starts]
    square = jnp.mean(change**2, axis=tuple(range(change.ndim - 1)), keepdims=True)
    # A channel that stands still has changes of a size that is none.
    size = jnp.sqrt(jnp.maximum(square + noise**2, 1e-12))
    return Stride(jnp.asarray(gap), jnp.asarray(noise, jnp.float32), jnp.asarray(position, jnp.float32), size)


def draw_pairs(frames: Frames, stride: Stride, key: Array, batch: int) -> tuple[Array, Array]:
    """So many fields, and those a stride later in their trajectories, `(pair, *grid, channel)`; all alike likely."""
    number = jnp.maximum(frames.length - stride.frames, 0)
    ends = jnp.cumsum(number)
    drawn = jax.random.randint(key, (batch,), 0, ends[-1])
    own = jnp.searchsorted(ends, drawn, side="right")
    index = frames.first[own] + drawn - (ends - number)[own]
    # Else the fields would be read again by all that uses them.
    return jax.lax.optimization_barrier((frames.u[index], frames.u[index + stride.frames]))


def make_stepper(emulator: Emulator) -> Stepper:
    """Adam on the mean squared error of the change, in units of its size, from a field with noise to the next one.

    The noise makes a network take back errors such as its own (A. Sanchez-Gonzalez et al., "Learning to simulate
    complex physics with graph networks", ICML 2020). A step is one call: in a compiled loop XLA runs convolutions and
    their gradients up to ten times slower on CPUs.
    """
    optimizer = make_optimizer(_TRAINING)

    def start(key):
        init_key, key = jax.random.split(key)
        params = emulator.init(init_key)
        # A copy: both are handed on.
        return Training(params, jax.tree.map(jnp.copy, params), optimizer.init(params), key, jnp.zeros((), int))

    @functools.partial(jax.jit, donate_argnums=0)
    def step(training, frames, stride):
        key, pair_key, noise_key = jax.random.split(training.key, 3)
        u, later = draw_pairs(frames, stride, pair_key, emulator.batch)
        u = u + stride.noise * jax.random.normal(noise_key, u.shape)

        def loss(params):
            change = jax.vmap(lambda v: emulator.apply(params, v, stride.position))(u)
            return jnp.mean(((later - u) / stride.size - change) ** 2)

        updates, opt_state = optimizer.update(jax.grad(loss)(training.params), training.opt_state)
        params = optax.apply_updates(training.params, updates)
        average = average_weights(training.average, params, training.age, _TRAINING.average_decay)
        return Training(params, average, opt_state, key, training.age + 1)

    @jax.jit
    def advance(params, v, stride):
        return v + stride.size * jax.vmap(lambda v: emulator.apply(params, v, stride.position))(v)

    return Stepper(jax.jit(start), step, advance)


def roll_out(stepper: Stepper, params: Params, v: Array, stride: Stride, number: int) -> Array:
    """Fields `(trajectory, 1 + number, *grid, channel)` from the first ones, one stride after another."""
    path = [v]
    for _ in range(number):
        path.append(stepper.advance(params, path[-1], stride))
    return jnp.stack(path, axis=1)
