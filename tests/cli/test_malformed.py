"""Files that cannot be used, handed to the commands: each is refused in one sentence, and nothing is written.

Command lines and configurations that cannot be used are in `test_cli`.
"""

import json
import pathlib
import shutil

import h5py
import numpy as np
import pytest
import zarr
from smoke import ROOT, assert_refused, run_commands, snapshot

pytest_plugins = ["smoke"]
pytestmark = pytest.mark.slow

TRAIN, EVALUATE, INSPECT = (str(ROOT / name) for name in ("train.py", "evaluate.py", "msvi/__main__.py"))
OWN = [TRAIN, f"--config={ROOT / 'configs' / 'custom.py'}:smoke", "--workdir=new"]

NUM_FRAMES, NUM_POINTS = 20, 40


def whole():
    """Arrays of a file that can be used: six trajectories of a travelling wave."""
    t, x = np.linspace(0, 1, NUM_FRAMES), np.arange(NUM_POINTS) / NUM_POINTS
    phase = np.random.default_rng(0).random((6, 1, 1))
    u = np.sin(2 * np.pi * (x - t[:, None] + phase))[..., None]
    return {"u": u, "t": t, "x": x, "boundary": np.array(["periodic"]), "coarsening": np.array(8)}


def changed(**arrays):
    """Those arrays with some others in their place; None leaves one out."""
    return {name: array for name, array in (whole() | arrays).items() if array is not None}


def with_value(name, index, value):
    arrays = whole() | {"u_true": whole()["u"], "mu": np.zeros((6, 2))}
    arrays[name][index] = value
    return arrays


# Name: arrays of an .npz file, and what the one line must mention.
BAD_ARRAYS = {
    "no field": (changed(u=None), ["`u`", "found t, x, boundary, coarsening"]),
    "no times": (changed(t=None), ["`t`"]),
    "field without channel": (changed(u=whole()["u"][..., 0]), ["(6, 20, 40)", "(trajectory, time, *grid, channel)"]),
    "field of whole numbers": (changed(u=np.ones((6, 20, 40, 1), int)), ["`u`", "int64", "floating"]),
    "complex field": (changed(u=whole()["u"] * 1j), ["`u`", "complex128"]),
    "infinity in the field": (with_value("u", (2, 3, 4), np.inf), ["not finite", "`u`"]),
    "infinite truth": (with_value("u_true", (2, 3, 4), np.inf), ["inf", "u_true"]),
    "NaN among parameters": (with_value("mu", (1, 1), np.nan), ["`mu`"]),
    "times that go back": (changed(t=whole()["t"][::-1]), ["`t`", "increas"]),
    "a time twice": (changed(t=np.r_[0.0, whole()["t"][:-1]]), ["`t`", "increas"]),
    "times of other frames": (changed(t=np.arange(21.0)), ["`t`", "(21,)", "(20)"]),
    "mask of another shape": (changed(mask=np.ones((6, 19), bool)), ["`mask`", "(6, 19)", "(6, 20)"]),
    "nothing observed": (changed(mask=np.zeros((6, 20), bool)), ["6 of 6 trajectories", "observed frames"]),
    "parameters of other trajectories": (changed(mu=np.ones((5, 1))), ["`mu`", "(5, 1)"]),
    "forcing on another grid": (changed(forcing=np.ones((6, 20, 39, 1))), ["`forcing`", "39"]),
    "truth of another shape": (changed(u_true=np.ones((6, 20, 40, 2))), ["`u_true`", "(6, 20, 40, 2)"]),
    "unknown split": (changed(split=np.array(["train"] * 4 + ["valid", "test"])), ["split", "valid"]),
    "split without tests": (changed(split=np.array(["train"] * 4 + ["val"] * 2)), ["0 trajectories for test"]),
    "unknown boundary": (changed(boundary=np.array(["wall"])), ["boundary", "wall", "periodic"]),
    "boundary of two axes": (changed(boundary=np.array(["edge", "edge"])), ["boundary", "1"]),
    "no boundary": (changed(boundary=None, coarsening=None), ["boundary", "--config.data.boundary"]),
    "coarsening that does not fit": (changed(coarsening=np.array(7)), ["7", "divisor of 40"]),
    "unequal points": (changed(x=np.arange(40) ** 2.0), ["`x`", "equal"]),
    "trajectories shorter than the window": (
        changed(u=whole()["u"][:, :12], t=whole()["t"][:12]),
        ["12 frames", "window of 16", "--config.inference.window"],
    ),
    "constant field": (changed(u=np.ones((6, 20, 40, 1))), ["vary", "constant"]),
    "objects": (changed(mu=np.array([{}] * 6, object)), ["mu", "object"]),
}
MORE_ARGUMENTS = {
    "more trajectories than there are": (["--config.data.num_train=9"], ["6 trajectories", "9 to learn from"]),
    "unknown boundary asked for": (["--config.data.boundary=wall"], ["data.boundary", "wall"]),
    "shift of an axis with edges": (
        ["--config.data.boundary=edge", "--config.train.random_shift=3"],
        ["train.random_shift", "edge"],
    ),
}


