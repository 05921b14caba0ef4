"""Times of frames as files hold them: numbers in any unit, counted from anywhere, or dates."""

import numpy as np

# Part of the time between two frames by which rounding to single precision may change it.
_ROUNDING = 0.1


def elapsed(t: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Times since `start` in float64: numbers in their own unit, dates in seconds; NaN where there is no time.

    Whole numbers and dates are subtracted as such, so that nothing is lost however far away they count from.
    """
    if t.dtype.kind == "f":
        return t.astype(np.float64) - start.astype(np.float64)
    if t.dtype.kind in "iu":  # of 64 bits, in which differences wrap round to what they are
        return _numbers(t.astype(np.int64) - start.astype(np.int64))
    return _numbers(_days(t) - _days(start))


def since_zero(t: np.ndarray) -> np.ndarray:
    """Times in float64 as they are: dates in seconds since 1970."""
    return _numbers(_days(t) - np.datetime64(0, "s")) if t.dtype.kind == "M" else _numbers(t)


def increase(t: np.ndarray) -> bool:
    """Whether each row `(..., time)` increases strictly, but for times that are missing at its end."""
    if t.dtype.kind == "f" and np.isinf(t).any():
        return False
    # Comparisons with a missing time are false, so what follows one must be one.
    return bool((~np.isfinite(t[..., 1:]) | (t[..., 1:] > t[..., :-1])).all())


def resolved(t: np.ndarray) -> bool:
    """Whether single precision keeps the times between frames; `t` `(..., time)` counts from the rows' starts."""
    span = np.nanmax(t, initial=0.0)
    scaled = t / span if span > 0 else t
    steps = np.diff(scaled)
    rounded = np.diff(scaled.astype(np.float32).astype(np.float64))
    return not (np.abs(rounded - steps) > _ROUNDING * steps).any()


def _numbers(t: np.ndarray) -> np.ndarray:
    """Durations in seconds; months and years, which have no length, are counted."""
    if t.dtype.kind != "m":
        return t.astype(np.float64)
    return np.where(np.isnat(t), np.nan, t.astype(np.int64)) if _by_calendar(t) else t / np.timedelta64(1, "s")


def _days(t: np.ndarray) -> np.ndarray:
    """Dates, where they are months or years as the first day of each."""
    return t.astype("M8[D]") if t.dtype.kind == "M" and _by_calendar(t) else t


def _by_calendar(t: np.ndarray) -> bool:
    return np.datetime_data(t.dtype)[0] in ("Y", "M")
