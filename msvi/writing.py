"""Files that are there whole or not at all, whatever stops the program that writes them."""

import contextlib
import errno
import glob
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from typing import Any

from msvi.errors import InputError

# Seconds after which what another process writes, and has not touched since, is what it left when it was killed.
_LEFT = 3600.0


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Where to write what shall stand at `path`: beside it, and renamed when the block ends. Creates the folder.

    If the block fails, what stood at `path` still does, and nothing is left beside it. Processes that write the same
    file at once do not disturb one another: the last one's stands.

    Raises:
      InputError: the disk is full.
    """
    folder, temporary = os.path.dirname(os.path.abspath(path)), f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    with explain_full_disk(folder):
        os.makedirs(folder, exist_ok=True)
        _remove_left(path)
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


def unfinished(path: str) -> list[str]:
    """What processes write, or left when they were killed, that is to stand at `path`."""
    return glob.glob(f"{glob.escape(path)}.*.tmp")


def _remove_left(path: str) -> None:
    """Takes away what killed processes left that were to write `path`."""
    for left in unfinished(path):
        with contextlib.suppress(OSError):  # another process may be as quick
            if time.time() - os.path.getmtime(left) > _LEFT:
                _remove(left)


def _remove(path: str) -> None:
    """Takes a file or folder away, if it is there and can be."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.remove(path)
