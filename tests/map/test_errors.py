"""What is wrong is said in a sentence, before anything is written, and nothing is half written."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from pages import small_model

from cml_fast._map import pictures, run
from cml_fast.errors import DataError


@pytest.fixture
def model():
    return small_model()[0]


WRONG = {
    "a name of another item": ({"names": {"nobody": "x"}}, DataError, "names has 1 ids .*'nobody'"),
    "too few names": ({"names": ["a", "b"]}, DataError, "names must be one for each .* 180 items"),
    "names that are a number": ({"names": 3}, TypeError, "names must be a column"),
    "a column without a table": (
        {"tags": "genre"},
        ValueError,
        "give the table with item_metadata",
    ),
    "no such column": (
        {"item_metadata": {"id": ["item-000"], "x": ["a"]}, "names": "title"},
        DataError,
        "no column 'title' for names; it has: 'x'",
    ),
    "tags that are numbers": ({"tags": [1] * 180}, DataError, "tags must be texts or lists"),
    "dates that are words": ({"dates": {"item-000": "soon"}}, DataError, "dates must be numbers"),
    "an image that is not there": ({"images": {"item-000": "no.png"}}, DataError, "no.png cannot"),
    "an address of a script": (
        {"images": {"item-000": "javascript://x"}},
        DataError,
        "files or addresses of http",
    ),
    "an address with a policy": (
        {"images": {"item-000": "https://a.example; script-src *"}},
        DataError,
        "files or addresses of http",
    ),
    "likes of another shape": ({"likes": small_model(4)[1]}, DataError, "likes"),
    "features of another length": ({"features": np.ones((3, 2))}, DataError, "features must have"),
    "a negative number of users": ({"n_users": -1}, ValueError, "n_users must be between 0 and"),
    "too many users": ({"n_users": 10**6}, ValueError, "n_users must be between 0 and 20000"),
    "an unknown method": ({"method": "som"}, ValueError, "method must be one of"),
    "an unknown colour": ({"colour": "red"}, ValueError, "colour must be one of"),
    "a colour without its data": ({"colour": "date"}, ValueError, "colour='date' needs dates="),
    "a negative seed": ({"random_state": -1}, ValueError, "random_state must be between"),
    "a title that is a number": ({"title": 3}, TypeError, "title must be a str"),
    "a word for overwrite": ({"overwrite": "yes"}, TypeError, "overwrite must be True or False"),
    "an unknown treatment": ({"unknown": "keep"}, ValueError, "unknown must be one of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(model, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    arguments, kind, message = WRONG[case]
    with pytest.raises(kind, match=message) as raised:
        model.map("map.html", **{"method": "pca", **arguments})
    assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path) == []


def test_unknown_ids_can_be_dropped(model, tmp_path):
    names = {"nobody": "x", "item-000": "y"}
    written = model.map(tmp_path / "map.html", names=names, unknown="drop", method="pca")
    assert written["items"] == 180


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<svg/>", "no PNG, JPEG, GIF or WebP"), (bytes(pictures.PICTURE_BYTES + 1), "larger than")],
)
def test_files_that_are_no_small_pictures(model, tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=message):
        model.map(tmp_path / "map.html", images={"item-000": tmp_path / "a.png"}, method="pca")


def test_pictures_together_are_bounded(model, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "ALL_BYTES", 1 << 20)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200 << 10))
    with pytest.raises(DataError, match="more than 1 MiB in all"):
        model.map(tmp_path / "map.html", images=[tmp_path / "a.png"] * 180, method="pca")


def test_what_is_there_is_kept(model, tmp_path, monkeypatch):
    path = tmp_path / "map.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already: replace it with overwrite=True"):
        model.map(path, method="pca")
    with pytest.raises(FileExistsError, match="is a folder"):
        model.map(tmp_path, method="pca", overwrite=True)
    monkeypatch.setattr(run.payload, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.map(path, method="pca", overwrite=True)
    assert path.read_text() == "mine" and os.listdir(tmp_path) == ["map.html"]


def test_a_folder_that_is_not_there(model, tmp_path):
    with pytest.raises(OSError, match=r"map\.html cannot be written: there is no folder .*absent$"):
        model.map(tmp_path / "absent" / "map.html", method="pca")


def test_a_folder_that_cannot_be_written(model):
    reason = r"^/proc/map\.html cannot be written: No such file or directory$"
    with pytest.raises(OSError, match=reason):
        model.map("/proc/map.html", method="pca")


def test_a_full_disk(model, tmp_path):
    model.save(tmp_path / "model")
    (tmp_path / "map.html").write_text("mine")
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from cml_fast import Model
        model = Model.load(sys.argv[1])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            model.map(sys.argv[2], method="pca", overwrite=True)
        except OSError as error:
            print(error)
        """
    )
    # -B, as Python would keep half of the compiled form of an imported module.
    python = [sys.executable, "-B", "-c", script]
    command = [*python, str(tmp_path / "model"), str(tmp_path / "map.html")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.endswith("map.html cannot be written: File too large\n"), done.stderr
    assert (tmp_path / "map.html").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["map.html", "model"]
