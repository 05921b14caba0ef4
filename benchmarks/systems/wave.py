"""The linear wave equation in two channels of different size, whose solution is exact.

    u_tt = c² u_xx  on the unit interval, periodic;  channels u and u_t

Every field is a sum of waves to the right and to the left. A linear method that sees both channels can be exact.
"""

import dataclasses
from typing import Any

import numpy as np

from benchmarks.systems.base import Check, Sizes, Trajectories, beats, judge, ratio_to
from msvi.data.split import Dataset
from msvi.training.trained import TrainedModel

# By how much the error of a linear method may be exceeded.
_ALLOWED = 1.5


@dataclasses.dataclass(frozen=True)
class Wave:
    """The equation and its observation.

    Initial states are Gaussian, independent for each wave; `u` falls off with the wavenumber `k` as `1 / k`.

    Attributes:
      num_points: of the line.
      num_modes: waves, of 1 to as many periods.
      speed: `c`.
      duration: time from the first to the last frame.
      noise: of the observation, in deviations of each channel.
    """

    sizes: Sizes = Sizes(24, 4, 16, 201)
    num_points: int = 256
    num_modes: int = 6
    speed: float = 1.0
    duration: float = 1.0
    noise: float = 0.01
    name: str = "wave"
    must_beat: bool = False

    def solve(self, right: np.ndarray, left: np.ndarray, t: np.ndarray) -> np.ndarray:
        """`u` and `u_t` of `sum_k Re(right_k e^(i k (x - c t)) + left_k e^(i k (x + c t)))`.

        Args:
          right, left: complex amplitudes for 1, 2, ... periods, `(trajectory, mode)`.
          t: `(time,)`.

        Returns:
          `(trajectory, time, point, channel)`.
        """
        k = 2 * np.pi * np.arange(1, right.shape[-1] + 1)
        space = np.exp(1j * np.outer(k, np.arange(self.num_points) / self.num_points))
        turn = np.exp(-1j * self.speed * np.outer(t, k))
        right, left = right[:, None] * turn, left[:, None] * turn.conj()
        rate = 1j * self.speed * k * (left - right)
        return np.stack([((right + left) @ space).real, (rate @ space).real], axis=-1)

    def generate(self) -> Trajectories:
        """Random waves in both directions."""
        shape = (2, 2, self.sizes.total, self.num_modes)
        draws = self.sizes.rng(1).standard_normal(shape) / np.arange(1, self.num_modes + 1)
        t = np.linspace(0, self.duration, self.sizes.num_frames)
        u = self.solve(*(real + 1j * imaginary for real, imaginary in draws), t)
        x = np.arange(self.num_points) / self.num_points
        noise = self.noise * u.reshape(-1, 2).std(axis=0)
        return Trajectories(t, u, (x,), tuple(noise.tolist()))

    def check_data(self, dataset: Dataset) -> dict[str, Check]:
        """Energy is conserved, and the file holds the derivative in time of its first channel."""
        u, t = np.asarray(dataset.test.u_true, float), dataset.test.t[0]
        k = 2 * np.pi * np.fft.rfftfreq(self.num_points, 1 / self.num_points)
        slope = np.fft.irfft(1j * k * np.fft.rfft(u[..., 0]), self.num_points)
        energy = np.mean(u[..., 1] ** 2 + (self.speed * slope) ** 2, axis=-1)
        # Central differences are off by the third derivative.
        dt, rate = t[1] - t[0], u[:, 1:-1, :, 1]
        central = (u[:, 2:, :, 0] - u[:, :-2, :, 0]) / (2 * dt)
        allowed = (2 * np.pi * self.num_modes * self.speed * dt) ** 2 / 6
        return {
            "relative change of the energy": judge(np.abs(energy / energy[:, :1] - 1).max(), 1e-5),
            "relative error of u_t": judge(
                np.linalg.norm(central - rate) / np.linalg.norm(rate), float(allowed + 1e-4)
            ),
            "size of u_t over that of u": judge(np.sqrt(np.mean(rate**2) / np.mean(u[..., 0] ** 2)), [5, 20]),
        }

    def check_model(self, trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
        """The error beside that of a linear method."""
        found = {score: judge(ratio_to(result, "dmd", score), _ALLOWED) for score in ("nrmse", "anomaly_nrmse")}
        return {f"{score} over that of DMD": check for score, check in found.items()} | beats(result, self.must_beat)
