"""How many requests a second one core of the server answers, how fast, and in how much memory.

    python -m benchmarks.serving

The model is that of gowalla (40,981 items), trained as for the top-K benchmark, with the index
that `Model.build_index` chooses for a recall of 0.98. `cml_fast.serving.serve` runs in a process of
its own, on one core; wrk (https://github.com/wg/wrk, Debian's package ``wrk``) asks it over the
loopback interface from another one, for users, items and likes drawn at random, ten results each.
Each kind of request is sent over one connection, where the latency is that of an idle server, and
over sixteen, where the server is always busy and requests wait for each other.

"recommend" leaves out what users like in training, "recommend, all items" does not. During
"recommend, reloading" the model is loaded anew every second. Resident memory is that of the server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Model

from ..common import datasets, results_file
from ..common.clock import rate
from ..topk import trained_vectors
from .process import Server

MODULE = "benchmarks.serving"
PACKAGES = ("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools", "faiss-cpu")
DATA, RECALL, N = "gowalla", 0.98, 10
CONNECTIONS = 1, 16
# Bodies as Lua expressions: USER and ITEM stand for random ids.
LIKES = " .. ',' .. ".join(["ITEM"] * 10)
REQUESTS = {
    "recommend": ("/recommend", """'{"users":[' .. USER .. ']}'"""),
    "recommend, all items": (
        "/recommend",
        """'{"users":[' .. USER .. '],"exclude_known":false}'""",
    ),
    "similar": ("/similar", """'{"items":[' .. ITEM .. ']}'"""),
    "fold-in": ("/fold-in", f"""'{{"likes":[' .. {LIKES} .. ']}}'"""),
}
RELOADING = "recommend, reloading"
SCRIPT = """
math.randomseed(1)
local headers = {["content-type"] = "application/json"}
request = function()
  return wrk.format("POST", "%(path)s", headers, %(body)s)
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "max": %%d, "failed": %%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
"""


def prepare(work: Path, folder: Path) -> tuple[Path, Path, Model]:
    """Train and save the model, and the likes of its users, where they are not in ``work``."""
    model_folder, likes_file = work / "model", work / "likes.npz"
    if not (model_folder.exists() and likes_file.exists()):
        vectors = trained_vectors.trained(DATA, "CML", 1.0, folder, work)
        train = trained_vectors.likes(DATA, 1.0, folder).train
        sp.save_npz(likes_file, train)
        counts = np.diff(train.indptr).astype(np.int64)
        popular = np.bincount(train.indices, minlength=train.shape[1])
        model = Model(vectors.users, vectors.items, user_counts=counts, item_counts=popular)
        model.build_index(kind="auto", recall=RECALL, n=N).save(model_folder)
    return model_folder, likes_file, Model.load(model_folder)


def script(path: str, body: str, model: Model) -> str:
    """The Lua program that makes wrk's requests."""
    for name, size in (("USER", len(model.user_ids)), ("ITEM", len(model.item_ids))):
        body = body.replace(name, f"math.random(0, {size - 1})")
    return SCRIPT % {"path": path, "body": body}


def load(server: Server, lua: Path, connections: int, seconds: int, core: int) -> dict[str, Any]:
    """Let wrk ask for so many seconds; what it measured, and the CPU time of the server."""
    before = server.cpu_seconds()
    command = ["taskset", "-c", str(core), "wrk", "--threads", "1", "--timeout", "10s"]
    command += ["--connections", str(connections), "--duration", f"{seconds}s"]
    done = subprocess.run(
        [*command, "--script", str(lua), server.url], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stderr)
    if found["failed"]:
        raise SystemExit(f"{found['failed']} requests failed: {done.stdout}")
    cpu = server.cpu_seconds() - before
    return {
        "requests": found["requests"],
        "requests per second": round(rate(found["requests"], found["microseconds"] / 1e6)),
        "requests per CPU-second of the server": round(rate(found["requests"], cpu)),
        **{f"{name}, ms": found[name] / 1000 for name in ("p50", "p99", "max")},
    }


def measure(
    server: Server, model: Model, work: Path, least: int, seconds: int, core: int
) -> dict[str, Any]:
    """Send all kinds of requests, and then ``least`` more to see whether memory grows."""
    lua = work / "requests.lua"
    results: dict[str, Any] = {}
    first_kb, total = server.resident_kb(), 0
    for name, (path, body) in [*REQUESTS.items(), (RELOADING, REQUESTS["recommend"])]:
        lua.write_text(script(path, body, model))
        for connections in CONNECTIONS:
            stop = threading.Event()
            reloading = threading.Thread(target=reload_every_second, args=(server, stop))
            if name == RELOADING:
                reloading.start()
            found = load(server, lua, connections, seconds, core)
            stop.set()
            total += found["requests"]
            results[f"{name}, {connections} connection{'s' * (connections > 1)}"] = found
            print(name, connections, found, file=sys.stderr, flush=True)
    lua.write_text(script(*REQUESTS["recommend"], model))
    settled_kb, settled = server.resident_kb(), total
    while total - settled < least:
        total += load(server, lua, CONNECTIONS[-1], seconds, core)["requests"]
    memory = {
        "before, MB": round(first_kb / 1000, 1),
        f"after {settled} requests and reloads, MB": round(settled_kb / 1000, 1),
        f"after {total - settled} more, MB": round(server.resident_kb() / 1000, 1),
    }
    print(memory, file=sys.stderr)
    return {"requests": results, "resident memory": memory}


def reload_every_second(server: Server, stop: threading.Event) -> None:
    while not stop.wait(1):
        server.signal(signal.SIGHUP)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--work", type=Path, default=Path("build/serving"))
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--requests", type=int, default=100_000, help="before memory is measured")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed: apt-get install wrk util-linux")
    cores = sorted(os.sched_getaffinity(0))
    args.work.mkdir(parents=True, exist_ok=True)
    model_folder, likes, model = prepare(args.work, args.folder)
    with Server(model_folder, likes, args.work / "server.log", cores[0]) as server:
        found = measure(server, model, args.work, args.requests, args.seconds, cores[-1])
    record = {
        "packages": results_file.versions(PACKAGES),
        "data": {"name": DATA, "users": len(model.user_ids), "items": len(model.item_ids)},
        "index": model.index_info,
        "n": N,
        **found,
    }
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
