"""Our reference solvers against those of exponax, exponential integrators of Fourier modes, and of PyClaw."""

import logging.config

import jax
import numpy as np
import pytest

from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.burgers_2d import Burgers2D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.equations.shallow_water_2d import ShallowWater2D
from msvi.data.equations.wave_1d import Wave1D

pytestmark = pytest.mark.outside


def roll_out(stepper, u0, steps, **settings):
    """The field `(*grid, 1)` after so many steps of one of exponax's, in float64."""
    import exponax

    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        step = getattr(exponax.stepper, stepper)(**settings)
        return np.moveaxis(np.asarray(exponax.repeat(step, steps)(np.moveaxis(u0, -1, 0))), 0, -1)


def difference(u, reference):
    return np.linalg.norm(u - reference) / np.linalg.norm(reference)


def test_korteweg_de_vries():
    """Without damping exponax 0.1 is of first order in the step (its error of a soliton is 7.4e-4 at 1e-4 and 3.7e-3 at
    5e-4, ours 2e-12), so that its limit is compared, extrapolated from two steps; measured below 1e-6 of the field.
    """
    equation = KortewegDeVries1D(num_points=600, num_frames=2, t1=0.25)
    u0 = equation.initial(2.0, 1.0)
    settings = {"convection_scale": 1.0, "dispersivity": 0.02, "diffusivity": 0.0, "hyper_diffusivity": 0.0, "order": 4}
    coarse, fine = (
        roll_out(
            "KortewegDeVries", u0, n, num_spatial_dims=1, domain_extent=10.0, num_points=600, dt=0.25 / n, **settings
        )
        for n in (1250, 2500)
    )
    solution = equation.solve(u0)[-1]
    assert difference(solution, 2 * fine - coarse) < 5e-6
    assert 1e-5 < difference(solution, fine) < 1e-3 < 0.1 < difference(u0, solution)


def burgers_1d_error(num_points):
    equation = Burgers1D(num_points=num_points, num_frames=2, t1=0.2, viscosity=2e-3, max_dt=2e-4)
    fine, every = dict(num_spatial_dims=1, domain_extent=1.0, num_points=1600, dt=2e-4), 1600 // num_points
    start = Burgers1D(num_points=1600, viscosity=2e-3, max_dt=1e-5).initial(0.3, 0.01)
    reference = roll_out("Burgers", start, 1000, diffusivity=2e-3, order=4, **fine)
    return difference(equation.solve(equation.initial(0.3, 0.01))[-1], reference[::every])


def test_burgers_converges_at_second_order():
    """Half the spacing, a quarter of the error."""
    coarse, fine = burgers_1d_error(200), burgers_1d_error(400)
    assert fine < 1e-3 and coarse / fine == pytest.approx(4, abs=0.4), (coarse, fine)


def test_two_dimensional_burgers():
    """A pulse far from the edges does not know that ours are held and exponax's periodic. Points of ours at both edges
    are one more than those of the circle; the error is that of the second order."""
    errors = []
    for n in (32, 64):
        equation = Burgers2D(num_points=n + 1, num_frames=2, t1=0.1, viscosity=1e-2, max_dt=2e-3)
        x, y = np.meshgrid(*equation.coordinates, indexing="ij")
        u0 = np.exp(-((x - 0.45) ** 2 + (y - 0.45) ** 2) / 0.01)[..., None]
        settings = {"num_spatial_dims": 2, "domain_extent": 1.0, "num_points": n, "dt": 5e-4, "order": 4}
        reference = roll_out("Burgers", u0[:-1, :-1], 200, diffusivity=1e-2, single_channel=True, **settings)
        errors.append(difference(equation.solve(u0)[-1][:-1, :-1], reference))
    assert errors[1] < 2e-2 and errors[0] / errors[1] == pytest.approx(4, abs=1.0), errors


def test_wave():
    """Both are exact for the modes of the grid."""
    equation = Wave1D(num_points=200, num_frames=11, width_min=0.05, width_max=0.06)
    u0 = equation.initial(0.05)
    reference = roll_out(
        "Advection", u0, 3, num_spatial_dims=1, domain_extent=1.0, num_points=200, dt=0.1, velocity=1.0
    )
    np.testing.assert_allclose(equation.solve(u0)[3], reference, atol=1e-10)


@pytest.mark.parametrize("height", [2.0, 12.0])
def test_shallow_water(height, monkeypatch):
    """PyClaw has the same scheme in Fortran: both agree to rounding, measured 1e-13, while waves of a dam off the
    centre leave through all edges; twelve deep the entropy fix moves the depth by .07. To install PyClaw (`pip install
    clawpack`) takes a Fortran compiler, so `make test-outside` does not."""
    monkeypatch.setattr(logging.config, "fileConfig", lambda *args, **settings: None)  # it would write `pyclaw.log`
    pyclaw = pytest.importorskip("clawpack.pyclaw")
    riemann = pytest.importorskip("clawpack.riemann")
    equation = ShallowWater2D(num_points=48, num_frames=4, t1=3.0, max_dt=1e-2, height=height)
    x, y = np.meshgrid(*equation.coordinates, indexing="ij")
    u0 = np.where(np.hypot(x - 0.8, y + 0.3) <= 0.6, height - 1, 0.0)[..., None]

    solver = pyclaw.ClawSolver2D(riemann.shallow_roe_with_efix_2D)
    solver.limiters = pyclaw.limiters.tvd.MC
    solver.dimensional_split = True
    solver.all_bcs = pyclaw.BC.extrap
    solver.dt_variable, solver.dt, solver.cfl_max = False, equation.dt, 1.0
    half = equation.half_width
    domain = pyclaw.Domain([pyclaw.Dimension(-half, half, equation.num_points, name=name) for name in "xy"])
    state = pyclaw.State(domain, solver.num_eqn)
    state.problem_data["grav"] = 1.0
    state.q[:] = 0.0
    state.q[0] = 1 + u0[..., 0]
    solution = pyclaw.Solution(state, domain)
    solver.setup(solution)

    frames = equation.solve(u0)[..., 0]
    for u in frames[1:]:
        for _ in range(equation.steps_per_frame):
            solver.evolve_to_time(solution)  # one step
        np.testing.assert_allclose(u, state.q[0] - 1, rtol=0, atol=1e-11)
    assert solution.t == pytest.approx(equation.t1)
    end = frames[-1]
    assert min(np.abs(edge).max() for edge in (end[0], end[-1], end[:, 0], end[:, -1])) > 0.1
