"""Checkpoints of a small hand-made state: what goes in comes out, and only into the model that it belongs to."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from smoke import assert_same_state

from msvi.errors import InputError
from msvi.training.checkpoint import CheckpointStore
from msvi.training.state import TrainState


def make_state(step=3, seed=0, width=4, **extra):
    """A training state as it is after some steps, every leaf different."""
    rng = np.random.default_rng(seed)
    kernel = jnp.asarray(rng.standard_normal((2, width)), jnp.float32)
    params = {"model": {"kernel": kernel, **extra}, "posterior": {"log_noise": jnp.float32(rng.standard_normal())}}
    optimizer = optax.adam(optax.exponential_decay(1e-3, 1000, 0.9))
    grads = jax.tree.map(jnp.cos, params)
    opt_state = optimizer.update(grads, optimizer.init(params))[1]
    average = jax.tree.map(jnp.sin, params)
    return TrainState(params, average, opt_state, jnp.int32(step), jax.random.key(seed + 7))


def one_sentence(error):
    """The message, checked to be one a user can read."""
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 600
    return text


def test_round_trip_is_exact(tmp_path):
    """All leaves to the bit, awkward numbers included; the restored key draws what the saved one draws."""
    awkward = jnp.array([np.float32(0.1), -0.0, 1e-45, 3e38, np.inf, np.nan], jnp.float32)
    state = make_state(awkward=awkward)
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    record = {"step": 3, "val_nrmse": 0.1 + 0.2, "train_seconds": 1e-9}
    store.save(state, record)
    assert store.latest_step() == 3
    # Another store object, as another process has it, and a template with other values.
    restored, restored_record = CheckpointStore(str(tmp_path / "store"), keep=1).restore(
        make_state(step=0, seed=1, awkward=jnp.zeros(6))
    )
    assert_same_state(restored, state)
    assert np.signbit(restored.params["model"]["awkward"][1])
    assert restored_record == record
    np.testing.assert_array_equal(jax.random.normal(restored.key, (5,)), jax.random.normal(state.key, (5,)))


def test_restored_leaves_belong_to_jax(tmp_path):
    """The training step donates its state, which only arrays on the device allow; none may be weakly typed."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    store.save(make_state(), {})
    for leaf in jax.tree.leaves(store.restore(make_state())[0]):
        assert isinstance(leaf, jax.Array) and not jax.typeof(leaf).weak_type


def test_keeps_the_newest(tmp_path):
    """Of three saves two stay, and the newest is the one read."""
    store = CheckpointStore(str(tmp_path / "store"), keep=2)
    for step in (5, 10, 15):
        store.save(make_state(step, seed=step), {"step": step})
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["10", "15"]
    restored, record = store.restore(make_state())
    assert_same_state(restored, make_state(15, seed=15))
    assert store.latest_step() == record["step"] == 15


def test_saving_a_step_again_keeps_the_first(tmp_path):
    """A run killed between its two checkpoints of a step saves the first of them again: it must stand."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    store.save(make_state(5, seed=1), {"step": 5})
    store.save(make_state(5, seed=2), {"step": 5})
    assert_same_state(store.restore(make_state())[0], make_state(5, seed=1))


def test_empty_store(tmp_path):
    """No checkpoint: None, a readable error, and no folder left behind by asking."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    assert store.latest_step() is None
    with pytest.raises(InputError, match="found none; train"):
        store.restore(make_state())
    assert not os.path.exists(tmp_path / "store")


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(lambda: make_state(width=5), id="other shape"),
        pytest.param(lambda: make_state(bias=jnp.zeros(2)), id="leaf not stored"),
        pytest.param(lambda: make_state()._replace(params={"model": {}, "posterior": {}}), id="leaf not expected"),
    ],
)
def test_another_model_is_refused(tmp_path, template):
    """Shapes and names are compared: nothing is cut, padded or left at its initial value in silence."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    store.save(make_state(), {})
    with pytest.raises(InputError, match="step 3 .* does not fit this model or is damaged") as error:
        store.restore(template())
    one_sentence(error)


@pytest.mark.parametrize("damage", ["emptied", "removed"])
def test_damaged_checkpoint_is_refused(tmp_path, damage):
    """Files cut short or lost give the same one sentence, whichever part of the checkpoint they belong to."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    store.save(make_state(), {})
    parts = [p for p in pathlib.Path(tmp_path / "store" / "3" / "state").rglob("*") if p.is_file()]
    assert parts
    for part in parts:
        part.write_bytes(b"") if damage == "emptied" else part.unlink()
    with pytest.raises(InputError, match="step 3 .* does not fit this model or is damaged") as error:
        store.restore(make_state())
    one_sentence(error)


def test_unfinished_save_is_no_checkpoint(tmp_path):
    """What a killed save leaves is neither read nor in the way of the next save of that step."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    store.save(make_state(3), {})
    left = tmp_path / "store" / "6.orbax-checkpoint-tmp"
    (left / "state").mkdir(parents=True)
    (left / "state" / "data").write_bytes(b"half")
    assert store.latest_step() == 3
    assert_same_state(store.restore(make_state())[0], make_state(3))
    store.save(make_state(6, seed=2), {})
    assert_same_state(store.restore(make_state())[0], make_state(6, seed=2))
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["6"]
