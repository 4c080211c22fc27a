# Two commands do everything on a fresh machine: `make local` and `make check`.
# Both set themselves up: they need python3 (3.11 or newer), its venv module, and a package index pip can reach.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ENVIRONMENTS := local staging production
TOOLS  := checkov parliament sslyze
PEERS  := node
ARGS   ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help ready local check prove wheels format golden lock benchmark peers clean

help:
	@echo "make local              the whole ingress on this machine, until Ctrl-C"
	@echo "make local ARGS=--once  the same, then torn down; exit 0 only if every probe answered as it must"
	@echo "make check              every check and every test"
	@echo "make prove              the heavier proofs"
	@echo "make benchmark          figures of this machine (ARGS=--json for one line per figure)"
	@echo "make peers              install what the benchmark compares with, each in an environment of its own"
	@echo "make ready              set up .venv and nothing else"
	@echo "make wheels             the image's packages as files, to build it without a network"
	@echo "make format             put the code into its form"
	@echo "make golden             render tests/golden and the pages made of the rules anew, to be read in review"
	@echo "make lock               resolve the dependencies anew and pin them with hashes"
	@echo "make clean              remove what these commands made"

ready: $(READY)

local: $(READY)
	@$(BIN)/python scripts/deploy.py --env local $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/codespell
	@set -e; for environment in $(ENVIRONMENTS); do \
	  echo "$(BIN)/python scripts/deploy.py check --env $$environment"; \
	  $(BIN)/python scripts/deploy.py check --env $$environment; \
	done
	$(BIN)/pytest -n auto --dist loadfile -m "not slow" $(ARGS)

# What is too heavy for the check, at most half an hour in all.
prove: $(READY) $(TOOLS:%=.venv-%/.ready) $(if $(shell command -v npm),.venv-iam-simulate/.ready)
	$(BIN)/pytest -m slow $(ARGS)

benchmark: $(READY)
	@$(BIN)/python scripts/benchmark.py $(ARGS)

# What the machine has already is left alone and used.
peers:
	@MAKE="$(MAKE)" tools/peers/install.sh

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(READY)
	@set -e; for environment in $(ENVIRONMENTS); do \
	  rm -rf tests/golden/$$environment; \
	  $(BIN)/python scripts/deploy.py synth --env $$environment --out tests/golden/$$environment; \
	done
	@$(BIN)/python scripts/pages.py

# What pip installs, pinned with hashes and without the address of an index. The service's lock is a subset with the same pins.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock: $(READY)
	$(COMPILE) $(ARGS) --all-extras pyproject.toml --output-file requirements.lock
	$(COMPILE) --constraint requirements.lock pyproject.toml --output-file service/requirements.lock
	@for tool in $(TOOLS) $(PEERS); do \
	  echo "tools/$$tool.lock"; \
	  $(COMPILE) $(ARGS) tools/$$tool.in --output-file tools/$$tool.lock || exit 1; \
	done

# What service/Dockerfile installs, as files beside it, so that the image can be built without a network. For the Python
# and the machine of its base: make wheels IMAGE_PYTHON=3.11 IMAGE_MACHINE=aarch64
IMAGE_PYTHON  ?= 3.13
IMAGE_MACHINE ?= x86_64
WHEELS        ?= service/wheels
wheels: $(READY)
	@rm -f $(WHEELS)/*.whl
	@$(BIN)/python -m pip download -qq --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
	  --python-version $(IMAGE_PYTHON) $(foreach glibc,34 28 17,--platform manylinux_2_$(glibc)_$(IMAGE_MACHINE)) \
	  --platform manylinux2014_$(IMAGE_MACHINE) --requirement service/requirements.lock --dest $(WHEELS)

# Nobody takes away what a cloud that is up runs from.
REFUSE_WHILE_UP = pid=$$(sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' .local/cloud.json 2>/dev/null); \
	if [ -n "$$pid" ] && kill -0 "$$pid" 2>/dev/null; then \
	  echo "error: make local is up here, in process $$pid, and runs from $(VENV)" >&2; \
	  echo "hint: end it with Ctrl-C, then make $(MAKECMDGOALS)" >&2; exit 1; fi

clean:
	@$(REFUSE_WHILE_UP)
	@rm -rf $(VENV) .venv-* .local .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov service/wheels

# -- set-up ---------------------------------------------------------------------

$(READY): requirements.lock
	@$(REFUSE_WHILE_UP)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is missing or older than 3.11"; \
	  echo "hint: apt-get install python3, or make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: $(PYTHON) has no venv module"; \
	  echo "hint: apt-get install python3-venv"; exit 1; } >&2
	@echo "setting up $(VENV), about a minute the first time" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock || { \
	  echo "error: pip cannot install what requirements.lock names"; \
	  echo "hint: it needs a package index: PIP_INDEX_URL and PIP_PROXY are pip's own settings"; exit 1; } >&2
	@touch $@

# Tools that cannot live beside ours, because they pin other versions of what we use, have an environment each.
$(TOOLS:%=.venv-%/.ready) $(PEERS:%=.venv-%/.ready): .venv-%/.ready: tools/%.lock
	@echo "setting up .venv-$*" >&2
	@$(PYTHON) -m venv --clear .venv-$*
	@.venv-$*/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement $<
	@touch $@

# An evaluator of policies that others wrote (AGPL, run as a process of its own): where there is npm, and nobody needs it.
.venv-iam-simulate/.ready: tools/iam-simulate/package-lock.json
	@echo "setting up .venv-iam-simulate" >&2
	@rm -rf .venv-iam-simulate && mkdir .venv-iam-simulate
	@cp tools/iam-simulate/package.json tools/iam-simulate/package-lock.json .venv-iam-simulate/
	@cd .venv-iam-simulate && { npm ci --silent --ignore-scripts --no-audit --no-fund && touch .ready \
	  || echo "warning: npm cannot install what $< names; the proof that asks it is skipped" >&2; }
