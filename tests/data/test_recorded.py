"""Data sets from data files: who learns, missing values and frames, lengths that differ, parameters and forcing."""

import numpy as np
import pytest

from msvi.data.config import Recorded
from msvi.data.recorded import Recording, describe, load_recorded
from msvi.data.split import check_dataset
from msvi.errors import InputError


def fields(trajectories=10, frames=6):
    """`u (trajectory, time, 4, 1)`, the trajectory's number before the decimal point and the frame's after it."""
    u = np.arange(trajectories)[:, None] + np.arange(frames) / 1000
    return np.broadcast_to(u[..., None, None], (trajectories, frames, 4, 1)).copy()


def write(path, u, t=None, **others):
    t = np.arange(u.shape[1]) if t is None else t
    np.savez(path, **{"u": u, "t": t, "boundary": np.array(["edge"])} | others)
    return str(path)


def load(path, train=0, val=0, test=0, seed=0, boundary=()):
    return load_recorded(path, boundary, train, val, test, seed)


def trajectories(dataset):
    """Numbers of the trajectories of each split."""
    return [np.floor(split.u[:, 0, 0, 0]).astype(int).tolist() for split in (dataset.train, dataset.val, dataset.test)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "recorded.npz"


def refused(path, *parts, **numbers):
    with pytest.raises(InputError) as error:
        load(path, **numbers)
    for part in parts:
        assert part in str(error.value), str(error.value)


def test_no_equation():
    """It takes no parameters."""
    assert Recorded() == Recorded()


def test_tenths(path):
    """Of 20: two to validate, two to test; each trajectory once, in the file's order, and the seed decides."""
    write(path, fields(20))
    found = trajectories(load(path))
    assert [len(rows) for rows in found] == [16, 2, 2]
    assert sorted(sum(found, [])) == list(range(20)) and all(rows == sorted(rows) for rows in found)
    assert found == trajectories(load(path)) != trajectories(load(path, seed=1))
    write(path, fields(3))
    assert [len(rows) for rows in trajectories(load(path))] == [1, 1, 1]


def test_numbers(path):
    """What is asked for; the test split does not depend on the others."""
    write(path, fields(20))
    few, many = trajectories(load(path, 3, 2, 4)), trajectories(load(path, 0, 5, 4))
    assert [len(rows) for rows in few] == [3, 2, 4] and [len(rows) for rows in many] == [11, 5, 4]
    assert few[2] == many[2] and not set(few[0]) & set(few[1]) and not set(few[1]) & set(few[2])
    refused(path, "has 20 trajectories, fewer than the 17 to learn from, 2 to validate and 2 to test", train=17)
    refused(path, "fewer than the 1 to learn from, 10 to validate and 10 to test", val=10, test=10)
    assert describe(path, num_train=17).num_frames == {}


def test_split_of_the_file(path):
    """All of it, or the first so many."""
    names = np.array(["val", "train", "test", "train", "test", "train"])
    for split in (names, np.array([1, 0, 2, 0, 2, 0]), np.array([1.0, 0, 2, 0, 2, 0]), names.astype("S")):
        write(path, fields(6), split=split)
        assert trajectories(load(path)) == [[1, 3, 5], [0], [2, 4]]
        assert trajectories(load(path, 2, 1, 1)) == [[1, 3], [0], [2]]
    refused(path, "has 1 trajectories for val, expected at least 3; lower data.num_val", val=3)


@pytest.mark.parametrize("number", [1, 2])
def test_few_trajectories_are_cut_by_time(path, number):
    """80 %, 10 % and 10 % of 40 frames; with two trajectories each split has two pieces."""
    write(path, fields(number, 40), t=np.arange(40.0))
    dataset = load(path)
    for split, frames in ((dataset.train, range(32)), (dataset.val, range(32, 36)), (dataset.test, range(36, 40))):
        assert split.u.shape == (number, len(frames), 4, 1)
        np.testing.assert_array_equal(split.t, [list(frames)] * number)
        np.testing.assert_array_equal(split.u, fields(number, 40)[:, list(frames)].astype(np.float32))
    assert describe(path).num_frames == {"train": (32,) * number, "val": (4,) * number, "test": (4,) * number}
    refused(path, f"has {number} trajectories for train, expected at least 3", train=3)
    assert trajectories(load(path, 1, 1, 1)) == [[0], [0], [0]]


def test_short_cut(path):
    """Six frames are the least; frames of which nothing was observed do not count."""
    mask = np.ones((1, 8), bool)
    mask[0, [2, 5]] = False
    write(path, fields(1, 8), mask=mask)
    dataset = load(path)
    assert [split.t.tolist() for split in (dataset.train, dataset.val, dataset.test)] == [[[0, 1]], [[3, 4]], [[6, 7]]]
    mask[0, 0] = False
    write(path, fields(1, 8), mask=mask)
    refused(path, "1 of 1 trajectories with fewer than 6 observed frames, the first of them number 0; leave them out")


def test_trajectory_of_one_frame(path):
    """It cannot be learned from."""
    mask = np.ones((5, 6), bool)
    mask[3, 1:] = False
    write(path, fields(5), mask=mask)
    refused(path, "has 1 of 5 trajectories with fewer than 2 observed frames, the first of them number 3")


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4), (3, 5, 4, 2)])
@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks(path, shape, dtype):
    """Masks of frames, points and values; what is not observed may be anything and becomes zero."""
    rng = np.random.default_rng(1)
    u = rng.standard_normal((3, 5, 4, 2))
    mask = rng.random(shape) < 0.7
    mask[:, :2] = True
    whole = np.broadcast_to(mask.reshape(shape + (1,) * (4 - len(shape))), u.shape)
    write(path, np.where(whole, u, rng.choice([np.nan, np.inf, 1.0], u.shape)), mask=mask.astype(dtype))
    dataset, rows = load(path, seed=2), [0, 1, 2]
    for split in (dataset.train, dataset.val, dataset.test):
        (row,) = [i for i in rows if split.u[0, 0, 0, 0] == np.float32(u[i, 0, 0, 0])]
        kept = np.flatnonzero(whole[row].any(axis=(1, 2)))
        np.testing.assert_array_equal(split.t[0], kept)
        np.testing.assert_array_equal(split.u[0], np.where(whole[row], u[row], 0).astype(np.float32)[kept])
        np.testing.assert_array_equal(split.observed(0) if split.mask is not None else True, whole[row][kept])
        assert (split.mask is None) == whole[row][kept].all() and split.num_frames is None


