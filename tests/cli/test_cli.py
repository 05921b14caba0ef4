"""The two commands as a user types them: what works exits with 0, what cannot work with 2 and one line."""

import json
import textwrap

import pytest
from smoke import CONFIG_FILE, ROOT, assert_refused, run_commands

from msvi.evaluation.text import format_table

pytest_plugins = ["smoke"]

TRAIN, EVALUATE, BENCHMARK = (str(ROOT / name) for name in ("train.py", "evaluate.py", "benchmarks/__main__.py"))
SMOKE = ["--config=SMOKE", "--config.data.cache_dir=CACHE"]
RUN = ["--workdir=RUN"]

# Name: the arguments after `train.py --config=... --workdir=new`, and what the one line must mention.
BAD_OVERRIDES = {
    "misspelt field": (["--config.model.micro_dmi=3"], ["micro_dmi", "micro_dim"]),
    "misspelt group": (["--config.modle.micro_dim=3"], ["modle", "model"]),
    "field of a field": (["--config.model.micro_dim.x=3"], ["--config.model.micro_dim.x"]),
    "group": (["--config.model=3"], ["config.model"]),
    "words for a number": (["--config.model.micro_dim=abc"], ["--config.model.micro_dim", "abc"]),
    "fraction for a whole number": (["--config.model.micro_dim=2.5"], ["--config.model.micro_dim", "2.5"]),
    "exponent for a whole number": (["--config.train.steps=1e3"], ["--config.train.steps", "1e3"]),
    "nothing for a number": (["--config.model.micro_dim="], ["--config.model.micro_dim"]),
    "words for a fraction": (["--config.train.learning_rate=fast"], ["--config.train.learning_rate", "fast"]),
    "words for yes or no": (["--config.model.micro_clock=maybe"], ["micro_clock", "maybe"]),
    "words for a tuple": (["--config.model.macro_hidden=a,b"], ["config.model.macro_hidden", "a,b"]),
    "fractions for a tuple": (["--config.model.macro_hidden=16.5"], ["config.model.macro_hidden", "16.5"]),
    "no value": (["--config.model.micro_dim"], ["--config.model.micro_dim"]),
    "below the range": (["--config.model.micro_dim=-2"], ["model.micro_dim", "-2"]),
    "not a number": (["--config.train.learning_rate=nan"], ["train.learning_rate", "nan"]),
    "endless time": (["--config.data.equation.t1=inf"], ["t1", "inf"]),
    "negative deviation": (["--config.data.equation.width_std=-1"], ["width_std", "-1"]),
    "seed too long": (["--config.seed=99999999999999999999"], ["seed", "99999999999999999999"]),
    "unknown case": (["--config.case=burgers"], ["case", "burgers_1d, kdv_1d", "'burgers'"]),
    "another case": (["--config.case=kdv_1d"], ["config.data.equation", "viscosity", "dispersion"]),
    "field of another case": (["--config.data.equation.dispersion=1"], ["dispersion"]),
    "mesh that does not fit": (["--config.model.coarsening=7"], ["model.coarsening", "100", "7"]),
    "window longer than the data": (["--config.inference.window=66"], ["inference.window", "66", "65 frames"]),
    "more nodes than frames": (["--config.inference.num_nodes=17"], ["inference.num_nodes", "17", "16"]),
    "data cache that is a file": (["--config.data.cache_dir=FILE"], ["FILE"]),
    "stray argument": (["10000"], ["10000"]),
    "unknown flag": (["--worker=3"], ["worker"]),
    "workdir that is a file": (["--workdir=FILE"], ["FILE"]),
    "workdir below a file": (["--workdir=FILE/run"], ["FILE"]),
    "workdir of something else": (["--workdir=FOLDER"], ["FOLDER", "other files"]),
    "workdir of another run": ([*RUN, "--config.seed=1"], ["RUN", "seed: 0 -> 1"]),
}
BAD_COMMANDS = {
    "no configuration": ([TRAIN], ["--config", "missing"]),
    "configuration without its flag": ([TRAIN, "configs/kdv_1d.py"], ["write --config=configs/kdv_1d.py."]),
    "name of a configuration without its flag": ([TRAIN, "kdv_1d"], ["write --config=kdv_1d."]),
    "misspelt configuration": ([TRAIN, "--config=burgers1d"], ["'burgers1d'", "did you mean configs/burgers_1d.py?"]),
    "field as a flag": ([TRAIN, "--model.micro_dim=3"], ["did you mean `--config.model.micro_dim`?"]),
    "last part of a field as a flag": ([TRAIN, *SMOKE, "--micro_dim=3"], ["did you mean `--config.model.micro_dim`?"]),
    "override without configuration": ([TRAIN, "--config.seed=3"], ["config.seed"]),
    "missing configuration": ([TRAIN, "--config=nowhere.py"], ["--config", "nowhere.py"]),
    "missing configuration, apart": ([TRAIN, "--config", "nowhere.py"], ["--config", "nowhere.py"]),
    "empty configuration": ([TRAIN, "--config="], ["--config"]),
    "folder for a configuration": ([TRAIN, "--config=FOLDER"], ["--config", "FOLDER"]),
    "unknown variant": ([TRAIN, "--config=SMOKEY"], ["default, cells, published, closure, demo, smoke, got 'smokey'"]),
    "unknown variant of another case": ([TRAIN, "--config=KDV:smokey"], ["demo, smoke, got 'smokey'"]),
    "unstable step": ([TRAIN, "--config=KDV", "--config.data.equation.max_dt=1e-3"], ["max_dt", "1000 points"]),
    "workdir of another case": ([TRAIN, "--config=KDV:smoke", *RUN], ["RUN", "case: burgers_1d -> kdv_1d"]),
    "default workdir is a file": ([TRAIN, *SMOKE], ["runs/burgers_1d_d2_s0"]),
    "benchmark without runs": ([BENCHMARK, "--config=SMOKE", "--repeats=0"], ["--repeats", "0"]),
    "evaluate nothing": ([EVALUATE], ["--workdir"]),
    "evaluate a configuration": ([EVALUATE, *SMOKE], ["--config", "baseline"]),
    "baseline without configuration": ([EVALUATE, "--baseline=mean"], ["--config", "missing"]),
    "unknown baseline": ([EVALUATE, *SMOKE, "--baseline=oracle"], ["oracle", "persistence", "closure"]),
    "baseline of a run": ([EVALUATE, *SMOKE, "--baseline=mean", *RUN], ["mean", "--workdir"]),
    "closure with latents": ([EVALUATE, *SMOKE, "--baseline=closure"], ["micro_dim", "2", ":closure"]),
    "closure of two runs": (
        [EVALUATE, *SMOKE, "--config.model.micro_dim=0", "--baseline=closure", *RUN, "--workdir=FOLDER"],
        ["one run", "--workdir"],
    ),
    "ensemble of one run": ([EVALUATE, *RUN, *RUN], ["seeds of their own", "[0, 0]"]),
    "figures of an ensemble": ([EVALUATE, *RUN, "--workdir=FOLDER", "--figures=new"], ["--figures"]),
    "evaluate a missing folder": ([EVALUATE, "--workdir=nowhere"], ["workdir", "nowhere"]),
    "evaluate a foreign folder": ([EVALUATE, "--workdir=FOLDER"], ["workdir", "FOLDER"]),
    "evaluate a file": ([EVALUATE, "--workdir=FILE"], ["workdir", "FILE"]),
    "evaluate with a stray argument": ([EVALUATE, *RUN, "more"], ["more"]),
    "evaluate with an unknown flag": ([EVALUATE, *RUN, "--member=3"], ["member"]),
    "evaluate by an unknown solver": ([EVALUATE, *RUN, "--solver=heun"], ["heun", "euler"]),
    "evaluate without members": ([EVALUATE, *RUN, "--members=0"], ["members", "0"]),
    "evaluate generated data elsewhere": ([EVALUATE, *RUN, "--data=my.npz"], ["generated", "my.npz"]),
    "baseline with a solver": ([EVALUATE, *SMOKE, "--baseline=mean", "--solver=euler"], ["--solver", "--config"]),
    "evaluate into a file": ([EVALUATE, *RUN, "--results=FILE"], ["FILE"]),
    "draw into a file": ([EVALUATE, *RUN, "--results=results", "--figures=FILE"], ["FILE"]),
}
BAD = BAD_COMMANDS | {
    name: ([TRAIN, *SMOKE, "--workdir=new", *arguments], parts) for name, (arguments, parts) in BAD_OVERRIDES.items()
}

