"""Configurations: every variant builds, plain data and JSON give it back, and what cannot be used is refused."""

import copy
import dataclasses
import functools
import json
import math
import os

import pytest
from smoke import ROOT, change, load_module

from msvi.config import Config, differences, from_dict, load_json, to_dict
from msvi.data.config import EQUATIONS
from msvi.data.equations.burgers_1d import Burgers1D
from msvi.data.equations.burgers_2d import Burgers2D
from msvi.data.equations.kdv_1d import KortewegDeVries1D
from msvi.errors import InputError
from msvi.recipe.variants import PUBLISHED, make_variant

FILES = sorted((ROOT / "configs").glob("*.py"))


def variant_names(path):
    """The variants of a file, from its refusal of another, so that a new one cannot be forgotten here."""
    with pytest.raises(ValueError, match=r"^The variant must be \w+(, \w+)*, got 'smok'\.$") as error:
        load_module(path).get_config("smok")
    return str(error.value).removeprefix("The variant must be ").removesuffix(", got 'smok'.").split(", ")


def variants():
    """Every (file, variant)."""
    return [
        pytest.param(path, variant, id=f"{path.stem}:{variant}") for path in FILES for variant in variant_names(path)
    ]


def read(case, variant="default"):
    """The configuration in a file of configs/."""
    return from_dict(load_module(ROOT / "configs" / f"{case}.py").get_config(variant).to_dict())


def with_value(name, value, config=None):
    """The default configuration, or another, as plain data with one field, `group.field`, set or added."""
    values = copy.deepcopy(to_dict(config or Config()))
    *groups, field = name.split(".")
    target = values
    for group in groups:
        target = target[group]
    target[field] = value
    return values


def refusal(name, value, config=None):
    """The message with which that value is refused, checked to be one line without Python in it."""
    with pytest.raises(InputError) as error:
        from_dict(with_value(name, value, config))
    text = str(error.value)
    assert "\n" not in text and "<class" not in text and text.endswith((".", "?"))
    return text


@pytest.mark.parametrize(("path", "variant"), variants())
def test_every_variant_builds(path, variant):
    """Every variant of every file in configs/ is a valid configuration, the same after a trip through JSON."""
    config = from_dict(load_module(path).get_config(variant).to_dict())
    assert config.case == path.stem
    text = json.dumps(to_dict(config), allow_nan=False)
    again = from_dict(json.loads(text))
    assert again == config and hash(again) == hash(config)
    assert json.dumps(to_dict(again)) == text


