"""Files that somebody has changed, with checksums that fit: usable, or an error that names them."""

import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from support.trainers import trainer

from cml_fast import Model, Trainer
from cml_fast._persistence import folder as folders
from cml_fast._search.index import KINDS, describe_index, load_index
from cml_fast.data import split, synthetic
from cml_fast.errors import DataError, ModelError

TRAIN, VALIDATION = split(synthetic(40, 30, 300).interactions, (0.8, 0.2))
FEATURES = np.eye(TRAIN.matrix.shape[1], 6, dtype=np.float32)
JUNK = (
    *(None, True, False, 0, 1, -1, 2**63, 2**70, 10**400, 1.5, -0.0, 1e308),
    *(float("nan"), float("inf"), "", "x", "users", "\ud800", "../x.json"),
    *([], [1], ["users"], [[]], {}, {"a": 1}),
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A checkpoint, and a model, with all the files that they can have."""
    folder = tmp_path_factory.mktemp("originals")
    data = {"validation": VALIDATION, "item_features": FEATURES}
    fitted = trainer(n_epochs=2).fit(TRAIN, checkpoint=folder / "checkpoint", **data)
    fitted.model_.build_index("exact").save(folder / "model")
    return folder


def places(value, place=()):
    """All places in a JSON value, as the keys that lead there."""
    yield place
    entries = value.items() if isinstance(value, dict) else ()
    entries = enumerate(value) if isinstance(value, list) else entries
    for key, entry in entries:
        yield from places(entry, (*place, key))


def mutated(value, rng):
    """A JSON value in which something is junk, gone, doubled or has another name."""
    value = copy.deepcopy(value)
    *way, last = rng.choice([place for place in places(value) if place] or [(None,)])
    if last is None:
        return rng.choice(JUNK)
    owner = value
    for key in way:
        owner = owner[key]
    change = rng.choice(["junk", "junk", "gone", "move"])
    if change == "junk":
        owner[last] = rng.choice(JUNK)
    elif change == "gone":
        del owner[last]
    elif isinstance(owner, dict):
        owner[rng.choice(["x", "users", "items"])] = owner.pop(last)
    else:
        owner.append(owner[last])
    return value


def mutated_bytes(content, rng):
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content))
        content[at : at + rng.choice([1, 4, 8])] = rng.randbytes(rng.choice([1, 4, 8]))
    return bytes(content[: rng.choice([len(content)] * 3 + [rng.randrange(len(content))])])


def mutated_safetensors(content, rng):
    """Changed bytes, or a changed header, which is JSON after its length."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if rng.random() < 0.3:
        return mutated_bytes(content, rng)
    if rng.random() < 0.5:
        name = rng.choice([name for name in header if name != "__metadata__"])
        header[name]["dtype"] = rng.choice(
            ["F64", "F16", "BF16", "F8_E4M3", "I32", "BOOL", "U64", "C64", "F4", "X", ""]
        )
    else:
        header = mutated(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def forge(folder, kind, rng):
    """Change the manifest or a file of a folder, and make all checksums fit."""
    path = folder / f"{kind}.json"
    manifest = json.loads(path.read_text())
    name = rng.choice([None, *manifest["files"]])
    if name is None:
        part = rng.choice(["info", "info", "info", "files"])
        for _ in range(rng.choice([1, 1, 2])):
            manifest[part] = mutated(manifest[part], rng)
    else:
        (old,) = folder.glob(f"{name.split('.')[0]}-*")
        content = old.read_bytes()
        if name.endswith("safetensors"):
            content = mutated_safetensors(content, rng)
        elif name.endswith("json") and rng.random() < 0.7:
            content = json.dumps(mutated(json.loads(content), rng)).encode()
        else:
            content = mutated_bytes(content, rng) if content else b"x"
        digest = hashlib.sha256(content).hexdigest()
        old.unlink()
        (folder / folders._data_name(folder, name, digest)).write_bytes(content)
        manifest["files"][name] = {"bytes": len(content), "sha256": digest}
    body = {key: manifest[key] for key in ("kind", "info", "files")}
    manifest["checksum"] = folders._checksum(body)
    path.write_text(json.dumps(manifest))


def use(kind, folder):
    """Whatever reads what was stored."""
    if kind == "checkpoint":
        Trainer.resume(folder, TRAIN, validation=VALIDATION, item_features=FEATURES)
        return
    model = Model.load(folder)
    for approximate in (False, model.index_info is not None):
        model.recommend(range(5), 3, approximate=approximate)
    if model._networks:
        model.embed_items(np.ones((2, FEATURES.shape[1]), dtype=np.float32))
    model.save(folder / "copy")


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
@pytest.mark.parametrize(
    "seeds", [range(50), pytest.param(range(50, 1000), marks=pytest.mark.slow)], ids=len
)
@pytest.mark.filterwarnings(
    "ignore:the index .* was left out", "ignore:(overflow|invalid value) encountered"
)
def test_forged_folders(originals, tmp_path, kind, seeds):
    outcomes = {"used": 0, "refused": 0}
    for seed in seeds:
        folder = tmp_path / str(seed)
        shutil.copytree(originals / kind, folder)
        forge(folder, kind, random.Random(seed))
        try:
            use(kind, folder)
            outcomes["used"] += 1
        except (ModelError, DataError) as error:
            assert os.fspath(folder) in str(error), f"{seed}: {error}"
            outcomes["refused"] += 1
        shutil.rmtree(folder)
    assert min(outcomes.values()) > 0


# --- indexes ------------------------------------------------------------------------------------

CHILD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    import scipy.sparse as sp
    from cml_fast._search.index import KINDS, describe_index, load_index
    from cml_fast._search.sealed import DIGEST_BYTES, MAGIC, write_sealed
    from cml_fast.errors import ModelError

    path, kind, first, last = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
    rng = np.random.default_rng(0)
    vectors, queries = (rng.standard_normal((n, 5)).astype(np.float32) for n in (300, 20))
    index = KINDS[kind].build(vectors)
    index.save(path)
    description = describe_index(index, vectors)
    good = path.read_bytes()
    is_sealed = good.startswith(MAGIC)
    payload = good[len(MAGIC) + DIGEST_BYTES :] if is_sealed else good
    numbers = [0, 1, 2, -1, 299, 300, 2**31 - 1, -(2**31), 0x7FC00000, 0x7F800000]
    outcomes = {"used": 0, "refused": 0}
    for seed in range(first, last):
        rng = np.random.default_rng(seed)
        forged = bytearray(payload)
        for _ in range(rng.integers(1, 5)):
            at = int(rng.integers(max(len(forged), 1)))
            change = rng.integers(4)
            if change == 0:
                forged[at : at + 1] = rng.bytes(1)
            elif change == 1:
                at -= at % 4
                forged[at : at + 4] = int(rng.choice(numbers)).to_bytes(4, "little", signed=True)
            elif change == 2:
                forged[at : at + 64] = rng.bytes(len(forged[at : at + 64]))
            else:
                forged[at : at + 8] = int(rng.choice([0, 2**40, 2**63 - 1])).to_bytes(8, "little")
        if rng.integers(10) == 0:
            del forged[int(rng.integers(max(len(forged), 1))) :]
        path.unlink(missing_ok=True)
        write_sealed(path, bytes(forged)) if is_sealed else path.write_bytes(forged)
        try:
            found = load_index(path, vectors, description)
        except ModelError as error:
            assert str(path) in str(error), error
            outcomes["refused"] += 1
            continue
        outcomes["used"] += 1
        for some, n in ((queries, 10), (queries[:1], 300)):
            found.nearest(some, n, sp.csr_array((len(some), len(vectors))))
        more = np.concatenate([vectors, queries])
        grown = found.add(more)
        if grown is not None:
            grown.nearest(queries, 10, sp.csr_array((len(queries), len(more))))
        found.save(path.with_name("again"))
    print(outcomes["used"], outcomes["refused"])
    """
)


# Nobody but faiss can check what is in its files, see docs/design/reliability.md; those of exact
# search are empty.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("exact", "faiss")])
@pytest.mark.parametrize(
    ("first", "last"), [(0, 60), pytest.param(60, 1000, marks=pytest.mark.slow)]
)
def test_forged_indexes(tmp_path, kind, first, last):
    """Garbage with the right checksum does not end the process, whatever a search meets in it."""
    try:
        KINDS[kind].build(np.zeros((1, 1), dtype=np.float32))
    except ImportError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-c", CHILD, tmp_path / "index", kind, str(first), str(last)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    used, refused = map(int, ran.stdout.split())
    assert used > 0 and refused > 0


@pytest.mark.parametrize(
    "change", [{"m": "16"}, {"m": 10**6}, {"ef_construction": None}, {"search": {"a": 1}}]
)
def test_a_forged_description_of_an_index(tmp_path, change):
    pytest.importorskip("hnswlib", reason="hnswlib is not installed: pip install cml-fast[hnswlib]")
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 5)).astype(np.float32)
    index = KINDS["hnswlib"].build(vectors)
    index.save(tmp_path / "index")
    description = {**describe_index(index, vectors), **change}
    with pytest.raises(ModelError, match=f"{tmp_path}/index (is described|cannot be used)"):
        load_index(tmp_path / "index", vectors, description)
