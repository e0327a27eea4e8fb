"""The stages of the check. Each returns what is recorded: "status", "summary" and details.

A stage runs programs until its deadline, in this order: build, test, hash, search, sanitize, time.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..common.clock import ratio
from .environment import FOLDER, SITE, environment, find_tool
from .process import ROOT, Finished, run

PYTHON = sys.executable
TESTS = ROOT / "tests"
SECONDS_TO_END = 20  # a measurement or a case that has begun
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
# Test modules that take longest and use the GPU most.
FIRST = (
    *("checkpoint", "kernel", "large_counts", "learning", "non_finite", "select", "step", "sync"),
    *("tile", "trainer_features"),
)
NO_TESTS = 5  # pytest's exit code where none of a file is chosen


@dataclass(frozen=True)
class Context:
    """What the stages need to know. The device "cpu" is for rehearsals without a GPU."""

    device: str
    architecture: str  # its compute capability, as "90"
    deadline: float  # of time.monotonic()
    cores: int

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def seconds_to_begin(self) -> float:
        """How long cases may begin."""
        return self.left() - SECONDS_TO_END

    def module(self, name: str, *arguments: object) -> Finished:
        command = [PYTHON, "-m", f"benchmarks.gpu_check.{name}", *arguments]
        return run(command, self.left(), environment())


def failed(summary: str, **details: Any) -> dict[str, Any]:
    return {"status": "failed", "summary": summary, **details}


def passed(summary: str, **details: Any) -> dict[str, Any]:
    return {"status": "passed", "summary": summary, **details}


def skipped(summary: str) -> dict[str, Any]:
    return {"status": "skipped", "summary": summary}


# --- build ------------------------------------------------------------------------------------


def build(context: Context) -> dict[str, Any]:
    """Build the package for this GPU alone, without the network, and ask it whether CUDA works.

    In a rehearsal it is built without CUDA.
    """
    options = {"build-dir": FOLDER / "cmake", "cmake.define.CML_CUDA": "OFF"}
    if context.device == "cuda":
        options["cmake.define.CML_CUDA"] = "ON"
        options["cmake.define.CMAKE_CUDA_ARCHITECTURES"] = f"{context.architecture}-real"
    command = [PYTHON, "-m", "pip", "install", "--verbose", "--disable-pip-version-check"]
    command += ["--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir"]
    command += ["--upgrade", "--target", str(SITE)]
    command += [f"--config-settings={name}={value}" for name, value in options.items()]
    variables = {**environment(), "CMAKE_BUILD_PARALLEL_LEVEL": str(context.cores)}
    done = run([*command, ROOT], context.left(), variables)
    if done.problem:
        return failed(f"build: {done.problem}", output=done.tail())
    code = "import json, cml_fast; print(json.dumps(cml_fast.build_info()))"
    asked = run([PYTHON, "-c", code], context.left(), environment())
    info = next(iter(asked.records()), {})
    details = {"build_info": info, "kernels": ptxas_report(done.stdout + done.stderr)}
    if asked.problem:
        return failed(f"import: {asked.problem}", output=asked.tail(), **details)
    if context.device == "cuda" and not info["cuda"]["usable"]:
        return failed(f"the package cannot use the GPU: {info['cuda']['problem']}", **details)
    return passed(f"{info['cuda']['compiler'] or 'without CUDA'}, {info['compiler']}", **details)


def ptxas_report(output: str) -> list[dict[str, Any]]:
    """Registers and spilled bytes of each kernel that was compiled (none, if it was before)."""
    pattern = (
        r"Compiling entry function '\w*?(async|sync|project|accumulate|apply|step|select)_kernel"
        r"(?:I(?:NS0_\d+([A-Z][a-z]+)Worker)?\w*?Li(\d+)E(?:Lb([01])E)?)?.*?"
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
        r"Used (\d+) registers"
    )
    return [
        {
            "kernel": found[1],
            # "Pair", "Tile" or "Tile, bfloat16"; None where the loss does not matter
            "worker": f"{found[2]}, bfloat16" if found[4] == "1" else found[2],
            "chunks": int(found[3] or 0),  # 0: rows of any length
            "registers": int(found[8]),
            "stack_bytes": int(found[5]),
            "spilled_bytes": int(found[6]) + int(found[7]),
        }
        for found in re.finditer(pattern, output, re.DOTALL)
    ]


# --- test -------------------------------------------------------------------------------------


def test(context: Context) -> dict[str, Any]:
    """Run the tests that use the GPU, one process a file, several at a time.

    In a rehearsal, all but those of the emulated device.
    """
    variables = environment(TESTS)
    chosen = ["-m", "not emulated"]
    if context.device == "cuda":
        chosen += ["-k", "cuda or cupy"]  # the parameters of their fixtures
    files = sorted(TESTS.rglob("test_*.py"), key=lambda path: (path.stem[5:] not in FIRST, path))

    def run_file(path: Path) -> dict[str, Any]:
        report = FOLDER / "reports" / f"{path.stem}.xml"
        report.unlink(missing_ok=True)
        command = [PYTHON, "-m", "pytest", "-v", "-p", "no:cacheprovider", *chosen, path]
        command += [f"--junitxml={report}", f"--basetemp={FOLDER / 'tmp' / path.stem}"]
        done = run(command, context.left(), variables)
        if done.returncode == NO_TESTS:
            done = replace(done, returncode=0)
        found = {"file": str(path.relative_to(TESTS)), "seconds": done.seconds, **outcomes(report)}
        if done.problem:
            found |= {"problem": done.problem, "output": done.tail()}
        return found

    with ThreadPoolExecutor(max(1, context.cores // 2)) as pool:
        results = list(pool.map(run_file, files))
    return judge_tests(results, context.device)


def outcomes(report: Path) -> dict[str, Any]:
    """Counts, failures and reasons of skips in a JUnit report; empty if there is none.

    Tests that use the GPU have a fixture with the parameter "cuda" for it, see conftest.py.
    """
    counts = dict.fromkeys(("passed", "failed", "skipped", "passed_on_cuda"), 0)
    failures, reasons = [], Counter[str]()
    cases = ET.parse(report).iter("testcase") if report.is_file() else ()
    for case in cases:
        name = case.get("name", "")
        if (skip := case.find("skipped")) is not None:
            counts["skipped"] += 1
            reasons[skip.get("message", "")] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
            failures.append(name)
        else:
            counts["passed"] += 1
            counts["passed_on_cuda"] += bool(re.search(r"[\[-]cuda[\]-]", name))
    return {**counts, "failures": failures, "skip_reasons": dict(reasons)}


def judge_tests(results: list[dict[str, Any]], device: str) -> dict[str, Any]:
    total = {
        name: sum(result[name] for result in results)
        for name in ("passed", "failed", "skipped", "passed_on_cuda")
    }
    reasons = sum((Counter(result["skip_reasons"]) for result in results), Counter[str]())
    broken = [result["file"] for result in results if "problem" in result]
    summary = "{passed} passed ({passed_on_cuda} on cuda), {failed} failed, {skipped} skipped"
    details = {**total, "skip_reasons": dict(reasons), "files": results}
    judge = passed
    if broken:
        judge = failed
        summary += f"; look at {', '.join(broken)}"
    elif device == "cuda" and not total["passed_on_cuda"]:
        judge = failed
        summary += ": none has used the GPU"
    return judge(summary.format(**total), **details)


# --- hash -------------------------------------------------------------------------------------


def hash_(context: Context) -> dict[str, Any]:
    """Synchronous training leaves the same bits on the device as on the CPU, see hashes.py."""
    seconds = context.seconds_to_begin()
    done = context.module("hashes", "--device", context.device, "--seconds", seconds)
    cases = [record for record in done.records() if "equal" in record]
    different = [case for case in cases if not case["equal"]]
    summary = f"{len(cases) - len(different)} of {len(cases)} cases equal{left_out(done)}"
    if different:
        first = different[0]
        summary += "; not {kind}, {n_dims} dimensions, batches of {batch_size}".format(**first)
    if done.problem:
        return failed(f"{summary}; {done.problem}", output=done.tail(), cases=cases)
    return (passed if cases and not different else failed)(summary, cases=cases)


def left_out(done: Finished) -> str:
    """What in_time.py says, for a summary."""
    number = sum(record.get("left_out", 0) for record in done.records())
    return f", {number} left out" if number else ""


# --- search -----------------------------------------------------------------------------------


def search(context: Context) -> dict[str, Any]:
    """Exact search finds the same on the device as on the CPU; how fast it is."""
    done = context.module("searches", "--device", context.device)
    records = done.records()
    cases = [record for record in records if "equal" in record]
    times = [record for record in records if "equal" not in record]
    different = [case for case in cases if not case["equal"]]
    summary = f"{len(cases) - len(different)} of {len(cases)} searches equal"
    if different:
        summary += "; not {n} of {points} points for {queries} queries".format(**different[0])
    for record in times[:1]:  # of the kernel, for the smallest n
        share = ratio(record["bytes_per_second"], record["copy_bytes_per_second"])
        faster = ratio(record["partition_seconds"], record["seconds"])
        summary += f"; selection at {share:.0%} of a copy's bandwidth, "
        summary += f"{faster:.3g} times as fast as cupy.partition"
    details = {"cases": cases, "times": times}
    if done.problem:
        return failed(f"{summary}; {done.problem}", output=done.tail(), **details)
    return (passed if cases and not different else failed)(summary, **details)


# --- sanitize ---------------------------------------------------------------------------------


def sanitize(context: Context) -> dict[str, Any]:
    """Every tool of compute-sanitizer on small cases, and on a planted fault that it must see."""
    if context.device != "cuda":
        return skipped("compute-sanitizer needs a GPU")
    program = find_tool("compute-sanitizer")
    if program is None:
        return skipped("compute-sanitizer is not installed")

    def under(tool: str, module: str, *arguments: str) -> Finished:
        command: list[object] = [program, "--tool", tool, "--print-limit", 10]
        # CuPy handles failing calls of the CUDA API itself; our code raises an exception.
        command += ["--report-api-errors", "no"]
        command += [PYTHON, "-m", f"benchmarks.gpu_check.{module}", *arguments]
        return run(command, context.left(), environment())

    with ThreadPoolExecutor(max(2, context.cores // 2)) as pool:
        planted = {tool: pool.submit(under, tool, "planted", tool) for tool in SANITIZERS}
        seconds = str(context.seconds_to_begin())
        cases = {
            tool: pool.submit(under, tool, "small_cases", "--seconds", seconds)
            for tool in SANITIZERS
        }
    tools = {
        tool: judge_sanitizer(cases[tool].result(), planted[tool].result()) for tool in SANITIZERS
    }
    summary = ", ".join(f"{tool}: {found['summary']}" for tool, found in tools.items())
    status = worst(found["status"] for found in tools.values())
    return {"status": status, "summary": summary, "tools": tools}


def judge_sanitizer(cases: Finished, planted: Finished) -> dict[str, Any]:
    """What one tool found in the small cases; nothing counts if it missed the planted fault."""
    if "Device not supported" in cases.stdout + cases.stderr:
        return skipped("the tool does not support this device")
    errors, seen = (sanitizer_errors(done.stdout + done.stderr) for done in (cases, planted))
    details = {"errors": errors, "errors_of_planted_fault": seen, "seconds": cases.seconds}
    if errors:
        return failed(f"{errors} errors", output=cases.tail(), **details)
    if cases.problem or errors is None or not cases.records():
        why = cases.problem or ("no summary" if errors is None else "no case ran")
        return failed(why, output=cases.tail(), **details)
    if not seen:
        return failed("did not see the planted fault", output=planted.tail(), **details)
    return passed(f"clean{left_out(cases)}", **details)


def sanitizer_errors(output: str) -> int | None:
    """Errors, of racecheck hazards, that compute-sanitizer counted; None if it did not finish."""
    found = re.search(r"ERROR SUMMARY: (\d+) errors?|RACECHECK SUMMARY: (\d+) hazards?", output)
    return int(found[1] or found[2]) if found else None


def worst(statuses: Iterable[str]) -> str:
    return max(statuses, key=("passed", "skipped", "failed").index)


# --- time -------------------------------------------------------------------------------------


def time_(context: Context) -> dict[str, Any]:
    """``benchmarks.throughput``: our kernels against the limits of this GPU, then PyTorch.

    It begins nothing that it may not end in time. If it hangs, what it had measured is recorded.
    """
    work = FOLDER / "throughput"
    shutil.rmtree(work, ignore_errors=True)
    result = work / "result.json"
    command: list[object] = [PYTHON, "-m", "benchmarks.throughput", "--device", context.device]
    command += ["--quick", "--data", "synthetic", "--parts", "sweeps", "compare"]
    command += ["--work", work, "--out", result, "--seconds", context.seconds_to_begin()]
    if context.device == "cpu":
        command += ["--scale", 0.005]
    done = run(command, context.left(), environment())
    if done.problem:
        kept = work / "measured.json"
        measured = json.loads(kept.read_text())["done"] if kept.exists() else {}
        summary = f"{len(measured)} measurements; {done.problem}"
        return failed(summary, output=done.tail(), measured=measured)
    record = json.loads(result.read_text())
    return judge_times({name: record[name] for name in ("sweeps", "compare", "left_out")})


def judge_times(record: dict[str, Any]) -> dict[str, Any]:
    """Something must have been measured; what was too much is told."""
    points = [point for point in record["sweeps"]["points"] if "bytes_per_second" in point]
    limits = record["sweeps"]["limits"]
    if not points or limits is None:
        return failed("nothing was measured", **record)
    best = max(points, key=lambda point: point["bytes_per_second"])
    share = ratio(best["bytes_per_second"], limits["memory_bytes_per_second"])
    summary = (
        f"{len(points)} measurements of kernels; best: {best['sweep']} {best['x']}, "
        f"{best['what']}, "
        f"{best['pairs_per_second']:.3g} pairs/s, {share:.0%} of a copy's bandwidth"
    )
    for found in record["compare"].values():
        for one, ratios in found.get("ratios", {}).items():
            if "CML (PyTorch)" in ratios:
                summary += f"; {one}: {ratios['CML (PyTorch)']['median']:.3g} times PyTorch"
    return passed(f"{summary}; {len(record['left_out'])} left out", **record)
