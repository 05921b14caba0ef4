"""Figures: what is drawn is what was passed, and unusable arrays are refused in one sentence."""

import ast
import inspect
import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from msvi.errors import InputError
from msvi.report import axes, names, panels, plots, plots_2d, plots_run, plots_scores, plots_sweep, references

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("error")

TIMES, POINTS = 11, 30
t = np.linspace(0.0, 1.0, TIMES)
x = np.arange(POINTS) / POINTS
u = np.tanh(20 * (x - 0.3 - 0.3 * t[:, None]))  # a travelling shock
LABELLED = {"time": {"units": "days since 2001-02-03"}, "s": {"units": "km"}, "depth": {"units": "m"}}
fields = {"truth": u, "mean": 0.9 * u, "std": 0.1 + 0.0 * u, "macro": 0.7 * u, "micro": 0.2 * u}


def render(figure: Figure) -> None:
    """Draw the whole figure, so that what only fails on drawing fails here."""
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_imports_only_numpy_and_matplotlib():
    """No jax, no training, and no global state of pyplot."""
    modules = set()
    for source in (plots, plots_2d, plots_run, plots_scores, plots_sweep, axes, panels, references, names):
        for node in ast.walk(ast.parse(inspect.getsource(source))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module)
    outside = {"collections", "itertools", "typing", "numpy", "matplotlib"}
    assert {name.split(".")[0] for name in modules} == outside | {"msvi"}
    inside = {f"msvi.report.{name}" for name in ("axes", "names", "panels", "plots", "references")}
    assert {name for name in modules if name.startswith("msvi")} == inside | {"msvi.errors"}
    assert "matplotlib.pyplot" not in modules


def test_forecast_1d_draws_the_frames_at_equally_spaced_times():
    figure = plots.forecast_1d(t, x, **fields, num_frames=3)
    axes = np.reshape(figure.axes, (4, 3))
    for column, frame in zip(axes.T, (0, 5, 10), strict=True):
        assert column[0].get_title() == f"t = {t[frame]:.3g}"
        truth, mean = column[0].lines
        np.testing.assert_array_equal(truth.get_ydata(), u[frame])
        np.testing.assert_array_equal(mean.get_ydata(), fields["mean"][frame])
        band = column[0].collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose([band.min(), band.max()], 0.9 * u[frame][[0, -1]] + [-0.2, 0.2])
        np.testing.assert_array_equal(column[1].lines[0].get_ydata(), fields["macro"][frame])
        np.testing.assert_array_equal(column[2].lines[0].get_ydata(), fields["micro"][frame])
        np.testing.assert_array_equal(column[2].lines[1].get_ydata(), u[frame] - fields["macro"][frame])
        zero, error = column[3].lines
        np.testing.assert_array_equal(zero.get_ydata(), [0, 0])
        np.testing.assert_array_equal(error.get_ydata(), fields["mean"][frame] - u[frame])
        band = column[3].collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose([band.min(), band.max()], [-0.2, 0.2])
    assert axes[0, 0].get_ylim() == axes[1, 2].get_ylim() != axes[2, 0].get_ylim()
    render(figure)


def test_names_and_units_stand_on_the_axes():
    (own,) = names.names_of_channels(("s",), ("depth",), LABELLED, 1)
    figure = plots.forecast_1d(t, x, **fields, num_frames=2, names=own, title="the third")
    axes = np.reshape(figure.axes, (4, 2))
    assert [ax.get_xlabel() for ax in axes[3]] == ["s [km]", "s [km]"]
    assert axes[0, 0].get_ylabel() == "depth [m]"
    assert [ax.get_title() for ax in axes[0]] == ["time = 0 days", "time = 1 days"]
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "the third"
    figure = plots.field_1d(t, x, u, u, names=own, title="the third")
    assert [ax.get_xlabel() for ax in figure.axes[:3]] == ["time [days]"] * 3
    assert (figure.axes[0].get_ylabel(), figure.axes[3].get_ylabel()) == ("s [km]", "depth [m]")
    assert figure.get_suptitle() == "the third"
    assert plots.error_over_time(t, {"forecast": 0.1 + t}, names=own).axes[0].get_xlabel() == "time [days]"
    paths = plots.latent_paths(t, np.ones((2, TIMES, 1)), np.ones((TIMES, 1)), names=own, title="the third")
    assert paths.axes[0].get_xlabel() == "time [days]" and paths.legends[0].get_title().get_text() == "the third"
    render(figure)


