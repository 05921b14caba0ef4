"""Figures of what a run has learned: kernels in coarse cells, and the history as it is."""

import numpy as np
import pytest
from test_plots import render

from msvi.errors import InputError
from msvi.report import plots, plots_run
from msvi.report.names import names_of_channels

pytestmark = pytest.mark.filterwarnings("error")

history = {
    "step": np.arange(0, 100, 10),
    "log_likelihood": 5 - 100 * np.exp(-np.arange(10.0)),
    "drift_residual": np.exp(-np.arange(10.0)),
    "loss": 100 * np.exp(-np.arange(10.0)) - 5 + np.exp(-np.arange(10.0)),
    "val_step": np.array([50, 100]),
    "val_crps": np.array([0.06, 0.012]),
    "val_nrmse": np.array([0.1, 0.02]),
    "val_reconstruction": np.array([0.05, 0.01]),
}


def test_kernel_1d_counts_offsets_in_coarse_cells():
    initial = np.exp(-0.5 * np.linspace(-3, 3, 13) ** 2)
    figure = plots_run.kernel_1d(1.1 * initial, initial, coarsening=2)
    zero, first, learned = figure.axes[0].lines
    np.testing.assert_allclose(learned.get_xdata(), np.linspace(-3, 3, 13))
    np.testing.assert_array_equal(first.get_ydata(), initial)
    np.testing.assert_array_equal(learned.get_ydata(), 1.1 * initial)
    render(figure)


def test_training_curves_draws_the_history():
    figure = plots_run.training_curves(history)
    drawn = [[line.get_ydata() for line in ax.lines] for ax in figure.axes]
    expected = [
        [history["loss"], -history["log_likelihood"]],
        [history["drift_residual"]],
        [history["val_crps"], history["val_nrmse"], history["val_reconstruction"]],
    ]
    for panel, arrays in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(panel, arrays)
    assert [ax.get_yscale() for ax in figure.axes] == ["symlog", "log", "log"]
    render(figure)


def test_training_curves_before_the_first_validation():
    empty = {key: values[:0] if key.startswith("val") else values for key, values in history.items()}
    render(plots_run.training_curves(empty))


def test_training_curves_of_validations_that_diverged():
    """Gaps in place of what is no number; if nothing else is there, an empty panel."""
    gap = history | {"val_crps": np.array([np.nan, 0.012]), "val_nrmse": np.array([np.nan, 0.02])}
    figure = plots_run.training_curves(gap)
    np.testing.assert_array_equal(figure.axes[2].lines[0].get_ydata(), [np.nan, 0.012])
    render(figure)
    nothing = dict.fromkeys(("val_crps", "val_nrmse", "val_reconstruction"), np.full(2, np.nan))
    render(plots_run.training_curves(history | nothing))


def test_kernel_2d_counts_offsets_in_coarse_cells():
    along_x, along_y = np.linspace(-3, 3, 13), np.linspace(-2, 2, 9)
    initial = np.exp(-0.5 * (along_x[:, None] ** 2 + along_y**2))
    kernel = 1.2 * initial * (1 + 0.1 * along_y)
    figure = plots_run.kernel_2d(kernel, initial, coarsening=2)
    learned, first, sections, bar = figure.axes
    for ax, values in ((learned, kernel), (first, initial)):
        np.testing.assert_array_equal(ax.images[0].get_array(), values.T)
        assert ax.images[0].get_extent() == [-3.25, 3.25, -2.25, 2.25]
        assert ax.images[0].origin == "lower"
        assert ax.images[0].get_clim() == bar.get_ylim() == (min(initial.min(), kernel.min()), kernel.max())
    _, dashed, x_line, y_line = sections.lines
    for line, offset, values in (
        (dashed, along_x, initial[:, 4]),
        (x_line, along_x, kernel[:, 4]),
        (y_line, along_y, kernel[6]),
    ):
        np.testing.assert_array_equal(line.get_xdata(), offset)
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert (dashed.get_color(), x_line.get_color()) == (plots.REFERENCE, plots.MACRO)
    render(figure)
    (own,) = names_of_channels(("east", "north", "up"), (), {}, 1)
    figure = plots_run.kernel_2d(kernel, initial, 2, own, title="plane up offset = 0")
    assert figure.axes[0].get_xlabel() == "east offset (coarse cells)"
    assert figure.axes[0].get_ylabel() == "north offset (coarse cells)"
    assert figure.legends[0].get_title().get_text() == "plane up offset = 0"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots_run.training_curves({"step": np.arange(3)}), "`history`.*lacks log_likelihood"),
        (lambda: plots_run.training_curves(history | {"loss": np.ones(3)}), r"'loss'.*step=10.*\(3,\)"),
    ],
)
def test_unusable_histories_are_refused(draw, message):
    with pytest.raises(InputError, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
