"""The cache of data sets: what is read back, what is refused, how the noise and the splits are drawn."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest

from msvi import provenance
from msvi.data import dataset as dataset_module
from msvi.data import store
from msvi.data.dataset import load_dataset
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.burgers_2d import Burgers2D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.data.equations.shallow_water_2d import ShallowWater2D
from msvi.data.equations.wave_1d import Wave1D
from msvi.data.split import check_dataset
from msvi.errors import InputError

SPLITS = ("train", "val", "test")
# Each generated case on a small grid. The flow past a cylinder is no set of random trajectories: `test_cylinder_2d.py`.
SMALL = {
    "burgers_1d": Burgers1D(num_points=40, num_frames=9, t1=0.2, max_dt=5e-3),
    "kdv_1d": KortewegDeVries1D(num_points=40, num_frames=9, t1=0.2, max_dt=5e-3),
    "burgers_2d": Burgers2D(num_points=12, num_frames=9, t1=0.2, max_dt=5e-3, viscosity=2e-2),
    "wave_1d": Wave1D(num_points=40, num_frames=9, t1=0.2, width_min=0.1, width_max=0.2),
    "shallow_water_2d": ShallowWater2D(num_points=12, num_frames=9, t1=0.2),
}
ARRAYS = {"train_u", "val_u", "test_u", "test_u_true"}
every_generated_case = pytest.mark.parametrize("case", SMALL)


def cached(config):
    """The folders in the cache folder."""
    return sorted(pathlib.Path(config.cache_dir).iterdir())


def refuse_to_generate(monkeypatch):
    monkeypatch.setattr(dataset_module, "_generate", lambda config, out: pytest.fail("generated again"))


def solve_again(config, split, index):
    """The noise-free solution of one trajectory in float64, from the generator that is its own."""
    rng = config.equation.generator(config.seed, SPLITS.index(split), index)
    return config.equation.solve(config.equation.sample_initial(rng))


def assert_equal(first, second):
    for name in SPLITS:
        for a, b in zip(getattr(first, name), getattr(second, name), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)


@every_generated_case
def test_cache_hit_gives_the_same_arrays_and_generates_nothing(data_config, case, monkeypatch):
    """Generated into a folder named by the case; the second load reads it as it is: same bits, same files, same
    modification times, no call of the generator."""
    config = dataclasses.replace(data_config, equation=SMALL[case])
    first = load_dataset(case, config)
    (path,) = cached(config)
    assert path.name.startswith(f"{case}-")
    files = {file: file.stat().st_mtime_ns for file in path.iterdir()}
    assert {file.name for file in files} == {f"{a}.npy" for a in ARRAYS} | {"parameters.json", "checksums.json"}
    refuse_to_generate(monkeypatch)
    assert_equal(load_dataset(case, config), first)
    assert cached(config) == [path] and {file: file.stat().st_mtime_ns for file in path.iterdir()} == files


@every_generated_case
def test_contents(data_config, case):
    """Split sizes, times and grid are those asked for; the truth is the solver's, to the rounding to float32, and kept
    for the test split alone."""
    equation = SMALL[case]
    config = dataclasses.replace(data_config, equation=equation)
    dataset = load_dataset(case, config)
    for name, number in zip(SPLITS, (2, 1, 1), strict=True):
        split = getattr(dataset, name)
        assert split.u.shape == (number, 9, *equation.grid, 1) and split.u.dtype == np.float32
        np.testing.assert_allclose(split.t, np.tile(np.arange(9) * 0.025, (number, 1)), rtol=1e-12)
    assert (dataset.grid, dataset.num_channels, dataset.boundary) == (equation.grid, 1, equation.boundary)
    assert len(dataset.coordinates) == len(equation.grid)
    for x, expected in zip(dataset.coordinates, equation.coordinates, strict=True):
        np.testing.assert_array_equal(x, expected)
    assert dataset.train.u_true is None and dataset.val.u_true is None
    assert (dataset.published is None) == (equation.published_end is None)
    assert dataset.second_test is None and dataset.solid is None
    np.testing.assert_array_equal(dataset.test.u_true[0], solve_again(config, "test", 0).astype(np.float32))
    truth = dataset.test.u_true[0]
    resolved = equation.solve(truth[0].astype(np.float64))
    np.testing.assert_allclose(truth, resolved, atol=1e-5)  # float32 round-off of the first frame


@every_generated_case
def test_second_test_set_is_the_test_set_of_its_seed(data_config, case):
    """As many trajectories, with the noise that they have there; the other splits stay as they are without it."""
    config = dataclasses.replace(data_config, equation=SMALL[case])
    other = load_dataset(case, dataclasses.replace(config, seed=5))
    without, dataset = load_dataset(case, config), load_dataset(case, dataclasses.replace(config, test_seed=5))
    assert_equal(without, dataset)
    np.testing.assert_array_equal(dataset.second_test.u, other.test.u)
    np.testing.assert_array_equal(dataset.second_test.u_true, other.test.u_true)


@pytest.mark.parametrize("changes", [{"test_seed": 3, "seed": 3}, {"test_seed": -1}])
def test_senseless_second_seeds_are_refused(data_config, changes):
    """That of the first test set, whose trajectories would be the same, and one that is none."""
    with pytest.raises(InputError, match="`data.test_seed` .*got"):
        dataclasses.replace(data_config, **changes)


def test_trajectories_inside_the_range_of_what_is_learned_from_are_known(data_config):
    """Amplitude and width, read off the truth, both within those of the training trajectories."""
    equation = dataclasses.replace(SMALL["burgers_1d"], num_frames=2, t1=1e-6)
    config = dataclasses.replace(data_config, equation=equation, num_train=4, num_test=12, noise_std=0.0)
    dataset = load_dataset("burgers_1d", config)

    def draws(u):
        u = u[:, 0, :, 0].astype(np.float64)  # a exp(-(x - .5)² / v), at .5 and .6
        return np.stack([u[:, 20], 0.01 / np.log(u[:, 20] / u[:, 24])], axis=1)

    seen, tested = draws(dataset.train.u), draws(dataset.test.u)
    inside = ((seen.min(axis=0) <= tested) & (tested <= seen.max(axis=0))).all(axis=1)
    np.testing.assert_array_equal(dataset.test.inside, inside)
    assert 0 < inside.sum() < 12 and dataset.train.inside.all()


def test_fields_stay_on_disk(data_config):
    """Nothing is read until it is looked at: a split may be larger than the memory. What was read cannot be changed."""
    dataset = load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    for name in ("train_u", "val_u", "test_u", "test_u_true"):
        split, field = name.split("_", 1)
        values = getattr(getattr(dataset, split), field)
        assert isinstance(values, np.memmap) and pathlib.Path(values.filename) == path / f"{name}.npy"
        assert values.mode == "r" and not values.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            values[0, 0] = 0.0


def test_fields_are_generated_into_files(data_config, monkeypatch):
    """Nor are all trajectories of a split in memory when it is made."""
    generate, given = dataset_module._generate, {}

    def watched(config, out):
        given.update(out)
        generate(config, out)

    monkeypatch.setattr(dataset_module, "_generate", watched)
    load_dataset("burgers_1d", data_config)
    assert given.keys() == ARRAYS and all(isinstance(values, np.memmap) for values in given.values())


def test_checksums_are_read_in_parts(tmp_path, monkeypatch):
    """A file of 40 MB never in one piece, and the checksum is that of the whole: CRC-32 of zeros, by zlib."""
    path = tmp_path / "zeros"
    with open(path, "wb") as file:
        file.truncate(40_000_000)
    largest = []
    crc32 = provenance.zlib.crc32
    monkeypatch.setattr(provenance.zlib, "crc32", lambda part, *start: largest.append(len(part)) or crc32(part, *start))
    assert provenance.file_checksum(str(path)) == crc32(bytes(40_000_000))
    assert max(largest) <= 2**24 and sum(largest) == 40_000_000


def test_cases_do_not_share_a_folder(data_config):
    """Two cases in one place, with equations of equal parameters as far as both have them, are two folders."""
    for case, equation in SMALL.items():
        load_dataset(case, dataclasses.replace(data_config, equation=equation))
    assert sorted(path.name.split("-")[0] for path in cached(data_config)) == sorted(SMALL)


@pytest.mark.parametrize(
    "change", [{"noise_std": 2e-3}, {"seed": 4}, {"num_test": 2}, {"equation": {"viscosity": 6e-3}}], ids=str
)
def test_other_parameters_get_another_folder(data_config, change):
    """One folder per set of parameters, each still read for its own."""
    first = load_dataset("burgers_1d", data_config)
    if "equation" in change:
        change = {"equation": dataclasses.replace(data_config.equation, **change["equation"])}
    other = load_dataset("burgers_1d", dataclasses.replace(data_config, **change))
    assert len(cached(data_config)) == 2
    assert_equal(load_dataset("burgers_1d", data_config), first)
    if "num_test" not in change:
        assert np.abs(other.test.u - first.test.u).max() > 1e-6


@pytest.mark.parametrize("name", ["train_u.npy", "test_u_true.npy", "parameters.json", "checksums.json"])
def test_damaged_file_is_refused(data_config, name):
    """Cut in half, empty, something else or gone: the message names the folder and says what to do."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    whole = (path / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not what it was", None):
        if damaged is None:
            (path / name).unlink()
        else:
            (path / name).write_bytes(damaged)
        with pytest.raises(InputError, match=f"(?s){path} .*; delete the folder") as error:
            load_dataset("burgers_1d", data_config)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(ARRAYS))
