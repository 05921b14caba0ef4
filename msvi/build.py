"""From a configuration and a data set to the model, what acts on it, and the estimator of its bound."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from msvi.config import Config
from msvi.data.problems import refuse
from msvi.data.recorded import describe
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.inference.elbo import Frames, WindowElbo
from msvi.inference.posterior import GaussianProcessPosterior
from msvi.model.condition import Conditions, ConditionScale
from msvi.model.multiscale import MultiscaleModel
from msvi.model.networks import pool
from msvi.training.sharding import replicate
from msvi.training.state import Trajectories


def check_data_file(config: Config) -> None:
    """Checks that a data file has, or the configuration says, all that a training needs, before a field is read.

    Raises:
      InputError: the file cannot be used, or with all that is missing and does not fit in one sentence.
    """
    d, path = config.data, config.data.path
    if config.case != "custom" or not path:
        return
    found = describe(path, d.boundary, d.num_train, d.num_val, d.num_test, d.seed)
    problems, divisor = list(found.problems), int(np.gcd.reduce(found.grid))
    coarsening, pooling, window = config.model.coarsening, config.model.encoder_pooling, config.inference.window
    if not coarsening and found.coarsening is None:
        problems.append(
            f"does not say the coarsening of its grid {found.grid}; give --config.model.coarsening=N, a divisor of "
            f"{divisor}"
        )
    elif divisor % (coarsening or found.coarsening):
        problems.append(
            f"has the grid {found.grid}, which the coarsening {coarsening or found.coarsening} does not divide; give "
            f"--config.model.coarsening=N, a divisor of {divisor}"
        )
    if divisor % pooling:
        problems.append(
            f"has the grid {found.grid}, which the pooling {pooling} does not divide; give another "
            "--config.model.encoder_pooling=N"
        )
    shortest = min(found.num_frames.get("train", ()), default=window)
    if window > shortest:
        problems.append(
            f"has trajectories of {shortest} frames to learn from, fewer than the window of {window}; give "
            f"--config.inference.window=N, at most {shortest}"
        )
    refuse(path, problems)


def build_model(config: Config, dataset: Dataset) -> MultiscaleModel:
    """The multiscale model on the data's grid, in units of the standard deviation of the training fields.

    Raises:
      InputError: training fields that do not vary.
    """
    # A trajectory at a time: they may be larger than what is free in memory.
    train, count, total, squares = dataset.train, 0, 0.0, 0.0
    for i, u in enumerate(train.u):
        observed = train.observed(i)
        values = u if observed is None else u[observed]
        count, total = count + values.size, total + values.sum(dtype=np.float64)
        squares += np.square(values).sum(dtype=np.float64)
    variance = squares / count - (total / count) ** 2
    if variance <= 1e-12 * squares / count:
        raise InputError("The training fields must vary, got one constant; check the data.")
    coarsening = config.model.coarsening or dataset.coarsening
    if coarsening is None:
        raise InputError(
            f"`model.coarsening` is left to the data, which do not say it; choose a divisor of "
            f"{int(np.gcd.reduce(dataset.grid))}."
        )
    settings = dataclasses.replace(config.model, coarsening=coarsening)
    field_scale, scale = float(np.sqrt(variance)), _condition_scale(train)
    return MultiscaleModel(settings, dataset.grid, dataset.num_channels, dataset.boundary, field_scale, scale)


def build_conditions(model: MultiscaleModel, split: Split) -> Conditions:
    """What acts on each trajectory of a split, on the device, with an axis `trajectory` in front.

    Of a forcing field it holds the means over the coarse cells.
    """
    mu, forcing, forcing_t = split.mu, split.forcing, split.forcing_t
    if forcing is not None and model.condition_scale.local:
        coarsening = model.config.coarsening
        forcing = np.stack([[pool(frame, coarsening) for frame in one] for one in forcing])
    return Conditions(*(None if a is None else jnp.asarray(a, jnp.float32) for a in (mu, forcing_t, forcing)))


def _condition_scale(train: Split) -> ConditionScale:
    def moments(values):
        """Means and deviations over all axes but the last; of what is always the same a deviation of one."""
        flat = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
        mean, std = flat.mean(axis=0), flat.std(axis=0)
        std = np.where(std > 1e-6 * np.abs(mean), std, 1.0)
        return tuple(mean.tolist()), tuple(std.tolist())

    mu, forcing = (((), ()) if a is None else moments(a) for a in (train.mu, train.forcing))
    return ConditionScale(*mu, *forcing, local=train.forcing is not None and train.forcing.ndim > 3)


def build_trajectories(model: MultiscaleModel, split: Split, mesh: Mesh | None = None) -> Trajectories:
    """A split as the training step takes it, on the device, or on every one of `mesh`."""
    put = jnp.asarray if mesh is None else functools.partial(replicate, mesh=mesh)
    frames = Frames(put(split.u), None if split.mask is None else put(split.mask))
    conditions = build_conditions(model, split)
    if mesh is not None:
        conditions = jax.tree.map(put, conditions)
    return Trajectories(put(np.asarray(split.t, np.float32)), frames, put(split.lengths), conditions)


def build_elbo(config: Config, model: MultiscaleModel) -> WindowElbo:
    """The estimator of the evidence lower bound over one window."""
    c = config.inference
    posterior = GaussianProcessPosterior(c.init_length, c.init_noise)
    return WindowElbo(model, posterior, c.num_nodes, c.num_scored, c.num_quadrature)
