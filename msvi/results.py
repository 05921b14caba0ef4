"""The README's tables from the result files: `python -m msvi.results` rewrites them, `--check` only compares."""

import argparse
import glob
import json
import os
import sys
from typing import Any

from msvi.errors import InputError

# Published errors, NRMSE of one seed on one test trajectory, by case and micro_dim (Ilersich & Nair).
PUBLISHED = {"burgers_1d": {0: 0.105, 1: 0.024, 2: 0.021, 3: 0.028, 4: 0.028, 5: 0.011}}

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
_BEGIN, _END = "<!-- results: begin -->", "<!-- results: end -->"


def load_results(directory: str) -> list[dict[str, Any]]:
    """All `<case>/d<micro_dim>_s<seed>.json` below `directory`, sorted by case, micro_dim and seed."""
    results = []
    for path in glob.glob(os.path.join(directory, "*", "d*_s*.json")):
        with open(path, encoding="utf-8") as file:
            results.append(json.load(file))
    return sorted(results, key=lambda r: (r["case"], r["micro_dim"], r["seed"]))


def markdown_table(results: list[dict[str, Any]]) -> str:
    """One row per run: NRMSE over the test trajectories, its parts, the published value, and what it cost."""
    lines = [
        "| " + " | ".join(_COLUMNS) + " |",
        "|---" * len(_COLUMNS) + "|",
    ]
    for r in results:
        nrmse, test = r["test"]["nrmse"], r["test"]
        worst = None if None in nrmse["per_trajectory"] else max(nrmse["per_trajectory"])
        published = PUBLISHED.get(r["case"], {}).get(r["micro_dim"])
        cells = [
            r["case"],
            str(r["micro_dim"]),
            str(r["seed"]),
            f"{r['steps']:,}",
            f"{r['train_seconds'] / 60:.1f} min",
            f"**{_number(nrmse['median'])}**",
            f"{_number(nrmse['mean'])} ± {_number(nrmse['std'])}",
            _number(worst),
            *(_number(test[name]["median"]) for name in ("nrmse_clean", "reconstruction_nrmse", "noise_floor")),
            "" if published is None else f"{published:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def insert_table(readme: str, table: str) -> str:
    """`readme` with `table` between its two marks.

    Raises:
      InputError: a mark is missing.
    """
    if _BEGIN not in readme or _END not in readme.split(_BEGIN, 1)[1]:
        raise InputError(f"The README needs the marks {_BEGIN} and {_END} around its table; put them back.")
    head, rest = readme.split(_BEGIN, 1)
    return f"{head}{_BEGIN}\n{table}\n{_END}{rest.split(_END, 1)[1]}"


def _number(value: float | None) -> str:
    return "diverged" if value is None else f"{value:.4f}"


def main() -> int:
    """Command line; status 1 if `--check` finds another table than the results give."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results", help="folder of the result files")
    parser.add_argument("--readme", default="README.md", help="file whose table is rewritten")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the table is not up to date")
    arguments = parser.parse_args()
    with open(arguments.readme, encoding="utf-8") as file:
        readme = file.read()
    updated = insert_table(readme, markdown_table(load_results(arguments.results)))
    if updated == readme:
        return 0
    if arguments.check:
        print(f"{arguments.readme} does not show {arguments.results}; run python -m msvi.results.", file=sys.stderr)
        return 1
    with open(arguments.readme, "w", encoding="utf-8") as file:
        file.write(updated)
    return 0


if __name__ == "__main__":
    sys.exit(main())
