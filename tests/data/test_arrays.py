"""Blocks in which arrays of files are read: every value once, whole chunks, bounded memory."""

import numpy as np
import pytest

from msvi.data.formats import arrays
from msvi.data.formats.arrays import StoredArray, blocks, join_channels, join_trajectories, mapped, stored

MEGABYTE = 2**20


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def chunked(shape, chunks):
    """An array of which only the sizes are known."""
    return StoredArray(shape, np.dtype(np.float32), lambda rows, frames: (rows, frames), chunks)


def touched(array, rows=None):
    """How often each chunk is read, `(rows of chunks, columns of chunks)`, and the largest block in bytes."""
    counts = np.zeros([-(-n // c) for n, c in zip(array.shape, array.chunks, strict=False)], int)
    largest = 0
    for rows_, frames, _ in blocks(array, rows):
        (a, b), (c, d) = array.chunks, (frames.start, frames.stop)
        counts[rows_.start // a : -(-rows_.stop // a), c // b : -(-d // b)] += 1
        largest = max(largest, (rows_.stop - rows_.start) * (d - c) * 4 * int(np.prod(array.shape[2:])))
    return counts, largest


@pytest.mark.parametrize("chunks", [(1, 1), (1, 100), (400, 1), (13, 7), (64, 8), (3, 100)])
@pytest.mark.parametrize("points", [64, 4096])
def test_each_chunk_is_read_once(chunks, points):
    """One that holds some frames of many trajectories too; none is larger than 8.4 MB here."""
    counts, largest = touched(chunked((400, 100, points, 1), chunks))
    assert (counts == 1).all() and largest <= arrays._BLOCK


@pytest.mark.parametrize("chunks", [(400, 100), (400, 50), (400, 30)])
def test_large_chunks_are_read_in_parts(chunks):
    """Of 655 MB, or a half, or a third of that: about four times, with a quarter in memory."""
    counts, largest = touched(chunked((400, 100, 4096, 1), chunks))
    assert counts.max() <= 5 and largest <= chunks[0] * chunks[1] * 4096


def test_one_long_trajectory():
    """It is read in parts as well, whose chunks are whole."""
    counts, largest = touched(chunked((1, 10_000, 4096, 1), (1, 7)))
    assert (counts == 1).all() and MEGABYTE < largest <= arrays._BLOCK


@pytest.mark.parametrize("chunks", [(1, 100), (5, 100), (400, 1)])
def test_only_what_is_asked_for(chunks):
    """Chunks with nothing in them are passed over."""
    rows = np.array([3, 4, 5, 200, 399])
    array = chunked((400, 100, 64, 1), chunks)
    counts, _ = touched(array, rows)
    wanted = np.zeros(len(counts), bool)
    wanted[rows // chunks[0]] = True
    np.testing.assert_array_equal(counts, np.broadcast_to(wanted[:, None], counts.shape))


@pytest.mark.parametrize("chunks", [(1, 1), (2, 3), (7, 5)])
def test_values(chunks, monkeypatch):
    """Every one, wherever blocks end."""
    right = numbers(7, 5, 4)
    monkeypatch.setattr(arrays, "_BLOCK", 64)
    array = StoredArray(right.shape, right.dtype, lambda rows, frames: right[rows, frames], chunks)
    found = np.full_like(right, -1)
    for rows, frames, values in blocks(array):
        assert (found[rows, frames] == -1).all()
        found[rows, frames] = values
    np.testing.assert_array_equal(found, right)


def test_joined_trajectories():
    """Across the parts, with NaN for the frames that shorter ones lack."""
    parts = [numbers(2, 3, 4, 1), 100 + numbers(1, 5, 4, 1), 200 + numbers(3, 2, 4, 1)]
    joined = join_trajectories([stored(part, "path") for part in parts])
    right = np.full((6, 5, 4, 1), np.nan, np.float32)
    for start, part in zip((0, 2, 3), parts, strict=True):
        right[start : start + len(part), : part.shape[1]] = part
    assert joined.shape == right.shape
    for rows in (slice(0, 6), slice(1, 4), slice(2, 3), slice(4, 6)):
        for frames in (slice(0, 5), slice(1, 4), slice(3, 5), slice(0, 1)):
            np.testing.assert_array_equal(joined.read(rows, frames), right[rows, frames])


def test_joined_channels_and_repeated_trajectories():
    """Chunks are the larger ones."""
    u, same = numbers(4, 3, 2, 1), numbers(3, 2, 1)
    first = stored(u, "path")._replace(chunks=(2, 1))
    joined = join_channels([first, stored(same, "path", repeat=4)._replace(chunks=(1, 3))])
    assert joined.chunks == (2, 3) and joined.shape == (4, 3, 2, 2)
    values = joined.read(slice(1, 3), slice(0, 2))
    np.testing.assert_array_equal(values[..., :1], u[1:3, :2])
    np.testing.assert_array_equal(values[..., 1:], np.stack(2 * [same[:2]]))
    doubled = mapped(first, (4, 3, 2), lambda values: 2 * values[..., 0])
    np.testing.assert_array_equal(doubled.read(slice(0, 4), slice(0, 3)), 2 * u[..., 0])
