"""The check for machines with a GPU, as far as it can be tested without one."""

import itertools
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import stand_in_for_cupy

from benchmarks.common.measurement_store import MeasurementStore
from benchmarks.gpu_check import __main__ as gpu_check
from benchmarks.gpu_check import hashes, planted, searches, small_cases, stages
from benchmarks.gpu_check.in_time import in_time
from benchmarks.gpu_check.kinds import BFLOAT16, is_there
from benchmarks.gpu_check.process import ROOT, Finished, run
from benchmarks.throughput import __main__ as throughput
from benchmarks.throughput import sweeps
from benchmarks.throughput.plan import QUICK
from cml_fast import _core

LOSSES = tuple(_core.LOSSES)


def finished(stdout="", returncode=0, stderr=""):
    return Finished(returncode, stdout, stderr, 1.5)


# --- programs and their time limits -----------------------------------------------------------


def test_a_program_that_ends():
    code = "import sys; print('{\"a\": 1}\\nwords\\n[2]\\n{\"cut\": '); sys.exit('the reason')"
    done = run([sys.executable, "-c", code], 60)
    assert done.problem == "exit code 1"
    assert done.records() == [{"a": 1}]
    assert done.tail().endswith("the reason")
    assert run([sys.executable, "-c", "pass"], 60).problem is None


