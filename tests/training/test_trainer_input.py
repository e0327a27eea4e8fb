"""What the trainer is given: parameters and data, good, odd and wrong; and what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer, vectors

from cml_fast import Trainer
from cml_fast._compute import devices
from cml_fast._compute.losses import LOSSES
from cml_fast.data import Interactions, synthetic
from cml_fast.errors import DataError, DeviceUnavailable
from cml_fast.evaluation import evaluate

NAMED = synthetic(60, 40, 500, n_tastes=4).interactions
TRAIN = NAMED.matrix
SHAPE = TRAIN.shape


# Conventions of scikit-learn


def test_parameters_are_kept_as_given() -> None:
    given = {"n_dims": np.int64(4), "temperature": 1, "random_state": np.random.default_rng(0)}
    one = trainer(**given)
    before = one.get_params()
    one.fit(TRAIN)
    assert before.keys() == vars(Trainer()).keys()
    for name, value in before.items():
        assert getattr(one, name) is value
    for name, value in given.items():
        assert before[name] is value


def test_record_in_the_model() -> None:
    given = {"random_state": np.int64(7), "temperature": Fraction(1, 2), "patience": None}
    described = trainer(**given).fit(TRAIN).model_
    assert described.hyperparameters["random_state"] == 7
    assert described.hyperparameters["temperature"] == 0.5
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
    base = pytest.importorskip("sklearn.base")
    one = trainer(temperature=0.7, random_state=3).fit(TRAIN)
    copy = base.clone(one)
    assert copy.get_params() == one.get_params()
    assert not hasattr(copy, "model_")
    assert_same(copy.fit(TRAIN), one)


def test_repr_names_what_differs_from_the_defaults() -> None:
    assert repr(Trainer()) == "Trainer()"
    same = Trainer().margin
    assert repr(Trainer(n_dims=10, margin=same, device="cpu")) == "Trainer(n_dims=10, device='cpu')"


def test_parameter_grid() -> None:
    base = pytest.importorskip("sklearn.base")
    selection = pytest.importorskip("sklearn.model_selection")
    grid = selection.ParameterGrid({"n_dims": [2, 5], "temperature": [0.5, 2.0]})
    tried = [base.clone(trainer()).set_params(**choice).fit(TRAIN) for choice in grid]
    assert sorted((t.model_.user_vectors.shape[1], t.temperature) for t in tried) == [
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


def clean(kind: str) -> Any:
    return weighted().asformat(kind)


def messy(kind: str) -> Any:
    """Unsorted; every pair twice, first with weight 0; the first three pairs with nothing else."""
    indptr, indices = 2 * TRAIN.indptr, SHAPE[1] - 1 - np.repeat(TRAIN.indices, 2)
    values = np.tile([0.0, 2.0], TRAIN.nnz)
    values[:6] = 0
    if kind == "coo":
        rows = np.repeat(np.arange(SHAPE[0]), np.diff(indptr))
        return sp.coo_array((values, (rows, indices)), SHAPE)
    if kind == "csc":
        return sp.csc_array((values, indices, indptr), SHAPE[::-1])
    return sp.csr_array((values, indices, indptr), SHAPE)


def arrays_of(matrix: Any) -> list[np.ndarray]:
    names = ("row", "col") if matrix.format == "coo" else ("indices", "indptr")
    return [matrix.data, *(getattr(matrix, name) for name in names)]


@pytest.mark.filterwarnings("ignore:train")
@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("make", [clean, messy])
def test_input_is_not_modified(device: str, make: Callable[[str], Any], kind: str) -> None:
    train = make(kind)
    validation = sp.csr_array(train.toarray() == 0).asformat(kind)
    arrays = [*arrays_of(train), *arrays_of(validation)]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False  # not even for a while
    trainer(device=device).fit(train, validation=validation)
    after = [*arrays_of(train), *arrays_of(validation)]
    for array, same, copy in zip(arrays, after, before, strict=True):
        assert array is same
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_mess_is_counted(kind: str) -> None:
    with pytest.warns() as record:
        one = trainer().fit(messy(kind))
    n = TRAIN.nnz
    assert [str(warning.message) for warning in record] == [
        f"train: {n} duplicate entries were merged by adding their values",
        "train: 3 explicit zeros were dropped (a zero is no interaction)",
    ]
    assert {warning.filename for warning in record} == {__file__}
    assert one.history_[0].pairs == n - 3
    tidy = sp.csr_array(messy(kind).toarray())
    assert_same(one, trainer().fit(tidy))


def test_mess_in_validation_is_counted() -> None:
    matrix = messy("csr")
    train = sp.csr_array(matrix.toarray() == 0)
    with pytest.warns() as record:
        one = trainer(n_epochs=1).fit(train, validation=matrix)
    assert [str(warning.message)[:15] for warning in record] == [
        f"validation: {TRAIN.nnz}",
        "validation: 3 e",
    ]
    assert {warning.filename for warning in record} == {__file__}
    again = trainer(n_epochs=1).fit(train, validation=sp.csr_array(matrix.toarray()))
    assert again.history_[0].recall == one.history_[0].recall


def test_ids_reach_the_model() -> None:
    users, items = np.arange(60) * 10, np.array([f"item {i}" for i in range(40)])
    one = trainer().fit(Interactions(TRAIN, users, items))
    np.testing.assert_array_equal(one.model_.user_ids, users)
    np.testing.assert_array_equal(one.model_.item_ids, items)
    assert users.flags.writeable
    plain = trainer().fit(TRAIN)
    assert_same(one, plain)
    assert plain.model_.item_ids.tolist() == list(range(40))
    # The next fit's ids are its own.
    one.fit(TRAIN)
    assert one.model_.user_ids.tolist() == list(range(60))


# Bad arguments

INTEGERS = (
    *("n_dims", "n_negatives", "n_epochs", "n_threads", "batch_size"),
    *("patience", "validation_users", "pairs_per_part"),
)
REALS = ("margin", "learning_rate", "max_norm", "temperature", "negative_weight")
BAD_PARAMETERS = [
    *((name, bad, TypeError) for name in INTEGERS for bad in ("3", 3.0, True, [3], np.True_)),
    *((name, None, TypeError) for name in ("n_dims", "n_epochs", "learning_rate", "max_norm")),
    *((name, bad, ValueError) for name in INTEGERS for bad in (0, -1, np.int64(-5))),
    *((name, bad, TypeError) for name in REALS for bad in ("1", True, 1j, [1.0])),
    *(
        (name, bad, ValueError)
        for name in REALS
        for bad in (0, -1.0, np.nan, np.inf, -np.inf, 1e39, 1e-50)  # the last two as float32
    ),
    *(("n_dims", 2049, ValueError), ("n_negatives", 1025, ValueError)),
    *(("n_threads", 4097, ValueError), ("max_norm", 1e7, ValueError)),
    *(("max_norm", 1e-7, ValueError), ("batch_size", 2**24 + 1, ValueError)),
    *(("pairs_per_part", bad, ValueError) for bad in (3, 2**40 - 1, 2**41)),
    *(("update", bad, ValueError) for bad in ("Sync", "", None, 1)),
    *(("loss", bad, ValueError) for bad in ("WARP", "", None, 1)),
    *(("precision", bad, ValueError) for bad in ("float16", "BFLOAT16", "", None, 32)),
    *(("optimizer", bad, ValueError) for bad in ("adam", "", 1)),
    *(("weighting", bad, ValueError) for bad in ("log", "Binary", "", 1)),
    *(("ema_decay", bad, ValueError) for bad in (1, 1.5, -0.1, np.nan)),
    *(("ema_decay", bad, TypeError) for bad in ("0.5", True)),
    *(("learning_rate_decay", bad, ValueError) for bad in (-0.1, 1.5, np.nan)),
    *(("learning_rate_decay", bad, TypeError) for bad in ("0.1", True)),
    *(("temperature", bad, ValueError) for bad in (1e-10, 1e10)),
    *(("device", bad, ValueError) for bad in ("gpu", "CPU", "cuda:0", "", None, 0)),
    *(("random_state", bad, TypeError) for bad in ("0", 1.5, True, [1])),
    ("random_state", -1, ValueError),
    *((name, bad, TypeError) for name in ("warm_start", "verbose") for bad in ("no", 1, None)),
]


# With these, parameters have an effect that have none with the loss of the others.
CONTEXT = {
    name: {"loss": "contrastive", "temperature": None} for name in ("margin", "negative_weight")
}


def refuse(one: Trainer, *args: Any, error: type[Exception], match: str, **options: Any) -> None:
    """Assert that fit fails, and that the trainer is as before, ready to go on."""
    attributes = {name: value for name, value in vars(one).items() if name.endswith("_")}
    assert len(attributes) == 12
    with pytest.raises(error, match=match):
        one.fit(*args, **options)
    assert {name for name in vars(one) if name.endswith("_")} == attributes.keys()
    for name, value in attributes.items():
        assert getattr(one, name) is value
    assert len(one.history_) == 2
    params = {**trainer().get_params(), "warm_start": True}
    assert_same(one.set_params(**params).fit(TRAIN), trainer(n_epochs=4).fit(TRAIN))


@pytest.mark.parametrize(("name", "value", "error"), BAD_PARAMETERS)
def test_bad_parameters(name: str, value: Any, error: type[Exception]) -> None:
    one = trainer(warm_start=True).fit(NAMED).set_params(**{name: value, **CONTEXT.get(name, {})})
    match = rf"{name} must be .*{re.escape(repr(value))}"
    refuse(one, TRAIN, validation=TRAIN, error=error, match=match)
    with pytest.raises(error, match=match):
        trainer(**{name: value, **CONTEXT.get(name, {})}).fit(TRAIN)


@pytest.mark.parametrize("loss", ["warp", "softmax", "contrastive"])
def test_limits_can_be_reached(loss: str) -> None:
    largest = {"n_dims": 2048, "n_negatives": 1024, "n_threads": 4096, "batch_size": 2**24}
    has_margin = "margin" in LOSSES[loss].parameters
    far = {"margin": 1e13} if has_margin else {}
    one = trainer(**largest, **far, loss=loss, max_norm=1e6, n_epochs=1).fit(TRAIN)
    assert one.model_.user_vectors.shape == (60, 2048)
    assert one.history_[0].impostor_share > 0
    near = {"margin": 1e-12} if has_margin else {"temperature": 1e-9}
    small = trainer(**near, loss=loss, max_norm=1e-6, learning_rate=1e-6, n_epochs=1).fit(TRAIN)
    for each in (one, small):
        assert np.isfinite(vectors(each)).all()


def test_unavailable_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda: "it is broken")
    one = trainer(warm_start=True).fit(NAMED).set_params(device="cuda")
    refuse(one, TRAIN, error=DeviceUnavailable, match="device='cuda' .*: it is broken")


def test_unusable_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trainer(warm_start=True).fit(NAMED)
    with monkeypatch.context() as patch:
        patch.setenv(devices.ISA_VARIABLE, "abacus")
        with pytest.raises(ValueError, match="'abacus'"):
            one.fit(TRAIN)
    assert len(one.history_) == 2
    assert_same(one.fit(TRAIN), trainer(n_epochs=4).fit(TRAIN))


def spoiled(**arrays: Any) -> sp.csr_array:
    """TRAIN with one entry of some arrays changed, behind scipy's back."""
    matrix = TRAIN.copy()
    for name, value in arrays.items():
        getattr(matrix, name)[7] = value
    return matrix


