"""The flow solver against exact solutions and its own invariants; what reads its results; the limits on its parameters.

The flow past the cylinder at full resolution is validated by `benchmarks/cylinder_2d.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msvi.data.equations import cylinder_2d as solver
from msvi.data.equations.cylinder_2d import Cylinder2D, strouhal_number, vorticity
from msvi.errors import InputError

SMALL = Cylinder2D(num_rows=16, num_frames=6, t1=0.1, max_dt=0.007, reynolds=40.0)  # two cells in a cylinder's radius


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def small():
    return SMALL.solve()


def empty_channel(rows, viscosity, dt):
    """The solver without a cylinder."""
    return solver._build_system((8 * rows, rows), 1 / rows, dt, viscosity, radius=0.0)


def advance(system, velocity, steps):
    """Velocity after some steps from rest of the pressure."""
    rate = solver._rate(velocity, system.cell, system.viscosity)
    state = solver._State(velocity, jnp.zeros(system.pivots.shape), rate, rate)
    return solver._advance_frame(system, state, steps, 1)[0].velocity


def vortices(rows, t, viscosity):
    """Decaying vortices of Taylor and Green carried by the inflow, an exact solution between slip walls.

    Face values of `(1 + psi_y, -psi_x)`, `psi = sin(k (x - t)) sin(k (y + 1/2)) exp(-2 nu k² t) / 10 k`, `k = 2 pi`.
    """
    k, edge = 2 * np.pi, np.arange(8 * rows + 1)[:, None] / rows
    x, y = edge - 0.5 - t, np.arange(rows)[None, :] / rows
    size, half = 0.1 * np.exp(-2 * viscosity * k**2 * t), 0.5 / rows
    return solver._Velocity(
        jnp.asarray(1 + size * np.sin(k * x[1:]) * np.cos(k * (y + half))),
        jnp.asarray(-size * np.cos(k * (x[:-1] + half)) * np.sin(k * y)),
    )


def test_second_order_convergence_to_decaying_vortices():
    """Slope of log error against log spacing, step refined with it: 2 within 0.15 on either side.

    Measured in the middle of the channel, where what its ends do to the vortices has fallen by exp(-2 pi 3).
    """
    viscosity, t, sizes, errors = 0.01, 0.4, np.array([12, 18, 27]), []
    for rows in sizes.tolist():
        steps = 2 * rows
        system = empty_channel(rows, viscosity, t / steps)
        found, exact = advance(system, vortices(rows, 0.0, viscosity), steps), vortices(rows, t, viscosity)
        middle = slice(int(3.5 * rows), int(4.5 * rows))
        errors.append([np.abs(np.asarray(a - b)[middle]).max() for a, b in zip(found, exact, strict=True)])
    slopes = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert ((slopes > 1.85) & (slopes < 2.15)).all(), errors
    assert np.max(errors[-1]) < 0.02 * 0.1  # of the vortices' size


def test_shear_decays_at_the_rate_of_the_discrete_laplacian():
    """`u = 1 + cos(k (y + 1/2)) / 10` is a solution of which only viscosity is seen; the cosine is its eigenvector."""
    rows, k, viscosity, steps, dt = 16, 2 * np.pi, 0.0125, 64, 0.005
    system = empty_channel(rows, viscosity, dt)
    mode = np.cos(k * (np.arange(rows) + 0.5) / rows)
    start = solver._Velocity(jnp.asarray(np.tile(1 + 0.1 * mode, (8 * rows, 1))), jnp.zeros(system.pivots.shape))
    found = np.asarray(advance(system, start, steps).x)[4 * rows]
    rate = viscosity * (2 * rows * np.sin(k / 2 / rows)) ** 2
    # The third-order method's own error is (rate dt)³; its start as Euler's costs twice (rate dt)² / 2 or so.
    np.testing.assert_allclose(found - 1, 0.1 * mode * np.exp(-rate * steps * dt), atol=0.1 * 2 * (rate * dt) ** 2)


def test_uniform_flow_stays():
    """Without a cylinder `(1, 0)` is at rest in every term, and no force acts."""
    system = empty_channel(16, 1e-3, 0.01)
    state = solver._initial_state(system, disturbance=0.0)
    state, stored, record = solver._advance_frame(system, state, 20, 2)
    np.testing.assert_allclose(state.velocity.x, 1.0, atol=1e-13)
    np.testing.assert_allclose(state.velocity.y, 0.0, atol=1e-13)
    np.testing.assert_allclose(record, 0.0, atol=1e-11)
    np.testing.assert_allclose(stored, np.broadcast_to([1.0, 0.0], (32, 8, 2)), atol=1e-7)


def test_pressure_solve_inverts_the_discrete_laplacian():
    """Divergence of the gradient of a random pressure, and back."""
    system = empty_channel(12, 1e-3, 0.01)
    pressure = jnp.asarray(np.random.default_rng(0).standard_normal(system.pivots.shape))
    gradient = solver._gradient(pressure, system.cell)
    # The divergence takes the inflow to be 1.
    source = solver._divergence(solver._Velocity(1 + gradient.x, gradient.y), system.cell)
    np.testing.assert_allclose(solver._solve_poisson(system, source), pressure, atol=1e-10)


def test_divergence_is_round_off(small):
    """In every cell and frame, in units of `U / cell`; the flow it is measured in is far from uniform."""
    assert np.nanmax(small.divergence) * SMALL.cell < 1e-13
    assert small.divergence.shape == (6,)
    assert small.u[-1, ..., 0].max() > 1.3


def test_flow_past_the_cylinder(small):
    """The start is uniform but for the disturbance; then the body stops the flow in it and is dragged along."""
    assert small.u.shape == (6, 64, 16, 2) and small.u.dtype == np.float32
    assert 0.02 < np.abs(small.u[0] - [1.0, 0.0]).max() <= SMALL.disturbance
    inside = np.hypot(*np.meshgrid(*SMALL.coordinates, indexing="ij")) < SMALL.radius
    assert inside.sum() == 4 and np.abs(small.u[-1][inside]).max() < 0.1
    assert np.isnan([small.drag[0], small.lift[0]]).all()
    assert (small.drag[2:] > 0.5).all() and np.isfinite(small.lift[1:]).all()


def test_symmetric_without_disturbance():
    """Nothing breaks the symmetry about the axis of the channel but round-off."""
    flow = Cylinder2D(num_rows=16, num_frames=3, t1=0.04, max_dt=0.007, reynolds=40.0, disturbance=0.0).solve()
    np.testing.assert_allclose(flow.u[..., 0], flow.u[:, :, ::-1, 0], atol=1e-6)
    np.testing.assert_allclose(flow.u[..., 1], -flow.u[:, :, ::-1, 1], atol=1e-6)
    np.testing.assert_allclose(flow.lift[1:], 0.0, atol=1e-10)


def test_force_is_the_momentum_lost():
    """Drag from the momentum through the edges of the channel, and from what is left in it, over one step."""
    system = solver._build_system(SMALL.cells, SMALL.cell, SMALL.dt, SMALL.viscosity, SMALL.radius)
    state = solver._advance_frame(system, solver._initial_state(system, 0.1), 7, 2)[0]
    after, force = jax.jit(solver._step)(system, state)
    rates = [np.asarray(u) for u in (after.rate.x, after.older_rate.x, state.older_rate.x)]
    rate = (23 * rates[0] - 16 * rates[1] + 5 * rates[2]) / 12
    storage = np.asarray(after.velocity.x - state.velocity.x).sum() / system.dt
    # The gradient telescopes to the pressures at the ends, 0 at the outflow.
    thrust = np.asarray(after.pressure)[0].sum() / system.cell
    assert float(force[0]) == pytest.approx((rate.sum() + thrust - storage) * system.cell**2, abs=1e-12)
    # And the rates to the fluxes at the ends; the walls take up nothing along the channel.
    u, (first, last) = np.asarray(state.velocity.x), (0, -1)
    inward = ((1 + u[first]) / 2) ** 2 - u[last] ** 2 - system.viscosity * (u[first] - 1) / system.cell
    assert rates[0].sum() * system.cell == pytest.approx(inward.sum(), abs=1e-10)


@pytest.mark.parametrize("distance", [-0.9, -0.4, 0.0, 0.5, 0.8])
def test_body_smooths_the_field_about_its_surface(distance):
    """What holds a field that grows by 1 per cell beyond the surface, against the kernel's integral."""
    cell, radius = 1 / 160, 0.0625
    x, y = (np.arange(n) * cell - 0.5 for n in (320, 160))
    shift = radius + distance * cell - (radius // cell + 1) * cell  # a point at this distance, on the axis
    body = solver._Body(*map(jnp.asarray, solver._immerse(x + shift, y, cell, radius)))
    field = (np.hypot((x + shift)[:, None], y[None, :]) - radius) / cell
    held, lost = solver._hold(body, jnp.asarray(field))
    at = np.flatnonzero(np.isclose(x + shift, radius + distance * cell))[0], 80
    s = np.linspace(-1, 1, 20001)
    smoothed = np.sum((1 + np.cos(np.pi * s)) / 2 * np.maximum(distance + s, 0.0)) * (s[1] - s[0])
    assert float(held[at]) == pytest.approx(smoothed, abs=0.01)
    assert float(lost) == pytest.approx(np.sum(field - np.asarray(held)), abs=1e-8)


@pytest.mark.parametrize("refinement", [1, 2, 3])
def test_stored_points(refinement):
    """A linear field is found again at the stored points, but for the points whose neighbours lie on the edges."""
    equation = Cylinder2D(num_rows=8, refinement=refinement, reynolds=40.0, max_dt=0.01)
    (nx, ny), cell = equation.cells, equation.cell
    x, y = np.arange(nx)[:, None] * cell - 0.5, np.arange(ny)[None, :] * cell - 0.5
    velocity = solver._Velocity(
        jnp.asarray(x + cell + 2 * (y + cell / 2)), jnp.asarray(3 * (x + cell / 2) - np.tile(y, (nx, 1)))
    )
    x, y = np.meshgrid(*equation.coordinates, indexing="ij")
    found = solver._sample(velocity, refinement)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found[1:, :-1], np.stack([x + 2 * y, 3 * x - y], axis=-1)[1:, :-1], atol=1e-5)


