"""The bare loop that a forecast is measured against: it takes the same steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke import ROOT, command_module

from msvi.data.dataset import load_dataset
from msvi.forecast.ensemble import decode_ensemble, solve_ensemble
from msvi.recipe.build import build_model
from msvi.recipe.suggest import resolve
from msvi.training.build import build_elbo
from msvi.training.state import init_state

pytest_plugins = ["smoke"]


@pytest.fixture(scope="module")
def benchmark():
    """The command as a module."""
    names = ("cases", "frames", "members", "repeats", "variant", "output")
    with command_module(ROOT / "benchmarks" / "forecast.py", *names) as module:
        yield module


@pytest.fixture(scope="module")
def quiet(smoke_config):
    """A model whose paths have hardly any noise, its parameters, and latent states to start from."""
    dataset = load_dataset(smoke_config.case, smoke_config.data)
    config = resolve(smoke_config, dataset)
    model = build_model(config, dataset)
    params = init_state(build_elbo(config, model), config.train, jax.random.key(0)).params["model"]
    z0 = jax.vmap(lambda u: model.encode(params, u).mean)(jnp.asarray(dataset.test.u[0, :3]))
    return model, params | {"log_q": jnp.full_like(params["log_q"], -60.0)}, z0


@pytest.mark.parametrize("solver", ["euler", "shark"])
def test_the_bare_loop_takes_the_same_steps(benchmark, quiet, solver):
    """Without noise it ends where the forecast does, and with noise its paths spread as much."""
    model, params, z0 = quiet
    t, keys = jnp.arange(9.0) * model.scales.spacing, jax.random.split(jax.random.key(1), len(z0))
    solved = solve_ensemble(model, params, t, z0, keys, t, solver)
    bare = benchmark.bare_loop(model, params, z0, keys, 8, solver)
    np.testing.assert_allclose(bare, solved[:, 1:], rtol=1e-4, atol=1e-5)
    assert np.abs(bare[:, -1] - z0).max() > 1e-3
    noisy = params | {"log_q": jnp.full_like(params["log_q"], 0.0)}
    start, many = jnp.tile(z0[:1], (64, 1)), jax.random.split(jax.random.key(2), 64)
    spreads = [
        np.asarray(path)[:, -1].std(axis=0).mean()
        for path in (
            solve_ensemble(model, noisy, t, start, many, t, solver),
            benchmark.bare_loop(model, noisy, start, many, 8, solver),
        )
    ]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.1)


def test_the_bare_map_decodes_the_same(benchmark, quiet):
    """Mean and deviation of the members but for the noise of the decoder, which the forecast adds."""
    model, params, z0 = quiet
    z = jnp.tile(z0[:, None], (1, 4, 1)) + 0.1 * jax.random.normal(jax.random.key(3), (len(z0), 4, z0.shape[-1]))
    sharp = params | {name: jnp.full_like(params[name], -60.0) for name in ("macro_log_var", "micro_log_var")}
    for found, expected in zip(
        benchmark.bare_map(model, sharp, z), decode_ensemble(model, sharp, z, jax.random.key(4)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
