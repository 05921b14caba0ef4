"""What a trained model needs beside its weights, kept with the run, so that it can be used where its data are not; and
one file that holds both."""

import dataclasses
import json
import os
import zipfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msvi.config import Config, from_dict, to_dict
from msvi.data.formats.arrays import reading
from msvi.data.labels import Labels
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.model.condition import ConditionScale
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales
from msvi.provenance import versions
from msvi.types import Params
from msvi.writing import replacing

# Raised when what is written can no longer be read as before.
_FORMAT = 1


class Described(NamedTuple):
    """What stands in the file.

    Attributes:
      config: with nothing left open.
      model: without its weights.
      coordinates: points of each axis.
      labels: names and units of the data.
    """

    config: Config
    model: MultiscaleModel
    coordinates: tuple[np.ndarray, ...]
    labels: Labels


def describe_model(config: Config, dataset: Dataset, model: MultiscaleModel) -> dict[str, Any]:
    """The content of `model.json`, plain data.

    Args:
      config: with nothing left open.
    """
    return {
        "format": _FORMAT,
        "versions": versions(),
        "config": to_dict(config),
        "boundary": list(dataset.boundary),
        "num_channels": dataset.num_channels,
        "coordinates": [points.tolist() for points in dataset.coordinates],
        "scales": dataclasses.asdict(model.scales),
        "condition_scale": dataclasses.asdict(model.condition_scale),
        "labels": dataset.labels._asdict(),
    }


def read_description(path: str) -> Described:
    """What `describe_model` wrote.

    Raises:
      InputError: there is no such file, or it is damaged or of a later version.
    """
    if not os.path.exists(path):
        raise InputError(
            f"There is no {path}, in which a run keeps what its model needs: an earlier version trained it; give its "
            "training command again with more steps, or train anew."
        )
    with open(path, encoding="utf-8") as file:
        return parse_description(file.read(), path)


def parse_description(text: str, path: str) -> Described:
    """The same of the text of such a file.

    Args:
      path: for errors.

    Raises:
      InputError: as there.
    """
    try:
        values = json.loads(text)
        if values["format"] != _FORMAT:
            raise InputError(
                f"{path} has the format {values['format']}, this version of msvi reads {_FORMAT}; use the version that "
                f"wrote it, {values['versions']['msvi']}."
            )
        return _described(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise InputError(f"{path} does not describe a model of msvi ({reason}); put back a copy of it.") from None


def write_archive(path: str, text: str, params: Params, record: dict[str, Any]) -> None:
    """One file that holds a model: `model.json`, what is known of its training in `record.json`, and each array of its
    weights as `params/…/NAME.npy`. Nothing is pickled.

    Args:
      path: of the archive, which must not exist.
      text: of `model.json`.
      params: the weights.
      record: plain data.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", text)
        archive.writestr("record.json", json.dumps(record, indent=1))
        for name, array in _named(params).items():
            with archive.open(f"params/{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def read_archive(path: str) -> tuple[Described, Params]:
    """What `write_archive` wrote, on any machine and with any version of JAX.

    Raises:
      InputError: it is no such archive, damaged, of a later version, or its weights do not fit the model of this one.
    """
    with reading(path, "archive", "export it again"), zipfile.ZipFile(path) as archive:
        found = parse_description(archive.read("model.json").decode(), path)
        arrays = {}
        for name in archive.namelist():
            if name.startswith("params/"):
                with archive.open(name) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                arrays[name.removeprefix("params/").removesuffix(".npy")] = array
    template = jax.eval_shape(found.model.init, jax.random.key(0))
    expected, got = ({name: a.shape for name, a in tree.items()} for tree in (_named(template), arrays))
    if expected != got:
        wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
        raise InputError(
            f"The weights in {path} do not fit the model that this version of msvi makes of its configuration "
            f"({', '.join(wrong[:3])}); use the version that wrote it, which model.json in the archive names."
        )
    leaves = [jnp.asarray(arrays[name]) for name in _named(template)]
    return found, jax.tree.unflatten(jax.tree.structure(template), leaves)


def _named(params: Params) -> dict[str, Any]:
    """Arrays by their place in the tree, `encoder/params/Dense_0/kernel`."""
    leaves = jax.tree.leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _described(values: dict[str, Any]) -> Described:
    config = from_dict(values["config"])
    coordinates = tuple(np.array(points) for points in values["coordinates"])
    labels = values["labels"]
    return Described(
        config,
        MultiscaleModel(
            config.model,
            tuple(map(len, coordinates)),
            values["num_channels"],
            tuple(values["boundary"]),
            Scales(**_tuples(values["scales"])),
            ConditionScale(**_tuples(values["condition_scale"])),
        ),
        coordinates,
        Labels(tuple(labels["axes"]), tuple(labels["channels"]), labels["attributes"]),
    )


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
