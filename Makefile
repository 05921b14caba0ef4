# `make demo`: data, training, evaluation of a small model. `make test`: the tests but for the slow ones; `make test-all`:
# all of them; `make test-outside`: those against other packages. `make docs`: the documentation, into site/. All set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all test-outside lint docs clean

demo: .venv/ready
	$(BIN)/python train.py --config=configs/burgers_1d.py:demo --workdir=runs/demo
	$(BIN)/python evaluate.py --workdir=runs/demo --results=runs/demo/results

# Tests run side by side, one on each core: threads of linear algebra would wait for each other.
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not outside"

test-all: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not outside"

# Against other packages, where they can be installed.
test-outside: .venv/ready
	$(BIN)/python -m pip install --quiet --editable '.[outside]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m outside tests/outside

lint: .venv/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/basedpyright

# Zensical's advertisement is no warning of ours.
docs: .venv/ready
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf .venv
