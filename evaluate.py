"""Evaluates a run on its test trajectories: `python evaluate.py --workdir=runs/burgers_1d`."""

from absl import flags

from msvi import cli
from msvi.evaluation import evaluate, format_table

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run, as given to train.py.", required=True)
RESULTS = flags.DEFINE_string("results", "results", "Result files go to DIR/<case>/d<micro_dim>_s<seed>.json.")
FIGURES = flags.DEFINE_string("figures", None, "Folder of the figures; <workdir>/figures if left out.")


def main() -> None:
    """Evaluates as the flags say and prints the table and the paths."""
    evaluation = evaluate(WORKDIR.value, RESULTS.value, FIGURES.value)
    print(format_table(evaluation.result))
    print("\n".join(evaluation.paths))


if __name__ == "__main__":
    cli.run(main)
