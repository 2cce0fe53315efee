# Headrace: everything a person or a machine does with this tree.
# `make` alone lists the targets. Set-up happens by itself, once, in .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
# How many tests run at once.
JOBS ?= 2
# Passed on to pytest or to the benchmarks: make test ARGS="tests/search -x"
ARGS ?=

# A .venv that is there keeps its Python; otherwise the first that is new enough.
# PYTHON=python3.13 asks for one, and makes .venv anew where it is of another.
MADE_WITH := $(patsubst $(VENV)/.python-%,%,$(firstword $(wildcard $(VENV)/.python-*)))
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$name; break; fi; done)
PYTHON_VERSION := $(MADE_WITH)
else
PYTHON_VERSION :=
endif
ifeq ($(PYTHON_VERSION),)
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
endif

# uv is quick, but knows nothing of pip's configuration (a mirror, a certificate): then pip does it.
# uv is told only of pip's local wheels; without any, it looks for PyTorch's builds for the CPU.
# $(1): the folder of the environment, $(2): what to install
define install
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check uv || true
	wheels="$${PIP_FIND_LINKS:-$$($(1)/bin/python -m pip config get global.find-links 2>/dev/null || true)}"; \
	if [ -n "$$wheels" ]; then export UV_FIND_LINKS="$${UV_FIND_LINKS:-$${wheels// /,}}"; \
	else export UV_TORCH_BACKEND="$${UV_TORCH_BACKEND:-cpu}"; fi; \
	{ test -x $(1)/bin/uv && UV_PYTHON_DOWNLOADS=never \
		$(1)/bin/uv pip install --quiet --python $(1)/bin/python $(2); } \
	|| { echo "· uv could not, so pip does it"; \
		$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2); }
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ------------------------------------------------------------------------------- set-up

