"""The reader of the published cylinder flow: values from every kind of file, what it reads, and what it refuses."""

import gc
import re
import sys

import h5netcdf
import h5py
import numpy as np
import pytest
from conftest import at_most
from scipy.io import netcdf_file

from msvi.data.formats.cylinder_file import CylinderFile
from msvi.errors import InputError

DIMENSIONS = ("tdim", "ydim", "xdim")
SHAPE = (5, 8, 64)
PUBLISHED = (1501, 80, 640)


def fields(shape=SHAPE, dtype=np.float32):
    """`u` counts the points in the file's order, `v` goes down from -0.5: no two values are equal, all are exact."""
    u = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    return {"u": u, "v": (-0.5 - u).astype(dtype)}


def expected(frames, columns=32, rows=8, width=64):
    """The same numbers as `(time, x, y, channel)`, by their formula."""
    t, x, y = np.meshgrid(frames, np.arange(columns), np.arange(rows), indexing="ij")
    u = (t * rows + y) * width + x
    return np.stack([u, -0.5 - u], axis=-1).astype(np.float32)


def variables(coordinates=(), dimensions=DIMENSIONS, shape=SHAPE, dtype=np.float32):
    """`{name: (dimensions, values)}` of a file with both fields, and with coordinates unlike the known extents."""
    held = {name: (dimensions, values) for name, values in fields(shape, dtype).items()}
    for name, dimension, size in zip(coordinates, dimensions, shape, strict=False):
        held[name] = ((dimension,), 3.0 + np.arange(size) ** 1.5)
    return held


def write_netcdf4(path, variables, **options):
    with h5netcdf.File(path, "w") as file:
        for name, (dimensions, values) in variables.items():
            for dimension, size in zip(dimensions, values.shape, strict=True):
                if dimension not in file.dimensions:
                    file.dimensions[dimension] = size
            file.create_variable(name, dimensions, data=values, **(options if name in "uv" else {}))


def write_classic(path, variables, version=1, unlimited=None):
    with netcdf_file(path, "w", version=version) as file:
        for name, (dimensions, values) in variables.items():
            for dimension, size in zip(dimensions, values.shape, strict=True):
                if dimension not in file.dimensions:
                    file.createDimension(dimension, None if dimension == unlimited else size)
            file.createVariable(name, values.dtype, dimensions)[(slice(None),) * values.ndim] = values


def write_image(path, arrays, origin=(1, 2, 3), spacing=(0.5, 0.25, 0.125), first=(0, 0, 0), **options):
    """`arrays` are `(time, y, x)` or `(time, y, x, component)`; an option is a method of VTK's writer."""
    pytest.importorskip("vtkmodules")
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkIOXML import vtkXMLImageDataWriter

    image = vtkImageData()
    t, y, x = next(iter(arrays.values())).shape[:3]
    image.SetExtent(first[0], first[0] + x - 1, first[1], first[1] + y - 1, first[2], first[2] + t - 1)
    image.SetOrigin(*origin)
    image.SetSpacing(*spacing)
    for name, values in arrays.items():
        array = numpy_to_vtk(values.reshape(t * y * x, -1), deep=True)
        array.SetName(name)
        image.GetPointData().AddArray(array)
    writer = vtkXMLImageDataWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    for option, values in options.items():
        getattr(writer, option)(*values)
    assert writer.Write() == 1


RAW = {"SetEncodeAppendedData": (0,), "SetCompressorTypeToNone": ()}
ENCODINGS = {
    "raw": RAW,
    "raw, big-endian": RAW | {"SetByteOrderToBigEndian": ()},
    "raw, long header": RAW | {"SetHeaderTypeToUInt64": ()},
    "raw, zlib": {"SetEncodeAppendedData": (0,), "SetBlockSize": (1024,)},
    "raw, lz4": {"SetEncodeAppendedData": (0,), "SetCompressorTypeToLZ4": ()},
    "base64": {"SetCompressorTypeToNone": ()},
    "base64, zlib": {"SetBlockSize": (1024,)},
    "inline base64": {"SetDataModeToBinary": ()},
    "inline text": {"SetDataModeToAscii": ()},
}
WRITERS = {
    "NetCDF-4": lambda path: write_netcdf4(path, variables(DIMENSIONS)),
    "NetCDF-4, compressed": lambda path: write_netcdf4(path, variables(DIMENSIONS), compression="gzip"),
    "classic": lambda path: write_classic(path, variables(DIMENSIONS)),
    "classic, 64-bit offset": lambda path: write_classic(path, variables(DIMENSIONS), version=2),
    "classic, unlimited time": lambda path: write_classic(path, variables(DIMENSIONS), unlimited="tdim"),
} | {
    f"image, {name}": lambda path, options=options: write_image(path, fields(), **options)
    for name, options in ENCODINGS.items()
}


