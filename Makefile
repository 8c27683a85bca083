# The two commands of the README. Everything is installed into .venv with the tested pins.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test reliability gpu lint install clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable .
	touch $@

demo: install
	$(BIN)/segttt demo

test: install
	$(BIN)/python -m pytest

# Faults by the thousand: damaged and hostile files, kills, full disks, races. Prints a table of figures.
reliability: install
	$(BIN)/python -m pytest tests/reliability -m "reliability or not reliability"

# What only a GPU can tell: its kernels against the definitions, then all of its figures. One part
# that fails does not keep the others from being run.
gpu: install
	failed=0; \
	$(BIN)/python -m pytest -m gpu tests || failed=1; \
	$(BIN)/python benchmarks/kernels/run_all.py --device cuda || failed=1; \
	$(BIN)/python benchmarks/networks.py --device cuda || failed=1; \
	$(BIN)/python -m benchmarks.engine.on_gpu || failed=1; \
	exit $$failed

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

clean:
	rm -rf .venv demo dist
