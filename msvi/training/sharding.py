"""Data-parallel training: the mesh of all devices, what lies on each of them, and processes that start and stop as one.

The windows of a batch are divided over the devices, of one host or of several; everything else is on all of them. Of
several processes all compute, and the first alone reads and writes the folder of the run.
"""

import contextlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from msvi.errors import InputError
from msvi.types import Array

_AXIS = "data"

# What processes tell each other of an error has a fixed length, in bytes.
_MESSAGE_BYTES = 4096


def data_mesh(data_parallel: bool, batch_windows: int) -> Mesh | None:
    """All devices along one axis, over which the windows of a batch are divided; None for training on one device.

    Raises:
      InputError: the windows cannot be divided evenly, or there are several processes but nothing is to be divided.
    """
    if not data_parallel:
        if jax.process_count() > 1:
            raise InputError(
                f"`train.data_parallel` must be true where several processes train together, got {jax.process_count()} "
                "of them and false; set it, or start a single one."
            )
        return None
    devices = jax.device_count()
    if batch_windows % devices:
        raise InputError(
            f"`train.batch_windows` must be a multiple of the number of devices, got {batch_windows} for {devices} "
            "devices; change it, or use fewer of them."
        )
    return jax.make_mesh((devices,), (_AXIS,), axis_types=(AxisType.Auto,))


def divide_windows(function: Callable, mesh: Mesh | None) -> Callable:
    """`function` with its windows divided over the devices of `mesh`.

    Args:
      function: `(params, trajectories, windows, keys, fed) -> terms`; windows, keys, frames and terms have an axis
        `window` in front, the first two are on every device as a whole.
    """
    if mesh is None:
        return function
    whole, part = PartitionSpec(), PartitionSpec(_AXIS)
    # Checked, the gradient of a parameter would be summed over the devices at each of its uses and not once. There is
    # nothing to check: no result is said to be the same on all devices.
    return jax.shard_map(
        function, mesh=mesh, in_specs=(whole, whole, part, part, part), out_specs=part, check_vma=False
    )


def replicated(mesh: Mesh | None) -> NamedSharding | None:
    """Where an array lies that every device of `mesh` holds as a whole."""
    return mesh and NamedSharding(mesh, PartitionSpec())


def replicate(array: Array | np.ndarray, mesh: Mesh) -> jax.Array:
    """A host array on every device of `mesh`; of several processes each copies its own, which must be the same."""
    host = np.asarray(array)
    return jax.make_array_from_process_local_data(replicated(mesh), host, host.shape)


def divide_fed(array: np.ndarray, mesh: Mesh) -> jax.Array:
    """Frames `(step, window, ...)` with their windows divided over the devices of `mesh`; each process gives those of
    its own devices."""
    return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec(None, _AXIS)), array)


def on_one_device(tree, mesh: Mesh | None):
    """Replicated arrays as they lie on this process's first device of `mesh`; no copies, so they end with `tree`."""
    return tree if mesh is None else jax.tree.map(lambda a: a.addressable_data(0), tree)


def is_first_process() -> bool:
    """Whether this process is the one that reads and writes the folder of the run."""
    return jax.process_index() == 0


@contextlib.contextmanager
def stop_together() -> Iterator[None]:
    """What one process raises within is raised in all of them, so that none waits for one that has ended.

    They wait for each other at its end: none goes on before all that the first writes within is written.

    Raises:
      InputError: with what another process raised, whatever that was.
    """
    if jax.process_count() == 1:
        yield
        return
    error = None
    try:
        yield
    except Exception as raised:  # an interruption ends this process at once
        error = raised
    message = "" if error is None else str(error) or type(error).__name__
    padded = message.encode()[:_MESSAGE_BYTES].ljust(_MESSAGE_BYTES, b"\0")
    messages = multihost_utils.process_allgather(np.frombuffer(padded, np.uint8))
    if error is not None:
        raise error
    for message in messages:
        if message.any():
            raise InputError(message.tobytes().rstrip(b"\0").decode(errors="ignore"))
