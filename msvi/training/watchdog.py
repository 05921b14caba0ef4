"""Says when a training stands still; it never stops one, and touches nothing that is computed."""

import contextlib
import dataclasses
import statistics
import sys
import threading
import time
from collections.abc import Iterator

import tqdm


@dataclasses.dataclass(frozen=True)
class Patience:
    """For how long a training may be silent before a word is said.

    Attributes:
      first: seconds for the first chunk, which is compiled.
      usual: seconds for those after it.
      chunks: as many times the median of the chunks after the first are waited for at least.
    """

    first: float = 300.0
    usual: float = 180.0
    chunks: float = 10.0

    def seconds(self, durations: list[float]) -> float:
        """How long to wait after chunks of these durations, the first among them."""
        if not durations:
            return self.first
        if len(durations) == 1:
            return max(self.first, self.usual)  # what a chunk costs without compilation is not known yet
        return max(self.usual, self.chunks * statistics.median(durations[1:]))


class Watch:
    """What has been seen of a training so far: the last step that ended, and when."""

    def __init__(self, patience: Patience, step: int):
        self._patience, self._step, self._since = patience, step, time.monotonic()
        self._durations: list[float] = []
        self._changed, self._over = threading.Condition(), False

    def ended(self, step: int) -> None:
        """A chunk has ended with this step."""
        with self._changed:
            now = time.monotonic()
            self._durations.append(now - self._since)
            self._step, self._since = step, now
            self._changed.notify()

    def stop(self) -> None:
        """Ends `run`."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def run(self) -> None:
        """Sleeps until a chunk is late and says so, again each time the wait has doubled, until it is stopped."""
        said, wait = None, 0.0
        with self._changed:
            while not self._over:
                if said != self._since:
                    said, wait = self._since, self._patience.seconds(self._durations)
                left = self._since + wait - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                else:
                    tqdm.tqdm.write(_message(wait, self._step), file=sys.stderr)
                    wait *= 2


@contextlib.contextmanager
def watching(step: int, patience: Patience = Patience()) -> Iterator[Watch]:
    """Watches a training that goes on from `step`, from a thread of its own, until the block is left."""
    watch = Watch(patience, step)
    thread = threading.Thread(target=watch.run, name="watchdog", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def _message(seconds: float, step: int) -> str:
    minutes = f"{seconds / 60:.3g}"
    return (
        f"warning: no step has ended for {minutes} minutes since step {step}; it may be a slow machine, or if the "
        "processor idles a wait without an end: stop it with Ctrl-C and give the same command again on one core, "
        "`taskset -c 0 python train.py ...`, or train with fewer inference.num_nodes in another workdir."
    )
