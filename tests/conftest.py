"""Shared fixtures: a data set and a model small enough to build in every test."""

import contextlib
import os
import tracemalloc

import jax
import numpy as np
import pytest

from msvi.data.config import DataConfig
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.model.config import ModelConfig
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales

# Most of the time of tests is compilation. With XLA's older way to make loops of fused operations, in one piece and
# without optimisations, it takes a sixth; `test_killed_while_saving` has the programs that users run. XLA reads this
# when it first works.
XLA_FLAGS = os.environ.get("XLA_FLAGS", "")  # as they came
_FAST = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} {_FAST}".strip()
jax.config.update("jax_disable_most_optimizations", True)
# What one test compiles is not to be what another finds.
os.environ.setdefault("MSVI_PROGRAMS", "off")
# Shapes that differ in rank and are broadcast all the same are a mistake more often than not.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def data_config(tmp_path):
    """Four short trajectories on 40 points, cached in the test's own folder."""
    equation = Burgers1D(num_points=40, num_frames=9, t1=0.2, viscosity=5e-3, max_dt=5e-3)
    return DataConfig(
        equation=equation, num_train=2, num_val=1, num_test=1, noise_std=1e-3, seed=3, cache_dir=str(tmp_path / "cache")
    )


@pytest.fixture(scope="session")
def model_config():
    """Narrow networks; a stencil of 3 cells, fewer than the 5 of the mesh, so that locality can be seen."""
    return ModelConfig(
        micro_dim=2,
        coarsening=8,
        n_sigma=2,
        stencil_radius=1,
        macro_hidden=(8,),
        micro_hidden=(8,),
        encoder_hidden=(8,),
        decoder_hidden=(8,),
        micro_clock=True,
        drift_scale=1.0,
    )


@pytest.fixture(scope="session")
def model(model_config):
    """40 periodic points, 5 coarse cells, 2 microscale latents."""
    return MultiscaleModel(
        model_config, grid=(40,), num_channels=1, boundary=("periodic",), scales=Scales((0.0,), (0.1,))
    )


@pytest.fixture(scope="session")
def params(model):
    """Parameters moved off their initial values, where many are zero or all the same."""
    return perturb(jax.jit(model.init)(jax.random.key(0)))


def perturb(tree, scale=0.2, seed=1):
    """Adds independent normal numbers to every leaf."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + (scale * rng.standard_normal(x.shape)).astype(x.dtype), tree)


@contextlib.contextmanager
def at_most(megabytes):
    """Python allocates no more than this at any one time, NumPy's arrays included."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()
