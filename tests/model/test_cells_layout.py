"""The microscale in every coarse cell: local, the same everywhere, on any domain, whole or in patches."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import perturb
from jax.scipy.linalg import block_diag

from msvi.config import Config
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.evaluation.figures import shown_latents
from msvi.inference.config import InferenceConfig
from msvi.inference.elbo import Frames, WindowElbo, drift_residual
from msvi.inference.posterior import Marginals, MarkovPosterior, SmoothPosterior
from msvi.model.blocks import from_blocks, to_blocks
from msvi.model.cells_layout import BlendedPatches
from msvi.model.condition import Condition, Conditions, ConditionScale
from msvi.model.config import ModelConfig
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales
from msvi.training.build import check_patches, cut_patch
from msvi.training.config import TrainConfig
from msvi.training.state import Origins, Trajectories, init_state, make_train_chunk, sample_windows
from msvi.training.warm_start import embed

CONFIG = ModelConfig(
    micro_layout="cells",
    micro_dim=2,
    coarsening=4,
    n_sigma=1,
    stencil_radius=1,
    linear_radius=2,
    micro_hidden=(8,),
    encoder_hidden=(8,),
    decoder_hidden=(8,),
    encoder_pooling=2,
)
PERIODIC, NO_SCALE = ("periodic",), ConditionScale()

encode, decode, drift, log_q = (
    jax.jit(method, static_argnums=0)
    for method in (MultiscaleModel.encode, MultiscaleModel.decode, MultiscaleModel.drift, MultiscaleModel.log_q)
)


def make_model(grid=(48,), boundary=PERIODIC, num_channels=1, scale=NO_SCALE, **changes):
    scales = Scales((0.5,) * num_channels, (0.1,) * num_channels)
    config = dataclasses.replace(CONFIG, **changes)
    model = MultiscaleModel(config, grid, num_channels, boundary, scales, scale)
    return model, perturb(jax.jit(model.init)(jax.random.key(0)))


def draw(shape, seed=1, size=0.1):
    return jnp.asarray(size * np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def cells_of(model, z):
    """`(*coarse_grid, number)`."""
    return np.concatenate([np.asarray(part) for part in model.split(z)], axis=-1)


@pytest.mark.parametrize("grid", [(12,), (8, 12), (4, 8, 12)])
def test_blocks_hold_the_points_of_their_cells(grid):
    """Of every cell, first the points along the last axis; and back again."""
    field = np.random.default_rng(0).standard_normal((*grid, 2))
    blocks = to_blocks(jnp.asarray(field), 4)
    for cell in np.ndindex(*(n // 4 for n in grid)):
        points = field[tuple(slice(4 * c, 4 * c + 4) for c in cell)]
        np.testing.assert_array_equal(blocks[cell], points.ravel().astype(np.float32))
    np.testing.assert_array_equal(from_blocks(blocks, 4, len(grid)), field.astype(np.float32))


@pytest.mark.parametrize("boundary", [("periodic", "periodic"), ("edge", "periodic"), ("edge", "edge")])
def test_patches_are_added_where_they_lie(boundary):
    """A patch of each cell, weighed by the spline, one point after another at its place counted by hand; 5 x 4 cells of
    2 x 2 points. What would lie beyond an edge is lost."""
    cells, size, width = (5, 4), 2, 6
    x = np.random.default_rng(0).standard_normal((*cells, 3)).astype(np.float32)
    layer = BlendedPatches(size, 2, boundary, nn.initializers.normal())
    params = perturb(layer.init(jax.random.key(0), x))
    kernel, bias = (np.asarray(params["params"][name], np.float64) for name in ("kernel", "bias"))
    patches = (x @ kernel + bias).reshape(*cells, width, width, 2)
    spline = [1 / 32, 9 / 32, 22 / 32, 22 / 32, 9 / 32, 1 / 32]  # at 1/4 and 3/4 of each cell
    expected = np.zeros((10, 8, 2))
    for cell in np.ndindex(*cells):
        for point in np.ndindex(width, width):
            place = [size * (c - 1) + p for c, p in zip(cell, point, strict=True)]
            kinds = zip(place, expected.shape, boundary, strict=False)
            place = [p % n if kind == "periodic" else p for p, n, kind in kinds]
            if all(0 <= p < n for p, n in zip(place, expected.shape, strict=False)):
                expected[tuple(place)] += spline[point[0]] * spline[point[1]] * patches[(*cell, *point)]
    found = from_blocks(layer.apply(params, x), size, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("boundary", [PERIODIC, ("edge",)])
def test_cells_that_all_say_the_same_give_one_smooth_patchwork(boundary):
    """The blend has a sum of one everywhere, edges included: with a decoder that knows its bias alone, all patches are
    the same constant, and so is the field."""
    model, params = make_model(boundary=boundary)
    decoder = jax.tree.map(jnp.zeros_like, params["decoder"])
    decoder["params"]["MLP_0"]["Dense_1"]["bias"] = jnp.full(12, 0.7)
    field = model.layout.decode(params | {"decoder": decoder}, *model.split(jnp.zeros(model.latent_dim)))
    np.testing.assert_allclose(field, 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("grid", "boundary", "num_channels"),
    [((48,), PERIODIC, 1), ((48,), ("edge",), 2), ((24, 40), ("periodic", "edge"), 2), ((16, 20, 24), PERIODIC * 3, 1)],
)
def test_sizes(grid, boundary, num_channels):
    """One to three axes, edges, several channels: `z` is split and joined without loss, `places` says where what lies,
    and fields keep their shape."""
    model, params = make_model(grid, boundary, num_channels)
    coarse = tuple(n // 4 for n in grid)
    assert model.latent_dim == np.prod(coarse) * (num_channels + 2)
    z = draw(model.latent_dim, size=1.0)
    zeta, eta = model.split(z)
    assert zeta.shape == (*coarse, num_channels) and eta.shape == (*coarse, 2)
    np.testing.assert_array_equal(model.join(zeta, eta), z)
    for part, places in zip((zeta, eta), model.places, strict=True):
        np.testing.assert_array_equal(part, z[places])
    encoded, decoded = encode(model, params, draw((*grid, num_channels))), decode(model, params, z)
    assert encoded.mean.shape == encoded.log_var.shape == (model.latent_dim,)
    assert decoded.mean.shape == decoded.log_var.shape == (*grid, num_channels)
    assert drift(model, params, jnp.zeros(()), z).shape == log_q(model, params).shape == (model.latent_dim,)


def test_all_is_local():
    """A change in one cell is seen within the reach of encoder (its neighbours and the filter's kernel, twice), decoder
    and drift, and nowhere else."""
    model, params = make_model()
    u, z, t = draw((48, 1)), draw(model.latent_dim, size=1.0), jnp.zeros(())
    cell = 6

    def changed(before, after):
        return np.flatnonzero(np.abs(before - after).reshape(12, -1).max(axis=1) > 1e-7) - cell

    # A point in the middle of the cell lies within 1 cell of the kernels of 3; what they miss reaches another one.
    other = u.at[4 * cell + 2].add(0.1)
    codes = [cells_of(model, encode(model, params, field).mean) for field in (u, other)]
    np.testing.assert_array_equal(changed(codes[0][..., :1], codes[1][..., :1]), [-1, 0, 1])
    assert np.abs(changed(*codes)).max() == 3
    shifted = z.at[jnp.asarray(model.places[1][cell])].add(0.5)
    fields = [np.asarray(decode(model, params, state).mean) for state in (z, shifted)]
    assert set(changed(*fields)) == {-2, -1, 0, 1, 2}
    rates = [cells_of(model, drift(model, params, t, state)) for state in (z, shifted)]
    np.testing.assert_array_equal(changed(*rates), [-2, -1, 0, 1, 2])  # the linear map reaches 2
    narrow, weights = make_model(linear_radius=0)
    rates = [cells_of(narrow, drift(narrow, weights, t, state)) for state in (z, shifted)]
    np.testing.assert_array_equal(changed(*rates), [-1, 0, 1])


@pytest.mark.parametrize("grid", [(48,), (24, 32)])
def test_the_same_everywhere(grid):
    """A field shifted by whole cells has the shifted latents, rates, means and variances."""
    model, params = make_model(grid, PERIODIC * len(grid))
    u, t = draw((*grid, 1)), jnp.zeros(())
    moved = jnp.roll(u, 8, axis=0)
    codes = [encode(model, params, field) for field in (u, moved)]
    for numbers in (
        [c.mean for c in codes],
        [c.log_var for c in codes],
        [drift(model, params, t, c.mean) for c in codes],
    ):
        before, after = (cells_of(model, z) for z in numbers)
        np.testing.assert_allclose(np.roll(before, 2, axis=0), after, atol=1e-5)
    fields = [decode(model, params, code.mean) for code in codes]
    for before, after in zip(*fields, strict=True):
        np.testing.assert_allclose(np.roll(before, 8, axis=0), after, atol=1e-5)
    assert np.ptp(codes[0].log_var) > 0.01 and np.ptp(fields[0].log_var) > 0.01  # a generic case


def test_products_are_quadratic():
    """Beside a network and a linear map that are taken away, the rate of `a z` is `a²` times that of `z`."""
    model, params = make_model(quadratic_rank=5)
    weights = params["drift"]["params"]
    assert sorted(weights) == ["Dense_0", "Dense_1", "Dense_2", "Dense_3", "MLP_0"]  # linear map, two maps, their sums
    weights |= {name: jax.tree.map(jnp.zeros_like, weights[name]) for name in ("Dense_0", "MLP_0")}
    z, t = draw(model.latent_dim), jnp.zeros(())
    rates = [drift(model, params | {"drift": {"params": weights}}, t, a * z) for a in (1.0, -1.0, 3.0)]
    assert np.abs(rates[0]).min() > 0
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(rates[2], 9 * rates[0], rtol=1e-4, atol=1e-5)


def test_parameters_hold_on_any_domain():
    """As many on 1, 4 and 16 times the domain; and a field that repeats has the same latents, rates and means there as
    on the domain of one period."""
    model, params = make_model()
    u, t = draw((48, 1)), jnp.zeros(())
    code = encode(model, params, u).mean
    rate, field = drift(model, params, t, code), decode(model, params, code)
    small = make_model((4 * 3,), linear_radius=2)[1]
    assert jax.tree.map(jnp.shape, small) == jax.tree.map(jnp.shape, params)
    for times in (4, 16):
        large = model.on((48 * times,))
        assert jax.eval_shape(large.init, jax.random.key(0)) == jax.eval_shape(model.init, jax.random.key(0))
        found = encode(large, params, jnp.tile(u, (times, 1))).mean
        np.testing.assert_allclose(found, jnp.tile(code, times), atol=1e-5)
        np.testing.assert_allclose(drift(large, params, t, found), jnp.tile(rate, times), atol=1e-4)
        np.testing.assert_allclose(decode(large, params, found).mean, jnp.tile(field.mean, (times, 1)), atol=1e-5)


@pytest.mark.parametrize("grid", [(48,), (24, 32)])
def test_conservative_rates_keep_sums(grid):
    """The sum of `zeta` over the mesh has the rate zero, to rounding; without it does not."""
    for conservative in (True, False):
        model, params = make_model(grid, PERIODIC * len(grid), conservative=conservative)
        rate = model.split(drift(model, params, jnp.zeros(()), draw(model.latent_dim, size=1.0)))[0]
        total = np.abs(np.asarray(rate, np.float64).sum()) / np.abs(rate).sum()
        assert (total < 1e-6) == conservative


def test_edges_are_known():
    """The same state in every cell: all cells have one rate around a circle, and between edges only those from which
    the network does not see one; each place has variances of its own."""
    model, params = make_model(boundary=("edge",))
    state = jnp.tile(jnp.array([0.3, -0.2, 0.5]), 12)
    rates = cells_of(model, drift(model, params, jnp.zeros(()), state))
    np.testing.assert_allclose(rates[1:-1], rates[[5]] + np.zeros((10, 1)), atol=1e-5)
    assert np.abs(rates[[0, -1]] - rates[5]).max(axis=1).min() > 1e-3
    assert params["log_q"].shape == (12, 3) and params["macro_log_var"].shape == (48, 1)
    around, weights = make_model()
    rates = cells_of(around, drift(around, weights, jnp.zeros(()), state))
    np.testing.assert_allclose(rates, rates[:1] + np.zeros((12, 1)), atol=1e-5)


def test_places_and_clock_are_told():
    """With `cell_features` cells in the same state have different rates, and with the clock different times."""
    state, t = jnp.tile(jnp.array([0.3, -0.2, 0.5]), 12), jnp.zeros(())
    model, params = make_model(cell_features=2)
    assert np.ptp(cells_of(model, drift(model, params, t, state)), axis=0).min() > 1e-3
    clocked, weights = make_model(micro_clock=True)
    assert np.abs(drift(clocked, weights, t, state) - drift(clocked, weights, t + 1, state)).max() > 1e-3


def test_what_acts_from_outside_acts_locally():
    """Parameters change all rates and dispersions, a forcing field those of the cells in which it differs."""
    scale = ConditionScale((1.0,), (0.5,), (0.0,), (1.0,), local=True)
    model, params = make_model(scale=scale)
    z, t = draw(model.latent_dim, size=1.0), jnp.zeros(())
    here = Condition(jnp.array([1.2]), draw((12, 1), size=1.0))

    def both(condition):
        rates, q = drift(model, params, t, z, condition), log_q(model, params, condition)
        return np.concatenate([cells_of(model, rates), cells_of(model, q)], axis=-1)

    before, other = both(here), both(here._replace(mu=jnp.array([1.5])))
    assert np.abs(before - other).min() > 1e-6
    pushed = both(here._replace(forcing=here.forcing.at[4].add(1.0)))
    np.testing.assert_array_equal(np.flatnonzero(np.abs(before - pushed).max(axis=1) > 1e-7), [4])


def test_gaps_are_filled_for_the_encoder():
    """What was not observed does not matter, and with all of it observed a mask changes nothing."""
    model, params = make_model()
    u = draw((48, 1))
    mask = jnp.ones((48, 1), bool).at[10:13].set(False)
    encoded = [encode(model, params, jnp.where(mask, u, value), mask).mean for value in (0.0, 7.0)]
    np.testing.assert_array_equal(*encoded)
    np.testing.assert_allclose(encode(model, params, u, mask | True).mean, encode(model, params, u).mean, atol=1e-6)


@pytest.mark.parametrize("boundary", [PERIODIC, ("edge",)])
def test_larger_model_begins_as_the_smaller_one(boundary):
    """Further latents of a cell change neither the field nor the rates and variances of the old ones, in whatever state
    they are."""
    (small, weights), (large, fresh) = (make_model(boundary=boundary, micro_dim=dim) for dim in (1, 3))
    params, t = embed(weights, fresh), jnp.zeros(())
    z = draw(large.latent_dim, size=1.0)
    old = small.join(large.split(z)[0], large.split(z)[1][..., :1])
    np.testing.assert_allclose(decode(large, params, z).mean, decode(small, weights, old).mean, atol=1e-6)
    rates, expected = cells_of(large, drift(large, params, t, z)), cells_of(small, drift(small, weights, t, old))
    np.testing.assert_allclose(rates[:, :2], expected, atol=1e-5)
    np.testing.assert_array_equal(cells_of(large, log_q(large, params))[:, :2], cells_of(small, log_q(small, weights)))
    u = draw((48, 1))
    codes, expected = cells_of(large, encode(large, params, u).mean), cells_of(small, encode(small, weights, u).mean)
    np.testing.assert_allclose(codes[:, :2], expected, atol=1e-5)


def test_closure_has_no_microscale():
    """`micro_dim` 0: the drift of the macroscale alone, and no encoder or decoder."""
    model, params = make_model(micro_dim=0)
    assert model.latent_dim == 12 and not {"encoder", "decoder", "micro_log_var"} & params.keys()
    z = encode(model, params, draw((48, 1))).mean
    assert drift(model, params, jnp.zeros(()), z).shape == (12,) and decode(model, params, z).mean.shape == (48, 1)


def test_one_rotation_for_every_cell():
    """A block stands for the matrix that has it in every cell."""
    rng, blocks, size, times = np.random.default_rng(0), 5, 3, 7
    numbers = [jnp.asarray(rng.standard_normal((times, blocks * size)), jnp.float32) for _ in range(6)]
    block = jnp.asarray(rng.standard_normal((size, size)), jnp.float32)
    marginals, z, rate = Marginals(*numbers[:4]), numbers[4], numbers[5]
    log_q = jnp.zeros((1, blocks * size))
    found = drift_residual(marginals, z, rate, log_q, block)
    np.testing.assert_allclose(
        found, drift_residual(marginals, z, rate, log_q, block_diag(*[block] * blocks)), rtol=1e-5
    )


def test_one_rate_for_every_cell():
    """Of the Markov posterior: rates of one cell stand for those of all."""
    posterior, nodes, t = MarkovPosterior(1.0), jnp.linspace(0, 1, 5), jnp.array([0.1, 0.6])
    model, _ = make_model()
    few = perturb(posterior.init(jax.random.key(0), model.own_shape))
    all_of_them = {"log_rate": jnp.tile(few["log_rate"], 12)}
    encoded = jax.vmap(lambda u: encode(*make_model(), u))(draw((5, 48, 1)))
    found, expected = (posterior.marginals(p, nodes, encoded, t, jnp.zeros(36)) for p in (few, all_of_them))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stencil_radius": 3},
        {"linear_radius": 4},
        {"stencil_radius": 0, "n_sigma": 2},
        {"conservative": True},
        {"lift_radius": 1, "lift_hidden": (8,)},
        {"lift_radius": 3, "lift_hidden": (8,)},
    ],
)
def test_patches_know_what_they_need(changes):
    """Encoding, rates and field within a patch are those of the whole domain, with the cells around it that `reach`
    names; with one fewer they are not."""
    model, params = make_model((160,), **changes)
    reach, inner, first = model.layout.reach, 3, 9
    u, t = draw((160, 1)), jnp.zeros(())

    def look(domain, field, cells):
        code = encode(domain, params, field).mean
        rates, means = cells_of(domain, drift(domain, params, t, code)), np.asarray(decode(domain, params, code).mean)
        return np.concatenate([rates, means.reshape(len(rates), -1)], axis=1)[cells]

    whole = look(model, u, slice(first + reach, first + reach + inner))

    def within(margin):
        start, cells = first + reach - margin, inner + 2 * margin
        patch = model.on((4 * cells,))
        return look(patch, u[4 * start : 4 * (start + cells)], slice(margin, margin + inner))

    np.testing.assert_allclose(within(reach), whole, rtol=1e-5, atol=1e-5)
    assert np.abs(within(reach - 1) - whole).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("rotates", [False, True])
def test_patches_estimate_the_bound_of_the_whole(rotates):
    """Averaged over all places, likelihood and residual per value of patches are those of the domain.

    Five standard errors of the draws; both numbers are known to 2 %.
    """
    model, params = make_model((80,))
    model = model.standardised
    patch, margin = cut_patch(model, 4)
    elbo = WindowElbo(model, SmoothPosterior(0.5, 1e-2), 3, 2, 3, rotates)
    local = dataclasses.replace(elbo, model=patch, margin=margin)
    weights = elbo.init(jax.random.key(1), jax.random.key(2)) | {"model": params}
    if rotates:
        weights["rotation"] = draw((3, 3), size=0.3)
    u, t = draw((5, 80, 1), size=1.0), jnp.linspace(0.0, 1.0, 5)
    width = patch.grid[0]
    around = jnp.concatenate([u, u[:, :width]], axis=1)

    @jax.jit
    def whole(key):
        return elbo(weights, t, lambda i: Frames(u[i]), key)

    @jax.jit
    def one(key, origin):
        frames = jax.lax.dynamic_slice_in_dim(around, 4 * origin, width, axis=1)
        return local(weights, t, lambda i: Frames(frames[i]), key)

    keys = jax.random.split(jax.random.key(3), 4000)
    expected = jax.lax.map(whole, keys, batch_size=500)
    found = jax.lax.map(lambda both: one(*both), (keys, jnp.arange(4000) % 20), batch_size=500)
    assert local.counted_shape == (16, 1) and elbo.counted_shape == (80, 1)
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(a, np.float64) / 16, np.asarray(b, np.float64) / 80
        error = np.hypot(a.std(), b.std()) / np.sqrt(len(a))
        assert abs(a.mean() - b.mean()) < 5 * error < 0.1 * abs(b.mean())


def test_patches_begin_at_cells_or_anywhere():
    """Origins of windows: multiples of the cell, or with random shifts any point; all of them."""
    for origins, expected in (([Origins(44, 4)], np.arange(0, 48, 4)), ([Origins(47)], np.arange(48))):
        windows = sample_windows(jax.random.key(0), jnp.array([9]), origins, 4, 2000)
        np.testing.assert_array_equal(np.unique(windows.origin), expected)


def test_forcing_is_cut_with_its_patch(monkeypatch):
    """A forcing field that is the field itself, cell by cell: each window sees the one that belongs to its frames."""
    scale = ConditionScale((), (), (0.0,), (1.0,), local=True)
    model, _ = make_model((80,), scale=scale, micro_dim=0, encoder_pooling=1)
    model = model.standardised
    patch, margin = cut_patch(model, 4)
    seen = []

    def record(self, params, t, frames, key, condition):
        jax.debug.callback(lambda *both: seen.append(both), frames(jnp.arange(2)).u[0], condition(t[0]).forcing)
        return original(self, params, t, frames, key, condition)

    original = WindowElbo.__call__
    monkeypatch.setattr(WindowElbo, "__call__", record)
    elbo = WindowElbo(patch, SmoothPosterior(0.5, 1e-2), 2, 2, 2, margin=margin)
    train = TrainConfig(steps=2, batch_windows=4, patch_cells=4, log_every=2)
    forcing = draw((1, 1, 20, 1), size=1.0)
    u = jnp.broadcast_to(jnp.repeat(forcing, 4, axis=2), (1, 4, 80, 1))
    conditions = Conditions(forcing_t=jnp.zeros((1, 1)), forcing=forcing)
    trajectories = Trajectories(jnp.linspace(0, 1, 4)[None], Frames(u), jnp.array([4]), conditions)
    chunk = make_train_chunk(elbo, InferenceConfig(window=3, num_nodes=2, num_scored=2), train)
    chunk(init_state(elbo, train, jax.random.key(0)), trajectories, 2)
    jax.effects_barrier()
    assert len(seen) == 8
    for frame, acting in seen:
        np.testing.assert_allclose(frame[::4], acting, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "boundary", "said"),
    [
        ({"encoder_pooling": 3}, PERIODIC, "must divide `model.coarsening`, 4.*got 3"),
        ({"conservative": True}, ("edge",), "needs periodic axes, got edge"),
        ({"micro_frame": "moving"}, PERIODIC, "`model.micro_frame=moving` needs `model.micro_layout=global`"),
        ({"coordinates": "modes"}, PERIODIC, "`model.coordinates=modes` needs `model.micro_layout=global`"),
        ({"micro_layout": "global", "conservative": True}, PERIODIC, "needs `model.micro_layout=cells`, got global"),
        ({"micro_layout": "everywhere"}, PERIODIC, "must be global, cells or auto, got 'everywhere'"),
    ],
)
def test_what_does_not_fit_is_refused(changes, boundary, said):
    """In one sentence, with what was got and what to do."""
    with pytest.raises(InputError, match=said):
        make_model(boundary=boundary, **changes)


def test_patches_and_other_domains_are_refused_where_places_differ():
    """The global layout, edges, numbers of cells; and a patch that is as large as the domain."""
    for changes, boundary in (
        ({"micro_layout": "global"}, PERIODIC),
        ({}, ("edge",)),
        ({"cell_features": 2}, PERIODIC),
    ):
        model, _ = make_model(boundary=boundary, **changes)
        with pytest.raises(InputError, match="`train.patch_cells` needs `model.micro_layout=cells`, periodic axes"):
            cut_patch(model, 4)
        with pytest.raises(InputError, match="Another domain needs `model.micro_layout=cells`, periodic axes"):
            model.on((96,))
    model, _ = make_model()
    with pytest.raises(InputError, match="needs a domain of at least 14 cells per axis, 4 and 5 on each side"):
        cut_patch(model, 4)
    with pytest.raises(InputError, match="as many axes"):
        model.on((48, 48))


def test_latents_that_are_drawn():
    """The largest macroscale value, and the latents of its cell; of the global layout all, of a closure none."""
    model, _ = make_model((24, 16), PERIODIC * 2, num_channels=2)
    encoded = np.zeros((3, model.latent_dim))
    encoded[0, model.places[0][4, 1, 1]] = 5.0
    largest, latents = shown_latents(model, encoded)
    assert largest == np.ravel_multi_index((4, 1, 1), model.zeta_shape)
    assert latents == [model.places[0][4, 1, 1], *model.places[1][4, 1]]
    assert len(shown_latents(make_model(micro_dim=0)[0], np.zeros((3, 12)))[1]) == 1
    for dim in (0, 3):
        layout, _ = make_model(micro_layout="global", micro_dim=dim)
        assert shown_latents(layout, np.arange(0, -12 - dim, -1.0)[None]) == (0, [0, *range(12, 12 + dim)])


def test_gaps_and_patches_are_refused():
    """What is missing is filled in from the whole field, which a patch does not know."""
    split = Split(np.zeros((1, 2)), np.zeros((1, 2, 8, 1)), mask=np.ones((1, 2, 8, 1), bool))
    dataset = Dataset((np.arange(8.0),), PERIODIC, split, split, split)
    check_patches(Config(), dataset)
    with pytest.raises(InputError, match="needs fields without gaps.*got 4 and fields with gaps; set it to 0"):
        check_patches(Config(train=TrainConfig(patch_cells=4)), dataset)