def test_a_program_that_hangs_is_stopped_with_its_children(tmp_path, monkeypatch):
    """It says where it was, and what it printed before is there."""
    child = "import time\nwhile True: open('child', 'w').close(); time.sleep(0.05)"
    code = (
        f"import os, subprocess, sys, time\nos.chdir({str(tmp_path)!r})\n"
        "print('{\"a\": 1}', flush=True)\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "def wait_for_ever():\n    while True: open('parent', 'w').close(); time.sleep(0.05)\n"
        "wait_for_ever()"
    )
    real_wait, limit = subprocess.Popen.wait, 12345.0

    def wait(process, timeout=None):
        """The time limit is over as soon as both programs do what they do."""
        if timeout != limit:
            return real_wait(process, timeout)
        while not ((tmp_path / "parent").exists() and (tmp_path / "child").exists()):
            assert process.poll() is None
            time.sleep(0.01)
        raise subprocess.TimeoutExpired(process.args, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    done = run([sys.executable, "-X", "faulthandler", "-c", code], limit)
    assert done.returncode is None
    assert done.problem.startswith("stopped by its time limit after ")
    assert done.records() == [{"a": 1}]
    assert "in wait_for_ever" in done.tail()
    (tmp_path / "child").unlink()
    time.sleep(0.3)
    assert not (tmp_path / "child").exists()


def test_a_program_without_time_is_not_started(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert run([sys.executable, "-c", ""], 0.0).problem is not None


# --- the whole --------------------------------------------------------------------------------


def test_all_limits_together_are_less_than_eight_minutes():
    limits = [limit for _, limit in gpu_check.STAGES.values()]
    others = gpu_check.SECONDS_FOR_DEVICE + gpu_check.SECONDS_FOR_MODEL
    assert others + sum(limits) <= 465  # the rest: stopping, writing


@pytest.mark.parametrize("hide_cupy", [False, True])
def test_without_a_gpu_it_stops_at_once_and_says_why(tmp_path, hide_cupy):
    if hide_cupy:
        (tmp_path / "cupy.py").write_text("raise ImportError('no CuPy here')")
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--out", str(tmp_path / "out.json")]
    hidden = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **hidden}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("gpu-check needs a GPU that works. CuPy")
    assert ("no CuPy here" in done.stderr) == hide_cupy
    assert not (tmp_path / "out.json").exists()


def test_what_fails_is_recorded_and_the_next_stages_run(tmp_path, monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def hang(context):
        done = run([sys.executable, "-c", "import time; time.sleep(600)"], context.left())
        now[0] += 1
        return stages.failed(str(done.problem), output=done.tail())

    def crash(context):
        raise KeyError("a fault of the check")

    def left(context):
        return stages.passed(f"{context.architecture} {context.left():.1f}")

    plan = {"hang": (hang, 1), "crash": (crash, 0), "left": (left, 9), "later": (left, 9)}
    monkeypatch.setattr(gpu_check, "STAGES", plan)
    monkeypatch.setattr(gpu_check, "SECONDS_FOR_DEVICE", 0)
    device = {"name": "NVIDIA H100 (80GB)", "compute_capability": "90"}
    monkeypatch.setattr(gpu_check, "find_device", lambda: device)
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--stages", *plan, "--out", str(out)])
    assert gpu_check.main() == 1

    record = json.loads(out.read_text())
    assert {"date", "command", "machine", "device", "commit", "seconds", "stages"} <= set(record)
    assert record["device"] == device
    found = record["stages"]
    assert [found[name]["status"] for name in plan] == ["failed", "failed", "passed", "passed"]
    assert "time limit" in found["hang"]["summary"]
    assert "KeyError: 'a fault of the check'" in found["crash"]["output"]
    # Time that a stage leaves goes to the next ones.
    assert [found[name]["summary"] for name in ("left", "later")] == ["90 9.0", "90 18.0"]
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()[1:5]] == [
        [name, found[name]["status"]] for name in plan
    ]
    assert printed.out.splitlines()[-1] == f"written: {out}"
    assert "a fault of the check" in printed.err

    monkeypatch.setattr(gpu_check, "STAGES", {"left": (left, 9)})
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--stages", "left", "--out", str(out)])
    assert gpu_check.main() == 0


def test_without_a_build_nothing_is_checked(monkeypatch):
    """Least of all what an earlier check has left in the build folder."""
    plan = {
        "build": (lambda context: stages.failed("no compiler"), 1),
        "test": (lambda context: stages.passed("of an old build"), 1),
    }
    monkeypatch.setattr(gpu_check, "STAGES", plan)
    found = gpu_check.run_stages(list(plan), "cpu", "", time.monotonic())
    assert [found[name]["status"] for name in plan] == ["failed", "skipped"]


def test_the_name_of_a_gpu_in_a_file_name():
    assert gpu_check.slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"
    assert gpu_check.slug("GeForce (TM)") == "geforce-tm"


# --- reading what programs print --------------------------------------------------------------

PAIR = "_ZN3cml4cuda11sync_kernelINS0_10PairWorkerINS0_8WarpLossELi4EEEEEvNS_10CudaLaunchE"
TILE = "_ZN3cml4cuda12async_kernelINS0_10TileWorkerILi0ELb0EEEEEvNS_10CudaLaunchE"
TENSOR = "_ZN3cml4cuda11sync_kernelINS0_10TileWorkerILi4ELb1EEEEEvNS_10CudaLaunchE"
APPLY = "_ZN3cml4cuda12apply_kernelILi1EEEvNS_10CudaLaunchE"
SELECT = "_ZN3cml4cuda13select_kernelENS_9SelectionE"
PTXAS = f"""\
  [3/14] Building CUDA object CMakeFiles/cuda_kernel_4.dir/csrc/cuda/kernel.cu.o
  ptxas info    : 0 bytes gmem
  ptxas info    : Compiling entry function '{PAIR}' for 'sm_90'
  ptxas info    : Function properties for {PAIR}
      0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
  ptxas info    : Used 113 registers, used 1 barriers
  ptxas info    : Compile time = 784.272 ms
  ptxas info    : Compiling entry function '{TILE}' for 'sm_90'
  ptxas info    : Function properties for {TILE}
      256 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
  ptxas info    : Used 96 registers, used 0 barriers
  ptxas info    : Compiling entry function '{TENSOR}' for 'sm_90'
  ptxas info    : Function properties for {TENSOR}
      0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
  ptxas info    : Used 214 registers, used 1 barriers
  ptxas info    : Compiling entry function '{APPLY}' for 'sm_90'
  ptxas info    : Function properties for {APPLY}
      0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
  ptxas info    : Used 40 registers, used 0 barriers
  ptxas info    : Compiling entry function '{SELECT}' for 'sm_90'
  ptxas info    : Function properties for {SELECT}
      0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
  ptxas info    : Used 48 registers, used 1 barriers
"""


def test_ptxas_report():
    names = ("kernel", "worker", "chunks", "registers", "stack_bytes", "spilled_bytes")
    assert [tuple(map(kernel.get, names)) for kernel in stages.ptxas_report(PTXAS)] == [
        ("sync", "Pair", 4, 113, 0, 0),
        ("async", "Tile", 0, 96, 256, 20),
        ("sync", "Tile, bfloat16", 4, 214, 0, 0),
        ("apply", None, 1, 40, 0, 0),
        ("select", None, 0, 48, 0, 0),
    ]


REPORT = """\
<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" \
errors="1" failures="1" skipped="2" tests="6" time="6.1">
<testcase classname="tests.test_sync" name="test_any[cuda-33]" time="0.1" />
<testcase classname="tests.test_sync" name="test_bad[device-cuda:0]" time="0.1" />
<testcase classname="tests.test_sync" name="test_other[cuda]" time="0.1"><failure message="a != b">\
assert a == b</failure></testcase>
<testcase classname="tests.test_sync" name="test_broken" time="0.1"><error message="failed on setup\
">no</error></testcase>
<testcase classname="tests.test_sync" name="test_a" time="0"><skipped type="pytest.skip" \
message="no shared data">conftest.py:27: no shared data</skipped></testcase>
<testcase classname="tests.test_sync" name="test_b" time="0"><skipped type="pytest.skip" \
message="no shared data">conftest.py:27: no shared data</skipped></testcase>
</testsuite></testsuites>
"""


def test_outcomes_of_a_test_file(tmp_path):
    (tmp_path / "report.xml").write_text(REPORT)
    assert stages.outcomes(tmp_path / "report.xml") == {
        "passed": 2,
        "failed": 2,
        "skipped": 2,
        "passed_on_cuda": 1,
        "failures": ["test_other[cuda]", "test_broken"],
        "skip_reasons": {"no shared data": 2},
    }
    assert stages.outcomes(tmp_path / "absent.xml")["passed"] == 0


@pytest.mark.parametrize(
    ("gpu", "on_gpu", "problem", "status"),
    [
        (True, 3, {}, "passed"),
        (True, 0, {}, "failed"),
        (False, 0, {}, "passed"),
        (True, 3, {"problem": "exit code 1"}, "failed"),
    ],
)
def test_judgement_of_the_tests(gpu, on_gpu, problem, status):
    counts = {"passed": 4, "failed": 0, "skipped": 1, "passed_on_cuda": on_gpu}
    one = {"file": "test_a.py", **counts, "failures": [], "skip_reasons": {"why": 1}}
    results = [one, {**one, "file": "test_b.py", **problem}]
    found = stages.judge_tests(results, "cuda" if gpu else "cpu")
    assert found["status"] == status
    assert found["passed"] == 8
    assert found["skip_reasons"] == {"why": 2}
    assert ("test_b.py" in found["summary"]) == bool(problem)


BANNER = "========= COMPUTE-SANITIZER\n"
CLEAN = BANNER + '{"pairs": 3}\n========= ERROR SUMMARY: 0 errors\n'
ONE = BANNER + "========= Barrier error detected.\n========= ERROR SUMMARY: 1 error\n"
MANY = (
    BANNER + "========= ERROR SUMMARY: 160 errors\n"
    "========= ERROR SUMMARY: 150 errors were not printed. Use --print-limit option to adjust\n"
)
RACES = BANNER + "========= RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)\n"
NO_RACES = (
    BANNER
    + '{"pairs": 3}\n'
    + "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
)
UNFINISHED = BANNER + "========= Unable to find injection library libsanitizer-collection.so\n"


@pytest.mark.parametrize(
    ("output", "errors"),
    [(CLEAN, 0), (ONE, 1), (MANY, 160), (RACES, 2), (NO_RACES, 0), (UNFINISHED, None)],
)
def test_errors_that_compute_sanitizer_counted(output, errors):
    assert stages.sanitizer_errors(output) == errors


@pytest.mark.parametrize(
    ("cases", "planted", "status", "summary"),
    [
        (finished(CLEAN), finished(ONE, 1), "passed", "clean"),
        (finished(NO_RACES), finished(RACES), "passed", "clean"),
        (finished(MANY), finished(ONE), "failed", "160 errors"),
        (finished(CLEAN), finished(CLEAN), "failed", "did not see the planted fault"),
        (finished(CLEAN), finished(UNFINISHED), "failed", "did not see the planted fault"),
        (finished(UNFINISHED), finished(ONE), "failed", "no summary"),
        (finished(CLEAN, 1), finished(ONE), "failed", "exit code 1"),
        (finished(CLEAN.replace("{", "")), finished(ONE), "failed", "no case ran"),
        (finished(BANNER, None), finished(ONE), "failed", "stopped by its time limit after 2 s"),
        (finished(stderr="Device not supported"), finished(), "skipped", "does not support"),
    ],
)
def test_judgement_of_a_sanitizer(cases, planted, status, summary):
    found = stages.judge_sanitizer(cases, planted)
    assert found["status"] == status
    assert summary in found["summary"]


@pytest.mark.parametrize(
    ("all_of_them", "expected"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "skipped"], "skipped"),
        (["failed", "skipped", "passed"], "failed"),
    ],
)
def test_one_tool_that_is_not_clean_is_enough(all_of_them, expected):
    assert stages.worst(all_of_them) == expected


