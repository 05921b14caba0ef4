"""Baselines of the forecasting study: what a forecast from the first frame costs without the model."""

import importlib.util
from collections.abc import Callable

from msvi.baselines.base import Baseline, few_trajectories
from msvi.baselines.coarse import fit_coarse
from msvi.baselines.dmd import fit_dmd
from msvi.baselines.simple import fit_mean, fit_persistence
from msvi.baselines.sindy import fit_sindy
from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError

__all__ = ["BASELINES", "Baseline", "few_trajectories", "fit_baseline"]

BASELINES: dict[str, Callable[[Config, Dataset], Baseline]] = {
    "persistence": fit_persistence,
    "mean": fit_mean,
    "coarse": fit_coarse,
    "dmd": fit_dmd,
    "sindy": fit_sindy,
}

# Imported only where they are used: the other baselines do without.
_PACKAGES = {"dmd": "pydmd", "sindy": "pysindy"}
# Those that know what to do with gaps and trajectories of unequal length.
_OF_PARTS = ("persistence", "mean")


def fit_baseline(name: str, config: Config, dataset: Dataset) -> Baseline:
    """Fits one of `BASELINES` on the training trajectories, its settings chosen on the validation ones.

    Parameters and forcing that a data file holds are not used.

    Raises:
      InputError: an unknown name, a package that is not installed, or data that the baseline cannot use.
    """
    if name not in BASELINES:
        raise InputError(f"A baseline must be one of {', '.join(BASELINES)}, got {name!r}.")
    package = _PACKAGES.get(name)
    if package and not _installed(package):
        raise InputError(f"The baseline {name} needs the package {package}; pip install -e .[baselines]")
    learned_from = dataset.train, dataset.val
    if name not in _OF_PARTS and any(s.mask is not None or s.num_frames is not None for s in learned_from):
        raise InputError(
            f"The baseline {name} needs trajectories of equal length without gaps, got others; fill the gaps or cut "
            "them alike."
        )
    return BASELINES[name](config, dataset)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # blocked in `sys.modules`
        return False
