"""Ctrl-C and SIGTERM at any moment end a command with a word, and nothing is lost."""

import signal
import subprocess
import sys
import time

import pytest

from cml_fast.data import synthetic

COMMAND = [sys.executable, "-m", "cml_fast"]
PATIENCE = 60  # seconds; what is waited for takes one or two
# Raises it as the handler of a signal would while `typer` is imported.
WHILE_IMPORTING = """
import sys
from cml_fast._cli import entry, signals

class Signal:
    def find_spec(self, name, *_):
        if name == "typer":
            raise {error}

sys.meta_path.insert(0, Signal())
sys.exit(entry.main())
"""


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [("KeyboardInterrupt", 130, "interrupted"), ("signals.Terminated", 143, "terminated")],
)
def test_while_modules_are_imported(error, code, word):
    script = WHILE_IMPORTING.format(error=error)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"cml-fast: {word}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to handle")
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_training_leaves_a_checkpoint(number, code, word, tmp_path):
    likes = synthetic(60, 40, 500).interactions
    likes.to_frame("pandas").to_csv(tmp_path / "likes.csv", index=False)
    log = tmp_path / "log"
    with log.open("w") as stderr:
        training = subprocess.Popen(
            [
                *COMMAND,
                *("train", "likes.csv", "--out=model", "--checkpoint=run", "--checkpoint-every=9"),
                *("--n-epochs=1000000", "--n-dims=4", "--temperature=0.3", "--device=cpu"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        for _ in range(PATIENCE * 100):
            if (tmp_path / "run" / "checkpoint.json").exists():  # it is training
                break
            time.sleep(0.01)
        training.send_signal(number)
        out, _ = training.communicate(timeout=PATIENCE)
    assert (training.returncode, out) == (code, "")
    said = log.read_text().splitlines()
    assert said[-2:] == [
        "cml-fast: run has what was learned: add --resume to go on",
        f"cml-fast: {word}",
    ]
    assert not any("Traceback" in line for line in said)
    assert (tmp_path / "run").is_dir() and not (tmp_path / "model").exists()
    assert [path for path in tmp_path.rglob("*.tmp")] == []
