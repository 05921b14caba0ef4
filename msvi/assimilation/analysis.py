"""What an assimilation found, as xarray, and whether readings and ensembles fit each other."""

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

# Lags whose autocorrelation is told.
_LAGS = 5


@dataclasses.dataclass(frozen=True)
class Analysis:
    """Ensembles from observations.

    Attributes:
      filtered: from the observations up to each time: for each channel `NAME` `(member, time, *axes)` as the decoder
        expects it, `NAME_mean` and `NAME_std` as in a forecast, and `latents` `(member, time, latent)`.
      smoothed: the same from later observations too; None where none was asked for.
      innovations: readings less what was expected of them, `innovation` `(time, sensor)`; what these should be,
        `innovation_std`; the readings, `observation`; `chi2`, `log_evidence` and how many `readings`, `(time,)`; where
        sensors are, `sensor_AXIS` and `sensor_channel` `(sensor,)`; and in its attributes the `statistics`.
      start: time at which the ensemble began.
    """

    filtered: xr.Dataset
    smoothed: xr.Dataset | None
    innovations: xr.Dataset
    start: Any

    @property
    def log_evidence(self) -> float:
        """Logarithm of the density of all observations, each given those before it."""
        return float(self.innovations["log_evidence"].sum())

    @property
    def statistics(self) -> dict[str, Any]:
        """Numbers that tell whether the filter is consistent; see `statistics`."""
        return dict(self.innovations.attrs)

    def to_dataset(self) -> xr.Dataset:
        """All in one data set, what is smoothed under `smoothed_NAME`."""
        parts = [self.filtered, self.innovations]
        if self.smoothed is not None:
            parts.append(self.smoothed.rename({name: f"smoothed_{name}" for name in self.smoothed.data_vars}))
        attributes = self.filtered.attrs | self.innovations.attrs
        return xr.merge(parts, combine_attrs="drop").assign_attrs(attributes)


def statistics(innovation: np.ndarray, deviation: np.ndarray, chi2: np.ndarray) -> dict[str, Any]:
    """Whether innovations are as large as they should be, and independent from time to time.

    Args:
      innovation, deviation: `(time, sensor)`, NaN where there is no reading.
      chi2: of all readings of a time, `(time,)`.

    Returns:
      `chi2_per_reading`, which should be 1; `autocorrelation` of scaled innovations at the first lags of the times that
      have readings, the mean over the sensors, which should be 0; and `autocorrelation_bound`, what chance alone leaves
      it within in 19 of 20 cases.
    """
    has = np.isfinite(innovation).any(axis=1)
    scaled = innovation[has] / deviation[has]
    readings = int(np.isfinite(scaled).sum())
    correlations = []
    for lag in range(1, _LAGS + 1):
        both = scaled[lag:] * scaled[:-lag]
        correlations.append(float(np.nanmean(both) / np.nanmean(scaled**2)) if np.isfinite(both).any() else np.nan)
    return {
        "chi2_per_reading": float(chi2[has].sum() / readings),
        "autocorrelation": correlations,
        "autocorrelation_bound": float(1.96 / np.sqrt(readings)),
    }


def innovations_of(
    innovation: np.ndarray, deviation: np.ndarray, chi2: np.ndarray, log_evidence: np.ndarray, time: Any
) -> xr.Dataset:
    """The data set of innovations, in the units of the readings.

    Args:
      time: coordinate of the times, as xarray takes it.
    """
    both, alone = ("time", "sensor"), ("time",)
    return xr.Dataset(
        {
            "innovation": (both, innovation),
            "innovation_std": (both, deviation),
            "readings": (alone, np.isfinite(innovation).sum(axis=1)),
            "chi2": (alone, chi2),
            "log_evidence": (alone, log_evidence),
        },
        {"time": time, "sensor": np.arange(innovation.shape[1])},
        statistics(innovation, deviation, chi2),
    )
