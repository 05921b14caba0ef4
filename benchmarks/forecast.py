"""What a forecast costs beside a bare loop over the same drift, and how long a training takes to begin.

python -m benchmarks.forecast --output=results/benchmark/forecast.json

Of each case, with weights as a training begins with: 64 members over all frames are solved by
`msvi.forecast.ensemble.solve_ensemble` and by a `jax.lax.scan` that does nothing but draw noise and take the same steps
of the same drift; and decoded by `decode_ensemble` and by a plain map of the decoder over members and frames. Both are
timed in turn, so that what else the machine does meets both. The first step of a training is timed from the command to
its end, on data that are there already, with no compiled programs and then with those of the run before.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.systems.base import judge
from benchmarks.systems.learn import case_config, format_checks
from msvi.backend import VARIABLE
from msvi.cli import entry
from msvi.config import Config
from msvi.data.dataset import load_dataset
from msvi.forecast.ensemble import decode_ensemble, solve_ensemble, solver_steps
from msvi.model.multiscale import MultiscaleModel
from msvi.provenance import versions
from msvi.recipe.build import build_model
from msvi.recipe.suggest import resolve
from msvi.training.build import build_elbo
from msvi.training.state import init_state
from msvi.types import Array, Params
from msvi.writing import write_json

CASES = flags.DEFINE_list("cases", ["burgers_1d", "kdv_1d"], "Published cases.")
FRAMES = flags.DEFINE_integer("frames", 1001, "Of a forecast.", lower_bound=11)
MEMBERS = flags.DEFINE_integer("members", 64, "Of a forecast.", lower_bound=2)
REPEATS = flags.DEFINE_integer("repeats", 9, "Timed runs of each part, after one that is not timed.", lower_bound=1)
VARIANT = flags.DEFINE_string("variant", "default", "Of the configurations.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write; nothing is written if left out.")

# Allowed: of the bare loop; seconds to the first step without and with compiled programs, and to import the library.
_RATIO, _COLD, _WARM, _IMPORT = 1.3, 30.0, 15.0, 2.0
# Every so many frames are decoded where few are asked for.
_STRIDE = 10


def main() -> None:
    """Measures as the flags say, prints the checks and writes the JSON."""
    measured, checks = {}, {}
    for name in CASES.value:
        config = case_config(name, VARIANT.value)
        measured[name] = measure_forecast(config)
        checks |= {f"{part}, {name}": check for part, check in judge_forecast(measured[name]).items()}
    measured["first_step"] = measure_start(CASES.value[0])
    checks |= {
        f"seconds to {what}": judge(measured["first_step"][name], bar)
        for name, what, bar in (
            ("cold_s", "the first step, with nothing compiled", _COLD),
            ("warm_s", "the first step, with compiled programs", _WARM),
            ("import_s", "import the library", _IMPORT),
        )
    }
    print(format_checks(checks))
    if OUTPUT.value:
        head = {"system": "forecast", "versions": versions(), "members": MEMBERS.value, "frames": FRAMES.value}
        write_json(OUTPUT.value, head | {"measured": measured, "checks": checks})
        print(OUTPUT.value)


def judge_forecast(seconds: dict[str, Any]) -> dict[str, Any]:
    """Checks of one case."""
    return {
        "seconds to solve over those of a bare loop": judge(seconds["solve_s"] / seconds["bare_solve_s"], _RATIO),
        "seconds to decode over those of a bare map": judge(seconds["decode_s"] / seconds["bare_decode_s"], _RATIO),
        f"seconds to decode every {_STRIDE}th frame over those of all": judge(
            seconds["some_decoded_s"] / seconds["decode_s"], 2 / _STRIDE
        ),
        "seconds to solve": judge(seconds["solve_s"], None),
        "seconds to decode": judge(seconds["decode_s"], None),
    }


def measure_forecast(config: Config) -> dict[str, Any]:
    """Seconds of the parts of a forecast, and those of what they are compared with."""
    dataset = load_dataset(config.case, config.data)
    config = resolve(config, dataset)
    model = build_model(config, dataset)
    params = init_state(build_elbo(config, model), config.train, jax.random.key(0)).params["model"]
    t = np.arange(FRAMES.value) * model.scales.spacing
    steps = solver_steps(t[None], model.scales.spacing, config.forecast.steps_per_frame)[0]
    z0 = jax.vmap(model.encode(params, jnp.asarray(dataset.test.u[0, 0])).sample)(_keys(0))
    t, steps, solver = jnp.asarray(t, jnp.float32), jnp.asarray(steps, jnp.float32), config.forecast.solver
    solve = jax.jit(lambda params, z0, keys: solve_ensemble(model, params, t, z0, keys, steps, solver))
    bare = jax.jit(lambda params, z0, keys: bare_loop(model, params, z0, keys, len(steps) - 1, solver))
    paths = solve(params, z0, _keys(1))
    decode = jax.jit(lambda params, z: decode_ensemble(model, params, z, jax.random.key(2)))
    plain = jax.jit(lambda params, z: bare_map(model, params, z))
    solved = _in_turn((solve, params, z0, _keys(1)), (bare, params, z0, _keys(1)))
    decoded = _in_turn((decode, params, paths), (plain, params, paths), (decode, params, paths[:, ::_STRIDE]))
    names = ("solve_s", "bare_solve_s", "decode_s", "bare_decode_s", "some_decoded_s")
    found: dict[str, Any] = dict(zip(names, (*solved, *decoded), strict=True))
    return found | {"steps": len(steps) - 1, "latents": model.latent_dim, "solver": solver}


def bare_loop(model: MultiscaleModel, params: Params, z0: Array, keys: Array, count: int, solver: str) -> Array:
    """As many steps of the scheme with the model's drift, and nothing else: `(member, step, latent_dim)`."""
    h = model.scales.spacing / model.scales.time_unit
    width = jnp.exp(0.5 * model.log_q(params)) * np.sqrt(h)

    def drift(t, z):
        return h * model.drift(params, h * t, z)

    def step(z, arguments):
        t, key = arguments
        if solver == "euler":
            return (z := z + drift(t, z) + width * jax.random.normal(key, z.shape)), z
        noise, area = width[None] * jax.random.normal(key, (2, *z.shape))
        area = area / np.sqrt(12)
        first = drift(t, z + area)
        second = drift(t + 5 / 6, z + 5 / 6 * (first + noise) + area)
        return (z := z + 0.4 * first + 0.6 * second + noise), z

    def path(z, key):
        return jax.lax.scan(step, z, (jnp.arange(count, dtype=jnp.float32), jax.random.split(key, count)))[1]

    return jax.vmap(path)(z0, keys)


