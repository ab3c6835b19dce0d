# GANs: Proof and Play. `make book` and `make test` are all that is needed; see `make help`.

# The published repository, such as https://github.com/owner/name: shows the repository, issue,
# Colab and Binder buttons. Without it the pages have none.
REPOSITORY ?=
# Where the site is published, if not on the repository's own Pages: https://www.example.org/book
ADDRESS ?=
# The Python that makes the environment; 3.11 or newer.
PYTHON ?= python3
# Another source for torch, such as an index of CPU builds: PIP_TORCH_OPTIONS="--index-url ADDRESS"
PIP_TORCH_OPTIONS ?=
# A browser for the site tests (found by itself if installed); BROWSER=none leaves them out.
CHROMIUM ?=
PORT ?= 8000
# More for the unit tests' pytest: two processes, a file in one of them. UNIT_OPTIONS= for one process.
UNIT_OPTIONS ?= -n 2 --dist loadfile
# --newest: the ranges of pyproject.toml in place of the lock.
ENVIRONMENT_OPTIONS ?=

PY := .venv/bin/python
export REPOSITORY ADDRESS CHROMIUM BROWSER PIP_TORCH_OPTIONS
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help python environment set-up book pdf figures serve release test test-all test-exercises test-site test-slow \
	lint unit fuzz bench results exercises grade clean clean-env

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or \
	newer, or name one: make book PYTHON=/path/to/python3" >&2; exit 1; }

environment: python  ## make .venv with the pinned packages
	@$(PYTHON) tools/environment.py --torch-options "$(PIP_TORCH_OPTIONS)" $(ENVIRONMENT_OPTIONS)

book: environment exercises  ## execute what changed and build the site
	@$(PY) -m tools.build_site

# make pdf [CODE=all] [PDF_OPTIONS=--publish]: folded code too; offered on the site that was built
CODE ?=
PDF_OPTIONS ?=
pdf: environment  ## the built site as one PDF, _build/pdf (CODE=all: folded code too)
	@$(PY) tools/environment.py --also requirements-pdf.txt
	@$(PY) -m tools.pdf $(if $(filter all,$(CODE)),--code) $(PDF_OPTIONS)

figures: environment  ## the figures of the built site as PNG, build/figures
	@$(PY) -m tools.figures

serve:  ## show the built site on 127.0.0.1
	@test -x $(PY) || { echo "There is no environment yet: run \`make book\` first." >&2; exit 1; }
	@$(PY) -m tools.serve --port $(PORT)

# The parts, their budgets and which stands on which: tools/budget.py.
test: python  ## lint, types, library, exercises, chapters, site; the minutes of each
	@MAKE="$(MAKE)" $(PYTHON) tools/budget.py test

test-all: python  ## the same, the slow tests and the long fuzz
	@MAKE="$(MAKE)" $(PYTHON) tools/budget.py test-all

set-up: environment
	@$(PY) -m tools.browser
	@$(PY) -m tools.vendor

lint: environment  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

unit: environment  ## tests of the library and the tools
	@$(PY) -m tools.vendor
	$(PY) -m pytest -q $(UNIT_OPTIONS) tests --ignore tests/site --ignore tests/exercises \
		--ignore tests/slow --ignore tests/test_book_sources.py

test-exercises: exercises
	$(PY) -m pytest -q tests/exercises

test-site: environment
	$(PY) -m pytest -q tests/site tests/test_book_sources.py

test-slow: environment
	@$(PY) tools/environment.py --also requirements-pdf.txt
	$(PY) -m pytest -q tests/slow

# make fuzz [FUNCTIONS=2000] [SEED=0]
FUNCTIONS ?= 2000
SEED ?= 0
fuzz: environment  ## compiled functions against torch: random compositions, bit for bit
	@$(PY) -m tools.fuzz --functions $(FUNCTIONS) --seed $(SEED)

bench: environment  ## measure the library; prints ratios of one run
	@$(PY) -m tools.bench

results: environment  ## make the tables of the page `results`; at full size where CUDA is there
	@$(PY) -m ganlib reproduce --all

# make exercises [SEED=name]: a private variant besides the book's
EDITIONS := build/exercises/complete
VARIANT := $(if $(filter command line environment,$(origin SEED)),$(SEED))
exercises: $(EDITIONS)  ## student's and instructor's editions, and the graders: [SEED=private]
	@test -z "$(VARIANT)" || $(PY) -m tools.exercises build --seed "$(VARIANT)"
$(EDITIONS): requirements.txt tools/exercises.py $(wildcard tools/grader/*.py exercises/*/*) | environment
	@$(PY) -m tools.exercises build
	@touch $@

# make grade SUBMISSIONS=folder [ASSIGNMENT=the-game] [SEED=name] [GRADE_OPTIONS="--roster class.csv --jobs 2"]
ASSIGNMENT ?= the-game
GRADE_OPTIONS ?=
grade: environment  ## grade a folder of submissions: SUBMISSIONS=folder
	@test -n "$(SUBMISSIONS)" || { echo "Say what to grade: make grade SUBMISSIONS=folder \
	[ASSIGNMENT=$(ASSIGNMENT)] [SEED=private]" >&2; exit 1; }
	@$(PY) -m tools.exercises grade "$(SUBMISSIONS)" --assignment "$(ASSIGNMENT)" \
		$(if $(VARIANT),--seed "$(VARIANT)") $(GRADE_OPTIONS)

release: environment  ## VERSION=0.2.0: number, changelog, commit and tag
	@test -n "$(VERSION)" || { echo "Say which: make release VERSION=0.2.0" >&2; exit 1; }
	@$(PY) -m tools.release "$(VERSION)"

clean:  ## remove what was built (keeps the environment)
	rm -rf build _build

clean-env: clean  ## remove the environment too
	rm -rf .venv
