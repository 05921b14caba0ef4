"""What a configuration says of the variational posterior and the bound."""

import dataclasses

from msvi.errors import InputError, require_at_least, require_positive

POSTERIORS = ("smooth", "markov")
ROTATIONS = ("none", "learned")


@dataclasses.dataclass(frozen=True)
class InferenceConfig:
    """The variational posterior and the estimator of the bound.

    What is 0 or `"auto"` follows from the training trajectories (see `msvi.recipe.suggest`).

    Attributes:
      posterior: `"smooth"`, a Gaussian process with the kernel of infinitely smooth paths; or `"markov"`, that of a
        Markov process, for systems whose paths are rough since noise drives them (see `msvi.inference.posterior`).
      window: consecutive frames per window.
      num_nodes: frames encoded per window.
      num_scored: frames whose likelihood is computed per window.
      num_quadrature: points of the time integral per window.
      init_length: initial length scale of the smooth process, in units of half the window.
      init_noise: initial noise variance of the smooth process, relative to its amplitude.
      init_rate: initial rate of the Markov process, per unit of time.
      rotation: of deviations from the posterior mean: `"none"`, or `"learned"`, one for all times (see
        `drift_residual`). It has as many numbers as the latent state squared; where the microscale is in cells, as
        the state of one squared.
      drift_weight: weight of the drift residual against the likelihood; 1 is the bound itself. More stands for a
        likelihood that takes errors at neighbouring points for independent where they are not.
      drift_warmup_steps: optimiser steps over which that weight rises linearly from 0.
    """

    posterior: str = "smooth"

    window: int = 128
    num_nodes: int = 8
    num_scored: int = 4
    num_quadrature: int = 16
    init_length: float = 0.3
    init_noise: float = 1e-3
    init_rate: float = 1.0
    rotation: str = "none"
    drift_weight: float = 64.0
    drift_warmup_steps: int = 2000

    def __post_init__(self):
        if self.posterior not in (*POSTERIORS, "auto"):
            raise InputError(
                f"`inference.posterior` must be {', '.join(POSTERIORS)} or auto, got {self.posterior!r}; change it."
            )
        if self.rotation not in (*ROTATIONS, "auto"):
            raise InputError(
                f"`inference.rotation` must be {', '.join(ROTATIONS)} or auto, got {self.rotation!r}; change it."
            )
        least = {"window": 2, "num_nodes": 2, "num_scored": 1, "num_quadrature": 1, "drift_weight": 0}
        require_at_least(
            self, "inference", **{name: n for name, n in least.items() if getattr(self, name)}, drift_warmup_steps=0
        )
        require_positive(self, "inference", "init_length", "init_noise", "init_rate")
        for name in ("num_nodes", "num_scored"):
            if self.window and getattr(self, name) > self.window:
                raise InputError(
                    f"`inference.{name}` must not exceed the window of {self.window} frames, got {getattr(self, name)}."
                )
