"""The layout of data files in every kind of file: the same data, read lazily, and everything that is refused."""

import json
import os
import pathlib
import warnings
import zipfile

import h5py
import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from conftest import at_most

from msvi.data.formats import arrays as arrays_module
from msvi.data.formats import files
from msvi.data.recorded import describe, load_recorded
from msvi.errors import InputError

AXES = {
    "u": ("trajectory", "time", "x", "y", "channel"),
    "u_true": ("trajectory", "time", "x", "y", "channel"),
    "mask": ("trajectory", "time", "x", "y"),
    "t": ("trajectory", "time"),
    "mu": ("trajectory", "parameter"),
    "forcing": ("trajectory", "time", "force"),
    "split": ("trajectory",),
    "x": ("x",),
    "y": ("y",),
}


def arrays():
    """Every array of the layout, with no two values equal; one of the four trajectories lacks a frame and a point."""
    rng = np.random.default_rng(0)
    u_true = np.arange(4 * 5 * 6 * 3 * 2, dtype=np.float32).reshape(4, 5, 6, 3, 2)
    mask = np.ones((4, 5, 6, 3), bool)
    mask[1, 2], mask[1, 3, 0, 0] = False, False
    return {
        "u": np.where(mask[..., None], u_true + rng.random(u_true.shape, np.float32), np.float32(np.nan)),
        "u_true": u_true,
        "mask": mask,
        "t": np.cumsum(rng.uniform(0.1, 0.2, (4, 5)), axis=1),
        "mu": rng.standard_normal((4, 3)),
        "forcing": rng.standard_normal((4, 5, 1)),
        "split": np.array(["test", "train", "train", "val"]),
        "x": np.linspace(0, 3, 6),
        "y": np.linspace(-1, 1, 3),
    }


def since_start(t):
    return t - t[:, :1]


FACTS = {"boundary": "periodic,edge", "coarsening": 3}


def as_dataset(held, facts=FACTS):
    return xr.Dataset({name: (AXES[name], values) for name, values in held.items()}, attrs=facts)


def write_npz(path, held, save=np.savez):
    with open(path, "wb") as file:
        save(file, boundary=np.array(["periodic", "edge"]), coarsening=3, **held)


def write_hdf5(path, held):
    """As h5py writes it: no names of axes, text of variable length."""
    with h5py.File(path, "w") as file:
        for name, values in held.items():
            file[name] = values.astype(object) if name == "split" else values
        file.attrs["boundary"] = ["periodic", "edge"]
        file["coarsening"] = 3


def write_zarr(path, held, version):
    """As xarray writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text in version 3
        dataset = as_dataset(held, {"boundary": ["periodic", "edge"], "coarsening": 3})
        dataset.to_zarr(path, zarr_format=version, consolidated=False)


def write_plain_zarr(path, held, version=3):
    """As zarr writes it: no names of axes."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, values in held.items():
        if name == "split" and version == 3:
            group.create_array(name, shape=values.shape, dtype=str)[:] = values.astype(object)
        else:
            group.create_array(name, data=values)
    group.attrs.update({"boundary": ["periodic", "edge"], "coarsening": 3})


def write_zarr_zip(path, held):
    folder = f"{path}.folder"
    write_plain_zarr(folder, held, version=2)
    with zipfile.ZipFile(path, "w") as archive:
        for root, _, names in os.walk(folder):
            for name in names:
                file = os.path.join(root, name)
                archive.write(file, os.path.relpath(file, folder))


WRITERS = {
    "npz": write_npz,
    "npz, compressed": lambda path, held: write_npz(path, held, np.savez_compressed),
    "npz, columns first": lambda path, held: write_npz(path, {name: np.asfortranarray(a) for name, a in held.items()}),
    "HDF5": write_hdf5,
    "NetCDF-4": lambda path, held: as_dataset(held).to_netcdf(path, engine="h5netcdf"),
    "NetCDF classic": lambda path, held: as_dataset(held).to_netcdf(path, engine="scipy"),
    "Zarr 2": lambda path, held: write_zarr(path, held, 2),
    "Zarr 3": lambda path, held: write_zarr(path, held, 3),
    "Zarr 2, plain": lambda path, held: write_plain_zarr(path, held, 2),
    "Zarr 3, plain": write_plain_zarr,
    "Zarr 2, zip": write_zarr_zip,
}


@pytest.fixture
def path(tmp_path):
    """Of a file yet to be written; it has no suffix, since the kind is recognised by content."""
    return str(tmp_path / "recorded")


