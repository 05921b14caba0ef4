"""The layout of trajectories that users bring: names and shapes of the arrays, the same in every kind of file.

| name | shape | what it is |
|---|---|---|
| `u` | `(trajectory, time, *grid, channel)` | the observed field, floating point; `grid` has 1, 2 or 3 axes |
| `t` | `(time,)` or `(trajectory, time)` | times of the frames, strictly increasing, evenly spaced or not; or dates |
| `boundary` | one text per axis | "periodic" or "edge"; if left out, `data.boundary` has to say it |

Optional:

| name | shape | what it is |
|---|---|---|
| `mask` | `(trajectory, time)`, `(trajectory, time, *grid)` or as `u` | true where `u` was observed; 0 and 1 will do |
| `u_true` | as `u` | the field without observation noise |
| `mu` | `(trajectory, parameter)` | parameters of each trajectory's system |
| `forcing` | `(trajectory, time, force)` or `(trajectory, time, *grid, force)` | what acts from outside, at times `t` |
| `split` | `(trajectory,)` | "train", "val" or "test", or 0, 1 or 2 for these |
| `coarsening` | one number | full points per coarse cell and axis that the data ask for |
| `x`, `y`, `z` | `(points,)` | points of the first, second and third axis, increasing and equally spaced |

All may be in any units. Times may count from anywhere, since each trajectory is taken to begin at its first frame, and
dates (`datetime64`) become seconds. `boundary` and `coarsening` are arrays or attributes of the file; as one text the
kinds of boundary stand with commas between them. Points left out are those of the unit interval, `i / n` on a periodic
axis and `i / (n - 1)` on another; a periodic axis has each point once, not its first one again as the last.

Where `mask` is false `u` may be anything. Without a mask what is NaN was not observed; in NetCDF and Zarr so is what an
attribute `_FillValue` or `missing_value` says, and in NetCDF what its library fills arrays with. Infinite values are
refused. A frame of which nothing was observed is left out. Trajectories may differ in length: `t` is NaN after the last
frame of a shorter one, or nothing is observed there.
"""

from typing import Any, NamedTuple, cast

import numpy as np
import xarray as xr

from msvi.data.formats.arrays import StoredArray, stored
from msvi.data.formats.gridded import find_fields, read_fields
from msvi.data.labels import AXES, Labels, labels_of
from msvi.data.split import SPLITS
from msvi.data.times import elapsed, since_zero
from msvi.errors import InputError


class Layout(NamedTuple):
    """What a file holds, named as in the tables above, as it stands there: unchecked, and the large arrays unread.

    `msvi.data.problems` checks it.

    Attributes:
      t: None if the file has none.
      boundary: None if the file does not say it.
      coordinates: points of each axis, None where the file has none.
      forcing_t: times of `forcing`, `(trajectory, forcing_time)`; None if they are `t`.
      problems: what was seen to be wrong while the file was taken apart, as `msvi.data.problems` puts it.
      unused: what else there is in the file.
      labels: what the file calls its axes, channels and times.
    """

    u: StoredArray
    t: np.ndarray | None
    boundary: tuple[str, ...] | None
    coordinates: tuple[np.ndarray | None, ...]
    mask: StoredArray | None = None
    u_true: StoredArray | None = None
    mu: np.ndarray | None = None
    forcing: StoredArray | None = None
    forcing_t: np.ndarray | None = None
    split: np.ndarray | None = None
    coarsening: Any = None
    problems: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    labels: Labels = Labels()

    @property
    def grid(self) -> tuple[int, ...]:
        """Points per axis."""
        return self.u.shape[2:-1]

    @property
    def times(self) -> np.ndarray:
        """Times of each trajectory's frames since its first one, `(trajectory, time)`, NaN where there is none."""
        t = cast(np.ndarray, self.t)
        return np.broadcast_to(elapsed(t, t[..., :1]), self.u.shape[:2])

    @property
    def forcing_times(self) -> np.ndarray:
        """Times of `forcing` since each trajectory's first frame, `(trajectory, forcing_time)`."""
        return self.times if self.forcing_t is None else elapsed(self.forcing_t, self._first)

    @property
    def origin(self) -> np.ndarray:
        """When the first frame of each trajectory was, `(trajectory,)`."""
        return since_zero(self._first[:, 0])

    @property
    def _first(self) -> np.ndarray:
        return np.broadcast_to(cast(np.ndarray, self.t), self.u.shape[:2])[:, :1]

    @property
    def split_names(self) -> list[str] | None:
        """For each trajectory a name from `SPLITS`, or what the file has in its place; None without `split`."""
        names = {str(number): name for number, name in enumerate(SPLITS)}
        if self.split is None:
            return None
        numbered = [text.removesuffix(".0") for text in texts(self.split)]  # some files know no whole numbers
        return [names.get(text, text) for text in numbered]