@pytest.mark.parametrize("place", [0.5, 0.999])
def test_flipped_bits_are_refused(data_config, name, place):
    """The checksum catches damage in the middle of the numbers, one bit of one of them, and says in which file."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    content = bytearray((path / f"{name}.npy").read_bytes())
    content[int(place * len(content))] ^= 0x10
    (path / f"{name}.npy").write_bytes(content)
    with pytest.raises(InputError, match=f"{path} has changed since it was written, see {name}.npy; delete the folder"):
        load_dataset("burgers_1d", data_config)


@pytest.mark.parametrize(
    "change",
    [lambda u: u[:1], lambda u: u[..., 0], lambda u: u.astype(np.float64), lambda u: np.asfortranarray(u) * 1.0001],
    ids=["trajectory missing", "axis missing", "other type", "other numbers"],
)
def test_other_arrays_are_refused(data_config, change):
    """A sound file of another array in place of the one that was there."""
    u = np.array(load_dataset("burgers_1d", data_config).train.u)
    (path,) = cached(data_config)
    np.save(path / "train_u.npy", change(u))
    with pytest.raises(InputError, match=f"{path} (holds|has changed).* train_u.*; delete the folder"):
        load_dataset("burgers_1d", data_config)


def test_foreign_parameters_are_refused(data_config):
    """A folder of other parameters under this name is not taken for this data set."""
    other = dataclasses.replace(data_config, seed=4)
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    load_dataset("burgers_1d", other)
    (foreign,) = set(cached(data_config)) - {path}
    shutil.rmtree(path)
    shutil.copytree(foreign, path)
    with pytest.raises(InputError, match=f'{path} holds parameters .*"seed": 4.*, expected .*"seed": 3.*; delete'):
        load_dataset("burgers_1d", data_config)


def test_parameters_are_readable(data_config):
    """Case and all parameters stand in the folder as plain JSON, so that one can tell what it is."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    found = json.loads((path / "parameters.json").read_text())
    assert found.pop("version") >= 2
    expected = {"case": "burgers_1d", "equation": dataclasses.asdict(data_config.equation)}
    names = ("num_train", "num_val", "num_test", "noise_std", "seed")
    assert found == expected | {name: getattr(data_config, name) for name in names}


