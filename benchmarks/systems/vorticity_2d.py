"""Decaying turbulence in two dimensions, by its vorticity.

    w_t + v · grad w = nu lap w,   v = (psi_y, -psi_x),   lap psi = -w,   on [0, 2 pi)², periodic

`2 cos x cos y exp(-2 nu t)`, the vortices of Taylor and Green, is an exact solution. The equation is solved on twice as
many points along each axis as are kept, of whose Fourier coefficients those of the kept grid remain.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import fft

from benchmarks.systems.base import Check, Sizes, Trajectories, beats, beats_over_time, judge
from benchmarks.systems.spectral import make_stepper
from msvi.data.split import Dataset
from msvi.forecast.ensemble import reconstruct
from msvi.training.trained import TrainedModel

# Frames of each test trajectory on which reconstructions are compared.
_FRAMES = 11


@dataclasses.dataclass(frozen=True)
class Vorticity2D:
    """The equation and its observation.

    Initial vorticity is Gaussian with a power that is largest about the wavenumber `peak`.

    Attributes:
      num_points: kept along each axis; solved on twice as many.
      viscosity: `nu`.
      peak, size: wavenumber and root mean square of the initial vorticity.
      duration: time from the first to the last frame.
      steps: of the solver, per frame.
      noise: of the observation, in deviations of the field.
    """

    sizes: Sizes = Sizes(20, 4, 8, 101)
    num_points: int = 64
    viscosity: float = 5e-3
    peak: float = 4.0
    size: float = 3.0
    duration: float = 5.0
    steps: int = 2
    noise: float = 0.01
    name: str = "vorticity_2d"
    must_beat: bool = False

    @property
    def dt(self) -> float:
        """Time between frames."""
        return self.duration / (self.sizes.num_frames - 1)

    @property
    def waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Wavenumbers of `rfft2` on the solver's grid."""
        n = 2 * self.num_points
        return np.fft.fftfreq(n, 1 / n)[:, None], np.arange(n // 2 + 1.0)[None]

    def initial(self, number: int, purpose: int = 1) -> np.ndarray:
        """Coefficients of random vorticity on the solver's grid."""
        n, (kx, ky) = 2 * self.num_points, self.waves
        k = np.hypot(kx, ky)
        spectrum = k**2 * np.exp(-2 * (k / self.peak) ** 2) * (k < n / 3)
        w_hat = fft.rfft2(self.sizes.rng(purpose).standard_normal((number, n, n))) * spectrum
        deviation = fft.irfft2(w_hat).std(axis=(1, 2), keepdims=True)
        return self.size / deviation * w_hat

    def solve(self, w_hat: np.ndarray, num_frames: int, steps: int) -> np.ndarray:
        """Vorticity of the frames on the kept grid, `(..., frame, x, y)`, from coefficients on the solver's."""
        (kx, ky), n = self.waves, 2 * self.num_points
        squared = kx**2 + ky**2
        step = make_stepper(-self.viscosity * squared, self.dt / steps)
        inverse = 1 / np.where(squared == 0, np.inf, squared)
        kept = (np.abs(kx) < n / 3) & (ky < n / 3)

        def nonlinear(w_hat):
            flow = np.stack([1j * ky * inverse * w_hat, -1j * kx * inverse * w_hat])
            v = fft.irfft2(flow)
            flux = fft.rfft2(v * fft.irfft2(w_hat))
            return -1j * kept * (kx * flux[0] + ky * flux[1])

        frames = [self.keep(w_hat)]
        for _ in range(num_frames - 1):
            for _ in range(steps):
                w_hat = step(w_hat, nonlinear)
            frames.append(self.keep(w_hat))
        return np.stack(frames, axis=-3)

    def keep(self, w_hat: np.ndarray) -> np.ndarray:
        """The field on the kept grid, of the waves that it can tell apart."""
        n = self.num_points
        rows = np.concatenate([np.arange(n // 2), np.arange(-n // 2 + 1, 0)])
        own = np.zeros((*w_hat.shape[:-2], n, n // 2 + 1), complex)
        own[..., rows, : n // 2] = w_hat[..., rows, : n // 2] / 4
        return fft.irfft2(own)

    def generate(self) -> Trajectories:
        """As many independent solutions, one at a time for the sake of the cache."""
        start = self.initial(self.sizes.total)
        u = np.stack([self.solve(w_hat, self.sizes.num_frames, self.steps) for w_hat in start])[..., None]
        x = 2 * np.pi * np.arange(self.num_points) / self.num_points
        t = self.dt * np.arange(self.sizes.num_frames)
        return Trajectories(t, u, (x, x), (self.noise * float(u.std()),))

    def check_data(self, dataset: Dataset) -> dict[str, Check]:
        """Vortices of Taylor and Green, half the time step, and the power left where the grid ends."""
        n = 2 * self.num_points
        x = 2 * np.pi * np.arange(n) / n
        vortices = fft.rfft2(2 * np.outer(np.cos(x), np.cos(x)))
        frames = min(self.sizes.num_frames, 21)
        decayed = self.solve(vortices, frames, self.steps)[-1]
        exact = np.exp(-2 * self.viscosity * self.dt * (frames - 1)) * self.keep(vortices)
        start = self.initial(1, purpose=2)[0]
        coarse, fine = (self.solve(start, frames, steps)[-1] for steps in (self.steps, 2 * self.steps))
        power = np.abs(fft.rfft2(np.asarray(dataset.test.u_true[..., 0], float))) ** 2
        power = power.reshape(-1, *power.shape[-2:]).mean(axis=0)
        share = power[:, -self.num_points // 8 :].sum() / power.sum()
        return {
            "relative error of Taylor–Green vortices": judge(_relative(decayed, exact), 1e-9),
            "relative change from half the time step": judge(_relative(coarse, fine), 1e-4),
            "share of the power in the smallest scales": judge(share, 1e-3),
        }

    def check_model(self, trained: TrainedModel, result: dict[str, Any]) -> dict[str, Check]:
        """Reconstruction beside a Fourier series of as many numbers, and scores beside baselines."""
        model, test = trained.model, trained.dataset.test
        index = np.linspace(0, test.t.shape[1] - 1, _FRAMES).round().astype(int)
        frames = test.u[:, index].reshape(-1, *test.u.shape[2:])
        found = np.asarray(jax.jit(lambda u: reconstruct(model, trained.params, u))(jnp.asarray(frames)))
        shortened = truncate(frames[..., 0], model.latent_dim)[..., None]
        truth = test.u_true[:, index].reshape(frames.shape)
        ours, theirs = _relative(found, truth), _relative(shortened, truth)
        cells = {}
        if trained.config.model.micro_layout == "cells":
            mesh = _relative(truncate(frames[..., 0], math.prod(model.filter.coarse_grid))[..., None], truth)
            cells = {
                "reconstruction over a Fourier series of as many numbers as cells": judge(ours / mesh, 1.0)
            } | beats_over_time(trained, result)
        return (
            {
                "rel. L2 of the reconstruction": judge(ours, None),
                "rel. L2 of a Fourier series of as many numbers": judge(theirs, None),
                "reconstruction over Fourier series": judge(ours / theirs, None),
            }
            | beats(result, self.must_beat)
            | cells
        )


def truncate(u: np.ndarray, numbers: int) -> np.ndarray:
    """Fields `(..., x, y)` from at most `numbers` real Fourier coefficients, those of smallest wavenumber."""
    n = u.shape[-1]
    k = np.fft.fftfreq(n, 1 / n)
    radius = np.hypot(k[:, None], k[None])
    # Of a real field two coefficients of opposite wavenumber hold two numbers, so that each counts as one.
    order = np.argsort(radius, axis=None, kind="stable")
    limit = radius.ravel()[order[min(numbers, order.size - 1)]]
    return fft.ifft2(fft.fft2(u) * (radius < limit)).real


def _relative(estimate: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(estimate - reference) / np.linalg.norm(reference))
