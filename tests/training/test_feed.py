"""Training data that are fed from memory or disk: the same frames, the same losses, the same run when it goes on."""

import dataclasses

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke import Watched, assert_same_state, change

from msvi.data import streamed
from msvi.data.config import DataConfig, Recorded
from msvi.data.dataset import load_dataset
from msvi.data.formats.arrays import Piece, stored
from msvi.data.split import Split
from msvi.errors import InputError
from msvi.evaluation.evaluate import evaluate
from msvi.inference.elbo import Frames
from msvi.recipe.build import build_model
from msvi.training import feed as feeding
from msvi.training import loop
from msvi.training.build import build_elbo, build_trajectories
from msvi.training.config import TrainConfig
from msvi.training.feed import Feed, choose_place, cut
from msvi.training.state import cut_frames, draw_step, find_origins
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]


@pytest.mark.parametrize(
    ("grid", "origin", "size"),
    [((7,), (0,), (7,)), ((7,), (5,), (4,)), ((6, 5), (4, 3), (4, 5)), ((6, 5), (8, 0), (3, 2))],
)
def test_frames_are_cut_round_the_axes(grid, origin, size):
    """Any order of frames, some of them twice: what NumPy's indices give, and no frame or point of it read twice."""
    rng = np.random.default_rng(0)
    field, frames = rng.normal(size=(3, 9, *grid, 2)), np.array([7, 2, 3, 2, 8])
    where = np.ix_(*[(o + np.arange(n)) % m for o, n, m in zip(origin, size, grid, strict=True)])
    expected = np.stack([field[1, k][where] for k in frames])
    Watched.read = 0
    np.testing.assert_array_equal(cut(field.view(Watched), 1, frames, np.array(origin), size), expected)
    assert Watched.read == 4 * np.prod(size) * 2  # frames 2, 3, 7, 8


@pytest.mark.parametrize(("cheap", "together"), [(0, 4), (2**18, 4), (2**18, 1)])
def test_frames_of_a_file_are_cut_alike(monkeypatch, cheap, together):
    """Small frames, which are read whole, and large ones, of which only the points are read that are asked for."""
    monkeypatch.setattr(streamed, "_CHEAP", cheap)
    rng = np.random.default_rng(1)
    field, frames = rng.normal(size=(3, 40, 6, 5, 2)).astype(np.float32), np.array([7, 2, 3, 2, 33])
    array = stored(field, "a.h5")._replace(chunks=(1, together))
    found = streamed.StreamedField(array, [Piece(2, np.arange(40)), Piece(1, np.arange(40))], np.float32)
    for origin, size in (((4, 3), (4, 5)), ((8, 0), (3, 2)), ((0, 0), (6, 5))):
        expected = cut(field, 1, frames, np.array(origin), size)
        np.testing.assert_array_equal(cut(found, 1, frames, np.array(origin), size), expected)


@pytest.fixture(scope="module")
def smoke_model(smoke_config):
    """The model of the smoke test."""
    return build_model(smoke_config, load_dataset(smoke_config.case, smoke_config.data))


@pytest.mark.parametrize("shift", [0, 9])
def test_a_step_is_fed_what_it_would_have_cut(smoke_config, smoke_model, shift):
    """Frame by frame, bit by bit, for steps early and late; and no more than these."""
    config = change(smoke_config, "train", random_shift=shift)
    split = load_dataset(config.case, config.data).train
    elbo = build_elbo(config, smoke_model)
    length, key = config.inference.window, jax.random.key(3)
    feed = Feed(split, smoke_model.scales, elbo, config.train, length)
    trajectories = build_trajectories(smoke_model, split)
    origins = find_origins(config.train, split.u.shape[2:-1], config.model.coarsening)
    around = trajectories._replace(
        frames=Frames(jnp.pad(trajectories.frames.u, ((0, 0), (0, 0), (0, shift), (0, 0)), mode="wrap"))
    )
    fed = list(feed.steps(key, 5, 8))
    assert len(fed) == 3
    for step, (u, mask) in zip(range(5, 8), fed, strict=True):
        assert mask is None
        windows, keys = draw_step(key, step, trajectories.num_frames, origins, length, config.train.batch_windows)
        for i, own in enumerate(keys):
            window = jax.tree.map(lambda a, i=i: a[i], windows)
            expected = cut_frames(around, window, elbo.looked_at(own, length), smoke_model.grid)
            np.testing.assert_array_equal(u[i], expected.u)


@pytest.mark.slow
def test_losses_are_the_same_from_everywhere(smoke_config, programs, tmp_path, monkeypatch):
    """From memory and from disk to the last bit, also in blocks of 3 steps, and where a run was stopped in between;
    from the device to rounding."""
    monkeypatch.setattr(feeding, "_BYTES", 3 * 4 * 100 * smoke_config.train.batch_windows * 16)
    states, histories = {}, {}
    for place in ("device", "host", "disk"):
        run = Workdir(str(tmp_path / place))
        states[place] = loop.train(change(smoke_config, "train", data_on=place), run.path)
        histories[place] = [entry["loss"] for entry in run.read_history()]
    assert_same_state(states["host"], states["disk"])
    assert histories["host"] == histories["disk"]
    np.testing.assert_allclose(histories["host"], histories["device"], rtol=1e-4)
    parts = str(tmp_path / "parts")
    loop.train(change(smoke_config, "train", data_on="disk", steps=20), parts)
    assert_same_state(loop.train(change(smoke_config, "train", data_on="host"), parts), states["disk"])


