"""What is wrong with a data file, each problem as the end of a sentence that begins with the file.

A problem says what was got, what was expected and what to do. They are gathered rather than raised one by one, so that
a file has to be mended only once. Beside each stands the name of the array or fact that it is about.
"""

from collections.abc import Iterator

import numpy as np

from msvi.data.formats.layout import AXES, Layout
from msvi.data.split import SPLITS
from msvi.data.times import increase, resolved
from msvi.errors import InputError
from msvi.types import BOUNDARIES

# Kinds of NumPy's types for each array.
_NUMBERS, _TIMES = "fiu", "fiumM"
_KINDS = {"u": "f", "u_true": "f", "mask": "biu", "t": _TIMES, "mu": _NUMBERS, "forcing": _NUMBERS}
_EXPECTED = {"f": "floating-point numbers", "biu": "booleans", _NUMBERS: "numbers", _TIMES: "numbers or dates"}


def refuse(path: str, problems: list[str]) -> None:
    """Raises `InputError` with all `problems` of the file in one sentence, if there are any."""
    if problems:
        raise InputError(f"The data file {path} {'; it '.join(problems)}.")


def gather(problems: list[tuple[str, str]]) -> list[str]:
    """Of problems that are found in many trajectories the first about each array, and how many more there are."""
    found: dict[str, list[str]] = {}
    for name, text in problems:
        found.setdefault(name, []).append(text)
    return [text + (f" (the same in {len(more)} others)" if more else "") for text, *more in found.values()]


def find_problems(layout: Layout) -> list[tuple[str, str]]:
    """Everything that can be seen to be wrong before a field is read, each with what it is about."""
    checks = (_types, _shapes, _times, _boundary, _coordinates, _parameters, _split, _coarsening)
    return [*layout.problems, *(problem for check in checks for problem in check(layout))]


def _types(layout: Layout) -> Iterator[tuple[str, str]]:
    for name, kinds in _KINDS.items():
        array = getattr(layout, name)
        if array is not None and array.dtype.kind not in kinds:
            yield name, f"holds `{name}` of type {array.dtype}, expected {_EXPECTED[kinds]}; convert it"


def _shapes(layout: Layout) -> Iterator[tuple[str, str]]:
    shape, trajectories = layout.u.shape, layout.u.shape[0]
    times = shape[:2] if layout.forcing_t is None else layout.forcing_t.shape
    allowed = {
        "u_true": [shape],
        "mask": [shape[:2], shape[:-1], shape],
        "t": [shape[1:2], shape[:2]],
        "mu": [(trajectories, "parameter")],
        "forcing": [(*times, "force"), (*times, *layout.grid, "force")],
        "split": [(trajectories,)],
    }
    for name, shapes in allowed.items():
        array = getattr(layout, name)
        if array is not None and not any(_fits(array.shape, one) for one in shapes):
            listed = " or ".join(f"({', '.join(map(str, one))})" for one in shapes)
            yield name, f"holds `{name}` of the shape {array.shape}, expected {listed} as `u` is {shape}; reshape it"


def _fits(shape: tuple[int, ...], expected: tuple[int | str, ...]) -> bool:
    """Whether a shape is the expected one, in which a name stands for any number but 0."""
    return len(shape) == len(expected) and all(
        n > 0 if isinstance(m, str) else n == m for n, m in zip(shape, expected, strict=True)
    )


def _times(layout: Layout) -> Iterator[tuple[str, str]]:
    t = layout.t
    if t is None:
        yield "t", "has no frame times `t`; add them, or the numbers of the frames"
    elif t.dtype.kind in _TIMES and t.shape in (layout.u.shape[:2], layout.u.shape[1:2]):
        if not increase(t):
            yield (
                "t",
                "has frame times `t` that do not increase strictly, or lack some before the last; sort the frames, and "
                "leave out those without a time",
            )
        elif not resolved(layout.times):
            yield (
                "t",
                f"has frame times `t` up to {np.nanmax(layout.times):g} after the start, between some of which single "
                "precision cannot tell how long it is; leave out frames that all but coincide, or cut the trajectories",
            )


def _boundary(layout: Layout) -> Iterator[tuple[str, str]]:
    number = len(layout.grid)
    axes = f"{number} {'axis' if number == 1 else 'axes'}"
    give = (
        f"give --config.data.boundary={','.join(('periodic', 'edge', 'edge')[:number])} or what it is (--boundary of "
        "`msvi inspect`, `boundary` of `msvi.fit`)"
    )
    if layout.boundary is None:
        yield "boundary", f"does not say the boundary of its {axes}; {give}"
    elif len(layout.boundary) != number or not set(layout.boundary) <= set(BOUNDARIES):
        found = ",".join(layout.boundary)
        yield "boundary", f"has the boundary {found}, expected {' or '.join(BOUNDARIES)} for its {axes}; {give}"


def _coordinates(layout: Layout) -> Iterator[tuple[str, str]]:
    for name, points, size in zip(AXES, layout.coordinates, layout.grid, strict=False):
        if points is not None and not _even(points, size):
            yield (
                name,
                f"holds `{name}` of the shape {points.shape}, expected {size} numbers that increase in equal steps; "
                "correct it or leave it out",
            )


def _even(points: np.ndarray, size: int) -> bool:
    """Whether these are `size` numbers with equal steps between them, to a thousandth."""
    if points.dtype.kind not in _NUMBERS or points.shape != (size,):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(points.astype(np.float64))
        return bool(steps.mean() > 0 and (np.abs(steps - steps.mean()) <= 1e-3 * steps.mean()).all())


def _parameters(layout: Layout) -> Iterator[tuple[str, str]]:
    if layout.mu is not None and layout.mu.dtype.kind in _NUMBERS:
        with np.errstate(over="ignore"):
            number = int((~np.isfinite(layout.mu.astype(np.float32))).sum())
        if number:
            yield (
                "mu",
                f"holds {number} of the {layout.mu.size} values of `mu` that are not finite in single precision; "
                "correct them or take a larger unit",
            )


def _split(layout: Layout) -> Iterator[tuple[str, str]]:
    unknown = sorted(set(layout.split_names or ()) - set(SPLITS))
    if unknown:
        found = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        yield "split", f"says {found} in `split`, expected {', '.join(SPLITS)}, or 0, 1, 2 for these; rename them"


def _coarsening(layout: Layout) -> Iterator[tuple[str, str]]:
    if layout.coarsening is None:
        return
    number = np.asarray(layout.coarsening)
    if number.size != 1 or number.dtype.kind not in _NUMBERS or not number.item() >= 1 or number.item() % 1:
        yield "coarsening", f"has the `coarsening` {layout.coarsening}, expected one whole number from 1 on; correct it"
