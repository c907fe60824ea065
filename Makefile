.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo
READY := $(VENV)/.ready
# uv sets up several times as fast; pip does where it is not installed.
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
NEW_VENV = uv venv -q --clear --python "$$(command -v $(PYTHON))" $(VENV)
INSTALL = VIRTUAL_ENV=$(VENV) uv pip install -q -c constraints.txt
else
NEW_VENV = $(PYTHON) -m venv --clear $(VENV) && \
  $(BIN)/python -m pip install -q --disable-pip-version-check 'pip>=25.1' -c constraints.txt
INSTALL = $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
endif

.PHONY: help demo test test-fast test-slow lint bench screenshots release docs format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(DEMO): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.10 to 3.13. Name one that is: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(NEW_VENV) || \
	  { echo "Python could not make a virtual environment. Install its venv module (Debian: apt install python3-venv)."; exit 1; }
	$(INSTALL) -e '.[demo]'
	@touch $@

$(READY): $(DEMO)
	$(INSTALL) --group dev
	@touch $@

demo: $(DEMO) ## the dashboard on a real dstack server with emulated hosts; SCENARIO=NAME, FAULT=NAME
	@$(BIN)/dstack-fleets-tui demo $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(FAULT),--fault $(FAULT))

test: $(READY) ## the tests; stories run on real servers; ARGS='...' for pytest
	@$(BIN)/python -m tests all $(ARGS)

test-fast: $(READY) ## the tests that need no server, nor parts of one
	@$(BIN)/python -m tests fast $(ARGS)

test-slow: $(READY) ## older and several servers, many replicas, many random cases
	@$(BIN)/python -m tests slow $(ARGS)

lint: $(READY) ## ruff, mypy --strict, import-linter, how tests wait, words, links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.lint

format: $(READY) ## format, and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## speed and bytes, as ratios measured in one run; writes docs/performance.md
	$(BIN)/python -m tests.bench $(ARGS)

screenshots: $(READY) ## pictures of the running demo, as SVG and PNG
	$(BIN)/python -m screenshots.make

release: $(READY) ## the wheel and the sdist of the release that is checked out, in dist/
	$(BIN)/python -m tests.lint.releases
	$(BIN)/python -m uv build -q --clear --out-dir dist

docs: $(READY) ## pages that are written from the code
	$(BIN)/python -m dstack_fleets_tui.pages.keys_page > docs/keys.md
	$(BIN)/python -m dstack_fleets_tui.pages.man_page > docs/dstack-fleets-tui.1
	$(BIN)/python -m tests.lint.rooms > docs/rooms.md

clean: ## remove what make made
	rm -rf $(VENV) .cache
