"""Errors of the library in the words of the command line."""

import json

import pytest

from cml_fast import Model
from cml_fast._cli.app import main
from cml_fast._cli.messages import explain, in_options
from cml_fast.errors import DataError, DeviceUnavailable

OPTIONS = {
    "n": "--n",
    "user": "--user-column",
    "ks": "--k",
    "min_rating": "--min-rating",
    "quoting": "--quoting",
    "count_as_item": "--count-as-item",
    "out": "--out",
    "loss": "--loss",
    "margin": "--margin",
    "device": "--device",
    "where": "--where",
}


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("n must be at least 1, got 0", "--n must be at least 1, got 0"),
        ("ks must be positive, got [0]", "--k must be positive, got [0]"),
        ("Name the right one with user=", "Name the right one with --user-column"),
        ("pass quoting='none' if", "pass --quoting none if"),
        ("rating needs min_rating, the least", "rating needs --min-rating, the least"),
        ("set count_as_item=True.", "set --count-as-item."),
        ("pass count_as_item=False if", "pass --no-count-as-item if"),
        ("user is an option of csv, not of npz", "--user-column is an option of csv, not of npz"),
        ("device='cuda' cannot be used", "--device cuda cannot be used"),
        (
            "margin=0.4 has no effect with loss='warp':",
            "--margin 0.4 has no effect with --loss warp:",
        ),
        # Words of a sentence, of a file and of an option are no names.
        ("a.csv: user 'c' is not in the file", "a.csv: user 'c' is not in the file"),
        ("3 users of n are out", "3 users of n are out"),
        ("--user=x is given", "--user=x is given"),
        ("my-n=3 of x_n and nn=4", "my-n=3 of x_n and nn=4"),
        ("user_ids must be unique", "user_ids must be unique"),
    ],
)
def test_arguments_become_options(message, wanted):
    assert in_options(message, OPTIONS) == wanted


def test_without_options_nothing_changes():
    assert in_options("n must be n=1", {}) == "n must be n=1"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.csv"), 3, "a.csv: No such file"),
        (DataError("a.csv is empty"), 3, "a.csv is empty"),
        (DeviceUnavailable("no CUDA"), 4, "no CUDA"),
        (TypeError("n must be an int"), 2, "n must be"),
        (ImportError("needs faiss"), 1, "needs faiss"),
        (RuntimeError("odd"), 1, "unexpected RuntimeError: odd"),
    ],
)
def test_exit_codes(error, code, message):
    found = explain(error)
    assert found[0] == code and found[1].startswith(message)


def test_an_id_cannot_forge_a_row_or_move_the_cursor(tmp_path, capsys):
    model = Model(
        [[0.0, 0.0]],
        [[0.0, 1.0], [0.0, 2.0]],
        user_ids=["ann"],
        item_ids=["a\n   1  good", "\x1b[2Jx"],
    )
    model.save(tmp_path / "model")
    assert main(["recommend", str(tmp_path / "model"), "--user", "ann"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert r"a\n   1  good" in lines[1] and r"\x1b[2Jx" in lines[2]
    assert main(["recommend", str(tmp_path / "model"), "--user", "\x1b[2J\n" + "y" * 200]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "\x1b" not in error and len(error) < 200
    assert main(["recommend", str(tmp_path / "model"), "--user", "ann", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["item"] for each in found["items"]] == list(model.item_ids)
