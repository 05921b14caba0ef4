"""Figures of what a run has learned and how: the kernel of its macroscale filter, and its training."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike

from msvi.errors import InputError
from msvi.report.axes import LEGEND_ABOVE, WIDTH, as_array, finish, finite_range, new_axes, set_log, set_symlog, tidy
from msvi.report.names import PLAIN, Names
from msvi.report.panels import colours_of
from msvi.report.plots import DRIFT, FORECAST, MACRO, OTHER, RECONSTRUCTION, REFERENCE


def kernel_1d(kernel: ArrayLike, initial: ArrayLike, coarsening: int, ax: Axes | None = None) -> Figure:
    """Learned and initial kernel of the macroscale filter.

    Args:
      kernel, initial: `(2 n_sigma s + 1,)`, offset zero in the middle.
      coarsening: `s`, points per coarse cell.
      ax: to draw into.

    Returns:
      The figure; its lines are zero, the initial and the learned kernel.
    """
    sizes = {}
    kernel, initial = as_array("kernel", kernel, ("offset",), sizes), as_array("initial", initial, ("offset",), sizes)
    if len(kernel) % 2 == 0 or coarsening < 1:
        raise InputError(
            f"`kernel` needs an odd number of points and `coarsening` at least 1, got {len(kernel)} and {coarsening}; "
            "pass the whole kernel of a `MacroFilter` and its coarsening."
        )
    own = ax is None
    ax = new_axes(3.2) if own else ax
    offset = (np.arange(len(kernel)) - len(kernel) // 2) / coarsening
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.plot(offset, initial, color=REFERENCE, lw=1.4, ls="--", label="initial (Gaussian)")
    ax.plot(offset, kernel, color=MACRO, lw=1.8, label="learned")
    ax.set(xlabel="offset (coarse cells)", ylabel="weight", title="macroscale filter", xlim=(offset[0], offset[-1]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return finish(ax, own)


def kernel_2d(kernel: ArrayLike, initial: ArrayLike, coarsening: int, names: Names = PLAIN, title: str = "") -> Figure:
    """Learned and initial kernel of a macroscale filter in two dimensions, and their sections through the middle.

    Args:
      kernel, initial: `(x, y)`, both sizes odd, `2 n_sigma s + 1`; offset zero in the middle.
      coarsening: `s`, points per coarse cell.
      names: of the two axes.
      title: of the figure, such as the plane of three dimensions that is shown.

    Returns:
      Figure of two images with the same colours, of a panel whose lines are zero, the initial kernel along `x` and the
      learned one along `x` and along `y`, and of a colour bar.
    """
    sizes = {}
    kernel, initial = as_array("kernel", kernel, ("x", "y"), sizes), as_array("initial", initial, ("x", "y"), sizes)
    if any(n % 2 == 0 for n in kernel.shape) or coarsening < 1:
        raise InputError(
            f"`kernel` needs odd numbers of points and `coarsening` at least 1, got {kernel.shape} and {coarsening}; "
            "pass the whole kernel of a `MacroFilter` and its coarsening."
        )
    middle = tuple(n // 2 for n in kernel.shape)
    offset = [(np.arange(n) - n // 2) / coarsening for n in kernel.shape]
    extent = [side * (half + 0.5) / coarsening for half in middle for side in (-1, 1)]
    cmap, low, high = colours_of(np.stack([kernel, initial]))

    across, upwards = (name.text for name in names.axes[:2])
    figure = Figure(figsize=(WIDTH, 3.6 if title else 3.3), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, values, panel in zip(axes, (kernel, initial), ("learned", "initial (Gaussian)"), strict=False):
        ax.imshow(values.T, origin="lower", extent=extent, cmap=cmap, vmin=low, vmax=high)
        ax.set(title=panel, xlabel=f"{across} offset (coarse cells)")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[0].set_ylabel(f"{upwards} offset (coarse cells)")
    figure.colorbar(axes[1].images[0], ax=axes[:2], pad=0.02, aspect=25, shrink=0.8)
    lines = axes[2]
    lines.axhline(0, color="0.8", lw=0.8, zorder=0)
    lines.plot(offset[0], initial[:, middle[1]], color=REFERENCE, lw=1.4, ls="--", label="initial")
    lines.plot(offset[0], kernel[:, middle[1]], color=MACRO, lw=1.8, label=f"learned, along {across}")
    lines.plot(offset[1], kernel[middle[0]], color=MACRO, lw=1.8, ls=":", label=f"learned, along {upwards}")
    lines.set(title="through the middle", xlabel="offset (coarse cells)", ylabel="weight", box_aspect=1)
    lines.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    tidy([lines])
    figure.legend(**LEGEND_ABOVE | {"title": title})
    return figure


def training_curves(history: Mapping[str, ArrayLike]) -> Figure:
    """The two terms of the loss, and the validation errors, against the optimiser step.

    The negative log-likelihood per value starts large and ends below zero. Its axis is linear over the range of the
    second half of training, where the differences matter, and logarithmic beyond.

    Args:
      history: "log_likelihood", "drift_residual" and "loss", each of the length of "step"; "val_crps" and "val_nrmse"
        (of the forecast) and "val_reconstruction", each of the length of "val_step". NaN leaves a gap.

    Returns:
      Figure of three panels: negative log-likelihood and loss; drift residual; validation errors, the CRPS of the
      forecast in deviations of the field, its NRMSE, and that of the reconstruction.
    """
    axis_of = dict.fromkeys(("step", "log_likelihood", "drift_residual", "loss"), "step")
    axis_of |= dict.fromkeys(("val_step", "val_crps", "val_nrmse", "val_reconstruction"), "val_step")
    missing = [key for key in axis_of if key not in history]
    if missing:
        raise InputError(f"`history` must hold {', '.join(axis_of)}, but lacks {', '.join(missing)}; add these keys.")
    sizes = {}
    history = {key: as_array(f"history[{key!r}]", history[key], (axis,), sizes) for key, axis in axis_of.items()}

    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    likelihood, residual, validation = figure.subplots(1, 3, sharex=True)
    step, negative = history["step"], -history["log_likelihood"]
    likelihood.plot(step, history["loss"], color=REFERENCE, lw=1.0, label="loss")
    likelihood.plot(step, negative, color=RECONSTRUCTION, lw=1.4, label="negative log-likelihood")
    set_symlog(likelihood, max(map(abs, finite_range(negative[len(step) // 2 :]))))
    residual.plot(step, history["drift_residual"], color=DRIFT, lw=1.4)
    style = {"lw": 1.4, "marker": "o", "ms": 3.5}
    for name, color, label in (
        ("val_crps", OTHER, "CRPS"),
        ("val_nrmse", FORECAST, "NRMSE"),
        ("val_reconstruction", RECONSTRUCTION, "reconstruction"),
    ):
        validation.plot(history["val_step"], history[name], color=color, label=label, **style)
    titles = ("loss per field value", "drift residual", "validation error")
    for ax, title in zip((likelihood, residual, validation), titles, strict=True):
        ax.set(title=title, xlabel="step")
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    for ax in (residual, validation):
        set_log(ax)
    if validation.get_yscale() == "log":  # room for the legend above the lines
        low, high = validation.get_ylim()
        validation.set_ylim(low, high * (high / low) ** 0.6)
    likelihood.legend(frameon=False)
    validation.legend(frameon=False, loc="upper right")
    tidy((likelihood, residual, validation))
    return figure
