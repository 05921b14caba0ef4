"""The tables of README.md and docs/*.md from the result files: `python -m msvi.report.readme` rewrites them.

With `--check` nothing is written and a table that is out of date fails. A table stands between two marks, comments that
say its name and `begin` or `end`; a page has as many tables as it has pairs of marks, and a table may be on several.
"""

import argparse
import glob
import os
import re
import sys
from typing import Any

from msvi.errors import InputError
from msvi.report.results import (
    draw_ranks,
    draw_sweeps,
    load_baselines,
    load_cells,
    load_data_files,
    load_domains,
    load_ensembles,
    load_results,
    load_systems,
)
from msvi.report.tables import (
    BASELINE_LABELS,
    LATENTS,
    LATENTS_PER_CELL,
    MISSING,
    PUBLISHED,
    PUBLISHED_REL_L2,
    Table,
    as_published,
    baselines_table,
    calibration_table,
    case_name,
    count_cell,
    data_files_table,
    markdown,
    results_table,
    summary_table,
)
from msvi.report.tables_study import (
    bars_table,
    published_code_table,
    range_table,
    rel_l2_table,
    scaling_table,
    seeds_table,
    study_cost_table,
)
from msvi.report.tables_systems import apebench_table, checks_table, patches_table, systems_scores_table
from msvi.report.wording import published_cell, score_cell

Result = dict[str, Any]

# Baselines that the first table shows.
_RIVALS = ("dmd", "sindy")
# What was measured of time and memory, files of `benchmark/`.
_COSTS = ("forecast", "streaming")


def overview_table(results: list[Result], cells: list[Result], baselines: list[Result]) -> Table:
    """A row per case for who has a minute: errors of test trajectories, means over the seeds.

    Medians of the NRMSE against the truth; and against the data, as they are published, the median of the NRMSE and the
    mean relative L2 error, which is of the times that the paper scores.

    Args:
      results: runs with a few microscale latents for the domain.
      cells: runs with latents in every coarse cell.
    """
    columns = ["case", "test trajectories", "micro_dim 0", f"micro_dim {LATENTS}", f"{LATENTS_PER_CELL} per cell"]
    columns += [BASELINE_LABELS[name] for name in _RIVALS]
    columns += [f"{LATENTS} against data", f"{LATENTS}, published", "noise floor"]
    table = Table(columns, [])
    for case in sorted({r["case"] for r in results}):
        chosen = [r for r in results if r["case"] == case]
        ours = [r for r in chosen if r["micro_dim"] == LATENTS]
        models = [[r for r in chosen if r["micro_dim"] == 0], ours]
        models += [[r for r in cells if (r["case"], r["micro_dim"]) == (case, LATENTS_PER_CELL)]]
        models += [[b for b in baselines if (b["case"], b["baseline"]) == (case, name)] for name in _RIVALS]
        row = [case_name(case), count_cell(chosen)]
        row += [score_cell(runs, "nrmse_clean", "median") for runs in models]
        rel_l2 = score_cell([as_published(r) for r in ours], "rel_l2", "mean")
        row += [f"{score_cell(ours, 'nrmse', 'median')} / {rel_l2}"]
        published = (found.get(case, {}).get(LATENTS) for found in (PUBLISHED, PUBLISHED_REL_L2))
        row += [" / ".join(published_cell(value, MISSING) for value in published)]
        table.rows.append([*row, score_cell(chosen, "noise_floor", "median")])
    return table


