"""Checkpoints of the training state: written whole with checksums, kept beside a small record, read back strictly."""

import contextlib
import functools
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from msvi.errors import InputError
from msvi.provenance import file_checksum
from msvi.training.state import TrainState
from msvi.writing import explain_full_disk

# In a checkpoint's folder: the CRC-32 of each of its other files, by relative path.
_CHECKSUMS = "checksums.json"

# In the stored record, to tell a checkpoint that lost its checksums from those of versions that wrote none.
_MARK = "has_checksums"

# Small files, names and blocks that are not filled, beside the numbers of a state.
_OVERHEAD_BYTES = 256 * 1024


class CheckpointStore:
    """A folder of checkpoints, one per step, of which the newest are kept.

    Everything is saved as host arrays, so that a checkpoint can be read on any number of devices, and synchronously,
    so that nothing is lost when the process ends. Orbax writes under another name, the checksums are added, and only
    then is it renamed to its step: a killed save leaves the earlier checkpoints as they were, and a checkpoint that
    does not match its checksums was damaged later. A reader passes over damaged ones and changes nothing; the one
    process that writes moves them to `<name>.damaged`. Checkpoints of versions that wrote no checksums are whole if
    Orbax can read them.

    Args:
      directory: created with the first save.
      keep: number of newest checkpoints kept.
      spare: keep a second copy of each, `<step>.spare`, that takes the place of a damaged one.
    """

    def __init__(self, directory: str, keep: int, spare: bool = False):
        self._directory = os.path.abspath(directory)
        self._keep = keep
        self._spare = spare

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint that is whole, None where there is none, damaged or not.

        Raises:
          InputError: all are damaged.
        """
        newest = self._find_newest()
        return newest and newest[0]

    def save(self, state: TrainState, record: dict[str, Any]) -> None:
        """Saves `state` under its step, with a JSON record beside it; a whole checkpoint of that step stays as it is.

        Later steps, which can only be left from a run that went another way, are dropped with the oldest ones.

        Raises:
          InputError: the disk is full; the checkpoints there are stay as they were.
        """
        step = int(state.step)
        with explain_full_disk(self._directory):
            os.makedirs(self._directory, exist_ok=True)
            self._set_aside()
            if any(found == step for found, _ in self._folders()):
                return
            try:
                self._write(step, _to_host(state), record)
            finally:
                self._tidy()
        kept = sorted({found for found, _ in self._folders() if found <= step})[-self._keep :]
        for found, folder in self._folders():
            if found not in kept:
                # Renamed first: one that is half deleted would look damaged.
                os.rename(folder, folder + ".tmp")
                shutil.rmtree(folder + ".tmp")

    def restore(self, template: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest checkpoint that is whole, and its record; a line on stderr names each one passed over.

        Args:
          template: a state of the structure and shapes expected; its values are not used.

        Raises:
          InputError: there is no checkpoint, all are damaged, or the newest whole one holds another model.
        """
        newest = self._find_newest()
        if newest is None:
            raise InputError(f"Expected a checkpoint in {self._directory}, found none; train this workdir first.")
        step, folder, damaged = newest
        try:
            restored = _read(folder, _to_host(template))
        except (ValueError, KeyError, OSError) as error:
            if not os.path.isdir(folder):  # a training that goes on meanwhile has put a newer one in its place
                return self.restore(template)
            raise InputError(
                f"The checkpoint of step {step} in {self._directory} does not fit this model ({_first_line(error)}); "
                "use the code and configuration it was trained with, or another workdir."
            ) from None
        for other, reason in damaged:
            warn(f"{other} is damaged ({reason}); {folder} is used instead.")
        state = jax.tree.map(jax.numpy.asarray, restored.state)
        record = {name: value for name, value in restored.record.items() if name != _MARK}
        return state._replace(key=jax.random.wrap_key_data(state.key)), record

    def mend(self) -> None:
        """Moves damaged checkpoints aside, and makes missing spare copies; for the one process that writes here."""
        self._set_aside()
        if self._spare:
            with explain_full_disk(self._directory):
                for step, folder in self._folders():
                    for name in (str(step), f"{step}.spare"):
                        self._copy(folder, name)

    def _folders(self) -> list[tuple[int, str]]:
        """Steps and folders of all checkpoints, damaged or not: newest first, a spare copy after its original."""
        names = os.listdir(self._directory) if os.path.isdir(self._directory) else []
        found = [(int(match[1]), name) for name in names if (match := re.fullmatch(r"(\d+)(\.spare)?", name))]
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        return [(step, os.path.join(self._directory, name)) for step, name in found]

    def _find_newest(self) -> tuple[int, str, list[tuple[str, str]]] | None:
        """Step and folder of the newest whole checkpoint, and folders passed over on the way with what they have."""
        damaged = []
        for step, folder in self._folders():
            reason = _find_damage(folder)
            if reason is None:
                return step, folder, damaged
            if not os.path.isdir(folder):  # as in `restore`
                return self._find_newest()
            damaged.append((folder, reason))
        if damaged:
            raise InputError(
                f"{damaged[0][0]} is damaged ({damaged[0][1]}) and no other checkpoint beside it is whole; put back a "
                "copy of it, or train in another workdir."
            )
        return None

    def _write(self, step: int, host: TrainState, record: dict[str, Any]) -> None:
        folder = os.path.join(self._directory, str(step))
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(host)) + _OVERHEAD_BYTES
        _require_space(folder + ".tmp", size * (2 if self._spare else 1))
        args = ocp.args.Composite(state=ocp.args.StandardSave(host), record=ocp.args.JsonSave(record | {_MARK: True}))
        with _orbax() as checkpointer:
            checkpointer.save(folder + ".tmp", args=args)
        _add_checksums(folder + ".tmp")
        if self._spare:
            self._copy(folder + ".tmp", f"{step}.spare")
        os.rename(folder + ".tmp", folder)
        _sync(self._directory)

    def _copy(self, folder: str, name: str) -> None:
        """Copies a checkpoint to a name of its own, unless that is there."""
        target = os.path.join(self._directory, name)
        if os.path.isdir(target):
            return
        shutil.copytree(folder, target + ".tmp")
        _sync_all(target + ".tmp")
        os.rename(target + ".tmp", target)

    def _set_aside(self) -> None:
        """Renames what is damaged, and removes what killed processes left half written or half deleted."""
        self._tidy()
        for _, folder in self._folders():
            reason = _find_damage(folder)
            if reason is not None:
                aside, number = folder + ".damaged", 1
                while os.path.lexists(aside):
                    number += 1
                    aside = f"{folder}.damaged{number}"
                os.rename(folder, aside)
                warn(f"{folder} is damaged ({reason}) and is kept as {aside}.")

    def _tidy(self) -> None:
        for name in os.listdir(self._directory) if os.path.isdir(self._directory) else []:
            if re.fullmatch(r"\d+\..*tmp", name):
                path = os.path.join(self._directory, name)
                if os.path.isdir(path):
                    shutil.rmtree(path)
                else:
                    os.remove(path)


