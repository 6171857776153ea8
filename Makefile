# Everything a developer does here. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

ON_A_STORE := tests/campaigns tests/cli tests/client tests/console tests/docs tests/exports tests/http tests/imports/test_import_command.py tests/process

ON_ALL_CORES := --numprocesses logical --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test check format bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

setup: $(READY) ## make the virtual environment with the pinned packages

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Traitbase needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: $(READY) ## run the main job on made-up people, then serve it (EXIT=1: end by itself)
	$(BIN)/traitbase demo $(if $(EXIT),--exit)

serve: $(READY) ## run the server on ./traitbase-data
	$(BIN)/traitbase serve

test: $(READY) ## run all tests, then once more on PostgreSQL those that go through a store
	$(BIN)/python -m pytest $(ON_ALL_CORES)
	TRAITBASE_TEST_STORE=postgres $(BIN)/python -m pytest $(ON_ALL_CORES) $(ON_A_STORE)

check: $(READY) ## check format, lint, types, imports and dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pip check

format: $(READY) ## format the code and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## measure speed beside a raw echo and a do-it-yourself service
	$(BIN)/python -m bench

clean: ## remove what was made here (not traitbase-data)
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .artefacts src/traitbase.egg-info
