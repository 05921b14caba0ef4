"""What a number depends on beside the configuration: versions, the device, and what it cost in memory."""

import importlib.metadata
import platform
import resource
import sys

import jax

_PACKAGES = ("msvi", "jax", "jaxlib", "flax", "optax", "diffrax", "orbax-checkpoint", "numpy")


def versions(*others: str) -> dict[str, str]:
    """Versions of what the numbers depend on, and the device they were computed on.

    Args:
      others: further packages.
    """
    found = {name: importlib.metadata.version(name) for name in (*_PACKAGES, *others)}
    return found | {"python": platform.python_version(), "device": jax.devices()[0].device_kind}


def peak_memory_gib() -> float:
    """Largest memory that this process has held on the host, in GiB."""
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
