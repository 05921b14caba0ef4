"""The generative model and its encoder."""
