"""The baselines by name, fitted."""

import functools
import importlib.util
from collections.abc import Callable

from msvi.baselines.base import Baseline
from msvi.baselines.coarse import fit_coarse
from msvi.baselines.dmd import fit_dmd
from msvi.baselines.neural import fit_neural
from msvi.baselines.simple import fit_mean, fit_persistence
from msvi.baselines.sindy import fit_sindy
from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError

BASELINES: dict[str, Callable[[Config, Dataset], Baseline]] = {
    "persistence": fit_persistence,
    "mean": fit_mean,
    "coarse": fit_coarse,
    "dmd": fit_dmd,
    "sindy": fit_sindy,
    "fno": functools.partial(fit_neural, "fno"),
    "unet": functools.partial(fit_neural, "unet"),
}

# Imported only where they are used: the other baselines do without.
_PACKAGES = {"dmd": "pydmd", "sindy": "pysindy", "fno": "pdequinox", "unet": "pdequinox"}
# Those that know what to do with gaps.
_OF_GAPS = ("persistence", "mean")


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
    if name not in _OF_GAPS and any(split.mask is not None for split in learned_from):
        raise InputError(f"The baseline {name} needs trajectories without gaps, got some; fill them.")
    if name == "coarse" and any(split.num_frames is not None for split in learned_from):
        raise InputError("The baseline coarse needs trajectories of equal length, got others; cut them alike.")
    return BASELINES[name](config, dataset)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # blocked in `sys.modules`
        return False
