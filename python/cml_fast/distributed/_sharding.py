"""What each worker holds: some successive users with all their likes, and a share of the items."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

# Fewer would hardly spare any time.
LEAST_SHARES = 16


def user_bounds(indptr: np.ndarray, n_workers: int) -> np.ndarray:
    """Cut the users into successive ranges with about as many likes each.

    Parameters
    ----------
    indptr : numpy.ndarray, (n_users + 1,)
        Of the likes, as in CSR.
    n_workers : int
        At most as many as there are users with likes.

    Returns
    -------
    numpy.ndarray, (n_workers + 1,), int64
        Worker w has the users from ``bounds[w]`` to ``bounds[w + 1]``, of whom at least one has
        likes.
    """
    indptr = indptr.astype(np.int64)
    with_likes = np.flatnonzero(np.diff(indptr))
    # Likes up to the end of each user with likes; a cut lies behind the one nearest to its share.
    ends = indptr[with_likes + 1]
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, n_workers) // n_workers) + 1
    n = len(with_likes)
    for at in range(n_workers - 1):  # each worker has at least one of them, and leaves some
        least = cuts[at - 1] + 1 if at else 1
        cuts[at] = min(max(cuts[at], least), n - (n_workers - 1 - at))
    bounds = np.zeros(n_workers + 1, dtype=np.int64)
    bounds[1:-1] = with_likes[cuts - 1] + 1
    bounds[-1] = len(indptr) - 1
    return bounds


def item_bounds(n_items: int, n_shares: int) -> np.ndarray:
    """Cut the items into successive ranges of about the same length, (n_shares + 1,), int64.

    Ranges are empty if there are fewer items than shares.
    """
    return np.arange(n_shares + 1, dtype=np.int64) * n_items // n_shares


def default_shares(n_workers: int, n_items: int, n_dims: int) -> int:
    """Into how many shares the items are cut; a worker of its own combines each of them.

    With more shares the sums are ready sooner, but the process that called `fit` names a parcel of
    each worker for each share. The least time of a round on a network of 10 Gbit/s is near this
    number, by the model in benchmarks/studies/distributed.py. The result is the same with any.
    """
    return min(n_workers, max(LEAST_SHARES, round(math.sqrt(n_items * n_dims) / 64)))


def default_rounds(n_workers: int) -> int:
    """Rounds of an epoch that cost less than 1% of recall on average: see many-workers.md."""
    return min(n_workers, 4)


def default_epochs(n_pairs: int, n_workers: int) -> int:
    """Epochs between states that are accepted: see `Rounds`.

    As many as have ten million pairs of a worker, half a minute of a core, which may be lost; at
    least one, and at most four, with which little time goes into what a state costs: an exchange
    that is not hidden, and copies of all vectors.
    """
    return min(max(10_000_000 * n_workers // n_pairs, 1), 4)


@dataclass(frozen=True)
class Rounds:
    """The rounds of a training, numbered from 0 over all epochs.

    After some epochs, and after the last one, the workers wait until all changes have arrived. That
    state is accepted: copies of it are made, to go back to. When that is does not depend on time,
    because it changes the vectors.

    Attributes
    ----------
    per_epoch : int
    n_epochs : int
    epochs_between : int
        States are accepted after so many epochs, twice as many, and so on.
    """

    per_epoch: int
    n_epochs: int
    epochs_between: int

    @property
    def total(self) -> int:
        return self.per_epoch * self.n_epochs

    def epoch_of(self, number: int) -> int:
        return number // self.per_epoch

    def first_of(self, epoch: int) -> int:
        return epoch * self.per_epoch

    def ends_epoch(self, number: int) -> bool:
        return (number + 1) % self.per_epoch == 0

    def accepted_after(self, number: int) -> int:
        """The round before which a state is accepted next, once ``number`` is trained."""
        epochs = (self.epoch_of(number) // self.epochs_between + 1) * self.epochs_between
        return self.first_of(min(epochs, self.n_epochs))

    def samples(self, number: int, n_pairs: int, granularity: int) -> tuple[int, int]:
        """The samples [begin, end) of a worker with ``n_pairs`` likes in a round, over all epochs.

        They begin and end at multiples of ``granularity`` from the start of the epoch, or at its
        end. A worker with few likes may have none in some rounds.
        """
        epoch, part = divmod(number, self.per_epoch)
        n_units = -(-n_pairs // granularity)
        begin, end = (
            min(n_units * at // self.per_epoch * granularity, n_pairs) for at in (part, part + 1)
        )
        return epoch * n_pairs + begin, epoch * n_pairs + end


def rows_of(likes: sp.csr_array, begin: int, end: int) -> sp.csr_array:
    """The likes of the users [begin, end)."""
    first, last = likes.indptr[begin], likes.indptr[end]
    return sp.csr_array(
        (
            likes.data[first:last],
            likes.indices[first:last],
            (likes.indptr[begin : end + 1] - first).astype(np.int64),
        ),
        shape=(end - begin, likes.shape[1]),
    )
