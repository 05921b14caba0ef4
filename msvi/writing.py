"""Files that are there whole or not at all, whatever stops the program that writes them."""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

from msvi.errors import InputError


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Where to write what shall stand at `path`: beside it, and renamed when the block ends. Creates the folder.

    If the block fails, what stood at `path` still does, and nothing is left beside it.

    Raises:
      InputError: the disk is full.
    """
    folder, temporary = os.path.dirname(os.path.abspath(path)), path + ".tmp"
    with explain_full_disk(folder):
        os.makedirs(folder, exist_ok=True)
        _remove(temporary)  # of a process that was killed
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            _remove(temporary)
            raise


def replace_file(path: str, text: str) -> None:
    """Writes a text as `replacing` says, and waits until it is on the disk.

    Raises:
      InputError: the disk is full.
    """
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: str, values: dict[str, Any]) -> None:
    """Writes strict JSON (no NaN), lists of numbers on one line.

    Raises:
      InputError: the disk is full.
    """
    text = json.dumps(values, indent=1, allow_nan=False)
    text = re.sub(r"\[\n([-+\w.,\s]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    replace_file(path, text + "\n")


@contextlib.contextmanager
def explain_full_disk(folder: str) -> Iterator[None]:
    """Turns what a full disk raises, which is not always an `OSError`, into one sentence.

    Raises:
      InputError: naming `folder`, which was to be written.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = os.strerror(code)
            if getattr(error, "errno", None) == code or reason in str(error):
                raise InputError(
                    f"{folder} cannot be written, the disk is full or a limit is reached ({reason}); free some space "
                    "and give the same command again."
                ) from None
        raise


def _remove(path: str) -> None:
    """Takes a file or folder away, if it is there and can be."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.remove(path)
