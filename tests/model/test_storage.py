"""The model folder: what is written comes back, and nothing else is accepted."""

import errno
import itertools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cml_fast._persistence import folder as folders
from cml_fast.errors import ModelError
from cml_fast.model import Model

USERS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
ITEMS = -np.arange(15, dtype=np.float32).reshape(5, 3) / 3


def make(shift=0.0):
    return Model(
        USERS + np.float32(shift),
        ITEMS,
        user_ids=["a", "", "ü\N{SNOWMAN}", "\ud800"],
        item_ids=[5, -(2**63), 2**63 - 1, 0, 1],
        hyperparameters={"dim": 3, "nested": {"eta": 0.1, "list": [1, None, True, "x"]}},
        history=[{"epoch": 0, "loss": 0.5, "recall": None}, {"epoch": 1, "loss": 0.25}],
    )


def content(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def assert_equal(model, other):
    np.testing.assert_array_equal(model.user_vectors, other.user_vectors)
    np.testing.assert_array_equal(model.item_vectors, other.item_vectors)
    assert model.user_ids.tolist() == other.user_ids.tolist()
    assert model.item_ids.tolist() == other.item_ids.tolist()
    assert model.hyperparameters == other.hyperparameters
    assert model.history == other.history
    assert model.version == other.version


def test_round_trip(tmp_path):
    model = make()._with(_version="0.0.9")
    model.save(tmp_path / "deep" / "model")
    loaded = Model.load(str(tmp_path / "deep" / "model"))
    assert_equal(loaded, model)
    assert loaded.version == "0.0.9"
    kinds = sorted(path.suffix for path in (tmp_path / "deep" / "model").iterdir())
    assert kinds == [".json", ".json", ".safetensors"]
    (tensors,) = (tmp_path / "deep" / "model").glob("*.safetensors")
    np.testing.assert_array_equal(load_file(tensors)["items"], ITEMS)


def with_history(folder, history):
    """Edit the manifest; without a history it is like those of earlier releases."""
    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    del manifest["info"]["history"]
    manifest["info"] |= {} if history is None else {"history": history}
    body = {key: manifest[key] for key in ("kind", "info", "files")}
    manifest["checksum"] = folders._checksum(body)
    path.write_text(json.dumps(manifest))


def test_a_model_without_history_is_read(tmp_path):
    make().save(tmp_path)
    with_history(tmp_path, None)
    assert Model.load(tmp_path).history == []


@pytest.mark.parametrize("history", [{"epoch": 0}, [1], "x", True])
def test_a_history_of_another_kind_is_refused(history, tmp_path):
    make().save(tmp_path)
    with_history(tmp_path, history)
    with pytest.raises(ModelError, match="history must be a list with a dict for each epoch"):
        Model.load(tmp_path)
    with pytest.raises(TypeError, match="history must be a list with a dict for each epoch"):
        Model(USERS, ITEMS, history=history)


def test_saving_twice_gives_the_same_files(tmp_path):
    make().save(tmp_path)
    before = content(tmp_path)
    make().save(tmp_path)
    assert content(tmp_path) == before


def test_files_are_replaced_not_overwritten(tmp_path):
    """Who has the old files open goes on to read them, whole."""
    make().save(tmp_path)
    opened = {path: path.open("rb") for path in tmp_path.iterdir()}
    old = content(tmp_path)
    make(shift=1).save(tmp_path)
    for path, file in opened.items():
        with file:
            assert file.read() == old[path.name]
    assert (tmp_path / "model.json").read_bytes() != old["model.json"]


def test_replacing_removes_only_what_was_ours(tmp_path):
    make().save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".tmp-0123456789abcdef-vectors.safetensors").write_text("left by a killed process")
    before = set(content(tmp_path))
    make(shift=1).save(tmp_path)
    assert_equal(Model.load(tmp_path), make(shift=1))
    after = set(content(tmp_path))
    assert len(after) == 4 and "notes.txt" in after
    assert {name.split("-")[0] for name in before - after} == {"vectors", ".tmp"}


