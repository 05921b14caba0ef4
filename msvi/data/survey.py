"""Splits whose fields stay in their file, and the one pass over it that finds what is wrong with them and like them."""

import os
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from msvi.data.formats.arrays import Piece, StoredArray, mapped
from msvi.data.formats.layout import Layout
from msvi.data.frames import Infinite, Pieces, Reading, as_fields, make_split, read_forcing, too_short
from msvi.data.split import Split, measure
from msvi.data.statistics import Collector, Statistics, blocks_of_frames, spread
from msvi.data.streamed import Field, StreamedField
from msvi.provenance import host_bytes
from msvi.writing import replacing

# Part of the host's memory that fields may take, and bytes of which a digest takes every value.
HOST_PART, _WHOLE = 0.5, 4 * 2**30
# Frames that the digest of more looks at.
_SAMPLED = 256


class _Surveyed(NamedTuple):
    """What one pass over a split found.

    Attributes:
      kept: which of the pieces' frames have an observed value, `(piece, frame)`; false in what fills.
      num_missing: values that were not observed.
      measured: the statistics, None where something is missing or lengths differ.
    """

    kept: np.ndarray
    num_missing: int
    measured: Statistics | None


def stays_on_disk(layout: Layout, pieces: Pieces, place: str) -> bool:
    """Whether the fields are left in their file.

    Args:
      place: `train.data_on`; with `auto` they are if they would take more than half of the host's memory.
    """
    if place == "auto":
        frames = sum(len(some) * max(len(piece.frames) for piece in some) for some in pieces.values())
        arrays = (layout.u, layout.u_true, None if layout.mask is None or len(layout.mask.shape) < 3 else layout.mask)
        bytes_each = sum(size for size, array in zip((4, 4, 1), arrays, strict=True) if array is not None)
        return frames * int(np.prod(layout.u.shape[2:])) * bytes_each > HOST_PART * host_bytes()
    return place == "disk"


def survey_splits(layout: Layout, pieces: Pieces, path: str, cache_dir: str) -> Reading:
    """The splits of `msvi.data.frames.read_splits`, with fields that are read when they are looked at.

    Their values are read once, a few frames at a time, to find what is missing or not finite, and the statistics of
    what is learned from. What was found is kept in `cache_dir` for the next time, under a name made of some
    frames, the division and the size and time of change of each file: it is found anew once one of these differs.

    Args:
      path: of the file or folder.
      cache_dir: "" to keep nothing.

    Raises:
      InputError: the file is damaged, or the disk is full.
    """
    shape, mask = layout.u.shape, None
    if layout.mask is None:
        mask = mapped(layout.u, shape, lambda values: ~np.isnan(values))
    elif len(layout.mask.shape) > 2:
        whole = as_fields(layout.mask, shape)
        mask = mapped(
            whole, shape, lambda values: np.broadcast_to(values.astype(bool), (*values.shape[:-1], shape[-1]))
        )
    place = os.path.join(cache_dir, f"survey-{_key(layout, pieces, path)}.npz") if cache_dir else ""
    found, problems = _read(place, pieces), []
    if found is None:
        found = {}
        for name, some in pieces.items():
            found[name], its_problems = _survey(layout, mask, some, measured=name == "train")
            problems += its_problems
        if place and not problems:
            _write(place, found)
    forcing, its_problems = read_forcing(layout, pieces)
    problems += its_problems
    num_missing = sum(one.num_missing for one in found.values()) if layout.mask is None else 0
    splits = {}
    for name, some in () if problems else pieces.items():
        kept = [
            Piece(p.trajectory, p.frames[own[: len(p.frames)]]) for p, own in zip(some, found[name].kept, strict=True)
        ]
        dropped = sum(len(p.frames) for p in some) - sum(len(p.frames) for p in kept)
        gaps = found[name].num_missing > dropped * int(np.prod(shape[2:]))
        fields = layout.u if mask is None or not gaps else _cleared(layout.u, mask)
        splits[name] = make_split(
            layout,
            kept,
            StreamedField(fields, kept, np.float32),
            StreamedField(mask, kept, bool) if mask is not None and gaps else None,
            None if layout.u_true is None else StreamedField(layout.u_true, kept, np.float32),
        )._replace(**forcing[name])
        if name == "train":
            splits[name] = measure(splits[name], found[name].measured)
    size = sum(one.kept.size for one in found.values()) * int(np.prod(shape[2:]))
    return Reading(splits, num_missing / size, num_missing, problems)


def digest(split: Split) -> str:
    """CRC-32 of the arrays of a split, as hexadecimal digits; of what was read, so wherever the file lies.

    Of fields of more than 4 GiB it is that of their shape and of 256 frames, spread evenly over trajectories and times,
    beside all times, parameters and forcing. It tells another file, other units, other noise, another order or division
    from what was there before; values that were changed in some other frames alone it does not see.
    """
    return _checksum(split, sampled=4 * int(np.prod(split.u.shape)) > _WHOLE)