@pytest.fixture
def path(tmp_path):
    """Of a file yet to be written; the suffix means nothing."""
    return tmp_path / "cylinder2d"


def refused(path, *parts):
    """Opening the file fails with one sentence that names it and has these parts."""
    with pytest.raises(InputError) as error:
        CylinderFile(path)
    message = str(error.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("kind", WRITERS)
def test_values_and_coordinates(path, kind):
    """Every kept point of every frame, whatever the kind of file; the coordinates are the file's own."""
    WRITERS[kind](path)
    file = CylinderFile(path)
    assert file.grid == (32, 8)
    if kind.startswith("image"):
        t, x, y = 3 + 0.125 * np.arange(5), 1 + 0.5 * np.arange(32), 2 + 0.25 * np.arange(8)
    else:
        t, x, y = (3 + np.arange(size) ** 1.5 for size in (5, 32, 8))
    for found, right in zip((file.t, *file.x), (t, x, y), strict=True):
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, right)
    for start, stop in ((0, 5), (1, 3), (4, 5)):
        frames = file.frames(start, stop)
        assert frames.dtype == np.float32 and frames.dtype.isnative and frames.flags.c_contiguous
        np.testing.assert_array_equal(frames, expected(range(start, stop)))


@pytest.mark.parametrize("write", [write_netcdf4, write_classic])
def test_known_extents(path, write):
    """Without coordinates the published file's, both ends included: 15 time units, and half of 8 lengths."""
    write(path, variables())
    file = CylinderFile(str(path))
    np.testing.assert_allclose(file.t, [0, 3.75, 7.5, 11.25, 15], rtol=1e-15)
    np.testing.assert_allclose(file.x[0], -0.5 + 8 * np.arange(32) / 63, rtol=1e-14)
    np.testing.assert_allclose(file.x[1], -0.5 + np.arange(8) / 7, rtol=1e-14, atol=1e-16)


def test_known_extents_of_image(path):
    """An image with VTK's defaults for origin and spacing holds no coordinates."""
    write_image(path, fields(), origin=(0, 0, 0), spacing=(1, 1, 1))
    file = CylinderFile(path)
    np.testing.assert_allclose(file.t, [0, 3.75, 7.5, 11.25, 15], rtol=1e-15)
    np.testing.assert_allclose(file.x[0], -0.5 + 8 * np.arange(32) / 63, rtol=1e-14)
    np.testing.assert_allclose(file.x[1], -0.5 + np.arange(8) / 7, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("write", [write_netcdf4, write_classic])
def test_other_names(path, write):
    """Coordinates `t`, `y`, `x` along `tdim`, `ydim`, `xdim`, and dimensions with the short names."""
    write(path, variables(("t", "y", "x")))
    np.testing.assert_array_equal(CylinderFile(path).x[1], 3 + np.arange(8) ** 1.5)
    path.unlink()
    write(path, variables(("time", "y", "x"), ("time", "y", "x")))
    file = CylinderFile(path)
    np.testing.assert_array_equal(file.t, 3 + np.arange(5) ** 1.5)
    np.testing.assert_array_equal(file.frames(2, 4), expected([2, 3]))


def test_variables_that_are_no_coordinates(path):
    """A mesh `x(ydim, xdim)`, a scalar `t` and text along `ydim` leave the known extents."""
    mesh = {"x": (DIMENSIONS[1:], np.ones((8, 64))), "t": ((), np.array(1.0)), "y": (("ydim",), np.full(8, b"a"))}
    write_classic(path, variables() | mesh)
    file = CylinderFile(path)
    assert (file.t[-1], file.x[0][0], file.x[1][-1]) == (15, -0.5, 0.5)


@pytest.mark.parametrize("write", [write_netcdf4, write_classic])
def test_double_precision(path, write):
    """Read as float32."""
    write(path, variables(dtype=np.float64))
    frames = CylinderFile(path).frames(0, 5)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, expected(range(5)))


