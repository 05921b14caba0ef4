"""What the figures of `msvi.report.plots` share: shape checks, ticks, scales and frames of their axes."""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from msvi.errors import InputError

WIDTH = 9.0  # inches
LEGEND_ABOVE: dict[str, Any] = {"loc": "outside upper center", "ncols": 5, "frameon": False}


def as_array(name: str, value: ArrayLike, layout: tuple[str, ...], sizes: dict[str, int]) -> np.ndarray:
    """`value` as an array whose axes are `layout`; sizes first met are noted in `sizes`, later ones must agree."""
    array = np.asarray(value)
    known = tuple(sizes.get(axis) for axis in layout)
    if array.ndim != len(layout) or any(k not in (None, n) for k, n in zip(known, array.shape, strict=True)):
        expected = ", ".join(
            axis if size is None else f"{axis}={size}" for axis, size in zip(layout, known, strict=True)
        )
        raise InputError(
            f"`{name}` must have the shape ({expected}), got {array.shape}; index or transpose it to these axes."
        )
    sizes.update(zip(layout, array.shape, strict=True))
    return array


def new_axes(height: float) -> Axes:
    """The only axes of a new figure, `height` inches high."""
    return Figure(figsize=(WIDTH * 2 / 3, height), layout="constrained").subplots()


def finish(ax: Axes, own: bool, ncols: int = 5) -> Figure:
    """Legend, above the panel where the figure is our `own`, and spines; the figure of `ax`.

    The legend has at most `ncols` columns.
    """
    figure = cast(Figure, ax.get_figure(root=True))  # None only of axes that were removed
    if own:
        labels = ax.get_legend_handles_labels()[1]
        figure.legend(**LEGEND_ABOVE | {"ncols": _fitting_columns(labels, figure.get_figwidth(), ncols)})
    else:
        ax.legend(frameon=False)
    tidy([ax])
    return figure


def _fitting_columns(labels: list[str], width: float, most: int) -> int:
    """Columns of a legend, which fills one after the other, that a figure of so many inches has room for."""

    def inches(ncols):
        longest = (max(len(line) for label in column for line in label.split("\n")) for column in columns(ncols))
        return sum(0.6 + 0.085 * size for size in longest)  # of the line before it and of a letter

    def columns(ncols):
        return [part for part in np.array_split(np.array(labels, object), ncols) if len(part)]

    return next((n for n in range(most, 1, -1) if inches(n) < width), 1)


def pick_frames(t: np.ndarray, num_frames: int) -> list[int]:
    """Numbers of the frames nearest to `num_frames` equally spaced times of `t`, `(time,)`, first and last included."""
    if not 1 <= num_frames <= len(t):
        raise InputError(
            f"`num_frames` must lie between 1 and the {len(t)} times of `t`, got {num_frames}; choose one of these."
        )
    return [int(np.argmin(np.abs(t - time))) for time in np.linspace(t[0], t[-1], num_frames)]


def cell_edges(name: str, centres: np.ndarray) -> np.ndarray:
    """Edges of the cells around `centres`, `(n,)` to `(n + 1,)`: half way between, and as far out at the ends."""
    if len(centres) < 2:
        raise InputError(
            f"`{name}` needs at least 2 values for an image, got {len(centres)}; pass more frames or points."
        )
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def finite_range(values: np.ndarray) -> tuple[float, float]:
    """Least and largest finite value; zeros if there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def even_ticks(most: int) -> MaxNLocator:
    """Evenly spaced round ticks, `most` intervals at most."""
    return MaxNLocator(most, steps=(1, 2, 2.5, 5, 10))


def set_even_ticks(ax: Axes, across: int, upwards: int) -> None:
    """Even ticks, so many intervals at most along each axis; labels at the ends of one keep off those of the next
    panel."""
    ends = (
        (ax.xaxis, ax.get_xlim(), across, "ha", ("left", "right")),
        (ax.yaxis, ax.get_ylim(), upwards, "va", ("bottom", "top")),
    )
    for axis, (low, high), most, side, sides in ends:
        places = np.array(even_ticks(most).tick_values(low, high))
        places = places[(places >= low) & (places <= high)]
        axis.set(ticks=places, major_formatter="{x:g}")
        for place, tick in zip(places, axis.get_major_ticks(len(places)), strict=True):
            if place in (low, high):
                tick.label1.set(**{side: sides[int(place == high)]})


def set_log(ax: Axes) -> None:
    """Logarithmic y-axis with plain numbers: evenly spaced, at 1, 2, 5, 10, …, or at decades, as the range asks."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if low <= 0:  # nothing positive to show
        ax.set_yscale("linear")
        ax.set_yticks([])
        return
    decades = np.log10(high / low)
    if decades < 0.8:
        ax.yaxis.set_major_locator(even_ticks(5))
    else:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def set_symlog(ax: Axes, linear: float) -> None:
    """y-axis linear within `±linear` and logarithmic beyond, with plain numbers evenly spaced and then at decades."""
    if linear == 0:
        return
    ax.set_yscale("symlog", linthresh=linear)
    low, high = ax.get_ylim()
    even = even_ticks(5).tick_values(max(low, -linear), min(high, linear))
    decades = 10.0 ** np.arange(np.ceil(np.log10(linear)), np.log10(max(high, linear)))
    ax.set_yticks(
        [tick for tick in (*even, *decades) if low <= tick <= high and (abs(tick) <= linear or tick in decades)]
    )
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def tidy(axes: Iterable[Axes]) -> None:
    """Left and bottom spines only."""
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
