"""What the values of a data set tell against it: problems that a training refuses, and warnings."""

import numpy as np
import pytest

from msvi.data.split import Dataset, Split
from msvi.data.values import find_value_problems, find_warnings

FRAMES = 48


def dataset(u, t=None, boundary=("periodic",), mask=None, coordinates=None, tested=FRAMES):
    """All splits hold the fields `u`, `(trajectory, time, *grid, channel)`, but the test ends before."""
    t = np.arange(u.shape[1]) / 10 if t is None else t
    split = Split(np.broadcast_to(t, u.shape[:2]).astype(float), u.astype(np.float32), mask=mask)
    coordinates = tuple(np.arange(n) / n for n in u.shape[2:-1]) if coordinates is None else coordinates
    return Dataset(coordinates, boundary, split, split, Split(split.t[:, :tested], split.u[:, :tested]))


def waves(points, channels=1, trajectories=6):
    """Waves of random phases at points of a periodic unit interval, `(trajectory, time, point, channel)`."""
    phase = np.random.default_rng(0).random((trajectories, 1, 1, channels))
    t = np.arange(FRAMES)[:, None, None] / FRAMES
    return np.sin(2 * np.pi * (points[:, None] - t + phase)) + 0.3 * np.cos(6 * np.pi * (points[:, None] - phase))


ONCE, TWICE = np.arange(32) / 32, np.linspace(0, 1, 33)


@pytest.mark.parametrize(("size", "offset"), [(1, 0), (1e20, 0), (1e-25, 0), (1, 300)])
def test_repeated_end_of_a_periodic_axis(size, offset):
    """Seen in any unit, and only where each point stands there once too often."""
    (problem,) = find_value_problems(dataset(offset + size * waves(TWICE)))
    assert problem.startswith(
        "repeats the first point of its periodic axis x as the last one, expected each point once;"
    )
    assert problem.endswith("drop the last one of everything on the grid, u[:, :, :-1]")
    assert find_value_problems(dataset(offset + size * waves(ONCE))) == []
    assert find_value_problems(dataset(offset + size * waves(TWICE), boundary=("edge",))) == []


def test_repeated_end_of_the_second_axis():
    """The axis and the slice that drops the point are named."""
    u = waves(ONCE)[:, :, :, None] * (2 + waves(TWICE)[:, :, None])
    (problem,) = find_value_problems(dataset(u, boundary=("periodic", "periodic")))
    assert "periodic axis y" in problem and problem.endswith("u[:, :, :, :-1]")
    assert find_value_problems(dataset(u, boundary=("periodic", "edge"))) == []


def test_repeated_end_with_gaps():
    """What was not observed is 0 at one end only, and does not count."""
    u = waves(TWICE)
    mask = np.random.default_rng(1).random(u.shape) < 0.7
    assert len(find_value_problems(dataset(np.where(mask, u, 0), mask=mask))) == 1


@pytest.mark.parametrize("kind", ["pulse", "noise", "even", "constant"])
def test_equal_ends_of_other_fields(kind):
    """Fields at rest at both ends, even ones, and ones that never change are none with a point too many."""
    rng = np.random.default_rng(0)
    height = 1 + rng.random((6, FRAMES, 1, 1))
    u = {
        "pulse": height * np.exp(-(((ONCE - 0.5) / 0.03) ** 2))[:, None],
        "noise": rng.standard_normal((6, FRAMES, 32, 1)),
        "even": height * np.cos(2 * np.pi * (ONCE + 1 / 64))[:, None],
        "constant": np.ones((6, FRAMES, 32, 1)),
    }[kind]
    assert find_value_problems(dataset(u)) == []


def test_too_small_for_single_precision():
    """Values that lose their digits are refused, a field of zeros is left to the check that it varies."""
    (problem,) = find_value_problems(dataset(1e-37 * waves(ONCE)))
    assert "too small for single precision; take a smaller unit" in problem
    assert find_value_problems(dataset(0 * waves(ONCE))) == []


def test_no_warnings():
    """Nothing to say of plenty of even, complete data in any unit."""
    for size in (1e-25, 1, 1e20):
        assert list(find_warnings(dataset(size * waves(ONCE, channels=2)))) == []


def test_warnings_of_times_and_numbers():
    """Gaps, few frames and few trajectories, each in a sentence."""
    t = np.arange(FRAMES) / 10
    t[40:] += 3
    (gap,) = find_warnings(dataset(waves(ONCE), t))
    assert gap.startswith("Frames are up to 3.1 apart, 31 times the usual 0.1;")
    (few,) = find_warnings(dataset(waves(ONCE, trajectories=3)))
    assert few.startswith("There are few trajectories to learn from, 3;")
    windows, tested = find_warnings(dataset(waves(ONCE)[:, :12], tested=4))
    assert "has 12 frames, a window has 32; store more" in windows and "as few as 4 frames" in tested


def test_warning_of_what_is_missing():
    """A share beyond a half."""
    u = waves(ONCE)
    mask = np.zeros(u.shape, bool)
    mask[:, :, ::4] = True
    assert list(find_warnings(dataset(u, mask=mask))) == [
        "Of the values to learn from 75.0 % are missing; the gaps are guessed."
    ]


def test_warnings_of_channels():
    """That never change, or hardly about a large mean; that they are 0 where nothing was observed does not count."""
    u = waves(ONCE, channels=3)
    u[..., 1], u[..., 2] = 7, 1000 + 1e-4 * u[..., 2]
    mask = np.ones(u.shape, bool)
    mask[:, 5] = False
    constant, hardly = find_warnings(dataset(np.where(mask, u, 0), mask=mask))
    assert constant == "Channel 1 is the same everywhere; leave it out."
    assert hardly.startswith("Channel 2 varies by 0.000") and hardly.endswith("take off its mean.")
