"""What the training trajectories suggest: scales, layout, mesh, windows, posterior and weights that a configuration
leaves.

A field of the configuration is left open by 0, `"auto"` or, where 0 has a meaning, -1; with the posterior the
initial dispersion is left open too. Everything here is read off the training trajectories, before any training, and
does not change when the data come in other units.
"""

import dataclasses
import math

import jax
import numpy as np

from msvi.config import Config
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.forecast.config import DRIFT_EVALUATIONS
from msvi.inference.config import InferenceConfig
from msvi.model.blocks import to_blocks
from msvi.model.config import LEFT_OPEN, ModelConfig
from msvi.model.filter import MacroFilter
from msvi.model.frame import concentration
from msvi.model.scales import Scales
from msvi.recipe.measure import Motion, field_scales, find_motion, short_waves, snapshots_of
from msvi.training.config import TrainConfig

# Coarse cells per axis, at least.
FEWEST_CELLS = 4
# Coarse cells per axis that are aimed at, by the number of axes; as in the published cases.
_CELLS = {1: 16, 2: 8, 3: 4}
# Coarse cells to each side that the drift network of a cell sees. With more, that of a smooth chaotic field was seen to
# leave the attractor in the end, and that of a field driven by noise to follow the noise of its training paths.
_STENCIL = {1: 2, 2: 2, 3: 1}
# Where the microscale is in cells the network is told of it in each cell, and may see one more. A linear map over all
# of the mesh would be free for waves that do not fit on it: on a larger domain, which has such, they were seen to grow.
_CELLS_STENCIL, _CELLS_LINEAR = {1: 3, 2: 2, 3: 1}, {1: 4, 2: 2, 3: 1}
# The linear map beside it reaches over all of the meshes aimed at, so that each of their waves has its own speed.
_LINEAR = {1: 8, 2: 4, 3: 2}
# Products beside the drift network where it is shared by cells.
_QUADRATIC = 128
# Hidden widths, learning rate and steps. Cells have many small networks, which bear a larger rate, that has to fall
# for long, and need more steps; in two and three dimensions a step costs too much for that.
_HIDDEN, _RATE, _STEPS = (128, 128), 2e-3, 10_000
_CELLS_HIDDEN = (64, 64)
_CELLS_RATE, _CELLS_STEPS = {1: 5e-3, 2: 2e-3, 3: 2e-3}, {1: 33_000, 2: 12_000, 3: 12_000}
# Nodes in a window up to which that many steps are taken: a step costs as much as it has nodes, and teaches as much.
_USUAL_NODES = 17
# Microscale latents: of the domain; of each cell at most, and the share of the field's deviation that as many straight
# directions in a cell may leave.
_LATENTS, _MOST_LATENTS, _LEFT = 5, 8, 0.025
# Share from which on it is said that they are few.
_MUCH_LEFT = 0.1
# Values of a frame from which on dense networks of all of them are too large.
_LARGE = 2**16
# Numbers that the microscale encoder sees at most; more are averaged over blocks.
_ENCODED = 4096
# Evaluations of the drift from one node of a smooth path to the next. The phase of an oscillation with a period of
# 8 nodes is then wrong by 3 thousandths where a step takes two of them, and by 40 millionths where it takes four.
_EVALUATIONS = 12
# Share of the first Fourier coefficient in where the field changes, above which there is one structure to follow.
_ONE_STRUCTURE = 0.5
# Trajectories from which on it can be told whether one place differs from another.
_MANY = 8
# Initial dispersion of smooth paths, per correlation time.
_LEAST_DISPERSION = 2e-3
# Share of what noise drives that may be in waves too short for the mesh.
_UNCARRIED = 0.02
# Latents of a mesh that is refined for it, and up to which a rotation of them all is learned.
_MANY_LATENTS = 1024
# Windows of frames: for smooth paths, whose nodes lie apart, and for rough ones, where each frame is one.
_SMOOTH_WINDOW, _ROUGH_WINDOW = 64, 32
# Where the microscale is in cells, whose latents change faster than the coarse field: windows, and how much closer the
# nodes lie.
_CELLS_WINDOW, _CELLS_NODES = 32, 2


