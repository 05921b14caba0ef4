"""Flow past a cylinder: our recipe; variants `:cells`, `:published` (the paper's), `:closure`, `:demo`, `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.config import DataConfig
from msvi.data.equations.cylinder_2d import Cylinder2D
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.recipe.variants import CELLS_2D, PUBLISHED_2D, make_variant
from msvi.training.config import TrainConfig


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/cylinder_2d.py` or `configs/cylinder_2d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    recipe = Config(
        case="cylinder_2d",
        data=DataConfig(equation=Cylinder2D(), num_train=1, num_val=1, noise_std=0.0),
        model=ModelConfig(
            time_unit=1.0,
            coarsening=10,
            n_sigma=2,
            decoder_hidden=(256, 64),
            encoder_pooling=5,
            lift_radius=2,
            cell_features=16,
            init_log_q=-2.0,
        ),
        inference=InferenceConfig(num_nodes=16, init_length=0.2, init_noise=1e-5, drift_weight=50.0),
        train=TrainConfig(steps=6000, learning_rate=3e-3, batch_windows=2),
        # The flow turns by 0.1 radian from frame to frame, for hundreds of frames.
        forecast=ForecastConfig(solver="rk4", dispersion="validation"),
    )
    own = {
        "cells": CELLS_2D,
        # 2000 epochs of 11 windows; a weight of 1 / 1301 on the residual of one, in our units. The paper takes encoded
        # frames and finite differences here, in place of the Gaussian process.
        "published": {
            **PUBLISHED_2D,
            "train.steps": 22_000,
            "inference.drift_weight": 5037.0,
        },
        "closure": {"inference.drift_weight": recipe.inference.drift_weight},
        "demo": {"train.steps": 2000},
        "smoke": {
            "data.equation.num_rows": 20,
            "data.equation.refinement": 1,
            "data.equation.num_frames": 341,
            "data.equation.t1": 3.4,
            "data.equation.max_dt": 1e-2,
            "data.num_train": 1,
            "model.coarsening": 5,
            "model.encoder_pooling": 5,
        },
    }
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, own)))
