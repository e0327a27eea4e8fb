"""SHA-256 of what synchronous training leaves behind, on the CPU and on a device.

    python -m benchmarks.gpu_check.hashes

Prints one JSON object a case: the hash of all four tables after training on the CPU, on the
device, begun on the CPU and resumed on the device, and the reverse. All must be equal; where one
is not, it says in how many elements and by how much. With products of bfloat16 only trainings on
the device must be equal, and what differs from the CPU is said.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer, _core

from ..common.training_job import FIXED, trained_tables
from .in_time import add_option, in_time
from .kinds import BFLOAT16, arguments_of, is_there

# A kind, (users, items, pairs), and the dimensions and batch sizes that are tried on them.
Case = tuple[str, tuple[int, int, int], int, int]
SMALL, LARGER = (200, 300, 4_000), (3_000, 2_000, 60_000)
DIMS = (1, 31, 33, 100, 128, 256, 300, 1500)
# What tells most comes first, in case the time does not suffice: every loss, then large batches,
# then all sizes of rows, from the usual batches to the smallest.
CASES: list[Case] = list(
    dict.fromkeys(
        [
            *((kind, SMALL, 33, 1000) for kind in (*_core.LOSSES, BFLOAT16)),
            *(
                (kind, LARGER, n_dims, batch_size)
                for n_dims in (100, 128)
                for batch_size in (1024, 16384)
                for kind in ("warp", "softmax", BFLOAT16)
            ),
            *(
                (kind, SMALL, n_dims, batch_size)
                for batch_size in (1000, 2**24, 7)
                for n_dims in DIMS
                for kind in ("warp", "softmax", BFLOAT16)
            ),
        ]
    )
)


class Stop(Exception):
    """Ends a training as a crash would."""


def weighted_likes(shape: tuple[int, int, int]) -> sp.csr_array:
    """Weighted likes, some items much more popular than others."""
    n_users, n_items, n_pairs = shape
    rng = np.random.default_rng(3)
    users = rng.integers(n_users, size=n_pairs)
    items = (n_items * rng.random(n_pairs) ** 2).astype(np.int64)
    pairs = np.unique(users * n_items + items)
    weights = rng.uniform(0.5, 3, len(pairs)).astype(np.float32)
    return sp.csr_array((weights, divmod(pairs, n_items)), shape=(n_users, n_items))


def train(
    likes: sp.csr_array, kind: str, n_dims: int, batch_size: int, *devices: str
) -> dict[str, np.ndarray]:
    """The tables after two epochs; with two devices, resumed on the second one."""
    trainer = Trainer(
        **(FIXED if kind in ("softmax", BFLOAT16) else {}),
        **arguments_of(kind),
        update="sync",
        n_dims=n_dims,
        batch_size=batch_size,
        n_epochs=2,
        device=devices[0],
        random_state=1,
        verbose=False,
    )
    if len(devices) == 1:
        return trained_tables(trainer.fit(likes))

    def stop(_: Trainer, report: Any) -> None:
        if report.epoch == 1:
            raise Stop

    with tempfile.TemporaryDirectory() as folder:
        try:
            trainer.fit(likes, callbacks=[stop], checkpoint=folder, checkpoint_every=0.4)
        except Stop:
            return trained_tables(Trainer.resume(folder, likes, device=devices[1]))
    raise AssertionError("the training was not stopped")


def digest(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()


def differing(arrays: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> dict[str, Any]:
    """Where two sets of tables differ: how many elements and rows, the first row, how much."""
    found = {}
    for name, array in arrays.items():
        differ = array.view(np.int32) != others[name].view(np.int32)
        if differ.any():
            rows = differ.any(axis=1)
            found[name] = {
                "elements": int(differ.sum()),
                "rows": int(rows.sum()),
                "first_row": int(rows.argmax()),
                "largest": float(np.abs(array - others[name]).max()),
            }
    return found


def compare_devices(case: Case, device: str) -> dict[str, Any]:
    """The hashes of a case, and what differs from the CPU's tables."""
    kind, shape, n_dims, batch_size = case
    likes = weighted_likes(shape)
    expected = train(likes, kind, n_dims, batch_size, "cpu")
    hashes, differences = {"cpu": digest(expected)}, {}
    ways = {
        "device": [device],
        "cpu then device": ["cpu", device],
        "device then cpu": [device, "cpu"],
    }
    if kind == BFLOAT16:
        ways = {"device": [device], "device again": [device], "device, resumed": [device, device]}
    for name, devices in ways.items():
        got = train(likes, kind, n_dims, batch_size, *devices)
        hashes[name] = digest(got)
        if hashes[name] != hashes["cpu"]:
            differences[name] = differing(got, expected)
    comparable = [name for name in hashes if kind != BFLOAT16 or name != "cpu"]
    return {
        "kind": kind,
        "n_users": shape[0],
        "n_items": shape[1],
        "pairs": likes.nnz,
        "n_dims": n_dims,
        "batch_size": batch_size,
        "equal": len({hashes[name] for name in comparable}) == 1,
        "hashes": hashes,
        "differences": differences,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    add_option(parser)
    args = parser.parse_args()
    cases = [case for case in CASES if is_there(case[0], args.device)]
    for case in in_time(cases, args.seconds):
        print(json.dumps(compare_devices(case, args.device)), flush=True)


if __name__ == "__main__":
    main()
