"""What a training says of itself: that it stands still, what its history shows to be wrong, and where it is watched."""

import pathlib
import struct
import sys
import threading
import time
import types

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from msvi.errors import InputError
from msvi.training.monitoring import add_pictures, check_wandb, event_file, group_tags, wandb_run
from msvi.training.signs import find_signs
from msvi.training.watchdog import Patience, watching


def lines(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: no step has ended")]


def test_silence_is_told_of_at_doubling_intervals(capsys):
    """A first chunk that never ends, 1 s long: words after .1, .2, .4 and .8 s, that name the last step."""
    with watching(7, Patience(first=0.1, usual=0.05)):
        time.sleep(1.2)
    said = lines(capsys)
    assert len(said) == 4 and all("since step 7;" in line and "`taskset -c 0 python" in line for line in said)
    assert "for 0.00167 minutes" in said[0] and "for 0.0133 minutes" in said[-1]


def test_chunks_that_end_in_time_are_not_told_of(capsys):
    """20 chunks of .05 s, each well within the .3 s that are waited for."""
    with watching(0, Patience(first=0.3, usual=0.3)) as watch:
        for step in range(20):
            time.sleep(0.05)
            watch.ended(step)
    assert lines(capsys) == []


def test_a_word_is_said_once_more_after_the_next_chunk(capsys):
    """Two chunks that are late, with one that ends between them: a word for each, with the step it began at."""
    with watching(0, Patience(first=0.2, usual=0.2, chunks=0)) as watch:
        time.sleep(0.3)
        watch.ended(5)
        time.sleep(0.3)
    first, second = lines(capsys)
    assert "since step 0;" in first and "since step 5;" in second


def test_nothing_is_left_behind():
    """No thread after the block, at once and after an error too, however long it would have waited."""
    before = threading.active_count()
    start = time.monotonic()
    with pytest.raises(KeyError), watching(0):
        assert threading.active_count() == before + 1
        raise KeyError
    assert threading.active_count() == before and time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([], 300),
        ([200.0], 300),
        ([200.0, 2.0], 180),
        ([200.0, 2.0, 30.0, 30.0], 300),
        ([200.0, 1.0, 1.0, 1.0, 500.0], 180),
    ],
    ids=["first", "second", "usual", "slow", "one that was slow"],
)
def test_patience(durations, expected):
    """Five minutes with what is compiled, three after it, and ten times a usual chunk at least."""
    assert Patience().seconds(durations) == expected


def history(crps, nrmse=None, reconstruction=None, every=1000):
    """Validations every 1000 steps, a look at the loss before each."""
    nrmse, reconstruction = (values or [0.04] * len(crps) for values in (nrmse, reconstruction))
    entries = []
    for i, values in enumerate(zip(crps, nrmse, reconstruction, strict=True)):
        loss = {"loss": -1.0, "log_likelihood": 1.0, "drift_residual": 0.1}
        entries.append({"step": int((i + 0.5) * every)} | loss)
        found = dict(zip(("val_crps", "val_nrmse", "val_reconstruction"), values, strict=True))
        entries.append({"step": (i + 1) * every} | loss | found)
    return entries


def names(*arguments, warmup=2000, **values):
    return [sign.name for sign in find_signs(history(*arguments, **values), warmup)]


FALLING = [0.5 / (i + 1) for i in range(12)]


def test_a_good_training_shows_nothing():
    """Errors that fall, at every step of it; nor does a history without a validation."""
    for count in range(13):
        assert names(FALLING[:count]) == []
    assert find_signs([{"step": 100, "loss": 1.0}], 0) == []


def test_best_is_early():
    """The best of 7 validations is the second, within the weight's rise: said five validations after it."""
    crps = [0.3, 0.2, 0.22, 0.21, 0.22, 0.21, 0.22]
    assert names(crps) == ["best-is-early"] and names(crps[:-1]) == []
    assert "that of step 2000" in find_signs(history(crps), 2000)[0].text
    assert "inference.drift_weight" in find_signs(history(crps), 2000)[0].text
    # The weight is still rising: too early to tell.
    assert names(crps, warmup=6000) == []


def test_validation_rises():
    """The best of 12 was at 5000, the last is 25 % worse; 15 % are not enough, nor a best not long ago."""
    crps = [0.5, 0.4, 0.3, 0.25, 0.2, 0.21, 0.22, 0.22, 0.23, 0.23, 0.24, 0.25]
    assert names(crps) == ["validation-rises"]
    assert "from 0.2 at step 5000 to 0.25" in find_signs(history(crps), 2000)[0].text
    assert names([*crps[:-1], 0.23]) == []
    assert names([*crps[:4], *[0.26] * 4, 0.2, 0.25, 0.25, 0.25]) == []
    assert "to one that diverged" in find_signs(history([*crps[:-1], None]), 2000)[0].text


