"""What is there for comparison in figures: its styles, and axes that end where it would squeeze what is compared."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from msvi.report.axes import set_log
from msvi.report.plots import REFERENCE

_DASHES = ((4, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (2.5, 1), (8, 2))
_MARKERS = "o^sDv"
_CUT = 10.0


def reference_styles(num_points: int) -> Iterator[dict[str, Any]]:
    """Line styles of what is there for comparison, one after the other."""
    for dashes, marker in zip(itertools.cycle(_DASHES), itertools.cycle(_MARKERS), strict=True):
        yield {
            "color": REFERENCE,
            "lw": 1.1,
            "dashes": dashes,
            "marker": marker,
            "ms": 4,
            "mfc": "none",
            "markevery": max(1, num_points // 8),
        }


def cut_axis(ax: Axes, values: np.ndarray) -> None:
    """Ends the y-axis at ten times the largest and a tenth of the smallest of `values` where it reaches further.

    A single model that blows up, or one that is exact but for rounding, else squeezes all others into a line.
    """
    finite = values[np.isfinite(values) & (values > 0)]
    low, high = ax.get_ylim()
    if finite.size:
        low, high = max(low, finite.min() / _CUT), min(high, finite.max() * _CUT)
        ax.set_ylim(low, high)
        set_log(ax)  # ticks for what is left


def name_hidden(ax: Axes, lines: Iterable[Line2D]) -> None:
    """Says in the label of each line that lies outside of the axis as a whole where, and its middle value."""
    low, high = ax.get_ylim()
    for line in lines:
        values = np.asarray(line.get_ydata(), float)
        values = values[np.isfinite(values)]
        if values.size and ((values > high).all() or (values < low).all()):
            side = "above" if values[0] > high else "below"
            line.set_label(f"{line.get_label()}\n({np.median(values):.1e}, {side})")
