"""Times of frames in any type, counted from anywhere."""

import numpy as np
import pytest

from msvi.data.times import elapsed, increase, resolved, since_zero


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u1", "u2", "u4"])
def test_numbers_of_few_bytes_do_not_overflow(dtype):
    """From the least to the greatest of a type there is more than it holds."""
    bounds = np.iinfo(dtype)
    t = np.array([[bounds.min, 0 if bounds.min else 1, bounds.max]], dtype)
    right = [[0, -bounds.min or 1, bounds.max - bounds.min]]
    assert elapsed(t, t[:, :1]).tolist() == right


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_large_numbers_are_exact(dtype):
    """Nanoseconds since 1970 and more, of which float64 cannot tell neighbours."""
    t = np.array([np.iinfo(dtype).max - 3, np.iinfo(dtype).max], dtype)
    assert elapsed(t, t[:1]).tolist() == [0, 3]


def test_dates_in_their_own_unit():
    """Seconds since 1970 in float64, and since a start without what float64 would lose."""
    t = np.array(["2020-01-01T00:00:00.000000000", "2020-01-01T00:00:00.000000001", "NaT"], "M8[ns]")
    assert elapsed(t, t[:1])[:2].tolist() == [0, 1e-9] and np.isnan(elapsed(t, t[:1])[2])
    assert since_zero(t[:1]).tolist() == [1577836800]
    months = np.array(["2020-01", "2020-02", "2020-03"], "M8[M]")
    assert elapsed(months, months[:1]).tolist() == [0, 31 * 86400, 60 * 86400]


def test_order():
    """Missing times may stand at the end alone."""
    assert increase(np.array([0, 1, np.nan])) and increase(np.array(["2020", "2021", "NaT"], "M8[Y]"))
    for t in ([0, 0], [1, 0], [0, np.nan, 1], [np.nan, 1], [0, np.inf]):
        assert not increase(np.array(t, float))


def test_resolution():
    """Of times since the start, whatever their unit."""
    t = np.linspace(0, 1, 1001)
    assert all(resolved(scale * t) for scale in (1e-30, 1, 1e30))
    assert not resolved(np.array([0, 1, 1 + 1e-8]))