SCRIPT_HEAD = """
from msvi.cli import entry

entry.define_config_flag()
"""
OTHER = {
    "overrides": [
        "show.py",
        "--config=SMOKE",
        "--config.model.macro_hidden=7,9",
        "--config.model.micro_hidden=8",
        "--config.model.encoder_hidden=(5,)",
        "--config.model.micro_clock=False",
        "--config.train.learning_rate=1",
        "--config.data.equation.num_frames=33",
    ],
    "configuration by its name": ["show.py", "--config=burgers_1d:smoke"],
    "file of another case": ["show.py", "--config=KDV:smoke", "--config.data.equation.dispersion=0.03"],
    "interrupted": ["interrupt.py", "--config=SMOKE"],
    "bug": ["bug.py", "--config=SMOKE"],
    "finished": [TRAIN, *SMOKE, *RUN],
}


@pytest.fixture(scope="module")
def places(smoke_run, smoke_config, tmp_path_factory):
    """What the words in capitals in the command lines stand for."""
    base = tmp_path_factory.mktemp("places")
    (base / "file.txt").write_text("text")
    (base / "folder").mkdir()
    (base / "folder" / "thesis.tex").write_text("years of work")
    for name, body in {
        "show.py": "import json; from msvi.config import to_dict; "
        "entry.run(lambda: print(json.dumps(to_dict(entry.read_config()))))",
        "interrupt.py": "def main(): raise KeyboardInterrupt\nentry.run(main)",
        "bug.py": "def main(): return [][1]\nentry.run(main)",
    }.items():
        (base / name).write_text(SCRIPT_HEAD + textwrap.dedent(body))
    return {
        "SMOKEY": f"{CONFIG_FILE}:smokey",
        "SMOKE": f"{CONFIG_FILE}:smoke",
        "KDV": str(CONFIG_FILE.with_name("kdv_1d.py")),
        "CACHE": smoke_config.data.cache_dir,
        "FILE": str(base / "file.txt"),
        "FOLDER": str(base / "folder"),
        "RUN": smoke_run.path,
    } | {name: str(base / name) for name in ("show.py", "interrupt.py", "bug.py")}


