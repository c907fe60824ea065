.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint bench screenshots docs format clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.10 to 3.13. Name one that is: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "Python could not make a virtual environment. Install its venv module (Debian: apt install python3-venv)."; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check 'pip>=25.1' -c constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo]' --group dev
	@touch $@

demo: $(READY) ## the dashboard on a real dstack server with emulated hosts; SCENARIO=NAME
	@$(BIN)/dstack-fleets-tui demo $(if $(SCENARIO),--scenario $(SCENARIO))

test: $(READY) ## every test; the end-to-end ones start a real server
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

lint: $(READY) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## speed and bytes, as ratios measured in one run
	$(BIN)/python -m tests.bench

screenshots: $(READY) ## pictures of the running demo, as SVG and PNG
	$(BIN)/python -m screenshots.make

docs: $(READY) ## pages that are written from the code
	$(BIN)/python -m dstack_fleets_tui.keys_page > docs/keys.md

clean: ## remove what make made
	rm -rf $(VENV) .cache
