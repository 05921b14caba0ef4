"""Baselines of the forecasting study: what a forecast from the first frame costs without the model."""
