"""Figures and animations in 2D: every value stands at its place, in its colour and on its row's scale."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from msvi.errors import InputError
from msvi.report import animation, panels, plots, plots_2d, plots_run
from msvi.report.names import names_of_channels

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("error")

TIMES = 11
t = np.linspace(0.0, 1.0, TIMES)
x, y = np.linspace(0, 1, 24), np.linspace(0, 1, 20)
GREY = np.rint(255 * panels.BODY)


def fields_on(x, y):
    """A pulse that travels to the upper right, and a forecast of it."""
    gx, gy = np.meshgrid(x, y, indexing="ij")
    move = 0.3 + 0.4 * t[:, None, None]
    u = np.exp(-((gx - move) ** 2 + (gy - move) ** 2) / 0.04)
    wave = 0.1 * np.sin(9 * gx + 5 * gy) * (1 + t[:, None, None])
    return {"truth": u, "mean": u + 0.2 * wave, "macro": 0.8 * u, "micro": 0.2 * wave, "std": 0.05 * u + 0.001}


fields = fields_on(x, y)
error = fields["mean"] - fields["truth"]
rows = [fields[name] for name in ("truth", "mean", "macro", "micro")] + [error, fields["std"]]
channel = np.linspace(-0.5, 3.5, 64), np.linspace(-0.5, 0.5, 16)  # cells of 4:1 panels
disc = channel[0][:, None] ** 2 + channel[1] ** 2 < 0.2**2


def render(figure: Figure) -> np.ndarray:
    """Pixels, `(height, width, 3)`, with the rows counted upwards as in the figure's coordinates."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[::-1, :, :3]


def pixel_at(figure, pixels, ax, point):
    """Colour of the rendered `figure` at a `point` of the domain."""
    column, row = ax.transData.transform(point).astype(int)
    return pixels[row, column]


def test_forecast_2d_draws_the_frames_at_equally_spaced_times():
    (own,) = names_of_channels(("east", "north"), ("w",), {"east": {"units": "km"}, "w": {"units": "m/s"}}, 1)
    figure = plots_2d.forecast_2d(t, x, y, **fields, num_frames=3, names=own, title="the third")
    axes, bars = np.reshape(figure.axes[:18], (6, 3)), figure.axes[18:]
    assert [ax.get_title() for ax in axes[0]] == ["t = 0", "t = 0.5", "t = 1"]
    assert [text.get_text() for text in figure.texts] == [figure.get_suptitle(), *panels.TITLES, "east [km]", "north"]
    assert figure.get_suptitle() == "w [m/s]: the third" and len(bars) == 6
    for row, values in zip(axes, rows, strict=True):
        for ax, frame in zip(row, (0, 5, 10), strict=True):
            np.testing.assert_array_equal(ax.images[0].get_array(), values[frame].T)
    render(figure)


def test_forecast_2d_shares_its_colours_along_rows():
    figure = plots_2d.forecast_2d(t, x, y, **fields, num_frames=3)
    images = np.reshape([ax.images[0] for ax in figure.axes[:18]], (6, 3))
    limits, maps = [], []
    for row in images:
        assert len({(image.get_clim(), image.cmap.name) for image in row}) == 1
        limits.append(row[0].get_clim())
        maps.append(row[0].cmap.name)
    shown = [values[[0, 5, 10]] for values in rows]
    assert limits[0] == limits[1] == limits[2] == (shown[0].min(), shown[0].max())
    for (low, high), values in zip(limits[3:5], shown[3:5], strict=True):
        assert -low == high == np.abs(values).max()
    assert limits[5] == (0, shown[5].max())
    assert maps == ["viridis"] * 3 + ["RdBu_r"] * 2 + ["magma"]
    for bar, limit in zip(figure.axes[18:], limits, strict=True):
        assert bar.get_ylim() == limit


