"""The dispersion of forecasts, scaled to what validation forecasts show."""

import jax
import numpy as np
import pytest
from smoke import assert_same_state, change

from msvi.errors import InputError
from msvi.evaluation.evaluate import evaluate
from msvi.training import loop
from msvi.training.calibration import calibrate, scale
from msvi.training.state import TrainState
from msvi.training.trained import load_trained
from msvi.training.workdir import Workdir

pytest_plugins = ["smoke"]


def make_state(log_q=0.0):
    """Weights of which only the dispersion is told apart."""
    ones = np.ones(2, np.float32)
    model = {"log_q": np.full(3, log_q, np.float32), "drift": ones, "macro_log_var": ones, "micro_log_var": 2 * ones}
    return TrainState({"model": model}, {"model": model, "posterior": {}}, None, np.zeros((), np.int32), None)


def test_only_the_variances_of_forecasts_are_scaled():
    """`log Q` of the averaged weights and the log-variances of both experts; the weights that are trained stay."""
    state = scale(make_state(1.0), 0.25, 0.5)
    np.testing.assert_allclose(state.average["model"]["log_q"], 1.0 + np.log(0.25), rtol=1e-6)
    np.testing.assert_allclose(state.average["model"]["macro_log_var"], 1.0 + np.log(0.5), rtol=1e-6)
    np.testing.assert_allclose(state.average["model"]["micro_log_var"], 2.0 + np.log(0.5), rtol=1e-6)
    np.testing.assert_array_equal(state.average["model"]["drift"], 1.0)
    np.testing.assert_array_equal(state.params["model"]["log_q"], 1.0)


@pytest.mark.parametrize(("own", "driven"), [(0.0, 4.0), (0.3, 4.0), (0.3, 0.4), (0.1, 400.0)])
def test_spread_is_brought_to_the_error(own, driven):
    """Squared spread that is a part of its own and one in proportion to the dispersion; the error is one."""

    def validate(state):
        factor = np.exp(float(state.average["model"]["log_q"][0]))
        return {"val_crps": 0.1, "val_spread_skill": np.sqrt(own + driven * factor), "val_decoder_spread": 1.1}

    entry = calibrate(validate, make_state())
    assert entry["dispersion_factor"] == pytest.approx((1 - own) / driven, rel=0.3)
    assert entry["val_spread_skill"] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("wide", [0.5, 3.0])
def test_the_decoder_is_brought_to_the_error_of_reconstructions_first(wide):
    """Its variance is divided by the square of what it is too wide; the dispersion then makes up what is missing.

    Squared spread is that of the decoder, of 0.04 where it is right, and one in proportion to the dispersion."""

    def validate(state):
        dispersion = np.exp(float(state.average["model"]["log_q"][0]))
        decoder = np.exp(float(state.average["model"]["micro_log_var"][0]) - 2.0) * wide**2
        spread = np.sqrt(0.04 * decoder + 0.5 * dispersion)
        return {"val_crps": 0.1, "val_spread_skill": spread, "val_decoder_spread": np.sqrt(decoder)}

    entry = calibrate(validate, make_state())
    assert entry["decoder_factor"] == pytest.approx(wide**-2, rel=1e-5)
    assert entry["dispersion_factor"] == pytest.approx(0.96 / 0.5, rel=0.1)
    assert entry["val_spread_skill"] == pytest.approx(1, abs=0.05)
    assert entry["val_decoder_spread"] == pytest.approx(wide)


@pytest.mark.parametrize("ratio", [None, 1.01])
def test_the_dispersion_stays_where_nothing_tells(ratio):
    """An ensemble of one, or a spread that is right: one validation, as without."""
    calls = []

    def validate(state):
        calls.append(state)
        return {"val_crps": 0.1, "val_spread_skill": ratio, "val_decoder_spread": ratio}

    assert calibrate(validate, make_state())["dispersion_factor"] == 1.0
    assert len(calls) == 1


def bearing(holds, right):
    """Validations whose members bear a factor on the dispersion up to `holds`; at `right` their spread is right."""

    def validate(state):
        factor = np.exp(float(state.average["model"]["log_q"][0]))
        bears = factor <= holds * (1 + 1e-6)
        ratio = np.sqrt(factor / right) if bears else None
        return {"val_crps": 0.1 if bears else None, "val_spread_skill": ratio, "val_decoder_spread": 1.0}

    return validate


@pytest.mark.parametrize("holds", [0.5, 0.1, 0.06])
@pytest.mark.parametrize("right", [0.05, 0.002])
def test_forecasts_that_diverge_are_tried_with_less_dispersion(holds, right):
    """Above a dispersion that members do not bear nothing is told; spread is in proportion below it."""
    entry = calibrate(bearing(holds, right), make_state())
    assert entry["dispersion_factor"] == pytest.approx(right, rel=1e-3)
    assert entry["val_crps"] == 0.1


def test_a_dispersion_that_is_too_much_is_halved_towards_one_that_is_not():
    """The spread calls for four times of what a tenth gives; half of that, by its logarithm, holds."""
    entry = calibrate(bearing(0.3, 0.4), make_state())
    assert entry["dispersion_factor"] == pytest.approx(0.2, rel=1e-3)


def test_forecasts_that_diverge_without_noise_too_keep_the_bound():
    """A few validations, and the dispersion that was found in training."""
    calls = []

    def validate(state):
        calls.append(state)
        return {"val_crps": None, "val_spread_skill": None, "val_decoder_spread": 1.0}

    assert calibrate(validate, make_state())["dispersion_factor"] == 1.0
    assert len(calls) == 3


@pytest.mark.slow
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
    before = [e["val_spread_skill"] for e in plain.read_history() if "val_crps" in e]
    for entry, ratio in zip(seen, before, strict=True):
        assert abs(np.log(entry["val_spread_skill"])) <= max(abs(np.log(ratio)), 0.1)
    trained = load_trained(whole.path)
    unscaled = whole.best.restore(state)[0].average["model"]
    factors = {"log_q": best["dispersion_factor"]}
    factors |= dict.fromkeys(("macro_log_var", "micro_log_var"), best["decoder_factor"])
    for name, factor in factors.items():
        np.testing.assert_allclose(trained.params[name], unscaled[name] + np.log(factor), rtol=1e-4, atol=1e-5)
    none = dict.fromkeys(factors, 0)
    jax.tree.map(np.testing.assert_array_equal, trained.params | none, unscaled | none)
    # The result tells what it would be without, at every other of its 65 frames and to the rounding of the factor.
    scaled = evaluate(whole.path).result
    alone = evaluate(whole.path, forecast={"dispersion": "bound", "stride": 2}).result
    assert scaled["val"]["dispersion_factor"] == best["dispersion_factor"] and "bound_dispersion" not in alone
    for name in ("nrmse", "crps", "spread_skill"):
        assert scaled["bound_dispersion"][name]["mean"] == pytest.approx(alone["test"][name]["mean"], rel=1e-3)
    assert scaled["bound_dispersion"]["calibration"]["spread_skill"] == pytest.approx(
        alone["calibration"]["spread_skill"], rel=1e-3
    )
    with pytest.raises(InputError, match="`forecast.dispersion=bound`, got validation"):
        evaluate(plain.path, str(tmp_path / "results"), forecast={"dispersion": "validation"})
