"""HDF5 files of The Well, and folders of them, read as they are.

Source: R. Ohana et al., "The Well: a large-scale collection of diverse physics simulations for machine learning",
NeurIPS 2024, arXiv:2412.00568, and the description of its data format:

| group | what stands in it | attributes |
|---|---|---|
| / | | `n_trajectories`, `n_spatial_dims`, `grid_type`, … |
| `dimensions` | `time`, and the points of each axis | `spatial_dims`; of each array `sample_varying`, … |
| `boundary_conditions/<name>` | `mask` | `bc_type` PERIODIC, WALL or OPEN; `associated_dims` |
| `scalars` | `()` or `(trajectory,)` | `field_names`; of each array `sample_varying`, `time_varying` |
| `t0_fields` | `(trajectory, time, *grid)` | as `scalars`; of each array also `dim_varying`, per axis |
| `t1_fields`, `t2_fields` | the same with `(…, D)`, `(…, D, D)` | as `t0_fields` |

What a field does not vary along, trajectory, time or axis, its shape leaves out. The fields that vary in time are the
state: those of `t0_fields`, then the components of vectors, then of tensors. Scalars that tell trajectories apart are
`mu`. Walls and open ends are "edge".
"""

import contextlib
import glob
import os
from collections.abc import Iterator
from typing import cast

import h5py
import numpy as np

from msvi.data.formats.arrays import (
    Hdf5,
    StoredArray,
    join_channels,
    join_times,
    join_trajectories,
    mapped,
    reading,
    stored,
)
from msvi.data.formats.layout import Layout, check_axes, texts
from msvi.data.split import SPLITS
from msvi.errors import InputError

# Names of a split's folder.
_FOLDERS = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}
_BOUNDARIES = {"PERIODIC": "periodic", "WALL": "edge", "OPEN": "edge"}


def find_splits(path: str) -> dict[str, list[str]]:
    """Files of each split of a folder, in order; empty if it is no folder of The Well."""
    for root in (path, os.path.join(path, "data")):
        files = {
            split: sorted(file for name in names for file in glob.glob(os.path.join(glob.escape(root), name, "*.h*5")))
            for split, names in _FOLDERS.items()
        }
        if any(files.values()):
            return files
    return {}


def read_file(file: h5py.File, path: str) -> tuple[str, Layout] | None:
    """The layout in words and what it holds; None if the file is of another one.

    Raises:
      InputError: another grid than a Cartesian one, no field that varies in time, or one of a wrong shape.
    """
    if not _is_well(file):
        return None
    return "The Well", _join([_read(file, path)], [path])


def read_folder(files: dict[str, list[str]], stack: contextlib.ExitStack) -> Layout:
    """The files of all splits one after the other, open as long as `stack`.

    Raises:
      InputError: as `read_file`; or a file is damaged, of another layout, or does not fit the first one.
    """
    parts, paths, split = [], [], []
    for name in SPLITS:
        for path in files[name]:
            with reading(path):
                file = stack.enter_context(h5py.File(path))
                if not _is_well(file):
                    raise InputError(f"The data file {path} is not of The Well as its folder is; remove it from there.")
                parts.append(_read(file, path))
            paths.append(path)
            split += parts[-1][0].u.shape[0] * [name]
    return _join(parts, paths)._replace(split=np.array(split))


def _is_well(file: h5py.File) -> bool:
    return "n_trajectories" in file.attrs and "dimensions" in file and "spatial_dims" in file["dimensions"].attrs


def _read(file: Hdf5, path: str) -> tuple[Layout, dict[str, np.ndarray]]:
    """The layout of one file without `mu`, and each scalar that is constant in time, `(trajectory,)`."""
    grid_type = texts(file.attrs.get("grid_type", "cartesian"))
    if grid_type != ["cartesian"]:
        raise InputError(
            f"The data file {path} has a grid of the type {grid_type[0]}, expected cartesian; choose another data set."
        )
    dimensions, number = file["dimensions"], int(file.attrs["n_trajectories"])
    names, t = texts(dimensions.attrs["spatial_dims"]), dimensions["time"][()]
    coordinates = tuple(dimensions[name][()] for name in names)
    shape = (number, t.shape[-1], *(points.shape[-1] for points in coordinates))
    fields, unused = [], []
    for order in range(3):
        for array in _arrays(file, f"t{order}_fields"):
            if array.attrs["time_varying"]:
                fields.append(_field(array, order, shape, path))
            else:
                unused.append(array.name.lstrip("/"))
    if not fields:
        raise InputError(f"The data file {path} holds no fields that vary in time, expected some; choose another.")
    scalars = {}
    for array in _arrays(file, "scalars"):
        if array.attrs["time_varying"]:
            unused.append(array.name.lstrip("/"))
        else:
            scalars[array.name] = np.broadcast_to(array[()], number)
    layout = Layout(join_channels(fields), t, _boundary(file, names), coordinates, unused=tuple(unused))
    check_axes(layout.u.shape, path)
    return layout, scalars