def from_variables(dataset: xr.Dataset, path: str) -> Layout:
    """The layout of a file with the names above, or of one whose axes tell what is what (`msvi.data.formats.gridded`).

    Raises:
      InputError: there are no fields, or they have too few axes or too many.
    """
    variables = dataset.variables

    def values(name: str) -> np.ndarray | None:
        return np.asarray(variables[name].values) if name in variables else None

    def array(name: str) -> StoredArray | None:
        return stored(variables[name], path) if name in variables else None

    def fact(name: str) -> Any:
        return values(name) if name in variables else dataset.attrs.get(name)

    fields = () if {"u", "t"} <= set(variables) else find_fields(dataset)
    if fields:
        found = read_fields(dataset, fields, path)
        check_axes(found["u"].shape, path)
        used, problems = (*fields, *map(str, dataset.sizes)), []
    elif "u" in variables:
        check_axes(variables["u"].shape, path)
        names = AXES[: variables["u"].ndim - 3]
        coordinates = tuple(values(name) for name in names)
        labels = labels_of(variables, (), (), "t")
        found = {"u": array("u"), "t": values("t"), "coordinates": coordinates, "labels": labels}
        used, problems = names, _misplaced_axes(variables, names)
    else:
        raise InputError(
            f"The data file {path} must hold the field `u` and its times `t`, or fields with an axis `time`, found "
            f"{', '.join(map(str, variables)) or 'nothing'}; name its arrays as msvi/data/formats/layout.py says."
        )
    boundary = fact("boundary")
    return Layout(
        **found,
        boundary=None if boundary is None else tuple(",".join(texts(boundary)).replace(" ", "").split(",")),
        mask=array("mask"),
        u_true=array("u_true"),
        mu=values("mu"),
        forcing=array("forcing"),
        split=values("split"),
        coarsening=fact("coarsening"),
        problems=tuple(problems),
        unused=tuple(str(name) for name in variables if name not in (*Layout._fields, *used)),
    )


def check_axes(shape: tuple[int, ...], path: str) -> None:
    """Raises `InputError` unless `shape` is that of fields on 1, 2 or 3 axes."""
    if not 4 <= len(shape) <= 6 or 0 in shape or 1 in shape[2:-1]:
        raise InputError(
            f"The data file {path} holds `u` of the shape {shape}, expected (trajectory, time, *grid, channel) with a "
            "grid of 1, 2 or 3 axes of at least 2 points; reshape it, a single channel with u[..., None]."
        )


def texts(values: Any) -> list[str]:
    """Of one or several texts or numbers, the texts encoded or not."""
    flat = np.asarray(values).reshape(-1).tolist()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in flat]


def _misplaced_axes(variables: Any, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Arrays whose axes have the names of the layout, but at other places."""
    place = {"trajectory": 0, "time": 1, "x": 2, "y": 3, "z": 4} | {"channel": 2 + len(names)}
    found = []
    for name in ("u", "mask", "u_true", "forcing"):
        axes = variables[name].dims if name in variables else ()
        if any(place.get(axis, i) != i for i, axis in enumerate(axes)):
            text = (
                f"holds `{name}` with the axes ({', '.join(map(str, axes))}), expected them in the order (trajectory, "
                f"time, {', '.join(names)}, channel); transpose it"
            )
            found.append((name, text))
    return found
