"""Figures of two-dimensional fields: numbers in, a `matplotlib.figure.Figure` out.

As in `msvi.report.plots` nothing stays open and nothing is written. In every panel the first axis points to the right,
the second upwards, and both have the same scale. What is not finite or masked is grey.
"""

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from msvi.report.axes import WIDTH, even_ticks, set_even_ticks
from msvi.report.names import PLAIN, Names
from msvi.report.panels import BODY, limits, make_panels


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
    mask: ArrayLike | None = None,
    names: Names = PLAIN,
    title: str = "",
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
      mask: true where there is no fluid, bool `(x, y)`.
      names: of time, of the two axes, and of the channel, which heads the figure.
      title: behind it, such as which trajectory is shown.

    Returns:
      Figure with axes `(6, num_frames)` in row-major order, followed by the colour bars of the rows.
    """
    t, extent, rows = make_panels(t, x, y, (truth, mean, macro, micro, std), mask, num_frames)
    shape = (extent[3] - extent[2]) / (extent[1] - extent[0])

    # Laid out in inches: the width is given, the panels have the shape of the domain, and the height is what follows.
    top, bottom, right, gap, bar = 0.62, 0.5, 0.9, 0.12, 0.12
    flat = shape < 0.6  # rows too low for a name along their side, and for tick labels without a gap between them
    left, row_gap = (1.55, 0.2) if flat else (0.95, gap)
    width = (WIDTH - left - right - (num_frames - 1) * gap) / num_frames
    height = shape * width
    total = top + bottom + len(rows) * height + (len(rows) - 1) * row_gap
    figure = Figure(figsize=(WIDTH, total))
    heading = f"{names.field.label}: {title}" if title else names.field.label
    figure.suptitle(heading, y=1 - 0.12 / total, va="top", fontsize="medium")

    def box(row, start, width):
        low = bottom + (len(rows) - 1 - row) * (height + row_gap)
        return start / WIDTH, low / total, width / WIDTH, height / total

    images = []
    for r, row in enumerate(rows):
        for c, values in enumerate(row.values):
            ax = figure.add_axes(box(r, left + c * (width + gap), width), facecolor=str(BODY))
            image = ax.imshow(values.T, origin="lower", extent=extent, cmap=row.cmap, vmin=row.low, vmax=row.high)
            images.append(image)
            ax.tick_params(labelsize=8, labelleft=c == 0, labelbottom=r == len(rows) - 1, length=2.5)
            set_even_ticks(ax, 2, 1 if height < 0.5 else 2)
            if r == 0:
                ax.set_title(names.time.at(t[c]), fontsize=10)
        first = figure.axes[-num_frames]
        middle = first.get_position().y0 + first.get_position().height / 2
        name = row.title.replace(" ", "\n", 1) if flat else row.title
        figure.text(0.1 / WIDTH, middle, name, rotation=0 if flat else 90, va="center")
    for r, (row, image) in enumerate(zip(rows, images[len(t) - 1 :: len(t)], strict=True)):
        bars = figure.colorbar(image, cax=figure.add_axes(box(r, WIDTH - right + gap, bar)))
        bars.ax.tick_params(labelsize=8, length=2.5)
        if height < 0.6:  # room for the ends alone
            bars.set_ticks([row.low, row.high], labels=limits(row))
        else:
            bars.ax.yaxis.set(major_locator=even_ticks(4), major_formatter="{x:g}")
    # Once for all panels: a name with its unit is longer than a panel may be.
    across, upwards = (name.label for name in names.axes[:2])
    middle = (left + (WIDTH - right)) / 2 / WIDTH, (bottom + total - top) / 2 / total
    figure.text(middle[0], 0.08 / total, across, ha="center")
    turned = 0 if len(upwards) == 1 else 90
    figure.text((left - 0.45) / WIDTH, middle[1], upwards, ha="right", va="center", rotation=turned)
    return figure
