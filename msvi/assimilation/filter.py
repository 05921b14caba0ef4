"""An ensemble Kalman filter over the times of observations, in one scan; dynamics and sensors are functions.

    forecast   x_k = M(x_(k-1))                                for each member
    analysis   x_k + C_xy S^-1 (y + e - h(x_k)),   S = C_yy + R,   e ~ N(0, R)

`C` are covariances of the ensemble. The steps are those of cuthbert (`cuthbertlib.ensemble_kalman`): the filter with
perturbed observations, readings that are missing, tapers of the covariances, evidence. Source: Evensen, "Data
Assimilation", Springer 2009.

What is added here: the last few ensembles are updated together with the newest, which makes a smoother with a fixed lag
(Evensen & van Leeuwen, Monthly Weather Review 128, 2000); statistics of the innovations; and members that are lost.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from cuthbertlib.ensemble_kalman import (
    construct_tapered_chol_innovation_covariance,
    filter_update,
    predict,
    smoother_update,
)
from cuthbertlib.linalg import tria

from msvi.assimilation.localise import Taper
from msvi.types import Array

# The library broadcasts shapes of different ranks, which a user's own settings may forbid.
_broadcasts = functools.partial(jax.numpy_rank_promotion, "allow")

Advance = Callable[[Array, Array, Array], Array]
# `analyse` or `analyse_each`.
Correct = Callable[..., tuple[Array, Array, "Innovation"]]


class Observed(NamedTuple):
    """Readings at the times of the analysis, all of order one.

    Attributes:
      y: `(time, sensor)`, NaN where there is none.
      noise: standard deviation of what the readings differ from those of the ensemble's fields by, `(time, sensor)`.
    """

    y: Array
    noise: Array


class Schedule(NamedTuple):
    """One entry for each stretch that the dynamics are solved over, the last of which leads nowhere.

    Attributes:
      inputs: of the dynamics, with an axis `stretch` in front.
      place: of the beginning among the times of the analysis, `(stretch,)`; -1 where none is.
    """

    inputs: Array
    place: Array


class Innovation(NamedTuple):
    """Readings less the ensemble's mean of them, before they are taken in.

    Attributes:
      mean: `(time, sensor)`, NaN where there is no reading.
      deviation: what it should be, the square root of the diagonal of `S`, `(time, sensor)`.
      chi2: `dᵀ S^-1 d`, which should be the number of readings on average, `(time,)`.
      log_evidence: `log N(d; 0, S)`, `(time,)`.
    """

    mean: Array
    deviation: Array
    chi2: Array
    log_evidence: Array


class Filtered(NamedTuple):
    """Ensembles `(time, member, state)`, at the times of the analysis.

    Attributes:
      predicted: from all readings before each time.
      analysis: from those at it too.
      smoothed: from those of so many later times too; None without a lag.
      innovation: of the readings.
      lost: members that were not finite and were replaced, `(time,)`.
    """

    predicted: Array
    analysis: Array
    smoothed: Array | None
    innovation: Innovation
    lost: Array


def run_filter(
    key: Array,
    ensemble: Array,
    schedule: Schedule,
    observed: Observed,
    advance: Advance,
    observe: Callable[[Array], Array],
    taper: Taper | None = None,
    inflation: float | Array = 0.0,
    lag: int = 0,
    correct: Correct | None = None,
) -> Filtered:
    """The ensemble carried over all stretches, and corrected where there are readings.

    Args:
      key: of all that is drawn.
      ensemble: at the beginning of the first stretch, `(member, state)`.
      schedule: the stretches.
      observed: the readings.
      advance: `(x, key, inputs) -> x` of one member over one stretch.
      observe: what the sensors read of one member, `(state,) -> (sensor,)`.
      taper: of the covariances; None for none.
      inflation: by what part members move away from their mean before readings are taken in.
      lag: later times whose readings correct an ensemble.
      correct: how readings are taken in, `analyse` if left out.
    """
    number, state = ensemble.shape
    has = jnp.isfinite(observed.y).any(axis=1)
    following = jnp.concatenate([schedule.place[1:], jnp.full(1, -1, schedule.place.dtype)])

    def stretch(carry, given):
        x, past = carry
        inputs, place, following, key = given
        x, lost = replace_lost(jax.random.fold_in(key, 0), x)
        y, noise = observed.y[place], observed.noise[place]

        def corrected(x, past):
            readings = jax.vmap(observe)(x)
            return (correct or analyse)(jax.random.fold_in(key, 1), x, past, readings, y, noise, taper)

        def kept(x, past):
            none = jnp.full_like(y, jnp.nan)
            return x, past, Innovation(none, none, jnp.zeros(()), jnp.zeros(()))

        analysis, past, innovation = jax.lax.cond((place >= 0) & has[place], corrected, kept, x, past)
        oldest = past[:, :state]
        if lag:
            moved = jnp.concatenate([past[:, state:], analysis], axis=1)
            past = jnp.where(place >= 0, moved, past)
        grown = jnp.where((following >= 0) & has[following], inflation, 0.0)
        with _broadcasts():
            ahead = predict(
                jax.random.fold_in(key, 2), analysis, lambda x, key: advance(x, key, inputs), cast(float, grown)
            )
        return (ahead, past), (x, analysis, oldest, innovation, lost)

    keys = jax.random.split(key, len(schedule.place))
    past = jnp.zeros((number, lag * state))
    given = (schedule.inputs, schedule.place, following, keys)
    (_, past), found = jax.lax.scan(stretch, (ensemble, past), given)
    at = jnp.flatnonzero(schedule.place >= 0, size=len(observed.y))
    predicted, analysis, oldest, innovation, lost = jax.tree.map(lambda a: a[at], found)
    smoothed = None
    if lag:
        rest = jnp.moveaxis(past.reshape(number, lag, state), 1, 0)
        smoothed = jnp.concatenate([oldest, rest])[-len(observed.y) :]
    return Filtered(predicted, analysis, smoothed, innovation, lost)


def analyse(
    key: Array, x: Array, past: Array, readings: Array, y: Array, noise: Array, taper: Taper | None
) -> tuple[Array, Array, Innovation]:
    """The ensemble, and those before it, corrected by readings.

    Without a taper and with more readings than members the library solves in the space of the members, which is the
    same and cheaper.

    Args:
      x: `(member, state)`.
      past: earlier ensembles side by side, `(member, lag * state)`.
      readings: of the members, `(member, sensor)`.
      y, noise: `(sensor,)`.
    """
    number, sensors = readings.shape
    joint = jnp.concatenate([x, past, readings], axis=1)
    seen = jnp.isfinite(y)
    deviations = jnp.where(seen[None], readings - readings.mean(axis=0, keepdims=True), 0).T / jnp.sqrt(number - 1)
    scale = jnp.where(seen, noise, 1)  # of a reading that is missing it adds nothing below
    if taper is None and sensors > number:
        options: dict[str, Any] = {"chol_R": noise, "ensemble_subspace": True}
        whitened = deviations / scale[:, None]
        chol = tria(jnp.concatenate([whitened.T, jnp.eye(number)], axis=1))
        log_det = 2 * jnp.sum(jnp.log(scale))
    else:
        options = {"chol_R": jnp.diag(noise)}
        factor = jnp.ones((sensors, 1)) if taper is None else jnp.asarray(taper.factor)
        with _broadcasts():
            chol = construct_tapered_chol_innovation_covariance(deviations, factor, jnp.diag(scale))
        log_det = 0.0
        if taper is not None:
            rows = jnp.tile(jnp.asarray(taper.state), (1 + past.shape[1] // x.shape[1], 1))
            rows = jnp.concatenate([rows, jnp.ones((sensors, sensors))])
            options |= {
                "cross_covariance_modifier": lambda covariance: covariance * rows,
                "construct_chol_innovation_covariance": lambda deviations, chol: (
                    construct_tapered_chol_innovation_covariance(deviations, factor, chol)
                ),
            }
    with _broadcasts():
        found, log_evidence = filter_update(key, joint, lambda row: row[-sensors:], y=y, **options)
    log_det += 2 * jnp.sum(jnp.log(jnp.abs(jnp.diagonal(chol))))
    chi2 = -2 * log_evidence - seen.sum() * np.log(2 * np.pi) - log_det
    spread = jnp.sqrt(jnp.sum(deviations**2, axis=1) + scale**2)
    mean, spread = (jnp.where(seen, a, jnp.nan) for a in (y - readings.mean(axis=0), spread))
    innovation = Innovation(mean, spread, chi2, log_evidence)
    return found[:, : x.shape[1]], found[:, x.shape[1] : joint.shape[1] - sensors], innovation


def analyse_each(
    key: Array, x: Array, past: Array, readings: Array, y: Array, noise: Array, taper: Taper | None
) -> tuple[Array, Array, Innovation]:
    """The same where each reading is of one number of the state, which alone it corrects.

    Covariances between numbers, which few members only guess, play no part, so that as few do for a large state as for
    a small one.

    Args:
      past: nothing, `(member, 0)`: earlier ensembles are left as they are.
      readings: the state itself, `(member, state)`.
    """
    assert past.shape[1] == 0 and taper is None
    seen, d = jnp.isfinite(y), y - readings.mean(axis=0)
    variance = readings.var(axis=0, ddof=1)
    total = variance + noise**2
    gain = jnp.where(seen & (total > 0), variance / total, 0)

    def corrected(key, x):
        return x + gain * jnp.where(seen, y + noise * jax.random.normal(key, x.shape) - x, 0)

    found = jax.vmap(corrected)(jax.random.split(key, len(x)), x)
    chi2 = jnp.sum(jnp.where(seen, d**2 / total, 0))
    log_evidence = -0.5 * (chi2 + jnp.sum(jnp.where(seen, jnp.log(2 * np.pi * total), 0)))
    spread = jnp.where(seen, jnp.sqrt(total), jnp.nan)
    return found, past, Innovation(d, spread, chi2, log_evidence)


def replace_lost(key: Array, x: Array) -> tuple[Array, Array]:
    """Members `(member, state)` of which any that is not finite is a copy of another, and how many those were."""
    finite = jnp.isfinite(x).all(axis=1)
    others = jax.random.choice(key, len(x), (len(x),), p=finite / jnp.maximum(finite.sum(), 1))
    return jnp.where(finite[:, None], x, x[others]), jnp.sum(~finite)


def smooth(filtered: Filtered) -> Array:
    """Ensembles from all readings, `(time, member, state)`: the ensemble smoother of Rauch, Tung and Striebel, by
    cuthbert, backward over the times. Source: Raanes, Quarterly Journal of the Royal Meteorological Society 142, 2016.
    """

    def backward(after, given):
        analysis, predicted = given
        with _broadcasts():
            found, _ = smoother_update(analysis, predicted, after)
        return found, found

    last = filtered.analysis[-1]
    _, before = jax.lax.scan(backward, last, (filtered.analysis[:-1], filtered.predicted[1:]), reverse=True)
    return jnp.concatenate([before, last[None]])
