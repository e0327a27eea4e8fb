"""Splitting interactions into parts for training, validation and test.

A new kind of split is a function in `_splitting` and a line here.
"""

from ._splitting.at_random import split
from ._splitting.by_time import split_by_time
from ._splitting.cold import split_items, split_users
from ._splitting.k_fold import k_fold
from ._splitting.parts import Split, SplitReport
from ._splitting.per_user import leave_one_out, split_last

# Each takes interactions and returns a `Split`; `k_fold` makes an iterator of them.
SPLITS = (split, split_by_time, split_last, leave_one_out, split_users, split_items)

__all__ = [
    "SPLITS",
    "Split",
    "SplitReport",
    "k_fold",
    "leave_one_out",
    "split",
    "split_by_time",
    "split_items",
    "split_last",
    "split_users",
]
