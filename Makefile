# Two commands do everything on a fresh machine with Python >= 3.11, pip and make: `make demo` and `make test`.
# Each prepares what it needs inside this folder (.venv, node_modules) and is quick when that is already done.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
NODE_FOLDERS := $(patsubst %/package.json,%,$(wildcard tests/js/package.json tests/peers/package.json))
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(VENV)/.run ## stream a chat through a gateway with an embedded upstream: no key, no network
	@$(PY) -m proxy.demo openai gpt-4o-mini

.PHONY: test
test: $(VENV)/.dev $(VENV)/older/.done node ## the whole test suite; ARGS="-k words" for a part of it
	@$(PY) -m pytest $(ARGS)

.PHONY: agents
agents: $(VENV)/.dev tests/agents/node_modules/.done ## tests with real coding agents from npm; installs 860 MB of them in tests/agents
	@$(PY) -m pytest -m agents tests/agents $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev ## ruff check, ruff format --check, mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

.PHONY: bench
bench: $(VENV)/.run ## measure beside nginx, about 25 minutes; writes benchmarks/results/
	@$(PY) -m benchmarks run --write

.PHONY: clean
clean: ## remove everything that was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/js/node_modules tests/peers/node_modules tests/agents/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, in two steps: what the gateway needs to run, and what its tests and checks need on top. A stamp newer than
# pyproject.toml says that a step is done.

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Dragoman needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "preparing $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "cannot make $(VENV); on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: pyproject.toml | $(PY)
	@echo "installing dragoman into $(VENV) ..."
	@$(PIP) install --editable '.[fast]'
	@touch $@

# Dependency groups need pip 25.1; the one that comes with Python 3.11 is older.
$(VENV)/.dev: pyproject.toml $(VENV)/.run | $(PY)
	@echo "installing the tools of tests and checks into $(VENV) ..."
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group test --group lint
	@touch $@

# The older generation of SDKs needs older libraries, so it has an environment inside the first; pip works on it from outside.
$(VENV)/older/.done: pyproject.toml $(VENV)/.dev | $(PY)
	@echo "installing the older SDKs into $(VENV)/older ..."
	@$(PY) -m venv --without-pip $(VENV)/older
	@$(PIP) --python $(VENV)/older/bin/python install --group older
	@touch $@

# The JavaScript parts of the suite need node; without npm they are skipped, and pytest says so. So are the coding agents, which
# are large: `make agents` installs them, `make test` takes them where they are already.
.PHONY: node
ifneq ($(shell command -v npm 2>/dev/null),)
node: $(NODE_FOLDERS:%=%/node_modules/.done)
else
node:
endif

%/node_modules/.done: %/package.json
	@echo "installing the npm packages of $* ..."
	@npm $(if $(wildcard $*/package-lock.json),ci,install) --prefix $* --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
