"""Checkpoints of a small hand-made state: what goes in comes out, and only into the model that it belongs to.

What is damaged does not come out: another checkpoint takes its place, or there is an error.
"""

import contextlib
import errno
import os
import pathlib
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from smoke import assert_same_state, snapshot

from msvi.errors import InputError
from msvi.training import checkpoint
from msvi.training.checkpoint import CheckpointStore
from msvi.training.state import TrainState

# Ways in which a file is damaged.
DAMAGES = {
    "flipped": lambda path: flip_bit(path, -1),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
}


def flip_bit(path, position):
    """Changes one bit of one byte of a file; the position may be any number."""
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << position % 8
    path.write_bytes(data)


def files(folder):
    """All files below a folder."""
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())


def names(folder):
    """What a folder holds."""
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


@contextlib.contextmanager
def file_size_limit(size):
    """No file may grow beyond `size` bytes: as for a full disk, writes fail wherever they are made."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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


OTHER_MODELS = [
    pytest.param(lambda: make_state(width=5), id="other shape"),
    pytest.param(lambda: make_state(bias=jnp.zeros(2)), id="leaf not stored"),
    pytest.param(lambda: make_state()._replace(params={"model": {}, "posterior": {}}), id="leaf not expected"),
]


@pytest.mark.parametrize("template", OTHER_MODELS)
def test_another_model_is_refused(tmp_path, capsys, template):
    """Shapes and names are compared: nothing is cut, padded or left at its initial value in silence.

    That is no damage: the checkpoint before, or a spare copy, does not take its place.
    """
    store = CheckpointStore(str(tmp_path / "store"), keep=2, spare=True)
    store.save(make_state(2), {})
    store.save(make_state(3), {})
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="step 3 .* does not fit this model") as error:
        store.restore(template())
    one_sentence(error)
    assert capsys.readouterr().err == "" and snapshot(tmp_path) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_passed_over(tmp_path, capsys, damage):
    """Any file of the newest checkpoint, damaged in any way: the one before is read, the damaged one named.

    Reading changes nothing, not even what is damaged.
    """
    store = CheckpointStore(str(tmp_path / "store"), keep=2)
    store.save(make_state(3), {"step": 3})
    store.save(make_state(6, seed=1), {"step": 6})
    shutil.copytree(tmp_path / "store", tmp_path / "whole")
    parts = files(tmp_path / "store" / "6")
    assert len(parts) > 10
    for part in parts:
        if not part.stat().st_size:
            continue
        DAMAGES[damage](part)
        before = snapshot(tmp_path)
        assert store.latest_step() == 3, part
        restored, record = store.restore(make_state())
        assert_same_state(restored, make_state(3))
        assert record == {"step": 3}
        folder = tmp_path / "store"
        warning = capsys.readouterr().err
        assert warning.startswith(f"warning: {folder / '6'} is damaged (") and warning.count("\n") == 1
        assert warning.endswith(f"); {folder / '3'} is used instead.\n")
        assert snapshot(tmp_path) == before
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "whole", folder)
    assert_same_state(store.restore(make_state())[0], make_state(6, seed=1))
    assert capsys.readouterr().err == ""


def test_any_flipped_bit_is_noticed(tmp_path):
    """One bit at random places of every file, the checksums' own among them."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    store.save(make_state(), {})
    rng = np.random.default_rng(0)
    for part in files(tmp_path / "store" / "3"):
        whole = part.read_bytes()
        for position in rng.integers(8 * len(whole), size=20) if whole else ():
            flip_bit(part, int(position))
            if part.name == "checksums.json":  # a name may change to itself where case does not count
                with contextlib.suppress(InputError):
                    assert_same_state(store.restore(make_state())[0], make_state())
            else:
                with pytest.raises(InputError, match="3 is damaged"):
                    store.restore(make_state())
            part.write_bytes(whole)


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_checkpoint(tmp_path, capsys, damage):
    """All of them damaged: one sentence for whoever asks, and never a start from nothing."""
    store = CheckpointStore(str(tmp_path / "store"), keep=2)
    for step in (3, 6):
        store.save(make_state(step), {})
    for step in (3, 6):
        DAMAGES[damage](tmp_path / "store" / str(step) / "state" / "_METADATA")
    for ask in (store.latest_step, lambda: store.restore(make_state())):
        with pytest.raises(
            InputError, match=r"6 is damaged \(.*\) and no other checkpoint beside it is whole; "
        ) as error:
            ask()
        one_sentence(error)
    assert capsys.readouterr().err == ""


