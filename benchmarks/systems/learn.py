"""One system learned: data, training with the default for own data, evaluation, and the checks of all of them."""

import dataclasses
import json
import os
import runpy
from typing import Any

from benchmarks.systems.base import Check, System, data_file, noise_of, seconds_of
from msvi.config import Config, from_dict, to_dict
from msvi.data.dataset import load_dataset
from msvi.data.recorded import load_recorded
from msvi.evaluation.evaluate import evaluate
from msvi.recipe.suggest import resolve
from msvi.training.loop import train
from msvi.training.trained import load_trained
from msvi.training.workdir import Workdir

_CONFIGS = os.path.join(os.path.dirname(__file__), "..", "..", "configs")

# What a system changes where the microscale is in cells.
_OWN = {
    # The mean over the domain is kept, and there is nothing in the data to tell what it does.
    "kuramoto_sivashinsky": {"model": {"conservative": True}},
    # With power in waves as short as a cell, eight numbers a cell err more than persistence does after one frame.
    "vorticity_2d": {
        "model": {"micro_dim": 15},
        "inference": {"num_nodes": 9, "num_quadrature": 9},
        "train": {"batch_windows": 4, "steps": 7000},
    },
}


def case_config(case: str, variant: str = "default", **changes: dict[str, Any]) -> Config:
    """`configs/<case>.py:<variant>`, with the fields of groups that are to be changed."""
    values = runpy.run_path(os.path.join(_CONFIGS, f"{case}.py"))["get_config"](variant).to_dict()
    for group, fields in changes.items():
        values[group] |= fields
    return from_dict(values)


def custom_config(
    path: str,
    seed: int = 0,
    steps: int | None = None,
    noise_std: float = 0.0,
    layout: str = "auto",
    system: str = "",
) -> Config:
    """`configs/custom.py` for a data file.

    Args:
      path: of the file.
      seed: of the training.
      steps: in place of the default.
      noise_std: of the observation, by which calibration against the truth is told; a file cannot say it.
      layout: of the microscale.
      system: whose file it is, which may change something where the microscale is in cells.
    """
    changes = _OWN.get(system, {}) if layout == "cells" else {}
    config = case_config("custom", **changes | {"model": changes.get("model", {}) | {"micro_layout": layout}})
    data = dataclasses.replace(config.data, path=path, noise_std=noise_std)
    optimization = config.train if steps is None else dataclasses.replace(config.train, steps=steps)
    return dataclasses.replace(config, seed=seed, data=data, train=optimization)


def check_data(system: System, directory: str) -> dict[str, Check]:
    """Generates the system's file in `directory`, where it is not there, and checks it."""
    return system.check_data(load_recorded(data_file(system, directory), (), 0, 0, 0, 0))


def learn(
    system: System,
    directory: str,
    workdir: str,
    seed: int = 0,
    steps: int | None = None,
    layout: str = "global",
) -> dict[str, Any]:
    """Generates, trains, evaluates and checks; of these what is done already is not done again.

    Args:
      directory: of the data file.
      workdir: of the run.
      seed: of the training.
      steps: of the training, in place of the default.
      layout: of the microscale; where it is in cells there are no checks of the data, which are the same.

    Returns:
      `system`, `config` with nothing left open, `versions`, `seconds` by part, `steps`, `test`, `baselines` and
      `checks`.
    """
    path = data_file(system, directory)
    noise = noise_of(path)
    noise_std = noise[0] if len(noise) == 1 else 0.0
    config = custom_config(path, seed, steps, noise_std, layout, system.name)
    train(config, workdir)
    result = evaluated(config, workdir)
    trained = load_trained(workdir)
    of_the_data = system.check_data(trained.dataset) if layout == "global" else {}
    return {
        "system": system.name,
        "config": result["config"],
        "versions": result["versions"],
        "seconds": {
            "generate": seconds_of(path),
            "train": result["train_seconds"],
            "evaluate": result["evaluate_seconds"],
        },
        "steps": result["steps"],
        "test": result["test"],
        "baselines": result["baselines"],
        "checks": of_the_data | system.check_model(trained, result),
    }


def beside(before: dict[str, Any], layout: str, result: dict[str, Any]) -> dict[str, Any]:
    """A system's result with what another layout gave: under the layout's name, and its checks, whose names then begin
    with it, among the others.

    Args:
      before: what the file of the system holds.
    """
    checks = {name: check for name, check in before["checks"].items() if not name.startswith(f"{layout}: ")}
    checks |= {f"{layout}: {name}": check for name, check in result["checks"].items()}
    own = {key: value for key, value in result.items() if key not in ("system", "checks")}
    return before | {"checks": checks, layout: own}


def evaluated(config: Config, workdir: str) -> dict[str, Any]:
    """The result of the run's evaluation, made now unless it stands in the run's folder already."""
    run, path = Workdir(os.path.abspath(workdir)), os.path.join(workdir, "result.json")
    if os.path.exists(path) and os.path.getmtime(path) > os.path.getmtime(run.history):
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        # As JSON has it: lists for tuples.
        if found["config"] == json.loads(json.dumps(to_dict(resolve(config, load_dataset(config.case, config.data))))):
            return found
    # Results of systems stand in a folder of their own, not among those of users' files.
    return evaluate(workdir, os.path.join(workdir, "results")).result


def format_checks(checks: dict[str, Check]) -> str:
    """The checks as lines: value, bar, and whether it is met."""
    words = {True: "met", False: "MISSED", None: "measured"}
    lines = []
    for name, check in checks.items():
        values = check["value"] if isinstance(check["value"], list) else [check["value"]]
        shown = " ".join("not finite" if value is None else f"{value:.4g}" for value in values)
        lines.append(f"{words[check['met']]:9}{name}: {shown}" + ("" if check["bar"] is None else f" ({check['bar']})"))
    return "\n".join(lines)
