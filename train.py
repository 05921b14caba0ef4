"""Trains a multiscale model: `python train.py --config=configs/burgers_1d.py --workdir=runs/burgers_1d`."""

from msvi.cli.train import start

if __name__ == "__main__":
    start()
