"""The microscale as numbers in every coarse cell: `eta` is `(*coarse_grid, micro_dim)`, all networks are local.

One encoder, one decoder and one drift are shared by all cells, and each sees a cell and those around it. Neither
parameters nor what is to be learned then grow with the domain, several structures are told apart by where they are, and
a model of one domain is one of any other with the same cells. Its counterpart, with a few numbers for the whole domain,
is `msvi.model.global_layout`.

Where all axes are periodic and `cell_features` is 0 the law is the same everywhere, and so are all variances: those of
one cell stand for all. Otherwise each place has variances of its own.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from msvi.errors import InputError
from msvi.model.blocks import from_blocks, pool_to, to_blocks
from msvi.model.config import ModelConfig
from msvi.model.filter import MacroFilter
from msvi.model.networks import MLP, apply, linear, near, nonlinear, quadratic, stencil
from msvi.types import Array, Params

# Cells to each side that the encoder and the decoder see, and that a cell's patch of the field reaches.
_AROUND = 1


class CellEncoder(nn.Module):
    """What the mesh does not carry, in a cell and those around it, to the mean of the cell's `eta`: a linear map and a
    network beside it, so that latents are linear in the field as far as that is enough.

    Args of the call:
      blocks: the points of each cell, `(*coarse_grid, value)`.
    """

    hidden: Sequence[int]
    micro_dim: int
    boundary: tuple[str, ...]

    @nn.compact
    def __call__(self, blocks: Array) -> Array:
        seen = stencil(blocks, near(_AROUND, self.boundary), self.boundary)
        x = jnp.concatenate(seen, axis=-1)
        return nonlinear(self.hidden, self.micro_dim, x) + nn.Dense(self.micro_dim, use_bias=False)(x)


class CellDecoder(nn.Module):
    """`g(eta)`: each cell makes a patch of three cells a side of the latents in and around it; patches are blended.

    The weights of the blend are quadratic B-splines, smooth and with a sum of one, at edges made so.

    Attributes:
      size: points per cell and axis.
    """

    hidden: Sequence[int]
    size: int
    num_channels: int
    boundary: tuple[str, ...]

    @nn.compact
    def __call__(self, eta: Array) -> Array:
        seen = by_latent(stencil(eta, near(_AROUND, self.boundary), self.boundary))
        patches = functools.partial(BlendedPatches, self.size, self.num_channels, self.boundary)
        out = math.prod(_patch_shape(self.size, self.num_channels, len(self.boundary)))
        blended = MLP(self.hidden, out, out_scale=0.1, last=patches)(seen)
        blended += patches(use_bias=False, kernel_init=nn.initializers.zeros, name="Dense_0")(seen)
        field = from_blocks(blended, self.size, len(self.boundary))
        return field / _cover(eta.shape[:-1], self.size, self.boundary)[..., None]


class BlendedPatches(nn.Module):
    """The sum over all cells of `spline * (W x + b)`, patches of three cells a side, by the points of each cell.

    That is a map of what stands in a cell and those around it to the points of the cell alone, and so computed: patches
    of all cells would be nine times the field in two dimensions, and adding them costs more than making them.

    Args of the call:
      x: `(*coarse_grid, number)`.

    Returns:
      `(*coarse_grid, value)`, the points of each cell; what patches have beyond an edge is lost.
    """

    size: int
    num_channels: int
    boundary: tuple[str, ...]
    kernel_init: Callable
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        ndim = len(self.boundary)
        shape = _patch_shape(self.size, self.num_channels, ndim)
        rows = self.param("kernel", self.kernel_init, (x.shape[-1], math.prod(shape)))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (math.prod(shape),))
            rows, x = jnp.concatenate([rows, bias[None]]), jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
        patches = rows.reshape(-1, *shape) * _spline(self.size, ndim)[None, ..., None]
        # A cell has the last part of the patch of the cell before it, and the first part of that of the next one.
        blocks = jnp.flip(jax.vmap(lambda patch: to_blocks(patch, self.size))(patches), range(1, ndim + 1))
        weights = jnp.moveaxis(blocks, 0, ndim).reshape(-1, blocks.shape[-1])
        around = stencil(x, near(_AROUND, self.boundary), self.boundary, zero_beyond=True)
        return jnp.concatenate(around, axis=-1) @ weights


class CellDrift(nn.Module):
    """Rates of both scales: one network shared by all cells.

    `d z_c / dt = MLP(s_r) + C (A s_R * B s_r) + D s_R` with `z_c = (zeta_c, eta_c)` and `s_r = (z_{c-r}, ..., z_{c+r},
    x_c)`; `x_c` is what acts on the cell from outside, where it lies and the clock, as far as there are such. In the
    products a gradient nearby can be carried by a flow that depends on cells far away, as that of vortices does.

    Attributes:
      hidden: hidden widths.
      radius: `r`, cells to each side along every axis.
      linear_radius: `R`; 0 for no linear map, `R` in the products is then `r`.
      quadratic_rank: rows of `A` and `B`, whose products `*` go by element; 0 for none.
      boundary: per axis, `"periodic"` or `"edge"`.
      conservative: whether its macroscale part are fluxes `F` through the lower faces of the cell, one for
        each axis, `d zeta_c / dt = F_c - F_{c+1}`, so that sums over the mesh stay as they are.
    """

    hidden: Sequence[int]
    radius: int
    linear_radius: int
    quadratic_rank: int
    boundary: tuple[str, ...]
    conservative: bool = False

    @nn.compact
    def __call__(self, zeta: Array, eta: Array, beside: Array) -> tuple[Array, Array]:
        *coarse_grid, num_channels = zeta.shape
        num_macro = num_channels * (len(coarse_grid) if self.conservative else 1)
        out = num_macro + eta.shape[-1]

        def seen(reach):
            # `eta` comes last: a further latent only adds rows to the weights.
            parts = [*stencil(zeta, reach, self.boundary), beside, by_latent(stencil(eta, reach, self.boundary))]
            return jnp.concatenate(parts, axis=-1)

        around = wide = seen(near(self.radius, coarse_grid))
        rate = nonlinear(self.hidden, out, around)
        if self.linear_radius:
            wide = seen(near(self.linear_radius, coarse_grid))
            rate += linear(out, wide)
        if self.quadratic_rank:
            rate += quadratic(self.quadratic_rank, out, wide, around)
        macro, micro = rate[..., :num_macro], rate[..., num_macro:]
        if self.conservative:
            fluxes = jnp.split(macro, len(coarse_grid), axis=-1)
            macro = cast(Array, sum(flux - jnp.roll(flux, -1, axis) for axis, flux in enumerate(fluxes)))
        return macro, micro


def by_latent(around: list[Array]) -> Array:
    """A stencil of latents in one vector per cell, all places of one latent after another."""
    return jnp.stack(around, axis=-1).reshape(*around[0].shape[:-1], -1)


def _patch_shape(size: int, num_channels: int, ndim: int) -> tuple[int, ...]:
    """Points and channels of a cell and those around it."""
    return (*((2 * _AROUND + 1) * size,) * ndim, num_channels)


@functools.cache
def _spline(size: int, ndim: int) -> np.ndarray:
    """Products of quadratic B-splines, whose support is three cells, at the points of a patch, `(3 size,) * ndim`."""
    place = np.abs((np.arange(3 * size) + 0.5) / size - 1.5)
    spline = np.where(place < 0.5, 0.75 - place**2, 0.5 * (1.5 - place) ** 2)
    return functools.reduce(np.multiply.outer, [spline] * ndim).astype(np.float32)


@functools.cache
def _cover(coarse_grid: tuple[int, ...], size: int, boundary: tuple[str, ...]) -> np.ndarray:
    """Sum of the splines of all cells at each point, `(*grid)`: one but near edges."""
    axes = []
    for cells, kind in zip(coarse_grid, boundary, strict=True):
        spline = _spline(size, 1)
        axis = np.zeros((cells + 2) * size, np.float32)
        for cell in range(cells):
            axis[cell * size : (cell + 3) * size] += spline
        if kind == "periodic":
            axis[-2 * size : -size] += axis[:size]
            axis[size : 2 * size] += axis[-size:]
        axes.append(axis[size:-size])
    return functools.reduce(np.multiply.outer, axes)


@dataclasses.dataclass(frozen=True)
class CellsLayout:
    """Where the latents are, and what the networks make of them.

    The state of a cell is its `zeta` and then its `eta`, and `z` holds one cell after another.

    Attributes:
      config: sizes and initial values.
      filter: of the macroscale, with the grids.
      num_channels: fields per point.

    Raises:
      InputError: a pooling that does not divide the cells, or a conservative drift on an axis that is not periodic.
    """

    config: ModelConfig
    filter: MacroFilter
    num_channels: int

    def __post_init__(self):
        pooling, size = self.config.encoder_pooling, self.filter.coarsening
        if pooling and size % pooling:
            raise InputError(
                f"`model.encoder_pooling` must divide `model.coarsening`, {size}, where `model.micro_layout` is cells, "
                f"got {pooling}; choose a divisor."
            )
        if self.config.conservative and any(kind != "periodic" for kind in self._boundary):
            raise InputError(
                f"`model.conservative` needs periodic axes, got {', '.join(self._boundary)}; set it to False."
            )

    @property
    def zeta_shape(self) -> tuple[int, ...]:
        """`(*coarse_grid, channel)`."""
        return (*self.filter.coarse_grid, self.num_channels)

    @property
    def latent_dim(self) -> int:
        """Numbers in the joint latent state `z`."""
        return int(np.prod(self.filter.coarse_grid)) * self._of_cell

    @property
    def own_shape(self) -> tuple[int, ...]:
        """Latents with variances and rates of their own: those of one cell where the law is the same everywhere."""
        return (*(() if self.same_everywhere else self.filter.coarse_grid), self._of_cell)

    @property
    def turned_dim(self) -> int:
        """Latents that a rotation turns into each other: those of a cell."""
        return self._of_cell

    @property
    def same_everywhere(self) -> bool:
        """Whether nothing tells one place from another."""
        return all(kind == "periodic" for kind in self._boundary) and not self.config.cell_features

    @property
    def reach(self) -> int:
        """Cells to each side whose field acts on the rates in a cell, or on the points of it."""
        c = self.config
        # The macroscale state, what it misses, and the latents of that.
        encoded = c.n_sigma + max(c.n_sigma, c.lift_radius) + _AROUND
        # A flux through the upper face of a cell is that through the lower face of the next one.
        drift = max(c.stencil_radius, c.linear_radius) + c.conservative
        return encoded + max(drift, 2 * _AROUND)

    @property
    def variance_shape(self) -> tuple[int, ...]:
        """Points with variances of their own, and channels: those of one cell where the law is the same everywhere."""
        grid = self.filter.grid
        return (*((self.filter.coarsening,) * len(grid) if self.same_everywhere else grid), self.num_channels)

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where in `z` the numbers of the macroscale state lie, `zeta_shape`, and those of `eta`, `(*coarse_grid,
        micro_dim)`."""
        z = np.arange(self.latent_dim).reshape(*self.filter.coarse_grid, self._of_cell)
        return z[..., : self.num_channels], z[..., self.num_channels :]

    def split(self, z: Array) -> tuple[Array, Array]:
        """`z` to `zeta` `(*coarse_grid, channel)` and `eta` `(*coarse_grid, micro_dim)`."""
        z = z.reshape(*self.filter.coarse_grid, self._of_cell)
        return z[..., : self.num_channels], z[..., self.num_channels :]

    def join(self, zeta: Array, eta: Array) -> Array:
        """The inverse of `split`, of states or of rates."""
        return jnp.concatenate([zeta, eta], axis=-1).ravel()

    def init(self, key: Array, everywhere: Array | None, local: Array | None) -> Params:
        """Fresh parameters of the networks; encoder and decoder are absent where `micro_dim` is 0."""
        c = self.config
        drift_key, encoder_key, decoder_key, cells_key, dispersion_key = jax.random.split(key, 5)
        zeta, eta = jnp.zeros(self.zeta_shape), jnp.zeros((*self.filter.coarse_grid, c.micro_dim))
        params = {}
        if c.micro_dim:
            params["encoder"] = self._encoder.init(encoder_key, self._blocks(jnp.zeros(self._field_shape)))
            params["decoder"] = self._decoder.init(decoder_key, eta)
        if c.cell_features:
            params["cells"] = jax.random.normal(cells_key, (*self.filter.coarse_grid, c.cell_features))
        if everywhere is not None or local is not None:
            acting = self._spread(everywhere, local)
            params["dispersion"] = self._dispersion.init(dispersion_key, acting)
        beside = self._beside(params, jnp.zeros(()), everywhere, local)
        return params | {"drift": self._drift.init(drift_key, zeta, eta, beside)}

    def encode(self, params: Params, zeta: Array, residual: Array) -> Array:
        """`eta` of what the mesh misses, `(*grid, channel)` or means over blocks of it, in and around each cell."""
        return apply(self._encoder, params["encoder"], self._blocks(residual))

    def decode(self, params: Params, zeta: Array, eta: Array) -> Array:
        """`g(eta)`, `(*grid, channel)`."""
        return apply(self._decoder, params["decoder"], eta)

    def drift(
        self, params: Params, t: ArrayLike, zeta: Array, eta: Array, everywhere: Array | None, local: Array | None
    ) -> tuple[Array, Array]:
        """Rates of `zeta` and `eta`, the same law in every cell."""
        return apply(self._drift, params["drift"], zeta, eta, self._beside(params, t, everywhere, local))

    def dispersion(self, params: Params, everywhere: Array | None, local: Array | None) -> Array:
        """What parameters and forcing add to `log Q`, `(latent_dim,)`."""
        return apply(self._dispersion, params["dispersion"], self._spread(everywhere, local)).ravel()

    @property
    def _of_cell(self) -> int:
        return self.num_channels + self.config.micro_dim

    @property
    def _boundary(self) -> tuple[str, ...]:
        return self.filter.boundary

    @property
    def _field_shape(self) -> tuple[int, ...]:
        return (*self.filter.grid, self.num_channels)

    def _blocks(self, residual: Array) -> Array:
        pooling = self.config.encoder_pooling
        return to_blocks(pool_to(residual, self.filter.grid, pooling), self.filter.coarsening // pooling)

    def _spread(self, everywhere: Array | None, local: Array | None) -> Array:
        """What acts on each cell, `(*coarse_grid, number)`."""
        parts = [] if everywhere is None else [everywhere]
        parts = [jnp.broadcast_to(part, (*self.filter.coarse_grid, part.size)) for part in parts]
        return jnp.concatenate([*parts, *([] if local is None else [local])], axis=-1)

    def _beside(self, params: Params, t: ArrayLike, everywhere: Array | None, local: Array | None) -> Array:
        """What a cell is told beside the state, `(*coarse_grid, number)`: what acts on it, place, edges, clock."""
        if self.config.micro_clock:
            clock = jnp.array([jnp.sin(t), jnp.cos(t)])
            everywhere = clock if everywhere is None else jnp.concatenate([everywhere, clock])
        parts = [self._near_edges()]
        if everywhere is not None or local is not None:
            parts.append(self._spread(everywhere, local))
        if self.config.cell_features:
            parts.append(params["cells"])
        return jnp.concatenate(parts, axis=-1)

    def _near_edges(self) -> Array:
        """Which cells of the network's stencil lie beyond each edge, `(*coarse_grid, number)`."""
        grid, radius, found = self.filter.coarse_grid, self.config.stencil_radius, []
        for axis, (n, kind) in enumerate(zip(grid, self._boundary, strict=True)):
            if kind == "periodic":
                continue
            cell = np.arange(n)[:, None] + np.array([*range(-radius, 0), *range(1, radius + 1)])
            beyond = ((cell < 0) | (cell >= n)).astype(np.float32)
            shape = [n if other == axis else 1 for other in range(len(grid))]
            found.append(np.broadcast_to(beyond.reshape(*shape, -1), (*grid, 2 * radius)))
        return jnp.asarray(np.concatenate([np.zeros((*grid, 0), np.float32), *found], axis=-1))

    @property
    def _encoder(self):
        return CellEncoder(self.config.encoder_hidden, self.config.micro_dim, self._boundary)

    @property
    def _decoder(self):
        return CellDecoder(self.config.decoder_hidden, self.filter.coarsening, self.num_channels, self._boundary)

    @property
    def _drift(self):
        c = self.config
        reach = c.stencil_radius, c.linear_radius
        return CellDrift(c.micro_hidden, *reach, c.quadratic_rank, self._boundary, c.conservative)

    @property
    def _dispersion(self):
        return MLP(self.config.dispersion_hidden, self._of_cell, out_scale=0.1)
