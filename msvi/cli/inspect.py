"""`msvi inspect FILE` tells what a data file holds, lacks and would be used for; nothing is written."""

import argparse
import sys

from msvi.cli.status import one_line
from msvi.recipe.inspection import inspect


@one_line
def main(arguments: list[str]) -> int:
    """Status 0 if the file can be used and 2 if not."""
    parser = argparse.ArgumentParser(prog="msvi inspect", description=__doc__)
    parser.add_argument("file", help="NumPy archive, HDF5, NetCDF, Zarr, PDEBench, The Well")
    parser.add_argument("--boundary", default="", help="kind of each axis, as periodic,edge; the file's if left out")
    for name, use in (("train", "learn from"), ("val", "validate"), ("test", "test")):
        parser.add_argument(f"--num_{name}", type=_count, default=0, help=f"trajectories to {use}; 0 leaves it open")
    parser.add_argument("--seed", type=_count, default=0, help="of the division into splits")
    given = parser.parse_args(arguments)
    boundary = tuple(given.boundary.split(",")) if given.boundary else ()
    text, usable = inspect(given.file, boundary, given.num_train, given.num_val, given.num_test, given.seed)
    print(text)
    return 0 if usable else 2


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {number}")
    return number


def start() -> None:
    """Reads the arguments and inspects."""
    sys.exit(main(sys.argv[1:]))
