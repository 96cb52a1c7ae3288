# `make demo` shows the tool, `make test` decides whether a change is good, `make proof` goes to the bottom of it.
#
# All ask for nothing but Python 3.11 or newer (with venv), make and git. Everything else is installed below this
# folder, pinned and hashed, from requirements/: what the demo and people use into .venv, what tests use into a venv of
# its own for each Python version, so that `make test PYTHON=python3.13` neither breaks nor reuses another's.

PYTHON ?= python3
VENV ?= .venv
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
TEST_VENV ?= .venv-test-$(PYTHON_VERSION)
BIN := $(TEST_VENV)/bin
WHEELS := build/$(PYTHON_VERSION)

# What is pinned is all that is installed. The lists are complete, so nothing is resolved (--no-deps): a pip that resolves
# looks at releases that came out after the pins, and some then refuse the pins. `pip check` shows that nothing is missing
# or in conflict. Wheels only: building a source distribution would fetch build tools that nobody pinned.
PIP := python -I -m pip --disable-pip-version-check
PIP_INSTALL := $(PIP) install --quiet --no-deps
PIP_PINNED := $(PIP_INSTALL) --only-binary :all: --require-hashes
UV_LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
RELEASE := build/release/bin
BUILDER ?= docker
PYTEST_ARGS ?=
SEED ?= $(eval SEED := $(shell $(PYTHON) -c 'import secrets; print(secrets.randbelow(2**32))'))$(SEED)
TESTS_AT_ONCE ?= 3
LOCK_ARGS ?=

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo dev test proof format lint types imports workflows schemas gate prism browser promtool editor shells mutants wheel fmt lock release release-version audit pictures photos image site clean python

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## install into .venv and show the whole story on the simulator
	$(VENV)/bin/reconciler demo

dev: $(VENV)/.installed-dev ## add the development tools to .venv, for an editor and quick pytest runs

# Side by side, since mypy leaves a core idle; the output of a check appears when it has ended.
test: $(TEST_VENV)/.installed ## decide whether a change is good
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target types gate format lint imports workflows schemas

format: $(TEST_VENV)/.installed ## check the formatting
	$(BIN)/ruff format --check .

lint: $(TEST_VENV)/.installed ## check the code with ruff
	$(BIN)/ruff check .

types: $(TEST_VENV)/.installed ## check the types with mypy
	$(BIN)/mypy

imports: $(TEST_VENV)/.installed ## check that imports point one way
	$(BIN)/lint-imports --no-logo

workflows: $(TEST_VENV)/.installed ## check the GitHub workflows and the action
	$(BIN)/actionlint
	$(BIN)/actionlint docs/examples/scale/matrix.yml
	$(BIN)/zizmor --offline --persona auditor --strict-collection . docs/examples/scale/matrix.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml docs/examples/scale/matrix.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml

