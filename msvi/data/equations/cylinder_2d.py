"""Incompressible flow past a cylinder in a channel: our own simulation of the Bénard–von Kármán street at Re 160."""

import dataclasses
import functools
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.data.equations.base import Equation
from msvi.errors import InputError, require_at_least, require_positive
from msvi.types import Array


class Flow(NamedTuple):
    """A simulated trajectory; all quantities non-dimensional.

    `u` holds the velocity `(u, v)` at the stored points, float32 `(time, *grid, 2)`. Of each frame, `(time,)` in
    float64: `divergence` is the largest `|div u|` over all cells of the solver's grid, those in the body too; `drag`
    and `lift` are the coefficients `2 F / (rho U² D)` of the force on the cylinder, as a mean over the steps that lead
    to the frame and so NaN for the first one.
    """

    u: np.ndarray
    divergence: np.ndarray
    drag: np.ndarray
    lift: np.ndarray


@dataclasses.dataclass(frozen=True)
class Cylinder2D(Equation):
    """`u_t + div(u u) = -grad p + nu lap u`, `div u = 0` around a cylinder; all quantities non-dimensional.

    The set-up is the one of T. Günther, M. Gross, H. Theisel, "Generic objective vortices for flow visualization",
    ACM Transactions on Graphics 36 (SIGGRAPH), 2017: the channel [-0.5, 7.5] x [-0.5, 0.5] with a cylinder of radius
    0.0625 at the origin, inflow `(1, 0)` from the left, outflow to the right (no pressure, no normal derivative of the
    velocity), slip walls, and `(1, 0)` everywhere at `t = 0`. To it a weak vortex behind the cylinder is added, without
    which nothing would break the symmetry of the flow and start the shedding. Stored is the first half, x in
    [-0.5, 3.5], at the centres of square cells.

    Solved on a staggered grid `refinement` times as fine, by central differences, the third-order method of Adams and
    Bashforth, and a projection that leaves no divergence but round-off. The body is immersed in the grid: near its
    surface the velocity is blended with rest, to second order, after G. D. Weymouth, D. K. P. Yue, "Boundary data
    immersion method for Cartesian-grid simulations of fluid-body interaction problems", Journal of Computational
    Physics 230, 2011, and A. P. Maertens, G. D. Weymouth, Computer Methods in Applied Mechanics and Engineering 283,
    2015.

    Attributes:
      reynolds: `U D / nu`.
      num_rows: stored points across the channel; there are four times as many along it.
      refinement: cells of the solver per stored point and axis.
      disturbance: largest speed in the vortex that is added at `t = 0`.

    Raises:
      InputError: a parameter out of range, or a time step for which advection or diffusion is unstable.
    """

    num_frames: int = 1701
    t1: float = 17.0
    max_dt: float = 1.7e-3
    reynolds: float = 160.0
    num_rows: int = 80
    refinement: int = 2
    disturbance: float = 0.1

    radius: ClassVar[float] = 0.0625
    # Largest |u| + |v| to reckon with: 1.9 is met at the flanks of the cylinder.
    max_speed: ClassVar[float] = 2.0

    def __post_init__(self):
        super().__post_init__()
        require_positive(self, "data.equation", "reynolds")
        require_at_least(self, "data.equation", num_rows=8, refinement=1, disturbance=0)
        # Central differences have eigenvalues up to i (|u| + |v|) / dx and -8 nu / dx². The method's bounds on the two
        # axes are 0.72 and 6 / 11; with 0.69 instead, their squares may be added up for all modes of the grid.
        advective = self.max_speed / self.cell / 0.69
        diffusive = 8 * self.viscosity / self.cell**2 * 11 / 6
        limit = 1 / math.hypot(advective, diffusive)
        if self.dt > limit * (1 + 1e-9):
            raise InputError(
                f"`data.equation.max_dt` gives steps of {self.dt:.3g}, but with cells of {self.cell:.3g} and this "
                f"viscosity the scheme is stable up to {limit:.3g}; lower max_dt, num_rows or refinement."
            )

    @property
    def viscosity(self) -> float:
        """`nu`."""
        return 2 * self.radius / self.reynolds

    @property
    def boundary(self) -> tuple[str, ...]:
        """Boundary kind of each axis."""
        return ("edge", "edge")

    @property
    def grid(self) -> tuple[int, ...]:
        """Stored points per axis."""
        return (4 * self.num_rows, self.num_rows)

    @property
    def spacing(self) -> float:
        """Distance between stored points."""
        return 1.0 / self.num_rows

    @property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Stored points of each axis, `(4 num_rows,)` and `(num_rows,)`."""
        return tuple((np.arange(n) + 0.5) * self.spacing - 0.5 for n in self.grid)

    @property
    def cell(self) -> float:
        """Width of the solver's cells."""
        return self.spacing / self.refinement

    @property
    def cells(self) -> tuple[int, int]:
        """Cells of the solver along and across the channel."""
        rows = self.num_rows * self.refinement
        return 8 * rows, rows

    def solve(self, u0: np.ndarray | None = None) -> Flow:
        """Simulates in float64, on the CPU everywhere: the numbers are not to depend on the device.

        Args:
          u0: velocity at the stored points to start from, `(*grid, 2)`; the channel behind them continues their last
            column. The flow of `t = 0` if None.
        """
        frames = np.empty((self.num_frames, *self.grid, 2), np.float32)
        history = np.full((self.num_frames, 3), np.nan)
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            system = _build_system(self.cells, self.cell, self.dt, self.viscosity, self.radius)
            if u0 is None:
                state = _initial_state(system, self.disturbance)
            else:
                state = _state_from(system, u0, self.coordinates)
            frames[0] = _sample(state.velocity, self.refinement)
            history[0, 0] = jnp.abs(_divergence(state.velocity, self.cell)).max()
            for i in range(1, self.num_frames):
                state, frames[i], history[i] = _advance_frame(system, state, self.steps_per_frame, self.refinement)
        divergence, drag, lift = history.T.copy()
        return Flow(frames, divergence, drag, lift)


