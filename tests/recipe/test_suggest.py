"""What a configuration leaves open, read off trajectories whose nature is known, in whatever units they come."""

import dataclasses
import re

import numpy as np
import pytest

from msvi.config import Config, from_dict, to_dict
from msvi.data.config import DataConfig, Recorded
from msvi.data.split import Dataset, Split
from msvi.errors import InputError
from msvi.model.config import ModelConfig
from msvi.recipe.measure import field_scales, find_motion
from msvi.recipe.suggest import resolve, suggest, suggest_coarsening
from msvi.recipe.variants import CUSTOM

FILE = DataConfig(equation=Recorded(), num_train=0, num_val=0, num_test=0, noise_std=0.0)
OPEN = dataclasses.replace(CUSTOM, model=dataclasses.replace(CUSTOM.model, micro_layout="global", micro_dim=1))
DT, POINTS = 0.05, 32


def ornstein_uhlenbeck(number=12, num_frames=200, rate=1.0, noise=0.0, seed=0):
    """Of that rate and variance one, correlated over an eighth of the domain and the same everywhere."""
    rng = np.random.default_rng(seed)
    wavenumber = np.fft.rfftfreq(POINTS, 1 / POINTS)

    def draw():
        white = np.fft.rfft(rng.standard_normal((number, POINTS)), axis=1)
        field = np.fft.irfft(white * np.exp(-0.5 * (wavenumber / 4) ** 2), POINTS, axis=1)
        return field / 0.46

    a, u = np.exp(-rate * DT), [draw()]
    for _ in range(num_frames - 1):
        u.append(a * u[-1] + np.sqrt(1 - a**2) * draw())
    u = np.stack(u, axis=1)[..., None]
    return Split(np.tile(DT * np.arange(num_frames), (number, 1)), u + noise * rng.standard_normal(u.shape))


def travelling_waves(number=12, num_frames=200, speed=0.25, noise=0.0, seed=0):
    """Three harmonics of random amplitude and phase that travel around the circle."""
    rng = np.random.default_rng(seed)
    t, x = DT * np.arange(num_frames), np.arange(POINTS) / POINTS
    u = 0.0
    for k in (1, 2, 3):
        a, phase = rng.standard_normal((2, number, 1, 1))
        u = u + a * np.sin(2 * np.pi * k * (x[None, None] - speed * t[None, :, None]) + phase)
    u = u[..., None]
    return Split(np.tile(t, (number, 1)), u + noise * rng.standard_normal(u.shape))


def data(split, boundary="periodic"):
    split = split._replace(u=split.u.astype(np.float32))
    return Dataset((np.arange(POINTS) / POINTS,), (boundary,), split, split, split)


def motion(split):
    return find_motion(split, field_scales(split), 2)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_noise_driven_paths_are_rough(noise):
    """Squared increments grow like the lag, also beneath noise of the observation, and the correlation time is 1."""
    split = ornstein_uhlenbeck(noise=noise)
    found = motion(split)
    assert found.rough and 0.7 < found.exponent < 1.25
    assert 0.6 < found.correlation_time < 1.6 and found.spacing == pytest.approx(DT)
    config = resolve(OPEN, data(split))
    assert config.inference.posterior == "markov" and config.model.coordinates == "modes"
    assert config.inference.num_nodes == config.inference.window == 32
    assert config.inference.drift_weight == 1.0


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_waves_are_smooth(noise):
    """Squared increments grow like the square of the lag, also beneath noise."""
    split = travelling_waves(noise=noise)
    found = motion(split)
    assert not found.rough and found.exponent > 1.6
    config = resolve(OPEN, data(split))
    assert config.inference.posterior == "smooth" and config.model.coordinates == "cells"
    assert config.inference.num_nodes <= config.inference.window


