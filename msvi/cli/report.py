"""`msvi report`: one web page from all result files, which loads nothing."""

import argparse
import os
import sys

from msvi.errors import InputError
from msvi.report.page import build


def main(arguments: list[str]) -> int:
    """Status 2 if there is nothing to report or a file cannot be used."""
    parser = argparse.ArgumentParser(prog="msvi report", description=__doc__)
    parser.add_argument("--results", default="results", help="folder of the result files")
    parser.add_argument("--figures", default="figures", help="folder of the pictures and animations")
    parser.add_argument("--output", default="report.html", help="the page")
    given = parser.parse_args(arguments)
    try:
        text = build(given.results, given.figures)
        with open(given.output + ".tmp", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(given.output + ".tmp", given.output)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.output}: {len(text.encode()) / 1e6:.1f} MB")
    return 0


def start() -> None:
    """Reads the arguments and reports."""
    sys.exit(main(sys.argv[1:]))
