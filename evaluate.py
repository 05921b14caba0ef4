"""Evaluates a run on its test trajectories, or a baseline on the same; see `msvi.cli.evaluate`.

python evaluate.py --workdir=runs/burgers_1d
python evaluate.py --config=configs/burgers_1d.py --baseline=dmd
"""

from msvi.cli.evaluate import start

if __name__ == "__main__":
    start()
