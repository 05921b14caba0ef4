"""What a data file holds, what would be used of it and what is wrong with it, as text."""

import math
from collections.abc import Iterator

import numpy as np

from msvi.data.arrays import StoredArray
from msvi.data.division import Piece
from msvi.data.frames import observed_frames, read_forcing, read_frames
from msvi.data.layout import AXES, Layout, texts
from msvi.data.recorded import coordinates, last_size, open_layout, plan
from msvi.data.split import SPLITS

# Coarse cells per axis below which a coarsening is not proposed.
_FEWEST_CELLS = 4


def inspect(
    path: str, boundary: tuple[str, ...], num_train: int, num_val: int, num_test: int, seed: int
) -> tuple[str, bool]:
    """The text, and whether the file can be used; the arguments are those of `load_recorded`.

    Every value is read, one trajectory at a time.

    Raises:
      InputError: the file is missing, damaged, of an unknown kind, or holds no fields.
    """
    with open_layout(path) as (kind, layout):
        layout, pieces, found = plan(layout, boundary, (num_train, num_val, num_test), seed)
        about, problems = {name for name, _ in found}, [text for _, text in found]
        if not about & {"u", "u_true", "mask", "forcing"}:
            problems += _problems(layout, [piece for name in pieces for piece in pieces[name]])
        lines = [f"{path}: {kind}", "arrays", *_arrays(layout), "frames"]
        lines += ["  not known"] if about & {"t", "mask"} else _frames(layout)
        lines += ["axes", *_axes(layout, about), "would be used", *_uses(layout, pieces)]
    coarsening, problem = ("not known", []) if "coarsening" in about else _coarsening(layout)
    problems += problem
    lines += [f"  coarsening: {coarsening}"]
    lines += ["wrong", *(f"  it {text}" for text in problems)] if problems else ["nothing is wrong"]
    return "\n".join(lines), not problems


def _problems(layout: Layout, pieces: list[Piece]) -> list[str]:
    """What is wrong with the values of what would be used: for each array the first, and how many more there are."""
    found: dict[str, list[str]] = {}
    times = layout.forcing_times if layout.forcing is not None and layout.t is not None else None
    for piece in pieces:
        problems = read_frames(layout, piece)[1]
        if times is not None:
            problems += read_forcing(layout, piece, times)[2]
        for name, text in problems:
            found.setdefault(name, []).append(text)
    return [text + (f" (the same in {len(more)} others)" if more else "") for text, *more in found.values()]


def _arrays(layout: Layout) -> Iterator[str]:
    """Name, shape, type and range of each array."""
    arrays = {name: getattr(layout, name) for name in ("u", "u_true", "mask", "t", "mu", "forcing", "split")}
    arrays |= dict(zip(AXES, layout.coordinates, strict=False))
    for name, array in arrays.items():
        if array is not None:
            yield f"  {name:<8} {str(array.shape):<24} {str(array.dtype):<8} {_range(array)}"
    if layout.unused:
        yield f"  not used: {', '.join(layout.unused)}"


def _range(array: StoredArray | np.ndarray) -> str:
    """Least and greatest of the finite values, and how many others there are; of booleans the part that is true."""
    stored = isinstance(array, StoredArray)
    kind, smallest, greatest, total, others = array.dtype.kind, math.inf, -math.inf, 0.0, 0
    if kind not in "bfiu" or (stored and len(array.shape) < 2):
        return "" if stored else f"{len(set(texts(array)))} different"
    for values in (array.read(i, slice(None)) for i in range(array.shape[0])) if stored else [array]:
        finite = values[np.isfinite(values)]
        others += values.size - finite.size
        total += finite.sum() if kind == "b" else 0
        if finite.size:
            smallest, greatest = min(smallest, finite.min()), max(greatest, finite.max())
    if kind == "b":
        return f"{100 * total / max(math.prod(array.shape), 1):.1f} % true"
    found = f"{smallest:.4g} to {greatest:.4g}" if smallest <= greatest else "no number"
    return found + (f", {others} not finite" if others else "")


def _frames(layout: Layout) -> Iterator[str]:
    """How many there are, their spacing, and what is missing."""
    observed, (number, frames) = observed_frames(layout), layout.u.shape[:2]
    steps = np.concatenate([np.diff(t[row]) for t, row in zip(layout.times, observed, strict=True)])
    yield f"  {frames} in each of {number} trajectories, {100 * (1 - observed.mean()):.1f} % of them missing"
    if steps.size:
        even = np.ptp(steps) <= 1e-3 * steps.mean()
        yield f"  spacing {steps.min():.4g} to {steps.max():.4g}, {'even' if even else 'irregular'}"
    if layout.mask is not None and len(layout.mask.shape) > 2 and observed.any():
        seen = sum(layout.mask.read(i, slice(None))[row].astype(bool).sum() for i, row in enumerate(observed))
        points = observed.sum() * math.prod(layout.mask.shape[2:])
        yield f"  {100 * (1 - seen / points):.1f} % of the points missing in the others"


def _axes(layout: Layout, about: set[str]) -> Iterator[str]:
    """Points, extent and boundary of each axis; fields per point, parameters and forcing."""
    known = not about & {"boundary", *AXES}
    extents = [f" from {x[0]:.4g} to {x[-1]:.4g}" for x in coordinates(layout)] if known else [""] * len(layout.grid)
    kinds = ["boundary not known"] * len(layout.grid) if "boundary" in about else layout.boundary
    for name, size, extent, kind in zip(AXES, layout.grid, extents, kinds, strict=False):
        yield f"  {name}: {size} points{extent}, {kind}"
    yield f"  channels: {layout.u.shape[-1]}"
    yield f"  parameters: {last_size(layout.mu)}"
    if layout.forcing is None:
        yield "  forcing: none"
    else:
        of = "the same everywhere" if len(layout.forcing.shape) == 3 else "a field"
        yield f"  forcing: {last_size(layout.forcing)}, {of}"


def _uses(layout: Layout, pieces: dict[str, list[Piece]]) -> Iterator[str]:
    """Trajectories of each split and how long they are."""
    for name in SPLITS:
        lengths = {len(piece.frames) for piece in pieces.get(name, [])}
        if lengths:
            between = f"{min(lengths)} to {max(lengths)}" if len(lengths) > 1 else f"{min(lengths)}"
            number = len(pieces[name])
            yield f"  {name}: {number} {'trajectory' if number == 1 else 'trajectories'} of {between} frames"
        else:
            yield f"  {name}: nothing"
    cut = [piece.trajectory for name in SPLITS for piece in pieces.get(name, [])]
    if len(cut) > len(set(cut)):
        yield "  every trajectory is cut by time"


def _coarsening(layout: Layout) -> tuple[str, list[str]]:
    """What the file says or leaves to choose, and the problem with it."""
    divisor = math.gcd(*layout.grid)
    if layout.coarsening is not None:
        stated = int(layout.coarsening)
        text = f"has the `coarsening` {stated}, expected a divisor of {divisor} for its grid {layout.grid}; correct it"
        return f"{stated}, as the file says", [text] if divisor % stated else []
    choices = [s for s in range(2, min(layout.grid) // _FEWEST_CELLS + 1) if divisor % s == 0]
    if not choices:
        return f"not said, and no number divides {layout.grid} into {_FEWEST_CELLS} cells or more", []
    return f"not said; choose --config.model.coarsening={' or '.join(map(str, choices))}", []
