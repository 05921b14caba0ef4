"""Errors and proper scores of forecasts, as functions of arrays."""