def warn(message: str) -> None:
    """One line on stderr, about something that stops nothing."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def _read(folder: str, host: TrainState) -> Any:
    """What Orbax restores, with `state` and `record`; a `ValueError` or `KeyError` if it is not shaped like `host`."""
    args = ocp.args.Composite(state=ocp.args.StandardRestore(host), record=ocp.args.JsonRestore())
    with _orbax() as checkpointer:
        restored = checkpointer.restore(folder, args=args)
    # Orbax compares names, not shapes.
    for (path, wanted), found in zip(jax.tree.leaves_with_path(host), jax.tree.leaves(restored.state), strict=True):
        if found.shape != wanted.shape:
            raise ValueError(f"{jax.tree_util.keystr(path)} has the shape {found.shape}, expected {wanted.shape}")
    return restored


def _find_damage(folder: str) -> str | None:
    """What is wrong with a checkpoint, None if it is whole."""
    try:
        with open(os.path.join(folder, _CHECKSUMS), encoding="utf-8") as file:
            checksums = json.load(file)
        for name, checksum in checksums.items():
            if _checksum(os.path.join(folder, name)) != checksum:
                return f"{name} has changed"
    except FileNotFoundError as error:
        name = os.path.relpath(error.filename, folder)
        return f"{name} is missing" if name != _CHECKSUMS else _find_damage_without_checksums(folder)
    except (OSError, ValueError, AttributeError) as error:  # the last where the JSON is no object
        return f"{_CHECKSUMS}: {_first_line(error)}"
    return None


def _find_damage_without_checksums(folder: str) -> str | None:
    args = ocp.args.Composite(state=ocp.args.StandardRestore(), record=ocp.args.JsonRestore())
    try:
        with _orbax() as checkpointer:
            record = checkpointer.restore(folder, args=args).record
    except Exception as error:  # there is no telling what Orbax raises where it finds something else than it wrote
        return _first_line(error)
    return f"{_CHECKSUMS} is missing" if _MARK in record else None


def _add_checksums(folder: str) -> None:
    """Writes the checksums of all files there are, and has everything on the disk before it returns."""
    paths = sorted(os.path.join(base, name) for base, _, names in os.walk(folder) for name in names)
    checksums = {os.path.relpath(path, folder): _checksum(path) for path in paths}
    with open(os.path.join(folder, _CHECKSUMS), "w", encoding="utf-8") as file:
        json.dump(checksums, file, indent=1)
    _sync_all(folder)


def _checksum(path: str) -> str:
    return f"{file_checksum(path):08x}"


def _sync_all(folder: str) -> None:
    for base, _, names in os.walk(folder):
        for name in [*names, "."]:
            _sync(os.path.join(base, name))


def _sync(path: str) -> None:
    """Has a file, or the names in a folder, on the disk: a power cut must not undo what a rename promises."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_space(path: str, size: int) -> None:
    """Raises the `OSError` of a full disk before Orbax runs into it, whose threads print what they raise."""
    with open(path, "wb") as file:
        try:
            file.write(os.urandom(size))  # zeros may take no space
            file.flush()
        finally:
            os.remove(path)


@contextlib.contextmanager
def _orbax() -> Iterator[ocp.Checkpointer]:
    """What saves and restores; it prints no tracebacks of errors that it raises anyway."""
    _ignore_late_callbacks()
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    # Of several processes the first alone comes here, and must not wait for the others.
    alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
    handler = ocp.CompositeCheckpointHandler(composite_options=ocp.CompositeOptions(multiprocessing_options=alone))
    try:
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            yield checkpointer
    finally:
        logger.disabled = before


@functools.cache
def _ignore_late_callbacks() -> None:
    """When one of many reads or writes fails, the event loop ends, and those that end later would print that it has."""
    hook = sys.unraisablehook

    def ignore_or_print(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    sys.unraisablehook = ignore_or_print


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _to_host(state: TrainState) -> TrainState:
    return jax.tree.map(np.asarray, state._replace(key=jax.random.key_data(state.key)))
