"""The benchmark command: every part still runs, and what it measures ends up in the table and the file.

Compiling all parts takes longer than everything else here, so they are only traced; the timer is tested by itself.
"""

import json

import jax
import pytest
from absl.testing import flagsaver
from smoke import ROOT, change, command_module

from benchmarks import timing

pytest_plugins = ["smoke"]

PARTS = {
    "whole step in the loop",
    "cut frames",
    "encoder and gradient",
    "decoder and gradient",
    "drift and gradient",
    "posterior and gradient",
    "bound and gradient",
    "Adam",
}


@pytest.fixture(scope="module")
def benchmarks():
    """The command as a module."""
    with command_module(ROOT / "benchmarks" / "__main__.py", "output", "repeats") as module:
        yield module


def test_timer(monkeypatch):
    """One call apart from the others, then minimum, median and maximum of those, by a clock that counts its looks."""
    ticks = iter([0, 100, 100, 103, 103, 104, 104, 106])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    calls = []
    times = timing.time_function(lambda *arguments: calls.append(arguments), 1, 2, repeats=3)
    assert times == {"compile_s": 100, "min_s": 1, "median_s": 2, "max_s": 3}
    assert calls == [(1, 2)] * 4


@pytest.fixture
def in_folder(benchmarks, smoke_config, monkeypatch, tmp_path):
    """The command reads the smoke configuration and runs in an empty folder."""
    monkeypatch.setattr(benchmarks.entry, "read_config", lambda: smoke_config)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_command(benchmarks, smoke_config, in_folder, programs, monkeypatch, capsys):
    """All parts of the recipe's step, of the dense step and of a forecast are measured, printed and written."""
    times = {"compile_s": 9.0, "min_s": 0.25, "median_s": 0.5, "max_s": 1.0}
    traced = []

    def trace(function, *arguments, repeats):
        assert repeats == benchmarks.REPEATS.value
        traced.append(jax.eval_shape(function, *arguments))
        return times

    for module in (benchmarks, timing):
        monkeypatch.setattr(module, "time_function", trace)
    with flagsaver.flagsaver((benchmarks.OUTPUT, "out/benchmark.json")):
        benchmarks.main()
    printed = capsys.readouterr().out
    assert printed.endswith("out/benchmark.json\n")
    result = json.loads((in_folder / "out" / "benchmark.json").read_text())
    assert (result["case"], result["micro_dim"]) == ("burgers_1d", 2)
    assert result["peak_memory_gib"] > 0 and result["processors"] >= 1 and "jax" in result["versions"]
    assert result["reference_matmul_2048"] == times
    for group in ("step_recipe", "step_dense_window"):
        assert result[group].keys() == PARTS
        # Seconds a step, of a loop of `log_every` steps.
        assert result[group]["whole step in the loop"]["median_s"] == 0.5 / smoke_config.train.log_every
        assert result[group]["bound and gradient"] == times
    assert list(result["forecast"].values()) == [times] * 2
    assert len(traced) == 1 + 2 * len(PARTS) + 2
    rows = [line.split() for line in printed.splitlines()]
    assert sum(row[-4:] == ["500.00", "250.00", "1000.00", "9000"] for row in rows) == 1 + 2 * (len(PARTS) - 1) + 2


def test_nothing_is_written_unasked(benchmarks, smoke_config, in_folder, monkeypatch, capsys):
    """Without --output only the table comes out; the dense step is the published batch, and no other field differs."""
    configs = []
    monkeypatch.setattr(benchmarks, "measure_matmul", lambda: dict.fromkeys(("min_s", "median_s", "max_s"), 1.0))
    monkeypatch.setattr(benchmarks, "measure_step", lambda config, dataset: configs.append(config) or {})
    monkeypatch.setattr(benchmarks, "measure_forecast", lambda config, dataset: {})
    monkeypatch.setattr(benchmarks, "format_result", lambda result: "table")
    benchmarks.main()
    assert capsys.readouterr().out == "table\n"
    assert not any(in_folder.iterdir())
    window = smoke_config.inference.window
    dense = change(smoke_config, "inference", num_nodes=window, num_scored=window)
    assert configs == [smoke_config, change(dense, "train", batch_windows=1)]
