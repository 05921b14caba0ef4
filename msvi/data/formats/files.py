"""Kinds of file that hold named arrays: told apart by what they begin with, and opened as one `xarray.Dataset`.

Nothing is unpickled: a NumPy archive or a Zarr store with an array of objects is refused when it is opened, and so is a
Zarr array that is encoded by anything but the compressors and filters below. HDF5 has no pickles.
"""

import contextlib
import json
import math
import os
import pathlib
import warnings
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.backends.zarr import FillValueCoder
from xarray.core import indexing

from msvi.data.formats.arrays import reading
from msvi.errors import InputError

# Compressors, filters and codecs by their names in Zarr's metadata, versions 2 and 3. `pickle` is one, and not here.
_CODECS = {
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd", "adler32", "crc32", "crc32c", "fletcher32"),
    *("astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle"),
    *("bytes", "endian", "transpose", "sharding_indexed", "vlen-utf8"),
}
# What the library of NetCDF fills arrays with, by type; bytes it does not fill.
_FILLS = {"f4": 9.969209968386869e36, "f8": 9.969209968386869e36, "i2": -32767, "u2": 65535, "i4": -2147483647}
# Bytes of an array in the order of columns that are passed through at once.
_PASS = 2**22
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

    Packed numbers, fill values and text are decoded as the conventions of NetCDF say, so what its library fills arrays
    with is missing. What fills the chunks of a Zarr store is data. Times are left as numbers.

    Args:
      path: of the file.
      kind: as `recognise` says, or "NetCDF-4" in place of "HDF5".

    Raises:
      InputError: the file is damaged, or holds arrays that could run code when they are read.
    """
    with contextlib.ExitStack() as stack:
        with reading(path):
            if kind == "NetCDF classic":
                dataset = xr.open_dataset(path, engine="scipy", decode_cf=False, cache=False)
            elif kind == "Zarr":
                dataset = _open_zarr(path, stack)
            elif kind == "NumPy archive":
                dataset = _named(_open_archive(path, stack), {})
            else:
                dataset = xr.open_dataset(path, engine="h5netcdf", phony_dims="access", decode_cf=False, cache=False)
            stack.callback(dataset.close)
            if "NetCDF" in kind:
                _fill(dataset)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", xr.SerializationWarning)  # `missing_value` beside `_FillValue`
                decoded = xr.decode_cf(dataset, decode_times=False)
        yield decoded


def _fill(dataset: xr.Dataset) -> None:
    """Lets the attributes say of numbers without a fill value of their own that they have the library's."""
    for variable in dataset.variables.values():
        packed = {"scale_factor", "add_offset"} & set(variable.attrs)
        if "_FillValue" not in variable.attrs and (packed or variable.dtype.kind == "f"):
            fill = _FILLS.get(variable.dtype.str[1:])
            variable.attrs |= {} if fill is None else {"_FillValue": variable.dtype.type(fill)}


def _named(arrays: dict[str, Any], attributes: dict[str, Any]) -> xr.Dataset:
    """Arrays that are sliced when they are read, with names for their axes where they have none."""
    variables = {}
    for name, array in arrays.items():
        own = dict(getattr(array, "attrs", {}))
        names = getattr(getattr(array, "metadata", None), "dimension_names", None) or own.pop("_ARRAY_DIMENSIONS", None)
        axes = [axis or f"{name}_{i}" for i, axis in enumerate(names or [None] * len(array.shape))]
        if isinstance(own.get("_FillValue"), str):  # as xarray writes numbers
            own["_FillValue"] = FillValueCoder.decode(own["_FillValue"], array.dtype)
        encoding = {"chunksizes": getattr(array, "chunks", None)}
        variables[name] = xr.Variable(axes, indexing.LazilyIndexedArray(_Lazy(array)), own, encoding)
    return xr.Dataset(variables, attrs=attributes)


class _Lazy(BackendArray):
    """An array that xarray slices when its values are asked for."""

    def __init__(self, array: Any):
        self.array, self.shape, self.dtype = array, tuple(array.shape), array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, lambda key: np.asarray(self.array[key])
        )


def _open_zarr(path: str, stack: contextlib.ExitStack) -> xr.Dataset:
    """Without xarray's own reader, which takes what fills the chunks of version 2 for a mark of missing data."""
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
        return _named({name: group[name] for name in names}, dict(group.attrs))


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
            codec: dict[str, Any] = {"name": entry} if isinstance(entry, str) else entry
            yield str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
            yield from _codecs(codec.get("configuration", {}))


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
    """An array of a NumPy archive, of which only a part is held in memory.

    What comes before is passed over in a compressed archive, so reading from front to back is one pass. `numpy.load`
    would read all of the array.

    Attributes:
      chunks: all of an array in the order of columns, which is passed through whatever is asked for; else None.
    """

    def __init__(self, file: IO[bytes]):
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, columns_first, self.dtype = header(file)
        self.chunks = self.shape if columns_first and len(self.shape) > 1 else None
        self._file, self._start = file, file.tell()

    def __getitem__(self, key: tuple[int | slice, ...]) -> np.ndarray:
        return self._part(0, self.shape, key)

    def _part(self, start: int, shape: tuple[int, ...], key: tuple[int | slice, ...]) -> np.ndarray:
        """Part of the array of this shape that begins at number `start`; what lies between rows is read with them."""
        if not shape:
            return self._read(start, 1)[0]
        rows, size = np.arange(shape[0])[key[0]], math.prod(shape[1:])
        first, last = (int(rows.min()), int(rows.max()) + 1) if rows.size else (0, 0)
        if self.chunks:
            block = self._columns(first, last)
        elif last - first == 1 and len(shape) > 1:
            block = self._part(start + first * size, shape[1:], key[1:])
            return block[None] if rows.ndim else block
        else:
            block = self._read(start + first * size, (last - first) * size).reshape(last - first, *shape[1:])
        return block[(slice(None, None, key[0].step) if isinstance(key[0], slice) else 0, *key[1:])]

    def _columns(self, first: int, last: int) -> np.ndarray:
        """Part of the first axis of an array in the order of columns, in one pass with little else in memory."""
        rows, columns = self.shape[0], math.prod(self.shape[1:])
        found, step = np.empty((last - first, columns), self.dtype), max(1, _PASS // (rows * self.dtype.itemsize))
        for start in range(0, columns, step):
            stop = min(start + step, columns)
            found[:, start:stop] = self._read(start * rows, (stop - start) * rows).reshape(-1, rows)[:, first:last].T
        return found.reshape(last - first, *self.shape[:0:-1]).transpose(0, *range(len(self.shape) - 1, 0, -1))

    def _read(self, start: int, count: int) -> np.ndarray:
        self._file.seek(self._start + start * self.dtype.itemsize)
        return np.frombuffer(self._file.read(count * self.dtype.itemsize), self.dtype, count)
