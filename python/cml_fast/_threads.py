"""Threads: how many there may be, work that they share, and a limit for those of BLAS."""

from __future__ import annotations

import _thread
import collections
import contextlib
import functools
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

from ._cgroups import folders_of
from ._memory import check_room
from ._validation.scalars import check_int

MAX_THREADS = 4096
# The period of a cgroup's quota in microseconds, where its file does not say.
DEFAULT_PERIOD = 100_000
# What a thread gets for its stack where no limit says it.
LARGE_STACK = 8 << 20
# Address space that malloc of glibc reserves for a thread.
ARENA = 64 << 20


def thread_count(n_threads: int | None) -> int:
    """Return ``n_threads``, checked, or the number of cores that are ours for None."""
    if n_threads is None:
        return usable_cores()
    return check_int("n_threads", n_threads, 1, MAX_THREADS)


def usable_cores() -> int:
    """Cores that this process may use: by its affinity, and by the CPU quota of its cgroup."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota = cgroup_quota(Path("/"))
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


@functools.cache
def cgroup_quota(root: Path) -> float | None:
    """How many cores' time the cgroups of this process may use; None without a limit.

    Parameters
    ----------
    root : path
        The folder with ``proc`` and ``sys``.
    """
    quotas = []
    for version, folder in folders_of(root, "cpu"):
        with contextlib.suppress(OSError, ValueError):  # no such file, or nothing we know
            quotas.append(_quota_v2(folder) if version == 2 else _quota_v1(folder))
    limited = [quota for quota in quotas if quota is not None]
    return min(limited) if limited else None


def _quota_v2(folder: Path) -> float | None:
    quota, *period = (folder / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period[0] if period else DEFAULT_PERIOD)


def _quota_v1(folder: Path) -> float | None:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    return None if quota < 0 else quota / int((folder / "cpu.cfs_period_us").read_text())


def map_in_threads(
    n_threads: int, function: Callable[..., Any], *arguments: Iterable[Any]
) -> list[Any]:
    """Return ``[*map(function, *arguments)]``, computed in any order in up to so many threads.

    One of them is the caller's. A thread that does not start, or has no memory to begin with, is
    done without; `threading.Thread.start` would wait for the latter without end. After the first
    exception nothing more is begun, and it is raised when all that was begun is over.
    """
    calls = list(zip(*arguments, strict=True))
    results: list[Any] = [None] * len(calls)
    left = collections.deque(range(len(calls)))
    begun: list[Any] = []
    failures: list[BaseException] = []

    def work(ended: Any) -> None:
        begun.append(ended)  # before anything is taken from `left`
        try:
            while left and not failures:
                try:
                    at = left.popleft()
                except IndexError:  # another thread took the last one
                    return
                results[at] = function(*calls[at])
        except BaseException as error:
            failures.append(error)
        finally:
            ended.release()

    for _ in range(min(n_threads, len(calls)) - 1):
        try:
            _thread.start_new_thread(work, (_taken_lock(),))
        except (RuntimeError, MemoryError):
            break
    work(_taken_lock())
    for ended in list(begun):  # threads that begin later find nothing left
        ended.acquire()
    if failures:
        raise failures[0]
    return results


def can_start_threads(n: int, n_bytes: int = 0) -> bool:
    """Return whether the system would start ``n`` threads now, which need so many further bytes.

    For libraries that wait without end, or end the process, where a thread of theirs does not
    start or gets no memory. One is started here, and address space for all is asked for and given
    back: to start all would take a millisecond for four, and a hundred for those of a large
    machine. None is started while an earlier one has not ended: on a busy machine they would be
    hundreds, with a stack each.
    """
    try:
        if _probing.acquire(blocking=False):
            try:
                _thread.start_new_thread(_probing.release, ())
            except BaseException:
                _probing.release()
                raise
        check_room("threads", n * (_stack_bytes() + ARENA) + n_bytes)
    except (RuntimeError, MemoryError):
        return False
    return True


def startable_threads(n_threads: int) -> int:
    """Return so many threads, or 1 where they do not all start.

    For libraries that end the process where one of several does not start, as hnswlib and USearch.
    """
    return n_threads if n_threads == 1 or can_start_threads(n_threads) else 1


def _stack_bytes() -> int:
    """What a thread of a library gets for its stack."""
    if sys.platform == "win32":
        return LARGE_STACK
    import resource

    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return LARGE_STACK if limit == resource.RLIM_INFINITY else limit


def _taken_lock() -> Any:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


# Taken while a thread that `can_start_threads` has started is there.
_probing = _thread.allocate_lock()

_lock = threading.Lock()
# The limits that are in force, each with its thread, and what each BLAS library had before the
# first of them.
_limits: list[tuple[int, int]] = []
_before: list[tuple[Any, int]] = []


@contextlib.contextmanager
def blas_threads(limit: int) -> Iterator[None]:
    """Let BLAS use at most ``limit`` threads in this block.

    BLAS has one number for all threads of a process. So the lowest limit of the blocks that run at
    a time holds for all of them, and after the last one the number is what it was before the first.
    """
    with _lock:
        if not _limits:
            _before[:] = [(library, library.get_num_threads()) for library in blas_libraries()]
        _limits.append((threading.get_ident(), limit))
        _apply_limits()
    try:
        yield
    finally:
        with _lock:
            _limits.remove((threading.get_ident(), limit))
            _apply_limits(ours=True)


def _apply_limits(*, ours: bool = False) -> None:
    """Set what the limits in force amount to; ``ours``: a thread of ours may have set the number.

    threadpoolctl lets the first thread that sets the number of OpenBLAS's threads set it again,
    and ignores the others. The limits here are of several threads, so whichever of them has to set
    it takes over from the one before.
    """
    for library, n_threads in _before:
        wanted = min([n_threads, *(limit for _, limit in _limits)])
        if library.get_num_threads() != wanted:
            if ours or len(_limits) > 1:
                _release(library)
            library.set_num_threads(wanted)
            if not _limits:
                _release(library)


def _forget_other_threads() -> None:
    """In a forked child, where only one thread is left, drop the limits of the others."""
    global _probing
    _probing = _thread.allocate_lock()
    _limits[:] = [one for one in _limits if one[0] == threading.get_ident()]
    _apply_limits(ours=True)
    _lock.release()


# So that no thread has the lock that is not there after a fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_forget_other_threads,
    )


def _release(library: Any) -> None:
    # Before threadpoolctl 3.8, and for other libraries, every thread may set the number.
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread(force=True)


def blas_libraries() -> list[Any]:
    """The BLAS libraries that are loaded, NumPy's among them.

    Looking for them takes a while, so it is done again only if more modules are loaded than before:
    one of them may have brought another library, as SciPy does.
    """
    return _libraries_with(len(sys.modules))


@functools.lru_cache(maxsize=1)
def _libraries_with(n_modules: int) -> list[Any]:
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
