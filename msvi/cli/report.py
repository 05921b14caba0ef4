"""`msvi report`: one web page from result files, which loads nothing.

msvi report
msvi report runs/custom_my_auto_s0
msvi report results/custom/my/d3_s0.json results/custom/my/d3_s1.json
"""

import argparse
import os
import sys

from msvi.errors import InputError
from msvi.report.page import build


def main(arguments: list[str]) -> int:
    """Status 2 if there is nothing to report or a file cannot be used."""
    parser = argparse.ArgumentParser(
        prog="msvi report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="result file, workdir of an evaluated run, or folder of result files; --results if there is none",
    )
    parser.add_argument("--results", default="results", help="folder of the result files")
    parser.add_argument("--figures", default="figures", help="folder of the pictures and animations of such a folder")
    parser.add_argument("--output", default="report.html", help="the page")
    given = parser.parse_args(arguments)
    try:
        text = build(given.paths or [given.results], given.figures)
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