$(VENV)/.python-$(PYTHON_VERSION):
	@test -n "$(PYTHON_VERSION)" || { echo "Headrace needs Python 3.11 or newer; say which: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11" >&2; exit 1; }
	@echo "· making $(VENV) with $(PYTHON) ($(PYTHON_VERSION))"
	@$(PYTHON) -m venv --clear $(VENV) \
		|| { echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.demo: $(VENV)/.python-$(PYTHON_VERSION) pyproject.toml constraints/dev.txt
	@echo "· installing Headrace and what the demo needs"
	@$(call install,$(VENV),--constraint constraints/dev.txt --editable '.[demo]')
	@touch $@

$(VENV)/.dev: $(VENV)/.python-$(PYTHON_VERSION) pyproject.toml constraints/dev.txt
	@echo "· installing Headrace and what its tests need"
	@$(call install,$(VENV),--constraint constraints/dev.txt --editable '.[dev]')
	@touch $@ $(VENV)/.demo

# The peers live in environments of their own; each is exactly its list.
.bench/%/.installed: constraints/%.txt $(VENV)/.python-$(PYTHON_VERSION)
	@echo "· installing $* in .bench/$*"
	@$(BIN)/python -m venv .bench/$*
	@$(call install,.bench/$*,--requirement constraints/$*.txt $(AS_WELL))
	@touch $@

# Without dependencies that the list does not name: those of PyTorch for GPUs are gigabytes.
.bench/frameworks/.installed: AS_WELL := --no-deps --editable .
.bench/frameworks/.installed: pyproject.toml

.PHONY: setup
setup: $(VENV)/.dev ## make .venv with all that tests and checks need

.PHONY: mlflow-env
mlflow-env: .bench/mlflow/.installed ## make .bench/mlflow, the real MLflow for heavy tests

.PHONY: frameworks-env
frameworks-env: .bench/frameworks/.installed ## make .bench/frameworks, the libraries autologging follows

.PHONY: serving-env
serving-env: .bench/serving-peers/.installed ## make .bench/serving-peers, other servers of models

# ---------------------------------------------------------------------------- for users

.PHONY: demo
demo: $(VENV)/.demo ## start a server, train, track, show the runs (EXIT=1 stops by itself)
	@$(BIN)/headrace demo $(if $(EXIT),--exit)

# ------------------------------------------------------------------------------- checks

PYTEST := $(BIN)/pytest -q
QUICK := -m "not heavy and not soak" -n $(JOBS) --dist loadfile

.PHONY: test
test: $(VENV)/.dev ## the quick tests, on SQLite and PostgreSQL
	@$(PYTEST) $(QUICK) $(ARGS)

# The rest of autologging's tests need no more than .venv has.
WITH_FRAMEWORKS := tests/models/frameworks tests/evaluation/frameworks tests/serving/frameworks \
	tests/client/autolog/frameworks tests/client/autolog/test_statsmodels.py \
	tests/data/test_huggingface.py

.PHONY: test-all
test-all: $(VENV)/.dev .bench/mlflow/.installed .bench/frameworks/.installed ## the heavy tests, PostgreSQL 16, other Pythons
	@echo "· heavy tests (one at a time: some measure time and memory)"
	@$(PYTEST) -m "heavy and not soak" --timeout 900 $(ARGS)
	@echo "· autologging with the real libraries"
	@.bench/frameworks/bin/python -m pytest -q -p no:cacheprovider --timeout 900 -m "not soak" $(WITH_FRAMEWORKS)
	@echo "· the store on PostgreSQL 16"
	@$(PYTEST) $(QUICK) --postgres-version 16 $(wildcard tests/store) tests/test_fixtures.py
	@$(MAKE) test-pythons

INNER_TESTS := $(wildcard tests/protocol tests/search tests/store tests/artifacts) tests/test_fixtures.py

.PHONY: test-pythons
test-pythons: $(addprefix test-python-,3.11 3.12 3.13) ## the inner layers on each Python at hand

.PHONY: test-python-%
test-python-%: $(VENV)/.dev
	@if [ "$*" = "$(PYTHON_VERSION)" ]; then echo "· Python $*: is what .venv has"; exit 0; fi; \
	for python in python$* "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$*.*/bin/python$*; do \
		if "$$python" -c 'import venv' 2>/dev/null; then \
			echo "· Python $*"; \
			$(MAKE) VENV=.venv-$* PYTHON="$$python" inner-tests; \
			exit 0; \
		fi; \
	done; \
	echo "· Python $*: not on this machine, skipped"

$(VENV)/.test: $(VENV)/.python-$(PYTHON_VERSION) pyproject.toml constraints/dev.txt
	@$(call install,$(VENV),--constraint constraints/dev.txt --editable '.[test]')
	@touch $@

.PHONY: inner-tests
inner-tests: $(VENV)/.test
	@$(BIN)/python -c "import headrace"
	@timeout 900 $(PYTEST) $(QUICK) -p no:cacheprovider $(INNER_TESTS)

.PHONY: soak
soak: $(VENV)/.dev .bench/mlflow/.installed ## the tests that repeat for minutes to catch the rare
	@$(PYTEST) -m soak --timeout 3600 $(ARGS)

.PHONY: coverage
coverage: $(VENV)/.dev ## the quick tests with a report of lines that none of them runs
	@$(PYTEST) $(QUICK) --cov --cov-report=term --cov-report=html $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## lint, format, types, import layers, budgets, docs
	@echo "· ruff check";  $(BIN)/ruff check
	@echo "· ruff format"; $(BIN)/ruff format --check
	@echo "· mypy";        $(BIN)/mypy
	@echo "· import-linter"; $(BIN)/lint-imports --no-logo --no-cache
	@echo "· budgets and docs"; $(BIN)/pytest --quiet tests/architecture

.PHONY: format
format: $(VENV)/.dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

.PHONY: docs
docs: $(VENV)/.dev ## write the pages that are made from the program: settings, commands
	@$(BIN)/python -m docs.reference.generate

PEERS := mlflow fasttrackml serving-peers frameworks

.PHONY: bench
bench: $(VENV)/.dev $(PEERS:%=.bench/%/.installed) ## measure against the peers
	@$(BIN)/python -m benchmarks $(ARGS)

# --------------------------------------------------------------------------- once a while

# program:package, Debian's names
SYSTEM := strace:strace chromium:chromium

.PHONY: system
system: ## install the Debian packages that some tests use
	@missing=""; \
	for pair in $(SYSTEM); do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -z "$$missing" ]; then echo "· all of them are here: $(SYSTEM)"; exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
		echo "· no apt-get here; please install yourself:$$missing"; exit 0; fi; \
	as_root=""; [ "$$(id -u)" = 0 ] || as_root="sudo "; \
	echo "· $${as_root}apt-get update"; $$as_root apt-get update -qq || true; \
	for package in $$missing; do \
		echo "· $${as_root}apt-get install $$package"; \
		$$as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends "$$package" >/dev/null \
		|| echo "· could not install $$package: the tests that use it will be skipped"; \
	done

.PHONY: constraints
constraints: $(VENV)/.dev ## move the pinned development versions to the newest
	@$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	@head -n 1 constraints/dev.txt > constraints/dev.txt.new
	@$(BIN)/python -m pip freeze --exclude-editable --exclude uv >> constraints/dev.txt.new
	@mv constraints/dev.txt.new constraints/dev.txt

.PHONY: clean
clean: ## remove what make made (never your databases)
	rm -rf .venv .venv-* .bench build dist htmlcov .coverage* \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
