"""Well-known tables of what people bought, played and read, each with the name of its data set.

================  ======================================  =======================================
format            files                                   columns
================  ======================================  =======================================
``bookcrossing``  BX-Book-Ratings.csv                     "User-ID";"ISBN";"Book-Rating"
                  BX-Books.csv, BX-Users.csv              "ISBN";"Book-Title";..., "User-ID";...
``lastfm``        usersha1-artmbid-artname-plays.tsv      user, MusicBrainz id, artist, plays
                  user_artists.dat, user_taggedartists*   userID, artistID, weight or tagID
``retailrocket``  events.csv                              timestamp,visitorid,event,itemid,...
``steam``         steam-200k.csv                          user, game, event, value, 0
================  ======================================  =======================================
"""

from __future__ import annotations

import re

from .delimited import Form, known_tables
from .pairs import FEATURES, INTERACTIONS, SPARE_ITEM

# Two generations of Book-Crossing: the first has semicolons and quotes in all fields.
_SEMICOLONS = {
    "delimiter": ";",
    "quoting": "backslash",
    "encoding": "latin-1",
    "header": True,
}
_BOOK_RATINGS = {"user": "User-ID", "item": "ISBN", "rating": "Book-Rating"}
_BOOKS = {"id": "ISBN", "tag": ["Book-Author", "Publisher"]}
_READERS = {"id": "User-ID", "tag": ["Location", "Age"]}
_FILES_OF_BOOKS = "a file of Book-Crossing"

BOOKS_READ = known_tables(
    "bookcrossing",
    INTERACTIONS,
    (
        Form(re.compile(rb'"User-ID";"ISBN";"Book-Rating"'), {**_SEMICOLONS, **_BOOK_RATINGS}),
        Form(re.compile(rb"User-ID,ISBN,Book-Rating"), {"header": True, **_BOOK_RATINGS}),
    ),
    files=f"{_FILES_OF_BOOKS} with ratings (BX-Book-Ratings.csv)",
    extensions=(".csv",),
)
BOOKS = known_tables(
    "bookcrossing",
    FEATURES,
    (
        Form(re.compile(rb'"ISBN";"Book-Title";.*'), {**_SEMICOLONS, **_BOOKS}),
        Form(re.compile(rb'"User-ID";"Location";"Age"'), {**_SEMICOLONS, **_READERS}),
        Form(re.compile(rb"ISBN,Book-Title,.*"), {"header": True, **_BOOKS}),
        Form(re.compile(rb"User-ID,Location,Age"), {"header": True, **_READERS}),
    ),
    files=f"{_FILES_OF_BOOKS} with books or readers (BX-Books.csv, BX-Users.csv)",
    extensions=(".csv",),
    missing=("NULL",),
)

_TABS = {"delimiter": "\t", "quoting": "none"}


PLAYS = known_tables(
    "lastfm",
    INTERACTIONS,
    (
        Form(
            re.compile(rb"[0-9a-f]{40}\t([0-9a-f-]{36})?\t[^\t]*\t *\d+"),
            {
                **_TABS,
                "header": False,
                "names": ("user", "mbid", "artist", "plays"),
                "user": "user",
                "item": "mbid",
                SPARE_ITEM: "artist",  # many artists have no MusicBrainz id
                "weight": "plays",
            },
        ),
        Form(
            re.compile(rb"userID\tartistID\tweight"),
            {**_TABS, "header": True, "user": "userID", "item": "artistID", "weight": "weight"},
        ),
    ),
    files="a file of plays of Last.fm (usersha1-artmbid-artname-plays.tsv, user_artists.dat)",
    extensions=(".tsv", ".dat"),
)
TAGGED_ARTISTS = known_tables(
    "lastfm",
    FEATURES,
    (
        Form(
            re.compile(rb"userID\tartistID\ttagID\t.*"),
            {**_TABS, "header": True, "id": "artistID", "tag": "tagID"},
        ),
    ),
    files="a file of tags of Last.fm (user_taggedartists.dat, user_taggedartists-timestamps.dat)",
    extensions=(".dat",),
)

RETAILROCKET = known_tables(
    "retailrocket",
    INTERACTIONS,
    (
        Form(
            re.compile(rb"timestamp,visitorid,event,itemid,transactionid"),
            {"header": True, "user": "visitorid", "item": "itemid", "timestamp": "timestamp"},
        ),
    ),
    files="events.csv of Retailrocket",
    extensions=(".csv",),
)

STEAM = known_tables(
    "steam",
    INTERACTIONS,
    (
        Form(
            re.compile(rb'\d+,("([^"]|"")*"|[^",]*),(purchase|play),[\d.]+,0'),
            {
                "header": False,
                "names": ("user", "item", "event", "value", "zero"),
                "user": "user",
                "item": "item",
            },
        ),
    ),
    files="steam-200k.csv",
    extensions=(".csv",),
)
