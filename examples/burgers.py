"""Writes an example of a data file: Burgers' equation with another viscosity in each trajectory, or forced.

python examples/burgers.py viscosity data/viscosity.npz
python examples/burgers.py forcing data/forcing.npz

With `--blind` the file keeps its viscosities or its forcing to itself, which shows what they bring.
"""

import argparse
import dataclasses
import os

import diffrax
import jax.numpy as jnp
import numpy as np

from msvi.data.equations.burgers_1d import Burgers1D

# Names of the arrays in a file are explained in `msvi/data/formats/layout.py`.
Arrays = dict[str, np.ndarray]

EQUATION = Burgers1D(viscosity=5e-3, num_points=256, num_frames=201, max_dt=5e-4)
SIZES = (24, 4, 12)
SPLITS = ("train", "val", "test")
VISCOSITIES = (1e-3, 1e-2)
NOISE = 1e-3


@dataclasses.dataclass(frozen=True)
class ForcedBurgers(Burgers1D):
    """`u_t + (u²/2)_x = nu u_xx + f(x, t)`, otherwise as the equation it inherits."""

    def solve_forced(self, u0: np.ndarray, f: np.ndarray) -> np.ndarray:
        """The solution at the frame times, `(time, point, 1)`, of the forcing `f` of the same shape."""
        return self._integrate(_forced_rate, diffrax.Heun(), u0, (self.spacing, self.viscosity, self.t1, f))


def viscosity(equation: Burgers1D = EQUATION, sizes: tuple[int, int, int] = SIZES, seed: int = 0) -> Arrays:
    """Each trajectory has a viscosity of its own, log-uniform, whose decimal logarithm is its parameter `mu`.

    None is met twice: the test trajectories are forecast at unseen values.

    Args:
      equation: all but the viscosity.
      sizes: trajectories to train, to validate and to test.
      seed: of viscosities, initial conditions and noise.
    """
    rng = np.random.default_rng(seed)
    mu = rng.uniform(*np.log10(VISCOSITIES), (sum(sizes), 1))
    start = [equation.sample_initial(rng) for _ in mu]
    u = [dataclasses.replace(equation, viscosity=10 ** float(m)).solve(u0) for (m,), u0 in zip(mu, start, strict=True)]
    return _arrays(equation, np.stack(u), sizes, rng) | {"mu": mu}


def forcing(equation: Burgers1D = EQUATION, sizes: tuple[int, int, int] = SIZES, seed: int = 0) -> Arrays:
    """`u_t + (u²/2)_x = nu u_xx + f(x, t)` with a random smooth `f` that differs from trajectory to trajectory.

    `f = sum_k a_k sin(2 pi (k x + phi_k) + w_k t)`, k = 1, 2, is stored as the field `forcing`.

    Args:
      equation: its viscosity, grid and times.
      sizes, seed: as for `viscosity`; the seed decides the forcing too.
    """
    rng = np.random.default_rng(seed)
    forced = ForcedBurgers(**dataclasses.asdict(equation))
    k, x, t = np.arange(1, 3), equation.x, equation.t
    u, fields = [], []
    for _ in range(sum(sizes)):
        amplitude, phase, frequency = rng.normal(0, 0.2, 2), rng.uniform(0, 1, 2), rng.normal(0, 6, 2)
        angle = 2 * np.pi * (k * x[:, None] + phase)[None] + (frequency * t[:, None])[:, None]
        fields.append((amplitude * np.sin(angle)).sum(axis=-1, keepdims=True))
        u.append(forced.solve_forced(forced.sample_initial(rng), fields[-1]))
    return _arrays(equation, np.stack(u), sizes, rng) | {"forcing": np.stack(fields)}


def _forced_rate(t, u, args):
    """`-(u²/2)_x + nu u_xx + f` by second-order central differences; `f` `(time, point, 1)` at equal steps is linear
    between them."""
    dx, viscosity, t1, f = args
    right, left = jnp.roll(u, -1, axis=0), jnp.roll(u, 1, axis=0)
    frame = jnp.clip(jnp.floor(t / t1 * (len(f) - 1)).astype(int), 0, len(f) - 2)
    part = t / t1 * (len(f) - 1) - frame
    rate = (left**2 - right**2) / (4 * dx) + viscosity * (right - 2 * u + left) / dx**2
    return rate + (1 - part) * f[frame] + part * f[frame + 1]


def _arrays(equation: Burgers1D, u_true: np.ndarray, sizes: tuple[int, int, int], rng: np.random.Generator) -> Arrays:
    """What every file holds: noisy and true fields, times, axis, split, boundary and coarsening."""
    return {
        "u": (u_true + NOISE * rng.standard_normal(u_true.shape)).astype(np.float32),
        "u_true": u_true.astype(np.float32),
        "t": equation.t,
        "x": equation.x,
        "split": np.repeat(SPLITS, sizes),
        "boundary": np.array(["periodic"]),
        "coarsening": np.array(equation.num_points // 16),
    }


def main() -> None:
    """Writes the file that the command line names, and its folder if it is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["viscosity", "forcing"])
    parser.add_argument("file", help="to write, .npz")
    parser.add_argument("--blind", action="store_true", help="leave out mu or forcing")
    arguments = parser.parse_args()
    arrays = {"viscosity": viscosity, "forcing": forcing}[arguments.kind]()
    if arguments.blind:
        arrays = {name: array for name, array in arrays.items() if name not in ("mu", "forcing")}
    os.makedirs(os.path.dirname(arguments.file) or ".", exist_ok=True)
    np.savez_compressed(arguments.file, **arrays)
    print(f"{arguments.file}: {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}")


if __name__ == "__main__":
    main()
