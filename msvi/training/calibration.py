"""The dispersion of forecasts, scaled to what validation forecasts show.

With the smooth posterior the bound does not hold the dispersion `Q` that the errors of the drift call for. The
posterior's variance `S` hardly changes in time, while the drift `f` lets deviations shrink or grow at rates `J`, the
symmetric part of its derivative. What keeps `S` up against `J` is `Q`: the terms of the bound with `Q` are least at
`Q² = 4 S (r² + J S J)`, `r` the error of the drift along the mean, so that even where `r` is zero `Q` is about
`2 |J| S`. Forecasts then spread more than they err. One factor on `Q` for all latents is chosen by the score that
chooses the checkpoint.
"""

from collections.abc import Callable

import jax.numpy as jnp

from msvi.training.state import TrainState

# Factors tried are that of the last validation, and so many times less and more.
_STEP = 2.0

Entry = dict[str, float | None]


def calibrate(
    validate: Callable[[TrainState], Entry], score: Callable[[Entry], float], state: TrainState, factor: float
) -> Entry:
    """The validation of the best of three factors on the dispersion, with that factor as `dispersion_factor`.

    Args:
      validate: of a state.
      score: the lower the better.
      factor: that of the last validation, 1 before the first.
    """
    tried = (factor, factor / _STEP, factor * _STEP)
    return min((validate(scale(state, f)) | {"dispersion_factor": f} for f in tried), key=score)


def scale(state: TrainState, factor: float) -> TrainState:
    """`state` whose averaged weights, those of forecasts, have so many times the dispersion `Q`."""
    model = state.average["model"]
    scaled = model | {"log_q": model["log_q"] + jnp.log(factor)}
    return state._replace(average=state.average | {"model": scaled})
