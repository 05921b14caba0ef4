"""What a configuration says of the baselines that are trained."""

import dataclasses

from msvi.errors import require_at_least


@dataclasses.dataclass(frozen=True)
class BaselineConfig:
    """The networks of the baselines `fno` and `unet`; the other baselines take seconds, and nothing from here.

    Attributes:
      minutes: wall-clock time in which all networks of one baseline are trained, those by which its settings are chosen
        among them; 0 for no limit. What it leaves of `steps` depends on the machine.
      steps: most optimiser steps of a network.
      num_members: networks, of seeds of their own, that make a forecast together.
    """

    minutes: float = 10.0
    steps: int = 20_000
    num_members: int = 5

    def __post_init__(self):
        require_at_least(self, "baseline", minutes=0, steps=1, num_members=1)
