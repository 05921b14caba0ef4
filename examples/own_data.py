"""Your own arrays: `python examples/own_data.py` learns from them, forecasts, and draws; one minute on one core.

Twenty steps show that everything works; for a model leave `steps` out, and the recipe chooses.
"""

import numpy as np

import msvi

x, t = np.arange(64) / 64, 0.05 * np.arange(41)
phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (8, 1, 1))
u = np.sin(2 * np.pi * (x - 0.3 * t[:, None]) + phases)  # (trajectory, time, x)

model = msvi.fit(u, t, boundary="periodic", workdir="runs/own_data", steps=20, eval_every=20, log_every=20)
forecast = model.forecast(u[0, 0], t, members=16, parts=True)
forecast.to_netcdf("forecast.nc", engine="h5netcdf")
msvi.plot(forecast, "forecast.png")
print(forecast)
