"""What is printed of an evaluation: its table, the baselines beside it, and what is wrong with the forecasts."""

from typing import Any

import numpy as np

from msvi.report.wording import BASELINE_LABELS, DIVERGED, MISSING, microscale

# The scores by which a model is worth its training, and two that are known.
_DECISIVE = ("crps_scaled", "anomaly_nrmse")
BASELINE_SCORES = (*_DECISIVE, "crps", "nrmse")
# Steps are too long where halving them changes so much of the error: more than that much of it is theirs.
_TOO_MUCH = 0.3
# A forecast is far too sure where its spread is below that much of its error.
_TOO_SURE = 0.25
# The macroscale is idle where it carries less than that share of the variance.
_IDLE = 0.02
# So many trajectories are named at most.
_NAMED = 8


def format_table(result: dict[str, Any]) -> str:
    """The result's scores as a text table."""
    if "baseline" in result:
        head = f"{result['case']}, baseline {result['baseline']}"
    elif "seeds" in result:
        seeds = ", ".join(map(str, result["seeds"]))
        head = f"{result['case']}, micro_dim {microscale(result)}, seeds {seeds} together"
    else:
        head = (
            f"{result['case']}, micro_dim {microscale(result)}, seed {result['seed']}, checkpoint of step "
            f"{result['best_step']} of {result['steps']}"
        )
    lines = [
        f"{head}, {result['data']['test']} test trajectories",
        f"{'':24}{'median':>9}{'mean':>9}{'sd':>9}{'smallest':>10}{'largest':>9}",
    ]
    missing = DIVERGED if result.get("diverged", True) else MISSING  # results of earlier versions did not tell
    for name, score in result["test"].items():
        values = [v for v in score["per_trajectory"] if v is not None]
        whole = missing == MISSING and values or len(values) == len(score["per_trajectory"])
        ends = [min(values), max(values)] if whole else [None, None]
        cells = [_cell(v, missing) for v in (score["median"], score["mean"], score["std"], *ends)]
        lines.append(f"{name:24}" + "".join(f"{cell:>{n}}" for cell, n in zip(cells, (9, 9, 9, 10, 9), strict=True)))
    for threshold, horizon in result["horizon"].items():
        count, number = horizon["censored"], result["data"]["test"]
        median = "beyond the end" if horizon["median"] is None else f"{horizon['median']:.3g}"
        lines.append(f"relative L2 error above {threshold}: after {median} (median), never in {count} of {number}")
    if "calibration" in result:
        found = result["calibration"]
        numbers = [missing if v is None else f"{v:.3f}" for v in (found["spread_skill"], found["coverage_90"])]
        lines.append(f"over all trajectories: spread–skill ratio {numbers[0]}, coverage of 90 % intervals {numbers[1]}")
    return "\n".join([*lines, *_beside_baselines(result), *_warnings(result)])


def _cell(value: float | None, missing: str) -> str:
    if value is None:
        return missing
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.2e}"


def _beside_baselines(result: dict[str, Any]) -> list[str]:
    """The baselines' medians in lines of their own."""
    found = result.get("baselines", {})
    if not found:
        return []
    names = {
        "": dict.fromkeys(BASELINE_SCORES),
        "the model": {s: result["test"][s]["median"] for s in BASELINE_SCORES},
    }
    names |= {BASELINE_LABELS[name]: scores for name, scores in found.items() if "left_out" not in scores}
    lines = [f"{'medians beside others':24}" + "".join(f"{score:>15}" for score in BASELINE_SCORES)]
    for name, scores in list(names.items())[1:]:
        lines.append(f"{name:24}" + "".join(f"{_cell(scores[score], DIVERGED):>15}" for score in BASELINE_SCORES))
    reasons = (f"{BASELINE_LABELS[name]} is left out: {s['left_out']}" for name, s in found.items() if "left_out" in s)
    return [*lines, *reasons]


def _warnings(result: dict[str, Any]) -> list[str]:
    """What is wrong with the forecasts in plain lines, and what to try."""
    lines = [*_idle_mesh(result), *_too_sure(result)]
    if result.get("diverged"):
        what = f"The forecasts of {result['diverged']} of {result['data']['test']} trajectories diverged"
        if "baseline" in result:
            lines.append(f"{what}: they left the range of numbers; choose another baseline.")
        else:
            steps = 4 * result["config"]["forecast"]["steps_per_frame"]
            lines.append(
                f"{what}: they left the range of numbers; try smaller steps, --steps_per_frame={steps}, or another "
                "--solver, or train with a larger or smaller inference.drift_weight."
            )
    change, forecast = result.get("change_by_halving"), result["config"]["forecast"]
    if change and change > _TOO_MUCH:
        other = "" if forecast["solver"] == "rk4" else " or --solver=rk4"
        lines.append(
            f"The solver's steps are long: with half of them forecasts change by {100 * change:.0f} % of their error; "
            f"try --steps_per_frame={2 * forecast['steps_per_frame']}{other}."
        )
    ours = {score: result["test"][score]["median"] for score in _DECISIVE if score in result["test"]}
    # By so much the mean of a finite ensemble errs more than that of all that may come, be it ever so right.
    finite = float(np.sqrt(1 + 1 / result["config"]["forecast"]["num_members"]))
    margin: dict[str, float] = dict.fromkeys(ours, finite) | {"crps_scaled": 1.0}
    for name, theirs in result.get("baselines", {}).items():
        lost = [score for score, value in ours.items() if _is_better(theirs.get(score), value, margin[score])]
        if lost:
            numbers = " and ".join(f"{s} ({_cell(theirs[s], '')} against {_cell(ours[s], DIVERGED)})" for s in lost)
            lines.append(
                f"The model loses to the {BASELINE_LABELS[name]} in {numbers}: train for more steps, with more "
                "microscale latents (model.micro_dim) or a finer mesh (smaller model.coarsening), or take the baseline."
            )
    return lines


def _idle_mesh(result: dict[str, Any]) -> list[str]:
    """A line where the latents carry the whole field, which errors do not show."""
    share = result["test"].get("macro_share", {}).get("median")
    if share is None or share >= _IDLE:
        return []
    return [
        f"The macroscale carries {100 * share:.1g} % of the field's variance: the microscale carries all, and the "
        "coarse mesh tells nothing; try model.hold_kernel=True with model.lift_radius=2, or a smaller model.micro_dim."
    ]


def _too_sure(result: dict[str, Any]) -> list[str]:
    """A line on the trajectories where the members agree and are wrong, which medians over all of them hide."""
    ratios = result["test"].get("spread_skill", {}).get("per_trajectory", [])
    found = [i for i, ratio in enumerate(ratios) if ratio is not None and ratio < _TOO_SURE]
    if not found or "baseline" in result:
        return []
    named = ", ".join(map(str, found[:_NAMED])) + (" and more" if found[_NAMED:] else "")
    inside = result.get("test_inside")
    where = "" if inside is None or any(inside[i] for i in found) else ", outside of the range of the training ones"
    others = "" if "seeds" in result else ", or evaluate several seeds together, which agree less where they know less"
    return [
        f"{len(found)} of {len(ratios)} forecasts err more than {1 / _TOO_SURE:.0f} times what their members say (test "
        f"trajectories {named}{where}): train with trajectories like these{others}."
    ]


def _is_better(theirs: float | None, ours: float | None, margin: float) -> bool:
    return theirs is not None and (ours is None or theirs * margin < ours)