def damaged_files(folder):
    """Name: a file or folder that is no data, by what it is."""
    good = folder / "good.npz"
    np.savez(good, **whole())
    files = {
        "empty file": b"",
        "text": b"years of work\n" * 9,
        "half of an archive": good.read_bytes()[:5000],
        "flipped bytes": good.read_bytes()[:3000] + b"\xff" * 60 + good.read_bytes()[3060:],
        "Python pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00]\x94.",
        "classic NetCDF cut short": b"CDF\x01\x00\x00\x00\x00",
    }
    paths = {}
    for name, content in files.items():
        paths[name] = folder / name.replace(" ", "_")
        paths[name].write_bytes(content)
    with h5py.File(folder / "whole.h5", "w") as file:
        for name, array in whole().items():
            file[name] = array.astype("S") if array.dtype.kind == "U" else array
    paths["half of an HDF5 file"] = folder / "half.h5"
    paths["half of an HDF5 file"].write_bytes((folder / "whole.h5").read_bytes()[:20_000])
    paths["Darcy flow"] = folder / "darcy.h5"
    with h5py.File(paths["Darcy flow"], "w") as file:
        file["nu"], file["tensor"] = np.ones((4, 8, 8)), np.ones((4, 1, 8, 8))
        file["x-coordinate"] = file["y-coordinate"] = np.arange(8.0)
    paths["spherical grid"] = folder / "sphere.h5"
    with h5py.File(paths["spherical grid"], "w") as file:
        file.attrs.update(grid_type="spherical", n_trajectories=1, n_spatial_dims=2)
        for group in ("dimensions", "boundary_conditions", "scalars", "t0_fields", "t1_fields", "t2_fields"):
            file.create_group(group)
        file["dimensions"].attrs["spatial_dims"] = ["theta", "phi"]
    paths["empty folder"] = folder / "nothing"
    paths["empty folder"].mkdir()
    paths["Zarr that unpickles"] = folder / "pickle.zarr"
    group = zarr.open_group(paths["Zarr that unpickles"], mode="w", zarr_format=2)
    group.create_array("u", shape=(6, 20, 40, 1), dtype="f8")
    metadata = paths["Zarr that unpickles"] / "u" / ".zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"filters": [{"id": "pickle"}]}))
    paths["missing file"] = folder / "nowhere.npz"
    return paths


PARTS = {"Zarr that unpickles": ["pickle"], "spherical grid": ["spherical", "cartesian"], "Darcy flow": ["time"]}
FILES = [
    *("empty file", "text", "half of an archive", "flipped bytes", "Python pickle", "classic NetCDF cut short"),
    *("half of an HDF5 file", "Darcy flow", "spherical grid", "empty folder", "Zarr that unpickles", "missing file"),
]


