"""Figures as files: pixels for a screen, or lines and letters for a paper. Equal figures give equal bytes."""

from typing import Any

import matplotlib
from matplotlib.figure import Figure

from msvi.errors import InputError

# What each kind of file says of when it was made, which is left out.
_UNDATED = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
FORMATS = tuple(_UNDATED)
# Letters stay letters that can be searched and edited; ids depend on the content alone.
_SETTINGS: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "msvi"}


def save_figure(figure: Figure, stem: str, formats: tuple[str, ...] = ("png",)) -> list[str]:
    """Writes `<stem>.<format>` in each format and returns the paths.

    Args:
      figure: to be written.
      stem: path without an ending.
      formats: some of `FORMATS`; a PNG has 120 dots per inch.
    """
    check_formats(formats)
    paths = [f"{stem}.{name}" for name in dict.fromkeys(formats)]
    with matplotlib.rc_context(_SETTINGS):
        for path in paths:
            figure.savefig(path, dpi=120, metadata=_UNDATED[path.rsplit(".", 1)[1]])
    return paths


def check_formats(formats: tuple[str, ...]) -> None:
    """Raises an `InputError` unless all are formats that figures can be written in."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(
            f"Figures are written as {', '.join(FORMATS)}, got {list(formats)}; name one or more of these."
        )