def test_damaged_step_is_kept_and_saved_again(tmp_path, capsys):
    """The process that writes moves damaged checkpoints aside, one after the other, and saves their step anew."""
    folder = tmp_path / "store"
    store = CheckpointStore(str(folder), keep=2)
    store.save(make_state(3), {})
    for seed in (1, 2):
        store.save(make_state(6, seed=seed), {})
        assert_same_state(store.restore(make_state())[0], make_state(6, seed=seed))
        flip_bit(files(folder / "6")[-1], 3)
    damaged = files(folder / "6")[-1].read_bytes()
    store.save(make_state(6, seed=3), {})
    assert names(folder) == ["3", "6", "6.damaged", "6.damaged2"]
    assert files(folder / "6.damaged2")[-1].read_bytes() == damaged
    assert_same_state(store.restore(make_state())[0], make_state(6, seed=3))
    err = capsys.readouterr().err.splitlines()
    assert [line.rsplit(" ", 1)[1] for line in err] == [f"{folder / '6.damaged'}.", f"{folder / '6.damaged2'}."]
    # What is damaged does not count among those kept.
    flip_bit(files(folder / "3")[-1], 3)
    store.save(make_state(9), {})
    assert names(folder) == ["3.damaged", "6", "6.damaged", "6.damaged2", "9"]


def test_spare_copy(tmp_path, capsys):
    """Either of the two copies will do, and where one is damaged or lost it is made again from the other."""
    folder = tmp_path / "store"
    store = CheckpointStore(str(folder), keep=1, spare=True)
    for step in (3, 6):
        store.save(make_state(step, seed=step), {"step": step})
    assert names(folder) == ["6", "6.spare"]
    for lost, other in (("6", "6.spare"), ("6.spare", "6")):
        shutil.rmtree(folder / lost)
        assert store.latest_step() == 6
        store.save(make_state(6, seed=1), {})
        assert names(folder) == [other]
        store.mend()
        assert names(folder) == ["6", "6.spare"]
    assert capsys.readouterr().err == ""
    for damaged, other in (("6", "6.spare"), ("6.spare", "6")):
        flip_bit(files(folder / damaged)[-1], 3)
        restored, record = store.restore(make_state())
        assert_same_state(restored, make_state(6, seed=6))
        assert record == {"step": 6}
        told = f"warning: {folder / damaged} is damaged (state/ocdbt.process_0/manifest.ocdbt has changed); "
        assert capsys.readouterr().err == (f"{told}{folder / other} is used instead.\n" if damaged == "6" else "")
        store.mend()
        assert set(names(folder)) >= {"6", "6.spare", f"{damaged}.damaged"}
        assert f"is kept as {folder / damaged}.damaged." in capsys.readouterr().err
        store.restore(make_state())
        assert capsys.readouterr().err == ""
    store.save(make_state(9), {})
    assert names(folder) == ["6.damaged", "6.spare.damaged", "9", "9.spare"]


def test_later_checkpoints_are_of_a_run_that_went_another_way(tmp_path):
    """What is saved is what is read next, whatever was there."""
    store = CheckpointStore(str(tmp_path / "store"), keep=2)
    for step in (3, 6, 9, 5):
        store.save(make_state(step, seed=step), {})
    assert names(tmp_path / "store") == ["5"]
    assert_same_state(store.restore(make_state())[0], make_state(5, seed=5))


@pytest.fixture
def earlier_store(tmp_path):
    """Two checkpoints as versions without checksums wrote them."""
    folder = tmp_path / "earlier"
    options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True, enable_async_checkpointing=False)
    with ocp.CheckpointManager(str(folder), options=options) as manager:
        for step in (3, 6):
            state = checkpoint._to_host(make_state(step, seed=step))
            record = {"step": step}
            args = ocp.args.Composite(state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record))
            manager.save(step, args=args)
    return folder


def test_checkpoints_of_earlier_versions(earlier_store, capsys):
    """They are read, refused where they do not fit, and followed by ones with checksums."""
    store = CheckpointStore(str(earlier_store), keep=2, spare=True)
    restored, record = store.restore(make_state())
    assert_same_state(restored, make_state(6, seed=6))
    assert record == {"step": 6} and store.latest_step() == 6
    for other in OTHER_MODELS:
        with pytest.raises(InputError, match="step 6 .* does not fit this model"):
            store.restore(other.values[0]())
    store.mend()
    assert names(earlier_store) == ["3", "3.spare", "6", "6.spare"]
    store.save(make_state(9, seed=9), {})
    assert names(earlier_store) == ["6", "6.spare", "9", "9.spare"]
    assert_same_state(store.restore(make_state())[0], make_state(9, seed=9))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["truncated", "emptied", "removed"])
