"""What a person sees in a terminal, what a pipe gets, and the completion of shells."""

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest

from cml_fast import Model

COMMAND = (sys.executable, "-m", "cml_fast")
ESCAPE = "\x1b["


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((n, 3)) for n in (3, 6))
    Model(*vectors, user_ids=["ann", "bob", "cy"]).save(tmp_path / "model")
    (tmp_path / "likes.csv").write_text("user,item\nann,0\nann,1\nbob,2\nbob,3\n")
    return tmp_path


def in_terminal(folder, *words, columns=80, **variables):
    """Run a command in a pseudo-terminal; return its exit code and what was shown."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERMINAL_WIDTH")
        and not name.startswith(("GITHUB_", "PY_COLORS"))
    }
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**clean, "TERM": "xterm-256color", **variables},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:  # all ends of the terminal are closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    return process.wait(timeout=120), shown.decode().replace("\r\n", "\n")


def piped(folder, *words):
    return subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, text=True)


ASKED = ("recommend", "model", "--user", "ann", "--n", "2")


def test_a_terminal_has_colours_and_a_pipe_has_not(folder):
    code, shown = in_terminal(folder, *ASKED)
    assert code == 0 and ESCAPE in shown and "─" in shown
    code, shown = in_terminal(folder, *ASKED, NO_COLOR="1")
    assert code == 0 and "─" in shown
    assert not any(f"{ESCAPE}{colour}" in shown for colour in ("31", "36", "1;36", "33"))
    plain = piped(folder, *ASKED)
    assert plain.returncode == 0 and plain.stderr == ""
    assert ESCAPE not in plain.stdout
    assert [line.split()[0] for line in plain.stdout.splitlines()] == ["rank", "1", "2"]
    code, shown = in_terminal(folder, *ASKED, "--json")
    assert code == 0 and len(json.loads(shown)["items"]) == 2


def test_messages_in_colour(folder):
    code, shown = in_terminal(folder, "recommend", "model", "--user", "eve")
    assert code == 2 and f"{ESCAPE}1;31merror" in shown
    failed = piped(folder, "recommend", "model", "--user", "eve")
    assert failed.returncode == 2 and failed.stdout == ""
    assert failed.stderr.startswith("cml-fast: error: ") and ESCAPE not in failed.stderr


def test_training_shows_progress(folder):
    words = ("train", "likes.csv", "--n-dims=4", "--n-epochs=3", "--temperature=.3", "--device=cpu")
    code, shown = in_terminal(folder, *words, "--out=a")
    assert code == 0 and "3/3" in shown and "━" in shown
    done = piped(folder, *words, "--out=b")
    assert done.returncode == 0 and ESCAPE not in done.stderr
    epochs = [line for line in done.stderr.splitlines() if line.startswith("cml-fast: epoch ")]
    assert len(epochs) == 3
    assert all(line.startswith("cml-fast: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(folder, columns):
    _, shown = in_terminal(folder, "--help", columns=columns)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "recommend" in shown
    assert max(len(line) for line in shown.splitlines() if "│" in line) == columns


# --- completion --------------------------------------------------------------------------------


def completed(folder, line):
    """What bash gets for a line whose last word is to be completed."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = subprocess.run(
        COMMAND,
        cwd=folder,
        env={**os.environ, **words, "_CML_FAST_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_words_are_completed(folder):
    assert completed(folder, "cml-fast re") == ["recommend"]
    assert completed(folder, "cml-fast train --n-ep") == ["--n-epochs"]
    assert completed(folder, "cml-fast recommend model --cold-users p") == ["popular"]
    assert completed(folder, "cml-fast train likes.csv --format m") == ["movielens"]
    asked = {"_TYPER_COMPLETE_ARGS": "cml-fast train --n-ep", "_CML_FAST_COMPLETE": "complete_zsh"}
    done = subprocess.run(COMMAND, env={**os.environ, **asked}, capture_output=True, text=True)
    assert "--n-epochs" in done.stdout


def test_a_shell_is_told_how(folder):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    line = f"{sys.executable} -m cml_fast --show-completion; exit $?"
    done = subprocess.run([bash, "-c", line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "_CML_FAST_COMPLETE=complete_bash" in done.stdout
    assert "complete -o default -F" in done.stdout and done.stdout.rstrip().endswith("cml-fast")


def test_completion_is_installed(folder):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    home = folder / "home"
    home.mkdir()
    line = f"{sys.executable} -m cml_fast --install-completion; exit $?"
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run([bash, "-c", line], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "cml-fast" in (home / ".bashrc").read_text()