@pytest.mark.parametrize("make", [ornstein_uhlenbeck, travelling_waves])
@pytest.mark.parametrize("units", [(300.0, 1.0, 1.0), (0.0, 1e5, 1e-9), (0.0, 1e20, 3600.0), (-5.0, 1e-4, 1.0)])
def test_units_do_not_matter(make, units):
    """In other units of field and time, and from another origin: the same configuration, but for the unit of time."""
    mean, std, unit = units
    split = make()
    expected = resolve(OPEN, data(split))
    other = split._replace(t=split.t * unit, u=mean + std * split.u)
    found = resolve(OPEN, data(other))
    assert found.model.time_unit == pytest.approx(unit * expected.model.time_unit, rel=1e-3)
    same = {"time_unit": 0.0, "init_log_q": 0.0}
    assert dataclasses.replace(found.model, **same) == dataclasses.replace(expected.model, **same)
    assert found.model.init_log_q == pytest.approx(expected.model.init_log_q, abs=0.02)
    weight = {"drift_weight": 1.0}
    assert found.inference.drift_weight == pytest.approx(expected.inference.drift_weight, rel=0.02)
    assert dataclasses.replace(found.inference, **weight) == dataclasses.replace(expected.inference, **weight)
    assert found.train == expected.train


def test_what_is_given_stays():
    """Only what is left open is filled in; a closed configuration comes back as it is."""
    model = ModelConfig(micro_dim=1, coarsening=4, encoder_pooling=2, time_unit=3.0)
    closed = Config(case="custom", data=FILE, model=model)
    assert resolve(closed, data(ornstein_uhlenbeck(num_frames=128))) is closed
    inference = dataclasses.replace(OPEN.inference, posterior="smooth", window=20, drift_weight=7.0)
    given = dataclasses.replace(OPEN, inference=inference, model=dataclasses.replace(OPEN.model, coarsening=8))
    found = resolve(given, data(ornstein_uhlenbeck()))
    assert (found.inference.posterior, found.inference.window, found.inference.drift_weight) == ("smooth", 20, 7.0)
    assert found.model.coarsening == 8 and found.inference.num_nodes <= 20
    assert resolve(found, data(ornstein_uhlenbeck())) is found


def test_windows_fit_short_trajectories():
    """Of 10 frames, none is longer than they are."""
    for make in (ornstein_uhlenbeck, travelling_waves):
        found = resolve(OPEN, data(make(num_frames=10))).inference
        assert found.window == 10 and found.num_nodes <= 10 and found.num_scored <= 10


def test_shifts_where_all_places_are_alike():
    """Around a circle, with many trajectories that look the same everywhere; not between edges, nor where a place
    differs from another."""
    split = ornstein_uhlenbeck(number=40)
    assert resolve(OPEN, data(split)).train.random_shift > 0
    assert resolve(OPEN, data(split, "edge")).train.random_shift == 0
    standing = 3 * np.sin(2 * np.pi * np.arange(POINTS) / POINTS)[None, None, :, None]
    assert resolve(OPEN, data(split._replace(u=split.u + standing))).train.random_shift == 0


def test_reach_and_steps():
    """A narrow network and a linear map over all 16 cells; a solver and steps with which an oscillation keeps its
    phase, where paths are rough one step a frame."""
    found = resolve(OPEN, data(travelling_waves()))
    motion = find_motion(travelling_waves(), field_scales(travelling_waves()), found.model.coarsening)
    assert (found.model.stencil_radius, found.model.linear_radius) == (2, 8)
    assert found.forecast.solver == "rk4" and found.forecast.steps_per_frame * motion.node_frames >= 3
    asked = dataclasses.replace(OPEN, forecast=dataclasses.replace(OPEN.forecast, solver="shark"))
    assert resolve(asked, data(travelling_waves())).forecast.steps_per_frame * motion.node_frames >= 6
    slow = resolve(OPEN, data(travelling_waves(speed=0.02)))
    assert slow.forecast.steps_per_frame < found.forecast.steps_per_frame
    found = resolve(OPEN, data(ornstein_uhlenbeck()))
    assert (found.model.stencil_radius, found.model.linear_radius) == (2, 8)
    assert (found.forecast.solver, found.forecast.steps_per_frame) == ("shark", 1)


