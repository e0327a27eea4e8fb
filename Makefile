# make demo   run the main job on made-up data        make test   build and pass all tests
# make lint   formatting and types                    make clean  remove what these made
# make bench   run all benchmarks (hours)             make bench-check   their tests, tiny runs
# make bench-report   docs/benchmarks.md from the results of the benchmarks
# make gpu-check   build, test, sanitize and time on this machine's GPU, with the packages of PYTHON
#
# CML_CUDA=AUTO|ON|OFF chooses the CUDA kernels, PYTHON the interpreter (3.10 or newer).

PYTHON ?= python3
CML_CUDA ?= AUTO
VENV := .venv
PIP := $(VENV)/bin/python -m pip
INSTALL := $(PIP) install --quiet --config-settings=cmake.define.CML_CUDA=$(CML_CUDA)
SOURCES := pyproject.toml CMakeLists.txt $(wildcard cmake/* csrc/*/* csrc/*/*/* python/cml_fast/* python/cml_fast/*/*)

.PHONY: demo test lint bench bench-check bench-report gpu-check clean

demo: $(VENV)/installed
	$(VENV)/bin/cml-fast demo

test: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pytest

lint: $(VENV)/installed-for-tests .ci/lint-requirements.txt
	$(PIP) install --quiet --requirement .ci/lint-requirements.txt
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run --Werror $(wildcard csrc/*/*.h csrc/*/*/*.h csrc/*/*.cpp csrc/*/*.cu csrc/*/*.cuh tests/emulator/*)
	$(VENV)/bin/mypy

bench: $(VENV)/installed-for-benchmarks
	$(VENV)/bin/python -m benchmarks

bench-check: $(VENV)/installed-for-benchmarks
	$(VENV)/bin/python -m pytest tests/benchmarks

bench-report: $(VENV)/installed
	$(VENV)/bin/python -m benchmarks.report

gpu-check:
	$(PYTHON) -m benchmarks.gpu_check

clean:
	rm -rf $(VENV) build dist demo-output

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

$(VENV)/installed: $(VENV)/bin/python $(SOURCES)
	$(INSTALL) .
	touch $@

$(VENV)/installed-for-tests: $(VENV)/bin/python $(SOURCES)
	$(INSTALL) ".[test]"
	touch $@ $(VENV)/installed

$(VENV)/installed-for-benchmarks: $(VENV)/installed-for-tests
	$(PIP) install --quiet "cml-fast[bench]"  # what it needs; itself it is there
	touch $@
