"""Speed measurements: `python -m benchmarks --config=configs/burgers_1d.py`."""