BAD_MATRICES = {
    "empty": (sp.csr_array(SHAPE), DataError, "no interactions"),
    "no users": (sp.csr_array((0, 40)), DataError, r"\(0, 40\)"),
    "no items": (sp.csr_array((60, 0)), DataError, r"\(60, 0\)"),
    "NaN": (spoiled(data=np.nan), DataError, "1 NaN or infinite.*row 0, column"),
    "inf": (spoiled(data=np.inf), DataError, "1 NaN or infinite.*row 0, column"),
    "negative": (spoiled(data=-1), DataError, "1 negative.*row 0, column"),
    "beyond": (spoiled(indices=40), DataError, r"outside its shape \(60, 40\)"),
    "before": (spoiled(indices=-1), DataError, r"outside its shape \(60, 40\)"),
    "indptr": (spoiled(indptr=10**6), DataError, "indptr"),
    "dense": (TRAIN.toarray(), TypeError, r"ndarray; wrap it: scipy.sparse.csr_array"),
    "list": ([[0, 1]], TypeError, "list"),
    "path": ("likes.csv", TypeError, "got str"),
    "one-dimensional": (sp.coo_array(np.ones(40)), DataError, "got 1"),
    "complex": (TRAIN.astype(complex), TypeError, "complex128"),
}


@pytest.mark.parametrize("case", BAD_MATRICES)
@pytest.mark.parametrize("name", ["train", "validation"])
def test_bad_matrices(name: str, case: str) -> None:
    matrix, error, fault = BAD_MATRICES[case]
    if name == "validation" and case in ("no users", "no items"):
        fault = rf"must have shape \(60, 40\).*{fault}"
    args = {"train": NAMED, name: matrix}
    match = f"(?s){name} .*{fault}"
    refuse(trainer(warm_start=True).fit(NAMED), error=error, match=match, **args)
    with pytest.raises(error, match=match):
        trainer().fit(**args)


