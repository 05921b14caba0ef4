"""Small files of exactly the structures of PDEBench, and what is made of them."""

import h5py
import numpy as np
import pytest

from msvi.data.recorded import describe, load_recorded
from msvi.errors import InputError


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return str(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pdebench.hdf5"


def load(path, boundary):
    """All trajectories of a file in its order, as `u`, and the data set."""
    dataset = load_recorded(str(path), boundary, 0, 0, 0, 0)
    u = np.concatenate([split.u for split in dataset[2:5]])
    return u[np.argsort(u.reshape(len(u), -1)[:, 0])], dataset


@pytest.mark.parametrize("excess", [0, 1])
def test_scalar_equation(path, excess):
    """Advection, Burgers, reaction–diffusion: one channel, cell centres; the excess time is dropped."""
    tensor, x = numbers(4, 5, 8), (np.arange(8, dtype=np.float32) + 0.5) / 8
    t = np.linspace(0, 0.1 * (4 + excess), 5 + excess, dtype=np.float32)
    write(path, tensor=tensor, **{"x-coordinate": x, "t-coordinate": t})
    u, dataset = load(path, ("periodic",))
    np.testing.assert_array_equal(u, tensor[..., None])
    np.testing.assert_array_equal(dataset.coordinates[0], x)
    np.testing.assert_array_equal(dataset.train.t[0], t[:5])
    assert describe(str(path)).kind == "HDF5, PDEBench, scalar field"


def test_scalar_equation_in_two_dimensions(path):
    """With more than one frame it is no Darcy flow."""
    tensor = numbers(3, 4, 5, 6)
    axes = {f"{name}-coordinate": np.linspace(0, 1, n) for name, n in (("t", 4), ("x", 5), ("y", 6))}
    write(path, tensor=tensor, **axes)
    u, dataset = load(path, ("edge", "edge"))
    np.testing.assert_array_equal(u, tensor[..., None])
    assert dataset.grid == (5, 6)


@pytest.mark.parametrize("nu", [True, False])
def test_darcy_flow_is_refused(path, nu):
    """It has a single frame, and the permeability `nu`."""
    axes = {"x-coordinate": np.arange(8.0), "y-coordinate": np.arange(8.0)}
    write(path, tensor=numbers(4, 1, 8, 8), **axes, **({"nu": numbers(4, 8, 8)} if nu else {}))
    with pytest.raises(InputError, match=f"{path} holds Darcy flow .* do not change in time, expected trajectories"):
        load(path, ("edge", "edge"))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_compressible_flow(path, axes):
    """Density, pressure and the components of the velocity, in this order; `t-coordinate` has an entry too many."""
    shape, names = (3, 4, *(5, 6, 7)[:axes]), ["density", "pressure", "Vx", "Vy", "Vz"][: 2 + axes]
    fields = {name: numbers(*shape) + 1e4 * i for i, name in enumerate(names)}
    points = {f"{name}-coordinate": (np.arange(n) + 0.5) / n for name, n in zip("xyz"[:axes], (5, 6, 7), strict=False)}
    write(path, **fields, **points, **{"t-coordinate": np.linspace(0, 1, 5)})
    u, dataset = load(path, ("periodic",) * axes)
    np.testing.assert_array_equal(u, np.stack(list(fields.values()), axis=-1))
    for found, right in zip(dataset.coordinates, points.values(), strict=True):
        np.testing.assert_array_equal(found, right)
    np.testing.assert_array_equal(dataset.test.t[0], [0, 0.25, 0.5, 0.75])


def test_fields_that_do_not_fit(path):
    """One of them has another shape."""
    write(path, density=numbers(3, 4, 5), pressure=numbers(3, 4, 5), Vx=numbers(3, 4, 6))
    with pytest.raises(InputError, match=r"fields of the shapes \(3, 4, 5\) and \(3, 4, 6\), expected one shape"):
        load(path, ("periodic",))


@pytest.mark.parametrize("optional", [True, False])
def test_incompressible_flow(path, optional):
    """Velocity and particles are the state; the force is a field that does not change in time."""
    velocity, force, particles = numbers(4, 5, 6, 7, 2), numbers(4, 6, 7, 2), -numbers(4, 5, 6, 7, 1)
    t = np.sort(np.random.default_rng(0).random((4, 5)), axis=1)
    write(path, velocity=velocity, t=t, **({"force": force, "particles": particles} if optional else {}))
    u, dataset = load(path, ("edge", "edge"))
    np.testing.assert_array_equal(u, np.concatenate([velocity, particles], axis=-1) if optional else velocity)
    assert dataset.coordinates[1][-1] == 1
    row = int(dataset.val.u.reshape(-1)[0] // (5 * 6 * 7 * 2))
    np.testing.assert_array_equal(dataset.val.t[0], t[row] - t[row, 0])
    if optional:
        np.testing.assert_array_equal(dataset.val.forcing, [[force[row], force[row]]])
        np.testing.assert_array_equal(dataset.val.forcing_t, [[0, t[row, -1] - t[row, 0]]])
    else:
        assert dataset.val.forcing is None


@pytest.mark.parametrize(("grid", "channels"), [((8,), 1), ((6, 7), 2)])
def test_group_for_each_trajectory(path, grid, channels):
    """Diffusion–sorption, diffusion–reaction, shallow water; one trajectory is shorter than the others."""
    frames = [5, 5, 4, 5]
    data = [numbers(n, *grid, channels) + 1e4 * i for i, n in enumerate(frames)]
    with h5py.File(path, "w") as file:
        for i, values in enumerate(data):
            group = file.create_group(f"{i:04d}")
            group.attrs["config"] = "sim: {}"
            group.create_dataset("data", data=values, compression="lzf")
            group["grid/t"] = np.linspace(0, 1, 5)[: frames[i]]
            for name, n in zip("xy", grid, strict=False):
                group[f"grid/{name}"] = np.linspace(-1, 1, n)
    recording = describe(str(path), ("edge",) * len(grid))
    assert recording.kind == "HDF5, PDEBench, a group for each trajectory" and not recording.problems
    assert sorted(sum(recording.num_frames.values(), ())) == [4, 5, 5, 5]
    dataset = load_recorded(str(path), ("edge",) * len(grid), 0, 0, 0, 0)
    for split in dataset[2:5]:
        for trajectory, length in enumerate(split.lengths):
            values = data[int(split.u[trajectory].reshape(-1)[0] // 1e4)]
            np.testing.assert_array_equal(split.u[trajectory, :length], values)
    np.testing.assert_array_equal(dataset.coordinates[0], np.linspace(-1, 1, grid[0]))


def test_group_with_another_number_of_times(path):
    """Though others have as many frames as it has times."""
    with h5py.File(path, "w") as file:
        for i, frames in enumerate((6, 3, 6)):
            file[f"{i:04d}/data"], file[f"{i:04d}/grid/t"] = numbers(frames, 8, 1), np.arange(6.0)
    with pytest.raises(InputError, match=r"3 frames in /0001/data and times of the shape \(6,\) in /0001/grid/t"):
        load(path, ("edge",))


def test_boundary_is_asked_for(path):
    """No file says it."""
    write(path, tensor=numbers(4, 5, 8), **{"x-coordinate": np.arange(8.0), "t-coordinate": np.arange(6.0)})
    with pytest.raises(InputError, match=f"{path} does not say the boundary of its 1 axis; give --config.data"):
        load(path, ())


def test_missing_times(path):
    """Asked for with the boundary."""
    write(path, tensor=numbers(4, 5, 8))
    problems = describe(str(path)).problems
    assert [problem[:14] for problem in problems] == ["has no frame t", "does not say t"]


def test_only_what_is_asked_for_is_read(path, monkeypatch):
    """A trajectory at a time, and no other ones."""
    write(path, tensor=numbers(40, 5, 8), **{"t-coordinate": np.arange(5.0)})
    asked, read = [], h5py.Dataset.__getitem__

    def spy(self, key):
        if self.name == "/tensor":
            asked.append(key)
        return read(self, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    load_recorded(str(path), ("edge",), 2, 1, 1, 0)
    assert len(asked) == 4 and all(rows.stop - rows.start == 1 for rows, _ in asked)
