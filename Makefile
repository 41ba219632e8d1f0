# One target for each chore. `make demo` and `make test` work on a fresh clone with Python 3.11 or newer.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
# Tests start hundreds of processes: what one has compiled the others take.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install
WORKERS ?= 4
LOCK := $(BIN)/python -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-annotate --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

.PHONY: help demo cluster test check format lint types layers pytest long bench overload faults fuzz reference schemas lock clean

help: ## Show the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## Install what it needs, then show it working on this machine
	$(BIN)/touchbook demo $(ARGS)

cluster: $(VENV)/.test ## The demo on a real Kafka, ClickHouse, workers and a replica, started on this machine
	$(BIN)/python -m tools.cluster $(ARGS)

test: check pytest ## Everything that proves it: style, types, layers, tests

check: lint types layers ## What can be proved without running it

lint: $(VENV)/.test ## Ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test ## Let ruff rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test .types ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.test .types ## Arrows between the layers point one way
	PYTHONPATH=.types $(BIN)/lint-imports

pytest: $(VENV)/.test ## The tests; ARGS="-k name" for some of them
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

long: $(VENV)/.test ## The tests that take too long for every change
	$(BIN)/pytest -m long $(ARGS)

bench: $(VENV)/.test ## How fast it is here, beside plain baselines of the same run
	$(BIN)/python -m benchmarks $(ARGS)

overload: $(VENV)/.test ## Ten times what it holds, slow clients, SIGTERM; ARGS="--size 100"
	$(BIN)/python -m benchmarks.overload $(ARGS)

faults: $(VENV)/.test ## Kill it, fail its disk, cut its power; ARGS="--cycles 500 --seed 7"
	$(BIN)/python -m tests.faults --cycles 50 $(ARGS)

FUZZ_SECONDS ?= 300
FUZZ_EXAMPLES ?= 50
fuzz: $(VENV)/.fuzz ## Look for input that breaks it, for FUZZ_SECONDS; corpus and findings in .fuzz/
	mkdir -p .fuzz/corpus
	cd .fuzz && PYTHONPATH=.. ../$(BIN)/python -m tests.fuzz.decoder $(FUZZ_SECONDS) corpus
	$(BIN)/python -m tests.fuzz.api $(FUZZ_EXAMPLES)

reference: $(VENV)/.test ## Write docs/reference/ anew from the code
	$(BIN)/python -m tools.reference

schemas: $(VENV)/.test ## Write schemas/published/ anew from the catalogue
	$(BIN)/python -m touchbook.schemas.publishing

lock: $(VENV)/.test ## Write requirements/*.txt anew; ARGS=--upgrade for newer versions
	$(LOCK) $(ARGS) --extra test --extra cluster --output-file requirements/test.txt pyproject.toml requirements/*.in
	$(LOCK) $(ARGS) --extra fuzz --constraint requirements/test.txt --output-file requirements/fuzz.txt \
		pyproject.toml requirements/build.in
	$(LOCK) $(ARGS) --extra demo --constraint requirements/test.txt --output-file requirements/demo.txt \
		pyproject.toml requirements/build.in
	$(LOCK) $(ARGS) --extra demo --extra cluster --constraint requirements/test.txt \
		--output-file requirements/cluster.txt pyproject.toml requirements/build.in

clean: ## Remove what these targets made, .venv too
	rm -rf $(VENV) .types .fuzz build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The package is spread over folders named after what they hold; type checkers and import-linter want them as one.
.PHONY: .types
.types:
	rm -rf .types
	mkdir -p .types/touchbook
	ln -sfn "$$PWD"/core/* "$$PWD"/{schemas,streams,projections,api,cli} .types/touchbook/

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("expected Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# A stamp says that this lock is installed: a second call installs nothing.
define install
$(INSTALL) --require-hashes --requirement requirements/$(1).txt
$(INSTALL) --no-deps --no-build-isolation --editable .
@touch $@
endef

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(call install,demo)

$(VENV)/.test: requirements/test.txt requirements/data.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes --no-deps --requirement requirements/data.txt
	$(call install,test)

$(VENV)/.fuzz: requirements/fuzz.txt $(VENV)/.test
	$(call install,fuzz)