def load(path, boundary=(), **numbers):
    return load_recorded(path, boundary, **{"num_train": 0, "num_val": 0, "num_test": 0, "seed": 0} | numbers)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_gives_the_same(path, kind):
    """Values, masks, times, parameters, forcing, division and facts, by hand from the arrays that were written."""
    held = arrays()
    WRITERS[kind](path, held)
    dataset = load(path)
    assert (dataset.boundary, dataset.coarsening, dataset.grid) == (("periodic", "edge"), 3, (6, 3))
    np.testing.assert_array_equal(dataset.coordinates[0], held["x"])
    np.testing.assert_array_equal(dataset.coordinates[1], held["y"])
    for split, rows in ((dataset.val, [3]), (dataset.test, [0])):
        np.testing.assert_array_equal(split.u, held["u"][rows])
        np.testing.assert_array_equal(split.u_true, held["u_true"][rows])
        np.testing.assert_array_equal(split.t, since_start(held["t"])[rows])
        np.testing.assert_array_equal(split.origin, held["t"][rows, 0])
        assert split.mask is None and split.num_frames is None
    train, kept, filling = dataset.train, [0, 1, 3, 4], 4
    np.testing.assert_array_equal(train.num_frames, [4, 5])
    np.testing.assert_array_equal(train.u[0, :filling], np.nan_to_num(held["u"][1, kept]))
    np.testing.assert_array_equal(train.u[1], held["u"][2])
    np.testing.assert_array_equal(train.u_true[0, :filling], held["u_true"][1, kept])
    np.testing.assert_array_equal(train.mask[0, :filling], np.isfinite(held["u"][1, kept]))
    assert train.mask[1].all() and not train.mask[0, filling:].any() and not train.u[0, filling:].any()
    times = since_start(held["t"])[1, kept]
    np.testing.assert_allclose(train.t[0], [*times, 2 * times[-1] - times[-2]], rtol=1e-15)
    np.testing.assert_array_equal(train.mu, held["mu"][[1, 2]].astype(np.float32))
    np.testing.assert_array_equal(train.forcing, held["forcing"][[1, 2]].astype(np.float32))
    np.testing.assert_array_equal(train.forcing_t, since_start(held["t"])[[1, 2]])
    for values in (train.u, train.u_true, train.mu, train.forcing):
        assert values.dtype == np.float32


def test_kinds_are_named(path):
    """The names that `inspect` prints."""
    for kind, name in (("npz", "NumPy archive"), ("HDF5", "HDF5"), ("NetCDF classic", "NetCDF classic")):
        WRITERS[kind](path, arrays())
        assert describe(path).kind == name


@pytest.mark.parametrize("kind", ["npz", "HDF5", "NetCDF classic", "Zarr 3"])
@pytest.mark.parametrize("axes", [1, 3])
def test_one_and_three_axes(path, kind, axes):
    """No optional array: points of the unit interval, a division at random."""
    u = np.random.default_rng(0).random((3, 2, *(4, 2, 3)[:axes], 1))
    held = {"u": u, "t": np.arange(2)}
    if kind in ("npz", "HDF5"):
        WRITERS[kind](path, held)
    else:
        dims = ("trajectory", "time", *"xyz"[:axes], "channel")
        dataset = xr.Dataset({"u": (dims, u), "t": ("time", np.arange(2))})
        dataset.to_netcdf(path, engine="scipy") if "NetCDF" in kind else dataset.to_zarr(path, consolidated=False)
    dataset = load(path, ("edge", "periodic", "edge")[:axes])
    for found, right in zip(dataset.coordinates, ([0, 1 / 3, 2 / 3, 1], [0, 0.5], [0, 0.5, 1])[:axes], strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-15)
    found = np.concatenate([split.u for split in (dataset.train, dataset.val, dataset.test)])
    np.testing.assert_array_equal(np.sort(found.reshape(-1)), np.sort(u.astype(np.float32).reshape(-1)))


@pytest.mark.parametrize("kind", ["NetCDF-4", "NetCDF classic", "Zarr 2", "Zarr 3"])
@pytest.mark.parametrize("units", ["days since 1970-01-01", "seconds since 2000-01-01 12:00"])
def test_times_with_units(path, kind, units):
    """Those of the conventions of NetCDF stay in their unit."""
    held = arrays()
    t = 20000 + held["t"]
    dataset = as_dataset(held | {"t": t})
    dataset["t"].attrs["units"] = units
    if "Zarr" in kind:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # text in version 3
            dataset.to_zarr(path, zarr_format=int(kind[-1]), consolidated=False)
    else:
        dataset.to_netcdf(path, engine="h5netcdf" if kind == "NetCDF-4" else "scipy")
    test = load(path).test
    np.testing.assert_array_equal(test.t, since_start(t)[:1])
    np.testing.assert_array_equal(test.origin, t[:1, 0])