@pytest.fixture(scope="module")
def finished(places, environment, tmp_path_factory):
    """By name of the case: exit status, what was printed, what was said on stderr, files left in the folder."""
    base = tmp_path_factory.mktemp("commands")
    cases = {name: arguments for name, (arguments, _) in BAD.items()} | OTHER
    # The workdir that `train.py` takes where none is given.
    files = {"default workdir is a file": {"runs/burgers_1d_d2_s0": "text"}}
    commands = [([fill(a, places) for a in arguments], files.get(name, {})) for name, arguments in cases.items()]
    return dict(zip(cases, run_commands(commands, environment, base), strict=True))


def fill(text, places):
    for word, value in places.items():
        text = text.replace(word, value)
    return text


@pytest.mark.parametrize("name", BAD)
def test_bad_command_line(finished, places, name):
    """Status 2, one line on stderr that names what is wrong, no traceback, no output, and nothing written."""
    code, out, err, left = finished[name]
    assert_refused(code, out, err)
    for part in BAD[name][1]:
        assert fill(part, places) in err
    assert left == (["runs/burgers_1d_d2_s0"] if name == "default workdir is a file" else [])


def test_overrides_reach_the_configuration(finished, smoke_config):
    """Every kind of field can be set from the command line, the rest stays as the file has it."""
    code, out, err, _ = finished["overrides"]
    assert (code, err) == (0, "")
    config = json.loads(out)
    model, equation = config["model"], config["data"]["equation"]
    assert (model["macro_hidden"], model["micro_hidden"], model["encoder_hidden"]) == ([7, 9], [8], [5])
    assert model["micro_clock"] is False and model["micro_dim"] == smoke_config.model.micro_dim
    assert config["train"]["learning_rate"] == 1.0 and equation["num_frames"] == 33