def test_reconstruction_worsens():
    """As the weight sets in, by more than 1.3 and twice in a row; not where it was best later."""
    reconstruction = [0.1, 0.12, 0.14, 0.15]
    assert names(FALLING[:4], reconstruction=reconstruction) == ["reconstruction-worsens"]
    text = find_signs(history(FALLING[:4], reconstruction=reconstruction), 2000)[0].text
    assert "NRMSE 0.1 at step 1000 and 0.15 now; lower inference.drift_weight" in text
    assert names(FALLING[:4], reconstruction=[0.1, 0.12, 0.14, 0.125]) == []
    assert names(FALLING[:5], reconstruction=[0.12, 0.11, 0.1, 0.14, 0.15]) == []


def test_forecast_diverges():
    """Only where the last one did, once the weight is whole."""
    assert names([0.5, 0.4, None], nrmse=[0.5, 0.4, None]) == ["forecast-diverges"]
    assert names([0.5, None, 0.4]) == [] and names([None], warmup=2000) == []


@pytest.mark.parametrize(
    ("nrmse", "reconstruction", "expected"),
    [
        (0.6, 0.1, ["dynamics-limit"]),
        (0.6, 0.2, []),
        (0.1, 0.08, ["decoder-limits"]),
        (0.1, 0.06, []),
        (0.04, 0.039, []),
    ],
)
def test_what_limits_the_forecast(nrmse, reconstruction, expected):
    """Late in training: the drift, where the reconstruction is far better, or the decoder, where it is not."""
    values = {"nrmse": [nrmse] * 12, "reconstruction": [reconstruction] * 12}
    assert names(FALLING, **values) == expected
    assert names(FALLING[:9], **{name: v[:9] for name, v in values.items()}) == []


ENTRY = {"step": 10, "loss": -1.0, "drift_residual": 0.1, "val_crps": 0.5, "val_nrmse": None, "peak_memory_gib": 2.0}
TAGS = {"loss/loss": -1.0, "loss/drift_residual": 0.1, "validation/crps": 0.5, "cost/peak_memory_gib": 2.0}


def events(folder):
    """All events in the files of a folder, by name of the file."""
    found = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        data, found[path.name] = path.read_bytes(), []
        while data:  # length, its checksum, an event, its checksum
            length = struct.unpack("<Q", data[:8])[0]
            found[path.name].append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_curves_are_grouped(tmp_path):
    """By what they are of; what is not defined has no point. Later steps of an earlier start are overridden."""
    assert group_tags(ENTRY) == TAGS
    with event_file(str(tmp_path / "board"), 7) as add:
        add(ENTRY)
        (file,) = events(tmp_path / "board").values()  # on the disk while the training goes on
    assert file[0].file_version == "brain.Event:2"
    assert (file[1].step, file[1].session_log.status) == (8, event_pb2.SessionLog.START)
    found = {value.tag: value.simple_value for event in file for value in event.summary.value}
    assert found == pytest.approx(TAGS) and {event.step for event in file[2:]} == {10}


def test_pictures_are_shown_once(tmp_path):
    """Those of a second evaluation take the place of the first one's, beside the curves; nothing is overridden."""
    folder = str(tmp_path / "board")
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a.png")
    with event_file(folder, 0) as add:
        add(ENTRY)
    for step in (10, 20):
        add_pictures(folder, {"forecast": str(tmp_path / "a.png")}, step)
    curves, pictures = events(folder).values()
    assert len(curves) > 2 and not any(event.HasField("session_log") for event in pictures)
    (picture,) = [value for event in pictures for value in event.summary.value]
    assert (picture.tag, picture.image.width, picture.image.height) == ("figures/forecast", 6, 4)
    assert pictures[-1].step == 20


@pytest.mark.parametrize("offline", [False, True])
def test_weights_and_biases(monkeypatch, tmp_path, capsys, offline):
    """A run goes on under the name of its folder; without network it is kept there, and nothing stops."""
    calls, path = [], str(tmp_path / "run")

    def init(**settings):
        calls.append(settings)
        if settings.get("mode") != "offline" and offline:
            raise RuntimeError("no network")
        return types.SimpleNamespace(
            log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("finished")
        )

    module = types.ModuleType("wandb")
    module.init, module.__spec__ = init, types.SimpleNamespace(name="wandb")
    monkeypatch.setitem(sys.modules, "wandb", module)
    check_wandb("waves")
    with wandb_run("waves", path, {"seed": 3}) as add:
        add(ENTRY)
    first = calls[0]
    assert (first["project"], first["name"], first["resume"], first["dir"]) == ("waves", "run", "allow", path)
    assert first["config"] == {"seed": 3} and calls[-2:] == [(10, TAGS), "finished"]
    said = "warning: wandb cannot be reached (no network); the run is kept in"
    assert capsys.readouterr().err == (f"{said} {path}/wandb, and `wandb sync` sends it.\n" if offline else "")
    if offline:
        assert calls[1]["mode"] == "offline" and calls[1]["id"] == first["id"]


def test_no_weights_and_biases(monkeypatch, tmp_path):
    """Off unless a project is named; then the package is needed, which is said in one sentence."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_wandb("")
    with wandb_run("", str(tmp_path), {}) as add:
        add(ENTRY)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="`train.wandb` needs the package wandb; pip install wandb"):
        check_wandb("waves")
