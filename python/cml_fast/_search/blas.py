"""Matrix products in several threads of ours, without further threads of the BLAS library.

Small products in parallel are several times as fast if each runs on one core: the threads of
OpenBLAS would wait for each other, and spin while they do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
_entered = 0
_limits: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread for each caller, in the whole process, during a block.

    The first of several blocks that overlap sets the limit, and the last one lifts it.
    """
    global _entered, _limits
    with _lock:
        if _entered == 0:
            _limits = _controller().limit(limits=1, user_api="blas")
        _entered += 1
    try:
        yield
    finally:
        with _lock:
            _entered -= 1
            if _entered == 0:
                _limits.restore_original_limits()


@cache
def _controller() -> Any:
    # Only once, because looking through the loaded libraries takes a few milliseconds.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
