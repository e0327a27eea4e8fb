"""What benchmarks.gpu_model predicts for this GPU, beside what was measured.

    python -m benchmarks.gpu_check.predictions FILE

FILE has what __main__.py knows. Prints one JSON object for each speed that was measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.training_job import settings_of
from ..gpu_model import host, model
from ..gpu_model.machines import LANES, Machine, most_like
from ..gpu_model.registers import of_report

FACTOR = 2.0  # by which the two part
MAX_FIXED_CHUNKS = 8  # longer rows have one kernel, whose "chunks" are 0


def this_machine(device: Mapping[str, Any], limits: Mapping[str, float]) -> Machine:
    """The machine of the model that is most like this device, with what is known of this one."""
    like = most_like(device["compute_capability"])
    known: dict[str, Any] = {"name": device["name"]}
    known["memory_bytes_per_second"] = limits["memory_bytes_per_second"]
    known["l2_bytes_per_second"] = limits["cache_bytes_per_second"]
    for name, key in (("multiprocessors", "multiprocessors"), ("l2_bytes", "l2_bytes")):
        if device.get(key):
            known[name] = device[key]
    return dataclasses.replace(like, **known)


def beside(
    device: Mapping[str, Any],
    kernels: Sequence[Mapping[str, Any]],
    sweeps: Mapping[str, Any],
    launches: Callable[..., Any] = host.launches,
) -> list[dict[str, Any]]:
    """Each measured speed of the kernels with the predicted one, as far as the model goes.

    ``kernels`` are those of ``ptxas_report``; ``launches`` is that of gpu_model/host.py.
    """
    machine = this_machine(device, sweeps["limits"])
    found = []
    for point in sweeps["points"]:
        if "arguments" not in point:
            continue  # a whole fit
        shape, n_pairs = tuple(point["shape"]), point["n_pairs"]
        settings = settings_of(shape, n_pairs, **point["arguments"])
        chunks = math.ceil(settings.n_dims / LANES)
        registers = of_report(kernels, chunks if chunks <= MAX_FIXED_CHUNKS else 0)
        if not registers:
            continue  # they were compiled before, so that ptxas said nothing
        predicted = model.predict(machine, settings, shape, n_pairs, registers, launches)
        found.append(
            {
                **{key: point[key] for key in ("sweep", "x", "what")},
                "measured": point["pairs_per_second"],
                "predicted": predicted.pairs_per_second,
                "bound": predicted.bound,
                "blocks": predicted.blocks,
            }
        )
    return found


def line(each: Mapping[str, Any]) -> str:
    """For the terminal. Where the two part, it says so."""
    ratio = each["measured"] / each["predicted"]
    text = "{sweep:10}{x:>10,}  {what:24}".format(**each)
    text += f"{each['measured'] / 1e6:9.3g} measured,{each['predicted'] / 1e6:9.3g} predicted"
    if not 1 / FACTOR <= ratio <= FACTOR:
        text += f"  <- {ratio:.2g} times; the model: {each['bound']}, {each['blocks']} blocks"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    given = json.loads(parser.parse_args().file.read_text())
    with tempfile.TemporaryDirectory() as folder:
        host.build(Path(folder))
        for each in beside(given["device"], given["kernels"], given["sweeps"]):
            print(json.dumps({**each, "line": line(each)}))


if __name__ == "__main__":
    main()
