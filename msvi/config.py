"""The configuration as frozen dataclasses: every field, its meaning, its default, its checks.

The library takes these; only the entry layer (`msvi.cli`) and `configs/` know `ml_collections`. Numbers that
follow from others (coarse grid, latent size, frame spacing) are derived where the model is built, after
overrides, and are therefore no fields.
"""

import dataclasses
import typing
from typing import Any

from msvi.data.burgers_1d import Burgers1D
from msvi.data.dataset import EQUATIONS
from msvi.errors import InputError


def _at_least(group, prefix: str, name: str, least) -> None:
    value = getattr(group, name)
    if not value >= least:
        raise InputError(f"`{prefix}.{name}` must be at least {least}, got {value}.")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which trajectories to generate and where to keep them.

    Attributes:
      equation: parameters of the case's equation, grid and initial conditions.
      num_train, num_val, num_test: trajectories per split.
      noise_std: standard deviation of the observation noise, in units of `u`.
      seed: of the initial conditions and the noise; independent of the training seed.
      cache_dir: folder of the generated data sets.
    """

    equation: Any = Burgers1D()
    num_train: int = 8
    num_val: int = 4
    num_test: int = 16
    noise_std: float = 1e-3
    seed: int = 0
    cache_dir: str = "data"

    def __post_init__(self):
        for name in ("num_train", "num_val", "num_test"):
            _at_least(self, "data", name, 1)
        for name in ("noise_std", "seed"):
            _at_least(self, "data", name, 0)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes and initial values of the generative model and its encoder.

    Attributes:
      micro_dim: microscale latents; 0 is the closure baseline, macroscale only.
      coarsening: `s`, full-resolution points per coarse cell and axis.
      n_sigma: half-width of the filter kernel in units of `s`.
      stencil_radius: coarse cells to each side that the macroscale drift of a cell sees.
      macro_hidden, micro_hidden: hidden widths of the two drift networks.
      encoder_hidden, decoder_hidden: hidden widths of the microscale encoder and decoder.
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
    macro_hidden: tuple[int, ...] = (128, 128)
    micro_hidden: tuple[int, ...] = (128, 512, 128)
    encoder_hidden: tuple[int, ...] = (256, 256)
    decoder_hidden: tuple[int, ...] = (256, 256)
    drift_scale: float = 10.0
    init_posterior_log_var: float = -6.0
    init_log_q: float = -4.0
    init_macro_log_var: float = -2.0
    init_micro_log_var: float = -4.0

    def __post_init__(self):
        for name, least in {"micro_dim": 0, "coarsening": 1, "n_sigma": 1, "stencil_radius": 0}.items():
            _at_least(self, "model", name, least)
        for name in ("macro_hidden", "micro_hidden", "encoder_hidden", "decoder_hidden"):
            if any(width < 1 for width in getattr(self, name)):
                raise InputError(f"`model.{name}` needs widths of at least 1, got {getattr(self, name)}.")


@dataclasses.dataclass(frozen=True)
class InferenceConfig:
    """The variational posterior and the estimator of the bound.

    Attributes:
      window: consecutive frames per window.
      num_nodes: frames encoded per window.
      num_scored: frames whose likelihood is computed per window.
      num_quadrature: points of the time integral per window.
      init_length: initial length scale of the Gaussian process, in units of half the window.
      init_noise: initial noise variance of the Gaussian process, relative to its amplitude.
      drift_weight: weight of the drift residual against the likelihood; 1 is the bound itself.
      drift_warmup_steps: optimiser steps over which that weight rises linearly from 0.
    """

    window: int = 128
    num_nodes: int = 32
    num_scored: int = 32
    num_quadrature: int = 32
    init_length: float = 0.3
    init_noise: float = 1e-3
    drift_weight: float = 1.0
    drift_warmup_steps: int = 2000

    def __post_init__(self):
        for name, least in {
            "window": 2, "num_nodes": 2, "num_scored": 1, "num_quadrature": 1, "drift_weight": 0, "drift_warmup_steps": 0
        }.items():
            _at_least(self, "inference", name, least)
        for name in ("num_nodes", "num_scored"):
            if getattr(self, name) > self.window:
                raise InputError(
                    f"`inference.{name}` must not exceed the window of {self.window} frames, got {getattr(self, name)}."
                )
        for name in ("init_length", "init_noise"):
            if not getattr(self, name) > 0:
                raise InputError(f"`inference.{name}` must be positive, got {getattr(self, name)}.")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation, monitoring and checkpoints.

    Attributes:
      steps: optimiser steps in all; raising it later continues a finished run.
      learning_rate: of Adam, at step 0.
      decay_rate, decay_steps: the learning rate is multiplied by `decay_rate` every `decay_steps` steps.
      batch_windows: windows per step.
      average_decay: decay per step of the exponential average of the weights; 0 uses the last weights.
      log_every: steps between two looks at the loss (one compiled chunk).
      eval_every: steps between two validation forecasts, each followed by a checkpoint.
    """

    steps: int = 30000
    learning_rate: float = 1e-3
    decay_rate: float = 0.9
    decay_steps: int = 1000
    batch_windows: int = 1
    average_decay: float = 0.999
    log_every: int = 100
    eval_every: int = 1000

    def __post_init__(self):
        for name in ("steps", "decay_steps", "batch_windows", "log_every", "eval_every"):
            _at_least(self, "train", name, 1)


@dataclasses.dataclass(frozen=True)
class ForecastConfig:
    """The ensemble solve.

    Attributes:
      num_members: members per forecast in evaluation.
      num_val_members: members per validation forecast during training.
      steps_per_frame: solver steps between two frames.
    """

    num_members: int = 64
    num_val_members: int = 8
    steps_per_frame: int = 1

    def __post_init__(self):
        for name in ("num_members", "num_val_members", "steps_per_frame"):
            _at_least(self, "forecast", name, 1)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run: case, training seed and the groups above."""

    case: str = "burgers_1d"
    seed: int = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    inference: InferenceConfig = InferenceConfig()
    train: TrainConfig = TrainConfig()
    forecast: ForecastConfig = ForecastConfig()
