"""Figures of scores: what is drawn is what was passed, and unusable arrays are refused in one sentence."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_plots import render

from msvi.errors import InputError
from msvi.report import plots, plots_scores, plots_sweep

matplotlib.use("Agg")

t = np.linspace(0.0, 1.0, 11)
levels = np.arange(1, 10) / 10


def curves(level):
    """Quantiles 10, 50 and 90 % over the trajectories."""
    return level * (1 + t) * np.array([[0.5], [1.0], [2.0]])


def test_reliability_shades_the_distance_to_the_diagonal():
    wide, short = levels**0.5, np.where(levels > 0.85, np.nan, levels**2)
    figure = plots_scores.reliability_diagram(levels, {"wide": wide, "short": short}, "nominal", "observed")
    (ax,) = figure.axes
    diagonal, *lines = ax.lines
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    for line, values, label in zip(lines, (wide, short), ("wide", "short"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), levels)
        np.testing.assert_array_equal(line.get_ydata(), values)
        assert line.get_label() == label
    edges = {tuple(vertex) for vertex in ax.collections[0].get_paths()[0].vertices.round(12)}
    assert edges >= set(zip(levels.round(12), levels.round(12), strict=True))
    assert edges >= set(zip(levels.round(12), wide.round(12), strict=True))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim(), ax.get_ylim()) == ("nominal", "observed", (0, 1), (0, 1))
    assert lines[0].get_color() != lines[1].get_color()
    render(figure)


def test_ranks_are_flat_where_shares_are_as_they_should():
    """Twice as many below the first quantile as there should be are twice as high there; a panel per case."""
    shares = {"right": levels, "low": np.concatenate([[0.2], levels[1:]])}
    figure = plots_scores.rank_histograms(levels, {"a": shares, "b": {"right": levels}})
    first, second = figure.axes
    right, low = first.patches
    np.testing.assert_allclose(right.get_data().values, 1)
    np.testing.assert_allclose(low.get_data().values, [2, 0, *[1] * 8], atol=1e-12)
    np.testing.assert_allclose(low.get_data().edges, np.arange(11) / 10)
    assert (first.get_title(), second.get_title(), len(second.patches)) == ("a", "b", 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["right", "low"]
    assert second.patches[0].get_edgecolor() == right.get_edgecolor() != low.get_edgecolor()
    render(figure)
    with pytest.raises(InputError, match="must have the shape \\(level=9\\)"):
        plots_scores.rank_histograms(levels, {"a": {"x": levels[:3]}})


def test_scores_over_lead_time():
    scores = {"ours": curves(0.1), "noise floor": 0.01 + 0 * t}
    blown_up = 0.1 * np.exp(30 * t)
    blown_up[-1] = np.nan
    figure = plots_scores.score_over_lead_time(t, scores, "CRPS", {"other": blown_up, "flat": 0.5 + 0 * t})
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["other", "flat", "ours", "noise floor"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), blown_up)
    np.testing.assert_array_equal(ax.lines[2].get_ydata(), curves(0.1)[1])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [0.05, 0.4])
    assert (ax.get_ylabel(), ax.get_yscale()) == ("CRPS", "log")
    np.testing.assert_allclose(ax.get_ylim()[1], 10 * 0.2)
    colors = [line.get_color() for line in ax.lines]
    assert colors == [plots.REFERENCE, plots.REFERENCE, plots.FORECAST, plots.REFERENCE]
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()
    assert len(figure.legends[0].get_texts()) == 4
    render(figure)


def test_a_reference_that_is_all_but_exact_does_not_squeeze_the_rest():
    """The axis ends at a tenth of our smallest median, whatever the noise floor; the legend says what lies below."""
    references = {"exact": 1e-5 * (1 + t), "near": 0.5 + 0 * t}
    scores = {"ours": curves(0.1), "noise floor": 1e-7 + 0 * t}
    figure = plots_scores.score_over_lead_time(t, scores, "CRPS", references)
    (ax,) = figure.axes
    np.testing.assert_allclose(ax.get_ylim()[0], 0.01)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["exact\n(1.5e-05, below)", "near", "ours", "noise floor"]
    render(figure)


def test_spread_skill_has_its_aim_and_a_band():
    ratios = {"first": 0.5 + t, "second": np.where(t > 0.5, np.nan, 2.0)}
    figure = plots_scores.spread_skill_over_lead_time(t, ratios)
    (ax,) = figure.axes
    aim, *lines = ax.lines
    assert list(aim.get_ydata()) == [1, 1]
    for line, values in zip(lines, ratios.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (0.8, 1.25)
    render(figure)


def test_spectra_are_logarithmic_and_leave_out_the_mean():
    wavenumber = np.arange(20.0)
    power = {"truth": (1 + wavenumber) ** -2, "forecast": (1 + wavenumber) ** -2.1}
    power["macroscale part"] = np.exp(-3 * wavenumber)
    figure = plots_scores.spectra(wavenumber, power)
    (ax,) = figure.axes
    for line, (label, values) in zip(ax.lines, power.items(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([wavenumber, values], axis=1)[1:])
        assert line.get_label() == label
    assert [line.get_color() for line in ax.lines] == [plots.TRUTH, plots.FORECAST, plots.MACRO]
    assert ax.get_xscale() == ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert low == pytest.approx(1e-10 * high)
    render(figure)


def test_nothing_finite_is_drawn_all_the_same():
    """As of a run that diverged at once."""
    nothing = np.full(len(t), np.nan)
    render(plots_scores.score_over_lead_time(t, {"ours": np.stack([nothing] * 3)}, "CRPS", {"other": nothing}))
    render(plots_scores.spread_skill_over_lead_time(t, {"ours": nothing}))
    render(plots_scores.reliability_diagram(levels, {"ours": np.full(len(levels), np.nan)}))
    render(plots_scores.spectra(t, {"truth": nothing}))
    render(plots_sweep.error_beside_references([0, 1], [np.nan] * 2, [np.nan] * 2, [0.1] * 2, {"other": 0.3}))


def test_single_panels_draw_into_the_axes_they_are_given():
    figure = Figure(layout="constrained")
    axes = figure.subplots(1, 4)
    assert plots_scores.reliability_diagram(levels, {"a": levels}, ax=axes[0]) is figure
    assert plots_scores.score_over_lead_time(t, {"a": 1 + t}, "score", ax=axes[1]) is figure
    assert plots_scores.spread_skill_over_lead_time(t, {"a": 1 + t}, ax=axes[2]) is figure
    assert plots_scores.spectra(t, {"a": 1 + t}, ax=axes[3]) is figure
    assert [len(ax.lines) for ax in axes] == [2, 1, 2, 1]
    assert not figure.legends and all(ax.get_legend() for ax in axes)
    render(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots_scores.reliability_diagram(levels, {}), "`observed`.*got none"),
        (lambda: plots_scores.reliability_diagram(levels, {"a": t}), r"observed\['a'\].*level=9.*\(11,\)"),
        (lambda: plots_scores.score_over_lead_time(t, {}, "CRPS"), "`scores`.*got none"),
        (lambda: plots_scores.score_over_lead_time(t, {"a": levels}, "CRPS"), r"scores\['a'\].*time=11.*\(9,\)"),
        (lambda: plots_scores.score_over_lead_time(t, {"a": curves(1)[:2]}, "CRPS"), r"quantile=3, time=11.*2, 11"),
        (
            lambda: plots_scores.score_over_lead_time(t, {"a": t}, "CRPS", {"b": t[1:]}),
            r"references\['b'\].*\(10,\)",
        ),
        (lambda: plots_scores.spread_skill_over_lead_time(t, {}), "`ratios`.*got none"),
        (lambda: plots_scores.spectra(t, {"truth": levels}), r"power\['truth'\].*wavenumber=11.*\(9,\)"),
    ],
)
def test_unusable_arrays_are_refused(draw, message):
    with pytest.raises(InputError, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
