"""Checksums of files, by which damage is told."""

import zlib


def file_checksum(path: str) -> int:
    """CRC-32 of a file, read a part at a time and not through a map: what is mapped counts as memory in use."""
    checksum = 0
    with open(path, "rb") as file:
        while part := file.read(2**24):
            checksum = zlib.crc32(part, checksum)
    return checksum
