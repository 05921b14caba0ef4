"""What units and offsets change: one system learned as it is by six seeds, and by three of them in other units.

python -m benchmarks.invariance

trains the default for own data, in short, on waves that travel around a line, seen in two channels, and on the same
numbers with times multiplied, counted from elsewhere or given as dates, and with fields shifted or scaled. Scores are
those without units. Where numbers round differently a training with the same seed is another one, and what a variant
changes in the mean over its seeds has to be less than what another seed does.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from benchmarks.systems.base import Check, judge
from benchmarks.systems.learn import custom_config, evaluated, format_checks
from msvi.cli import entry
from msvi.data.split import SPLITS
from msvi.training.loop import train
from msvi.writing import write_json

STEPS = flags.DEFINE_integer("steps", 1000, "train.steps of each run.", lower_bound=1)
ROOT = flags.DEFINE_string("root", "runs/invariance", "Folder of the data files and of the runs.")
RESULTS = flags.DEFINE_string("results", "results/systems", "Folder of the result file.")

ORIGINAL, SEEDS, SEEDS_OF_VARIANTS = "as it is", (0, 1, 2, 3, 4, 5), 3
_NUMBERS, _POINTS, _FRAMES, _SPACING, _NOISE = (12, 3, 4), 64, 60, 0.02, 0.01
_DAY = 86_400.0

# Times in seconds and fields `(..., channel)` of the original to those of a variant.
Variant = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
VARIANTS: dict[str, Variant] = {
    "times x 1000": lambda t, u: (1e3 * t, u),
    "times x 1e-8": lambda t, u: (1e-8 * t, u),
    "times + 20000 days": lambda t, u: (t + 20_000 * _DAY, u),
    "times as dates": lambda t, u: (np.datetime64("2024-01-01", "ns") + (1e9 * t).round().astype("timedelta64[ns]"), u),
    "fields + 300": lambda t, u: (t, u + 300),
    "first channel x 1e5": lambda t, u: (t, u * np.array([1e5, 1.0])),
}


def travelling_waves(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Times `(time,)` and noisy fields `(trajectory, time, point, 2)`: three waves, and the same with other phases.

    Wave `k` is `a_k cos(2 pi (k x - c_k t) + phase)` with speeds of its own, and amplitudes and phases of each
    trajectory.
    """
    rng, k = np.random.default_rng(seed), np.arange(1, 4)
    t, x = _SPACING * np.arange(_FRAMES), np.arange(_POINTS) / _POINTS
    shape = (sum(_NUMBERS), 1, 1, 1, 3)
    size, phase = rng.uniform(0.5, 1.0, shape) / k, rng.uniform(0, 1, shape)
    lag = np.array([0.0, 0.25])[:, None] * k
    turns = k * x[:, None, None] - np.array([1.0, 1.5, 2.5]) * t[:, None, None, None] + phase + lag
    u = np.sum(size * np.cos(2 * np.pi * turns), axis=-1)
    return t, u + _NOISE * rng.standard_normal(u.shape)


def write_variant(path: str, variant: Variant | None) -> None:
    """Writes the waves to a data file, the way a variant has them; None for as they are."""
    t, u = travelling_waves()
    if variant is not None:
        t, u = variant(t, u)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    np.savez(path, t=t, u=u, boundary=np.array(["periodic"]), split=np.repeat(SPLITS, _NUMBERS))


def run_scores(name: str, seed: int, root: str, steps: int) -> dict[str, float]:
    """Trains and evaluates one run, or reads what it gave; scores by name, infinite where they are not finite."""
    label = name.replace(" ", "_").replace("+", "plus")
    path = os.path.join(root, f"{label}.npz")
    if not os.path.exists(path):
        write_variant(path, VARIANTS.get(name))
    config, workdir = custom_config(path, seed, steps, layout="global"), os.path.join(root, f"{label}_s{seed}")
    train(config, workdir)
    result = evaluated(config, workdir)
    scores = {"crps_scaled": result["test"]["crps_scaled"]["median"]}
    for channel, value in enumerate(result["per_channel"]["anomaly_nrmse"]):
        scores[f"anomaly_nrmse of channel {channel}"] = value
    return {score: np.inf if value is None else value for score, value in scores.items()}


def compare(original: list[dict[str, float]], variants: dict[str, list[dict[str, float]]]) -> dict[str, Check]:
    """Of each variant the largest change of a score, in the mean over its seeds, over the range of all seeds, and by
    itself.

    Args:
      original: scores by seed.
      variants: scores by seed of each variant, with as many of the first seeds.
    """
    ranges = {score: np.ptp([scores[score] for scores in original]) for score in original[0]}
    checks = {}
    for name, by_seed in variants.items():
        before, after = (
            {score: np.mean([scores[score] for scores in runs]) for score in ranges}
            for runs in (original[: len(by_seed)], by_seed)
        )
        change = {score: abs(after[score] - before[score]) for score in ranges}
        over = max(change[score] / ranges[score] for score in ranges)
        checks[f"{name}: change over the range of the seeds"] = judge(over, 1.0)
        checks[f"{name}: relative change"] = judge(max(change[score] / before[score] for score in ranges), None)
    return checks


def main() -> None:
    """Trains, evaluates, compares, and writes `invariance.json`."""
    original = [run_scores(ORIGINAL, seed, ROOT.value, STEPS.value) for seed in SEEDS]
    seeds = SEEDS[:SEEDS_OF_VARIANTS]
    variants = {name: [run_scores(name, seed, ROOT.value, STEPS.value) for seed in seeds] for name in VARIANTS}
    checks = compare(original, variants)
    scores: dict[str, Any] = {
        f"{name}, seed {seed}": {score: float(value) if np.isfinite(value) else None for score, value in found.items()}
        for name, runs in ({ORIGINAL: original} | variants).items()
        for seed, found in zip(SEEDS, runs, strict=False)
    }
    path = os.path.join(RESULTS.value, "invariance.json")
    write_json(path, {"system": "invariance", "steps": STEPS.value, "scores": scores, "checks": checks})
    print(format_checks(checks))
    print(path)


if __name__ == "__main__":
    entry.run(main)
