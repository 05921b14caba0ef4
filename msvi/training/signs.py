"""Signs of a training that goes wrong, read off its history, and what to try."""

import math
from collections.abc import Sequence
from typing import NamedTuple

# Validations that must have passed since the best one, or in all, before a word is said.
_ENOUGH = 5
# Factors above which the validation has risen, or the reconstruction has become worse.
_RISEN, _WORSE = 1.2, 1.3
# The forecast is limited by its dynamics above so many times the error of the reconstruction, and by the decoder where
# that is so large a part of the error.
_FAR, _MOST = 5.0, 0.7
# NRMSE below which a reconstruction or a forecast is good enough.
_GOOD = 0.05


class Sign(NamedTuple):
    """`name` is an identifier, `text` one sentence with what to try."""

    name: str
    text: str


def find_signs(history: Sequence[dict[str, float | None]], warmup_steps: int) -> list[Sign]:
    """The signs that the last validation of a history shows.

    Args:
      history: its entries, oldest first, as in `history.jsonl`. Those of validations have `val_crps`, by which the best
        checkpoint is chosen, `val_nrmse` and `val_reconstruction`; None is a forecast that diverged.
      warmup_steps: over which the weight of the drift residual rises.
    """
    seen = [entry for entry in history if "val_crps" in entry]
    if not seen:
        return []
    found = (check(seen, warmup_steps) for check in (_best_is_old, _reconstruction, _diverged, _limits))
    return [sign for sign in found if sign]


def _best_is_old(seen: list[dict], warmup_steps: int) -> Sign | None:
    scores = [_value(entry, "val_crps") for entry in seen]
    best = min(range(len(seen)), key=lambda i: (scores[i], i))
    since, step, last = len(seen) - 1 - best, seen[best]["step"], seen[-1]["step"]
    if since < _ENOUGH or not math.isfinite(scores[best]):
        return None
    if (best < 2 or step <= warmup_steps) and last >= 2 * warmup_steps:
        return Sign(
            "best-is-early",
            f"The best checkpoint is still that of step {step}, one of the first: nothing learned since then helps "
            "forecasts; lower train.learning_rate or inference.drift_weight.",
        )
    if 2 * step <= last and scores[-1] > _RISEN * scores[best]:
        return Sign(
            "validation-rises",
            f"The validation CRPS has risen from {scores[best]:.3g} at step {step} to {_shown(scores[-1])}, so what is "
            "learned now does not carry over; stop here (the best checkpoint is kept), give more trajectories, or "
            "lower train.learning_rate or model.micro_dim.",
        )
    return None


def _reconstruction(seen: list[dict], warmup_steps: int) -> Sign | None:
    errors = [_value(entry, "val_reconstruction") for entry in seen]
    best = min(range(len(seen)), key=lambda i: (errors[i], i))
    setting_in = best == 0 or seen[best]["step"] <= warmup_steps
    if not setting_in or len(seen) - best < 3 or min(errors[-2:]) <= _WORSE * errors[best]:
        return None
    return Sign(
        "reconstruction-worsens",
        f"The reconstruction has become worse as the weight of the drift residual set in, NRMSE {errors[best]:.3g} at "
        f"step {seen[best]['step']} and {_shown(errors[-1])} now; lower inference.drift_weight.",
    )


def _diverged(seen: list[dict], warmup_steps: int) -> Sign | None:
    if seen[-1]["val_crps"] is not None or seen[-1]["step"] < warmup_steps:
        return None
    return Sign(
        "forecast-diverges",
        f"The validation forecast of step {seen[-1]['step']} left the range of numbers; raise "
        "forecast.steps_per_frame or inference.drift_weight, or lower train.learning_rate.",
    )


def _limits(seen: list[dict], warmup_steps: int) -> Sign | None:
    forecast, reconstruction = (_value(seen[-1], f"val_{name}") for name in ("nrmse", "reconstruction"))
    late = len(seen) >= 2 * _ENOUGH and seen[-1]["step"] >= 4 * warmup_steps
    if not late or not math.isfinite(forecast) or forecast <= _GOOD:
        return None
    if forecast > _FAR * reconstruction:
        return Sign(
            "dynamics-limit",
            f"The forecast's NRMSE, {forecast:.3g}, is far above that of the reconstruction, {reconstruction:.3g}: the "
            "drift is what is wrong; raise inference.drift_weight, widen model.macro_hidden and model.micro_hidden, or "
            "give more trajectories (of a chaotic system no forecast can do better for long, and the CRPS tells more).",
        )
    if reconstruction > _MOST * forecast:
        return Sign(
            "decoder-limits",
            f"Most of the forecast's NRMSE, {forecast:.3g}, is that of the reconstruction, {reconstruction:.3g}: "
            "unless this is the noise of the data, raise model.micro_dim or lower model.coarsening.",
        )
    return None


def _value(entry: dict[str, float | None], name: str) -> float:
    value = entry.get(name)
    return math.inf if value is None else value


def _shown(value: float) -> str:
    return format(value, ".3g") if math.isfinite(value) else "one that diverged"