def context(device="cpu", seconds=60.0):
    return stages.Context(device, "90", time.monotonic() + seconds, 2)


def test_without_compute_sanitizer_its_stage_is_skipped(monkeypatch):
    monkeypatch.setattr(stages, "find_tool", lambda name: None)
    found = stages.sanitize(context("cuda"))
    assert (found["status"], found["summary"]) == ("skipped", "compute-sanitizer is not installed")


@pytest.mark.parametrize(
    ("equal", "returncode", "status"),
    [(True, 0, "passed"), (False, 0, "failed"), (True, None, "failed"), (True, 1, "failed")],
)
def test_judgement_of_the_hashes(monkeypatch, equal, returncode, status):
    cases = [{"equal": True, "kind": "warp", "n_dims": 1, "batch_size": 7}]
    cases += [{"equal": equal, "kind": "softmax", "n_dims": 33, "batch_size": 8}]
    done = finished("".join(json.dumps(case) + "\n" for case in cases), returncode)
    monkeypatch.setattr(stages.Context, "module", lambda *arguments: done)
    found = stages.hash_(context())
    assert found["status"] == status
    assert found["cases"] == cases
    assert ("not softmax, 33 dimensions, batches of 8" in found["summary"]) == (not equal)


def test_hashes_without_time_are_left_out(monkeypatch):
    told = []

    def module(context, *arguments):
        told.extend(arguments)
        return finished('{"equal": true}\n{"left_out": 7}\n')

    monkeypatch.setattr(stages.Context, "module", module)
    found = stages.hash_(context())
    assert found["status"] == "passed"
    assert found["summary"] == "1 of 1 cases equal, 7 left out"
    assert told[-2] == "--seconds"
    assert 0 < context().left() - told[-1] - stages.SECONDS_TO_END < 60


