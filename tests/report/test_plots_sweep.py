"""Figures of several runs: every run is there, and what is for comparison does not hide it."""

import numpy as np
from test_plots import render

from msvi.report import plots, plots_sweep


def test_error_against_micro_dim_draws_every_run_and_the_means():
    micro_dim = np.array([3, 0, 3, 1])
    error, reconstruction, floor = np.array([0.02, 0.3, 0.04, np.nan]), np.array([1, 4, 2, 3]) / 100, np.full(4, 0.01)
    figure = plots_sweep.error_against_micro_dim(
        micro_dim, error, reconstruction, floor, {2: 0.06, 0: 0.2}, title="case"
    )
    (ax,) = figure.axes
    published, lowest, middle, mean, runs = ax.lines
    np.testing.assert_array_equal(published.get_xydata(), [[0, 0.2], [2, 0.06]])
    assert (published.get_linestyle(), published.get_markerfacecolor()) == ("None", "none")  # hollow, and not joined
    assert published.get_label() == "published\n(one trajectory, other noise)"
    for line, values in ((lowest, [0.01, 0.01, 0.01]), (middle, [0.04, 0.03, 0.015]), (mean, [0.3, np.nan, 0.03])):
        np.testing.assert_array_equal(line.get_xdata(), [0, 1, 3])
        np.testing.assert_allclose(line.get_ydata(), values)
    np.testing.assert_array_equal(runs.get_xydata(), np.stack([micro_dim, error], axis=1))
    assert [line.get_color() for line in ax.lines] == [
        plots.REFERENCE,
        plots.REFERENCE,
        plots.RECONSTRUCTION,
        plots.FORECAST,
        plots.FORECAST,
    ]
    assert (ax.get_yscale(), ax.get_title()) == ("log", "case")
    assert len(plots_sweep.error_against_micro_dim([0], [0.1], [0.1], [0.1]).axes[0].lines) == 4
    render(figure)


def test_error_beside_references():
    references = {"near": 0.2, "far": 300.0, "exact": 1e-5}
    arguments = ([0, 1, 1], [0.3, 0.02, 0.04], [0.2, 0.01, 0.01], [0.01] * 3)
    figure = plots_sweep.error_beside_references(*arguments, references, {0: 0.4, 5: 0.1}, title="case")
    (ax,) = figure.axes
    ours, near, far = ax.lines[3], *ax.lines[-3:-1]
    np.testing.assert_allclose(ours.get_xydata(), [[0, 0.3], [1, 0.03]])
    assert list(near.get_ydata()) == [0.2, 0.2] and list(far.get_ydata()) == [300.0, 300.0]
    np.testing.assert_allclose(ax.get_ylim(), (0.001, 4.0))  # a tenth of the reconstruction, ten times the published
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    beyond = ["far\n(3.0e+02, above)", "exact\n(1.0e-05, below)"]
    assert labels == [plots_sweep.PUBLISHED_LABEL, "noise floor", "reconstruction", "forecast", "near", *beyond]
    render(figure)