@pytest.mark.parametrize(("grid", "expected"), [((256,), 16), ((1000,), 50), ((64, 128), 8), ((320, 80), 10)])
def test_coarsening(grid, expected):
    """The divisor that comes nearest to 16 cells along a line and to 8 along the shorter axis of a plane."""
    assert suggest_coarsening(grid) == expected


@pytest.mark.parametrize(("boundary", "waves", "cells"), [("periodic", 3, 16), ("periodic", 8, 32), ("edge", 15, 16)])
def test_mesh_carries_the_waves_that_noise_drives(boundary, waves, cells):
    """Random walks of so many waves on 64 points, seen with noise: full waves around a circle, half waves between
    edges, on the smallest mesh that tells them apart. White noise that drives all points is no reason to refine."""
    rng, x = np.random.default_rng(0), (np.arange(64) + 0.5) / 64
    k = np.arange(1, waves + 1)
    basis = np.cos(np.pi * np.outer(k, x)) if boundary == "edge" else np.exp(2j * np.pi * np.outer(k, x))
    steps = rng.standard_normal((12, 100, waves)) + 1j * rng.standard_normal((12, 100, waves))
    u = (np.cumsum(steps, axis=1) @ basis).real
    t = np.tile(DT * np.arange(100), (12, 1))
    split = Split(t, (u + 0.3 * rng.standard_normal(u.shape))[..., None])
    found = resolve(OPEN, data(split, boundary)).model
    assert 64 // found.coarsening == cells
    # The motion is told as it was measured, on the mesh that was aimed at.
    said = " ".join(suggest(OPEN, data(split, boundary))[1])
    assert f"time unit {found.time_unit:.4g};" in said and f"correlated over {found.time_unit:.4g} " in said
    split = Split(t, np.cumsum(rng.standard_normal((12, 100, 64, 1)), axis=1))
    assert 64 // resolve(OPEN, data(split, boundary)).model.coarsening == 16


def test_latents_that_are_too_few_for_a_cell():
    """Of white noise over 16 points, of which the mesh carries about one, 8 directions leave half of the variance."""
    rng = np.random.default_rng(0)
    t, x = DT * np.arange(100), np.arange(64) / 64
    waves = 2 * np.pi * np.arange(1, 32)
    phase = rng.uniform(0, 2 * np.pi, (24, 1, 1, 31))
    u = np.sin(waves * (x[:, None] - t[:, None, None] / 8) + phase).sum(axis=-1)[..., None].astype(np.float32)
    split = Split(np.tile(t, (24, 1)), u)

    def said(coarsening):
        model = dataclasses.replace(CUSTOM.model, micro_layout="cells", coarsening=coarsening)
        dataset = Dataset((x,), ("periodic",), split, split, split)
        return suggest(dataclasses.replace(CUSTOM, model=model), dataset)[1][1]

    share = re.search(r"8 latents in each cell; as straight directions they leave (\d+)% of the field", said(16))
    assert share and 60 <= int(share[1]) <= 72
    assert "leave" not in said(8)


def test_layout_that_is_left_open():
    """Cells where several waves travel around a circle on smooth paths, or where a setting asks for them; neither
    between edges, nor for one structure, nor where noise drives. The networks see as little on any domain."""
    model = dataclasses.replace(OPEN.model, micro_layout="auto")
    config = dataclasses.replace(OPEN, model=model)
    waves = travelling_waves()
    found = resolve(config, data(waves))
    assert (found.model.micro_layout, found.model.micro_frame, found.model.coordinates) == ("cells", "fixed", "cells")
    assert found.inference.window == 32 and found.inference.rotation == "learned"
    assert (
        "microscale layout cells (nothing speaks against cells), 1 latents in each cell"
        in suggest(config, data(waves))[1]
    )
    assert (found.model.stencil_radius, found.model.linear_radius, found.model.quadratic_rank) == (3, 4, 128)
    assert found.forecast.dispersion == "validation" and resolve(OPEN, data(waves)).forecast.dispersion == "bound"
    x = np.arange(POINTS) / POINTS
    bump = np.exp(-(((x - 0.5) / 0.08) ** 2))
    moving = np.stack([[np.roll(bump, k) for k in range(60)]] * 3)[..., None]
    one = Split(
        np.tile(DT * np.arange(60), (3, 1)), moving + 1e-3 * np.random.default_rng(0).standard_normal(moving.shape)
    )
    against = {"has edges": data(waves, "edge"), "noise drives": data(ornstein_uhlenbeck()), "one structure": data(one)}
    for why, dataset in against.items():
        assert resolve(config, dataset).model.micro_layout == "global"
        assert why in suggest(config, dataset)[1][1]
    asked = dataclasses.replace(config, model=dataclasses.replace(model, conservative=True))
    assert resolve(asked, data(one)).model.micro_layout == "cells"