@pytest.mark.parametrize(("seconds", "begun"), [(-1, 1), (0, 1), (2.5, 3), (math.inf, 5)])
def test_cases_begin_in_time(monkeypatch, capsys, seconds, begun):
    """One takes a second here. The first one runs in any case."""
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert list(in_time("abcde", seconds)) == list("abcde"[:begun])
    left = [] if begun == 5 else [f'{{"left_out": {5 - begun}}}']
    assert capsys.readouterr().out.splitlines() == left


CASE = {"n": 10, "points": 500, "queries": 3, "equal": True}
TIMES = {"bytes_per_second": 3e12, "copy_bytes_per_second": 4e12}
TIMES |= {"seconds": 1e-3, "partition_seconds": 8e-3}


@pytest.mark.parametrize(
    ("equal", "returncode", "status"),
    [(True, 0, "passed"), (False, 0, "failed"), (True, None, "failed"), (True, 1, "failed")],
)
def test_judgement_of_the_searches(monkeypatch, equal, returncode, status):
    cases = [CASE, {**CASE, "points": 600, "equal": equal}]
    done = finished("".join(json.dumps(each) + "\n" for each in (*cases, TIMES)), returncode)
    monkeypatch.setattr(stages.Context, "module", lambda *arguments: done)
    found = stages.search(context())
    assert found["status"] == status
    assert (found["cases"], found["times"]) == (cases, [TIMES])
    assert ("not 10 of 600 points for 3 queries" in found["summary"]) == (not equal)
    assert "75% of a copy's bandwidth, 8 times as fast as cupy.partition" in found["summary"]


