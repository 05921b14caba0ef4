"""Power spectra of fields on a rectangle, and which part of a field carries its variance."""

import numpy as np

# Geometric bins: one for each wavenumber at the large scales, many at the small ones, where spectra are noisy.
_MAX_BINS = 48


def power_spectrum(
    u: np.ndarray, coordinates: tuple[np.ndarray, ...], boundary: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """`E(k)`, power per wavenumber `|k|` in cycles per unit length, summed over channels, mean over frames.

    Over all wavenumbers it sums to the mean square of the field, but for the mean over the grid, which is left out, and
    what lies beyond the Nyquist wavenumber of the coarsest axis. Along an axis that is not periodic the field is
    weighted by a Hann window of unit mean square, since its ends do not join.

    Args:
      u: `(time, *grid, channel)`.
      coordinates: equally spaced grid points of each axis.
      boundary: kind of each axis.

    Returns:
      `(wavenumber,)` twice: the wavenumber of each bin, and its mean power per step of the coarsest wavenumber.
    """
    axes = tuple(range(1, u.ndim - 1))
    u = np.asarray(u, np.float64) - np.mean(u, axis=axes, keepdims=True, dtype=np.float64)
    wavenumbers, steps = [], []
    for axis, x, kind in zip(axes, coordinates, boundary, strict=True):
        n, spacing = len(x), (x[-1] - x[0]) / (len(x) - 1)
        if kind != "periodic":
            window = np.hanning(n + 2)[1:-1]
            u = u * np.expand_dims(window / np.sqrt(np.mean(window**2)), tuple(a for a in range(u.ndim) if a != axis))
        wavenumbers.append(np.fft.fftfreq(n, spacing))
        steps.append(1 / (n * spacing))
    power = np.mean(np.sum(np.abs(np.fft.fftn(u, axes=axes, norm="forward")) ** 2, axis=-1), axis=0)
    size = np.sqrt(sum(k**2 for k in np.meshgrid(*wavenumbers, indexing="ij")))
    step = max(steps)
    shell = np.round(size / step).astype(int)
    last = int(min(np.abs(k).max() for k in wavenumbers) / step)
    per_shell = np.bincount(shell.ravel(), power.ravel(), last + 1)[: last + 1]
    edges = np.unique(np.geomspace(1, last + 1, _MAX_BINS + 1).round().astype(int))
    means = np.add.reduceat(per_shell, edges[:-1]) / np.diff(edges)
    centres = np.array([np.mean(np.arange(a, b)) for a, b in zip(edges[:-1], edges[1:], strict=True)])
    return centres * step, means


def variance_share(part: np.ndarray, total: np.ndarray) -> float:
    """`cov(part, total) / var(total)` over times and grid, summed over channels; the shares of all parts add up to 1.

    Args:
      part, total: `(time, *grid, channel)`.
    """
    axes = tuple(range(part.ndim - 1))
    part, total = (np.asarray(u, np.float64) - np.mean(u, axis=axes, dtype=np.float64) for u in (part, total))
    return float(np.sum(part * total) / np.sum(total**2))
