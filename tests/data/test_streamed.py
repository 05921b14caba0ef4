"""Fields that stay in their file: the same values as in memory, and no more read than is asked for."""

import os

import h5py
import numpy as np
import pytest
import xarray as xr
from smoke import Watched

from msvi.data import streamed as streamed_fields
from msvi.data import survey
from msvi.data.formats.arrays import Piece, StoredArray, stored
from msvi.data.recorded import load_recorded
from msvi.data.split import Split, cut_windows, some_frames
from msvi.data.streamed import StreamedField
from msvi.errors import InputError

RNG = np.random.default_rng(0)
FIELD = RNG.normal(size=(8, 30, 6, 4, 2))


def streamed(pieces, together=4):
    return StreamedField(stored(FIELD.view(Watched), "a.h5")._replace(chunks=(1, together)), pieces, np.float32)


PIECES = [Piece(2, np.array([0, 1, 5, 6, 7, 20])), Piece(0, np.arange(3, 13))]


@pytest.mark.parametrize(
    "where",
    [
        *(0, -1, (0, 3), (0, 8), (0, -1), (0, slice(2, 9)), (1, np.array([3, 1, 1, 9])), (0, [1, 7], 2)),
        *((0, slice(None), slice(1, 3), slice(0, 2)), slice(None), (slice(None), slice(0, 8, 3)), slice(0, 0)),
        *((np.array([1, 0]), slice(2, 4)), (slice(None), 0), (1, slice(4, 4))),
    ],
)
def test_it_is_indexed_as_an_array(where):
    """Frames beyond a trajectory's own are zero."""
    expected = np.zeros((2, 10, 6, 4, 2), np.float32)
    expected[0, :6], expected[1] = FIELD[2, PIECES[0].frames], FIELD[0, PIECES[1].frames]
    found = streamed(PIECES)[where]
    np.testing.assert_array_equal(found, expected[where])
    assert found.dtype == np.float32


def test_no_more_is_read_than_asked_for(monkeypatch):
    """Frames of chunks that touch are read at once, here 0 to 7, others apart, and of the points those wanted."""
    assert streamed(PIECES).frames_together == 2**18 // 384  # small ones are read with what lies between
    monkeypatch.setattr(streamed_fields, "_CHEAP", 0)
    field = streamed(PIECES)
    for where, frames, points in (((0, slice(2, 5)), 3, 24), ((0, [0, 4, 5]), 8 + 1, 24), ((1, 0, slice(1, 3)), 1, 8)):
        Watched.read = 0
        field[where]
        assert Watched.read == frames * points * 2
    with pytest.raises(IndexError, match="slice"):
        field[:, [0, 2]]


def with_gaps(u, part=0.2):
    return np.where(RNG.random(u.shape) < part, np.nan, u)


def few_channels(u):
    return np.where(RNG.random((*u.shape[:-1], 1)) < 0.1, np.nan, u)


def frames_missing(u):
    u = u.copy()
    u[1, 3:6], u[4, 20:], u[6, 0] = np.nan, np.nan, np.nan
    return u


def times_missing():
    t = np.tile(np.arange(30.0), (8, 1))
    t[3, 12:], t[5, 25:] = np.nan, np.nan
    return t


CASES = {
    "plain": {},
    "gaps": {"u": with_gaps(FIELD)},
    "gaps of whole points": {"u": few_channels(FIELD)},
    "frames without a value": {"u": frames_missing(FIELD)},
    "lengths that differ": {"t": times_missing()},
    "both": {"u": with_gaps(frames_missing(FIELD)), "t": times_missing()},
    "a mask of values": {"mask": (RNG.random(FIELD.shape) > 0.1).astype(np.int8)},
    "a mask of points": {"mask": (RNG.random(FIELD.shape[:-1]) > 0.1).astype(np.int8)},
    "a mask of frames": {"mask": (RNG.random(FIELD.shape[:2]) > 0.1).astype(np.int8)},
    "a mask that is true": {"mask": np.ones(FIELD.shape, np.int8)},
    "a truth": {"u_true": FIELD + 1},
    "more beside": {"mu": RNG.random((8, 2)), "forcing": RNG.random((8, 30, 3))},
    "a far origin": {"u": FIELD + 1e5},
    "a division": {"split": np.array([0, 0, 0, 1, 1, 2, 2, 0])},
    "one trajectory": {"u": with_gaps(FIELD[:1]), "t": np.arange(30.0)},
}


def write(path, **arrays):
    arrays = {"u": FIELD, "t": np.arange(30.0)} | arrays
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            chunks = (1, 4, *array.shape[2:]) if array.ndim > 2 else None
            file.create_dataset(name, data=array, chunks=chunks)
        file.attrs["boundary"] = "periodic,edge"
    return str(path)


def load(path, place, cache_dir=""):
    return load_recorded(path, (), 0, 0, 0, 0, place, cache_dir)


