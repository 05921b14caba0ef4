"""How long the filter takes to find the flow past the cylinder from a wrong state."""

import numpy as np

from benchmarks.assimilation.twin import Settings, Twin
from msvi.library import Model

# An error counts as small that is at most so many times that of the filter in the last quarter of all truths; of how
# many truths.
_NEAR, _TRUTHS = 2.0, 4


def found_after(model: Model, twin: Twin, settings: Settings) -> list[float]:
    """Shedding periods until the error is and stays small, of each truth; infinite where it does not.

    The ensemble begins as frames of a quarter period about the opposite phase: the truth's own, half a period later.
    """
    period = twin.period / (twin.t[1] - twin.t[0])
    half, eighth = round(period / 2), max(round(period / 8), 1)
    errors = []
    for run, truth in enumerate(twin.truth[:_TRUTHS]):
        wrong = truth[half - eighth : half + eighth + 1]
        analysis = model.assimilate(
            twin.readings(model, run),
            twin.t,
            positions=twin.positions,
            channel=twin.channels.tolist(),
            noise=twin.noise,
            initial=wrong,
            members=settings.members,
            localisation=settings.localisation,
            inflation=settings.inflation,
            fields=False,
            seed=run,
        )
        mean = np.stack([analysis.filtered[f"{name}_mean"].values for name in model.labels.channels or ("u",)], axis=-1)
        mean = mean.reshape(truth.shape)
        errors.append(np.sqrt(np.mean((mean - truth) ** 2, axis=tuple(range(1, truth.ndim)))))
    level = _NEAR * np.sqrt(np.mean([own[-len(own) // 4 :] ** 2 for own in errors]))
    deviation = twin.truth.reshape(-1, twin.truth.shape[-1]).std(axis=0).max()
    return [_settles(own, level) / period if level < 0.5 * deviation else float("inf") for own in errors]


def _settles(errors: np.ndarray, level: float) -> float:
    """The frame from which on errors stay below a level, infinite if that is in the last quarter."""
    large = np.flatnonzero(~(errors <= level))
    first = large[-1] + 1 if large.size else 0
    return float(first) if first < 0.75 * len(errors) else float("inf")
