"""What a data file holds, what would be used of it, what is wrong with it and what would do badly, as text."""

import math
from collections.abc import Iterator

import numpy as np

from msvi.data.formats.arrays import StoredArray, blocks
from msvi.data.formats.layout import AXES, Layout, texts
from msvi.data.frames import Pieces, Reading, observed_frames
from msvi.data.labels import Labels
from msvi.data.problems import gather
from msvi.data.recorded import (
    assemble,
    coordinates,
    find_setting_problems,
    last_size,
    missing_text,
    open_layout,
    plan,
    read,
    record,
)
from msvi.data.split import SPLITS
from msvi.data.values import find_value_problems, find_warnings
from msvi.errors import InputError
from msvi.recipe import suggest
from msvi.recipe.build import build_model
from msvi.recipe.variants import CUSTOM


def inspect(
    path: str, boundary: tuple[str, ...], num_train: int, num_val: int, num_test: int, seed: int
) -> tuple[str, bool]:
    """The text, and whether the file can be used; the arguments are those of `load_recorded`.

    Every value is read, and what would be used is in memory at once or left in the file, as in a training.

    Raises:
      InputError: the file is missing, damaged, of an unknown kind, or holds no fields.
    """
    with open_layout(path) as (kind, layout):
        layout, pieces, found = plan(layout, boundary, (num_train, num_val, num_test), seed)
        about, problems = {name for name, _ in found}, [text for _, text in found]
        problems += find_setting_problems(record(kind, layout, pieces, found))
        values, dataset = Reading({}, 0.0, 0, []), None
        if not about & {"u", "mask"} and any(pieces.values()):
            some = {name: its_own for name, its_own in pieces.items() if its_own}
            values = read(kind, _readable(layout, about), some, path)
            problems += gather(values.problems)
            dataset = None if problems else assemble(layout, values)
        lines = [f"{path}: {kind}", "arrays", *_arrays(layout), "frames"]
        lines += ["  not known"] if about & {"t", "mask"} else _frames(layout, values)
        lines += ["axes", *_axes(layout, about), "would be used", *_uses(pieces, values)]
        lines += [f"  coarsening: {'not known' if 'coarsening' in about else _coarsening(layout)}"]
        problems += [] if dataset is None else find_value_problems(dataset)
        wrong, chosen = [f"it {text}" for text in problems], []
        if dataset is not None and not wrong:
            try:
                config, chosen = suggest.suggest(CUSTOM, dataset)
                build_model(config, dataset)
            except InputError as error:
                wrong, chosen = [str(error)], []
        warnings = [] if dataset is None else list(find_warnings(dataset))
        lines += [] if wrong else ["nothing is wrong"]
        for title, texts_of_it in (("wrong", wrong), ("warnings", warnings), ("a training would take", chosen)):
            lines += [title, *(f"  {text}" for text in texts_of_it)] if texts_of_it else []
    return "\n".join(lines), not wrong


def _readable(layout: Layout, about: set[str]) -> Layout:
    """The layout without the arrays that cannot be read as what they should be, and with some times."""
    layout = layout._replace(**dict.fromkeys(about & {"u_true", "mu", "forcing"}))
    return layout if layout.t is not None else layout._replace(t=np.arange(layout.u.shape[1]))


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
    if not stored and kind in "mM":
        known = array[~np.isnat(array)]
        return f"{known.min()} to {known.max()}" if known.size else "no date"
    if kind not in "bfiu" or (stored and len(array.shape) < 2):
        return "" if stored else f"{len(set(texts(array)))} different"
    for values in (block for *_, block in blocks(array)) if stored else [array]:
        finite = values[np.isfinite(values)]
        others += values.size - finite.size
        total += finite.sum() if kind == "b" else 0
        if finite.size:
            smallest, greatest = min(smallest, finite.min()), max(greatest, finite.max())
    if kind == "b":
        return f"{100 * total / max(math.prod(array.shape), 1):.1f} % true"
    found = f"{smallest:.4g} to {greatest:.4g}" if smallest <= greatest else "no number"
    return found + (f", {others} not finite" if others else "")