def test_field_1d_images_share_their_colours_and_the_difference_is_symmetric():
    diverged = 0.9 * u
    diverged[-2:] = np.nan
    figure = plots.field_1d(t, x, u, diverged)
    truth, mean, difference = (ax.images[0] for ax in figure.axes[:3])
    assert len(figure.axes) == 5  # two colour bars
    np.testing.assert_array_equal(truth.get_array(), u.T)
    np.testing.assert_array_equal(np.ma.filled(mean.get_array(), np.nan), diverged.T)
    np.testing.assert_array_equal(np.ma.filled(difference.get_array(), np.nan), (diverged - u).T)
    assert truth.get_clim() == mean.get_clim() == (u.min(), u.max())
    assert difference.get_clim()[0] == -difference.get_clim()[1] == pytest.approx(-0.1 * np.abs(u[:-2]).max())
    render(figure)


def test_error_over_time_draws_medians_and_quantiles():
    errors = {"forecast": np.arange(1.0, 12)[:, None] * (0.01 + t), "noise floor": 0.01 + 0 * t, "other": 0.02 + t}
    figure = plots.error_over_time(t, errors)
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == list(errors)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 6 * (0.01 + t))
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), errors["noise floor"])
    (band,) = ax.collections
    values = band.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([values.min(), values.max()], [2 * 0.01, 10 * 1.01])
    assert ax.get_yscale() == "log"
    assert len({line.get_color() for line in ax.lines}) == 3
    render(figure)


@pytest.mark.parametrize("num_latents", [1, 5, 7])
def test_latent_paths_has_a_panel_for_each_latent(num_latents):
    encoded = np.sin(t[:, None] + np.arange(num_latents))
    paths = encoded + np.arange(4.0)[:, None, None]
    labels = [f"η {i}" for i in range(num_latents)]
    figure = plots.latent_paths(t, paths, encoded, num_shown=3, labels=labels, colors=[plots.MICRO] * num_latents)
    assert [ax.get_title() for ax in figure.axes] == labels
    for i, ax in enumerate(figure.axes):
        *members, truth = ax.lines
        np.testing.assert_array_equal([line.get_ydata() for line in members], paths[:3, :, i])
        np.testing.assert_array_equal(truth.get_ydata(), encoded[:, i])
        assert members[0].get_color() == plots.MICRO
    render(figure)


def test_single_panels_draw_into_the_axes_they_are_given():
    figure = Figure(layout="constrained")
    axes = figure.subplots(1, 3)
    assert plots.error_over_time(t, {"forecast": 0.1 + t}, ax=axes[0]) is figure
    assert plots_run.kernel_1d(np.ones(5), np.ones(5), 2, ax=axes[1]) is figure
    assert plots_sweep.error_against_micro_dim([0, 1], [2, 1], [2, 1], [1, 1], ax=axes[2]) is figure
    assert [len(ax.lines) for ax in axes] == [1, 3, 4]
    render(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: plots.forecast_1d(t, x, **fields | {"mean": u[..., None]}),
            r"`mean`.*time=11, point=30.*11, 30, 1",
        ),
        (lambda: plots.forecast_1d(t, x, **fields | {"std": u[1:]}), r"`std`.*time=11, point=30.*\(10, 30\)"),
        (lambda: plots.forecast_1d(t, x, **fields, num_frames=12), "`num_frames`.*11.*got 12"),
        (lambda: plots.field_1d(t, x, u.T, u), r"`truth`.*\(30, 11\)"),
        (lambda: plots.field_1d(t[:1], x, u[:1], u[:1]), "`t` needs at least 2"),
        (lambda: plots.error_over_time(t, {"forecast": u}), r"forecast.*trajectory, time=11.*\(11, 30\)"),
        (lambda: plots.error_over_time(t, {}), "`errors`.*got none"),
        (lambda: plots.latent_paths(t, np.ones((4, TIMES, 2)), np.ones((TIMES, 3))), r"`encoded`.*latent=2"),
        (
            lambda: plots.latent_paths(t, np.ones((4, TIMES, 2)), np.ones((TIMES, 2)), labels=["a"]),
            "`labels`.*got 1",
        ),
        (lambda: plots_run.kernel_1d(np.ones(4), np.ones(4), 2), "odd number.*got 4"),
        (lambda: plots_run.kernel_1d(np.ones(5), np.ones(3), 2), r"`initial`.*offset=5.*\(3,\)"),
        (lambda: plots_sweep.error_against_micro_dim([], [], [], []), "`micro_dim`.*got none"),
        (lambda: plots_sweep.error_against_micro_dim([0, 1], [1], [1, 1], [1, 1]), r"`forecast`.*run=2.*\(1,\)"),
    ],
)
def test_unusable_arrays_are_refused(draw, message):
    with pytest.raises(InputError, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
