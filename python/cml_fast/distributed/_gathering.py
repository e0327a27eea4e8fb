"""Groups of workers that gather arrays from each other by a library of Ray's collectives.

NCCL sends arrays from GPU to GPU. A worker that is lost leaves the others waiting for it in a call
that cannot be ended, so then all workers are started anew, with a group of another name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .._compute.array_api import namespace_of


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
    """Member ``number`` of a group; all members call the same methods in the same order.

    Parameters
    ----------
    backend : str
        As Ray names it, such as "nccl".
    name : str
    n_workers, number : int

    Attributes
    ----------
    n : int
        How many members there are.
    """

    def __init__(self, backend: str, name: str, n_workers: int, number: int) -> None:
        from ray.util import collective

        self._collective, self._name, self.n = collective, name, n_workers
        collective.init_collective_group(n_workers, number, backend, name)

    def gather(self, array: Any) -> list[Any]:
        """The arrays of all members, of one shape and dtype, in the order of their numbers."""
        xp = namespace_of(array)
        found = [xp.empty_like(array) for _ in range(self.n)]
        with _nothing_under_way(xp):
            self._collective.allgather(found, array, self._name)
        return found

    def leave(self) -> None:
        """Nothing is left of the group when all have left."""
        self._collective.destroy_collective_group(self._name)


@contextlib.contextmanager
def _nothing_under_way(xp: Any) -> Iterator[None]:
    """Begin and end when a GPU has done what it was told to.

    Ray calls NCCL in a stream of its own, with which only CUDA's legacy default stream is ordered.
    """
    if not hasattr(xp, "cuda"):
        yield
        return
    xp.cuda.get_current_stream().synchronize()
    with xp.cuda.Stream.null:
        yield
    xp.cuda.Device().synchronize()
