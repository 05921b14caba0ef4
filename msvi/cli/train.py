"""Trains a multiscale model: `msvi train --config=configs/burgers_1d.py --workdir=runs/burgers_1d`."""

from absl import flags

from msvi.cli import entry
from msvi.training.loop import train


def define_flags() -> None:
    """Defines the flags of the training."""
    flags.DEFINE_string(
        "workdir",
        None,
        "Folder of the run; runs/<case>_[cells_]d<micro_dim>_s<seed> if left out. The same command resumes.",
    )
    flags.DEFINE_boolean(
        "distributed", False, "This is one of several processes, on one host or more, that train one model together."
    )


def main() -> None:
    """Trains as the flags say."""
    config, given = entry.read_config(), flags.FLAGS
    if given.distributed:
        entry.connect()
    train(config, given.workdir or f"runs/{config.run_name}")


def start() -> None:
    """Parses the flags and trains."""
    entry.define_config_flag()
    define_flags()
    entry.run(main)