def test_large_domains_are_in_cells():
    """Between edges too, where dense networks of all points would be too large; not where noise drives."""
    x = np.linspace(0, 1, 2**9)
    u = np.stack([np.sin(6 * np.pi * (x[:, None] + x - 0.02 * k)) for k in range(20)])
    noise = 1e-3 * np.random.default_rng(0).standard_normal((2, *u.shape))
    large = Split(np.tile(DT * np.arange(20), (2, 1)), (u + noise)[..., None].astype(np.float32))
    config = dataclasses.replace(OPEN, model=dataclasses.replace(OPEN.model, micro_layout="auto"))
    dataset = Dataset((x, x), ("edge", "edge"), large, large, large)
    assert resolve(config, dataset).model.micro_layout == "cells"


def test_sizes_that_are_left_open():
    """By the layout; in cells as many latents as it takes to hold what the mesh misses, which here are `number` shapes
    at random in every cell, seen with noise. What is given stays."""
    rng = np.random.default_rng(0)
    found = resolve(change_model(CUSTOM, micro_layout="global"), data(travelling_waves()))
    assert (found.model.micro_dim, found.model.encoder_hidden, found.train.learning_rate) == (5, (128, 128), 2e-3)
    assert found.train.steps == 10_000
    for number in (2, 4):
        # Shapes that the filter does not see: waves much shorter than a cell.
        shapes = np.cos(2 * np.pi * np.outer(np.arange(3, 3 + number), (np.arange(16) + 0.5) / 16))
        size = np.cumsum(np.cumsum(rng.standard_normal((4, 80, 16, number)), axis=1), axis=1)
        u = (size @ shapes).reshape(4, 80, 256)
        split = Split(
            np.tile(DT * np.arange(80), (4, 1)), (u / u.std() + 1e-2 * rng.standard_normal(u.shape))[..., None]
        )
        found = resolve(change_model(CUSTOM, micro_layout="cells"), data(split))
        assert (found.model.coarsening, found.model.micro_dim) == (16, number)
        assert (found.model.micro_hidden, found.train.learning_rate) == ((64, 64), 5e-3)
    for nodes, steps in ((16, 33_000), (32, 17_500)):  # which cost twice as much
        given = change_model(CUSTOM, micro_layout="cells")
        given = dataclasses.replace(given, inference=dataclasses.replace(given.inference, num_nodes=nodes))
        found = resolve(given, data(split))
        assert found.train.steps == steps and from_dict(to_dict(found)) == found  # each field of its own type
    given = change_model(CUSTOM, micro_layout="cells", micro_dim=7, decoder_hidden=())
    found = resolve(given, data(split)).model
    assert (found.micro_dim, found.decoder_hidden, found.encoder_hidden) == (7, (), (64, 64))


def change_model(config, **fields):
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **fields))


def test_grid_that_nothing_divides_is_refused():
    """A prime number of points, or too few."""
    for grid in ((101,), (6,), (64, 81)):
        with pytest.raises(InputError, match="No coarsening divides the grid"):
            suggest_coarsening(grid)


def test_description_says_what_was_found():
    """A line each for mesh, time, posterior, window, weight and shifts."""
    rough = " ".join(suggest(OPEN, data(ornstein_uhlenbeck()))[1])
    assert "posterior markov" in rough and "rough" in rough and "16 cells" in rough
    assert "posterior smooth" in " ".join(suggest(OPEN, data(travelling_waves()))[1])
