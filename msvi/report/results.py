"""Result files read back, and their plain table and figure."""

import glob
import json
import os
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from msvi.errors import InputError
from msvi.report import plots_scores, plots_sweep
from msvi.report.save import save_figure
from msvi.report.tables import BASELINE_LABELS, LATENTS, LATENTS_PER_CELL, MISSING, PUBLISHED
from msvi.report.wording import cell_of, format_number, in_cells, run_name, worst

# Keys that a result must have, and scores of its test trajectories.
_RUN_KEYS = ("case", "micro_dim", "seed", "steps", "train_seconds", "test")
_RUN = _RUN_KEYS, ("nrmse", "nrmse_clean", "reconstruction_nrmse", "noise_floor")
_OWN_DATA = (*_RUN_KEYS, "config", "data"), ("nrmse", "reconstruction_nrmse")
_BASELINE = ("case", "baseline", "test"), ("nrmse",)
_ENSEMBLE = ("case", "micro_dim", "seeds", "test", "calibration"), ("nrmse",)
_SCORE_KEYS = {"mean", "median", "std", "per_trajectory"}


def load_results(directory: str) -> list[dict[str, Any]]:
    """All `<case>/d<micro_dim>_s<seed>.json` below `directory`, sorted by case, micro_dim and seed.

    Raises:
      InputError: a file is no result, such as one that was cut off.
    """
    results = _load(os.path.join(directory, "*", "d*_s*.json"), *_RUN)
    return sorted(results, key=lambda r: (r["case"], r["micro_dim"], r["seed"]))


def load_cells(directory: str) -> list[dict[str, Any]]:
    """All `<case>/cells_d<micro_dim>_s<seed>.json` below `directory`, sorted by case, micro_dim and seed: runs with
    microscale numbers in every coarse cell.

    Raises:
      InputError: a file is no result, such as one that was cut off.
    """
    results = _load(os.path.join(directory, "*", "cells_d*_s*.json"), *_RUN)
    return sorted(results, key=lambda r: (r["case"], r["micro_dim"], r["seed"]))


def load_baselines(directory: str) -> list[dict[str, Any]]:
    """All `<case>/baseline_<name>.json` below `directory`, by case and in the order of `BASELINE_LABELS`.

    Raises:
      InputError: a file is no result of a baseline, or of one that is not known.
    """
    results = _load(os.path.join(directory, "*", "baseline_*.json"), *_BASELINE)
    order = list(BASELINE_LABELS)
    return sorted(results, key=lambda r: (r["case"], order.index(r["baseline"])))


def load_ensembles(directory: str) -> list[dict[str, Any]]:
    """All `<case>/ensemble_d<micro_dim>_s<seeds>.json` below `directory`: runs of several seeds that forecast as one.

    Raises:
      InputError: a file is no result of an ensemble.
    """
    return _load(os.path.join(directory, "*", "ensemble_d*_s*.json"), *_ENSEMBLE)


def load_data_files(directory: str) -> list[dict[str, Any]]:
    """All `custom/<data file>/<label>.json` below `directory`, sorted by path: runs on own data.

    Raises:
      InputError: a file is no result.
    """
    patterns = (os.path.join(directory, "custom", "*", f"{name}_s*.json") for name in ("d*", "cells_d*"))
    return [r for pattern in patterns for r in _load(pattern, *_OWN_DATA)]


def load_systems(directory: str, folder: str = "systems", name: str = "*") -> list[dict[str, Any]]:
    """All `systems/<name>.json` below `directory`, by name: systems of which something is known exactly.

    Args:
      directory: of all results.
      folder: another one with results of systems and their checks, such as `assimilation`.
      name: of the files, without their ending; all of them if left out.

    Raises:
      InputError: a file is no result of a system, such as one that was cut off.
    """
    results = []
    for path in sorted(glob.glob(os.path.join(directory, folder, f"{name}.json"))):
        results.append(load_json(path))
        if not {"system", "checks"} <= results[-1].keys():
            raise InputError(f"{path} must hold the `system` and `checks` of a system; write it again or remove it.")
    return results


def load_domains(directory: str) -> list[dict[str, Any]]:
    """What `benchmark/patches.json` below `directory` holds of each domain; nothing if it is not there.

    Raises:
      InputError: the file was cut off, or is another one.
    """
    path = os.path.join(directory, "benchmark", "patches.json")
    if not os.path.exists(path):
        return []
    measured = load_json(path)
    if "domains" not in measured:
        raise InputError(
            f"{path} must hold the `domains` of `python -m benchmarks.patches`; write it again or remove it."
        )
    return measured["domains"]


def load_result(path: str) -> dict[str, Any]:
    """The result in a file, of whatever it is: of a run, a baseline, an ensemble or a system.

    Raises:
      InputError: it is none.
    """
    r = load_json(path)
    if {"system", "checks"} <= r.keys():
        return r
    of_own_data = r.get("case") == "custom"
    if "baseline" in r or "seeds" in r:
        keys, scores = _BASELINE if "baseline" in r else _ENSEMBLE
        return _checked(path, r, (*keys, "config") if of_own_data else keys, scores)
    return _checked(path, r, *(_OWN_DATA if of_own_data else _RUN))


