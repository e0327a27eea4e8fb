"""Streams that are closed or know few characters, and numbers that no machine has room for."""

import subprocess
import sys

import numpy as np
import pytest

from cml_fast import Model

COMMAND = (sys.executable, "-m", "cml_fast")
SNOWMAN = "\N{SNOWMAN}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    items = [f"{SNOWMAN}{row}" for row in range(6)]
    vectors = np.random.default_rng(0).random((6, 2))
    Model(vectors[:1], vectors, user_ids=["ann"], item_ids=items).save(folder / "model")
    (folder / "likes.csv").write_text(f"user,item\nann,{SNOWMAN}0\n", encoding="utf-8")
    return folder


def run(folder, *words, redirect="", **variables):
    line = ["sh", "-c", f'exec "$@" {redirect}', "sh", *COMMAND, *words]
    return subprocess.run(
        ["env", *(f"{name}={value}" for name, value in variables.items()), *line],
        cwd=folder,
        capture_output=True,
        timeout=60,
    )


ASKED = ("recommend", "model", "--user", "ann", "--n", "2")


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("user", "code"), [("ann", 0), ("nobody", 2)])
def test_closed_streams(folder, redirect, user, code):
    done = run(folder, "recommend", "model", "--user", user, redirect=redirect)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr and b"unexpected" not in done.stderr
    is_shown = {0: " >&-" not in f" {redirect}", 2: "2>&-" not in redirect}
    assert bool(done.stdout) == (code == 0 and is_shown[0])
    assert bool(done.stderr) == (code == 2 and is_shown[2])


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_an_encoding_lacks(folder, encoding):
    done = run(folder, *ASKED, PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stderr == b""
    assert rb"\u2603" in done.stdout
    failed = run(folder, "recommend", "model", "--user", SNOWMAN, PYTHONIOENCODING=encoding)
    assert failed.returncode == 2 and rb"no user '\u2603'" in failed.stderr


def test_numbers_of_twenty_digits(folder):
    words = ("evaluate", "model", "likes.csv", "--include-training", "--k", "9" * 20)
    done = run(folder, *words)
    assert done.returncode == 2
    assert b"--k must be between 1 and 2147483647, got 9999" in done.stderr
    done = run(folder, "recommend", "model", "--user", "ann", "--n", "9" * 20)
    assert done.returncode == 1
    assert b"error: --n 99,999,999,999,999,999,999 results" in done.stderr
