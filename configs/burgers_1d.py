"""1D Burgers: our best recipe; variants `:cells`, `:published` (the paper's), `:closure`, `:demo`, `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.config import DataConfig
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.recipe.variants import make_variant
from msvi.training.config import TrainConfig


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/burgers_1d.py` or `configs/burgers_1d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    recipe = Config(
        case="burgers_1d",
        data=DataConfig(test_seed=1),
        model=ModelConfig(time_unit=1.0, micro_frame="moving"),
        inference=InferenceConfig(drift_weight=32.0),
        train=TrainConfig(steps=20_000, learning_rate=4e-3, random_shift=49),  # one point less than a coarse cell has
        forecast=ForecastConfig(dispersion="validation"),
    )
    own = {"cells": {"train.steps": 18_000, "model.conservative": True, "inference.drift_weight": 512.0}}
    own["smoke"] = {
        "data.equation.num_points": 100,
        "data.equation.viscosity": 5e-3,
        "data.equation.max_dt": 4e-3,
        "model.coarsening": 10,
        "train.random_shift": 9,
    }
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, own)))