def make_tables(directory: str) -> dict[str, str]:
    """By its name each table of README and docs in Markdown, from the result files in a folder.

    Raises:
      InputError: a file is no result, such as one that was cut off.
    """
    results, cells, baselines = load_results(directory), load_cells(directory), load_baselines(directory)
    systems, apebench = load_systems(directory), apebench_table(load_systems(directory, "apebench"))
    tables = {
        "overview": overview_table(results, cells, baselines),
        "summary": summary_table(results),
        "baselines": baselines_table(results, baselines),
        "calibration": calibration_table(results + cells, load_ensembles(directory), baselines),
        "rel L2": rel_l2_table(results, load_results(os.path.join(directory, "published_split")), cells),
        "bars": bars_table(results),
        "scaling": scaling_table(results + cells),
        "seeds": seeds_table(results + cells),
        "range": range_table(results + cells),
        "published code": published_code_table(directory, results),
        "study cost": study_cost_table(results + cells, baselines),
        "results": results_table(results),
        "cells": results_table(cells).without("published"),
        "data files": data_files_table(load_data_files(directory)),
        "systems": systems_scores_table(systems),
        "checks": checks_table(systems),
        "assimilation": checks_table(load_systems(directory, "assimilation")),
        "patches": patches_table(load_domains(directory)),
        "costs": checks_table([r for name in _COSTS for r in load_systems(directory, "benchmark", name)]),
        "apebench": apebench.without("trained here", "allowed", "first step", "reconstruction"),
        "apebench in full": apebench,
    }
    return {name: markdown(table) for name, table in tables.items()}


def find_pages(root: str) -> list[str]:
    """README.md and docs/*.md below a folder, as far as they are there."""
    readme = os.path.join(glob.escape(root), "README.md")
    return glob.glob(readme) + sorted(glob.glob(os.path.join(glob.escape(root), "docs", "*.md")))


def insert_table(page: str, name: str, table: str) -> str:
    """`page` with `table` between the two marks called `name`.

    Raises:
      InputError: a mark is missing.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in page or end not in page.split(begin, 1)[1]:
        raise InputError(f"The table needs the marks {begin} and {end} around it; put them back.")
    head, rest = page.split(begin, 1)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"


def update_pages(pages: dict[str, str], tables: dict[str, str]) -> dict[str, str]:
    """The text of each page with its tables as they should be.

    Args:
      pages: path -> text.
      tables: name -> Markdown.

    Raises:
      InputError: a table whose marks are on no page, a mark without its other half, or one of no table.
    """
    marks = {
        path: dict.fromkeys(re.findall(r"<!-- ([\w -]+): (?:begin|end) -->", text)) for path, text in pages.items()
    }
    found = {name for names in marks.values() for name in names}
    if lacking := [name for name in tables if name not in found]:
        raise InputError(
            f"No page has the marks of the table `{lacking[0]}`; put <!-- {lacking[0]}: begin --> and "
            f"<!-- {lacking[0]}: end --> into README.md or a page of docs/."
        )
    updated = {}
    for path, text in pages.items():
        for name in marks[path]:
            if name not in tables:
                raise InputError(f"{path} has the marks of `{name}`, but tables are {', '.join(tables)}; remove them.")
            try:
                text = insert_table(text, name, tables[name])
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
        updated[path] = text
    return updated


def main() -> int:
    """Command line; status 1 if `--check` finds other tables than the results give, 2 if a file cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", default="results", help="folder of the result files")
    parser.add_argument("--root", default=".", help="folder of README.md and docs/, whose tables are rewritten")
    parser.add_argument("--figures", default="figures", help="folder of the figures that are drawn of all results")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the tables are not up to date")
    given = parser.parse_args()
    try:
        pages = {}
        for path in find_pages(given.root):
            with open(path, encoding="utf-8") as file:
                pages[path] = file.read()
        updated = update_pages(pages, make_tables(given.results))
        old = [path for path in pages if updated[path] != pages[path]]
        if given.check:
            for path in old:
                print(f"{path} does not show {given.results}; run python -m msvi.report.readme.", file=sys.stderr)
            return int(bool(old))
        results = load_results(given.results)
        draw_sweeps(results, given.figures)
        draw_ranks(results + load_cells(given.results), given.figures)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in old:
        with open(path, "w", encoding="utf-8") as file:
            file.write(updated[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