@pytest.mark.parametrize("case", BAD_MATRICES)
def test_bad_matrices_with_ids(case: str) -> None:
    matrix, error, fault = BAD_MATRICES[case]
    by = "train" if case == "empty" else "matrix"  # the others are not taken for Interactions
    with pytest.raises(error, match=f"(?s){by} .*{fault}"):
        trainer().fit(Interactions(matrix, NAMED.user_ids, NAMED.item_ids))


def test_only_zeros() -> None:
    one = trainer(warm_start=True).fit(NAMED)
    with pytest.warns(UserWarning, match="train: 500 explicit zeros"):
        refuse(one, TRAIN * 0, error=DataError, match="train has no interactions")


def test_validation_for_others() -> None:
    swapped = Interactions(TRAIN, NAMED.user_ids[::-1], NAMED.item_ids)
    foreign = Interactions(TRAIN, NAMED.user_ids, np.arange(40))
    for others in (swapped, foreign):
        one = trainer(warm_start=True).fit(NAMED)
        refuse(one, NAMED, validation=others, error=DataError, match="validation .* ids of train")
    small = Interactions(TRAIN[:59], NAMED.user_ids[:59], NAMED.item_ids)
    one = trainer(warm_start=True).fit(NAMED)
    refuse(one, TRAIN, validation=small, error=DataError, match=r"validation .*\(59, 40\)")


