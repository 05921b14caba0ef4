"""Draws which cell sees what where the microscale has numbers in every coarse cell, from the derivatives of a model.

python examples/cells.py figures/cells.png
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from msvi.model.config import ModelConfig
from msvi.model.multiscale import MultiscaleModel
from msvi.model.scales import Scales
from msvi.report.plots import MACRO, MICRO

NUM_CELLS, SIZE = 24, 8
CELL = NUM_CELLS // 2


def make_model() -> MultiscaleModel:
    """A line of cells with the sizes of the 1D recipes, but for narrow networks."""
    config = ModelConfig(
        micro_layout="cells",
        micro_dim=2,
        coarsening=SIZE,
        micro_hidden=(16,),
        encoder_hidden=(16,),
        decoder_hidden=(16,),
    )
    return MultiscaleModel(config, (NUM_CELLS * SIZE,), 1, ("periodic",), Scales((0.0,), (1.0,)))


def influences(model: MultiscaleModel, key: jax.Array) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How strongly things act on each other, for the macroscale and for the microscale of the cell in the middle.

    Root sums of squared derivatives at a random field, largest 1: of the cell's latents by the field at each point
    (`encoder`), of the field at each point by the cell's latents (`decoder`), and of the cell's rates by the latents
    of each cell (`drift`).
    """
    params_key, field_key = jax.random.split(key)
    params = model.init(params_key)
    u = jax.random.normal(field_key, model.field_shape)
    z = model.encode(params, u).mean
    macro, micro = (places[CELL] for places in model.places)

    encoder = jax.jacrev(lambda u: model.encode(params, u).mean)(u)[..., 0]
    decoder = jax.jacfwd(lambda z: model.decode(params, z).mean)(z)[:, 0]
    drift = jax.jacrev(lambda z: model.drift(params, jnp.zeros(()), z))(z)
    by_cell = drift.reshape(model.latent_dim, NUM_CELLS, -1)

    def size(derivatives, axis):
        total = np.sqrt(np.sum(np.square(derivatives, dtype=float), axis=axis))
        return total / total.max()

    return {
        "encoder": (size(encoder[macro], 0), size(encoder[micro], 0)),
        "decoder": (size(decoder[:, macro], 1), size(decoder[:, micro], 1)),
        "drift": (size(by_cell[macro], (0, 2)), size(by_cell[micro], (0, 2))),
    }


def draw(found: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The influences over the cells, one panel each for encoder, decoder and drift."""
    titles = {
        "encoder": "points that the encoder of the shaded cell sees",
        "decoder": "points that the latents of the shaded cell act on",
        "drift": "cells that the rates of the shaded cell depend on",
    }
    figure, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
    for ax, (name, (macro, micro)) in zip(axes, found.items(), strict=True):
        ax.axvspan(CELL, CELL + 1, color="0.88")
        for values, color, label in ((macro, MACRO, "macroscale state ζ"), (micro, MICRO, "microscale latents η")):
            edges = np.linspace(0, NUM_CELLS, len(values) + 1)
            ax.stairs(np.where(values > 1e-6, values, np.nan), edges, color=color, label=label, lw=1.8)
        ax.set(title=titles[name], ylabel="relative size", xlim=(0, NUM_CELLS), ylim=(0, 1.1))
        ax.set_xticks(range(NUM_CELLS + 1), minor=True)
        ax.grid(axis="x", which="minor", color="0.85", lw=0.6)
    axes[0].legend(loc="upper right", frameon=False)
    axes[-1].set_xlabel("coarse cell")
    return figure


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the file of the picture: python examples/cells.py figures/cells.png")
    draw(influences(make_model(), jax.random.key(0))).savefig(sys.argv[1], dpi=120)
    print(sys.argv[1])
