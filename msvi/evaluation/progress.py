"""What an evaluation says while it runs: a bar where somebody looks at a terminal, else a line now and then."""

import contextlib
import sys
import time
from collections.abc import Iterator

import tqdm

# Between two lines about trajectories, where there is no terminal.
_SECONDS = 10


class Progress:
    """Of an evaluation.

    On a terminal its words and a bar are on stderr, apart from what is printed in the end; elsewhere plain lines are on
    stdout.
    """

    def __init__(self):
        self._bar: tqdm.tqdm | None = None
        self._total = self._count = 0
        self._told = time.monotonic()
        self._held: list[str] = []

    def begin(self, text: str) -> None:
        """The first line, which is printed with the second one where there is no terminal: what is refused in between
        prints nothing."""
        if sys.stderr.isatty():
            self.say(text)
        else:
            self._held.append(text)

    def say(self, text: str) -> None:
        """One line about what is done now."""
        if not sys.stderr.isatty():
            print(*self._held, text, sep="\n", flush=True)
            self._held.clear()
        elif self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.write(text, file=sys.stderr)
        self._told = time.monotonic()

    @contextlib.contextmanager
    def counting(self, total: int) -> Iterator[None]:
        """Counts so many trajectories, of which `ended` tells, within the block."""
        self._total, self._count = total, 0
        with tqdm.tqdm(total=total, unit="trajectory", disable=None, dynamic_ncols=True, leave=False) as self._bar:
            yield
        self._bar = None

    def ended(self) -> None:
        """One trajectory more is done."""
        self._count += 1
        if self._bar is not None:
            self._bar.update()
        if not sys.stderr.isatty() and time.monotonic() - self._told > _SECONDS:
            self.say(f"{self._count} of {self._total} trajectories are done")
