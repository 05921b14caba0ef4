"""Pictures of an analysis: what sensors saw, the ensemble's mean, how unsure it is, and the truth where it is known.

Colours are those of `msvi.report.plots`. Of three dimensions the plane in the middle of the last axis is shown.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from msvi.assimilation.analysis import Analysis
from msvi.report.animation import share_palette
from msvi.report.axes import LEGEND_ABOVE, WIDTH, cell_edges, finite_range
from msvi.report.names import Name
from msvi.report.plots import DRIFT, MEAN, TRUTH
from msvi.report.plots_forecast import select, time_labels

_COLOURS = 128  # of an animation
# Sensors that are drawn; more hide what they stand on.
_SENSORS = 200


class _Shown(NamedTuple):
    """Of one channel: fields `(time, *axes)` by their titles, with one axis or two, and the sensors of it."""

    field: Name
    axes: tuple[Name, ...]
    points: tuple[np.ndarray, ...]
    times: list[str]
    t: np.ndarray
    fields: dict[str, np.ndarray]
    where: np.ndarray  # of sensors, (sensor, axis)
    readings: np.ndarray  # (time, sensor)


def analysis_figure(analysis: Analysis, channel: str = "", truth: np.ndarray | None = None) -> Figure:
    """An analysis over its times: of one dimension images over space and time, of two images at three times.

    Args:
      analysis: from `msvi.Model.assimilate`.
      channel: as in `msvi.report.plots_forecast.forecast_figure`.
      truth: the field of the channel, `(time, *axes)`; None where it is not known.

    Raises:
      InputError: an unknown channel.
    """
    shown = _select(analysis, channel, truth)
    return _space_time(shown) if len(shown.axes) == 1 else _snapshots(shown, np.array([0, 0.5, 1]))


def analysis_frames(
    analysis: Analysis, channel: str = "", truth: np.ndarray | None = None, num_frames: int = 60
) -> list[Image.Image]:
    """The same as a moving picture, for `msvi.report.animation.save_gif`.

    Args:
      analysis, channel, truth: as in `analysis_figure`.
      num_frames: at equally spaced places among the times, or one for each time where there are less.
    """
    shown = _select(analysis, channel, truth)
    images = []
    for frame in np.unique(np.linspace(0, len(shown.times) - 1, num_frames).round().astype(int)):
        part = frame / max(len(shown.times) - 1, 1)
        figure = _lines(shown, frame) if len(shown.axes) == 1 else _snapshots(shown, np.array([part]))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    return share_palette(images, _COLOURS)


def _select(analysis: Analysis, channel: str, truth: np.ndarray | None) -> _Shown:
    found = select(analysis.filtered, channel)
    told = analysis.innovations
    own = told["sensor_channel"].values == found.number
    where = np.stack([told[f"sensor_{axis.text}"].values for axis in found.axes], axis=1)[own]
    fields = {"analysis": found.fields["mean"], "standard deviation": found.fields["std"]}
    if truth is not None:
        truth = np.asarray(truth).reshape(fields["analysis"].shape)
        fields = {"truth": truth} | fields | {"analysis − truth": fields["analysis"] - truth}
    chosen = np.linspace(0, len(where) - 1, min(_SENSORS, len(where))).round().astype(int)
    readings = told["observation"].values[:, own][:, chosen]
    time = analysis.filtered["time"]
    t = time.values if time.dtype.kind == "f" else np.arange(len(time), dtype=float)
    return _Shown(found.field, found.axes, found.points, time_labels(time), t, fields, where[chosen], readings)


def _scale(shown: _Shown, name: str) -> dict:
    """Colours of a panel."""
    values = shown.fields[name]
    if name == "standard deviation":
        return {"cmap": "viridis", "vmin": 0.0, "vmax": finite_range(values)[1]}
    if name == "analysis − truth":
        size = max(np.abs(finite_range(values)).max(), 1e-12)
        return {"cmap": "RdBu_r", "vmin": -size, "vmax": size}
    low, high = finite_range(shown.fields.get("truth", values))
    return {"cmap": "cividis", "vmin": low, "vmax": high}


def _space_time(shown: _Shown) -> Figure:
    """A panel for each field over space and time; dots are readings."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(shown.fields), sharex=True, sharey=True))
    (x,) = shown.points
    seen = np.argwhere(np.isfinite(shown.readings))
    for ax, (name, values) in zip(axes, shown.fields.items(), strict=True):
        image = ax.pcolormesh(
            cell_edges("x", x), cell_edges("t", shown.t), values, rasterized=True, **_scale(shown, name)
        )
        figure.colorbar(image, ax=ax, location="bottom")
        if name == "analysis":
            ax.scatter(shown.where[seen[:, 1], 0], shown.t[seen[:, 0]], s=1.5, color=DRIFT, linewidths=0)
        ax.set_title(name, fontsize="medium")
        ax.set_xlabel(shown.axes[0].label)
    axes[0].set_ylabel("t")
    return figure


def _lines(shown: _Shown, frame: int) -> Figure:
    """One time of one dimension: truth, mean, band and readings."""
    figure = Figure(figsize=(0.7 * WIDTH, 3.2), layout="constrained")
    ax, (x,), fields = figure.subplots(), shown.points, shown.fields
    mean, std = fields["analysis"], fields["standard deviation"]
    low, high = mean[frame] - 2 * std[frame], mean[frame] + 2 * std[frame]
    ax.fill_between(x, low, high, color=MEAN, alpha=0.3, lw=0, label="mean ± 2 sd")
    ax.plot(x, mean[frame], color=MEAN, lw=1.8, label="analysis")
    if "truth" in fields:
        ax.plot(x, fields["truth"][frame], color=TRUTH, lw=1.0, label="truth")
    ax.scatter(shown.where[:, 0], shown.readings[frame], color=DRIFT, s=14, zorder=3, label="sensors")
    least, most = finite_range(np.stack([mean - 2 * std, mean + 2 * std]))
    ax.set_ylim(least, most)
    ax.set_xlabel(shown.axes[0].label)
    ax.set_ylabel(shown.field.label)
    ax.set_title(shown.times[frame], fontsize="medium", loc="right")
    figure.legend(**LEGEND_ABOVE | {"ncols": 4})
    return figure


def _snapshots(shown: _Shown, parts: np.ndarray) -> Figure:
    """A column for each part of the time, of two dimensions; dots are sensors."""
    frames = np.unique((parts * (len(shown.times) - 1)).round().astype(int))
    x, y = shown.points
    rows = len(shown.fields)
    width = WIDTH if len(frames) > 1 else 0.6 * WIDTH
    figure = Figure(figsize=(width, 0.6 + 1.3 * rows), layout="constrained")
    axes = np.reshape(figure.subplots(rows, len(frames), sharex=True, sharey=True), (rows, len(frames)))
    for row, (name, values) in zip(axes, shown.fields.items(), strict=True):
        for ax, frame in zip(row, frames, strict=True):
            ax.pcolormesh(
                cell_edges("x", x), cell_edges("y", y), values[frame].T, rasterized=True, **_scale(shown, name)
            )
            if name == "analysis":
                ax.scatter(shown.where[:, 0], shown.where[:, 1], s=6, color=DRIFT, linewidths=0)
            ax.set_aspect("equal", adjustable="box")
        row[0].set_ylabel(name, fontsize="small")
        figure.colorbar(row[-1].collections[0], ax=list(row))
    for ax, frame in zip(axes[0], frames, strict=True):
        ax.set_title(shown.times[frame], fontsize="medium")
    for ax in axes[-1]:
        ax.set_xlabel(shown.axes[0].label)
    return figure
