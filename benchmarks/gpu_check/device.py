"""Print what CuPy and nvidia-smi say of the first GPU, or why there is none, as JSON.

python -m benchmarks.gpu_check.device
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

SMI_FIELDS = ("driver_version", "memory.total", "clocks.max.sm", "clocks.max.memory", "power.limit")


def nvidia_smi() -> dict[str, str]:
    """Some properties of the first GPU; "problem" alone if there is no answer."""
    if shutil.which("nvidia-smi") is None:
        return {"problem": "nvidia-smi is not installed"}
    command = ["nvidia-smi", f"--query-gpu={','.join(SMI_FIELDS)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return {"problem": "nvidia-smi does not answer"}
    if answer.returncode != 0 or not answer.stdout:
        return {"problem": " ".join((answer.stdout + answer.stderr).split())[:300]}
    values = answer.stdout.splitlines()[0].split(", ")
    return dict(zip(SMI_FIELDS, values, strict=False))


def describe() -> dict[str, Any]:
    """The first GPU; with "problem" if it cannot be used."""
    smi = nvidia_smi()
    try:
        import cupy

        properties = cupy.cuda.runtime.getDeviceProperties(0)
        device = cupy.cuda.Device(0)
        (cupy.zeros(1) + 1).get()  # compiles a kernel and runs it
        return {
            "name": properties["name"].decode(),
            "compute_capability": device.compute_capability,
            "multiprocessors": properties.get("multiProcessorCount"),
            "l2_bytes": properties.get("l2CacheSize"),
            "memory_bytes": properties.get("totalGlobalMem"),
            "driver_cuda": cupy.cuda.runtime.driverGetVersion(),
            "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
            "cupy": cupy.__version__,
            "nvidia_smi": smi,
        }
    except ImportError as error:
        problem = f"CuPy cannot be imported: {error}"
    except Exception as error:  # whatever CuPy and the driver make of a GPU that is not well
        problem = f"CuPy: {type(error).__name__}: {error}"
    if "problem" in smi:
        problem += f"; nvidia-smi: {smi['problem']}"
    return {"problem": problem}


if __name__ == "__main__":
    print(json.dumps(describe()))
