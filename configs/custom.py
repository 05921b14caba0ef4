"""Your own trajectories, `--config.data.path=FILE`; variants `:cells`, `:published`, `:closure`, `:demo`, `:smoke`."""

import ml_collections

from msvi.config import to_dict
from msvi.recipe.variants import CUSTOM, make_variant

OWN = {
    "published": {"model.micro_layout": "global", "model.micro_dim": 5, "inference.window": 128},
    "closure": {"model.micro_layout": "global"},
    "demo": {"train.steps": 3000},
}


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/custom.py` or `configs/custom.py:variant`.

    Sizes, channels and boundary are the file's. Mesh, layout of the microscale, units of time and fields, windows,
    posterior and weights follow from its training trajectories (`msvi.recipe.suggest`); `msvi inspect FILE` shows
    them. Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the
    differences.
    """
    return ml_collections.ConfigDict(to_dict(make_variant(CUSTOM, variant, OWN)))