def test_every_case_has_a_file():
    """And every file a case, of the same name."""
    assert [path.stem for path in FILES] == sorted(EQUATIONS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_variants_are_what_they_say(path):
    """The usual variants are there, every one changes something, and none the case, the seed or the noise."""
    found = variant_names(path)
    assert found[0] == "default" and {"published", "demo", "smoke"} <= set(found)
    default = read(path.stem)
    for variant in found[1:]:
        config = read(path.stem, variant)
        assert differences(default, config), variant
        assert (config.case, config.seed, config.data.noise_std) == (path.stem, 0, default.data.noise_std)
    changed = {line.partition(":")[0] for line in differences(default, read(path.stem, "demo"))}
    assert changed == {"train.steps"}
    assert not any(line.startswith("data.") for line in differences(default, read(path.stem, "published")))
    # What a recipe adds to the lift is not the paper's.
    model = read(path.stem, "published").model
    assert (model.hold_kernel, model.lift_radius) == (False, 0)


def test_defaults():
    """Cases on a periodic line move the microscale's frame and shift windows within a cell, where the field has edges
    there is nothing to shift around; Korteweg–de Vries has the paper's noise and filter. Every case has variances
    scaled on validation, and but for the single flow a second test set."""
    for case in ("burgers_1d", "kdv_1d", "wave_1d"):
        assert read(case).model.micro_frame == "moving" and read(case).train.random_shift == 49
    assert (read("kdv_1d").data.noise_std, read("kdv_1d").model.n_sigma) == (1e-2, 2)
    for case in EQUATIONS.keys() - {"custom"}:
        assert read(case).forecast.dispersion == "validation"
        assert read(case).data.test_seed == (0 if case == "cylinder_2d" else 1)
        assert (read(case).train.decay_rate, read(case).train.decay_steps) == (0.9, 1000)
    assert read("kdv_1d").data.equation == KortewegDeVries1D()
    assert read("burgers_2d").data.equation == Burgers2D()
    for case in EQUATIONS.keys() - {"custom"}:
        config = read(case)
        periodic = set(config.data.equation.boundary) == {"periodic"}
        assert config.train.random_shift == (config.model.coarsening - 1 if periodic else 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_closure(path):
    """The baseline has no microscale latents, in no layout but the paper's, and no random shifts, except where they
    were measured to help; it is the recipe otherwise, mesh and data too."""
    closure, default = read(path.stem, "closure"), read(path.stem)
    assert closure.model.micro_dim == 0
    assert closure.train.random_shift == (default.train.random_shift if path.stem == "kdv_1d" else 0)
    assert closure.model.micro_layout == "global"
    free = ("model.micro_dim", "model.micro_layout", "train.random_shift", "inference.drift_weight")
    assert differences(default, closure, ignore=free) == []


def test_own_changes_of_a_case():
    """A case's own changes to a variant come last; those to other variants, and the recipe itself, are left alone."""
    recipe = read("burgers_2d")
    before = to_dict(recipe)
    own = {"published": {"train.steps": 5, "data.equation.num_frames": 900}, "demo": {"train.steps": 7}}
    published = make_variant(recipe, "published", own)
    assert (published.train.steps, published.data.equation.num_frames) == (5, 900)
    assert published.train.learning_rate == PUBLISHED["train.learning_rate"]
    assert published.inference.num_quadrature == PUBLISHED["inference.num_quadrature"]
    assert make_variant(recipe, "demo", own) == change(recipe, "train", steps=7)
    assert make_variant(recipe, "default", own) == recipe and to_dict(recipe) == before
    with pytest.raises(InputError, match="has no field `stepz`"):
        make_variant(recipe, "demo", {"demo": {"train.stepz": 5}})


def test_paths_are_the_same_however_written():
    """A run goes on where the folder it started from is given by another path; another folder is another run."""
    config = change(Config(), "train", warm_start="runs/a")
    assert differences(config, change(config, "train", warm_start=os.path.abspath("runs/../runs/a"))) == []
    assert differences(config, change(config, "train", warm_start="runs/b")) == ["train.warm_start: runs/a -> runs/b"]
    assert differences(config, Config()) == ["train.warm_start: runs/a -> "]


# Trajectories to train on, frames a window, windows a trajectory, epochs, and frames in all to train on. A window
# begins with the last frame of the one before it. The wave and shallow water are the later paper's, learned here by the
# rule of the first.
PUBLISHED_EPOCHS = {
    "burgers_1d": (8, 128, 8, 500, 8 * 1001),
    "kdv_1d": (8, 128, 8, 500, 8 * 1001),
    "burgers_2d": (18, 128, 8, 500, 18 * 1001),
    "cylinder_2d": (1, 128, 11, 2000, 1301),
    "wave_1d": (20, 128, 8, 500, 20 * 1001),
    "shallow_water_2d": (96, 64, 2, 500, 96 * 101),
}


@pytest.mark.parametrize("case", PUBLISHED_EPOCHS)
def test_published_recipe(case):
    """The numbers of the published recipe that the paper gives: they are compared with, so they must not drift.

    The paper divides the residual of a window by the number of all training frames. Our objective is per frame of the
    window and value of the field, so that our weight has these as factors; the files round it, by less than 1 %.
    """
    config = read(case, "published")
    num_train, window, windows, epochs, frames = PUBLISHED_EPOCHS[case]
    assert windows == math.ceil((frames // num_train - 1) / (window - 1))
    assert config.data.num_train == num_train
    assert config.train.steps == epochs * num_train * windows and config.train.batch_windows == 1
    assert (config.train.learning_rate, config.train.decay_rate, config.train.decay_steps) == (1e-3, 0.9, 1000)
    assert config.train.average_decay == 0 and config.train.clip_norm == 0 and config.train.random_shift == 0
    assert config.model.micro_frame == "fixed" and config.model.micro_dim == 5
    inference = config.inference
    assert (inference.window, inference.num_nodes, inference.num_scored, inference.num_quadrature) == (
        window,
        window,
        window,
        10,
    )
    values = math.prod(config.data.equation.grid) * (2 if case == "cylinder_2d" else 1)
    assert inference.drift_weight == pytest.approx(window * values / frames, rel=0.01)


def test_published_networks_of_burgers_2d():
    """Widths and initial values that are the paper's, and the 1000 steps over which the residual's weight rises."""
    config = read("burgers_2d", "published")
    assert (config.model.macro_hidden, config.model.micro_hidden) == ((128, 512, 128), (512, 256, 128))
    assert (config.model.encoder_hidden, config.model.decoder_hidden) == ((128, 128), (128, 128))
    assert (config.train.steps, config.inference.drift_warmup_steps) == (72_000, 1000)
    assert config.inference.drift_weight == 116.0


@pytest.mark.parametrize(
    ("case", "noise_std", "num_train", "coarse_grid", "grid", "equation"),
    [
        (
            "burgers_1d",
            1e-3,
            8,
            (20,),
            (1000,),
            {"extent": 1.0, "viscosity": 5e-4, "amplitude_mean": 0.25, "amplitude_std": 0.05}
            | {"width_mean": 0.01, "width_std": 0.0025, "max_dt": 1e-3, "num_frames": 1001, "t1": 1.0},
        ),
        (
            "kdv_1d",
            1e-2,
            8,
            (20,),
            (1000,),
            {"extent": 10.0, "dispersion": 0.02, "amplitude_mean": 2.0, "amplitude_std": 0.1}
            | {"width_mean": 1.0, "width_std": 0.1, "num_frames": 1001, "t1": 1.0},
        ),
        (
            "burgers_2d",
            1e-3,
            18,
            (8, 8),
            (128, 128),
            {"viscosity": 5e-3, "amplitude_mean": 1.0, "amplitude_std": 0.1, "width_mean": 0.2, "width_std": 0.01}
            | {"max_dt": 1e-3, "num_frames": 1001, "t1": 1.0, "boundary": ("edge", "edge")},
        ),
        ("cylinder_2d", 0.0, 1, (32, 8), (320, 80), {"reynolds": 160.0, "boundary": ("edge", "edge")}),
    ],
)
def test_numbers_of_the_paper(case, noise_std, num_train, coarse_grid, grid, equation):
    """Every recipe learns the paper's data, on the paper's mesh, and is tested on 16 trajectories or forecasts."""
    for variant in ("default", "published"):
        config = read(case, variant)
        data, model = config.data, config.model
        assert (data.noise_std, data.num_train, data.num_test) == (noise_std, num_train, 16)
        assert data.equation.grid == grid
        assert tuple(n // model.coarsening for n in grid) == coarse_grid
        assert {name: getattr(data.equation, name) for name in equation} == equation


@pytest.mark.parametrize(("case", "n_sigma"), [("burgers_1d", 3), ("kdv_1d", 2)])
def test_filters_of_the_paper(case, n_sigma):
    """Half-widths of the kernels, in cells."""
    assert {read(case, variant).model.n_sigma for variant in ("default", "published")} == {n_sigma}


def test_equation_of_another_case():
    """Refused where a case is paired with it in code, and where only the case is changed in a file."""
    for case, equation in (("kdv_1d", Burgers1D()), ("burgers_1d", KortewegDeVries1D())):
        with pytest.raises(InputError, match=f"that of case {case}, got {type(equation).__name__}"):
            change(Config(case=case, data=read(case).data), "data", equation=equation)
    assert refusal("case", "kdv_1d").startswith("`config.data.equation` has no field `viscosity`; known are num_frames")
    assert "no field `dispersion`" in refusal("case", "burgers_1d", read("kdv_1d"))


def test_json_file(tmp_path):
    """A file written with `to_dict` is read back equal: tuples from lists, the equation in its own class."""
    config = change(Config(seed=3), "model", macro_hidden=(7, 9))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(config)))
    read = load_json(str(path))
    assert read == config and type(read.data.equation) is type(config.data.equation)
    assert read.model.macro_hidden == (7, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("", "cannot be read"),
        ('{"case": "burgers_1d", "se', "cannot be read"),
        ("\x00\xff", "cannot be read|got str"),
        ("[1, 2]", "got list"),
        ("{}", f"`case` must be one of {', '.join(EQUATIONS)}, got None"),
        ('{"case": ["burgers_1d"]}', "`case` must be one of burgers_1d"),
        ('{"case": "burgers_1d", "model": null}', "`config.model` must be a group of fields, got None"),
    ],
)
def test_json_file_that_is_none(tmp_path, text, message):
    """A file that is missing, cut short or something else ends in one sentence."""
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message) as error:
        load_json(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.micro_dmi", "`config.model` has no field `micro_dmi`; did you mean `micro_dim`?"),
        ("sed", "`config` has no field `sed`; did you mean `seed`?"),
        ("data.equation.viscocity", "`config.data.equation` has no field `viscocity`; did you mean `viscosity`?"),
        ("train.learning_rat", "`config.train` has no field `learning_rat`; did you mean `learning_rate`?"),
    ],
)
def test_unknown_field_with_a_neighbour(name, message):
    """A misspelt field is refused with the group and the nearest name."""
    assert refusal(name, 1) == message


