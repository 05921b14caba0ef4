"""Steps of training end on two cores, whatever the number of nodes, since they call no LAPACK.

The batched LAPACK calls of JAX's CPU backend wait for threads of the pool that they run in: two at once leave none on a
machine of two cores, and the step never ends. FFTs wait for that pool too.
"""

import os
import re
import subprocess
import sys

import pytest

# Training steps on a batch of the usual size with tiny networks, for each number of nodes: prints what the compiled
# program calls and, after several chunks, that it has ended. It leaves with a traceback when it has used no processor
# for a minute, which, unlike the time that passes, does not depend on what else the machine does.
STEPS = """
import faulthandler, os, re, sys, threading, time

kind, flags = sys.argv[1:]
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
os.environ["XLA_FLAGS"] += " " + flags

def leave_when_idle():
    used = -1.0
    while time.process_time() - used > 0.1:
        used = time.process_time()
        time.sleep(60)
    faulthandler.dump_traceback()
    os._exit(1)

threading.Thread(target=leave_when_idle, daemon=True).start()

import jax, jax.numpy as jnp, numpy as np
from msvi.inference.config import InferenceConfig
from msvi.inference.elbo import Frames, WindowElbo
from msvi.inference.posterior import MarkovPosterior, SmoothPosterior
from msvi.model.config import ModelConfig
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales
from msvi.training.config import TrainConfig
from msvi.training.state import Trajectories, init_state, make_train_chunk

networks = dict.fromkeys(("macro_hidden", "micro_hidden", "encoder_hidden", "decoder_hidden"), (8,))
config = ModelConfig(micro_dim=1, coarsening=4, n_sigma=2, stencil_radius=1, **networks)
model = MultiscaleModel(config, (128,), 1, ("periodic",), Scales((0.0,), (1.0,), spacing=1 / 128))
posterior = SmoothPosterior(0.1, 1e-3) if kind == "smooth" else MarkovPosterior(1.0, 64.0)
train = TrainConfig(batch_windows=8, log_every=20)
u = jax.random.normal(jax.random.key(0), (4, 130, 128, 1))
trajectories = Trajectories(jnp.tile(jnp.linspace(0, 1, 130)[None], (4, 1)), Frames(u), jnp.full(4, 130))
for nodes in (32, 64, 128):
    inference = InferenceConfig(posterior=kind, window=nodes, num_nodes=nodes, num_scored=32, num_quadrature=32)
    elbo = WindowElbo(model, posterior, nodes, 32, 32)
    state = init_state(elbo, train, jax.random.key(0))
    chunk = make_train_chunk(elbo, inference, train).lower(state, trajectories, 20).compile()
    print(nodes, *set(re.findall(r'custom_call_target="[^"]+"|\\bfft\\(', chunk.as_text())), flush=True)
    for _ in range(3):
        state, objective = chunk(state, trajectories, 20)
        assert np.isfinite(objective.loss).all()
    print(nodes, "nodes ended", flush=True)
"""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.slow
@pytest.mark.skipif(CORES < 2, reason="one core has no second thread to wait for")
@pytest.mark.parametrize(
    ("kind", "flags"), [("smooth", ""), ("smooth", "--xla_cpu_multi_thread_eigen=false"), ("markov", "")]
)
def test_steps_end(kind, flags):
    """Three chunks of twenty steps for each number of nodes, and no call that could wait for a thread.

    Compiled without optimisations, which is faster and leaves such calls as they are.
    """
    command = [sys.executable, "-c", STEPS, kind, flags]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
    assert process.returncode == 0, process.stderr
    assert [line for line in process.stdout.splitlines() if "ended" in line] == [
        f"{nodes} nodes ended" for nodes in (32, 64, 128)
    ]
    assert not re.search("lapack|fft", process.stdout, re.IGNORECASE), process.stdout
