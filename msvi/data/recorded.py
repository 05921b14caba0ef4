"""Trajectories from a data file: which file it is, what it lacks, and the data set it makes."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple, cast

import h5py
import numpy as np

from msvi.data.division import divide
from msvi.data.formats import pdebench, the_well
from msvi.data.formats.arrays import Hdf5, StoredArray, reading, stored
from msvi.data.formats.files import open_variables, recognise
from msvi.data.formats.layout import Layout, from_variables
from msvi.data.frames import Pieces, Reading, observed_frames, read_splits
from msvi.data.problems import find_problems, gather, refuse
from msvi.data.split import SPLITS, Dataset, check_dataset, measure
from msvi.data.streamed import StreamedField
from msvi.data.survey import digest, stays_on_disk, survey_splits
from msvi.data.values import find_value_problems

# Attributes by which the values of a NetCDF file are decoded.
_ENCODED = {"scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned"}


class Recording(NamedTuple):
    """What a data file holds, with nothing of its fields read.

    Attributes:
      kind: of file, in words.
      grid: points per axis.
      num_channels: fields per grid point.
      boundary: kind of each axis, None if it is not known.
      coarsening: full points per coarse cell and axis, None if the file does not say it.
      num_parameters, num_forces: lengths of `mu` and `forcing`, 0 without.
      num_trajectories: in the whole file.
      num_frames: observed frames of each trajectory of each split, by its name; empty if that cannot be said.
      problems: what stands in the way of using the file, for `refuse`.
    """

    kind: str
    grid: tuple[int, ...]
    num_channels: int
    boundary: tuple[str, ...] | None
    coarsening: int | None
    num_parameters: int
    num_forces: int
    num_trajectories: int
    num_frames: dict[str, tuple[int, ...]]
    problems: list[str]


def describe(
    path: str, boundary: tuple[str, ...] = (), num_train: int = 0, num_val: int = 0, num_test: int = 0, seed: int = 0
) -> Recording:
    """What the file holds and lacks; the arguments are those of `load_recorded`.

    Raises:
      InputError: the file is missing, damaged, of an unknown kind, or holds no fields.
    """
    with open_layout(path) as (kind, layout):
        layout, pieces, problems = plan(layout, boundary, (num_train, num_val, num_test), seed)
    return record(kind, layout, pieces, problems)


def record(kind: str, layout: Layout, pieces: Pieces, problems: list[tuple[str, str]]) -> Recording:
    """What `describe` tells of a file of this kind and layout, from what `plan` gives."""
    about = {name for name, _ in problems}
    return Recording(
        kind=kind,
        grid=layout.grid,
        num_channels=layout.u.shape[-1],
        boundary=None if "boundary" in about else layout.boundary,
        coarsening=None if layout.coarsening is None or "coarsening" in about else int(layout.coarsening),
        num_parameters=last_size(layout.mu),
        num_forces=last_size(layout.forcing),
        num_trajectories=layout.u.shape[0],
        num_frames={name: tuple(len(piece.frames) for piece in pieces[name]) for name in pieces},
        problems=[text for _, text in problems],
    )


def load_recorded(
    path: str,
    boundary: tuple[str, ...],
    num_train: int,
    num_val: int,
    num_test: int,
    seed: int,
    place: str = "auto",
    cache_dir: str = "",
) -> Dataset:
    """The trajectories of a data file in the layout of `msvi.data.formats.layout`, of PDEBench or of The Well.

    Args:
      path: of a file, or of a folder of The Well.
      boundary: kind of each axis; if empty, what the file says.
      num_train, num_val, num_test: trajectories per split; 0 for what `divide` takes of its own accord.
      seed: of the division, where the file has none.
      place: `train.data_on`: with `disk` fields stay in the file, which remains open, until they are looked at; with
        `auto` they do if they would take more than half of the host's memory.
      cache_dir: folder that keeps what was found in a file whose fields stay there; "" for none.

    Raises:
      InputError: the file is damaged or of an unknown kind; or with all that it lacks; or a value is not finite; or it
        is a NumPy archive, which is read whole, and too large for that.
    """
    with contextlib.ExitStack() as stack:
        kind, layout = _open(path, stack)
        layout, pieces, problems = plan(layout, boundary, (num_train, num_val, num_test), seed)
        refuse(path, [text for _, text in problems])
        found = read(kind, layout, pieces, path, place, cache_dir)
        refuse(path, gather(found.problems))
        dataset = assemble(layout, found)
        refuse(path, find_value_problems(dataset))
        if isinstance(dataset.train.u, StreamedField):
            stack.pop_all()  # open as long as the fields are there
    if found.num_missing:
        print(f"{path}: {missing_text(found)}")
    return check_dataset(dataset)


def read(kind: str, layout: Layout, pieces: Pieces, path: str, place: str = "auto", cache_dir: str = "") -> Reading:
    """The splits, with their fields in memory or left in the file, which has to stay open then.

    Args:
      kind: of file, in words.
      place, cache_dir: as for `load_recorded`.

    Raises:
      InputError: the file is damaged, or a NumPy archive that is too large for the memory.
    """
    if not stays_on_disk(layout, pieces, place):
        return read_splits(layout, pieces)
    if kind != "NumPy archive":
        return survey_splits(layout, pieces, path, cache_dir)
    if place == "auto":
        text = "is a NumPy archive, which is read whole, and takes more than half of the memory"
        refuse(path, [f"{text}; write it as Zarr, NetCDF-4 or HDF5, of which frames are read when they are needed"])
    return read_splits(layout, pieces)


def find_setting_problems(found: Recording, coarsening: int = 0, pooling: int = 0, window: int = 0) -> list[str]:
    """What in a configuration does not fit a file, as `msvi.data.problems` puts it; 0 is left open and always fits.

    Args:
      found: what is known of the file.
      coarsening, pooling, window: `model.coarsening`, `model.encoder_pooling` and `inference.window`.
    """
    problems, divisor = [], int(np.gcd.reduce(found.grid))
    stated = coarsening or found.coarsening or 1
    if divisor % stated:
        problems.append(
            f"has the grid {found.grid}, which the coarsening {stated} does not divide; give "
            f"--config.model.coarsening=N, a divisor of {divisor}"
        )
    if pooling and divisor % pooling:
        problems.append(
            f"has the grid {found.grid}, which the pooling {pooling} does not divide; give another "
            "--config.model.encoder_pooling=N"
        )
    shortest = min(found.num_frames.get("train", ()), default=window)
    if window > shortest:
        problems.append(
            f"has trajectories of {shortest} frames to learn from, fewer than the window of {window}; give "
            f"--config.inference.window=N, at most {shortest}"
        )
    return problems


def assemble(layout: Layout, found: Reading) -> Dataset:
    """The data set of what was read without problems."""
    return Dataset(
        coordinates(layout),
        _boundary(layout),
        train=measure(found.splits["train"]),
        val=found.splits["val"],
        test=found.splits["test"],
        coarsening=None if layout.coarsening is None else int(layout.coarsening),
        digest=digest(found.splits["train"]),
        labels=layout.labels,
    )


def missing_text(found: Reading) -> str:
    """How many values were taken as missing."""
    return f"{found.num_missing} values of u, {100 * found.missing:.2g} %, are NaN and count as not observed"


@contextlib.contextmanager
def open_layout(path: str) -> Iterator[tuple[str, Layout]]:
    """The kind of file in words and the layout of its arrays, which can be read while it is open.

    Raises:
      InputError: the file is missing, damaged, of an unknown kind, or holds no fields.
    """
    with contextlib.ExitStack() as stack:
        yield _open(path, stack)


def _open(path: str, stack: contextlib.ExitStack) -> tuple[str, Layout]:
    folder = the_well.find_splits(path)
    if folder:
        with reading(path):
            return "folder of HDF5, The Well", the_well.read_folder(folder, stack)
    kind = name = recognise(path)
    file = None
    if kind == "HDF5":
        with reading(path):
            file = stack.enter_context(h5py.File(path))
            name = "NetCDF-4" if "_NCProperties" in file.attrs else kind
            for importer in () if "u" in file else (the_well, pdebench):
                found = importer.read_file(file, path)
                if found is not None:
                    return f"{kind}, {found[0]}", found[1]
    dataset = stack.enter_context(open_variables(path, name))
    with reading(path):
        layout = from_variables(dataset, path)
        # What the library of NetCDF fills arrays with has to be decoded.
        return name, _directly(layout, file, path) if file is not None and name == kind else layout


def _directly(layout: Layout, file: Hdf5, path: str) -> Layout:
    """The layout with arrays of HDF5 that need no decoding read without the layers above, ten times as fast."""
    found = {}
    for name in ("u", "u_true", "mask", "forcing"):
        array, own = getattr(layout, name), file.get(name)
        if array is None or not isinstance(own, h5py.Dataset) or own.shape != array.shape or own.dtype != array.dtype:
            continue
        encoded = {key: value for key, value in own.attrs.items() if key in _ENCODED}
        if not encoded or (set(encoded) == {"_FillValue"} and np.isnan(encoded["_FillValue"]).all()):
            found[name] = stored(own, path)
    return layout._replace(**found)


def plan(
    layout: Layout, boundary: tuple[str, ...], numbers: tuple[int, int, int], seed: int
) -> tuple[Layout, Pieces, list[tuple[str, str]]]:
    """The layout with the given boundary, its pieces by split, and every problem that shows before a field is read.

    Args:
      layout: of the file.
      boundary: in place of the file's, if not empty.
      numbers: trajectories asked for, for each of `SPLITS`.
      seed: of the division at random.
    """
    if boundary:
        layout = layout._replace(boundary=tuple(boundary))
    problems = find_problems(layout)
    about = {name for name, _ in problems}
    if about & {"mask", "split"} or ("t" in about and layout.t is not None):
        return layout, {}, problems
    asked: dict[str, int] = dict(zip(SPLITS, numbers, strict=True))
    pieces, found = divide(observed_frames(layout), layout.split_names, asked, seed)
    return layout, pieces, problems + [("split", text) for text in found]


def coordinates(layout: Layout) -> tuple[np.ndarray, ...]:
    """Points of each axis, on the unit interval where the file has none."""
    known = zip(layout.coordinates, layout.grid, _boundary(layout), strict=True)
    return tuple(
        np.arange(n) / (n if kind == "periodic" else n - 1) if points is None else points.astype(np.float64)
        for points, n, kind in known
    )


def _boundary(layout: Layout) -> tuple[str, ...]:
    """Of a layout in which no problem with it was found."""
    return cast(tuple[str, ...], layout.boundary)


def last_size(array: np.ndarray | StoredArray | None) -> int:
    """Length of the last axis, 0 if there is none."""
    return 0 if array is None or not array.shape else array.shape[-1]
