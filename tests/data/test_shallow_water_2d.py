"""The finite-volume solver against the exact Riemann solution, another implementation and conservation; the draws."""

import dataclasses
import re

import numpy as np
import pytest
import scipy

from msvi.data.config import DataConfig
from msvi.data.dataset import load_dataset
from msvi.data.equations.shallow_water_2d import ShallowWater2D
from msvi.errors import InputError

SMALL = ShallowWater2D(num_points=32, num_frames=6, t1=0.5, max_dt=2e-2)


def planar_dam(x, t, deep, shallow=1.0):
    """Depth after a straight dam at 0 has broken (J. J. Stoker): a rarefaction to the left, a shock to the right."""

    def mismatch(h):
        rarefaction = 2 * (np.sqrt(deep) - np.sqrt(h))
        return rarefaction - (h - shallow) * np.sqrt((h + shallow) / (2 * h * shallow))

    middle = scipy.optimize.brentq(mismatch, shallow, deep)
    speed = 2 * (np.sqrt(deep) - np.sqrt(middle))
    shock = middle * speed / (middle - shallow)
    fan = (2 * np.sqrt(deep) - x / t) ** 2 / 9
    depths = [deep, fan, middle, shallow]
    places = [x < -np.sqrt(deep) * t, x < (speed - np.sqrt(middle)) * t, x < shock * t, x >= shock * t]
    return np.select(places, depths)


