"""Staged training: what a run takes over from one with fewer microscale latents, and what it refuses."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb
from smoke import assert_same_state, change

from msvi.data.dataset import load_dataset
from msvi.errors import InputError
from msvi.recipe.build import build_model
from msvi.training import loop
from msvi.training.build import build_elbo
from msvi.training.state import init_state
from msvi.training.warm_start import embed, warm_start
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]


def make_models(model_config, model, small_dim, large_dim, frame):
    """Two models that differ in their microscale latents alone, with parameters off their initial values."""
    built = []
    for dim, seed in ((small_dim, 1), (large_dim, 2)):
        config = dataclasses.replace(model_config, micro_dim=dim, micro_frame=frame)
        other = dataclasses.replace(model, config=config)
        built.append((other, perturb(jax.jit(other.init)(jax.random.key(seed)), seed=seed)))
    return built


@pytest.mark.parametrize("frame", ["fixed", "moving"])
def test_larger_model_begins_as_the_smaller_one(model_config, model, frame):
    """Decoded field, macroscale drift, drift of the old latents and their encoding: all as before, wherever the new
    latents stand."""
    (small, weights), (large, fresh) = make_models(model_config, model, 1, 3, frame)
    params = embed(weights, fresh)
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.standard_normal(large.latent_dim), jnp.float32)
    u = jnp.asarray(0.1 * rng.standard_normal(large.field_shape), jnp.float32)
    old, t = slice(small.latent_dim), jnp.float32(0.3)
    np.testing.assert_allclose(large.decode(params, z).mean, small.decode(weights, z[old]).mean, atol=1e-6)
    np.testing.assert_allclose(large.drift(params, t, z)[old], small.drift(weights, t, z[old]), atol=1e-5)
    np.testing.assert_allclose(large.encode(params, u).mean[old], small.encode(weights, u).mean, atol=1e-5)
    for name in ("log_q", "posterior_log_var"):
        np.testing.assert_array_equal(params[name][old], weights[name])
        np.testing.assert_array_equal(params[name][small.latent_dim :], fresh[name][small.latent_dim :])


@pytest.mark.slow
def test_new_latents_can_be_learned(model_config, model):
    """They do not act on the field yet, but the gradient of the weights that would let them does not vanish."""
    (_, weights), (large, fresh) = make_models(model_config, model, 1, 2, "fixed")
    params = embed(weights, fresh)
    u = jnp.asarray(0.1 * np.random.default_rng(0).standard_normal(large.field_shape), jnp.float32)

    def mismatch(params):
        return jnp.sum((large.decode(params, large.encode(params, u).mean).mean - u) ** 2)

    gradient = jax.grad(mismatch)(params)["decoder"]["params"]["MLP_0"]["Dense_0"]["kernel"]
    assert gradient.shape[0] == 2 and np.abs(gradient[1]).max() > 1e-6


def test_from_the_closure(model_config, model):
    """A macroscale model has no microscale networks: they start fresh, and its drift is taken over."""
    (small, weights), (large, fresh) = make_models(model_config, model, 0, 2, "fixed")
    params = embed(weights, fresh)
    for name in ("encoder", "decoder", "micro_drift", "micro_log_var"):
        jax.tree.map(np.testing.assert_array_equal, params[name], fresh[name])
    z = jnp.asarray(np.random.default_rng(0).standard_normal(large.latent_dim), jnp.float32)
    old, t = slice(small.latent_dim), jnp.float32(0.0)
    np.testing.assert_allclose(large.drift(params, t, z)[old], small.drift(weights, t, z[old]), atol=1e-5)


@pytest.mark.slow
def test_training_starts_from_the_other_run(half_run, smoke_config, programs, tmp_path, monkeypatch):
    """The state before the first step holds the averaged weights of the other run's best checkpoint, a fresh optimiser
    and step 0; a run that has begun resumes its own checkpoint and does not look there again."""
    source = shutil.copytree(half_run.path, tmp_path / "source")
    config = change(change(smoke_config, "model", micro_dim=3), "train", warm_start=str(source), steps=20)
    seen, optimize = [], loop._optimize
    monkeypatch.setattr(
        loop, "_optimize", lambda *arguments: seen.append(jax.device_get(arguments[5].params)) or optimize(*arguments)
    )
    state = loop.train(config, str(tmp_path / "run"))
    (entry,) = Workdir(str(tmp_path / "run")).read_history()[:1]
    weight = config.inference.drift_weight  # whole from the first step: the mean over the first steps shows no ramp
    np.testing.assert_allclose(entry["loss"], weight * entry["drift_residual"] - entry["log_likelihood"], rtol=1e-4)
    weights = Workdir(str(source)).best.restore(half_run.state)[0].average
    dataset = load_dataset(config.case, config.data)
    template = init_state(build_elbo(config, build_model(config, dataset)), config.train, jax.random.key(config.seed))
    jax.tree.map(np.testing.assert_array_equal, seen[0], jax.device_get(embed(weights, template.params)))
    assert int(state.step) == 20 and state.params["model"]["log_q"].shape[0] == 13

    shutil.rmtree(source)
    longer = loop.train(change(config, "train", steps=21), str(tmp_path / "run"))
    assert int(longer.step) == 21


def test_optimiser_and_step_start_anew(half_run, smoke_config):
    """Only the weights and their average come from the other run."""
    config = change(smoke_config, "train", warm_start=half_run.path)
    dataset = load_dataset(config.case, config.data)
    fresh = init_state(build_elbo(config, build_model(config, dataset)), config.train, jax.random.key(5))
    state = warm_start(fresh, config, dataset)
    weights = Workdir(half_run.path).best.restore(half_run.state)[0].average
    assert_same_state(state, fresh._replace(params=weights, average=weights))


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        ("model", {"micro_dim": 1}, "at most 1 microscale latents.*has 2"),
        ("model", {"micro_hidden": (8,)}, r"model.micro_hidden: \(16,\) -> \(8,\)"),
        ("data", {"noise_std": 0.5}, "data.noise_std: 0.001 -> 0.5"),
        ("train", {"warm_start": "nowhere"}, "must be the workdir of a trained run, but .*nowhere.* does not exist"),
    ],
)
def test_unsuited_run_is_refused(half_run, smoke_config, tmp_path, group, values, message):
    """One sentence that names what does not fit; no folder is made."""
    config = change(smoke_config, "train", warm_start=half_run.path)
    if group != "train":
        config = change(config, "train", steps=20)
    config = change(config, group, **values)
    with pytest.raises(InputError, match=message):
        loop.train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
