"""What a map of the learned space costs, and how well it keeps neighbours.

    python -m benchmarks.studies.maps --work build/maps

Two sets of items: gowalla's, from a model that is trained as in `benchmarks.topk`, and made-up
points. Of each, `Model.map` writes pages by t-SNE and by PCA, in a process of its own, which tells
its peak memory. `kept` is the share of the 10 nearest items in the learned space that are among the
30 nearest in the plane, of a sample of items. The page is then opened in headless Chromium.
`benchmarks.studies.map_frames` tells how smoothly it moves.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from cml_fast import Model
from cml_fast._map.payload import decode
from cml_fast._search.exact import nearest, self_mask

from ..common import chromium, datasets, results_file
from ..topk import trained_vectors

MODULE = "benchmarks.studies.maps"
METHODS = ("tsne", "pca")
N_MADE_UP, N_DIMS, N_USERS = 300_000, 50, 20_000
# Of the made-up points: how many groups there are at each level, and how far apart these are.
LEVELS, NOISE = ((64, 1.0), (1_000, 0.6), (16_000, 0.25)), 0.4
NEAR, AMONG, SAMPLE = 10, 30, 2_000


def model_of(data: str, args: argparse.Namespace) -> Model:
    """The model of a set of items; trained models are kept in the work folder."""
    if data == "gowalla":
        train = trained_vectors.likes("gowalla", 1.0, args.folder).train
        found = trained_vectors.trained("gowalla", "CML", 1.0, args.folder, args.work)
        counts = {
            "user_counts": np.diff(train.indptr),
            "item_counts": np.bincount(train.indices, minlength=train.shape[1]),
        }
        return Model(found.users, found.items, **counts)
    rng = np.random.default_rng(0)
    points = nested(args.made_up + N_USERS, rng)
    return Model(points[:N_USERS], points[N_USERS:])


def nested(n: int, rng: np.random.Generator) -> np.ndarray:
    """Points in groups within groups: in a cloud without these there are no neighbours to keep."""
    points = np.zeros((n, N_DIMS), dtype=np.float32)
    for n_groups, spread in LEVELS:
        centres = spread * rng.standard_normal((n_groups, N_DIMS), dtype=np.float32)
        points += centres[np.arange(n) * n_groups // n]
    points += NOISE * rng.standard_normal(points.shape, dtype=np.float32)
    return rng.permutation(points)


def build(folder: Path, method: str, page: Path) -> None:
    """Write a page, and print what it took: the work of a process of its own."""
    model = Model.load(folder)
    before = time.perf_counter(), time.process_time()
    written = model.map(page, method=method, overwrite=True, progress=True)
    took = {
        "seconds": round(time.perf_counter() - before[0], 1),
        "CPU-seconds": round(time.process_time() - before[1], 1),
        "peak memory in MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        "file in MB": round(written["bytes"] / 1e6, 1),
        "settings": written["settings"],
    }
    print(json.dumps(took))


def kept(model: Model, page: Path) -> float:
    """The share of the nearest items in the space that are near on the map as well."""
    text = re.search(r'id="data">([^<]*)<', page.read_text())
    assert text is not None
    header, arrays = decode(text[1])
    points = arrays["points"].reshape(-1, 2).astype(np.float32)
    rows = np.sort(np.random.default_rng(0).choice(len(points), SAMPLE, replace=False))
    near = arrays["nearest"].reshape(-1, header["nearest"])[rows, :NEAR]
    on_map, _ = nearest(points[rows], points, AMONG, self_mask(rows, len(points)))
    return float(np.mean((near[:, :, None] == on_map[:, None, :]).any(axis=2)))


def memory_of(pid: int) -> int:
    """Bytes of a process and all that it has started; shared pages are shared out."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")  # a thread of it may have started them
    children = [child for task in tasks for child in task.read_text().split()]
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = int(re.search(r"^Pss: +(\d+)", rollup, re.M)[1]) * 1024  # type: ignore[index]
    return own + sum(memory_of(int(child)) for child in children)


def looked_at(page: Path, picture: Path) -> dict[str, Any]:
    """Open a page."""
    with chromium.browser() as driver:
        start = time.perf_counter()
        chromium.open_map(driver, page)
        opened = time.perf_counter() - start
        time.sleep(1)
        driver.save_screenshot(str(picture))
        memory = memory_of(driver.service.process.pid)
        return {
            "seconds to open": round(opened, 1),
            "memory of the browser in MB": round(memory / 1e6),
            "messages": len(chromium.messages(driver)),
        }


def measure(data: str, args: argparse.Namespace) -> dict[str, Any]:
    model = model_of(data, args)
    folder = args.work / f"{data} model"
    model.save(folder)
    result: dict[str, Any] = {"items": len(model.item_vectors), "dims": model.item_vectors.shape[1]}
    for method in METHODS:
        page = args.work / f"{data}-{method}.html"
        command = [sys.executable, "-m", MODULE, "--build", str(folder), method, str(page)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        result[method] = {**json.loads(printed), "kept": round(kept(model, page), 3)}
        if method == "tsne":
            result["browser"] = looked_at(page, args.work / f"{data}.png")
        print(data, method, result[method], result.get("browser"), file=sys.stderr, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--work", type=Path, default=Path("build/maps"))
    parser.add_argument("--data", nargs="+", default=["gowalla", "made-up"])
    parser.add_argument("--made-up", type=int, default=N_MADE_UP, help="how many made-up items")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--build", nargs=3, metavar=("MODEL", "METHOD", "PAGE"))
    args = parser.parse_args()
    if args.build:
        folder, method, page = args.build
        build(Path(folder), method, Path(page))
        return
    reason = chromium.missing()
    if reason:
        raise SystemExit(reason)
    args.work.mkdir(parents=True, exist_ok=True)
    details = {
        "versions": results_file.versions(("numpy", "openTSNE", "selenium")),
        "kept": f"share of the {NEAR} nearest in the space among the {AMONG} nearest on the map",
        "results": {data: measure(data, args) for data in args.data},
    }
    print(f"written: {results_file.write(MODULE, details, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
