"""Ensemble forecasts: encode the first frame, solve the SDE, decode."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np
from jax.core import Tracer

from msvi.model.condition import NO_CONDITIONS, Conditions
from msvi.model.multiscale import MultiscaleModel
from msvi.types import ONE_VARIANCE, Array, Gaussian, Params


class _RungeKutta4(diffrax.AbstractERK, diffrax.AbstractItoSolver):
    """The classical method, whose stages take the increment of the noise as they take that of time."""

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(  # pyright: ignore[reportIncompatibleVariableOverride]
        c=np.array([0.5, 0.5, 1.0]),
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        b_sol=np.array([1.0, 2.0, 2.0, 1.0]) / 6,
        b_error=np.zeros(4),  # steps are given
    )
    interpolation_cls: ClassVar[Callable] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms: object) -> int:
        return 4

    def strong_order(self, terms: object) -> float:
        return 1.0  # for additive noise


# For additive noise Euler–Maruyama and the classical method have strong order 1, and ShARK 1.5 (Foster, dos Reis,
# Strange 2024); without noise they have order 1, 4 and 2.
_SOLVERS = {"euler": diffrax.Euler, "shark": diffrax.ShARK, "rk4": _RungeKutta4}

# Fields decoded side by side: enough to share what depends on the parameters alone, few enough for the memory.
_DECODED_AT_ONCE = 128


def solver_steps(t: np.ndarray, spacing: float, steps_per_frame: int = 1) -> np.ndarray:
    """Times of the solver's steps, `(trajectory, step)`, as many for each trajectory and all of its frames among them.

    No step is longer than `spacing / steps_per_frame`, but for rounding. Where a trajectory needs fewer than another
    its steps are shorter.

    Args:
      t: frame times, `(trajectory, time)`, on the host.
      spacing: usual time between two frames; 0 takes that between each two.
    """
    gaps = np.diff(np.asarray(t, np.float64), axis=1)
    counts = np.full(gaps.shape, steps_per_frame)
    if spacing:
        # A thousandth more is the same spacing, in the precision in which files keep their times.
        counts = np.maximum(1, np.ceil(gaps / spacing * steps_per_frame - 1e-3)).astype(int)
    rows = []
    for start, gap, count in zip(np.asarray(t, np.float64), gaps, counts, strict=True):
        missing = counts.sum(axis=1).max() - count.sum()
        count = count + missing // count.size + (np.arange(count.size) < missing % count.size)
        inner = [s + g * np.arange(n) / n for s, g, n in zip(start, gap, count, strict=False)]
        rows.append(np.append(np.concatenate(inner), start[-1]))
    return np.stack(rows)


def solve_sde(
    drift: Callable, log_q: Callable, t: Array, z0: Array, key: Array, steps: Array | None = None, solver: str = "shark"
) -> Array:
    """One path of `dz = drift(t, z) dt + sqrt(Q(t)) dW`, saved at the times `t`.

    Each step draws its own Brownian increment (`UnsafeBrownianPath`): right for fixed steps and forward solves, and 20
    times cheaper than a path that can be asked at any time.

    Args:
      drift: `(t, z) -> (latent_dim,)`.
      log_q: `t -> (latent_dim,)`.
      t: `(time,)`, increasing.
      z0: `(latent_dim,)`.
      key: of the Brownian path.
      steps: times of the solver's steps, `(step,)`, those of `t` among them; None for `t` itself.
      solver: one of `SOLVERS`.

    Returns:
      `(time, latent_dim)`.
    """
    steps = t if steps is None else steps
    area = diffrax.SpaceTimeLevyArea if solver == "shark" else diffrax.BrownianIncrement
    path = diffrax.UnsafeBrownianPath(z0.shape, key, levy_area=area)
    solution = diffrax.diffeqsolve(
        diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, z, args: drift(t, z)),
            diffrax.ControlTerm(lambda t, z, args: lineax.DiagonalLinearOperator(jnp.exp(0.5 * log_q(t))), path),
        ),
        _SOLVERS[solver](),
        t0=t[0],
        t1=t[-1],
        dt0=None,
        y0=z0,
        stepsize_controller=diffrax.StepTo(ts=steps),
        saveat=diffrax.SaveAt(ts=t),
        adjoint=diffrax.ForwardMode(),
        max_steps=steps.shape[0],
        throw=False,
    )
    return cast(Array, solution.ys)  # None only of a solve that saves nothing


def forecast_latents(
    model: MultiscaleModel,
    params: Params,
    t: Array,
    u0: Array,
    key: Array,
    num_members: int,
    steps_per_frame: int = 1,
    solver: str = "shark",
    conditions: Conditions = NO_CONDITIONS,
    mask0: Array | None = None,
    steps: Array | None = None,
) -> Array:
    """Latent ensemble from one observed frame: `z0` drawn from the encoder, then the SDE over `t`.

    Args:
      params: of the model.
      t: frame times since the start of the trajectory, in the unit of the data, `(time,)`, evenly spaced or not; `u0`
        is the frame at `t[0]`.
      u0: `(*grid, channel)`, in the units of the data.
      steps_per_frame: see `ForecastConfig`; not used where `steps` are given.
      conditions: what acts on the system from outside, for a model that was trained with such.
      mask0: where `u0` was observed, of its shape; None if everywhere.
      steps: times of the solver's steps, `(step,)`, from `solver_steps`. If None they follow from `t`, which must then
        be known when the function is traced.

    Returns:
      `(member, time, latent_dim)`.
    """
    found = _steps(model, t, steps_per_frame) if steps is None else steps
    encoded = model.encode(params, u0, mask0)
    start_keys, path_keys = jax.vmap(jax.random.split)(jax.random.split(key, num_members)).T
    z0 = jax.vmap(encoded.sample)(start_keys)
    return solve_ensemble(model, params, t, z0, path_keys, found, solver, conditions)


def solve_ensemble(
    model: MultiscaleModel,
    params: Params,
    t: Array,
    z0: Array,
    keys: Array,
    steps: Array | np.ndarray,
    solver: str = "shark",
    conditions: Conditions = NO_CONDITIONS,
) -> Array:
    """The model's SDE solved from latent states `z0` `(member, latent_dim)` at `t[0]`, a path for each of `keys`.

    Other arguments as in `forecast_latents`; `t` counts from the start of the trajectory and need not begin there.

    Returns:
      `(member, time, latent_dim)`.
    """
    t, steps, unit = count_frames(model, t, steps)
    move = advance(model, params, unit, solver, conditions)
    return jax.vmap(lambda z, key: move(t, z, key, steps))(z0, keys)


def mean_path(
    model: MultiscaleModel,
    params: Params,
    t: Array,
    u0: Array,
    steps: Array,
    solver: str = "shark",
    conditions: Conditions = NO_CONDITIONS,
    mask0: Array | None = None,
) -> Array:
    """The path of the drift alone from the mean of the encoded first frame, `(time, latent_dim)`; arguments as in
    `forecast_latents`."""
    t, steps, unit = count_frames(model, t, steps)
    move = advance(model, params, unit, solver, conditions, noise=False)
    return move(t, model.encode(params, u0, mask0).mean, jax.random.key(0), steps)


def advance(
    model: MultiscaleModel, params: Params, unit: float, solver: str, conditions: Conditions, noise: bool = True
) -> Callable[[Array, Array, Array, Array], Array]:
    """A function `(t, z, key, steps) -> (time, latent_dim)`: one path of the model's SDE, times as `count_frames` has
    them, of which `unit` is the length in the model's unit of time; without its noise if there is to be none."""

    def log_q(t):
        if not noise:
            return jnp.full(model.latent_dim, -jnp.inf)
        return model.log_q(params, conditions.at(unit * t)) + np.log(unit)

    def move(t, z, key, steps):
        return solve_sde(
            lambda t, z: model.drift(params, unit * t, z, conditions.at(unit * t)) * unit,
            log_q,
            t,
            z,
            key,
            steps,
            solver,
        )

    return move


