"""HDF5 files of PDEBench, read as they are.

Source: M. Takamoto et al., "PDEBench: An extensive benchmark for scientific machine learning", NeurIPS 2022,
arXiv:2210.07182. Which of its layouts a file has is seen by its arrays:

| equations | arrays |
|---|---|
| advection, Burgers, reaction–diffusion in 1D | `tensor (batch, time, x)`, `x-coordinate`, `t-coordinate` |
| compressible flow | `density`, `pressure`, `Vx`, `Vy`, `Vz`, each `(batch, time, x[, y[, z]])`, `x-coordinate`, … |
| incompressible flow | `velocity (batch, time, x, y, 2)`, `particles (…, 1)`, `force (batch, x, y, 2)`, `t` |
| diffusion–sorption, diffusion–reaction, shallow water | `0000/data (time, x[, y], channel)`, `0000/grid/t`, … |

`t-coordinate` may have an entry more than there are frames, the end of the last step, which is dropped. No file says
its boundary. The force of the incompressible flow does not change in time. Darcy flow has no time and is refused.
"""

import h5py
import numpy as np

from msvi.data.formats.arrays import Hdf5, StoredArray, join_channels, join_times, join_trajectories, mapped, stored
from msvi.data.formats.layout import AXES, Layout, check_axes
from msvi.errors import InputError

_FLOW = ("density", "pressure", "Vx", "Vy", "Vz")


def read_file(file: h5py.File, path: str) -> tuple[str, Layout] | None:
    """The layout in words and what it holds; None if the file is of another one.

    Raises:
      InputError: Darcy flow, or arrays that do not fit each other.
    """
    names = set(file)
    groups = [
        group for _, group in sorted(file.items()) if isinstance(group, h5py.Group) and {"data", "grid"} <= set(group)
    ]
    if "tensor" in names:
        kind, layout = "scalar field", _scalar(file, path)
    elif {"density", "pressure", "Vx"} <= names:
        kind, layout = "compressible flow", _compressible(file, path)
    elif {"velocity", "t"} <= names:
        kind, layout = "incompressible flow", _incompressible(file, path)
    elif groups:
        kind, layout = "a group for each trajectory", _grouped(groups, path)
    else:
        return None
    check_axes(layout.u.shape, path)
    return f"PDEBench, {kind}", layout


def _scalar(file: Hdf5, path: str) -> Layout:
    if "nu" in file or file["tensor"].shape[1:2] == (1,):
        raise InputError(
            f"The data file {path} holds Darcy flow of PDEBench, fields that do not change in time, expected "
            "trajectories; choose another of its data sets."
        )
    return _with_coordinates(file, _with_channel(file["tensor"], path), ["tensor"])


def _compressible(file: Hdf5, path: str) -> Layout:
    names = [name for name in _FLOW if name in file]
    _require_equal([file[name].shape for name in names], path)
    return _with_coordinates(file, join_channels([_with_channel(file[name], path) for name in names]), names)


def _incompressible(file: Hdf5, path: str) -> Layout:
    fields = [stored(file[name], path) for name in ("velocity", "particles") if name in file]
    _require_equal([field.shape[:-1] for field in fields], path)
    u, t, forcing, forcing_t = join_channels(fields), file["t"][()], None, None
    if "force" in file:
        force = stored(file["force"], path)
        # Twice the same, at the first and the last time, since a line joins the values between.
        forcing = StoredArray(
            (force.shape[0], 2, *force.shape[1:]),
            force.dtype,
            lambda rows, frames, *points: np.stack(2 * [force.read(rows, *(points or (slice(None),)))], 1)[:, frames],
        )
        forcing_t = np.broadcast_to(t, u.shape[:2])[:, [0, -1]]
    unused = tuple(name for name in file if name not in ("velocity", "particles", "force", "t"))
    no_coordinates = (None,) * (len(u.shape) - 3)
    return Layout(u, t, None, no_coordinates, forcing=forcing, forcing_t=forcing_t, unused=unused)


def _grouped(groups: list[Hdf5], path: str) -> Layout:
    fields = [stored(group["data"], path, repeat=1) for group in groups]
    _require_equal([field.shape[2:] for field in fields], path)
    grid, times = (
        groups[0]["grid"],
        [_without_excess(group["grid"]["t"][()], group["data"].shape[0]) for group in groups],
    )
    for group, field, t in zip(groups, fields, times, strict=True):
        if t.shape != field.shape[1:2]:
            raise InputError(
                f"The data file {path} holds {field.shape[1]} frames in {group.name}/data and times of the shape "
                f"{t.shape} in {group.name}/grid/t, expected a time for each frame; mend the file."
            )
    return Layout(
        u=join_trajectories(fields),
        t=join_times([t[None] for t in times]),
        boundary=None,
        coordinates=tuple(grid[axis][()] if axis in grid else None for axis in AXES[: len(fields[0].shape) - 3]),
    )


def _with_channel(array: h5py.Dataset, path: str) -> StoredArray:
    return mapped(stored(array, path), (*array.shape, 1), lambda values: values[..., None])


def _with_coordinates(file: Hdf5, u: StoredArray, used: list[str]) -> Layout:
    """`u` with the times and points that stand in `t-coordinate`, `x-coordinate`, …"""
    names = [f"{axis}-coordinate" for axis in AXES[: len(u.shape) - 3]]
    t = _without_excess(file["t-coordinate"][()], u.shape[1]) if "t-coordinate" in file else None
    coordinates = tuple(file[name][()] if name in file else None for name in names)
    unused = tuple(name for name in file if name not in (*used, *names, "t-coordinate"))
    return Layout(u, t, None, coordinates, unused=unused)


def _without_excess(t: np.ndarray, frames: int) -> np.ndarray:
    """The times without the last one, if there is one more than there are frames."""
    return t[:-1] if t.shape == (frames + 1,) else t


def _require_equal(shapes: list[tuple[int, ...]], path: str) -> None:
    if len(set(shapes)) > 1:
        found = " and ".join(map(str, sorted(set(shapes))))
        raise InputError(f"The data file {path} holds fields of the shapes {found}, expected one shape; mend the file.")
