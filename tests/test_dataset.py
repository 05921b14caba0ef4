"""The cache of data sets: what is read back, what is refused, how the noise and the splits are drawn."""

import dataclasses
import os
import pathlib
import shutil

import numpy as np
import pytest

from msvi.data import dataset as dataset_module
from msvi.data.dataset import EQUATIONS, check_dataset, load_dataset
from msvi.errors import InputError


def cached(config):
    """The files in the cache folder."""
    return sorted(pathlib.Path(config.cache_dir).iterdir())


def rewrite(path, **changes):
    """Saves the archive again with some arrays replaced."""
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | changes))


def assert_equal(first, second):
    for name in ("train", "val", "test"):
        for a, b in zip(getattr(first, name), getattr(second, name), strict=True):
            np.testing.assert_array_equal(a, b)


def test_cache_hit_gives_the_same_arrays_and_generates_nothing(data_config, monkeypatch):
    """The second load reads the file as it is: same bits, same modification time, no call of the generator."""
    first = load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(dataset_module, "_generate", lambda config: pytest.fail("generated again"))
    second = load_dataset("burgers_1d", data_config)
    assert_equal(first, second)
    assert cached(data_config) == [path]
    assert path.stat().st_mtime_ns == before


def test_contents(data_config):
    """Split sizes, times and grid are those asked for; the truth is the solver's, in float32."""
    dataset = load_dataset("burgers_1d", data_config)
    equation = data_config.equation
    assert [len(s.u) for s in (dataset.train, dataset.val, dataset.test)] == [2, 1, 1]
    assert dataset.grid == (40,) and dataset.num_channels == 1 and dataset.boundary == ("periodic",)
    np.testing.assert_allclose(dataset.t, np.arange(9) * 0.025, rtol=1e-12)
    np.testing.assert_allclose(dataset.x[0], np.arange(40) / 40, rtol=1e-12)
    truth = dataset.train.u_true[0]
    resolved = equation.solve(truth[0].astype(np.float64))
    np.testing.assert_allclose(truth, resolved, atol=1e-6)  # float32 round-off of the first frame


@pytest.mark.parametrize("case", EQUATIONS)
def test_every_case_is_generated_cached_and_read_back(data_config, case, monkeypatch):
    """On the equation's own extent, the truth solving it, in a file named by the case; read back with the same bits."""
    equation = EQUATIONS[case](num_points=40, num_frames=9, t1=0.2, max_dt=5e-3)
    config = dataclasses.replace(data_config, equation=equation)
    first = load_dataset(case, config)
    (path,) = cached(config)
    assert path.name.startswith(f"{case}-")
    assert first.train.u.shape == (2, 9, 40, 1) and first.train.u.dtype == np.float32
    np.testing.assert_array_equal(first.t, equation.t)
    np.testing.assert_allclose(first.x[0], equation.extent * np.arange(40) / 40, rtol=1e-12)
    truth = equation.solve(first.test.u_true[0, 0].astype(np.float64))
    np.testing.assert_allclose(first.test.u_true[0], truth, atol=1e-5)  # float32 round-off of the first frame
    monkeypatch.setattr(dataset_module, "_generate", lambda config: pytest.fail("generated again"))
    assert_equal(load_dataset(case, config), first)


def test_cases_do_not_share_a_file(data_config):
    """Two cases in one folder, with equations of equal parameters as far as both have them, are two files."""
    for case in EQUATIONS:
        equation = EQUATIONS[case](num_points=40, num_frames=9, t1=0.2, max_dt=5e-3)
        load_dataset(case, dataclasses.replace(data_config, equation=equation))
    assert sorted(path.name.split("-")[0] for path in cached(data_config)) == sorted(EQUATIONS)


@pytest.mark.parametrize(
    "change", [{"noise_std": 2e-3}, {"seed": 4}, {"num_test": 2}, {"equation": {"viscosity": 6e-3}}], ids=str
)
def test_other_parameters_get_another_file(data_config, change):
    """One file per set of parameters, each still read for its own."""
    first = load_dataset("burgers_1d", data_config)
    if "equation" in change:
        change = {"equation": dataclasses.replace(data_config.equation, **change["equation"])}
    other = load_dataset("burgers_1d", dataclasses.replace(data_config, **change))
    assert len(cached(data_config)) == 2
    assert_equal(load_dataset("burgers_1d", data_config), first)
    if "num_test" not in change:
        assert np.abs(other.test.u - first.test.u).max() > 1e-6


