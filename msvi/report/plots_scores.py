"""Figures of probabilistic scores: calibration of ensembles, scores against lead time, spectra.

Models that are there for comparison are grey and told apart by dashes and markers, others coloured.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from msvi.errors import InputError
from msvi.report.axes import LEGEND_ABOVE, WIDTH, as_array, finish, new_axes, set_log, tidy
from msvi.report.plots import (
    DRIFT,
    FORECAST,
    MACRO,
    MICRO,
    OTHER,
    RECONSTRUCTION,
    REFERENCE,
    TRUTH,
)
from msvi.report.references import cut_axis, name_hidden, reference_styles

_COLORS = {
    "truth": TRUTH,
    "forecast": FORECAST,
    "macroscale part": MACRO,
    "reconstruction": RECONSTRUCTION,
    "noise floor": REFERENCE,
}
_SPARE = (FORECAST, MACRO, OTHER, MICRO, DRIFT)
RIGHT_SPREAD = (0.8, 1.25)  # ratios of spread to error, within a factor of 1.25


def reliability_diagram(
    levels: ArrayLike,
    observed: Mapping[str, ArrayLike],
    xlabel: str = "nominal coverage",
    ylabel: str = "observed coverage",
    ax: Axes | None = None,
) -> Figure:
    """Observed frequency against the nominal one; on the diagonal they are equal, and the distance to it is shaded.

    Either the coverage of central intervals, above the diagonal where the ensemble is too wide, or the share of
    observations below predictive quantiles.

    Args:
      levels: nominal, `(level,)` in (0, 1).
      observed: label -> `(level,)`; NaN leaves a gap.
      xlabel, ylabel: of the axes.
      ax: to draw into.

    Returns:
      The figure; its lines are the diagonal and one per label.
    """
    sizes = {}
    levels = as_array("levels", levels, ("level",), sizes)
    own, ax = ax is None, _axes(observed, "observed", 4.4, ax)
    ax.plot([0, 1], [0, 1], color=REFERENCE, lw=1.0, ls="--", label="calibrated")
    for (label, values), color in zip(observed.items(), _colors(observed), strict=True):
        values = as_array(f"observed[{label!r}]", values, ("level",), sizes)
        ax.fill_between(levels, levels, values, color=color, alpha=0.15, lw=0)
        ax.plot(levels, values, color=color, lw=1.8, marker="o", ms=3, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return finish(ax, own, ncols=3)


def rank_histograms(probabilities: ArrayLike, observed: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """How often observations fall between neighbouring quantiles of the ensemble, over how often they should, a panel
    per case.

    Flat at 1 where the ensemble is right, high at both ends where it is too sure, high in the middle where it spreads
    too much.

    Args:
      probabilities: of the quantiles, rising, `(level,)` in (0, 1).
      observed: case -> label of a model -> share of observations below each quantile, `(level,)`; NaN leaves a gap.

    Returns:
      The figure; the lines of a panel are 1 and one per label.
    """
    sizes = {}
    probabilities = as_array("probabilities", probabilities, ("level",), sizes)
    edges = np.concatenate([[0.0], probabilities, [1.0]])
    labels = list(dict.fromkeys(label for models in observed.values() for label in models))
    colors = dict(zip(labels, _colors(dict.fromkeys(labels, ())), strict=True))
    rows = -(-len(observed) // 3)
    figure = Figure(figsize=(WIDTH, 0.6 + 2.3 * rows), layout="constrained")
    panels = figure.subplots(rows, min(3, len(observed)), squeeze=False, sharey=True).ravel()
    for ax, (case, models) in zip(panels, observed.items(), strict=False):
        ax.axhline(1, color=REFERENCE, lw=1.0, ls="--")
        for label, values in models.items():
            values = as_array(f"observed[{case!r}][{label!r}]", values, ("level",), sizes)
            density = np.diff(np.concatenate([[0.0], values, [1.0]])) / np.diff(edges)
            ax.stairs(density, edges, baseline=None, color=colors[label], lw=1.5, label=label)
        ax.set(title=case, xlim=(0, 1))
    for ax in panels[len(observed) :]:
        ax.set_axis_off()
    panels[0].set_ylim(bottom=0)  # shared, once the bars of all panels are in it
    figure.supxlabel("quantile of the ensemble", fontsize="medium")
    figure.supylabel("frequency over the expected one", fontsize="medium")
    handles = dict(pair[::-1] for ax in panels for pair in zip(*ax.get_legend_handles_labels(), strict=True))
    figure.legend(handles.values(), handles.keys(), **LEGEND_ABOVE)
    tidy(panels)
    return figure


def score_over_lead_time(
    t: ArrayLike,
    scores: Mapping[str, ArrayLike],
    ylabel: str,
    references: Mapping[str, ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Scores against lead time on a logarithmic axis: the median, and the band from the 10 % to the 90 % quantile.

    The axis ends at ten times the largest median of `scores` and a tenth of the smallest: a reference that blows up, or
    one that is all but exact, does not squeeze the rest; the legend says where it lies.

    Args:
      t: lead times, `(time,)`.
      scores: label -> quantiles 10, 50 and 90 % over the trajectories, `(3, time)`, or a single line `(time,)`; NaN
        leaves a gap.
      ylabel: name of the score.
      references: label -> `(time,)`, what is there for comparison, in grey.
      ax: to draw into.

    Returns:
      The figure; one line per label, references first.
    """
    sizes = {}
    t = as_array("t", t, ("time",), sizes)
    references = references or {}
    own, ax = ax is None, _axes({**scores, **references}, "scores", 3.8, ax)
    beside = []
    for (label, values), style in zip(references.items(), reference_styles(len(t)), strict=False):
        values = as_array(f"references[{label!r}]", values, ("time",), sizes)
        beside += ax.plot(t, values, label=label, **style)
    medians = []
    for (label, values), color in zip(scores.items(), _colors(scores), strict=True):
        if np.ndim(values) == 2:
            values = as_array(f"scores[{label!r}]", values, ("quantile", "time"), sizes | {"quantile": 3})
            ax.fill_between(t, values[0], values[2], color=color, alpha=0.2, lw=0)
            values = values[1]
        medians.append(as_array(f"scores[{label!r}]", values, ("time",), sizes))
        ax.plot(t, medians[-1], color=color, lw=0.8 if label == "noise floor" else 1.8, label=label)
    ax.set(xlabel="lead time", ylabel=ylabel, xlim=(t[0], t[-1]))
    set_log(ax)
    cut_axis(ax, np.array([m for m, label in zip(medians, scores, strict=True) if label != "noise floor"]))
    name_hidden(ax, beside)
    return finish(ax, own, ncols=3)


