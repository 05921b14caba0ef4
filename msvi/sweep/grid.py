"""The grid of a sweep: its points, their configurations and folders, the order of staged training, what is finished."""

import dataclasses
import functools
import itertools
import json
import os
import re
from typing import Any, NamedTuple

from msvi.config import OF_NO_EFFECT, Config, differences, from_dict
from msvi.errors import InputError

# Fields that do not make another run; steps are compared by themselves.
_FREE = ("train.steps", *OF_NO_EFFECT)
_IN_NAME = ("model.micro_dim", "seed")  # `Config.run_name` tells these apart


class Run(NamedTuple):
    """One point of the grid.

    Attributes:
      fields: the swept fields with their values.
      config: of the run.
      variant: swept fields beyond micro_dim and seed, as text for names; runs that share it share a figure.
      workdir: folder of the run.
      results_dir: folder that its result file goes to.
      previous: number of the run whose weights start this one, None if it starts from random ones.
    """

    fields: dict[str, Any]
    config: Config
    variant: str
    workdir: str
    results_dir: str
    previous: int | None = None


def expand(settings: list[str]) -> list[dict[str, str]]:
    """All points of the grid that texts `field=v1,v2,…` span, the last field running fastest.

    Raises:
      InputError: a text of another form, an empty value, a field given twice, or no text at all.
    """
    if not settings:
        raise InputError("A sweep needs at least one field to vary, got none; give --set field=v1,v2,….")
    grid: dict[str, list[str]] = {}
    for setting in settings:
        name, given, text = setting.partition("=")
        values = [value.strip() for value in text.split(";" if ";" in text else ",")]
        if not given or not re.fullmatch(r"\w+(\.\w+)*", name) or "" in values:
            raise InputError(f"`--set` must be field=v1,v2,… with no value empty, got {setting!r}; correct it.")
        if name in grid:
            raise InputError(f"`--set` names `{name}` twice; give all of its values at once.")
        grid[name] = values
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def plan(names: list[str], configs: list[Config], root: str, results_dir: str) -> list[Run]:
    """A run for each configuration, with folders named after the fields `names` that are swept.

    Raises:
      InputError: two points of the grid are the same run.
    """
    runs = []
    for config in configs:
        fields = {name: functools.reduce(getattr, name.split("."), config) for name in names}
        variant = "_".join(f"{name}={_file_name(v)}" for name, v in fields.items() if name not in _IN_NAME)
        runs.append(Run(fields, config, variant, *_folders(config, variant, root, results_dir)))
    for run, other in itertools.combinations(runs, 2):
        if run.workdir == other.workdir or run.config == other.config:
            raise InputError(f"`--set` gives {_label(other)} twice; name each value once.")
    return runs


def stage(runs: list[Run], root: str, results_dir: str, **changes: float | None) -> list[Run]:
    """`runs` in chains of increasing micro_dim, each run started from the weights of the one before it.

    The first run of a chain is an ordinary one, in the folder of an ordinary one.

    Args:
      runs: from `plan`.
      root, results_dir: as there.
      changes: fields of the group `train` of the runs so started; None keeps the run's own.

    Raises:
      InputError: micro_dim has only one value.
    """
    if len({run.config.model.micro_dim for run in runs}) < 2:
        raise InputError("`--staged` needs two or more values of model.micro_dim; add --set model.micro_dim=0,1,….")
    changes = {name: value for name, value in changes.items() if value is not None}
    staged, newest = list(runs), {}
    for number in sorted(range(len(runs)), key=lambda number: runs[number].config.model.micro_dim):
        run = runs[number]
        variant = f"{run.variant}_staged".lstrip("_")
        chain = tuple(value for name, value in run.fields.items() if name != "model.micro_dim")
        previous, newest[chain] = newest.get(chain), number
        if previous is None:
            staged[number] = run._replace(variant=variant)
            continue
        settings = dataclasses.replace(run.config.train, warm_start=staged[previous].workdir, **changes)
        config = dataclasses.replace(run.config, train=settings)
        staged[number] = Run(run.fields, config, variant, *_folders(config, variant, root, results_dir), previous)
    return staged


def finished_result(run: Run) -> dict[str, Any] | None:
    """The result in the run's folder if it is of this configuration and of at least as many steps, else None."""
    return read_result(os.path.join(run.workdir, "result.json"), run.config, _FREE, run.config.train.steps)


def read_result(path: str, config: Config, ignore: tuple[str, ...], steps: int = 0) -> dict[str, Any] | None:
    """The result in a file if it is of this configuration but for some fields, and of at least so many steps, else
    None."""
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
        changed = differences(from_dict(result["config"]), config, ignore=ignore)
        return result if not changed and (not steps or result["steps"] >= steps) else None
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or another version's
        return None


def _folders(config: Config, variant: str, root: str, results_dir: str) -> tuple[str, str]:
    """Workdir and results folder; other variants' results stay apart from those that only micro_dim and seed tell."""
    name = f"{config.run_name}_{variant}".rstrip("_")
    return os.path.join(root, name), os.path.join(results_dir, "sweeps", variant) if variant else results_dir


def _file_name(value: Any) -> str:
    """A field's value as part of a file name, such as 0.001 or 64x64."""
    return "x".join(map(_file_name, value)) if isinstance(value, tuple) else re.sub(r"[^\w.+-]", "-", str(value))


def _label(run: Run) -> str:
    return ", ".join(f"{name}={_file_name(value)}" for name, value in run.fields.items())
