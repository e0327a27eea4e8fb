"""The server that is measured: a process on one core, and what the system says of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import sys
from cml_fast.serving import serve
serve(sys.argv[1], port=0, exclude=sys.argv[2:])
"""
SECONDS_TO_START = 60
# BLAS and OpenMP would else start threads for the cores that the process may not use.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Server:
    """A running server; a context manager that stops it."""

    def __init__(self, model: Path, likes: Path, log: Path, core: int) -> None:
        command = [
            "taskset",
            "-c",
            str(core),
            sys.executable,
            "-c",
            PROGRAM,
            str(model),
            str(likes),
        ]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(command, stderr=stderr, env=os.environ | ONE_THREAD)
        self.url = self._wait_for_the_address(log)

    def _wait_for_the_address(self, log: Path) -> str:
        for _ in range(SECONDS_TO_START * 10):
            found = re.search(r"at (http://\S+)", text := log.read_text())
            if found and "startup complete" in text:
                return found[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        self.stop()
        raise SystemExit(f"the server did not start: {log.read_text()}")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def cpu_seconds(self) -> float:
        """CPU time so far, of the program and of the kernel for it."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kb(self) -> int:
        """Resident memory in units of 1,000 bytes, as the kernel reports it in KiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return round(int(found[1]) * 1.024)
