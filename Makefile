# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 or newer and make.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Which interpreter builds the virtual environment; the first that is new enough is taken.
PYTHON ?= python3.11 python3 python3.12 python3.13
# Test processes side by side. More than a small machine has cores: many tests wait for devices and
# clocks.
JOBS ?= 4
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-fast wire lint format types docs docs-check bench wheel clean

help:
	@echo "make demo        install what a run needs, run the demo scenario, say where its report is"
	@echo "make test        install the development set-up, run all tests, show the coverage"
	@echo "make test-fast   the same without the slow tests"
	@echo "make wire        fetch third-party clients (mbpoll, zigbee-herdsman, ...) for tests/wire"
	@echo "make lint        ruff: rules and format          make format  mend what ruff can mend"
	@echo "make types       mypy, strict                    make bench   speed figures"
	@echo "make docs        write the generated files anew  make docs-check  fail if one is out of date"
	@echo "make wheel       build dist/*.whl                make clean   remove all of the above"

demo: $(VENV)/.compiled
	$(BIN)/wattbench run demo --out runs

test: $(VENV)/.installed-dev
	$(BIN)/pytest -n $(JOBS) --dist loadfile --cov --cov-report term $(PYTEST_ARGS)

test-fast: $(VENV)/.installed-dev
	$(BIN)/pytest -m "not slow" $(PYTEST_ARGS)

wire:
	bash tests/wire/install.sh

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev .typing/wattbench
	$(BIN)/mypy

# The type checker needs a folder that is named like the package.
.typing/wattbench:
	@mkdir -p .typing
	@ln -s .. $@

docs: $(VENV)/.installed-dev
	$(BIN)/wattbench schema

docs-check: $(VENV)/.installed-dev
	$(BIN)/wattbench schema --check

# The speed suite is skipped by `make test`; its figures depend on the machine.
bench: $(VENV)/.installed-dev
	$(BIN)/pytest tests/bench -o addopts="--import-mode=importlib -ra --strict-markers" \
	  --benchmark-only --benchmark-sort=name $(PYTEST_ARGS)

wheel: $(VENV)/.installed-dev
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

$(VENV)/.installed-core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing wattbench into $(VENV) (no torch, no development tools) ..."
	@$(PIP) install -c constraints.txt setuptools
	@$(PIP) install -c constraints.txt --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing wattbench with its development tools into $(VENV) ..."
	@$(PIP) install -c constraints.txt setuptools
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@ $(VENV)/.installed-core

# Part of the installation: the kernels, compiled for this machine (later runs find them).
$(VENV)/.compiled: $(VENV)/.installed-core
	@echo "Compiling the kernels for this machine ..."
	@$(BIN)/python -m wattbench.commands.precompile
	@touch $@

$(BIN)/python:
	@found=""; \
	for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found="$$python"; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: wattbench needs Python 3.11 or newer; tried: $(PYTHON)." >&2; \
	  echo "       Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2; \
	  exit 1; \
	fi; \
	echo "Creating $(VENV) with $$($$found --version) ($$(command -v $$found))"; \
	rm -rf $(VENV); \
	if ! "$$found" -m venv $(VENV); then \
	  rm -rf $(VENV); \
	  if ! "$$found" -m virtualenv $(VENV); then \
	    rm -rf $(VENV); \
	    echo "error: $$found cannot create a virtual environment." >&2; \
	    echo "       On Debian and Ubuntu: apt install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	fi

clean:
	rm -rf $(VENV) .typing .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	rm -rf .wire build dist htmlcov *.egg-info .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
