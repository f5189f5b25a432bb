PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV ?= $(shell command -v uv)
PIP := $(if $(UV),$(UV) pip install --python $(BIN)/python --compile-bytecode,$(BIN)/python -m pip install --disable-pip-version-check)
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: run demo test test-nojit compiled lint bench docs clean

run: $(STAMP)
	$(BIN)/python -m optim run studies/ma_crossover_ibm.toml

demo: $(STAMP)
	$(BIN)/python -m optim demo

test: $(DEV_STAMP)
	$(MAKE) -j 2 lint compiled
	$(BIN)/python -m pytest -n 4 --dist worksteal

# What most tests need compiled, beside the linters: else every process that the tests start at once compiles it too
compiled: $(DEV_STAMP)
	$(BIN)/python -m optim check studies/ma_crossover_ibm.toml >/dev/null
	$(BIN)/python -m optim check studies/portfolio.toml >/dev/null

test-nojit: $(DEV_STAMP)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest tests/engine -n 2 --cov=engine --cov-report=term-missing:skip-covered --cov-report=xml

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(DEV_STAMP)
	$(BIN)/python -m benchmarks --page

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --quiet -c constraints.txt -e .
	touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --quiet -c constraints.txt -e ".[dev]"
	touch $(STAMP) $@

docs: $(DEV_STAMP)
	$(BIN)/python -m sphinx --fail-on-warning --quiet -b html docs build/docs

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
