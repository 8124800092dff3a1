# check_user's tasks; `make` alone lists them. Everything is installed into .venv, nothing else is changed.

PYTHON ?= python3
RUNS ?= 1000000
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
COMPILE := env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null $(BIN)/pip-compile --quiet --no-config --generate-hashes --allow-unsafe \
	--strip-extras --no-header --no-annotate --no-emit-options

.PHONY: help setup run test check bench fuzz soak lock

help:
	@echo 'make setup   install everything for development into .venv'
	@echo 'make run     set up what is missing and run the demo'
	@echo 'make test    set up what is missing and run every test'
	@echo 'make check   lint, check types and floors; changes nothing'
	@echo 'make bench   measure'
	@echo 'make fuzz    fuzz every target, RUNS=$(RUNS) inputs each'
	@echo 'make soak    the tests that run for minutes'
	@echo 'make lock    write the lock files anew from pyproject.toml'

setup: .venv/.development

run: .venv/.runtime
	@$(BIN)/check-user demo

test: setup
	tests/peers/debian.sh
	$(BIN)/python -m pytest -m 'not soak'

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	tests/peers/debian.sh
	$(BIN)/python -m bench

fuzz: setup
	@mkdir -p .cache
	@set -e; for target in fuzz/fuzz_*.py; do \
		echo "$$target"; \
		$(BIN)/python $$target -runs=$(RUNS) -verbosity=0 -artifact_prefix=.cache/; \
	done

soak: setup
	$(BIN)/python -m pytest -m soak

# The build tools are in the lock, too, so that nothing is installed whose hash isn't known.
.venv/.runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.development: requirements-dev.lock .venv/.runtime
	$(PIP) --require-hashes --requirement requirements-dev.lock
	@touch $@

# Only the public index's hashes: a machine's own pip settings must not get into the locks.
lock: setup
	$(PIP) pip-tools
	$(COMPILE) --all-extras --build-deps-for editable --output-file requirements.lock pyproject.toml
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['dev'], sep='\n')" \
		| $(COMPILE) --output-file requirements-dev.lock requirements.lock -
