"""From a configuration and a data set to what the training step takes: trajectories and the estimator of the bound."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.inference.elbo import Frames, WindowElbo
from msvi.inference.posterior import MarkovPosterior, SmoothPosterior
from msvi.model.cells_layout import CellsLayout
from msvi.model.multiscale import MultiscaleModel
from msvi.recipe.build import build_conditions
from msvi.training.sharding import replicate
from msvi.training.state import Trajectories


def build_trajectories(
    model: MultiscaleModel, split: Split, mesh: Mesh | None = None, fed: bool = False
) -> Trajectories:
    """A split as the training step takes it, in the model's units, on the device, or on every one of `mesh`.

    Args:
      fed: whether frames are to be fed (`msvi.training.feed`), so that there are none here.
    """
    put = jnp.asarray if mesh is None else functools.partial(replicate, mesh=mesh)
    frames = None
    if not fed:
        mask = None if split.mask is None else put(np.asarray(split.mask))
        frames = Frames(put(model.scales.standardise_data(np.asarray(split.u))), mask)
    conditions = build_conditions(model, split)
    if mesh is not None:
        conditions = jax.tree.map(put, conditions)
    t = (split.t / model.scales.time_unit).astype(np.float32)
    return Trajectories(put(t), frames, put(split.lengths), conditions)


def build_elbo(config: Config, model: MultiscaleModel) -> WindowElbo:
    """The estimator of the evidence lower bound over one window, in the model's units.

    Args:
      config: with nothing left open (`msvi.recipe.suggest.resolve`).
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
    layout = model.layout
    if not isinstance(layout, CellsLayout) or not layout.same_everywhere:
        raise InputError(
            "`train.patch_cells` needs `model.micro_layout=cells`, periodic axes and `model.cell_features=0`, got "
            f"{model.config.micro_layout}, {', '.join(model.boundary)} and {model.config.cell_features}; set it to 0."
        )
    margin = layout.reach
    whole = cells + 2 * margin
    if whole > min(model.filter.coarse_grid):
        raise InputError(
            f"`train.patch_cells` needs a domain of at least {whole} cells per axis, {cells} and {margin} on each side "
            f"that act on them, got {model.filter.coarse_grid}; set it to 0."
        )
    return model.on((whole * model.config.coarsening,) * len(model.grid)), margin
