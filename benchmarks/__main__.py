"""Times a training step, its parts, a forecast and compilation beside a reference matrix product.

    python -m benchmarks --config=configs/burgers_1d.py --output=results/benchmark/burgers_1d.json

Machines are shared and differ: compare ratios to the reference product, taken in the same run, rather than seconds.
Set `XLA_FLAGS=--xla_cpu_multi_thread_eigen=false` and pin the process to measure one core.
"""

import dataclasses
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
from absl import flags

from benchmarks.timing import time_function, time_step
from msvi.cli import entry
from msvi.config import Config
from msvi.data.dataset import load_dataset
from msvi.data.split import Dataset
from msvi.forecast.ensemble import decode_ensemble, forecast_latents, solver_steps
from msvi.provenance import peak_memory_gib, versions
from msvi.recipe.build import build_model
from msvi.recipe.suggest import resolve
from msvi.training.build import build_elbo, build_trajectories
from msvi.training.state import Origins, cut_frames, init_state, make_optimizer, sample_windows, window_times
from msvi.types import Gaussian
from msvi.writing import write_json

OUTPUT = flags.DEFINE_string("output", None, "JSON file to write; nothing is written if left out.")
REPEATS = flags.DEFINE_integer("repeats", 20, "Timed runs of each part, after one that is not timed.", lower_bound=1)


def main() -> None:
    """Measures as the flags say, prints the table and writes the JSON."""
    config = entry.read_config()
    dataset = load_dataset(config.case, config.data)
    config = resolve(config, dataset)
    # The published batch: one window, all of its frames encoded and scored.
    window = config.inference.window
    dense = dataclasses.replace(
        config,
        inference=dataclasses.replace(config.inference, num_nodes=window, num_scored=window),
        train=dataclasses.replace(config.train, batch_windows=1),
    )
    result = {
        "case": config.case,
        "micro_dim": config.model.micro_dim,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "versions": versions(),
        "reference_matmul_2048": measure_matmul(),
        "step_recipe": measure_step(config, dataset),
        "step_dense_window": measure_step(dense, dataset),
        "forecast": measure_forecast(config, dataset),
    }
    result["peak_memory_gib"] = peak_memory_gib()
    print(format_result(result))
    if OUTPUT.value:
        write_json(OUTPUT.value, result)
        print(OUTPUT.value)


def measure(function: Callable, *arguments) -> dict[str, float]:
    """Seconds of a function, run as often as the flag says."""
    return time_function(function, *arguments, repeats=REPEATS.value)


def measure_matmul() -> dict[str, float]:
    """A 2048³ float32 matrix product, the yardstick."""
    a = jax.random.normal(jax.random.key(0), (2048, 2048))
    return measure(jax.jit(jnp.matmul), a, a)


