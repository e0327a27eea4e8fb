"""Gives changed files to every reader, guided by the code that they reach.

``python -m tests.faults.fuzz`` (`make fuzz`) divides a million inputs among the targets of
`fuzz_readers` and `fuzz_models`. Every input ends as its target allows, or it is kept in a file,
the rest of its target is left out, and the exit code is 1. ``--only NAME --input FILE`` runs it
again.

Atheris (libFuzzer) changes the files; it sees the branches of this package, not those of the
libraries that it calls. Each target is a fork of one process, so that a crash ends only that.
As many run at a time as there are cores.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import os
import pkgutil
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

try:
    import atheris
except ImportError:
    print("skipped: Atheris is not installed, which has wheels for Python 3.11 to 3.13 only")
    sys.exit(bool(os.environ.get("CI")))

from .target import Target

# An input takes milliseconds. One that takes so many seconds hangs.
PATIENCE = 60
# What a target may take besides what the process has, for inputs of a few kB.
MOST_BYTES = 1 << 30
MOST_INPUT_BYTES = 1 << 14
# Where files are read.
READING = ("data", "_persistence", "_search", "_compute", "_training", "_cli")


def import_instrumented() -> None:
    """Import the package such that the fuzzer sees which branches are taken."""
    with (
        contextlib.redirect_stderr(io.StringIO()),  # a line for each module
        atheris.instrument_imports(include=["cml_fast"]),
    ):
        for name in READING:
            package = importlib.import_module(f"cml_fast.{name}")
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)


def start(target: Target, n_inputs: int, found: Path, folder: Path) -> int:
    """Begin to run a target in a process of its own, and return its number.

    Its exit code is 0 if all was as it should be. Bad inputs and a log go to the folder ``found``;
    ``folder`` is for all else.
    """
    child = os.fork()
    if child == 0:
        with log_of(target, found).open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            _fuzz_here(target, n_inputs, found, folder)
        os._exit(1)  # not reached
    return child


def fuzz(
    targets: Sequence[Target], n_inputs: int, n_processes: int, found: Path, folder: Path
) -> list[str]:
    """Run each target with so many inputs, print a line for each, and return those that failed."""
    waiting, failed = list(reversed(targets)), []
    running: dict[int, tuple[Target, float]] = {}
    while waiting or running:
        while waiting and len(running) < n_processes:
            target = waiting.pop()
            child = start(target, n_inputs, found, folder / target.name)
            running[child] = target, time.perf_counter()
        child, status = os.wait()
        target, begun = running.pop(child)
        is_good = os.waitstatus_to_exitcode(status) == 0
        log = log_of(target, found)
        seconds = time.perf_counter() - begun
        print(f"{target.name:<28} {n_inputs:>9,} {seconds:7.1f} s", "" if is_good else log)
        if not is_good:
            failed.append(target.name)
            print("".join(log.read_text(errors="replace").splitlines(True)[-30:]))
        sys.stdout.flush()
    return failed


def log_of(target: Target, found: Path) -> Path:
    """Return where the log of a target is."""
    return found / f"{target.name}.log"


def _fuzz_here(target: Target, n_inputs: int, found: Path, folder: Path) -> None:
    seeds = folder / "seeds"
    seeds.mkdir(parents=True)
    for at, seed in enumerate(target.seeds):
        (seeds / str(at)).write_bytes(seed)
    words = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in target.words]
    (folder / "words").write_text("\n".join(words))
    os.chdir(folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    options = [
        f"-max_len={max(MOST_INPUT_BYTES, *map(len, target.seeds))}",
        f"-artifact_prefix={found}/{target.name}-",  # of crashes; `_guarded` writes the others
        "-timeout=0",  # `_guarded` has its own, which ends native code as well
        f"-dict={folder}/words",
        "-rss_limit_mb=0",  # the limit of the address space is stricter
        "-seed=1",
        "-len_control=0",
    ]
    atheris.Setup(["fuzz", *options, str(seeds)], _guarded(target, n_inputs, found))
    atheris.Fuzz()


def _guarded(target: Target, n_inputs: int, found: Path) -> Callable[[bytes], None]:
    """Return a function that ends the process after so many inputs, or a bad one.

    The fuzzer would end it by exit() while it holds the lock of the interpreter, for which threads
    of Arrow may wait, and the process for them.
    """
    numbers = iter(range(1, n_inputs))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def run(data: bytes) -> None:
        signal.alarm(PATIENCE)
        try:
            target.run(data)
        except BaseException:
            name = f"{target.name}-{hashlib.sha256(data).hexdigest()[:16]}"
            (found / name).write_bytes(data)
            traceback.print_exc()
            print(f"the input is in {found / name}", file=sys.stderr, flush=True)
            os._exit(1)
        signal.alarm(0)
        if next(numbers, None) is None:
            os._exit(0)

    return run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at a time")
    parser.add_argument("--only", default="", help="targets whose name has this in it")
    parser.add_argument("--input", type=Path, help="give this one file to the target, and exit")
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"), help="for bad inputs")
    return parser.parse_args()


def main() -> int:
    """Fuzz all targets, print a line for each, and return the exit code."""
    given = _arguments()
    import_instrumented()
    from . import fuzz_models, fuzz_readers  # which use what was instrumented

    # No TemporaryDirectory, which the children would remove when they end.
    folder = tempfile.mkdtemp()
    try:
        targets = [*fuzz_readers.targets(), *fuzz_models.targets(Path(folder))]
        targets = [target for target in targets if given.only in target.name]
        if given.input is not None:
            targets[0].run(given.input.read_bytes())
            return 0
        found = given.found.absolute()
        found.mkdir(parents=True, exist_ok=True)
        each = -(-given.inputs // len(targets))
        failed = fuzz(targets, each, given.processes, found, Path(folder, "fuzzed"))
    finally:
        shutil.rmtree(folder)
    print(f"{each * len(targets):,} inputs of {len(targets)} targets, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
