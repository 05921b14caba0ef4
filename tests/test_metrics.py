"""Error metrics against numbers computed by hand."""

import jax.numpy as jnp
import numpy as np

from msvi import metrics

# Reference norms 5 and 2, error norms 1 and 1: relative errors 0.2 and 0.5.
REFERENCE = jnp.array([[[3.0], [4.0]], [[0.0], [2.0]]])
ESTIMATE = jnp.array([[[3.0], [5.0]], [[1.0], [2.0]]])


def test_hand_computed():
    """Relative errors 1/5 and 1/2, their root mean square and their mean; float32 round-off."""
    np.testing.assert_allclose(metrics.relative_errors(ESTIMATE, REFERENCE), [0.2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(metrics.nrmse(ESTIMATE, REFERENCE), np.sqrt((0.04 + 0.25) / 2), rtol=1e-6)
    np.testing.assert_allclose(metrics.relative_l2(ESTIMATE, REFERENCE), 0.35, rtol=1e-6)


def test_norms_run_over_grid_and_channels():
    """A 2D grid of two channels gives what the raveled field gives."""
    estimate, reference = np.random.default_rng(0).standard_normal((2, 5, 3, 4, 2)).astype(np.float32)
    error, size = (np.linalg.norm(field.reshape(5, -1), axis=1) for field in (estimate - reference, reference))
    flat = error / size
    np.testing.assert_allclose(metrics.relative_errors(estimate, reference), flat, rtol=1e-6)
    np.testing.assert_allclose(metrics.nrmse(estimate, reference), np.sqrt(np.mean(flat**2)), rtol=1e-6)
    np.testing.assert_allclose(metrics.relative_l2(estimate, reference), flat.mean(), rtol=1e-6)


def test_units_do_not_matter():
    """Both fields in another unit, here a power of two: the same bits."""
    for metric in (metrics.relative_errors, metrics.nrmse, metrics.relative_l2):
        np.testing.assert_array_equal(metric(8 * ESTIMATE, 8 * REFERENCE), metric(ESTIMATE, REFERENCE))


def test_perfect_and_null_estimates():
    """Zero error for the truth; exactly 1 for an estimate of zero."""
    for metric in (metrics.nrmse, metrics.relative_l2):
        assert metric(REFERENCE, REFERENCE) == 0
        np.testing.assert_allclose(metric(jnp.zeros_like(REFERENCE), REFERENCE), 1.0, rtol=1e-6)
