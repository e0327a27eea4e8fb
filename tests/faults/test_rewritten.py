"""What `fit` and `fold_in_users` were given may be changed while they train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast import EpochReport, Trainer
from cml_fast._training import fold_in

SHAPE = (200, 120)


def _matrix(density: float) -> sp.csr_array:
    drawn = np.random.default_rng(int(100 * density)).random(SHAPE)
    return sp.csr_array((drawn < density).astype(np.float32))


def _far(matrix: sp.csr_array) -> None:
    matrix.indices[:] = np.iinfo(np.int32).max


def _negative(matrix: sp.csr_array) -> None:
    matrix.indices[:] = np.iinfo(np.int32).min


def _offsets(matrix: sp.csr_array) -> None:
    matrix.indptr[:] = 2**30


def _values(matrix: sp.csr_array) -> None:
    matrix.data[:] = np.nan


def _train(loss: str, spoil: Callable[[sp.csr_array], None] | None) -> Trainer:
    train, validation, features = _matrix(0.1), _matrix(0.02), _matrix(0.05)

    def callback(trainer: Trainer, report: EpochReport) -> None:
        if spoil is not None:
            for matrix in (train, validation, features):
                spoil(matrix)

    temperature = {"temperature": 0.2} if loss == "softmax" else {}
    trainer = Trainer(
        n_dims=8, n_epochs=3, loss=loss, device="cpu", update="sync", random_state=0, verbose=False,
        **temperature,
    )  # fmt: skip
    return trainer.fit(train, validation=validation, user_features=features, callbacks=[callback])


@pytest.mark.filterwarnings("ignore:validation")
@pytest.mark.parametrize("loss", ["softmax", "warp"])
@pytest.mark.parametrize("spoil", [_far, _negative, _offsets, _values])
def test_matrices_rewritten_by_a_callback(loss: str, spoil: Callable[[sp.csr_array], None]) -> None:
    spoilt, clean = _train(loss, spoil), _train(loss, None)
    assert np.array_equal(spoilt.model_.item_vectors, clean.model_.item_vectors)
    assert np.array_equal(spoilt.model_.user_vectors, clean.model_.user_vectors)
    recalls = [[report.recall for report in one.history_] for one in (spoilt, clean)]
    assert recalls[0] == recalls[1]


@pytest.mark.filterwarnings("ignore:validation")
@pytest.mark.parametrize("spoil", [_far, _negative, _offsets, _values])
def test_likes_rewritten_while_users_are_folded_in(
    spoil: Callable[[sp.csr_array], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _train("softmax", None).model_
    likes = _matrix(0.1)[:5]
    expected = model.fold_in_users(likes.copy())
    make_job = fold_in.make_job

    def spoiling(*args: Any) -> Any:
        spoil(likes)
        return make_job(*args)

    monkeypatch.setattr(fold_in, "make_job", spoiling)
    assert np.array_equal(model.fold_in_users(likes), expected)
