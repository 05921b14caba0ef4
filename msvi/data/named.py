"""Fields under the names that the data have: taken from what a user has, and given back so."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from xarray.coding.times import encode_cf_datetime

from msvi.data.labels import Labels
from msvi.data.times import elapsed
from msvi.errors import InputError


class Naming(NamedTuple):
    """What the fields of a model are called, and their shape.

    Attributes:
      labels: of the training data.
      shape: `(*grid, channel)`.
    """

    labels: Labels
    shape: tuple[int, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of space."""
        return self.labels.axis_names(len(self.shape) - 1)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the variables that hold the channels."""
        return self.labels.channels or ("u",)

    def attributes(self, name: str) -> dict[str, Any]:
        """Attributes of an axis, a channel or the time, such as its unit."""
        return self.labels.attributes.get(name, {})

    def initial_fields(self, u0: Any) -> tuple[np.ndarray, bool]:
        """Fields `(initial, *grid, channel)`, and whether they are several.

        Raises:
          InputError: names or a shape that do not fit, what is no number, or a field of which nothing is known.
        """
        u0 = self.fields(u0)
        several = u0.ndim == len(self.shape) + 1
        if u0.shape[-len(self.shape) :] != self.shape or not (several or u0.ndim == len(self.shape)):
            raise InputError(
                f"`u0` must have the shape {self.shape}, or several of it with one axis in front, got {u0.shape}."
            )
        u0 = u0 if several else u0[None]
        numbers = u0.dtype.kind in "fiu" and not np.isinf(u0).any()
        if not numbers or np.isnan(u0).reshape(len(u0), -1).all(axis=1).any():
            raise InputError("`u0` must be numbers, NaN where it was not observed, and some of each field not NaN.")
        return u0, several

    def fields(self, u: Any, name: str = "u0") -> np.ndarray:
        """An array `(..., *grid, channel)` of an array or of xarray with the names of the data, of any shape in front.

        Args:
          u: NumPy or xarray.
          name: by which a sentence calls it.

        Raises:
          InputError: names that do not fit.
        """
        if isinstance(u, xr.Dataset):
            if set(self.channels) - set(u.variables):
                raise InputError(
                    f"`{name}` must hold {', '.join(self.channels)}, got {', '.join(map(str, u.data_vars))}."
                )
            found = [u[channel] for channel in self.channels]
            u = found[0] if len(found) == 1 else xr.concat(found, "channel", coords="minimal", compat="override")
        if isinstance(u, xr.DataArray):
            if set(self.axes) - set(u.dims):
                raise InputError(
                    f"`{name}` must have the axes {', '.join(self.axes)}, got {', '.join(map(str, u.dims))}."
                )
            last = [axis for axis in u.dims if axis == "channel"]
            u = u.transpose(..., *self.axes, *last).values
        return self._with_channel(u)

    def frames(self, u: Any) -> tuple[np.ndarray, tuple[int, ...]]:
        """Fields `(frame, *grid, channel)`, and the axes that they had in front.

        Raises:
          InputError: another shape.
        """
        u = self._with_channel(u)
        if u.shape[-len(self.shape) :] != self.shape:
            raise InputError(f"Fields must have the shape (..., {self.shape}), got {u.shape}.")
        return u.reshape(-1, *self.shape), u.shape[: -len(self.shape)]

    def times(self, t: Any, start: Any = None, name: str = "t") -> tuple[np.ndarray, np.ndarray]:
        """Times as they are written, and since the first one in the unit of the data.

        Args:
          t: two times or more; with a `start` one is enough.
          start: from which they count in place of the first one; None for that.
          name: by which a sentence calls them.

        Raises:
          InputError: they are no times, do not increase, or lie before the start.
        """
        t, least = np.asarray(t), "two times" if start is None else "one time"
        if t.ndim != 1 or len(t) < (2 if start is None else 1) or t.dtype.kind not in "fiuM":
            raise InputError(
                f"`{name}` must be {least} or more, numbers or dates, got {t.dtype} of the shape {t.shape}."
            )
        if start is not None and (np.asarray(start).dtype.kind == "M") != (t.dtype.kind == "M"):
            raise InputError(f"`{name}` and its start must both be numbers or dates, got {t.dtype} and {start}.")
        units = self.attributes("time").get("units", "")
        if t.dtype.kind == "M" and " since " in units:  # decoded again by whoever opens the file
            calendar = self.attributes("time").get("calendar", "standard")
            t, first = (
                encode_cf_datetime(np.atleast_1d(a), units, calendar, dtype=np.dtype("float64"))[0]
                for a in (t, t[:1] if start is None else np.asarray(start))
            )
        else:
            first = t[:1] if start is None else np.atleast_1d(np.asarray(start))
        since = elapsed(t, first)
        if not (np.isfinite(since).all() and (np.diff(since) > 0).all()):
            raise InputError(f"`{name}` must increase strictly, and be finite.")
        if since[0] < 0:
            raise InputError(f"`{name}` begins at {t[0]}, before the first time {start}; leave out what comes before.")
        return t, since

    def dataset(
        self, values: dict[str, np.ndarray], dims: dict[str, tuple[str, ...]], coordinates: dict[str, Any]
    ) -> xr.Dataset:
        """Arrays `(..., *grid, channel)` as variables `NAME_suffix` of each channel.

        Args:
          values: by suffix, which is empty for the field itself.
          dims: by suffix, names of the axes in front.
          coordinates: of these, and the points of the axes of space.
        """
        variables = {}
        for suffix, array in values.items():
            for number, name in enumerate(self.channels):
                whole = f"{name}_{suffix}" if suffix else name
                if len(self.channels) == 1 and self.shape[-1] > 1:
                    variables[whole] = ((*dims[suffix], *self.axes, "channel"), array, self.attributes(name))
                else:
                    variables[whole] = ((*dims[suffix], *self.axes), array[..., number], self.attributes(name))
        return xr.Dataset(variables, coordinates)

    def _with_channel(self, u: Any) -> np.ndarray:
        """An array whose last axis are channels, also where there is one and the axis was left out."""
        u, grid = np.asarray(u), self.shape[:-1]
        return u[..., None] if self.shape[-1] == 1 and u.shape[-len(grid) :] == grid else u


def split_gaps(u: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Fields with zeros where they are NaN, in single precision, and where they are not; None if nowhere."""
    seen = np.isfinite(u)
    return np.where(seen, u, 0).astype(np.float32), None if seen.all() else seen