@pytest.mark.parametrize("size", [2, 3])
def test_image_of_vectors(path, size):
    """The first two components of the one array of vectors, whatever its name; scalars beside it do not matter."""
    vector = np.stack([*fields().values(), np.full(SHAPE, 7, np.float32)], axis=-1)[..., :size]
    write_image(path, {"u": fields()["u"] + 9, "velocity": np.ascontiguousarray(vector)})
    np.testing.assert_array_equal(CylinderFile(path).frames(1, 4), expected([1, 2, 3]))


def test_image_with_an_offset(path):
    """An extent that starts elsewhere than at 0: the origin is the place of index 0, not of the first point."""
    write_image(path, fields(), first=(10, -4, 2))
    file = CylinderFile(path)
    assert (file.x[0][0], file.x[1][0], file.t[0]) == (1 + 10 * 0.5, 2 - 4 * 0.25, 3 + 2 * 0.125)
    np.testing.assert_array_equal(file.frames(2, 5), expected([2, 3, 4]))


def test_only_the_kept_part_is_read(path, monkeypatch):
    """Two frames are two fields of 2 x 8 x 32 numbers, and the other half of the columns stays on the disk."""
    write_netcdf4(path, variables(DIMENSIONS))
    file = CylinderFile(path)
    shapes = []
    read = h5netcdf.Variable.__getitem__
    monkeypatch.setattr(h5netcdf.Variable, "__getitem__", lambda *args: shapes.append(read(*args).shape) or read(*args))
    file.frames(1, 3)
    assert shapes == [(2, 8, 32)] * 2


def test_other_arrays_of_an_image_are_not_read(path):
    """A third one, of which half is missing, does no harm."""
    write_image(path, fields() | {"pressure": fields()["u"]}, **RAW)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"_", content.index(b"<AppendedData")) + int(2.5 * 4 * 5 * 8 * 64)])
    np.testing.assert_array_equal(CylinderFile(path).frames(0, 5), expected(range(5)))


def test_netcdf4_of_published_size_is_read_lazily(path):
    """615 MB on paper, of which two frames are written: opening and reading those takes a few MB."""
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip(DIMENSIONS, PUBLISHED, strict=True))
        for name, values in fields((2, 80, 640)).items():
            file.create_variable(name, DIMENSIONS, np.float32, chunks=(1, 80, 640), fillvalue=2.5)[700:702] = values
    assert path.stat().st_size < 2e6
    with at_most(megabytes=4):
        file = CylinderFile(path)
        frames, others = file.frames(700, 702), file.frames(1499, 1501)
    assert file.grid == (320, 80)
    np.testing.assert_allclose([file.t[1], file.x[0][-1]], [0.01, -0.5 + 319 * 8 / 639], rtol=1e-12)
    np.testing.assert_array_equal(frames, expected([0, 1], 320, 80, 640))
    np.testing.assert_array_equal(others, np.full((2, 320, 80, 2), 2.5))


def test_classic_of_published_size_is_read_lazily(path):
    """The same for a file whose head promises 1501 frames, all but the first two a hole on the disk."""
    write_classic(path, {k: (DIMENSIONS, v) for k, v in fields((2, 80, 640)).items()}, unlimited="tdim")
    head = path.stat().st_size - 2 * 2 * 4 * 80 * 640
    with open(path, "r+b") as file:
        file.seek(4)
        file.write((1501).to_bytes(4, "big"))
        file.truncate(head + 1501 * 2 * 4 * 80 * 640)
    with at_most(megabytes=4):
        file = CylinderFile(path)
        frames, others = file.frames(0, 2), file.frames(1499, 1501)
    np.testing.assert_array_equal(frames, expected([0, 1], 320, 80, 640))
    np.testing.assert_array_equal(others, np.zeros((2, 320, 80, 2)))


def test_image_is_read_lazily(path, capfd):
    """With frame 1 damaged the others are still read, so it is not touched; its own reading is an error."""
    write_image(path, fields(), SetEncodeAppendedData=(0,), SetBlockSize=(8 * 64 * 4,))
    content = bytearray(path.read_bytes())
    # After the mark: number of blocks, size of a block and of the last, and each block's compressed size.
    at = content.index(b"_", content.index(b"<AppendedData")) + 1
    number, _, _, *sizes = np.frombuffer(content, "<u4", 3 + 5, at).tolist()
    assert number == 5
    second = at + 4 * (3 + 5) + sizes[0]
    content[second : second + sizes[1]] = b"\xff" * sizes[1]
    path.write_bytes(content)
    file = CylinderFile(path)
    np.testing.assert_array_equal(file.frames(0, 1), expected([0]))
    with pytest.raises(InputError, match=f"{path} .*damaged .*frames from 0 up to but not including 2.*download"):
        file.frames(0, 2)
    np.testing.assert_array_equal(file.frames(2, 5), expected([2, 3, 4]))
    assert capfd.readouterr() == ("", "")  # VTK reports on standard error, beside the exception, if it is let


