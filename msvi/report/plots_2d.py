"""Figures and animations of two-dimensional fields: numbers in, a `matplotlib.figure.Figure` or Pillow images out.

As in `msvi.report.plots` nothing stays open, and only `save_gif` writes. In every panel `x` points to the right, `y`
upwards, and both have the same scale. What is not finite or masked is grey.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from msvi.errors import InputError
from msvi.report.axes import LEGEND_ABOVE, WIDTH, as_array, cell_edges, even_ticks, finite_range, pick_frames, tidy
from msvi.report.plots import MACRO, REFERENCE

TITLES = ("truth", "ensemble mean", "macroscale part", "microscale part", "mean − truth", "standard deviation")
SEQUENTIAL, DIVERGING, SPREAD = "viridis", "RdBu_r", "magma"
BODY = 0.6  # grey level of what is masked or not finite; no colour map here holds a grey like it
LEVELS = 45  # of each colour map of a GIF: few make it small, an odd number gives zero a level of its own
GREYS = 16


class _Panels(NamedTuple):
    """One quantity at all shown times."""

    title: str
    values: np.ma.MaskedArray  # (frame, x, y)
    cmap: str
    low: float
    high: float


def forecast_2d(
    t: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    truth: ArrayLike,
    mean: ArrayLike,
    macro: ArrayLike,
    micro: ArrayLike,
    std: ArrayLike,
    num_frames: int = 5,
    label: str = "u",
    mask: ArrayLike | None = None,
) -> Figure:
    """Snapshots of a 2D forecast, of its two parts and of its error: one row a quantity, one column a time.

    Truth, ensemble mean and macroscale part share the colours of the truth's range, symmetric about zero where the
    truth takes both signs alike; what lies outside is cut. Microscale part and error each have a scale of their own,
    symmetric about zero, and the standard deviation one from zero. Ranges are those of the frames shown.

    Args:
      t: `(time,)`, increasing; the frames nearest to `num_frames` equally spaced times are shown.
      x, y: `(x,)` and `(y,)`, increasing and equally spaced, at least 2 points each.
      truth: one channel of the field, `(time, x, y)`.
      mean, std: of the ensemble's field, `(time, x, y)`.
      macro: mean part of the field that comes from `zeta`, `(time, x, y)`.
      micro: mean part of the field that comes from `eta`, `(time, x, y)`.
      num_frames: columns.
      label: name of the channel, above the first colour bar.
      mask: true where there is no fluid, bool `(x, y)`.

    Returns:
      Figure with axes `(6, num_frames)` in row-major order, followed by the colour bars of the rows.
    """
    t, extent, rows = _panels(t, x, y, (truth, mean, macro, micro, std), mask, num_frames)
    shape = (extent[3] - extent[2]) / (extent[1] - extent[0])

    # Laid out in inches: the width is given, the panels have the shape of the domain, and the height is what follows.
    top, bottom, right, gap, bar = 0.35, 0.45, 0.9, 0.12, 0.12
    flat = shape < 0.6  # rows too low for a name along their side, and for tick labels without a gap between them
    left, row_gap = (1.55, 0.2) if flat else (0.8, gap)
    width = (WIDTH - left - right - (num_frames - 1) * gap) / num_frames
    height = shape * width
    total = top + bottom + len(rows) * height + (len(rows) - 1) * row_gap
    figure = Figure(figsize=(WIDTH, total))

    def box(row, start, width):
        low = bottom + (len(rows) - 1 - row) * (height + row_gap)
        return start / WIDTH, low / total, width / WIDTH, height / total

    images = []
    for r, row in enumerate(rows):
        for c, values in enumerate(row.values):
            ax = figure.add_axes(box(r, left + c * (width + gap), width), facecolor=str(BODY))
            image = ax.imshow(values.T, origin="lower", extent=extent, cmap=row.cmap, vmin=row.low, vmax=row.high)
            ax.tick_params(labelsize=8, labelleft=c == 0, labelbottom=r == len(rows) - 1, length=2.5)
            ax.xaxis.set(major_locator=even_ticks(2), major_formatter="{x:g}")
            ax.yaxis.set(major_locator=even_ticks(1 if height < 0.5 else 2), major_formatter="{x:g}")
            if r == 0:
                ax.set_title(f"t = {t[c]:.3g}", fontsize=10)
            if r == len(rows) - 1:
                ax.set_xlabel("x", labelpad=1)
        first = figure.axes[-num_frames]
        first.set_ylabel("y", rotation=0, labelpad=2, va="center")
        middle = first.get_position().y0 + first.get_position().height / 2
        name = row.title.replace(" ", "\n", 1) if flat else row.title
        figure.text(0.1 / WIDTH, middle, name, rotation=0 if flat else 90, va="center")
        images.append(image)
    for r, (row, image) in enumerate(zip(rows, images, strict=True)):
        bars = figure.colorbar(image, cax=figure.add_axes(box(r, WIDTH - right + gap, bar)))
        bars.ax.tick_params(labelsize=8, length=2.5)
        if height < 0.6:  # room for the ends alone
            bars.set_ticks([row.low, row.high], labels=_limits(row))
        else:
            bars.ax.yaxis.set(major_locator=even_ticks(4), major_formatter="{x:g}")
        if r == 0:
            bars.ax.set_title(label, fontsize=10)
    return figure


def kernel_2d(kernel: ArrayLike, initial: ArrayLike, coarsening: int) -> Figure:
    """Learned and initial kernel of a macroscale filter in two dimensions, and their sections through the middle.

    Args:
      kernel, initial: `(x, y)`, both sizes odd, `2 n_sigma s + 1`; offset zero in the middle.
      coarsening: `s`, points per coarse cell.

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
    cmap, low, high = _colours(np.stack([kernel, initial]))

    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, values, title in zip(axes, (kernel, initial), ("learned", "initial (Gaussian)"), strict=False):
        image = ax.imshow(values.T, origin="lower", extent=extent, cmap=cmap, vmin=low, vmax=high)
        ax.set(title=title, xlabel="x offset (coarse cells)")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[0].set_ylabel("y offset (coarse cells)")
    figure.colorbar(image, ax=axes[:2], pad=0.02, aspect=25, shrink=0.8)
    lines = axes[2]
    lines.axhline(0, color="0.8", lw=0.8, zorder=0)
    lines.plot(offset[0], initial[:, middle[1]], color=REFERENCE, lw=1.4, ls="--", label="initial")
    lines.plot(offset[0], kernel[:, middle[1]], color=MACRO, lw=1.8, label="learned, along x")
    lines.plot(offset[1], kernel[middle[0]], color=MACRO, lw=1.8, ls=":", label="learned, along y")
    lines.set(title="through the middle", xlabel="offset (coarse cells)", ylabel="weight", box_aspect=1)
    lines.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    tidy([lines])
    figure.legend(**LEGEND_ABOVE)
    return figure


