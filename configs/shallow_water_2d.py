"""2D radial dam break: our recipe; variants `:cells`, `:published` (the paper's), `:closure`, `:demo`, `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.config import DataConfig
from msvi.data.equations.shallow_water_2d import ShallowWater2D
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.recipe.variants import CELLS_2D, PUBLISHED_2D, make_variant
from msvi.training.config import TrainConfig


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/shallow_water_2d.py` or `configs/shallow_water_2d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    recipe = Config(
        case="shallow_water_2d",
        data=DataConfig(equation=ShallowWater2D(), num_train=96, noise_std=1e-2, test_seed=1),
        model=ModelConfig(
            time_unit=1.0,
            coarsening=16,
            linear_radius=2,
            decoder_hidden=(128, 64),
            encoder_pooling=4,
            lift_radius=2,
            hold_kernel=True,
        ),
        # Fronts cross a cell in some frames: every one is a node.
        inference=InferenceConfig(window=32, num_nodes=32, rotation="learned", drift_weight=500.0),
        train=TrainConfig(steps=8000, learning_rate=4e-3, batch_windows=8),
        forecast=ForecastConfig(dispersion="validation"),
    )
    own = {
        "cells": {
            **CELLS_2D,
            "model.encoder_pooling": 2,
            "model.encoder_hidden": (128, 128),
            "model.decoder_hidden": (128, 128),
            "train.steps": 12_000,
            "train.learning_rate": recipe.train.learning_rate,
            "train.batch_windows": 2,
            "inference.drift_weight": 40.0,
        },
        # As for 2D Burgers, with windows that the 101 frames have room for: 500 epochs of 96 x 2; a weight of
        # 1 / (96 x 101) on the residual of one.
        "published": {
            **PUBLISHED_2D,
            "inference.window": 64,
            "inference.num_nodes": 64,
            "inference.num_scored": 64,
            "train.steps": 96_000,
            "inference.drift_weight": 108.0,
            "inference.drift_warmup_steps": 1000,
        },
        "demo": {"train.steps": 2000},
        "smoke": {
            "data.equation.num_points": 32,
            "data.num_train": 2,
            "model.coarsening": 4,
            "model.encoder_pooling": 2,
        },
    }
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, own)))