def load_json(path: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
      InputError: it holds none.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except ValueError as error:
        raise InputError(f"{path} must hold JSON, but {error}; write it again or remove it.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a JSON object, got a {type(values).__name__}; write it again or remove it.")
    return values


def text_table(rows: list[tuple[dict[str, Any], dict[str, Any] | None]]) -> str:
    """A plain table of runs: what names each, its cost and errors; `None` stands for a run without a result."""
    frame = pd.DataFrame([{name: str(value) for name, value in names.items()} | _numbers(r) for names, r in rows])
    return frame.fillna("").to_string(index=False)


def _numbers(r: dict[str, Any] | None) -> dict[str, str]:
    """Cost and errors of a run by the names of their columns."""
    names = ("minutes", "NRMSE median", "mean", "worst", "reconstruction", "noise floor", "published")
    if r is None:
        return {"steps": "not finished"} | dict.fromkeys(names, "")
    nrmse, published = r["test"]["nrmse"], PUBLISHED.get(r["case"], {}).get(r["micro_dim"])
    errors = [nrmse["median"], nrmse["mean"], worst(nrmse), r["test"]["reconstruction_nrmse"]["median"]]
    floor = r["test"].get("noise_floor")  # not known of recorded data
    cells = [f"{r['train_seconds'] / 60:.1f}", *map(format_number, errors)]
    cells += [MISSING if floor is None else format_number(floor["median"]), cell_of(published, "{:.3f}")]
    return {"steps": f"{r['steps']:,}"} | dict(zip(names, cells, strict=True))


def sweep_figure(results: list[dict[str, Any]]) -> Figure:
    """Error against micro_dim of the results of one case, the published errors beside."""
    case = results[0]["case"]
    return plots_sweep.error_against_micro_dim(*sweep_errors(results), published=PUBLISHED.get(case, {}), title=case)


def sweep_errors(results: list[dict[str, Any]]) -> list[list[float]]:
    """micro_dim and medians of error, reconstruction and noise floor; NaN, a gap, if it diverged or is not known."""
    names = ("nrmse", "reconstruction_nrmse", "noise_floor")
    unknown = {"median": None}
    medians = [[r["test"].get(name, unknown)["median"] for r in results] for name in names]
    errors = [[float("nan") if v is None else v for v in values] for values in medians]
    return [[r["micro_dim"] for r in results], *errors]


def draw_sweeps(results: list[dict[str, Any]], directory: str) -> list[str]:
    """Draws `<directory>/<case>/sweep.png` for each case with two or more values of micro_dim; returns the paths."""
    paths = []
    for case in sorted({r["case"] for r in results}):
        chosen = [r for r in results if r["case"] == case]
        if len({r["micro_dim"] for r in chosen}) > 1:
            os.makedirs(os.path.join(directory, case), exist_ok=True)
            paths += save_figure(sweep_figure(chosen), os.path.join(directory, case, "sweep"))
    return paths


def rank_shares(results: list[dict[str, Any]]) -> tuple[tuple[float, ...], dict[str, dict[str, list[float]]]]:
    """Probabilities of the quantiles, and by case and model the shares of observations below them, means over the
    seeds: with five latents for the domain and two in each cell."""
    levels: tuple[float, ...] = ()
    found: dict[str, dict[str, list[list[float]]]] = {}
    for r in sorted(results, key=lambda r: (r["case"], in_cells(r))):
        told = r.get("calibration", {})
        wanted = r["micro_dim"] == (LATENTS_PER_CELL if in_cells(r) else LATENTS)
        if wanted and None not in told.get("reliability", [None]):
            levels = tuple(told["probabilities"])  # those of every evaluation
            found.setdefault(r["case"], {}).setdefault(run_name(r), []).append(told["reliability"])
    return levels, {
        case: {name: np.mean(seeds, axis=0).tolist() for name, seeds in models.items()}
        for case, models in found.items()
    }


def draw_ranks(results: list[dict[str, Any]], directory: str) -> str | None:
    """Draws `<directory>/ranks.png`, rank histograms of each case; returns its path, or None where nothing is told."""
    levels, shares = rank_shares(results)
    if not shares:
        return None
    os.makedirs(directory, exist_ok=True)
    (path,) = save_figure(plots_scores.rank_histograms(levels, shares), os.path.join(directory, "ranks"))
    return path


def _load(pattern: str, keys: tuple[str, ...], scores: tuple[str, ...]) -> list[dict[str, Any]]:
    """The result files that match, each with the `keys` and `scores`."""
    return [_checked(path, load_json(path), keys, scores) for path in sorted(glob.glob(pattern))]


def _checked(path: str, result: dict[str, Any], keys: tuple[str, ...], scores: tuple[str, ...]) -> dict[str, Any]:
    """The result if it has the `keys`, its `test` the `scores`, and every score its statistics."""
    test = result.get("test")
    test = test if isinstance(test, dict) else {}
    lacking = [key for key in keys if key not in result]
    lacking += [f"test.{score}" for score in scores if score not in test]
    for name, score in test.items():
        if not isinstance(score, dict) or not score.keys() >= _SCORE_KEYS:
            lacking.append(f"{', '.join(sorted(_SCORE_KEYS))} of test.{name}")
    if lacking:
        raise InputError(f"{path} is no whole result, it lacks {', '.join(lacking)}; evaluate the run again.")
    if result.get("baseline", "mean") not in BASELINE_LABELS:
        known = ", ".join(BASELINE_LABELS)
        raise InputError(f"Baselines are {known}, got a result of {result['baseline']!r} in {path}; remove it.")
    return result
