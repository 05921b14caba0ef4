"""The data set of the flow past a cylinder: one long trajectory, simulated or from the published file, cut by time."""

import dataclasses

import numpy as np

from msvi.data import store
from msvi.data.equations.cylinder_2d import Cylinder2D
from msvi.data.formats.cylinder_file import CylinderFile
from msvi.data.split import Dataset, Split, check_dataset
from msvi.data.times import elapsed
from msvi.errors import InputError

# In units of time: the end of training and of validation, the length of a forecast, and the last start of one.
_TRAIN_UNTIL, _VAL_UNTIL, _FORECAST, _LAST_START = 13, 14, 1, 16


def load_flow(equation: Cylinder2D, path: str, cache_dir: str, num_test: int) -> Dataset:
    """The flow up to time 13 to learn from, (13, 14] to validate, and forecasts of one unit of time after that.

    The simulation goes on to time 17: `num_test` forecasts start spread over (14, 16], and the published one, over
    (14, 15], is kept apart. Of the published file, which ends at 15, that one is the test. A simulation of another
    length is cut in proportion.

    Args:
      equation: of the simulation.
      path: of the published file, NetCDF or VTK image data; empty for the simulation.
      cache_dir: folder of the simulation's cache.
      num_test: forecasts.

    Raises:
      InputError: the cache or the file cannot be used, or there are too few frames to cut.
    """
    if path:
        file = CylinderFile(path)
        return check_dataset(_cut(file.t, file.frames(0, len(file.t)), file.x, file.t[-1] / 15, 0))
    shapes = {"u": (equation.num_frames, *equation.grid, 2)}
    parameters = {"equation": dataclasses.asdict(equation)}
    u = store.load(cache_dir, "cylinder_2d", parameters, shapes, lambda out: _simulate(equation, out))["u"]
    # Checked when it was simulated, and by its checksum since.
    return _cut(equation.t, u, equation.coordinates, equation.t1 / 17, num_test)


def _simulate(equation: Cylinder2D, out: dict[str, np.ndarray]) -> None:
    print(f"simulating the flow past a cylinder on {' x '.join(map(str, equation.cells))} cells: some minutes, once")
    flow = equation.solve()
    if not np.isfinite(flow.u).all():
        raise InputError("The simulated flow is not finite; lower data.equation.max_dt.")
    out["u"][:] = flow.u


def _cut(t: np.ndarray, u: np.ndarray, coordinates: tuple[np.ndarray, ...], unit: float, num_test: int) -> Dataset:
    """Splits one trajectory.

    Args:
      t, u: frame times `(time,)` and fields `(time, *grid, channel)`.
      coordinates: grid points of each axis.
      unit: of time.
      num_test: forecasts beside the published one; 0 makes that one the test split.
    """
    # Frames up to a time, the half of a spacing later for the sake of round-off.
    until = {end: int(np.searchsorted(t, end * unit + 0.5 * (t[1] - t[0]))) for end in range(_TRAIN_UNTIL, 17)}
    train, val = until[_TRAIN_UNTIL], until[_VAL_UNTIL]
    length = until[_VAL_UNTIL + _FORECAST] - val
    if min(train, val - train, length) < 2:
        raise InputError(
            f"The flow needs at least 2 frames to learn from, to validate and to forecast, got {len(t)} frames, of "
            f"which {train}, {val - train} and {length} lie in these times; store more."
        )

    def split(starts, length):
        frames = np.add.outer(starts, np.arange(length))
        fields = np.stack([u[start : start + length] for start in starts])
        origin = np.full(len(frames), t[0], np.float64) if t[0] else None
        # No noise is added.
        return Split(elapsed(t, t[:1])[frames], fields, fields, origin=origin)

    published = split([val], length)
    starts = val + np.round(np.arange(1, num_test + 1) * (until[_LAST_START] - val) / max(num_test, 1)).astype(int) - 1
    x, y = np.meshgrid(*coordinates, indexing="ij")
    return Dataset(
        coordinates=coordinates,
        boundary=("edge", "edge"),
        train=split([0], train),
        val=split([train], val - train),
        test=split(starts, length) if num_test else published,
        published=published if num_test else None,
        solid=np.hypot(x, y) < Cylinder2D.radius,
    )
