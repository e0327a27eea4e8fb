"""The format ``movielens``: ratings, films, users and tags of MovieLens, of all its generations.

===========  =========================================  ===================
file         columns                                    generation
===========  =========================================  ===================
u.data       user, item, rating, timestamp (tabs)       100k
ratings.dat  user::item::rating::timestamp              1m, 10m
ratings.csv  userId, movieId, rating, timestamp         20m and later
u.item       item|title|dates|address|19 flags          100k
movies.dat   item::title::genre|genre                   1m, 10m
u.user       user|age|gender|occupation|zip             100k
users.dat    user::gender::age::occupation::zip         1m
tags.dat     user::item::tag::timestamp                 10m
tags.csv     userId, movieId, tag, timestamp            20m and later
===========  =========================================  ===================

Only those of which the first line is in the csv files have a header. movies.csv is the format
``genres``.
"""

from __future__ import annotations

import re

from .delimited import Form, known_tables
from .genres import NO_GENRES
from .pairs import FEATURES, INTERACTIONS

_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance"),
    *("Sci-Fi", "Thriller", "War", "Western"),
)
_COLONS = {"delimiter": "::", "quoting": "none", "header": False}
_BARS = {"delimiter": "|", "quoting": "none", "header": False}
_RATINGS = {
    "names": ("user", "item", "rating", "timestamp"),
    **{role: role for role in ("user", "item", "rating", "timestamp")},
}

RATINGS = known_tables(
    "movielens",
    INTERACTIONS,
    (
        Form(re.compile(rb"[^:,\t]+(::[^:]+)+"), {**_COLONS, **_RATINGS}),
        Form(
            re.compile(rb"(\d+\t){3}\d+"),
            {"delimiter": "\t", "quoting": "none", "header": False, **_RATINGS},
        ),
        Form(
            re.compile(rb"userId,movieId,rating,timestamp"),
            {
                "user": "userId",
                "item": "movieId",
                "rating": "rating",
                "timestamp": "timestamp",
                "header": True,
            },
        ),
    ),
    files="a file of ratings of MovieLens (u.data, ratings.dat, ratings.csv)",
    extensions=(".dat", ".data", ".csv", ".base", ".test"),
)

FEATURES_OF_BOTH = known_tables(
    "movielens",
    FEATURES,
    (
        Form(
            re.compile(rb"userId,movieId,tag,timestamp"),
            {"id": "movieId", "tag": "tag", "header": True},
        ),
        Form(
            re.compile(rb"\d+::[FM]::\d+::\d+::[^:]*"),
            {
                **_COLONS,
                "names": ("user", "gender", "age", "occupation", "zip"),
                "id": "user",
                "tag": ["gender", "age", "occupation"],
            },
        ),
        Form(
            re.compile(rb"\d+\|\d+\|[FM]\|[^|]*\|[^|]*"),
            {
                **_BARS,
                "names": ("user", "age", "gender", "occupation", "zip"),
                "id": "user",
                "tag": ["gender", "age", "occupation"],
            },
        ),
        # A tag that is a number looks like a rating.
        Form(
            re.compile(rb"\d+::\d+::(?![\d.]+::).*::\d+"),
            {
                **_COLONS,
                "names": ("user", "item", "tag", "timestamp"),
                "id": "item",
                "tag": "tag",
            },
        ),
        Form(
            re.compile(rb"\d+::.+::[^\d:][^:]*"),
            {
                **_COLONS,
                "names": ("item", "title", "genres"),
                "id": "item",
                "tag": "genres",
                "separator": "|",
            },
        ),
        Form(
            re.compile(rb"\d+(\|[^|]*){4}(\|[01])+"),
            {
                **_BARS,
                "names": ("item", "title", "date", "video date", "address", *_GENRES),
                "id": "item",
                "numbers": list(_GENRES),
            },
        ),
    ),
    files="a file of films, users or tags of MovieLens (u.item, movies.dat, u.user, users.dat, "
    "tags.dat, tags.csv)",
    extensions=(".dat", ".item", ".user", ".csv"),
    missing=(NO_GENRES,),
)
