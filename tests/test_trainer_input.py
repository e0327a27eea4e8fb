"""What the trainer is given: parameters and data, good, odd and wrong; and what it says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from cml_fast import Trainer
from cml_fast.data import synthetic

NAMED = synthetic(60, 40, 500, n_tastes=4).interactions
TRAIN = NAMED.matrix
SHAPE = TRAIN.shape


def trainer(**params: Any) -> Trainer:
    """Small, fast and, on the CPU, the same every time."""
    small = {"n_dims": 8, "n_negatives": 5, "n_epochs": 2, "verbose": False}
    return Trainer(**{**small, "n_threads": 1, "device": "cpu", **params})


def vectors(fitted: Trainer) -> np.ndarray:
    return np.concatenate([fitted.model_.user_vectors, fitted.model_.item_vectors])


def assert_same(one: Trainer, other: Trainer) -> None:
    np.testing.assert_array_equal(vectors(one), vectors(other))


# Conventions of scikit-learn


def test_parameters_are_kept_as_given() -> None:
    given = {"n_dims": np.int64(4), "margin": 1, "random_state": np.random.default_rng(0)}
    one = trainer(**given)
    before = one.get_params()
    one.fit(TRAIN)
    assert before.keys() == vars(Trainer()).keys()
    for name, value in before.items():
        assert getattr(one, name) is value
    for name, value in given.items():
        assert before[name] is value


def test_record_in_the_model() -> None:
    given = {"random_state": np.int64(7), "margin": Fraction(1, 2), "patience": None}
    described = trainer(**given).fit(TRAIN).model_
    assert described.hyperparameters["random_state"] == 7
    assert described.hyperparameters["margin"] == 0.5
    assert described.hyperparameters["patience"] is None
    assert not {"verbose", "warm_start"} & described.hyperparameters.keys()
    seeded = trainer(random_state=np.random.default_rng(7)).fit(TRAIN).model_
    assert "PCG64" in seeded.hyperparameters["random_state"]


def test_nothing_is_checked_before_fit() -> None:
    one = Trainer(n_dims="many", device="abacus")
    assert one.get_params()["n_dims"] == "many"
    assert one.set_params(n_epochs=-1) is one
    assert one.n_epochs == -1
    assert not hasattr(one, "model_")


def test_unknown_parameter_changes_nothing() -> None:
    one = trainer()
    before = one.get_params()
    with pytest.raises(ValueError, match=r"'n_dim'.*n_dims"):
        one.set_params(margin=9.0, n_dim=3)
    assert one.get_params() == before
    assert not hasattr(one, "n_dim")


def test_clone_has_parameters_but_no_model() -> None:
    one = trainer(margin=0.7, random_state=3).fit(TRAIN)
    copy = clone(one)
    assert copy.get_params() == one.get_params()
    assert not hasattr(copy, "model_")
    assert_same(copy.fit(TRAIN), one)


def test_repr_names_what_differs_from_the_defaults() -> None:
    assert repr(Trainer()) == "Trainer()"
    same = Trainer().margin
    assert repr(Trainer(n_dims=10, margin=same, device="cpu")) == "Trainer(n_dims=10, device='cpu')"


def test_parameter_grid() -> None:
    grid = ParameterGrid({"n_dims": [2, 5], "margin": [0.5, 2.0]})
    tried = [clone(trainer()).set_params(**choice).fit(TRAIN) for choice in grid]
    assert sorted((t.model_.user_vectors.shape[1], t.margin) for t in tried) == [
        *((2, 0.5), (2, 2.0), (5, 0.5), (5, 2.0))
    ]


# Good data


def weighted() -> sp.csr_array:
    matrix = TRAIN.copy()
    matrix.data = np.arange(matrix.nnz, dtype=np.float32) % 3 + 1
    return matrix


def with_indices(matrix: Any, dtype: type) -> Any:
    names = ("row", "col") if matrix.format == "coo" else ("indices", "indptr")
    for name in names:
        setattr(matrix, name, getattr(matrix, name).astype(dtype))
    return matrix


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("value_type", [np.float32, np.float64, np.int16, bool])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix])
def test_formats(container: type, kind: str, value_type: type, index_type: type) -> None:
    matrix = with_indices(container(weighted().astype(value_type)).asformat(kind), index_type)
    assert isinstance(matrix, sp.sparray) == (container is sp.csr_array)
    assert matrix.dtype == value_type
    same = TRAIN if value_type is bool else weighted()
    assert_same(trainer().fit(matrix), trainer().fit(same))


def arrays_of(matrix: Any) -> dict[str, np.ndarray]:
    names = ("data", "indices", "indptr", "row", "col")
    return {name: getattr(matrix, name) for name in names if hasattr(matrix, name)}


@pytest.mark.filterwarnings("ignore:train")
@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("messy", [False, True])
def test_input_is_not_modified(device: str, kind: str, messy: bool) -> None:
    train, validation = (sp.csr_array(m).asformat(kind) for m in (weighted(), TRAIN[::-1]))
    validation.data[:] = TRAIN.toarray().sum() / TRAIN.nnz  # other values than those of train
    if messy:
        row, column = np.nonzero(TRAIN.toarray())
        values = np.append(np.arange(row.size) % 3, [1.0, 2.0])[::-1]
        train = sp.coo_array(
            (values, (np.append(row, row[:2])[::-1], np.append(column, column[:2])[::-1])), SHAPE
        )
        if kind != "coo":  # by hand, because scipy would sort and merge
            major, minor = (train.row, train.col) if kind == "csr" else (train.col, train.row)
            order = np.argsort(-minor * 1000 - np.arange(minor.size) % 2, kind="stable")
            order = order[np.argsort(major[order], kind="stable")]
            size = SHAPE[kind == "csc"]
            indptr = np.append(0, np.cumsum(np.bincount(major, minlength=size)))
            build = sp.csr_array if kind == "csr" else sp.csc_array
            train = build((values[order], minor[order], indptr), shape=SHAPE)
            assert not train.has_sorted_indices
    validation = sp.csr_array(TRAIN.toarray() == 0, dtype=np.float32).asformat(kind)
    before = [
        {name: array.copy() for name, array in arrays_of(m).items()} for m in (train, validation)
    ]
    for matrix in (train, validation):
        for array in arrays_of(matrix).values():
            array.flags.writeable = False  # not even for a while
    trainer(device=device).fit(train, validation=validation)
    for matrix, copies in zip((train, validation), before, strict=True):
        for name, array in arrays_of(matrix).items():
            np.testing.assert_array_equal(array, copies[name])
            assert array.dtype == copies[name].dtype
