# Works from a path with blanks, with a read-only home, twice in a row. `make help` lists what there is.

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Tools want to write into the home; where they may not, they get one here.
ifneq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo yes),yes)
export HOME := $(CURDIR)/.assay/home
$(shell mkdir -p "$(HOME)")
unexport XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PYTHONNOUSERSITE := 1
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help repro test lint bench ui clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-8s %s\n' "$$name" "$$what"; done

repro: .venv/installed ## data, search, model, evaluation; ends with a short table of what won
	@dvc repro
	@assay results

test: .venv/installed-test lint ## lint, types, layers, unit and end-to-end tests: all that CI runs
	@python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		--max-worker-restart 0

lint: .venv/installed-test ## ruff, mypy, import layers
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports

bench: .venv/installed .venv-bench/installed ## the benchmarks beside their peers, hours in all; peers get an environment of their own
	@set -e; for benchmark in benchmarks/*.py; do echo "== $$benchmark"; python "$$benchmark"; done

ui: .venv/installed ## MLflow's pages of this project on this machine
	@assay ui

clean: ## remove environments and caches; data, results and runs stay
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# A stamp is a copy of the lock that is installed: a new lock is installed, the same one costs nothing. Modules are
# compiled on all cores afterwards, and none of tests: pip would do it on one core, in twice the time.
.venv/installed: requirements.lock pyproject.toml
	$(call install,requirements.lock)

.venv/installed-test: requirements-test.lock pyproject.toml
	$(call install,requirements-test.lock)

define install
	@cmp -s $(1) $@ || { test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
		echo "installing $(1) into .venv (once; minutes)"; \
		$(BIN)/python -m pip install --quiet --quiet --no-compile --requirement $(1) || exit; \
		$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib; true; }
	@$(BIN)/python -m pip install --quiet --quiet --no-deps --no-build-isolation --editable .
	@cp $(1) $@
endef

.venv-bench/installed: benchmarks/requirements.lock
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@echo "installing benchmarks/requirements.lock into .venv-bench (once; minutes)"
	@.venv-bench/bin/python -m pip install --quiet --quiet --requirement benchmarks/requirements.lock
	@cp benchmarks/requirements.lock $@
