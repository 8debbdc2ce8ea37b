# Two commands do all the set-up: `make demo` and `make test`. Both create .venv from pip-requirements.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help demo test lint format docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

$(READY): pip-requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "easnn needs Python 3.11 or newer, but '$(PYTHON)' is older: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r pip-requirements.txt
	@touch $@

demo: $(READY)  ## simulate a data set, train the spiking detector on it, evaluate, draw pictures
	$(BIN)/python tools/quickstart.py

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest -n 2

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## reformat the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## write docs/keys.md from the declarations
	$(BIN)/python -m easnn.cli.keys docs/keys.md

clean:  ## remove the environment and caches; data and runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
