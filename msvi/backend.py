"""What JAX is told before it computes: exact products, and where to keep compiled programs."""

import hashlib
import os
import platform
import re
from typing import Any

import jax
import platformdirs

# Where to keep them, or one of the words in `_OFF`.
VARIABLE = "MSVI_PROGRAMS"
_OFF = ("", "0", "no", "off", "none", "false")
# Bytes in all; what was not used for longest goes first. Seconds of compilation below which it is not worth a file.
_LARGEST, _LEAST_SECONDS = 2 * 2**30, 0.5

_SETTINGS: Any = jax.config  # whose values have no annotations


def prepare() -> None:
    """Products of matrices in full single precision (no TF32 or bfloat16 behind one's back), and programs that are
    kept; what the user has told JAX already stays."""
    if _SETTINGS.jax_default_matmul_precision is None:
        jax.config.update("jax_default_matmul_precision", "highest")
    keep_programs()


def keep_programs() -> str | None:
    """Lets JAX keep what it compiles, so that the same program starts in seconds when it is needed again.

    The folder is `$MSVI_PROGRAMS`, or `msvi/programs` in the user's cache; `MSVI_PROGRAMS=off` keeps nothing. In it
    each kind of processor has a folder, since programs are made for the instructions of one: several may share a home.
    Where JAX itself was told of a folder (`JAX_COMPILATION_CACHE_DIR`), or another program told it, that one stays.

    Returns:
      The folder; None if programs are not kept.
    """
    told = _SETTINGS.jax_compilation_cache_dir
    if told:
        return told
    place = os.environ.get(VARIABLE, os.path.join(platformdirs.user_cache_dir("msvi"), "programs"))
    if place.lower() in _OFF:
        return None
    folder = os.path.join(os.path.abspath(os.path.expanduser(place)), _processor())
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:  # a home that cannot be written to: compile each time
        return None
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_compilation_cache_max_size", _LARGEST)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def _processor() -> str:
    """A name for the instructions that this machine's processor knows."""
    known = f"{platform.machine()} {platform.processor()}"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            known += "".join(re.findall(r"^(?:flags|Features)\s*:.*$", file.read(), re.MULTILINE)[:1])
    except OSError:  # not on Linux
        pass
    return f"{platform.machine()}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"
