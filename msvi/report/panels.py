"""The six quantities that pictures of a two-dimensional forecast show, with their colours."""

from typing import NamedTuple

import numpy as np

from msvi.errors import InputError
from msvi.report.axes import as_array, cell_edges, finite_range, pick_frames

TITLES = ("truth", "ensemble mean", "macroscale part", "microscale part", "mean − truth", "standard deviation")
SEQUENTIAL, DIVERGING, SPREAD = "viridis", "RdBu_r", "magma"
BODY = 0.6  # grey level of what is masked or not finite; no colour map here holds a grey like it


class Panels(NamedTuple):
    """One quantity at all shown times."""

    title: str
    values: np.ma.MaskedArray  # (frame, x, y)
    cmap: str
    low: float
    high: float


def make_panels(
    t, x, y, fields, mask, num_frames
) -> tuple[np.ndarray, tuple[float, float, float, float], list[Panels]]:
    """Shown times, the domain as `(left, right, bottom, top)`, and the six quantities at these times."""
    sizes = {}
    t, x, y = (as_array(*axis, sizes) for axis in (("t", t, ("time",)), ("x", x, ("x",)), ("y", y, ("y",))))
    names = ("truth", "mean", "macro", "micro", "std")
    fields = [as_array(name, u, ("time", "x", "y"), sizes) for name, u in zip(names, fields, strict=True)]
    mask = as_array("mask", np.zeros((len(x), len(y)), bool) if mask is None else mask, ("x", "y"), sizes)
    if mask.dtype != bool:
        raise InputError(f"`mask` must be bool, true where there is no fluid, got {mask.dtype}; compare it first.")
    frames = pick_frames(t, num_frames)
    extent = (*_ends("x", x), *_ends("y", y))
    truth, mean, macro, micro, std = (
        np.ma.masked_where(mask | ~np.isfinite(u), u) for u in (field[frames] for field in fields)
    )
    error = mean - truth
    common = colours_of(truth)
    colours = (common, common, common, _symmetric(micro), _symmetric(error), (SPREAD, 0.0, _range(std)[1] or 1.0))
    quantities = zip(TITLES, (truth, mean, macro, micro, error, std), colours, strict=True)
    return t[frames], extent, [Panels(title, values, *colour) for title, values, colour in quantities]


def _ends(name: str, centres: np.ndarray) -> tuple[float, float]:
    """Outer edges of the cells around `centres`, which an image needs equally spaced and increasing."""
    edges, steps = cell_edges(name, centres), np.diff(centres)
    if not (steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-2, atol=0)):
        raise InputError(
            f"`{name}` must increase in equal steps, got steps from {steps.min():.3g} to {steps.max():.3g}; sort it or "
            "interpolate the fields to an even grid."
        )
    return float(edges[0]), float(edges[-1])


def limits(panels: Panels) -> tuple[str, str]:
    """Ends of a colour bar in two digits; what cannot be told from zero on it is zero."""
    near = 1e-3 * (panels.high - panels.low)
    low, high = (f"{v if abs(v) > near else 0:.2g}".replace("-", "−") for v in (panels.low, panels.high))
    return low, high


def _range(values: np.ndarray) -> tuple[float, float]:
    return finite_range(np.ma.compressed(values))


def colours_of(values: np.ndarray) -> tuple[str, float, float]:
    """Colour map and limits of a field: diverging if one sign reaches further than 30 % of the other, else as it is."""
    low, high = _range(values)
    if min(-low, high) > 0.3 * max(-low, high):
        return _symmetric(values)
    return SEQUENTIAL, low, high if high > low else low + 1.0


def _symmetric(values: np.ndarray) -> tuple[str, float, float]:
    largest = max(map(abs, _range(values))) or 1.0
    return DIVERGING, -largest, largest