def resolve(config: Config, dataset: Dataset) -> Config:
    """`config` with what it leaves open filled in from the training trajectories.

    Raises:
      InputError: training fields that do not vary, or a grid that no coarsening divides.
    """
    return suggest(config, dataset)[0]


def _resolve(config: Config, dataset: Dataset, scales: Scales, motion: Motion, snapshots: np.ndarray) -> Config:
    model, inference, train = config.model, config.inference, config.train
    given = model.coarsening or dataset.coarsening
    coarsening = given or suggest_coarsening(dataset.grid)
    rough = motion.rough if inference.posterior == "auto" else inference.posterior == "markov"
    if rough and not given:
        coarsening = _carry_noise(dataset, scales, coarsening)
    focus = _focus(dataset, snapshots)
    if model.micro_layout == "auto":
        layout = "global" if _against_cells(config, dataset, rough, focus) else "cells"
        model = dataclasses.replace(model, micro_layout=layout)
    local = model.micro_layout == "cells"
    pooling = model.encoder_pooling or _pooling(dataset, coarsening, local)
    model = dataclasses.replace(model, coarsening=coarsening, encoder_pooling=pooling)
    counts, weighs = local and model.micro_dim < 0, not inference.drift_weight and not rough
    missed = _missed(model, dataset, snapshots) if counts or weighs else None
    if model.micro_dim < 0:
        latents = _LATENTS if missed is None or not counts else _latents_of_cell(missed)
        model = dataclasses.replace(model, micro_dim=latents)
    if model.stencil_radius < 0:
        reach = _CELLS_STENCIL if local else _STENCIL
        model = dataclasses.replace(model, stencil_radius=reach[len(dataset.grid)])
    if model.linear_radius < 0:
        reach = _CELLS_LINEAR if local else _LINEAR
        radius = max(model.stencil_radius, reach[len(dataset.grid)])
        model = dataclasses.replace(model, linear_radius=radius)
    if model.quadratic_rank < 0:
        model = dataclasses.replace(model, quadratic_rank=_QUADRATIC if local else 0)
    inference = _windows(inference, motion, rough, local, int(dataset.train.lengths.min()))
    model, train = _sizes(model, train, len(dataset.grid), inference.num_nodes)
    if not inference.drift_weight:
        weight = 1.0 if missed is None or not weighs else _weight(missed, model.micro_dim)
        inference = dataclasses.replace(inference, drift_weight=weight)
    if inference.rotation == "auto":
        latents = _num_values(dataset, coarsening) + model.micro_dim
        if local:  # those of a cell
            latents = dataset.num_channels + model.micro_dim
        inference = dataclasses.replace(inference, rotation="learned" if latents <= _MANY_LATENTS else "none")
    if model.coordinates == "auto":
        model = dataclasses.replace(model, coordinates="modes" if rough and not local else "cells")
    time_unit = model.time_unit or motion.correlation_time
    if config.inference.posterior == "auto":
        begin = max(motion.diffusion * time_unit, _LEAST_DISPERSION) if rough else _LEAST_DISPERSION
        model = dataclasses.replace(model, init_log_q=round(float(np.log(begin)), 2))
    if model.micro_frame == "auto":
        moves = focus > _ONE_STRUCTURE and not local
        model = dataclasses.replace(model, micro_frame="moving" if moves else "fixed")
    if train.random_shift < 0:
        train = dataclasses.replace(train, random_shift=_shift(dataset, snapshots, coarsening, model.micro_frame))
    model = dataclasses.replace(model, time_unit=time_unit)
    forecast = config.forecast
    if forecast.solver == "auto":
        forecast = dataclasses.replace(forecast, solver="shark" if rough else "rk4")
    if not forecast.steps_per_frame:
        steps = 1 if rough else -(-_EVALUATIONS // (motion.node_frames * DRIFT_EVALUATIONS[forecast.solver]))
        forecast = dataclasses.replace(forecast, steps_per_frame=steps)
    if forecast.dispersion == "auto":
        forecast = dataclasses.replace(forecast, dispersion="validation" if local and not rough else "bound")
    return dataclasses.replace(config, model=model, inference=inference, train=train, forecast=forecast)


def coarsenings(grid: tuple[int, ...]) -> list[int]:
    """Those that divide the grid and leave enough cells along each axis."""
    divisor = math.gcd(*grid)
    return [s for s in range(2, min(grid) // FEWEST_CELLS + 1) if divisor % s == 0]


def suggest_coarsening(grid: tuple[int, ...]) -> int:
    """The divisor of the grid that comes nearest to 16, 8 or 4 coarse cells along the shortest of 1, 2 or 3 axes.

    Raises:
      InputError: there is none that leaves at least 4 cells.
    """
    choices, shortest = coarsenings(grid), min(grid)
    if not choices:
        raise InputError(
            f"No coarsening divides the grid {grid} into at least {FEWEST_CELLS} cells along each axis; interpolate "
            "the fields to numbers of points with common divisors, powers of 2 for example."
        )
    aim = _CELLS[len(grid)]
    return min(choices, key=lambda s: (abs(np.log(shortest / s / aim)), s))


def suggest(config: Config, dataset: Dataset) -> tuple[Config, list[str]]:
    """`resolve`, and a line for each thing that it filled in and why; none if nothing was left open.

    Raises:
      InputError: as `resolve`.
    """
    if not _open(config):
        return config, []
    scales = field_scales(dataset.train)
    coarsening = config.model.coarsening or dataset.coarsening or suggest_coarsening(dataset.grid)
    motion = find_motion(dataset.train, scales, coarsening)
    snapshots = snapshots_of(dataset.train, scales)
    found = _resolve(config, dataset, scales, motion, snapshots)
    m, i, why = found.model, found.inference, ""
    if config.model.micro_layout == "auto":
        focus = _focus(dataset, snapshots)
        why = _against_cells(config, dataset, i.posterior == "markov", focus) or "nothing speaks against cells"
        why = f" ({why})"
    left = ""
    if config.model.micro_dim < 0 and m.micro_layout == "cells" and m.micro_dim == _MOST_LATENTS:
        share = _left(_missed(m, dataset, snapshots))[m.micro_dim - 1]
        if share > _MUCH_LEFT:
            left = f"; as straight directions they leave {share:.0%} of the field's deviation, fewer points in a cell "
            left += "(model.coarsening) leave less"
    paths = "rough, driven by noise" if motion.rough else "smooth"
    return found, [
        f"coarsening {m.coarsening}: {' x '.join(str(n // m.coarsening) for n in dataset.grid)} cells",
        f"microscale layout {m.micro_layout}{why}, {m.micro_dim} latents "
        f"{'in each cell' if m.micro_layout == 'cells' else 'for the whole domain'}{left}",
        f"time unit {m.time_unit:.4g}; frames are {motion.spacing:.4g} apart, correlated over "
        f"{motion.correlation_time:.4g}",
        f"posterior {i.posterior}: squared increments grow with lag to the power {motion.exponent:.2f}, paths are "
        f"{paths}",
        f"window {i.window} frames, {i.num_nodes} of them encoded, {i.num_scored} scored, {i.num_quadrature} "
        "quadrature points",
        f"drift weight {i.drift_weight:.3g}, macroscale coordinates {m.coordinates}",
        f"stencil radius {m.stencil_radius}, that of the linear map {m.linear_radius}, quadratic rank "
        f"{m.quadratic_rank}",
        f"microscale frame {m.micro_frame}, random shift {found.train.random_shift}, encoder pooling "
        f"{m.encoder_pooling}",
        f"{found.forecast.steps_per_frame} steps a frame of the solver {found.forecast.solver}, dispersion by "
        f"{found.forecast.dispersion}",
    ]


def _open(config: Config) -> bool:
    m, i = config.model, config.inference
    numbers = (m.coarsening, m.encoder_pooling, m.time_unit)
    numbers += (config.forecast.steps_per_frame, i.window, i.num_nodes, i.num_scored, i.num_quadrature, i.drift_weight)
    numbers += (config.train.steps, config.train.learning_rate)
    return (
        0 in numbers
        or LEFT_OPEN in (m.micro_hidden, m.encoder_hidden, m.decoder_hidden)
        or "auto" in (m.micro_layout, m.micro_frame, m.coordinates, i.posterior, i.rotation)
        or "auto" in (config.forecast.dispersion, config.forecast.solver)
        or min(m.micro_dim, m.stencil_radius, m.linear_radius, m.quadratic_rank, config.train.random_shift) < 0
    )


def _windows(inference: InferenceConfig, motion: Motion, rough: bool, local: bool, frames: int) -> InferenceConfig:
    """The posterior, window, nodes, scored frames and quadrature points that are left open.

    Args:
      local: whether the microscale is in cells.
      frames: of the shortest trajectory.
    """
    window = inference.window or min(_ROUGH_WINDOW if rough else _CELLS_WINDOW if local else _SMOOTH_WINDOW, frames)
    apart = 1 if rough else motion.node_frames
    if local:
        apart = max(1, apart // _CELLS_NODES)
    nodes = inference.num_nodes or int(np.clip(-(-(window - 1) // apart) + 1, min(8, window), window))
    return dataclasses.replace(
        inference,
        posterior="markov" if rough else "smooth",
        window=window,
        num_nodes=nodes,
        num_scored=inference.num_scored or min(8 if rough else 4, window),
        num_quadrature=inference.num_quadrature or max(16, nodes),
    )


def _sizes(model: ModelConfig, train: TrainConfig, ndim: int, nodes: int) -> tuple[ModelConfig, TrainConfig]:
    """Widths, learning rate and steps that are left open, by the layout and the nodes of a window."""
    local = model.micro_layout == "cells"
    widths = _CELLS_HIDDEN if local else _HIDDEN
    names = [n for n in ("micro_hidden", "encoder_hidden", "decoder_hidden") if getattr(model, n) == LEFT_OPEN]
    model = dataclasses.replace(model, **dict.fromkeys(names, widths))
    rate = train.learning_rate or (_CELLS_RATE[ndim] if local else _RATE)
    steps = train.steps or (int(round(_CELLS_STEPS[ndim] * min(1, _USUAL_NODES / nodes), -2)) if local else _STEPS)
    return model, dataclasses.replace(train, learning_rate=rate, steps=steps)


def _missed(model: ModelConfig, dataset: Dataset, snapshots: np.ndarray) -> np.ndarray:
    """What the mesh does not carry of `snapshots`, `(sample, value)`: of whole frames, or where the microscale is in
    cells of one cell each."""
    mesh = MacroFilter(dataset.grid, model.coarsening, model.n_sigma, dataset.boundary)
    kernel = mesh.init_kernel()
    carried = jax.lax.map(lambda u: mesh.lift(kernel, mesh.restrict(kernel, u)), snapshots, batch_size=16)
    rest = (snapshots - np.asarray(carried)).astype(np.float64)
    if model.micro_layout == "global":
        return rest.reshape(len(rest), -1)
    blocks = np.stack([np.asarray(to_blocks(u, model.coarsening)) for u in rest])
    return blocks.reshape(-1, blocks.shape[-1])


def _latents_of_cell(missed: np.ndarray) -> int:
    """Principal directions of what the mesh misses in one cell that hold it but for `_LEFT` of the field's deviation,
    at most `_MOST_LATENTS`."""
    return min(1 + int((_left(missed) > _LEFT).sum()), _MOST_LATENTS)


def _left(missed: np.ndarray) -> np.ndarray:
    """Share of the field's deviation that 1, 2, ... principal directions of what the mesh misses in one cell leave."""
    spectrum = np.linalg.eigvalsh(missed.T @ missed / len(missed))[::-1]
    return np.sqrt(np.maximum(spectrum.sum() - np.cumsum(spectrum), 0) / len(spectrum))


def _weight(missed: np.ndarray, latents: int) -> float:
    """Values of a frame, or of a cell, over independent errors of the decoder, `(sum of eigenvalues)² / sum of squares`
    of their covariance.

    In place of the decoder's errors stands what neither the mesh nor the leading modes of the rest, one for each
    microscale latent, carry: where that is white noise the weight is 1 and the bound is taken as it is; where it is a
    few coherent shapes, its neighbouring points are no independent evidence. Source of tempering a likelihood so:
    Ribatet, Cooley & Davison, Statistica Sinica 22, 2012.
    """
    count, values = missed.shape
    # Of many latents, leave directions from which to tell what is left.
    latents = min(latents, count // 2)
    spectrum = np.linalg.eigvalsh(missed @ missed.T if count < values else missed.T @ missed)[::-1][latents:]
    spectrum = np.maximum(spectrum, 0)
    if count <= latents + 1 or not spectrum.sum() > 0:
        return 1.0
    # Of so many frames, white noise would show fewer directions than it has.
    inverse = np.sum(spectrum**2) / np.sum(spectrum) ** 2 - 1 / count
    independent = 1 / np.clip(inverse, 1 / values, 1.0)
    return float(f"{values / independent:.3g}")


def _carry_noise(dataset: Dataset, scales: Scales, coarsening: int) -> int:
    """The largest divisor up to `coarsening` whose mesh holds nearly all waves of the increments in time.

    White noise of the observation is taken off. `coarsening` itself where no mesh of a reasonable size does. What
    drives the waves that the mesh lacks would be left to the microscale latents, which are curved functions of them.
    """
    shares = short_waves(dataset, scales)
    for s in reversed([s for s in coarsenings(dataset.grid) if s <= coarsening]):
        if _num_values(dataset, s) > _MANY_LATENTS:
            break
        if all(share[n // s] <= _UNCARRIED for share, n in zip(shares, dataset.grid, strict=True)):
            return s
    return coarsening


def _num_values(dataset: Dataset, coarsening: int) -> int:
    """Of the macroscale state."""
    return math.prod(n // coarsening for n in dataset.grid) * dataset.num_channels


def _focus(dataset: Dataset, snapshots: np.ndarray) -> float:
    """How far differences gather at one place, in nearly all frames."""
    return float(np.quantile(jax.vmap(lambda u: concentration(u, dataset.boundary))(snapshots), 0.05))


def _against_cells(config: Config, dataset: Dataset, rough: bool, focus: float) -> str:
    """Why the microscale should be a few numbers for the whole domain; empty if it should be in cells, for several
    structures move, on smooth paths, over a domain that is periodic or large, or for a setting asks for them."""
    m = config.model
    if m.conservative or config.train.patch_cells:
        return ""
    if m.coordinates == "modes" or m.micro_frame == "moving":
        return f"model.coordinates is {m.coordinates}, model.micro_frame {m.micro_frame}"
    if rough:
        return "noise drives the paths"
    if math.prod(dataset.grid) * dataset.num_channels > _LARGE:
        return ""
    if any(kind != "periodic" for kind in dataset.boundary):
        return "the domain has edges and is not large"
    return "one structure moves" if focus > _ONE_STRUCTURE else ""


def _pooling(dataset: Dataset, coarsening: int, local: bool) -> int:
    """The smallest divisor of the coarsening that leaves the encoder few enough numbers, of the field or of three cells
    a side."""
    values = (3 * coarsening) ** len(dataset.grid) if local else math.prod(dataset.grid)
    values *= dataset.num_channels
    divisors = [p for p in range(1, coarsening + 1) if coarsening % p == 0]
    return next((p for p in divisors if values / p ** len(dataset.grid) <= _ENCODED), coarsening)


def _shift(dataset: Dataset, snapshots: np.ndarray, coarsening: int, micro_frame: str) -> int:
    """Shifts over the shortest axis where all are periodic and no place differs from another; else none.

    In a moving frame shifts by whole coarse cells teach nothing new.
    """
    forced = dataset.train.forcing is not None and dataset.train.forcing.ndim > 3
    if forced or any(kind != "periodic" for kind in dataset.boundary):
        return 0
    if micro_frame == "moving":
        return coarsening - 1
    # Flat is a mean field that varies no more than those of as many independent fields would, twice over.
    count = len(dataset.train.u)
    flat = count >= _MANY and snapshots.mean(axis=0).std() < 2 / np.sqrt(count)
    return min(dataset.grid) - 1 if flat else 0
