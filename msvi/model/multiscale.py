"""The stochastic multiscale model: macroscale filter, encoder, Product-of-Experts decoder and SDE.

Source: Ilersich & Nair, "Learning Stochastic Multiscale Models by Variational Inference".
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from msvi.errors import InputError, require_at_least, require_positive
from msvi.model import frame, modes, networks
from msvi.model.condition import NO_CONDITION, Condition, ConditionScale
from msvi.model.filter import MacroFilter
from msvi.model.gaps import fill_gaps
from msvi.scales import Scales
from msvi.types import Array, Gaussian, Params

FRAMES = ("fixed", "moving")
COORDINATES = ("cells", "modes")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Structure, sizes and initial values of the generative model and its encoder.

    Attributes:
      micro_dim: microscale latents; 0 is the closure baseline, macroscale only.
      coarsening: `s`, full-resolution points per coarse cell and axis; 0 takes that of the data file, or if it says
        none what `msvi.suggest` finds.
      n_sigma: half-width of the filter kernel in units of `s`.
      stencil_radius: coarse cells to each side that the macroscale drift of a cell sees; -1 leaves it to
        `msvi.suggest`.
      macro_hidden, micro_hidden: hidden widths of the two drift networks.
      linear_radius: coarse cells to each side that a linear map beside the macroscale drift network sees; with one
        there is also one beside the microscale drift network, of all that this sees. 0 for none, -1 leaves it to
        `msvi.suggest`.
      encoder_hidden, decoder_hidden: hidden widths of the microscale encoder and decoder.
      encoder_pooling: points per axis over which the microscale encoder averages what it sees; divides the grid. 0
        leaves it to `msvi.suggest`.
      micro_frame: `"fixed"`, or `"moving"`: the micro expert and the microscale drift see the field from a frame that
        travels with the macroscale state, and the macroscale drift of a cell sees where in that frame it lies (see
        `msvi.model.frame`). `"auto"` leaves it to `msvi.suggest`.
      coordinates: in which the latent state holds the macroscale state, and in which its dispersion and posterior
        variance are diagonal: `"cells"`, where the noise of each cell is its own; or `"modes"`, Fourier modes along
        periodic axes and cosine modes along others, in which a noise is diagonal that is correlated from cell to cell
        and the same everywhere. `"auto"` leaves it to `msvi.suggest`.
      displacement_hidden: hidden widths of the network that places the micro expert in the moving frame.
      position_harmonics: number of Fourier harmonics that tell a cell's place in the moving frame.
      cell_features: numbers that tell the macroscale drift of a coarse cell where it lies and what the microscale means
        there: an affine map, learned for each cell, of what a network makes of `eta`; 0 where the equation is the same
        everywhere.
      cell_hidden: hidden widths of that network; the last one is the number of its outputs.
      dispersion_hidden: hidden widths of the network that says what parameters and forcing, if there are any, add to
        `log Q`.
      micro_clock: whether the microscale drift sees `sin t` and `cos t`; off for an autonomous system.
      time_unit: unit of time of drift, dispersion and posterior, in that of the data; 0 takes the correlation time of
        the training trajectories.
      drift_scale: unit of the drift networks' outputs, latents per unit of time.
      init_posterior_log_var: initial log-variance of the encoded latents (which are of order one).
      init_log_q: initial logarithm of the dispersion `Q`, latents squared per unit of time.
      init_macro_log_var, init_micro_log_var: initial log-variances of the two experts, in units of the field's
        scale squared.
    """

    micro_dim: int = 5
    coarsening: int = 50
    n_sigma: int = 3
    stencil_radius: int = 2
    macro_hidden: tuple[int, ...] = (64, 64)
    micro_hidden: tuple[int, ...] = (128, 128)
    linear_radius: int = 0
    encoder_hidden: tuple[int, ...] = (128, 128)
    decoder_hidden: tuple[int, ...] = (128, 128)
    encoder_pooling: int = 1
    micro_frame: str = "fixed"
    coordinates: str = "cells"
    displacement_hidden: tuple[int, ...] = (32, 32)
    position_harmonics: int = 4
    cell_features: int = 0
    cell_hidden: tuple[int, ...] = (32, 32)
    dispersion_hidden: tuple[int, ...] = (16,)
    micro_clock: bool = False
    time_unit: float = 0.0
    drift_scale: float = 10.0
    init_posterior_log_var: float = -6.0
    init_log_q: float = -4.0
    init_macro_log_var: float = -2.0
    init_micro_log_var: float = -4.0

    def __post_init__(self):
        require_at_least(self, "model", micro_dim=0, coarsening=0, n_sigma=1, stencil_radius=-1, linear_radius=-1)
        require_at_least(self, "model", position_harmonics=0, encoder_pooling=0, cell_features=0, time_unit=0)
        require_positive(self, "model", "drift_scale")
        if self.micro_frame not in (*FRAMES, "auto"):
            raise InputError(f"`model.micro_frame` must be one of {FRAMES} or auto, got {self.micro_frame!r}.")
        if self.coordinates not in (*COORDINATES, "auto"):
            raise InputError(
                f"`model.coordinates` must be {', '.join(COORDINATES)} or auto, got {self.coordinates!r}; change it."
            )
        if not self.cell_hidden:
            raise InputError("`model.cell_hidden` needs at least one width, got none; change it.")
        for part in ("macro", "micro", "encoder", "decoder", "displacement", "cell", "dispersion"):
            widths = getattr(self, f"{part}_hidden")
            if any(width < 1 for width in widths):
                raise InputError(f"`model.{part}_hidden` needs widths of at least 1, got {widths}; change it.")


