"""`msvi COMMAND …`, or `python -m msvi COMMAND …`: one door to all commands."""

import difflib
import importlib
import importlib.metadata
import sys

# Name: what the module of `msvi.cli` of that name does.
COMMANDS = {
    "train": "learns a model, or goes on with it",
    "evaluate": "scores a run on its test trajectories, or a baseline",
    "forecast": "forecasts from initial fields in a file, into NetCDF or Zarr",
    "assimilate": "corrects the ensemble of a run by observations as they come",
    "inspect": "tells what a data file holds, lacks and would be used for",
    "export": "writes the model of a run into one file",
    "sweep": "trains and evaluates many configurations side by side",
    "report": "writes a page of all results",
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
    sys.argv = [f"msvi {name}", *rest]
    importlib.import_module(f"msvi.cli.{name}").start()


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: msvi COMMAND …", "", *lines, "", "msvi COMMAND --help tells the flags of one."])


if __name__ == "__main__":
    main()
