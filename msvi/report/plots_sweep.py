"""Figures of runs with several numbers of microscale latents, beside published errors and other models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from msvi.errors import InputError
from msvi.report.axes import as_array, finish, new_axes, set_log
from msvi.report.plots import ERROR_COLORS, FORECAST, REFERENCE
from msvi.report.references import cut_axis, name_hidden, reference_styles

PUBLISHED_LABEL = "published\n(one trajectory, other noise)"


def error_against_micro_dim(
    micro_dim: ArrayLike,
    error: ArrayLike,
    reconstruction: ArrayLike,
    noise_floor: ArrayLike,
    published: Mapping[int, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Errors of runs against their number of microscale latents, on a logarithmic axis.

    Each run's forecast error is a point, and lines go through the means over the runs of equal `micro_dim`; NaN leaves
    a gap. Published errors are hollow points without a line: they are of one test trajectory with other noise, so that
    ours, over many, can stand beside them but not be ranked against them.

    Args:
      micro_dim: `(run,)`.
      error, reconstruction, noise_floor: of the forecast, of the reconstruction and of the truth itself, `(run,)`.
      published: `micro_dim` -> error, drawn beside ours.
      title: of the panel, such as the name of the case.
      ax: to draw into.

    Returns:
      The figure; its lines are the published errors if there are any, the noise floor, the reconstruction, the
      forecast, and the single runs.
    """
    sizes = {}
    micro_dim = as_array("micro_dim", micro_dim, ("run",), sizes)
    if not len(micro_dim):
        raise InputError("`micro_dim` must hold at least one run, got none; pass the runs to draw.")
    values = {"noise floor": noise_floor, "reconstruction": reconstruction, "forecast": error}
    values = {name: as_array(name.replace(" ", "_"), value, ("run",), sizes) for name, value in values.items()}
    own = ax is None
    ax = new_axes(3.6) if own else ax
    if published:
        dims = sorted(published)
        style = {"marker": "s", "ms": 5, "mfc": "none", "ls": "", "label": PUBLISHED_LABEL}
        ax.plot(dims, [published[dim] for dim in dims], color=REFERENCE, **style)
    dims = np.unique(micro_dim)
    for (name, value), width in zip(values.items(), (0.8, 1.4, 1.8), strict=True):
        means = [value[micro_dim == dim].mean() for dim in dims]
        ax.plot(dims, means, color=ERROR_COLORS[name], lw=width, label=name)
    ax.plot(micro_dim, values["forecast"], color=FORECAST, ls="", marker="o", ms=4.5)
    ax.set(xlabel="microscale latents (micro_dim)", ylabel="NRMSE", title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    set_log(ax)
    return finish(ax, own, ncols=3)


def error_beside_references(
    micro_dim: ArrayLike,
    error: ArrayLike,
    reconstruction: ArrayLike,
    noise_floor: ArrayLike,
    references: Mapping[str, float],
    published: Mapping[int, float] | None = None,
    title: str = "",
) -> Figure:
    """`error_against_micro_dim` with the errors of other models as horizontal lines.

    The axis ends at ten times our largest error and a tenth of our smallest: what lies beyond is in the legend, with
    its number.

    Args:
      micro_dim, error, reconstruction, noise_floor, published, title: as there.
      references: label -> error.

    Returns:
      The figure; its lines are as there, followed by the references.
    """
    figure = error_against_micro_dim(micro_dim, error, reconstruction, noise_floor, published, title)
    (ax,) = figure.axes
    beside = []
    for (label, value), style in zip(references.items(), reference_styles(4), strict=False):
        unmarked: dict[str, Any] = style | {"marker": ""}
        beside += ax.plot(ax.get_xlim(), [value] * 2, label=label, scalex=False, **unmarked)
    cut_axis(ax, np.concatenate([error, reconstruction, list((published or {}).values())]))
    name_hidden(ax, beside)
    figure.legends.clear()
    return finish(ax, own=True, ncols=3)
