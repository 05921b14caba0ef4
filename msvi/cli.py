"""Entry layer: command-line flags to a checked configuration, errors to one line and an exit status."""

import os
import re
import sys
from collections.abc import Callable

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from msvi.config import Config, from_dict
from msvi.errors import InputError

FLAGS = flags.FLAGS


def define_config_flag() -> None:
    """Defines `--config`, a file with `get_config()` whose fields `--config.group.field=value` override."""
    config_flags.DEFINE_config_file("config", None, "Configuration file, for example configs/burgers_1d.py.")
    flags.mark_flag_as_required("config")


def read_config() -> Config:
    """The checked configuration from the flags."""
    return from_dict(FLAGS.config.to_dict())


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; what a user can mend ends in one line and status 2."""
    jax.config.update("jax_default_matmul_precision", "highest")  # no TF32 or bfloat16 behind one's back
    logging.set_verbosity(logging.ERROR)  # orbax tells much that is no concern of the user

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            raise InputError(f"Expected only flags, got {' '.join(argv[1:])!r}; write --name=value.")
        main()

    try:
        app.run(guarded, flags_parser=_parse)
    except (InputError, OSError) as error:  # an OSError names its file: a full disk, a folder that is a file
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint, if there is one.", file=sys.stderr)
        # Straight out: taking the interpreter down while XLA's threads compute can crash it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)


def _parse(argv: list[str]) -> list[str]:
    """The flags, with every way of getting them wrong turned into an `InputError` of one sentence."""
    for argument, following in zip(argv[1:], [*argv[2:], ""], strict=False):
        name, given, value = argument.lstrip("-").partition("=")
        path = (value if given else following).partition(":")[0]
        if name == "config" and not os.path.isfile(path):
            raise InputError(f"`--config` must be a Python file, got {path!r}, which is none; see configs/.")
    try:
        return FLAGS(argv)
    except flags.Error as error:
        # An exception inside the configuration file arrives as the text of its traceback; the last line says why.
        raise InputError(str(error).strip().splitlines()[-1]) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(_explain(argv, str(error.args[0] if error.args else error))) from None


def _explain(argv: list[str], message: str) -> str:
    """Names the override that does not fit: `ml_collections` reports it by its last part alone."""
    close = re.search(r'Did you mean "(\w+)"', message)
    hint = f"did you mean `{close[1]}`?" if close else "its fields stand in the file given as --config."
    for argument in argv[1:]:
        name = argument.lstrip("-").partition("=")[0]
        if name.startswith("config.") and any(re.search(rf"\b{part}\b", message) for part in name.split(".")[-2:]):
            return f"`--{name}` names no field of the configuration; {hint}"
    return " ".join(message.split())
