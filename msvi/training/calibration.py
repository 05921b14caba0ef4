"""The dispersion of forecasts, scaled to what validation forecasts show.

With the smooth posterior the bound does not hold the dispersion `Q` that the errors of the drift call for. The
posterior's variance `S` hardly changes in time, while the drift `f` lets deviations shrink or grow at rates `J`, the
symmetric part of its derivative. What keeps `S` up against `J` is `Q`: the terms of the bound with `Q` are least at
`Q² = 4 S (r² + J S J)`, `r` the error of the drift along the mean, so that even where `r` is zero `Q` is about
`2 |J| S`. Forecasts then spread more than they err. One factor on `Q` for all latents brings
the spread of the validation forecasts to their error. (Their CRPS would not tell: where the errors are small beside the
noise of the observation, or large beside what is left to tell, it hardly depends on the factor.)
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from msvi.training.state import TrainState

# Smallest and largest factor, and how far a ratio of spread to error may be from one, by its logarithm.
_LEAST, _MOST, _NEAR = 1e-4, 10.0, 0.02

Entry = dict[str, float | None]


def calibrate(validate: Callable[[TrainState], Entry], state: TrainState) -> Entry:
    """The validation with that factor on the dispersion at which spread and error come nearest, and the factor, as
    `dispersion_factor`.

    The first two factors are 1 and that which would do if all spread came from `Q`, the third goes on on the line
    through both, in logarithms.

    Args:
      validate: of a state; `val_spread_skill` is the ratio of spread to error, None where there is none.
    """

    def at(factor):
        factor = float(np.clip(factor, _LEAST, _MOST))
        entry = validate(scale(state, factor)) | {"dispersion_factor": factor}
        ratio = entry["val_spread_skill"]
        return entry, np.log(factor), np.inf if not ratio else np.log(ratio)

    found = [at(1.0)]
    if np.isfinite(found[0][2]) and abs(found[0][2]) > _NEAR:
        found.append(at(np.exp(-2 * found[0][2])))
    if len(found) == 2 and np.isfinite(found[1][2]) and abs(found[1][2]) > _NEAR:
        (_, x0, y0), (_, x1, y1) = found
        slope = np.clip((y1 - y0) / (x1 - x0), 0.1, 1.0)
        found.append(at(np.exp(x1 - y1 / slope)))
    return min(found, key=lambda entry: abs(entry[2]))[0]


def scale(state: TrainState, factor: float) -> TrainState:
    """`state` whose averaged weights, those of forecasts, have so many times the dispersion `Q`."""
    model = state.average["model"]
    scaled = model | {"log_q": model["log_q"] + jnp.log(factor)}
    return state._replace(average=state.average | {"model": scaled})
