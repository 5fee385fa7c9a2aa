# Turntable's commands. `make help` lists them.
#
# The environment is made on first use and kept in .venv; its stamp makes later runs skip that.

.DEFAULT_GOAL := help
.PHONY: help up demo test check format bench stop install clean

export PIP_DISABLE_PIP_VERSION_CHECK := 1
UV_VERSION := 0.13.9
BIN := .venv/bin
STAMP := .venv/.installed
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

up: $(STAMP) ## start everything and say where it is; Ctrl-C stops it
	@$(BIN)/turntable up

demo: $(STAMP) ## show the whole loop at work and check it, step by step
	@$(BIN)/turntable demo

bench: $(STAMP) ## run a benchmark: make bench NAME=loop
	@$(BIN)/turntable bench $(or $(NAME),loop)

stop: $(STAMP) ## stop what `make up` started, from another terminal
	@$(BIN)/turntable stop

test: check ## all checks, then all tests
	@$(BIN)/pytest

check: $(STAMP) ## formatting, lint, types, import contracts, Dagster definitions
	@echo "check: formatting"; $(BIN)/ruff format --quiet --check .
	@echo "check: lint"; $(BIN)/ruff check --quiet .
	@echo "check: types"; $(BIN)/mypy --no-error-summary
	@echo "check: import contracts"; out=$$($(BIN)/lint-imports 2>&1) || { echo "$$out"; exit 1; }
	@echo "check: Dagster definitions"; out=$$($(BIN)/dg check defs 2>&1) || { echo "$$out"; exit 1; }

format: $(STAMP) ## format the code and mend what lint can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

install: $(STAMP) ## only make the environment

clean: ## remove the environment and tools' caches; the state folder stays
	@if [ -x $(BIN)/turntable ]; then $(BIN)/turntable stop || true; fi
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# uv installs in seconds what takes pip minutes. Where pip is told of local wheels or of another
# index, uv is told the same; the CPU build of torch comes from such a folder if it is there, else
# from where uv knows it to be. Byte code is compiled here, on all cores at once: it halves the
# time of every start, also where the environment forbids Python to write it later.
$(STAMP): requirements.txt pyproject.toml
	@python=$$(command -v python3.11 || command -v python3.12 || command -v python3) \
	  || { echo "Turntable needs Python 3.11 or 3.12, and there is no python3." >&2; exit 1; }; \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	  || { echo "Turntable needs Python 3.11 or 3.12; $$python is $$("$$python" -V)." >&2; exit 1; }; \
	echo "Installing into .venv (once, a minute or two)"; \
	[ -x $(BIN)/python ] || "$$python" -m venv .venv; \
	$(BIN)/python -m pip install -qq uv==$(UV_VERSION); \
	setting() { $(BIN)/python -m pip config get "global.$$1" 2>/dev/null || true; }; \
	links=$${PIP_FIND_LINKS:-$$(setting find-links)}; \
	index=$${PIP_INDEX_URL:-$$(setting index-url)}; \
	if [ -n "$$links" ]; then export UV_FIND_LINKS=$$(echo $$links | tr ' ' ','); fi; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	torch=(--torch-backend cpu); \
	for folder in $$links; do compgen -G "$$folder/torch-*+cpu-*" >/dev/null && torch=(); done; \
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --compile-bytecode "$${torch[@]}" -r requirements.txt; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .; \
	touch $@
