"""A file system that fills up: the error names the file, and what was there before stays."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.trainers import trainer

from cml_fast import Model
from cml_fast.data import Interactions, synthetic

LIKES = synthetic(400, 300, 6000).interactions
KIB = 1 << 10


def _model(n_dims: int) -> Model:
    rng = np.random.default_rng(0)
    return Model(rng.random((400, n_dims)), rng.random((300, n_dims)))


def _interactions(n_users: int) -> Interactions:
    return Interactions.from_arrays(np.arange(n_users), np.arange(n_users) % 7)


# What to write to a path: something small, and something too large for the file system.
WRITERS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "model": (lambda path: _model(1).save(path), lambda path: _model(400).save(path)),
    "checkpoint": (
        lambda path: trainer(n_dims=1).fit(LIKES, checkpoint=path),
        lambda path: trainer(n_dims=300).fit(LIKES, checkpoint=path),
    ),
    "interactions": (
        lambda path: _interactions(10).save(path),
        lambda path: _interactions(50_000).save(path),
    ),
    "recommendations.csv": (
        lambda path: _model(1).recommend_all(path, 1),
        lambda path: _model(1).recommend_all(path, 250, overwrite=True),
    ),
    "recommendations.parquet": (
        lambda path: _model(1).recommend_all(path, 1),
        lambda path: _model(1).recommend_all(path, 250, overwrite=True),
    ),
    "items.parquet": (
        lambda path: _model(1).export(str(path)),
        lambda path: _model(500).export(str(path), if_exists="replace"),
    ),
}


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={512 * KIB}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"there is no command to mount a file system: {error}")
    if mounted.returncode:
        pytest.skip(f"a small file system needs the rights to mount it: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _content(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_system_that_fills_up(small_disk: Path, name: str) -> None:
    path = small_disk / name
    small, large = WRITERS[name]
    small(path)
    before = _content(path)
    if name == "checkpoint":  # without which a training goes on
        with pytest.warns(UserWarning, match=str(path)) as warned:
            large(path)
        assert len(warned) == 1
    else:
        with pytest.raises(OSError, match=str(path)) as raised:
            large(path)
        assert raised.value.errno in (errno.ENOSPC, None)
    assert _content(path) == before
    assert not [left for left in small_disk.rglob("*") if "tmp" in left.name]