def test_damaged_chunk(path):
    """Compressed NetCDF-4 with one chunk overwritten: frames in others are read, those in it are an error."""
    write_netcdf4(path, variables(), compression="gzip", chunks=(1, 8, 64))
    with h5py.File(path) as file:
        chunk = file["v"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    file = CylinderFile(path)
    np.testing.assert_array_equal(file.frames(0, 2), expected([0, 1]))
    with pytest.raises(InputError, match=f"{path} .*damaged.*download it again"):
        file.frames(2, 3)


def test_frames_that_are_not_there(path):
    """Beyond either end, none at all, backwards."""
    write_netcdf4(path, variables())
    file = CylinderFile(path)
    for start, stop in ((0, 6), (-1, 2), (2, 2), (3, 1), (5, 6)):
        with pytest.raises(InputError, match=f"{path} has 5 frames.*from {start} up to but not including {stop};"):
            file.frames(start, stop)


def test_missing_file(tmp_path):
    """Says where to get it, which file, how large, and how to do without."""
    parts = ("`cylinder2d.nc` (about 600 MB)", "Computer Graphics Laboratory at ETH Zurich", "leave `data.path` empty")
    refused(tmp_path / "cylinder2d.nc", *parts)
    refused(tmp_path, *parts)  # a folder is no file


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><html>Not found</html>", b"CDF\x05\0\0\0\0", b"\x93NUMPY\x01\0", b"# vtk DataFile Version"],
)
def test_other_kinds_of_file(path, content):
    """Neither NetCDF nor VTK's XML: the message shows the size and the first bytes."""
    path.write_bytes(content)
    refused(path, f"of {len(content)} bytes begins with {content[:16]!r}", "expected NetCDF", "nccopy")


