"""The microscale as a few numbers for the whole domain: `eta` is `(micro_dim,)`, and dense networks see all of it.

This is the layout of Ilersich & Nair, "Learning Stochastic Multiscale Models by Variational Inference". Its
counterpart, with numbers in every coarse cell, is `msvi.model.cells_layout`.
"""

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from msvi.model import frame, modes
from msvi.model.blocks import pool, pool_to
from msvi.model.condition import join
from msvi.model.config import ModelConfig
from msvi.model.filter import MacroFilter
from msvi.model.networks import MLP, apply, far, linear, near, nonlinear, stencil
from msvi.types import Array, Params


class MicroEncoder(nn.Module):
    """What the mesh does not carry, `(*grid, channel)`, to the mean of `eta`, `(micro_dim,)`."""

    hidden: Sequence[int]
    micro_dim: int

    @nn.compact
    def __call__(self, residual: Array) -> Array:
        return MLP(self.hidden, self.micro_dim)(residual.ravel())


class MicroDecoder(nn.Module):
    """`g(eta)`: the microscale latent `(micro_dim,)` to its part of the field, `(*grid, channel)`."""

    hidden: Sequence[int]
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, eta: Array) -> Array:
        return MLP(self.hidden, int(np.prod(self.shape)), out_scale=0.1)(eta).reshape(self.shape)


class Displacement(nn.Module):
    """How far ahead of the macroscale's centroid the unresolved part lies, one phase per axis, `(ndim,)`.

    Args of the call:
      zeta: the state, on periodic axes seen from its centroid, `(*coarse_grid, channel)`, so that the answer is the
        same everywhere.
    """

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, zeta: Array) -> Array:
        return MLP(self.hidden, zeta.ndim - 1, out_scale=0.1)(zeta.ravel())


class MacroDrift(nn.Module):
    """Local macroscale drift: one MLP shared by all cells, equivariant to shifts of a periodic mesh.

    `d zeta_c / dt = MLP(zeta_{c-r}, ..., zeta_{c+r}, x_c) + A (zeta_{c-R}, ..., zeta_{c+R}, x_c)`, all channels of all
    cells of the two stencils; `x_c = (p_c, c, eta)`. `p_c`, if given, says where the cell lies and what acts on it from
    outside, and `c` what acts on all cells.

    Attributes:
      hidden: hidden widths.
      radius: `r`, cells to each side along every axis.
      linear_radius: `R`, as far as it goes on a periodic axis; 0 for no linear map.
      boundary: per axis, `"periodic"` or `"edge"`.
    """

    hidden: Sequence[int]
    radius: int
    linear_radius: int
    boundary: tuple[str, ...]

    @nn.compact
    def __call__(self, zeta: Array, eta: Array, position: Array | None = None, condition: Array | None = None) -> Array:
        *coarse_grid, num_channels = zeta.shape
        everywhere = eta if condition is None else jnp.concatenate([condition, eta])
        beside = [jnp.broadcast_to(everywhere, (*coarse_grid, everywhere.shape[0]))]
        if position is not None:
            beside = [position, *beside]

        def seen(reach):
            return jnp.concatenate([*stencil(zeta, reach, self.boundary), *beside], axis=-1)

        rate = nonlinear(self.hidden, num_channels, seen(near(self.radius, coarse_grid)))
        if self.linear_radius:
            rate += linear(num_channels, seen(far(self.linear_radius, coarse_grid, self.boundary)))
        return rate


class MicroDrift(nn.Module):
    """Microscale drift `d eta / dt = MLP(zeta, sin t, cos t, c, eta)`, `zeta` all over the mesh.

    `c`, if given, is what acts on the system from outside, all over the mesh.

    As in `MacroDrift`, `eta` is the last of the inputs: a further latent only adds a row to the weights.

    Attributes:
      hidden: hidden widths.
      clock: whether `sin t` and `cos t` are inputs; an autonomous system needs neither.
      linear: whether a linear map stands beside the MLP.
    """

    hidden: Sequence[int]
    clock: bool
    linear: bool = False

    @nn.compact
    def __call__(self, t: Array, zeta: Array, eta: Array, condition: Array | None = None) -> Array:
        seen = [zeta.ravel(), jnp.array([jnp.sin(t), jnp.cos(t)] if self.clock else [])]
        if condition is not None:
            seen.append(condition)
        seen = jnp.concatenate([*seen, eta])
        rate = nonlinear(self.hidden, eta.shape[0], seen)
        return rate + linear(eta.shape[0], seen) if self.linear else rate