def test_no_search_at_all_is_no_success(monkeypatch):
    monkeypatch.setattr(stages.Context, "module", lambda *arguments: finished(""))
    assert stages.search(context())["status"] == "failed"


def test_no_hash_at_all_is_no_success(monkeypatch):
    monkeypatch.setattr(stages.Context, "module", lambda *arguments: finished(""))
    assert stages.hash_(context())["status"] == "failed"


# --- stages, with other programs in place of the real ones ------------------------------------


def replace_programs(monkeypatch, answer):
    """Let the stages run ``answer(words)`` in place of programs; what was run is returned."""
    commands = []

    def run(command, seconds, env=None):
        words = [str(word) for word in command]
        commands.append(words)
        return answer(words)

    monkeypatch.setattr(stages, "run", run)
    return commands


@pytest.mark.parametrize(
    ("installs", "usable", "status", "summary"),
    [
        (True, True, "passed", "nvcc 13, gcc 12"),
        (False, True, "failed", "build: exit code 1"),
        (True, None, "failed", "import: exit code 1"),
        (True, False, "failed", "cannot use the GPU: no kernel for it"),
    ],
)
def test_the_build(monkeypatch, installs, usable, status, summary):
    cuda = {"usable": usable, "problem": "no kernel for it", "compiler": "nvcc 13"}
    info = {"cuda": cuda, "compiler": "gcc 12"}

    def answer(words):
        if "pip" in words:
            return finished(PTXAS, 0 if installs else 1)
        return finished(json.dumps(info), 0) if usable is not None else finished("", 1, "no module")

    commands = replace_programs(monkeypatch, answer)
    found = stages.build(context("cuda"))
    assert found["status"] == status
    assert summary in found["summary"]
    assert "--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES=90-real" in commands[0]
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(commands[0])
    if installs:
        assert len(found["kernels"]) == 5


def test_every_test_file_has_its_turn(monkeypatch, tmp_path):
    """Also beside one that hangs."""
    files = {
        "a": "def test_one(): pass\ndef test_other(): assert False",
        "b": "import time\ndef test_hangs(): time.sleep(60)",
        "c": "import pytest\ndef test_one(): pytest.skip('no data')",
    }
    for name, code in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"test_{name}.py").write_text(code)

    def impatient(command, seconds, env):
        return run(command, 0.5 if tmp_path / "b" / "test_b.py" in command else seconds, env)

    monkeypatch.setattr(stages, "run", impatient)
    monkeypatch.setattr(stages, "TESTS", tmp_path)
    monkeypatch.setattr(stages, "FOLDER", tmp_path / "build")
    found = stages.test(context())
    assert found["status"] == "failed"
    assert [found[name] for name in ("passed", "failed", "skipped")] == [1, 1, 1]
    assert found["skip_reasons"] == {"no data": 1}
    assert "look at a/test_a.py, b/test_b.py" in found["summary"]
    a, b, c = found["files"]
    assert a["failures"] == ["test_other"]
    assert "assert False" in a["output"]
    assert "time limit" in b["problem"]
    assert "problem" not in c