def animation_2d(
    t: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    truth: ArrayLike,
    mean: ArrayLike,
    macro: ArrayLike,
    micro: ArrayLike,
    std: ArrayLike,
    seconds: float = 5,
    fps: float = 12,
    label: str = "u",
    mask: ArrayLike | None = None,
    width: int = 800,
) -> list[Image.Image]:
    """Frames of an animation of a 2D forecast, with the panels and colours of `forecast_2d`; see `save_gif`.

    All frames share one palette: the field values are indices into it, so that no colour is lost to a later
    quantisation, and the images come at once in the form a GIF holds.

    Args:
      t, x, y, truth, mean, macro, micro, std, mask: as in `forecast_2d`.
      seconds, fps: `seconds * fps` frames at equally spaced times, or one for each time where there are less.
      label: name of the channel in plain text, before the time.
      width: of the frames in pixels, at least 400; the size of the file grows with its square.

    Returns:
      Images of mode "P".
    """
    if not (seconds > 0 and fps > 0) or width < 400:
        raise InputError(
            f"`seconds` and `fps` must be positive and `width` at least 400 pixels, got {seconds}, {fps} and {width}; "
            "change them."
        )
    num_frames = min(max(1, round(seconds * fps)), max(1, np.size(t)))
    t, extent, panels = _panels(t, x, y, (truth, mean, macro, micro, std), mask, num_frames)
    shape = (extent[3] - extent[2]) / (extent[1] - extent[0])

    # In pixels, from the top: the time, then rows of a title, the panel, and its colour bar with the two ends.
    columns = 6 if shape > 0.6 else 3
    size, gap = max(11, width // 70), width // 80
    font, line = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size), size + 6
    panel_width = (width - (columns + 1) * gap) // columns
    panel_height, bar = max(1, round(shape * panel_width)), size // 2
    row_height = 2 * line + panel_height + bar + gap
    total = line + gap + len(panels) // columns * row_height
    corners = [
        (gap + i % columns * (panel_width + gap), line + gap + i // columns * row_height) for i in range(len(panels))
    ]

    names = list(dict.fromkeys(panel.cmap for panel in panels))
    palette = [matplotlib.colormaps[name](np.linspace(0, 1, LEVELS))[:, :3] for name in names]
    palette += [np.linspace([0] * 3, [1] * 3, GREYS), [[BODY] * 3]]
    first_grey = LEVELS * len(names)
    body = first_grey + GREYS
    palette = np.rint(255 * np.concatenate(palette)).astype(np.uint8)

    def canvas(height):
        page = Image.new("L", (width, height), 255)
        return page, ImageDraw.Draw(page)

    def greys(page):
        return first_grey + np.rint(np.asarray(page) / 255 * (GREYS - 1)).astype(np.uint8)

    page, draw = canvas(total)
    for panel, (column, row) in zip(panels, corners, strict=True):
        below = row + line + panel_height + bar + 4
        draw.text((column + panel_width / 2, row), panel.title, fill=0, font=font, anchor="ma")
        low, high = _limits(panel)
        draw.text((column, below), low, fill=0, font=font, anchor="la")
        draw.text((column + panel_width, below), high, fill=0, font=font, anchor="ra")
    background = greys(page)
    for panel, (column, row) in zip(panels, corners, strict=True):
        top = row + line + panel_height + 3
        ramp = np.linspace(0, LEVELS - 1, panel_width).round() + LEVELS * names.index(panel.cmap)
        background[top : top + bar, column : column + panel_width] = ramp

    step = (t[-1] - t[0]) / max(1, len(t) - 1)
    decimals = max(1, int(np.ceil(-np.log10(step)))) if step > 0 else 2
    frames = []
    for i, time in enumerate(t):
        indices = background.copy()
        page, draw = canvas(line + gap)
        draw.text((gap, gap // 2), f"{label} at t = {time:.{decimals}f}", fill=0, font=font)
        indices[: line + gap] = greys(page)
        for panel, (column, row) in zip(panels, corners, strict=True):
            values = _resample(panel.values[i], panel_width, panel_height)
            values = (values - panel.low) / (panel.high - panel.low) * (LEVELS - 1)
            drawn = np.ma.filled(values.clip(0, LEVELS - 1).round() + LEVELS * names.index(panel.cmap), body)
            # Rows of an image count downwards.
            indices[row + line : row + line + panel_height, column : column + panel_width] = drawn.T[::-1]
        frame = Image.fromarray(indices, "P")
        frame.putpalette(palette.tobytes())
        frames.append(frame)
    return frames


def save_gif(path: str, frames: Sequence[Image.Image], fps: float) -> None:
    """Writes frames of `animation_2d` as a GIF that plays for ever.

    Args:
      path: of the file.
      frames: images of one size.
      fps: frames a second, at most 50; a GIF counts in hundredths of a second, to which the time of a frame is rounded.
    """
    if not len(frames) or not 0 < fps <= 50:
        raise InputError(f"A GIF needs frames and between 0 and 50 of them a second, got {len(frames)} and {fps=}.")
    duration = 10 * round(100 / fps)
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0, optimize=True)


def _panels(t, x, y, fields, mask, num_frames) -> tuple[np.ndarray, tuple[float, ...], list[_Panels]]:
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
    common = _colours(truth)
    colours = (common, common, common, _symmetric(micro), _symmetric(error), (SPREAD, 0.0, _range(std)[1] or 1.0))
    quantities = zip(TITLES, (truth, mean, macro, micro, error, std), colours, strict=True)
    return t[frames], extent, [_Panels(title, values, *colour) for title, values, colour in quantities]


def _ends(name: str, centres: np.ndarray) -> tuple[float, float]:
    """Outer edges of the cells around `centres`, which an image needs equally spaced and increasing."""
    edges, steps = cell_edges(name, centres), np.diff(centres)
    if not (steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-2, atol=0)):
        raise InputError(
            f"`{name}` must increase in equal steps, got steps from {steps.min():.3g} to {steps.max():.3g}; sort it or "
            "interpolate the fields to an even grid."
        )
    return float(edges[0]), float(edges[-1])


def _limits(panels: _Panels) -> tuple[str, str]:
    """Ends of a colour bar in two digits; what cannot be told from zero on it is zero."""
    near = 1e-3 * (panels.high - panels.low)
    return tuple(f"{v if abs(v) > near else 0:.2g}".replace("-", "−") for v in (panels.low, panels.high))


def _range(values: np.ma.MaskedArray) -> tuple[float, float]:
    return finite_range(np.ma.compressed(values))


def _colours(values: np.ndarray) -> tuple[str, float, float]:
    """Colour map and limits of a field: diverging if one sign reaches further than 30 % of the other, else as it is."""
    low, high = _range(values)
    if min(-low, high) > 0.3 * max(-low, high):
        return _symmetric(values)
    return SEQUENTIAL, low, high if high > low else low + 1.0


def _symmetric(values: np.ndarray) -> tuple[str, float, float]:
    largest = max(map(abs, _range(values))) or 1.0
    return DIVERGING, -largest, largest


def _resample(values: np.ma.MaskedArray, width: int, height: int) -> np.ma.MaskedArray:
    """`(x, y)` on `width` times `height` pixels, masked where most of what a pixel is interpolated from is masked."""
    known = ~np.ma.getmaskarray(values)

    def resize(array):
        image = Image.fromarray(np.ascontiguousarray(array.T, np.float32))
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).T

    weight = resize(known)
    return np.ma.masked_where(weight < 0.5, resize(np.ma.filled(values, 0.0)) / np.maximum(weight, 0.5))
