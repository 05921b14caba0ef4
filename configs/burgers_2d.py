"""2D Burgers: our best recipe; variants `:cells`, `:published` (the paper's), `:closure`, `:demo`, `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.config import DataConfig
from msvi.data.equations.burgers_2d import Burgers2D
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.recipe.variants import CELLS_2D, PUBLISHED_2D, make_variant
from msvi.training.config import TrainConfig


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/burgers_2d.py` or `configs/burgers_2d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    recipe = Config(
        case="burgers_2d",
        data=DataConfig(equation=Burgers2D(), num_train=18, test_seed=1),
        model=ModelConfig(
            time_unit=1.0,
            coarsening=16,
            micro_frame="moving",
            decoder_hidden=(128, 64),
            encoder_pooling=4,
            lift_radius=2,
        ),
        inference=InferenceConfig(drift_weight=500.0),
        train=TrainConfig(steps=24_000, batch_windows=4),
        forecast=ForecastConfig(stride=5, dispersion="validation"),
    )
    own = {
        "cells": {
            **CELLS_2D,
            "model.micro_dim": 8,
            "model.hold_kernel": True,
            "model.encoder_pooling": 2,
            "train.steps": 6000,
            "train.learning_rate": 2e-3,
        },
        # 500 epochs of 18 x 8 windows; a weight of 1 / (18 x 1001) on the residual of one, in our units.
        "published": {
            **PUBLISHED_2D,
            "train.steps": 72_000,
            "inference.drift_weight": 116.0,
            "inference.drift_warmup_steps": 1000,
        },
        "closure": {"inference.drift_weight": recipe.inference.drift_weight},
        "demo": {"train.steps": 2000},
        "smoke": {
            "data.equation.num_points": 32,
            "data.equation.viscosity": 2e-2,
            "data.equation.max_dt": 4e-3,
            "data.num_train": 2,
            "model.coarsening": 4,
            "model.encoder_pooling": 2,
        },
    }
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, own)))
