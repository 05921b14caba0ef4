"""Seconds of compiled functions and of training steps."""

import statistics
import time
from collections.abc import Callable

import jax

from msvi.config import Config
from msvi.inference.elbo import WindowElbo
from msvi.training.state import Trajectories, init_state, make_train_chunk

Seconds = dict[str, float]


def time_function(function: Callable, *arguments, repeats: int) -> Seconds:
    """Seconds of the first call (compilation, mostly) and minimum, median and maximum of `repeats` later ones."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - start)
    first, rest = seconds[0], seconds[1:]
    return {"min_s": min(rest), "median_s": statistics.median(rest), "max_s": max(rest), "compile_s": first}


def time_step(config: Config, elbo: WindowElbo, trajectories: Trajectories, steps: int, repeats: int) -> Seconds:
    """Likewise, per optimiser step inside the training loop, from `repeats` chunks of `steps` steps.

    Args:
      config: of the training, with nothing left open.
    """
    chunk = make_train_chunk(elbo, config.inference, config.train)
    holder = [init_state(elbo, config.train, jax.random.key(0))]

    def run():
        holder[0], objective = chunk(holder[0], trajectories, steps)
        return objective

    found = time_function(run, repeats=repeats)
    return {name: value / steps if name != "compile_s" else value for name, value in found.items()}
