"""From a configuration and a data set to the model, what acts on it, and the estimator of its bound."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from msvi.config import Config
from msvi.data.problems import refuse
from msvi.data.recorded import describe, find_setting_problems
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.inference.elbo import Frames, WindowElbo
from msvi.inference.posterior import MarkovPosterior, SmoothPosterior
from msvi.model.condition import Conditions, ConditionScale
from msvi.model.multiscale import MultiscaleModel
from msvi.model.networks import pool
from msvi.suggest import field_scales, resolve
from msvi.training.sharding import replicate
from msvi.training.state import Trajectories


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


def build_trajectories(model: MultiscaleModel, split: Split, mesh: Mesh | None = None) -> Trajectories:
    """A split as the training step takes it, in the model's units, on the device, or on every one of `mesh`."""
    put = jnp.asarray if mesh is None else functools.partial(replicate, mesh=mesh)
    frames = Frames(put(model.scales.standardise_data(split.u)), None if split.mask is None else put(split.mask))
    conditions = build_conditions(model, split)
    if mesh is not None:
        conditions = jax.tree.map(put, conditions)
    t = (split.t / model.scales.time_unit).astype(np.float32)
    return Trajectories(put(t), frames, put(split.lengths), conditions)


def build_elbo(config: Config, model: MultiscaleModel) -> WindowElbo:
    """The estimator of the evidence lower bound over one window, in the model's units.

    Args:
      config: with nothing left open (`msvi.suggest.resolve`).
    """
    c = config.inference
    smooth = SmoothPosterior(c.init_length, c.init_noise)
    markov = MarkovPosterior(c.init_rate, 0.5 / model.scales.unit.spacing)
    posterior = markov if c.posterior == "markov" else smooth
    rotates = c.rotation == "learned"
    model, margin = cut_patch(model.standardised, config.train.patch_cells)
    return WindowElbo(model, posterior, c.num_nodes, c.num_scored, c.num_quadrature, rotates, margin)


def check_patches(config: Config, dataset: Dataset) -> None:
    """Checks that patches of these fields can be learned from.

    Raises:
      InputError: there are gaps, which are filled in from all of the field, and patches of it.
    """
    if config.train.patch_cells and dataset.train.mask is not None:
        raise InputError(
            f"`train.patch_cells` needs fields without gaps, since these are filled in from the whole field, got "
            f"{config.train.patch_cells} and fields with gaps; set it to 0."
        )


def cut_patch(model: MultiscaleModel, cells: int) -> tuple[MultiscaleModel, int]:
    """The model of a patch of the domain with so many cells to count per axis, and the cells around them.

    Args:
      cells: 0 for the whole domain.

    Raises:
      InputError: the model is not the same everywhere, or the domain is no larger than such a patch.
    """
    if not cells:
        return model, 0
    if not model.layout.same_everywhere:
        raise InputError(
            "`train.patch_cells` needs `model.micro_layout=cells`, periodic axes and `model.cell_features=0`, got "
            f"{model.config.micro_layout}, {', '.join(model.boundary)} and {model.config.cell_features}; set it to 0."
        )
    margin = model.layout.reach
    whole = cells + 2 * margin
    if whole > min(model.filter.coarse_grid):
        raise InputError(
            f"`train.patch_cells` needs a domain of at least {whole} cells per axis, {cells} and {margin} on each side "
            f"that act on them, got {model.filter.coarse_grid}; set it to 0."
        )
    return model.on((whole * model.config.coarsening,) * len(model.grid)), margin
