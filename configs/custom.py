"""Your own trajectories, `--config.data.path=FILE`; variants `:published`, `:closure`, `:demo` and `:smoke`."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.data.dataset import DataConfig
from msvi.data.recorded import Recorded
from msvi.inference.elbo import InferenceConfig
from msvi.model.multiscale import ModelConfig
from msvi.recipes import make_variant
from msvi.training.state import TrainConfig


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/custom.py` or `configs/custom.py:variant`.

    Sizes, channels and boundary are the file's. Mesh, units of time and fields, windows, posterior and weights follow
    from its training trajectories (`msvi.suggest`); `python -m msvi.data inspect FILE` shows them. Every field and its
    meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    recipe = Config(
        case="custom",
        data=DataConfig(equation=Recorded(), num_train=0, num_val=0, num_test=0, noise_std=0.0),
        model=ModelConfig(
            coarsening=0,
            encoder_pooling=0,
            micro_frame="auto",
            coordinates="auto",
            stencil_radius=-1,
            linear_drift=True,
        ),
        inference=InferenceConfig(
            posterior="auto", window=0, num_nodes=0, num_scored=0, num_quadrature=0, drift_weight=0.0
        ),
        train=TrainConfig(steps=10_000, random_shift=-1),
    )
    return ml_collections.ConfigDict(to_dict(make_variant(recipe, variant, {"published": {"inference.window": 128}})))
