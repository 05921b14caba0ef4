"""1D Burgers: our best recipe; variants `:published` (the paper's), `:demo` (minutes) and `:smoke` (seconds)."""

import ml_collections

from msvi.config import Config, to_dict
from msvi.recipes import make_variant


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/burgers_1d.py` or `configs/burgers_1d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    smoke = {"data.equation.viscosity": 5e-3, "data.equation.max_dt": 4e-3}
    return ml_collections.ConfigDict(to_dict(make_variant(Config(case="burgers_1d"), variant, smoke)))
