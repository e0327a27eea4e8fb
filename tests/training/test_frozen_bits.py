"""Trained vectors stay the same to the bit when the code changes.

frozen_bits.json holds the SHA-256 (first 16 digits) of trained vectors for every loss, update,
optimizer and several numbers of dimensions. They were written before the package was divided into
sub-packages, by the code of that time. Whoever changes results on purpose writes them again:

    python tests/training/test_frozen_bits.py

What BLAS computes (features, covariance) is left out: its bits differ between machines.
"""

import functools
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast import Trainer

FILE = Path(__file__).with_name("frozen_bits.json")
N_USERS, N_ITEMS = 120, 150
LOSSES = ("warp", "shared_warp", "softmax", "contrastive")
UPDATES = ("sync", "async")
OPTIMIZERS = ("adagrad", "rowwise_adagrad")
DIMS = (1, 31, 33, 100, 300)
OVERLAP = "ignore:validation. .* of its pairs are in train too"
CASES = list(itertools.product(LOSSES, UPDATES, OPTIMIZERS, DIMS))


def digest(*arrays):
    """The first 16 hexadecimal digits of the SHA-256 of these arrays."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]


@functools.cache
def likes(n_draws=2400):
    """Random weighted likes: a few items are popular."""
    rng = np.random.default_rng(3)
    users = rng.integers(N_USERS, size=n_draws)
    items = (N_ITEMS * rng.random(n_draws) ** 2).astype(np.int64)
    pairs = np.unique(users * N_ITEMS + items)
    weights = rng.uniform(0.5, 3, len(pairs)).astype(np.float32)
    return sp.csr_array((weights, divmod(pairs, N_ITEMS)), shape=(N_USERS, N_ITEMS))


# --- what is not ours to keep -----------------------------------------------------------------


def first_vectors(n_dims, random_state):
    """The vectors that training begins with, made from NumPy alone: no code of the package."""
    generator = np.random.default_rng(random_state)
    generator.integers(2**63)  # the seed of the kernels
    tables = []
    for n_rows in (N_USERS, N_ITEMS):
        rows = generator.standard_normal((n_rows, n_dims), dtype=np.float32)
        rows *= np.float32(1 / np.sqrt(n_dims))
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        tables.append(rows * (np.float32(1) / np.maximum(norms, np.float32(1))))
    return digest(*tables)


def drawn_by_numpy():
    given = {f"likes/{n}": digest(*csr(likes(n))) for n in (300, 600, 2400)}
    return given | {f"first vectors/{n}": first_vectors(n, 1) for n in DIMS}


def csr(matrix):
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data


@pytest.fixture(scope="module")
def frozen():
    """The hashes on record, where NumPy draws the same data and first vectors as it did then."""
    record = json.loads(FILE.read_text())
    for name, expected in record["drawn by NumPy"].items():
        if drawn_by_numpy()[name] != expected:
            pytest.skip(
                f"NumPy {np.__version__} draws other {name} than NumPy {record['numpy']}, with "
                "which the hashes were recorded"
            )
    return record["trained"]


# --- what is ----------------------------------------------------------------------------------

# The defaults of the time when the hashes were recorded.
OF_THAT_TIME = {"learning_rate": 0.1, "learning_rate_decay": 0.0, "popularity_weight": 0.0}


def trained(loss, update, optimizer, n_dims):
    chosen = {"temperature": 0.3, "user_retention": 0.3} if loss == "softmax" else {}
    options = OF_THAT_TIME | chosen
    if update == "sync":
        options["batch_size"] = 100
    model = (
        Trainer(
            loss=loss,
            update=update,
            optimizer=optimizer,
            n_dims=n_dims,
            n_epochs=2,
            n_threads=1,
            device="cpu",
            random_state=1,
            verbose=False,
            **options,
        )
        .fit(likes())
        .model_
    )
    return digest(model.user_vectors, model.item_vectors)


@functools.cache
def averaged_model(loss):
    """With an exponential moving average; "softmax" chooses its temperature by the validation."""
    trainer = Trainer(
        loss=loss,
        n_dims=20,
        n_epochs=3,
        n_threads=1,
        device="cpu",
        random_state=2,
        verbose=False,
        ema_decay=0.5,
        **OF_THAT_TIME,
    )
    return trainer.fit(likes(), validation=likes(300)).model_


def averaged(loss):
    model = averaged_model(loss)
    return digest(model.user_vectors, model.item_vectors)


def folded_in(loss):
    return digest(averaged_model(loss).fold_in_users(likes(600)[:20]))


def biased():
    """The heights of items by which a default popularity bias raises distances."""
    options = OF_THAT_TIME | {"popularity_weight": None, "temperature": 0.3, "user_retention": 0.3}
    trainer = Trainer(n_dims=20, n_epochs=2, device="cpu", random_state=1, verbose=False, **options)
    return digest(trainer.fit(likes()).model_.item_vectors[:, 20])


@pytest.mark.parametrize(("loss", "update", "optimizer", "n_dims"), CASES)
def test_trained_vectors(frozen, loss, update, optimizer, n_dims):
    expected = frozen[f"{loss}/{update}/{optimizer}/{n_dims}"]
    assert trained(loss, update, optimizer, n_dims) == expected


@pytest.mark.filterwarnings(OVERLAP)
@pytest.mark.parametrize("loss", LOSSES)
def test_averaged_vectors(frozen, loss):
    assert averaged(loss) == frozen[f"{loss}/ema"]


@pytest.mark.filterwarnings(OVERLAP)
@pytest.mark.parametrize("loss", LOSSES)
def test_folded_in_users(frozen, loss):
    assert folded_in(loss) == frozen[f"{loss}/fold_in"]


def test_popularity_bias(frozen):
    assert biased() == frozen["popularity bias"]


if __name__ == "__main__":
    hashes = {"/".join(map(str, case)): trained(*case) for case in CASES}
    hashes |= {f"{loss}/ema": averaged(loss) for loss in LOSSES}
    hashes |= {f"{loss}/fold_in": folded_in(loss) for loss in LOSSES}
    hashes["popularity bias"] = biased()
    record = {"numpy": np.__version__, "drawn by NumPy": drawn_by_numpy(), "trained": hashes}
    FILE.write_text(json.dumps(record, indent=1) + "\n")
