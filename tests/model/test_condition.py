"""Parameters and forcing: their values between times, and what of the model they reach."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb

from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.forecast.ensemble import forecast_latents
from msvi.model.condition import NO_CONDITION, Condition, Conditions, ConditionScale
from msvi.recipe.build import build_conditions, build_model

GLOBAL = ConditionScale(mu_mean=(2.0,), mu_std=(0.5,), forcing_mean=(1.0, 0.0), forcing_std=(2.0, 1.0))
LOCAL = ConditionScale(forcing_mean=(0.5,), forcing_std=(2.0,), local=True)


def conditioned(model, scale):
    """The shared small model with conditions, and parameters moved off their initial values."""
    model = dataclasses.replace(model, condition_scale=scale)
    return model, perturb(jax.jit(model.init)(jax.random.key(0)))


def test_forcing_is_linear_between_its_times():
    """Unequal times; at them the values, between a line, beyond the ends constant; parameters at all times the same."""
    t, mu = jnp.array([0.0, 1.0, 3.0]), jnp.array([7.0])
    conditions = Conditions(mu, t, jnp.array([[0.0, 1.0], [2.0, 1.0], [6.0, -1.0]]))
    found = jax.vmap(conditions.at)(jnp.array([-1.0, 0.0, 0.25, 1.0, 2.0, 3.0, 9.0]))
    np.testing.assert_allclose(found.forcing[:, 0], [0, 0, 0.5, 2, 4, 6, 6], atol=1e-6)
    np.testing.assert_allclose(found.forcing[:, 1], [1, 1, 1, 1, 0, -1, -1], atol=1e-6)
    np.testing.assert_array_equal(found.mu, np.full((7, 1), 7))


def test_constant_forcing_has_one_time():
    """Then its value holds at all times."""
    conditions = Conditions(None, jnp.array([2.0]), jnp.array([[5.0]]))
    for t in (0.0, 2.0, 9.0):
        assert conditions.at(jnp.float32(t)) == Condition(None, jnp.array([5.0]))


def test_standardised():
    """What networks see has mean 0 and deviation 1 over the training trajectories."""
    everywhere, local = GLOBAL.features(Condition(jnp.array([3.0]), jnp.array([5.0, -1.0])))
    np.testing.assert_allclose(everywhere, [2.0, 2.0, -1.0])
    assert local is None and ConditionScale().features(NO_CONDITION) == (None, None)
    everywhere, local = LOCAL.features(Condition(None, jnp.full((5, 1), 4.5)))
    assert everywhere is None
    np.testing.assert_allclose(local, np.full((5, 1), 2.0))


@pytest.mark.parametrize("part", ["mu", "forcing"])
def test_drift_and_dispersion_depend_on_it(model, part):
    """Each number of a condition changes the drift of every latent and every entry of the dispersion."""
    model, params = conditioned(model, GLOBAL)
    z = jnp.asarray(np.random.default_rng(0).standard_normal(model.latent_dim), jnp.float32)
    base = Condition(jnp.array([2.0]), jnp.array([1.0, 0.0]))
    for i in range(getattr(base, part).size):
        other = base._replace(**{part: getattr(base, part).at[i].add(1.0)})
        change = model.drift(params, jnp.float32(0), z, other) - model.drift(params, jnp.float32(0), z, base)
        assert (np.abs(change) > 1e-4).all()
        assert (np.abs(model.log_q(params, other) - model.log_q(params, base)) > 1e-4).all()


def test_local_forcing_acts_on_its_cell(model):
    """A forcing field in one coarse cell changes the macroscale drift there alone, and the microscale's."""
    model, params = conditioned(model, LOCAL)
    z = jnp.asarray(np.random.default_rng(0).standard_normal(model.latent_dim), jnp.float32)
    still, acting = (Condition(None, jnp.zeros((5, 1)).at[3].set(value)) for value in (0.0, 3.0))
    change = model.drift(params, jnp.float32(0), z, acting) - model.drift(params, jnp.float32(0), z, still)
    assert list(np.flatnonzero(np.abs(change[:5]) > 1e-6)) == [3]
    assert (np.abs(change[5:]) > 1e-4).all()


@pytest.mark.slow
def test_forecast_follows_the_forcing(model):
    """Without noise and with the drift of the last layer's bias alone, a latent is the integral of what acts on it."""
    scale = ConditionScale(forcing_mean=(0.0,), forcing_std=(1.0,))
    model = dataclasses.replace(model, config=dataclasses.replace(model.config, macro_hidden=()), condition_scale=scale)
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    # The linear macroscale drift sees stencil, forcing and latents in this order.
    layer = params["macro_drift"]["params"]["MLP_0"]["Dense_0"]
    layer["kernel"] = layer["kernel"].at[3, 0].set(1.0)
    params |= {"log_q": jnp.full(model.latent_dim, -80.0), "posterior_log_var": jnp.full(model.latent_dim, -80.0)}
    t = np.linspace(0.0, 1.0, 201)
    conditions = Conditions(None, jnp.array([0.0, 1.0]), jnp.array([[0.0], [2.0]]))
    z = forecast_latents(model, params, t, jnp.zeros((40, 1)), jax.random.key(0), 1, conditions=conditions)
    np.testing.assert_allclose(z[0, :, 0], np.asarray(t) ** 2, atol=0.01)


def test_scales_and_coarse_means():
    """Scales are those of the training trajectories alone; a forcing field becomes its means over the coarse cells."""
    rng = np.random.default_rng(0)

    def split(number, shift):
        t = np.tile(np.linspace(0, 1, 6), (number, 1))
        u = rng.standard_normal((number, 6, 40, 1)).astype(np.float32)
        forcing = rng.standard_normal((number, 6, 40, 2)) + shift
        return Split(t, u, mu=rng.standard_normal((number, 3)) + shift, forcing=forcing, forcing_t=t)

    dataset = Dataset((np.arange(40) / 40,), ("periodic",), split(4, 0), split(1, 50), split(2, 50), coarsening=8)
    config = dataclasses.replace(Config(), model=dataclasses.replace(Config().model, coarsening=8))
    model = build_model(config, dataset)
    train = dataset.train
    np.testing.assert_allclose(model.condition_scale.mu_mean, train.mu.mean(axis=0))
    np.testing.assert_allclose(model.condition_scale.forcing_std, train.forcing.std(axis=(0, 1, 2)))
    assert model.condition_scale.local
    found = build_conditions(model, dataset.test)
    assert found.forcing.shape == (2, 6, 5, 2) and found.mu.shape == (2, 3)
    np.testing.assert_allclose(found.forcing[1, 2, 3], dataset.test.forcing[1, 2, 24:32].mean(axis=0), rtol=1e-5)


def test_a_parameter_that_never_varies():
    """It has no deviation to divide by; the model can be built and takes the value as it is."""
    t = np.tile(np.linspace(0, 1, 6), (3, 1))
    u = np.random.default_rng(0).standard_normal((3, 6, 40, 1)).astype(np.float32)
    split = Split(t, u, mu=np.full((3, 1), 0.1))
    dataset = Dataset((np.arange(40) / 40,), ("periodic",), split, split, split, coarsening=8)
    config = dataclasses.replace(Config(), model=dataclasses.replace(Config().model, coarsening=8))
    assert build_model(config, dataset).condition_scale.mu_std == (1.0,)
