"""Trains a multiscale model: `msvi train --config=configs/burgers_1d.py --workdir=runs/burgers_1d`."""

from absl import flags

from msvi import cli
from msvi.training.loop import train

WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run; runs/<case>_[cells_]d<micro_dim>_s<seed> if left out. The same command resumes.",
)
DISTRIBUTED = flags.DEFINE_boolean(
    "distributed", False, "This is one of several processes, on one host or more, that train one model together."
)


def main() -> None:
    """Trains as the flags say."""
    config = cli.read_config()
    if DISTRIBUTED.value:
        cli.connect()
    train(config, WORKDIR.value or f"runs/{cli.run_name(config)}")


def start() -> None:
    """Parses the flags and trains."""
    cli.define_config_flag()
    cli.run(main)
