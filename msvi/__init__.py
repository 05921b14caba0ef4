"""Stochastic multiscale models of physical systems, learned from trajectories without solving an SDE in training.

    model = msvi.fit(u, t, boundary="periodic", workdir="runs/wave")
    forecast = model.forecast(u0, t, members=64)
    msvi.plot(forecast, "wave.png")
    model = msvi.load("runs/wave")

Imports flow one way: `types`, `errors` -> `data` | `model` -> `inference`, `forecast`, `scores` -> `config` -> `recipe`
-> `training`, `baselines` -> `report` -> `evaluation` -> `library`, `sweep` -> `cli`. The names above are looked up
when they are asked for, so that importing the inference never imports a differential-equation solver.
"""

import importlib
from typing import Any

__all__ = ["InputError", "Model", "export", "fit", "load", "plot"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'msvi' has no attribute {name!r}")
    return getattr(importlib.import_module("msvi.errors" if name == "InputError" else "msvi.library"), name)


def __dir__() -> list[str]:
    return __all__
