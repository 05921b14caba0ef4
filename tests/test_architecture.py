"""Who may import whom: training never reaches a solver, and configuration files end at the command line."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# "msvi.model" and "msvi.model.filter" alike, each with its file.
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "msvi").rglob("*.py"))
}


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


def test_the_search_finds_what_is_there():
    """The forecast does reach the solver, so the tests below are able to fail."""
    assert "diffrax" in reach("msvi.forecast")
    assert reach("msvi.data.dataset")["diffrax"][-2] == "msvi.data.burgers_1d"


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.startswith(("msvi.inference", "msvi.model"))] + ["msvi.training.state"]
)
def test_training_never_reaches_a_solver(name):
    """Neither the model, nor the bound, nor the training step can reach diffrax, over any chain of imports."""
    chains = reach(name)
    for forbidden in ("diffrax", "msvi.forecast", "msvi.data"):
        assert forbidden not in chains, " -> ".join(chains[forbidden])


def test_only_data_and_forecasts_import_the_solver():
    """Directly, that is; a new solver call elsewhere has to be argued for here."""
    users = {name for name in MODULES if "diffrax" in imports(name)}
    assert users == {name for name in users if name.startswith("msvi.data.") or name == "msvi.forecast"}
    assert users


def test_only_the_command_line_knows_configuration_files():
    """`ml_collections` and `absl` end at `msvi.cli` and the commands; the library takes frozen dataclasses."""
    users = {name for name in MODULES if {"ml_collections", "absl"} & imports(name)}
    assert users <= {"msvi.cli"} | {name for name in MODULES if name.startswith("msvi.commands.")}


def test_metrics_and_filter_stand_alone():
    """They know no model, no data and no training."""
    for name in ("msvi.metrics", "msvi.model.filter"):
        inside = {m for m in reach(name) if m.startswith("msvi.") and m in MODULES}
        assert inside <= {"msvi.types", "msvi.errors", "msvi.model", "msvi.model.filter"}
