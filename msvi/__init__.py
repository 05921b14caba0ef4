"""Stochastic multiscale models of physical systems, learned from trajectories without solving an SDE in training.

Imports flow one way: `types`, `errors` -> `data` | `model` -> `inference` -> `training.state`; `model` ->
`forecast`; all of them -> `config` -> `build` -> `training.loop` -> `evaluation` -> `cli`. Nothing is re-exported
here, so that importing the inference never imports a differential-equation solver.
"""
