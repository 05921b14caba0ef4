"""Sensors: what each of them reads of a field, as a sum of few of its values."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from msvi.errors import InputError


class Sensors(NamedTuple):
    """Readings that are linear in the field: `y_i = sum_k weights_ik u_(places_ik)`.

    Attributes:
      places: of the values in the raveled field, `(sensor, term)`.
      weights: `(sensor, term)`; zero where a sensor has less terms than another.
      positions: where each sensor is, in grid points from the first one of each axis, `(sensor, axis)`.
    """

    places: np.ndarray
    weights: np.ndarray
    positions: np.ndarray

    def read(self, fields: np.ndarray) -> np.ndarray:
        """Readings `(..., sensor)` of fields `(..., *grid, channel)`, NaN where one of the values is."""
        axes = fields.ndim - 1 - self.positions.shape[1]
        flat = fields.reshape(*fields.shape[:axes], -1)
        terms = np.where(self.weights == 0, 0, flat[..., self.places])
        return np.sum(terms * self.weights, axis=-1)

    def subset(self, chosen: np.ndarray) -> "Sensors":
        """The sensors at these places of the list."""
        return Sensors(*(array[chosen] for array in self))


def grid_sensors(field_shape: tuple[int, ...]) -> Sensors:
    """One at each point of the grid and each channel, in the order of the raveled field."""
    number = int(np.prod(field_shape))
    positions = np.stack(np.unravel_index(np.arange(number), field_shape)[:-1], axis=1)
    return Sensors(np.arange(number)[:, None], np.ones((number, 1)), positions.astype(float))


def point_sensors(
    positions: np.ndarray,
    channels: np.ndarray,
    coordinates: Sequence[np.ndarray],
    boundary: Sequence[str],
    field_shape: tuple[int, ...],
    widths: np.ndarray | None = None,
) -> Sensors:
    """Sensors at any coordinates: linear interpolation along each axis, or the mean of what lies in a box.

    Args:
      positions: in the coordinates of the data, `(sensor, axis)`.
      channels: number of the channel that each reads, `(sensor,)`.
      coordinates: points of each axis.
      boundary: kind of each axis.
      field_shape: `(*grid, channel)`.
      widths: of the boxes around the positions along each axis, `(sensor, axis)`; 0 is a point. None for points.

    Raises:
      InputError: a sensor outside of the domain, or a box between two points of the grid.
    """
    grid = field_shape[:-1]
    kinds = [kind == "periodic" for kind in boundary]
    axes = [grid_index(x, p, periodic) for x, p, periodic in zip(coordinates, positions.T, kinds, strict=True)]
    index = np.stack(axes, axis=1)
    for number in np.flatnonzero(np.isnan(index).any(axis=1)):
        spans = ", ".join(f"[{low:g}, {high:g}]" for low, high in map(domain, coordinates, kinds))
        raise InputError(
            f"Sensor {number} at {tuple(map(float, positions[number]))} lies outside of the domain {spans}; move it "
            "inside, or leave it out."
        )
    spacing = [abs(x[-1] - x[0]) / (len(x) - 1) if len(x) > 1 else 1.0 for x in coordinates]
    half = np.zeros_like(index) if widths is None else np.broadcast_to(widths, index.shape) / (2 * np.array(spacing))
    places, weights = [], []
    for centre, reach, channel in zip(index, half, channels, strict=True):
        terms = [_terms(c, r, n, periodic) for c, r, n, periodic in zip(centre, reach, grid, kinds, strict=True)]
        if any(len(axis) == 0 for axis in terms):
            raise InputError("The box of a sensor holds no point of the grid; make it wider, or a point of width 0.")
        found = list(itertools.product(*terms))
        points = [tuple(place for place, _ in term) for term in found]
        places.append([np.ravel_multi_index((*point, int(channel)), field_shape) for point in points])
        weights.append([float(np.prod([weight for _, weight in term])) for term in found])
    longest = max(map(len, places))
    return Sensors(_padded(places, longest, int), _padded(weights, longest, float), index)


def weighted_sensors(weights: np.ndarray, boundary: Sequence[str]) -> Sensors:
    """Sensors that read any weighted sums of the field.

    Args:
      weights: `(sensor, *grid, channel)`.
      boundary: kind of each axis.

    Raises:
      InputError: weights that are not finite, or all zero for a sensor.
    """
    flat = weights.reshape(len(weights), -1)
    if not np.isfinite(flat).all() or not (flat != 0).any(axis=1).all():
        raise InputError("`weights` must be finite, and not all zero for any sensor.")
    places = [np.flatnonzero(row) for row in flat]
    longest = max(map(len, places))
    values = [row[place] for row, place in zip(flat, places, strict=True)]
    size = np.abs(weights).sum(axis=-1)
    positions = []
    for axis, kind in enumerate(boundary):
        others = tuple(k for k in range(1, size.ndim) if k != axis + 1)
        positions.append(_centres(size.sum(axis=others), kind == "periodic"))
    return Sensors(_padded(places, longest, int), _padded(values, longest, float), np.stack(positions, axis=1))


def domain(points: np.ndarray, periodic: bool) -> tuple[float, float]:
    """Least and largest position on an axis: half a spacing before its first point and behind its last; of a periodic
    one a whole spacing behind, where the first point comes again."""
    first, last = float(points[0]), float(points[-1])
    half = (last - first) / (2 * (len(points) - 1)) if len(points) > 1 else 0.5
    low, high = sorted((first - half, last + (2 * half if periodic else half)))
    return low, high


def grid_index(points: np.ndarray, positions: np.ndarray, periodic: bool) -> np.ndarray:
    """Positions along an axis counted in grid points from the first one; NaN for those outside of the domain.

    Args:
      points: of the axis, increasing or decreasing.
      positions: in the same unit.
      periodic: whether the axis is; the index is then below the number of points.
    """
    points, positions = np.asarray(points, float), np.asarray(positions, float)
    low, high = domain(points, periodic)
    number, sign = len(points), 1.0 if points[-1] >= points[0] else -1.0
    places = np.arange(number, dtype=float)
    if number == 1:
        found = np.zeros_like(positions)
    elif periodic:
        period = abs(points[-1] - points[0]) * number / (number - 1)
        along = (sign * (positions - points[0])) % period
        around = np.append(sign * (points - points[0]), period)
        found = np.interp(along, around, np.arange(number + 1.0)) % number
    else:
        found = np.interp(sign * positions, sign * points, places)
    rounding = 1e-6 * (high - low)
    return np.where((positions >= low - rounding) & (positions <= high + rounding), found, np.nan)


def from_index(points: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The inverse of `grid_index`."""
    points = np.asarray(points, float)
    behind = 2 * points[-1] - points[-2] if len(points) > 1 else points[-1]
    return np.interp(index, np.arange(len(points) + 1), np.append(points, behind))