def count_frames(model: MultiscaleModel, t: Array, steps: Array | np.ndarray) -> tuple[Array, Array, float]:
    """Times `t` and `steps` in the usual time between frames, and that in the model's unit of time.

    The Brownian path hangs on the bits of the times. Rounded to 1 / 1024 of a frame they are the same in whatever unit
    the data count time, and with them the forecast; but not where frames lie so close that two would become one.
    """
    spacing = model.scales.spacing or model.scales.time_unit
    t, steps = (jnp.asarray(a, jnp.float32) / spacing for a in (t, steps))
    rounded = jnp.round(steps * 1024) / 1024
    apart = jnp.all(jnp.diff(rounded) > 0) if model.scales.spacing else False
    t, steps = (jnp.where(apart, jnp.round(a * 1024) / 1024, a) for a in (t, steps))
    return t, steps, spacing / model.scales.time_unit


def _steps(model: MultiscaleModel, t: Array, steps_per_frame: int) -> np.ndarray:
    if isinstance(t, Tracer):
        raise TypeError("`t` is traced; pass `steps`, from `solver_steps` outside of the traced function.")
    return solver_steps(np.asarray(t)[None], model.scales.spacing, steps_per_frame)[0]


def decode_ensemble(model: MultiscaleModel, params: Params, z: Array, key: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over the members of the decoded and sampled field.

    Given the latents the field is Gaussian with a variance that does not depend on them, so the mean of one draw for
    each of `M` members is Gaussian too: the mean of the decoded means, with that variance over `M`. It is drawn once,
    in place of `M` fields. The standard deviation is that of the mixture, by the law of total variance.

    Squares are those of the model's own units.

    Args:
      z: `(member, time, latent_dim)`.
      key: of the observation noise.

    Returns:
      Two arrays `(time, *grid, channel)`.
    """
    num_members, num_times = z.shape[:2]
    inner = model.standardised

    def one_time(arguments):
        z, key = arguments
        decoded = jax.vmap(inner.decode, (None, 0), ONE_VARIANCE)(params, z)  # one variance for all members
        variance = jnp.exp(decoded.log_var)
        mean = Gaussian(decoded.mean.mean(axis=0), decoded.log_var - jnp.log(num_members)).sample(key)
        deviation = jnp.sqrt(decoded.mean.var(axis=0) + variance)
        return model.scales.restore(mean), model.scales.widths(deviation)

    arguments = (z.swapaxes(0, 1), jax.random.split(key, num_times))
    return jax.lax.map(one_time, arguments, batch_size=_times_at_once(num_members))


def ensemble_fields(model: MultiscaleModel, params: Params, z: Array, key: Array, noise: bool) -> dict[str, Array]:
    """Fields of an ensemble of paths `(member, time, latent_dim)`, and what is told of them.

    Args:
      key: of the observation noise.
      noise: whether members are what would be observed, with noise of their own; else what the decoder expects.

    Returns:
      Members `(member, time, *grid, channel)` under the empty name; and `(time, *grid, channel)` mean and standard
      deviation of what may be observed, and means of the parts of both scales, `mean`, `std`, `macro` and `micro`.
    """
    inner, scales = model.standardised, model.scales

    def one_time(arguments):
        z, key = arguments
        decoded = jax.vmap(inner.decode, (None, 0), ONE_VARIANCE)(params, z)  # one variance for all members
        macro, micro = jax.vmap(model.decode_parts, (None, 0))(params, z)
        deviation = jnp.exp(0.5 * decoded.log_var)
        drawn = deviation[None] * jax.random.normal(key, decoded.mean.shape) if noise else 0.0
        return {
            "": scales.restore(decoded.mean + drawn),
            "mean": scales.restore(decoded.mean.mean(axis=0)),
            "std": scales.widths(jnp.sqrt(decoded.mean.var(axis=0) + deviation**2)),
            "macro": macro.mean(axis=0),
            "micro": micro.mean(axis=0),
        }

    found = jax.lax.map(one_time, (z.swapaxes(0, 1), jax.random.split(key, z.shape[1])))
    return found | {"": found[""].swapaxes(0, 1)}


def sample_field(model: MultiscaleModel, params: Params, z: Array, noise: Array) -> Array:
    """A draw of the observed field, with observation noise, for each member of the ensemble at one time.

    Args:
      z: `(member, latent_dim)`.
      noise: standard normal, of the shape of what is returned.

    Returns:
      `(member, *grid, channel)`.
    """
    decoded = jax.vmap(model.decode, (None, 0), ONE_VARIANCE)(params, z)
    return decoded.mean + jnp.exp(0.5 * decoded.log_var)[None] * noise


def map_with_noise(function: Callable, keys: Array, shape: tuple[int, ...], xs: Any) -> Any:
    """`function(noise, x)` of each of `xs` in turn, stacked, with standard normals drawn from each of `keys`.

    What the next turn needs is drawn in this one. In the expression that uses it, XLA would draw it number by number on
    a CPU, and scores of an ensemble would take a fifth longer.

    Args:
      keys: `(turn, *leading)`.
      shape: of what is drawn from one key; `noise` is `(*leading, *shape)`.
    """

    def draw(keys):
        drawn = jax.vmap(lambda key: jax.random.normal(key, shape))(keys.ravel())
        return drawn.reshape(*keys.shape, *shape)

    def turn(noise, arguments):
        x, following = arguments
        return draw(following), function(noise, x)

    return jax.lax.scan(turn, draw(keys[0]), (xs, jnp.roll(keys, -1, axis=0)))[1]


def decode_ensemble_parts(model: MultiscaleModel, params: Params, z: Array) -> tuple[Array, Array]:
    """Means over the members of the macroscale and the microscale part of the field; shapes as above."""

    def one_time(z):
        macro, micro = jax.vmap(lambda z: model.decode_parts(params, z))(z)
        return macro.mean(axis=0), micro.mean(axis=0)

    return jax.lax.map(one_time, z.swapaxes(0, 1), batch_size=_times_at_once(z.shape[0]))


def forecast_field(
    model: MultiscaleModel,
    params: Params,
    t: Array,
    u0: Array,
    key: Array,
    num_members: int,
    steps_per_frame: int = 1,
    stride: int = 1,
    solver: str = "shark",
    conditions: Conditions = NO_CONDITIONS,
    mask0: Array | None = None,
    steps: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Ensemble forecast of the observed field from one frame: `forecast_latents` and `decode_ensemble` in one.

    Arguments as there; `stride` decodes every so many frames. Returns mean and standard deviation, `(time, *grid,
    channel)`, and the latent paths behind them, `(member, time, latent_dim)`, of the decoded frames.
    """
    path_key, noise_key = jax.random.split(key)
    z = forecast_latents(
        model, params, t, u0, path_key, num_members, steps_per_frame, solver, conditions, mask0, steps
    )[:, ::stride]
    return *decode_ensemble(model, params, z, noise_key), z


def reconstruct(model: MultiscaleModel, params: Params, u: Array, mask: Array | None = None) -> Array:
    """Encodes and decodes each frame of `u` `(time, *grid, channel)`: no dynamics, no noise, same shape.

    Args:
      mask: where `u` was observed, of its shape; None if everywhere.
    """

    def one_frame(frame):
        return model.decode(params, model.encode(params, *frame).mean).mean

    return jax.lax.map(one_frame, (u, mask), batch_size=_DECODED_AT_ONCE)


def _times_at_once(num_members: int) -> int:
    return max(1, _DECODED_AT_ONCE // num_members)
