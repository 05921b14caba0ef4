"""The README's tables from the result files: `python -m msvi.results` rewrites them, `--check` only compares."""

import argparse
import glob
import json
import os
import statistics
import sys
from typing import Any

from matplotlib.figure import Figure

from msvi import plotting
from msvi.errors import InputError

# Published errors, NRMSE of one seed on one test trajectory, by case and micro_dim (Ilersich & Nair).
PUBLISHED = {
    "burgers_1d": {0: 0.105, 1: 0.024, 2: 0.021, 3: 0.028, 4: 0.028, 5: 0.011},
    "kdv_1d": {0: 0.317, 1: 0.139, 2: 0.057, 3: 0.064, 4: 0.132, 5: 0.058},
    "burgers_2d": {0: 0.127, 1: 0.044, 2: 1.005, 3: 0.011, 4: 0.022, 5: 0.013},
    "cylinder_2d": {0: 0.124, 1: 0.073, 2: 0.063, 3: 0.054, 4: 0.052, 5: 0.049},
}

_COLUMNS = (
    "case",
    "micro_dim",
    "seed",
    "steps",
    "training",
    "NRMSE median",
    "mean ± sd",
    "worst",
    "against truth",
    "reconstruction",
    "noise floor",
    "published",
)
# What a table adds to a case's name.
_NOTES = {"cylinder_2d": " (our simulation)"}

# Errors beside the forecast's, in the order of their columns.
_PARTS = ("nrmse_clean", "reconstruction_nrmse", "noise_floor")


def load_results(directory: str) -> list[dict[str, Any]]:
    """All `<case>/d<micro_dim>_s<seed>.json` below `directory`, sorted by case, micro_dim and seed."""
    results = []
    for path in glob.glob(os.path.join(directory, "*", "d*_s*.json")):
        with open(path, encoding="utf-8") as file:
            results.append(json.load(file))
    return sorted(results, key=lambda r: (r["case"], r["micro_dim"], r["seed"]))