def test_files_are_as_readable_as_any(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    make().save(tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        assert path.stat().st_mode == plain.stat().st_mode, path


def test_absent_and_foreign_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model folder at"):
        Model.load(tmp_path / "absent")
    with pytest.raises(ModelError, match=r"no model\.json"):
        Model.load(tmp_path)
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match=r"'thesis\.tex'"):
        make().save(tmp_path)
    (tmp_path / "model.json").write_text('{"format": "other"}')
    for call in (lambda: make().save(tmp_path), lambda: Model.load(tmp_path)):
        with pytest.raises(ModelError, match=r"model\.json was not written by"):
            call()
    with pytest.raises(FileExistsError, match="not a folder"):
        make().save(tmp_path / "thesis.tex")
    assert set(content(tmp_path)) == {"thesis.tex", "model.json"}


def test_leftovers_of_a_killed_first_save_do_not_block(tmp_path):
    (tmp_path / ".tmp-0123456789abcdef-ids.json").write_text("[")
    (tmp_path / "vectors-0123456789abcdef.safetensors").write_text("")
    make().save(tmp_path)
    assert len(content(tmp_path)) == 3
    assert_equal(Model.load(tmp_path), make())


def test_other_kind_of_folder(tmp_path):
    folders.write_folder(tmp_path / "c", "checkpoint", {}, {"epoch": 3})
    assert folders.read_folder(tmp_path / "c", "checkpoint") == ({}, {"epoch": 3})
    with pytest.raises(ModelError, match="not a model folder"):
        Model.load(tmp_path / "c")
    with pytest.raises(FileExistsError, match="not a model folder"):
        make().save(tmp_path / "c")
    os.rename(tmp_path / "c" / "checkpoint.json", tmp_path / "c" / "model.json")
    with pytest.raises(ModelError, match=r"model\.json is damaged"):
        Model.load(tmp_path / "c")


@pytest.mark.parametrize("target", ["elsewhere/model.json", "absent", "/dev/zero"])
def test_a_manifest_that_is_a_link_is_refused(tmp_path, target):
    make().save(tmp_path / "elsewhere")
    before = content(tmp_path / "elsewhere")
    make().save(tmp_path / "model")
    (tmp_path / "model" / "model.json").unlink()
    (tmp_path / "model" / "model.json").symlink_to(tmp_path / target)
    for call in (Model.load, make(shift=1).save):
        with pytest.raises(ModelError, match=r"model\.json is a link"):
            call(tmp_path / "model")
    assert (tmp_path / "model" / "model.json").is_symlink()
    assert content(tmp_path / "elsewhere") == before


def test_a_folder_that_is_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    make().save(tmp_path / "link")
    assert_equal(Model.load(tmp_path / "real"), make())
    assert (tmp_path / "link").is_symlink()


def test_every_truncation_flip_and_loss_is_noticed(tmp_path):
    make().save(tmp_path)
    intact = content(tmp_path)
    assert len(intact) == 3
    for name, data in intact.items():
        path = tmp_path / name
        path.unlink()
        with pytest.raises(ModelError, match=name):
            Model.load(tmp_path)
        for length in (0, 1, len(data) // 2, len(data) - 2):
            path.write_bytes(data[:length])
            with pytest.raises(ModelError, match=name):
                Model.load(tmp_path)
        path.write_bytes(data + b"x")
        with pytest.raises(ModelError, match=name):
            Model.load(tmp_path)
        for at in range(len(data)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :])
            # This flip turns no white space of a JSON file into another.
            with pytest.raises(ModelError, match=name):
                Model.load(tmp_path)
        path.write_bytes(data)
    assert_equal(Model.load(tmp_path), make())


def rewrite(folder, change):
    """Change the manifest and make its checksum fit, as a forger or another release would."""
    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    body = {key: manifest[key] for key in ("kind", "info", "files")}
    manifest["checksum"] = folders._checksum(body)
    path.write_text(json.dumps(manifest))


def test_newer_format(tmp_path):
    make().save(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest.update(format_version=2))
    for call in (lambda: Model.load(tmp_path), lambda: make().save(tmp_path)):
        with pytest.raises(ModelError, match=r"has format 2; .* upgrade"):
            call()


def test_manifest_cannot_point_outside(tmp_path):
    make().save(tmp_path / "model")

    def change(manifest):
        manifest["files"]["../../ids.json"] = manifest["files"].pop("ids.json")

    rewrite(tmp_path / "model", change)
    with pytest.raises(ModelError, match=r"lists '.*', not the name of a data file"):
        Model.load(tmp_path / "model")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite(tmp_path, number):
    make().save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('"eta": 0.1', f'"eta": {number}'))
    with pytest.raises(
        ModelError, match=rf"model\.json is not valid JSON: {number} is not a finite"
    ):
        Model.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"files": None},
        {"files": []},
        {"files": {"ids.json": None}},
        {"files": {"ids.json": {}}},
        {"files": {"ids.json": {"bytes": 3}}},
        {"files": {"ids.json": {"bytes": "3", "sha256": "0" * 64}}},
        {"files": {"ids.json": {"bytes": 3, "sha256": 5}}},
        {"files": {"ids.json": {"bytes": 3, "sha256": ""}}},
        {"info": None},
        {"info": "text"},
        {"info": [1]},
    ],
)
def test_manifest_of_wrong_structure(tmp_path, change):
    make().save(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest.update(change))
    with pytest.raises(ModelError, match=r"wrong structure|, not the name of a data file"):
        Model.load(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": None}, "does not describe a model"),
        ({"version": 1}, "does not describe a model"),
        ({"hyperparameters": [1]}, "hyperparameters must be a dict"),
        ({"index": {"kind": "annoy"}}, r"must list .*'index\.annoy'"),
        ({"index": "annoy"}, "index must be null or have a kind, got 'annoy'"),
        ({"index": {"kind": 1}}, "index must be null or have a kind"),
        ({"networks": ["people"]}, r"networks must be a list of 'users' and 'items'"),
    ],
)
def test_info_that_describes_no_model(tmp_path, change, message):
    make().save(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest["info"].update(change))
    with pytest.raises(ModelError, match=message):
        Model.load(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest["info"].pop(next(iter(change))))
    if "index" in change:
        assert_equal(Model.load(tmp_path), make())
    else:
        with pytest.raises(ModelError, match=r"does not describe a model|must be a list"):
            Model.load(tmp_path)


