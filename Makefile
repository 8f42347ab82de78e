# `make demo` and `make test` are complete on a fresh machine; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Tests start over a thousand Pythons: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

WORKERS ?= $(shell nproc 2>/dev/null || echo 2)

# PYTHON=... chooses; else the first that is 3.11 to 3.13 and can make an environment.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	>/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help demo test run-tests run-cluster-tests check test-cluster test-browser test-nightly lock bench peers bench-page bench-smoke clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.installed  ## Install, train the quickstart on this machine, and draw it (minutes)
	$(BIN)/hpcexp launch templates/quickstart.yaml --local
	$(BIN)/hpcexp plot quickstart

test: check  ## Everything: style, types, layers, and all tests, the cluster's included
	.ci/install-slurm
	.ci/install-chromium
	$(MAKE) --no-print-directory -j 2 run-tests run-cluster-tests

run-tests:
	$(BIN)/python -m pytest -m "not slurm and not slow and not nightly" -n $(WORKERS) --dist worksteal

run-cluster-tests:  # beside the others, as they mostly wait; what they say comes at their end
	mkdir -p .pytest_cache
	$(BIN)/python -m pytest -m "slurm and not slow" > .pytest_cache/cluster.txt 2>&1 || \
	  { cat .pytest_cache/cluster.txt; exit 1; }
	cat .pytest_cache/cluster.txt

check: $(VENV)/.installed-dev  ## Style, types and layers, as pre-commit runs them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test-cluster: $(VENV)/.installed-dev  ## Install Debian's Slurm here (as root), and run the cluster tests
	.ci/install-slurm --yes
	$(BIN)/python -m pytest -m "slurm and not slow"

test-browser: $(VENV)/.installed-dev  ## Install Debian's Chromium here (as root), and run the tests of the report in it
	.ci/install-chromium --yes
	$(BIN)/python -m pytest -m browser

test-nightly: $(VENV)/.installed-dev  ## Launch every template with its smoke profile (minutes)
	$(BIN)/python -m pytest -m nightly tests/templates

bench: peers  ## Every benchmark of speed; prints tables of ratios
	$(BIN)/python benchmarks/all.py

bench-page: peers  ## The same, and their tables into docs/results/performance.md
	$(BIN)/python benchmarks/all.py --write docs/results/performance.md

bench-smoke: $(VENV)/.installed-dev  ## Every benchmark at a tiny size
	$(BIN)/python benchmarks/all.py --smoke

peers: $(VENV)/.installed-dev  ## What benchmarks compare with, where it can be installed
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'

lock: $(VENV)/.installed-dev  ## Write constraints.txt from what is installed
	{ echo "# What was tested: written by 'make lock'."; \
	  $(BIN)/pip freeze --exclude-editable | sed -E 's/^(torch==[0-9.]+)\+.*/\1/'; } > constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "no Python 3.11 to 3.13 that can make a virtual environment:" >&2; \
	  echo "on Debian, 'apt install python3 python3-venv'; elsewhere, make PYTHON=/path/to/python" >&2; \
	  exit 1; fi
	$(PYTHON) -m venv $(VENV)

clean:  ## Remove the environment and caches; experiments stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
