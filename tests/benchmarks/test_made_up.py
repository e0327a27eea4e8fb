"""The made-up kinds of data: what they promise, and that their parts are sound."""

import numpy as np
import pytest

from benchmarks.common import datasets, made_up


@pytest.mark.parametrize("name", ["tiny", "one like", "blocks"])
def test_parts_are_disjoint_and_repeat(name: str) -> None:
    parts = [part.matrix for part in datasets.load(name, seed=1)]
    again = [part.matrix for part in datasets.load(name, seed=1)]
    other = [part.matrix for part in datasets.load(name, seed=2)]
    whole = sum(parts[1:], parts[0])
    assert whole.nnz == sum(part.nnz for part in parts)
    assert (whole != sum(other[1:], other[0])).nnz == 0  # the seed only splits
    for part, same, split in zip(parts, again, other, strict=True):
        assert part.nnz > 0
        assert (part != same).nnz == 0
        assert (part != split).nnz > 0
    assert (np.diff(parts[0].indptr) >= 1).all()


def test_one_like_is_one() -> None:
    for part in datasets.load("one like"):
        assert (np.diff(part.matrix.indptr) == 1).all()


def test_unknown_names_are_told() -> None:
    reason = datasets.why_absent("no such kind")
    assert reason is not None and all(name in reason for name in made_up.KINDS)
