"""The README's tables from the result files: `python -m msvi.report.readme` rewrites them, `--check` only compares."""

import argparse
import sys
from typing import Any

from msvi.errors import InputError
from msvi.report.results import (
    draw_sweeps,
    load_baselines,
    load_cells,
    load_data_files,
    load_ensembles,
    load_results,
    load_systems,
)
from msvi.report.tables import (
    baselines_table,
    calibration_table,
    data_files_table,
    markdown,
    results_table,
    summary_table,
)
from msvi.report.tables_systems import checks_table, systems_scores_table


def insert_table(readme: str, name: str, table: str) -> str:
    """`readme` with `table` between the two marks called `name`.

    Raises:
      InputError: a mark is missing.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in readme or end not in readme.split(begin, 1)[1]:
        raise InputError(f"The README needs the marks {begin} and {end} around its table; put them back.")
    head, rest = readme.split(begin, 1)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"


def update_readme(
    readme: str,
    results: list[dict[str, Any]],
    cells: list[dict[str, Any]],
    baselines: list[dict[str, Any]],
    ensembles: list[dict[str, Any]],
    data_files: list[dict[str, Any]],
    systems: list[dict[str, Any]],
) -> str:
    """`readme` with its tables as the results give them: of runs with both layouts, baselines, ensembles, runs on own
    data and systems."""
    tables = {
        "summary": summary_table(results),
        "baselines": baselines_table(results, baselines),
        "calibration": calibration_table(results, ensembles),
        "results": results_table(results),
        "cells": results_table(cells).without("published"),
        "data files": data_files_table(data_files),
        "systems": systems_scores_table(systems),
        "checks": checks_table(systems),
    }
    for name, table in tables.items():
        readme = insert_table(readme, name, markdown(table))
    return readme


def main() -> int:
    """Command line; status 1 if `--check` finds other tables than the results give, 2 if a file cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results", help="folder of the result files")
    parser.add_argument("--readme", default="README.md", help="file whose tables are rewritten")
    parser.add_argument("--figures", default="figures", help="folder of the figures of error against micro_dim")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the tables are not up to date")
    arguments = parser.parse_args()
    try:
        with open(arguments.readme, encoding="utf-8") as file:
            readme = file.read()
        results = load_results(arguments.results)
        loaders = load_cells, load_baselines, load_ensembles, load_data_files, load_systems
        others = [load(arguments.results) for load in loaders]
        updated = update_readme(readme, results, *others)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.check:
        if updated != readme:
            print(
                f"{arguments.readme} does not show {arguments.results}; run python -m msvi.report.readme.",
                file=sys.stderr,
            )
        return int(updated != readme)
    draw_sweeps(results, arguments.figures)
    with open(arguments.readme, "w", encoding="utf-8") as file:
        file.write(updated)
    return 0


if __name__ == "__main__":
    sys.exit(main())