def damaged_runs(run, folder):
    """Name: a copy of a finished run with something wrong in it, and what the one line must mention."""
    texts = {
        "configuration cut short": '{"case": "burg',
        "configuration of another version": json.dumps({"case": "burgers_1d", "lattice": 3}),
        "configuration that is a list": "[1, 2]",
    }
    runs = {}
    for name, text in texts.items():
        runs[name] = shutil.copytree(run, folder / name.replace(" ", "_"))
        (runs[name] / "config.json").write_text(text)
    name = "weights of another model"
    runs[name] = shutil.copytree(run, folder / "other_model")
    values = json.loads((runs[name] / "config.json").read_text())
    values["model"]["micro_dim"] = 3
    (runs[name] / "config.json").write_text(json.dumps(values))
    name = "all checkpoints damaged"
    runs[name] = shutil.copytree(run, folder / "damaged")
    for path in (runs[name] / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size:
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    return runs


RUN_PARTS = {
    "configuration cut short": ["configuration", "cannot be read"],
    "configuration of another version": ["lattice", "known are"],
    "configuration that is a list": ["configuration", "list"],
    "weights of another model": ["does not fit this model", "shape"],
    "all checkpoints damaged": ["damaged"],
}

CASES = [
    *(("train", name) for name in (*BAD_ARRAYS, *MORE_ARGUMENTS, *FILES, "no file at all")),
    *(("evaluate", name) for name in RUN_PARTS),
]


@pytest.fixture(scope="module")
def places(smoke_run, tmp_path_factory):
    """Paths of all files and runs, by name."""
    base = tmp_path_factory.mktemp("malformed")
    paths = damaged_files(base)
    for name, (arrays, _) in BAD_ARRAYS.items():
        paths[name] = base / f"{name.replace(' ', '-')}.npz"
        np.savez(paths[name], **arrays)
    return paths | damaged_runs(smoke_run.path, base) | {name: base / "good.npz" for name in MORE_ARGUMENTS}


@pytest.fixture(scope="module")
def finished(places, environment, tmp_path_factory):
    """Of every case, and of `inspect` for every file: exit status, output, stderr, files left behind; and all places
    before and after."""
    commands = {}
    for command, name in CASES:
        if command == "evaluate":
            commands[command, name] = [EVALUATE, f"--workdir={places[name]}"]
        else:
            path = [f"--config.data.path={places[name]}"] if name in places else []
            commands[command, name] = [*OWN, *path, *MORE_ARGUMENTS.get(name, ([], []))[0]]
    for name in FILES + list(BAD_ARRAYS):
        commands["inspect", name] = [INSPECT, "inspect", str(places[name])]
    before = snapshot(next(iter(places.values())).parent)
    base = tmp_path_factory.mktemp("commands")
    results = run_commands([(argv, {}) for argv in commands.values()], environment, base)
    after = snapshot(next(iter(places.values())).parent)
    return dict(zip(commands, results, strict=True)), before, after


@pytest.mark.parametrize(("command", "name"), CASES, ids=lambda text: text)
def test_refused(finished, command, name):
    """One sentence that names what is wrong; nothing is written, neither in the working folder nor beside the data."""
    code, out, err, left = finished[0][command, name]
    assert_refused(code, out, err)
    parts = BAD_ARRAYS.get(name) or MORE_ARGUMENTS.get(name)
    for part in parts[1] if parts else PARTS.get(name, RUN_PARTS.get(name, [])):
        assert part in err
    assert left == []


@pytest.mark.parametrize("name", FILES + list(BAD_ARRAYS))
def test_inspected(finished, name):
    """`inspect` ends with status 2 as well, without a traceback and without a file, for what a reader can see.

    What only a training knows, its window and mesh, it does not know.
    """
    code, out, err, left = finished[0]["inspect", name]
    known = name == "trajectories shorter than the window"
    assert code == (0 if known else 2), out + err
    assert "Traceback" not in out + err and left == []
    assert known or name not in BAD_ARRAYS or "wrong" in out + err or err.startswith("error: ")


def test_nothing_is_written(finished):
    """Every file and run handed in stands as it did; nothing was unpickled either, which would have left its mark."""
    assert finished[1] == finished[2]


def test_enough(finished):
    """At least forty kinds of files and folders, beside the command lines of `test_cli`."""
    assert len(CASES) >= 40
    assert all(pathlib.Path(left).name for *_, lefts in finished[0].values() for left in lefts)
