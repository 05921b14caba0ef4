"""A picture and a moving one of the first run: truth, sensors, analysis, spread."""

import os

import msvi
from benchmarks.assimilation.twin import Settings, Twin
from msvi.library import Model


def draw(model: Model, twin: Twin, settings: Settings, folder: str, frames: int = 400) -> None:
    """Writes `analysis.png` and `analysis.gif`, of the channel that the sensors read, over at most so many frames."""
    t = twin.t[:frames]
    analysis = model.assimilate(
        twin.readings(model, 0)[: len(t)],
        t,
        positions=twin.positions,
        channel=twin.channels.tolist(),
        noise=twin.noise,
        initial=twin.first,
        members=settings.members,
        localisation=settings.localisation,
        inflation=settings.inflation,
        fields=False,
    )
    os.makedirs(folder, exist_ok=True)
    number = int(twin.channels[0])
    names = model.labels.channels or (("u",) if model.model.num_channels == 1 else ())
    channel = names[number] if names else f"u_{number}"
    truth = twin.truth[0, : len(t), ..., number]
    for ending in ("png", "gif"):
        path = os.path.join(folder, f"analysis.{ending}")
        msvi.plot(analysis, path, channel, truth)
        print(path)