def bare_map(model: MultiscaleModel, params: Params, z: Array) -> tuple[Array, Array]:
    """Mean and deviation over the members of what the decoder makes of each, a frame after the other."""

    def frame(z):
        mean = jax.vmap(lambda z: model.decode(params, z).mean)(z)
        return mean.mean(axis=0), mean.std(axis=0)

    return jax.lax.map(frame, z.swapaxes(0, 1))


def measure_start(case: str) -> dict[str, float]:
    """Seconds to import the library, and from the command to the end of the first step."""
    # `train.py`, which ends where the first step is summed up.
    code = "import os, runpy; from msvi.training import loop; loop._summarize = lambda *_: os._exit(0); "
    code += "runpy.run_path('train.py', run_name='__main__')"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {VARIABLE: os.path.join(folder, "programs")}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)

        def run(*arguments: str) -> float:
            began = time.monotonic()
            subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
            return time.monotonic() - began

        def train(number: int) -> float:
            flags_here = [f"--config=configs/{case}.py", "--config.train.log_every=1", f"--workdir={folder}/{number}"]
            return run("-c", code, *flags_here)

        imported = statistics.median(run("-c", "import msvi") for _ in range(3))
        return {"import_s": imported, "cold_s": train(0), "warm_s": train(1)}


def _keys(seed: int) -> Array:
    return jax.random.split(jax.random.key(seed), MEMBERS.value)


def _in_turn(*calls: tuple[Callable, Any]) -> list[float]:
    """Median seconds of each of several calls, one after the other and all again."""
    seconds: list[list[float]] = [[] for _ in calls]
    for repeat in range(REPEATS.value + 1):
        for own, (function, *arguments) in zip(seconds, calls, strict=True):
            began = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            if repeat:
                own.append(time.perf_counter() - began)
    return [statistics.median(own) for own in seconds]


if __name__ == "__main__":
    entry.run(main)
