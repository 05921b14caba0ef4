"""What JAX is told: compiled programs that are kept from one process to the next, and the precision of products."""

import os
import pathlib
import subprocess
import sys

SCRIPT = """
import jax, jax.numpy as jnp
from msvi.backend import keep_programs
print(keep_programs())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
f = jax.jit(lambda x: jnp.sin(x) @ x)
print(float(f(jnp.eye(3))[0, 0]))
"""


def run(**variables):
    """What a fresh process prints, with these variables and none of JAX's or ours."""
    kept = {n: v for n, v in os.environ.items() if n not in ("MSVI_PROGRAMS", "JAX_COMPILATION_CACHE_DIR")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def programs(folder):
    return {path: path.stat().st_mtime_ns for path in pathlib.Path(folder).rglob("*-cache")}


def test_a_program_is_compiled_once(tmp_path):
    """The second process finds what the first has left, writes nothing new, and computes the same."""
    folder, first = run(XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path))
    kept = programs(tmp_path)
    assert kept and all(pathlib.Path(folder) in path.parents for path in kept)
    assert run(XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path)) == [folder, first]
    assert programs(tmp_path) == kept


def test_a_damaged_program_is_compiled_again(tmp_path):
    """One that was cut off while it was written."""
    folder, first = run(MSVI_PROGRAMS=str(tmp_path))
    for path in programs(folder):
        path.write_bytes(path.read_bytes()[:20])
    assert run(MSVI_PROGRAMS=str(tmp_path)) == [folder, first]


def test_the_folder_can_be_chosen_or_left(tmp_path):
    """By our variable; JAX's own goes before it; and off is off."""
    assert pathlib.Path(run(MSVI_PROGRAMS=str(tmp_path / "ours"))[0]).parent == tmp_path / "ours"
    own = str(tmp_path / "own")
    assert run(MSVI_PROGRAMS=str(tmp_path / "other"), JAX_COMPILATION_CACHE_DIR=own)[0] == own
    assert run(MSVI_PROGRAMS="off", XDG_CACHE_HOME=str(tmp_path / "cache"))[0] == "None"
    assert not (tmp_path / "other").exists() and not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    """Is no reason to stop."""
    (tmp_path / "file").write_text("in the way")
    assert run(MSVI_PROGRAMS=str(tmp_path / "file" / "cache"))[0] == "None"


def test_products_are_exact_unless_the_user_says_otherwise():
    """A precision that was asked for stays."""
    script = "import jax, msvi.backend; msvi.backend.prepare(); print(jax.config.jax_default_matmul_precision)"
    env = os.environ | {"MSVI_PROGRAMS": "off"}
    for variables, expected in (({}, "highest"), ({"JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"}, "tensorfloat32")):
        done = subprocess.run([sys.executable, "-c", script], env=env | variables, capture_output=True, text=True)
        assert done.stdout.strip() == expected, done.stderr