def assert_same(found, expected):
    """Data sets of which the one's fields are in their file, and the other's in memory."""
    for name in ("train", "val", "test"):
        one, other = getattr(found, name), getattr(expected, name)
        assert isinstance(one.u, StreamedField) and isinstance(other.u, np.ndarray)
        for field in one._fields[:-1]:
            a, b = getattr(one, field), getattr(other, field)
            assert (a is None) == (b is None), (name, field)
            if a is not None:
                np.testing.assert_array_equal(np.asarray(a), b, err_msg=f"{name}.{field}")
                assert a.dtype == b.dtype
    for a, b in zip(found.train.statistics(), expected.train.statistics(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found.digest == expected.digest and found.boundary == expected.boundary


@pytest.mark.parametrize("arrays", CASES.values(), ids=CASES)
def test_splits_are_those_in_memory(tmp_path, arrays, capsys):
    """Values, masks, times, lengths, statistics to the last bit, and what is said of them."""
    path = write(tmp_path / "a.h5", **arrays)
    expected = load(path, "host")
    said = capsys.readouterr().out
    found = load(path, "disk", str(tmp_path / "cache"))
    assert capsys.readouterr().out == said
    assert_same(found, expected)
    # And so is what was found before.
    assert_same(load(path, "disk", str(tmp_path / "cache")), expected)
    assert len(os.listdir(tmp_path / "cache")) == 1
    for one, other in zip(cut_windows(found.train, 5, 3), cut_windows(expected.train, 5, 3), strict=True):
        assert one is other is None or np.array_equal(one, other)
    np.testing.assert_array_equal(some_frames(found.train, 7, 0), some_frames(expected.train, 7, 0))


def to_netcdf(path):
    axes = ("trajectory", "time", "x", "y", "channel")
    encoding = {"u": {"chunksizes": (2, 5, 3, 4, 2), "zlib": True}}
    found = xr.Dataset({"u": (axes, FIELD), "t": ("time", np.arange(30.0))}, attrs={"boundary": "edge,edge"})
    found.to_netcdf(path / "a.nc", engine="h5netcdf", encoding=encoding)
    return str(path / "a.nc")


def to_zarr(path):
    axes = ("trajectory", "time", "x", "y", "channel")
    found = xr.Dataset({"u": (axes, FIELD), "t": ("time", np.arange(30.0))}, attrs={"boundary": "edge,edge"})
    found.to_zarr(path / "a.zarr", consolidated=False, encoding={"u": {"chunks": (1, 7, 6, 4, 2)}})
    return str(path / "a.zarr")


def to_named(path):
    """Variables of one trajectory each axis of which has a name, in another order than ours."""
    found = xr.Dataset(
        {name: (("y", "time", "x"), FIELD[0, ..., i].transpose(2, 0, 1)) for i, name in enumerate(("wind", "rain"))},
        coords={"time": np.arange(30.0)},
        attrs={"boundary": "edge,edge"},
    )
    found.to_netcdf(path / "named.nc", engine="h5netcdf")
    return str(path / "named.nc")


def to_classic(path):
    axes = ("trajectory", "time", "x", "y", "channel")
    found = xr.Dataset({"u": (axes, FIELD), "t": ("time", np.arange(30.0))}, attrs={"boundary": "edge,edge"})
    found.to_netcdf(path / "old.nc", engine="scipy")
    return str(path / "old.nc")


@pytest.mark.parametrize("make", [to_netcdf, to_zarr, to_named, to_classic])
def test_in_every_kind_of_file(tmp_path, make):
    """Chunks across trajectories, along time, compressed or not, and none; and points alone are those of all."""
    path = make(tmp_path)
    found, expected = load(path, "disk"), load(path, "host")
    assert_same(found, expected)
    where = (0, slice(1, 2), slice(2, 5), slice(0, 3))
    np.testing.assert_array_equal(found.train.u[where], expected.train.u[where])


@pytest.mark.parametrize("make", [to_netcdf, to_zarr])
def test_a_file_that_vanishes_or_is_damaged_is_named(tmp_path, make):
    """When a frame is asked for; of a Zarr store too, whose missing chunks would else be read as zeros."""
    path = make(tmp_path)
    field = load(path, "disk").train.u
    os.rename(path, path + ".away")
    with pytest.raises(InputError, match=rf"The data file {path} cannot be read or is damaged \(it is gone\)"):
        field[0, 3]
    os.rename(path + ".away", path)
    assert np.isfinite(field[0, 3]).all()


def test_what_is_wrong_is_said_as_before(tmp_path):
    """The same sentence, of values that are not finite and of too few frames."""
    u = FIELD.copy()
    u[3, 4, 1, 2, 0], u[5, 1], u[6, 2, 0, 0, 1] = np.inf, -np.inf, 1e300
    empty = FIELD.copy()
    empty[2, 1:] = np.nan
    for arrays in ({"u": u}, {"u": empty}, {"u_true": u}, {"u": u, "mask": np.ones(FIELD.shape, np.int8)}):
        path, told = write(tmp_path / "a.h5", **arrays), []
        for place in ("host", "disk"):
            with pytest.raises(InputError) as error:
                load(path, place, str(tmp_path / "cache"))
            told.append(str(error.value))
        assert told[0] == told[1]
    assert not (tmp_path / "cache").exists()


def test_a_survey_is_made_once(tmp_path, monkeypatch):
    """Until the file changes, in one value that no digest looks at; one that is damaged is made anew."""
    path, cache, surveyed = write(tmp_path / "a.h5"), tmp_path / "cache", []
    look = survey._survey
    monkeypatch.setattr(survey, "_survey", lambda *args, **named: surveyed.append(1) or look(*args, **named))
    monkeypatch.setattr(survey, "_WHOLE", 0)
    monkeypatch.setattr(survey, "_SAMPLED", 3)
    first = load(path, "disk", str(cache))
    load(path, "disk", str(cache))
    assert len(surveyed) == 3  # of each split
    changed = FIELD.copy()
    changed[0, 5, 0, 0, 0] = 7.0
    os.replace(write(tmp_path / "b.h5", u=changed), path)  # of the same size
    other = load(path, "disk", str(cache))
    assert len(surveyed) == 6 and other.train.statistics().high[0] == 7
    assert first.digest == other.digest  # of 3 frames
    for name in os.listdir(cache):
        (cache / name).write_bytes(b"PK\x03\x04 not one")
    load(path, "disk", str(cache))
    assert len(surveyed) == 9


def test_a_digest_of_samples_tells_what_it_should(tmp_path, monkeypatch):
    """Another unit, noise, time or order of trajectories; and it is the same wherever the fields are."""
    monkeypatch.setattr(survey, "_WHOLE", 0)

    def digest(place="disk", **arrays):
        return load(write(tmp_path / "a.h5", **arrays), place).digest

    found = [digest(), digest(u=2 * FIELD), digest(u=FIELD + 1e-3 * RNG.normal(size=FIELD.shape))]
    found += [digest(t=np.arange(30.0) * 2), digest(u=FIELD[::-1])]
    assert len(set(found)) == 5 and digest("host") == digest() == found[0]


def test_it_follows_from_the_size(tmp_path, monkeypatch):
    """In memory while that takes no more than half of it; a NumPy archive, which is read whole, is refused then."""
    path = write(tmp_path / "a.h5")
    monkeypatch.setattr(survey, "host_bytes", lambda: 2 * 4 * FIELD.size)
    assert isinstance(load(path, "auto").train.u, np.ndarray)
    monkeypatch.setattr(survey, "host_bytes", lambda: 2 * 4 * FIELD.size - 2)
    assert isinstance(load(path, "auto").train.u, StreamedField)
    np.savez(tmp_path / "a.npz", u=FIELD, t=np.arange(30.0), boundary=["edge", "edge"])
    with pytest.raises(InputError, match="is a NumPy archive, which is read whole, and takes more than half.* Zarr"):
        load(str(tmp_path / "a.npz"), "auto")
    assert isinstance(load(str(tmp_path / "a.npz"), "disk").train.u, np.ndarray)


def test_windows_are_chosen_where_there_are_many():
    """So many frames in all, evenly spread; all windows where they are not more."""
    split = load_split()
    whole = cut_windows(split, 5, 5)
    assert len(cut_windows(split, 5, 5, 5 * len(whole.t)).t) == len(whole.t)
    some = cut_windows(split, 5, 5, 20)
    assert len(some.t) == 4 and {row.tobytes() for row in some.u} <= {row.tobytes() for row in whole.u}


def load_split():
    return Split(np.tile(np.arange(30.0), (8, 1)), FIELD.astype(np.float32))


def test_a_stored_array_says_how_to_read(monkeypatch):
    """Of an array that is not `(trajectory, time, ...)` in memory: what `StoredArray.read` is asked for."""
    monkeypatch.setattr(streamed_fields, "_CHEAP", 0)
    asked = []
    array = StoredArray(FIELD.shape, FIELD.dtype, lambda *where: asked.append(where) or FIELD[where], (1, 10))
    StreamedField(array, [Piece(1, np.arange(30))], np.float32)[0, [3, 5, 29], slice(0, 2)]
    assert asked == [(slice(1, 2), slice(3, 6), slice(0, 2)), (slice(1, 2), slice(29, 30), slice(0, 2))]


def test_statistics_are_of_the_fields_at_hand(tmp_path):
    """What was found for the fields of a file is not taken for others that are put in their place."""
    train = load(write(tmp_path / "a.h5"), "host").train
    assert train.measured is not None and train.statistics() is train.measured[1]
    twice = train._replace(u=2 * train.u)
    np.testing.assert_allclose(twice.statistics().std, 2 * train.statistics().std)
