"""Pictures of a forecast of which no truth is known: from the data set that `Model.forecast` returns to figures.

Colours and scales are those of `msvi.report.plots`. Of several initial fields the first is shown, of three dimensions
the plane in the middle of the last axis.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from PIL import Image

from msvi.errors import InputError
from msvi.report.animation import share_palette
from msvi.report.axes import LEGEND_ABOVE, WIDTH, cell_edges, even_ticks, finite_range, tidy
from msvi.report.names import Name
from msvi.report.plots import MACRO, MEAN, MICRO, REFERENCE

# Members that are drawn as lines of their own; more of them hide each other.
_MEMBERS = 3
_COLOURS = 128  # of an animation
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")

Update = Callable[[int], None]


class Shown(NamedTuple):
    """What is drawn of one channel: fields `(time, *axes)` with one axis or two, and what they are called.

    Attributes:
      fields: "mean", "std", "members" with an axis of them in front, and "macro" and "micro" if the forecast has them.
      number: of the channel.
    """

    field: Name
    axes: tuple[Name, ...]
    points: tuple[np.ndarray, ...]
    times: list[str]
    fields: dict[
        str, np.ndarray
    ]  # "mean", "std", "members" (member in front), and "macro" and "micro" if they are there
    number: int = 0


def channels_of(forecast: xr.Dataset) -> list[str]:
    """What the channels of a forecast are called; those without names by their number, `u_0`."""
    found = []
    for name in (str(name).removesuffix("_mean") for name in forecast.data_vars if str(name).endswith("_mean")):
        own = forecast[f"{name}_mean"]
        found += [f"{name}_{i}" for i in range(own.sizes["channel"])] if "channel" in own.dims else [name]
    return found


def forecast_figure(forecast: xr.Dataset, channel: str = "", num_frames: int = 5) -> Figure:
    """Snapshots of a forecast, one column per time.

    Of one dimension: the ensemble's mean with its mean ± 2 standard deviations and some members, and below them the
    macroscale and the microscale part of the mean if the forecast has them. Of two: images of the mean, the standard
    deviation, one member, and the parts.

    Args:
      forecast: from `msvi.Model.forecast`.
      channel: one of `channels_of`; the first if empty.
      num_frames: columns, or one for each time where there are less.

    Raises:
      InputError: an unknown channel.
    """
    shown = select(forecast, channel)
    frames = np.unique(np.linspace(0, len(shown.times) - 1, num_frames).round().astype(int))
    figure, _ = _panels(shown, frames)
    return figure


def forecast_frames(forecast: xr.Dataset, channel: str = "", num_frames: int = 60) -> list[Image.Image]:
    """The same as a moving picture, for `msvi.report.animation.save_gif`: lines that move, or images.

    Args:
      forecast, channel: as in `forecast_figure`.
      num_frames: at equally spaced places among the times, or one for each time where there are less.

    Raises:
      InputError: an unknown channel.
    """
    shown = select(forecast, channel)
    figure, update = _panels(shown, np.array([0]))
    canvas = FigureCanvasAgg(figure)
    images = []
    for frame in np.unique(np.linspace(0, len(shown.times) - 1, num_frames).round().astype(int)):
        update(frame)
        canvas.draw()
        figure.set_layout_engine("none")  # whatever the first one needs, the others stand where it stood
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    return share_palette(images, _COLOURS)


def select(forecast: xr.Dataset, channel: str) -> Shown:
    """What is drawn of a forecast or an analysis.

    Raises:
      InputError: an unknown channel.
    """
    known = channels_of(forecast)
    if not known or (channel and channel not in known):
        raise InputError(f"The forecast has the channels {', '.join(known) or 'of none'}, got {channel!r}; name one.")
    channel = channel or known[0]
    name, _, number = channel.rpartition("_") if f"{channel}_mean" not in forecast else (channel, "", "")
    fields = {}
    for suffix in ("", "mean", "std", "macro", "micro"):
        whole = f"{name}_{suffix}" if suffix else name
        if whole in forecast:
            array = forecast[whole]
            array = array.isel(initial=0) if "initial" in array.dims else array
            array = array.isel(channel=int(number)) if number else array
            fields[suffix or "members"] = array
    axes = [axis for axis in fields["mean"].dims if axis != "time"]
    if len(axes) == 3:
        middle = {axes[2]: fields["mean"].sizes[axes[2]] // 2}
        fields = {key: array.isel(middle) for key, array in fields.items()}
    axes = axes[:2]
    fields = {key: array.transpose(..., "time", *axes).values for key, array in fields.items()}
    return Shown(
        Name(channel, forecast[f"{name}_mean"].attrs.get("units", "")),
        tuple(Name(str(axis), forecast[axis].attrs.get("units", "")) for axis in axes),
        tuple(forecast[axis].values for axis in axes),
        time_labels(forecast["time"]),
        fields,
        known.index(channel),
    )


def time_labels(time: xr.DataArray) -> list[str]:
    """Dates, or numbers with their unit; of calendars that NumPy does not know the numbers."""
    values, (unit, _, start) = time.values, str(time.attrs.get("units", "")).partition(" since ")
    if start and time.attrs.get("calendar", "standard") in _CALENDARS:
        values = xr.decode_cf(time.to_dataset(name="t").reset_coords(drop=True)).time.values
    if values.dtype.kind == "M":
        return [str(text).replace("T", " ") for text in np.datetime_as_string(values, "m")]
    return [Name("t", unit).at(value) for value in values]


def _panels(shown: Shown, frames: np.ndarray) -> tuple[Figure, Update]:
    """Panels of these frames, and a function that lets the first column show another one."""
    draw = _draw_lines if len(shown.axes) == 1 else _draw_images
    rows = [key for key in ("mean", "std", "members", "macro", "micro") if key in shown.fields]
    if len(shown.axes) == 1:
        rows = [key for key in rows if key in ("mean", "macro", "micro")]
    width = WIDTH if len(frames) > 1 else 0.6 * WIDTH
    figure = Figure(figsize=(width, 1.0 + 1.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(frames), sharex=True, sharey="row" if draw is _draw_lines else True)
    axes = np.reshape(axes, (len(rows), len(frames)))
    updates = [draw(list(column), shown, rows, frame) for column, frame in zip(axes.T, frames, strict=True)]
    for ax in axes[-1]:
        ax.set_xlabel(shown.axes[0].label)
    if draw is _draw_lines:
        tidy(axes.flat)
        figure.legend(**LEGEND_ABOVE | {"ncols": 5 if len(frames) > 1 else 3})
    else:
        for row in axes:
            figure.colorbar(row[-1].collections[0], ax=list(row))
    return figure, updates[0]


def _titles(shown: Shown) -> dict[str, str]:
    return {
        "mean": shown.field.label,
        "std": "standard\ndeviation",
        "members": "one member",
        "macro": "macroscale\npart",
        "micro": "microscale\npart",
    }


def _is_first(ax: Axes) -> bool:
    """Whether a panel is in the first column."""
    return cast(SubplotSpec, ax.get_subplotspec()).is_first_col()


def _draw_lines(axes: Sequence[Axes], shown: Shown, rows: Sequence[str], frame: int) -> Update:
    """A column of one time: field, and the parts."""
    (x,), fields, first = shown.points, shown.fields, _is_first(axes[0])
    mean, std, members = fields["mean"], fields["std"], fields["members"][:_MEMBERS]

    def label(text):
        return text if first else None

    band = axes[0].fill_between(x, mean[frame], mean[frame], color=MEAN, alpha=0.3, lw=0, label=label("mean ± 2 sd"))
    lines = [axes[0].plot(x, member[frame], color=REFERENCE, lw=0.6)[0] for member in members]
    lines[0].set_label(label("members"))
    for ax, key, colour, text in zip(
        axes,
        rows,
        (MEAN, MACRO, MICRO),
        ("ensemble mean", "macroscale part", "microscale part"),
        strict=False,
    ):
        lines.append(ax.plot(x, fields[key][frame], color=colour, lw=1.8, label=label(text))[0])
        low, high = finite_range(np.stack([mean - 2 * std, mean + 2 * std]) if key == "mean" else fields[key])
        margin = 0.05 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
        ax.yaxis.set_major_locator(even_ticks(5))
        if first:
            ax.set_ylabel(_titles(shown)[key])
    axes[0].set_xlim(x[0], x[-1])
    axes[0].xaxis.set_major_locator(even_ticks(3))

    def update(frame):
        band.set_data(x, mean[frame] - 2 * std[frame], mean[frame] + 2 * std[frame])
        for line, values in zip(lines, [*members, *(fields[key] for key in rows)], strict=True):
            line.set_ydata(values[frame])
        axes[0].set_title(shown.times[frame], fontsize="medium")

    update(frame)
    return update


def _draw_images(axes: Sequence[Axes], shown: Shown, rows: Sequence[str], frame: int) -> Update:
    """A column of one time: mean, standard deviation, one member, and the parts."""
    fields = shown.fields | {"members": shown.fields["members"][0]}
    edges = [cell_edges(name.text, points) for name, points in zip(shown.axes, shown.points, strict=True)]
    images = []
    for ax, key in zip(axes, rows, strict=True):
        low, high = finite_range(fields["mean" if key in ("members", "macro") else key])
        cmap = {"std": "magma", "micro": "RdBu_r"}.get(key, "viridis")
        if key == "micro":
            low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
        low = 0.0 if key == "std" else low
        high = high if high > low else low + 1.0
        images.append(ax.pcolormesh(*edges, fields[key][frame].T, cmap=cmap, vmin=low, vmax=high, rasterized=True))
        ax.set_aspect("equal")
        ax.xaxis.set_major_locator(even_ticks(3))
        ax.yaxis.set_major_locator(even_ticks(3))
        if _is_first(ax):
            ax.set_ylabel(f"{_titles(shown)[key]}\n{shown.axes[1].label}")

    def update(frame):
        for image, key in zip(images, rows, strict=True):
            image.set_array(fields[key][frame].T)
        axes[0].set_title(shown.times[frame], fontsize="medium")

    update(frame)
    return update
