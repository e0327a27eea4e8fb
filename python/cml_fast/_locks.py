"""Locks on folders, between processes and between threads.

The lock is on the folder itself, so that it needs no file of its own, and the system releases it
when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def lock_for_writing(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Make a folder if it is absent, and let no other process write to it; yield if it was absent.

    Raises BlockingIOError if another process has the lock and this one is not to wait for it.
    """
    operation = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        created = False
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            created = True
        with contextlib.ExitStack() as stack:
            try:
                descriptor = stack.enter_context(_locked(folder, operation))
                is_there = os.path.samestat(os.fstat(descriptor), os.stat(folder))
            except FileNotFoundError:
                is_there = False
            if is_there:
                yield created
                return
            # The process that had the lock before has removed the folder: make it anew.


@contextlib.contextmanager
def lock_for_reading(folder: Path) -> Iterator[None]:
    """Wait until nobody writes to a folder, and let nobody begin to."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def _locked(folder: Path, operation: int) -> Iterator[int]:
    """Lock a folder and yield its file descriptor.

    Where the file system has no such locks, as some network file systems, this does nothing.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield descriptor
    finally:
        # Closing would not unlock it if another thread has forked the process meanwhile.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
