"""Decoder, encoder and drift of the multiscale model."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb

from msvi.errors import InputError
from msvi.model.blocks import pool
from msvi.model.config import ModelConfig
from msvi.model.global_layout import MacroDrift, MicroEncoder
from msvi.model.lift import SubgridLift
from msvi.model.multiscale import MultiscaleModel
from msvi.model.networks import MLP
from msvi.model.scales import Scales

SCALE = 0.1  # of every model here

encode, decode, decode_parts, drift = (
    jax.jit(method, static_argnums=0)
    for method in (MultiscaleModel.encode, MultiscaleModel.decode, MultiscaleModel.decode_parts, MultiscaleModel.drift)
)


def draw_z(model, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(model.latent_dim), jnp.float32)


def draw_u(model, seed=1):
    return jnp.asarray(0.1 * np.random.default_rng(seed).standard_normal(model.field_shape), jnp.float32)


def bare_g(model, params, z):
    """`g(eta)` in the units of `u`: the microscale part when the micro expert alone is certain."""
    return decode_parts(model, params | {"micro_log_var": jnp.full(model.field_shape, -60.0)}, z)[1]


def test_decoder_is_the_product_of_its_experts(model, params):
    """Moments of the two densities multiplied on a grid of 20,001 values, at every point; float32 parameters."""
    z = draw_z(model)
    decoded = decode(model, params, z)
    macro = np.asarray(decode_parts(model, params, z)[0], np.float64)[:, 0]
    micro = macro + np.asarray(bare_g(model, params, z), np.float64)[:, 0]
    scale = SCALE
    macro_var, micro_var = (
        np.exp(np.asarray(params[name], np.float64)[:, 0]) * scale**2 for name in ("macro_log_var", "micro_log_var")
    )
    assert np.ptp(macro_var / micro_var) > 1 and np.abs(micro - macro).max() > 0.01 * scale  # a generic case
    for point in range(model.grid[0]):
        u = macro[point] + scale * np.linspace(-5, 5, 20001)
        log_density = -0.5 * ((u - macro[point]) ** 2 / macro_var[point] + (u - micro[point]) ** 2 / micro_var[point])
        density = np.exp(log_density - log_density.max())
        mean = np.sum(u * density) / density.sum()
        var = np.sum((u - mean) ** 2 * density) / density.sum()
        np.testing.assert_allclose(decoded.mean[point, 0], mean, atol=1e-5 * scale)
        np.testing.assert_allclose(np.exp(decoded.log_var[point, 0]), var, rtol=1e-4)


def test_certain_experts_win(model, params):
    """Where one expert's variance vanishes the decoder is that expert, and the parts follow."""
    z = draw_z(model)
    sure = jnp.full(model.field_shape, -20.0)
    lifted, _ = decode_parts(model, params, z)
    macro_wins = decode(model, params | {"macro_log_var": sure}, z)
    np.testing.assert_allclose(macro_wins.mean, lifted, atol=1e-6)
    np.testing.assert_allclose(macro_wins.log_var, -20.0 + 2 * np.log(SCALE), rtol=1e-5)
    micro_wins = decode(model, params | {"micro_log_var": sure}, z)
    np.testing.assert_allclose(micro_wins.mean, lifted + bare_g(model, params, z), atol=1e-6)


def test_parts_sum_to_the_mean(model, params):
    """Macroscale plus microscale part is the decoder's mean; the macroscale part is the lift of `zeta`."""
    z = draw_z(model)
    macro, micro = decode_parts(model, params, z)
    np.testing.assert_allclose(macro + micro, decode(model, params, z).mean, atol=1e-7)
    zeta, _ = model.split(z)
    lifted = model.filter.lift(params["kernel"], zeta) * SCALE * model.filter.gain
    np.testing.assert_allclose(macro, lifted, atol=1e-7)


def test_encoder_restricts(model, params):
    """`zeta` is the restriction in units of the scale and gain; the variance is the parameter."""
    u = draw_u(model)
    encoded = encode(model, params, u)
    zeta, eta = model.split(encoded.mean)
    np.testing.assert_allclose(
        zeta, model.filter.restrict(params["kernel"], u) / (SCALE * model.filter.gain), rtol=1e-5
    )
    np.testing.assert_array_equal(encoded.log_var, params["posterior_log_var"])
    assert np.all(np.abs(eta) > 0)