def _checksum(split: Split, sampled: bool) -> str:
    """CRC-32 of the arrays of a split, of some frames of its fields or of all."""
    checksum = 0

    def add(values: Any) -> None:
        nonlocal checksum
        # NumPy annotates its arrays as buffers from Python 3.12 on.
        checksum = zlib.crc32(np.ascontiguousarray(values), checksum)  # pyright: ignore[reportArgumentType]

    for name in Split._fields:
        array: Field | None = None if name == "measured" else getattr(split, name)
        if array is None:
            continue
        if sampled and array.ndim == split.u.ndim and array.shape[:2] == split.u.shape[:2]:
            add(np.array(array.shape))
            count = array.shape[0] * array.shape[1]
            for number in spread(count, _SAMPLED):
                add(array[tuple(map(int, np.unravel_index(number, array.shape[:2])))])
        else:
            for one in array:
                add(one)
    return f"{checksum:08x}"


def _survey(
    layout: Layout, mask: StoredArray | None, pieces: list[Piece], measured: bool
) -> tuple[_Surveyed, list[tuple[str, str]]]:
    """One pass over the pieces of a split, and the problems with them."""
    u = StreamedField(layout.u, pieces, np.float32)
    seen = None if mask is None or layout.mask is None else StreamedField(mask, pieces, bool)
    u_true = None if layout.u_true is None else StreamedField(layout.u_true, pieces, np.float32)
    kept, num_missing, problems = np.zeros(u.shape[:2], bool), 0, []
    measured = measured and all(len(piece.frames) == u.shape[1] for piece in pieces)
    collector = None
    for i, piece in enumerate(pieces):
        infinite = {"u": Infinite("u", piece, layout.mask is not None), "u_true": Infinite("u_true", piece)}
        for frames in blocks_of_frames((1, len(piece.frames), *u.shape[2:])):
            values, observed = u[i, frames], None
            if mask is not None:
                observed = ~np.isnan(values) if seen is None else seen[i, frames]
                num_missing += observed.size - int(np.count_nonzero(observed))
                values = values if observed.all() else np.where(observed, values, np.float32(0))
            kept[i, frames] = True if observed is None else observed.any(axis=tuple(range(1, observed.ndim)))
            infinite["u"].look(frames.start, values)
            if u_true is not None:
                infinite["u_true"].look(frames.start, u_true[i, frames])
            if measured and not num_missing and infinite["u"].number == 0:
                collector = collector or Collector(u.shape, values)
                collector.add(frames.start, values, None)
        problems += too_short(piece.trajectory, int(kept[i].sum()))
        problems += [problem for one in infinite.values() for problem in one.problems()]
    known = collector.statistics() if collector and not num_missing and not problems else None
    return _Surveyed(kept, num_missing, known), problems


def _cleared(u: StoredArray, mask: StoredArray) -> StoredArray:
    """Fields that are zero where nothing was observed."""

    def read(*where: slice) -> np.ndarray:
        values = u.read(*where)
        return np.where(mask.read(*where), values, np.zeros((), values.dtype))

    return u._replace(read=read)


def _key(layout: Layout, pieces: Pieces, path: str) -> str:
    """A name for what a survey depends on."""
    parts, files = [], [path]
    if os.path.isdir(path):
        files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    for file in files:
        about = os.stat(file)
        parts.append(f"{os.path.relpath(file, path)} {about.st_size} {about.st_mtime_ns}")
    for name, some in pieces.items():
        split = make_split(layout, some, StreamedField(layout.u, some, np.float32), None, None)
        parts.append(f"{name} {_checksum(split, sampled=True)}")
        parts += [f"{piece.trajectory} {zlib.crc32(piece.frames.astype(np.int64).tobytes())}" for piece in some]
    parts += [f"{name} {array.shape} {array.dtype}" for name in ("mask", "u_true") if (array := getattr(layout, name))]
    return f"{zlib.crc32(chr(10).join(parts).encode()):08x}"


def _write(place: str, found: dict[str, _Surveyed]) -> None:
    arrays: dict[str, np.ndarray] = {}
    for name, one in found.items():
        arrays |= {f"{name}_kept": one.kept, f"{name}_missing": np.array(one.num_missing)}
        if one.measured is not None:
            arrays |= {f"{name}_{field}": values for field, values in one.measured._asdict().items()}
    with replacing(place) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _read(place: str, pieces: Pieces) -> dict[str, _Surveyed] | None:
    """What was found before; None if it cannot be read, which costs one more pass."""
    if not place or not os.path.exists(place):
        return None
    try:
        with open(place, "rb") as handle, np.load(handle) as file:
            arrays = dict(file)
        found = {}
        for name in pieces:
            fields = {field: arrays[f"{name}_{field}"] for field in Statistics._fields if f"{name}_{field}" in arrays}
            measured = Statistics(**fields) if fields else None
            found[name] = _Surveyed(arrays[f"{name}_kept"], int(arrays[f"{name}_missing"]), measured)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return found
