"""1D Korteweg–de Vries: our recipe; variants `:cells`, `:published` (the paper's), `:closure`, `:demo`, `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.config import DataConfig
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.recipe.variants import make_variant
from msvi.training.config import TrainConfig


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/kdv_1d.py` or `configs/kdv_1d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    recipe = Config(
        case="kdv_1d",
        data=DataConfig(equation=KortewegDeVries1D(), noise_std=1e-2, test_seed=1),
        # Solitary waves are narrower than a cell, and their third derivative reaches far.
        model=ModelConfig(time_unit=1.0, n_sigma=2, stencil_radius=3, lift_radius=3, micro_frame="moving"),
        inference=InferenceConfig(drift_weight=512.0),
        train=TrainConfig(steps=30_000, learning_rate=5e-3, random_shift=49),  # one point less than a coarse cell has
        forecast=ForecastConfig(dispersion="validation"),
    )
    own = {
        "cells": {
            "model.micro_dim": 6,
            "model.conservative": True,
            "inference.drift_weight": 128.0,
            "train.steps": 16_000,
        },
        # The network beside the lift tells where structures lie within their cells; without shifts the drift does not
        # hold on other trajectories.
        "closure": {
            "inference.drift_weight": recipe.inference.drift_weight,
            "train.random_shift": recipe.train.random_shift,
        },
        "smoke": {
            "data.equation.num_points": 100,
            "data.equation.max_dt": 4e-3,
            "model.coarsening": 10,
            "train.random_shift": 9,
        },
    }
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, own)))