schemas: $(TEST_VENV)/.installed ## check the schemas, and every example of a file against its schema
	$(BIN)/check-jsonschema --check-metaschema schemas/*.json
	$(BIN)/python docs/generator/examples.py build/examples
	$(BIN)/check-jsonschema --default-filetype yaml --schemafile schemas/keys.schema.json keys.yaml.example build/examples/*.yaml \
	  tests/examples/valid/*.yaml

# Run against the built wheel. PYTHONSAFEPATH keeps this folder off sys.path in every process that a test starts. Three
# tests run at a time on two cores too, since many wait for a process or an answer. What pytest makes of the tests' code
# is kept, whatever the environment says: making it anew takes each worker a quarter of a minute. The + has make show
# the tests' progress.
TESTED := RECONCILER_WHEEL="$$(echo "$(CURDIR)"/$(WHEELS)/*.whl)" PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=
PYTEST := $(BIN)/pytest -n $(TESTS_AT_ONCE) --dist worksteal

gate: wheel ## run the tests that decide, which draw the same examples each time
	+$(TESTED) $(PYTEST) -m 'not proof' $(PYTEST_ARGS)

# Those of the gate once more, since what is covered is measured here only: that takes twice the time. Then all that is
# marked with `proof`, and once more what draws examples.
COVERED := COVERAGE_FILE=$(CURDIR)/$(WHEELS)/coverage
proof: wheel ## run what takes longer: every kill, the action, packaging, fresh examples, branch coverage
	@echo "Fresh examples: make proof SEED=$(SEED) draws the same ones again"
	+$(TESTED) $(COVERED) $(PYTEST) --cov --cov-report= --cov-fail-under=0 -m 'not proof' $(PYTEST_ARGS)
	+$(TESTED) $(COVERED) $(PYTEST) --cov --cov-append --cov-report=term -m 'proof or hypothesis' \
	  --hypothesis-profile=proof --hypothesis-seed=$(SEED) $(PYTEST_ARGS)

# Apart from test, because these ask for Node; CI runs them. What npm installs is pinned and hashed too.
prism: wheel ## check the requests to GitHub with Prism (needs Node and npm)
	@command -v npm >/dev/null || { echo "'npm' was not found: install Node 20 or newer" >&2; exit 1; }
	npm ci --prefix tests/prism --no-audit --no-fund --loglevel error
	PYTHONSAFEPATH=1 $(BIN)/pytest tests/prism/prism_github.py

editor: wheel ## look at keys.yaml with the language server of editors (needs Node and npm)
	@command -v npm >/dev/null || { echo "'npm' was not found: install Node 20 or newer" >&2; exit 1; }
	npm ci --prefix tests/editor --no-audit --no-fund --loglevel error
	PYTHONSAFEPATH=1 $(BIN)/pytest tests/editor/editor_schema.py

# Apart from test as well: these ask for programs that no package of Python brings.
browser: wheel ## look at the page of report with a browser (needs Chromium)
	PYTHONSAFEPATH=1 $(BIN)/pytest tests/browser/browser_report.py

promtool: wheel ## check the metrics and the example alert rules (needs promtool of Prometheus)
	@command -v promtool >/dev/null || { echo "'promtool' was not found: install Prometheus (on Debian and Ubuntu: apt install prometheus)" >&2; exit 1; }
	PYTHONSAFEPATH=1 $(BIN)/pytest tests/promtool/promtool_metrics.py

shells: wheel ## press the Tab key in bash, zsh and fish (needs all three)
	@command -v bash zsh fish >/dev/null && test -e /usr/share/bash-completion/bash_completion || { \
	  echo "a shell was not found: install them (on Debian and Ubuntu: apt install bash-completion zsh fish)" >&2; exit 1; }
	PYTHONSAFEPATH=1 $(BIN)/pytest tests/shells/shells_completion.py

# One room at a time: a mutant costs a run of its tests. Cosmic Ray has a venv of its own and needs nothing of the tests'.
ROOM ?= insight
COUNT ?= 50
mutants: wheel build/mutants/venv/.installed ## change the code of a ROOM a little, COUNT times, and tell what no test notices
	build/mutants/venv/bin/python tests/mutants/sample.py $(ROOM) --count $(COUNT) --seed $(SEED) \
	  --python $(CURDIR)/$(BIN)/python --pytest-args "$(PYTEST_ARGS)"

# Without yattag, which has no wheel: only an HTML report imports it. `pip check` would miss it, so there is none here.
build/mutants/venv/.installed: requirements/mutants.txt | python
	$(PYTHON) -m venv --clear build/mutants/venv
	build/mutants/venv/bin/$(PIP_PINNED) --requirement requirements/mutants.txt
	touch $@

# Always built and installed anew: it takes two seconds, and a stale wheel would test yesterday's code.
wheel: $(TEST_VENV)/.installed ## build the wheel and install it into the tests' venv
	rm -rf $(WHEELS)
	$(BIN)/python -m hatchling build --target wheel --directory $(WHEELS)
	$(BIN)/$(PIP_INSTALL) --no-index --force-reinstall $(WHEELS)/*.whl

fmt: $(TEST_VENV)/.installed ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(TEST_VENV)/.installed ## pin requirements/ anew from pyproject.toml (LOCK_ARGS=--upgrade raises all versions)
	$(UV_LOCK) $(LOCK_ARGS) --all-extras --group dev pyproject.toml --output-file requirements/dev.txt
	$(UV_LOCK) $(LOCK_ARGS) --constraint requirements/dev.txt --all-extras pyproject.toml --output-file requirements/runtime.txt
	$(UV_LOCK) $(LOCK_ARGS) --constraint requirements/dev.txt --group build --output-file requirements/build.txt
	$(UV_LOCK) $(LOCK_ARGS) --constraint requirements/dev.txt --group release --output-file requirements/release.txt
	$(UV_LOCK) $(LOCK_ARGS) --constraint requirements/dev.txt --group mutants --no-emit-package yattag --output-file requirements/mutants.txt

# Of two fresh clones of the commit, so that nothing of this folder gets in, and both have to be the same bytes.
release: build/release/.installed ## build a release into dist/, twice, with checksums, an SBOM and its changes
	rm -rf dist build/release/first build/release/second
	for copy in first second; do \
	  git clone --quiet . build/release/$$copy && \
	  (cd build/release/$$copy && $(CURDIR)/$(RELEASE)/python -m hatchling build --directory dist) || exit; \
	done
	diff --recursive build/release/first/dist build/release/second/dist
	mkdir -p dist && mv build/release/first/dist dist/packages
	cd dist/packages && sha256sum * > ../SHA256SUMS
	$(RELEASE)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json
	awk '/^## /{on = /^## \['"$$($(RELEASE)/python -m hatchling version)"'\]/; next} on' CHANGELOG.md > dist/CHANGES.md
	@cat dist/SHA256SUMS

release-version: build/release/.installed ## check that VERSION is the one of the code, and has its changes in CHANGELOG.md
	test "$$($(RELEASE)/python -m hatchling version)" = "$(VERSION)"
	grep --quiet --fixed-strings '## [$(VERSION)]' CHANGELOG.md

audit: build/release/.installed ## look up the known vulnerabilities of what is pinned (needs the network)
	for list in build runtime dev release mutants; do $(RELEASE)/pip-audit --disable-pip --require-hashes --requirement requirements/$$list.txt || exit; done

build/release/.installed: requirements/release.txt | python
	$(PYTHON) -m venv --clear build/release
	$(RELEASE)/$(PIP_PINNED) --requirement requirements/release.txt
	$(RELEASE)/$(PIP) check
	touch $@

pictures: wheel ## make the pictures and the made parts of the docs anew
	$(BIN)/python docs/generator/make.py

photos: wheel ## photograph the comment and the report for the README (needs Chromium and pngquant)
	$(BIN)/python docs/generator/photos.py

image: ## build the container image, and try it as it is meant to run (needs docker or podman)
	$(BUILDER) build --file Containerfile $(if $(BASE),--build-arg PYTHON=$(BASE)) --tag reconciler .
	$(BUILDER) run --rm --read-only --network none --cap-drop ALL reconciler --version
	$(BUILDER) run --rm --read-only --network none --cap-drop ALL --volume $(CURDIR)/keys.yaml.example:/keys/keys.yaml:ro reconciler validate

site: $(TEST_VENV)/.installed ## build the documentation as a site, into build/docs/site
	$(BIN)/python docs/generator/website.py build/docs

clean: ## remove what make made, except .venv
	rm -rf build dist .venv-test-* tests/prism/node_modules tests/editor/node_modules .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "'$(PYTHON)' was not found: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "reconciler needs Python 3.11 or newer, '$(PYTHON)' is $(PYTHON_VERSION): name another, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' comes without venv: install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }

$(TEST_VENV)/.installed: requirements/dev.txt | python
	$(PYTHON) -m venv --clear $(TEST_VENV)
	$(BIN)/$(PIP_PINNED) --requirement requirements/dev.txt
	$(BIN)/$(PIP) check
	touch $@

# An existing .venv is kept and only brought up to date: it may be somebody's working environment.
$(VENV)/.installed: requirements/build.txt requirements/runtime.txt pyproject.toml | python
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(PIP_PINNED) --requirement requirements/build.txt --requirement requirements/runtime.txt
	$(VENV)/bin/$(PIP_INSTALL) --no-index --no-build-isolation --editable .
	$(VENV)/bin/$(PIP) check
	touch $@

$(VENV)/.installed-dev: requirements/dev.txt | $(VENV)/.installed
	$(VENV)/bin/$(PIP_PINNED) --requirement requirements/dev.txt
	$(VENV)/bin/$(PIP) check
	touch $@
