"""1D narrow pulse: our recipe; variants `:cells`, `:published` (the paper's), `:closure`, `:demo`, `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.config import DataConfig
from msvi.data.equations.wave_1d import Wave1D
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig
from msvi.recipe.variants import make_variant
from msvi.training.config import TrainConfig


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/wave_1d.py` or `configs/wave_1d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    recipe = Config(
        case="wave_1d",
        data=DataConfig(equation=Wave1D(), num_train=20, num_val=8, test_seed=1),
        model=ModelConfig(time_unit=1.0, n_sigma=2, lift_radius=3, micro_frame="moving"),
        inference=InferenceConfig(drift_weight=512.0),
        train=TrainConfig(steps=20_000, learning_rate=4e-3, random_shift=49),  # one point less than a coarse cell has
        forecast=ForecastConfig(dispersion="validation"),
    )
    own = {
        # 500 epochs of 20 x 8 windows; a weight of 1 / (20 x 1001) on the residual of one, in our units.
        "published": {"train.steps": 80_000, "inference.drift_weight": 6.4},
        "smoke": {
            "data.equation.num_points": 100,
            "data.equation.width_min": 0.05,
            "data.equation.width_max": 0.1,
            "model.coarsening": 10,
            "train.random_shift": 9,
        },
    }
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, own)))
