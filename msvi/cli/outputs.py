"""Flags that name the files a command writes, and those it cannot do without."""

import os

from absl import flags

from msvi.errors import InputError
from msvi.report.save import FORMATS

# What each file that is written may end with, by its flag.
_DATA = (".nc", ".zarr")
_ENDINGS = {"output": _DATA, "forecast": _DATA, "figure": tuple(f".{name}" for name in FORMATS), "animation": (".gif",)}


def require(*names: str) -> None:
    """Passes where all of these flags are given.

    Raises:
      InputError: one is missing.
    """
    for name in names:
        if flags.FLAGS[name].value is None:
            raise InputError(f"`--{name}` is missing; --help tells what it is.")


def given_paths() -> dict[str, str]:
    """The files to be written, by their flags."""
    return {name: path for name in _ENDINGS if name in flags.FLAGS and (path := flags.FLAGS[name].value) is not None}


def require_some(paths: dict[str, str]) -> None:
    """Passes where at least one file is to be written.

    Raises:
      InputError: none is.
    """
    if not paths:
        raise InputError("Nothing to write; give `--output`, `--figure` or `--animation`.")


def check_endings(paths: dict[str, str]) -> None:
    """Passes where each file may be written.

    Raises:
      InputError: one has another ending, or exists.
    """
    for name, path in paths.items():
        if not path.endswith(_ENDINGS[name]):
            raise InputError(f"`--{name}` must end with {' or '.join(_ENDINGS[name])}, got {path!r}.")
        if os.path.exists(path):
            raise InputError(f"`--{name}` must not exist, but {path} does; choose another.")