def replace_file(folder, name, write):
    """Put another file in place of ``name``, with a manifest that agrees with it."""

    def change(manifest):
        manifest["files"][name] = folders._write_data_file(folder, name, write)

    rewrite(folder, change)


GOOD = {"users": USERS, "items": ITEMS}


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"users": USERS}, r"must hold the arrays \['items', 'users'\]"),
        ({**GOOD, "items": ITEMS.astype(np.float64)}, "items must be float32, found float64"),
        ({**GOOD, "items": ITEMS[:, :2].copy()}, "same number of columns"),
        ({**GOOD, "items": ITEMS[:4].copy()}, "item_ids must be 4 ids"),
        ({**GOOD, "users": USERS + np.float32(np.nan)}, "must be finite"),
        ({**GOOD, "users": USERS[0].copy()}, "two-dimensional"),
    ],
)
def test_arrays_that_make_no_model(tmp_path, arrays, message):
    make().save(tmp_path)
    replace_file(tmp_path, "vectors.safetensors", lambda path: save_file(arrays, path))
    with pytest.raises(ModelError, match=r"vectors-[0-9a-f]+\.safetensors.*" + message):
        Model.load(tmp_path)


@pytest.mark.parametrize(
    "ids",
    [
        {"users": [1, 2, 3, 4]},
        {"users": [1, 2, 3, 3], "items": [1, 2, 3, 4, 5]},
        {"users": [1, 2, 3, "4"], "items": [1, 2, 3, 4, 5]},
        {"users": [1, 2, 3, 4.5], "items": [1, 2, 3, 4, 5]},
        {"users": [1, 2, 3, 2**64], "items": [1, 2, 3, 4, 5]},
        {"users": [1, 2, 3], "items": [1, 2, 3, 4, 5]},
        {"users": None, "items": None},
        {"users": "abcd", "items": [1, 2, 3, 4, 5]},
        [1, 2, 3, 4],
        None,
    ],
)
def test_ids_that_make_no_model(tmp_path, ids):
    make().save(tmp_path)
    replace_file(tmp_path, "ids.json", lambda path: path.write_text(json.dumps(ids)))
    with pytest.raises(ModelError, match=r"ids-[0-9a-f]+\.json"):
        Model.load(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\xff" * 20, b"\x08" + b"\0" * 7 + b'{"a": 1}'])
def test_garbage_in_place_of_safetensors(tmp_path, data):
    make().save(tmp_path)
    replace_file(tmp_path, "vectors.safetensors", lambda path: path.write_bytes(data))
    with pytest.raises(ModelError, match="not a valid safetensors file"):
        Model.load(tmp_path)


def failing_at(call, function):
    """Return ``function`` with its call of that number failing for lack of space."""
    calls = itertools.count()

    def wrapped(*args, **kwargs):
        if next(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("function", ["save", "json.dumps", "os.fsync", "os.replace"])
def test_old_model_survives_every_failing_step(tmp_path, monkeypatch, function):
    """Let the first, second, third, ... call of a function fail, until saving succeeds."""
    make().save(tmp_path)
    old = content(tmp_path)
    owner, _, name = function.rpartition(".")
    owner = getattr(folders, owner) if owner else folders
    for call in itertools.count():
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failing_at(call, getattr(owner, name)))
            try:
                make(shift=1).save(tmp_path)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                # Making a model calls json.dumps, too.
                assert error.filename == str(tmp_path) or function == "json.dumps"
            else:
                break
        model = Model.load(tmp_path)
        if np.array_equal(model.user_vectors, USERS):
            assert content(tmp_path) == old
        else:
            # The last sync comes after the commit: the new model is there, and only that.
            assert function == "os.fsync"
            assert_equal(model, make(shift=1))
            assert len(content(tmp_path)) == 3
    assert call >= 1
    assert_equal(Model.load(tmp_path), make(shift=1))


def test_order_on_the_disk(tmp_path, monkeypatch):
    """No name appears before its file is synced, and no manifest before the names it lists."""
    events = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor):
        events.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def recording_replace(source, target):
        events.append((Path(target).name, os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    make().save(tmp_path)
    names = [name for name, _ in events if name != "sync"]
    assert len(names) == 3 and names[-1] == "model.json"
    for at, (name, inode) in enumerate(events):
        if name != "sync":
            assert ("sync", inode) in events[:at]
    folder = ("sync", tmp_path.stat().st_ino)
    steps = [name for name, _ in events]
    between = events[steps.index(names[1]) : steps.index("model.json")]
    assert folder in between and events[-1] == folder


def test_failing_first_save_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        make().save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_file_size_limit(tmp_path):
    """A write that really fails, half way through a file.

    -B, as Python would keep half of the compiled form of an imported module.
    """
    make().save(tmp_path)
    old = content(tmp_path)
    code = """
        import resource, signal, sys
        import numpy as np
        from cml_fast.model import Model
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, resource.RLIM_INFINITY))
        Model(np.ones((5000, 3)), np.ones((2, 3))).save(sys.argv[1])
    """
    command = [sys.executable, "-B", "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert content(tmp_path) == old
