"""Pictures of forecasts: which panels there are, what they show, and what their times are called."""

import numpy as np
import pytest
import xarray as xr

from msvi.errors import InputError
from msvi.report.plots_forecast import channels_of, forecast_figure, forecast_frames

T = np.arange(7.0)


def forecast(axes, sizes, channels=1, several=False, parts=True, **time):
    """A data set as `Model.forecast` gives it, of random numbers."""
    rng, front = np.random.default_rng(0), ("initial",) if several else ()
    variables = {}
    for suffix in ("", "_mean", "_std", *(("_macro", "_micro") if parts else ())):
        dims = (*front, *(() if suffix else ("member",)), "time", *axes)
        shape = [2] * len(front) + [4] * (not suffix) + [len(T), *sizes]
        if channels > 1:
            dims, shape = (*dims, "channel"), [*shape, channels]
        variables[f"u{suffix}"] = dims, np.abs(rng.standard_normal(shape)), {"units": "m/s"}
    points = {axis: (axis, np.arange(float(n)), {"units": "km"}) for axis, n in zip(axes, sizes, strict=True)}
    return xr.Dataset(variables, points | {"time": ("time", T, time)})


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def test_one_dimension():
    """A row for the ensemble and one for each part; the band is two deviations wide, scales are those of all times."""
    found = forecast(("lon",), (16,))
    figure = forecast_figure(found, num_frames=4)
    assert len(figure.axes) == 12 and titles(figure) == ["t = 0", "t = 2", "t = 4", "t = 6"]
    first, last = figure.axes[0], figure.axes[3]
    assert first.get_ylabel() == "u [m/s]" and figure.axes[8].get_xlabel() == "lon [km]"
    np.testing.assert_array_equal(last.lines[-1].get_ydata(), found.u_mean[-1])
    np.testing.assert_array_equal(last.lines[0].get_ydata(), found.u[0, -1])
    upper = last.collections[0].get_paths()[0].vertices[:, 1].max()
    np.testing.assert_allclose(upper, (found.u_mean[-1] + 2 * found.u_std[-1]).max())
    assert first.get_ylim() == last.get_ylim()
    assert len(forecast_figure(forecast(("x",), (16,), parts=False), num_frames=4).axes) == 4


@pytest.mark.parametrize(("axes", "sizes"), [(("x", "y"), (8, 6)), (("x", "y", "z"), (8, 6, 5))])
def test_two_dimensions_and_three(axes, sizes):
    """A row of images for mean, deviation, a member and the parts, each with its colours; of three the plane in the
    middle; of several fields and channels one of each."""
    found = forecast(axes, sizes, channels=2, several=True)
    assert channels_of(found) == ["u_0", "u_1"]
    figure = forecast_figure(found, "u_1", num_frames=2)
    assert len(figure.axes) == 10 + 5 and titles(figure) == ["t = 0", "t = 6"]
    plane = found.u_std[0, -1, :, :, 2, 1] if len(axes) == 3 else found.u_std[0, -1, :, :, 1]
    np.testing.assert_array_equal(np.ravel(figure.axes[3].collections[0].get_array()), plane.T.values.ravel())
    with pytest.raises(InputError, match="has the channels u_0, u_1, got 'u'"):
        forecast_figure(found, "u")


@pytest.mark.parametrize(
    ("time", "first", "last"),
    [
        ({}, "t = 0", "t = 6"),
        ({"units": "s"}, "t = 0 s", "t = 6 s"),
        ({"units": "hours since 2001-02-03"}, "2001-02-03 00:00", "2001-02-03 06:00"),
        ({"units": "days since 2001-02-25", "calendar": "360_day"}, "t = 0 days", "t = 6 days"),
    ],
)
def test_times(time, first, last):
    """Numbers with their unit, and dates; those of other calendars than ours are numbers."""
    assert titles(forecast_figure(forecast(("x",), (8,), **time), num_frames=2)) == [first, last]


@pytest.mark.parametrize(("axes", "sizes"), [(("x",), (16,)), (("x", "y"), (8, 6))])
def test_moving_pictures(axes, sizes):
    """As many frames as asked, or one for each time; they have one size and one palette, and move."""
    images = forecast_frames(forecast(axes, sizes), num_frames=4)
    assert len(images) == 4 and len(forecast_frames(forecast(axes, sizes))) == len(T)
    assert len({image.size for image in images}) == 1 and images[0].getpalette() == images[-1].getpalette()
    assert not np.array_equal(images[0], images[1])