def strouhal_number(t: np.ndarray, lift: np.ndarray, diameter: float = 2 * Cylinder2D.radius) -> float:
    """Dimensionless frequency `f D / U` of the lift, for `U = 1`.

    The period is the slope of a line through the times at which the lift rises through its mean. A rise counts once the
    lift has been a standard deviation below half of its amplitude since the last one, so noise adds none.

    Args:
      t: `(time,)`, increasing.
      lift: `(time,)`, of saturated shedding.
      diameter: `D`.

    Raises:
      InputError: fewer than two periods.
    """
    t, lift = np.asarray(t), np.asarray(lift) - np.mean(lift)
    threshold = 0.5 * lift.std()
    rises, low = [], False
    for i in range(len(t) - 1):
        low = low or lift[i] < -threshold
        if low and lift[i] < 0 <= lift[i + 1]:
            rises.append(t[i] - lift[i] * (t[i + 1] - t[i]) / (lift[i + 1] - lift[i]))
            low = False
    if len(rises) < 3:
        raise InputError(
            f"`lift` must hold at least two periods of shedding, got {max(len(rises) - 1, 0)}; pass a longer time."
        )
    return float(diameter / np.polyfit(np.arange(len(rises)), rises, 1)[0])


def vorticity(u: np.ndarray, spacing: float) -> np.ndarray:
    """`v_x - u_y` by central differences, one-sided at the edges.

    Args:
      u: velocity `(u, v)`, `(..., x, y, 2)`.
      spacing: distance between the points, the same on both axes.

    Returns:
      `(..., x, y)`.
    """
    return np.gradient(u[..., 1], spacing, axis=-2) - np.gradient(u[..., 0], spacing, axis=-1)


class _Velocity(NamedTuple):
    """Components on the faces of the `(nx, ny)` cells: `x[i, j]` on the right of cell (i, j), `y[i, j]` below it.

    That leaves out the inflow, where `x` is 1, and the upper wall, where `y` is 0 as it is at the lower wall `y[:, 0]`.
    """

    x: Array
    y: Array


class _State(NamedTuple):
    """Velocity, pressure at cell centres, and rates of change one and two steps ago."""

    velocity: _Velocity
    pressure: Array
    rate: _Velocity
    older_rate: _Velocity


class _Body(NamedTuple):
    """The body's action on one component: `fluid * u + sum(weights * u.ravel()[points])` in a window around it.

    `corner` is the window's first face, `fluid` has the window's shape, and `weights` and the indices `points` into the
    window have the neighbours as a leading axis.
    """

    corner: Array
    fluid: Array
    weights: Array
    points: Array


class _System(NamedTuple):
    """Numbers and arrays of the discrete equations.

    `cell` is the width of the cells, `dt` the step and `viscosity` `nu`; `cosines` are the orthonormal cosine modes
    across the channel, `(ny, mode)`, `pivots` the inverse pivots of the elimination along it, `(nx, mode)`, and
    `bodies` the body's action on each component.
    """

    cell: float
    dt: float
    viscosity: float
    cosines: Array
    pivots: Array
    bodies: tuple[_Body, ...]


