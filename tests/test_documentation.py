"""README and docs: their Python runs, their commands have the flags that they use, their links lead somewhere."""

import ast
import functools
import inspect
import itertools
import pathlib
import re
import shlex
import tomllib

import numpy as np
import pytest
import yaml
from smoke import ROOT, load_module, settings

from msvi import __main__ as console
from msvi import library
from msvi.config import field_texts
from msvi.training import loop
from msvi.training.state import Objective

pytest_plugins = ["smoke"]

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Whatever a page asks for, one small model is fitted, compiled once.
SMALL = {"micro_dim": 1, "coarsening": 8, "window": 16, "micro_frame": "fixed", "random_shift": 0, "steps": 1}
SMALL |= dict.fromkeys(("macro_hidden", "micro_hidden", "encoder_hidden", "decoder_hidden"), (8,))
SMALL |= {"linear_radius": 0, "quadratic_rank": 2, "encoder_pooling": 1, "steps_per_frame": 1, "solver": "euler"}


def blocks(page, language):
    """What stands between fences of this language."""
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def prose(page):
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(page):
    """Words of each command line, in fences and inline, each from `msvi` or `python` on."""
    text = "".join(blocks(page, "sh")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    lines += [shlex.split(found) for found in re.findall(r"`((?:msvi|python) [^`…]+)`", prose(page))]
    found = []
    for words in lines:
        lines_within = [shlex.split(word.removeprefix("--wrap=")) for word in words if word.startswith("--wrap=")]
        for line in lines_within or [words]:
            start = next((i for i, word in enumerate(line) if word in ("msvi", "python")), None)
            found += [] if start is None else [line[start:]]
    return found


def command_file(words):
    """The module of a command, and what is given to it; None for one that is only spoken of, such as `msvi COMMAND`."""
    if words[0] == "msvi":
        if words[1].isupper() or words[1].startswith("-"):
            return None
        assert words[1] in console.COMMANDS, words
        return ROOT / "msvi" / "cli" / f"{words[1]}.py", words[2:]
    if words[1] == "-m":
        path = ROOT.joinpath(*words[2].split("."))
        return (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")), words[3:]
    script = ROOT / words[1]
    return (ROOT / "msvi" / "cli" / script.name if script.parent == ROOT else script), words[2:]


@functools.cache
def flags_of(path):
    """Names of the flags that a module defines, with absl or argparse, as one pattern."""
    names = ["config", "help"]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        if called == "add_argument" or called.startswith("DEFINE_"):
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            names.append("".join(p.value if isinstance(p, ast.Constant) else r"\w+" for p in parts).lstrip("-"))
    return re.compile("(no)?(" + "|".join(names) + ")")


@functools.cache
def configuration(given):
    """A configuration file's fields as nested dicts; of one that is only spoken of, such as `configs/CASE.py`, None."""
    path, _, variant = given.partition(":")
    if re.search(r"[A-Z]{3}", given):
        return None
    return load_module(ROOT / path).get_config(*filter(None, [variant])).to_dict()


def assert_field(values, name):
    """`name`, with dots, is a field of a configuration."""
    found = values
    for part in name.split("."):
        assert isinstance(found, dict) and part in found, f"no field {name}"
        found = found[part]


@pytest.fixture
def small_fit(monkeypatch, compilation, tmp_path):
    """A working folder with data in it, and a `fit` that leaves out the optimisation, which tests of the library have:
    a run is then as it was at its start. Returns the names that a page begins with."""
    rng, x, t = np.random.default_rng(0), np.arange(64) / 64, 0.05 * np.arange(33)
    u = np.sin(2 * np.pi * (x - 0.3 * t[:, None] + rng.uniform(size=(6, 1, 1)))) + 0.01 * rng.normal(size=(6, 33, 64))
    np.save(tmp_path / "u.npy", u)
    np.save(tmp_path / "t.npy", t)
    monkeypatch.chdir(tmp_path)
    names = ("crps", "nrmse", "reconstruction", "spread_skill", "decoder_spread")
    fit, scores = library.fit, dict.fromkeys((f"val_{name}" for name in names), 1.0)

    def made_fit(*data, **given):
        fields = given.keys() - inspect.signature(fit).parameters.keys()
        assert fields <= {name.partition(".")[2] for name in field_texts()} | {"seed"}, fields
        return fit(*data, **({"micro_layout": "global"} | given | SMALL))

    monkeypatch.setattr(library, "fit", made_fit)
    monkeypatch.setattr(loop, "make_train_chunk", lambda *_: _no_steps)
    monkeypatch.setattr(loop, "make_validation", lambda *_: lambda state: scores)
    with settings(compilation):
        yield {"u": u, "t": t}


def _no_steps(state, trajectories, count):
    return state._replace(step=state.step + count), Objective(*np.zeros((3, count)))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page, small_fit):
    """Block after block of a page, with what those before it have left."""
    for number, text in enumerate(blocks(page, "python")):
        exec(compile(text, f"{page.name}, block {number}", "exec"), small_fit)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_commands(page):
    """Every command is there, with all of its flags, and all fields of the configuration that it names."""
    for words in commands(page):
        found = command_file(words)
        if found is None:
            continue
        path, given = found
        assert path.is_file(), words
        files = [word.removeprefix("--config=") for word in given if word.startswith("--config=")]
        values = configuration(files[0] if files else "configs/custom.py")
        for word, following in itertools.pairwise([*given, ""]):
            if not word.startswith("--"):
                continue
            name = word[2:].partition("=")[0]
            if name.startswith("config."):
                fields = [name.removeprefix("config.")]
            else:
                assert flags_of(path).fullmatch(name), f"{' '.join(words)}: no flag --{name}"
                fields = [following.partition("=")[0]] if name == "set" else []
            for field in fields if values is not None else []:
                assert_field(values, field)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fields(page):
    """Every field that is named in the text is one of the configuration, or a module."""
    known = field_texts()
    for name in re.findall(r"`(?:--config\.)?((?:data|model|inference|train|forecast)\.\w+)(?:=[^`]*)?`", prose(page)):
        module = ROOT.joinpath("msvi", *name.split("."))
        is_file = name.endswith(".json")
        assert name in known or is_file or module.exists() or module.with_suffix(".py").exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    """Every file that a page links to or shows is there, and so is every file of the repository that it names."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+://|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target
    for name in re.findall(r"`((?:msvi|configs|tests|benchmarks|examples|results)/[\w./]+)`", prose(page)):
        assert (ROOT / name).exists() or re.search(r"[A-Z]{3}", name) or name.startswith("results/"), name
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in re.findall(r"-e \.\[(\w+)\]", page.read_text(encoding="utf-8")):
        assert name in extras, name


def test_readme_is_short():
    """Read at one sitting."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_results_say_nothing_of_where_they_were_made():
    """Files are named from the folder of the project on, as they are there for everybody."""
    places = re.compile(r'"(/|~|file:|[A-Za-z]:\\)')
    files = list((ROOT / "results").rglob("*.json"))
    assert files and not [str(path) for path in files if places.search(path.read_text(encoding="utf-8"))]


def test_every_page_is_in_the_menu():
    """And the menu has no others."""

    def pages(entry):
        return [entry] if isinstance(entry, str) else [page for part in entry for page in pages(part)]

    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = pages([list(entry.values()) for entry in menu for entry in _sections(entry)])
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def _sections(entry):
    (value,) = entry.values()
    return [entry] if isinstance(value, str) else value


def test_the_checks_find_what_is_wrong(tmp_path):
    """The functions above are able to fail."""
    page = tmp_path / "page.md"
    page.write_text("```sh\nX=1 srun --n=1 msvi train --a=1 \\\n  --b # c\npip install x\n```\nas `msvi sweep --d`\n")
    assert commands(page) == [["msvi", "train", "--a=1", "--b"], ["msvi", "sweep", "--d"]]
    train = pathlib.Path(console.__file__).parent / "cli" / "train.py"
    assert flags_of(train).fullmatch("workdir") and not flags_of(train).fullmatch("work_dir")
    assert flags_of(train.with_name("inspect.py")).fullmatch("num_val")
    assert command_file(["msvi", "COMMAND"]) is None
    values = configuration("configs/burgers_1d.py:smoke")
    assert_field(values, "data.equation.viscosity")
    with pytest.raises(AssertionError, match="no field data.equation.viscositi"):
        assert_field(values, "data.equation.viscositi")