def test_configuration_of_another_case(finished):
    """The file of the other case is read from another folder than the repository, overrides of its equation too."""
    code, out, err, _ = finished["file of another case"]
    assert (code, err) == (0, "")
    config = json.loads(out)
    assert config["case"] == "kdv_1d" and config["data"]["noise_std"] == 1e-2
    assert (config["data"]["equation"]["dispersion"], config["data"]["equation"]["num_points"]) == (0.03, 100)


def test_configuration_by_its_name(finished, smoke_config):
    """Those of the package go by their names, from any folder."""
    code, out, err, _ = finished["configuration by its name"]
    assert (code, err) == (0, "") and json.loads(out)["model"]["micro_dim"] == smoke_config.model.micro_dim


def test_interrupted(finished):
    """Ctrl-C ends with the usual status and the advice to start again, without a traceback."""
    code, out, err, _ = finished["interrupted"]
    assert (code, out) == (130, "")
    assert err == "interrupted; the same command goes on from the last checkpoint, if there is one.\n"


def test_bug_keeps_its_traceback(finished):
    """What is no mistake of the user is not dressed up as one."""
    code, _, err, _ = finished["bug"]
    assert code == 1 and "Traceback" in err and "IndexError" in err and "error: " not in err.splitlines()[0]


def test_finished_run(finished, places):
    """Training a finished run again succeeds and says so."""
    code, out, err, left = finished["finished"]
    assert (code, err, left) == (0, "", [])
    assert out == f"{places['RUN']} has 40 steps already; raise --config.train.steps to go on.\n"


def test_evaluate(evaluated):
    """`evaluate.py` says what it does, prints the table of what it wrote and every path it wrote to, nothing else."""
    process = evaluated.process
    assert (process.returncode, process.stderr) == (0, "")
    table = format_table(json.loads((evaluated.path / "result.json").read_text()))
    before, found, after = process.stdout.partition(table + "\n")
    said = before.splitlines()
    assert found and said[0] == f"evaluating {evaluated.path}: reading its data and weights"
    assert said[1].startswith("compiling the forecast of") and said[1].endswith("then 2 test trajectories")
    assert said[-1] == f"drawing figures into {evaluated.path / 'figures'}"
    paths = after.split()
    assert paths[:2] == [str(evaluated.path / "result.json"), "results/burgers_1d/d2_s0.json"]
    assert len(paths) > 2 and all((evaluated.results.parent / path).is_file() for path in paths)
    assert sorted(path.name for path in evaluated.results.parent.iterdir()) == ["results", "run"]


@pytest.mark.slow
def test_without_a_folder_of_results(places, environment, tmp_path):
    """The result of a baseline goes to a folder of its own among the runs; nothing else is written."""
    command = [EVALUATE, *SMOKE, "--baseline=persistence"]
    (finished,) = run_commands([([fill(a, places) for a in command], {})], environment, tmp_path)
    code, out, err, left = finished
    path = "runs/burgers_1d_baseline_persistence/result.json"
    assert (code, err, left) == (0, "", [path]) and out.endswith(f"\n{path}\n")
    assert out.startswith("evaluating the baseline persistence: reading the data\n")
