"""Networks of pdequinox on the grid of the data: folded, continued beyond its edges, and told where they are."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.types import BOUNDARIES, Array, Params

# Neighbours are folded into channels until a network works on no more points, in all and along an axis.
_POINTS, _LINE = 1024, 256
# Fewest points that folding leaves along an axis, and that a U-Net has at its bottom.
_SHORTEST, _BOTTOM = 8, 4
_FNO_CHANNELS, _FNO_MODES, _FNO_BLOCKS = 32, 16, 4  # modes of one axis; of several each has as many fewer
_UNET_CHANNELS, _UNET_LEVELS = 16, 3
# Pairs of a batch: as many as have so many points together, but in these bounds.
_BATCH_POINTS, _SMALLEST_BATCH, _LARGEST_BATCH = 4096, 4, 16


class Emulator(NamedTuple):
    """A network from a standardised field `(*grid, channel)` to its change, in units of what changes are like.

    Attributes:
      init: random key -> parameters.
      apply: `(params, v, position) -> change`; the network knows where it is if `position` is 1, and takes all points
        alike, up to the edges, if it is 0.
      batch: pairs of fields of a training step.
      sizes: plain JSON data: what was built.
    """

    init: Callable[[Array], Params]
    apply: Callable[[Params, Array, Array | float], Array]
    batch: int
    sizes: dict[str, Any]


def make_emulator(name: str, grid: tuple[int, ...], num_channels: int, boundary: tuple[str, ...]) -> Emulator:
    """A network of pdequinox.

    `fno` is that of Z. Li et al., "Fourier neural operator for parametric partial differential equations", ICLR 2021;
    `unet` that of O. Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI
    2015, with strided convolutions in place of its pooling. Blocks of `fold` points along every axis are channels of
    one: nothing is lost, and a step costs as many times less. Convolutions of a U-Net wrap round where all axes are
    periodic and halve evenly, else they mirror, and the field is continued beforehand as its axes have it; an `fno`
    wraps round anyway, so that the field is continued on axes that do not.

    Args:
      name: `"fno"` or `"unet"`.
      boundary: kind of each axis, a key of `msvi.types.BOUNDARIES`.
    """
    import equinox
    import pdequinox

    is_fno = name == "fno"
    levels = 0 if is_fno else _UNET_LEVELS
    fold = find_fold(grid, 2**levels)
    folded = tuple(n // fold for n in grid)
    if not is_fno:
        levels = max(1, min(levels, int(math.log2(max(min(folded) // _BOTTOM, 1)))))
    wraps, pads = _continuation(folded, boundary, 2**levels, is_fno)
    place, channels = _place(folded, boundary), num_channels * fold ** len(grid)
    shape = tuple(n + sum(pad) for n, pad in zip(folded, pads, strict=True))
    own: dict[str, Any] = {"hidden_channels": _UNET_CHANNELS, "num_levels": levels}
    if is_fno:
        modes = min(max(_FNO_MODES // len(grid), 1), min(shape) // 2)
        own = {"hidden_channels": _FNO_CHANNELS, "num_modes": modes, "num_blocks": _FNO_BLOCKS}

    def make(key):
        sizes = len(grid), channels + len(place), channels
        if is_fno:
            return pdequinox.arch.ClassicFNO(*sizes, **own, key=key)
        return pdequinox.arch.ClassicUNet(*sizes, **own, boundary_mode="periodic" if wraps else "neumann", key=key)

    # What is no parameter is the same for every key, and is built without one.
    _, static = equinox.partition(equinox.filter_eval_shape(make, jax.random.key(0)), _is_parameter)

    def init(key):
        return equinox.filter(make(key), equinox.is_inexact_array)

    def apply(params, v, position):
        x = fold_field(jnp.moveaxis(v, -1, 0), fold)
        x = jnp.concatenate([x, jnp.asarray(place, x.dtype) * position])
        for axis, (pad, kind) in enumerate(zip(pads, boundary, strict=True), start=1):
            x = jnp.pad(x, [pad if axis == a else (0, 0) for a in range(x.ndim)], mode=BOUNDARIES[kind])
        change = equinox.combine(params, static)(x)
        inside = tuple(slice(first, first + n) for (first, _), n in zip(pads, folded, strict=True))
        return jnp.moveaxis(unfold_field(change[:, *inside], fold), 0, -1)

    number = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(init, jax.random.key(0))))
    batch = min(max(_BATCH_POINTS // math.prod(folded), _SMALLEST_BATCH), _LARGEST_BATCH)
    return Emulator(init, apply, batch, {"fold": fold, **own, "num_parameters": number, "batch": batch})


def _is_parameter(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def find_fold(grid: tuple[int, ...], multiple: int = 1) -> int:
    """Points along every axis that are folded into one: as few as leave the network few enough.

    Among the common divisors of all axes one is preferred that leaves multiples of `multiple`. Where none leaves few
    points, it is the largest one.
    """
    divisors = [f for f in range(1, min(grid) + 1) if all(n % f == 0 for n in grid)]
    divisors = [f for f in divisors if f == 1 or min(grid) // f >= _SHORTEST]
    small = [f for f in divisors if math.prod(n // f for n in grid) <= _POINTS and max(grid) // f <= _LINE]
    even = [f for f in small if all(n // f % multiple == 0 for n in grid)]
    return min(even or small or divisors[-1:])


def fold_field(x: Array, fold: int) -> Array:
    """`(channel, *grid)` to `(channel * fold**axes, *grid / fold)`: blocks of points as channels of one."""
    axes = x.ndim - 1
    x = x.reshape(x.shape[0], *itertools.chain.from_iterable((n // fold, fold) for n in x.shape[1:]))
    blocks, within = range(1, 2 * axes, 2), range(2, 2 * axes + 1, 2)
    x = x.transpose(0, *within, *blocks)
    return x.reshape(-1, *x.shape[axes + 1 :])


def unfold_field(x: Array, fold: int) -> Array:
    """The inverse of `fold_field`."""
    axes = x.ndim - 1
    grid = tuple(n * fold for n in x.shape[1:])
    x = x.reshape(-1, *(fold,) * axes, *x.shape[1:])
    order = itertools.chain.from_iterable((axes + 1 + axis, 1 + axis) for axis in range(axes))
    return x.transpose(0, *order).reshape(-1, *grid)


def _continuation(
    grid: tuple[int, ...], boundary: tuple[str, ...], multiple: int, is_fno: bool
) -> tuple[bool, list[tuple[int, int]]]:
    """Whether the network may wrap round, and by how many points the field is continued before and after each axis."""
    if is_fno:
        return True, [(0, 0) if kind == "periodic" else (0, -(-n // 4)) for n, kind in zip(grid, boundary, strict=True)]
    wraps = all(kind == "periodic" and n % multiple == 0 for n, kind in zip(grid, boundary, strict=True))
    if wraps:
        return True, [(0, 0)] * len(grid)
    margins = [multiple if kind == "periodic" else 0 for kind in boundary]
    return False, [(margin, margin + -n % multiple) for n, margin in zip(grid, margins, strict=True)]


def _place(grid: tuple[int, ...], boundary: tuple[str, ...]) -> np.ndarray:
    """Where each point is, `(feature, *grid)`: of a periodic axis sine and cosine of its phase, else from -1 to 1."""
    features = []
    for axis, (n, kind) in enumerate(zip(grid, boundary, strict=True)):
        phase = 2 * np.pi * np.arange(n) / n
        lines = [np.sin(phase), np.cos(phase)] if kind == "periodic" else [np.linspace(-1, 1, n)]
        shape = tuple(-1 if axis == a else 1 for a in range(len(grid)))
        features += [np.broadcast_to(line.reshape(shape), grid) for line in lines]
    return np.stack(features)
