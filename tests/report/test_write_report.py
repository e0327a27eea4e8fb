"""The report: its figures are those of the evaluation, and no text of a user is markup."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from reports import Page, fitted, map_like, read

from cml_fast import Model
from cml_fast._report.sections.popularity import gini, popularity_parts
from cml_fast._report.sections.segments import by_group, by_likes
from cml_fast.baselines import MostPopular, RandomItems
from cml_fast.data import Interactions
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate
from cml_fast.metrics import METRICS
from cml_fast.report import write_report

MODEL, TRAIN, VALIDATION, TEST = fitted()
KS = (5, 20)


def report(tmp_path: Path, **given: Any) -> Page:
    out = tmp_path / "report.html"
    arguments = {"model": MODEL, "train": TRAIN, "test": TEST, "exclude": VALIDATION, "ks": KS}
    assert write_report(**{**arguments, "out": out, "overwrite": True, **given}) == out
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    return read(out.read_bytes())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return report(tmp_path_factory.mktemp("report"))


def measured(metrics: tuple[str, ...] = ("recall", "ndcg", "hit_rate"), **given: Any) -> Any:
    models = {
        "this model": MODEL,
        "most popular items": MostPopular(TRAIN),
        "random items": RandomItems(TRAIN),
    }
    return {
        name: evaluate(one, TEST, [TRAIN, VALIDATION], KS, train=TRAIN, metrics=metrics, **given)
        for name, one in models.items()
    }


def test_figures_are_those_of_evaluate(page: Page) -> None:
    names = {"Recall": "recall", "NDCG": "ndcg", "Hit rate": "hit_rate"}
    for title, metric in names.items():
        head, *rows = page.tables[f"{title}@5"]
        assert head == ["", "recommender", "mean", "95% interval"]
        expected = []
        for k in KS:
            for name, found in measured().items():
                low, high = found.intervals(metric)[k]
                label = f"{title if title == 'NDCG' else title.lower()}@{k}"
                mean = found.means(metric)[k]
                expected.append([label, name, f"{mean:.4f}", f"{low:.4f} to {high:.4f}"])
        assert rows == expected


def test_popularity_is_that_of_evaluate(page: Page) -> None:
    found = measured(("coverage", "popularity"))
    rows = {row[0]: row[1:] for row in page.tables["Coverage and concentration"][1:]}
    assert rows.keys() == {"likes in training", *found}
    for name, one in found.items():
        coverage, _, popularity = rows[name]
        assert abs(float(coverage.rstrip("%")) / 100 - one.means("coverage")[5]) <= 0.005
        assert popularity == f"{one.means('popularity')[5]:.0f}"


def test_shares_of_the_parts_add_up_to_all(page: Page) -> None:
    rows = page.tables["Who gets the recommendations: items by popularity"][1:]
    assert len(rows) == 10
    for column in range(1, 5):
        assert abs(sum(float(row[column].rstrip("%")) for row in rows) - 100) <= 3  # rounded


def test_users_of_the_segments_add_up_to_all(page: Page) -> None:
    found = measured()["this model"]
    rows = page.tables["Recall@5 by the user's likes in training"][1:]
    counts = np.array([int(row[1]) for row in rows])
    recalls = np.array([float(row[2]) for row in rows])
    assert len(rows) == 5 and counts.sum() == len(found.users)
    assert (counts * recalls).sum() / counts.sum() == pytest.approx(found.recall[5], abs=1e-4)


def test_item_segments_are_those_of_evaluate(page: Page) -> None:
    segments = measured(segments=True)["this model"].segments
    rows = page.tables["Recall@5 by the popularity of the held-out items"][1:]
    assert [row[0] for row in rows] == [name for name in segments if "items" in name]
    for name, _, recall, *_ in rows:
        assert recall == f"{segments[name].recall[5]:.4f}"


def test_groups_of_users(tmp_path: Path) -> None:
    groups = ["odd" if row % 2 else "even" for row in range(len(MODEL.user_ids))]
    groups[0] = None  # type: ignore[call-overload]
    found = measured()["this model"]
    by_id = dict(zip(MODEL.user_ids.tolist(), groups, strict=True))
    for given in (groups, by_id):
        rows = report(tmp_path, user_groups=given).tables["Recall@5 by group of users"][1:]
        recall = {row[0]: row[2] for row in rows}
        assert sum(int(row[1]) for row in rows) == len(found.users)
        assert recall["odd"] == f"{found.subset(found.users % 2 == 1).recall[5]:.4f}"
        assert recall["not known"] == f"{found.subset(found.users == 0).recall[5]:.4f}"


@pytest.mark.parametrize(
    "counts", [[0, 0, 1, 1, 1], [5], [0], [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000], [3] * 9]
)
def test_each_user_is_in_one_group_by_likes(counts: list[int]) -> None:
    groups = by_likes(np.array(counts))
    assert all(mask.any() for mask in groups.values())
    assert np.sum(list(groups.values()), axis=0).tolist() == [1] * len(counts)


def test_small_groups_are_put_together() -> None:
    labels = [str(at) for at in range(15)] + ["0"]
    groups = by_group([*labels, None])
    assert next(iter(groups)) == "0" and list(groups)[-1] == "others" and len(groups) == 11
    assert np.sum(list(groups.values()), axis=0).tolist() == [1] * 17


def test_gini() -> None:
    assert gini(np.array([4, 4, 4])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    x = np.array([1, 5, 2, 9])
    pairs = np.abs(x[:, None] - x).mean() / (2 * x.mean())  # the definition
    assert gini(x) == pytest.approx(pairs)


def test_tenths_of_the_items() -> None:
    parts = popularity_parts(np.array([1, 30, 2, 2, 5, 9, 0, 0, 7, 1, 1, 1]))
    assert parts[1] == 0 and parts.max() == 9
    assert np.bincount(parts).tolist() == [2, 1, 1, 1, 1, 2, 1, 1, 1, 1]


def test_learning_curves(page: Page) -> None:
    rows = page.tables["Training loss"][1:]
    assert [row[1] for row in rows] == [f"{epoch['loss']:.4f}" for epoch in MODEL.history]
    recalls = [epoch["recall"] for epoch in MODEL.history]
    rows = page.tables["Recall@50 on the validation data"][1:]
    assert [row[1] for row in rows] == [f"{recall:.4f}" for recall in recalls]
    assert f"The ringed epoch, {int(np.argmax(recalls))}, is the best" in page.text


def test_examples(page: Page) -> None:
    users = [title for title in page.tables if title.startswith("User ")]
    counts = np.diff(TRAIN.matrix.indptr)
    likes = [int(counts[int(MODEL.user_rows(name.removeprefix("User ")))]) for name in users]
    assert len(users) == 4 and likes == sorted(likes)
    for name in users:
        user = int(MODEL.user_rows(name.removeprefix("User ")))
        known = TRAIN.matrix + VALIDATION.matrix
        rows, distances = MODEL.recommend(user, 10, exclude=known)
        held_out = TEST.matrix[[user]].indices
        for shown, row, distance in zip(page.tables[name][1:], rows, distances, strict=True):
            hit = " ✓ hit" if row in held_out else ""
            because, away = MODEL.explain(user, row, TRAIN, n=1)
            reason = f"{MODEL.item_ids[because[0]]} {away[0]:.2f}"
            assert shown[1:3] == [f"{MODEL.item_ids[row]}{hit}", f"{distance:.4f}"]
            assert shown[4] == reason


def test_the_data(page: Page) -> None:
    head, *rows = page.tables["The data"]
    assert head == ["", "training", "test"]
    table = {row[0]: row[1:] for row in rows}
    assert table["likes"] == [f"{part.matrix.nnz:,}" for part in (TRAIN, TEST)]
    spread = page.tables["Likes of each user"][1:]
    assert sum(int(row[1]) for row in spread) == len(MODEL.user_ids)
    weighted = sum(1 for count in np.diff(TRAIN.matrix.indptr) if 16 <= count <= 31)
    assert next(row[1] for row in spread if row[0] == "16 to 31") == str(weighted)


@pytest.mark.parametrize(
    ("times", "first"),
    [
        (np.array(["2020-01-31", "2024-06-30"], dtype="datetime64[us]"), "2020-01-31"),
        (np.array([1_580_428_800, 1_700_000_000]), "2020-01-31"),
        (np.array([1_580_428_800_000, 1_700_000_000_000]), "2020-01-31"),
        (np.array([3, 8]), "3"),
    ],
)
def test_dates(times: np.ndarray, first: str, tmp_path: Path) -> None:
    n = TRAIN.matrix.nnz
    train = Interactions(TRAIN.matrix, TRAIN.user_ids, TRAIN.item_ids, np.resize(times, n))
    page = report(tmp_path, train=train, test=None)
    table = {row[0]: row[1] for row in page.tables["The data"]}
    assert table["first date"] == first
    title = "Likes over time, by year"
    assert (title in page.tables) == (first != "3")
    if title in page.tables:
        assert sum(int(row[1].replace(",", "")) for row in page.tables[title][1:]) == n


def test_texts_of_users_are_not_markup(tmp_path: Path) -> None:
    evil = "<script>alert('1')</script>&amp;\"'"
    ids = [f"{evil}{row}" for row in range(len(MODEL.item_ids))]
    users = [f"<img src=x onerror=alert(1)>{row}" for row in range(len(MODEL.user_ids))]
    model = Model(MODEL.user_vectors, MODEL.item_vectors, user_ids=users, item_ids=ids)
    for names in (None, dict.fromkeys(ids, f"{evil}\0\ud800")):
        page = report(
            tmp_path,
            model=model,
            train=TRAIN.matrix,
            test=TEST.matrix,
            exclude=[VALIDATION.matrix],
            names=names,
            user_groups=[evil] * len(users),
            title=evil,
        )
        assert not {"script", "img"} & {tag for tag, _ in page.tags}
        assert page.text.lstrip().startswith(evil) and page.text.count(evil) > 50
        assert "<img src=x onerror=alert(1)>" in page.text


def test_nothing_is_loaded(page: Page) -> None:
    policy = next(found["content"] for tag, found in page.tags if "http-equiv" in found)
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    addresses = [
        value
        for _, found in page.tags
        for name, value in found.items()
        if name in ("href", "src", "srcset", "style", "action")
    ]
    assert addresses and all(str(one).startswith(("#", "data:,")) for one in addresses)
    anchors = {found["id"] for _, found in page.tags if "id" in found}
    assert {one[1:] for one in addresses if one and one[0] == "#"} == anchors


def test_charts_have_a_sentence_and_a_table(page: Page) -> None:
    kinds = [tag for tag, _ in page.tags]
    assert kinds.count("svg") >= 8
    assert kinds.count("figcaption") == kinds.count("figure") == kinds.count("svg") + 1
    assert all("aria-label" in found for tag, found in page.tags if tag == "svg")


def test_same_input_same_bytes(tmp_path: Path) -> None:
    pages = []
    for n_threads in (1, 2):
        report(tmp_path, n_threads=n_threads)
        pages.append((tmp_path / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_without_test(tmp_path: Path) -> None:
    page = report(tmp_path, test=None)
    assert "No test set was given" in page.text and "Recall@5" not in page.tables
    assert "Coverage and concentration" in page.tables
    assert sum(title.startswith("User ") for title in page.tables) == 4


def test_a_model_without_history_counts_or_likes(tmp_path: Path) -> None:
    model = Model(MODEL.user_vectors, MODEL.item_vectors)
    matrices = {"train": TRAIN.matrix, "test": TEST.matrix, "exclude": None}
    assert "no record of its epochs" in report(tmp_path, model=model, **matrices).text
    counts = {"user_counts": [0] * 150, "item_counts": [0] * 90}
    model = Model(MODEL.user_vectors, MODEL.item_vectors, **counts)
    assert "has learned nothing of the users" in report(tmp_path, model=model, **matrices).text


def test_users_and_items_without_likes_are_counted(tmp_path: Path) -> None:
    train = TRAIN.matrix.copy()
    train.data[train.indptr[3] : train.indptr[4]] = 0
    train.eliminate_zeros()
    page = report(tmp_path, train=Interactions(train, TRAIN.user_ids, TRAIN.item_ids))
    assert "1 users of the test set have no likes in training" in page.text
    rows = page.tables["Recall@5 by the user's likes in training"]
    assert rows[1][:2] == ["no likes", "1"]


def test_a_map_is_embedded(tmp_path_factory: pytest.TempPathFactory, page: Page) -> None:
    given = tmp_path_factory.mktemp("map") / "map.html"
    given.write_text(map_like("data: https://example.org"))
    found = report(tmp_path_factory.mktemp("report"), map_page=given)
    (frame,) = (attributes for tag, attributes in found.tags if tag == "iframe")
    assert frame["data-page"] == given.read_text() and "srcdoc" not in frame
    policy = next(attributes["content"] for _, attributes in found.tags if "content" in attributes)
    assert policy is not None and "img-src data: https://example.org;" in policy
    # The report's own script and that of the map, and no other.
    assert policy.count("sha256-") == 2 and "script-src 'unsafe" not in policy
    assert "No map was given" in page.text and "script" not in {tag for tag, _ in page.tags}


@pytest.mark.parametrize("content", [b"", b"<html><head></head></html>", b"\xff\xfe", b"id,name"])
def test_what_is_no_map_is_refused(content: bytes, tmp_path: Path) -> None:
    given = tmp_path / "map.html"
    given.write_bytes(content)
    with pytest.raises(
        DataError, match=r"map_page='.*map.html' is not a page that Model.map wrote"
    ):
        write_report(MODEL, TRAIN, out=tmp_path / "report.html", map_page=given)
    with pytest.raises(FileNotFoundError, match=r"absent\.html"):
        write_report(MODEL, TRAIN, out=tmp_path / "r.html", map_page=tmp_path / "absent.html")
    assert list(tmp_path.iterdir()) == [given]


EMPTY = sp.csr_array(TRAIN.matrix.shape, dtype=np.float32)
OTHERS = Interactions(TEST.matrix, [f"x{row}" for row in range(150)], TEST.item_ids)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"model": "model"}, TypeError, "model must be a Model, got str"),
        ({"train": EMPTY}, DataError, "train has no interactions: there is nothing to report"),
        ({"test": EMPTY}, DataError, "test has no interactions: there is nothing to evaluate"),
        ({"test": OTHERS}, DataError, "test.user_ids are not those of the model"),
        ({"train": OTHERS}, DataError, "train.user_ids are not those of the model"),
        ({"test": TEST.matrix[:3]}, DataError, "test must have the shape|test .* shape"),
        ({"exclude": OTHERS}, DataError, "exclude.user_ids are not those of the model"),
        ({"ks": 10}, TypeError, "ks must be a sequence"),
        ({"names": {"no such": "x"}}, DataError, "names has 1 ids that the model does not have"),
        ({"names": ["a"]}, DataError, "names must be 90 values, one for each row"),
        ({"names": "title"}, TypeError, "names must be a dict by id"),
        ({"user_groups": 3}, TypeError, "user_groups must be a dict by id"),
        ({"unknown": "no"}, ValueError, "unknown must be one of"),
        ({"title": 3}, TypeError, "title must be a str, got 3"),
        ({"overwrite": 1}, TypeError, "overwrite must be True or False"),
    ],
)
def test_errors(given: Any, error: type[Exception], message: str, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("old")
    arguments = {"model": MODEL, "train": TRAIN, "test": TEST, "overwrite": True, "out": out}
    with pytest.raises(error, match=message):
        write_report(**{**arguments, **given})
    assert out.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_names_of_other_items_can_be_dropped(tmp_path: Path) -> None:
    names = {MODEL.item_ids[row]: f"Song {row}" for row in range(90)} | {"no such": "x"}
    page = report(tmp_path, names=names, unknown="drop")
    first = next(rows for title, rows in page.tables.items() if title.startswith("User "))[1]
    assert first[1].startswith("Song ") and first[4].startswith("Song ")


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(out: Path, **given: Any) -> None:
        write_report(MODEL, TRAIN, out=out, **given)

    (tmp_path / "there.html").write_text("old")
    with pytest.raises(FileExistsError, match="replace it with overwrite=True"):
        write(tmp_path / "there.html")
    with pytest.raises(FileExistsError, match="is a folder: give the path of a file"):
        write(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"^\S+ cannot be written: there is no folder \S+absent$"
    ):
        write(tmp_path / "absent" / "report.html")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    sentence = r"^\S+there.html cannot be written: No space left on device$"
    with pytest.raises(OSError, match=sentence) as caught:
        write(tmp_path / "there.html", overwrite=True)
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "there.html").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_metrics_are_known() -> None:
    from cml_fast._report import facts

    assert set(facts.METRICS) <= set(METRICS)
