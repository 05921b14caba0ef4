"""What a trained model needs beside its weights, kept with the run, so that it can be used where its data are not."""

import dataclasses
import json
import os
from typing import Any, NamedTuple

import numpy as np

from msvi.config import Config, from_dict, to_dict
from msvi.data.labels import Labels
from msvi.data.split import Dataset
from msvi.errors import InputError
from msvi.model.condition import ConditionScale
from msvi.model.multiscale import MultiscaleModel
from msvi.provenance import versions
from msvi.scales import Scales

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
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        if values["format"] != _FORMAT:
            raise InputError(
                f"{path} has the format {values['format']}, this version of msvi reads {_FORMAT}; use the version that "
                f"wrote it, {values['versions']['msvi']}."
            )
        return _described(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise InputError(f"{path} does not describe a model of msvi ({reason}); put back a copy of it.") from None


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
