# The two commands a newcomer needs: `make demo` and `make test`. Both need Python >= 3.11, no more.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Written last, so that an install that was cut off is done again.
READY  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test seeds mutants chaos check fmt lock jars bench clean .venv

help: ## what you can do here
	@printf '\n  make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-z.]+:.*## / {printf "  %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  New here? make demo: the whole engine at work, with real Kafka and PostgreSQL.\n'
	@printf '  After that: %s --help\n\n' '$(BIN)/clearing'

demo: $(READY) ## Kafka, PostgreSQL, eight banks, failures, settlement, proof: all on this machine
	$(BIN)/clearing demo

test: $(READY) ## every test, the pure ones first; the real Kafka and PostgreSQL come up by themselves
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

seeds: $(READY) ## 2,000 simulated runs with faults, in two minutes (ARGS="--seeds 20000 --from 5001")
	$(BIN)/python -m tests.simulation $(or $(ARGS),--seeds 2000 --within 600)

mutants: $(READY) ## broken variants of the product: the simulation has to catch each (ARGS=--list: which)
	$(BIN)/python -m tests.simulation.mutations $(ARGS)

chaos: $(READY) ## every fault on real processes, many times; writes ops/proof/faults.md (ARGS="--rounds 5")
	$(BIN)/python -m loadtests.chaos $(ARGS)

check: $(READY) ## format, lint, types, and which module may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports

fmt: $(READY) ## lay the code out as `make check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## measured beside Kafka Streams and others, ten minutes (ARGS=--full: hours; ARGS=--help)
	$(BIN)/python -m loadtests $(ARGS)

lock: $(READY) ## write requirements.txt anew from pyproject.toml (UPGRADE=1 takes newer versions)
	$(BIN)/uv pip compile requirements.in --output-file requirements.txt --universal \
		--python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-emit-package clearing-engine --custom-compile-command 'make lock' --quiet \
		$(if $(UPGRADE),--upgrade)

jars: $(READY) ## write clearing/dev/jars.lock anew from the versions in clearing/dev/jars.py
	$(BIN)/python -m clearing.dev.jars

clean: ## remove what make made here (downloads stay in the cache folder: see `clearing dev --help`)
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find clearing loadtests tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: $(READY) ## the virtual environment, from the locked, hashed requirements

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "clearing-engine needs Python 3.11 or newer; '$(PYTHON)' is" \
			"$$($(PYTHON) --version 2>&1 || echo missing). Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' comes without venv (on Debian and Ubuntu: install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/clearing compile
	@touch $(READY)
