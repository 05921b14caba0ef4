"""Which trajectory the figures show and what they say of it, and that every channel has its own."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from msvi.data.labels import Labels
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.evaluation.figures import _draw_forecast, _endings, _Forecast, _title, find_shown
from msvi.report.names import names_of_channels

NRMSE = [0.3, None, 0.1, 0.2]


@pytest.mark.parametrize(
    ("shown", "trajectory", "title"),
    [
        ("best", 2, "test trajectory 2 of 0–3, the best by NRMSE: 0.1"),
        ("median", 3, "test trajectory 3 of 0–3, the median by NRMSE: 0.2"),  # the lower one of two in the middle
        ("worst", 1, "test trajectory 1 of 0–3, the worst by NRMSE: diverged"),
        (0, 0, "test trajectory 0 of 0–3, NRMSE: 0.3"),
        ("3", 3, "test trajectory 3 of 0–3, NRMSE: 0.2"),
    ],
)
def test_shown(shown, trajectory, title):
    assert find_shown(NRMSE, shown) == trajectory
    assert _title(trajectory, NRMSE, shown) == title


def test_a_single_trajectory():
    assert [find_shown([0.5], shown) for shown in ("best", "median", "worst", 0)] == [0] * 4
    assert _title(0, [0.5], "median") == "test trajectory 0, the median by NRMSE: 0.5"


@pytest.mark.parametrize("shown", [4, -1, "5", "-1", "first", "", 0.5, None])
def test_others_are_refused(shown):
    with pytest.raises(InputError, match="median, best, worst or a number from 0 to 3, got") as caught:
        find_shown(NRMSE, shown)
    assert "\n" not in str(caught.value)


def test_endings():
    """A single channel has none; names that are not fit for files, or not different, become so."""

    def endings(*channels):
        return _endings(names_of_channels(("x",), channels, {}, len(channels)))

    assert endings("T") == [""]
    assert endings("u", "v") == ["_u", "_v"]
    assert endings("wind speed (10 m)", "p/p0", "?") == ["_wind_speed_10_m", "_p_p0", "_2"]
    assert endings("a b", "a-b", "c") == ["_0", "_1", "_c"]


def drawn(grid, solid=None):
    """Pictures of a made-up forecast of two channels, `T` and `p`, on a grid, and its truth."""
    frames, axes = np.array([0, 2, 3]), ("a", "b", "c")[: len(grid)]
    rng = np.random.default_rng(0)
    truth, mean, macro, micro = rng.normal(size=(4, len(frames), *grid, 2))
    t = np.array([[5.0, 5.1, 5.2, 5.3]])
    coordinates = tuple(np.linspace(0, 1, n) for n in grid)
    units = {"c": {"units": "km"}, "T": {"units": "K"}}
    split = Split(t, np.zeros((1, 4, *grid, 2)))
    labels = Labels(axes, ("T", "p"), units)
    dataset = Dataset(coordinates, ("periodic",) * len(grid), split, split, split, solid=solid, labels=labels)
    lead = t[0] - 5 if len(grid) > 1 else t[0, frames] - 5
    found = _Forecast(lead, frames, truth, mean, 1 + 0 * mean, macro, micro, np.zeros((2, 4, 1)), np.zeros((4, 1)))
    names = names_of_channels(axes, labels.channels, labels.attributes, 2)
    return _draw_forecast(found, dataset, names, "the first"), truth


def test_every_channel_is_drawn():
    """Under its own name, with its own values."""
    pictures, truth = drawn((6,))
    assert list(pictures) == ["forecast_T", "space_time_T", "forecast_p", "space_time_p"]
    for channel, (name, label) in enumerate((("T", "T [K]"), ("p", "p"))):
        ax = pictures[f"forecast_{name}"].axes[0]
        assert ax.get_ylabel() == label
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), truth[0, :, channel])


def test_two_dimensions():
    """With what is solid left out, and an animation of each channel."""
    solid = np.zeros((6, 5), bool)
    solid[1, 2] = True
    pictures, truth = drawn((6, 5), solid)
    assert list(pictures) == ["forecast_T", "forecast_T.gif", "forecast_p", "forecast_p.gif"]
    assert isinstance(pictures["forecast_p"], Figure) and len(pictures["forecast_p.gif"]) == 3
    shown = pictures["forecast_p"].axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown.mask, solid.T)
    np.testing.assert_array_equal(shown[~shown.mask], truth[0, ..., 1].T[~solid.T])
    assert pictures["forecast_T"].get_suptitle() == "T [K]: the first"


def test_three_dimensions():
    """The plane in the middle, which the title names with its place."""
    solid = np.zeros((6, 5, 4), bool)
    solid[:, :, 2] = np.eye(6, 5, dtype=bool)
    solid[:, :, 0] = True
    pictures, truth = drawn((6, 5, 4), solid)
    shown = pictures["forecast_T"].axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown.mask, solid[:, :, 2].T)
    np.testing.assert_array_equal(shown[~shown.mask], truth[0, :, :, 2, 0].T[~solid[:, :, 2].T])
    assert pictures["forecast_T"].get_suptitle() == "T [K]: the first; plane c = 0.667 km"
