"""What a number depends on beside the configuration: versions, the device, files by their checksums; and its memory."""

import importlib.metadata
import os
import platform
import resource
import sys
import zlib

import jax

_PACKAGES = ("msvi", "jax", "jaxlib", "flax", "optax", "diffrax", "orbax-checkpoint", "numpy")


def versions(*others: str) -> dict[str, str]:
    """Versions of what the numbers depend on, and the device they were computed on.

    Args:
      others: further packages.
    """
    found = {name: importlib.metadata.version(name) for name in (*_PACKAGES, *others)}
    return found | {"python": platform.python_version(), "device": jax.devices()[0].device_kind}


def host_bytes() -> int:
    """Memory of the host."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory_gib() -> float:
    """Largest memory that this process has held on the host, in GiB."""
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def file_checksum(path: str) -> int:
    """CRC-32 of a file, read a part at a time and not through a map: what is mapped counts as memory in use."""
    checksum = 0
    with open(path, "rb") as file:
        while part := file.read(2**24):
            checksum = zlib.crc32(part, checksum)
    return checksum
