"""Training on a `Dataset`, whose likes stay in their files."""

import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer, vectors

from cml_fast import Trainer
from cml_fast._training import fit_inputs, likes, memory, trials
from cml_fast._training.hyperparameters import check_settings
from cml_fast.data import Dataset, Interactions, split, synthetic
from cml_fast.errors import DataError

MADE = synthetic(200, 120, 5000, n_tastes=4).interactions
MATRIX = MADE.matrix
PARTS = 512  # pairs of a part: ten of them
COUNTS = MATRIX.copy()
COUNTS.data = np.random.default_rng(0).pareto(1.2, COUNTS.nnz).astype(np.float32) + 1


def made(folder: Path, matrix: sp.csr_array = MATRIX, **ids: Any) -> Dataset:
    return Dataset._write(matrix, folder / "likes", **ids)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return made(tmp_path_factory.mktemp("mapped"), user_ids=MADE.user_ids, item_ids=MADE.item_ids)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of some users only, as with likes that are millions of times as many."""
    monkeypatch.setattr(likes, "PAIRS", 300)


def digest(fitted: Trainer) -> str:
    return hashlib.sha256(vectors(fitted).tobytes()).hexdigest()


# --- the same bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", ["linear", "saturating", "binary"])
def test_the_bits_are_those_of_the_matrix(
    tmp_path: Path, weighting: str, small_blocks: None
) -> None:
    for matrix in (MATRIX, COUNTS):
        folder = tmp_path / str(matrix is COUNTS)
        one = trainer(pairs_per_part=PARTS, weighting=weighting)
        other = trainer(pairs_per_part=PARTS, weighting=weighting)
        assert digest(one.fit(made(folder, matrix))) == digest(other.fit(matrix))
        for report, expected in zip(one.history_, other.history_, strict=True):
            assert report.loss == expected.loss
        for name in ("user_counts", "item_counts"):
            found, wanted = (getattr(each.model_, name) for each in (one, other))
            np.testing.assert_array_equal(found, wanted)


def test_the_order_is_another_one_in_parts() -> None:
    whole, parts = (trainer(pairs_per_part=n).fit(MATRIX) for n in (None, PARTS))
    assert digest(whole) != digest(parts)
    assert digest(trainer(pairs_per_part=8192).fit(MATRIX)) == digest(whole)


def test_parts_of_a_data_set_are_large_unless_said(dataset: Dataset) -> None:
    fitted = trainer().fit(dataset)
    assert_same(fitted, trainer().fit(MADE))  # fewer pairs than a part
    inputs = fit_inputs.check_fit_inputs(trainer(), dataset, None, (), None, None)
    assert inputs.settings.pairs_per_part == 2**22
    np.testing.assert_array_equal(fitted.model_.user_ids, MADE.user_ids)
    np.testing.assert_array_equal(fitted.model_.item_ids, MADE.item_ids)
    fitted.model_.recommend(MADE.user_ids[:2], ids=True)


def test_first_vectors_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    features = sp.random_array((120, 10), density=0.2, rng=np.random.default_rng(1))
    for item_features in (None, sp.csr_array(features)):
        fits = []
        for n_pairs in (10**6, 300, 1):
            monkeypatch.setattr(likes, "PAIRS", n_pairs)
            fits.append(trainer(n_epochs=1).fit(MATRIX, item_features=item_features))
        for other in fits[1:]:
            assert_same(fits[0], other)


def test_the_maps_themselves_are_trained_on(dataset: Dataset) -> None:
    inputs = fit_inputs.check_fit_inputs(trainer(), dataset, None, (), None, None)
    assert np.shares_memory(inputs.trained.indices, dataset.indices)
    assert np.shares_memory(inputs.trained.indptr, dataset.indptr)
    for _, block in likes.blocks(inputs.likes):
        assert np.shares_memory(block.indices, dataset.indices)


def test_choices_are_those_of_the_matrix_where_the_sample_is_all(dataset: Dataset) -> None:
    free = {"temperature": None, "user_retention": None, "pairs_per_part": 8192}
    one, other = (trainer(**free).fit(train) for train in (dataset, MADE))
    assert (one.temperature_, one.user_retention_) == (other.temperature_, other.user_retention_)
    assert_same(one, other)


def test_choices_rest_on_some_users(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials.sampled, "__defaults__", (2000,))
    seen = []
    split_all = trials.of_users

    def spied(given: Any, users: np.ndarray) -> sp.csr_array:
        seen.append(len(users))
        return split_all(given, users)

    monkeypatch.setattr(trials, "of_users", spied)
    fitted = trainer(temperature=None, user_retention=None).fit(dataset)
    assert fitted.temperature_ is not None
    assert seen
    assert all(40 < n < 120 for n in seen)
    train, validation = split(MADE, (0.8, 0.2))
    given = made(tmp_path, train.matrix, user_ids=MADE.user_ids, item_ids=MADE.item_ids)
    fitted = trainer(temperature=None, user_retention=None).fit(given, validation=validation)
    assert fitted.temperature_ is not None


def test_validation_is_measured_as_with_the_matrix(tmp_path: Path) -> None:
    train, validation = split(MADE, (0.8, 0.2))
    dataset = made(tmp_path, train.matrix, user_ids=MADE.user_ids, item_ids=MADE.item_ids)
    one, other = (trainer().fit(given, validation=validation) for given in (dataset, train))
    assert one.history_[-1].recall == other.history_[-1].recall
    assert_same(one, other)
    with pytest.warns(UserWarning, match="of its pairs are in train too"):
        trainer().fit(dataset, validation=train)
    foreign = Interactions(validation.matrix, MADE.user_ids[::-1], MADE.item_ids)
    with pytest.raises(DataError, match="validation must have the ids of train"):
        trainer().fit(dataset, validation=foreign)


def test_features_and_warm_start(dataset: Dataset) -> None:
    features = sp.csr_array(np.eye(120, 7, dtype=np.float32))
    one, other = (trainer(n_hidden=4).fit(each, item_features=features) for each in (dataset, MADE))
    assert_same(one, other)
    twice = trainer(warm_start=True).fit(dataset)
    assert_same(twice.fit(dataset), trainer(n_epochs=4).fit(MADE))


def test_counts_are_recognised(tmp_path: Path, small_blocks: None) -> None:
    with pytest.warns(UserWarning, match="as unequal as raw counts"):
        one = trainer().fit(made(tmp_path, COUNTS))
    assert one.weighting_ == "saturating"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trainer().fit(made(tmp_path / "equal")).weighting_ == "linear"


# --- checkpoints --------------------------------------------------------------------------------


def test_a_training_is_resumed_with_the_same_data_set(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    whole = trainer(n_epochs=4, pairs_per_part=PARTS).fit(dataset)

    def stop(*_: Any) -> bool:
        raise KeyboardInterrupt

    begun = trainer(n_epochs=4, pairs_per_part=PARTS)
    with pytest.raises(KeyboardInterrupt):
        begun.fit(dataset, callbacks=[stop], checkpoint=folder, checkpoint_every=0.3)
    reversed_users = sp.csr_array(MATRIX[::-1])
    other = made(tmp_path, reversed_users, user_ids=MADE.user_ids, item_ids=MADE.item_ids)
    for wrong in (other, MADE):
        with pytest.raises(DataError, match="was made with other training data"):
            Trainer.resume(folder, wrong)
    assert_same(Trainer.resume(folder, Dataset.open(dataset.path), verbose=False), whole)


def test_the_likes_are_not_hashed(dataset: Dataset, tmp_path: Path) -> None:
    trainer().fit(dataset, checkpoint=tmp_path / "checkpoint")
    stored = json.loads((tmp_path / "checkpoint" / "checkpoint.json").read_text())
    assert dataset.token in json.dumps(stored)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "position", "value", "fault"),
    [
        ("indices", -1, 120, r"has items outside \[0, 120\)"),
        ("indices", 0, -1, r"has items outside \[0, 120\)"),
        ("indices", 1, 0, "ascending and distinct"),
        ("weights", 7, 0, "not finite and positive"),
        ("weights", -1, np.nan, "not finite and positive"),
        ("weights", 0, np.inf, "not finite and positive"),
    ],
)
def test_damaged_likes(
    tmp_path: Path, array: str, position: int, value: float, fault: str, small_blocks: None
) -> None:
    given = made(tmp_path, COUNTS)
    np.lib.format.open_memmap(given.path / f"{array}.npy", "r+")[position] = value
    one = trainer()
    with pytest.raises(DataError, match=f"train: .*likes .*{fault}"):
        one.fit(given)
    assert not hasattr(one, "model_")


def test_what_needs_a_matrix_says_so(dataset: Dataset) -> None:
    fitted = trainer().fit(dataset)
    for call, name in (
        (lambda: fitted.score(MADE), "score"),
        (lambda: fitted.partial_fit(MADE), "partial_fit"),
        (lambda: fitted.forget(users=[MADE.user_ids[0]]), "forget"),
    ):
        with pytest.raises(ValueError, match=f"{name} needs the likes .* were in a Dataset; "):
            call()
    assert fitted.fit(MADE).score(MADE) > 0


def test_a_disk_without_room_for_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = made(tmp_path, COUNTS)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(OSError, match=r"temporary file of 2\d.* kB, and .* has 100 bytes free"):
        trainer(weighting="linear").fit(given)
    trainer(weighting="binary").fit(given)


def test_more_memory_than_there_is(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cml_fast._memory.free_bytes", lambda root: 10**4)
    monkeypatch.setattr("cml_fast._memory.SMALL", 0)
    one = trainer()
    with pytest.raises(MemoryError, match=r"200 users and 120 items .* need .* 10 kB are free"):
        one.fit(dataset)
    assert not hasattr(one, "model_")


def test_memory_and_time_are_told(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = trainer(verbose=True, n_epochs=7).fit(dataset)
    text = capsys.readouterr().err
    assert "of memory beside the likes, and an epoch about" in text
    assert "of which there are 7 at most" in text
    assert_same(told, trainer(n_epochs=7).fit(dataset))


# --- memory -------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from cml_fast import Trainer
from cml_fast.data import Dataset
def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field + ":"))
def fit(path):
    one = Trainer(n_dims=4, n_negatives=1, n_epochs=1, temperature=0.3, user_retention=1.0,
                  device="cpu", n_threads=1, verbose=False, batch_size=2**16)
    return one.fit(Dataset.open(path))
fit(sys.argv[1])  # loads what is loaded once
limit = status("VmData") + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # what is not a map of a file
print(fit(sys.argv[2]).history_[0].loss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_likes(tmp_path: Path) -> None:
    """Likes of 128 MB, with weights, are trained on in 56 MB beside what is loaded."""
    n_users, n_items, each = 16_000, 2000, 1000
    rng = np.random.default_rng(0)
    first = rng.integers(n_items - each, size=n_users, dtype=np.int32)
    indices = (first[:, None] + np.arange(each, dtype=np.int32)).ravel()
    weights = rng.random(len(indices), dtype=np.float32) + np.float32(0.5)
    indptr = np.arange(n_users + 1, dtype=np.int64) * each
    large = sp.csr_array((weights, indices, indptr), shape=(n_users, n_items))
    folders = {}
    for name, matrix in (("small", large[:50]), ("large", large)):
        folders[name] = made(tmp_path / name, sp.csr_array(matrix)).path
    bound = 56 << 20
    assert large.data.nbytes + large.indices.nbytes > 2 * bound
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, folders.values()), str(bound)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def test_the_estimate_covers_what_is_kept() -> None:
    """Vectors, averages, a copy and the model are more than a training of so many objects keeps."""
    settings = check_settings(Trainer(n_dims=16).get_params(), (1000, 500))
    least = memory.memory_bytes(settings, (1000, 500), validated=False)
    assert least == 1500 * 4 * (16 + 1 + 16 + 2 * (16 + 1))  # a bias adds one
    assert memory.memory_bytes(settings, (1000, 500), validated=True) > 2 * 1500 * 4 * (16 + 17)
