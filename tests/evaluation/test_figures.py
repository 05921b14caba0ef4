"""Which trajectory the figures show and what they say of it, and that every channel has its own."""

import pytest

from msvi.errors import InputError
from msvi.evaluation.figures import _endings, _title, find_shown
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
