"""The stochastic multiscale model: macroscale filter, encoder, Product-of-Experts decoder and SDE.

Source: Ilersich & Nair, "Learning Stochastic Multiscale Models by Variational Inference".
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from msvi.errors import InputError
from msvi.model.blocks import pool
from msvi.model.cells_layout import CellsLayout
from msvi.model.condition import NO_CONDITION, Condition, ConditionScale
from msvi.model.config import ModelConfig, check_pooling
from msvi.model.filter import MacroFilter
from msvi.model.gaps import fill_gaps
from msvi.model.global_layout import GlobalLayout
from msvi.model.lift import SubgridLift, lift_means
from msvi.model.scales import Scales
from msvi.types import Array, Gaussian, Params


@dataclasses.dataclass(frozen=True)
class MultiscaleModel:
    """`dz = f(z, t; c) dt + L(c) dW`, `z = (zeta, eta)`, and `u | z` by a Product of Experts.

    `c` is the condition at time `t`, parameters and forcing, where there are any (see `msvi.model.condition`).

    Hyper-parameters only; every method is a pure function of `params`. Fields come and go in the units of the data.
    Inside, everything is of order one: fields are standardised, `zeta` is the restriction in units of the filter's
    gain, and times are in units of `scales.time_unit`, as are the drift and the dispersion.

    Attributes:
      config: sizes and initial values.
      grid: full-resolution points per axis.
      num_channels: fields per point.
      boundary: kind of each axis, `"periodic"` or `"edge"`.
      scales: what is of order one.
      condition_scale: sizes and scales of the conditions; the default is for none.

    Raises:
      InputError: a grid that the pooling does not divide, or what the layout does not allow.
    """

    config: ModelConfig
    grid: tuple[int, ...]
    num_channels: int
    boundary: tuple[str, ...]
    scales: Scales
    condition_scale: ConditionScale = ConditionScale()

    def __post_init__(self):
        check_pooling(self.config.encoder_pooling, self.grid)
        make_layout(self.config, self.filter, self.num_channels)

    @property
    def filter(self) -> MacroFilter:
        """The macroscale filter."""
        return MacroFilter(self.grid, self.config.coarsening, self.config.n_sigma, self.boundary)

    @property
    def layout(self) -> GlobalLayout | CellsLayout:
        """Where the latents are, and the networks."""
        return make_layout(self.config, self.filter, self.num_channels)

    @property
    def zeta_shape(self) -> tuple[int, ...]:
        """`(*coarse_grid, channel)`."""
        return self.layout.zeta_shape

    @property
    def zeta_dim(self) -> int:
        """Numbers in the macroscale state."""
        return int(np.prod(self.zeta_shape))

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where in `z` the numbers of the macroscale state lie, `zeta_shape`, and those of `eta`."""
        return self.layout.places

    @property
    def latent_dim(self) -> int:
        """Numbers in the joint latent state `z`."""
        return self.layout.latent_dim

    @property
    def own_shape(self) -> tuple[int, ...]:
        """Of the latents that have variances and rates of their own: all, or those of a cell, for every cell."""
        return self.layout.own_shape

    @property
    def turned_dim(self) -> int:
        """Latents that a rotation turns into each other: all, or those of a cell."""
        return self.layout.turned_dim

    @property
    def field_shape(self) -> tuple[int, ...]:
        """`(*grid, channel)`."""
        return (*self.grid, self.num_channels)

    @property
    def standardised(self) -> "MultiscaleModel":
        """The same model of data in its own units; squares of these never leave the range of numbers."""
        return dataclasses.replace(self, scales=self.scales.unit)

    def on(self, grid: tuple[int, ...]) -> "MultiscaleModel":
        """The same model on another domain with the same cells, larger or smaller; its parameters hold there too.

        Raises:
          InputError: a model with the global layout, or one in which places differ; or a grid that does not fit.
        """
        if not self.layout.same_everywhere:
            raise InputError(
                "Another domain needs `model.micro_layout=cells`, periodic axes and `model.cell_features=0`, got "
                f"{self.config.micro_layout}, {', '.join(self.boundary)} and {self.config.cell_features}."
            )
        if len(grid) != len(self.grid):
            raise InputError(f"Another domain needs as many axes as {self.grid}, got {grid}.")
        return dataclasses.replace(self, grid=tuple(grid))

    def split(self, z: Array) -> tuple[Array, Array]:
        """`z` to `zeta` `(*coarse_grid, channel)` and `eta`, `(micro_dim,)` or `(*coarse_grid, micro_dim)`."""
        return self.layout.split(z)

    def join(self, zeta: Array, eta: Array) -> Array:
        """The inverse of `split`, of states or of rates."""
        return self.layout.join(zeta, eta)

    def init(self, key: Array) -> Params:
        """Fresh parameters; the microscale ones are absent where `micro_dim` is 0."""
        c, layout = self.config, self.layout
        params: Params = {
            "kernel": self.filter.init_kernel(),
            "posterior_log_var": jnp.full(layout.own_shape, c.init_posterior_log_var),
            "log_q": jnp.full(layout.own_shape, c.init_log_q),
            "macro_log_var": jnp.full(layout.variance_shape, c.init_macro_log_var),
        }
        if c.micro_dim:
            params["micro_log_var"] = jnp.full(layout.variance_shape, c.init_micro_log_var)
        if c.lift_radius:
            params["lift"] = self._subgrid.init(jax.random.fold_in(key, 2), jnp.zeros(self.zeta_shape))
        return params | layout.init(key, *self._features(self.condition_scale.zeros(self.filter.coarse_grid)))

    def kernel(self, params: Params) -> Array:
        """The filter's kernel; with `config.hold_kernel` its points are moved alike until their sum is what it was."""
        kernel = params["kernel"]
        return kernel + (self.filter.gain - kernel.sum()) / kernel.size if self.config.hold_kernel else kernel

    def encode(self, params: Params, u: Array, mask: Array | None = None) -> Gaussian:
        """Latent distribution of one frame, from the frame alone.

        `zeta = restrict(u)`; the mean of `eta` comes from what the mesh misses, `u - lift(restrict(u))`, seen from the
        micro expert's frame. The variance is a parameter, the same for all frames.

        Args:
          u: `(*grid, channel)`.
          mask: where `u` was observed, of its shape; the rest is filled in from around it (see `msvi.model.gaps`).
            None if everywhere.

        Returns:
          Gaussian of `z`, `(latent_dim,)`.
        """
        u = self.scales.standardise(u)
        if mask is not None:
            u = fill_gaps(u, mask, self.boundary)
        zeta = self.filter.restrict(self.kernel(params), u) / self.filter.gain
        eta = jnp.zeros(self.places[1].shape)
        if self.config.micro_dim:
            # Averaged as far as the encoder will, and cells have room for: most of its work would be what it averages.
            pooling = math.gcd(self.config.encoder_pooling, self.config.coarsening)
            eta = self.layout.encode(params, zeta, pool(u, pooling) - self._lift(params, zeta, pooling))
        return Gaussian(self.join(zeta, eta), self._of_latents(params["posterior_log_var"]))

    def decode(self, params: Params, z: Array) -> Gaussian:
        """Distribution of the observed field given the latent state.

        Product of the macro expert `N(lift(zeta), v_M)` and the micro expert `N(lift(zeta) + g(eta), v_m)`, both
        variances per grid point: variance `v = 1 / (1 / v_M + 1 / v_m)`, mean `lift(zeta) + g(eta) v / v_m`. In a
        moving frame `g(eta)` is shifted to where `zeta` places it. With `config.lift_radius` the lift is the filter's
        and what a network adds to it (see `msvi.model.lift.SubgridLift`).

        Args:
          z: `(latent_dim,)`.

        Returns:
          Gaussian of `u`, `(*grid, channel)`.
        """
        macro, micro = self.decode_parts(params, z)
        log_var = params["macro_log_var"]
        if self.config.micro_dim:
            log_var = -jnp.logaddexp(-log_var, -params["micro_log_var"])
        log_var = self._at_points(log_var)
        log_std = np.log(self.scales.field_std).astype(np.float32).reshape((1,) * len(self.grid) + (-1,))
        return Gaussian(macro + micro, log_var + 2 * log_std)

    def decode_parts(self, params: Params, z: Array) -> tuple[Array, Array]:
        """The decoder's mean as macroscale part `lift(zeta)`, counted from zero, and microscale part
        `g(eta) v / v_m`."""
        zeta, eta = self.split(z)
        macro = self.scales.restore(self._lift(params, zeta))
        if not self.config.micro_dim:
            return macro, jnp.zeros_like(macro)
        # v / v_m = 1 / (1 + v_m / v_M)
        trust = jax.nn.sigmoid(params["macro_log_var"] - params["micro_log_var"])
        micro = self.layout.decode(params, zeta, eta)
        return macro, self.scales.widths(micro * self._at_points(trust))

    def drift(self, params: Params, t: ArrayLike, z: Array, condition: Condition = NO_CONDITION) -> Array:
        """`f(z, t; c)`, `(latent_dim,)`, per unit of time."""
        rates = self.layout.drift(params, t, *self.split(z), *self._features(condition))
        return self.join(*rates) * self.config.drift_scale

    def log_q(self, params: Params, condition: Condition = NO_CONDITION) -> Array:
        """Logarithm of the diagonal of `Q = L Lᵀ`, `(latent_dim,)`; the same for all states."""
        log_q, features = self._of_latents(params["log_q"]), self._features(condition)
        return log_q if features == (None, None) else log_q + self.layout.dispersion(params, *features)

    def _lift(self, params: Params, zeta: Array, pooling: int = 1) -> Array:
        """The standardised lift, or means of it over blocks of `pooling` points per axis, a divisor of the cells."""
        lifted = self.filter.lift(self.kernel(params), zeta, pooling) * self.filter.gain
        if self.config.lift_radius:
            lifted += lift_means(self._subgrid, params["lift"], zeta, pooling)
        return lifted

    @property
    def _subgrid(self) -> SubgridLift:
        c = self.config
        return SubgridLift(c.lift_hidden, c.lift_radius, c.coarsening, self.boundary)

    def _features(self, condition: Condition) -> tuple[Array | None, Array | None]:
        return self.condition_scale.features(condition)

    def _of_latents(self, values: Array) -> Array:
        """One value for each latent, `(latent_dim,)`, from `own_shape`."""
        return jnp.tile(values.ravel(), self.latent_dim // values.size)

    def _at_points(self, values: Array) -> Array:
        """Variances at each point of the grid, from those of a cell if all are alike."""
        return jnp.tile(values, [n // k for n, k in zip(self.field_shape, values.shape, strict=True)])


def make_layout(config: ModelConfig, macro_filter: MacroFilter, num_channels: int) -> GlobalLayout | CellsLayout:
    """The layout that `config.micro_layout` names.

    Raises:
      InputError: what it does not allow.
    """
    return {"global": GlobalLayout, "cells": CellsLayout}[config.micro_layout](config, macro_filter, num_channels)