def test_pickled_arrays_are_refused(data_config):
    """Reading a data set never runs code: an object array in the file is an error."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    np.save(path / "val_u.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=f"{path} cannot be read"):
        load_dataset("burgers_1d", data_config)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(data_config, value):
    """In data from elsewhere; the message says which split, field and place."""
    dataset = load_dataset("burgers_1d", data_config)
    u = np.array(dataset.val.u)
    u[0, 4, 7, 0] = value
    with pytest.raises(InputError, match=r"val\.u .*\(0, 4, 7, 0\)"):
        check_dataset(dataset._replace(val=dataset.val._replace(u=u)))
    assert check_dataset(dataset) is dataset


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_solutions_that_are_not_finite_are_refused(data_config, monkeypatch, value):
    """A solver that blew up in one trajectory: it is named, with what to do, and nothing is cached."""
    solve = Burgers1D.solve
    calls = []

    def blow_up(equation, u0):
        calls.append(u0)
        u = np.array(solve(equation, u0))
        u[-1, 3] = value if len(calls) == 3 else u[-1, 3]
        return u

    monkeypatch.setattr(Burgers1D, "solve", blow_up)
    with pytest.raises(InputError, match="val trajectory 0 is not finite; lower data.equation.max_dt"):
        load_dataset("burgers_1d", data_config)
    assert cached(data_config) == []


def test_times_that_do_not_increase_are_refused(data_config):
    """A repeated frame time would divide by zero in the posterior."""
    dataset = load_dataset("burgers_1d", data_config)
    for name in SPLITS:
        split = getattr(dataset, name)
        t = np.array(split.t)
        t[-1, 3] = t[-1, 2]
        with pytest.raises(InputError, match="increase"):
            check_dataset(dataset._replace(**{name: split._replace(t=t)}))


def test_noise_level(data_config):
    """`u` less the truth, solved again where it is not kept, has mean 0 and the deviation asked for, within five
    standard errors of all its values."""
    dataset = load_dataset("burgers_1d", data_config)
    truth = {name: [solve_again(data_config, name, i) for i in range(len(getattr(dataset, name).u))] for name in SPLITS}
    noise = np.concatenate([(getattr(dataset, name).u - truth[name]).ravel() for name in SPLITS])
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
    np.testing.assert_array_equal(more.test.u_true, first.test.u_true)


def test_trajectories_all_differ(data_config):
    """No two of the trajectories of all splits share an initial condition; without noise, which tells any two apart."""
    dataset = load_dataset("burgers_1d", dataclasses.replace(data_config, noise_std=0.0))
    starts = np.concatenate([s.u[:, 0, :, 0] for s in (dataset.train, dataset.val, dataset.test)])
    for i in range(len(starts)):
        for j in range(i):
            assert np.abs(starts[i] - starts[j]).max() > 1e-3


@pytest.mark.parametrize("moment", ["generating", "checksums"])
def test_interrupted_write_leaves_nothing(data_config, monkeypatch, moment):
    """Ctrl-C after some of the numbers, or after all: no folder under the final name, none beside it, and the next load
    works."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    def half(config, out):
        out["train_u"][0] = 1.0
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "generating":
            patch.setattr(dataset_module, "_generate", half)
        else:
            patch.setattr(store, "file_checksum", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_dataset("burgers_1d", data_config)
    assert cached(data_config) == []
    assert np.isfinite(load_dataset("burgers_1d", data_config).train.u).all()


def test_half_folder_of_a_killed_process_is_never_read(data_config):
    """What a kill -9 leaves has another name, whatever is in it."""
    expected = load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    left = shutil.copytree(path, f"{path}.tmp")
    (pathlib.Path(left) / "train_u.npy").write_bytes(b"half a file")
    shutil.rmtree(path)  # what is mapped from it stays
    assert_equal(load_dataset("burgers_1d", data_config), expected)
    assert path.exists()


def test_others_may_read_the_cache(data_config):
    """The folder has the rights that a new folder has, not those of a temporary one."""
    load_dataset("burgers_1d", data_config)
    (path,) = cached(data_config)
    assert path.stat().st_mode & 0o777 == 0o755
