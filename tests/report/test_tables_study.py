"""Tables of the whole study, from made results: both versions of the paper, bars, seeds, ranges, the published code."""

import json

import pytest
from made_results import make_baseline, make_result, summary

from msvi.report.tables_study import (
    bars_table,
    published_code_table,
    range_table,
    rel_l2_table,
    scaling_table,
    seeds_table,
    study_cost_table,
)


def named(table):
    """Rows as dictionaries; of columns with the same name the last."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def with_errors(**changes):
    """A result whose relative L2 error is known too."""
    result = make_result(**changes)
    result["test"]["rel_l2"] = summary(0.04, 0.03, 0.01, 0.03, 0.05)
    return result


def test_later_version_stands_below_ours():
    """Means over seeds, in the columns of their micro_dim; the number of trajectories of each and our noise floor."""
    other = with_errors(case="kdv_1d", seed=1)
    other["test"]["rel_l2"]["mean"] = 0.06
    ours, theirs = named(rel_l2_table([with_errors(case="kdv_1d"), other, with_errors(case="own_case")]))
    assert (ours["case"], ours["rel. L2, mean"], ours["trajectories"]) == ("kdv_1d", "ours", "2")
    assert (ours["micro_dim 5"], ours["micro_dim 0"], ours["noise floor"]) == ("0.0500", "—", "0.0110")
    assert (theirs["rel. L2, mean"], theirs["trajectories"], theirs["micro_dim 5"]) == ("published", "5", "0.042")
    assert theirs["micro_dim 0"] == "0.324"


def test_its_split_stands_apart():
    """Runs with its numbers of trajectories have a row between ours and its."""
    alike = with_errors(case="kdv_1d", data={"train": 10, "val": 5, "test": 5})
    alike["test"]["rel_l2"] = summary(0.04, 0.03, 0.01, 0.02, 0.03, 0.03, 0.05, 0.07)
    _, split, theirs = named(rel_l2_table([with_errors(case="kdv_1d"), with_errors(case="wave_1d")], [alike]))[:3]
    assert (split["rel. L2, mean"], split["trajectories"]) == ("ours, 10 / 5 / 5 trajectories", "5")
    assert (split["micro_dim 5"], split["micro_dim 0"], theirs["rel. L2, mean"]) == ("0.0400", "—", "published")


def test_cells_stand_apart():
    """Latents in every cell are other numbers of them, in a row below those of the domain."""
    local = with_errors(case="kdv_1d", micro_dim=2, micro_layout="cells")
    ours, cells, theirs = named(rel_l2_table([with_errors(case="kdv_1d")], cells=[local]))
    assert (ours["micro_dim 5"], ours["micro_dim 2"]) == ("0.0400", "—")
    assert (cells["rel. L2, mean"], cells["micro_dim 2"], cells["micro_dim 5"]) == ("ours, in cells", "0.0400", "—")
    assert theirs["rel. L2, mean"] == "published"


def test_what_the_paper_scores_is_compared():
    """Where it scores part of the time, so do we in this table, and the name says so."""
    result = with_errors(case="wave_1d")
    result["published_test"] = result["test"] | {"rel_l2": summary(0.01, 0.01, 0.0, 0.01)}
    ours, theirs = named(rel_l2_table([result]))
    assert ours["case"] == theirs["case"] == "wave_1d, to t = 0.2"
    assert (ours["micro_dim 5"], ours["trajectories"]) == ("0.0100", "1")


def test_bars_are_met_or_not():
    """By the mean over the seeds of the score that each is of; nothing is said of a case without results."""
    seeds = [make_result(seed=seed) for seed in range(3)]
    for result, median in zip(seeds, (0.004, 0.005, 0.008), strict=True):
        result["test"]["nrmse_clean"] = summary(0.01, median, 0.0, median)
    rows = {row["case"]: row for row in named(bars_table(seeds))}
    row = rows["burgers_1d"]
    assert (row["seeds"], row["mean"], row["bar"], row["met"]) == ("0.0040 / 0.0050 / 0.0080", "0.0057", "0.006", "yes")
    assert row["worst seed over median"] == "1.60"
    assert (rows["kdv_1d"]["mean"], rows["kdv_1d"]["met"]) == ("—", "—")
    seeds[0]["test"]["nrmse_clean"] = summary(None, None, None, None)
    row = named(bars_table(seeds))[0]
    assert (row["mean"], row["met"], row["worst seed over median"]) == ("diverged", "no", "—")


def test_seeds_that_are_far_off_are_told():
    """The worst over the median one; a single seed tells nothing and has no row."""
    seeds = [make_result(seed=seed) for seed in range(3)] + [make_result(micro_dim=2)]
    for result, median in zip(seeds, (0.01, 0.012, 0.02), strict=False):
        result["test"]["nrmse"] = summary(median, median, 0.0, median)
    (row,) = named(seeds_table(seeds))
    assert (row["seeds"], row["worst seed over median"], row["both within 1.5"]) == ("3", "1.67", "no")
    assert (row["error"], row["its worst over median"]) == ("against truth, median", "1.00")
    for result in seeds[:3]:
        result["test"]["nrmse"] = seeds[0]["test"]["nrmse"]
    assert named(seeds_table(seeds))[0]["both within 1.5"] == "yes"
    seeds[1]["test"]["nrmse_clean"] = summary(0.1, 0.1, 0.0, 0.1)
    (row,) = named(seeds_table(seeds))
    assert (row["of each seed"], row["its worst over median"]) == ("0.0266 / 0.1000 / 0.0266", "3.76")
    assert row["both within 1.5"] == "no"
    seeds[1]["test"]["nrmse_clean"] = summary(None, None, None, None)
    assert named(seeds_table(seeds))[0]["its worst over median"] == "diverged"
    (row,) = named(seeds_table([make_result(case="other"), make_result(case="other", seed=1)]))
    assert (row["error"], row["both within 1.5"]) == ("—", "yes")


def test_spread_with_the_factors_and_without():
    """Of five latents for the domain and of all in cells; what misses the bars with the factors is named."""
    runs = []
    for seed, pooled in enumerate((0.7, 0.8)):
        told = {"spread_skill": pooled, "coverage_90": 0.96, "probabilities": [0.5], "reliability": [0.6]}
        runs.append(make_result(seed=seed, calibration=told))
        runs[-1]["test"] |= {"crps": summary(0.002, 9.0, 9.0), "spread_skill": summary(9.0, 1.0, 9.0)}
        bound = {"crps": summary(0.003, 9.0, 9.0), "spread_skill": summary(9.0, 2.0, 9.0)}
        runs[-1]["bound_dispersion"] = bound | {"calibration": {"spread_skill": 1.5, "coverage_90": 0.99}}
    table = scaling_table([*runs, runs[0] | {"micro_dim": 4}, make_result(case="kdv_1d")])
    (row,) = table.rows
    assert row[:8] == ["burgers_1d", "5", "1.00", "2.00", "0.75", "1.50", "96.0 %", "99.0 %"]
    assert row[8:] == ["0.00200", "0.00300", "10.0 %", "pooled, coverage"]
    runs[0]["calibration"] |= {"spread_skill": 0.9, "coverage_90": 0.9}
    runs[1]["calibration"] |= {"spread_skill": 0.9, "coverage_90": 0.9}
    local = runs[1] | {"micro_layout": "cells", "micro_dim": 1}
    assert [row[-1] for row in scaling_table([*runs, local]).rows] == ["none", "none"]
    local["test"] = local["test"] | {"spread_skill": summary(None, None, None)}
    assert scaling_table([local]).rows[0][-1] == "median"


def test_trajectories_inside_the_range_are_told_from_those_outside():
    """Of both test sets together, medians of each seed, and their number."""
    result = make_result(test_inside=[True, False], second_test_inside=[False, True])
    result["test"]["nrmse_clean"] = summary(0.02, 0.02, 0.0, 0.01, 0.03)
    result["second_test"] = {"nrmse_clean": summary(0.04, 0.04, 0.0, 0.05, 0.02)}
    table = range_table([result, make_result(case="kdv_1d")])
    assert table.columns[2:6] == ["inside", "of", "outside", "of"]
    (row,) = table.rows
    assert row[2:] == ["0.0150", "2", "0.0400", "2", "0.0400", "2", "0.0200", "0.0500", "0.0300"]


def test_published_code_stands_beside_our_variant_and_recipe(tmp_path):
    """Each with its own steps and number of runs; statistics are computed from its errors."""
    (tmp_path / "published_code").mkdir()
    code = {"micro_dim": 5, "nrmse": [0.1, 0.3], "nrmse_clean": [0.1, 0.2], "reconstruction_nrmse": [0.02, 0.04]}
    code["error_by_step"] = {"1000": 0.5, "32000": 0.2}
    (tmp_path / "published_code" / "burgers_1d.json").write_text(json.dumps(code))
    assert [row["model"] for row in named(published_code_table(str(tmp_path), []))] == ["published code, our data"]
    variant = tmp_path / "published" / "burgers_1d"
    variant.mkdir(parents=True)
    (variant / "d5_s0.json").write_text(json.dumps(make_result(steps=32000)))
    first, second, third = named(published_code_table(str(tmp_path), [make_result(), make_result(seed=1)]))
    assert (first["steps"], first["NRMSE median"], first["worst"]) == ("32,000", "0.2000", "0.3000")
    assert first["against truth"] == pytest.approx("0.1500") and first["reconstruction"] == "0.0300"
    assert (second["model"], second["runs"], second["steps"]) == ("our variant `:published`", "1", "32,000")
    assert (third["model"], third["runs"], third["NRMSE median"]) == ("our recipe", "2", "0.0287")


def test_the_study_is_summed_up_in_hours():
    """By case and device and altogether on each; baselines of a case without runs are no part of it."""
    runs = [make_result(train_seconds=1800.0, evaluate_seconds=720.0, seed=seed) for seed in range(2)]
    runs.append(make_result(case="kdv_1d", train_seconds=3600.0))
    runs.append(make_result(train_seconds=360.0, seed=2, versions={"device": "fast card"}))
    baselines = [make_baseline(evaluate_seconds=360.0), make_baseline(case="wave_1d", evaluate_seconds=3600.0)]
    table = study_cost_table(runs, baselines)
    assert table.rows == [
        ["burgers_1d", "CPU", "2", "1.0", "0.4", "0", "0.0", "1.4"],
        ["burgers_1d", "fast card", "1", "0.1", "0.0", "0", "0.0", "0.1"],
        ["kdv_1d", "CPU", "1", "1.0", "0.0", "1", "0.1", "1.1"],
        ["all", "CPU", "3", "2.0", "0.4", "1", "0.1", "2.5"],
        ["all", "fast card", "1", "0.1", "0.0", "0", "0.0", "0.1"],
    ]
