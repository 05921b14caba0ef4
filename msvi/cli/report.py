"""`msvi report`: one web page from result files, which loads nothing.

msvi report
msvi report runs/custom_my_auto_s0
msvi report results/custom/my/d3_s0.json results/custom/my/d3_s1.json
"""

import argparse
import sys

from msvi.cli.status import one_line
from msvi.report.page import build
from msvi.writing import replace_file


@one_line
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
    text = build(given.paths or [given.results], given.figures)
    replace_file(given.output, text)
    print(f"{given.output}: {len(text.encode()) / 1e6:.1f} MB")
    return 0


def start() -> None:
    """Reads the arguments and reports."""
    sys.exit(main(sys.argv[1:]))
