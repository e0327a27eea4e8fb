"""Groups of workers that gather arrays from each other by a library of Ray's collectives.

NCCL sends arrays from GPU to GPU. A worker that is lost leaves the others waiting for it in a call
that cannot be ended, so then all workers are started anew, with a group of another name.

A thread of a worker gathers, while another one trains. Ray orders what it does on a GPU with CUDA's
default stream only, so the thread that gathers works in that one, and the other one in a stream
that does not wait for it. A thread ends by waiting for its stream before the other one reads what
it wrote. It keeps what it read until then, because CuPy gives away again what is let go of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def problem(backend: str) -> str | None:
    """Why this process cannot gather by a backend, or None."""
    try:
        from ray.util import collective
    except ImportError as error:
        return f"ray.util.collective cannot be imported: {error}"
    if collective.is_backend_available(backend):
        return None
    return f"{backend} is not there: CuPy finds it where NVIDIA's NCCL is installed"


class Group:
    """Member ``number`` of a group; all members call `gather` in the same order.

    Parameters
    ----------
    backend : str
        As Ray names it, such as "nccl".
    name : str
    n_workers, number : int
    xp : module
        The namespace of the arrays that are gathered.

    Attributes
    ----------
    n : int
        How many members there are.
    """

    def __init__(self, backend: str, name: str, n_workers: int, number: int, xp: Any) -> None:
        from ray.util import collective

        self._collective, self._name, self._xp, self.n = collective, name, xp, n_workers
        self._own_stream = None
        if hasattr(xp, "cuda"):
            xp.cuda.Stream.null.synchronize()  # all that was loaded is there
            self._own_stream = xp.cuda.Stream(non_blocking=True)
        collective.init_collective_group(n_workers, number, backend, name)

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Work on the GPU beside the thread that gathers; at the end that work is done."""
        if self._own_stream is None:
            yield
            return
        with self._own_stream:
            yield
        self._own_stream.synchronize()

    def gather(self, array: Any) -> list[Any]:
        """The arrays of all members, of one shape and dtype, in the order of their numbers."""
        found = [self._xp.empty_like(array) for _ in range(self.n)]
        self._collective.allgather(found, array, self._name)
        return found

    def wait(self) -> None:
        """Wait for what was gathered, and for what was computed from it."""
        if self._own_stream is not None:
            self._xp.cuda.Stream.null.synchronize()

    def leave(self) -> None:
        """Nothing is left of the group when all have left."""
        self._collective.destroy_collective_group(self._name)
