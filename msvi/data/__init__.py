"""Trajectories: generation, caching, checks."""
