"""The 2D cases from data to pictures, on their smoke variants: channels, edges, an animation, the paper's interval."""

import json
import math
import pathlib

import numpy as np
import pytest
from PIL import Image
from smoke import ROOT, change, load_module

from msvi.config import from_dict
from msvi.evaluation.evaluate import evaluate
from msvi.training.loop import train

FIGURES = {
    "latents.png",
    "error.png",
    "kernel.png",
    "training.png",
    "reliability.png",
    "spectra.png",
}


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["burgers_2d", "cylinder_2d", "shallow_water_2d"])
def evaluation(request, tmp_path_factory):
    """What `evaluate` returns after 20 steps."""
    path = tmp_path_factory.mktemp(request.param)
    config = from_dict(load_module(ROOT / "configs" / f"{request.param}.py").get_config("smoke").to_dict())
    config = change(config, "data", cache_dir=str(path / "data"))
    config = change(config, "train", steps=20)
    train(config, str(path / "run"))
    return evaluate(str(path / "run"), str(path / "results"))


def test_result(evaluation):
    """Errors of all test trajectories are finite, the floor is the noise, and the file holds what is returned."""
    result = json.loads(json.dumps(evaluation.result))  # lists for tuples
    assert json.loads(pathlib.Path(evaluation.paths[0]).read_text()) == result
    splits = [result["test"]]
    if result["case"] == "cylinder_2d":
        splits.append(result["published_test"])
        assert result["test"]["noise_floor"]["median"] == 0.0  # nothing is added to the simulation
        assert len(result["published_test"]["nrmse"]["per_trajectory"]) == 1
    else:
        assert "published_test" not in result and result["test"]["noise_floor"]["median"] > 0
    for split in splits:
        for errors in split.values():
            assert all(math.isfinite(value) for value in errors["per_trajectory"])
    assert [len(result["test"]["nrmse"]["per_trajectory"])] == [result["data"]["test"]]
    # Trained little, but trained: a forecast of zeros has the error 1.
    assert result["test"]["reconstruction_nrmse"]["median"] < 0.9


def test_figures(evaluation):
    """All are there; the animation moves, and has one frame for each of the 60 times it shows at most."""
    figures = [pathlib.Path(path) for path in evaluation.paths if "figures" in path]
    endings = ("_u", "_v") if evaluation.result["case"] == "cylinder_2d" else ("",)
    forecasts = {f"forecast{ending}.{kind}" for ending in endings for kind in ("png", "gif")}
    assert {path.name for path in figures} == FIGURES | forecasts
    gif = [path for path in figures if path.suffix == ".gif"][-1]
    with Image.open(gif) as animation:
        frames = []
        for number in range(animation.n_frames):
            animation.seek(number)
            frames.append(np.asarray(animation.convert("RGB"), float))
    assert 10 <= len(frames) <= 60
    assert np.abs(frames[-1] - frames[0]).max() > 50
