"""What a configuration says of forecasts."""

import dataclasses

from msvi.errors import InputError, require_at_least

# Solvers, and the evaluations of the drift that a step of each takes.
DRIFT_EVALUATIONS = {"euler": 1, "shark": 2, "rk4": 4}
SOLVERS = tuple(DRIFT_EVALUATIONS)
DISPERSIONS = ("bound", "validation")


@dataclasses.dataclass(frozen=True)
class ForecastConfig:
    """The ensemble solve.

    Attributes:
      num_members: members per forecast in evaluation.
      num_val_members: members per validation forecast during training.
      stride: frames from one that is decoded and scored to the next, in validation and evaluation; the SDE is solved
        over all of them. Validation leaves out more where forecasts are longer than 200 frames.
      steps_per_frame: solver steps in the usual time between two frames that were learned from; a longer gap gets as
        many more; 0 leaves it to `msvi.recipe.suggest`.
      dispersion: `"bound"`, the `Q` that the bound finds; or `"validation"`, times the factor with which validation
        forecasts spread as much as they err (see `msvi.training.calibration`). `"auto"` leaves it to
        `msvi.recipe.suggest`.
      solver: one of `SOLVERS`. With `euler`, Euler–Maruyama, an oscillation of frequency `w` grows at the rate
        `w² dt / 2`. With `shark`, which evaluates the drift twice a step, it runs ahead by `(w dt)³ / 6` a step; with
        `rk4`, which does so four times, it lags by `(w dt)⁵ / 120`. `"auto"` leaves it to `msvi.recipe.suggest`.
    """

    num_members: int = 64
    num_val_members: int = 8
    stride: int = 1
    steps_per_frame: int = 1
    dispersion: str = "bound"
    solver: str = "shark"

    def __post_init__(self):
        require_at_least(self, "forecast", num_members=1, num_val_members=1, stride=1, steps_per_frame=0)
        if self.dispersion not in (*DISPERSIONS, "auto"):
            raise InputError(
                f"`forecast.dispersion` must be {', '.join(DISPERSIONS)} or auto, got {self.dispersion!r}; change it."
            )
        if self.solver not in (*SOLVERS, "auto"):
            raise InputError(f"`forecast.solver` must be {', '.join(SOLVERS)} or auto, got {self.solver!r}; change it.")
