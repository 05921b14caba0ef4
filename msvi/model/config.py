"""What a configuration says of the model."""

import dataclasses

import numpy as np

from msvi.errors import InputError, require_at_least, require_positive

LAYOUTS = ("global", "cells")
FRAMES = ("fixed", "moving")
COORDINATES = ("cells", "modes")
# Hidden widths that are left to `msvi.recipe.suggest`.
LEFT_OPEN = (0,)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Structure, sizes and initial values of the generative model and its encoder.

    Attributes:
      micro_dim: microscale latents, of the domain or of each cell; 0 is the closure baseline, macroscale only, and -1
        leaves it to `msvi.recipe.suggest`.
      micro_layout: `"global"`, where the microscale is `micro_dim` numbers for the whole domain, seen and given by
        dense networks; or `"cells"`, where it is as many in every coarse cell, and all networks are local and shared by
        the cells (see `msvi.model.global_layout` and `msvi.model.cells_layout`). `"auto"` leaves it to
        `msvi.recipe.suggest`.
      coarsening: `s`, full-resolution points per coarse cell and axis; 0 takes that of the data file, or if it says
        none what `msvi.recipe.suggest` finds.
      n_sigma: half-width of the filter kernel in units of `s`.
      hold_kernel: whether the kernel keeps its sum, so that a constant field comes back from the macroscale as it was.
        Where few latents tell a whole trajectory, training may else shrink it to nothing, and the macroscale with it.
      stencil_radius: coarse cells to each side that the macroscale drift of a cell sees; -1 leaves it to
        `msvi.recipe.suggest`.
      macro_hidden, micro_hidden: hidden widths of the two drift networks; of `cells`, where one gives both rates, it
        is `micro_hidden`.
      conservative: whether the macroscale rates of `cells` are differences of fluxes through the faces of the cells, so
        that the drift leaves sums of `zeta` over the mesh as they are; for periodic axes.
      linear_radius: coarse cells to each side that a linear map beside the macroscale drift network sees; with one
        there is also one beside the microscale drift network, of all that this sees. 0 for none, -1 leaves it to
        `msvi.recipe.suggest`.
      quadratic_rank: products of two linear maps of what the drift network of `cells` sees, whose sums stand beside it;
        equations of fluids and waves have such terms. 0 for none, -1 leaves it to `msvi.recipe.suggest`.
      encoder_hidden, decoder_hidden: hidden widths of the microscale encoder and decoder. Theirs and `micro_hidden`
        are left to `msvi.recipe.suggest` by one width of 0.
      encoder_pooling: points per axis over which the microscale encoder averages what it sees; divides the grid. 0
        leaves it to `msvi.recipe.suggest`.
      lift_radius: coarse cells to each side from whose macroscale state a network, the same in all cells, adds to the
        lift of a cell what follows from it but is not linear in it; 0 for none, the lift is then linear.
      lift_hidden: hidden widths of that network.
      micro_frame: `"fixed"`, or `"moving"`: the micro expert and the microscale drift see the field from a frame that
        travels with the macroscale state, and the macroscale drift of a cell sees where in that frame it lies (see
        `msvi.model.frame`). `"auto"` leaves it to
        `msvi.recipe.suggest`.
      coordinates: in which the latent state holds the macroscale state, and in which its dispersion and posterior
        variance are diagonal: `"cells"`, where the noise of each cell is its own; or `"modes"`, Fourier modes along
        periodic axes and cosine modes along others, in which a noise is diagonal that is correlated from cell to cell
        and the same everywhere. `"auto"` leaves it to
        `msvi.recipe.suggest`.
      displacement_hidden: hidden widths of the network that places the micro expert in the moving frame.
      position_harmonics: number of Fourier harmonics that tell a cell's place in the moving frame.
      cell_features: numbers that tell the macroscale drift of a coarse cell where it lies and what the microscale means
        there: an affine map, learned for each cell, of what a network makes of `eta`, and with `cells` just numbers; 0
        where the equation is the same everywhere.
      cell_hidden: hidden widths of that network; the last one is the number of its outputs.
      dispersion_hidden: hidden widths of the network that says what parameters and forcing, if there are any, add to
        `log Q`.
      micro_clock: whether the microscale drift, of `cells` that of both scales, sees `sin t` and `cos t`; off for an
        autonomous system.
      time_unit: unit of time of drift, dispersion and posterior, in that of the data; 0 takes the correlation time of
        the training trajectories.
      drift_scale: unit of the drift networks' outputs, latents per unit of time.
      init_posterior_log_var: initial log-variance of the encoded latents (which are of order one).
      init_log_q: initial logarithm of the dispersion `Q`, latents squared per unit of time.
      init_macro_log_var, init_micro_log_var: initial log-variances of the two experts, in units of the field's
        scale squared.
    """

    micro_dim: int = 5
    micro_layout: str = "global"
    coarsening: int = 50
    n_sigma: int = 3
    hold_kernel: bool = False
    stencil_radius: int = 2
    macro_hidden: tuple[int, ...] = (64, 64)
    micro_hidden: tuple[int, ...] = (128, 128)
    conservative: bool = False
    linear_radius: int = 0
    quadratic_rank: int = 0
    encoder_hidden: tuple[int, ...] = (128, 128)
    decoder_hidden: tuple[int, ...] = (128, 128)
    encoder_pooling: int = 1
    lift_radius: int = 0
    lift_hidden: tuple[int, ...] = (64, 64)
    micro_frame: str = "fixed"
    coordinates: str = "cells"
    displacement_hidden: tuple[int, ...] = (32, 32)
    position_harmonics: int = 4
    cell_features: int = 0
    cell_hidden: tuple[int, ...] = (32, 32)
    dispersion_hidden: tuple[int, ...] = (16,)
    micro_clock: bool = False
    time_unit: float = 0.0
    drift_scale: float = 10.0
    init_posterior_log_var: float = -6.0
    init_log_q: float = -4.0
    init_macro_log_var: float = -2.0
    init_micro_log_var: float = -4.0

    def __post_init__(self):
        require_at_least(self, "model", micro_dim=-1, coarsening=0, n_sigma=1, stencil_radius=-1, linear_radius=-1)
        require_at_least(self, "model", quadratic_rank=-1, lift_radius=0)
        require_at_least(self, "model", position_harmonics=0, encoder_pooling=0, cell_features=0, time_unit=0)
        require_positive(self, "model", "drift_scale")
        for name, words in {"micro_layout": LAYOUTS, "micro_frame": FRAMES, "coordinates": COORDINATES}.items():
            if getattr(self, name) not in (*words, "auto"):
                raise InputError(
                    f"`model.{name}` must be {', '.join(words)} or auto, got {getattr(self, name)!r}; change it."
                )
        if self.micro_layout == "cells":
            for name, value in {"micro_frame": "moving", "coordinates": "modes"}.items():
                if getattr(self, name) == value:
                    raise InputError(
                        f"`model.{name}={value}` needs `model.micro_layout=global`, got cells; change one."
                    )
        if self.conservative and self.micro_layout == "global":
            raise InputError("`model.conservative` needs `model.micro_layout=cells`, got global; change one.")
        if not self.cell_hidden:
            raise InputError("`model.cell_hidden` needs at least one width, got none; change it.")
        for part in ("macro", "micro", "encoder", "decoder", "lift", "displacement", "cell", "dispersion"):
            widths = getattr(self, f"{part}_hidden")
            left_open = widths == LEFT_OPEN and part in ("micro", "encoder", "decoder")
            if any(width < 1 for width in widths) and not left_open:
                raise InputError(f"`model.{part}_hidden` needs widths of at least 1, got {widths}; change it.")


def check_pooling(pooling: int, grid: tuple[int, ...]) -> None:
    """Checks that `model.encoder_pooling`, unless it is left open, divides the grid.

    Raises:
      InputError: it does not.
    """
    if pooling and any(n % pooling for n in grid):
        raise InputError(
            f"`model.encoder_pooling` must divide the grid {grid}, got {pooling}; choose a divisor of "
            f"{int(np.gcd.reduce(grid))}."
        )