def _build_system(cells: tuple[int, int], cell: float, dt: float, viscosity: float, radius: float) -> _System:
    """Arrays for a channel of `cells` whose lower left corner is (-0.5, -0.5); without a body if the radius is 0."""
    nx, ny = cells
    mode = np.arange(ny)
    cosines = np.cos(np.pi / ny * mode * (mode[:, None] + 0.5)) * np.sqrt(np.where(mode == 0, 1.0, 2.0) / ny)
    # Along the channel every mode leaves a tridiagonal system with ones beside the diagonal: no normal derivative at
    # the inflow (+1), no pressure on the outflow face (-1).
    diagonal = np.tile(-2.0 - (2 - 2 * np.cos(np.pi * mode / ny)), (nx, 1))
    diagonal[0] += 1
    diagonal[-1] -= 1
    pivots = np.zeros((nx, ny))
    for i in range(nx):
        pivots[i] = 1 / (diagonal[i] - (pivots[i - 1] if i else 0.0))
    x, y = (np.arange(n) * cell - 0.5 for n in cells)
    bodies = _immerse(x + cell, y + cell / 2, cell, radius), _immerse(x + cell / 2, y, cell, radius)
    bodies = tuple(_Body(*map(jnp.asarray, body)) for body in bodies)
    return _System(cell, dt, viscosity, jnp.asarray(cosines), jnp.asarray(pivots), bodies)


def _immerse(x: np.ndarray, y: np.ndarray, cell: float, radius: float) -> tuple[np.ndarray, ...]:
    """Action of the body on a component that lives at the points `(x, y)`: the arrays of a `_Body`.

    The field without the body, `f`, and the rest inside it are smoothed with a kernel of half-width one cell. Expanded
    about the surface that gives `m0 f + m1 df/dn` at the distance `d` from it, where `m0` and `m1` are the moments of
    the kernel over the fluid, of order 0 and 1; `m1` makes the error of second order.
    """
    window = [np.flatnonzero(np.abs(points) < radius + 4 * cell) for points in (x, y)]
    x, y = x[window[0]][:, None], y[window[1]][None, :]
    distance = np.hypot(x, y)
    d = np.clip((distance - radius) / cell, -1, 1) if radius else np.ones_like(distance)
    m0 = (1 + d + np.sin(np.pi * d) / np.pi) / 2
    m1 = (1 - d**2) / 4 - (d * np.sin(np.pi * d) + (1 + np.cos(np.pi * d)) / np.pi) / (2 * np.pi)
    weights, points = [], []
    # df/dn in units of a cell: half a cell further out less half a cell further in, both bilinear from four neighbours.
    for shift in (0.5, -0.5):
        scale = shift / np.maximum(distance, cell / 4)
        position = [np.broadcast_to((p - p.ravel()[0]) / cell + p * scale, d.shape) for p in (x, y)]
        lower = [np.clip(np.floor(p).astype(int), 0, n - 2) for p, n in zip(position, d.shape, strict=True)]
        part = [p - low for p, low in zip(position, lower, strict=True)]
        for right in (0, 1):
            for up in (0, 1):
                points.append((lower[0] + right) * d.shape[1] + lower[1] + up)
                share = (part[0] if right else 1 - part[0]) * (part[1] if up else 1 - part[1])
                weights.append(np.sign(shift) * share * m1)
    return np.array([window[0][0], window[1][0]]), m0, np.stack(weights), np.stack(points)


def _initial_state(system: _System, disturbance: float) -> _State:
    """Uniform flow and a vortex of the stream function `exp(-r² / s²)`, behind the cylinder."""
    nx, ny = system.pivots.shape
    centre, size = 0.25, 0.08
    x, y = np.arange(nx + 1) * system.cell - 0.5 - centre, np.arange(ny + 1) * system.cell - 0.5
    stream = np.exp(-(x[:, None] ** 2 + y[None, :] ** 2) / size**2)
    stream *= disturbance * size * math.sqrt(math.e / 2)  # the largest speed is at r = s / sqrt(2)
    stream[:, [0, -1]] = 0.0  # the walls are stream lines
    velocity = _Velocity(
        jnp.asarray(1 + np.diff(stream[1:], axis=1) / system.cell),
        jnp.asarray(-np.diff(stream[:, :-1], axis=0) / system.cell),
    )
    return _without_history(system, velocity)


