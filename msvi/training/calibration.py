"""The variances of forecasts, scaled to what validation trajectories show.

Two factors bring them to the errors that they stand for, one after the other.

*The decoder's variance.* In training it has to cover what draws from the posterior miss, and the posterior is wide
where the data leave it room. A forecast is decoded from a path that is not so drawn; what is left of the decoder's
error is that of reconstructions, encoded and decoded without a draw. One factor on the variances of both experts makes
the decoder's deviation the error of the reconstructions of validation frames.

*The dispersion.* With the smooth posterior the bound does not hold the dispersion `Q` that the errors of the drift call
for. The posterior's variance `S` hardly changes in time, while the drift `f` lets deviations shrink or grow at rates
`J`, the symmetric part of its derivative. What keeps `S` up against `J` is `Q`: the terms of the bound with `Q` are
least at `Q² = 4 S (r² + J S J)`, `r` the error of the drift along the mean, so that even where `r` is zero `Q` is about
`2 |J| S`. Forecasts then spread more than they err. One factor on `Q` for all latents brings the spread of the
validation forecasts to their error. (Their CRPS would not tell: where the errors are small beside the noise of the
observation, or large beside what is left to tell, it hardly depends on the factor.)
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from msvi.training.state import TrainState

# Smallest and largest factor, and how far a ratio of spread to error may be from one, by its logarithm.
_LEAST, _MOST, _NEAR = 1e-4, 10.0, 0.02
# Factors tried in place of 1 where forecasts diverge.
_SMALLER = (0.1, 0.01)
# A decoder that is right to so much is left as it is: a reconstruction follows some of the noise of the frame that it
# is made from, so that its error is a little less than the decoder's deviation should be.
_RIGHT = 0.15

Entry = dict[str, float | None]


def calibrate(validate: Callable[[TrainState], Entry], state: TrainState) -> Entry:
    """The validation with those factors at which the spread of forecasts and their error come nearest, and the factors,
    as `decoder_factor` and `dispersion_factor`.

    The first two factors on the dispersion are 1 and that which would do if all spread came from `Q`, the third goes on
    on the line through both, in logarithms. The bound's `Q` may be so much too large that it drives members out of the
    range of numbers, from where a drift with products does not come back: then smaller ones take the place of 1.

    Args:
      validate: of a state; `val_spread_skill` is the ratio of the spread of forecasts to their error,
        `val_decoder_spread` that of the decoder's deviation to the error of reconstructions, None where there is none.
    """
    first = validate(state)
    decoder = 1.0 if not first["val_decoder_spread"] else first["val_decoder_spread"] ** -2.0
    decoder = float(np.clip(decoder, _LEAST, _MOST)) if abs(np.log(decoder)) > 2 * _RIGHT else 1.0

    def at(factor, entry=None):
        factor = float(np.clip(factor, _LEAST, _MOST))
        entry = validate(scale(state, factor, decoder)) if entry is None else entry
        ratio = entry["val_spread_skill"]
        # How far the decoder was off is told too, not that it no longer is.
        factors = {"dispersion_factor": factor, "decoder_factor": decoder}
        found = entry | factors | {"val_decoder_spread": first["val_decoder_spread"]}
        return found, np.log(factor), np.inf if not ratio else np.log(ratio)

    found = [at(1.0, first if decoder == 1.0 else None)]
    for factor in _SMALLER:
        if found[-1][0]["val_crps"] is not None:
            break
        found.append(at(factor))
    _, x0, y0 = found[-1]
    if np.isfinite(y0) and abs(y0) > _NEAR:
        found.append(at(np.exp(x0 - 2 * y0)))
        _, x1, y1 = found[-1]
        if not np.isfinite(y1):  # too much: halfway to what was not
            found.append(at(np.exp((x0 + x1) / 2)))
        elif abs(y1) > _NEAR:
            slope = np.clip((y1 - y0) / (x1 - x0), 0.1, 1.0)
            found.append(at(np.exp(x1 - y1 / slope)))
    return min(found, key=lambda entry: abs(entry[2]))[0]


def scale(state: TrainState, dispersion: float, decoder: float = 1.0) -> TrainState:
    """`state` whose averaged weights, those of forecasts, have so many times the dispersion `Q` and so many times the
    decoder's variance."""
    model = state.average["model"]
    factors = {"log_q": dispersion, "macro_log_var": decoder, "micro_log_var": decoder}
    scaled = {name: model[name] + jnp.log(factor) for name, factor in factors.items() if name in model}
    return state._replace(average=state.average | {"model": model | scaled})
