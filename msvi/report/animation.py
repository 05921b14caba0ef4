"""Animations of two-dimensional fields: numbers in, Pillow images out; only `save_gif` writes."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import font_manager
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from msvi.errors import InputError
from msvi.report.names import PLAIN, Names
from msvi.report.panels import BODY, limits, make_panels

LEVELS = 45  # of each colour map of a GIF: few make it small, an odd number gives zero a level of its own
GREYS = 16


def share_palette(images: Sequence[Image.Image], colours: int) -> list[Image.Image]:
    """The images in one palette of so many colours, so that a colour means the same in each."""
    some = np.concatenate([np.asarray(images[i]) for i in sorted({0, len(images) // 2, len(images) - 1})])
    palette = Image.fromarray(some).quantize(colours, dither=Image.Dither.NONE)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


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
    mask: ArrayLike | None = None,
    width: int = 800,
    names: Names = PLAIN,
    title: str = "",
) -> list[Image.Image]:
    """Frames of an animation of a 2D forecast, with the panels and colours of `forecast_2d`; see `save_gif`.

    All frames share one palette: the field values are indices into it, so that no colour is lost to a later
    quantisation, and the images come at once in the form a GIF holds.

    Args:
      t, x, y, truth, mean, macro, micro, std, mask: as in `forecast_2d`.
      seconds, fps: `seconds * fps` frames at equally spaced times, or one for each time where there are less.
      width: of the frames in pixels, at least 400; the size of the file grows with its square.
      names: of channel and time, which head each frame.
      title: behind them, such as which trajectory is shown.

    Returns:
      Images of mode "P".
    """
    if not (seconds > 0 and fps > 0) or width < 400:
        raise InputError(
            f"`seconds` and `fps` must be positive and `width` at least 400 pixels, got {seconds}, {fps} and {width}; "
            "change them."
        )
    num_frames = min(max(1, round(seconds * fps)), max(1, np.size(t)))
    t, extent, panels = make_panels(t, x, y, (truth, mean, macro, micro, std), mask, num_frames)
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

    maps = list(dict.fromkeys(panel.cmap for panel in panels))
    palette = [matplotlib.colormaps[name](np.linspace(0, 1, LEVELS))[:, :3] for name in maps]
    palette += [np.linspace([0] * 3, [1] * 3, GREYS), [[BODY] * 3]]
    first_grey = LEVELS * len(maps)
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
        low, high = limits(panel)
        draw.text((column, below), low, fill=0, font=font, anchor="la")
        draw.text((column + panel_width, below), high, fill=0, font=font, anchor="ra")
    background = greys(page)
    for panel, (column, row) in zip(panels, corners, strict=True):
        top = row + line + panel_height + 3
        ramp = np.linspace(0, LEVELS - 1, panel_width).round() + LEVELS * maps.index(panel.cmap)
        background[top : top + bar, column : column + panel_width] = ramp

    step = (t[-1] - t[0]) / max(1, len(t) - 1)
    decimals = max(1, int(np.ceil(-np.log10(step)))) if step > 0 else 2
    before, after = f"{names.field.label} at {names.time.text} =", names.time.unit + (f", {title}" if title else "")
    frames = []
    for i, time in enumerate(t):
        indices = background.copy()
        page, draw = canvas(line + gap)
        draw.text((gap, gap // 2), f"{before} {time:.{decimals}f} {after}", fill=0, font=font)
        indices[: line + gap] = greys(page)
        for panel, (column, row) in zip(panels, corners, strict=True):
            values = _resample(panel.values[i], panel_width, panel_height)
            values = (values - panel.low) / (panel.high - panel.low) * (LEVELS - 1)
            drawn = np.ma.filled(values.clip(0, LEVELS - 1).round() + LEVELS * maps.index(panel.cmap), body)
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


def _resample(values: np.ma.MaskedArray, width: int, height: int) -> np.ma.MaskedArray:
    """`(x, y)` on `width` times `height` pixels, masked where most of what a pixel is interpolated from is masked."""
    known = ~np.ma.getmaskarray(values)

    def resize(array):
        image = Image.fromarray(np.ascontiguousarray(array.T, np.float32))
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).T

    weight = resize(known)
    return np.ma.masked_where(weight < 0.5, resize(np.ma.filled(values, 0.0)) / np.maximum(weight, 0.5))
