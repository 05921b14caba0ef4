"""From a configuration and a data set to the model and the estimator of its bound."""

import numpy as np

from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.inference.elbo import WindowElbo
from msvi.inference.posterior import GaussianProcessPosterior
from msvi.model.multiscale import MultiscaleModel


def build_model(config: Config, dataset: Dataset) -> MultiscaleModel:
    """The multiscale model on the data's grid, in units of the standard deviation of the training fields.

    Raises:
      InputError: training fields that do not vary.
    """
    # A trajectory at a time: they may be larger than what is free in memory.
    mean = np.mean([u.mean(dtype=np.float64) for u in dataset.train.u])
    field_scale = float(np.sqrt(np.mean([np.square(u - mean).mean(dtype=np.float64) for u in dataset.train.u])))
    if field_scale == 0:
        raise InputError("The training fields must vary, got one constant; check the data.")
    return MultiscaleModel(config.model, dataset.grid, dataset.num_channels, dataset.boundary, field_scale)


def build_elbo(config: Config, model: MultiscaleModel) -> WindowElbo:
    """The estimator of the evidence lower bound over one window."""
    c = config.inference
    posterior = GaussianProcessPosterior(c.init_length, c.init_noise)
    return WindowElbo(model, posterior, c.num_nodes, c.num_scored, c.num_quadrature)
