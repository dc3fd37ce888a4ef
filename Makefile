# make help lists the targets. PYTHON chooses the interpreter that .venv is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.edgereid-installed
DEMO := build/demo
PYTEST_FLAGS ?= --numprocesses=auto --maxprocesses=8 --dist=worksteal
# One line per step says what is going on; pip itself is silent unless something fails.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt CMakeLists.txt \
  $(wildcard edgereid/native/src/*.cpp) $(wildcard edgereid/native/src/*.hpp)

.DELETE_ON_ERROR:
.PHONY: help setup demo test lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' $(MAKEFILE_LIST) | while IFS=: read -r name text; do \
	  printf '  make %-8s%s\n' "$$name" "$$text"; done

setup: $(STAMP)  ## make .venv with everything pinned, and build the kernels

demo: setup  ## the main job: draw data, export DSLNet to INT8, bench it, give a verdict
	$(BIN)/edgereid synth $(DEMO)/data
	$(BIN)/edgereid export dslnet --int8 --calib $(DEMO)/data --force --out $(DEMO)/dslnet-int8
	$(BIN)/edgereid bench $(DEMO)/dslnet-int8 --data $(DEMO)/data --record --html $(DEMO)/report.html

test: setup  ## run all tests: C++ with ctest, Python with pytest
	@echo "== C++ kernels, without Python"
	@$(BIN)/cmake -S . -B build/cpp -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) > build/cpp.log 2>&1 \
	  && $(BIN)/cmake --build build/cpp >> build/cpp.log 2>&1 || { cat build/cpp.log; exit 1; }
	@$(BIN)/ctest --test-dir build/cpp --output-on-failure
	@echo "== Python"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest $(PYTEST_FLAGS)  # workers share the cores: no spinning

lint: setup  ## ruff and mypy --strict (they are part of the tests, too)
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:  ## remove what was built; .venv stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): $(SOURCES)
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null || { \
	  echo "edgereid needs Python 3.10 or newer: '$(PYTHON)' is $$($(PYTHON) --version 2> /dev/null || echo missing)." \
	       "Choose another with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install its venv package" \
	       "(Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	@command -v "$${CXX:-c++}" > /dev/null || { \
	  echo "no C++ compiler '$${CXX:-c++}': install one (Debian, Ubuntu: apt install g++) or set CXX."; exit 1; }
	@mkdir -p build
	@test -x $(BIN)/python || { echo "== making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "== installing build tools"
	@$(PIP) scikit-build-core nanobind cmake ninja setuptools  # the last: fvcore comes as sources
	@echo "== installing edgereid and its pinned dependencies (a few minutes and some GB the first time)"
	@$(PIP) --no-build-isolation --editable '.[all,dev]'
	@touch $@
