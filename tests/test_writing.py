"""Files are there whole or not at all."""

import errno
import json
import os
import shutil

import pytest

from msvi.errors import InputError
from msvi.writing import explain_full_disk, replace_file, replacing, write_json


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_left_of_what_failed(tmp_path, kind):
    """What stood there before still does, what a killed process left does not."""
    path = tmp_path / "new" / "file"

    def write(text, fails=False):
        with replacing(str(path)) as temporary:
            assert not os.path.exists(temporary)
            if kind == "folder":
                os.mkdir(temporary)
            with open(os.path.join(temporary, "part") if kind == "folder" else temporary, "w") as file:
                file.write(text)
            if fails:
                raise KeyboardInterrupt

    def content():
        return (path / "part" if kind == "folder" else path).read_text()

    (tmp_path / "new").mkdir()
    left = tmp_path / "new" / "file.0a1b2c3d.tmp"
    left.write_text("of a process that was killed")
    os.utime(left, (0, 0))
    write("first")
    with pytest.raises(KeyboardInterrupt):
        write("second", fails=True)
    assert content() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_writers_of_one_file_do_not_disturb_one_another(tmp_path):
    """What the last one wrote stands, whole."""
    path = tmp_path / "file"
    with replacing(str(path)) as one:
        with open(one, "w") as first:
            first.write("half")
            replace_file(str(path), "other")
            first.write(" and half")
        assert path.read_text() == "other"
    assert path.read_text() == "half and half"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_json_is_strict(tmp_path):
    """Lists of numbers on one line; what is no number in JSON is refused, and the file stays as it was."""
    path = tmp_path / "a" / "values.json"
    write_json(str(path), {"x": [1, 2.5, -3e-9], "y": {"z": None}})
    text = path.read_text()
    assert '"x": [1, 2.5, -3e-09]' in text and json.loads(text) == {"x": [1, 2.5, -3e-9], "y": {"z": None}}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(str(path), {"x": float("nan")})
    assert path.read_text() == text


def test_beside_the_program(tmp_path, monkeypatch):
    """A name without a folder is one in the working folder."""
    monkeypatch.chdir(tmp_path)
    replace_file("page.html", "text")
    assert (tmp_path / "page.html").read_text() == "text"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        ValueError(
            'RESOURCE_EXHAUSTED: Failed to write 99 bytes to file 15: No space left on device [os_error_code="28"]'
        ),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
    ],
)
def test_errors_of_a_full_disk(error):
    """All that was seen to be raised on one, from `write` over tensorstore to `shutil`."""
    with pytest.raises(InputError, match="/runs/one cannot be written") as explained, explain_full_disk("/runs/one"):
        raise error
    assert str(explained.value).endswith("give the same command again.") and str(explained.value).count(". ") == 0


@pytest.mark.parametrize("error", [PermissionError("not yours"), ValueError("other"), InputError("Disk is full.")])
def test_other_errors_stay(error):
    """Not everything that goes wrong while writing is a full disk."""
    with pytest.raises(type(error)) as raised, explain_full_disk("/runs/one"):
        raise error
    assert raised.value is error