def test_gaps_are_fed_too():
    """The mask is cut as the field is."""
    rng = np.random.default_rng(1)
    mask = rng.random((2, 6, 8, 1)) > 0.3
    for frames in ([0, 5], [3]):
        expected = np.roll(mask[1, frames], -6, axis=1)
        np.testing.assert_array_equal(cut(mask, 1, np.array(frames), np.array([6]), (8,)), expected)


def test_the_place_follows_from_the_size(monkeypatch):
    """On the device while it takes half of its memory, in the host's while that has room, else on disk; or as asked."""
    gib = 2**30
    split = Split(np.zeros((1, 2)), np.broadcast_to(np.float32(0), (1, 2**10, 2**10, 2**8)))  # of 1 GiB
    for device, host, expected in ((4 * gib, 64 * gib, "device"), (gib, 64 * gib, "host"), (gib, gib, "disk")):
        monkeypatch.setattr(feeding, "device_bytes", lambda device=device: device)
        monkeypatch.setattr(feeding, "host_bytes", lambda host=host: host)
        place, why = choose_place("auto", split)
        assert place == expected and why.startswith("1 GiB to learn from")
    assert choose_place("host", split)[0] == "host"


def test_an_unknown_place_is_refused():
    """With those that there are."""
    with pytest.raises(InputError, match="`train.data_on` must be device, host, disk or auto, got 'tape'; change it."):
        TrainConfig(data_on="tape")


def test_a_file_that_vanishes_is_told(smoke_config, smoke_model):
    """What reading a frame raises comes out where the step is fed, with its own words."""

    class Gone(np.ndarray):
        def __getitem__(self, where):
            raise InputError("The data file gone.h5 cannot be read.")

    split = load_dataset(smoke_config.case, smoke_config.data).train
    gone = split._replace(u=np.asarray(split.u).view(Gone))
    feed = Feed(gone, smoke_model.scales, build_elbo(smoke_config, smoke_model), smoke_config.train, 16)
    with pytest.raises(InputError, match="The data file gone.h5 cannot be read."):
        next(feed.steps(jax.random.key(0), 0, 4))


@pytest.mark.slow
def test_a_file_is_learned_from_where_it_lies(smoke_config, programs, tmp_path, monkeypatch):
    """With gaps and lengths that differ: losses, validation and scores as from memory, to the last bit; and if
    the file vanishes on the way the run ends with its name, and goes on from its last checkpoint once the file is
    back."""
    dataset = load_dataset(smoke_config.case, smoke_config.data)
    path, rng = tmp_path / "a.h5", np.random.default_rng(0)
    u = np.concatenate([split.u for split in (dataset.train, dataset.val, dataset.test)])
    t = np.tile(dataset.train.t[0], (len(u), 1))
    t[0, -5:] = np.nan
    split = np.repeat([0, 1, 2], [len(getattr(dataset, name).u) for name in ("train", "val", "test")])
    with h5py.File(path, "w") as file:
        data = np.where(rng.random(u.shape) < 0.05, np.nan, u)
        file.create_dataset("u", data=data, chunks=(1, 7, *u.shape[2:]), compression="gzip", fletcher32=True)
        file["t"], file["split"] = t, split
        file.attrs["boundary"] = "periodic"
    data = DataConfig(Recorded(), str(path), num_train=0, num_val=0, num_test=0, cache_dir=str(tmp_path / "cache"))
    config = dataclasses.replace(smoke_config, case="custom", data=data)
    states, histories = {}, {}
    for place in ("host", "disk"):
        run = Workdir(str(tmp_path / place))
        states[place] = loop.train(change(config, "train", data_on=place), run.path)
        histories[place] = [{k: v for k, v in e.items() if "seconds" not in k} for e in run.read_history()]
    assert_same_state(states["host"], states["disk"])
    assert histories["host"] == histories["disk"]
    scores = [evaluate(str(tmp_path / place), str(tmp_path / "results" / place)).result for place in states]
    assert scores[0]["test"] == scores[1]["test"] and scores[0]["spectra"] == scores[1]["spectra"]
    # The part of the file in which the fields lie.
    half = change(config, "train", data_on="disk", steps=20)
    part = str(tmp_path / "part")
    loop.train(half, part)
    whole, make = path.read_bytes(), loop.Feed

    def remove(*arguments):
        path.unlink()
        return make(*arguments)

    monkeypatch.setattr(loop, "Feed", remove)
    with pytest.raises(InputError, match=str(path)):
        loop.train(change(config, "train", data_on="disk"), part)
    monkeypatch.undo()
    path.write_bytes(whole)
    assert_same_state(loop.train(change(config, "train", data_on="disk"), part), states["disk"])
