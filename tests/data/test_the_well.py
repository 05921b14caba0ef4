"""Small files of exactly the structure of The Well, alone and as the folder of a data set."""

import h5py
import numpy as np
import pytest

from msvi.data.recorded import describe, load_recorded
from msvi.errors import InputError

GRID = {"x": 4, "y": 6, "z": 3}


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def create(group, name, values, sample=True, time=True, dims=None):
    """An array with its attributes."""
    array = group.create_dataset(name, data=values)
    array.attrs["sample_varying"], array.attrs["time_varying"] = sample, time
    if dims is not None:
        array.attrs["dim_varying"] = np.array(dims)
    group.attrs["field_names"] = [*group.attrs.get("field_names", []), name]


def write(path, trajectories=4, steps=5, axes="xy", offset=0.0, viscosity=0.1, bc=("PERIODIC", "WALL", "OPEN")):
    """Density, velocity and stress, a field of constants, one that varies along x alone, and four scalars."""
    grid, ones = tuple(GRID[name] for name in axes), [True] * len(axes)
    shape, d = (trajectories, steps, *grid), len(axes)
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": "small", "grid_type": "cartesian", "n_spatial_dims": d})
        file.attrs.update({"n_trajectories": trajectories, "simulation_parameters": ["viscosity"]})
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = list(axes)
        create(dimensions, "time", np.linspace(0, 1, steps, dtype=np.float32), False, True)
        for name in axes:
            create(dimensions, name, np.linspace(0, 2, GRID[name], dtype=np.float32), False, False)
        for name, kind in zip(axes, bc, strict=False):
            condition = file.create_group(f"boundary_conditions/{name}_{kind.lower()}")
            condition.attrs.update({"bc_type": kind, "associated_dims": [name], "associated_fields": []})
            condition.attrs.update({"sample_varying": False, "time_varying": False})
            condition["mask"] = np.arange(GRID[name]) % (GRID[name] - 1) == 0
        scalars = file.create_group("scalars")
        create(scalars, "viscosity", viscosity, False, False)
        create(scalars, "gravity", 9.81, False, False)
        create(scalars, "speed", offset + np.arange(trajectories, dtype=np.float32), True, False)
        create(scalars, "clock", np.arange(steps), False, True)
        t0, t1, t2 = (file.create_group(f"t{order}_fields") for order in range(3))
        create(t0, "density", offset + numbers(*shape), dims=ones)
        create(t0, "profile", -numbers(trajectories, steps, grid[0]), dims=[True, *[False] * (d - 1)])
        create(t0, "height", numbers(*grid), sample=False, time=False, dims=ones)
        create(t1, "velocity", numbers(*shape, d) + 0.25, dims=ones)
        create(t2, "stress", numbers(steps, *grid, d, d) + 0.5, sample=False, dims=ones)
    return str(path)


def expected(trajectories=4, steps=5, axes="xy", offset=0.0):
    """The state by hand: density, profile, velocity, stress row by row."""
    grid, d = tuple(GRID[name] for name in axes), len(axes)
    shape = (trajectories, steps, *grid)
    profile = -numbers(trajectories, steps, grid[0]).reshape(trajectories, steps, grid[0], *(1,) * (d - 1))
    stress = np.broadcast_to(numbers(steps, *grid, d, d) + 0.5, (*shape, d, d)).reshape(*shape, d * d)
    fields = [(offset + numbers(*shape))[..., None], np.broadcast_to(profile, shape)[..., None]]
    return np.concatenate([*fields, numbers(*shape, d) + 0.25, stress], axis=-1)


def load(path, boundary=()):
    return load_recorded(str(path), boundary, 0, 0, 0, 0)


@pytest.mark.parametrize("axes", ["x", "xy", "xyz"])
def test_one_file(tmp_path, axes):
    """State, boundary, points, times; the scalars that vary are the parameters."""
    path = write(tmp_path / "small.hdf5", axes=axes)
    dataset, right = load(path), expected(axes=axes)
    assert dataset.boundary == ("periodic", "edge", "edge")[: len(axes)]
    for name, found in zip(axes, dataset.coordinates, strict=True):
        np.testing.assert_allclose(found, np.linspace(0, 2, GRID[name]), rtol=1e-6)
    rows = []
    for split in dataset[2:5]:
        for u, mu, t in zip(split.u, split.mu, split.t, strict=True):
            rows.append(int(mu[0]))
            np.testing.assert_array_equal(u, right[rows[-1]])
            np.testing.assert_allclose(t, np.linspace(0, 1, 5), rtol=1e-6)
        assert split.mu.shape[1] == 1 and split.forcing is None
    assert sorted(rows) == [0, 1, 2, 3]
    assert describe(path).kind == "HDF5, The Well"


def folder(tmp_path, val="valid", inside=""):
    root = tmp_path / "small" / inside
    for name in ("train", val, "test"):
        (root / name).mkdir(parents=True)
    write(root / "train" / "a.hdf5", trajectories=3, viscosity=0.1)
    write(root / "train" / "b.hdf5", trajectories=2, viscosity=0.2, offset=1000.0, steps=4)
    write(root / val / "a.hdf5", trajectories=1, viscosity=0.3)
    write(root / "test" / "a.h5", trajectories=2, viscosity=0.1)
    return root