def _frames(layout: Layout, values: Reading) -> Iterator[str]:
    """How many there are, their spacing, and what is missing."""
    observed, (number, frames) = observed_frames(layout, look=values.num_missing > 0), layout.u.shape[:2]
    steps = np.concatenate([np.diff(t[row]) for t, row in zip(layout.times, observed, strict=True)])
    yield f"  {frames} in each of {number} trajectories, {100 * (1 - observed.mean()):.1f} % of them missing"
    if units := layout.labels.attributes.get("time", {}).get("units"):
        yield f"  times in {units}"
    if steps.size:
        even = np.ptp(steps) <= 1e-3 * steps.mean()
        yield f"  spacing {steps.min():.4g} to {steps.max():.4g}, {'even' if even else 'irregular'}"
    if layout.mask is not None and len(layout.mask.shape) > 2 and observed.any():
        seen = sum(mask[observed[rows, frames]].astype(bool).sum() for rows, frames, mask in blocks(layout.mask))
        points = observed.sum() * math.prod(layout.mask.shape[2:])
        yield f"  {100 * (1 - seen / points):.1f} % of the points missing in the others"
    if values.num_missing:
        yield f"  {missing_text(values)}"


def _axes(layout: Layout, about: set[str]) -> Iterator[str]:
    """Points, extent and boundary of each axis; fields per point, parameters and forcing."""
    known = not about & {"boundary", *AXES}
    extents = [f" from {x[0]:.4g} to {x[-1]:.4g}" for x in coordinates(layout)] if known else [""] * len(layout.grid)
    kinds = layout.boundary
    if kinds is None or "boundary" in about:
        kinds = ["boundary not known"] * len(layout.grid)
    labels = layout.labels
    own_names = labels.axis_names(len(layout.grid))
    for name, own, size, extent, kind in zip(AXES, own_names, layout.grid, extents, kinds, strict=False):
        yield f"  {name}{_called(labels, own, name)}: {size} points{extent}, {kind}"
    channels = [f"{own}{_called(labels, own, own)}" for own in labels.channels] or [_called(labels, "u", "u").strip()]
    yield f"  channels: {layout.u.shape[-1]}" + (f", {', '.join(channels)}" if any(channels) else "")
    yield f"  parameters: {last_size(layout.mu)}"
    if layout.forcing is None:
        yield "  forcing: none"
    else:
        of = "the same everywhere" if len(layout.forcing.shape) == 3 else "a field"
        yield f"  forcing: {last_size(layout.forcing)}, {of}"


def _called(labels: Labels, own: str, name: str) -> str:
    """The name in the file, where it is not the one here, and the units, in brackets; empty if there is neither."""
    units = labels.attributes.get(own, {}).get("units")
    parts = [part for part in (own if own != name else "", units) if part]
    return f" ({', '.join(map(str, parts))})" if parts else ""


def _uses(pieces: Pieces, values: Reading) -> Iterator[str]:
    """Trajectories of each split and how long they are."""
    for name in SPLITS:
        known = values.splits.get(name)
        lengths = (
            {len(piece.frames) for piece in pieces.get(name, [])} if known is None else set(known.lengths.tolist())
        )
        if lengths:
            between = f"{min(lengths)} to {max(lengths)}" if len(lengths) > 1 else f"{min(lengths)}"
            number = len(pieces[name])
            yield f"  {name}: {number} {'trajectory' if number == 1 else 'trajectories'} of {between} frames"
        else:
            yield f"  {name}: nothing"
    cut = [piece.trajectory for name in SPLITS for piece in pieces.get(name, [])]
    if len(cut) > len(set(cut)):
        yield "  every trajectory is cut by time"


def _coarsening(layout: Layout) -> str:
    """What the file says or leaves to choose."""
    if layout.coarsening is not None:
        return f"{int(layout.coarsening)}, as the file says"
    choices = suggest.coarsenings(layout.grid)
    if not choices:
        return f"not said, and no number divides {layout.grid} into {suggest.FEWEST_CELLS} cells or more"
    return f"not said; may be set, --config.model.coarsening={' or '.join(map(str, choices))}"