def test_packed_and_filled_numbers(path):
    """NetCDF's integers with a scale are numbers, its fill values NaN."""
    u = np.arange(3 * 2 * 4, dtype=float).reshape(3, 2, 4, 1) / 4
    u[0, 0, 0, 0] = np.nan
    dataset = xr.Dataset({"u": (("trajectory", "time", "x", "channel"), u), "t": ("time", np.arange(2.0))})
    dataset["mask"] = ("trajectory", "time", "x"), np.isfinite(u[..., 0])
    packed = {"dtype": "int16", "scale_factor": 0.25, "_FillValue": -1}
    dataset.to_netcdf(path, engine="h5netcdf", encoding={"u": packed})
    dataset = load(path, ("edge",))
    found = np.concatenate([split.u for split in (dataset.train, dataset.val, dataset.test)])
    np.testing.assert_array_equal(np.sort(found.reshape(-1)), np.sort(np.nan_to_num(u).reshape(-1)))


def test_hdf5_is_read_lazily(path):
    """819 MB on paper, with nothing written but one trajectory: reading two others and that one takes a few MB."""
    with h5py.File(path, "w") as file:
        u = file.create_dataset("u", (500, 100, 64, 64, 1), np.float32, chunks=(1, 1, 64, 64, 1), fillvalue=2.5)
        u[7] = np.full((100, 64, 64, 1), 1.5)
        file["t"], file["split"] = np.arange(100.0), np.array([0] * 7 + [1] + [2] * 492)
    with at_most(megabytes=30):
        assert not describe(path, ("edge", "edge")).problems
        dataset = load(path, ("edge", "edge"), num_train=1, num_val=1, num_test=1)
    assert (dataset.train.u == 2.5).all() and (dataset.val.u == 1.5).all()


def test_zarr_is_read_lazily(path):
    """The same for a store whose chunks were never written."""
    group = zarr.open_group(path, mode="w")
    group.create_array("u", shape=(500, 100, 64, 64, 1), dtype="f4", chunks=(1, 100, 64, 64, 1), fill_value=2.5)
    group.create_array("t", data=np.arange(100.0))
    with at_most(megabytes=30):
        dataset = load(path, ("edge", "edge"), num_train=1, num_val=1, num_test=1)
    assert (dataset.train.u == 2.5).all()


def test_classic_netcdf_is_read_lazily(path):
    """The same for a file that is a hole on the disk behind its head."""
    axes = ("trajectory", "time", "x", "y", "channel")
    u = np.zeros((1, 100, 64, 64, 1), np.float32)
    xr.Dataset({"t": ("time", np.arange(100.0)), "u": (axes, u)}).to_netcdf(
        path, engine="scipy", unlimited_dims=["trajectory"]
    )
    with open(path, "r+b") as file:
        file.seek(4)
        file.write((300).to_bytes(4, "big"))
        file.truncate(os.path.getsize(path) + 299 * u.nbytes)
    with at_most(megabytes=30):
        dataset = load(path, ("edge", "edge"), num_train=1, num_val=1, num_test=1)
    assert dataset.train.u.shape == (1, 100, 64, 64, 1)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_is_read_in_one_pass(path, save, monkeypatch):
    """All splits together, from front to back."""
    u = np.zeros((40, 5, 8, 1))
    with open(path, "wb") as file:
        save(file, u=u, t=np.arange(5.0))
    asked, read = [], files._Member._read

    def spy(self, start, count):
        if self.shape == u.shape:
            asked.append((start, count))
        return read(self, start, count)

    monkeypatch.setattr(files._Member, "_read", spy)
    load(path, ("edge",))
    assert asked == [(0, 40 * 40)]
    asked.clear()
    monkeypatch.setattr(arrays_module, "_BLOCK", 3 * 40 * 8)
    load(path, ("edge",))
    assert asked == [(40 * trajectory, 40 * min(3, 40 - trajectory)) for trajectory in range(0, 40, 3)]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_columns_is_read_in_one_pass(path, save, monkeypatch):
    """Though no trajectory of it lies in one piece; the values are those of the same array in rows."""
    u = np.random.default_rng(0).standard_normal((40, 5, 8, 3, 2))
    with open(path, "wb") as file:
        save(file, u=np.asfortranarray(u), t=np.arange(5.0))
    asked, read = [], files._Member._read

    def spy(self, start, count):
        if self.shape == u.shape:
            asked.append((start, count))
        return read(self, start, count)

    monkeypatch.setattr(files._Member, "_read", spy)
    monkeypatch.setattr(files, "_PASS", 8 * 40 * 7)
    dataset = load(path, ("edge", "edge"))
    assert asked == [(40 * i, 40 * min(7, 240 - i)) for i in range(0, 240, 7)]
    found = np.concatenate([split.u for split in dataset[2:5]])
    right = u.astype(np.float32)
    order = np.argsort(right[:, 0, 0, 0, 0])
    np.testing.assert_array_equal(found[np.argsort(found[:, 0, 0, 0, 0])], right[order])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_for_an_array_of_columns(path, dtype):
    """No more than the file beside what is kept in single precision."""
    u = np.asfortranarray(np.random.default_rng(0).standard_normal((100, 20, 6000, 1)).astype(dtype))
    with open(path, "wb") as file:
        np.savez(file, u=u, t=np.arange(20.0))
    with at_most(megabytes=48 + u.nbytes / 1e6):
        load(path, ("edge",))


