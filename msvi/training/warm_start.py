"""Staged training: a run begins with the weights of one that has fewer microscale latents."""

import os

import jax
import jax.numpy as jnp

from msvi.config import Config, differences, load_json
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.recipe.build import build_model
from msvi.recipe.suggest import resolve
from msvi.training.build import build_elbo
from msvi.training.state import TrainState, template_state
from msvi.training.workdir import Workdir, check_same_scales
from msvi.types import Params

# Fields in which the two runs may differ; what remains decides the meaning and the shapes of the weights.
_FREE = ("seed", "model.micro_dim", "model.init_", "data.cache_dir", "inference.", "train.", "forecast.")


def warm_start(state: TrainState, config: Config, dataset: Dataset) -> TrainState:
    """`state`, fresh, with the averaged weights of the best checkpoint in `config.train.warm_start` put in.

    The other run's latents come first among this one's; what belongs to the further ones keeps its fresh value, but
    for the weights with which they enter a network: these are zero, so that training begins at the other run's model.
    The optimiser starts anew.

    Raises:
      InputError: the workdir is no run, has no checkpoint yet, has more microscale latents, or another model or data.
    """
    run = Workdir(os.path.abspath(config.train.warm_start))
    if not os.path.exists(run.config):
        raise InputError(
            f"`train.warm_start` must be the workdir of a trained run, but {run.config} does not exist; train it first."
        )
    source = load_json(run.config)
    changed = differences(source, config, ignore=_FREE)
    if changed:
        raise InputError(
            f"`train.warm_start` needs a run of the same model and data, but {run.path} differs "
            f"({'; '.join(changed)}); train one with these values."
        )
    if source.model.micro_dim > config.model.micro_dim:
        raise InputError(
            f"`train.warm_start` needs a run with at most {config.model.micro_dim} microscale latents, but {run.path} "
            f"has {source.model.micro_dim}; raise model.micro_dim or start from a smaller one."
        )
    source = resolve(source, dataset)
    model = build_model(source, dataset)
    template = template_state(build_elbo(source, model), source.train)
    weights, record = run.best.restore(template)
    check_same_scales(record, model.scales, run.path)
    params = embed(weights.average, state.params)
    # A copy: a training step gives up the memory of both.
    return state._replace(params=params, average=jax.tree.map(jnp.copy, params))


def embed(small: Params, large: Params) -> Params:
    """The values of `small` in the leading block of each leaf of `large`; a subtree that `small` lacks stays fresh.

    A kernel `(in, out)` with further inputs gets zeros for them.
    """
    if isinstance(large, dict):
        return {name: embed(small[name], value) if name in small else value for name, value in large.items()}
    if large.ndim == 2 and large.shape[0] > small.shape[0]:
        large = large.at[small.shape[0] :].set(0.0)
    return jnp.asarray(large).at[tuple(slice(n) for n in small.shape)].set(small)
