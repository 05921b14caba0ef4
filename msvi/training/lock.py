"""One process at a time may write in a folder."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator

from msvi.errors import InputError
from msvi.training.checkpoint import warn
from msvi.writing import explain_full_disk


@contextlib.contextmanager
def hold_lock(path: str) -> Iterator[None]:
    """Holds the lock on the file `path` meanwhile; the file says who does, and stays when the lock is given back.

    The operating system gives the lock back when its holder ends, however that happens, so that none is ever stale.
    Over a network file system it holds for other hosts as far as that system carries `flock`, as NFS from Linux 2.6.12
    on does; where locks are not supported at all a warning says so.

    Raises:
      InputError: another process holds it, which is named; nothing is written then.
    """
    folder = os.path.dirname(path)
    with explain_full_disk(folder):
        file = open(path, "a+b", buffering=0)  # noqa: SIM115
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().decode().strip() or "another process"
            raise InputError(
                f"{folder} is in use by {holder}; wait until that has ended, stop it, or choose another workdir."
            ) from None
        except OSError as error:
            warn(f"{path} cannot be locked ({error.strerror}); see to it that no other process trains in {folder}.")
        with explain_full_disk(folder):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