def test_grid():
    """Cell centres from (-0.5, -0.5) on, and the solver's cells."""
    equation = Cylinder2D()
    assert equation.grid == (320, 80) and equation.boundary == ("edge", "edge") and equation.cells == (1280, 160)
    x, y = equation.coordinates
    assert len(x) == 320 and len(y) == 80
    np.testing.assert_allclose([x[0], x[1], x[-1]], [-0.49375, -0.48125, 3.49375])
    np.testing.assert_allclose([y[0], y[-1]], [-0.49375, 0.49375])
    assert equation.steps_per_frame == 6 and equation.t[1] == pytest.approx(0.01)


def test_strouhal_number():
    """A known frequency, with an offset, a harmonic and noise that crosses the mean many times."""
    t = np.linspace(10.0, 17.0, 701)
    rng = np.random.default_rng(0)
    phase = 2 * np.pi * 1.6 * t + 1.0
    lift = 0.1 + 0.4 * np.sin(phase) + 0.05 * np.sin(3 * phase)
    assert strouhal_number(t, lift) == pytest.approx(0.2, rel=1e-4)
    assert strouhal_number(t, lift + 0.03 * rng.standard_normal(701)) == pytest.approx(0.2, rel=5e-3)
    assert strouhal_number(t, lift, diameter=1.0) == pytest.approx(1.6, rel=1e-4)


