"""Forecasts that take in observations: sensors, an ensemble Kalman filter of latent states, smoothers, statistics."""
