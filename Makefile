# The project's commands. Each first makes what it needs: a Python environment in .venv, once.

VENV := .venv
BIN := $(VENV)/bin
# Candidates in order of preference; `make PYTHON=…` names one.
PYTHON ?= python3.13 python3.12 python3.11 python3
# Processes that share the suite, each with servers of its own, 2 GB or so.
WORKERS ?= 2
# Options of `make bench`, as --events 10000000; .venv/bin/python -m benchmarks.speed --help tells them.
BENCH ?=
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo ui test lint soak bench clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

demo: $(VENV)/installed ## a week of simulated traffic through the whole platform, scored against the truth
	$(BIN)/python -m recruitment_platform.cli demo

ui: $(VENV)/installed ## Dagster's web page and daemon, until Ctrl-C
	$(BIN)/python -m recruitment_platform.cli ui

test: lint ## lint, types and the whole suite
	$(BIN)/python -m recruitment_platform_tests.servers_fixtures
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: $(VENV)/installed-test ## style, format and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

soak: $(VENV)/installed-test ## the long tests: volumes, and weeks of operation with kills and restarts
	$(BIN)/python -m pytest -m soak

bench: $(VENV)/installed-test ## the measurements of the README
	$(BIN)/python -m benchmarks.speed $(BENCH)
	$(BIN)/python -m benchmarks.redshift_load
	$(BIN)/python -m benchmarks.daily_path
	$(BIN)/python -m benchmarks.cassandra_read
	$(BIN)/python -m benchmarks.kafka_ingest
	$(BIN)/python -m benchmarks.sensor_tick

clean: ## removes the environment and caches; what was simulated or imported stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

$(VENV)/made:
	@for python in $(PYTHON); do \
		"$$python" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
			2>/dev/null && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Needed is Python 3.11, 3.12 or 3.13 with its venv module; none found among: $(PYTHON)." >&2; \
		echo "Debian, Ubuntu: apt-get install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python3.12 …" >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml constraints.txt
	@echo "Installing the platform and Spark: about 1 GB, a minute or two"
	$(INSTALL) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) -e '.[test]'
	@touch $@
