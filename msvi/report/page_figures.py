"""Figures of a case on a web report: curves over lead time, calibration and spectra of some of its runs."""

import numpy as np

from msvi.report import plots_scores
from msvi.report.tables import Result
from msvi.report.webpage import figure_html
from msvi.report.wording import in_cells, model_name, run_name


def lead_time_figures(title: str, runs: dict[str, Result], baselines: list[Result]) -> list[str]:
    """Relative error and CRPS against lead time as HTML.

    Args:
      title: of the case.
      runs: with these scores, by the name of their model.
      baselines: shown beside them.
    """
    t = np.array(next(iter(runs.values()))["lead_time"]["t"])
    references = {model_name(b["baseline"]): b for b in baselines if "lead_time" in b}
    figures = []
    for score, name in (("rel_l2", "relative L2 error"), ("crps", "CRPS")):
        curves = {label: _curves(r, score, ("q10", "median", "q90"), t) for label, r in runs.items()}
        if score == "rel_l2":
            known = (r for r in runs.values() if "noise_floor" in r["lead_time"])  # not of recorded data
            floors = [_curves(r, "noise_floor", ("median",), t)[0] for r in known]
            curves |= {"noise floor": floors[0]} if floors and floors[0].any() else {}
        lines = {label: _curves(b, score, ("median",), t)[0] for label, b in references.items()}
        figure = plots_scores.score_over_lead_time(t, curves, name, lines)
        caption = f"{name[0].upper()}{name[1:]}: medians over the test trajectories, bands their 10–90 % range."
        figures.append(
            figure_html(figure, f"{title}: {name} against lead time, for {_and([*curves, *lines])}", caption)
        )
    return figures


def calibration_figures(title: str, runs: dict[str, Result]) -> list[str]:
    """Coverage, reliability and the spread-skill ratio as HTML; arguments as above."""
    found = {label: r["calibration"] for label, r in runs.items()}
    first = next(iter(found.values()))
    figures = []
    for levels, values, kind, meaning in (
        (
            "levels",
            "coverage",
            "coverage",
            "Share of observations within central intervals: above the diagonal these are too wide.",
        ),
        ("probabilities", "reliability", "share below quantile", "Share of observations below predictive quantiles."),
    ):
        observed = {label: np.array(c[values], float) for label, c in found.items()}
        figure = plots_scores.reliability_diagram(first[levels], observed, f"nominal {kind}", f"observed {kind}")
        figures.append(
            figure_html(figure, f"{title}: observed against nominal {kind}, for {_and(list(found))}", meaning)
        )
    runs = {label: r["lead_time"] for label, r in runs.items() if "spread_skill" in r.get("lead_time", {})}
    if runs:
        t = next(iter(runs.values()))["t"]
        ratios = {label: np.array(lead["spread_skill"], float) for label, lead in runs.items()}
        figure = plots_scores.spread_skill_over_lead_time(t, ratios)
        caption = "Spread of the ensemble over the error of its mean, all trajectories pooled: below 1 it is too sure."
        figures.append(
            figure_html(figure, f"{title}: spread–skill ratio against lead time, for {_and(list(runs))}", caption)
        )
    return figures


def spectra_figure(title: str, runs: dict[str, Result]) -> str:
    """Power against wavenumber of the first run as HTML; arguments as above."""
    label, spectrum = next((label, r["spectra"]) for label, r in runs.items())
    names = {"truth": "truth", "forecast": "forecast", "macro": "macroscale part"}
    power = {name: np.array(spectrum[key], float) for key, name in names.items() if key in spectrum}
    figure = plots_scores.spectra(np.array(spectrum["wavenumber"]), power)
    caption = (
        f"Power of one member of {label}, of its macroscale part, and of the truth; mean over frames and trajectories."
    )
    return figure_html(figure, f"{title}: power against wavenumber, for {_and(list(power))}", caption)


def shown_runs(results: list[Result], key: str) -> dict[str, Result]:
    """Of the runs with the key those with the largest, smallest and middle micro_dim, and with the largest in cells.

    Of several seeds the first is taken.
    """
    first: dict[tuple[bool, int], Result] = {}
    for r in results:
        if key in r:
            first.setdefault((in_cells(r), r["micro_dim"]), r)
    whole = sorted(place for place in first if not place[0])
    chosen = [whole[-1], whole[0], whole[len(whole) // 2]] if whole else []
    chosen += sorted(place for place in first if place[0])[-1:]
    return {run_name(first[place]): first[place] for place in chosen}


def _curves(result: Result, score: str, lines: tuple[str, ...], t: np.ndarray) -> np.ndarray:
    """Lines of a score at the lead times `t`, `(line, time)`; NaN where there is none."""
    lead = result["lead_time"]
    values = np.array([lead[score][line] for line in lines], float)
    own = np.array(lead["t"])
    return values if np.array_equal(own, t) else np.stack([np.interp(t, own, line) for line in values])


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
