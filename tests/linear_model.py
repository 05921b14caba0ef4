"""A model with linear networks: three coarse cells and two latents, which drift towards rest and turn.

PYTEST_DONT_REWRITE: the tests import this module before pytest loads it as a plugin.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msvi.model.config import ModelConfig
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales

X = np.arange(12) / 12
SPACING = 0.1


def make_linear():
    """The model and its parameters."""
    widths = dict.fromkeys(("macro_hidden", "micro_hidden", "encoder_hidden", "decoder_hidden"), ())
    config = ModelConfig(micro_dim=2, coarsening=4, n_sigma=1, stencil_radius=1, drift_scale=1.0, **widths)
    scales = Scales((0.3,), (2.0,), 1.0, SPACING)
    model = MultiscaleModel(config, (12,), 1, ("periodic",), scales)
    params = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: p + (0.3 * rng.standard_normal(p.shape)).astype(p.dtype), params)
    macro = params["macro_drift"]["params"]["MLP_0"]["Dense_0"]["kernel"]
    params["macro_drift"]["params"]["MLP_0"]["Dense_0"]["kernel"] = macro.at[1].add(-1.5)
    micro = params["micro_drift"]["params"]["MLP_0"]["Dense_0"]["kernel"]
    turned = jnp.array([[-1.0, 3.0], [-3.0, -1.0]])
    params["micro_drift"]["params"]["MLP_0"]["Dense_0"]["kernel"] = micro.at[-2:].add(turned)
    return model, params | {"log_q": jnp.linspace(-2, 0, 5)}


@pytest.fixture(scope="session", name="linear")
def linear_fixture():
    """The model and its parameters."""
    return make_linear()
