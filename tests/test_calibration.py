"""The dispersion of forecasts, scaled to what validation forecasts show."""

import jax
import numpy as np
import pytest
from smoke import assert_same_state, change

from msvi.errors import InputError
from msvi.evaluation import evaluate
from msvi.trained import load_trained
from msvi.training import loop
from msvi.training.calibration import calibrate, scale
from msvi.training.state import TrainState
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]


def make_state(log_q=0.0):
    """Weights of which only the dispersion is told apart."""
    model = {"log_q": np.full(3, log_q, np.float32), "drift": np.ones(2, np.float32)}
    return TrainState({"model": model}, {"model": model, "posterior": {}}, None, np.zeros((), np.int32), None)


def test_only_the_dispersion_of_forecasts_is_scaled():
    """`log Q` of the averaged weights; the weights that are trained stay."""
    state = scale(make_state(1.0), 0.25)
    np.testing.assert_allclose(state.average["model"]["log_q"], 1.0 + np.log(0.25), rtol=1e-6)
    np.testing.assert_array_equal(state.average["model"]["drift"], 1.0)
    np.testing.assert_array_equal(state.params["model"]["log_q"], 1.0)


@pytest.mark.parametrize("best", [2.0**-5, 1.0, 4.0])
def test_factors_go_to_the_best(best):
    """By one doubling or halving at each validation, and stay there."""

    def validate(state):
        miss = float(state.average["model"]["log_q"][0]) - np.log(best)
        return {"val_crps": 0.1 + miss**2}

    factor = 1.0
    for _ in range(6):
        entry = calibrate(validate, lambda entry: entry["val_crps"], make_state(), factor)
        assert abs(np.log2(entry["dispersion_factor"] / factor)) in (0, 1)
        factor = entry["dispersion_factor"]
    assert factor == best and entry["val_crps"] == pytest.approx(0.1)


def test_a_run_so_scaled(smoke_config, programs, tmp_path):
    """Weights and windows are those of any other run; forecasts are made with what the best validation had, whether the
    run was stopped in between or not."""
    config = change(smoke_config, "forecast", dispersion="validation")
    whole, plain, parts = (Workdir(str(tmp_path / name)) for name in ("whole", "plain", "parts"))
    state = loop.train(config, whole.path)
    assert_same_state(loop.train(smoke_config, plain.path), state)
    loop.train(change(config, "train", steps=20), parts.path)
    assert_same_state(loop.train(config, parts.path), state)
    seen = [entry for entry in whole.read_history() if "val_crps" in entry]
    assert [e["dispersion_factor"] for e in seen] == [
        e["dispersion_factor"] for e in parts.read_history() if "val_crps" in e
    ]
    best = min(seen, key=lambda entry: entry["val_crps"])
    before = [e["val_crps"] for e in plain.read_history() if "val_crps" in e]
    assert all(e["val_crps"] <= b for e, b in zip(seen[:1], before[:1], strict=True))
    trained = load_trained(whole.path)
    unscaled = whole.best.restore(state)[0].average["model"]
    np.testing.assert_allclose(
        trained.params["log_q"], unscaled["log_q"] + np.log(best["dispersion_factor"]), rtol=1e-5
    )
    jax.tree.map(np.testing.assert_array_equal, trained.params | {"log_q": 0}, unscaled | {"log_q": 0})
    with pytest.raises(InputError, match="`forecast.dispersion=bound`, got validation"):
        evaluate(plain.path, str(tmp_path / "results"), forecast={"dispersion": "validation"})
