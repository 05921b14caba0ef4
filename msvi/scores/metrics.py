"""Scores of forecasts of one trajectory or frame: numbers out; means over trajectories are the caller's.

Fields are `(*grid, channel)`; an ensemble has its members in front, drawn with observation noise, so that the
observation is one more draw if the forecast is right. A forecast without uncertainty is an ensemble of one. `mask`,
boolean and of the shape of `reference`, leaves out the values that were not observed; None leaves out none.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from msvi.types import Array

# Points that share one pairwise comparison of the members; more would not stay in the cache.
_POINTS_AT_ONCE = 4096


def relative_errors(
    estimate: Array, reference: Array, mask: ArrayLike | None = None, origin: ArrayLike | None = None
) -> Array:
    """`||estimate(t) - reference(t)|| / ||reference(t)||` at each time, norms over grid and channels.

    The unit of the fields does not matter. NaN at a time of which nothing was observed or whose reference is zero, to
    be left out of means; infinite where the estimate is not finite.

    Args:
      estimate: `(time, *grid, channel)`.
      reference: of the same shape.
      origin: added to the reference in its norm where both fields are counted from there, `(channel,)`.

    Returns:
      `(time,)`.
    """
    axes = tuple(range(1, reference.ndim))
    error = estimate - reference
    whole = reference if origin is None else _whole(reference, _per_channel(origin, reference))
    if mask is not None:
        error, whole = jnp.where(mask, error, 0), jnp.where(mask, whole, 0)
    size = _largest(whole)
    error, whole = (jnp.sqrt(jnp.sum((field / size) ** 2, axis=axes)) for field in (error, whole))
    found = error / jnp.where(whole > 0, whole, 1)
    return jnp.where(whole > 0, jnp.where(jnp.isfinite(found), found, jnp.inf), jnp.nan)


def nrmse(estimate: Array, reference: Array, mask: Array | None = None) -> Array:
    """`sqrt(mean_t ||estimate - reference||² / ||reference||²)`, the published metric.

    The mean is over the times that `relative_errors` defines; NaN if there are none.
    """
    errors = relative_errors(estimate, reference, mask)
    return jnp.sqrt(jnp.mean(errors**2, where=~jnp.isnan(errors)))


def vrmse(estimate: Array, reference: Array, mask: Array | None = None, deviation: ArrayLike | None = None) -> Array:
    """`sqrt(<(estimate - reference)²> / (<(reference - <reference>)²> + 1e-7 deviation²))` of one frame.

    Means `<>` are over the grid, the mean over the channels is returned. 1 for an estimate by the mean of the frame.
    Source: Ohana et al., "The Well", NeurIPS 2024, for fields of a deviation of about 1.

    Args:
      estimate: `(*grid, channel)`.
      reference: of the same shape.
      deviation: the usual one of each channel, `(channel,)`. If None what is added is the square of the round-off of
        the channel's largest value.
    """
    axes = tuple(range(reference.ndim - 1))
    size = _largest(reference if mask is None else jnp.where(mask, reference, 0), axes)
    least = jnp.finfo(reference.dtype).eps ** 2
    if deviation is not None:
        usual = _per_channel(deviation, reference)
        size = jnp.maximum(size, usual)
        least = 1e-7 * (usual / size).ravel() ** 2
    estimate, reference = estimate / size, reference / size
    error = jnp.mean((estimate - reference) ** 2, axes, where=mask)
    found = jnp.sqrt(error / (jnp.var(reference, axes, where=mask) + least))
    return jnp.mean(found, where=None if mask is None else mask.any(axes))


def fair_crps(members: Array, reference: Array, mask: Array | None = None) -> Array:
    """The mean over grid and channels of `fair_crps_at_points`, in units of `u`.

    On fields in units of each channel's deviation all channels count alike, and no offset matters: so the best
    checkpoint of a training is chosen.

    Args:
      members: `(member, *grid, channel)`.
      reference: `(*grid, channel)`.
    """
    return jnp.mean(fair_crps_at_points(members, reference), where=mask)


def fair_crps_at_points(members: Array, reference: Array) -> Array:
    """`mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 M (M - 1))` at each point, `(*grid, channel)`, in units of `u`.

    Unbiased in the number `M` of members, so that ensembles of different size can be compared. Of one member its
    absolute error. Source: Ferro, Quarterly Journal of the Royal Meteorological Society 140, 2014.

    Args:
      members: `(member, *grid, channel)`.
      reference: `(*grid, channel)`.
    """
    number = len(members)
    if number == 1:
        return jnp.abs(members[0] - reference)

    # Written out, since importing scoringrules compiles all of its scores for NumPy, which takes seconds at each start.
    def at_point(values):
        x, y = values
        return jnp.abs(x - y).mean() - jnp.abs(x[:, None] - x[None]).sum() / (2 * number * (number - 1))

    points = members.reshape(number, -1).T, reference.ravel()
    return jax.lax.map(at_point, points, batch_size=_POINTS_AT_ONCE).reshape(reference.shape)


def fair_energy_score(members: Array, reference: Array, mask: Array | None = None) -> Array:
    """`mean_i ||x_i - y|| - sum_ij ||x_i - x_j|| / (2 M (M - 1))` of the whole field, norms being root mean squares.

    What the CRPS is to each value, this is to the field with its correlations; in units of `u`. Of one member its root
    mean square error. Source: Gneiting & Raftery, Journal of the American Statistical Association 102, 2007.

    Args:
      members: `(member, *grid, channel)`.
      reference: `(*grid, channel)`.
    """
    # All distances from one matrix product: libraries compare field with field, M times the memory. Differences to the
    # reference, not the fields, are multiplied, since they are smaller and so is what cancels.
    num_members = len(members)
    errors, count = members - reference[None], reference.size
    if mask is not None:
        errors, count = jnp.where(mask[None], errors, 0), mask.sum()
    errors = errors.reshape(num_members, -1)
    size = _largest(errors)
    errors = errors / size
    products = errors @ errors.T / count
    squares = jnp.diagonal(products)
    error = jnp.mean(jnp.sqrt(squares))
    if num_members == 1:
        return size[0, 0] * error
    distances = jnp.sqrt(jnp.maximum(squares[:, None] + squares[None] - 2 * products, 0))
    off_diagonal = jnp.where(jnp.eye(num_members, dtype=bool), 0, distances)
    return size[0, 0] * (error - jnp.sum(off_diagonal) / (2 * num_members * (num_members - 1)))


def quantile_position(members: Array, reference: Array) -> Array:
    """At each point the probability `p` in [0, 1] whose quantile of the ensemble is the reference; same shape.

    The `r`-th of `M` members is the quantile of `r / (M + 1)`, with straight lines between; outside all members `p` is
    0 or 1. If the reference is one more draw, `p` is uniform, but for `1 / (M + 1)` at each end.

    Args:
      members: `(member, *grid, channel)`.
      reference: `(*grid, channel)`.
    """
    below = members < reference[None]
    rank = jnp.sum(below, axis=0)
    lower = jnp.max(jnp.where(below, members, -jnp.inf), axis=0)
    upper = jnp.min(jnp.where(below, jnp.inf, members), axis=0)
    inside = jnp.isfinite(lower) & jnp.isfinite(upper)
    fraction = jnp.where(inside, (reference - lower) / jnp.where(inside, upper - lower, 1), 0)
    return jnp.where(inside, (rank + fraction) / (len(members) + 1), jnp.where(rank > 0, 1.0, 0.0))


def spread_and_skill(members: Array, reference: Array, mask: Array | None = None) -> tuple[Array, Array]:
    """`(M + 1) / M` times the variance of the ensemble, and the squared error of its mean; means over all points.

    Equal in the mean if the reference is one more draw. In units of `u²`, which must be within the
    range of numbers. Source: Fortin et al., Journal of Hydrometeorology 15, 2014.

    Args:
      members: `(member, *grid, channel)`, two or more.
      reference: `(*grid, channel)`.
    """
    num_members = len(members)
    variance = jnp.mean(jnp.var(members, axis=0, ddof=1), where=mask)
    skill = jnp.mean((jnp.mean(members, axis=0) - reference) ** 2, where=mask)
    return (num_members + 1) / num_members * variance, skill


def first_above(values: ArrayLike, threshold: float) -> Array:
    """Number of the first of `values` `(time,)` above the threshold, or not finite; `len(values)` if none is."""
    above = ~(jnp.asarray(values) <= threshold)
    return jnp.where(above.any(), jnp.argmax(above), len(above))


def _largest(u: Array, axes: tuple[int, ...] | None = None) -> Array:
    """Largest absolute value, 1 where it is zero, with all axes kept: in these units squares are finite."""
    found = jnp.max(jnp.abs(u), axes, keepdims=True)
    return jnp.where(found > 0, found, 1)


def _whole(field: Array, origin: Array) -> Array:
    """`field + origin`, zero where no more than their round-off is left."""
    whole = field + origin
    return jnp.where(jnp.abs(whole) > 4 * jnp.finfo(field.dtype).eps * jnp.abs(origin), whole, 0)


def _per_channel(values: ArrayLike, field: Array) -> Array:
    """`(channel,)` with as many axes as the field has."""
    return jnp.asarray(values).reshape((1,) * (field.ndim - 1) + (-1,))
