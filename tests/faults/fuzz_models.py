"""What `fuzz` gives to the readers of models, checkpoints, indexes and files of options.

Checksums are made right again, so that the changed bytes reach what is behind them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import typer

from cml_fast import Model, Trainer
from cml_fast._cli.app import _app
from cml_fast._cli.ids import ids_of_file
from cml_fast._cli.kept import NAME, keep, kept_with
from cml_fast._cli.messages import UsageError
from cml_fast._persistence import folder as folders
from cml_fast._search.index import KINDS, describe_index, load_index
from cml_fast._search.sealed import DIGEST_BYTES, MAGIC, write_sealed
from cml_fast.data import split, synthetic
from cml_fast.errors import DataError, ModelError

from .target import Target

TRAIN, VALIDATION = split(synthetic(40, 30, 300).interactions, (0.8, 0.2))
FEATURES = np.eye(TRAIN.matrix.shape[1], 3, dtype=np.float32)
RANDOM = np.random.default_rng(0)
WORDS = (
    *(b"null", b"true", b"1e999", b"NaN", b"-1", b"2147483648", b"9" * 19, b"9" * 400, b"0.5"),
    *(b'"x"', b"[]", b"{}", b"[[", b'"\\ud800"', b'"F64"', b'"I64"', b'"BOOL"', b"\0" * 4),
    *(b"\xff" * 4, b"\xff" * 8, b"\x00\x00\x80\x7f", b"\x00\x00\xc0\x7f"),
)


def _check_named(error: Exception, path: Path) -> None:
    if os.fspath(path) not in str(error):
        raise AssertionError(f"the message does not name {path}") from error


def _use(folder: Path, kind: str) -> None:
    """Use all that was stored."""
    if kind == "checkpoint":
        Trainer.resume(folder, TRAIN, validation=VALIDATION, item_features=FEATURES)
        return
    model = Model.load(folder)
    model.recommend([0, len(model.user_ids) - 1], 3)
    model.similar_items(0, 3)
    if model._networks:
        model.embed_items(FEATURES[:2])


def _of_file(folder: Path, kind: str, name: str | None) -> Target:
    """Change one file of a folder, or what its manifest says (None)."""
    path = folder / f"{kind}.json"
    manifest = json.loads(path.read_text())

    def write_manifest(changed: dict[str, Any]) -> None:
        body = {key: changed[key] for key in ("kind", "info", "files")}
        path.write_text(json.dumps({**changed, "checksum": folders._checksum(body)}))

    if name is None:
        seed = json.dumps({key: manifest[key] for key in ("info", "files")}).encode()
    else:
        data = folder / folders._data_name(folder, name, manifest["files"][name]["sha256"])
        seed = data.read_bytes()

    def run(content: bytes) -> None:
        written = None
        if name is None:
            try:
                write_manifest({**manifest, **json.loads(content)})
            except (ValueError, TypeError, RecursionError):
                path.write_bytes(content)
        else:
            digest = hashlib.sha256(content).hexdigest()
            written = folder / folders._data_name(folder, name, digest)
            written.write_bytes(content)
            entry = {"bytes": len(content), "sha256": digest}
            write_manifest({**manifest, "files": {**manifest["files"], name: entry}})
        try:
            _use(folder, kind)
        except (ModelError, DataError) as error:
            _check_named(error, folder)
        finally:
            if written is not None and written != data:
                written.unlink()

    what = "manifest" if name is None else name.split(".")[0]
    return Target(f"{kind}-{what}", (seed,), run, WORDS)


def _folders(folder: Path) -> Iterator[Target]:
    trainer = Trainer(
        n_dims=4, n_epochs=2, temperature=0.3, user_retention=1.0, device="cpu", n_threads=1,
        random_state=0, verbose=False,
    )  # fmt: skip
    data = {"validation": VALIDATION, "item_features": FEATURES}
    trainer.fit(TRAIN, checkpoint=folder / "checkpoint", **data)
    trainer.model_.save(folder / "model")
    for kind in ("model", "checkpoint"):
        files = json.loads((folder / kind / f"{kind}.json").read_text())["files"]
        for name in (None, *files):
            # A folder for each, because several targets run at a time.
            own = shutil.copytree(folder / kind, folder / f"{kind} {name}")
            yield _of_file(own, kind, name)


def _index(folder: Path, kind: str) -> Target | None:
    """Change the file of an index. Nobody but faiss can check its own; see the reliability page."""
    vectors = RANDOM.standard_normal((40, 3)).astype(np.float32)
    path = folder / f"index.{kind}"
    try:
        index = KINDS[kind].build(vectors)
    except ImportError:
        return None
    index.save(path)
    description = describe_index(index, vectors)
    good = path.read_bytes()
    is_sealed = good.startswith(MAGIC)
    none = sp.csr_array((2, len(vectors)))
    more = np.concatenate([vectors, vectors[:3] + 1])

    def run(data: bytes) -> None:
        path.unlink(missing_ok=True)
        if is_sealed:
            write_sealed(path, data)
        else:
            path.write_bytes(data)
        try:
            found = load_index(path, vectors, description)
        except ModelError as error:
            _check_named(error, path)
            return
        found.nearest(vectors[:2], 5, none)
        grown = found.add(more)
        if grown is not None:
            grown.nearest(more[-2:], 5, sp.csr_array((2, len(more))))
        found.save(path.with_name(f"again.{kind}"))

    seed = good[len(MAGIC) + DIGEST_BYTES :] if is_sealed else good
    return Target(f"index-{kind}", (seed,), run, WORDS)


def _config(folder: Path) -> Target:
    """Change a file for ``--config``; the options are checked, and nothing is run."""
    path = folder / "options.toml"
    command = typer.main.get_command(_app(["train"])).commands["train"]  # type: ignore[attr-defined]
    seed = b'n-epochs = 3\nloss = "warp"\n# x\nuser-column = "u"\nquiet = true\nmargin = 0.5\n'

    def run(data: bytes) -> None:
        path.write_bytes(data)
        try:
            command.make_context("train", ["likes.csv", "--config", str(path)])
        except DataError as error:
            _check_named(error, path)
        except UsageError:
            pass

    words = tuple(param.opts[0].lstrip("-").encode() for param in command.params)
    return Target("config", (seed,), run, (*words, *WORDS, b" = ", b"\n", b"inf", b"1979-05-27"))


def _kept(folder: Path) -> Target:
    """Change what a model's folder says of its training."""
    model = folder / "kept"
    Model(np.zeros((2, 2)), np.ones((3, 2))).save(model)
    command = typer.main.get_command(_app(["train"])).commands["train"]  # type: ignore[attr-defined]
    keep(model, command, {"file": Path("likes.csv"), "min-rating": 3.0, "where": ["a=b"]})
    whole = (model / NAME).read_bytes()
    mark, _, seed = whole.partition(b"\n")
    short = b"\n".join(line for line in seed.split(b"\n") if line and line[0] != ord("#"))

    def run(data: bytes) -> None:
        (model / NAME).write_bytes(mark + b"\n" + data)
        try:
            kept_with(model)
        except DataError as error:
            _check_named(error, model / NAME)

    keys = (b"file", b"validation", b"header", b"user-column", b"missing", b"delimiter")
    return Target("kept-options", (short,), run, (*keys, *WORDS, b" = ", b"\n", b"1979-05-27"))


def _ids(folder: Path) -> Target:
    path = folder / "ids.txt"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        try:
            ids_of_file(path)
        except DataError as error:
            _check_named(error, path)

    return Target(
        "ids-file", (b"a\nb\n", "ä\n\n b\r\n".encode()), run, (b"\xff", b"\0", b"\xc2\x85")
    )


def targets(folder: Path) -> list[Target]:
    """Return all of them; they use files in a folder."""
    indexes = (_index(folder, kind) for kind in KINDS if kind not in ("exact", "faiss"))
    return [
        *_folders(folder),
        *(target for target in indexes if target is not None),
        _config(folder),
        _kept(folder),
        _ids(folder),
    ]
