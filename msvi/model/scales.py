"""Units: what is of order one inside of the model, and in the units of the data outside."""

import dataclasses

import numpy as np

from msvi.errors import InputError
from msvi.types import Array, HostOrDevice


@dataclasses.dataclass(frozen=True)
class Scales:
    """Mean, deviation and rest of each channel and units of time, all in the units of the data.

    Inside of the model fields are `(u - field_rest) / field_std` and times `(t - origin) / time_unit`, where `origin`
    is the start of each trajectory, which `msvi.data.split.Split` takes off.

    Attributes:
      field_mean, field_std: of each channel, over what was observed of the training trajectories.
      field_rest: of each channel, what is zero inside: the median of the training trajectories, so that a field that is
        at rest in most places is zero there; empty for the mean. (With the mean in its place the forecasts of a front
        that runs into a field at rest were seen to be a quarter worse.)
      time_unit: in which the drift, the dispersion and the posterior process count time.
      spacing: usual time between two frames that were learned from; a forecast takes no longer steps. 0 for no limit.

    Raises:
      InputError: deviations or units that are not positive numbers.
    """

    field_mean: tuple[float, ...]
    field_std: tuple[float, ...]
    time_unit: float = 1.0
    spacing: float = 0.0
    field_rest: tuple[float, ...] = ()

    def __post_init__(self):
        sizes = (*self.field_std, self.time_unit)
        lengths = {len(self.field_mean), len(self.field_std), len(self.field_rest or self.field_mean)}
        if not all(np.isfinite(size) and size > 0 for size in sizes) or len(lengths) > 1:
            raise InputError(f"Scales must be positive numbers, one mean, deviation and rest per channel, got {self}.")

    @property
    def unit(self) -> "Scales":
        """Those of data that are in the model's own units."""
        ones = (1.0,) * len(self.field_std)
        return Scales((0.0,) * len(ones), ones, 1.0, self.spacing / self.time_unit)

    def standardise(self, u: HostOrDevice) -> HostOrDevice:
        """Fields `(..., channel)` in the units of the data to those of the model."""
        rest, std = self._constants(u)
        return (u - rest) / std

    def standardise_data(self, u: np.ndarray) -> np.ndarray:
        """The same on the host, in single precision but with the digits that double precision keeps of a large offset.

        Along the first axis one after another, so that little is in memory in double precision.
        """
        found = np.empty(u.shape, np.float32)
        with np.errstate(all="ignore"):  # of a forecast that diverged
            for to, one in zip(found, u, strict=True):
                to[...] = self.standardise(np.asarray(one, np.float64))
        return found

    def restore(self, u: HostOrDevice) -> HostOrDevice:
        """Fields `(..., channel)` in the units of the model to those of the data."""
        rest, std = self._constants(u)
        return u * std + rest

    def widths(self, deviation: HostOrDevice) -> HostOrDevice:
        """Deviations `(..., channel)` in the units of the model to those of the data."""
        return deviation * self._constants(deviation)[1]

    def _constants(self, u: Array | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the type and the number of axes of `u`: JAX does not broadcast ranks in silence."""
        shape = (1,) * (u.ndim - 1) + (-1,)
        rest, std = (
            np.asarray(v, u.dtype).reshape(shape) for v in (self.field_rest or self.field_mean, self.field_std)
        )
        return rest, std
