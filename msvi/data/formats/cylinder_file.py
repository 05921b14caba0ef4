"""Reader of the published flow past a cylinder, from NetCDF or VTK image data, a few frames at a time.

Source: T. Günther, M. Gross, H. Theisel, "Generic objective vortices for flow visualization", ACM Transactions on
Graphics 36 (SIGGRAPH), 2017; Bénard–von Kármán street at Reynolds number 160, simulated with Gerris and sampled to
640 x 80 points and 1501 frames. The file is offered by the Computer Graphics Laboratory of ETH Zurich.

NetCDF-4 is read by `h5netcdf` and classic NetCDF by `scipy`: `netCDF4` reads both, but gives zeros where a classic file
is cut short and says nothing. VTK image data are read by `vtk`, which takes apart every encoding and compression of
the format and reads nothing but the frames asked for; at 0.6 GB installed it is an optional dependency.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from msvi.data.formats.arrays import reading
from msvi.errors import InputError

# Time, y, x: the names of the file's dimensions, that of the published file first, ...
_DIMENSIONS = (("tdim", "t", "time"), ("ydim", "y"), ("xdim", "x"))
# ... and first and last coordinate, for a file that holds none.
_EXTENTS = ((0.0, 15.0), (-0.5, 0.5), (-0.5, 7.5))

_FETCH = "download it again, or leave `data.path` empty to use the embedded simulation"


class CylinderFile:
    """Velocity of the published flow past a cylinder, on the first half of its columns; all non-dimensional.

    The file is open only while it is read, so there is nothing to close. Of the published file's
    x in [-0.5, 7.5] the kept half is [-0.5, 3.5].

    Attributes:
      t: frame times, `(time,)`.
      x: coordinates of the kept columns and of the rows, `(columns,)` and `(rows,)`.

    Raises:
      InputError: the file is missing, of another kind or damaged, or holds other fields, dimensions or types than the
        published one; or it is a `.vti` file and VTK is not installed.
    """

    def __init__(self, path: str | os.PathLike):
        """Reads the coordinates and the last frame, which a file cut short lacks."""
        self._path = os.fspath(path)
        self._source = _open_source(self._path)
        t, y, x = self._source.coordinates
        if len(t) < 2 or len(y) < 2 or len(x) < 4 or len(x) % 2:
            raise InputError(
                f"The cylinder data file {self._path} has {len(t)} frames of {len(x)} columns and {len(y)} rows, "
                "expected at least 2 frames, at least 2 rows and an even number of at least 4 columns, of which the "
                f"first half is kept; {_FETCH}."
            )
        for name, values in (("t", t), ("y", y), ("x", x)):
            if not (np.isfinite(values).all() and (np.diff(values) > 0).all()):
                raise InputError(
                    f"The coordinate {name} in the cylinder data file {self._path} must be finite and increase "
                    f"strictly, got {len(values)} values from {values[0]} to {values[-1]} that do not; {_FETCH}."
                )
        self.t = t
        self.x = (x[: len(x) // 2], y)
        self.frames(len(t) - 1, len(t))

    @property
    def grid(self) -> tuple[int, int]:
        """Kept columns and rows."""
        return len(self.x[0]), len(self.x[1])

    def frames(self, start: int, stop: int) -> np.ndarray:
        """Reads frames `start` to `stop - 1`, and of them only the kept columns.

        Returns:
          `(u, v)`, float32 of shape `(stop - start, columns, rows, 2)`.

        Raises:
          InputError: the file has no such frames, or they are damaged.
        """
        if not 0 <= start < stop <= len(self.t):
            raise InputError(
                f"The cylinder data file {self._path} has {len(self.t)} frames, asked for frames from {start} up to "
                f"but not including {stop}; ask for at least one, and for none that is not there."
            )
        velocity = np.empty((stop - start, *self.grid, 2), np.float32)
        for channel, field in enumerate(self._source.read(start, stop, self.grid[0])):
            velocity[..., channel] = field.transpose(0, 2, 1)
        return velocity


def _open_source(path: str) -> "_NetCDF | _ImageData":
    """Chooses the reader by what the file begins with: its name may be anything."""
    if not os.path.isfile(path):
        raise InputError(
            f"There is no cylinder data file {path}; download `cylinder2d.nc` (about 600 MB) from the visualisation "
            "data sets page of the Computer Graphics Laboratory at ETH Zurich (cgl.ethz.ch/research/visualization/data)"
            " and give its place in `data.path`, or leave `data.path` empty to use the embedded simulation."
        )
    with _reading(path), open(path, "rb") as file:
        head = file.read(512)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _NetCDF(path, _open_netcdf4)
    if head.startswith((b"CDF\x01", b"CDF\x02")):
        return _NetCDF(path, _open_classic)
    if b"<VTKFile" in head:
        return _ImageData(path)
    raise InputError(
        f"The cylinder data file {path} of {os.path.getsize(path)} bytes begins with {head[:16]!r}, expected NetCDF "
        "(classic, 64-bit offset or NetCDF-4) or VTK image data; download it again, convert it (`nccopy -k nc4` for "
        "other kinds of NetCDF), or leave `data.path` empty to use the embedded simulation."
    )


def _reading(path: str) -> contextlib.AbstractContextManager[None]:
    return reading(path, "cylinder data file", _FETCH)


class _NetCDF:
    """Fields `u` and `v` of shape `(tdim, ydim, xdim)`, and 1-D variables of coordinates where there are any."""

    def __init__(self, path: str, open_file: Any):
        self._path, self._open_file = path, open_file
        with _reading(path), open_file(path) as file:
            self.coordinates = self._check(file.variables)

    def read(self, start: int, stop: int, columns: int) -> list[np.ndarray]:
        """Frames of `u` and of `v`, each `(stop - start, rows, columns)`."""
        with _reading(self._path), self._open_file(self._path) as file:
            # Copies, since a classic file's slices are views of the file.
            return [np.array(file.variables[name][start:stop, :, :columns]) for name in ("u", "v")]

    def _check(self, variables: Any) -> list[np.ndarray]:
        """The coordinates t, y and x, after the fields have been found to be what is expected."""
        if not {"u", "v"} <= set(variables):
            raise InputError(
                f"The cylinder data file {self._path} must hold the variables u and v, found "
                f"{', '.join(sorted(variables)) or 'none'}; {_FETCH}."
            )
        u = variables["u"]
        for name in ("u", "v"):
            field = variables[name]
            sizes = ", ".join(f"{d}: {n}" for d, n in zip(field.dimensions, field.shape, strict=True))
            known = len(field.shape) == 3 and all(d in k for d, k in zip(field.dimensions, _DIMENSIONS, strict=True))
            if not known or field.dimensions != u.dimensions:
                raise InputError(
                    f"Variable {name} in the cylinder data file {self._path} has the dimensions ({sizes}), expected "
                    f"(tdim, ydim, xdim) in this order, the same for u and v; {_FETCH}."
                )
            # An empty slice costs nothing and shows the type whichever library reads.
            dtype = field[:0].dtype
            # Integers are refused too: in NetCDF they are packed numbers, worth nothing without their scale.
            if dtype.kind != "f":
                raise InputError(
                    f"Variable {name} in the cylinder data file {self._path} holds values of type {dtype}, expected "
                    f"floating-point numbers; {_FETCH}."
                )
        return [
            self._coordinate(variables, dimension, size, names, extent)
            for dimension, size, names, extent in zip(u.dimensions, u.shape, _DIMENSIONS, _EXTENTS, strict=True)
        ]

    @staticmethod
    def _coordinate(variables: Any, dimension: str, size: int, names: tuple, extent: tuple[float, float]) -> np.ndarray:
        """From the first 1-D variable of numbers along the dimension with one of its names, or the known extent."""
        for name in (dimension, *names):
            if name in variables and variables[name].dimensions == (dimension,):
                values = np.array(variables[name][:])
                if values.dtype.kind in "fiu":
                    return values.astype(np.float64)
        return np.linspace(*extent, size)


@contextlib.contextmanager
def _open_netcdf4(path: str) -> Iterator[Any]:
    # Imported here, like SciPy's and VTK's readers: a run on generated data needs none of them.
    import h5netcdf
    import h5py

    with h5py.File(path, "r") as handle:
        # A damaged root fails here first: in h5netcdf, which begins with the same look-up, it would also leave behind a
        # half-made object that prints an error of its own when it is freed.
        handle.attrs.get("_nc3_strict")
        # Phony names for dimensions that have none, so that the error can list them.
        with h5netcdf.File(handle, "r", phony_dims="access") as file:
            yield file


@contextlib.contextmanager
def _open_classic(path: str) -> Iterator[Any]:
    from scipy.io import netcdf_file

    # The handle is ours and the `netcdf_file` is never closed: SciPy leaves a handle of its own open when the header is
    # damaged, and warns when it is closed before the last view of the file is gone, which an exception keeps alive.
    with open(path, "rb") as handle:
        yield netcdf_file(handle, mmap=True)


class _ImageData:
    """VTK image data of axes x, y, t: point data `u` and `v`, or one array of vectors with 2 or 3 components."""

    def __init__(self, path: str):
        try:
            # Needed for every step below, and not by the NetCDF files.
            import vtkmodules.util.numpy_support  # noqa: F401
            import vtkmodules.vtkIOXML  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"The cylinder data file {path} is VTK image data and VTK cannot be imported ({error}); install it "
                "with `pip install -e .[vti]`, or download the NetCDF file `cylinder2d.nc` instead."
            ) from None
        self._path = path
        with _reading(path):
            self.coordinates, self._components = self._check()

    def read(self, start: int, stop: int, columns: int) -> list[np.ndarray]:
        """Frames of `u` and of `v`, each `(stop - start, rows, columns)`."""
        from vtkmodules.util.numpy_support import vtk_to_numpy

        with _reading(self._path), _silent_vtk():
            reader, _, (x0, _, y0, y1, t0, _) = self._open()
            arrays = reader.GetPointDataArraySelection()
            arrays.DisableAllArrays()
            for name, _ in self._components:
                arrays.EnableArray(name)
            extent = (x0, x0 + columns - 1, y0, y1, t0 + start, t0 + stop - 1)
            reader.UpdateExtent(extent)
            image = reader.GetOutput()
            # VTK raises nothing: what it could not read is not there.
            if image.GetExtent() != extent:
                raise OSError(f"frames from {start} up to but not including {stop} are not all there")
            shape = (stop - start, y1 - y0 + 1, columns, -1)
            return [
                vtk_to_numpy(image.GetPointData().GetArray(name)).reshape(shape)[..., component]
                for name, component in self._components
            ]

    def _open(self) -> tuple[Any, Any, tuple[int, ...]]:
        """A reader that has read the head of the file, what stands in it, and first and last index of x, y and t."""
        from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline
        from vtkmodules.vtkIOXML import vtkXMLImageDataReader

        reader = vtkXMLImageDataReader()
        reader.SetFileName(self._path)
        reader.UpdateInformation()
        information = reader.GetOutputInformation(0)
        extent = information.Get(vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT())
        if extent is None:
            raise OSError("its head is not that of VTK image data")
        return reader, information, extent

    def _check(self) -> tuple[list[np.ndarray], list[tuple[str, int]]]:
        """The coordinates t, y and x, and for u and v the array and the component in it."""
        from vtkmodules.vtkCommonCore import vtkAbstractArray
        from vtkmodules.vtkCommonDataModel import vtkDataObject

        with _silent_vtk():
            _, information, extent = self._open()
        listed = information.Get(vtkDataObject.POINT_DATA_VECTOR())
        sizes, types = {}, {}
        for index in range(listed.GetNumberOfInformationObjects() if listed else 0):
            array = listed.GetInformationObject(index)
            name = array.Get(vtkDataObject.FIELD_NAME())
            sizes[name] = array.Get(vtkDataObject.FIELD_NUMBER_OF_COMPONENTS())
            types[name] = array.Get(vtkDataObject.FIELD_ARRAY_TYPE())
        vectors = [name for name, size in sizes.items() if size in (2, 3)]
        if sizes.get("u") == sizes.get("v") == 1:
            components = [("u", 0), ("v", 0)]
        elif len(vectors) == 1:
            components = [(vectors[0], 0), (vectors[0], 1)]
        else:
            found = ", ".join(f"{name}: {size}" for name, size in sizes.items())
            raise InputError(
                f"The cylinder data file {self._path} must hold the point data u and v of 1 component each, or one "
                f"array of 2 or 3 components, found (array: components) {found or 'none'}; {_FETCH}."
            )
        for name, _ in components:
            kind = vtkAbstractArray.CreateArray(types[name]).GetDataTypeAsString()
            if kind not in ("float", "double"):
                raise InputError(
                    f"Point data {name} in the cylinder data file {self._path} hold values of type {kind}, expected "
                    f"floating-point numbers; {_FETCH}."
                )
        return _image_coordinates(
            extent, information.Get(vtkDataObject.ORIGIN()), information.Get(vtkDataObject.SPACING())
        ), components


def _image_coordinates(extent: tuple, origin: tuple, spacing: tuple) -> list[np.ndarray]:
    """Coordinates t, y and x of an image with the axes x, y, t."""
    indices = [np.arange(first, last + 1) for first, last in zip(extent[::2], extent[1::2], strict=True)]
    # VTK's defaults, with which a file is written by someone who gave no coordinates.
    if tuple(origin) == (0, 0, 0) and tuple(spacing) == (1, 1, 1):
        return [np.linspace(*e, len(i)) for e, i in zip(_EXTENTS, indices[::-1], strict=True)]
    x, y, t = (o + s * i for o, s, i in zip(origin, spacing, indices, strict=True))
    return [t, y, x]


@contextlib.contextmanager
def _silent_vtk() -> Iterator[None]:
    """Keeps VTK from writing to standard error what `InputError` is going to say."""
    from vtkmodules.vtkCommonCore import vtkObject

    before = vtkObject.GetGlobalWarningDisplay()
    vtkObject.SetGlobalWarningDisplay(0)
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(before)
