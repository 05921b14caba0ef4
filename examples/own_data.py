"""Your own arrays: `python examples/own_data.py` learns from them, forecasts into a file, and draws.

So few steps of so small a model show no more than that everything works; leave `QUICK` out for a good one.
"""

import numpy as np

import msvi

QUICK = {"steps": 20, "eval_every": 20, "log_every": 20, "micro_layout": "global", "micro_dim": 1, "coarsening": 8}
QUICK |= {"window": 16, "num_nodes": 8, "num_quadrature": 8, "num_val_members": 2, "linear_radius": 0}
QUICK |= {"rotation": "none", "micro_frame": "fixed", "solver": "euler", "steps_per_frame": 1}
QUICK |= dict.fromkeys(("macro_hidden", "micro_hidden", "encoder_hidden", "decoder_hidden"), (8,))

x, t = np.arange(64) / 64, 0.05 * np.arange(41)
phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (8, 1, 1))
u = np.sin(2 * np.pi * (x - 0.3 * t[:, None]) + phases)  # (trajectory, time, x)

model = msvi.fit(u, t, boundary="periodic", workdir="runs/own_data", **QUICK)
forecast = model.forecast(u[0, 0], t, members=16, parts=True)
forecast.to_netcdf("forecast.nc", engine="h5netcdf")
msvi.plot(forecast, "forecast.png")
print(forecast.sizes)
