"""The same equation solved on the macroscale mesh: what resolution alone costs."""

import dataclasses
import itertools

import numpy as np
import scipy  # whose parts load when they are first used: importing them here took a third of the start

from msvi.baselines.base import Baseline, frame_numbers, frame_spacing, nrmse, select
from msvi.config import Config
from msvi.data.equations.base import Equation
from msvi.data.equations.cylinder_2d import Cylinder2D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.split import Dataset
from msvi.errors import InputError

# Names of restrictions and interpolations; `fourier` is for fields periodic on every axis.
RESTRICTIONS = ("sample", "mean", "fourier")
INTERPOLATIONS = ("linear", "cubic", "fourier")

# Coarse points that a periodic spline sees beyond either end; what lies further off has a weight below 1e-4.
_WRAP = 8


def fit_coarse(config: Config, dataset: Dataset) -> Baseline:
    """Restricts the first frame to the macroscale mesh, solves the equation there, and interpolates back.

    Equation, scheme and time step are those of the reference solution; the pseudo-spectral one has all modes that the
    mesh can carry. Nothing is learned, but how to restrict and to interpolate is chosen on the validation trajectories.
    Restrictions: `sample`, the field at the coarse points; `mean`, its mean over a coarse cell around them; `fourier`,
    its lowest modes. Interpolations, along one axis after the other: `linear`, `cubic` (a spline, periodic where the
    axis is) and `fourier`. Beyond the last coarse points of an axis that is not periodic stand their values.

    Raises:
      InputError: no equation, frames that are not equally spaced, or a mesh on which it cannot be solved.
    """
    if config.case == "custom":
        raise InputError("The baseline coarse needs the equation, which a data file does not tell; choose another.")
    spacing = frame_spacing(dataset.train.t)
    grid, mesh = dataset.coordinates, coarse_equation(config, dataset, 2, spacing).coordinates
    periodic = tuple(kind == "periodic" for kind in dataset.boundary)

    def forecast(restriction, interpolation, t, u0):
        numbers = frame_numbers(t, spacing)
        equation = coarse_equation(config, dataset, max(int(numbers[-1]) + 1, 2), spacing)
        solution = _solve(equation, restrict(u0, grid, mesh, periodic, restriction), dataset.grid[0])
        maps = [_resampling(*axis, interpolation) for axis in zip(mesh, grid, periodic, strict=True)]
        return _apply(maps, solution[numbers]).astype(np.float32)

    stride = config.forecast.stride
    val = [(t[::stride], u[::stride]) for t, u in zip(dataset.val.t, dataset.val.u, strict=True)]
    pairs = itertools.product(RESTRICTIONS, INTERPOLATIONS)
    candidates = [
        {"restriction": restriction, "interpolation": interpolation}
        for restriction, interpolation in pairs
        if all(periodic) or "fourier" not in (restriction, interpolation)
    ]
    chosen, settings = select(
        candidates, lambda candidate: float(np.mean([nrmse(forecast(**candidate, t=t, u0=u[0]), u) for t, u in val]))
    )
    settings |= {"mesh": [len(x) for x in mesh]}
    return Baseline(lambda t, u0: forecast(**chosen, t=t, u0=u0)[None], settings)


def coarse_equation(config: Config, dataset: Dataset, num_frames: int, spacing: float) -> Equation:
    """The case's equation on the grid divided by `model.coarsening`, over `num_frames` frames.

    Raises:
      InputError: a mesh on which it cannot be solved.
    """
    equation = config.data.equation
    points = dataset.grid[-1] // config.model.coarsening
    if isinstance(equation, Cylinder2D):
        # The published file is of the flow that the defaults describe.
        equation = Cylinder2D() if config.data.path else equation
        size = {"num_rows": points, "refinement": 1}
    else:
        size = {"num_points": points}
    try:
        return dataclasses.replace(equation, num_frames=num_frames, t1=(num_frames - 1) * spacing, **size)
    except InputError as error:
        raise InputError(
            f"The equation cannot be solved on the mesh of `model.coarsening` {config.model.coarsening}, {points} "
            f"points on its last axis: {error} Lower the coarsening."
        ) from None


def _solve(equation: Equation, start: np.ndarray, num_points: int) -> np.ndarray:
    """The solution `(time, *mesh, channel)` from the field `start` on the coarse mesh, of a grid of `num_points`."""
    if isinstance(equation, Cylinder2D):
        return equation.solve(start).u
    if isinstance(equation, KortewegDeVries1D):
        # The scheme drops the upper third of its modes for the sake of the product. On half as many points again it
        # keeps all modes of the mesh (S. A. Orszag's rule), where dropping some costs a good part of the field.
        padded = min(3 * equation.num_points // 2, num_points)
        wide = dataclasses.replace(equation, num_points=padded).solve(scipy.signal.resample(start, padded))
        return scipy.signal.resample(wide, equation.num_points, axis=1)
    return equation.solve(start)


def restrict(
    u: np.ndarray,
    grid: tuple[np.ndarray, ...],
    mesh: tuple[np.ndarray, ...],
    periodic: tuple[bool, ...],
    kind: str,
) -> np.ndarray:
    """A field `(*grid, channel)` on the coarse mesh, in float64.

    Args:
      grid, mesh: points of each axis.
      kind: one of `RESTRICTIONS`.
    """
    maps = []
    for fine, coarse, wraps in zip(grid, mesh, periodic, strict=True):
        sample = _resampling(fine, coarse, wraps, "fourier" if kind == "fourier" else "linear")
        if kind == "mean":
            width = len(fine) // len(coarse) // 2 * 2 + 1  # odd, so that the mean is around the point
            sample = sample @ scipy.ndimage.uniform_filter1d(
                np.eye(len(fine)), width, axis=0, mode="wrap" if wraps else "nearest"
            )
        maps.append(sample)
    return _apply(maps, np.asarray(u, np.float64)[None])[0]


def _resampling(source: np.ndarray, target: np.ndarray, periodic: bool, kind: str) -> np.ndarray:
    """Matrix `(target, source)` that interpolates along one axis."""
    n = len(source)
    if kind == "fourier":
        return scipy.signal.resample(np.eye(n), len(target))
    values = np.eye(n)
    if periodic:
        wrap = min(n, _WRAP)
        extent = n * (source[1] - source[0])
        source = np.concatenate([source[-wrap:] - extent, source, source[:wrap] + extent])
        values = np.pad(values, ((wrap, wrap), (0, 0)), mode="wrap")
    spline = scipy.interpolate.make_interp_spline(source, values, k=1 if kind == "linear" else min(3, n - 1))
    return spline(np.clip(target, source[0], source[-1]))


def _apply(maps: list[np.ndarray], u: np.ndarray) -> np.ndarray:
    """Each axis of `(time, *grid, channel)` times its matrix."""
    for axis, matrix in enumerate(maps, start=1):
        u = np.moveaxis(np.tensordot(u, matrix, axes=(axis, 1)), -1, axis)
    return u