@pytest.mark.parametrize(
    ("low", "high", "cmap", "limits"),
    [
        (-0.29, 1, "viridis", (-0.29, 1)),
        (-0.31, 1, "RdBu_r", (-1, 1)),
        (-2, 1, "RdBu_r", (-2, 2)),
        (-2, 0.1, "viridis", (-2, 0.1)),
        (-3, -1, "viridis", (-3, -1)),
        (2, 2, "viridis", (2, 3)),
    ],
)
def test_the_truth_is_drawn_diverging_where_both_signs_matter(low, high, cmap, limits):
    truth = np.full((TIMES, 24, 20), float(low))
    truth[:, 0, 0] = high
    figure = plots_2d.forecast_2d(t, x, y, **fields | {"truth": truth}, num_frames=1)
    for ax in figure.axes[:3]:
        assert (ax.images[0].cmap.name, ax.images[0].get_clim()) == (cmap, limits)


@pytest.mark.parametrize("grid", [(x, y), channel])
def test_forecast_2d_shows_a_bright_point_where_it_lies(grid):
    u = np.zeros((TIMES, len(grid[0]), len(grid[1])))
    i, j = 15, 3  # to the right and below the middle or in front of it
    u[:, i, j] = 1.0
    figure = plots_2d.forecast_2d(t, *grid, u, u, u, u, u, num_frames=2)
    figure.set_dpi(200)
    for ax in figure.axes[:12]:
        ax.images[0].set_interpolation("nearest")  # else neighbours bleed into each other
    pixels = render(figure)
    top = {name: 255 * np.array(matplotlib.colormaps[name](1.0)[:3]) for name in ("viridis", "RdBu_r", "magma")}
    for ax, name in zip(figure.axes[0:12:2], ("viridis",) * 3 + ("RdBu_r", "none", "magma"), strict=True):
        if name != "none":  # the error is zero
            found = pixel_at(figure, pixels, ax, (grid[0][i], grid[1][j]))
            np.testing.assert_allclose(found, top[name], atol=1)
            elsewhere = pixel_at(figure, pixels, ax, (grid[0][j], grid[1][-1 - j]))
            assert np.abs(elsewhere - top[name]).max() > 50


@pytest.mark.parametrize(("grid", "highest"), [((x, y), 1.3), (channel, 0.45)])
def test_forecast_2d_is_no_higher_than_its_panels_need(grid, highest):
    """The panels fill most of the figure, have the domain's shape, and nothing reaches over the edge."""
    figure = plots_2d.forecast_2d(t, *grid, **fields_on(*grid))
    width, height = figure.get_size_inches()
    assert width == plots.WIDTH
    assert height < highest * width
    pixels = render(figure)
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()
    shown = np.flatnonzero((pixels < 255).any(axis=(1, 2)))
    assert shown[0] < 25 and shown[-1] > len(pixels) - 25
    for ax in figure.axes[:30]:
        box = ax.get_window_extent()
        assert box.height / box.width == pytest.approx(np.ptp(ax.get_ylim()) / np.ptp(ax.get_xlim()), rel=1e-3)


def test_labels_of_panels_side_by_side_keep_apart():
    """On a domain that is labelled at both of its ends, along the lowest row and the first column."""
    around = np.linspace(-2.5 + 2.5 / 16, 2.5 - 2.5 / 16, 16)
    figure = plots_2d.forecast_2d(t, around, around, **fields_on(around, around))
    render(figure)
    panels_shown = np.array(figure.axes[:30]).reshape(6, 5)
    for line, name in ((panels_shown[-1], "xaxis"), (panels_shown[::-1, 0], "yaxis")):
        labels = [label for ax in line for label in getattr(ax, name).get_ticklabels()]
        assert [label.get_text() for label in labels] == ["\N{MINUS SIGN}2.5", "0", "2.5"] * len(line)
        boxes = [label.get_window_extent() for label in labels]
        side = 0 if name == "xaxis" else 1
        assert all(a.max[side] < b.min[side] for a, b in zip(boxes, boxes[1:], strict=False))