def markdown_table(results: list[dict[str, Any]]) -> str:
    """One row per run: NRMSE over the test trajectories, its parts, the published value, and what it cost.

    Where the paper's test trajectory is none of them, it has a row of its own.
    """
    lines = [
        "| " + " | ".join(_COLUMNS) + " |",
        "|---" * len(_COLUMNS) + "|",
    ]
    for r in results:
        published = PUBLISHED.get(r["case"], {}).get(r["micro_dim"])
        case = r["case"] + _NOTES.get(r["case"], "")
        rows = [(case, r["test"], published)]
        if "published_test" in r:  # the number of the paper belongs to this one
            rows = [(case, r["test"], None), (f"{case}, from t = 14.01", r["published_test"], published)]
        for name, test, published in rows:
            nrmse = test["nrmse"]
            cells = [
                name,
                str(r["micro_dim"]),
                str(r["seed"]),
                f"{r['steps']:,}",
                f"{r['train_seconds'] / 60:.1f} min",
                f"**{format_number(nrmse['median'])}**",
                f"{format_number(nrmse['mean'])} ± {format_number(nrmse['std'])}",
                format_number(worst(nrmse)),
                *(format_number(test[part]["median"]) for part in _PARTS),
                "" if published is None else f"{published:.3f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text_table(rows: list[tuple[dict[str, Any], dict[str, Any] | None]]) -> str:
    """A plain table of runs: what names each, its cost and errors; `None` stands for a run without a result."""
    columns = ("steps", "minutes", "NRMSE median", "mean", "worst", "reconstruction", "noise floor", "published")
    table = [[*rows[0][0], *columns]]
    for names, r in rows:
        cells = ["not finished"] + [""] * (len(columns) - 1)
        if r:
            nrmse, published = r["test"]["nrmse"], PUBLISHED.get(r["case"], {}).get(r["micro_dim"])
            errors = [nrmse["median"], nrmse["mean"], worst(nrmse)]
            errors += [r["test"][name]["median"] for name in ("reconstruction_nrmse", "noise_floor")]
            cells = [f"{r['steps']:,}", f"{r['train_seconds'] / 60:.1f}", *map(format_number, errors)]
            cells.append("" if published is None else f"{published:.3f}")
        table.append([*map(str, names.values()), *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(f"{cell:>{n}}" for cell, n in zip(row, widths, strict=True)) for row in table)


def summary_table(results: list[dict[str, Any]]) -> str:
    """Two rows per case: our errors by micro_dim, means over the seeds of the median, and the published ones."""
    cases = sorted({r["case"] for r in results})
    dims = sorted({r["micro_dim"] for r in results} | {dim for case in cases for dim in PUBLISHED.get(case, {})})
    lines = [
        "| case | NRMSE | " + " | ".join(f"micro_dim {dim}" for dim in dims) + " |",
        "|---" * (len(dims) + 2) + "|",
    ]
    for case in cases:
        ours = {}
        for dim in dims:
            medians = [r["test"]["nrmse"]["median"] for r in results if (r["case"], r["micro_dim"]) == (case, dim)]
            if medians:
                ours[dim] = format_number(None if None in medians else statistics.fmean(medians))
        published = {dim: f"{value:.3f}" for dim, value in PUBLISHED.get(case, {}).items()}
        for name, values in (("ours", ours), ("published", published)):
            cells = [case + _NOTES.get(case, ""), name, *(values.get(dim, "—") for dim in dims)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sweep_figure(results: list[dict[str, Any]]) -> Figure:
    """Error against micro_dim of the results of one case, the published errors beside."""
    case = results[0]["case"]
    names = ("nrmse", "reconstruction_nrmse", "noise_floor")
    # A median that diverged is null; as NaN it leaves a gap.
    errors = [[float("nan") if (v := r["test"][name]["median"]) is None else v for r in results] for name in names]
    return plotting.error_against_micro_dim(
        [r["micro_dim"] for r in results], *errors, published=PUBLISHED.get(case, {}), title=case
    )


def draw_sweeps(results: list[dict[str, Any]], directory: str) -> list[str]:
    """Draws `<directory>/<case>/sweep.png` for each case with two or more values of micro_dim; returns the paths."""
    paths = []
    for case in sorted({r["case"] for r in results}):
        chosen = [r for r in results if r["case"] == case]
        if len({r["micro_dim"] for r in chosen}) > 1:
            paths.append(os.path.join(directory, case, "sweep.png"))
            os.makedirs(os.path.dirname(paths[-1]), exist_ok=True)
            sweep_figure(chosen).savefig(paths[-1], dpi=120)
    return paths


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


def update_readme(readme: str, results: list[dict[str, Any]]) -> str:
    """`readme` with both tables as `results` give them."""
    readme = insert_table(readme, "summary", summary_table(results))
    return insert_table(readme, "results", markdown_table(results))


def worst(score: dict[str, Any]) -> float | None:
    """Largest error of the trajectories; None if one diverged."""
    return None if None in score["per_trajectory"] else max(score["per_trajectory"])


def format_number(value: float | None) -> str:
    """An error as the tables show it."""
    return "diverged" if value is None else f"{value:.4f}"


def main() -> int:
    """Command line; status 1 if `--check` finds other tables than the results give."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results", help="folder of the result files")
    parser.add_argument("--readme", default="README.md", help="file whose tables are rewritten")
    parser.add_argument("--figures", default="figures", help="folder of the figures of error against micro_dim")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the tables are not up to date")
    arguments = parser.parse_args()
    with open(arguments.readme, encoding="utf-8") as file:
        readme = file.read()
    results = load_results(arguments.results)
    updated = update_readme(readme, results)
    if arguments.check:
        if updated != readme:
            print(f"{arguments.readme} does not show {arguments.results}; run python -m msvi.results.", file=sys.stderr)
        return int(updated != readme)
    draw_sweeps(results, arguments.figures)
    with open(arguments.readme, "w", encoding="utf-8") as file:
        file.write(updated)
    return 0


if __name__ == "__main__":
    sys.exit(main())
