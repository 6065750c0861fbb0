# What a developer types. One environment, .venv, is made on demand; its compiled modules are never older than
# their sources. Needs Python 3.11 or newer and make; with a C compiler the hot modules are compiled.

PYTHON  ?= python3
WORKERS ?= 4

BIN      := .venv/bin
PXD      := $(shell find dbproxy -name '*.pxd')
HOT      := $(PXD) $(PXD:.pxd=.py)
PIP      := $(BIN)/python -m pip install --quiet --disable-pip-version-check
BUILDERS := 'setuptools>=77' 'Cython>=3.1'
TWICE    := $(wildcard $(sort $(patsubst dbproxy/%/,tests/unit/%,$(dir $(PXD)))) tests/unit/test_package.py tests/protocol)
CODE     := $(wildcard dbproxy tests benchmarks examples deploy setup.py)

.DEFAULT_GOAL := help
.PHONY: help venv installed-and-compiled demo test soak compat chaos fuzz check format bench instructions pictures clean

help:  ## This list
	@echo "make TARGET [PYTHON=python3.12] [WORKERS=4]"
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

venv: .venv/builders  ## Make or refresh .venv
	@$(MAKE) --no-print-directory --jobs=2 installed-and-compiled

installed-and-compiled: .venv/installed .venv/compiled
	@:

.venv/builders: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "dbproxy needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) $(BUILDERS)
	@touch $@

# Python compiles what is installed when it is first imported.
.venv/installed: .venv/builders
	DBPROXY_PURE=1 $(PIP) --no-compile --no-build-isolation -e '.[test,check]'
	@touch $@

.venv/compiled: .venv/builders $(HOT)
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

demo: venv  ## PostgreSQL with two replicas, the proxy and a workload; CHECK=1 verifies and ends
	$(BIN)/dbproxy demo $(if $(CHECK),--check)

test: venv  ## All tests; those of folders with hot modules, without PostgreSQL, also uncompiled
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
	DBPROXY_PURE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TWICE)

soak: venv  ## Minutes of random rounds and gigabytes: no leak, no growth; SEED=… repeats a run
	$(BIN)/python -m pytest -m soak

compat: venv  ## asyncpg's own tests, direct and through the proxy; docs/compatibility.md explains what differs
	$(BIN)/python -m tests.compat

chaos: venv  ## Faults of hosts and lines under 100 clients; what they saw of each, and a ledger of their commits
	$(BIN)/python -m tests.chaos

fuzz: venv  ## A million hostile inputs from either side; INPUTS=… for another number, SEED=… for others, WORKERS=1
	-DBPROXY_PURE=1 $(PIP) --no-build-isolation -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz

check: venv  ## Format, lint, types, layers, form (how much an object and a function may hold)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.form

format: venv  ## Let ruff format and mend what it can
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: venv  ## Direct, PgBouncer and dbproxy side by side; what a login costs; what routing costs and moves; what seeing all costs; what a loud tenant costs a quiet one; what kept answers cost and save; what batches do
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.logins
	$(BIN)/python -m benchmarks.routing
	$(BIN)/python -m benchmarks.monitoring
	$(BIN)/python -m benchmarks.quiet_tenant
	$(BIN)/python -m benchmarks.cache
	$(BIN)/python -m benchmarks.shared_answers
	$(BIN)/python -m benchmarks.batches
	$(BIN)/python -m benchmarks.loads

instructions: venv  ## Instructions for each query, by valgrind; CHECK=1: whether within benchmarks/budget.toml
	$(BIN)/python -m benchmarks.instructions $(if $(CHECK),--check)

pictures: venv  ## Draw docs/top.svg anew: dbproxy top before a small busy installation
	$(BIN)/python -m tests.pictures

clean:  ## Remove .venv and everything built
	rm -rf .venv .fuzz build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find dbproxy tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	find dbproxy -name '*.so' -delete
