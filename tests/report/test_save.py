"""Figures as files: of each kind, the same bytes each time, and nothing else."""

import pathlib

import numpy as np
import pytest

from msvi.errors import InputError
from msvi.report import plots
from msvi.report.save import save_figure

t = np.linspace(0, 1, 5)
BEGINS = {"png": b"\x89PNG", "pdf": b"%PDF-", "svg": b"<?xml"}


@pytest.mark.parametrize("formats", [("png",), ("pdf", "svg"), ("svg", "png", "svg")])
def test_formats(tmp_path, formats):
    """Equal figures give equal bytes, whenever they are drawn."""
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        figure = plots.error_over_time(t, {"forecast": 0.1 + t})
        paths = save_figure(figure, str(folder / "error.over"), formats)
        assert paths == [str(folder / f"error.over.{name}") for name in dict.fromkeys(formats)]
        assert sorted(map(str, folder.iterdir())) == sorted(paths)
        contents.append([pathlib.Path(path).read_bytes() for path in paths])
    assert contents[0] == contents[1]
    for name, content in zip(dict.fromkeys(formats), contents[0], strict=True):
        assert content.startswith(BEGINS[name])
    if "svg" in formats:
        assert b"relative error</text>" in contents[0][list(dict.fromkeys(formats)).index("svg")]


@pytest.mark.parametrize("formats", [(), ("png", "jpg")])
def test_others_are_refused(tmp_path, formats):
    with pytest.raises(InputError, match="png, pdf, svg, got"):
        save_figure(plots.error_over_time(t, {"forecast": 0.1 + t}), str(tmp_path / "error"), formats)
    assert not list(tmp_path.iterdir())
