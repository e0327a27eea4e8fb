"""``cml-fast serve``: the options, and the errors in its words."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from support.serving import made_up, need_the_extra, started, wait_until

need_the_extra()

COMMAND = ["-m", "cml_fast", "serve"]


def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    model, likes = tmp_path / "model", tmp_path / "likes.txt"
    made_up("int").save(model)
    likes.write_text("50;10\n50;20\n")
    reading = ["--format", "csv", "--delimiter", ";", "--no-header"]
    reading += ["--user-column", "0", "--item-column", "1", "--exclude", str(likes)]
    with started([*COMMAND, str(model), "--port", "0", *reading], tmp_path) as server:
        asked: dict[str, Any] = {"users": [50], "n": 40}
        answer = server.ask("POST", "/recommend", asked)[1]
        found = {one["item"] for one in answer["results"][0]["items"]}
        assert found == set(range(0, 400, 10)) - {10, 20}
        before = server.ask("GET", "/health")[1]["model"]
        made_up("int", seed=1).save(model)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.ask("GET", "/health")[1]["model"] != before)
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_what_training_had_is_left_out(tmp_path: Path, run: Any, workers: str) -> None:
    pairs = [(user, item) for user in range(8) for item in range(20) if (user + item) % 3 == 0]
    lines = [f"{user},{item}" for user, item in pairs]
    (tmp_path / "likes.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    training = ["--n-dims", "4", "--n-epochs", "1", "--temperature", "0.3", "--out", "model"]
    assert run("train", "likes.csv", *training)[0] == 0
    had = {item for user, item in pairs if user == 1}
    asked = {"users": [1], "n": 20}
    options = [str(tmp_path / "model"), "--port", "0", "--workers", workers]
    for more, expected in (([], set(range(20)) - had), (["--include-training"], set(range(20)))):
        with started([*COMMAND, *options, *more], tmp_path) as server:
            answer = server.ask("POST", "/recommend", asked)[1]
            assert {one["item"] for one in answer["results"][0]["items"]} == expected


def test_errors_name_the_options(tmp_path: Path, run: Any) -> None:
    made_up().save(tmp_path / "model")
    code, _, error = run("serve", "model", "--port", "70000")
    assert (code, error) == (2, "cml-fast: error: --port must be between 0 and 65535, got 70000\n")
    code, _, error = run("serve", "model", "--workers", "0")
    assert (code, "--workers must be between 1 and 256, got 0" in error) == (2, True)
    code, _, error = run("serve", "absent", "--port", "0")
    assert (code, error) == (3, "cml-fast: error: there is no model folder at absent\n")
    code, _, error = run("serve", "model", "--port", "0", "--exclude", "-")
    assert (code, "--exclude must be a file" in error) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, error = run("serve", "model", "--port", port)
    assert (code, f"port {port} of 127.0.0.1 is in use" in error) == (3, True)
    assert error.count("\n") == 1
