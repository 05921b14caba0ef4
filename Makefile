# `make demo`: data, training, evaluation of a small model. `make test`: the tests. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/ready
	$(BIN)/python train.py --config=configs/burgers_1d.py:demo --workdir=runs/demo
	$(BIN)/python evaluate.py --workdir=runs/demo --results=runs/demo/results

test: .venv/ready
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf .venv
