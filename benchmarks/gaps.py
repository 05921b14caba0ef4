"""What gaps in the observations cost: 1D Burgers learned from half of the frames, and from half of the points.

python -m benchmarks.gaps --config=configs/burgers_1d.py --config.model.micro_dim=3

writes three data files, the whole trajectories, half of the frames at random, half of the points at random (test
trajectories are whole in each), trains on each through the case `custom`, and evaluates. Result files go to
`results/custom/<file>/`. A killed command goes on where it was.
"""

import dataclasses
import os

import numpy as np
from absl import flags

from msvi.cli import entry
from msvi.config import Config
from msvi.data.config import DataConfig, Recorded
from msvi.data.dataset import load_dataset
from msvi.data.split import SPLITS, Dataset
from msvi.evaluation.evaluate import evaluate
from msvi.training.loop import train

KINDS = ("whole", "frames", "points")
KIND = flags.DEFINE_multi_enum("kind", list(KINDS), list(KINDS), "Which files; all if left out.")
SHARE = flags.DEFINE_float("share", 0.5, "Of the frames or points that are missing.", 0, 0.9)
RESULTS = flags.DEFINE_string("results", "results", "Folder of the result files.")


def write_file(path: str, dataset: Dataset, kind: str, share: float) -> None:
    """Writes all trajectories with a mask that leaves out a share of the frames or points to learn from.

    Args:
      path: of the file, .npz.
      dataset: whole trajectories, all at the same times.
      kind: one of `KINDS`.
      share: of what is missing; the first frame of a trajectory is never missing.
    """
    rng, masks = np.random.default_rng(0), []
    for name in SPLITS:
        shape = getattr(dataset, name).u.shape
        mask = np.ones(shape, bool)
        if name != "test" and kind == "frames":
            frames = rng.random(shape[:2]) >= share
            frames[:, 0] = True
            mask = np.broadcast_to(frames[:, :, *(None,) * (len(shape) - 2)], shape)
        elif name != "test" and kind == "points":
            mask = rng.random(shape) >= share
        masks.append(mask)
    splits = [getattr(dataset, name) for name in SPLITS]
    # What is missing is not in the file at all.
    u = [np.where(mask, split.u, np.nan) for mask, split in zip(masks, splits, strict=True)]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    np.savez(
        path,
        u=np.concatenate(u),
        mask=np.concatenate(masks),
        t=dataset.train.t[0],
        x=dataset.coordinates[0],
        boundary=np.array(dataset.boundary),
        split=np.repeat(SPLITS, [len(split.u) for split in splits]),
    )


def own_config(config: Config, path: str, kind: str) -> Config:
    """The recipe of `config` for a data file. A window of half the frames spans the same time."""
    data = DataConfig(Recorded(), path, num_train=0, num_val=0, num_test=0, noise_std=config.data.noise_std)
    window = config.inference.window
    if kind == "frames":
        window = round(window * (1 - SHARE.value))
    inference = dataclasses.replace(config.inference, window=window)
    return dataclasses.replace(config, case="custom", data=data, inference=inference)


def main() -> None:
    """Writes, trains and evaluates, and prints the median NRMSE of each."""
    config = entry.read_config()
    for kind in KIND.value:
        path = os.path.join(config.data.cache_dir, "gaps", f"{config.case}_{kind}.npz")
        if not os.path.exists(path):
            write_file(path, load_dataset(config.case, config.data), kind, SHARE.value)
        own = own_config(config, path, kind)
        workdir = f"runs/{own.run_name}"
        train(own, workdir)
        nrmse = evaluate(workdir, RESULTS.value).result["test"]["nrmse"]["median"]
        print(f"{kind}: median NRMSE {nrmse:.4f}")


if __name__ == "__main__":
    entry.define_config_flag()
    entry.run(main)
