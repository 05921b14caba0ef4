"""Systems of which something is known exactly, learned as own data are: `python -m benchmarks.systems`."""

from benchmarks.systems.base import System
from benchmarks.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from benchmarks.systems.ou_field import OUField
from benchmarks.systems.stochastic_burgers import StochasticBurgers
from benchmarks.systems.vorticity_2d import Vorticity2D
from benchmarks.systems.wave import Wave

SYSTEMS: dict[str, System] = {
    system.name: system for system in (OUField(), StochasticBurgers(), KuramotoSivashinsky(), Wave(), Vorticity2D())
}
