"""Kinds of file that hold named arrays: told apart by what they begin with, and opened as one `xarray.Dataset`.

Nothing is unpickled: a NumPy archive or a Zarr store with an array of objects is refused when it is opened, and so is a
Zarr array that is encoded by anything but the compressors and filters below. HDF5 has no pickles.
"""

import contextlib
import json
import os
import pathlib
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from msvi.data.arrays import reading
from msvi.errors import InputError

# Compressors, filters and codecs by their names in Zarr's metadata, versions 2 and 3. `pickle` is one, and not here.
_CODECS = {
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd", "adler32", "crc32", "crc32c", "fletcher32"),
    *("astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle"),
    *("bytes", "endian", "transpose", "sharding_indexed", "vlen-utf8"),
}
# Files that describe a Zarr store, version 3 and 2.
_ZARR = {"zarr.json", ".zgroup"}


def recognise(path: str) -> str:
    """The kind of file: "HDF5", "NetCDF classic", "NumPy archive" or "Zarr".

    Raises:
      InputError: there is no such file, or it is of another kind.
    """
    if not os.path.exists(path):
        raise InputError(f"There is no data file {path!r}; give the place of one that exists.")
    begin = b""
    with reading(path):
        if os.path.isdir(path):
            if _ZARR & set(os.listdir(path)):
                return "Zarr"
        else:
            with open(path, "rb") as file:
                begin = file.read(16)
            if begin.startswith(b"\x89HDF\r\n\x1a\n"):
                return "HDF5"
            if begin.startswith((b"CDF\x01", b"CDF\x02")):
                return "NetCDF classic"
            if begin.startswith(b"PK\x03\x04"):
                with zipfile.ZipFile(path) as archive:
                    names = archive.namelist()
                if _ZARR & set(names):
                    return "Zarr"
                if all(name.endswith(".npy") for name in names):
                    return "NumPy archive"
    found = "is a folder of something else" if os.path.isdir(path) else f"begins with {begin!r}"
    raise InputError(
        f"The data file {path} {found}, expected a NumPy archive (.npz), HDF5, NetCDF (classic, 64-bit offset or "
        "NetCDF-4), a Zarr store (folder or .zip), or a folder of The Well with train, valid and test; convert it."
    )


@contextlib.contextmanager
def open_variables(path: str, kind: str) -> Iterator[xr.Dataset]:
    """The arrays at the root of a file of this kind with its attributes, read a slice at a time while it is open.

    Packed numbers, fill values and text are decoded as the conventions of NetCDF say; times are left as numbers.

    Raises:
      InputError: the file is damaged, or holds arrays that could run code when they are read.
    """
    options = {"decode_times": False, "cache": False}
    with contextlib.ExitStack() as stack:
        with reading(path):
            if kind == "HDF5":
                dataset = xr.open_dataset(path, engine="h5netcdf", phony_dims="access", **options)
            elif kind == "NetCDF classic":
                dataset = xr.open_dataset(path, engine="scipy", **options)
            elif kind == "Zarr":
                dataset = _open_zarr(path, stack, options)
            else:
                dataset = _named(_open_archive(path, stack), {})
            stack.enter_context(dataset)
        yield dataset


def _named(arrays: dict[str, Any], attributes: dict[str, Any]) -> xr.Dataset:
    """Arrays without names for their axes."""
    variables = {}
    for name, array in arrays.items():
        axes = [f"{name}_{axis}" for axis in range(len(array.shape))]
        variables[name] = xr.Variable(axes, indexing.LazilyIndexedArray(_Lazy(array)))
    return xr.Dataset(variables, attrs=attributes)


class _Lazy(BackendArray):
    """An array that xarray slices when its values are asked for."""

    def __init__(self, array: Any):
        self.array, self.shape, self.dtype = array, tuple(array.shape), array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, lambda key: np.asarray(self.array[key])
        )


