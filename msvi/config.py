"""The configuration of a run: the groups joined, read from plain data, checked and compared.

Each group stands beside the code that uses it. The library takes these frozen dataclasses; only the entry layer
(`msvi.cli.entry`, `configs/`) knows `ml_collections`. Numbers that follow from others (coarse grid, latent size, frame
spacing) are derived where the model is built, after overrides, and are therefore no fields.
"""

import dataclasses
import difflib
import inspect
import json
import os
import re
import types
from typing import Any

from msvi.baselines.config import BaselineConfig
from msvi.data.config import EQUATIONS, DataConfig
from msvi.errors import InputError
from msvi.forecast.config import ForecastConfig
from msvi.inference.config import InferenceConfig
from msvi.model.config import ModelConfig, check_pooling
from msvi.model.filter import MacroFilter
from msvi.model.multiscale import make_layout
from msvi.training.config import TrainConfig, check_shift

# Fields on which no number of a run depends: where it computes, where data lie, and what it tells of itself.
OF_NO_EFFECT = ("train.data_parallel", "train.data_on", "train.wandb", "data.cache_dir")


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
      case: name of the equation, a key of `msvi.data.config.EQUATIONS`; `custom` for a data file.
      seed: of the initial parameters and of everything drawn in training; the data have a seed of their own.
      data, model, inference, train, forecast, baseline: the groups.
    """

    case: str = "burgers_1d"
    seed: int = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    inference: InferenceConfig = InferenceConfig()
    train: TrainConfig = TrainConfig()
    forecast: ForecastConfig = ForecastConfig()
    baseline: BaselineConfig = BaselineConfig()

    def __post_init__(self):
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` must be at least 0 and below 2**32, got {self.seed}; choose another.")
        equation = self.data.equation
        if type(equation) is not EQUATIONS.get(self.case):
            raise InputError(f"`data.equation` must be that of case {self.case}, got {type(equation).__name__}.")
        if self.case == "custom":  # the file has yet to say the rest
            check_shift(self.train.random_shift, self.data.boundary)
            return
        if not self.model.coarsening:
            raise InputError("`model.coarsening` must be at least 1, got 0, which leaves it to a data file; change it.")
        check_shift(self.train.random_shift, equation.boundary)
        if self.data.path:  # grid and frames are then the file's
            return
        frames = equation.num_frames
        # Refuses a mesh and a pooling that do not fit before any data is generated.
        mesh = MacroFilter(equation.grid, self.model.coarsening, self.model.n_sigma, equation.boundary)
        check_pooling(self.model.encoder_pooling, equation.grid)
        if self.model.micro_layout != "auto":
            make_layout(self.model, mesh, 1)
        if self.inference.window > frames:
            raise InputError(
                f"`inference.window` needs at most as many frames as a trajectory has, got a window of "
                f"{self.inference.window} and {frames} frames; shorten the window or store more frames."
            )

    @property
    def folder(self) -> str:
        """What results are filed under: the case, and of a data file its name too."""
        if self.case != "custom":
            return self.case
        return os.path.join(self.case, os.path.splitext(os.path.basename(os.path.normpath(self.data.path)))[0])

    @property
    def label(self) -> str:
        """What tells a run from others of its folder: layout, microscale dimension and seed."""
        return f"{self.microscale}_s{self.seed}"

    @property
    def run_name(self) -> str:
        """What the run is called where only microscale and seed tell it from others, such as in runs/."""
        return f"{self.folder.replace(os.sep, '_')}_{self.label}"

    @property
    def microscale(self) -> str:
        """Layout and dimension of the microscale, `d3`, or with numbers in every coarse cell `cells_d3`; without the
        dimension where that is left to the data."""
        number = "" if self.model.micro_dim < 0 else f"d{self.model.micro_dim}"
        parts = ["" if self.model.micro_layout == "global" else self.model.micro_layout, number]
        return "_".join(filter(None, parts)) or "auto"


def field_texts() -> dict[str, tuple[Any, str]]:
    """For each field of the groups, `group.field`, its default and what the group's docstring says of it."""
    found = {}
    for group in dataclasses.fields(Config):
        kind = group.type
        if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
            continue
        about = _attribute_texts(kind)
        for field in dataclasses.fields(kind):
            if not dataclasses.is_dataclass(field.default):
                found[f"{group.name}.{field.name}"] = field.default, about[field.name]
    return found