def test_damaged_file_is_refused(data_config):
    """Cut in half, or not an archive at all: the message names the path and says what to do."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not an archive"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"(?s){path}.*delete it"):
            load_dataset("burgers_1d", data_config)


def test_flipped_bytes_are_refused(data_config):
    """The archive's checksum catches damage in the middle of the numbers."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        load_dataset("burgers_1d", data_config)


def test_foreign_parameters_are_refused(data_config):
    """A file of other parameters under this name is not taken for this data set."""
    other = dataclasses.replace(data_config, seed=4)
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    load_dataset("burgers_1d", other)
    (foreign,) = set(cached(data_config)) - {path}
    shutil.copy(foreign, path)
    with pytest.raises(InputError, match=f"{path} holds parameters"):
        load_dataset("burgers_1d", data_config)


def test_pickled_arrays_are_refused(data_config):
    """Reading a data set never runs code: an object array in the file is an error."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    rewrite(path, u=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=str(path)):
        load_dataset("burgers_1d", data_config)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(data_config, value):
    """The message says which split, field and place: trajectory 2 of the file is the validation one."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    with np.load(path) as file:
        u = file["u"]
    u[2, 4, 7, 0] = value
    rewrite(path, u=u)
    with pytest.raises(InputError, match=r"val\.u .*\(0, 4, 7, 0\)"):
        load_dataset("burgers_1d", data_config)


def test_times_that_do_not_increase_are_refused(data_config):
    """A repeated frame time would divide by zero in the posterior."""
    dataset = load_dataset("burgers_1d", data_config)
    t = dataset.t.copy()
    t[3] = t[2]
    with pytest.raises(InputError, match="increase"):
        check_dataset(dataset._replace(t=t))


def test_noise_level(data_config):
    """`u - u_true` has mean 0 and the deviation asked for, within five standard errors of all its values."""
    dataset = load_dataset("burgers_1d", data_config)
    noise = np.concatenate([(s.u - s.u_true).ravel() for s in (dataset.train, dataset.val, dataset.test)])
    assert abs(noise.mean()) < 5 * 1e-3 / np.sqrt(noise.size)
    assert abs(noise.std() - 1e-3) < 5 * 1e-3 / np.sqrt(2 * noise.size)
    # White: neighbours in the array are uncorrelated.
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 5 / np.sqrt(noise.size)


def test_splits_do_not_depend_on_each_other(data_config):
    """More training trajectories leave the first ones, validation and test bit for bit as they were."""
    first = load_dataset("burgers_1d", data_config)
    more = load_dataset("burgers_1d", dataclasses.replace(data_config, num_train=3, num_val=2))
    np.testing.assert_array_equal(more.train.u[:2], first.train.u)
    np.testing.assert_array_equal(more.val.u[:1], first.val.u)
    np.testing.assert_array_equal(more.test.u, first.test.u)


def test_trajectories_all_differ(data_config):
    """No two of the trajectories of all splits share an initial condition."""
    dataset = load_dataset("burgers_1d", data_config)
    starts = np.concatenate([s.u_true[:, 0, :, 0] for s in (dataset.train, dataset.val, dataset.test)])
    for i in range(len(starts)):
        for j in range(i):
            assert np.abs(starts[i] - starts[j]).max() > 1e-3


def test_interrupted_write_leaves_nothing(data_config, monkeypatch):
    """Ctrl-C in the middle of writing: no file under the final name, none beside it, and the next load works."""

    def interrupted(file, **arrays):
        file.write(b"half a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_dataset("burgers_1d", data_config)
    assert cached(data_config) == []
    assert np.isfinite(load_dataset("burgers_1d", data_config).train.u).all()


def test_half_file_of_a_killed_process_is_never_read(data_config):
    """What a kill -9 leaves has another name, whatever is in it."""
    expected = load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    os.rename(path, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").write_bytes(b"half a file")
    assert_equal(load_dataset("burgers_1d", data_config), expected)
    assert path.exists()
