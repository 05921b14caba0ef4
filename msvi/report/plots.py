"""Figures from arrays: numbers in, a `matplotlib.figure.Figure` out; nothing is written and nothing stays open.

Every idea keeps its colour: truth black, ensemble mean and forecast blue, macroscale (`zeta`) orange, microscale
(`eta`) green, reconstruction purple, drift vermilion, whatever is there for comparison only grey. The palette is the
colour-blind-safe one of Okabe and Ito (https://jfly.uni-koeln.de/color/). Figures are 900 pixels wide at their 100 dpi,
those of a single panel 600.

Functions of a single panel take an optional `ax` to draw into.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from msvi.errors import InputError
from msvi.report.axes import (
    LEGEND_ABOVE,
    WIDTH,
    as_array,
    cell_edges,
    even_ticks,
    finish,
    finite_range,
    new_axes,
    pick_frames,
    set_log,
    tidy,
)
from msvi.report.names import PLAIN, Names

TRUTH = "#000000"
MEAN = FORECAST = "#0072B2"
MACRO = "#E69F00"
MICRO = "#009E73"
RECONSTRUCTION = "#CC79A7"
DRIFT = "#D55E00"
OTHER = "#56B4E9"
REFERENCE = "#767676"
ERROR_COLORS = {"forecast": FORECAST, "reconstruction": RECONSTRUCTION, "noise floor": REFERENCE}


def forecast_1d(
    t: ArrayLike,
    x: ArrayLike,
    truth: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    macro: ArrayLike,
    micro: ArrayLike,
    num_frames: int = 5,
    names: Names = PLAIN,
    title: str = "",
) -> Figure:
    """Snapshots of a 1D forecast, of its two parts and of its error, one column per time.

    Row 1: truth, ensemble mean, and mean ± 2 standard deviations. Row 2: the macroscale part on the same scale.
    Row 3: the microscale part on its own scale. The thin black lines are the truth in row 2 and, in row 3, the truth
    less the macroscale part: what the microscale part has to supply. Row 4: the error `mean - truth` on its own scale,
    with ± 2 standard deviations about zero, within which it should mostly lie.

    Args:
      t: `(time,)`, increasing; the frames nearest to `num_frames` equally spaced times are shown.
      x: `(point,)`.
      truth: `u`, `(time, point)`.
      mean, std: of the ensemble's `u`, `(time, point)`.
      macro: mean part of `u` that comes from `zeta`, `(time, point)`.
      micro: mean part of `u` that comes from `eta`, `(time, point)`.
      num_frames: columns.
      names: of time, axis and field.
      title: of the figure, such as which trajectory is shown.

    Returns:
      Figure with axes `(4, num_frames)` in row-major order.
    """
    sizes = {}
    t, x = as_array("t", t, ("time",), sizes), as_array("x", x, ("point",), sizes)
    fields = {"truth": truth, "mean": mean, "std": std, "macro": macro, "micro": micro}
    truth, mean, std, macro, micro = (as_array(name, u, ("time", "point"), sizes) for name, u in fields.items())
    frames = pick_frames(t, num_frames)

    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    axes = figure.subplots(4, num_frames, sharex=True, sharey="row", squeeze=False)
    band = {"color": MEAN, "alpha": 0.3, "lw": 0, "label": "± 2 sd"}
    for column, i in zip(axes.T, frames, strict=True):
        full, coarse, fine, error = column
        full.set_title(names.time.at(t[i]), fontsize="medium")
        full.fill_between(x, mean[i] - 2 * std[i], mean[i] + 2 * std[i], **band)
        full.plot(x, truth[i], color=TRUTH, lw=1.2, label="truth")
        full.plot(x, mean[i], color=MEAN, lw=1.8, ls="--", label="ensemble mean")
        coarse.plot(x, macro[i], color=MACRO, lw=2.0, label="macroscale part")
        coarse.plot(x, truth[i], color=TRUTH, lw=0.6)
        fine.plot(x, micro[i], color=MICRO, lw=2.0, label="microscale part")
        fine.plot(x, truth[i] - macro[i], color=TRUTH, lw=0.6)
        error.fill_between(x, -2 * std[i], 2 * std[i], **band)
        error.axhline(0, color="0.8", lw=0.8, zorder=0)
        error.plot(x, mean[i] - truth[i], color=DRIFT, lw=1.4, label="mean − truth")
        error.set_xlabel(names.axes[0].label)
    limits = [limit for row in axes[:2] for limit in row[0].get_ylim()]
    for row in axes[:2]:
        row[0].set_ylim(min(limits), max(limits))
    axes[0, 0].set_xlim(x[0], x[-1])
    axes[0, 0].xaxis.set_major_locator(even_ticks(2))
    labels = (names.field.label, "macroscale\n(from ζ)", "microscale\n(from η)", "error")
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label)
        ax.yaxis.set_major_locator(even_ticks(5))
    tidy(axes.flat)
    figure.align_ylabels()
    (shaded,), (truth_line, mean_line) = axes[0, 0].collections, axes[0, 0].lines
    parts = [axes[1, 0].lines[0], axes[2, 0].lines[0], axes[3, 0].lines[-1]]
    figure.legend(
        handles=[truth_line, mean_line, shaded, *parts],
        **LEGEND_ABOVE | {"ncols": 6, "columnspacing": 1.4, "title": title},
    )
    return figure


def field_1d(
    t: ArrayLike, x: ArrayLike, truth: ArrayLike, mean: ArrayLike, names: Names = PLAIN, title: str = ""
) -> Figure:
    """Space-time images of the truth, the ensemble mean, and their difference `mean - truth`.

    The first two share the colours of the truth's range; what lies outside of it is cut. The colours of the
    difference are symmetric about zero. Values that are not finite are left grey.

    Args:
      t: `(time,)`, increasing, at least 2.
      x: `(point,)`, increasing, at least 2.
      truth, mean: `u`, `(time, point)`.
      names: of time, axis and field.
      title: of the figure.

    Returns:
      Figure with three images, time to the right and `x` upwards, and two colour bars.
    """
    sizes = {}
    t, x = as_array("t", t, ("time",), sizes), as_array("x", x, ("point",), sizes)
    truth, mean = (as_array(name, u, ("time", "point"), sizes) for name, u in (("truth", truth), ("mean", mean)))
    difference = mean - truth
    edges = cell_edges("t", t), cell_edges("x", x)
    low, high = finite_range(truth)
    largest = max(map(abs, finite_range(difference))) or 1.0

    figure = Figure(figsize=(WIDTH, 3.3 if title else 3.0), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    images = [
        ax.pcolorfast(*edges, u.T, cmap=cmap, vmin=vmin, vmax=vmax)
        for ax, u, cmap, vmin, vmax in (
            (axes[0], truth, "viridis", low, high),
            (axes[1], mean, "viridis", low, high),
            (axes[2], difference, "RdBu_r", -largest, largest),
        )
    ]
    for ax, panel in zip(axes, ("truth", "ensemble mean", "mean − truth"), strict=True):
        ax.set(title=panel, xlabel=names.time.label, facecolor="0.8")
        ax.xaxis.set_major_locator(even_ticks(3))
        ax.yaxis.set_major_locator(even_ticks(4))
    axes[0].set_ylabel(names.axes[0].label)
    figure.colorbar(images[0], ax=axes[:2], pad=0.02, aspect=25, label=names.field.label)
    figure.colorbar(images[2], ax=axes[2], pad=0.04, aspect=25)
    return figure


def error_over_time(
    t: ArrayLike, errors: Mapping[str, ArrayLike], ax: Axes | None = None, names: Names = PLAIN
) -> Figure:
    """Relative errors against time, on a logarithmic axis.

    Args:
      t: `(time,)`.
      errors: label -> `(time,)`, drawn as it is, or `(trajectory, time)`, drawn as the median over the trajectories
        and the band from the 10 % to the 90 % quantile. The labels "forecast", "reconstruction" and "noise floor"
        have colours of their own.
      ax: to draw into.
      names: of which that of time is shown.

    Returns:
      The figure; one line per label.
    """
    sizes = {}
    t = as_array("t", t, ("time",), sizes)
    if not errors:
        raise InputError(
            "`errors` must hold at least one label with its errors, got none; pass for example `forecast`."
        )
    own = ax is None
    ax = new_axes(3.4) if own else ax
    spare = iter([OTHER, DRIFT, MACRO, MICRO] * len(errors))
    for label, error in errors.items():
        color = ERROR_COLORS.get(label) or next(spare)
        if np.ndim(error) == 2:
            error = as_array(f"errors[{label!r}]", error, ("trajectory", "time"), dict(sizes))
            with np.errstate(invalid="ignore"):  # a diverged trajectory leaves a gap
                low, error, high = np.quantile(error, (0.1, 0.5, 0.9), axis=0)
            ax.fill_between(t, low, high, color=color, alpha=0.25, lw=0)
        else:
            error = as_array(f"errors[{label!r}]", error, ("time",), sizes)
        ax.plot(t, error, color=color, lw=1.8, label=label)
    ax.set(xlabel=names.time.label, ylabel="relative error", xlim=(t[0], t[-1]))
    if any(np.ndim(error) == 2 for error in errors.values()):
        ax.set_title("median and 10–90 % range over the trajectories")
    set_log(ax)
    return finish(ax, own)


def latent_paths(
    t: ArrayLike,
    paths: ArrayLike,
    encoded: ArrayLike,
    num_shown: int = 8,
    labels: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    names: Names = PLAIN,
    title: str = "",
) -> Figure:
    """Forecast paths of single latents against the encoded truth, a panel for each latent.

    Args:
      t: `(time,)`.
      paths: `z` of the ensemble, `(member, time, latent)`, with the latents to show already picked out.
      encoded: mean `z` that the encoder gives for the true frames, `(time, latent)`.
      num_shown: members drawn, the first ones.
      labels: title of each panel, such as "ζ 3" or "η 1"; by default the number of the latent.
      colors: of the members in each panel, such as `MACRO` and `MICRO`; by default `MEAN`.
      names: of which that of time is shown.
      title: of the figure, such as which trajectory is shown.

    Returns:
      Figure of at most five panels a row, in each the member paths and then the encoded truth.
    """
    sizes = {}
    t = as_array("t", t, ("time",), sizes)
    paths = as_array("paths", paths, ("member", "time", "latent"), sizes)
    encoded = as_array("encoded", encoded, ("time", "latent"), sizes)
    num_latents = sizes["latent"]
    if num_latents < 1 or num_shown < 1:
        raise InputError(
            f"At least one latent and one member must be shown, got {num_latents} and {num_shown=}; add some."
        )
    labels = [f"latent {i}" for i in range(num_latents)] if labels is None else labels
    colors = [MEAN] * num_latents if colors is None else colors
    for name, values in (("labels", labels), ("colors", colors)):
        if len(values) != num_latents:
            raise InputError(
                f"`{name}` must have one entry for each of the {num_latents} latents, got {len(values)}; match them."
            )

    rows = -(-num_latents // 5)
    columns = -(-num_latents // rows)
    figure = Figure(figsize=(WIDTH, 0.6 + 2.1 * rows + (0.3 if title else 0)), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for i, ax in enumerate(axes[:num_latents]):
        ax.plot(t, paths[:num_shown, :, i].T, color=colors[i], lw=0.9, alpha=0.7)
        ax.plot(t, encoded[:, i], color=TRUTH, lw=1.4, ls="--")
        ax.set_title(labels[i])
        ax.xaxis.set_major_locator(even_ticks(2))
        ax.yaxis.set_major_locator(even_ticks(4))
        if i + columns >= num_latents:
            ax.set_xlabel(names.time.label)
            ax.tick_params(labelbottom=True)
    for ax in axes[num_latents:]:
        ax.remove()
    axes[0].set_xlim(t[0], t[-1])
    tidy(axes[:num_latents])
    handles = [axes[0].lines[-1], axes[0].lines[0]]
    figure.legend(handles, ["encoded truth", "ensemble members"], **LEGEND_ABOVE, title=title)
    return figure