@pytest.mark.parametrize("chunks", [(40, 1, 8, 1), (7, 2, 8, 1), (40, 5, 8, 1), (1, 5, 8, 1)])
def test_hdf5_chunks_are_decoded_once(path, chunks, monkeypatch):
    """Also those that hold one frame of all trajectories."""
    u = np.random.default_rng(0).standard_normal((40, 5, 8, 1))
    with h5py.File(path, "w") as file:
        file.create_dataset("u", data=u, chunks=chunks, compression="gzip")
        file["t"] = np.arange(5.0)
    decoded, read = (
        np.zeros([-(-n // c) for n, c in zip(u.shape[:2], chunks, strict=False)], int),
        h5py.Dataset.__getitem__,
    )

    def spy(self, key, *others):
        if self.name == "/u":
            rows, frames = (slice(*part.indices(n)) for part, n in zip(key[:2], u.shape[:2], strict=True))
            first, last = rows.start // chunks[0], -(-rows.stop // chunks[0])
            decoded[first:last, frames.start // chunks[1] : -(-frames.stop // chunks[1])] += 1
        return read(self, key, *others)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    load(path, ("edge",))
    assert (decoded == 1).all()


@pytest.mark.parametrize("kind", ["NetCDF-4", "NetCDF classic"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "packed"])
def test_default_fill_of_netcdf(path, kind, dtype):
    """What was never written is missing, though no fill value is given; a given one is used in its place."""
    fill = np.int16(-32767) if dtype == "packed" else np.dtype(dtype).type(9.969209968386869e36)
    u = np.arange(4 * 5 * 6.0).reshape(4, 5, 6, 1).astype("i2" if dtype == "packed" else dtype)
    u[0, 2], u[1, 1, 3] = fill, fill
    attributes = {"scale_factor": 0.5} if dtype == "packed" else {}
    given = u.copy()
    given[given == fill] = -1
    for values, own in ((u, {}), (given, {"_FillValue": u.dtype.type(-1)})):
        dataset = xr.Dataset({"t": ("time", np.arange(5.0)), "split": ("trajectory", np.array([0, 0, 1, 2], "i2"))})
        dataset["u"] = ("trajectory", "time", "x", "channel"), values, attributes | own
        encoding = {} if own else {"u": {"_FillValue": None}}
        dataset.to_netcdf(path, engine="scipy" if "classic" in kind else "h5netcdf", encoding=encoding)
        train = load(path, ("edge",)).train
        np.testing.assert_array_equal(train.num_frames, [4, 5])
        right = np.where(u == fill, 0, u.astype(np.float32) * (0.5 if dtype == "packed" else 1))[:2]
        np.testing.assert_array_equal(train.u[0, :4], right[0, [0, 1, 3, 4]])
        np.testing.assert_array_equal(train.u[1], right[1])
        assert not train.mask[1, 1, 3] and train.mask.sum() == (4 + 5) * 6 - 1


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("named", [True, False])
def test_fill_of_zarr_is_data(path, version, named):
    """A zero is a zero, and chunks that were never written hold what fills them; an attribute tells what is missing."""
    held = {name: values for name, values in arrays().items() if name not in ("split", "mask")}
    held["u"] = np.where(np.isnan(held["u"]), -1, held["u"] * (held["x"][:, None, None] > 1)).astype("f4")
    for fill in (None, -1):
        group = zarr.open_group(f"{path}{fill}", mode="w", zarr_format=version)
        for name, values in held.items():
            names = {"dimension_names": AXES[name]} if named and version == 3 else {}
            array = group.create_array(name, data=values, **names)
            array.attrs.update({"_ARRAY_DIMENSIONS": AXES[name]} if named and version == 2 else {})
        split = group.create_array("split", shape=(4,), dtype="i4", fill_value=1, chunks=(1,))
        split[0], split[3] = 0, 2
        group.attrs.update(FACTS)
        group["u"].attrs.update({} if fill is None else {"_FillValue": fill})
        dataset = load(f"{path}{fill}")
        np.testing.assert_array_equal(dataset.train.u, held["u"][:1])
        val = dataset.val
        if fill is None:
            np.testing.assert_array_equal(val.u, held["u"][1:3])
            assert val.mask is None
        else:
            np.testing.assert_array_equal(val.num_frames, [4, 5])
            assert val.mask.sum() == (9 * 18 - 1) * 2


def test_nan_is_missing(path, capsys):
    """As with a mask that says so, in many trajectories and in one that is cut; a line tells how much."""
    rng = np.random.default_rng(0)
    for number in (1, 4):
        u = rng.standard_normal((number, 40, 6, 1))
        u[rng.random(u.shape) < 0.1] = np.nan
        u[:, ::7] = np.nan
        found = []
        for mask in ({}, {"mask": np.isfinite(u)}):
            with open(path, "wb") as file:
                np.savez(file, u=u, t=np.arange(40.0) ** 1.1, **mask)
            found.append(load(path, ("edge",)))
        for a, b in zip(found[0][2:5], found[1][2:5], strict=True):
            for first, second in zip(a[:-1], b[:-1], strict=True):
                np.testing.assert_array_equal(first, second)
        for first, second in zip(found[0].train.statistics(), found[1].train.statistics(), strict=True):
            np.testing.assert_array_equal(first, second)
        line = capsys.readouterr().out
        assert line.count("\n") == 1 and " values of u, " in line and "are NaN and count as not observed" in line
        if number == 4:
            assert f"{np.isnan(u).sum()} values" in line
    with open(path, "wb") as file:
        np.savez(file, u=np.where(np.isnan(u), 0, u), t=np.arange(40.0))
    load(path, ("edge",))
    assert capsys.readouterr().out == ""


def test_frames_without_a_number(path):
    """All of them missing, a trajectory is named; infinity is no missing value."""
    u = np.zeros((4, 5, 6, 1))
    u[2, 1:] = np.nan
    with open(path, "wb") as file:
        np.savez(file, u=u, t=np.arange(5.0))
    refused(path, "has 1 observed frames in what is used of trajectory 2, expected at least 2", boundary=("edge",))


def refused(path, *parts, boundary=(), **numbers):
    """Loading fails with one sentence that has these parts."""
    with pytest.raises(InputError) as error:
        load(path, boundary, **numbers)
    message = str(error.value)
    assert path in message and message.endswith(".") and "\n" not in message
    for part in parts:
        assert part in message, message


CHANGES = {
    "integers": ({"u": lambda u: np.zeros(u.shape, int)}, "holds `u` of type int64, expected floating-point numbers"),
    "complex": ({"u_true": lambda u: u + 0j}, "holds `u_true` of type complex64, expected floating-point numbers"),
    "mask of numbers": ({"mask": lambda m: m * 0.5}, "holds `mask` of type float64, expected booleans"),
    "text": ({"mu": lambda mu: mu.astype(str)}, "holds `mu` of type <U", "expected numbers"),
    "no times": ({"t": None}, "has no frame times `t`; add them"),
    "times of another shape": ({"t": lambda t: t[:, 1:]}, "holds `t` of the shape (4, 4), expected (5) or (4, 5)"),
    "times that stand still": ({"t": lambda t: 0 * t}, "frame times `t` that do not increase strictly"),
    "a time missing inside": ({"t": lambda t: np.where(np.arange(5) == 2, np.nan, t)}, "lack some before the last"),
    "infinite times": ({"t": lambda t: np.where(np.arange(5) == 4, np.inf, t)}, "`t` that do not increase strictly"),
    "times that all but coincide": (
        {"t": lambda t: 1e9 * (t > t[:, 2:3]) + t},
        "`t` up to 1e+09 after the start, between some of which single precision cannot tell",
    ),
    "dates that stand still": ({"t": lambda t: t.astype("M8[D]")}, "frame times `t` that do not increase strictly"),
    "truth of another shape": ({"u_true": lambda u: u[:, 1:]}, "holds `u_true` of the shape (4, 4, 6, 3, 2)"),
    "mask of another shape": (
        {"mask": lambda m: m[:, :, :2]},
        "holds `mask` of the shape (4, 5, 2, 3), expected (4, ",
    ),
    "parameters in a row": ({"mu": lambda mu: mu[:, 0]}, "holds `mu` of the shape (4,), expected (4, parameter)"),
    "infinite parameters": ({"mu": lambda mu: mu * [1, 1, np.inf]}, "4 of the 12 values of `mu` that are not finite"),
    "forcing of another shape": ({"forcing": lambda f: f[..., 0]}, "expected (4, 5, force) or (4, 5, 6, 3, force)"),
    "no forcing at all": ({"forcing": lambda f: f[..., :0]}, "holds `forcing` of the shape (4, 5, 0)"),
    "unknown split": ({"split": lambda s: np.array(["train", "dev", "eval", "0"])}, "says dev, eval in `split`"),
    "split of another shape": ({"split": lambda s: s[:3]}, "holds `split` of the shape (3,), expected (4)"),
    "a split without trajectories": ({"split": lambda s: np.array([0, 0, 0, 1])}, "has 0 trajectories for test"),
    "points that are not spaced equally": ({"x": lambda x: x**2}, "holds `x` of the shape (6,), expected 6 numbers"),
    "points that decrease": ({"y": lambda y: -y}, "holds `y` of the shape (3,), expected 3 numbers that increase"),
    "too few points": ({"y": lambda y: y[1:]}, "holds `y` of the shape (2,), expected 3 numbers"),
    "infinite forcing": ({"forcing": lambda f: f * np.inf}, "holds 5 values of `forcing` that are not finite"),
    "infinite truth": ({"u_true": lambda u: np.where(u == u.max(), np.nan, u)}, "1 values of `u_true`", "(4, 5, 2, 1)"),
    "too large": (
        {"u_true": lambda u: u.astype(float) * 1e40},
        "values of `u_true` that are not finite in single precision",
    ),
    "missing though observed": (
        {"mask": lambda m: m | True},
        "values of `u`",
        "trajectory 1",
        "make `mask` false there",
    ),
    "infinite without mask": (
        {"mask": None, "u": lambda u: np.where(np.isnan(u), np.inf, u)},
        "holds 38 values of `u`",
        "(2, 0, 0, 0); make them NaN where they are missing",
    ),
    "beyond single precision": (
        {"u": lambda u: u.astype(float) * 1e38},
        "values of `u` that are not finite in single precision",
        "take a larger unit",
    ),
    "below single precision": ({"u": lambda u: u.astype(float) * 1e-41}, "too small for single precision; take a"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_wrong_arrays(path, change):
    """One array changed or left out: it is named, with what was expected."""
    (changed, *parts), held = CHANGES[change], arrays()
    for name, function in changed.items():
        values = held.pop(name)
        if function is not None:
            held[name] = function(values)
    write_npz(path, held)
    refused(path, *parts)


def test_facts_that_cannot_be_right(path):
    """Boundary and coarsening, from the file or given."""
    with open(path, "wb") as file:
        np.savez(file, boundary=np.array("periodic,wall"), coarsening=2.5, **arrays())
    wrong = "expected periodic or edge for its 2 axes; give --config.data.boundary=periodic,edge or what it is"
    refused(path, f"has the boundary periodic,wall, {wrong}", "has the `coarsening` 2.5, expected one whole number")
    refused(path, f"has the boundary edge, {wrong}", boundary=("edge",))
    assert [text[:16] for text in describe(path, ("edge", "edge")).problems] == ["has the `coarsen"]
    assert describe(path).boundary is None and describe(path).coarsening is None


def test_everything_that_is_missing_is_asked_for_at_once(path):
    """No boundary, no times, too few trajectories, an array of the wrong shape: one sentence."""
    with open(path, "wb") as file:
        np.savez(file, u=np.zeros((4, 5, 6, 1)), mu=np.zeros(4))
    refused(
        path,
        "holds `mu` of the shape (4,)",
        "; it has no frame times `t`",
        "; it does not say the boundary of its 1 axis; give --config.data.boundary=periodic or what it is",
        "; it has 4 trajectories, fewer than the 9 to learn from, 1 to validate and 1 to test that are asked for",
        num_train=9,
    )


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5), (4, 5, 2, 2, 2, 2, 1), (0, 5, 6, 1), (4, 5, 1, 1)])
def test_fields_of_wrong_shapes(path, shape):
    """Axes too few or too many, an empty one, a single point."""
    with open(path, "wb") as file:
        np.savez(file, u=np.zeros(shape), t=np.arange(5.0))
    refused(path, f"holds `u` of the shape {shape}", "u[..., None]")


def test_arrays_of_no_axes(path):
    """Numbers in place of arrays are told like any other shape."""
    write_npz(path, arrays() | {name: np.float32(1) for name in ("u_true", "mu", "forcing", "x")} | {"mask": True})
    problems = describe(path).problems
    assert len(problems) == 5 and all("of the shape (), expected" in problem for problem in problems)


def test_axes_in_another_order(path):
    """Where axes have names, they tell: those of fields alone are moved, beside the layout's times they are refused."""
    u = np.arange(24.0 * 4).reshape(4, 4, 6, 1)
    axes = ("time", "trajectory", "x", "channel")
    xr.Dataset({"u": (axes, u)}, {"time": np.arange(4.0)}, {"boundary": "periodic"}).to_netcdf(path, engine="scipy")
    together = np.concatenate([split.u for split in load(path)[2:5]])  # divided at random
    np.testing.assert_array_equal(together[np.argsort(together[:, 0, 0, 0])], u.swapaxes(0, 1))
    xr.Dataset({"u": (axes, u), "t": ("time", np.arange(4.0))}).to_netcdf(path, engine="scipy")
    refused(path, "holds `u` with the axes (time, trajectory, x, channel)", "(trajectory, time, x, channel); transpose")


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_fields_under_other_names(tmp_path, kind):
    """Several variables, each in an order of its own, are channels; times, points, names and units are the file's."""
    rng, path = np.random.default_rng(0), str(tmp_path / f"my.{kind}")
    wind, heat, pair = rng.standard_normal((5, 6, 8)), rng.standard_normal((5, 6, 8)), rng.standard_normal((5, 6, 8, 2))
    dataset = xr.Dataset(
        {
            "a_wind": (("lon", "time", "run"), wind.transpose(2, 1, 0), {"units": "m s-1", "valid_max": 9.0}),
            "b_heat": (("run", "time", "lon"), heat, {"units": "K"}),
            "c_pair": (("run", "time", "lon", "component"), pair),
            "mean_heat": (("run", "time"), heat.mean(axis=2)),
        },
        {
            "time": np.datetime64("2001-01-01") + np.timedelta64(6, "h") * np.arange(6),
            "lon": ("lon", 45.0 * np.arange(8), {"units": "degrees_east"}),
        },
        {"boundary": "periodic"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_zarr(path) if kind == "zarr" else dataset.to_netcdf(path, engine="h5netcdf")
    found = load(path, num_train=3, num_val=1, num_test=1)
    expected = np.concatenate([wind[..., None], heat[..., None], pair], axis=-1).astype(np.float32)
    together = np.concatenate([found.train.u, found.val.u, found.test.u])
    order = [int(np.argmin(np.abs(expected - one).sum(axis=(1, 2, 3)))) for one in together]
    np.testing.assert_array_equal(together, expected[order])
    assert sorted(order) == list(range(5))
    np.testing.assert_array_equal(found.train.t[0], 6.0 * np.arange(6))  # hours, as the file counts
    np.testing.assert_array_equal(found.coordinates[0], 45.0 * np.arange(8))
    labels = found.labels
    assert (labels.axes, labels.channels) == (("lon",), ("a_wind", "b_heat", "c_pair_0", "c_pair_1"))
    assert labels.attributes["a_wind"] == {"units": "m s-1", "valid_max": 9.0}
    assert labels.attributes["time"]["units"].startswith("hours since 2001-01-01")


def test_one_trajectory_of_fields(path):
    """Without an axis of trajectories there is one, which is cut by time; too many axes of space are refused."""
    u = np.random.default_rng(0).standard_normal((80, 4, 6))
    coordinates = {"t": ("t", np.arange(80.0))}
    xr.Dataset({"h": (("t", "lat", "lon"), u)}, coordinates).to_netcdf(path, engine="scipy")
    found = load(path, ("edge", "periodic"))
    assert found.grid == (4, 6) and found.labels.axes == ("lat", "lon")
    np.testing.assert_allclose(found.train.u[0, :, :, :, 0], u[: found.train.u.shape[1]], rtol=1e-6)
    many = ("t", "a", "b", "c", "d")
    xr.Dataset({"h": (many, np.zeros((9, 2, 2, 2, 2)))}, {"t": ("t", np.arange(9.0))}).to_netcdf(path, engine="scipy")
    refused(path, "h with the axes of space a, b, c, d, expected 1, 2 or 3")


def test_other_names(path):
    """A file of a known kind without the arrays of a known layout: what there is."""
    with open(path, "wb") as file:
        np.savez(file, velocity=np.zeros(3), times=np.zeros(2))
    refused(path, "must hold the field `u` and its times `t`, or fields with an axis `time`, found velocity, times;")
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(3)
    refused(path, "found a;")


@pytest.mark.parametrize("content", [b"", b"<html>", b"CDF\x05\0\0\0\0", b"\x93NUMPY\x01\0", b"PK\x03\x04 but no zip"])
def test_other_kinds_of_file(path, content):
    """The message shows the first bytes, or why it cannot be read."""
    with open(path, "wb") as file:
        file.write(content)
    refused(path, "cannot be read or is damaged" if b"PK" in content else f"begins with {content!r}, expected a NumPy")


def test_missing_file_and_other_folders(path, tmp_path):
    """No file, and a folder of anything."""
    refused(path, "There is no data file", "give the place of one that exists")
    refused(str(tmp_path), "is a folder of something else, expected")


@pytest.mark.parametrize("kind", WRITERS)
def test_cut_short(path, kind):
    """Wherever a file ends, reading it is an `InputError` or what was cut off is not needed."""
    WRITERS[kind](path, arrays())
    parts = [part for part in pathlib.Path(path, "u").rglob("*") if part.is_file()] or [pathlib.Path(path)]
    part = max(parts, key=lambda part: part.stat().st_size)
    whole, damaged = part.read_bytes(), 0
    for length in (7, len(whole) // 3, int(0.9 * len(whole))):
        part.write_bytes(whole[:length])
        try:
            load(path)
        except InputError:
            damaged += 1
    assert damaged >= 2


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_objects_in_npz_are_refused(path):
    """Even if the array is none of the layout."""
    with open(path, "wb") as file:
        np.savez(file, u=np.zeros((3, 2, 4, 1)), other=np.array([Payload(f"{path}.run")], object))
    refused(path, "holds the array other of Python objects, which could run code")
    assert not os.path.exists(f"{path}.run")


PICKLE = {"id": "pickle", "protocol": 5}
ZARR = {
    "objects": {"dtype": "|O", "filters": [PICKLE]},
    "text": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}]},
    "text and pickle": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, PICKLE]},
    "text in pickle": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "compressor": PICKLE},
    "numbers": {"dtype": "<f8", "filters": [PICKLE]},
    "numbers in pickle": {"dtype": "<f8", "compressor": PICKLE},
    "delta and pickle": {"dtype": "<f8", "filters": [{"id": "delta", "dtype": "<f8"}, PICKLE]},
    "json": {"dtype": "|O", "filters": [{"id": "json2"}]},
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("case", ZARR)
def test_pickles_in_zarr_are_refused(path, case, zipped, monkeypatch):
    """Before a chunk is read: even with unpickling allowed, and none of numcodecs' codecs is run."""
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True)
    folder = f"{path}.folder" if zipped else path
    write_plain_zarr(folder, arrays(), version=2)
    os.mkdir(f"{folder}/u_true.bad")
    described = {"zarr_format": 2, "shape": [1], "chunks": [1], "order": "C", "fill_value": None, "compressor": None}
    described |= {"filters": None, "dimension_separator": "."} | ZARR[case]
    with open(f"{folder}/u_true.bad/.zarray", "w") as file:
        json.dump(described, file)
    with open(f"{folder}/u_true.bad/0", "wb") as file:
        file.write(numcodecs.Pickle().encode(np.array([Payload(f"{path}.run")], object)))
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            for root, _, names in os.walk(folder):
                for name in names:
                    archive.write(os.path.join(root, name), os.path.relpath(os.path.join(root, name), folder))
    refused(path, "holds the Zarr array u_true.bad ", "which could run code when it is read")
    assert not os.path.exists(f"{path}.run")