def test_dropped_frames_leave_no_mask(path):
    """Where whole frames are missing, what is left is all observed; shorter trajectories are filled up."""
    mask = np.ones((5, 6, 4), bool)
    mask[1:, 2] = False
    t = np.array([0, 1, 4, 5, 7, 10.0])
    write(path, fields(5), t, mask=mask, split=np.array([0, 0, 0, 1, 2]))
    train = load(path).train
    assert train.mask is None
    np.testing.assert_array_equal(train.num_frames, [6, 5, 5])
    np.testing.assert_array_equal(train.t, [t, [0, 1, 5, 7, 10, 13], [0, 1, 5, 7, 10, 13]])
    assert (train.u[1:, 5] == 0).all() and (train.observed(1)[:5] == 1).all() and not train.observed(1)[5].any()


def test_ragged_times(path):
    """NaN after the last frame of shorter trajectories, and nothing in particular in their fields there."""
    t = np.tile(np.arange(6.0) ** 2, (4, 1))
    t[0, 4:], t[1, 2:] = np.nan, np.nan
    u = fields(4)
    u[np.isnan(t)] = np.nan
    write(
        path,
        u,
        t + [[7], [-8], [0], [0]],
        split=np.array([0, 0, 1, 2]),
        forcing=np.where(np.isnan(t), np.nan, np.sqrt(t))[..., None],
    )
    train = load(path).train
    np.testing.assert_array_equal(train.num_frames, [4, 2])
    np.testing.assert_array_equal(train.t, [[0, 1, 4, 9], [0, 1, 2, 3]])
    np.testing.assert_array_equal(train.u[1, :, 0, 0], np.float32([1, 1.001, 0, 0]))
    np.testing.assert_array_equal(train.forcing_t, [[0, 1, 4, 9, 14, 19], [0, 1, 2, 3, 4, 5]])
    np.testing.assert_array_equal(train.forcing[..., 0], [[0, 1, 2, 3, 3, 3], [0, 1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(train.origin, [7, -8])
    assert load(path).val.num_frames is None and load(path).val.origin is None
    assert describe(path).num_frames == {"train": (4, 2), "val": (6,), "test": (6,)}


FRAMES = np.arange(20) * 600  # seconds


def dates(unit, start):
    return np.datetime64(start, unit) + (FRAMES * np.timedelta64(1, "s")).astype(f"m8[{unit}]")


@pytest.mark.parametrize(
    ("t", "right", "origin"),
    [
        (20000 + FRAMES / 86400, FRAMES / 86400, 20000),
        (2_000_000_000 + FRAMES, FRAMES, 2e9),
        (np.uint64(1.7e18) + np.uint64(1e9) * FRAMES.astype(np.uint64), 1e9 * FRAMES, 1.7e18),
        (1e-12 * FRAMES, 1e-12 * FRAMES, None),
        (1e30 * (FRAMES + 600), 1e30 * FRAMES, 6e32),
        (dates("ns", "1970-01-02T00:00:00.000000001"), FRAMES, 86400 + 1e-9),
        (dates("ms", "2024-02-29"), FRAMES, 1709164800),
        (dates("s", "-5000-01-01"), FRAMES, -2545740 * 86400),
        (np.arange("2023-12-31", "2024-01-20", dtype="M8[D]"), 86400 * np.arange(20), 1703980800),
        (np.arange("2023-01", "2024-09", dtype="M8[M]"), None, 1672531200),
        (FRAMES.astype("m8[s]"), FRAMES, None),
        (np.arange(20).astype("m8[M]"), np.arange(20), None),
    ],
    ids=[
        "days",
        "seconds",
        "nanoseconds",
        "tiny",
        "huge",
        "M8[ns]",
        "M8[ms]",
        "antiquity",
        "M8[D]",
        "months",
        "m8[s]",
        "m8[M]",
    ],
)
@pytest.mark.parametrize("number", [1, 4])
def test_times_count_from_the_start(path, t, right, origin, number):
    """Of each trajectory, whatever they counted from and in whatever unit; dates become seconds, and the first is kept.

    Of a trajectory that is cut, each piece counts from the start of the whole.
    """
    if right is None:
        right = 86400 * np.array([(day - t.astype("M8[D]")[0]).astype(int) for day in t.astype("M8[D]")])
    write(path, fields(number, 20), t, forcing=np.ones((number, 20, 1)))
    dataset = load(path)
    frames = np.split(np.arange(20), [16, 18]) if number == 1 else 3 * [np.arange(20)]
    for split, kept in zip(dataset[2:5], frames, strict=True):
        assert split.t.dtype == split.forcing_t.dtype == np.float64
        for times, expected in ((split.t, right[kept]), (split.forcing_t, right)):
            np.testing.assert_allclose(times, np.tile(expected, (len(split.u), 1)), rtol=1e-15, atol=1e-9 * right[1])
        if origin is None:
            assert split.origin is None
        else:
            np.testing.assert_allclose(split.origin, np.full(len(split.u), origin), rtol=1e-15)


def test_dates_are_exact(path):
    """Nanoseconds apart, half a century after 1970; where there is none, the trajectory has ended."""
    t = np.datetime64("2024-05-06T07:08:09", "ns") + np.array([[0, 1, 3, 7, 8], [5, 6, 9, 9, 9]]).astype("m8[ns]")
    t[1, 3:] = np.datetime64("NaT")
    write(path, fields(4, 5), t[[0, 1, 0, 0]], split=np.array([0, 0, 1, 2]))
    train = load(path).train
    np.testing.assert_array_equal(train.num_frames, [5, 3])
    np.testing.assert_allclose(train.t, 1e-9 * np.array([[0, 1, 3, 7, 8], [0, 1, 4, 7, 10]]), rtol=1e-12)


def test_forcing_keeps_all_its_times(path):
    """Where frames are dropped, and where a trajectory is cut."""
    mask = np.ones((4, 6), bool)
    mask[:, 3] = False
    force = np.random.default_rng(0).standard_normal((4, 6, 4, 2)).astype(np.float32)
    write(path, fields(4), mask=mask, forcing=force, split=np.array([0, 0, 1, 2]))
    train = load(path).train
    assert train.u.shape[1] == 5
    np.testing.assert_array_equal(train.forcing, force[:2])
    np.testing.assert_array_equal(train.forcing_t, [np.arange(6)] * 2)
    force = np.arange(20.0).reshape(1, 20, 1)
    write(path, fields(1, 20), forcing=force)
    for split in load(path)[2:5]:
        np.testing.assert_array_equal(split.forcing, force)
        np.testing.assert_array_equal(split.forcing_t, force[..., 0])


def test_truth_has_to_be_known(path):
    """In every frame that is kept, also where nothing was observed; in others it does not matter."""
    mask, truth = np.ones((4, 6, 4), bool), fields(4)
    mask[0, 2, 1], mask[1, 3] = False, False
    truth[1, 3] = np.nan
    write(path, fields(4), mask=mask, u_true=truth, split=np.array([0, 0, 1, 2]))
    np.testing.assert_array_equal(load(path).train.u_true[0], truth[0].astype(np.float32))
    truth[0, 2, 1] = np.nan
    write(path, fields(4), mask=mask, u_true=truth, split=np.array([0, 0, 1, 2]))
    refused(path, "holds 1 values of `u_true` that are not finite in single precision in trajectory 0, the first at")


def test_given_boundary(path):
    """It fills and it overrides; the default points follow it."""
    write(path, fields())
    assert load(path).boundary == ("edge",) and load(path).coordinates[0][-1] == 1
    dataset = load(path, boundary=("periodic",))
    assert dataset.boundary == ("periodic",)
    np.testing.assert_array_equal(dataset.coordinates[0], [0, 0.25, 0.5, 0.75])


def test_description(path):
    """Sizes and facts without a look at the fields: NaN in them is no problem yet."""
    held = {"mu": np.ones((10, 3)), "forcing": np.ones((10, 6, 2)), "coarsening": 2}
    write(path, fields() * np.nan, **held)
    found = describe(path)
    num_frames = {"train": (6,) * 8, "val": (6,), "test": (6,)}
    assert found == Recording("NumPy archive", (4,), 1, ("edge",), 2, 3, 2, 10, num_frames, [])


def test_parameters_and_types(path):
    """Float32 but for times, which keep their digits; a single trajectory's parameters go to all of its pieces."""
    write(path, fields(1, 10).astype(np.float16), t=np.arange(10) * 0.1, mu=np.array([[0.1, 3]]))
    dataset = load(path)
    for split in dataset[2:5]:
        assert split.u.dtype == split.mu.dtype == np.float32 and split.t.dtype == np.float64
        np.testing.assert_array_equal(split.mu, np.float32([[0.1, 3]]))


@pytest.mark.parametrize("field", ["u", "mu", "forcing", "forcing_t"])
def test_check_dataset(path, field):
    """A value that is not finite, in any array and in what fills it."""
    t = np.tile(np.arange(6.0), (4, 1))
    t[0, 4:] = np.nan
    write(path, fields(4), t, mu=np.ones((4, 2)), forcing=np.ones((4, 6, 1)), split=np.array([0, 0, 1, 2]))
    dataset = load(path)
    broken = getattr(dataset.train, field).copy()
    broken[(0, *(-1,) * (broken.ndim - 1))] = np.nan
    match = "increase strictly" if field == "forcing_t" else rf"got nan in train.{field} at \(trajectory, .*\) = \(0, "
    with pytest.raises(InputError, match=match):
        check_dataset(dataset._replace(train=dataset.train._replace(**{field: broken})))


def test_digest(tmp_path):
    """Any change of what is learned from changes it; the order of the same file read twice does not."""
    arrays = {"u": np.random.default_rng(0).standard_normal((5, 6, 8, 1)), "t": np.arange(6.0), "boundary": ["edge"]}

    def digest(**others):
        np.savez(tmp_path / "a.npz", **arrays | others)
        return load_recorded(str(tmp_path / "a.npz"), (), 0, 0, 0, 0).digest

    found = [digest(), digest(u=arrays["u"] * 1.001), digest(t=arrays["t"] * 2), digest(mu=np.ones((5, 1)))]
    assert len(set(found)) == 4 and digest() == found[0]
