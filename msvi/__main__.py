"""`msvi COMMAND …`, or `python -m msvi COMMAND …`: one door to all commands."""

import difflib
import importlib
import importlib.metadata
import sys

# Name: the module with `start`, or with `main` that returns an exit status, and what it does.
COMMANDS = {
    "train": ("msvi.commands.train", "learns a model, or goes on with it"),
    "evaluate": ("msvi.commands.evaluate", "scores a run on its test trajectories, or a baseline"),
    "forecast": ("msvi.commands.forecast", "forecasts from initial fields in a file, into NetCDF or Zarr"),
    "inspect": ("msvi.data.__main__", "tells what a data file holds, lacks and would be used for"),
    "export": ("msvi.commands.export", "writes the model of a run into one file"),
    "sweep": ("msvi.sweep", "trains and evaluates many configurations side by side"),
    "report": ("msvi.report", "writes a page of all results"),
}


def main(arguments: list[str] | None = None) -> None:
    """Starts the command that the first argument names, with the others."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--version"]:
        print(f"msvi {importlib.metadata.version('msvi')}")
        return
    if not given or given[0] in ("--help", "-h", "help"):
        print(_usage())
        return
    name, *rest = given
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(COMMANDS)}."
        print(f"error: There is no command `{name}`; {hint}", file=sys.stderr)
        sys.exit(2)
    module = importlib.import_module(COMMANDS[name][0])
    if name in ("inspect", "export"):
        sys.exit(module.main(["inspect", *rest] if name == "inspect" else rest))
    sys.argv = [f"msvi {name}", *rest]
    sys.exit(module.main() if name == "report" else module.start())


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: msvi COMMAND …", "", *lines, "", "msvi COMMAND --help tells the flags of one."])


if __name__ == "__main__":
    main()