def measure_step(config: Config, dataset: Dataset) -> dict[str, dict[str, float]]:
    """One optimiser step inside the training loop, and its parts alone."""
    whole_model = build_model(config, dataset)
    elbo, optimizer = build_elbo(config, whole_model), make_optimizer(config.train)
    model = elbo.model  # of fields and times in its own units, as the trajectories are
    trajectories = build_trajectories(whole_model, dataset.train)
    state = init_state(elbo, config.train, jax.random.key(0))
    params, batch = state.params, config.train.batch_windows
    length, grid = config.inference.window, model.grid
    windows = sample_windows(jax.random.key(1), trajectories.num_frames, [Origins(0)] * len(grid), length, batch)
    nodes = jnp.linspace(0, length - 1, config.inference.num_nodes).round().astype(int)
    cut = jax.jit(jax.vmap(lambda trajectories, window: cut_frames(trajectories, window, nodes, grid).u, (None, 0)))
    frames = cut(trajectories, windows)
    times = jax.vmap(lambda window: window_times(trajectories.t, window, length))(windows)
    z = jnp.zeros((batch, config.inference.num_scored, model.latent_dim))
    zq = jnp.zeros((batch, config.inference.num_quadrature, model.latent_dim))

    def total(params, trajectories):
        def one(times, window, key):
            return elbo(params, times, lambda index: cut_frames(trajectories, window, index, grid), key).elbo

        return jax.vmap(one)(times, windows, jax.random.split(jax.random.key(2), batch)).sum()

    def both(function):
        """The function and its gradient with respect to the parameters, as in training."""
        return jax.jit(jax.value_and_grad(function))

    encode = jax.vmap(jax.vmap(model.encode, (None, 0)), (None, 0))
    decode = jax.vmap(jax.vmap(model.decode, (None, 0), Gaussian(0, None)), (None, 0), Gaussian(0, None))
    drift = jax.vmap(jax.vmap(model.drift, (None, 0, 0)), (None, 0, 0))
    encoded = Gaussian(*jnp.zeros((2, batch, len(nodes), model.latent_dim)))
    log_q = model.log_q(params["model"])
    marginals = jax.vmap(elbo.posterior.marginals, (None, 0, 0, 0, None))
    grads = jax.tree.map(jnp.ones_like, params)
    parts = {
        "cut frames": measure(cut, trajectories, windows),
        "encoder and gradient": measure(both(lambda p, u: encode(p["model"], u).mean.sum()), params, frames),
        "decoder and gradient": measure(both(lambda p: sum(a.sum() for a in decode(p["model"], z))), params),
        "drift and gradient": measure(both(lambda p: drift(p["model"], times[:, : zq.shape[1]], zq).sum()), params),
        "posterior and gradient": measure(
            both(lambda p: sum(a.sum() for a in marginals(p["posterior"], times[:, nodes], encoded, times, log_q))),
            params,
        ),
        "bound and gradient": measure(both(total), params, trajectories),
        "Adam": measure(jax.jit(lambda g, s, p: optimizer.update(g, s, p)), grads, state.opt_state, params),
    }
    whole = time_step(config, elbo, trajectories, config.train.log_every, REPEATS.value)
    return {"whole step in the loop": whole} | parts


def measure_forecast(config: Config, dataset: Dataset) -> dict[str, dict[str, float]]:
    """One ensemble over a whole trajectory: the SDE solve, and decoding with sampling."""
    model = build_model(config, dataset)
    params = model.init(jax.random.key(0))
    t, u0 = dataset.test.t[0], jnp.asarray(dataset.test.u[0, 0])
    members, solver = config.forecast.num_members, config.forecast.solver
    steps = solver_steps(t[None], model.scales.spacing, config.forecast.steps_per_frame)[0]
    solve = jax.jit(lambda p, key: forecast_latents(model, p, t, u0, key, members, solver=solver, steps=steps))
    decode = jax.jit(lambda p, z, key: decode_ensemble(model, p, z, key))
    z = solve(params, jax.random.key(0))
    label = f"{members} members, {len(t)} frames"
    return {
        f"solve, {label}": measure(solve, params, jax.random.key(0)),
        f"decode and sample, {label}": measure(decode, params, z, jax.random.key(0)),
    }


def format_result(result: dict) -> str:
    """The measurements as a text table, in milliseconds."""
    lines = [
        f"{result['case']}, micro_dim {result['micro_dim']}, {result['versions']['device']}, "
        f"{result['processors']} processor(s), peak memory {result['peak_memory_gib']:.1f} GiB",
        f"{'':52}{'median':>9}{'min':>9}{'max':>9}{'first call':>12}",
    ]
    groups = {"reference": {"2048 x 2048 x 2048 matrix product": result["reference_matmul_2048"]}}
    groups |= {name: result[name] for name in ("step_recipe", "step_dense_window", "forecast")}
    for group, parts in groups.items():
        lines.append(f"{group} (ms)")
        for name, times in parts.items():
            numbers = "".join(f"{1e3 * times[key]:9.2f}" for key in ("median_s", "min_s", "max_s"))
            lines.append(f"  {name:50}{numbers}{1e3 * times['compile_s']:12.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    entry.define_config_flag()
    entry.run(main)
