"""Entry layer: command-line flags to a checked configuration, errors to one line and an exit status."""

import contextlib
import difflib
import inspect
import os
import pathlib
import re
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import jax
from absl import app, flags, logging
from ml_collections import config_flags

import msvi
from msvi.backend import prepare
from msvi.config import Config, field_texts, from_dict
from msvi.errors import InputError

FLAGS = flags.FLAGS

# How long the processes of one run wait for each other at the start.
_CONNECT_SECONDS = 300


def define_config_flag() -> None:
    """Defines `--config`, a file with `get_config()` whose fields `--config.group.field=value` override."""
    config_flags.DEFINE_config_file("config", None, "Configuration file, for example configs/burgers_1d.py.")


def read_config() -> Config:
    """The checked configuration from the flags.

    Raises:
      InputError: there is none, or it is no right one.
    """
    _check_config_given()
    return from_dict(FLAGS.config.to_dict())


def read_grid(points: list[dict[str, str]]) -> list[Config]:
    """For each point the checked configuration with its fields overridden, as `--config.field=value` would.

    Raises:
      InputError: as for the flags; or a field that a flag overrides too.
    """
    _check_config_given()
    for name in cast(Any, FLAGS["config"]).override_values:  # of `ml_collections`
        if any(name in point for point in points):
            raise InputError(f"`{name}` is given by --set and by --config.{name}; leave one of them out.")
    return [from_dict(_override(point)) for point in points]