def test_on_a_gpu_only_tests_that_use_it_run(monkeypatch, tmp_path):
    code = (
        "import pytest\n@pytest.mark.parametrize('device', {})\ndef test_one(device): pass\n"
        "@pytest.mark.emulated\ndef test_other_of_cuda(): assert False"
    )
    (tmp_path / "test_a.py").write_text(code.format(["cpu-1", "cuda-1", "cupy"]))
    (tmp_path / "test_b.py").write_text(code.format(["cpu"]))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = emulated")
    monkeypatch.setattr(stages, "TESTS", tmp_path)
    monkeypatch.setattr(stages, "FOLDER", tmp_path / "build")
    found = stages.test(context("cuda"))
    assert (found["status"], found["passed"], found["passed_on_cuda"]) == ("passed", 2, 1)


@pytest.mark.parametrize(
    ("broken", "status"), [(None, "passed"), ("racecheck", "failed"), ("planted", "failed")]
)
def test_all_sanitizers_run_on_cases_and_on_a_planted_fault(monkeypatch, broken, status):
    def answer(words):
        planted = "benchmarks.gpu_check.planted" in words
        hits = planted != (broken in words or (broken == "planted" and planted))
        return finished(MANY if hits else CLEAN)

    monkeypatch.setattr(stages, "find_tool", lambda name: "/cuda/compute-sanitizer")
    commands = replace_programs(monkeypatch, answer)
    found = stages.sanitize(context("cuda"))
    assert found["status"] == status
    modules = [f"benchmarks.gpu_check.{name}" for name in ("planted", "small_cases")]
    assert {(words[2], *set(words) & set(modules)) for words in commands} == {
        *itertools.product(stages.SANITIZERS, modules)
    }
    assert all(("--seconds" in words) == (modules[1] in words) for words in commands)
    assert set(found["tools"]) == set(stages.SANITIZERS) == set(planted.FAULTS)
    assert set(stages.SANITIZERS) == {"memcheck", "racecheck", "synccheck", "initcheck"}


KERNEL = {"sweep": "dims", "x": 32, "what": "paper's loss, async", "pairs_per_second": 2e9}
RECORD = {
    "sweeps": {
        "limits": {"memory_bytes_per_second": 4e12},
        "points": [
            {**KERNEL, "bytes_per_second": 1e12},
            {**KERNEL, "x": 100, "bytes_per_second": 3e12},
            {"sweep": "pairs", "x": 1000, "what": "a whole fit", "pairs_per_second": 9e9},
        ],
    },
    "compare": {
        "synthetic": {"ratios": {"paper's loss": {"CML (PyTorch)": {"median": 12.34}}}},
        "begun too late": {},
    },
    "left_out": {"BPR (implicit)": "measured on CPUs only"},
}


def test_judgement_of_times():
    found = stages.judge_times(RECORD)
    assert found == {"status": "passed", "summary": found["summary"], **RECORD}
    assert found["summary"] == (
        "2 measurements of kernels; best: dims 100, paper's loss, async, 2e+09 pairs/s, "
        "75% of a copy's bandwidth; paper's loss: 12.3 times PyTorch; 1 left out"
    )


def test_times_too_short_for_the_clock_are_judged():
    limits = {"memory_bytes_per_second": math.inf}
    found = stages.judge_times({**RECORD, "sweeps": {**RECORD["sweeps"], "limits": limits}})
    assert found["status"] == "passed"
    assert "nan% of a copy's bandwidth" in found["summary"]


@pytest.mark.parametrize(
    "sweeps", [{**RECORD["sweeps"], "limits": None}, {**RECORD["sweeps"], "points": []}]
)
def test_no_time_at_all_is_no_success(sweeps):
    found = stages.judge_times({**RECORD, "sweeps": sweeps})
    assert found["status"] == "failed"
    assert found["left_out"] == RECORD["left_out"]


