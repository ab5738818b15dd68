# The commands of this repository. All set up .venv first, once, and again when what it is made from changes.
# Needs a Python >= 3.11 with pip and venv, and nothing else: make PYTHON=python3.12 run

PYTHON ?= python3
PORT ?= 5000
export MLFLOW_DISABLE_TELEMETRY ?= true

python := .venv/bin/python
pip := $(python) -m pip --quiet --disable-pip-version-check
ready := .venv/.ready
unfinished := .venv/.unfinished
clusters := .venv/.clusters
bench_python := .venv-bench/bin/python
bench_pip := $(bench_python) -m pip --quiet --disable-pip-version-check
bench_ready := .venv-bench/.ready
sources := data features models tests $(wildcard benchmarks) predict.py train.py
typed := data features models $(wildcard benchmarks) predict.py train.py

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow lint ui bench bench-growth bench-training clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(ready) ## make .venv and .wheels (a few minutes, once)

run: $(ready) ## train a model, log the run to MLflow, label the sample pages
	$(python) train.py
	$(python) predict.py data/samples --model models/candidate

test: $(ready) ## the tests that run in seconds
	$(python) -m pytest -m "not slow"

test-slow: $(clusters) ## the tests that train, build, install and run clusters
	$(python) -m pytest -m slow

lint: $(ready) ## style, format and types
	$(python) -m ruff check $(sources)
	$(python) -m ruff format --check $(sources)
	$(python) -m mypy --strict $(typed)

ui: $(ready) ## MLflow's page with the logged runs (PORT=5000)
	$(python) -m mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" --port $(PORT)

bench: $(bench_ready) ## Sektor beside its peers: speed, memory, quality (BENCH="--repeats 9")
	$(bench_python) -m benchmarks.compare $(BENCH)

bench-growth: $(bench_ready) ## what labelling 1k to 1M articles costs (BENCH="--sizes 1000 10000")
	$(bench_python) -m benchmarks.growth $(BENCH)

bench-training: $(ready) ## what training on 1.5k to 150k articles costs (BENCH="--sizes 1500 15000")
	$(python) -m benchmarks.training $(BENCH)

clean: ## remove .venv, .venv-bench, .wheels and caches; trained models and logged runs stay
	rm -rf .venv .venv-bench .wheels build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A set-up that was interrupted leaves its mark behind and is begun again. A .venv that someone made by hand is
# used as it is. The wheels are what the base install needs, so that a test can install it without an index.
$(ready): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Sektor needs Python 3.11 or newer, which '$(PYTHON)' is not; name one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@if [ -e $(unfinished) ] || ! $(python) -m pip --version >/dev/null 2>&1; then \
		echo "Making .venv ..."; \
		rm -rf .venv && mkdir .venv && touch $(unfinished) && $(PYTHON) -m venv .venv; fi
	@touch $(unfinished)
	@echo "Installing Sektor and what it needs into .venv (a few minutes, once) ..."
	@$(pip) install --constraint constraints.txt --upgrade setuptools
	@$(pip) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@echo "Keeping the wheels of the base install in .wheels ..."
	@rm -rf .wheels && mkdir .wheels
	@$(python) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
		print(*p["build-system"]["requires"], *p["project"]["dependencies"], sep="\n")' > .wheels/requirements.txt
	@$(pip) download --constraint constraints.txt --only-binary :all: --dest .wheels --requirement .wheels/requirements.txt
	@rm $(unfinished) && touch $@
	@echo "Set up."

# Dask and Spark, which only the tests of clusters need.
$(clusters): $(ready)
	@echo "Installing Dask and Spark into .venv ..."
	@$(pip) install --constraint constraints.txt --no-build-isolation --editable '.[dask,spark]'
	@touch $@

# What Sektor is measured beside stays out of .venv.
$(bench_ready): pyproject.toml constraints.txt
	@echo "Making .venv-bench: Sektor and its peers (a few minutes, once) ..."
	@rm -rf .venv-bench && $(PYTHON) -m venv .venv-bench
	@$(bench_pip) install --constraint constraints.txt --upgrade setuptools
	@$(bench_pip) install --constraint constraints.txt --no-build-isolation --editable '.[bench]'
	@touch $@
