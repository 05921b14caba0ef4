"""Our power spectra against those of xrft."""

import numpy as np
import pytest
import xarray as xr

from msvi.scores.spectra import power_spectrum

# xrft warns of itself.
pytestmark = [pytest.mark.outside, pytest.mark.filterwarnings("ignore:dropping variables:FutureWarning")]


def density(u, coordinates, dims):
    """Two-sided power of `(time, *grid)` per wavenumber, as xrft has it, mean over frames, and the wavenumbers."""
    import xrft

    field = xr.DataArray(u, dims=("time", *dims), coords=dict(zip(dims, coordinates, strict=True)))
    power = xrft.power_spectrum(field, dim=list(dims), detrend="constant", scaling="density").mean("time")
    return power, [power[f"freq_{dim}"].values for dim in dims]


def test_periodic_line():
    """Ours is of both signs of a wavenumber together, and per step of the wavenumber."""
    x = np.linspace(0, 4.0, 32, endpoint=False)
    u = np.random.default_rng(0).normal(size=(5, 32)) + 3.0
    wavenumber, ours = power_spectrum(u[..., None], (x,), ("periodic",))
    power, (k,) = density(u, (x,), ("x",))
    step = 0.25
    theirs = [float(power[np.isclose(np.abs(k), w)].sum()) * step for w in wavenumber]
    np.testing.assert_allclose(wavenumber, step * np.arange(1, 17))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_periodic_rectangle():
    """Rings of wavenumbers, each as wide as a step of the coarser axis, summed from xrft's plane."""
    x, y = np.linspace(0, 2.0, 24, endpoint=False), np.linspace(0, 1.0, 16, endpoint=False)
    u = np.random.default_rng(1).normal(size=(3, 24, 16))
    wavenumber, ours = power_spectrum(u[..., None], (x, y), ("periodic", "periodic"))
    power, (kx, ky) = density(u, (x, y), ("x", "y"))
    ring = np.round(np.hypot(*np.meshgrid(kx, ky, indexing="ij")) / 1.0).astype(int)
    theirs = [power.values[ring == round(w)].sum() * 0.5 * 1.0 for w in wavenumber]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