def connect() -> None:
    """Joins the processes of one run, this being one of them; to be called before anything touches a device.

    Slurm, Open MPI, Kubernetes and TPU hosts tell JAX which process this is. Else the environment does:
    JAX_COORDINATOR_ADDRESS, host:port of the process 0; JAX_NUM_PROCESSES; and JAX_PROCESS_ID, from 0 on.

    Raises:
      InputError: none of them says it, or process 0 cannot be what it is to be.
    """
    # JAX reads the address too, but not the numbers.
    address = _variable("JAX_COORDINATOR_ADDRESS", r".+:\d+", "host:port")
    num_processes, process_id = (
        int(value) if value else None
        for value in (_variable(name, r"\d+", "a whole number") for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    )
    # Where JAX gives up it ends the process with a stack trace that no `except` sees: this ends it before.
    timer = threading.Timer(_CONNECT_SECONDS, _give_up)
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(address, num_processes, process_id, initialization_timeout=2 * _CONNECT_SECONDS)
    except Exception as error:  # the cluster's variables may hold anything
        raise InputError(
            f"`--distributed` cannot tell the processes of the run from the environment ({error}); start them with "
            "Slurm's srun or Open MPI's mpirun, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."
        ) from None
    finally:
        timer.cancel()


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; what a user can mend ends in one line and status 2."""
    prepare()
    logging.set_verbosity(logging.ERROR)  # orbax tells much that is no concern of the user

    if {"--help", "-h"} & set(sys.argv[1:]) and main.__module__ in FLAGS.flags_by_module_dict():
        print(help_text(main.__module__))
        return

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            given = " ".join(argv[1:])
            hint = f"--config={given}" if "config" in FLAGS and _names_config(argv[1]) else "--name=value"
            raise InputError(f"Expected only flags, got {given!r}; write {hint}.")
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


def help_text(module: str) -> str:
    """What a command does, its flags, and every field of the configuration if it takes one.

    Args:
      module: whose flags they are.
    """
    text = f"{inspect.getdoc(sys.modules[module])}\n\nflags:\n"
    for flag in FLAGS.flags_by_module_dict()[module]:
        default = "" if flag.default in (None, []) else f" (default: {flag.default})"
        text += _paragraph(f"--{flag.name}", f"{flag.help}{default}")
    if "config" not in FLAGS:
        return text
    text += _paragraph("--config", FLAGS["config"].help)
    text += "\nfields of the configuration, with the defaults that a configuration file may change:\n"
    for name, (default, about) in field_texts().items():
        text += _paragraph(f"--config.{name}", f"{about} (default: {default!r})")
    return text


def _paragraph(name: str, text: str) -> str:
    return (
        f"  {name}\n{textwrap.fill(' '.join(text.split()), 110, initial_indent=' ' * 6, subsequent_indent=' ' * 6)}\n"
    )


def _check_config_given() -> None:
    if FLAGS.config is None:
        raise InputError("`--config` is missing; give a file such as configs/burgers_1d.py.")


def _variable(name: str, pattern: str, meaning: str) -> str | None:
    value = os.environ.get(name)
    if value is not None and not re.fullmatch(pattern, value):
        raise InputError(f"The environment variable {name} must be {meaning}, got {value!r}; change it.")
    return value


def _give_up() -> None:
    reason = f"waited {_CONNECT_SECONDS} seconds for the other processes of the run"
    mend = "see to it that all are started and reach the address of process 0"
    print(f"error: `--distributed` {reason} in vain; {mend}.", file=sys.stderr, flush=True)
    os._exit(2)


def _override(point: dict[str, str]) -> dict[str, Any]:
    """The configuration of the flags with the fields of `point`, read by the parser that reads the flags."""
    argv = ["", *(f"--config.{name}={value}" for name, value in point.items())]
    values, base = flags.FlagValues(), FLAGS.config.copy_and_resolve_references()
    with _explained(argv):
        config_flags.DEFINE_config_dict("config", base, flag_values=values, sys_argv=argv)
        values(argv)
    return values.config.to_dict()


def _parse(argv: list[str]) -> list[str]:
    """The flags, where `--config` is a file and nothing else is wrong."""
    argv = list(argv)
    for i, argument in enumerate(argv[1:], start=1):
        name, given, value = argument.lstrip("-").partition("=")
        if name == "config":
            place = i if given else i + 1
            value = find_config(value if given else "".join(argv[place : place + 1]))
            argv[place : place + 1] = [f"--config={value}" if given else value]
        elif argument.startswith("--") and name not in FLAGS and "config" in FLAGS and (fields := _fields_like(name)):
            raise InputError(f"There is no flag `--{name}`; did you mean `--config.{fields[0]}`?")
    with _explained(argv):
        return FLAGS(argv)


def find_config(given: str) -> str:
    """The place of a configuration file `FILE.py` or `FILE.py:variant`: here, or among those of the package.

    Raises:
      InputError: there is none.
    """
    path, colon, variant = given.partition(":")
    if os.path.isfile(path):
        return given
    name, known = pathlib.PurePath(path).name.removesuffix(".py"), _packaged_configs()
    if name in known and os.path.dirname(path) in ("", "configs"):
        return f"{known[name]}{colon}{variant}"
    close = difflib.get_close_matches(name, known, n=1) if path else []
    hint = f"did you mean configs/{close[0]}.py?" if close else f"of the package there are {', '.join(known)}."
    raise InputError(f"`--config` must be a Python file, got {path!r}, which does not exist; {hint}")


def _packaged_configs() -> dict[str, pathlib.Path]:
    """The configuration files of the package by their names."""
    package = pathlib.Path(msvi.__file__).parent
    # Those of an installed package; of a checkout, beside it.
    folders = package / "configs", package.parent / "configs"
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.py")) if path.stem != "__init__"}


def _names_config(text: str) -> bool:
    path = text.partition(":")[0]
    return path.endswith(".py") or path in _packaged_configs()


def _fields_like(name: str) -> list[str]:
    """The fields of the configuration that `name` may mean: one in full, or the last part of some."""
    known = [*field_texts(), "seed", "case"]
    return [field for field in known if name in (field, field.rpartition(".")[2])]


@contextlib.contextmanager
def _explained(argv: list[str]) -> Iterator[None]:
    """Turns every way of getting the flags in `argv` wrong into an `InputError` of one sentence."""
    try:
        yield
    except flags.Error as error:
        # An exception inside the configuration file arrives as the text of its traceback; the last line says why.
        raise InputError(re.sub(r"^[\w.]+Error: ", "", str(error).strip().splitlines()[-1])) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(_explain(argv, str(error.args[0] if error.args else error))) from None


def _mended(name: str, part: str) -> str:
    """`name` with `part` in place of what is most like it between two points: a field, or its group."""
    parts = name.split(".")
    alike = [difflib.SequenceMatcher(None, one, part).ratio() for one in parts]
    parts[alike.index(max(alike))] = part
    return ".".join(parts)


def _explain(argv: list[str], message: str) -> str:
    """Names the override that does not fit: `ml_collections` reports it by its last part alone."""
    close = re.search(r'Did you mean "(\w+)"', message)
    for argument in argv[1:]:
        name = argument.lstrip("-").partition("=")[0]
        fields = _fields_like(name.removeprefix("config."))
        meant = f"`{fields[0]}`" if fields else f"`{_mended(name, close[1])}`" if close else ""
        hint = f"did you mean {meant}?" if meant else "--help lists all fields."
        if name.startswith("config.") and any(re.search(rf"\b{part}\b", message) for part in name.split(".")[-2:]):
            return f"`--{name}` names no field of the configuration; {hint}"
    return " ".join(message.split())
