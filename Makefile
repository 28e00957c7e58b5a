# Everything a newcomer or CI runs. Needs Python 3.11 or newer; `make test` also wants Java 17 and
# Maven for its Kafka tests (tests/integration/README.md says what it does without them).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo check lint format docs test test-image faults bench bench-all constraints rules setup setup-dev clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## watch the worker predict and learn; no Kafka needed (ARGS="--bootstrap HOST:PORT": on yours)
	@$(BIN)/millstream demo $(ARGS)

check: lint test ## lint and test

lint: setup-dev ## ruff and mypy
	@echo "lint: ruff check"; $(BIN)/ruff check --quiet .
	@echo "lint: ruff format"; $(BIN)/ruff format --check --quiet . \
		|| { echo "lint: some files are not formatted; run: make format" >&2; exit 1; }
	@echo "lint: mypy"; $(BIN)/mypy --no-error-summary && $(BIN)/mypy --no-error-summary -p tests.support -p tests.integration -p tests.faults -p tests.conformance -p tests.deploy -p tests.containers -p benchmarks

format: setup-dev ## format, and mend what ruff can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: setup-dev ## build the documentation into site/, and check every link in it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean && echo "docs: site/index.html"

test: setup-dev ## all tests (ARGS="-k words", ARGS="-m 'not kafka'")
	@$(BIN)/python -m pytest $(ARGS)

test-image: setup-dev ## build the container image and run it, in minutes; CONTRIBUTING.md says what it needs
	@MILLSTREAM_TEST_IMAGE=1 $(BIN)/python -m pytest tests/containers -n 0 --timeout 1800 $(ARGS)

faults: setup-dev ## the whole fault matrix, an hour and a half (ARGS="--only SIGKILL --repeat 3"); tests/faults/README.md
	@$(BIN)/python -m tests.faults $(ARGS)

bench: setup-dev ## measure speed; benchmarks/README.md says how to read it
	@$(BIN)/python -m benchmarks $(ARGS)

bench-all: setup-dev ## measure everything, beside others too, and write benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks --all $(ARGS)

constraints: setup ## pin anew the versions that the image is built from
	@$(BIN)/python deploy/pin.py

rules: setup ## write the rules of deploy/prometheus into their Kubernetes resource
	@$(BIN)/python deploy/rules.py

setup: $(VENV)/installed ## install what `millstream` needs into .venv

setup-dev: $(VENV)/installed-dev ## install what lint, tests and benchmarks need as well

clean: ## remove .venv and every cache
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each step leaves a stamp in .venv, so it runs once, and again when what it read has changed.

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Millstream needs Python 3.11 \
	or newer, and $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.13 $(MAKECMDGOALS)")'
	@echo "setup: making $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@# Dependency groups need pip 25.1; the one that comes with Python may be older.
	@$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml
	@echo "setup: installing Millstream (a minute or two the first time)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed pyproject.toml
	@echo "setup: installing the tools for lint and tests"
	@$(PIP) install --editable '.[faust]' --group dev
	@touch $@