def test_unknown_field_without_a_neighbour():
    """Where nothing is near, all fields of the group are listed."""
    text = refusal("forecast.xyz", 1)
    assert all(field.name in text for field in dataclasses.fields(Config().forecast))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.micro_dim", "abc"),
        ("model.micro_dim", 2.5),
        ("model.micro_dim", True),
        ("model.micro_dim", None),
        ("model.micro_clock", 1),
        ("model.macro_hidden", 16),
        ("model.macro_hidden", "16"),
        ("model.macro_hidden", ("a", "b")),
        ("model.macro_hidden", (16.0,)),
        ("model.macro_hidden", (True,)),
        ("train.learning_rate", "1e-3"),
        ("train.learning_rate", False),
        ("train.steps", 1e3),
        ("data.cache_dir", 3),
        ("data.equation", 5),
        ("data.equation", None),
        ("model", [1]),
        ("case", "burgers"),
        ("case", None),
    ],
)
def test_ill_typed_value(name, value):
    """Another type is refused with the field and the value named; a whole number may stand for a fraction."""
    text = refusal(name, value)
    assert name.split(".")[-1] in text
    assert repr(value) in text or str(value) in text


def test_whole_number_for_a_fraction():
    """`1` where a float belongs is that float, so that JSON written by hand works."""
    config = from_dict(with_value("train.learning_rate", 1))
    assert type(config.train.learning_rate) is float and config.train.learning_rate == 1.0


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("inference.window", 1002, ["inference.window", "1002", "1001 frames"]),
        ("model.coarsening", 7, ["model.coarsening", "(1000,)", "7"]),
        ("inference.num_nodes", 129, ["inference.num_nodes", "129", "128"]),
        ("inference.num_scored", 129, ["inference.num_scored", "129", "128"]),
        ("data.equation.num_points", 100_000, ["data.equation.max_dt", "100000 points", "stable"]),
    ],
)
def test_fields_that_do_not_fit_each_other(name, value, parts):
    """Both sides of what does not fit are named with their values, before any data is generated."""
    text = refusal(name, value)
    assert all(part in text for part in parts), text


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("seed", [-1, 2**32]),  # JAX takes it modulo 2**32
        ("data.num_train", [0]),
        ("data.num_val", [0]),
        ("data.num_test", [0]),
        ("data.noise_std", [-1e-3, float("nan")]),
        ("data.seed", [-1]),
        ("data.equation.num_points", [2, 0, -1000]),
        ("data.equation.num_frames", [1, 0, -3]),
        ("data.equation.viscosity", [0.0, -1.0, float("nan"), float("inf")]),
        ("data.equation.t1", [0.0, -1.0, float("nan"), float("inf")]),
        ("data.equation.max_dt", [0.0, -1.0, float("nan")]),
        ("data.equation.width_mean", [0.0, -1.0, float("nan")]),
        ("data.equation.width_std", [-1.0, float("nan")]),
        ("data.equation.amplitude_std", [-1.0, float("nan")]),
        ("model.micro_dim", [-2]),
        ("model.coarsening", [0, -50]),
        ("model.n_sigma", [0]),
        ("model.stencil_radius", [-2]),
        ("model.linear_radius", [-2]),
        ("model.encoder_pooling", [-4]),
        ("model.time_unit", [-1.0, float("nan"), float("inf")]),
        ("model.micro_frame", ["still"]),
        ("model.coordinates", ["waves"]),
        ("model.cell_features", [-1]),
        ("model.drift_scale", [0.0, -1.0, float("nan"), float("inf")]),
        ("model.macro_hidden", [(0,), (16, -1)]),
        ("model.micro_hidden", [(0, 0), (16, -1)]),
        ("model.encoder_hidden", [(-1,)]),
        ("model.decoder_hidden", [(64, 0)]),
        ("inference.posterior", ["gaussian"]),
        ("inference.rotation", ["full"]),
        ("inference.window", [1, -2]),
        ("inference.num_nodes", [1, -2]),
        ("inference.num_scored", [-1]),
        ("inference.num_quadrature", [-1]),
        ("inference.init_rate", [0.0, -1.0]),
        ("inference.init_length", [0.0]),
        ("inference.init_noise", [0.0]),
        ("inference.drift_weight", [-1.0, float("nan")]),
        ("inference.drift_warmup_steps", [-1]),
        ("train.steps", [-1]),
        ("train.learning_rate", [-1e-3, float("nan"), float("inf")]),
        ("train.decay_rate", [0.0, -0.9]),
        ("train.decay_steps", [0]),
        ("train.batch_windows", [0]),
        ("train.random_shift", [-2]),
        ("train.clip_norm", [-1.0, float("nan")]),
        ("train.average_decay", [-0.1, 1.0, float("nan")]),
        ("train.log_every", [0]),
        ("train.eval_every", [0]),
        ("forecast.num_members", [0]),
        ("forecast.num_val_members", [0]),
        ("forecast.stride", [0, -1]),
        ("forecast.steps_per_frame", [-1]),
    ],
)
def test_value_out_of_range(name, values):
    """A value that cannot work is refused when it is read, with the field and the value in the message."""
    for value in values:
        text = refusal(name, value)
        assert name.split(".")[-1] in text and str(value) in text, text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.encoder_pooling", 0),
        ("model.time_unit", 0),
        ("model.micro_frame", "auto"),
        ("model.coordinates", "auto"),
        ("inference.posterior", "auto"),
        ("inference.window", 0),
        ("inference.num_nodes", 0),
        ("inference.num_scored", 0),
        ("inference.num_quadrature", 0),
        ("inference.drift_weight", 0.0),
        ("train.random_shift", -1),
    ],
)
def test_value_left_to_the_data(name, value):
    """What follows from the training trajectories may be left open in any case, not only with a file."""
    group, field = name.split(".")
    assert getattr(getattr(from_dict(with_value(name, value)), group), field) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 3),
        ("data.num_test", 5),
        ("data.equation.viscosity", 4e-4),
        ("model.cell_features", 3),
        ("model.macro_hidden", (7,)),
        ("inference.window", 150),
        ("train.clip_norm", 0.0),
        ("forecast.stride", 4),
    ],
)
def test_missing_field(name, value):
    """A configuration written by an older version lacks fields: each takes its default, and no other changes."""
    values = with_value(name, value)
    assert len(differences(from_dict(values), Config())) == 1
    *groups, field = name.split(".")
    del functools.reduce(dict.__getitem__, groups, values)[field]
    assert from_dict(values) == Config()


