"""What the cases' configuration files share: the variants, as changes to a case's own recipe."""

import ml_collections

from msvi.config import Config, to_dict


def make_config(recipe: Config, variant: str) -> ml_collections.ConfigDict:
    """`recipe` itself (`default`), or as `published`, as a `demo` of minutes, or as a `smoke` test of seconds.

    Raises:
      ValueError: an unknown variant.
    """
    variants = {"default": lambda config: None, "published": _published, "demo": _demo, "smoke": _smoke}
    if variant not in variants:
        raise ValueError(f"The variant must be {', '.join(variants)}, got {variant!r}.")
    config = ml_collections.ConfigDict(to_dict(recipe))
    variants[variant](config)
    return config


def _published(config: ml_collections.ConfigDict) -> None:
    """One 128-frame window per step, all frames encoded and scored, 500 epochs of 64 windows.

    The paper's encoder and decoder are convolutional and its quadrature points fixed; its residual weight is 16 in our
    units.
    """
    config.model.micro_clock = True
    config.model.macro_hidden = (128, 128)
    config.model.micro_hidden = (128, 512, 128)
    config.model.encoder_hidden = (256, 256)
    config.model.decoder_hidden = (256, 256)
    config.model.init_posterior_log_var = -4.0
    config.model.init_log_q = 0.5
    config.model.init_macro_log_var = 1.0
    config.model.init_micro_log_var = 1.0
    config.train.steps = 32_000
    config.train.learning_rate = 1e-3
    config.train.batch_windows = 1
    config.train.average_decay = 0.0
    config.train.clip_norm = 0.0
    config.inference.num_nodes = 128
    config.inference.num_scored = 128
    config.inference.num_quadrature = 10
    config.inference.drift_weight = 16.0
    config.inference.drift_warmup_steps = 5000


def _demo(config: ml_collections.ConfigDict) -> None:
    """The default, stopped early."""
    config.train.steps = 10_000


def _smoke(config: ml_collections.ConfigDict) -> None:
    """A tenth of the points, few frames, trajectories, steps and members, narrow networks."""
    config.data.equation.num_points = 100
    config.data.equation.num_frames = 65
    config.data.num_train = 2
    config.data.num_val = 1
    config.data.num_test = 2
    config.model.coarsening = 10
    config.model.micro_dim = 2
    config.model.macro_hidden = (16,)
    config.model.micro_hidden = (16,)
    config.model.encoder_hidden = (16,)
    config.model.decoder_hidden = (16,)
    config.inference.window = 16
    config.inference.num_nodes = 8
    config.inference.num_scored = 8
    config.inference.num_quadrature = 8
    config.inference.drift_warmup_steps = 10
    config.train.steps = 40
    config.train.log_every = 10
    config.train.eval_every = 20
    config.forecast.num_members = 8
    config.forecast.num_val_members = 4
