"""Shallow water after a round dam has broken: initial conditions and a finite-volume solver."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from msvi.data.equations.square import Square
from msvi.errors import InputError, require_at_least, require_order, require_positive
from msvi.types import Array

# No wave is faster than so many times the square root of the depth: that of a front that runs into a dry bed.
_FRONT = 2.0


@dataclasses.dataclass(frozen=True)
class ShallowWater2D(Square):
    """Shallow water on `[-2.5, 2.5]²` with open edges, gravity 1; all quantities non-dimensional.

        h_t + (h u)_x + (h v)_y = 0
        (h u)_t + (h u² + h²/2)_x + (h u v)_y = 0
        (h v)_t + (h u v)_x + (h v² + h²/2)_y = 0

    At the start the water is at rest, `height` deep within a distance `R ~ U(radius_min, radius_max)` of the origin and
    1 deep outside. Observed is `h - 1`. The radial dam break of PDEBench (M. Takamoto et al., "PDEBench: an extensive
    benchmark for scientific machine learning", NeurIPS 2022).

    Attributes:
      num_points: cells per axis; the field is that of their centres.
      height: of the water inside.
      radius_min, radius_max: ends of the range of radii.

    Raises:
      InputError: a parameter out of range, or a time step in which a wave crosses more than a cell.
    """

    num_frames: int = 101
    max_dt: float = 1e-2
    height: float = 2.0
    radius_min: float = 0.3
    radius_max: float = 0.7

    half_width: ClassVar[float] = 2.5
    # Trajectories of the paper in each split: number `i` of them all is drawn by the generator with the seed `i`.
    published_sizes: ClassVar[tuple[int, int, int]] = (900, 50, 50)

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, "data.equation", num_points=4)
        require_positive(self, "data.equation", "height", "radius_min", "radius_max")
        require_order(self, "data.equation", "radius_min", "radius_max")
        limit = self.spacing / (_FRONT * np.sqrt(max(self.height, 1.0)))
        if self.dt > limit * (1 + 1e-9):
            raise InputError(
                f"`data.equation.max_dt` gives steps of {self.dt:.3g}, but with {self.num_points} cells a wave may "
                f"cross more than one of them beyond {limit:.3g}; lower max_dt or num_points."
            )

    @property
    def spacing(self) -> float:
        """Width of a cell."""
        return 2 * self.half_width / self.num_points

    @property
    def x(self) -> np.ndarray:
        """Centres of the cells along either axis, `(num_points,)`."""
        return -self.half_width + self.spacing * (np.arange(self.num_points) + 0.5)

    def generator(self, seed: int, split: int, index: int) -> np.random.Generator:
        """Of what is random in a trajectory: with the seed 0 those of the paper, as far as there are some."""
        if seed == 0 and index < self.published_sizes[split]:
            return np.random.default_rng(sum(self.published_sizes[:split]) + index)
        return super().generator(seed, split, index)

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """One random radius."""
        return (rng.uniform(self.radius_min, self.radius_max),)

    def initial(self, *draws: float) -> np.ndarray:
        """`h - 1` with a dam of this radius, `(num_points, num_points, 1)` in float64."""
        (radius,) = draws
        x, y = np.meshgrid(*self.coordinates, indexing="ij")
        return np.where(np.hypot(x, y) <= radius, self.height - 1.0, 0.0)[..., None]

    def solve(self, u0: np.ndarray) -> np.ndarray:
        """Integrates one initial condition, with water at rest, in float64.

        Wave propagation with second-order corrections limited by the monotonised central limiter, Roe's linearisation
        with an entropy fix, one sweep along each axis a step (R. J. LeVeque, "Wave propagation algorithms for
        multidimensional hyperbolic systems", J. Comput. Phys. 131, 1997). Beyond the edges stand the outermost values.

        Args:
          u0: `h - 1`, `(num_points, num_points, 1)`.

        Returns:
          `h - 1` in float64 at the frame times, `(num_frames, num_points, num_points, 1)`.
        """
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            start = jnp.asarray(u0, jnp.float64)
            return np.asarray(_solve(start, self.dt / self.spacing, self.num_frames - 1, self.steps_per_frame))


@jax.jit(static_argnames=("frames", "steps"))
def _solve(u0: Array, ratio: float, frames: int, steps: int) -> Array:
    """`h - 1` at the start and after each of `frames` times `steps` steps; `ratio` is that of step and spacing."""
    h0 = 1 + u0[..., 0]

    def step(_, q):
        q = _sweep(q, ratio)
        return _turned(_sweep(_turned(q), ratio))

    def frame(q, _):
        q = jax.lax.fori_loop(0, steps, step, q)
        return q, q[0]

    q = jnp.stack([h0, jnp.zeros_like(h0), jnp.zeros_like(h0)])
    heights = jax.lax.scan(frame, q, length=frames)[1]
    return jnp.concatenate([h0[None], heights])[..., None] - 1


def _turned(q: Array) -> Array:
    """The same water with the axes exchanged."""
    return q[jnp.array([0, 2, 1])].swapaxes(1, 2)


def _sweep(q: Array, ratio: float) -> Array:
    """One step along the first axis of `q = (h, h u, h v)`, `(3, x, y)`."""
    q = jnp.pad(q, ((0, 0), (2, 2), (0, 0)), mode="edge")
    left, right = q[:, :-1], q[:, 1:]
    waves, speeds, ends = _waves(left, right)
    # A rarefaction in which the speed changes its sign is divided between both sides (Harten and Hyman).
    lower, upper = ends
    transonic = (lower < 0) & (upper > 0)
    share = (upper - speeds) / jnp.where(transonic, upper - lower, 1.0)
    leftgoing = jnp.where(transonic, share * lower, jnp.minimum(speeds, 0))
    rightgoing = speeds - leftgoing
    change = jnp.einsum("wx...,wcx...->cx...", leftgoing, waves)[:, 1:]
    change += jnp.einsum("wx...,wcx...->cx...", rightgoing, waves)[:, :-1]
    # Second order: each wave compared with the same one on the side that it comes from.
    here = waves[:, :, 1:-1]
    size = (here**2).sum(axis=1)
    before, after = ((here * w).sum(axis=1) for w in (waves[:, :, :-2], waves[:, :, 2:]))
    slope = jnp.where(speeds[:, 1:-1] > 0, before, after) / jnp.where(size > 0, size, 1.0)
    limited = jnp.maximum(0, jnp.minimum((1 + slope) / 2, jnp.minimum(2, 2 * slope)))
    magnitude = jnp.abs(speeds[:, 1:-1])
    flux = jnp.einsum("wx...,wcx...->cx...", 0.5 * magnitude * (1 - ratio * magnitude) * limited, here)
    return q[:, 2:-2] - ratio * (change[:, 1:-1] + flux[:, 1:] - flux[:, :-1])


def _waves(left: Array, right: Array) -> tuple[Array, Array, tuple[Array, Array]]:
    """Between neighbouring cells the waves `(wave, 3, x, y)` of Roe's linear system, their speeds `(wave, x, y)`, and
    the true speeds on either side of each."""
    (hl, hul, hvl), (hr, hur, hvr) = left, right
    ul, vl, ur, vr = hul / hl, hvl / hl, hur / hr, hvr / hr
    wl, wr = jnp.sqrt(hl), jnp.sqrt(hr)
    u, v = (wl * ul + wr * ur) / (wl + wr), (wl * vl + wr * vr) / (wl + wr)
    c = jnp.sqrt((hl + hr) / 2)
    dh, dhu, dhv = right - left
    a1 = ((u + c) * dh - dhu) / (2 * c)
    a3 = (dhu - (u - c) * dh) / (2 * c)
    zero = jnp.zeros_like(u)
    waves = jnp.stack(
        [
            jnp.stack([a1, a1 * (u - c), a1 * v]),
            jnp.stack([zero, zero, dhv - v * dh]),
            jnp.stack([a3, a3 * (u + c), a3 * v]),
        ]
    )
    # Of the first and the last wave the states between which they lie; the middle one is no rarefaction.
    h1, h3 = hl + a1, hr - a3
    u1, u3 = (hul + a1 * (u - c)) / h1, (hur - a3 * (u + c)) / h3
    lower = jnp.stack([ul - jnp.sqrt(hl), u, u3 + jnp.sqrt(h3)])
    upper = jnp.stack([u1 - jnp.sqrt(h1), u, ur + jnp.sqrt(hr)])
    return waves, jnp.stack([u - c, u, u + c]), (lower, upper)
