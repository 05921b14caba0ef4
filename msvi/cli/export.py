"""`msvi export RUN model.zip`: the model of a run in one file, for `msvi.load` on any machine."""

import argparse
import sys

from msvi.cli.status import one_line
from msvi.library import export


@one_line
def main(arguments: list[str]) -> int:
    """Status 0 if the archive was written, and 2 if not."""
    parser = argparse.ArgumentParser(prog="msvi export", description=__doc__)
    parser.add_argument("workdir", help="folder of the run")
    parser.add_argument("archive", help="file to write, .zip; must not exist")
    given = parser.parse_args(arguments)
    export(given.workdir, given.archive)
    print(given.archive)
    return 0


def start() -> None:
    """Reads the arguments and exports."""
    sys.exit(main(sys.argv[1:]))