def spread_skill_over_lead_time(t: ArrayLike, ratios: Mapping[str, ArrayLike], ax: Axes | None = None) -> Figure:
    """Ratio of ensemble spread to error of its mean against lead time; 1 is calibrated, below the ensemble is too sure.

    Args:
      t: lead times, `(time,)`.
      ratios: label -> `(time,)`; NaN leaves a gap.
      ax: to draw into.

    Returns:
      The figure; its lines are 1, within the band of a factor of 1.25, and one per label.
    """
    sizes = {}
    t = as_array("t", t, ("time",), sizes)
    own, ax = ax is None, _axes(ratios, "ratios", 3.8, ax)
    ax.axhspan(*RIGHT_SPREAD, color=REFERENCE, alpha=0.15, lw=0, label="within a factor of 1.25")
    ax.axhline(1, color=REFERENCE, lw=1.0, ls="--")
    for (label, values), color in zip(ratios.items(), _colors(ratios), strict=True):
        values = as_array(f"ratios[{label!r}]", values, ("time",), sizes)
        ax.plot(t, values, color=color, lw=1.8, label=label)
    ax.set(xlabel="lead time", ylabel="spread / error", xlim=(t[0], t[-1]))
    set_log(ax)
    return finish(ax, own, ncols=3)


def spectra(wavenumber: ArrayLike, power: Mapping[str, ArrayLike], ax: Axes | None = None) -> Figure:
    """Power against wavenumber, both logarithmic; the axis holds ten decades at most.

    Args:
      wavenumber: `(wavenumber,)`; the mean of the field, at zero, is left out.
      power: label -> `(wavenumber,)`. "truth", "forecast" and "macroscale part" have colours of their own.
      ax: to draw into.

    Returns:
      The figure; one line per label.
    """
    sizes = {}
    wavenumber = as_array("wavenumber", wavenumber, ("wavenumber",), sizes)
    own, ax = ax is None, _axes(power, "power", 3.8, ax)
    shown = wavenumber > 0
    for (label, values), color in zip(power.items(), _colors(power), strict=True):
        values = as_array(f"power[{label!r}]", values, ("wavenumber",), sizes)
        # Seen beneath a forecast that meets it.
        style: dict[str, Any] = {"lw": 2.6, "alpha": 0.55} if label == "truth" else {"lw": 1.6}
        ax.plot(wavenumber[shown], values[shown], color=color, label=label, **style)
    ax.set(xlabel="wavenumber", ylabel="mean power", xscale="log", yscale="log")
    low, high = ax.get_ylim()
    ax.set_ylim(bottom=max(low, 1e-10 * high))
    return finish(ax, own, ncols=3)


def _axes(labelled: Mapping, name: str, height: float, ax: Axes | None) -> Axes:
    """`ax`, or new axes of that height; something must be there to draw."""
    if not labelled:
        raise InputError(f"`{name}` must hold at least one label with its values, got none; pass what to draw.")
    return new_axes(height) if ax is None else ax


def _colors(labels: Mapping[str, ArrayLike]) -> list[str]:
    """A colour for each label: its own, or one of the spare ones in turn."""
    spare = itertools.cycle(_SPARE)
    return [_COLORS.get(label) or next(spare) for label in labels]