def test_pickle_in_a_shard_is_refused(path):
    """The metadata of version 3 nest."""
    write_plain_zarr(path, arrays())
    inner = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.pickle"}]
    shards = {"name": "sharding_indexed", "configuration": {"codecs": inner, "index_codecs": inner[:1]}}
    with open(os.path.join(path, "mu", "zarr.json"), encoding="utf-8") as file:
        described = json.load(file) | {"codecs": [shards]}
    with open(os.path.join(path, "mu", "zarr.json"), "w", encoding="utf-8") as file:
        json.dump(described, file)
    refused(path, "holds the Zarr array mu encoded by pickle, which could run code")


def test_alien_files_in_zarr_are_passed_over(path):
    """Those that file managers leave behind."""
    WRITERS["Zarr 3"](path, arrays())
    with open(os.path.join(path, ".DS_Store"), "w") as file:
        file.write("x")
    assert load(path).coarsening == 3


def test_odd_types_in_hdf5(path):
    """Objects, compounds and references are no numbers; other arrays may be anything."""
    for values, dtype in (
        (np.zeros((4, 5, 6, 1), [("a", "f4"), ("b", "f4")]), None),
        (np.full((4, 5, 6, 2), b"xy"), None),
        (np.full((4, 5, 6, 1), "x", object), h5py.string_dtype()),
    ):
        with h5py.File(path, "w") as file:
            file.create_dataset("u", data=values, dtype=dtype)
            file["t"], file["mask"] = np.arange(5.0), np.ones((4, 5), bool)
            file["other"] = np.zeros(3, "V5")
            file.create_dataset("reference", data=file["u"].ref, dtype=h5py.ref_dtype)
        refused(path, "holds `u` of type", "expected floating-point numbers; convert it", boundary=("edge",))
