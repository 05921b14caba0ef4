"""Cache of generated arrays: a folder for each set of parameters, its arrays mapped from disk and not read at once."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from msvi.errors import InputError
from msvi.provenance import file_checksum

# Part of the key: raise it whenever the same parameters would give other numbers or another layout.
_VERSION = 2


def load(
    directory: str,
    case: str,
    parameters: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    generate: Callable[[dict[str, np.ndarray]], None],
) -> dict[str, np.ndarray]:
    """Float32 arrays of `shapes`, read-only and mapped from disk; generated where they are not there yet.

    The folder's name carries a hash of every parameter that the numbers depend on, and the parameters stand in it, so
    neither a stale nor a foreign folder is ever read in its place. It is written under another name and renamed when
    it is whole; checksums tell damage later on.

    Args:
      directory: of all caches.
      case: beginning of the folder's name.
      parameters: plain data that decide the numbers.
      shapes: of each array.
      generate: fills the arrays, which are mapped to disk too.

    Raises:
      InputError: the folder is damaged or holds other parameters.
    """
    text = json.dumps({"case": case, "version": _VERSION, **parameters}, sort_keys=True)
    path = os.path.join(directory, f"{case}-{hashlib.sha256(text.encode()).hexdigest()[:12]}")
    if not os.path.exists(path):
        _write(path, text, shapes, generate)
    return _read(path, text, shapes)


def _read(path: str, expected: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    mend = "delete the folder to generate it anew."
    try:
        with open(os.path.join(path, "parameters.json"), encoding="utf-8") as file:
            found = file.read()
        with open(os.path.join(path, "checksums.json"), encoding="utf-8") as file:
            checksums = json.load(file)
        arrays: dict[str, np.ndarray] = {name: np.lib.format.open_memmap(_file(path, name), "r") for name in shapes}
        checksums = dict(checksums)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"The cached data set {path} cannot be read ({error}); {mend}") from None
    if found != expected:
        raise InputError(f"The cached data set {path} holds parameters {found}, expected {expected}; {mend}")
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != np.float32:
            raise InputError(
                f"The cached data set {path} holds {name} of the shape {array.shape} and type {array.dtype}, expected "
                f"{shapes[name]} and float32; {mend}"
            )
        if file_checksum(_file(path, name)) != checksums.get(name):
            raise InputError(f"The cached data set {path} has changed since it was written, see {name}.npy; {mend}")
    return arrays


def _write(path: str, text: str, shapes: dict[str, tuple[int, ...]], generate: Callable) -> None:
    directory = os.path.dirname(path) or "."
    os.makedirs(directory, exist_ok=True)
    temporary = tempfile.mkdtemp(dir=directory, suffix=".tmp")
    try:
        arrays = {
            name: np.lib.format.open_memmap(_file(temporary, name), "w+", np.float32, shape)
            for name, shape in shapes.items()
        }
        generate(arrays)
        for array in arrays.values():
            array.flush()
        checksums = json.dumps({name: file_checksum(_file(temporary, name)) for name in arrays})
        for name, content in (("parameters", text), ("checksums", checksums)):
            with open(os.path.join(temporary, f"{name}.json"), "w", encoding="utf-8") as file:
                file.write(content)
        os.chmod(temporary, 0o755)  # `mkdtemp` lets nobody else read
        os.rename(temporary, path)
    except OSError:
        shutil.rmtree(temporary)
        if not os.path.exists(path):  # else another process was faster
            raise
    except BaseException:
        shutil.rmtree(temporary)
        raise


def _file(path: str, name: str) -> str:
    return os.path.join(path, f"{name}.npy")
