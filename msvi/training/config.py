"""What a configuration says of the training."""

import dataclasses

from msvi.errors import InputError, require_at_least, require_positive

PLACES = ("device", "host", "disk")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation, monitoring and checkpoints.

    Attributes:
      steps: optimiser steps in all; raising it later continues a finished run. 0 leaves it to `msvi.recipe.suggest`.
      learning_rate: of Adam, at step 0; 0 leaves it to `msvi.recipe.suggest`.
      decay_rate, decay_steps: the learning rate is multiplied by `decay_rate` every `decay_steps` steps.
      clip_norm: largest norm of the gradient, which is scaled down to it; 0 for none. Norms are 3 to 40 here, so that
        1 makes every window count alike: rare large gradients otherwise throw a run off for thousands of steps.
      batch_windows: windows per step.
      patch_cells: coarse cells per axis of the patches of the domain that are learned from, one for each window, so
        that the cost of a step does not grow with the domain; 0 for the whole domain. For `model.micro_layout=cells`
        where the law is the same everywhere. What lies around a patch is seen too, as far as it acts on it.
      random_shift: largest number of points by which a window is shifted at random along every axis; 0 for none, -1
        leaves it to `msvi.recipe.suggest`. Patches then begin at any point. For
        equations that are the same everywhere on periodic axes. Shifts by whole coarse cells teach nothing new (see
        `model.micro_frame`); those in between show every structure at every place within its cell.
      average_decay: decay per step of the exponential average of the weights; 0 uses the last weights.
      log_every: steps between two looks at the loss (one compiled chunk).
      eval_every: steps between two validation forecasts, each followed by a checkpoint.
      warm_start: workdir of a trained run with fewer microscale latents whose weights this one begins with; empty for
        random ones. The weight of the drift residual, which rises for the sake of random weights, is then whole from
        the first step.
      data_parallel: divide the windows of every batch over all devices, of which `batch_windows` must be a multiple.
        Windows and random numbers are those of one device, losses the same but for rounding, which training amplifies.
      data_on: where the training data are kept: `"device"`; `"host"`, in memory; or `"disk"`, where they lie in their
        files. From the latter two the frames that a step looks at are read ahead. `"auto"` chooses by their size.
        Losses are the same.
      wandb: project of Weights & Biases that losses and scores are sent to as well; empty for none.
    """

    steps: int = 20_000
    learning_rate: float = 2e-3
    decay_rate: float = 0.9
    decay_steps: int = 1000
    clip_norm: float = 1.0
    batch_windows: int = 8
    patch_cells: int = 0
    random_shift: int = 0
    average_decay: float = 0.999
    log_every: int = 100
    eval_every: int = 1000
    warm_start: str = ""
    data_parallel: bool = False
    data_on: str = "auto"
    wandb: str = ""

    def __post_init__(self):
        if self.data_on not in (*PLACES, "auto"):
            raise InputError(f"`train.data_on` must be {', '.join(PLACES)} or auto, got {self.data_on!r}; change it.")
        require_at_least(
            self,
            "train",
            clip_norm=0,
            steps=0,
            learning_rate=0,
            decay_steps=1,
            batch_windows=1,
            patch_cells=0,
            random_shift=-1,
            average_decay=0,
            log_every=1,
            eval_every=1,
        )
        require_positive(self, "train", "decay_rate")
        if self.average_decay >= 1:
            raise InputError(f"`train.average_decay` must be below 1, got {self.average_decay}; 0.999 is usual.")


def check_shift(random_shift: int, boundary: tuple[str, ...]) -> None:
    """Checks that windows may be shifted on axes of these kinds.

    Raises:
      InputError: there is a shift and an axis that is not periodic.
    """
    if random_shift > 0 and any(kind != "periodic" for kind in boundary):
        raise InputError(
            f"`train.random_shift` needs periodic axes, got {boundary} and a shift of {random_shift}; set it to 0."
        )
