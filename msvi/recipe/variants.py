"""Variants that every case offers beside its own recipe, as changes to it."""

import functools
from typing import Any

from msvi.config import Config, from_dict, to_dict
from msvi.data.config import DataConfig, Recorded
from msvi.errors import InputError
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import LEFT_OPEN, ModelConfig
from msvi.training.config import TrainConfig

# For a data file: all that it can decide is left to it.
CUSTOM = Config(
    case="custom",
    data=DataConfig(equation=Recorded(), num_train=0, num_val=0, num_test=0, noise_std=0.0),
    model=ModelConfig(
        micro_layout="auto",
        micro_dim=-1,
        coarsening=0,
        encoder_pooling=0,
        micro_hidden=LEFT_OPEN,
        encoder_hidden=LEFT_OPEN,
        decoder_hidden=LEFT_OPEN,
        micro_frame="auto",
        coordinates="auto",
        stencil_radius=-1,
        linear_radius=-1,
        quadratic_rank=-1,
    ),
    inference=InferenceConfig(
        posterior="auto",
        window=0,
        num_nodes=0,
        num_scored=0,
        num_quadrature=0,
        rotation="auto",
        drift_weight=0.0,
    ),
    train=TrainConfig(steps=0, learning_rate=0.0, random_shift=-1),
    forecast=ForecastConfig(steps_per_frame=0, dispersion="auto", solver="auto"),
)

# One 128-frame window per step, all frames encoded and scored, 500 epochs of 64 windows. The paper's encoder and
# decoder are convolutional and its quadrature points fixed; its residual weight is 16 in our units.
PUBLISHED = {
    "model.micro_frame": "fixed",
    "model.coordinates": "cells",
    "model.stencil_radius": 2,
    "model.linear_radius": 0,
    "model.quadratic_rank": 0,
    "model.micro_clock": True,
    "model.macro_hidden": (128, 128),
    "model.micro_hidden": (128, 512, 128),
    "model.encoder_hidden": (256, 256),
    "model.decoder_hidden": (256, 256),
    "model.encoder_pooling": 1,
    "model.hold_kernel": False,
    "model.lift_radius": 0,
    "model.init_posterior_log_var": -4.0,
    "model.init_log_q": 0.5,
    "model.init_macro_log_var": 1.0,
    "model.init_micro_log_var": 1.0,
    "train.steps": 32_000,
    "train.learning_rate": 1e-3,
    "train.batch_windows": 1,
    "train.random_shift": 0,
    "train.average_decay": 0.0,
    "train.clip_norm": 0.0,
    "inference.posterior": "smooth",
    "inference.rotation": "none",
    "inference.num_nodes": 128,
    "inference.num_scored": 128,
    "inference.num_quadrature": 10,
    "inference.drift_weight": 16.0,
    "inference.drift_warmup_steps": 5000,
    "forecast.dispersion": "bound",
}

# Widths of the paper's networks in 2D.
PUBLISHED_2D = {
    "model.macro_hidden": (128, 512, 128),
    "model.micro_hidden": (512, 256, 128),
    "model.encoder_hidden": (128, 128),
    "model.decoder_hidden": (128, 128),
}

# The recipe, stopped early.
DEMO = {"train.steps": 10_000}

# Few frames, trajectories, steps and members, narrow networks; the case adds a small grid.
SMOKE = {
    "data.equation.num_frames": 65,
    "data.num_train": 2,
    "data.num_val": 1,
    "data.num_test": 2,
    "data.test_seed": 0,
    "model.micro_dim": 2,
    "model.macro_hidden": (16,),
    "model.micro_hidden": (16,),
    "model.encoder_hidden": (16,),
    "model.decoder_hidden": (16,),
    "model.displacement_hidden": (8,),
    "model.lift_hidden": (8,),
    "inference.window": 16,
    "inference.num_nodes": 8,
    "inference.num_scored": 8,
    "inference.num_quadrature": 8,
    "inference.drift_warmup_steps": 10,
    "train.steps": 40,
    "train.log_every": 10,
    "train.eval_every": 20,
    "forecast.num_members": 8,
    "forecast.num_val_members": 4,
    "forecast.dispersion": "bound",
    "forecast.solver": "euler",  # compiles in half the time
}

# The fairest baseline without microscale latents. Its filter does best where it may rely on where the structures lie
# within their cells, and a large weight of the drift residual takes from a reconstruction that is most of its error.
CLOSURE = {"model.micro_dim": 0, "inference.drift_weight": 16.0, "train.random_shift": 0}

# Microscale in cells. Many small networks: a larger rate of learning, and a network of a cell needs less width.
CELLS = {
    "model.micro_layout": "cells",
    "model.micro_dim": 2,
    "model.micro_frame": "fixed",
    "model.stencil_radius": 3,
    "model.linear_radius": 4,
    "model.quadratic_rank": 128,
    "model.micro_hidden": (64, 64),
    "model.encoder_hidden": (64, 64),
    "model.decoder_hidden": (64, 64),
    "train.learning_rate": 5e-3,
    "forecast.dispersion": "validation",
}

# Reach in cells of two dimensions, where a stencil costs by the square of its width.
CELLS_2D = {"model.stencil_radius": 2, "model.linear_radius": 2}

_VARIANTS = {"default": {}, "cells": CELLS, "published": PUBLISHED, "closure": CLOSURE, "demo": DEMO, "smoke": SMOKE}


def make_variant(recipe: Config, variant: str, own: dict[str, dict[str, Any]]) -> Config:
    """`recipe` itself (`default`), as `published`, as the `closure` baseline, a `demo` of minutes or a `smoke` test.

    Args:
      recipe: the case's own.
      variant: one of these names.
      own: variant -> what the case changes beyond this module's changes, by the fields' dotted names.

    Raises:
      InputError: an unknown variant.
    """
    if variant not in _VARIANTS:
        raise InputError(f"The variant must be {', '.join(_VARIANTS)}, got {variant!r}.")
    values = to_dict(recipe)
    changes = _VARIANTS[variant]
    if recipe.case == "custom":  # whose file says how much there is, and what suits the layout
        kept = "model.micro_layout" if variant == "cells" else ""
        changes = {n: value for n, value in changes.items() if n.startswith(kept) and not n.startswith("data.")}
    changes = changes | own.get(variant, {})
    for name, value in changes.items():
        *groups, field = name.split(".")
        functools.reduce(dict.__getitem__, groups, values)[field] = value
    return from_dict(values)
