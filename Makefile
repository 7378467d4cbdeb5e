# Everything here sets up its own environment first: there is nothing to install by hand but Python and make.
#
#   make demo      faces and three real photos -> meshes, videos and a report, in demo/
#   make test      lint, types, layers and the tests
#
#   VENV=DIR             where the environment goes (.venv)
#   PYTHON=python3.12    which Python makes it (the first of python3, python3.13, 3.12, 3.11 that fits)
#   TORCH=torch==2.12.0  another torch than the one in requirements-dev.txt
#   TORCH_INDEX=URL      where to take torch from (a wheel index, as PyTorch's install page names them)

VENV ?= .venv
PYTHON ?=
TORCH ?=
TORCH_INDEX ?=
PYTEST_ARGUMENTS ?=

# torch's OpenMP threads spin while they wait, which costs a factor of five wherever another process runs.
export OMP_WAIT_POLICY = PASSIVE
export VENV PYTHON TORCH TORCH_INDEX
BIN = $(VENV)/bin
# Tests run one thread each: results do not depend on the machine, and a busy one does not crawl.
TESTING = OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest
# Two processes, each of which takes whole files.
SIDE_BY_SIDE = -n 2 --dist loadfile

.PHONY: help setup demo test triton soak lint types format tables clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## the environment in .venv (the others call it)
	@sh tools/set_up.sh

demo: setup  ## photos of faces in 3D, a scene and a mesh learned from 48 pictures, into demo/ (at most 3 minutes)
	@$(BIN)/python -m unflat demo --out demo

test: lint types  ## lint, types, layers and the tests (under 5 minutes on 2 cores)
	@$(TESTING) $(SIDE_BY_SIDE) $(PYTEST_ARGUMENTS)

triton: setup  ## the GPU kernels without a GPU: in Triton's interpreter, and compiled (a minute, 640 MB in build/)
	@$(BIN)/python -m pip install --quiet --upgrade --no-deps --target build/triton "triton>=3.4"
	@PYTHONPATH=build/triton TRITON_INTERPRET=1 $(TESTING) tests/kernels -k triton
	@PYTHONPATH=build/triton $(TESTING) tests/kernels/test_triton_compiles.py

soak: setup  ## the long checks
	@$(TESTING) -m soak $(PYTEST_ARGUMENTS)

lint: setup  ## style, formatting, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

types: setup  ## mypy
	@$(BIN)/mypy

format: setup  ## put the sources into the house's format
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

tables: setup  ## the tables in README.md and benchmarks/README.md, from the records
	@$(BIN)/python benchmarks/make_readme.py

clean:  ## remove what the tools leave behind, the environment too
	rm -rf $(VENV) demo dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
