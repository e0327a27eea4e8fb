"""The server as a process: it starts, reloads its model under load, and stops."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support.serving import exchange, made_up, need_the_extra, running, wait_until

need_the_extra()

from cml_fast.errors import ModelError  # noqa: E402
from cml_fast.serving import serve  # noqa: E402

ASKED = {"users": ["user 0", "user 50"], "n": 5}
# Requests that must have been answered by each model before it is replaced.
ENOUGH = 40


class Load:
    """Threads that ask without a pause, and keep what they were answered."""

    def __init__(self, server: Any, n_threads: int = 3) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.failures: list[BaseException] = []
        self._stopped = threading.Event()
        self._server = server
        self._threads = [threading.Thread(target=self._ask) for _ in range(n_threads)]

    def _ask(self) -> None:
        connection = self._server.connect()
        try:
            while not self._stopped.is_set():
                self.answers.append(exchange(connection, "POST", "/recommend", ASKED))
        except BaseException as error:
            self.failures.append(error)
        finally:
            connection.close()

    def wait_for_more(self) -> None:
        wanted = len(self.answers) + ENOUGH
        wait_until(
            lambda: len(self.answers) >= wanted or bool(self.failures), lambda: self.failures
        )

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def served(server: Any) -> str:
    """The hash of the model in service."""
    return str(server.ask("GET", "/health")[1]["model"])


def test_reloading_drops_no_request(tmp_path: Path) -> None:
    """Each answer is that of the old model or of the new one, whole, and none is missing."""
    folder = tmp_path / "model"
    models = [made_up(seed=seed).build_index("exact") for seed in (0, 1)]
    expected = []
    for model in models:
        found = model.recommend(ASKED["users"], 5, ids=True)
        expected.append([
            [{"item": item, "distance": far} for item, far in zip(*map(list, pair), strict=True)]
            for pair in zip(*([each.tolist() for each in part] for part in found), strict=True)
        ])  # fmt: skip
    models[0].save(folder)
    with running(folder, tmp_path) as server, Load(server) as load:
        for turn in (1, 0, 1):
            load.wait_for_more()
            before = served(server)
            models[turn].save(folder)
            assert served(server) == before  # nothing is watched
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda before=before: served(server) != before, server.log.read_text)
        load.wait_for_more()
    assert load.failures == []
    assert {status for status, _ in load.answers} == {200}
    answers = [[result["items"] for result in answer["results"]] for _, answer in load.answers]
    counts = [answers.count(answer) for answer in expected]
    assert sum(counts) == len(answers)
    assert min(counts) >= ENOUGH


@pytest.mark.parametrize("fault", ["damaged", "away", "of another kind"])
def test_a_broken_model_is_refused_and_the_old_one_goes_on(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "model"
    made_up().save(folder)
    with running(folder, tmp_path) as server:
        before = server.ask("POST", "/recommend", ASKED)
        if fault == "damaged":
            vectors = next(folder.glob("vectors-*"))
            vectors.write_bytes(vectors.read_bytes()[:-1] + b"x")
        elif fault == "away":
            folder.rename(tmp_path / "elsewhere")
        else:
            (folder / "model.json").write_text("{}")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the model was not replaced" in server.log.read_text())
        assert server.ask("POST", "/recommend", ASKED) == before
        assert before[0] == 200
        assert "Traceback" not in server.log.read_text()


def test_likes_are_read_again(tmp_path: Path) -> None:
    folder, likes = tmp_path / "model", tmp_path / "likes.csv"
    made_up("int").save(folder)
    likes.write_text("user,item\n50,10\n")
    asked = {"users": [50], "n": 40}
    with running(folder, tmp_path, exclude=[str(likes)]) as server:

        def found() -> set[int]:
            answer = server.ask("POST", "/recommend", asked)[1]
            return {one["item"] for one in answer["results"][0]["items"]}

        everything = set(range(0, 400, 10))
        assert found() == everything - {10}
        likes.write_text("user,item\n50,20\n50,30\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: found() == everything - {20, 30}, server.log.read_text)


def test_it_stops_when_asked(tmp_path: Path) -> None:
    made_up().save(tmp_path / "model")
    for how, code in ((signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)):
        with running(tmp_path / "model", tmp_path) as server:
            connection = server.connect()  # kept open: it must not hold the server up
            assert exchange(connection, "POST", "/recommend", ASKED)[0] == 200
            server.process.send_signal(how)
            assert server.process.wait(60) == code
            connection.close()
            assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_workers_share_a_port_and_reload_together(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    made_up(seed=0).save(folder)
    with running(folder, tmp_path, workers=2) as server:
        wait_until(lambda: server.log.read_text().count("startup complete") == 2)
        with Load(server) as load:
            load.wait_for_more()
            before = served(server)
            made_up(seed=1).save(folder)
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: server.log.read_text().count("now serving") == 2)
            assert before not in {served(server) for _ in range(20)}
            load.wait_for_more()
        assert load.failures == []
        assert {status for status, _ in load.answers} == {200}
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_worker_that_ends_is_replaced(tmp_path: Path) -> None:
    made_up().save(tmp_path / "model")
    with running(tmp_path / "model", tmp_path, workers=2) as server:
        complete = "startup complete"
        wait_until(lambda: server.log.read_text().count(complete) == 2, server.log.read_text)
        numbers = re.findall(r"Started server process \[(\d+)\]", server.log.read_text())
        os.kill(int(numbers[0]), signal.SIGKILL)
        wait_until(lambda: server.log.read_text().count(complete) == 3, server.log.read_text)
        assert "a worker ended with code -9, another begins" in server.log.read_text()
        assert server.ask("POST", "/recommend", ASKED)[0] == 200
        assert server.stop() == 0


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    made_up().save(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"port {port} of 127\.0\.0\.1 is in use"):
            serve(tmp_path / "model", port=port)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    made_up().save(tmp_path / "model")
    for options, sentence in (
        ({"port": -1}, "port must be between 0 and 65535, got -1"),
        ({"workers": 0}, "workers must be between 1 and 256, got 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            serve(tmp_path / "model", **options)
    with pytest.raises(OSError, match=r"host='no\.such\.host\.invalid' is no address"):
        serve(tmp_path / "model", host="no.such.host.invalid", port=0)
    with pytest.raises(OSError, match=r"port 0 of 192\.0\.2\.1 cannot be listened at"):
        serve(tmp_path / "model", host="192.0.2.1", port=0)


def test_a_broken_model_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no model folder"):
        serve(tmp_path / "absent", port=0)
    made_up().save(tmp_path / "model")
    (tmp_path / "model" / "model.json").write_text("{}")
    for workers in (1, 2):
        with pytest.raises(ModelError, match="was not written by cml_fast"):
            serve(tmp_path / "model", port=0, workers=workers)


def test_another_host_is_warned_of(tmp_path: Path) -> None:
    made_up().save(tmp_path / "model")
    with running(tmp_path / "model", tmp_path, host="0.0.0.0") as server:
        assert "has no authentication" in server.log.read_text()
    with running(tmp_path / "model", tmp_path) as server:
        assert "has no authentication" not in server.log.read_text()


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    made_up().save(tmp_path / "model")
    with running(tmp_path / "model", tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nx: ")
            with pytest.raises(OSError):  # closed by the server
                for _ in range(1000):
                    connection.sendall(b"x" * (1 << 16))
        assert server.ask("GET", "/health")[0] == 200


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_a_missing_extra_is_named(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import cml_fast.serving"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: serving a model needs FastAPI and uvicorn" in done.stderr
    assert "pip install cml-fast[server]" in done.stderr