def test_strouhal_number_needs_two_periods():
    t = np.linspace(0.0, 1.0, 101)
    with pytest.raises(InputError, match="two periods"):
        strouhal_number(t, np.sin(2 * np.pi * 1.6 * t))


def test_vorticity_of_solid_body_rotation():
    """Twice the angular velocity, at the edges too; shear adds its own."""
    x, y = np.meshgrid(np.arange(7) * 0.1, np.arange(5) * 0.1, indexing="ij")
    u = np.stack([-3.0 * y, 3.0 * x], axis=-1)
    np.testing.assert_allclose(vorticity(u, 0.1), 6.0)
    np.testing.assert_allclose(vorticity(np.stack([u, 2 * u]), 0.1)[1], 12.0)


@pytest.mark.parametrize(
    "name, value",
    [("reynolds", 0.0), ("reynolds", float("nan")), ("num_rows", 7), ("refinement", 0), ("disturbance", -0.1)],
)
def test_senseless_parameters_are_refused(name, value):
    with pytest.raises(InputError, match=f"`data.equation.{name}` must be"):
        Cylinder2D(**{name: value})


@pytest.mark.parametrize("reynolds, limit", [(1e6, 0.69 / 160 / 2), (0.2, 6 / 11 / 160**2 / 8 / 0.625)])
def test_unstable_steps_are_refused(reynolds, limit):
    """The largest stable step passes, 2 % more does not; advection sets the one, diffusion the other."""
    Cylinder2D(reynolds=reynolds, num_frames=2, t1=0.998 * limit, max_dt=1.0)
    with pytest.raises(InputError, match="max_dt"):
        Cylinder2D(reynolds=reynolds, num_frames=2, t1=1.02 * limit, max_dt=1.0)
