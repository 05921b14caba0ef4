"""What the runs have to show, as `checks` with bars."""

from typing import Any

import numpy as np

from benchmarks.systems.base import Check, judge

# Error over that of the filter with the equation itself; spread over error; seconds of 1000 frames of 64 members.
_TRUE, _SPREAD, _SECONDS = 1.5, [0.8, 1.25], 10.0


def make_checks(name: str, runs: list[dict[str, Any]], found: list[float] | None) -> dict[str, Check]:
    """Checks of all runs of a system; errors are root mean squares over the runs, in deviations of the field.

    Args:
      runs: from `benchmarks.assimilation.twin.run_twin`.
      found: of the flow past the cylinder, how long wrong states lasted, in periods.
    """

    def error(who):
        return float(np.sqrt(np.mean(np.square(_numbers([run[who]["error"] for run in runs])))))

    chaotic, line = name == "kuramoto_sivashinsky", "solver" in runs[0]
    ours, noise = error("model"), float(np.mean([run["noise_over_deviation"] for run in runs]))
    # The first run compiles; a run alone has nothing but that.
    frames = len(runs[0]["error_over_time"])
    seconds = float(np.median([run["seconds"] for run in runs[1:] or runs])) * 1000 / frames
    checks = {
        "runs lost": judge(float(sum(run["model"]["lost"] for run in runs)), 0),
        "error, in deviations of the field": judge(ours, None),
        "error over that of a sensor": judge(ours / noise, 1.0 if chaotic else None),
        "spread over error": judge(_spread(runs, "model"), _SPREAD if chaotic else None),
        "error over that of the forecast from the first frame": judge(ours / error("free"), 1.0 if chaotic else None),
        "error over that of the analysis kept": judge(ours / error("persistence"), 1.0),
        "error over that of filling the gaps": judge(ours / error("filling"), 1.0),
        "chi² per reading": judge(float(np.mean(_numbers([run["chi2_per_reading"] for run in runs]))), None),
        "autocorrelation of innovations": judge(
            float(np.mean(_numbers([run["autocorrelation"][0] for run in runs]))), None
        ),
        "seconds for 1000 frames, compiled": judge(seconds, _SECONDS if line else None),
    }
    if line:
        checks["error over that of the same filter with the equation"] = judge(
            ours / error("solver"), _TRUE if chaotic else None
        )
        checks["the same, which is not localised"] = judge(ours / error("solver_not_localised"), None)
        checks["spread over error with the equation"] = judge(_spread(runs, "solver"), None)
        checks["runs lost with the equation"] = judge(float(sum(run["solver"]["lost"] for run in runs)), None)
    if found is not None:
        checks["periods until a wrong state is found"] = judge(found, 1.0)
    return checks


def _spread(runs: list[dict[str, Any]], who: str) -> float:
    """Root mean square of the spread over that of the error, over all runs."""
    errors = _numbers([run[who]["error"] for run in runs])
    spreads = errors * _numbers([run[who]["spread_over_error"] for run in runs])
    return float(np.sqrt(np.mean(spreads**2) / np.mean(errors**2)))


def _numbers(values: list[float | None]) -> np.ndarray:
    """NaN for None, which stands for what was not finite."""
    return np.array(values, float)
