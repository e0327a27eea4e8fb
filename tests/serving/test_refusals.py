"""Requests that are refused: the status, the field, and one sentence."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from support.asgi import ask, post
from support.serving import made_up, need_the_extra

need_the_extra()

from cml_fast.serving import create_app, messages  # noqa: E402

USERS = ["user 0", "user 10"]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("model")
    made_up().save(folder)
    return create_app(folder)


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("/recommend", {"users": ["zoe"]}, 404, "users[0]: the model has no user 'zoe'"),
        ("/recommend", {"users": [7]}, 404, "users[0]: the model has no user 7"),
        ("/similar", {"users": [*USERS, "zoe"]}, 404, "users[2]: the model has no user 'zoe'"),
        ("/similar", {"items": ["no"]}, 404, "items[0]: the model has no item 'no'"),
        ("/fold-in", {"likes": ["no"]}, 404, "likes[0]: the model has no item 'no'"),
        (
            "/recommend",
            {"users": USERS, "exclude": [[], ["no"]]},
            404,
            "exclude[1][0]: the model has no item 'no'",
        ),
        ("/recommend", {}, 422, "users: is missing"),
        ("/recommend", {"user": "user 0"}, 422, "users: is missing"),
        ("/recommend", {"users": USERS, "k": 3}, 422, "k: is not a field of this request"),
        (
            "/recommend",
            {"users": [1.5]},
            422,
            "users[0]: must be an id: an integer or a string, got 1.5",
        ),
        (
            "/recommend",
            {"users": [True]},
            422,
            "users[0]: must be an id: an integer or a string, got True",
        ),
        (
            "/recommend",
            {"users": [2**63]},
            422,
            "users[0]: must fit into 64 bits, or be a string, got 9223372036854775808",
        ),
        ("/recommend", {"users": ["user 0", 3]}, 422, "users: must be all integers or all strings"),
        (
            "/recommend",
            {"users": ["x" * 513]},
            422,
            f"users[0]: must have at most 512 characters, has 513, got '{'x' * 59}...",
        ),
        (
            "/recommend",
            {"users": USERS, "n": 0},
            422,
            "n: input should be greater than or equal to 1, got 0",
        ),
        (
            "/recommend",
            {"users": USERS, "n": 1001},
            422,
            "n: input should be less than or equal to 1000, got 1001",
        ),
        (
            "/recommend",
            {"users": USERS, "n": 2.0},
            422,
            "n: input should be a valid integer, got 2.0",
        ),
        (
            "/recommend",
            {"users": USERS, "n": "2"},
            422,
            "n: input should be a valid integer, got '2'",
        ),
        (
            "/recommend",
            {"users": ["user 0"] * 11, "n": 1000},
            422,
            "n: asks for 11 times 1000 results, at most 10000 are given at once",
        ),
        (
            "/recommend",
            {"users": USERS, "exclude": [[]]},
            422,
            "exclude: must be a list of ids for each of the 2 users, got 1 lists",
        ),
        (
            "/recommend",
            {"users": USERS, "cold_users": "yes"},
            422,
            "cold_users: input should be 'popular', 'error' or 'vector', got 'yes'",
        ),
        ("/similar", {"n": 3}, 422, "items: give items or users, one of them"),
        (
            "/similar",
            {"items": ["x"], "users": USERS},
            422,
            "items: give items or users, one of them",
        ),
    ],
)
def test_the_sentence_names_the_field(
    app: Any, path: str, body: Any, status: int, detail: str
) -> None:
    got, answer = post(app, path, body)
    assert (got, answer["detail"]) == (status, detail)
    assert answer["field"] == detail.partition(":")[0]


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("users", messages.MAX_QUERIES),
        ("items", messages.MAX_IDS),
        ("filter_items", messages.MAX_IDS),
        ("exclude", messages.MAX_QUERIES),
    ],
)
def test_lists_are_bounded(app: Any, field: str, most: int) -> None:
    element: Any = [] if field == "exclude" else 'item "0" ß' if "items" in field else "user 0"
    for length in (most, most + 1):
        asked = {"users": ["user 0"] * (most if field == "exclude" else 1), "n": 1}
        status, answer = post(app, "/recommend", {**asked, field: [element] * length})
        assert status == (422 if length > most else 200), answer
    assert answer["field"] == field
    assert str(most) in answer["detail"]


def test_filters_that_leave_nothing_are_refused(app: Any) -> None:
    items = made_up().item_ids.tolist()
    status, answer = post(app, "/recommend", {"users": USERS, "filter_items": items})
    assert (status, answer["field"]) == (422, None)
    assert "filter_items leaves nothing to recommend" in answer["detail"]


NOT_JSON = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"users"',
    b"\xff\xfe{}",
    b'{"users": ["\xff"]}',
    b"[" * 100_000,
    b'{"users":' * 20_000,
    b'{"users": [' + b"9" * 100_000 + b"]}",
]


@pytest.mark.parametrize("body", NOT_JSON, ids=[str(place) for place in range(len(NOT_JSON))])
def test_what_is_no_object_in_json_is_refused(app: Any, body: bytes) -> None:
    status, answer = post(app, "/recommend", body)
    assert (status, answer["field"]) == (422, None)
    assert "must be a JSON object" in answer["detail"]


def test_the_header_that_says_json_is_needed(app: Any) -> None:
    body = {"users": USERS}
    form = {"content-type": "application/x-www-form-urlencoded"}
    status, answer = post(app, "/recommend", body, **form)
    assert (status, "content-type: application/json" in answer["detail"]) == (422, True)


def test_numbers_that_json_does_not_have_are_refused(app: Any) -> None:
    for number in (b"NaN", b"-Infinity", b"1e999"):
        status, answer = post(app, "/recommend", b'{"users": ["user 0"], "n": ' + number + b"}")
        assert (status, answer["field"]) == (422, "n")


def test_ids_that_are_no_valid_unicode_get_an_answer(app: Any) -> None:
    assert post(app, "/recommend", b'{"users": ["\\ud800"]}')[0] == 404
    assert post(app, "/recommend", b'{"users": ["user 0"], "\\ud800": 1}')[0] == 422


@pytest.mark.parametrize("announced", [True, False])
def test_bodies_are_bounded(app: Any, announced: bool) -> None:
    for length in (messages.MAX_BODY, messages.MAX_BODY + 1):
        body = b'{"users": ["user 0"], "n": 1}'.ljust(length)
        status, answer = ask(app, "POST", "/recommend", body, announced)
        assert status == (413 if length > messages.MAX_BODY else 200)
    assert answer["detail"] == f"the body must have at most {messages.MAX_BODY} bytes"


def test_other_paths_and_methods(app: Any) -> None:
    status, answer = ask(app, "GET", "/admin")
    assert (status, "no such path" in answer["detail"]) == (404, True)
    status, answer = ask(app, "GET", "/recommend")
    assert (status, answer["detail"]) == (405, "this path takes POST, not GET")


def test_a_fault_of_the_server_is_logged_and_says_nothing_of_itself(
    app: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a secret")

    monkeypatch.setattr("cml_fast.serving.answers.fold_in", broken)

    async def as_a_server_runs_it(*connection: Any) -> None:
        with contextlib.suppress(RuntimeError):  # which the server logs
            await app(*connection)

    status, answer = post(as_a_server_runs_it, "/fold-in", {"likes": ['item "0" ß']})
    assert (status, answer["detail"]) == (500, "the server failed, its log says why")
    assert "a secret" in caplog.text
