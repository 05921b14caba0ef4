"""Amortized variational inference; nothing in here reaches a differential-equation solver."""
