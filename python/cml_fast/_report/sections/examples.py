"""A few users of different activity: what they like, what is recommended, and why."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from ..facts import Facts
from ..markup import Child, paragraph, table, tag
from ..numbers import count, decimal

# Users that are shown, recommendations and likes of each.
_N_USERS, _N_ITEMS = 4, 10


def content(facts: Facts) -> list[Element]:
    users = chosen_users(facts)
    if not users:
        return [paragraph("The model has learned nothing of the users of this report.")]
    intro = (
        "Users with few to many likes. The nearest items are recommended; the reason is the like "
        "that is nearest to the item. Distances are those of the learned space."
    )
    if facts.evaluations:
        intro += " A hit is an item that was held out, so that the model has not seen it."
    return [paragraph(intro), *(_user(facts, user) for user in users)]


def chosen_users(facts: Facts) -> list[int]:
    """Return users of the report with likes in training, evenly spread by their numbers."""
    users = facts.users[facts.user_counts[facts.users] > 0]
    users = users[~facts.model._is_cold(users)]
    ordered = users[np.argsort(facts.user_counts[users], kind="stable")]
    n = min(_N_USERS, len(ordered))
    places = (np.arange(n) + 0.5) / max(n, 1) * len(ordered)
    found: list[int] = ordered[places.astype(np.int64)].tolist()
    return found


def _user(facts: Facts, user: int) -> Element:
    model, data = facts.model, facts.data
    items, distances = model.recommend(
        user, _N_ITEMS, exclude=data.exclude, n_threads=facts.n_threads
    )
    items, distances = items[items >= 0], distances[items >= 0]
    wanted = data.relevant.indices[data.relevant.indptr[user] : data.relevant.indptr[user + 1]]
    hits = np.isin(items, wanted)
    about = f"{count(facts.user_counts[user])} likes in training"
    if facts.user_groups[user] is not None:
        about += f" · {facts.user_groups[user]}"
    if facts.evaluations:
        about += f" · {hits.sum()} of {len(wanted)} held-out items among the first {len(items)}"
    rows: list[list[Child]] = [
        [
            str(rank),
            _item(facts, item, bool(hit)),
            decimal(distance),
            count(facts.item_counts[item]),
            _reason(facts, user, item),
        ]
        for rank, (item, hit, distance) in enumerate(
            zip(items.tolist(), hits.tolist(), distances.tolist(), strict=True), 1
        )
    ]
    return tag(
        "section",
        tag("h3", f"User {model.user_ids[user]}"),
        tag("p", about, class_="about"),
        _likes(facts, user),
        table(["rank", "recommended", "distance", "likes", "because of"], rows, texts=[1, 4]),
        class_="example",
    )


def _item(facts: Facts, item: int, hit: bool) -> Element:
    name = tag("span", facts.item_name(item), title=f"item {facts.model.item_ids[item]}")
    return tag("span", name, " ", tag("b", "✓ hit", class_="hit")) if hit else name


def _reason(facts: Facts, user: int, item: int) -> Element:
    rows, distances = facts.model.explain(user, item, facts.likes, n=1)
    return _at_distance(facts, int(rows[0]), float(distances[0]))


def _at_distance(facts: Facts, item: int, distance: float) -> Element:
    return tag("span", facts.item_name(item), tag("small", f" {distance:.2f}"))


def _likes(facts: Facts, user: int) -> Element:
    """Return the likes that are nearest to the user, and how many more there are."""
    likes = facts.likes.indices[facts.likes.indptr[user] : facts.likes.indptr[user + 1]]
    nearest, distances = facts.model.recommend(user, items=likes)
    shown = [
        tag("li", _at_distance(facts, item, distance))
        for item, distance in zip(
            nearest[:_N_ITEMS].tolist(), distances[:_N_ITEMS].tolist(), strict=True
        )
    ]
    more = len(likes) - len(shown)
    if more:
        shown.append(tag("li", f"and {count(more)} more", class_="more"))
    return tag("ul", tag("li", "Likes, with distances:", class_="more"), *shown, class_="likes")