@pytest.fixture
def folder_of_times(monkeypatch, tmp_path):
    """With what an older check has left there."""
    monkeypatch.setattr(stages, "FOLDER", tmp_path)
    folder = tmp_path / "throughput"
    folder.mkdir()
    (folder / "measured.json").write_text('{"done": {"of an older check": 1}}')
    return folder


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_throughput_benchmark_is_told_to_end_in_time(monkeypatch, folder_of_times, device):
    def answer(words):
        assert not folder_of_times.exists()
        folder_of_times.mkdir()
        Path(words[words.index("--out") + 1]).write_text(json.dumps({**RECORD, "date": "today"}))
        return finished()

    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    commands = replace_programs(monkeypatch, answer)
    assert stages.time_(context(device)) == stages.judge_times(RECORD)
    ((python, _, module, *arguments),) = commands
    assert (python, module) == (sys.executable, "benchmarks.throughput")
    asked = throughput.arguments(arguments)
    assert asked.device == device
    assert asked.work == asked.out.parent == folder_of_times
    assert asked.seconds == 60 - stages.SECONDS_TO_END
    assert (asked.scale < 0.1) == (device == "cpu")  # a rehearsal


@pytest.mark.parametrize(
    ("measured", "returncode", "why"),
    [(2, None, "time limit"), (1, 1, "exit code 1"), (0, -9, "exit code -9")],
)
def test_what_was_timed_is_kept(monkeypatch, folder_of_times, measured, returncode, why):
    """Whether the benchmark hangs or crashes, before its first measurement or later."""
    done = {f"sweeps: dims, {n}": {"pairs_per_second": 1.0} for n in range(measured)}

    def answer(words):
        work = MeasurementStore(folder_of_times, {})
        for name, values in done.items():
            work.once(name, lambda values=values: values)
        return finished(returncode=returncode, stderr="Thread 0x1 (most recent call first):")

    replace_programs(monkeypatch, answer)
    found = stages.time_(context())
    assert found["status"] == "failed"
    assert found["measured"] == done
    assert found["summary"].startswith(f"{measured} measurements; ")
    assert why in found["summary"]
    assert "most recent call" in found["output"]


# --- what runs on the device, on the CPU ------------------------------------------------------


@pytest.mark.parametrize("kind", [*LOSSES, BFLOAT16])
def test_hashes_of_a_case(kind):
    shape = (30, 40, 300)
    found = hashes.compare_devices((kind, shape, 33, 50), "cpu")
    assert found["kind"] == kind
    assert found["equal"]
    assert len(set(found["hashes"].values())) == 1
    expected = {"cpu", "device", "cpu then device", "device then cpu"}
    if kind == BFLOAT16:
        expected = {"cpu", "device", "device again", "device, resumed"}
    assert set(found["hashes"]) == expected
    assert 200 < found["pairs"] <= 300


def test_a_bit_that_differs_shows(monkeypatch):
    real = hashes.train

    def train(likes, *arguments):
        arrays = real(likes, *arguments)
        devices = arguments[3:]
        if len(devices) == 2:
            arrays["items"][5:7, 3] += 0.25
        return arrays

    monkeypatch.setattr(hashes, "train", train)
    found = hashes.compare_devices(("warp", (30, 40, 300), 33, 50), "cpu")
    assert not found["equal"]
    assert set(found["differences"]) == {"cpu then device", "device then cpu"}
    ((name, difference),) = found["differences"]["cpu then device"].items()
    assert name == "items"
    assert difference == {
        "elements": 2,
        "rows": 2,
        "first_row": 5,
        "largest": pytest.approx(0.25, rel=1e-3),
    }


@pytest.mark.parametrize("again", [0.0, 0.25])
def test_with_bfloat16_only_the_device_must_repeat_itself(monkeypatch, again):
    """The tables of the CPU are others, because tensor cores add up in another order."""
    real, calls = hashes.train, []

    def train(likes, kind, n_dims, batch_size, *devices):
        calls.append(devices)
        arrays = real(likes, kind, n_dims, batch_size, *["cpu"] * len(devices))
        if devices[0] == "other":
            arrays["items"] += 0.5 + again * len(calls)
        return arrays

    monkeypatch.setattr(hashes, "train", train)
    found = hashes.compare_devices((BFLOAT16, (30, 40, 300), 33, 50), "other")
    assert found["equal"] == (again == 0)
    assert set(found["differences"]) == {"device", "device again", "device, resumed"}
    assert calls == [("cpu",), ("other",), ("other",), ("other", "other")]


