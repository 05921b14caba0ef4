"""Who may import whom: training never reaches a solver, and configuration files end at the command line."""

import ast
import functools
import graphlib
import pathlib
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# "msvi.model" and "msvi.model.filter" alike, each with its file.
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "msvi").rglob("*.py"))
}


@functools.cache
def imports(name):
    """Everything that module `name` imports anywhere in its text, and the packages above each import.

    `from a import b` counts as `a` and `a.b`, since `b` may be a module.
    """
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import, which this test does not follow"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(full.split(".")[:k]) for full in found for k in range(1, full.count(".") + 2)}


def reach(start):
    """Every import reachable from `start`, with the chain of modules that leads there."""
    chains, waiting = {}, [(start, (start,))]
    while waiting:
        name, chain = waiting.pop(0)
        for imported in sorted(imports(name) - chains.keys()):
            chains[imported] = (*chain, imported)
            if imported in MODULES:
                waiting.append((imported, chains[imported]))
    return chains


# Packages that hold no more than their modules.
FOLDERS = {m for m in MODULES if len(ast.parse(MODULES[m].read_text(encoding="utf-8")).body) == 1} | {"msvi"}
# From what everything knows to the commands: a module imports none of a later line. The longest beginning counts, so
# that the groups of the configuration stand below the wings that they belong to.
LAYERS = (
    ("msvi.types", "msvi.errors", "msvi.writing", "msvi.provenance", "msvi.backend"),
    (
        *(f"msvi.data.{name}" for name in ("labels", "times", "statistics", "streamed", "split")),
        "msvi.data.formats.arrays",
    ),
    ("msvi.data.formats", "msvi.data.equations"),
    tuple(f"msvi.{wing}.config" for wing in ("model", "inference", "forecast", "training", "data", "baselines")),
    ("msvi.data",),
    ("msvi.model",),
    ("msvi.inference", "msvi.forecast", "msvi.scores"),
    ("msvi.config",),
    ("msvi.recipe",),
    ("msvi.assimilation",),
    ("msvi.training", "msvi.baselines"),
    ("msvi.report",),
    ("msvi.evaluation",),
    ("msvi.library", "msvi.sweep"),
    ("msvi.cli",),
    ("msvi", "msvi.__main__"),
)


def layer(name):
    """The number of the line with the longest beginning of `name`."""
    lines = {start: number for number, line in enumerate(LAYERS) for start in line}
    fitting = [start for start in lines if start == name or (start != "msvi" and name.startswith(f"{start}."))]
    assert fitting, f"{name} is in no line of LAYERS"
    return lines[max(fitting, key=len)]


def uses(name):
    """The modules that `name` imports, but for packages of which it needs no more than the folder."""
    return {m for m in imports(name) & MODULES.keys() - FOLDERS if not name.startswith(f"{m}.") and m != name}


@pytest.mark.parametrize("name", MODULES)
def test_imports_flow_one_way(name):
    """Never from a later line."""
    for imported in uses(name):
        assert layer(imported) <= layer(name), f"{name} imports {imported}"


def test_no_circles():
    """No module reaches itself."""
    graphlib.TopologicalSorter({name: uses(name) for name in MODULES}).prepare()


def test_every_wing_is_packaged():
    """Each folder with modules is in the wheel."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(path.relative_to(ROOT).parent.parts) for path in MODULES.values()}
    assert set(packages) == folders | {"msvi.configs"}


def test_the_search_finds_what_is_there():
    """The forecast does reach the solver, so the tests below are able to fail."""
    assert "diffrax" in reach("msvi.forecast.ensemble")
    assert reach("msvi.data.dataset")["diffrax"][-2] == "msvi.data.equations.burgers_1d"


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.startswith(("msvi.inference", "msvi.model"))] + ["msvi.training.state"]
)
def test_training_never_reaches_a_solver(name):
    """Neither the model, nor the bound, nor the training step can reach diffrax, over any chain of imports."""
    chains = reach(name)
    for forbidden in ("diffrax", "msvi.forecast.ensemble", "msvi.data"):
        assert forbidden not in chains, " -> ".join(chains[forbidden])


def test_only_data_and_forecasts_import_the_solver():
    """Directly, that is; a new solver call elsewhere has to be argued for here."""
    users = {name for name in MODULES if "diffrax" in imports(name)}
    assert users == {name for name in users if name.startswith("msvi.data.") or name == "msvi.forecast.ensemble"}
    assert users


def test_only_the_command_line_knows_configuration_files():
    """`ml_collections` and `absl` end at `msvi.cli`; the library takes frozen dataclasses."""
    users = {name for name in MODULES if {"ml_collections", "absl"} & imports(name)}
    assert users == {name for name in users if name.startswith("msvi.cli.")}


def test_metrics_and_filter_stand_alone():
    """They know no model, no data and no training."""
    for name in ("msvi.scores.metrics", "msvi.model.filter"):
        inside = {m for m in reach(name) if m.startswith("msvi.") and m in MODULES}
        assert inside <= {"msvi.types", "msvi.errors", "msvi.model", "msvi.model.blocks", "msvi.model.filter"}
