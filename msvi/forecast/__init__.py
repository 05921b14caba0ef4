"""Forecasts: encode the first frame, solve the SDE, decode."""
