"""Animations: every value stands at its place in its colour, and the file is small."""

import matplotlib
import numpy as np
import pytest
from PIL import Image
from test_plots_2d import GREY, TIMES, channel, disc, fields, fields_on, t, x, y

from msvi.report import animation
from msvi.report.names import names_of_channels

pytestmark = pytest.mark.filterwarnings("error")


def drawn_fields(frame, grid, columns):
    """The six panels of a frame, `(6, x, y, 3)`, cut out by what the layout says: equal gaps of a `width // 80`."""
    pixels = np.asarray(frame.convert("RGB"))
    width, gap = frame.width, frame.width // 80
    wide = (width - (columns + 1) * gap) // columns
    left, right = grid[0][[0, -1]] + np.diff(grid[0])[0] * np.array([-0.5, 0.5])
    low, high = grid[1][[0, -1]] + np.diff(grid[1])[0] * np.array([-0.5, 0.5])
    tall = round((high - low) / (right - left) * wide)
    panels = []
    for i in range(6):
        start = gap + i % columns * (wide + gap)
        inside = (pixels[:, start : start + wide] != 255).any(axis=-1).all(axis=1)  # rows without text or gaps
        edges = np.flatnonzero(np.diff(np.r_[0, inside, 0])).reshape(-1, 2)
        top = edges[edges[:, 1] - edges[:, 0] == tall][i // columns, 0]
        panels.append(pixels[top : top + tall, start : start + wide][::-1].swapaxes(0, 1))
    return np.array(panels)


@pytest.mark.parametrize(("grid", "columns"), [((x, y), 6), (channel, 3)])
def test_animation_2d_shows_a_block_where_it_lies_in_its_colour(grid, columns):
    nx, ny = len(grid[0]), len(grid[1])
    u = np.zeros((TIMES, nx, ny))
    u[:, 3 * nx // 4 :, : ny // 4] = t[:, None, None]  # lower right, brighter with time
    frames = animation.animation_2d(t, *grid, u, u, u, u, 0 * u + 1, fps=2, seconds=1.5)
    assert len(frames) == 3
    for frame, value in zip(frames, (0.0, 0.5, 1.0), strict=True):
        panels = drawn_fields(frame, grid, columns)
        point, opposite = (int(0.9 * panels.shape[1]), int(0.1 * panels.shape[2])), (3, -3)
        for name, panel in zip(("viridis",) * 3 + ("RdBu_r",), panels[:4], strict=True):
            scaled = value if name == "viridis" else 0.5 + value / 2
            cmap = matplotlib.colormaps[name]
            step = 1 / (animation.LEVELS - 1)
            nearby = 255 * cmap(np.linspace(scaled - step / 2, scaled + step / 2, 9).clip(0, 1))[:, :3]
            assert (panel[point] >= nearby.min(axis=0) - 1.01).all()
            assert (panel[point] <= nearby.max(axis=0) + 1.01).all()
            np.testing.assert_allclose(
                panel[opposite], 255 * np.array(cmap(0.0 if name == "viridis" else 0.5)[:3]), atol=3
            )
        white = 255 * np.array(matplotlib.colormaps["RdBu_r"](0.5)[:3])
        np.testing.assert_allclose(panels[4], np.broadcast_to(white, panels[4].shape), atol=2)  # no error
        top = 255 * np.array(matplotlib.colormaps["magma"](1.0)[:3])
        np.testing.assert_allclose(panels[5], np.broadcast_to(top, panels[5].shape), atol=1)


def test_animation_2d_draws_the_mask_grey():
    values = {name: u.copy() for name, u in fields_on(*channel).items()}
    for u in values.values():
        u[:, disc] = np.nan
    frame = animation.animation_2d(t, *channel, **values, mask=disc)[0]
    panels = drawn_fields(frame, channel, columns=3)
    grey = (panels == GREY).all(axis=-1)
    assert grey.mean(axis=(1, 2)) == pytest.approx(disc.mean(), rel=0.25)
    for panel in grey:
        i, j = np.argwhere(panel).mean(axis=0) / panel.shape  # its middle lies at x = y = 0
        assert (i, j) == (pytest.approx(0.5 / 4, abs=0.01), pytest.approx(0.5, abs=0.03))


@pytest.mark.parametrize(("grid", "height"), [((128, 128), 220), ((320, 80), 260)])
def test_a_gif_is_small_and_loses_nothing(tmp_path, grid, height):
    """A README's animation: 60 frames of waves that move along a channel, and an error that is noise in them."""
    nx, ny = grid
    times = np.linspace(0, 2, 81)
    gx, gy = np.arange(nx) / ny, np.arange(ny) / ny
    phase = 4 * (gx[:, None] - times[:, None, None]) + 0 * gy
    u = np.sin(phase) * np.exp(-(((gy - 0.5) / 0.12) ** 2))
    noise = np.random.default_rng(0).normal(size=(81, nx // 8, ny // 8)).repeat(8, axis=1).repeat(8, axis=2)
    arrays = (u, u * (1 + 0.05 * noise), 0.8 * u, 0.2 * u, 0.1 * np.abs(u))
    frames = animation.animation_2d(times, gx, gy, *arrays)
    assert len(frames) == 60
    path = tmp_path / "forecast.gif"
    animation.save_gif(path, frames, fps=12)
    assert path.stat().st_size < 1.5e6
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["loop"], gif.width) == (60, 0, 800)
        assert gif.height < height
        for i in (0, 1, 30, 59):
            gif.seek(i)
            assert gif.info["duration"] == 80
            np.testing.assert_array_equal(np.asarray(gif.convert("RGB")), np.asarray(frames[i].convert("RGB")))


def test_each_frame_is_headed_by_names_and_title():
    """In the pixels of its first line alone, the longer the more of them."""
    plain = animation.animation_2d(t, x, y, **fields)
    (own,) = names_of_channels(("x", "y"), ("temperature",), {"time": {"units": "h"}}, 1)
    named = animation.animation_2d(t, x, y, **fields, names=own, title="the third")
    reach = []
    for frames in (plain, named):
        strip = np.asarray(frames[0].convert("L"))[:17]
        reach.append(np.flatnonzero((strip < 128).any(axis=0))[-1])
    assert 60 < reach[0] < 80 and 210 < reach[1] < 230
    for one, other in zip(plain, named, strict=True):
        np.testing.assert_array_equal(np.asarray(one)[20:], np.asarray(other)[20:])


def test_animation_2d_has_no_more_frames_than_times():
    assert len(animation.animation_2d(t, x, y, **fields)) == TIMES
    assert len(animation.animation_2d(t, x, y, **fields, seconds=0.1)) == 1
    frames = animation.animation_2d(t, x, y, **fields, width=500)
    assert {frame.width for frame in frames} == {500}
    strips = [np.asarray(frame)[:15].tobytes() for frame in frames]
    assert len(set(strips)) == TIMES  # each tells its own time
