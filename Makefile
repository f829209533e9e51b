# The commands of this project. `make` lists them.
PYTHON ?= python3
MINUTES ?= 10
SEEDS ?= 2000
RUNS ?= 50
CONTEXTS ?= 100000
BIN := .venv/bin
INSTALLED := .venv/installed
COMPILE := $(BIN)/uv pip compile pyproject.toml --generate-hashes --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo serve test lint bench soak parity chaos simulate simulate-bugs crashes lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install everything into .venv, from the lock, hashes checked

demo: $(INSTALLED) ## Run the whole story: a company, a server that is stopped, orders, verdicts
	$(BIN)/roadbook demo

serve: $(INSTALLED) ## Migrate the database and serve
	$(BIN)/roadbook migrate
	$(BIN)/roadbook serve

test: $(INSTALLED) ## Run all tests, on SQLite and on a real PostgreSQL
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(INSTALLED) ## Check format, style, types and the directions of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED) ## Measure every budget against a physical limit of this machine
	$(BIN)/python -m benchmarks

soak: $(INSTALLED) ## Run the property tests for a long time: MINUTES=10
	ROADBOOK_SOAK_SECONDS=$$(( $(MINUTES) * 60 )) $(BIN)/python -m pytest tests/sync/test_invariants.py tests/sync/test_bad_link.py tests/rules/test_pricing_twice.py tests/processes

parity: $(INSTALLED) ## Price baskets on devices, on servers and in memory, and compare the bytes: CONTEXTS=100000
	ROADBOOK_PARITY_CONTEXTS=$(CONTEXTS) $(BIN)/python -m pytest -n 2 tests/sync/test_price_parity.py

chaos: $(INSTALLED) ## Kill, freeze and cut off real servers and devices: RUNS=50
	ROADBOOK_CHAOS_RUNS=$(RUNS) $(BIN)/python -m pytest tests/processes/test_chaos.py

simulate: $(INSTALLED) ## Run many worlds of the simulation on all processors, and go on where it stopped: SEEDS=50000
	PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation --seeds $(SEEDS)

crashes: $(INSTALLED) ## Kill a server and its devices before and after every statement of every core scenario, one by one
	PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation.crashes
	PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation.crashes --power

simulate-bugs: $(INSTALLED) ## Plant each bug anew, look for the seed that catches it, and keep that for `make test`
	PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation.planted --keep

lock: $(INSTALLED) ## Write the lock files anew, after a change of the dependencies in pyproject.toml
	$(COMPILE) --output-file packaging/requirements.lock
	printf 'uv\neditables\n' | $(COMPILE) - --extra dev --output-file packaging/requirements-dev.lock

# pip alone can do it all; uv, of the same lock, does it several times faster where it can reach an index.
$(INSTALLED): packaging/requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Roadbook needs Python 3.11 or newer; say make PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' packaging/requirements-dev.lock > .venv/uv.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r packaging/requirements-dev.lock || \
		$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r packaging/requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