def _attribute_texts(cls: type) -> dict[str, str]:
    """What stands under `Attributes:` in the docstring of a class, by name; names with commas between share a text."""
    lines, found, names = (inspect.getdoc(cls) or "").partition("Attributes:")[2].splitlines(), {}, ()
    for line in lines:
        if match := re.match(r"  ([a-z]\w*(?:, \w+)*): (.*)", line):
            names = tuple(match[1].split(", "))
            found |= dict.fromkeys(names, match[2])
        elif line.startswith("    "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            break
    return found


def to_dict(config: Config) -> dict[str, Any]:
    """`config` as nested plain data."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
    """`Config` from nested plain data, as `to_dict` or JSON give it; a field that is missing has its default.

    Raises:
      InputError: an unknown or ill-typed field, or a value that cannot be used.
    """
    if not isinstance(values, dict):
        raise InputError(f"A configuration must be groups of fields, got {values!r}.")
    case = values.get("case")
    if not isinstance(case, str) or case not in EQUATIONS:
        raise InputError(f"`case` must be one of {', '.join(EQUATIONS)}, got {case!r}.")
    return _build(Config, values, "config", equation=EQUATIONS[case])


def differences(old: Config, new: Config, ignore: tuple[str, ...] = ("data.cache_dir",)) -> list[str]:
    """The fields in which two configurations differ, as `name: old -> new`, but for those that do not matter.

    Args:
      ignore: beginnings of the names that do not matter: `"train."` is the whole group.
    """
    flat_old, flat_new = _flatten(to_dict(old)), _flatten(to_dict(new))
    names = sorted(flat_old.keys() | flat_new.keys())
    return [
        f"{name}: {flat_old.get(name)} -> {flat_new.get(name)}"
        for name in names
        if not name.startswith(ignore) and _comparable(name, flat_old) != _comparable(name, flat_new)
    ]


def load_json(path: str) -> Config:
    """`Config` from a JSON file written with `to_dict`.

    Raises:
      InputError: the file is missing, is no JSON, or does not hold a configuration.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f"Expected a configuration in {path}, but it cannot be read ({error}).") from None
    if not isinstance(values, dict):
        raise InputError(f"Expected a configuration in {path}, got {type(values).__name__}.")
    return from_dict(values)


def _comparable(name: str, flat: dict[str, Any]) -> Any:
    """The value of a field; of one that is a path, the place it leads to, however it is written."""
    value = flat.get(name)
    return os.path.abspath(value) if name in ("train.warm_start", "data.path") and value else value


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _build(cls: type, values: Any, path: str, equation: type):
    """Dataclass `cls` from a dict, recursively; the type of a field named `equation` depends on the case."""
    if not isinstance(values, dict):
        raise InputError(f"`{path}` must be a group of fields, got {values!r}.")
    fields = {field.name: field.type for field in dataclasses.fields(cls)}
    for name in values:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(fields)}."
            raise InputError(f"`{path}` has no field `{name}`; {hint}")
    # What is missing was written before the field came; its default keeps what was meant then.
    kinds = {name: equation if name == "equation" else kind for name, kind in fields.items()}
    values = {name: {} for name, kind in kinds.items() if dataclasses.is_dataclass(kind)} | values
    return cls(**{name: _convert(kinds[name], value, f"{path}.{name}", equation) for name, value in values.items()})


def _convert(kind: Any, value: Any, path: str, equation: type):
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _build(kind, value, path, equation)
    if isinstance(kind, types.GenericAlias):  # tuple[int, ...] or tuple[str, ...]
        item = kind.__args__[0]
        if not isinstance(value, list | tuple) or any(type(v) is not item for v in value):
            what = {int: "whole numbers", str: "words"}[item]
            raise InputError(f"`{path}` must be {what} separated by commas, got {value!r}.")
        # Of words the command line gives one, commas and all.
        return tuple(word for v in value for word in v.split(",")) if item is str else tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"`{path}` must be of type {kind.__name__}, got {value!r}.")
    return value
