"""Checkpoints of the training state: written whole, kept beside a small record, read back strictly."""

import os
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from msvi.errors import InputError
from msvi.training.state import TrainState


class CheckpointStore:
    """A folder of checkpoints, one per step, of which the newest are kept.

    Everything is saved as host arrays, so that a checkpoint can be read on any number of devices, and
    synchronously, so that nothing is lost when the process ends. Orbax writes under another name and renames: a
    killed save leaves the earlier checkpoints as they were.

    Args:
      directory: created with the first save.
      keep: number of newest checkpoints kept.
    """

    def __init__(self, directory: str, keep: int):
        self._directory = os.path.abspath(directory)
        self._writing = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=True, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        # A reader must not tidy up: what looks like a leftover may be a save in progress.
        self._reading = ocp.CheckpointManagerOptions(read_only=True)

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, None where there is none."""
        if not os.path.isdir(self._directory):
            return None
        with self._manager(self._reading) as manager:
            return manager.latest_step()

    def save(self, state: TrainState, record: dict[str, Any]) -> None:
        """Saves `state` under its step, with a JSON record beside it; a checkpoint of that step stays as it is."""
        with self._manager(self._writing) as manager:
            manager.save(
                int(state.step),
                args=ocp.args.Composite(state=ocp.args.StandardSave(_to_host(state)), record=ocp.args.JsonSave(record)),
            )

    def restore(self, template: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest checkpoint and its record.

        Args:
          template: a state of the structure and shapes expected; its values are not used.

        Raises:
          InputError: there is no checkpoint, or it holds another model.
        """
        step = self.latest_step()
        if step is None:
            raise InputError(f"Expected a checkpoint in {self._directory}, found none; train this workdir first.")
        with self._manager(self._reading) as manager:
            host = _to_host(template)
            args = ocp.args.Composite(state=ocp.args.StandardRestore(host), record=ocp.args.JsonRestore())
            try:
                restored = manager.restore(step, args=args)
                # Orbax compares names, not shapes.
                for (path, wanted), found in zip(
                    jax.tree.leaves_with_path(host), jax.tree.leaves(restored.state), strict=True
                ):
                    if found.shape != wanted.shape:
                        name = jax.tree_util.keystr(path)
                        raise ValueError(f"{name} has the shape {found.shape}, expected {wanted.shape}")
            except (ValueError, KeyError, OSError) as error:
                reason = str(error).strip().splitlines()[0]
                raise InputError(
                    f"The checkpoint of step {step} in {self._directory} does not fit this model or is damaged "
                    f"({reason}); use the code and configuration it was trained with, or another workdir."
                ) from None
        state = jax.tree.map(jax.numpy.asarray, restored.state)
        return state._replace(key=jax.random.wrap_key_data(state.key)), restored.record

    def _manager(self, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(self._directory, options=options)


def _to_host(state: TrainState) -> TrainState:
    return jax.tree.map(np.asarray, state._replace(key=jax.random.key_data(state.key)))
