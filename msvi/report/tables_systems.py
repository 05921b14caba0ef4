"""Tables of systems of which something is known exactly, `results/systems/`, of larger and larger domains, and of
somebody else's benchmark."""

import math
import statistics
from typing import Any

from msvi.report.tables import BASELINE_LABELS, MISSING, Table

_WORDS = {True: "yes", False: "**no**", None: "measured"}
_SCORES = {"crps_scaled": "CRPS over deviation", "anomaly_nrmse": "anomaly error"}


def checks_table(results: list[dict[str, Any]]) -> Table:
    """What was measured of each system, what it had to be, and whether it was."""
    rows = [
        [r["system"], name, _values(check["value"]), _bar(check["bar"]), _WORDS[check["met"]]]
        for r in results
        for name, check in r["checks"].items()
    ]
    return Table(["system", "what is compared", "found", "allowed", "met"], rows)


def systems_scores_table(results: list[dict[str, Any]]) -> Table:
    """Medians of the model's scores over the test trajectories beside those of the baselines."""
    names = ("persistence", "mean", "dmd")
    rows = []
    for r in results:
        for score, label in _SCORES.items() if "test" in r else ():
            others = [_values(r["baselines"].get(name, {}).get(score)) for name in names]
            ours = [r["test"], r.get("cells", {}).get("test")]
            found = [MISSING if test is None else _values(test[score]["median"]) for test in ours]
            rows.append([r["system"], label, *others, *found])
    columns = ["system", "score, median", *(BASELINE_LABELS[name] for name in names), "global", "in cells"]
    return Table(columns, rows)


def apebench_table(results: list[dict[str, Any]]) -> Table:
    """A row per scenario of APEBench: our error, in the median over the seeds and their range, beside those of its
    networks, and what the ensemble tells beside."""
    networks = list(dict.fromkeys(name for r in results for name in r.get("published", {})))
    columns = ["scenario", "ours", "seeds", *networks, "trained here", "allowed", "first step", "reconstruction"]
    columns += ["spread over error", "90 % coverage", "latents / points", "minutes"]
    table = Table(columns, [], strong="ours")
    for r in results:
        seeds = list(r.get("seeds", {}).values())
        if not seeds:
            continue
        errors = [math.inf if seed["error"] is None else seed["error"] for seed in seeds]
        here = [f"{name.partition(';')[0]} {_values(found['error'])}" for name, found in r.get("reference", {}).items()]
        bar = next(check["bar"] for name, check in r["checks"].items() if name.startswith("error, median"))

        def median(name, seeds=seeds):
            known = [seed[name] for seed in seeds if seed[name] is not None]
            return _values(statistics.median(known) if known else None)

        spread = f" ({_values(min(errors))} to {_values(max(errors))})" if len(errors) > 1 else ""
        row = [r["system"], _values(statistics.median(errors)) + spread, str(len(seeds))]
        row += [_values(r.get("published", {}).get(name)) for name in networks]
        row += [", ".join(here) or MISSING, MISSING if bar is None else _values(bar)]
        row += [median(name) for name in ("first_step_nrmse", "reconstruction_nrmse", "spread_skill", "coverage_90")]
        row += [f"{seeds[0]['latents']} / {seeds[0]['points']}"]
        table.rows.append([*row, f"{max(seed['train_seconds'] for seed in seeds) / 60:.0f}"])
    return table


def patches_table(domains: list[dict[str, Any]]) -> Table:
    """What learning from patches costs on each of several domains, as `python -m benchmarks.patches` measures it."""
    rows = [
        [
            " x ".join(map(str, d["points"])),
            " x ".join(map(str, d["cells"])),
            f"{d['latents']:,}",
            f"{d['parameters']:,}",
            f"{d['step_s']:.2f} s",
            f"{d['file_gib']:.2f} GiB",
            f"{d['peak_memory_gib']:.1f} GiB",
        ]
        for d in domains
    ]
    return Table(["points", "cells", "latents", "parameters", "a step", "data file", "memory at most"], rows)


def _values(value: float | list[float | None] | None) -> str:
    """A number, or the smallest and the largest of several; `MISSING` for one that is not finite."""
    if not isinstance(value, list):
        return MISSING if value is None else f"{value:.3g}"
    known = [number for number in value if number is not None]
    return f"{min(known):.3g} to {max(known):.3g}" if len(known) == len(value) else MISSING


def _bar(bar: float | list[float | None] | None) -> str:
    if bar is None:
        return MISSING
    least, largest = bar if isinstance(bar, list) else (None, bar)
    if largest is None:
        return f"at least {least:.3g}"
    return f"at most {largest:.3g}" if least is None else f"{least:.3g} to {largest:.3g}"
