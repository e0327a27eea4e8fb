"""What the server answers: the same as the methods of `Model`, with external ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.asgi import ask, post
from support.serving import made_up, need_the_extra

from cml_fast import Model, __version__
from cml_fast.data import Interactions

need_the_extra()

from cml_fast.serving import create_app  # noqa: E402

COLD = 3  # the user without likes


@pytest.fixture
def app(model: Model, tmp_path: Path) -> Any:
    model.save(tmp_path / "model")
    return create_app(tmp_path / "model")


def listed(what: str, found: tuple[Any, Any]) -> list[dict[str, Any]]:
    """What `Model` gives with ``ids=True``, as the server writes it."""
    pairs = zip(found[0].tolist(), found[1].tolist(), strict=True)
    return [{what: name, "distance": None if far != far else far} for name, far in pairs]


def with_index(model: Model) -> dict[str, Any]:
    return {"approximate": model.index_info is not None, "ids": True}


def test_recommend_gives_what_the_model_gives(app: Any, model: Model) -> None:
    users = model.user_ids[[5, 0, 7]].tolist()
    status, answer = post(app, "/recommend", {"users": users, "n": 4})
    assert status == 200
    found = model.recommend(users, 4, **with_index(model))
    assert answer["results"] == [
        {"user": user, "cold": False, "items": listed("item", each)}
        for user, each in zip(users, zip(*found, strict=True), strict=True)
    ]
    assert [len(result["items"]) for result in answer["results"]] == [4, 4, 4]


def test_ten_items_are_the_default(app: Any, model: Model) -> None:
    answer = post(app, "/recommend", {"users": model.user_ids[:1].tolist()})[1]
    assert len(answer["results"][0]["items"]) == 10


def test_filters(app: Any, model: Model) -> None:
    items = model.item_ids.tolist()
    user = model.user_ids.tolist()[0]
    asked = {"users": [user], "n": 30, "items": items[:20], "filter_items": items[15:25]}
    answer = post(app, "/recommend", asked)[1]
    found = model.recommend(
        user, 30, items=items[:20], filter_items=items[15:25], **with_index(model)
    )
    assert answer["results"][0]["items"] == listed("item", found)
    assert {one["item"] for one in answer["results"][0]["items"]} == set(items[:15])


def test_each_user_has_own_items_to_exclude(app: Any, model: Model) -> None:
    users, items = model.user_ids[[5, 0]].tolist(), model.item_ids.tolist()
    own = [items[:30], [*items[20:], items[20]]]
    answer = post(app, "/recommend", {"users": users, "n": 40, "exclude": own})[1]
    got = [{one["item"] for one in result["items"]} for result in answer["results"]]
    assert got == [set(items[30:]), set(items[:20])]


def test_cold_users_get_popular_items_without_a_distance(app: Any, model: Model) -> None:
    cold = model.user_ids[COLD].item() if model.user_ids.dtype != object else model.user_ids[COLD]
    result = post(app, "/recommend", {"users": [cold], "n": 2})[1]["results"][0]
    popular = model.item_ids[np.argsort(-model.item_counts)[:2]].tolist()
    assert result == {
        "user": cold,
        "cold": True,
        "items": [{"item": item, "distance": None} for item in popular],
    }
    near = post(app, "/recommend", {"users": [cold], "n": 2, "cold_users": "vector"})[1]
    found = model.recommend(cold, 2, cold_users="vector", **with_index(model))
    assert near["results"][0]["items"] == listed("item", found)
    status, refused = post(app, "/recommend", {"users": [cold], "cold_users": "error"})
    assert (status, "no likes in training" in refused["detail"]) == (422, True)


def test_similar_items_and_users(app: Any, model: Model) -> None:
    items, users = model.item_ids[[8, 2]].tolist(), model.user_ids[[1]].tolist()
    answer = post(app, "/similar", {"items": items, "n": 3})[1]
    found = model.similar_items(items, 3, **with_index(model))
    assert answer["results"] == [
        {"item": item, "items": listed("item", each)}
        for item, each in zip(items, zip(*found, strict=True), strict=True)
    ]
    answer = post(app, "/similar", {"users": users, "n": 3})[1]
    found = model.similar_users(users[0], 3, ids=True)
    assert answer["results"] == [{"user": users[0], "users": listed("user", found)}]


def test_fold_in_recommends_by_likes(app: Any, model: Model) -> None:
    likes = model.item_ids[[4, 9, 17]].tolist()
    answer = post(app, "/fold-in", {"likes": [*likes, likes[0]], "n": 5})[1]
    row = sp.csr_array((np.ones(3, np.float32), [4, 9, 17], [0, 3]), shape=(1, 40))
    vector = model.fold_in_users(row)[0]
    found = model.recommend_from_vectors(vector, 5, row, **with_index(model))
    assert answer == {"items": listed("item", found)}
    rest = post(app, "/fold-in", {"likes": likes, "n": 40})[1]["items"]
    assert {one["item"] for one in rest} == set(model.item_ids.tolist()) - set(likes)


def test_fold_in_takes_filters(app: Any, model: Model) -> None:
    items = model.item_ids.tolist()
    asked = {"likes": items[:1], "n": 40, "items": items[:10], "filter_items": items[:5]}
    answer = post(app, "/fold-in", asked)[1]
    assert {one["item"] for one in answer["items"]} == set(items[5:10])


def test_unknown_items_can_be_dropped(app: Any, model: Model) -> None:
    known = model.item_ids[[4]].tolist()
    strange = [-1] if model.item_ids.dtype != object else ["strange"]
    asked = {"likes": strange + known, "n": 5}
    status, refused = post(app, "/fold-in", asked)
    assert (status, refused["field"]) == (404, "likes[0]")
    answer = post(app, "/fold-in", {**asked, "unknown": "drop"})
    assert answer == post(app, "/fold-in", {"likes": known, "n": 5})
    status, refused = post(app, "/fold-in", {"likes": strange, "unknown": "drop"})
    assert (status, refused["field"]) == (404, "likes")


def test_an_integer_and_its_text_are_the_same_id(tmp_path: Path) -> None:
    model = made_up("int")
    model.save(tmp_path / "model")
    app = create_app(tmp_path / "model")
    asked = [{"users": [kind(user) for user in (70, 0)]} for kind in (int, str)]
    by_number, by_text = (post(app, "/recommend", each) for each in asked)
    assert by_number == by_text
    assert by_number[1]["results"][0]["user"] == 70
    assert post(app, "/recommend", {"users": ["070"]})[0] == 404


def test_likes_of_files_are_left_out(app: Any, model: Model, tmp_path: Path) -> None:
    items, user = model.item_ids.tolist(), model.user_ids.tolist()[0]
    for name, some in (("one.csv", items[:10]), ("other.csv", [*items[5:30], "not of the model"])):
        quoted = [str(item).replace('"', '""') for item in some]
        lines = [f'{user},"{item}"' for item in quoted]
        (tmp_path / name).write_text("\n".join(["who,what", *lines, 'nobody,"x"']) + "\n")
    files = [tmp_path / "one.csv", tmp_path / "other.csv"]
    with pytest.warns(UserWarning):  # of what the model does not have
        app = create_app(tmp_path / "model", exclude=files, user="who", item="what")
    asked: dict[str, Any] = {"users": [user], "n": 40}
    found = [
        {one["item"] for one in post(app, "/recommend", request)[1]["results"][0]["items"]}
        for request in (
            asked,
            {**asked, "exclude_known": False},
            {**asked, "exclude": [items[30:35]]},
        )
    ]
    assert found == [set(items[30:]), set(items), set(items[35:])]


def test_likes_can_come_from_a_function(app: Any, model: Model, tmp_path: Path) -> None:
    everything = sp.csr_array(np.ones((12, 40), np.float32))
    everything[0, 7] = 0
    everything.eliminate_zeros()

    def likes(loaded: Model) -> list[Interactions]:
        return [Interactions(everything, user_ids=loaded.user_ids, item_ids=loaded.item_ids)]

    app = create_app(tmp_path / "model", exclude=likes)
    answer = post(app, "/recommend", {"users": model.user_ids[:2].tolist()})[1]
    items = [[one["item"] for one in result["items"]] for result in answer["results"]]
    assert items == [model.item_ids[[7]].tolist(), []]
    with pytest.raises(TypeError, match=r"user='who' needs files"):
        create_app(tmp_path / "model", exclude=likes, user="who")


def test_health_says_what_is_served(app: Any, model: Model) -> None:
    status, health = ask(app, "GET", "/health")
    assert status == 200
    assert len(health.pop("model")) == 64
    assert health.pop("loaded").endswith("+00:00")
    assert health == {
        "status": "ok",
        "n_users": 12,
        "n_items": 40,
        "n_dims": 6,
        "index": model.index_info,
        "version": model.version,
        "server_version": __version__,
    }


def test_openapi_describes_the_answers(app: Any, model: Model) -> None:
    """Every field of every answer and request has a place in the schema, and no more than that."""
    schema = ask(app, "GET", "/openapi.json")[1]
    assert sorted(schema["paths"]) == ["/fold-in", "/health", "/recommend", "/similar"]
    shapes = {"/fold-in": "FoldedIn", "/recommend": "Recommendations", "/similar": "Neighbors"}
    for path, name in shapes.items():
        operation = schema["paths"][path]["post"]
        assert operation["description"]
        content = operation["responses"]["200"]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{name}"}
        assert set(operation["responses"]) == {"200", "404", "413", "422"}
    schemas = schema["components"]["schemas"]
    for name in ("AskedRecommendations", "AskedNeighbors", "AskedFoldIn"):
        assert schemas[name]["examples"]
        assert all("description" in field for field in schemas[name]["properties"].values())
    answer = post(app, "/recommend", {"users": model.user_ids[:1].tolist(), "n": 1})[1]
    assert set(schemas["Recommended"]["properties"]) == set(answer["results"][0])
    assert set(schemas["FoundItem"]["properties"]) == set(answer["results"][0]["items"][0])
    assert set(schemas["Health"]["properties"]) == set(ask(app, "GET", "/health")[1])
