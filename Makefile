# `make` alone lists what there is.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# what needs more than wheels
E2E := tests/nginx tests/browser tests/dropin tests/monitoring

.DEFAULT_GOAL := help
.PHONY: help run test test-lane test-e2e bench lint format sbom clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## Serve the whole library on port 8001, with PostgreSQL and Redis of its own
	@$(BIN)/flask dev

test: lint ## Check the code, then run the tests against real PostgreSQL, Redis and gunicorn
	$(BIN)/pytest $(E2E:%=--ignore %)

test-lane: $(READY) ## Run the tests of the contract once more, through the fast lane
	$(BIN)/pytest --lane tests/accounts tests/catalog tests/search tests/web tests/usage

test-e2e: $(READY) ## Run the tests with real nginx, Chromium and promtool, which must be installed (.ci/run does)
	$(BIN)/pytest $(E2E)

lint: $(READY) ## Check formatting, style, types, and known holes in what we stand on
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/python .ci/audit.py

bench: $(READY) ## Measure speed beside two references (half an hour; needs wrk and nginx), and write docs/performance.md
	@command -v wrk >/dev/null || { echo 'wrk is needed: apt-get install wrk' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,embedded,bench]'
	$(BIN)/python -m bench

format: $(READY) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

sbom: $(READY) ## Write build/sbom.json: what an installation consists of (CycloneDX)
	$(PYTHON) -m venv --clear --without-pip build/sbom
	$(BIN)/python -m pip --python build/sbom/bin/python install --quiet --disable-pip-version-check --constraint constraints.txt .
	$(BIN)/cyclonedx-py environment --output-reproducible --mc-type application --output-file build/sbom.json build/sbom/bin/python

clean: ## Remove the virtual environment and what tools left behind (not instance/)
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed (make PYTHON=python3.12 …); this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,embedded]'
	@touch $@