def check_pooling(pooling: int, grid: tuple[int, ...]) -> None:
    """Checks that `model.encoder_pooling`, unless it is left open, divides the grid.

    Raises:
      InputError: it does not.
    """
    if pooling and any(n % pooling for n in grid):
        raise InputError(
            f"`model.encoder_pooling` must divide the grid {grid}, got {pooling}; choose a divisor of "
            f"{int(np.gcd.reduce(grid))}."
        )


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
      InputError: a grid that the pooling does not divide.
    """

    config: ModelConfig
    grid: tuple[int, ...]
    num_channels: int
    boundary: tuple[str, ...]
    scales: Scales
    condition_scale: ConditionScale = ConditionScale()

    def __post_init__(self):
        check_pooling(self.config.encoder_pooling, self.grid)

    @property
    def filter(self) -> MacroFilter:
        """The macroscale filter."""
        return MacroFilter(self.grid, self.config.coarsening, self.config.n_sigma, self.boundary)

    @property
    def zeta_shape(self) -> tuple[int, ...]:
        """`(*coarse_grid, channel)`."""
        return (*self.filter.coarse_grid, self.num_channels)

    @property
    def zeta_dim(self) -> int:
        """Numbers in the macroscale state."""
        return int(np.prod(self.zeta_shape))

    @property
    def latent_dim(self) -> int:
        """Numbers in the joint latent state `z`."""
        return self.zeta_dim + self.config.micro_dim

    @property
    def field_shape(self) -> tuple[int, ...]:
        """`(*grid, channel)`."""
        return (*self.grid, self.num_channels)

    @property
    def standardised(self) -> "MultiscaleModel":
        """The same model of data in its own units; squares of these never leave the range of numbers."""
        return dataclasses.replace(self, scales=self.scales.unit)

    def split(self, z: Array) -> tuple[Array, Array]:
        """`z` to `zeta` `(*coarse_grid, channel)` and `eta` `(micro_dim,)`."""
        zeta = z[: self.zeta_dim].reshape(self.zeta_shape)
        if self.config.coordinates == "modes":
            zeta = modes.to_cells(zeta, self.boundary)
        return zeta, z[self.zeta_dim :]

    def join(self, zeta: Array, eta: Array) -> Array:
        """`zeta` `(*coarse_grid, channel)` and `eta` `(micro_dim,)`, or their rates, to `z` or its rate."""
        if self.config.coordinates == "modes":
            zeta = modes.to_modes(zeta, self.boundary)
        return jnp.concatenate([zeta.ravel(), eta])

    def init(self, key: Array) -> Params:
        """Fresh parameters; the microscale ones are absent where `micro_dim` is 0."""
        c = self.config
        macro_key, micro_key, encoder_key, decoder_key, displacement_key = jax.random.split(key, 5)
        zeta, eta = jnp.zeros(self.zeta_shape), jnp.zeros(c.micro_dim)
        everywhere, local = self._features(self.condition_scale.zeros(self.filter.coarse_grid))
        acting = _join(everywhere, local)
        params = {
            "kernel": self.filter.init_kernel(),
            "posterior_log_var": jnp.full(self.latent_dim, c.init_posterior_log_var),
            "log_q": jnp.full(self.latent_dim, c.init_log_q),
            "macro_log_var": jnp.full(self.field_shape, c.init_macro_log_var),
        }
        if c.micro_dim:
            pooled = networks.pool(jnp.zeros(self.field_shape), c.encoder_pooling)
            params |= {
                "micro_log_var": jnp.full(self.field_shape, c.init_micro_log_var),
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
        coarse = self.filter.restrict(params["kernel"], u)
        zeta = coarse / self.filter.gain
        if not self.config.micro_dim:
            return Gaussian(self.join(zeta, jnp.zeros(0)), params["posterior_log_var"])
        residual = networks.pool(u - self.filter.lift(params["kernel"], coarse), self.config.encoder_pooling)
        if self._moves:
            residual = frame.shift(residual, -self._place(params, zeta), self.boundary)
        eta = self._encoder.apply(params["encoder"], residual)
        return Gaussian(self.join(zeta, eta), params["posterior_log_var"])

    def decode(self, params: Params, z: Array) -> Gaussian:
        """Distribution of the observed field given the latent state.

        Product of the macro expert `N(lift(zeta), v_M)` and the micro expert `N(lift(zeta) + g(eta), v_m)`, both
        variances per grid point: variance `v = 1 / (1 / v_M + 1 / v_m)`, mean `lift(zeta) + g(eta) v / v_m`. In a
        moving frame `g(eta)` is shifted to where `zeta` places it.

        Args:
          z: `(latent_dim,)`.

        Returns:
          Gaussian of `u`, `(*grid, channel)`.
        """
        macro, micro = self.decode_parts(params, z)
        log_var = params["macro_log_var"]
        if self.config.micro_dim:
            log_var = -jnp.logaddexp(-log_var, -params["micro_log_var"])
        log_std = np.log(self.scales.field_std).astype(np.float32).reshape((1,) * len(self.grid) + (-1,))
        return Gaussian(macro + micro, log_var + 2 * log_std)

    def decode_parts(self, params: Params, z: Array) -> tuple[Array, Array]:
        """The decoder's mean as macroscale part `lift(zeta)`, with the field's mean, and microscale part
        `g(eta) v / v_m`."""
        zeta, eta = self.split(z)
        macro = self.scales.restore(self.filter.lift(params["kernel"], zeta) * self.filter.gain)
        if not self.config.micro_dim:
            return macro, jnp.zeros_like(macro)
        # v / v_m = 1 / (1 + v_m / v_M)
        trust = jax.nn.sigmoid(params["macro_log_var"] - params["micro_log_var"])
        micro = self._decoder.apply(params["decoder"], eta)
        if self._moves:
            micro = frame.shift(micro, self._place(params, zeta), self.boundary)
        return macro, self.scales.widths(micro * trust)

    def drift(self, params: Params, t: Array, z: Array, condition: Condition = NO_CONDITION) -> Array:
        """`f(z, t; c)`, `(latent_dim,)`, per unit of time: the same in every cell for `zeta`, of all for `eta`."""
        zeta, eta = self.split(z)
        everywhere, local = self._features(condition)
        position = self._cell_features(params, zeta, eta, local)
        macro, micro = self._macro_drift.apply(params["macro_drift"], zeta, eta, position, everywhere), eta
        if self.config.micro_dim:
            seen = zeta
            if self._moves:
                seen = frame.centre(zeta, frame.centroid(zeta, self.boundary), self.boundary)
            micro = self._micro_drift.apply(params["micro_drift"], t, seen, eta, _join(everywhere, local))
        return self.join(macro, micro) * self.config.drift_scale

    def log_q(self, params: Params, condition: Condition = NO_CONDITION) -> Array:
        """Logarithm of the diagonal of `Q = L Lᵀ`, `(latent_dim,)`; the same for all states."""
        acting = _join(*self._features(condition))
        if acting is None:
            return params["log_q"]
        return params["log_q"] + self._dispersion.apply(params["dispersion"], acting)

    def _features(self, condition: Condition) -> tuple[Array | None, Array | None]:
        return self.condition_scale.features(condition)

    @property
    def _moves(self) -> bool:
        return self.config.micro_frame == "moving" and self.config.micro_dim > 0

    def _place(self, params: Params, zeta: Array) -> Array:
        """Phase by which the micro expert is shifted, `(ndim,)`: the centroid and what the network adds."""
        phase = frame.centroid(zeta, self.boundary)
        seen = frame.centre(zeta, phase, self.boundary)
        return phase + self._displacement.apply(params["displacement"], seen)

    def _cell_features(self, params: Params, zeta: Array, eta: Array, local: Array | None) -> Array | None:
        """What sets cells apart, `(*coarse_grid, feature)`: local forcing, place on mesh and in the moving frame."""
        features = [] if local is None else [local]
        if self.config.cell_features:
            features.append(params["cells"] @ self._seen_by_cells(params, eta))
        if self._moves:
            place = self._place(params, zeta)
            harmonics = self.config.position_harmonics
            features.append(frame.cell_positions(self.filter.coarse_grid, place, harmonics, self.boundary))
        return jnp.concatenate(features, axis=-1) if features else None

    def _seen_by_cells(self, params: Params, eta: Array) -> Array:
        """A one, and what the network that all cells share makes of `eta`."""
        seen = self._cell_input.apply(params["cell_input"], eta) if self.config.micro_dim else eta
        return jnp.concatenate([jnp.ones(1), seen])

    @property
    def _cell_input(self):
        return networks.MLP(self.config.cell_hidden[:-1], self.config.cell_hidden[-1])

    @property
    def _dispersion(self):
        return networks.MLP(self.config.dispersion_hidden, self.latent_dim, out_scale=0.1)

    @property
    def _displacement(self):
        return networks.Displacement(self.config.displacement_hidden)

    @property
    def _macro_drift(self):
        c = self.config
        return networks.MacroDrift(c.macro_hidden, c.stencil_radius, c.linear_radius, self.boundary)

    @property
    def _micro_drift(self):
        c = self.config
        return networks.MicroDrift(c.micro_hidden, c.micro_clock, c.linear_radius > 0)

    @property
    def _encoder(self):
        return networks.MicroEncoder(self.config.encoder_hidden, self.config.micro_dim)

    @property
    def _decoder(self):
        return networks.MicroDecoder(self.config.decoder_hidden, self.field_shape)


def _join(everywhere: Array | None, local: Array | None) -> Array | None:
    """Both parts of a condition in one vector; None if there is none."""
    parts = [part.ravel() for part in (everywhere, local) if part is not None]
    return jnp.concatenate(parts) if parts else None
