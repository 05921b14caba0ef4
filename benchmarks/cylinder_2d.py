"""Validates the simulated flow past a cylinder: shedding and forces on three grids, divergence, time taken.

    python -m benchmarks.cylinder_2d --output results/validation/cylinder_2d.json --figures figures/cylinder_2d

Takes some ten minutes on two cores.
"""

import argparse
import dataclasses
import os
import time
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from msvi.data.equations.cylinder_2d import Cylinder2D, Flow, strouhal_number, vorticity
from msvi.provenance import versions
from msvi.report.axes import LEGEND_ABOVE, WIDTH, cell_edges, even_ticks, tidy
from msvi.report.plots import DRIFT, REFERENCE, TRUTH
from msvi.writing import write_json

LATE = (10.0, 17.0)  # of the default grid
COMMON = (9.0, 13.0)  # of every grid
# Of each refinement; the finer grid is drawn over the default, from which it hardly differs.
STYLES = {
    1: {"color": REFERENCE, "lw": 1.0},
    2: {"color": TRUTH, "lw": 1.8},
    3: {"color": DRIFT, "lw": 1.4, "ls": (0, (2, 2))},
}


def main() -> None:
    """Simulates on every grid, prints and writes what came out, and draws the default one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="results/validation/cylinder_2d.json", help="JSON file to write")
    parser.add_argument("--figures", default="figures/cylinder_2d", help="folder for the figures")
    args = parser.parse_args()

    default = Cylinder2D()
    runs, flows = {}, {}
    for equation in grids(default):
        began = time.monotonic()
        flow = equation.solve()
        seconds = time.monotonic() - began
        flows[equation.refinement] = flow
        runs[equation.refinement] = run = measure(equation, flow) | {"seconds": seconds}
        print(f"refinement {equation.refinement}: {run}", flush=True)

    result = {
        "case": "cylinder_2d",
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": versions(),
        "equation": dataclasses.asdict(default),
        "runs": [runs[refinement] for refinement in sorted(runs)],
        "relative_change_2_to_3": {
            name: runs[3]["common"][name] / runs[2]["common"][name] - 1 for name in ("strouhal", "drag", "lift_rms")
        },
    }
    print(result["relative_change_2_to_3"])
    write_json(args.output, result)
    os.makedirs(args.figures, exist_ok=True)
    frame = default.num_frames - 1
    figures = {
        "vorticity": draw_vorticity(default, flows[2].u[frame], default.t[frame]),
        "lift": draw_forces(default, flows),
    }
    for name, figure in figures.items():
        path = os.path.join(args.figures, f"{name}.png")
        figure.savefig(path)
        print(path)


def grids(default: Cylinder2D) -> list[Cylinder2D]:
    """The default, a coarser and a finer grid; these two only until the end of the common interval."""
    frames = round(COMMON[1] / default.t1 * (default.num_frames - 1)) + 1
    short = dataclasses.replace(default, num_frames=frames, t1=COMMON[1])
    return [
        default,
        dataclasses.replace(short, refinement=1),
        dataclasses.replace(short, refinement=3, max_dt=default.max_dt / 1.7),
    ]


def measure(equation: Cylinder2D, flow: Flow) -> dict[str, Any]:
    """Numbers of one run: shedding and forces over the intervals that it reaches, and its largest divergence."""
    divergence = float(flow.divergence.max())
    result = {
        "refinement": equation.refinement,
        "cells": list(equation.cells),
        "cells_per_diameter": 2 * equation.radius / equation.cell,
        "dt": equation.dt,
        "t1": equation.t1,
        "max_divergence": divergence,
        "max_divergence_times_cell": divergence * equation.cell,
        "saturated_from": saturation_time(equation.t, flow.lift),
    }
    for name, (start, end) in (("common", COMMON), ("late", LATE)):
        if equation.t1 >= end:
            inside = (equation.t >= start) & (equation.t <= end)
            drag, lift = flow.drag[inside], flow.lift[inside]
            result[name] = {
                "interval": [start, end],
                "strouhal": strouhal_number(equation.t[inside], lift),
                "drag": float(drag.mean()),
                "lift_rms": float(lift.std()),
            }
    return result


def saturation_time(t: np.ndarray, lift: np.ndarray, tolerance: float = 0.05) -> float:
    """Time from which on every extremum of the lift is within a share `tolerance` of the last ones' mean."""
    t, size = t[2:], np.abs(lift[2:])  # not the jolt of the start
    peaks = np.flatnonzero((size[1:-1] > size[:-2]) & (size[1:-1] >= size[2:])) + 1
    final = size[peaks[-6:]].mean()
    early = np.flatnonzero(np.abs(size[peaks] / final - 1) > tolerance)
    return float(t[peaks[min(early[-1] + 1, len(peaks) - 1)]]) if len(early) else float(t[0])


def draw_vorticity(equation: Cylinder2D, u: np.ndarray, time: float) -> Figure:
    """Vorticity of one frame, `(*grid, 2)`; colours are cut where it is largest, in the boundary layer."""
    edges = [cell_edges(name, x) for name, x in zip("xy", equation.coordinates, strict=True)]
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    ax = figure.subplots()
    field = vorticity(u.astype(float), equation.spacing)
    image = ax.pcolorfast(*edges, field.T, cmap="RdBu_r", vmin=-20, vmax=20)
    ax.add_patch(Circle((0, 0), equation.radius, fc="0.6", ec="0.2", lw=0.8))
    ax.set(xlabel="x", ylabel="y", title=f"vorticity at t = {time:.3g}", aspect="equal")
    ax.yaxis.set_major_locator(even_ticks(4))
    figure.colorbar(image, ax=ax, pad=0.02, aspect=15, extend="both", shrink=0.8)
    tidy([ax])
    return figure


def draw_forces(default: Cylinder2D, flows: dict[int, Flow]) -> Figure:
    """Lift and drag coefficients against time on every grid."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for refinement in sorted(flows):
        flow, (nx, ny) = flows[refinement], dataclasses.replace(default, refinement=refinement, max_dt=1e-3).cells
        t = default.t[: len(flow.lift)]
        axes[0].plot(t, flow.lift, label=f"{nx} × {ny} cells", **STYLES[refinement])
        axes[1].plot(t, flow.drag, **STYLES[refinement])
    axes[0].set(ylabel="lift coefficient", xlim=(0, default.t1), ylim=(-0.8, 0.8))
    axes[1].set(xlabel="t", ylabel="drag coefficient", ylim=(1.0, 1.9))  # not the jolt of the start
    for ax in axes:
        ax.yaxis.set_major_locator(even_ticks(5))
    figure.align_ylabels()
    figure.legend(**LEGEND_ABOVE)
    tidy(axes)
    return figure


if __name__ == "__main__":
    main()
