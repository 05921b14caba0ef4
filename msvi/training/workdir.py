"""The folder of a run: which files it holds, whose it is, and how they are written."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from msvi.config import OF_NO_EFFECT, Config, differences, load_json, to_dict
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.model.scales import Scales
from msvi.training.checkpoint import CheckpointStore
from msvi.training.lock import hold_lock
from msvi.writing import explain_full_disk, replace_file, unfinished

# Fields that may change between two commands on one workdir: they do not touch the numbers already computed.
_FREE = ("train.steps", *OF_NO_EFFECT)


class Workdir(NamedTuple):
    """Where a run keeps what it writes; `path` is absolute."""

    path: str

    @property
    def config(self) -> str:
        """The configuration as it was given, JSON."""
        return os.path.join(self.path, "config.json")

    @property
    def data(self) -> str:
        """What is learned from, where it was given as arrays, NetCDF."""
        return os.path.join(self.path, "data.nc")

    @property
    def model(self) -> str:
        """All that the model needs beside its weights, JSON; see `msvi.training.portable`."""
        return os.path.join(self.path, "model.json")

    @property
    def history(self) -> str:
        """Objective and validation errors by step, one JSON object a line."""
        return os.path.join(self.path, "history.jsonl")

    @property
    def tensorboard(self) -> str:
        """TensorBoard event files; see `msvi.training.monitoring`."""
        return os.path.join(self.path, "tensorboard")

    @property
    def latest(self) -> CheckpointStore:
        """The newest checkpoints, to resume from."""
        return CheckpointStore(os.path.join(self.path, "checkpoints", "latest"), keep=2)

    @property
    def best(self) -> CheckpointStore:
        """The checkpoint with the lowest validation forecast error; it cannot be made again, so there are two of it."""
        return CheckpointStore(os.path.join(self.path, "checkpoints", "best"), keep=1, spare=True)

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
            # What a run that was killed at its very beginning leaves, and what it is given, may be there.
            left = (self.data, *unfinished(self.config), *unfinished(self.data))
            if set(os.listdir(self.path)) - {"lock", *map(os.path.basename, left)}:
                raise InputError(
                    f"`workdir` must be new, empty or a run of msvi, but {self.path} holds other files; choose another."
                )
            return
        # Where a data file lies does not matter: what is learned from it is known by its digest (`check_same_data`).
        free = (*_FREE, "data.path") if config.case == "custom" and self.latest.latest_step() else _FREE
        changed = differences(load_json(self.config), config, ignore=free)
        if changed:
            raise InputError(
                f"{self.path} holds a run with another configuration ({'; '.join(changed)}); choose another workdir or "
                "give the same configuration."
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from writing meanwhile; the folder is created.

        Raises:
          InputError: another process writes here, which is named.
        """
        with explain_full_disk(self.path):
            os.makedirs(self.path, exist_ok=True)
        with hold_lock(os.path.join(self.path, "lock")):
            yield

    def start(self, config: Config, step: int) -> None:
        """Writes the configuration, mends the checkpoints and drops history later than `step`, which comes again.

        Args:
          config: of the run.
          step: of the newest checkpoint, 0 where there is none.

        Raises:
          InputError: that is no longer the newest, or the disk is full.
        """
        if (self.latest.latest_step() or 0) != step:
            raise InputError(
                f"{self.path} was trained on by another process since its step {step} was read; give the same command "
                "again."
            )
        with explain_full_disk(self.path):
            os.makedirs(self.path, exist_ok=True)
        replace_file(self.config, json.dumps(to_dict(config), indent=2) + "\n")
        self.latest.mend()
        self.best.mend()
        entries = [entry for entry in self.read_history() if entry["step"] <= step]
        replace_file(self.history, "".join(json.dumps(entry) + "\n" for entry in entries))

    def append_history(self, entry: Mapping[str, float | None]) -> None:
        """Adds one entry, which has a `step`."""
        with explain_full_disk(self.path), open(self.history, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def read_history(self) -> list[dict[str, Any]]:
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


def with_data_at(config: Config, place: str | None, path: str) -> Config:
    """`config` of a run with its data file at another place, or where it was trained if that is None.

    Whether it is the same file `check_same_data` tells.

    Args:
      path: of the run.

    Raises:
      InputError: the run has no data file, or there is none at that place.
    """
    trained = config.data.path
    if place is not None and not trained:
        raise InputError(f"The data of {path} are generated, but `--data` gives the file {place!r}; leave it out.")
    if place is None and trained and not os.path.exists(trained):
        seen = "" if os.path.isabs(trained) else f", seen from {os.getcwd()}"
        raise InputError(
            f"The run {path} was trained on the data file {trained!r}, which is not there{seen}; give the place where "
            "it is now, --data=PATH."
        )
    if not place:
        return config
    if not os.path.exists(place):
        raise InputError(f"`--data` must be the place of the run's data file, got {place!r}, where there is none.")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, path=place))


def check_same_data(record: dict[str, Any], dataset: Dataset, path: str) -> None:
    """Passes where `dataset` is the one that the checkpoint with this record has learned from.

    Args:
      record: of a checkpoint; one without a digest, as earlier versions wrote it, fits all.
      path: of the data file.

    Raises:
      InputError: the file has changed since.
    """
    if record.get("data_digest", dataset.digest) != dataset.digest:
        raise InputError(
            f"The data file {path} has other trajectories to learn from than this run was trained on; give the place "
            "of the file that it was trained on, or train in another workdir."
        )


def check_same_scales(record: dict[str, Any], scales: Scales, path: str) -> None:
    """Passes where a model with these scales is the one whose checkpoint has this record.

    Args:
      path: of the run.

    Raises:
      InputError: the checkpoint is of other scales, or of a version that kept none: its latents mean something else.
    """
    stored, found = record.get("scales"), dataclasses.asdict(scales)
    if stored is None or not found.keys() <= stored.keys():
        raise InputError(
            f"The checkpoint in {path} was written by an earlier version, whose latents had other units; train again "
            "in another workdir."
        )
    # A median or mean near zero has no digits of its own.
    close = {"field_mean": 1e-5 * np.array(scales.field_std), "field_rest": 1e-5 * np.array(scales.field_std)}
    if not all(
        np.shape(stored[name]) == np.shape(value)
        and np.all(np.abs(np.subtract(stored[name], value)) <= close.get(name, 0) + 1e-6 * np.abs(value))
        for name, value in found.items()
    ):
        raise InputError(
            f"The checkpoint in {path} has the scales {stored}, but the data give {found}; put back the data that it "
            "was trained on, or train in another workdir."
        )