def _state_from(system: _System, u0: np.ndarray, coordinates: tuple[np.ndarray, ...]) -> _State:
    """The flow that is `u0`, `(*grid, 2)`, at the points of `coordinates`: linear between them, constant beyond.

    The body holds it, and what divergence that leaves is projected out.
    """
    nx, ny = system.pivots.shape
    x, y = (np.arange(n) * system.cell - 0.5 for n in (nx, ny))
    half = system.cell / 2
    faces = ((x + system.cell, y + half), (x + half, y))
    trial = []
    for values, places, body in zip(np.moveaxis(np.asarray(u0, np.float64), -1, 0), faces, system.bodies, strict=True):
        values = np.stack([np.interp(places[0], coordinates[0], row) for row in values.T], axis=1)
        values = np.stack([np.interp(places[1], coordinates[1], column) for column in values])
        trial.append(_hold(body, jnp.asarray(values))[0])
    trial = _Velocity(trial[0], trial[1].at[:, 0].set(0.0))  # the lower wall
    correction = _gradient(_solve_poisson(system, _divergence(trial, system.cell)), system.cell)
    return _without_history(system, _Velocity(*(u - slope for u, slope in zip(trial, correction, strict=True))))


def _without_history(system: _System, velocity: _Velocity) -> _State:
    """A state with a velocity but no history: equal rates start the method of Adams and Bashforth as that of Euler."""
    rate = _rate(velocity, system.cell, system.viscosity)
    return _State(velocity, jnp.zeros(system.pivots.shape), rate, rate)


@functools.partial(jax.jit, static_argnames=("steps", "refinement"))
def _advance_frame(system: _System, state: _State, steps: int, refinement: int) -> tuple[_State, Array, Array]:
    """The state `steps` steps on, the stored points of its velocity, and its divergence, drag and lift."""

    def body(_, carry):
        state, total = carry
        state, force = _step(system, state)
        return state, total + force

    state, total = jax.lax.fori_loop(0, steps, body, (state, jnp.zeros(2)))
    coefficients = 2 * total / steps / (2 * Cylinder2D.radius)
    divergence = jnp.abs(_divergence(state.velocity, system.cell)).max()
    return state, _sample(state.velocity, refinement), jnp.concatenate([divergence[None], coefficients])


def _step(system: _System, state: _State) -> tuple[_State, Array]:
    """One step, and the force on the body in it, `(2,)`.

    The pressure of the last step acts before the body does, and the projection only adds what has changed: so the
    velocity that the projection gives back to the body is of second order in the step. The body takes up the momentum
    that it takes from the flow.
    """
    # The barriers keep XLA from computing the rate anew, fused into each of its uses: three times the time for a step.
    rate = jax.lax.optimization_barrier(_rate(state.velocity, system.cell, system.viscosity))
    gradient = _gradient(state.pressure, system.cell)
    trial, force = [], []
    parts = zip(state.velocity, rate, state.rate, state.older_rate, gradient, system.bodies, strict=True)
    for u, new, old, older, slope, body in parts:
        free = u + system.dt * ((23 * new - 16 * old + 5 * older) / 12 - slope)
        held, taken = _hold(body, free)
        trial.append(held)
        force.append(taken * system.cell**2 / system.dt)
    trial = jax.lax.optimization_barrier(_Velocity(*trial))
    change = _solve_poisson(system, _divergence(trial, system.cell) / system.dt)
    correction = _gradient(change, system.cell)
    velocity = _Velocity(*(u - system.dt * slope for u, slope in zip(trial, correction, strict=True)))
    return _State(velocity, state.pressure + change, rate, state.rate), jnp.stack(force)


def _hold(body: _Body, u: Array) -> tuple[Array, Array]:
    """One component with the body in it, and the sum of what it has lost."""
    window = jax.lax.dynamic_slice(u, body.corner, body.fluid.shape)
    held = body.fluid * window + (body.weights * window.ravel()[body.points]).sum(axis=0)
    return jax.lax.dynamic_update_slice(u, held, body.corner), (window - held).sum()


