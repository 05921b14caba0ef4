"""Result files such as evaluations leave, made up."""

import copy
import json


def summary(*values):
    return {"mean": values[0], "median": values[1], "std": values[2], "per_trajectory": list(values[3:])}


RESULT = {
    "case": "burgers_1d",
    "micro_dim": 5,
    "seed": 0,
    "steps": 30000,
    "train_seconds": 90.0,
    "test": {
        "nrmse": summary(0.0312, 0.0287, 0.0044, 0.0287, 0.0356, 0.0293),
        "nrmse_clean": summary(0.0277, 0.0266, 0.004, 0.0266, 0.0301),
        "reconstruction_nrmse": summary(0.02, 0.0211, 0.001, 0.02, 0.0211),
        "noise_floor": summary(0.011, 0.0109, 0.001, 0.011, 0.0109),
    },
}


def make_result(**changes):
    return copy.deepcopy(RESULT) | changes


def make_baseline(name="dmd", case="kdv_1d", **changes):
    test = {"nrmse": summary(0.17, 0.165, 0.01, 0.165), "rel_l2": summary(0.16, 0.15, 0.01, 0.15)}
    return {"case": case, "baseline": name, "test": test, "fit_seconds": 2.5} | changes


def write(directory, result):
    path = directory / result["case"] / f"d{result['micro_dim']}_s{result['seed']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))
