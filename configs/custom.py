"""Your own trajectories, `--config.data.path=FILE`; variants `:published`, `:closure`, `:demo` and `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.dataset import DataConfig
from msvi.data.recorded import Recorded
from msvi.inference.elbo import InferenceConfig
from msvi.model.multiscale import ModelConfig
from msvi.recipes import make_variant


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/custom.py` or `configs/custom.py:variant`.

    Sizes, channels, boundary and, where it is given there, coarsening are the file's; `python -m msvi.data inspect
    FILE` shows them. Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the
    differences.
    """
    recipe = Config(
        case="custom",
        data=DataConfig(equation=Recorded(), num_train=0, num_val=0, num_test=0, noise_std=0.0),
        model=ModelConfig(coarsening=0),
        inference=InferenceConfig(window=64, drift_weight=512.0),
    )
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, {"published": {"inference.window": 128}})))