@pytest.mark.parametrize("case", ["burgers_1d", "kdv_1d", "burgers_2d"])
def test_missing_group(case):
    """Nor need a group be there; the equation is then that of the case, with its own defaults."""
    config = read(case)
    values = to_dict(config)
    del values["data"]["equation"], values["inference"]
    assert from_dict(values) == dataclasses.replace(config, inference=Config().inference)
    assert from_dict({"case": "burgers_1d"}) == Config()


def test_shifts_need_periodic_axes():
    """Refused when the configuration is read, before gigabytes are generated."""
    config = read("burgers_2d")
    with pytest.raises(InputError, match=r"periodic axes, got \('edge', 'edge'\) and a shift of 3; set it to 0"):
        change(config, "train", random_shift=3)


def test_differences():
    """Exactly the changed fields, old and new; nothing for equal configurations."""
    old = Config()
    assert differences(old, from_dict(to_dict(old))) == []
    new = dataclasses.replace(change(change(old, "model", micro_dim=3), "train", learning_rate=7e-3), seed=4)
    assert sorted(differences(old, new)) == [
        f"model.micro_dim: {old.model.micro_dim} -> 3",
        "seed: 0 -> 4",
        f"train.learning_rate: {old.train.learning_rate} -> 0.007",
    ]
    equation = dataclasses.replace(old.data.equation, num_frames=501)
    assert differences(old, change(old, "data", equation=equation)) == ["data.equation.num_frames: 1001 -> 501"]


def test_configuration_is_frozen():
    """Nothing downstream can change a run's configuration, and equal ones are one key of a cache."""
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.steps = 3
    assert hash(config) == hash(Config()) and config == Config()
