"""The sweep: which runs a grid gives, which commands are refused, and that runs side by side end as they should.

The processes of most tests are stubs that only write a result; one test trains and evaluates for real.
"""

import dataclasses
import json
import os
import shutil
import signal
import sys

import pytest
from made_results import make_result
from smoke import CONFIG_FILE, DRIVER, ROOT, change, run_python

from msvi.config import Config, from_dict, to_dict
from msvi.errors import InputError
from msvi.sweep import execute as sweep
from msvi.sweep import grid

pytest_plugins = ["smoke"]

SWEEP = [str(ROOT / "msvi" / "__main__.py"), "sweep", f"--config={CONFIG_FILE}:smoke"]
READ_GRID = """
import json
from msvi.cli import entry
from msvi.cli.sweep import define_flags, read_flags
from msvi.sweep import grid
from msvi.config import to_dict

entry.define_config_flag()
define_flags()
entry.run(lambda: print(json.dumps([to_dict(c) for c in entry.read_grid(grid.expand(read_flags().set))])))
"""

# Name: the arguments of the command, and what its one line must mention.
REFUSED = {
    "nothing to vary": ([], ["--set field=v1,v2"]),
    "no values": (["--set", "seed"], ["--set", "'seed'"]),
    "empty list": (["--set", "seed="], ["--set", "'seed='"]),
    "empty value": (["--set", "seed=0,,1"], ["--set", "'seed=0,,1'"]),
    "no field": (["--set", "=0,1"], ["--set", "'=0,1'"]),
    "field twice": (["--set", "seed=0", "--set", "seed=1"], ["`seed` twice"]),
    "value twice": (["--set", "seed=0,1,0"], ["seed=0 twice"]),
    "value twice, written differently": (["--set", "train.learning_rate=1e-3,0.001"], ["learning_rate=0.001 twice"]),
    "field also an override": (["--set", "seed=0,1", "--config.seed=3"], ["`seed`", "--set", "--config.seed"]),
    "misspelt field": (["--set", "model.micro_dmi=0,1"], ["micro_dmi", "did you mean `config.model.micro_dim`"]),
    "field without its group": (["--set", "micro_dim=0,1"], ["did you mean `model.micro_dim`"]),
    "misspelt group": (["--set", "modle.micro_dim=0,1"], ["modle", "did you mean `config.model.micro_dim`"]),
    "field of a field": (["--set", "model.micro_dim.x=0,1"], ["model.micro_dim.x"]),
    "group": (["--set", "model=1"], ["config.model"]),
    "words for a number": (["--set", "model.micro_dim=0,many"], ["model.micro_dim", "many"]),
    "words for a tuple": (["--set", "model.macro_hidden=16;a,b"], ["model.macro_hidden", "a,b"]),
    "value out of range": (["--set", "seed=0", "--set", "model.micro_dim=0,-2"], ["model.micro_dim", "-2"]),
    "no such task": (["--set", "seed=0,1", "--task=2"], ["--task", "2 points", "got 2"]),
    "no workers": (["--set", "seed=0,1", "--workers=0"], ["--workers", "0"]),
    "one stage": (["--set", "seed=0,1", "--staged"], ["--staged", "model.micro_dim"]),
    "staged field of what is not": (["--set", "seed=0,1", "--staged_steps=5"], ["--staged_steps", "add --staged"]),
    "staged field out of range": (
        ["--set", "model.micro_dim=0,1", "--staged", "--staged_steps=-1"],
        ["train.steps", "got -1"],
    ),
    "stage before its predecessor": (
        ["--set", "model.micro_dim=0,1", "--staged", "--task=1"],
        ["runs/burgers_1d_d1_s0_staged", "runs/burgers_1d_d0_s0", "task 0 first"],
    ),
    "folder of something else": (["--set", "seed=0,1", "--root=taken"], ["taken/burgers_1d_d2_s1", "other files"]),
}
ACCEPTED = {
    "grid": ["read.py", SWEEP[2], "--set", "model.macro_hidden=8;16,16", "--set=train.learning_rate=1,1e-3"]
    + ["--config.model.micro_clock=true"],
    "dry run": [*SWEEP, "--dry_run", "--set", "model.macro_hidden=8;16,16", "--results=else where"],
}


