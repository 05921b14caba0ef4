"""Optimisation, checkpoints and the training loop."""
