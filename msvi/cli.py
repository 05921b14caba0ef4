"""Entry layer: command-line flags to a checked configuration, errors to one line and an exit status."""

import os
import sys
from collections.abc import Callable

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
    logging.set_verbosity(logging.ERROR)  # orbax tells much that is no concern of the user

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            raise InputError(f"Expected only flags, got {' '.join(argv[1:])!r}; write --name=value.")
        main()

    try:
        app.run(guarded, flags_parser=_parse)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(130)


def _parse(argv: list[str]) -> list[str]:
    """The flags, with every way of getting them wrong turned into an `InputError` of one sentence."""
    for argument in argv[1:]:
        name, _, value = argument.lstrip("-").partition("=")
        path = value.partition(":")[0]
        if name == "config" and value and not os.path.isfile(path):
            raise InputError(f"`--config` must be a Python file, got {path}, which does not exist; see configs/.")
    try:
        return FLAGS(argv)
    except flags.Error as error:
        # An exception inside the configuration file arrives as the text of its traceback; the last line says why.
        raise InputError(str(error).strip().splitlines()[-1]) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(_explain(argv, error)) from None


def _explain(argv: list[str], error: Exception) -> str:
    """Names the override that does not fit: `ml_collections` reports it by its last part alone."""
    if FLAGS["config"].value is None:
        return " ".join(str(error).split())
    for argument in argv[1:]:
        name = argument.lstrip("-").partition("=")[0]
        if not name.startswith("config."):
            continue
        group = FLAGS["config"].value
        for part in name.split(".")[1:]:
            if not hasattr(group, "keys") or part not in group:
                known = ", ".join(sorted(group.keys())) if hasattr(group, "keys") else "no fields"
                return f"`--{name}` names no field of the configuration ({part!r} is not one of {known}); correct it."
            group = group[part]
    return " ".join(str(error).split())
