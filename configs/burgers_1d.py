"""1D Burgers: our best recipe; variants `:published` (the paper's), `:demo` (minutes) and `:smoke` (seconds)."""

import ml_collections

from configs import common
from msvi.config import Config


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The configuration of `configs/burgers_1d.py` or `configs/burgers_1d.py:variant`.

    Every field and its meaning stand with the groups named in `msvi.config.Config`; here are only the differences.
    """
    config = common.make_config(Config(case="burgers_1d"), variant)
    if variant == "smoke":
        config.data.equation.viscosity = 5e-3
        config.data.equation.max_dt = 4e-3
    return config