def _terms(centre: float, half: float, number: int, periodic: bool) -> list[tuple[int, float]]:
    """Points along one axis and their weights, for a point or for a box of half a width, in grid points."""
    if half == 0:
        before = int(np.floor(centre))
        part = centre - before
        ends = [(before, 1 - part), (before + 1, part)]
        return [(k % number if periodic else min(k, number - 1), float(w)) for k, w in ends if w > 0]
    inside = np.arange(np.ceil(centre - half - 1e-9), np.floor(centre + half + 1e-9) + 1).astype(int)
    inside = np.unique(inside % number) if periodic else inside[(inside >= 0) & (inside < number)]
    return [(int(k), 1 / len(inside)) for k in inside]


def _centres(size: np.ndarray, periodic: bool) -> np.ndarray:
    """Centres of weights `(sensor, point)` along an axis, in grid points."""
    number = size.shape[1]
    if not periodic:
        return size @ np.arange(number) / size.sum(axis=1)
    turned = size @ np.exp(2j * np.pi * np.arange(number) / number)
    return np.round(np.angle(turned) / (2 * np.pi) * number, 9) % number


def _padded(rows: Sequence, length: int, kind: type) -> np.ndarray:
    """Rows of one length, with zeros behind."""
    found = np.zeros((len(rows), length), kind)
    for to, row in zip(found, rows, strict=True):
        to[: len(row)] = row
    return found