def _open_zarr(path: str, stack: contextlib.ExitStack, options: dict[str, Any]) -> xr.Dataset:
    # Imported here: a run on other data does not need it.
    import zarr
    from zarr.errors import UnstableSpecificationWarning, ZarrUserWarning
    from zarr.storage import LocalStore, ZipStore

    if os.path.isdir(path):
        root, store = pathlib.Path(path), LocalStore(path, read_only=True)
    else:
        root, store = zipfile.Path(stack.enter_context(zipfile.ZipFile(path))), ZipStore(path, mode="r")
    names = _zarr_arrays(root, path)
    with warnings.catch_warnings():
        # Files that are no part of the store, and text of fixed width in version 3, which every release has read.
        warnings.simplefilter("ignore", ZarrUserWarning)
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        group = zarr.open_group(store, mode="r", use_consolidated=False)
        stack.callback(store.close)
        # One by one: of several damaged arrays that are opened at once, zarr leaves all errors but one unhandled.
        arrays = {name: group[name] for name in names}
        if all(_has_dimensions(array) for array in arrays.values()):
            return xr.open_dataset(store, engine="zarr", consolidated=False, chunks=None, **options)
    return _named(arrays, dict(group.attrs))


def _zarr_arrays(root: pathlib.Path | zipfile.Path, path: str) -> list[str]:
    """Names of the arrays of a Zarr store.

    Raises:
      InputError: one holds objects or is encoded by something that is not known to be harmless.
    """
    names = set()
    for item in root.iterdir():
        for file in (item / "zarr.json", item / ".zarray"):
            metadata = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"node_type": "group"}
            if metadata.get("node_type") == "group":
                continue
            names.add(item.name)
            unknown = sorted(set(_codecs(metadata)) - _CODECS)
            if unknown or "|O" in str(metadata.get("dtype")):
                found = f"encoded by {', '.join(unknown)}" if unknown else "of Python objects"
                raise InputError(
                    f"The data file {path} holds the Zarr array {item.name} {found}, which could run code when it is "
                    "read; write numbers, or text of fixed width, with a usual compressor."
                )
    return sorted(names)


def _codecs(metadata: dict[str, Any]) -> Iterator[str]:
    """Names of everything that encodes an array, those inside of shards too."""
    for key in ("compressor", "filters", "codecs", "index_codecs"):
        entries = metadata.get(key) or ()
        for entry in [entries] if isinstance(entries, dict) else entries:
            entry = {"name": entry} if isinstance(entry, str) else entry
            yield str(entry.get("id", entry.get("name"))).removeprefix("numcodecs.")
            yield from _codecs(entry.get("configuration", {}))


def _has_dimensions(array: Any) -> bool:
    return getattr(array.metadata, "dimension_names", None) is not None or "_ARRAY_DIMENSIONS" in array.attrs


def _open_archive(path: str, stack: contextlib.ExitStack) -> dict[str, "_Member"]:
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = {}
    for name in archive.namelist():
        member = _Member(stack.enter_context(archive.open(name)))
        if member.dtype.hasobject:
            raise InputError(
                f"The data file {path} holds the array {name.removesuffix('.npy')} of Python objects, which could run "
                "code when it is read; write numbers, and text as an array of fixed width."
            )
        members[name.removesuffix(".npy")] = member
    return members


class _Member:
    """An array of a NumPy archive, of which only the asked-for part of the first axis is held in memory.

    What comes before is passed over in a compressed archive, so reading from front to back is one pass. `numpy.load`
    would read all of the array.
    """

    def __init__(self, file: zipfile.ZipExtFile):
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, self._columns_first, self.dtype = header(file)
        self._file, self._start = file, file.tell()

    def __getitem__(self, key: tuple[int | slice, ...]) -> np.ndarray:
        if not self.shape or self._columns_first:  # in the order of columns no part of the first axis is contiguous
            values = self._read(0, int(np.prod(self.shape)))
            return values.reshape(self.shape, order="F" if self._columns_first else "C")[key]
        rows = np.arange(self.shape[0])[key[0]]
        first, size = int(np.min(rows, initial=self.shape[0])), int(np.prod(self.shape[1:]))
        num_rows = int(np.max(rows, initial=first - 1)) + 1 - first
        block = self._read(first * size, num_rows * size).reshape(num_rows, *self.shape[1:])[rows - first]
        return block[key[1:] if rows.ndim == 0 else (slice(None), *key[1:])]

    def _read(self, start: int, count: int) -> np.ndarray:
        self._file.seek(self._start + start * self.dtype.itemsize)
        return np.frombuffer(self._file.read(count * self.dtype.itemsize), self.dtype, count)
