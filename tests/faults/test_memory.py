"""What does not fit into memory is refused before any of it is allocated."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast import Model, Trainer, _memory, _threads
from cml_fast._memory import check_room, memory_errors
from cml_fast._threads import can_start_threads
from cml_fast.baselines import MostPopular
from cml_fast.data import load_interactions

from . import nursery

MIB = 1 << 20
V1 = "sys/fs/cgroup/memory"
MEMINFO = f"MemTotal: {900 * 1024} kB\nMemAvailable: {500 * 1024} kB\nSwapFree: {20 * 1024} kB\n"
SYSTEMS: dict[str, tuple[dict[str, str], int | None]] = {
    "nothing known": ({}, None),
    "the system alone": ({"proc/meminfo": MEMINFO}, 520 * MIB),
    "a line without a number": ({"proc/meminfo": "MemAvailable: many kB\n"}, None),
    "a group of version 2 and one around it": (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/pod/main\n",
            "sys/fs/cgroup/pod/main/memory.max": "max\n",
            "sys/fs/cgroup/pod/memory.max": f"{100 * MIB}\n",
            "sys/fs/cgroup/pod/memory.current": f"{80 * MIB}\n",
            "sys/fs/cgroup/pod/memory.stat": f"anon {50 * MIB}\ninactive_file {30 * MIB}\n",
        },
        50 * MIB,
    ),
    "a group of version 1": (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "5:memory:/a\n4:cpu:/b\n",
            f"{V1}/a/memory.limit_in_bytes": f"{70 * MIB}\n",
            f"{V1}/a/memory.usage_in_bytes": f"{60 * MIB}\n",
            f"{V1}/a/memory.stat": f"total_inactive_file {5 * MIB}\n",
            f"{V1}/memory.limit_in_bytes": "9223372036854771712\n",
            f"{V1}/memory.usage_in_bytes": f"{90 * MIB}\n",
            f"{V1}/memory.stat": "total_inactive_file 0\n",
        },
        15 * MIB,
    ),
    "a group that has taken too much": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{10 * MIB}\n",
            "sys/fs/cgroup/memory.current": f"{12 * MIB}\n",
            "sys/fs/cgroup/memory.stat": "inactive_file 0\n",
        },
        0,
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_free_memory(name, tmp_path, monkeypatch):
    monkeypatch.setattr(_memory, "_of_address_space", lambda root: ())
    files, expected = SYSTEMS[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert _memory.free_bytes(tmp_path) == expected


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(999, "999 bytes"), (1000, "1 kB"), (24_000_000_000, "24 GB"), (10**19, "1e+04 PB")],
)
def test_sizes_as_people_read_them(n_bytes, text):
    assert _memory.readable(n_bytes) == text


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(_memory, "free_bytes", lambda root: 300 * MIB)


def test_a_training_that_does_not_fit_names_the_numbers(little):
    likes = sp.csr_array((np.ones(1, np.float32), ([0], [0])), shape=(1_000_000, 3))
    with pytest.raises(MemoryError, match="users and 3 items with n_dims=100 would need"):
        Trainer(verbose=False).fit(likes)
    few = sp.csr_array((np.ones(1, np.float32), ([0], [0])), shape=(1000, 3))
    Trainer(n_epochs=1, temperature=0.2, verbose=False).fit(few)


@pytest.mark.parametrize("method", ["recommend", "similar_items", "similar_users", "popular"])
def test_more_results_than_fit_are_refused(little, method):
    model = Model(np.zeros((4, 2)), np.ones((5, 2)))
    ask = {
        "recommend": model.recommend,
        "similar_items": model.similar_items,
        "similar_users": model.similar_users,
        "popular": MostPopular(sp.csr_array(np.ones((4, 5)))).recommend,
    }[method]
    with pytest.raises(MemoryError, match=r"n=1,000,000,000 results for each of 2 queries"):
        ask([0, 1], n=10**9)
    assert len(ask(0, n=7)[0]) == 7


def test_an_index_for_more_results_than_items_is_built():
    model = Model(np.zeros((4, 2)), np.ones((5, 2))).build_index("exact", recall=0.9, n=10**9)
    assert model.index_info["n"] == 5


def test_the_limit_of_the_address_space_counts():
    (outcome,) = nursery.outcomes([("scenarios.little_address_space", [])])
    assert outcome.status == 0, outcome.output
    assert "n_dims=2048 would need" in outcome.output


@pytest.mark.parametrize(
    ("raised", "is_memory"),
    [
        (RuntimeError("Not enough memory: addPoint failed"), True),  # hnswlib
        (ValueError("Out of memory!"), True),  # USearch
        (RuntimeError(os.strerror(errno.EAGAIN)), True),  # a thread that did not start
        (type("PanicException", (BaseException,), {})("no object"), True),  # safetensors
        (RuntimeError("no path is left in memory lane"), False),
        (KeyError("Out of memory!"), False),  # whose text is a name in a file
    ],
)
def test_what_libraries_raise_for_want_of_memory(raised: BaseException, is_memory: bool) -> None:
    with pytest.raises(MemoryError if is_memory else type(raised)), memory_errors():
        raise raised


def test_room_is_looked_for_and_not_kept() -> None:
    for _ in range(3):
        check_room("nothing", 1 << 40)  # more than machines have: none of it is used
    with pytest.raises(MemoryError, match="too much may need up to"):
        check_room("too much", 1 << 60)


def test_room_is_looked_for_for_all_threads() -> None:
    assert can_start_threads(2)
    assert not can_start_threads(1 << 40)


def test_one_thread_at_a_time_is_started_to_see_whether_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine they run late, and each has a stack."""
    waiting: list[Callable[[], None]] = []
    monkeypatch.setattr(_threads, "_probing", _threads.threading.Lock())
    monkeypatch.setattr(
        _threads._thread, "start_new_thread", lambda function, _: waiting.append(function)
    )
    for n_ended in range(3):
        assert all(can_start_threads(2) for _ in range(5))
        assert len(waiting) == n_ended + 1
        waiting[-1]()


# Files of which Python objects are made, each much larger than the file.
OF_OBJECTS = {
    "csv": b"user,item\n" + b"1,2\n" * 50_000,
    "jsonl": b'{"user":1,"item":2}\n' * 20_000,
    "adjacency": b"1 " * 100_000,
    "netflix": b"1:\n" * 50_000 + b"1,2,2005-01-02\n",
}


@pytest.mark.parametrize("format", OF_OBJECTS)
def test_room_is_looked_for_before_objects_are_made(
    monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Where they leave none for an integer, some versions of Python would loop without end."""
    map_bytes = _memory.mmap.mmap

    def map_few(descriptor: int, n_bytes: int, **given: Any) -> Any:
        if n_bytes > MIB:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return map_bytes(descriptor, n_bytes, **given)

    monkeypatch.setattr(_memory.mmap, "mmap", map_few)
    with pytest.raises(MemoryError, match="may need up to"):
        load_interactions(OF_OBJECTS[format], format=format)
