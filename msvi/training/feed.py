"""Frames that a training looks at, from where they lie: on the device, in the memory of the host, or on disk.

Which frames a step looks at follows from the root key and the number of the step alone
(`msvi.training.state.draw_step`). So they can be read ahead, and a run that goes on reads what one that was not stopped
would have read: the sampler's state is the number of the step, which the checkpoint has.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from msvi.data.formats.arrays import runs
from msvi.data.split import Split
from msvi.data.streamed import Field, StreamedField
from msvi.data.survey import HOST_PART
from msvi.inference.elbo import Frames, WindowElbo
from msvi.model.scales import Scales
from msvi.provenance import host_bytes
from msvi.training.config import TrainConfig
from msvi.training.sharding import divide_fed
from msvi.training.state import Objective, TrainState, Trajectories, draw_step, find_origins
from msvi.types import Array

# Part of the memory of the device that training data may take.
_DEVICE_PART = 0.5
# Bytes of frames that are put on the device at once, and threads that read.
_BYTES, _THREADS = 64 * 2**20, 4


class Places(NamedTuple):
    """Of one step: trajectory of each window `(window,)`, the first point of each `(window, ndim)`, and the frames of
    the trajectory that are looked at, `(window, frame)`."""

    trajectory: np.ndarray
    origin: np.ndarray
    frames: np.ndarray


class Feed:
    """Reads the frames of one step after another ahead, in threads, by grain; an iterator over blocks of steps.

    Args:
      split: to learn from.
      scales: of the model.
      elbo: says which frames are looked at, and how much of the field.
      train: windows, shifts and patches.
      length: frames of a window.
      mesh: of all devices, over which the windows of a step are divided; None for one device.
    """

    def __init__(
        self, split: Split, scales: Scales, elbo: WindowElbo, train: TrainConfig, length: int, mesh: Mesh | None = None
    ):
        self._split, self._scales, self._mesh = split, scales, mesh
        self._grid = elbo.model.grid
        origins = find_origins(train, split.u.shape[2:-1], elbo.model.config.coarsening)
        # On the CPU, whatever computes: random numbers are the same everywhere, and nothing waits for the device.
        self._cpu = jax.local_devices(backend="cpu")[0]
        lengths = jax.device_put(jnp.asarray(split.lengths), self._cpu)

        def places(key: Array, step: Array) -> tuple[Array, Array, Array]:
            windows, keys = draw_step(key, step, lengths, origins, length, train.batch_windows)
            frames = windows.start[:, None] + jax.vmap(lambda key: elbo.looked_at(key, length))(keys)
            return windows.trajectory, windows.origin, frames

        self._places = jax.jit(places)
        frame_bytes = 4 * math.prod(self._grid) * split.u.shape[-1] * (1 if split.mask is None else 2)
        step_bytes = frame_bytes * train.batch_windows * (elbo.num_nodes + elbo.num_scored)
        self.steps_at_once = max(1, min(train.log_every, _BYTES // step_bytes))

    def places(self, key: Array, step: int) -> Places:
        """Where the frames of a step lie, from the root key."""
        key = jax.device_put(key, self._cpu)
        return Places(*(np.asarray(a) for a in self._places(key, np.int32(step))))

    def read(self, places: Places, windows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray | None]:
        """Standardised frames `(window, frame, *grid, channel)` of some of the windows, and their mask."""
        found, masks = [], []
        for row, origin, frames in zip(*(part[windows] for part in places), strict=True):
            u = cut(self._split.u, int(row), frames, origin, self._grid)
            found.append(self._scales.standardise_data(u))
            if self._split.mask is not None:
                masks.append(cut(self._split.mask, int(row), frames, origin, self._grid))
        return np.stack(found), np.stack(masks) if masks else None

    def steps(self, key: Array, first: int, last: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """The frames of each step from `first` up to `last`, read ahead of their use.

        Raises:
          InputError: a file has vanished or is damaged.
        """
        import grain  # here, since most trainings are on the device and start without it

        mine = slice(None)
        if self._mesh is not None:  # each process reads what its own devices compute with
            count = len(self.places(key, first).trajectory) // jax.process_count()
            mine = slice(jax.process_index() * count, (jax.process_index() + 1) * count)
        # A copy: the state, which holds the key, is donated.
        root = jax.random.wrap_key_data(jnp.array(jax.random.key_data(key), copy=True))

        def load(number: int) -> tuple[np.ndarray, np.ndarray | None]:
            return self.read(self.places(root, first + number), mine)

        ahead = max(2, min(2 * self.steps_at_once, 64))
        options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=ahead)
        return iter(grain.MapDataset.range(max(last - first, 0)).map(load).to_iter_dataset(options))

    def put(self, steps: list[tuple[np.ndarray, np.ndarray | None]]) -> Frames:
        """Frames of several steps on the device, or divided over all of them, `(step, window, ...)`."""
        mesh = self._mesh

        def put(arrays: tuple[np.ndarray, ...]) -> Array:
            # As many steps as ever, so that there is one program for all.
            missing = np.zeros((self.steps_at_once - len(steps), *arrays[0].shape), arrays[0].dtype)
            stacked = np.concatenate([np.stack(arrays), missing])
            return jnp.asarray(stacked) if mesh is None else divide_fed(stacked, mesh)

        u, mask = zip(*steps, strict=True)
        return Frames(put(u), None if mask[0] is None else put(mask))


def make_advance(
    train_chunk: Callable, trajectories: Trajectories, feed: Feed, key: Array, first: int, last: int
) -> Callable[[TrainState, int], tuple[TrainState, Objective]]:
    """A function `(state, count) -> (state, objective)` that goes on by so many steps, in blocks of what is fed at
    once.

    Args:
      train_chunk: of `make_train_chunk`, which is told the domain.
      trajectories: without frames.
      key: root key of the training.
      first, last: step to begin with, and the one after the last.
    """
    steps = feed.steps(key, first, last)

    def advance(state: TrainState, count: int) -> tuple[TrainState, Objective]:
        found: list[Objective] = []
        for begin in range(0, count, feed.steps_at_once):
            number = min(feed.steps_at_once, count - begin)
            fed = feed.put([next(steps) for _ in range(number)])
            if len(found) > 1:  # no more than two blocks are in memory
                jax.block_until_ready(found[-2])
            state, objective = train_chunk(state, trajectories._replace(fed=fed), number)
            found.append(jax.tree.map(lambda a, number=number: a[:number], objective))
        return state, jax.tree.map(lambda *parts: np.concatenate([np.asarray(part) for part in parts]), *found)

    return advance


def cut(field: Field, row: int, frames: np.ndarray, origin: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Frames of a trajectory, `grid` points of each from `origin` on, round the ends of the axes.

    Each frame is read once, with those that are stored together or lie in a row, and of the points what has to be.

    Args:
      field: `(trajectory, time, *grid, channel)`.
      frames: numbers, `(n,)`, in any order.
      origin: first point of each axis.
    """
    numbers, back = np.unique(frames, return_inverse=True)
    domain = field.shape[2:-1]
    ends = [
        [slice(o % n, min(o % n + size, n))] + ([slice(0, o % n + size - n)] if o % n + size > n else [])
        for o, size, n in zip(map(int, origin), grid, domain, strict=True)
    ]

    together, chunk = (field.frames_together, field.frames_in_chunk) if isinstance(field, StreamedField) else (1, 1)
    if together > chunk:  # frames are small
        found = field[row, numbers]
        for axis, (first, size) in enumerate(zip(map(int, origin), grid, strict=True)):
            found = np.take(found, first + np.arange(size), axis=1 + axis, mode="wrap")
        return found[back]

    def region(run: np.ndarray, chosen: tuple[slice, ...]) -> np.ndarray:
        if len(chosen) == len(ends):
            found = np.asarray(field[(row, slice(int(run[0]), int(run[-1]) + 1), *chosen)])
            return found if len(found) == len(run) else found[run - run[0]]
        parts = [region(run, (*chosen, part)) for part in ends[len(chosen)]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1 + len(chosen))

    return np.concatenate([region(run, ()) for run in runs(numbers, together)])[back]


def choose_place(asked: str, split: Split) -> tuple[str, str]:
    """Where the training data are kept, `device`, `host` or `disk`, and why, in words.

    Args:
      asked: `train.data_on`, one of these or `auto`.
    """
    size = 4 * math.prod(split.u.shape) + (0 if split.mask is None else math.prod(split.mask.shape))
    text = f"{size / 2**30:.3g} GiB to learn from"
    if asked != "auto":
        return asked, f"{text} stay on {asked}, as asked"
    if isinstance(split.u, StreamedField):
        return "disk", f"{text} stay in their file, since all splits take more than half of the host's memory"
    device, host = device_bytes(), host_bytes()
    if size <= _DEVICE_PART * device:
        return "device", f"{text} fit on the device"
    if size <= HOST_PART * host:
        return "host", f"{text} stay in the host's memory, since the device has {device / 2**30:.3g} GiB"
    return "disk", f"{text} stay on disk, since the host has {host / 2**30:.3g} GiB"


def device_bytes() -> int:
    """Memory of a device; of a CPU that of the host."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("bytes_limit", 0)) or host_bytes()