@pytest.mark.parametrize(("val", "inside"), [("valid", ""), ("val", ""), ("valid", "data")])
def test_folder(tmp_path, val, inside):
    """Files of a split follow each other, shorter ones are filled up; what differs between files is a parameter too."""
    folder(tmp_path, val, inside)
    dataset = load(tmp_path / "small")
    np.testing.assert_array_equal(dataset.train.num_frames, [5, 5, 5, 4, 4])
    np.testing.assert_array_equal(dataset.train.u[:3], expected(3))
    np.testing.assert_array_equal(dataset.train.u[3:, :4], expected(2, 4, offset=1000.0))
    np.testing.assert_array_equal(dataset.val.u, expected(1))
    np.testing.assert_array_equal(dataset.test.u, expected(2))
    mu = np.float32([[0.1, 0], [0.1, 1], [0.1, 2], [0.2, 1000], [0.2, 1001]])
    np.testing.assert_array_equal(dataset.train.mu, mu)
    np.testing.assert_array_equal(dataset.val.mu, mu[:1] + np.float32([[0.2, 0]]))
    found = load_recorded(str(tmp_path / "small"), ("edge", "edge"), 2, 1, 1, 0)
    assert [len(split.u) for split in found[2:5]] == [2, 1, 1] and found.boundary == ("edge", "edge")


def test_folder_without_validation(tmp_path):
    """The split that has no trajectory is named."""
    root = folder(tmp_path)
    (root / "valid" / "a.hdf5").unlink()
    with pytest.raises(InputError, match="small has 0 trajectories for val, expected at least 1"):
        load(tmp_path / "small")


def test_files_that_do_not_fit(tmp_path):
    """Another grid, another boundary, another layout, damage."""
    root = folder(tmp_path)
    other = root / "valid" / "a.hdf5"
    for options in ({"axes": "x"}, {"bc": ("WALL", "WALL")}):
        write(other, **options)
        with pytest.raises(InputError, match=f"{other} has another grid, boundary or number of fields than .*a.hdf5"):
            load(tmp_path / "small")
    with h5py.File(other, "w") as file:
        file["u"] = np.zeros((2, 3, 4, 1))
    with pytest.raises(InputError, match=f"{other} is not of The Well as its folder is; remove it"):
        load(tmp_path / "small")
    other.write_bytes(b"nothing")
    with pytest.raises(InputError, match=f"{other} cannot be read or is damaged"):
        load(tmp_path / "small")


def change(path, function):
    with h5py.File(path, "a") as file:
        function(file)
    return path


def test_boundary_that_is_not_said(tmp_path):
    """None along one axis, an obstacle alone, an unknown kind: asked for."""

    def obstacle(file):
        file["boundary_conditions"].move("y_wall", "obstacle")
        file["boundary_conditions/obstacle"].attrs["associated_dims"] = ["x", "y"]

    def unknown(file):
        file["boundary_conditions/y_wall"].attrs["bc_type"] = "SLIPPERY"

    for function in (obstacle, unknown, lambda file: file.pop("boundary_conditions")):
        path = change(write(tmp_path / "small.hdf5"), function)
        assert describe(path).problems[0].startswith("does not say the boundary of its 2 axes; give")
        assert describe(path, ("edge", "edge")).problems == []


def test_other_grids(tmp_path):
    """Only Cartesian ones."""
    path = change(write(tmp_path / "small.hdf5"), lambda file: file.attrs.update({"grid_type": "spherical"}))
    with pytest.raises(InputError, match=f"{path} has a grid of the type spherical, expected cartesian; choose"):
        load(path)


def test_fields_of_wrong_shapes(tmp_path):
    """Unlike what the dimensions say, and no field at all that varies in time."""

    def transpose(file):
        values, attributes = file["t0_fields/density"][()], dict(file["t0_fields/density"].attrs)
        del file["t0_fields/density"]
        file["t0_fields/density"] = values.swapaxes(2, 3)
        file["t0_fields/density"].attrs.update(attributes)

    path = change(write(tmp_path / "small.hdf5"), transpose)
    with pytest.raises(InputError, match=r"/t0_fields/density of the shape \(4, 5, 6, 4\), expected \(4, 5, 4, 6\)"):
        load(path)

    def freeze(file):
        for name in ("t0_fields/density", "t0_fields/profile", "t1_fields/velocity", "t2_fields/stress"):
            file[name].attrs["time_varying"] = False

    path = change(write(tmp_path / "small.hdf5"), freeze)
    with pytest.raises(InputError, match=f"{path} holds no fields that vary in time"):
        load(path)


def test_attributes_that_are_missing(tmp_path):
    """A file that only looks like one of The Well is an error of one sentence."""
    path = change(write(tmp_path / "small.hdf5"), lambda file: file["t0_fields/density"].attrs.pop("time_varying"))
    with pytest.raises(InputError, match=f"{path} cannot be read or is damaged .*time_varying"):
        load(path)


def test_times_of_each_trajectory(tmp_path):
    """`time` may vary by sample."""
    times = np.cumsum(np.random.default_rng(0).random((4, 5)), axis=1)

    def vary(file):
        del file["dimensions/time"]
        file["dimensions/time"] = times
        file["dimensions/time"].attrs.update({"sample_varying": True, "time_varying": True})

    dataset = load(change(write(tmp_path / "small.hdf5"), vary))
    np.testing.assert_array_equal(dataset.val.t[0], (times - times[:, :1])[int(dataset.val.mu[0, 0])])
