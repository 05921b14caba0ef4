"""What figures call times, axes and channels, with the units that a file gives them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Name(NamedTuple):
    """A name and the unit of its numbers, empty where it has none or is not known."""

    text: str
    unit: str = ""

    @property
    def label(self) -> str:
        """As an axis has it: "x [m]"."""
        return f"{self.text} [{self.unit}]" if self.unit else self.text

    def at(self, value: float) -> str:
        """With a value: "x = 0.5 m"."""
        return f"{self.text} = {value:.3g}" + (f" {self.unit}" if self.unit else "")


class Names(NamedTuple):
    """Of one channel of a field and of what it depends on.

    Attributes:
      time: of the time since the first frame.
      axes: of the axes of space, up to three.
      field: of the channel.
    """

    time: Name = Name("t")
    axes: tuple[Name, ...] = (Name("x"), Name("y"), Name("z"))
    field: Name = Name("u")


PLAIN = Names()


def names_of_channels(
    axes: Sequence[str], channels: Sequence[str], attributes: Mapping[str, Mapping[str, Any]], num_channels: int
) -> list[Names]:
    """Names for each channel.

    Args:
      axes: names of the axes of space.
      channels: names of the channels; empty where the file gives none: one is then u, up to three are the velocity's
        u, v and w.
      attributes: of the axes, the channels, `u` and `time`, of which the `units` are shown.
      num_channels: of the field.
    """
    if len(channels) != num_channels:
        channels = "uvw"[:num_channels] if num_channels <= 3 else [f"channel {i}" for i in range(num_channels)]

    def named(text, *keys):
        units = (_unit(attributes.get(key, {})) for key in (text, *keys))
        return Name(text, next(filter(None, units), ""))

    time = Name("time", _unit(attributes.get("time", {})))
    return [
        Names(time if time.unit else PLAIN.time, tuple(map(named, axes)), named(channel, "u")) for channel in channels
    ]


def _unit(attributes: Mapping[str, Any]) -> str:
    """The unit as text, of times that count from a date without it; none where it is a bare number."""
    unit = str(attributes.get("units", "")).split(" since ")[0].strip()
    return "" if unit == "1" else unit
