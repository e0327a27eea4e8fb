"""The figures that matter most, and what they mean in words."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from ..facts import MODEL, POPULAR, Facts
from ..markup import paragraph, tag
from ..numbers import count, decimal, percent


def content(facts: Facts) -> list[Element]:
    n_users, n_items = np.count_nonzero(facts.user_counts), np.count_nonzero(facts.item_counts)
    cards = [
        _card(count(n_users), "users with likes in training"),
        _card(count(n_items), "items with likes in training"),
        _card(count(facts.likes.nnz), "likes in training"),
    ]
    if not facts.evaluations:
        said = "No test set was given, so this report does not say how good the model is."
        return [tag("ul", *cards, class_="cards"), paragraph(said)]
    k = facts.ks[0]
    found = facts.evaluations[MODEL]
    cards += [
        _card(decimal(found.means("recall")[k]), f"recall@{k}"),
        _card(percent(found.means("hit_rate")[k]), f"users with a hit in {k}"),
    ]
    return [tag("ul", *cards, class_="cards"), paragraph(_verdict(facts, k))]


def _verdict(facts: Facts, k: int) -> str:
    hit = {name: found.means("hit_rate")[k] for name, found in facts.evaluations.items()}
    recall = {name: found.means("recall")[k] for name, found in facts.evaluations.items()}
    n_users = count(len(facts.users))
    text = (
        f"For {percent(hit[MODEL])} of the {n_users} users of the test set, at least one of the "
        f"first {k} recommendations is an item that they like and that the model did not see. "
        f"With the {POPULAR} it is {percent(hit[POPULAR])}. "
    )
    if recall[POPULAR] == 0:
        return text
    ratio = recall[MODEL] / recall[POPULAR]
    if ratio < 1:
        return text + f"Recall@{k} is lower than that of the {POPULAR}: tune the model."
    return text + f"Recall@{k} is {ratio:.1f} times that of the {POPULAR}."


def _card(figure: str, what: str) -> Element:
    return tag("li", tag("strong", figure), tag("span", what))