@pytest.fixture(scope="module")
def commands(environment, tmp_path_factory):
    """By name of the command: exit status, what was printed, what was said on stderr, files left in its folder."""
    base = tmp_path_factory.mktemp("sweeps")
    (base / "read.py").write_text(READ_GRID)
    cases = {name: [*SWEEP, *arguments] for name, (arguments, _) in REFUSED.items()} | ACCEPTED
    cases["grid"] = [str(base / "read.py"), *cases["grid"][1:]]
    taken = {"taken/burgers_1d_d2_s1/thesis.tex": "years of work"}
    files = [taken if name == "folder of something else" else {} for name in cases]
    (base / "cases.json").write_text(json.dumps(list(zip(cases.values(), files, strict=True))))
    process = run_python("-c", DRIVER, "cases.json", environment=environment | {"XLA_FLAGS": "--a"}, cwd=base)
    assert process.returncode == 0, process.stderr
    return dict(zip(cases, json.loads(process.stdout), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(commands, name):
    """Status 2, one line on stderr that names what is wrong, and nothing started or written."""
    code, out, err, left = commands[name]
    assert code == 2, err
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err and len(err) < 700, err
    for part in REFUSED[name][1]:
        assert part in err
    assert out == "" and left == (["taken/burgers_1d_d2_s1/thesis.tex"] if name == "folder of something else" else [])


def test_values_become_what_the_fields_hold(commands):
    """Text becomes tuples and fractions as on the command line; other overrides reach every point."""
    code, out, err, _ = commands["grid"]
    assert (code, err) == (0, "")
    values = [(c["model"]["macro_hidden"], c["train"]["learning_rate"]) for c in json.loads(out)]
    assert values == [([8], 1.0), ([8], 0.001), ([16, 16], 1.0), ([16, 16], 0.001)]
    assert all(c["model"]["micro_clock"] is True and c["model"]["micro_hidden"] == [16] for c in json.loads(out))


def test_dry_run(commands):
    """A line for each run that a shell can start, on one thread, and nothing done."""
    code, out, err, left = commands["dry run"]
    assert (code, err, left) == (0, "", [])
    lines = out.splitlines()
    assert len(lines) == 2
    for number, line in enumerate(lines):
        assert line.startswith("env 'XLA_FLAGS=--a --xla_cpu_multi_thread_eigen=false' NPROC=1 OMP_NUM_THREADS=1 ")
        assert line.endswith(
            f"-m msvi sweep {SWEEP[2]} --set 'model.macro_hidden=8;16,16' '--results=else where' --task={number}"
        )


def test_grid_is_the_product():
    """The last field runs fastest; `;` separates values where they hold commas."""
    assert grid.expand(["seed=0, 1", "model.macro_hidden=8,8;16"]) == [
        {"seed": "0", "model.macro_hidden": "8,8"},
        {"seed": "0", "model.macro_hidden": "16"},
        {"seed": "1", "model.macro_hidden": "8,8"},
        {"seed": "1", "model.macro_hidden": "16"},
    ]


def make_configs(*micro_dims, **values):
    return [dataclasses.replace(change(Config(), "model", micro_dim=dim), **values) for dim in micro_dims]


def test_names():
    """The default names where micro_dim and seed tell the runs apart; else more, and a results folder of their own."""
    names, (config,) = ["seed", "model.micro_dim"], make_configs(3, seed=1)
    (run,) = grid.plan(names, [config], "runs", "results")
    assert run.fields == {"seed": 1, "model.micro_dim": 3}
    assert (run.workdir, run.results_dir, run.variant) == ("runs/burgers_1d_d3_s1", "results", "")
    config = change(change(config, "train", learning_rate=1e-3), "model", macro_hidden=(64, 8))
    (run,) = grid.plan(["train.learning_rate", "model.macro_hidden"], [config], "a/b", "c")
    assert run.variant == "train.learning_rate=0.001_model.macro_hidden=64x8"
    assert (run.workdir, run.results_dir) == (f"a/b/burgers_1d_d3_s1_{run.variant}", f"c/sweeps/{run.variant}")
    config = change(config, "data", cache_dir="/scratch/a b")
    assert grid.plan(["data.cache_dir"], [config], "", "")[0].workdir == "burgers_1d_d3_s1_data.cache_dir=-scratch-a-b"


def test_runs_that_would_share_a_folder():
    """Values whose names are alike are refused."""
    configs = [change(Config(), "data", cache_dir=folder) for folder in ("a/b", "a-b")]
    with pytest.raises(InputError, match="data.cache_dir=a-b twice"):
        grid.plan(["data.cache_dir"], configs, "", "")


@pytest.fixture
def chains():
    """Two seeds, each a chain of micro_dim 0, 1 and 4 given in another order."""
    configs = [c for dim in (4, 0, 1) for seed in (0, 1) for c in make_configs(dim, seed=seed)]
    runs = grid.plan(["model.micro_dim", "seed"], configs, "runs", "results")
    return grid.stage(runs, "runs", "results", learning_rate=5e-4, steps=None)


def test_stages(chains):
    """Each run but the smallest starts from the next smaller one with its seed; only these have other fields."""
    assert [run.previous for run in chains] == [4, 5, None, None, 2, 3]
    assert [run.workdir for run in chains[::2]] == [
        "runs/burgers_1d_d4_s0_staged",
        "runs/burgers_1d_d0_s0",
        "runs/burgers_1d_d1_s0_staged",
    ]
    assert [run.results_dir for run in chains[::2]] == ["results/sweeps/staged", "results", "results/sweeps/staged"]
    assert {run.variant for run in chains} == {"staged"}
    for run, dim in zip(chains[::2], (4, 0, 1), strict=True):
        source = {4: "runs/burgers_1d_d1_s0_staged", 0: "", 1: "runs/burgers_1d_d0_s0"}[dim]
        (plain,) = make_configs(dim)
        assert run.config == (change(plain, "train", warm_start=source, learning_rate=5e-4) if dim else plain)


def place(runs, folder):
    """`runs` with their workdirs in `folder`."""
    return [run._replace(workdir=str(folder / os.path.basename(run.workdir))) for run in runs]


def write_result(run, **changes):
    """The result of a finished run."""
    result = make_result(
        micro_dim=run.config.model.micro_dim,
        seed=run.config.seed,
        steps=run.config.train.steps,
        config=to_dict(run.config),
    )
    os.makedirs(run.workdir)
    with open(os.path.join(run.workdir, "result.json"), "w") as file:
        json.dump(result | changes, file)


def stub(run, code=""):
    """A command that runs `code` and writes the run's result."""
    result = make_result(steps=run.config.train.steps, config=to_dict(run.config))
    path = os.path.join(run.workdir, "result.json")
    write = f"os.makedirs({run.workdir!r}); json.dump({result!r}, open({path!r}, 'w'))"
    return [sys.executable, "-c", f"import json, os, signal, sys, time\n{code}\n{write}"]


@pytest.fixture
def runs(tmp_path):
    """Three runs with micro_dim 0, 1 and 2."""
    return place(grid.plan(["model.micro_dim"], make_configs(0, 1, 2), "runs", "results"), tmp_path)


def test_what_is_finished(runs):
    """A result of the same configuration and as many steps; where the data are kept does not matter."""
    run, other = runs[:2]
    assert grid.finished_result(run) is None
    write_result(run)
    assert grid.finished_result(run)["steps"] == run.config.train.steps
    for group, values, finished in (
        ("train", {"steps": run.config.train.steps - 1}, True),
        ("train", {"steps": run.config.train.steps + 1}, False),
        ("train", {"learning_rate": 1.0}, False),
        ("data", {"cache_dir": "elsewhere"}, True),
    ):
        assert bool(grid.finished_result(run._replace(config=change(run.config, group, **values)))) == finished, values
    write_result(other, steps=None)
    assert grid.finished_result(other) is None
    for text in ("", "[]", '{"steps": 30000}', '{"steps": 30000, "config": {"case": "burgers_1d"}}'):
        with open(os.path.join(other.workdir, "result.json"), "w") as file:
            file.write(text)
        assert grid.finished_result(other) is None, text


def test_a_failing_run_stops_no_other(runs, capsys):
    """What is finished is not started again; a failure is told with the last line of its output."""
    write_result(runs[1])
    fail = "print('deep in a traceback'); print('error: no more disk', file=sys.stderr); sys.exit('a note')"
    commands = [stub(runs[0], fail), stub(runs[1], "sys.exit('started again')"), stub(runs[2])]
    assert sweep.execute(runs, commands, workers=1) == [0]
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "3 runs, 1 of them finished already, 1 side by side"
    log = f"{runs[0].workdir}.log"
    assert lines[0] == f"{runs[0].workdir}: started, output in {log}"
    assert lines[1].startswith(f"{runs[0].workdir}: failed after ") and lines[1].endswith(
        f" s, see {log}: error: no more disk"
    )
    assert lines[2].startswith(f"{runs[2].workdir}: started") and len(lines) == 4
    assert lines[3].startswith(f"{runs[2].workdir}: finished after ") and lines[3].endswith("NRMSE median 0.0287")
    assert sweep.execute(runs, [commands[1]] * 3, workers=1) == [0]
    assert capsys.readouterr().out.splitlines()[2].endswith(": started again")
    with open(log) as file:
        assert file.read() == "deep in a traceback\nerror: no more disk\na note\nstarted again\n"


def test_a_command_that_leaves_no_result_failed(runs, capsys):
    """A run whose process ends well without the result that was asked for is told as failed, and so is a silent end."""
    commands = [[sys.executable, "-c", "print('all is well')"], [sys.executable, "-c", "import os; os._exit(1)"]]
    assert sweep.execute(runs[:2], commands, workers=1) == [0, 1]
    _, _, first, _, second = capsys.readouterr().out.splitlines()
    assert first.endswith(": it left no result of this configuration") and second.endswith(": no output")


def test_side_by_side_on_one_core_each(runs, tmp_path, monkeypatch, capsys):
    """Two runs wait for each other, each on one thread and, where all cores are taken, on a core of its own."""
    monkeypatch.setattr(sweep, "usable_cores", lambda: [0, os.cpu_count() - 1])
    meet = """
open({mine!r}, "w").close()
while not os.path.exists({other!r}): time.sleep(0.01)
print(os.environ["XLA_FLAGS"], os.environ["NPROC"], *getattr(os, "sched_getaffinity", lambda pid: [])(0))
"""
    paths = [str(tmp_path / name) for name in ("first", "second")]
    commands = [
        stub(run, meet.format(mine=mine, other=other))
        for run, mine, other in zip(runs, paths, paths[::-1], strict=False)
    ]
    monkeypatch.setenv("XLA_FLAGS", "--a")
    assert sweep.execute(runs[:2], commands, workers=2) == []
    for run, core in zip(runs[:2], sweep.usable_cores(), strict=True):
        with open(f"{run.workdir}.log") as file:
            expected = ["--a", "--xla_cpu_multi_thread_eigen=false", "1"]
            assert file.read().split() == expected + [str(core)] * hasattr(os, "sched_setaffinity")


def test_chains_run_in_order(chains, tmp_path, capsys):
    """Each run waits for its predecessor; where that fails, the rest of the chain, and only that, is not started."""
    runs = place(chains, tmp_path)
    check = "assert not {before!r} or os.path.exists({before!r} + '/result.json')"
    commands = [
        stub(run, "sys.exit(1)" if n == 5 else check.format(before=runs[run.previous].workdir if run.previous else ""))
        for n, run in enumerate(runs)
    ]
    # Runs 2, 4, 0 are the chain of seed 0; runs 3, 5, 1 that of seed 1, where 5 fails.
    assert sweep.execute(runs, commands, workers=2) == [1, 5]
    lines = capsys.readouterr().out.splitlines()
    assert f"{runs[1].workdir}: not started, since {runs[5].workdir} failed" in lines
    starts = [line.partition(":")[0] for line in lines if ": started" in line]
    assert [run for run in starts if "_s0" in run] == [runs[n].workdir for n in (2, 4, 0)]
    assert [run for run in starts if "_s1" in run] == [runs[n].workdir for n in (3, 5)]


def test_lines_of_a_chain_are_joined(chains, tmp_path):
    """What is left of a chain is one shell line, so that all lines may run side by side."""
    runs = place(chains, tmp_path)
    write_result(runs[2])
    first, second = sweep.command_lines(runs, [["run", str(n)] for n in range(6)])
    assert [part.split()[-1] for part in first.split(" && ")] == ["4", "0"]
    assert [part.split()[-1] for part in second.split(" && ")] == ["3", "5", "1"]


def test_interrupt_leaves_no_process(runs, tmp_path, monkeypatch):
    """Ctrl-C, or SIGTERM as `main` has it, ends the runs too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tell = f"print(os.getpid(), file=open({str(tmp_path / 'pid')!r}, 'w'), flush=True)"
        command = stub(runs[0], f"{tell}\nos.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(600)")
        with pytest.raises(KeyboardInterrupt):
            sweep.execute(runs[:1], [command], workers=1)
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert grid.finished_result(runs[0]) is None


def test_figures(runs, tmp_path):
    """One for each variant that has results of two or more micro_dim."""
    assert sweep.draw(runs, str(tmp_path)) == []
    wide = [run._replace(variant="a=1", workdir=f"{run.workdir}_a=1") for run in runs[:2]]
    for run in (*runs[:2], *wide):
        write_result(run)
    paths = [str(tmp_path / name) for name in ("sweep_burgers_1d.png", "sweep_burgers_1d_a=1.png")]
    assert sweep.draw([*runs, *wide], str(tmp_path)) == paths
    assert all(os.path.getsize(path) > 1000 for path in paths)


@pytest.mark.slow
def test_sweep(evaluated, smoke_config, environment, tmp_path):
    """A real run beside a finished one and one that cannot start; then nothing is left to do."""
    root, results = tmp_path / "runs", tmp_path / "results"
    finished, fresh, broken = (root / f"burgers_1d_d2_s{seed}" for seed in (0, 1, 2))
    shutil.copytree(evaluated.path, finished)
    (broken / "history.jsonl").mkdir(parents=True)  # a folder where a file must go
    (broken / "config.json").write_text(json.dumps(to_dict(dataclasses.replace(smoke_config, seed=2))))
    command = ["-m", "msvi", "sweep", SWEEP[2], f"--config.data.cache_dir={smoke_config.data.cache_dir}"]
    command += [f"--root={root}", f"--results={results}", "--workers=1"]
    process = run_python(*command, "--set", "seed=0,1,2", environment=environment, cwd=ROOT)
    assert (process.returncode, process.stderr) == (1, f"1 of 3 runs failed: {broken}\n"), process.stdout
    lines = process.stdout.splitlines()
    assert lines[0] == "3 runs, 1 of them finished already, 1 side by side"
    assert lines[2].startswith(f"{fresh}: finished after") and lines[4].startswith(f"{broken}: failed after")
    assert "history.jsonl" in lines[4]
    head, *rows = (line.split() for line in lines[5:])
    assert head[:3] == ["seed", "steps", "minutes"] and rows[2] == ["2", "not", "finished"]
    for seed, folder in enumerate((finished, fresh)):
        result = json.loads((folder / "result.json").read_text())
        assert from_dict(result["config"]) == dataclasses.replace(smoke_config, seed=seed)
        assert rows[seed][:2] == [str(seed), "40"]
        assert rows[seed][3] == f"{result['test']['nrmse']['median']:.4f}"
    assert json.loads((results / "burgers_1d" / "d2_s1.json").read_text()) == result
    log = (root / "burgers_1d_d2_s1.log").read_text()
    assert "step     40/40" in log and "seed 1, checkpoint of step" in log
    process = run_python(*command, "--set", "seed=0,1", environment=environment, cwd=ROOT)
    assert (process.returncode, process.stderr) == (0, "")
    first, *table = process.stdout.splitlines()
    assert first == "2 runs, 2 of them finished already, 1 side by side"
    assert [line.split() for line in table] == [head, *rows[:2]]
