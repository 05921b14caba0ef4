"""How the commands end that take plain arguments."""

import functools
import sys
from collections.abc import Callable

from msvi.errors import InputError


def one_line(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """`main`, where what a user can mend ends in one line on stderr and status 2."""

    @functools.wraps(main)
    def guarded(arguments: list[str]) -> int:
        try:
            return main(arguments)
        except (InputError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return guarded
