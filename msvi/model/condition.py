"""What acts on a system from outside: the parameters of its equation, and its forcing."""

import dataclasses
from typing import NamedTuple, cast

import jax.numpy as jnp

from msvi.types import Array


class Condition(NamedTuple):
    """At one time: `mu` `(parameter,)`, `forcing` `(force,)` or `(*coarse_grid, force)`; None where there is none."""

    mu: Array | None = None
    forcing: Array | None = None


class Conditions(NamedTuple):
    """Of one trajectory: `mu`, and `forcing` with an axis `forcing_time` in front, whose times are `forcing_t`.

    All are None where nothing acts from outside. With a further axis `trajectory` in front of each, of many.
    """

    mu: Array | None = None
    forcing_t: Array | None = None
    forcing: Array | None = None

    def at(self, t: Array) -> Condition:
        """The condition at time `t`: a line joins the values of the forcing, which stays constant beyond them."""
        if self.forcing is None:
            return Condition(self.mu)
        times = cast(Array, self.forcing_t)  # which come with the forcing
        after = jnp.clip(jnp.searchsorted(times, t, side="right"), 0, len(times) - 1)
        before = jnp.maximum(after - 1, 0)
        length = jnp.where(after > before, times[after] - times[before], 1)
        part = jnp.clip((t - times[before]) / length, 0, 1)
        return Condition(self.mu, (1 - part) * self.forcing[before] + part * self.forcing[after])


NO_CONDITION, NO_CONDITIONS = Condition(), Conditions()


@dataclasses.dataclass(frozen=True)
class ConditionScale:
    """How many numbers a condition has, and their mean and standard deviation over the training trajectories.

    Attributes:
      mu_mean, mu_std: one of each parameter.
      forcing_mean, forcing_std: one of each force.
      local: whether the forcing is a field, of which each coarse cell sees what acts on itself.
    """

    mu_mean: tuple[float, ...] = ()
    mu_std: tuple[float, ...] = ()
    forcing_mean: tuple[float, ...] = ()
    forcing_std: tuple[float, ...] = ()
    local: bool = False

    def zeros(self, coarse_grid: tuple[int, ...]) -> Condition:
        """A condition of the right shape."""
        mu = jnp.zeros(len(self.mu_mean)) if self.mu_mean else None
        shape = (*(coarse_grid if self.local else ()), len(self.forcing_mean))
        return Condition(mu, jnp.zeros(shape) if self.forcing_mean else None)

    def features(self, condition: Condition) -> tuple[Array | None, Array | None]:
        """The standardised condition: what is the same everywhere, `(number,)`, and `(*coarse_grid, force)`."""
        parts, local = [], None
        mu, forcing = cast(tuple[Array, Array], condition)  # as far as there are such
        if self.mu_mean:
            parts.append((mu - jnp.array(self.mu_mean)) / jnp.array(self.mu_std))
        if self.forcing_mean:
            # Of one axis and many alike; JAX does not broadcast ranks in silence.
            shape = (1,) * (forcing.ndim - 1) + (-1,)
            mean, std = (jnp.array(v).reshape(shape) for v in (self.forcing_mean, self.forcing_std))
            forcing = (forcing - mean) / std
            if self.local:
                local = forcing
            else:
                parts.append(forcing)
        return jnp.concatenate(parts) if parts else None, local


def join(everywhere: Array | None, local: Array | None) -> Array | None:
    """Both parts of a condition in one vector; None if there is none."""
    parts = [part.ravel() for part in (everywhere, local) if part is not None]
    return jnp.concatenate(parts) if parts else None