@pytest.mark.parametrize("kind", WRITERS)
def test_cut_short(path, kind, capfd):
    """Opening says so, wherever the file ends, and nothing is printed."""
    WRITERS[kind](path)
    whole = path.read_bytes()
    for length in (7, 100, 600, len(whole) // 3, len(whole) // 2, int(0.9 * len(whole))):
        path.write_bytes(whole[:length])
        refused(path, "download it again")
    assert capfd.readouterr() == ("", "")


def test_flipped_bytes_in_the_head(path):
    """Whatever stands in the head of a classic file, it is read or refused with `InputError`."""
    write_classic(path, variables(DIMENSIONS))
    whole = path.read_bytes()
    count = 0
    for position in range(4, 300):
        for flip in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                CylinderFile(path)
            except InputError as error:
                assert str(path) in str(error)
                count += 1
    assert count > 100


def test_damaged_root(path, capfd):
    """NetCDF-4 whose root group has lost its attributes: one error, and nothing printed when the objects are freed."""
    write_netcdf4(path, variables(DIMENSIONS))
    content = path.read_bytes()
    # Object headers of HDF5 begin with these bytes and end with a checksum over the rest; the root's is the first.
    at = content.index(b"OHDR")
    path.write_bytes(content[: at + 30] + bytes([content[at + 30] ^ 0xFF]) + content[at + 31 :])
    refused(path, "is damaged")
    gc.collect()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("write", [write_netcdf4, write_classic])
def test_missing_variable(path, write):
    """The names that were found are listed."""
    held = variables(("tdim",))
    held["w"] = held.pop("v")
    write(path, held)
    refused(path, "must hold the variables u and v, found tdim, u, w;")


def test_image_without_the_fields(path):
    """No `v`, or two arrays of vectors, of which either could be meant."""
    u, v = fields().values()
    write_image(path, {"u": u, "w": v})
    refused(path, "must hold the point data u and v", "found (array: components) u: 1, w: 1;")
    write_image(path, {"a": np.stack([u, v], -1), "b": np.stack([v, u, u], -1)})
    refused(path, "a: 2, b: 3;")


@pytest.mark.parametrize("write", [write_netcdf4, write_classic])
def test_wrong_dimensions(path, write):
    """Other order, other names, other number: names and sizes are listed."""
    write(path, variables(dimensions=("xdim", "ydim", "tdim"), shape=(64, 8, 5)))
    refused(path, "Variable u", "(xdim: 64, ydim: 8, tdim: 5), expected (tdim, ydim, xdim)")
    path.unlink()
    write(path, variables(dimensions=("tdim", "lat", "lon")))
    refused(path, "(tdim: 5, lat: 8, lon: 64)")
    path.unlink()
    write(path, variables(dimensions=("ydim", "xdim"), shape=(8, 64)))
    refused(path, "(ydim: 8, xdim: 64)")
    path.unlink()
    write(path, variables() | {"v": (("time", "ydim", "xdim"), np.zeros((6, 8, 64), np.float32))})
    refused(path, "Variable v", "(time: 6, ydim: 8, xdim: 64)", "the same for u and v")


def test_dimensions_without_names(path):
    """Plain HDF5: the axes could be anything."""
    with h5py.File(path, "w") as file:
        for name, values in fields().items():
            file[name] = values
    refused(path, "Variable u", ": 5, ", ": 8, ", ": 64)")


@pytest.mark.parametrize("shape", [(1, 8, 64), (5, 1, 64), (5, 8, 63), (5, 8, 2)])
def test_sizes(path, shape):
    """One frame, one row, an odd number of columns, two columns."""
    message = f"has {shape[0]} frames of {shape[2]} columns and {shape[1]} rows, expected at least 2 frames"
    write_netcdf4(path, variables(shape=shape))
    refused(path, message)
    write_image(path, fields(shape))
    refused(path, message)


def test_types(path):
    """Integers, complex numbers, bytes and text are not velocities; objects are not unpickled."""
    values = {"int16": np.int16(1), "complex64": np.complex64(1), "object": "text", "|S3": np.bytes_("abc")}
    for name, value in values.items():
        with h5py.File(path, "w") as file:
            for axis, size in zip(DIMENSIONS, SHAPE, strict=True):
                file[axis] = np.arange(size, dtype=float)
                file[axis].make_scale(axis)
            for field in "uv":
                file.create_dataset(field, SHAPE, h5py.string_dtype() if name == "object" else value.dtype)
                for axis, dimension in enumerate(DIMENSIONS):
                    file[field].dims[axis].attach_scale(file[dimension])
        refused(path, f"Variable u in the cylinder data file {path} holds values of type {name}, expected floating")
    path.unlink()
    write_classic(path, variables(dtype=np.int32))
    refused(path, "holds values of type >i4")


def test_types_of_image(path):
    """Integers and text."""
    write_image(path, fields(dtype=np.int32), **RAW)
    refused(path, "Point data u", "values of type int, expected floating")
    path.write_bytes(path.read_bytes().replace(b'type="Int32"', b'type="String"'))
    refused(path, "values of type string")


def test_coordinates_that_do_not_increase(path):
    """Repeated, backwards, not a number."""
    for name, values in (("tdim", [0, 1, 1, 2, 3]), ("ydim", -np.arange(8)), ("xdim", [np.nan, *range(63)])):
        write_netcdf4(path, variables() | {name: ((name,), np.array(values, float))})
        refused(path, f"The coordinate {name[0]} ", f"got {len(values)} values from {float(values[0])} to")


@pytest.mark.parametrize("root", ["PolyData", "ImageData"])
def test_other_vtk_files(path, root, capfd):
    """XML of VTK without an image in it."""
    pytest.importorskip("vtkmodules")
    path.write_text(f'<?xml version="1.0"?><VTKFile type="{root}" version="0.1"><{root}></{root}></VTKFile>')
    refused(path, "its head is not that of VTK image data")
    assert capfd.readouterr() == ("", "")


def test_vtk_is_not_installed(path, monkeypatch):
    """The message says how to install it, and that NetCDF does without."""
    for module in ("vtkmodules", "vtkmodules.util.numpy_support", "vtkmodules.vtkIOXML"):
        monkeypatch.setitem(sys.modules, module, None)
    path.write_text('<VTKFile type="ImageData">')
    refused(path, "VTK cannot be imported", "`pip install -e .[vti]`", "`cylinder2d.nc`")
    write_netcdf4(path, variables())
    np.testing.assert_array_equal(CylinderFile(path).frames(0, 5), expected(range(5)))


def test_unreadable_file(path, monkeypatch):
    """What the system says is passed on."""
    write_classic(path, variables())

    def denied(*args):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(InputError, match=f"{re.escape(str(path))} cannot be read .*Permission denied"):
        CylinderFile(path)