@dataclasses.dataclass(frozen=True)
class GlobalLayout:
    """Where the latents are, and what the networks make of them.

    Attributes:
      config: sizes and initial values.
      filter: of the macroscale, with the grids.
      num_channels: fields per point.
    """

    config: ModelConfig
    filter: MacroFilter
    num_channels: int

    @property
    def zeta_shape(self) -> tuple[int, ...]:
        """`(*coarse_grid, channel)`."""
        return (*self.filter.coarse_grid, self.num_channels)

    @property
    def latent_dim(self) -> int:
        """Numbers in the joint latent state `z`."""
        return int(np.prod(self.zeta_shape)) + self.config.micro_dim

    @property
    def own_shape(self) -> tuple[int, ...]:
        """Each latent has variances and rates of its own."""
        return (self.latent_dim,)

    @property
    def turned_dim(self) -> int:
        """Latents that a rotation turns into each other: all."""
        return self.latent_dim

    @property
    def same_everywhere(self) -> bool:
        """Dense networks know each point."""
        return False

    @property
    def variance_shape(self) -> tuple[int, ...]:
        """Each point has variances of its own, `(*grid, channel)`."""
        return (*self.filter.grid, self.num_channels)

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where in `z` the numbers of the macroscale state lie, `zeta_shape`, and those of `eta`, `(micro_dim,)`."""
        size = int(np.prod(self.zeta_shape))
        return np.arange(size).reshape(self.zeta_shape), np.arange(size, self.latent_dim)

    def split(self, z: Array) -> tuple[Array, Array]:
        """`z` to `zeta` `(*coarse_grid, channel)` and `eta` `(micro_dim,)`."""
        size = int(np.prod(self.zeta_shape))
        zeta = z[:size].reshape(self.zeta_shape)
        if self.config.coordinates == "modes":
            zeta = modes.to_cells(zeta, self._boundary)
        return zeta, z[size:]

    def join(self, zeta: Array, eta: Array) -> Array:
        """The inverse of `split`, of states or of rates."""
        if self.config.coordinates == "modes":
            zeta = modes.to_modes(zeta, self._boundary)
        return jnp.concatenate([zeta.ravel(), eta])

    def init(self, key: Array, everywhere: Array | None, local: Array | None) -> Params:
        """Fresh parameters of the networks; the microscale ones are absent where `micro_dim` is 0."""
        c = self.config
        macro_key, micro_key, encoder_key, decoder_key, displacement_key = jax.random.split(key, 5)
        zeta, eta = jnp.zeros(self.zeta_shape), jnp.zeros(c.micro_dim)
        acting = join(everywhere, local)
        params = {}
        if c.micro_dim:
            pooled = pool(jnp.zeros(self.variance_shape), c.encoder_pooling)
            params |= {
                "micro_drift": self._micro_drift.init(micro_key, jnp.zeros(()), zeta, eta, acting),
                "encoder": self._encoder.init(encoder_key, pooled),
                "decoder": self._decoder.init(decoder_key, eta),
            }
        if self._moves:
            params["displacement"] = self._displacement.init(displacement_key, zeta)
        if c.cell_features:
            if c.micro_dim:
                params["cell_input"] = self._cell_input.init(macro_key, eta)
            seen = self._seen_by_cells(params, eta)
            shape = (*self.filter.coarse_grid, c.cell_features, seen.size)
            params["cells"] = jax.random.normal(macro_key, shape) / np.sqrt(seen.size)
        if acting is not None:
            params["dispersion"] = self._dispersion.init(jax.random.fold_in(key, 1), acting)
        position = self._cell_features(params, zeta, eta, local)
        return params | {"macro_drift": self._macro_drift.init(macro_key, zeta, eta, position, everywhere)}

    def encode(self, params: Params, zeta: Array, residual: Array) -> Array:
        """`eta` of what the mesh misses, `(*grid, channel)` or means over blocks of it, seen from the micro expert's
        frame."""
        residual = pool_to(residual, self.filter.grid, self.config.encoder_pooling)
        if self._moves:
            residual = frame.shift(residual, -self._place(params, zeta), self._boundary)
        return apply(self._encoder, params["encoder"], residual)

    def decode(self, params: Params, zeta: Array, eta: Array) -> Array:
        """`g(eta)`, `(*grid, channel)`, in a moving frame shifted to where `zeta` places it."""
        micro = apply(self._decoder, params["decoder"], eta)
        return frame.shift(micro, self._place(params, zeta), self._boundary) if self._moves else micro

    def drift(
        self, params: Params, t: ArrayLike, zeta: Array, eta: Array, everywhere: Array | None, local: Array | None
    ) -> tuple[Array, Array]:
        """Rates of `zeta`, the same law in every cell, and of `eta`, from all of the state."""
        position = self._cell_features(params, zeta, eta, local)
        macro, micro = apply(self._macro_drift, params["macro_drift"], zeta, eta, position, everywhere), eta
        if self.config.micro_dim:
            seen = zeta
            if self._moves:
                seen = frame.centre(zeta, frame.centroid(zeta, self._boundary), self._boundary)
            micro = apply(self._micro_drift, params["micro_drift"], t, seen, eta, join(everywhere, local))
        return macro, micro

    def dispersion(self, params: Params, everywhere: Array | None, local: Array | None) -> Array:
        """What parameters and forcing add to `log Q`, `(latent_dim,)`."""
        return apply(self._dispersion, params["dispersion"], join(everywhere, local))

    @property
    def _boundary(self) -> tuple[str, ...]:
        return self.filter.boundary

    @property
    def _moves(self) -> bool:
        return self.config.micro_frame == "moving" and self.config.micro_dim > 0

    def _place(self, params: Params, zeta: Array) -> Array:
        """Phase by which the micro expert is shifted, `(ndim,)`: the centroid and what the network adds."""
        phase = frame.centroid(zeta, self._boundary)
        seen = frame.centre(zeta, phase, self._boundary)
        return phase + apply(self._displacement, params["displacement"], seen)

    def _cell_features(self, params: Params, zeta: Array, eta: Array, local: Array | None) -> Array | None:
        """What sets cells apart, `(*coarse_grid, feature)`: local forcing, place on mesh and in the moving frame."""
        features = [] if local is None else [local]
        if self.config.cell_features:
            features.append(params["cells"] @ self._seen_by_cells(params, eta))
        if self._moves:
            place = self._place(params, zeta)
            harmonics = self.config.position_harmonics
            features.append(frame.cell_positions(self.filter.coarse_grid, place, harmonics, self._boundary))
        return jnp.concatenate(features, axis=-1) if features else None

    def _seen_by_cells(self, params: Params, eta: Array) -> Array:
        """A one, and what the network that all cells share makes of `eta`."""
        seen = apply(self._cell_input, params["cell_input"], eta) if self.config.micro_dim else eta
        return jnp.concatenate([jnp.ones(1), seen])

    @property
    def _cell_input(self):
        return MLP(self.config.cell_hidden[:-1], self.config.cell_hidden[-1])

    @property
    def _dispersion(self):
        return MLP(self.config.dispersion_hidden, self.latent_dim, out_scale=0.1)

    @property
    def _displacement(self):
        return Displacement(self.config.displacement_hidden)

    @property
    def _macro_drift(self):
        c = self.config
        return MacroDrift(c.macro_hidden, c.stencil_radius, c.linear_radius, self._boundary)

    @property
    def _micro_drift(self):
        c = self.config
        return MicroDrift(c.micro_hidden, c.micro_clock, c.linear_radius > 0)

    @property
    def _encoder(self):
        return MicroEncoder(self.config.encoder_hidden, self.config.micro_dim)

    @property
    def _decoder(self):
        return MicroDecoder(self.config.decoder_hidden, self.variance_shape)