def test_what_is_masked_or_not_finite_is_grey_and_out_of_the_ranges():
    values = {name: u.copy() for name, u in fields_on(*channel).items()}
    for u in values.values():
        u[:, disc] = 1e6
    values["mean"][-1, 40:, :] = np.nan  # a forecast that diverged
    figure = plots_2d.forecast_2d(t, *channel, **values, num_frames=2, mask=disc)
    assert max(ax.images[0].get_clim()[1] for ax in figure.axes[:12]) <= 1.0
    pixels = render(figure)
    i, j = np.argwhere(disc)[len(np.argwhere(disc)) // 2]
    body, diverged, plain = (channel[0][i], channel[1][j]), (channel[0][50], channel[1][8]), (-0.4, 0.4)
    for k, ax in enumerate(figure.axes[:12]):
        np.testing.assert_array_equal(pixel_at(figure, pixels, ax, body), GREY)
        assert (pixel_at(figure, pixels, ax, diverged) == GREY).all() == (k in (3, 9))  # the mean and its error
        assert (pixel_at(figure, pixels, ax, plain) != GREY).any()


def test_limits_in_two_digits_say_what_can_be_told_from_zero():
    labels = {}
    for low, high in ((7e-119, 0.987), (-0.0375, 0.0375), (0.0, 1200.0)):
        labels[low] = panels.limits(panels.Panels("truth", np.ma.zeros((1, 2, 2)), "viridis", low, high))
    assert list(labels.values()) == [("0", "0.99"), ("−0.037", "0.037"), ("0", "1.2e+03")]


def test_nothing_is_written_without_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    animation.animation_2d(t, x, y, **fields)
    plots_2d.forecast_2d(t, x, y, **fields, num_frames=1).savefig(io.BytesIO())
    assert not list(tmp_path.iterdir())


arguments = {"t": t, "x": x, "y": y} | fields


@pytest.mark.parametrize("draw", [plots_2d.forecast_2d, animation.animation_2d])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": fields["mean"][..., None]}, r"`mean`.*time=11, x=24, y=20.*11, 24, 20, 1"),
        ({"std": fields["std"].swapaxes(1, 2)}, r"`std`.*x=24, y=20.*\(11, 20, 24\)"),
        ({"micro": fields["micro"][1:]}, r"`micro`.*\(10, 24, 20\)"),
        ({"mask": np.zeros((20, 24), bool)}, r"`mask`.*x=24, y=20.*\(20, 24\)"),
        ({"mask": np.zeros((24, 20))}, "`mask`.*float64"),
        ({"x": x[::-1]}, "`x` must increase in equal steps"),
        ({"y": y**2}, "`y` must increase in equal steps"),
    ],
)
def test_unusable_arrays_are_refused(draw, change, message):
    with pytest.raises(InputError, match=message) as caught:
        draw(**arguments | change)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots_2d.forecast_2d(**arguments, num_frames=12), "`num_frames`.*11.*got 12"),
        (lambda: plots_2d.forecast_2d(**arguments, num_frames=0), "`num_frames`.*got 0"),
        (lambda: animation.animation_2d(**arguments, fps=0), "`fps`.*got 5, 0 and 800"),
        (lambda: animation.animation_2d(**arguments, width=100), "`width`.*100"),
        (lambda: plots_run.kernel_2d(np.ones((4, 5)), np.ones((4, 5)), 2), r"odd numbers.*\(4, 5\)"),
        (lambda: plots_run.kernel_2d(np.ones((5, 5)), np.ones((5, 3)), 2), r"`initial`.*x=5, y=5.*\(5, 3\)"),
        (lambda: animation.save_gif("never.gif", [], 12), "got 0"),
        (lambda: animation.save_gif("never.gif", [Image.new("P", (1, 1))], 60), "fps=60"),
    ],
)
def test_unusable_numbers_are_refused(draw, message):
    with pytest.raises(InputError, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
