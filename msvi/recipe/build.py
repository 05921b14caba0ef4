"""From a configuration and a data set to the model, and what acts on it."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from msvi.config import Config
from msvi.data.problems import refuse
from msvi.data.recorded import describe, find_setting_problems
from msvi.data.split import Dataset, Split
from msvi.model.blocks import pool
from msvi.model.condition import Conditions, ConditionScale
from msvi.model.multiscale import MultiscaleModel
from msvi.recipe.measure import field_scales
from msvi.recipe.suggest import resolve


def check_data_file(config: Config) -> None:
    """Checks that a data file has, or the configuration says, all that a training needs, before a field is read.

    Raises:
      InputError: the file cannot be used, or with all that is missing and does not fit in one sentence.
    """
    d, path = config.data, config.data.path
    if config.case != "custom" or not path:
        return
    found = describe(path, d.boundary, d.num_train, d.num_val, d.num_test, d.seed)
    settings = config.model.coarsening, config.model.encoder_pooling, config.inference.window
    refuse(path, found.problems + find_setting_problems(found, *settings))


def build_model(config: Config, dataset: Dataset) -> MultiscaleModel:
    """The multiscale model on the data's grid, with scales from the training trajectories.

    Raises:
      InputError: training fields that do not vary, or a grid that the coarsening does not divide.
    """
    settings, train = resolve(config, dataset).model, dataset.train
    scales = dataclasses.replace(field_scales(train), time_unit=settings.time_unit)
    scale = _condition_scale(train)
    return MultiscaleModel(settings, dataset.grid, dataset.num_channels, dataset.boundary, scales, scale)


def build_conditions(model: MultiscaleModel, split: Split) -> Conditions:
    """What acts on each trajectory of a split, on the device, with an axis `trajectory` in front.

    Of a forcing field it holds the means over the coarse cells. Its times are in the model's unit.
    """
    mu, forcing, forcing_t = split.mu, split.forcing, split.forcing_t
    if forcing_t is not None:
        forcing_t = forcing_t / model.scales.time_unit
    if forcing is not None and model.condition_scale.local:
        coarsening = model.config.coarsening
        forcing = np.stack([[pool(frame, coarsening) for frame in one] for one in forcing])
    return Conditions(*(None if a is None else jnp.asarray(a, jnp.float32) for a in (mu, forcing_t, forcing)))


def _condition_scale(train: Split) -> ConditionScale:
    def moments(values):
        """Means and deviations over all axes but the last; of what is always the same a deviation of one."""
        flat = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
        mean, std = flat.mean(axis=0), flat.std(axis=0)
        std = np.where(std > 1e-6 * np.abs(mean), std, 1.0)
        return tuple(mean.tolist()), tuple(std.tolist())

    mu, forcing = (((), ()) if a is None else moments(a) for a in (train.mu, train.forcing))
    return ConditionScale(*mu, *forcing, local=train.forcing is not None and train.forcing.ndim > 3)
