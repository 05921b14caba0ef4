"""Blocks of a grid: their means, and the points of each."""

from collections.abc import Sequence

from msvi.types import Array, HostOrDevice


def pool(field: HostOrDevice, size: int) -> HostOrDevice:
    """Mean over blocks of `size` points per axis, `(*grid, channel)` to `(*grid / size, channel)`."""
    for axis in range(field.ndim - 1):
        *before, n = field.shape[: axis + 1]
        blocks = field.reshape(*before, n // size, size, *field.shape[axis + 1 :])
        field = blocks.mean(axis + 1)  # pyright: ignore[reportAssignmentType]  NumPy's means may be numbers
    return field


def pool_to(means: Array, grid: Sequence[int], size: int) -> Array:
    """Means over blocks of `size` points of `grid` per axis from means over smaller ones, or from the field itself."""
    return pool(means, size * means.shape[0] // grid[0])


def to_blocks(field: Array, size: int) -> Array:
    """The points of each cell, `(*grid, channel)` to `(*coarse_grid, value)`, `size` points per cell and axis."""
    *grid, num_channels = field.shape
    ndim = len(grid)
    field = field.reshape(*(k for n in grid for k in (n // size, size)), num_channels)
    order = (*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2), 2 * ndim)
    return field.transpose(order).reshape(*(n // size for n in grid), -1)


def from_blocks(blocks: Array, size: int, ndim: int) -> Array:
    """The inverse of `to_blocks`, on a grid of `ndim` axes."""
    cells = blocks.shape[:ndim]
    blocks = blocks.reshape(*cells, *(size,) * ndim, -1)
    order = (*(k for axis in range(ndim) for k in (axis, ndim + axis)), 2 * ndim)
    return blocks.transpose(order).reshape(*(n * size for n in cells), -1)