def test_held_kernel_keeps_a_constant(model, params):
    """Whatever training makes of it, its sum stays that of the first one: a constant comes back from the macroscale as
    it was but for its ripple. Without `hold_kernel` it may vanish."""
    held = dataclasses.replace(model, config=dataclasses.replace(model.config, hold_kernel=True))
    first = model.filter.init_kernel()
    np.testing.assert_allclose(held.kernel({"kernel": first}), first, rtol=1e-4)
    shrunk = params | {"kernel": 1e-3 * params["kernel"]}
    np.testing.assert_array_equal(model.kernel(shrunk), shrunk["kernel"])
    assert held.kernel(shrunk).sum() == pytest.approx(model.filter.gain, rel=1e-5)
    constant = jnp.full(model.field_shape, 3 * SCALE)

    def macro(model):
        found = decode_parts(model, shrunk, encode(model, shrunk, constant).mean)[0]
        return np.asarray(found).mean()

    assert macro(held) == pytest.approx(3 * SCALE, rel=1e-3) and abs(macro(model)) < 1e-4 * SCALE


def test_microscale_encoder_sees_only_what_the_mesh_misses(model, params):
    """With a kernel that makes `lift(restrict(.))` a projection (block averages), blockwise constant fields are
    invisible to `eta`; float32 round-off of the projection, amplified by the network."""
    block = np.zeros(model.filter.init_kernel().shape, np.float32)
    half = model.filter.n_sigma * model.config.coarsening
    s = model.config.coarsening
    block[half - s // 2 : half - s // 2 + s] = s**-0.5
    params = params | {"kernel": jnp.asarray(block)}
    u = draw_u(model)
    smooth = 0.1 * jnp.repeat(jax.random.normal(jax.random.key(2), model.zeta_shape), s, axis=0)
    before, after = (model.split(encode(model, params, field).mean) for field in (u, u + smooth))
    np.testing.assert_allclose(after[1], before[1], atol=1e-5)
    assert np.abs(after[0] - before[0]).min() > 1e-3


@pytest.fixture(scope="module")
def lifting(plane):
    """A periodic model in 2D whose lift is not linear, and perturbed parameters."""
    config = dataclasses.replace(plane[0].config, lift_radius=1, lift_hidden=(8,))
    model = dataclasses.replace(plane[0], config=config, boundary=("periodic", "periodic"))
    return model, perturb(model.init(jax.random.key(0)))


def test_nonlinear_lift_is_local_and_the_same_in_every_cell(lifting):
    """A cell's value acts on its own points and those of the cells around it; moved by a cell, it acts there alike."""
    model, params = lifting
    size = model.config.coarsening
    zeta = jnp.asarray(np.random.default_rng(0).standard_normal(model.zeta_shape), jnp.float32)

    @jax.jit
    def lift(zeta):
        return SubgridLift((8,), 1, size, model.boundary).apply(params["lift"], zeta)

    found = lift(zeta)
    changed = np.asarray(lift(zeta.at[1, 1].add(1.0)) != found).any(axis=-1)
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (0, 3 * size - 1)
    moved = lift(jnp.roll(zeta, (1, 2), (0, 1)))
    np.testing.assert_allclose(moved, jnp.roll(found, (size, 2 * size), (0, 1)), atol=1e-6)


def test_nonlinear_lift_is_the_macroscale_s(lifting):
    """It stands in the macroscale part of the decoder, and is taken off what the microscale encoder sees."""
    model, params = lifting
    u = draw_u(model)
    z = encode(model, params, u).mean
    zeta, eta = model.split(z)
    macro = decode_parts(model, params, z)[0]
    linear = model.filter.lift(params["kernel"], zeta) * model.filter.gain
    added = SubgridLift((8,), 1, model.config.coarsening, model.boundary).apply(params["lift"], zeta)
    np.testing.assert_allclose(macro, (linear + added) * SCALE, atol=1e-6)
    assert np.abs(macro - linear * SCALE).max() > 0.01 * SCALE
    np.testing.assert_allclose(eta, model.layout.encode(params, zeta, (u - macro) / SCALE), atol=1e-5)


@pytest.mark.parametrize(("coarsening", "pooling"), [(6, 3), (6, 2), (4, 6)])
def test_encoder_averages_before_it_lifts(plane, coarsening, pooling):
    """What the microscale encoder sees is the mean of what the mesh misses, point by point, whether cells have a whole
    number of the blocks or not."""
    settings = {"lift_radius": 1, "lift_hidden": (8,), "coarsening": coarsening, "encoder_pooling": pooling}
    config, kinds = dataclasses.replace(plane[0].config, **settings), ("periodic", "edge")
    model = dataclasses.replace(plane[0], config=config, grid=(24, 12), boundary=kinds)
    params = perturb(jax.jit(model.init)(jax.random.key(0)))
    u = draw_u(model)
    z = encode(model, params, u).mean
    zeta, eta = model.split(z)
    macro = decode_parts(model, params, z)[0]
    whole = np.asarray(u - macro) / SCALE
    blocks = whole.reshape(24 // pooling, pooling, 12 // pooling, pooling, -1).mean((1, 3))
    np.testing.assert_allclose(eta, model.layout.encode(params, zeta, jnp.asarray(blocks)), atol=1e-5)


def test_constant_field_survives_encoder_and_decoder(model_config):
    """A fresh model on one unit of the scale: `zeta` is of order one and the macro part gives the field back."""
    model = MultiscaleModel(
        dataclasses.replace(model_config, micro_dim=0), (40,), 1, ("periodic",), Scales((0.0,), (SCALE,))
    )
    params = jax.jit(model.init)(jax.random.key(0))
    z = encode(model, params, jnp.full(model.field_shape, 0.1)).mean
    np.testing.assert_allclose(z, 1.0, rtol=1e-5)
    np.testing.assert_allclose(decode(model, params, z).mean, 0.1, rtol=0.06)  # ripple of the kernel cut at 2 s


@pytest.mark.parametrize(("mean", "std"), [(0.0, 10.0), (-3.0, 0.5), (40.0, 1e-6), (0.0, 1e20)])
def test_units_of_the_field_do_not_matter(model, params, mean, std):
    """The same field in other units, and from another origin, has the same latents, and is decoded in those units.

    As good as the digits that float32 leaves of the field, 6e-8 of the mean: 40 million deviations leave none.
    """
    mean = mean * std
    other = dataclasses.replace(model, scales=Scales((mean,), (std,)))
    u = np.asarray(draw_u(model)) / SCALE
    z = encode(model, params, SCALE * u).mean
    tolerance = 1e-5 + 1e-6 * abs(mean / std)
    np.testing.assert_allclose(encode(other, params, jnp.float32(mean + std * u)).mean, z, atol=10 * tolerance)
    here, there = decode(model, params, z), decode(other, params, z)
    np.testing.assert_allclose((there.mean - np.float32(mean)) / std, here.mean / SCALE, atol=tolerance)
    np.testing.assert_allclose(there.log_var - 2 * np.log(std), here.log_var - 2 * np.log(SCALE), rtol=1e-5, atol=2e-5)
    macro, micro = decode_parts(other, params, z)
    np.testing.assert_allclose(macro + micro, there.mean, rtol=1e-6, atol=1e-6 * std)


def test_standardised_model_is_the_same_model(model, params):
    """Same parameters and same latents on standardised fields; its densities lack the unit alone."""
    scaled = dataclasses.replace(model, scales=Scales((2.0,), (0.1,), time_unit=3.0, spacing=0.6))
    assert scaled.standardised.scales == Scales((0.0,), (1.0,), 1.0, pytest.approx(0.2))
    u = 2.0 + draw_u(model)
    z = encode(scaled, params, u).mean
    np.testing.assert_allclose(encode(scaled.standardised, params, scaled.scales.standardise(u)).mean, z, atol=1e-5)
    inside, outside = decode(scaled.standardised, params, z), decode(scaled, params, z)
    np.testing.assert_allclose(scaled.scales.restore(inside.mean), outside.mean, atol=1e-6)
    np.testing.assert_allclose(inside.log_var, outside.log_var - 2 * np.log(0.1), atol=1e-5)


@pytest.mark.parametrize("coordinates", ["cells", "modes"])
def test_coordinates_are_another_way_to_write_the_state(model, params, coordinates):
    """In modes the state is an orthonormal transform of that in cells: field, rates and length are the same."""
    cells = dataclasses.replace(model, config=dataclasses.replace(model.config, coordinates="cells"))
    other = dataclasses.replace(model, config=dataclasses.replace(model.config, coordinates=coordinates))
    u, t = draw_u(model), jnp.float32(0.3)
    z, z_other = (encode(m, params, u).mean for m in (cells, other))
    np.testing.assert_allclose(jnp.linalg.norm(z_other), jnp.linalg.norm(z), rtol=1e-5)
    for a, b in zip(cells.split(z), other.split(z_other), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
    np.testing.assert_allclose(decode(other, params, z_other).mean, decode(cells, params, z).mean, atol=1e-6)
    rates = (m.split(drift(m, params, t, state)) for m, state in ((cells, z), (other, z_other)))
    for a, b in zip(*rates, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4)
    np.testing.assert_allclose(other.join(*other.split(z_other)), z_other, atol=1e-6)


@pytest.mark.parametrize("micro_dim", range(6))
def test_every_micro_dim_builds(model_config, micro_dim):
    """Sizes follow from `micro_dim`, all values are finite; 0 has the macro expert alone and no micro parameters."""
    model = MultiscaleModel(
        dataclasses.replace(model_config, micro_dim=micro_dim), (40,), 1, ("periodic",), Scales((0.0,), (SCALE,))
    )
    assert model.latent_dim == 5 + micro_dim

    @jax.jit
    def everything(key, u):
        params = model.init(key)
        encoded = model.encode(params, u)
        decoded, parts = model.decode(params, encoded.mean), model.decode_parts(params, encoded.mean)
        return params, encoded, decoded, parts, model.drift(params, jnp.array(0.3), encoded.mean)

    params, encoded, decoded, (macro, micro), rate = everything(jax.random.key(0), draw_u(model))
    assert encoded.mean.shape == rate.shape == model.log_q(params).shape == (5 + micro_dim,)
    for value in jax.tree.leaves((encoded, decoded, rate)):
        assert np.isfinite(value).all()
    if micro_dim == 0:
        assert not any(name.startswith(("micro", "encoder", "decoder")) for name in params)
        np.testing.assert_array_equal(decoded.mean, macro)
        np.testing.assert_array_equal(micro, 0)
        np.testing.assert_allclose(decoded.log_var, params["macro_log_var"] + 2 * np.log(0.1), rtol=1e-6)


def test_macroscale_drift_is_local(model, params):
    """Jacobian of the rate of cell `c` to cell `c'`: exactly zero unless they are neighbours on the ring of 5."""
    jacobian = jax.jit(jax.jacobian(lambda z: drift(model, params, jnp.array(0.3), z)))(draw_z(model))
    assert jacobian.shape == (7, 7)
    for c, other in itertools.product(range(5), repeat=2):
        near = min((c - other) % 5, (other - c) % 5) <= 1
        assert (jacobian[c, other] != 0) == near
    assert np.all(jacobian[:5, 5:] != 0)  # every cell sees all of eta,
    assert np.all(jacobian[5:] != 0)  # and eta sees everything


def test_macroscale_drift_is_the_same_in_every_cell(model, params):
    """Rolling `zeta` rolls its rate, `eta` fixed; the same network on the same numbers."""
    z = draw_z(model)
    zeta, eta = model.split(z)
    rate, _ = model.split(drift(model, params, jnp.array(0.3), z))
    rolled = jnp.concatenate([jnp.roll(zeta, 2, axis=0).ravel(), eta])
    rate_of_rolled, _ = model.split(drift(model, params, jnp.array(0.3), rolled))
    np.testing.assert_allclose(rate_of_rolled, jnp.roll(rate, 2, axis=0), atol=1e-6)
    assert np.ptp(np.asarray(rate)) > 1e-3


def test_time_enters_the_microscale_alone(model, params):
    """The macroscale rate does not depend on time, the microscale rate has period 2 pi in it."""
    z = draw_z(model)
    rates = [model.split(drift(model, params, jnp.array(t), z)) for t in (0.3, 1.5, 0.3 + 2 * np.pi)]
    np.testing.assert_array_equal(rates[0][0], rates[1][0])
    assert np.abs(rates[0][1] - rates[1][1]).max() > 1e-3
    np.testing.assert_allclose(rates[0][1], rates[2][1], atol=1e-5)


def test_drift_scale_is_a_unit(model, params):
    """Twice the scale, twice the rate: a power of two, the same bits."""
    doubled = dataclasses.replace(model, config=dataclasses.replace(model.config, drift_scale=2.0))
    z, t = draw_z(model), jnp.array(0.3)
    np.testing.assert_array_equal(drift(doubled, params, t, z), 2 * drift(model, params, t, z))


@pytest.mark.parametrize("boundary", [("periodic", "periodic"), ("edge", "edge"), ("periodic", "edge")])
def test_two_dimensional_drift_is_local(boundary):
    """On 5 x 6 cells and two channels: the Jacobian vanishes exactly outside the 3 x 3 stencil."""
    network = MacroDrift((8,), 1, 0, boundary)
    zeta = jax.random.normal(jax.random.key(0), (5, 6, 2))
    eta = jnp.array([0.3, -0.2])
    params = jax.jit(network.init)(jax.random.key(1), zeta, eta)
    jacobian = np.asarray(jax.jit(jax.jacobian(lambda zeta: network.apply(params, zeta, eta)))(zeta))
    assert jacobian.shape == (5, 6, 2, 5, 6, 2)
    for cell in np.ndindex(5, 6):
        for other in np.ndindex(5, 6):
            near = True
            for a, b, n, kind in zip(cell, other, (5, 6), boundary, strict=True):
                distance = abs(a - b)
                near &= (min(distance, n - distance) if kind == "periodic" else distance) <= 1
            assert np.all((jacobian[cell][:, other[0], other[1]] != 0) == near), (cell, other)


@pytest.mark.parametrize("n", [6, 5])
def test_linear_map_sees_each_cell_of_a_circle_once(n):
    """Wider than the mesh: any circulant matrix beside the MLP, by no more weights than it has; zero at first."""
    network = MacroDrift((4,), 1, 8, ("periodic",))
    zeta, eta = jax.random.normal(jax.random.key(0), (n, 1)), jnp.zeros(0)
    params = network.init(jax.random.key(1), zeta, eta)
    weights = params["params"]["Dense_0"]["kernel"]
    assert weights.shape == (n, 1) and not weights.any()
    linear = jax.tree.map(jnp.zeros_like, params)
    linear["params"]["Dense_0"]["kernel"] = jnp.arange(1.0, n + 1)[:, None]
    matrix = np.asarray(jax.jacobian(lambda zeta: network.apply(linear, zeta, eta)[:, 0])(zeta)[..., 0])
    np.testing.assert_array_equal(np.sort(matrix[0]), np.arange(1, n + 1))
    np.testing.assert_array_equal(matrix, [np.roll(matrix[0], i) for i in range(n)])


def test_linear_map_between_edges_ends_at_its_radius():
    """Two cells to each side."""
    network = MacroDrift((4,), 1, 2, ("edge",))
    zeta, eta = jnp.zeros((7, 1)), jnp.zeros(0)
    params = jax.tree.map(jnp.ones_like, network.init(jax.random.key(1), zeta, eta))
    seen = jax.jacobian(lambda zeta: network.apply(params, zeta, eta)[3, 0])(zeta)[:, 0] != 0
    np.testing.assert_array_equal(seen, [False, True, True, True, True, True, False])


def test_edge_cells_see_themselves_beyond_the_edge():
    """On a constant `zeta` an edge cell sees what every other cell sees, so all rates agree."""
    network = MacroDrift((8,), 2, 0, ("edge",))
    zeta, eta = jnp.full((6, 1), 0.7), jnp.zeros(0)
    rate = network.apply(network.init(jax.random.key(1), zeta, eta), zeta, eta)
    np.testing.assert_allclose(rate, np.full((6, 1), rate[0, 0]), rtol=1e-6)


def test_initial_values_are_the_configured_ones(model_config):
    """Log-variances and the dispersion start where the configuration says, in the units it says."""
    config = dataclasses.replace(
        model_config, init_posterior_log_var=-5.0, init_log_q=-3.0, init_macro_log_var=-1.0, init_micro_log_var=-2.0
    )
    model = MultiscaleModel(config, (40,), 1, ("periodic",), Scales((0.0,), (SCALE,)))
    params = jax.jit(model.init)(jax.random.key(0))
    np.testing.assert_array_equal(encode(model, params, jnp.zeros(model.field_shape)).log_var, -5.0)
    np.testing.assert_array_equal(model.log_q(params), -3.0)
    decoded = decode(model, params, draw_z(model))
    np.testing.assert_allclose(np.exp(decoded.log_var), 0.01 / (np.exp(1) + np.exp(2)), rtol=1e-5)


@pytest.fixture(scope="module")
def moving(model):
    """The model in a moving frame, with parameters off their initial values but variances the same at all points."""
    moving = dataclasses.replace(model, config=dataclasses.replace(model.config, micro_frame="moving"))
    params = perturb(jax.jit(moving.init)(jax.random.key(3)))
    return moving, params | {name: jnp.full(model.field_shape, -3.0) for name in ("macro_log_var", "micro_log_var")}


def test_moving_model_is_the_same_everywhere(moving):
    """A field shifted by whole cells has the same microscale latents, and they and the cells change alike."""
    model, params = moving
    cells, points, t = 2, 2 * model.config.coarsening, jnp.float32(0.3)
    u = draw_u(model)
    z = encode(model, params, u).mean
    shifted = encode(model, params, jnp.roll(u, points, 0)).mean
    zeta, eta = model.split(z)
    np.testing.assert_allclose(shifted, jnp.concatenate([jnp.roll(zeta, cells, 0).ravel(), eta]), atol=1e-5)
    rates, rates_shifted = (model.split(drift(model, params, t, state)) for state in (z, shifted))
    np.testing.assert_allclose(rates_shifted[0], jnp.roll(rates[0], cells, 0), atol=1e-4)
    np.testing.assert_allclose(rates_shifted[1], rates[1], atol=1e-4)
    decoded, decoded_shifted = (decode(model, params, state).mean for state in (z, shifted))
    np.testing.assert_allclose(decoded_shifted, jnp.roll(decoded, points, 0), atol=1e-5 * SCALE)
    assert np.ptp(decode_parts(model, params, z)[1]) > 0.01 * SCALE  # there is something to shift


def test_fixed_model_is_not(model, params):
    """The same shift changes its microscale latents: what the moving frame adds."""
    u = draw_u(model)
    eta, eta_shifted = (encode(model, params, field).mean[model.zeta_dim :] for field in (u, jnp.roll(u, 16, 0)))
    assert np.abs(eta_shifted - eta).max() > 1e-2


def test_macroscale_drift_sees_where_the_cell_lies(moving):
    """Without the position all cells of a constant state move alike; with it the one state can be told from another."""
    model, params = moving
    z = jnp.concatenate([jnp.ones(model.zeta_dim), jnp.zeros(model.config.micro_dim)])
    assert np.ptp(model.split(drift(model, params, jnp.float32(0.0), z))[0]) > 1e-3
    blind = dataclasses.replace(model, config=dataclasses.replace(model.config, position_harmonics=0))
    rates = blind.split(drift(blind, perturb(jax.jit(blind.init)(jax.random.key(3))), jnp.float32(0.0), z))[0]
    np.testing.assert_allclose(rates, rates[0, 0], atol=1e-5)


def test_moving_frame_between_edges(model):
    """The microscale follows a state that moves by whole cells in the middle of the mesh: the same `eta`, and a
    microscale part that lies as much further on. Away from the edges, whose values come in from beyond."""
    config = dataclasses.replace(model.config, micro_frame="moving", coarsening=4)
    edges = MultiscaleModel(config, (80,), 1, ("edge",), Scales((0.0,), (SCALE,)))
    params = perturb(jax.jit(edges.init)(jax.random.key(3)))
    params |= {name: jnp.full(edges.field_shape, -3.0) for name in ("macro_log_var", "micro_log_var")}
    # The network that places the frame sees where the state lies; here it adds nothing.
    params["displacement"] = jax.tree.map(jnp.zeros_like, params["displacement"])
    u = jnp.zeros((80, 1)).at[34:46].set(0.1 * jax.random.normal(jax.random.key(1), (12, 1)))
    z, moved = (encode(edges, params, jnp.roll(u, points, 0)).mean for points in (0, 8))
    (zeta, eta), (zeta_moved, eta_moved) = edges.split(z), edges.split(moved)
    np.testing.assert_allclose(zeta_moved, jnp.roll(zeta, 2, 0), atol=1e-5)
    np.testing.assert_allclose(eta_moved, eta, atol=1e-4)
    micro, micro_moved = (decode_parts(edges, params, state)[1] for state in (z, moved))
    np.testing.assert_allclose(micro_moved[30:60], micro[22:52], atol=1e-4 * SCALE)
    assert np.ptp(micro[22:52]) > 0.01 * SCALE


def test_closure_has_no_frame(model_config, model):
    """Without microscale latents there is nothing to place: the frame changes neither parameters nor drift."""
    fixed, moving = (
        dataclasses.replace(model, config=dataclasses.replace(model_config, micro_dim=0, micro_frame=frame))
        for frame in ("fixed", "moving")
    )
    params = [jax.jit(m.init)(jax.random.key(0)) for m in (fixed, moving)]
    jax.tree.map(np.testing.assert_array_equal, *params)
    z = draw_z(fixed)
    np.testing.assert_array_equal(*(drift(m, params[0], jnp.float32(0.0), z) for m in (fixed, moving)))


def pool_by_loops(field, size):
    """Mean over each block of `size` points per axis, in float64."""
    *grid, channels = field.shape
    pooled = np.zeros((*(n // size for n in grid), channels))
    for block in np.ndindex(pooled.shape[:-1]):
        points = itertools.product(*(range(size * b, size * (b + 1)) for b in block))
        pooled[block] = np.mean([np.asarray(field, np.float64)[p] for p in points], axis=0)
    return pooled


@pytest.mark.parametrize(("grid", "size"), [((12,), 3), ((8, 12), 4), ((4, 6, 8), 2), ((8, 12), 1)])
def test_pooling_is_the_mean_over_blocks(grid, size):
    """By hand, two channels apart; float32 round-off."""
    field = jax.random.normal(jax.random.key(0), (*grid, 2))
    np.testing.assert_allclose(pool(field, size), pool_by_loops(field, size), atol=1e-6)


def test_encoder_of_the_model_pools_what_the_mesh_misses(model):
    """The configured width arrives: `eta` is the network on the means over 4 points, in units of the field."""
    pooling = dataclasses.replace(model, config=dataclasses.replace(model.config, encoder_pooling=4))
    params = perturb(jax.jit(pooling.init)(jax.random.key(0)))
    u = draw_u(model)
    zeta, eta = pooling.split(encode(pooling, params, u).mean)
    residual = u - model.filter.lift(params["kernel"], model.filter.restrict(params["kernel"], u))
    pooled = jnp.asarray(pool_by_loops(residual / SCALE, 4), jnp.float32)
    np.testing.assert_allclose(eta, MicroEncoder((8,), 2).apply(params["encoder"], pooled), atol=1e-5)
    restricted = model.filter.restrict(params["kernel"], u)
    np.testing.assert_allclose(zeta, restricted / (SCALE * model.filter.gain), rtol=1e-5)


@pytest.mark.parametrize(("grid", "pooling", "divisor"), [((40,), 3, 40), ((16, 24), 16, 8), ((16, 24), 3, 8)])
def test_pooling_that_does_not_divide_is_refused(model, grid, pooling, divisor):
    """Where the model is built, by name, with a divisor of all axes proposed."""
    config = dataclasses.replace(model.config, encoder_pooling=pooling)
    with pytest.raises(InputError, match=rf"`model.encoder_pooling` must divide .*, got {pooling}; .* of {divisor}\."):
        MultiscaleModel(config, grid, 1, ("periodic",) * len(grid), Scales((0.0,), (SCALE,)))


@pytest.fixture(scope="module")
def plane(model_config):
    """20 x 16 points of two channels with edges, 5 x 4 coarse cells, 2 microscale latents; parameters off their initial
    values."""
    config = dataclasses.replace(model_config, coarsening=4, n_sigma=1, encoder_pooling=2)
    model = MultiscaleModel(
        config, grid=(20, 16), num_channels=2, boundary=("edge", "edge"), scales=Scales((0.0, 0.0), (SCALE, SCALE))
    )
    return model, perturb(jax.jit(model.init)(jax.random.key(0)))


def test_two_dimensional_model(plane):
    """Sizes of everything, and values: `zeta` restricts each channel alone, the decoder's macroscale part lifts it."""
    model, params = plane
    assert (model.zeta_shape, model.zeta_dim, model.latent_dim) == ((5, 4, 2), 40, 42)
    u = draw_u(model)
    encoded = encode(model, params, u)
    decoded = decode(model, params, encoded.mean)
    assert encoded.mean.shape == encoded.log_var.shape == (42,)
    assert decoded.mean.shape == decoded.log_var.shape == (20, 16, 2)
    assert drift(model, params, jnp.float32(0.3), encoded.mean).shape == (42,)
    scale = SCALE * model.filter.gain
    zeta, _ = model.split(encoded.mean)
    for channel in range(2):
        one = np.s_[..., channel : channel + 1]
        restricted = model.filter.restrict(params["kernel"], u[one])
        np.testing.assert_allclose(zeta[one], restricted / scale, atol=1e-5)
        macro, _ = decode_parts(model, params, encoded.mean)
        np.testing.assert_allclose(macro[one], model.filter.lift(params["kernel"], restricted), atol=1e-6)
    macro, micro = decode_parts(model, params, encoded.mean)
    np.testing.assert_allclose(macro + micro, decoded.mean, atol=1e-6)
    assert np.abs(micro).max() > 1e-3 * SCALE


def test_constants_survive_in_two_dimensions(model_config):
    """Another constant in each channel comes back up to the edges and corners, within the ripple of a kernel cut at
    three cells, 0.3 % an axis."""
    config = dataclasses.replace(model_config, micro_dim=0, coarsening=4, n_sigma=3)
    model = MultiscaleModel(config, (20, 16), 2, ("edge", "edge"), Scales((0.0, 0.0), (SCALE, SCALE)))
    params = jax.jit(model.init)(jax.random.key(0))
    u = jnp.broadcast_to(jnp.array([0.1, -0.3]), model.field_shape)
    z = encode(model, params, u).mean
    np.testing.assert_allclose(model.split(z)[0], np.broadcast_to([1.0, -3.0], model.zeta_shape), rtol=1e-5)
    np.testing.assert_allclose(decode(model, params, z).mean, u, rtol=0.012)


def test_macroscale_drift_in_two_dimensions_is_local(plane):
    """One changed cell, corner, edge or inside: the rates within a cell of it change, in both channels, and no others,
    to the bit; so do those of the microscale, which sees all."""
    model, params = plane
    z, t = draw_z(model), jnp.float32(0.3)
    before, eta_before = model.split(drift(model, params, t, z))
    for cell in ((0, 0), (0, 2), (2, 3), (3, 1), (4, 3)):
        zeta, eta = model.split(z)
        changed = jnp.concatenate([zeta.at[cell].add(0.5).ravel(), eta])
        after, eta_after = model.split(drift(model, params, t, changed))
        for other in np.ndindex(5, 4):
            near = max(abs(a - b) for a, b in zip(cell, other, strict=True)) <= 1
            assert np.all((after[other] != before[other]) == near), (cell, other)
        assert np.all(eta_after != eta_before)


@pytest.mark.parametrize("boundary", [("edge", "edge"), ("periodic", "edge"), ("edge", "periodic")])
@pytest.mark.parametrize("radius", [1, 2])
def test_stencil_is_continued_beyond_the_mesh(boundary, radius):
    """The rates on a mesh are those inside a larger one that continues it: by its edge values, or around the circle.

    One network on the same numbers; 1e-6.
    """
    network = MacroDrift((8,), radius, 0, boundary)
    zeta, eta = jax.random.normal(jax.random.key(0), (5, 4, 2)), jnp.array([0.3, -0.2])
    params = perturb(jax.jit(network.init)(jax.random.key(1), zeta, eta))
    larger = np.asarray(zeta)
    for axis, kind in enumerate(boundary):
        width = [(radius, radius) if other == axis else (0, 0) for other in range(3)]
        larger = np.pad(larger, width, mode="edge" if kind == "edge" else "wrap")
    inside = network.apply(params, jnp.asarray(larger), eta)[radius:-radius, radius:-radius]
    rate = network.apply(params, zeta, eta)
    np.testing.assert_allclose(rate, inside, atol=1e-6)
    assert np.ptp(rate) > 0.1


def with_features(model, number=3):
    """The model with numbers that tell each cell apart, and its parameters."""
    model = dataclasses.replace(model, config=dataclasses.replace(model.config, cell_features=number))
    return model, perturb(jax.jit(model.init)(jax.random.key(0)))


def test_cells_are_told_apart_by_their_features(plane):
    """On a constant state all neighbourhoods are the same: without features so are the rates, with them none is; and
    with the same features in two cells, those two are again."""
    plain, plain_params = plane
    model, params = with_features(plain)
    z, t = jnp.concatenate([jnp.full(40, 0.7), jnp.zeros(2)]), jnp.float32(0.0)
    assert "cells" not in plain_params and params["cells"].shape[:3] == (5, 4, 3)
    rate = np.asarray(plain.split(drift(plain, plain_params, t, z))[0])
    np.testing.assert_allclose(rate, np.broadcast_to(rate[0, 0], rate.shape), atol=1e-5)

    params["cells"] = params["cells"].at[3, 1].set(params["cells"][0, 2])
    rate = np.asarray(model.split(drift(model, params, t, z))[0]).reshape(20, 2)
    same = {(2, 13)}  # numbers of the cells (0, 2) and (3, 1)
    for a, b in itertools.combinations(range(20), 2):
        if (a, b) in same:
            np.testing.assert_allclose(rate[a], rate[b], atol=1e-5)
        else:
            assert np.abs(rate[a] - rate[b]).max() > 1e-4, (a, b)


def test_features_act_on_their_cell_alone(plane):
    """Those of one cell changed: its own rate changes, no other one, nor anything else that the model computes."""
    model, params = with_features(plane[0])
    z, t, u = draw_z(model), jnp.float32(0.3), draw_u(model)
    changed = params | {"cells": params["cells"].at[1, 2].add(0.5)}
    difference = drift(model, changed, t, z) - drift(model, params, t, z)
    assert {tuple(i) for i in np.argwhere(model.split(difference)[0])} == {(1, 2, 0), (1, 2, 1)}
    assert not difference[model.zeta_dim :].any()
    np.testing.assert_array_equal(encode(model, changed, u).mean, encode(model, params, u).mean)
    np.testing.assert_array_equal(decode(model, changed, z).mean, decode(model, params, z).mean)


def test_features_are_learned_and_join_a_moving_frame(moving):
    """Each has a gradient, also where a cell's place in the frame is given beside it; all of them start apart."""
    model, params = with_features(moving[0])
    fresh = jax.jit(model.init)(jax.random.key(0))["cells"]
    assert len(np.unique(np.asarray(fresh))) == fresh.size == 15 * (1 + model.config.cell_hidden[-1])

    def total(cells):
        return jnp.sum(model.drift(params | {"cells": cells}, jnp.float32(0.0), draw_z(model)))

    assert np.all(np.abs(jax.jit(jax.grad(total))(params["cells"])) > 1e-5)


def test_features_are_affine_in_what_is_made_of_the_microscale(plane):
    """The rates are those of a network that is given them worked out by hand: a number of the cell, and others with
    what the cells' common network makes of the latents as factors. 1e-5."""
    model, params = with_features(plane[0])
    z, t = draw_z(model), jnp.float32(0.3)
    zeta, eta = model.split(z)
    common = MLP(model.config.cell_hidden[:-1], model.config.cell_hidden[-1]).apply(params["cell_input"], eta)
    features = np.asarray(params["cells"]) @ np.concatenate([[1.0], common])
    network = MacroDrift(model.config.macro_hidden, model.config.stencil_radius, 0, model.boundary)
    by_hand = network.apply(params["macro_drift"], zeta, eta, jnp.asarray(features, jnp.float32))
    rate, _ = model.split(drift(model, params, t, z))
    np.testing.assert_allclose(rate, model.config.drift_scale * by_hand, atol=1e-5)


def test_defaults_are_what_older_runs_had():
    """What was trained before these fields came is read as it was."""
    config = ModelConfig()
    assert (config.encoder_pooling, config.cell_features) == (1, 0)
    assert config.micro_frame == "fixed"
