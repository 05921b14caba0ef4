"""Where a training can be watched: TensorBoard's event files and, if asked for, Weights & Biases."""

import contextlib
import hashlib
import importlib.util
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
from PIL import Image
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]  made on import
from tensorboardX.record_writer import RecordWriter
from tensorboardX.writer import FileWriter

from msvi.errors import InputError
from msvi.training.checkpoint import warn
from msvi.writing import explain_full_disk

# A function that takes numbers by their names in the history, `step` among them, some of them perhaps None.
Add = Callable[[Mapping[str, Any]], None]

_COST = ("train_seconds", "peak_memory_gib")
# What names of event files of pictures end with: they are written again by every evaluation.
_PICTURES = ".pictures"


def group_tags(entry: Mapping[str, float | None]) -> dict[str, float]:
    """The numbers of an entry of the history that are defined, by the tags that they have on a board: `loss/…`,
    `validation/…` and `cost/…`."""
    found = {}
    for name, value in entry.items():
        if name == "step" or value is None:
            continue
        if name in _COST:
            found[f"cost/{name}"] = value
        elif name.startswith("val_") or name.endswith("_factor"):
            found[f"validation/{name.removeprefix('val_')}"] = value
        else:
            found[f"loss/{name}"] = value
    return found


@contextlib.contextmanager
def event_file(folder: str, step: int) -> Iterator[Add]:
    """A function that adds an entry to a new event file, which overrides what is later than `step`; entries are on the
    disk when it returns.

    Args:
      folder: of the event files, which is created.
      step: that the training goes on from.

    Raises:
      InputError: (the function too) the disk is full.
    """
    # Two starts within a second would share a file but for `step`: with it, they share what is overridden.
    with _writer(folder, f".{step}", purge_step=step + 1) as writer:

        def add(entry: Mapping[str, Any]) -> None:
            with explain_full_disk(folder):
                for tag, value in group_tags(entry).items():
                    writer.add_scalar(tag, value, entry["step"])
                writer.flush()

        yield add


def add_pictures(folder: str, pictures: Mapping[str, str], step: int) -> None:
    """Shows pictures beside the curves of a run, in the place of those that were added before.

    Args:
      folder: of the event files, which is created.
      pictures: name -> path of a picture of pixels.
      step: that they are of.

    Raises:
      InputError: the disk is full.
    """
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.endswith(_PICTURES):
            os.remove(os.path.join(folder, name))
    with _writer(folder, _PICTURES) as writer:
        for name, path in pictures.items():
            with Image.open(path) as picture, explain_full_disk(folder):
                writer.add_image(f"figures/{name}", np.asarray(picture.convert("RGB")), step, dataformats="HWC")
        with explain_full_disk(folder):
            writer.flush()


def check_wandb(project: str) -> None:
    """Passes where no project is named, or the package that sends to it is there.

    Raises:
      InputError: it is not.
    """
    if project and importlib.util.find_spec("wandb") is None:
        raise InputError("`train.wandb` needs the package wandb; pip install wandb, or leave the field empty.")


@contextlib.contextmanager
def wandb_run(project: str, path: str, config: dict[str, Any]) -> Iterator[Add]:
    """A function that adds an entry to a run of Weights & Biases; one that does nothing if no project is named.

    A training that goes on goes on with the same run there, which leaves out steps that it has already. Where the
    service cannot be reached the run is kept below `path`, from where `wandb sync` sends it.

    Args:
      project: its name; empty for none.
      path: folder of the run, whose name the run has there too.
      config: of the run, plain data.
    """
    if not project:
        yield lambda entry: None
        return
    import wandb  # pyright: ignore[reportMissingImports]  optional

    name = os.path.basename(path)
    # The service wants a name that no other run of the project has, of another machine neither.
    identity = hashlib.sha256(f"{socket.gethostname()}:{path}".encode()).hexdigest()[:16]
    settings = {"project": project, "name": name, "id": identity, "dir": path, "config": config, "resume": "allow"}
    try:
        run = wandb.init(**settings)
    except Exception as error:  # no account, no network: whatever the service says must not stop a training
        reason = " ".join(str(error).split())
        warn(f"wandb cannot be reached ({reason}); the run is kept in {path}/wandb, and `wandb sync` sends it.")
        run = wandb.init(**settings | {"mode": "offline", "resume": None})
    try:
        yield lambda entry: run.log(group_tags(entry), step=int(entry["step"]))
    finally:
        run.finish()


class _Events:
    """In place of tensorboardX's queue that a process and a thread empty: what waits there when the process is killed
    is lost, and where the disk is full it waits for ever."""

    def __init__(self, folder: str, suffix: str):
        self.folder = folder
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}{suffix}"
        self._writer = RecordWriter(os.path.join(folder, name))
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_event(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def get_logdir(self) -> str:
        return self.folder


class _FileWriter(FileWriter):
    def __init__(self, folder: str, suffix: str):
        self.event_writer = _Events(folder, suffix)
        self._default_metadata = {}


class _SummaryWriter(SummaryWriter):
    """tensorboardX's, whose events are in the file once it is flushed."""

    def _get_file_writer(self) -> _FileWriter:
        if self.file_writer is None:
            self.file_writer = _FileWriter(self.logdir, cast(str, self._filename_suffix))
            self.all_writers = {self.logdir: self.file_writer}
            if self.purge_step is not None:
                start = SessionLog(status=SessionLog.START)
                self.file_writer.add_event(Event(step=self.purge_step, session_log=start))
        return self.file_writer


@contextlib.contextmanager
def _writer(folder: str, suffix: str, purge_step: int | None = None) -> Iterator[_SummaryWriter]:
    with explain_full_disk(folder):
        os.makedirs(folder, exist_ok=True)
        writer = _SummaryWriter(folder, purge_step=purge_step, filename_suffix=suffix)
    file = writer.file_writer.event_writer
    try:
        with explain_full_disk(folder):
            writer.flush()
        yield writer
    finally:
        with contextlib.suppress(OSError):  # where a full disk was told of already
            file.close()