def _rate(velocity: _Velocity, cell: float, viscosity: float) -> _Velocity:
    """`-div(u u) + nu lap u` on the faces, by central differences of second order."""
    u, v = velocity
    column, row = jnp.zeros((u.shape[0], 1)), jnp.zeros((1, u.shape[1]))
    # Neighbours beyond the edges. Inflow: (1, 0); outflow and slip walls: no normal derivative of what is not fixed.
    u_left = jnp.concatenate([row + 1, u[:-1]])
    u_right = jnp.concatenate([u[1:], u[-1:]])
    u_down = jnp.concatenate([u[:, :1], u[:, :-1]], axis=1)
    u_up = jnp.concatenate([u[:, 1:], u[:, -1:]], axis=1)
    v_left = jnp.concatenate([-v[:1], v[:-1]])
    v_right = jnp.concatenate([v[1:], v[-1:]])
    v_down = jnp.concatenate([column, v[:, :-1]], axis=1)  # the first column is not used
    v_up = jnp.concatenate([v[:, 1:], column], axis=1)
    # Fluxes of momentum through cell centres, and through the corner below the right face of each cell.
    centre_u, centre_v = ((u_left + u) / 2) ** 2, ((v + v_up) / 2) ** 2
    corner = (u + u_down) * (v + v_right) / 4
    outflow = (u[-1:] + u[-1:]) ** 2 / 4
    u_rate = jnp.concatenate([centre_u[1:], outflow]) - centre_u
    u_rate += jnp.concatenate([corner[:, 1:], column], axis=1) - corner
    v_rate = centre_v - jnp.concatenate([column, centre_v[:, :-1]], axis=1)
    v_rate += corner - jnp.concatenate([row, corner[:-1]])  # none enters: v is 0 at the inflow
    spread = viscosity / cell**2
    u_rate = spread * (u_left + u_right + u_down + u_up - 4 * u) - u_rate / cell
    v_rate = spread * (v_left + v_right + v_down + v_up - 4 * v) - v_rate / cell
    return _Velocity(u_rate, jnp.concatenate([column, v_rate[:, 1:]], axis=1))


def _divergence(velocity: _Velocity, cell: float) -> Array:
    """`div u` at the cell centres."""
    u, v = velocity
    u_left = jnp.concatenate([jnp.ones((1, u.shape[1])), u[:-1]])
    v_up = jnp.concatenate([v[:, 1:], jnp.zeros((u.shape[0], 1))], axis=1)
    return (u - u_left + v_up - v) / cell


def _gradient(pressure: Array, cell: float) -> _Velocity:
    """`grad p` on the faces: 0 at the inflow and on the walls, `p = 0` on the outflow face."""
    x = jnp.concatenate([pressure[1:], -pressure[-1:]]) - pressure
    y = jnp.concatenate([jnp.zeros((pressure.shape[0], 1)), pressure[:, 1:] - pressure[:, :-1]], axis=1)
    return _Velocity(x / cell, y / cell)


def _solve_poisson(system: _System, source: Array) -> Array:
    """The pressure whose gradient has the divergence `source` at the cell centres, to round-off.

    Cosine modes across the channel, by a matrix product (XLA's FFT fails on the CPU inside a larger graph, and is no
    faster at this size), and elimination along it.
    """

    def eliminate(value, row):
        source, pivot = row
        value = (source - value) * pivot
        return value, value

    def substitute(value, row):
        eliminated, pivot = row
        value = eliminated - pivot * value
        return value, value

    zero = jnp.zeros(system.cosines.shape[0])
    modes = (source * system.cell**2) @ system.cosines
    _, eliminated = jax.lax.scan(eliminate, zero, (modes, system.pivots))
    _, solved = jax.lax.scan(substitute, zero, (eliminated, system.pivots), reverse=True)
    return solved @ system.cosines.T


@functools.partial(jax.jit, static_argnames="refinement")
def _sample(velocity: _Velocity, refinement: int) -> Array:
    """Velocity at the stored points, the centres of blocks of `refinement`² cells in the first half: `(*grid, 2)`.

    The mean of the two faces beside each point: on a line across the component if the point is a corner of cells, on a
    line along it if it is the centre of one.
    """
    u, v = velocity
    nx, ny = u.shape
    u = jnp.concatenate([jnp.ones((1, ny)), u])
    v = jnp.concatenate([v, jnp.zeros((nx, 1))], axis=1)
    half, odd = refinement // 2, refinement % 2
    columns, rows = nx // (2 * refinement), ny // refinement

    def pick(component, x, y):
        """Every `refinement`-th point from (x, y) on."""
        stops = (x + refinement * (columns - 1) + 1, y + refinement * (rows - 1) + 1)
        return component[x : stops[0] : refinement, y : stops[1] : refinement]

    u = (pick(u, half, half) + (pick(u, half + 1, half) if odd else pick(u, half, half - 1))) / 2
    v = (pick(v, half, half) + (pick(v, half, half + 1) if odd else pick(v, half - 1, half))) / 2
    return jnp.stack([u, v], axis=-1).astype(jnp.float32)