def test_damaged_checkpoint_of_an_earlier_version(earlier_store, capsys, damage):
    """What Orbax cannot read is passed over; that a byte has changed it cannot know."""
    store = CheckpointStore(str(earlier_store), keep=2)
    shutil.copytree(earlier_store, earlier_store.parent / "whole")
    for part in files(earlier_store / "6"):
        if part.name in ("commit_success.txt", "_CHECKPOINT_METADATA") or not part.stat().st_size:
            continue  # of which Orbax needs none
        DAMAGES[damage](part)
        restored = store.restore(make_state())[0]
        warned = capsys.readouterr().err
        # A part of the data may be stored twice.
        assert_same_state(restored, make_state(3, seed=3) if warned else make_state(6, seed=6))
        assert warned or "state/d" in str(part) or "ocdbt.process_0" in str(part), part
        shutil.rmtree(earlier_store)
        shutil.copytree(earlier_store.parent / "whole", earlier_store)


def test_lost_checksums_are_damage(tmp_path):
    """A checkpoint whose checksums are gone does not pass for one of an earlier version."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    store.save(make_state(), {"step": 3})
    (tmp_path / "store" / "3" / "checksums.json").unlink()
    with pytest.raises(InputError, match=r"3 is damaged \(checksums.json is missing\)"):
        store.restore(make_state())


def test_unfinished_save_is_no_checkpoint(tmp_path, capsys):
    """What a killed save leaves is neither read nor in the way of the next save of that step."""
    folder = tmp_path / "store"
    store = CheckpointStore(str(folder), keep=1, spare=True)
    store.save(make_state(3), {})
    for name in ("6.orbax-checkpoint-tmp", "6.tmp.orbax-checkpoint-tmp", "6.tmp", "6.spare.tmp", "2.tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name / "state").mkdir(parents=True)
        (folder / name / "state" / "data").write_bytes(b"half")
    (folder / "5.tmp").write_bytes(b"reserved")
    assert store.latest_step() == 3
    assert_same_state(store.restore(make_state())[0], make_state(3))
    assert (folder / "6.tmp" / "state" / "data").exists()
    store.save(make_state(6, seed=2), {})
    assert_same_state(store.restore(make_state())[0], make_state(6, seed=2))
    assert names(folder) == ["6", "6.spare"]
    assert capsys.readouterr().err == ""


def test_replaced_while_it_is_read(tmp_path, monkeypatch):
    """A training replaces the checkpoint that an evaluation is about to read: the new one is read."""
    store = CheckpointStore(str(tmp_path / "store"), keep=1)
    for step, name in ((3, "_find_damage"), (6, "_read")):
        store.save(make_state(step), {})
        look = getattr(checkpoint, name)

        def look_late(*arguments, step=step, look=look, patch=None):
            monkeypatch.undo()
            store.save(make_state(step + 1), {})
            return look(*arguments)

        monkeypatch.setattr(checkpoint, name, look_late)
        assert_same_state(store.restore(make_state())[0], make_state(step + 1))


@pytest.mark.parametrize("size", [0, 400_000])
def test_full_disk(tmp_path, caplog, size):
    """No space at all, or too little: one sentence, and everything as it was, to go on from."""
    store = CheckpointStore(str(tmp_path / "store"), keep=2)
    large = {"large": jnp.asarray(np.random.default_rng(0).standard_normal(100_000), jnp.float32)}
    store.save(make_state(3, **large), {})
    before = {str(path): path.read_bytes() for path in files(tmp_path)}
    with file_size_limit(size), pytest.raises(InputError, match="the disk is full or a limit is reached") as error:
        store.save(make_state(6, **large), {})
    assert str(tmp_path / "store") in one_sentence(error)
    assert {str(path): path.read_bytes() for path in files(tmp_path)} == before and not caplog.records
    store.save(make_state(6, **large), {})
    assert_same_state(store.restore(make_state(**large))[0], make_state(6, **large))


@pytest.mark.parametrize("name", ["ocp.Checkpointer.save", "_add_checksums", "_sync", "shutil.copytree", "os.rename"])
def test_disk_that_fills_up_within_a_save(tmp_path, monkeypatch, name):
    """The same where the space ends at a later point, while the second copy is made or at the very last."""
    store = CheckpointStore(str(tmp_path / "store"), keep=2, spare=True)
    store.save(make_state(3), {})
    before = {str(path): path.read_bytes() for path in files(tmp_path)}

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"msvi.training.checkpoint.{name}", fail)
        with pytest.raises(InputError, match="the disk is full or a limit is reached"):
            store.save(make_state(6), {})
    assert {str(path): path.read_bytes() for path in files(tmp_path)} == before
    store.save(make_state(6), {})
    assert names(tmp_path / "store") == ["3", "3.spare", "6", "6.spare"]