def test_repeated_ids() -> None:
    """They are refused before training, not when the model is made."""
    repeated = Interactions(TRAIN, NAMED.user_ids, np.zeros(40, int))
    match = "train.item_ids must be unique"
    refuse(trainer(warm_start=True).fit(NAMED), repeated, error=ValueError, match=match)


@pytest.mark.parametrize("bad", [print, 3, None, [print, "stop"], "stop"])
def test_bad_callbacks(bad: Any) -> None:
    shown = bad[1] if isinstance(bad, list) else bad[0] if isinstance(bad, str) else bad
    one = trainer(warm_start=True).fit(NAMED)
    match = f"callbacks must be .*{re.escape(repr(shown))}"
    refuse(one, TRAIN, callbacks=bad, error=TypeError, match=match)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
@pytest.mark.parametrize(
    "change",
    [{"n_dims": 0}, {"learning_rate": 1e39}, {"device": "gpu"}, {"max_norm": 1e-7}],
    ids=str,
)
def test_refused_fit_draws_nothing(make: Any, change: dict[str, Any]) -> None:
    """Not even where the compiled job is the one that refuses, after the vectors were drawn."""
    one = trainer(random_state=make(3), **change)
    with pytest.raises(ValueError, match="must be"):
        one.fit(TRAIN)
    with pytest.raises(DataError):
        one.fit(sp.csr_array(SHAPE))
    one.set_params(**{name: getattr(trainer(), name) for name in change})
    first = vectors(one.fit(TRAIN))
    np.testing.assert_array_equal(first, vectors(trainer(random_state=make(3)).fit(TRAIN)))
    assert not np.array_equal(first, vectors(one.fit(TRAIN)))  # an accepted one draws


@pytest.mark.parametrize("kind", [np.random.PCG64DXSM, np.random.MT19937, np.random.SFC64])
def test_generators_of_every_kind_move_on(kind: Any) -> None:
    for make in (np.random.Generator, np.random.RandomState):
        one = trainer(random_state=make(kind(3)))
        first = vectors(one.fit(TRAIN))
        assert not np.array_equal(first, vectors(one.fit(TRAIN)))
        np.testing.assert_array_equal(
            first, vectors(trainer(random_state=make(kind(3))).fit(TRAIN))
        )


# What is said


def test_overlap_is_one_warning_for_each_fit() -> None:
    likes = TRAIN.toarray() == 0
    likes[0, TRAIN.indices[0]] = True
    validation = sp.csr_array(likes)
    one = trainer(n_epochs=3, validation_users=None)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"validation: 1 .* in train too") as record:
            one.fit(TRAIN, validation=validation)
        assert len(record) == 1
        assert record[0].filename == __file__
    with pytest.warns(UserWarning, match="1 test items are also excluded"):
        expected = evaluate(one.model_, validation, TRAIN, ks=(50,)).recall[50]
    assert one.history_[one.best_epoch_].recall == expected


def test_verbose_says_where_and_why(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda: "it is broken")
    one = trainer(verbose=True, device="auto", n_threads=3).fit(TRAIN)
    assert (one.device_, one.device_reason_) == ("cpu", "CUDA is off: it is broken")
    out, err = capfd.readouterr()
    assert out == ""
    first, state = err.split("\n", 1)
    assert "cpu" in first
    assert "3 thread(s)" in first
    assert "CUDA is off: it is broken" in first
    assert "epoch 1, loss" in state
    assert "100%" in state


def test_not_verbose_says_nothing(capfd: pytest.CaptureFixture[str], device: str) -> None:
    one = trainer(device=device).fit(TRAIN)
    assert capfd.readouterr() == ("", "")
    assert one.device_ == device
    assert one.device_reason_
