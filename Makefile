# Two commands do all the set-up: `make demo` and `make test`. Both create .venv from pip-requirements.txt.
# `make check` is what continuous integration runs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DOCS   := $(VENV)/.docs-ready

.PHONY: help demo test lint wheel newest oldest gpu-check fuzz sanitize check format docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 11

# Python compiles what is imported; without --no-compile, pip compiles everything, on one core.
$(READY): pip-requirements.txt pyproject.toml setup.py easnn/native/sources.py $(wildcard easnn/native/src/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "easnn needs Python 3.11 or newer, but '$(PYTHON)' is older: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -r pip-requirements.txt
	@touch $@

demo: $(READY)  ## simulate a data set, train the spiking detector on it, evaluate, draw pictures
	$(BIN)/easnn quickstart

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(READY)  ## build the wheel, install it into an empty environment and use it there
	.ci/wheel-test $(BIN)/python

newest: $(READY)  ## run the tests that depend on torch with the newest one, in an environment of their own
	.ci/newest-test $(BIN)/python

oldest: $(READY)  ## run a few tests with the lower bounds of pyproject.toml, in an environment of their own
	.ci/oldest-test $(BIN)/python

gpu-check: $(READY)  ## on a machine with a GPU: compare it with the CPU, and measure its speed
	$(BIN)/easnn gpu-check

fuzz: $(READY)  ## give INPUTS changed files and words (10000 for each kind) to everything that reads, with the random SEED
	$(BIN)/python tests/fuzz.py --inputs $(or $(INPUTS),10000) --seed $(or $(SEED),0)

sanitize: $(READY)  ## build the native libraries with sanitizers and run their tests
	.ci/sanitizer-test $(BIN)/python

# Installations and some checks use one core, so two targets are made at a time, each with its output in one piece. No
# package is installed into the environment while tests run in it, hence $(DOCS).
check: $(DOCS)  ## lint, test, docs, wheel, newest, oldest and sanitize, as continuous integration does
	$(MAKE) --no-print-directory -j 2 --output-sync=target test newest oldest lint docs wheel sanitize
	@echo "Tested: $$($(BIN)/easnn --version); once more with $$(grep == .ci/newest-requirements.txt | xargs)"

format: $(READY)  ## reformat the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(DOCS): $(READY) .ci/docs-requirements.txt
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -r .ci/docs-requirements.txt
	@touch $@

docs: $(DOCS)  ## write docs/keys.md from the declarations and build the site
	$(BIN)/easnn keys docs/keys.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## remove the environment and caches; data and runs stay
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache *.egg-info
