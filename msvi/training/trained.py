"""A trained run read back: its configuration, data, model and weights."""

import os
from typing import Any, NamedTuple

from msvi.config import Config, load_json
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.model.multiscale import MultiscaleModel
from msvi.recipe.build import build_model
from msvi.recipe.suggest import resolve
from msvi.training.build import build_elbo
from msvi.training.calibration import scale
from msvi.training.state import TrainState, template_state
from msvi.training.workdir import Workdir, check_same_data, check_same_scales
from msvi.types import Params


class TrainedModel(NamedTuple):
    """What forecasts need; `params` are the averaged weights of the best checkpoint, `config` has nothing left open."""

    config: Config
    dataset: Dataset
    model: MultiscaleModel
    params: Params


def load_trained(workdir: str) -> TrainedModel:
    """The model of a run as it did best on its validation trajectories.

    Raises:
      InputError: `workdir` is missing, no run of msvi, has no checkpoint yet, or holds another model's; or its data
        file has changed.
    """
    run, config = open_run(workdir)
    dataset = load_dataset(config.case, config.data, config.train.data_on)
    config = resolve(config, dataset)
    model = build_model(config, dataset)
    return TrainedModel(config, dataset, model, restore_run(run, config, dataset, model)[0].average["model"])


def open_run(workdir: str) -> tuple[Workdir, Config]:
    """A run that has been trained, and its configuration.

    Raises:
      InputError: as for `load_trained`.
    """
    run = Workdir(os.path.abspath(workdir))
    if not os.path.exists(run.config):
        raise InputError(f"`workdir` must be a run of msvi, but {run.config} does not exist; train first.")
    config = load_json(run.config)
    if run.best.latest_step() is None:
        raise InputError(f"{run.path} has no checkpoint yet; train it to its first validation.")
    return run, config


def restore_run(
    run: Workdir, config: Config, dataset: Dataset | None, model: MultiscaleModel
) -> tuple[TrainState, dict[str, Any], dict[str, Any]]:
    """The best state, its record, and the newest record, which is that of the whole training.

    With `forecast.dispersion=validation` the averaged weights, those of forecasts, hold the dispersion so scaled.

    Args:
      dataset: which has to be the one that was trained on; None if it is not at hand, and nothing left open.

    Raises:
      InputError: as for `load_trained`, or the run was trained with another `forecast.dispersion`.
    """
    config = config if dataset is None else resolve(config, dataset)
    template = template_state(build_elbo(config, model), config.train)
    state, best = run.best.restore(template)
    if dataset is not None:
        check_same_data(best, dataset, config.data.path)
    check_same_scales(best, model.scales, run.path)
    if config.forecast.dispersion == "validation":
        if "dispersion_factor" not in best:
            raise InputError(
                f"{run.path} was trained with `forecast.dispersion=bound`, got validation; set it to bound."
            )
        state = scale(state, best["dispersion_factor"], best.get("decoder_factor", 1.0))
    newest = best if run.latest.latest_step() is None else run.latest.restore(template)[1]
    return state, best, newest