@pytest.mark.parametrize("batch_size", small_cases.BATCH_SIZES)
@pytest.mark.parametrize("kind", [*LOSSES, BFLOAT16])
def test_small_cases_do_something(kind, batch_size):
    found = small_cases.train("cpu", kind, 31, 40, batch_size)
    assert found["kind"] == kind
    assert found["pairs"] > 500
    assert found["active"] > 0.5 * found["pairs"]


def test_every_loss_is_hashed_sanitized_and_timed():
    hashed, sanitized = ({case[0] for case in of.CASES} for of in (hashes, small_cases))
    assert hashed == sanitized == {*LOSSES, BFLOAT16}
    both = {"warp", "softmax", BFLOAT16}  # a kernel of pairs, and two of tiles
    for update in ("async", "sync"):
        batches = {
            BFLOAT16 if "precision" in point.arguments else point.arguments["loss"]
            for point in sweeps.points(QUICK, "cuda", 1.0)
            if point.sweep == "batches" and point.arguments["update"] == update
        }
        assert batches == both
    for dims in (hashes.DIMS, small_cases.DIMS):
        cases = hashes.CASES if dims is hashes.DIMS else small_cases.CASES
        at = 2 if dims is hashes.DIMS else 1
        assert {(case[0], case[at]) for case in cases} >= {*itertools.product(both, dims)}


@pytest.mark.parametrize("problem", ["", "too old"])
def test_bfloat16_is_checked_where_the_gpu_has_it(monkeypatch, problem):
    monkeypatch.setattr(_core, "cuda_bfloat16_problem", lambda: problem, raising=False)
    assert is_there(BFLOAT16, "cuda") == (problem == "")
    assert is_there("softmax", "cuda")
    assert is_there(BFLOAT16, "cpu")


def test_small_cases_have_several_tiles_in_flight():
    # See pairs_in_flight in csrc/cuda/train.cu.
    assert min(small_cases.SHAPE) // 8 >= 2 * small_cases.TILE_SIZE
    assert max(small_cases.BATCH_SIZES) >= 2 * small_cases.TILE_SIZE


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_tests_without_use_for_a_gpu_have_a_mark(request, device):
    assert (request.node.get_closest_marker("emulated") is None) == (device == "cpu")


@pytest.fixture
def emulated_device(emulator, request, monkeypatch):
    assert request.node.get_closest_marker("emulated")
    stand_in_for_cupy.install(monkeypatch)
    monkeypatch.setattr(searches, "copy", lambda *_: 1e9)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_searches_are_compared(emulated_device, device):
    found = searches.compare_with_the_cpu((20, 300, 5, 7, 0.1), device)
    assert found["equal"]
    assert found["different_rows"] == 0
    assert 300 < found["excluded"] < 600


def test_a_search_that_differs_shows(emulated_device, monkeypatch):
    real = searches.nearest_on_cuda

    def find(*arguments):
        rows, distances = real(*arguments)
        rows[3] = rows[3, ::-1]
        return rows, distances

    monkeypatch.setattr(searches, "nearest_on_cuda", find)
    found = searches.compare_with_the_cpu((20, 300, 5, 7, 0.1), "cuda")
    assert not found["equal"]
    assert found["different_rows"] == 1


def test_selections_and_searches_are_timed(emulated_device):
    few, many = searches.time_of_selection(3, 5000, (10, 2000))
    assert (few["selected"], many["selected"]) == (30, 6000)
    assert {*TIMES} <= {*few}
    found = searches.time_of_search(5, 400, 4, 3)
    assert {"queries_per_second", "product_queries_per_second"} <= {*found}


@pytest.mark.parametrize(("n_points", "n"), small_cases.SEARCHES)
def test_small_searches_find_something(emulated_device, n_points, n):
    assert small_cases.search(n_points, n)["found"] > 0.9 * 9 * min(n, 0.9 * n_points)
