"""What a report is made of: result files from folders, workdirs or named one by one, sorted by case."""

import glob
import os
import re
from typing import NamedTuple

from msvi.errors import InputError
from msvi.report.results import load_result, load_systems
from msvi.report.tables import BASELINE_LABELS, Result
from msvi.report.wording import in_cells, run_name

# Below a folder of results: those of a case, and of a data file.
_FILES = ("d*_s*.json", "cells_d*_s*.json", "baseline_*.json", "ensemble_*.json")
_PATTERNS = (*(os.path.join("*", name) for name in _FILES), os.path.join("custom", "*", "*.json"))


class Pictures(NamedTuple):
    """A folder of pictures, and of which run they are; of a case alone only its forecasts are shown."""

    folder: str
    run: str = ""


class Case(NamedTuple):
    """All that is known of a case or of a data file.

    Attributes:
      key: the case, or `custom/<data file>`.
      runs: with one set of microscale latents for the whole field, by micro_dim and seed.
      cells: with as many in every coarse cell.
      baselines: in the order of `BASELINE_LABELS`.
      ensembles: of runs of several seeds.
      pictures: folders of them.
    """

    key: str
    runs: list[Result]
    cells: list[Result]
    baselines: list[Result]
    ensembles: list[Result]
    pictures: list[Pictures]

    @property
    def is_own_data(self) -> bool:
        """Whether it is a data file."""
        return self.key.startswith("custom/")

    @property
    def name(self) -> str:
        """For links."""
        return re.sub(r"[^\w-]+", "-", self.key)


class Sources(NamedTuple):
    """Cases, then data files, each by name; systems of which something is known exactly; and the folders of results."""

    cases: list[Case]
    systems: list[Result]
    folders: list[str]


def find_sources(paths: list[str], figures_dir: str) -> Sources:
    """Reads what the paths name.

    Args:
      paths: result files, workdirs that hold a `result.json`, and folders of result files.
      figures_dir: folder of the pictures and animations of folders of results, `<case>/<name>`.

    Raises:
      InputError: a path holds no result, or a file is damaged.
    """
    results: list[Result] = []
    systems: list[Result] = []
    folders = []
    pictures: dict[str, list[Pictures]] = {}
    for path in paths:
        own = os.path.join(path, "result.json")
        if os.path.isdir(path) and not os.path.exists(own):
            files = sorted({file for pattern in _PATTERNS for file in glob.glob(os.path.join(path, pattern))})
            found, known = [load_result(file) for file in files], load_systems(path)
            if not found and not known:
                raise InputError(
                    f"A folder of results must hold files such as kdv_1d/d5_s0.json, and a workdir its result.json, "
                    f"got {path!r} without any; train and evaluate first."
                )
            for r in found:
                pictures.setdefault(_key(r), []).append(Pictures(os.path.join(figures_dir, *_key(r).split("/"))))
            folders.append(path)
            results, systems = results + found, systems + known
            continue
        file = own if os.path.isdir(path) else path
        if not os.path.exists(file):
            raise InputError(f"{path} must be a result file, a workdir or a folder of results, but is not there.")
        r = load_result(file)
        if "system" in r:
            systems.append(r)
            continue
        results.append(r)
        if _is_run(r):
            # Of a forecast with other settings than the run's both are called after these.
            ending = re.fullmatch(r"result(.*)\.json", os.path.basename(file))
            folder = os.path.join(os.path.dirname(file), f"figures{ending[1] if ending else ''}")
            pictures.setdefault(_key(r), []).append(Pictures(folder, f"{run_name(r)}, seed {r['seed']}"))
    keys = sorted({_key(r) for r in results}, key=lambda key: (key.startswith("custom/"), key))
    return Sources([_case(key, results, pictures.get(key, [])) for key in keys], systems, folders)


def _key(r: Result) -> str:
    """The case; of own data with the name of the file, as result files are filed."""
    if r["case"] != "custom":
        return r["case"]
    return "custom/" + os.path.splitext(os.path.basename(os.path.normpath(r["config"]["data"]["path"])))[0]


def _is_run(r: Result) -> bool:
    return "baseline" not in r and "seeds" not in r


def _case(key: str, results: list[Result], pictures: list[Pictures]) -> Case:
    found = [r for r in results if _key(r) == key]
    runs = sorted(filter(_is_run, found), key=lambda r: (r["micro_dim"], r["seed"]))
    order = list(BASELINE_LABELS)
    return Case(
        key,
        [r for r in runs if not in_cells(r)],
        [r for r in runs if in_cells(r)],
        sorted((r for r in found if "baseline" in r), key=lambda r: order.index(r["baseline"])),
        [r for r in found if "seeds" in r],
        list(dict.fromkeys(pictures)),
    )
