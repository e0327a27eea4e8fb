"""Models whose users are in parts, without Ray."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import scipy.sparse as sp
from support.no_ray import NoRay

from cml_fast import Model, Trainer
from cml_fast._persistence.parts import Parts
from cml_fast._search import bulk
from cml_fast.data import Dataset, Interactions
from cml_fast.distributed import PartitionedModel, fit
from cml_fast.distributed._parts import prepare, write_whole
from cml_fast.distributed._worker import worker_class
from cml_fast.errors import DataError, ModelError

N_USERS, N_ITEMS = 50, 30
USER_IDS = [f"user {at}" for at in range(N_USERS)]


def some_likes() -> sp.csr_array:
    likes = np.random.default_rng(0).random((N_USERS, N_ITEMS)) < 0.2
    likes[[3, 30]] = False  # without likes: they get popular items
    return sp.csr_array(likes.astype(np.float32))


COLD = pytest.mark.filterwarnings("ignore:.* users have no likes in training:UserWarning")

LIKES = some_likes()


def a_model(seed: int = 0, **arguments: Any) -> Model:
    rng = np.random.default_rng(seed)
    return Model(
        rng.standard_normal((N_USERS, 4), dtype=np.float32),
        rng.standard_normal((N_ITEMS, 4), dtype=np.float32),
        **{
            "user_ids": USER_IDS,
            "item_ids": np.arange(N_ITEMS) + 100,
            "hyperparameters": {"n_dims": 4},
            "history": [{"epoch": 0}],
            "user_counts": LIKES.sum(1).astype(np.int64),
            "item_counts": LIKES.sum(0).astype(np.int64),
            **arguments,
        },
    )


MODEL = a_model()
INTERACTIONS = Interactions(LIKES, MODEL.user_ids, MODEL.item_ids)
MANIFEST, PART = "partitioned.json", "users-00000-0001.parquet"


@pytest.fixture
def written(tmp_path: Path) -> PartitionedModel:
    return PartitionedModel.of(MODEL, tmp_path / "model", users_per_part=20)


def assert_the_same(parts: list[Model], model: Model) -> None:
    """Together the parts have the users of a model, and each of them has its items."""
    for name in ("user_vectors", "user_ids", "user_counts"):
        whole = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(whole, getattr(model, name))
    for part in parts:
        for name in ("item_vectors", "item_ids", "item_counts"):
            np.testing.assert_array_equal(getattr(part, name), getattr(model, name))
        for name in ("hyperparameters", "history", "version"):
            assert getattr(part, name) == getattr(model, name)


def test_what_workers_write_is_the_model(tmp_path: Path) -> None:
    folder = f"file://{tmp_path}/model"
    prepare(folder)
    entries = []
    for number, (first, last) in enumerate([(0, 13), (13, 40), (40, 50)]):
        worker = worker_class(NoRay)()
        worker.shard = SimpleNamespace(
            next_round=7,
            arrived=7,
            number=number,
            likes=LIKES[first:last],
            vectors=lambda own=MODEL.user_vectors[first:last]: (own, None),
        )
        entries += worker.write_users(
            7, folder, MODEL.user_ids[first:last], MODEL.item_vectors.shape[1]
        )
    about = {name: getattr(MODEL, name) for name in ("hyperparameters", "history", "version")}
    items = MODEL.item_vectors, MODEL.item_ids, MODEL.item_counts
    write_whole(folder, entries, *items, about)
    partitioned = PartitionedModel.open(folder)
    assert (partitioned.shape, partitioned.n_parts) == ((N_USERS, N_ITEMS), 3)
    assert_the_same(list(partitioned.parts()), MODEL)
    (tmp_path / "model" / entries[1].name).unlink()
    with pytest.raises(FileNotFoundError, match=r"users-00001-0000\.parquet was written by a wor"):
        write_whole(folder, entries, *items, about)


def test_parts_are_tables_that_others_read(written: PartitionedModel) -> None:
    paths = sorted(Path(written.folder).glob("users-*.parquet"))
    tables = [pyarrow.parquet.read_table(path) for path in paths]
    assert [len(table) for table in tables] == [20, 20, 10]
    assert tables[1].to_pylist()[0] == {
        "id": "user 20",
        "vector": MODEL.user_vectors[20].tolist(),
        "likes": int(LIKES[20].sum()),
    }
    assert str(tables[0].schema.field("vector").type).endswith("[4]")


def test_ids_and_counts_may_be_missing(tmp_path: Path) -> None:
    model = Model(MODEL.user_vectors, MODEL.item_vectors)
    parts = list(PartitionedModel.of(model, tmp_path, users_per_part=49).parts())
    assert [part.user_ids.tolist() for part in parts] == [[*range(49)], [49]]
    assert parts[0].user_ids.dtype == np.int64
    assert parts[0].user_counts is None


@COLD
@pytest.mark.parametrize("kind", ["none", "matrix", "interactions"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_recommendations_are_those_of_the_model(
    written: PartitionedModel, tmp_path: Path, kind: str, suffix: str
) -> None:
    exclude = {"matrix": LIKES.tocoo(), "interactions": INTERACTIONS}.get(kind)
    options = {"filter_items": [107, 109], "ids": True, "cold_users": "popular"}
    alone = MODEL.recommend_all(tmp_path / f"alone.{suffix}", 5, exclude, **options)
    found = written.recommend_all(tmp_path / f"parts.{suffix}", 5, exclude, **options)
    if suffix == "csv":
        assert found.read_bytes() == alone.read_bytes()
    else:
        assert pyarrow.parquet.read_table(found) == pyarrow.parquet.read_table(alone)
    assert not list(tmp_path.glob("*.parts"))


@COLD
def test_likes_in_files_are_left_out_of_recommendations(tmp_path: Path) -> None:
    likes = Dataset._write(LIKES, tmp_path / "likes", part_pairs=100)
    model = a_model(user_ids=likes.user_ids, item_ids=likes.item_ids)
    partitioned = PartitionedModel.of(model, tmp_path / "model", users_per_part=20)
    alone = model.recommend_all(tmp_path / "alone.csv", 5, LIKES)
    assert partitioned.recommend_all(tmp_path / "parts.csv", 5, likes).read_bytes() == (
        alone.read_bytes()
    )


@COLD
@pytest.mark.parametrize("n_done", [1, 3])
def test_an_interrupted_call_goes_on(
    written: PartitionedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_done: int
) -> None:
    monkeypatch.setattr(bulk, "USERS", 8)  # the parts have 20, 20 and 10 users: 8 pieces
    write, done = Parts.write, []

    def write_some(self: Parts, at: int, table: Any) -> None:
        if len(done) == n_done:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, at, table)
        done.append(at)

    out = tmp_path / "recs.csv"
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "write", write_some)
        with pytest.raises(OSError, match="No space left"):
            written.recommend_all(out, 3)
        assert not out.exists()
        with pytest.raises(FileExistsError, match="were made with another exclude"):
            written.recommend_all(out, 3, LIKES)
        with pytest.raises(FileExistsError, match="were made with another model"):
            PartitionedModel.of(a_model(1), tmp_path / "other").recommend_all(out, 3)
        n_done = 8
        written.recommend_all(out, 3)
    assert len(done) == 8
    assert out.read_bytes() == MODEL.recommend_all(tmp_path / "alone.csv", 3).read_bytes()
    assert not list(tmp_path.glob("*.parts"))


@COLD
@pytest.mark.parametrize(
    ("exclude", "error", "message"),
    [
        (LIKES[:, 1:], DataError, r"exclude must have shape \(50, 30\) .*got \(50, 29\)"),
        (LIKES.toarray(), TypeError, "exclude must be a scipy.sparse matrix .*got ndarray"),
        (Interactions(LIKES, USER_IDS[::-1], MODEL.item_ids), DataError, r"exclude\.user_ids are"),
        (Interactions(LIKES, USER_IDS, range(30)), DataError, r"exclude\.item_ids are not"),
    ],
)
def test_likes_of_others_are_refused(
    written: PartitionedModel,
    tmp_path: Path,
    exclude: Any,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        written.recommend_all(tmp_path / "recs.csv", exclude=exclude)
    with pytest.raises(ValueError, match="an index, which a partitioned model does not"):
        written.recommend_all(tmp_path / "recs.csv", approximate=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_users_without_likes_are_told_of_once(written: PartitionedModel, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 50 users have no likes in training") as warned:
        written.recommend_all(tmp_path / "recs.csv")
    assert [warning.filename for warning in warned] == [__file__]
    with pytest.raises(ValueError, match="2 users have no likes in training: set cold_users='p"):
        written.recommend_all(tmp_path / "recs2.csv", cold_users="error")
    vectors = written.recommend_all(tmp_path / "vectors.csv", cold_users="vector")
    alone = MODEL.recommend_all(tmp_path / "alone.csv", cold_users="vector")
    assert vectors.read_bytes() == alone.read_bytes()


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@COLD
def test_damaged_folders_are_refused(written: PartitionedModel, tmp_path: Path) -> None:
    part, manifest = (Path(written.folder) / name for name in (PART, MANIFEST))
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    message = rf"{PART} has {len(content) - 1} bytes instead of {len(content)}: it is truncated"
    with pytest.raises(ModelError, match=message):
        PartitionedModel.open(written.folder)
    with pytest.raises(ModelError, match=message):
        list(written.parts())
    other = Path(PartitionedModel.of(a_model(1), tmp_path / "other", users_per_part=20).folder)
    shutil.copy(other / PART, part)
    with pytest.raises(ModelError, match=f"{PART} .* of another model"):
        list(PartitionedModel.open(written.folder).parts())
    part.unlink()
    with pytest.raises(ModelError, match=f"{PART} is missing: the model is incomplete"):
        PartitionedModel.open(written.folder)
    with pytest.raises(ModelError, match=f"{PART} is missing: the model is incomplete"):
        written.recommend_all(tmp_path / "recs.csv")
    part.write_bytes(content)
    assert_the_same(list(PartitionedModel.open(written.folder).parts()), MODEL)
    for change, message in (
        (lambda record: record["files"].pop(), "is damaged or was edited by hand"),
        (lambda record: record.update(format=2), "has format 2, and this release .* reads 1"),
        (lambda record: record.update(kind="x"), "is not the manifest of a partitioned model"),
    ):
        edit(manifest, change)
        with pytest.raises(ModelError, match=rf"partitioned\.json {message}"):
            PartitionedModel.open(written.folder)
    manifest.write_text("{")
    with pytest.raises(ModelError, match=r"partitioned\.json is damaged: "):
        PartitionedModel.open(written.folder)


def test_a_folder_is_not_written_over(written: PartitionedModel, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="model holds a model: give another folder"):
        prepare(written.folder)
    (Path(written.folder) / MANIFEST).unlink()  # as a call leaves it that was interrupted
    with pytest.raises(ModelError, match=r"has no partitioned\.json: it is no such model, or inc"):
        PartitionedModel.open(written.folder)
    with pytest.raises(
        ModelError, match=r"\.parquet has no partitioned\.json: it is no such model"
    ):
        PartitionedModel.open(Path(written.folder, PART))
    prepare(written.folder)
    assert not list(Path(written.folder).iterdir())
    (tmp_path / "likes.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds '(likes\.csv|model)': give an"):
        prepare(str(tmp_path))
    assert (tmp_path / "likes.csv").read_text() == "mine"


def test_models_with_features_are_refused(tmp_path: Path) -> None:
    model = a_model(placed_users=np.arange(N_USERS) == 3)
    with pytest.raises(ValueError, match="model was trained with features"):
        PartitionedModel.of(model, tmp_path / "model")
    with pytest.raises(TypeError, match="model must be a Model, got dict"):
        PartitionedModel.of({}, tmp_path / "model")  # type: ignore[arg-type]
    assert not (tmp_path / "model").exists()


def test_fit_refuses_folders_before_it_starts_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    (tmp_path / "likes.csv").write_text("mine")
    options: dict[str, Any] = {"n_workers": 2, "address": "nowhere"}
    with pytest.raises(FileExistsError, match=r"holds 'likes\.csv': give an empty or a new folder"):
        fit(LIKES, Trainer(verbose=False), out=tmp_path, **options)
    folder = str(tmp_path / "both")
    with pytest.raises(ValueError, match="out and checkpoint must be two folders"):
        fit(LIKES, Trainer(verbose=False), out=folder, checkpoint=folder, **options)