def _arrays(file: Hdf5, group: str) -> Iterator[Hdf5]:
    """Arrays of a group in the order in which it lists them."""
    if group in file:
        names = texts(file[group].attrs["field_names"]) if "field_names" in file[group].attrs else sorted(file[group])
        yield from (file[group][name] for name in names)


def _field(array: Hdf5, order: int, shape: tuple[int, ...], path: str) -> StoredArray:
    """A field of scalars, vectors or tensors, `(*shape, component)` with `shape` `(trajectory, time, *grid)`.

    What it does not vary along is repeated.
    """
    number, _, *grid = shape
    varying = [bool(along) for along in array.attrs["dim_varying"]]
    components = array.shape[len(array.shape) - order :]
    found = stored(array, path, repeat=None if array.attrs["sample_varying"] else number)
    expected = (*shape[:2], *(n for n, along in zip(grid, varying, strict=True) if along), *components)
    if found.shape != expected:
        raise InputError(
            f"The data file {path} holds {array.name} of the shape {array.shape}, expected {expected} as the "
            "dimensions are; mend the file."
        )

    def spread(values: np.ndarray) -> np.ndarray:
        values = values[(slice(None), slice(None), *(slice(None) if along else None for along in varying))]
        first = values.shape[:2]
        # Where it varies along all axes, as many points as were read.
        points = tuple(n if along else all_n for n, along, all_n in zip(values.shape[2:], varying, grid, strict=False))
        return np.broadcast_to(values, (*first, *points, *components)).reshape(*first, *points, -1)

    return mapped(found, (*shape, int(np.prod(components))), spread, pointwise=all(varying))


def _boundary(file: Hdf5, names: list[str]) -> tuple[str, ...] | None:
    """Kind of each axis; None if one is not said. A condition on several axes at once is that of an obstacle."""
    kinds: dict[str, str] = {}
    for condition in file.get("boundary_conditions", {}).values():
        axes, kind = texts(condition.attrs["associated_dims"]), texts(condition.attrs["bc_type"])[0].upper()
        if len(axes) == 1 and kind in _BOUNDARIES and kinds.get(axes[0]) != "periodic":
            kinds[axes[0]] = _BOUNDARIES[kind]
    return tuple(kinds[name] for name in names) if set(names) <= set(kinds) else None


def _join(parts: list[tuple[Layout, dict[str, np.ndarray]]], paths: list[str]) -> Layout:
    """The trajectories of several files; scalars in which any two of them differ become `mu`."""
    first, layouts = parts[0][0], [layout for layout, _ in parts]
    points = [cast(tuple[np.ndarray, ...], layout.coordinates) for layout in layouts]
    times = [cast(np.ndarray, layout.t) for layout in layouts]
    for layout, its_points, path in zip(layouts, points, paths, strict=True):
        same = layout.u.shape[2:] == first.u.shape[2:] and layout.boundary == first.boundary
        if not same or not all(map(np.allclose, its_points, points[0])):
            raise InputError(
                f"The data file {path} has another grid, boundary or number of fields than {paths[0]}, expected the "
                "same in all files of a folder; take it away."
            )
    names = [name for name in parts[0][1] if all(name in scalars for _, scalars in parts)]
    mu = np.stack([np.concatenate([scalars[name] for _, scalars in parts]) for name in names], -1) if names else None
    if mu is not None:
        mu = mu[:, (mu != mu[0]).any(axis=0)]
    return first._replace(
        u=join_trajectories([layout.u for layout in layouts]),
        t=join_times([np.broadcast_to(t, layout.u.shape[:2]) for t, layout in zip(times, layouts, strict=True)]),
        mu=mu if mu is not None and mu.size else None,
    )
