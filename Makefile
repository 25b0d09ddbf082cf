# Everything runs in an environment of its own below .venv, made on first use. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first interpreter that is new enough and works; PYTHON=… overrides.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# One more than processors, because tests wait a good deal for processes and timers; four at the most.
TEST_PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 4 ? n + 1 : 4)))
RUN_READY := $(VENV)/.ready-run
DEV_READY := $(VENV)/.ready-dev

# Two installations at a time would be in each other's way.
.NOTPARALLEL:

DASHBOARD := $(BIN)/python gateway/controlplane/dashboard/make.py --fetch

.PHONY: help run test check format dashboard property e2e bench mutants fuzz docs screenshots container clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN_READY) ## Start the gateway with a built-in upstream and a key; prints lines to paste
	@$(DASHBOARD) build || echo "going on without the dashboard; everything else is there"
	@$(BIN)/gateway demo

dashboard: $(RUN_READY) ## Build the dashboard, with Node from PATH or from PyPI
	@$(DASHBOARD) build

test: $(DEV_READY) dashboard ## Run all tests
	@$(BIN)/python -bb -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(DEV_READY) ## Lint, format, types, import directions, the dashboard's too
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/ty check
	@$(BIN)/lint-imports
	@$(DASHBOARD) check

format: $(DEV_READY) ## Put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

property: $(DEV_READY) ## Search long for counterexamples to the stream properties
	@HYPOTHESIS_PROFILE=property $(BIN)/python -m pytest tests/sse_fsm --timeout 3600 $(ARGS)

e2e: $(DEV_READY) ## Real clients through the gateway: official SDKs, curl, Claude Code
	@$(BIN)/python -m pytest tests/e2e $(ARGS)

bench: $(DEV_READY) ## Measure the gateway beside a raw relay; only the ratios count
	@$(BIN)/python -m tests.bench $(ARGS)

mutants: $(DEV_READY) ## Mutate sse_fsm and see whether the tests notice
	@$(BIN)/python tests/mutants/run.py $(ARGS)

fuzz: $(DEV_READY) ## Fuzz the guard for FUZZ_SECONDS=60
	@$(PIP) install 'atheris>=3,<4' 2>/dev/null || echo "atheris cannot be had here; fuzzing with Hypothesis instead"
	@$(BIN)/python tests/fuzz/fuzz_guard.py -max_total_time=$${FUZZ_SECONDS:-60}

docs: $(DEV_READY) ## Write the documents that are generated from code
	@$(BIN)/python docs/generate.py

screenshots: $(DEV_READY) dashboard ## Take the pictures of the dashboard in docs/images anew
	@$(BIN)/python -m tests.dashboard.screenshots

container: ## Build the container image with podman, buildah or docker; BASE=… and ARGS=… are passed on
	@tool=$$(command -v podman || command -v buildah || command -v docker) || \
		{ echo "make container needs podman, buildah or docker"; exit 1; }; \
	version=$$(sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml | head -1); \
	revision=$$(git describe --always --abbrev=40 --dirty 2>/dev/null || echo unknown); \
	epoch=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 1577836800)}; \
	created=$$($(PYTHON) -c "from datetime import *; print(datetime.fromtimestamp($$epoch, UTC).strftime('%FT%TZ'))"); \
	set -- --build-arg "VERSION=$$version" --build-arg "REVISION=$$revision" --build-arg "CREATED=$$created" \
		--build-arg "SOURCE_DATE_EPOCH=$$epoch" $(if $(BASE),--build-arg "BASE=$(BASE)"); \
	case "$$tool" in *docker) ;; *) set -- "$$@" --format docker --timestamp "$$epoch" ;; esac; \
	"$$tool" build "$$@" $(ARGS) -t claude-stream-gateway -t "claude-stream-gateway:$$version" -f Containerfile .; \
	mkdir -p dist; list=opt/gateway/share/sbom.cdx.json; \
	case "$$tool" in \
		*buildah) made=$$(buildah from claude-stream-gateway); cp "$$(buildah mount "$$made")/$$list" dist/; buildah rm "$$made" ;; \
		*) made=$$("$$tool" create claude-stream-gateway); "$$tool" cp "$$made:/$$list" dist/; "$$tool" rm "$$made" ;; \
	esac >/dev/null; \
	echo "built claude-stream-gateway:$$version; its components are listed in dist/sbom.cdx.json"

clean: ## Remove the environment and all caches
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis build dist
	cd gateway/controlplane/dashboard && rm -rf build node_modules .built-from

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found; set PYTHON=/path/to/python3"; exit 1; }
	@echo "making a Python environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make environments; on Debian: apt-get install python3-venv"; exit 1; }

$(RUN_READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the gateway …"
	@$(PIP) install -c constraints.txt -e '.[sdk]'
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the gateway and what its tests need …"
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(RUN_READY) $@
