"""Pictures of forecasts on a web report, as evaluation writes them: what is seen, and what it means."""

import glob
import os

from msvi.report.sources import Pictures
from msvi.report.webpage import image_html

_FORECASTS = {
    "forecast.gif": (
        "animation of six fields over one test trajectory: truth, ensemble mean, macroscale part, microscale part, "
        "error and standard deviation",
        "A test trajectory forecast from its first frame alone.",
    ),
    "forecast.png": (
        "snapshots of a forecast beside the truth, with its macroscale and microscale parts and its error",
        "Snapshots of the forecast of a test trajectory from its first frame alone, of its two parts and of its error.",
    ),
    "space_time.png": (
        "space-time images of the truth, of the ensemble mean and of their difference",
        "The same forecast over space and time.",
    ),
}
# Of a single run.
_OF_A_RUN = {
    "latents.png": (
        "paths of single latents of the ensemble beside the encoded truth",
        "Latents of the same forecast, and what the encoder makes of the true frames.",
    ),
    "kernel.png": ("learned and initial kernel of the macroscale filter", "The macroscale filter."),
    "training.png": (
        "loss, drift residual and validation errors against the optimiser step",
        "The training: both terms of the loss, and errors of the validation trajectories.",
    ),
}


def forecast_images(title: str, pictures: list[Pictures]) -> str:
    """All pictures of forecasts as HTML, with those of a single run also its latents, filter and training."""
    text = ""
    for folder, run in pictures:
        found = _FORECASTS | _OF_A_RUN if run else _FORECASTS
        text += images(f"{title}, {run}" if run else title, folder, found, f"{run}: " if run else "")
    return text


def images(title: str, folder: str, descriptions: dict[str, tuple[str, str]], before: str = "") -> str:
    """The pictures of a folder that are there as HTML, of a field of several channels one of each.

    Args:
      title: begins the description of each.
      folder: of the pictures.
      descriptions: name of the file -> what is seen, and the caption; an SVG stands in for a PNG.
      before: begins each caption.
    """
    text = ""
    for name, (description, caption) in descriptions.items():
        for path, channel in _channels(folder, name):
            of = f" Channel {channel}." if channel else ""
            text += image_html(path, f"{title}: {description}.{of}", f"{before}{caption}{of}")
    return text


def _channels(folder: str, name: str) -> list[tuple[str, str]]:
    """Paths of `<stem>_<channel>` with their channels where there are any, else of the name itself."""
    stem, kind = os.path.splitext(name)
    kinds = (kind, ".svg") if kind == ".png" else (kind,)
    for kind in kinds:
        start = os.path.join(folder, f"{stem}_")
        found = sorted(glob.glob(f"{glob.escape(start)}*{kind}"))
        if found:
            return [(path, path[len(start) : -len(kind)]) for path in found]
        if os.path.exists(os.path.join(folder, stem + kind)):
            return [(os.path.join(folder, stem + kind), "")]
    return []
