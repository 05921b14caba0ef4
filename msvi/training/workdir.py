"""The folder of a run: which files it holds, whose it is, and how they are written."""

import json
import os
import re
from typing import Any, NamedTuple

from msvi.config import Config, differences, load_json, to_dict
from msvi.errors import InputError
from msvi.training.checkpoint import CheckpointStore

# Fields that may change between two commands on one workdir: they do not touch the numbers already computed.
_FREE = ("train.steps", "data.cache_dir")


class Workdir(NamedTuple):
    """Where a run keeps what it writes; `path` is absolute."""

    path: str

    @property
    def config(self) -> str:
        """The resolved configuration, JSON."""
        return os.path.join(self.path, "config.json")

    @property
    def history(self) -> str:
        """Objective and validation errors by step, one JSON object a line."""
        return os.path.join(self.path, "history.jsonl")

    @property
    def tensorboard(self) -> str:
        """TensorBoard event files."""
        return os.path.join(self.path, "tensorboard")

    @property
    def latest(self) -> CheckpointStore:
        """The newest checkpoints, to resume from."""
        return CheckpointStore(os.path.join(self.path, "checkpoints", "latest"), keep=2)

    @property
    def best(self) -> CheckpointStore:
        """The checkpoint with the lowest validation forecast error."""
        return CheckpointStore(os.path.join(self.path, "checkpoints", "best"), keep=1)

    def check(self, config: Config) -> None:
        """Passes where `config` may start or go on here.

        Raises:
          InputError: the path is a file, a folder of something else, or a run with another configuration.
        """
        existing = self.path
        while not os.path.exists(existing):
            existing = os.path.dirname(existing)
        if not os.path.isdir(existing):
            raise InputError(f"`workdir` must be a folder, but {existing} is a file; choose another.")
        if existing != self.path:
            return
        if not os.path.exists(self.config):
            if os.listdir(self.path):
                raise InputError(
                    f"`workdir` must be new, empty or a run of msvi, but {self.path} holds other files; choose another."
                )
            return
        changed = differences(load_json(self.config), config, ignore=_FREE)
        if changed:
            raise InputError(
                f"{self.path} holds a run with another configuration ({'; '.join(changed)}); choose another workdir or "
                "give the same configuration."
            )

    def start(self, config: Config, step: int) -> None:
        """Writes the configuration and drops history later than `step`, which a resumed run writes again."""
        os.makedirs(self.path, exist_ok=True)
        replace_file(self.config, json.dumps(to_dict(config), indent=2) + "\n")
        entries = [entry for entry in self.read_history() if entry["step"] <= step]
        replace_file(self.history, "".join(json.dumps(entry) + "\n" for entry in entries))

    def append_history(self, entry: dict[str, float]) -> None:
        """Adds one entry, which has a `step`."""
        with open(self.history, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def read_history(self) -> list[dict[str, float]]:
        """All entries, oldest first; a last line cut short by a kill is left out."""
        if not os.path.exists(self.history):
            return []
        entries = []
        with open(self.history, encoding="utf-8") as file:
            for line in file:
                try:
                    entries.append(json.loads(line))
                except ValueError:
                    break
        return entries


def write_json(path: str, values: dict[str, Any]) -> None:
    """Writes strict JSON (no NaN), lists of numbers on one line, creating the folder."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    text = json.dumps(values, indent=1, allow_nan=False)
    text = re.sub(r"\[\n([-+\w.,\s]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    replace_file(path, text + "\n")


def replace_file(path: str, text: str) -> None:
    """Writes beside the final place and renames, so that a killed process leaves no half file there."""
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".tmp", path)