def planar_error(num_points, deep):
    """Mean absolute error of the depth at t = 0.8 along either axis; the water does not know of the other one."""
    equation = ShallowWater2D(num_points=num_points, num_frames=2, t1=0.8, max_dt=0.14 * 5 / num_points, height=deep)
    x = equation.coordinates[0]
    dam = np.where(x < 0, deep - 1, 0.0)
    along = equation.solve(np.tile(dam[:, None, None], (1, num_points, 1)))[-1, ..., 0]
    across = equation.solve(np.tile(dam[None, :, None], (num_points, 1, 1)))[-1, ..., 0]
    np.testing.assert_allclose(along, along[:, :1].repeat(num_points, axis=1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(across, along.T, rtol=0, atol=1e-13)
    return np.abs(along[:, 0] + 1 - planar_dam(x, 0.8, deep)).mean()


@pytest.mark.parametrize("deep", [2.0, 12.0])
def test_planar_dam_break_converges_to_the_exact_solution(deep):
    """A shock is smeared over some cells, so that the mean error falls with the width of a cell: by 3.4 and 3.6 for a
    quarter of it. Twelve deep the rarefaction goes through the speed 0, where Roe's scheme without a mend would jump.
    """
    coarse, fine = planar_error(32, deep), planar_error(128, deep)
    assert fine < 0.005 * (deep - 1) and 3 < coarse / fine < 6, (coarse, fine)


def test_round_dam_break_is_that_of_pyclaw():
    """Depths of PyClaw 5.14 (`shallow_roe_with_efix_2D`, MC limiter, dimensional splitting) at four cells each, and the
    sum of all squares; both agree to 3e-14 everywhere."""
    equation = ShallowWater2D()
    u = equation.solve(equation.initial(0.5))[..., 0]
    cells = ((64, 64), (70, 80), (64, 95), (50, 50))
    half = [-0.28172030418, 0.223546824348, 0.000441428907, 0.229366709817]
    end = [-0.108456846423, -0.104991239345, 0.154962815615, -0.069725699317]
    np.testing.assert_allclose([u[50, i, j] for i, j in cells], half, rtol=0, atol=1e-11)
    np.testing.assert_allclose([u[100, i, j] for i, j in cells], end, rtol=0, atol=1e-11)
    assert (u[100] ** 2).sum() == pytest.approx(202.45816374803178, rel=1e-12)


def test_mass_is_conserved_and_mirror_images_stay_mirror_images():
    """Until waves reach the edge; measured 1e-15 of the mass. The sweeps are exchanged with the axes, which tells at
    discontinuities alone."""
    u = SMALL.solve(SMALL.initial(0.6))[..., 0]
    mass = (u + 1).sum(axis=(1, 2))
    np.testing.assert_allclose(mass, mass[0], rtol=1e-14)
    np.testing.assert_allclose(u, u[:, ::-1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(u, u[:, :, ::-1], rtol=0, atol=1e-13)
    assert 0 < np.abs(u - u.swapaxes(1, 2)).max() < 0.05
    assert np.abs(u[-1] - u[0]).max() > 0.3


def test_waves_leave_through_the_edges():
    """What has passed an edge does not come back: the hill runs out, and the water is flat again,
    a little lower. Measured 0.026 of the height of the hill."""
    equation = dataclasses.replace(SMALL, num_frames=2, t1=8.0)
    u = equation.solve(equation.initial(0.6))[..., 0]
    assert np.abs(u[-1]).max() < 0.03 * np.abs(u[0]).max()


def test_still_water_stays_still():
    """To the last bit, at any depth."""
    equation = dataclasses.replace(SMALL, height=3.0)
    u = equation.solve(np.full((32, 32, 1), 2.0))
    np.testing.assert_array_equal(u, 2.0)


def test_trajectories_are_numbered_as_the_published_ones():
    """Trajectory `i` of all 1000 has the radius of the generator with the seed `i`, whatever the sizes of the splits;
    another seed, or more trajectories than these, have generators of their own."""
    equation = SMALL
    for split, first in ((0, 0), (1, 900), (2, 950)):
        (radius,) = equation.draw(equation.generator(0, split, 3))
        assert radius == np.random.default_rng(first + 3).uniform(0.3, 0.7)
    (beyond,) = equation.draw(equation.generator(0, 1, 50))
    assert beyond == np.random.default_rng([0, 1, 50]).uniform(0.3, 0.7)
    (other,) = equation.draw(equation.generator(1, 0, 3))
    assert other == np.random.default_rng([1, 0, 3]).uniform(0.3, 0.7)


def test_initial_condition_is_a_cylinder_of_water(tmp_path):
    """The height inside the radius and nothing outside; its area that of the circle, to the cells on its edge."""
    equation = ShallowWater2D(height=2.5)
    u0 = equation.initial(0.5)[..., 0]
    x = equation.coordinates[0]
    assert set(np.unique(u0)) == {0.0, 1.5}
    assert (u0 > 0).sum() * equation.spacing**2 == pytest.approx(np.pi / 4, rel=0.03)
    assert u0[np.abs(x - 0.4).argmin(), 64] == 1.5 and u0[np.abs(x - 0.6).argmin(), 64] == 0
    dataset = load_dataset(
        "shallow_water_2d", DataConfig(SMALL, num_train=1, num_val=1, num_test=1, cache_dir=str(tmp_path))
    )
    assert dataset.test.u_true is not None
    np.testing.assert_allclose(
        dataset.test.u_true[0, 0], SMALL.initial(np.random.default_rng(950).uniform(0.3, 0.7)), atol=1e-7
    )


def test_steps_in_which_a_wave_passes_a_cell_are_refused():
    """Named with the largest that is not; and it is stable, where the water is deepest."""
    with pytest.raises(InputError, match="`data.equation.max_dt` gives steps of 0.1, but .*; lower max_dt") as error:
        dataclasses.replace(SMALL, max_dt=0.1)
    limit = float(re.search(r"beyond ([\d.]+);", str(error.value))[1])
    equation = dataclasses.replace(SMALL, max_dt=0.99 * limit, height=2.0, t1=2.0)
    u = equation.solve(equation.initial(0.7))
    assert np.isfinite(u).all() and u.min() > -1 and u.max() <= 1.0 + 1e-9


@pytest.mark.parametrize("name", ["height", "radius_min", "radius_max"])
def test_senseless_parameters_are_refused(name):
    """Each by its name; and ends of the range in the wrong order."""
    with pytest.raises(InputError, match=f"`data.equation.{name}` must be positive and finite, got -1.0;"):
        ShallowWater2D(**{name: -1.0})
    with pytest.raises(InputError, match="`data.equation.radius_max` must be at least `radius_min`, 0.8, got 0.7;"):
        ShallowWater2D(radius_min=0.8)
