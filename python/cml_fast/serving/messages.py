"""What a client may send and what it gets, with all bounds; OpenAPI is made from these classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

# Bounds of one request. A body within MAX_BODY holds MAX_IDS ids of usual length.
MAX_BODY = 1 << 18  # bytes
MAX_QUERIES = 100  # users or items whose neighbours are wanted
MAX_N = 1000  # results of each
MAX_RESULTS = 10_000  # of all together
MAX_IDS = 2000  # of a list of likes or filters
MAX_ID_LENGTH = 512  # characters
INT64 = 2**63  # integer ids are less, and at least its negative


def _id(value: Any) -> int | str:
    if isinstance(value, str):
        if len(value) > MAX_ID_LENGTH:
            raise ValueError(f"must have at most {MAX_ID_LENGTH} characters, has {len(value)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be an id: an integer or a string")
    if not -INT64 <= value < INT64:
        raise ValueError("must fit into 64 bits, or be a string")
    return value


# One validator instead of a union, whose errors would be those of both of its types.
Id = Annotated[
    int | str,
    PlainValidator(_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "format": "int64"},
                {"type": "string", "maxLength": MAX_ID_LENGTH},
            ]
        }
    ),
]
Ids = Annotated[list[Id], Field(max_length=MAX_IDS)]
SomeIds = Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)]
Queries = Annotated[list[Id], Field(min_length=1, max_length=MAX_QUERIES)]
N = Annotated[
    int, Field(strict=True, ge=1, le=MAX_N, description="How many results there are at most.")
]
Items = Annotated[SomeIds | None, Field(description="The candidates: nothing else is recommended.")]
FilterItems = Annotated[Ids | None, Field(description="Items that are not recommended.")]
Unknown = Annotated[
    Literal["error", "drop"],
    Field(
        description="What to do with items, in the lists of this request, that the model does not "
        "have: answer with an error, or leave them out."
    ),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskedRecommendations(_Asked):
    """Whom to recommend to, how much, and what not."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"users": ["ann"], "n": 3, "filter_items": ["sold-out"]}]}
    )

    users: Annotated[Queries, Field(description="Ids of users of the model.")]
    n: N = 10
    items: Items = None
    filter_items: FilterItems = None
    exclude: Annotated[
        Annotated[list[Ids], Field(max_length=MAX_QUERIES)] | None,
        Field(
            description="For each of the users, in their order, the items that this user has "
            "already, and which are not recommended."
        ),
    ] = None
    exclude_known: Annotated[
        bool,
        Field(
            strict=True,
            description="Leave out what the users have already by the files that the server was "
            "started with.",
        ),
    ] = True
    cold_users: Annotated[
        Literal["popular", "error", "vector"],
        Field(
            description="What to do for users without likes in training: recommend the items with "
            "the most likes, answer with an error, or use their vectors all the same."
        ),
    ] = "popular"
    unknown: Unknown = "error"


class AskedNeighbors(_Asked):
    """What to find the nearest of: items or users."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": ["blue-train"], "n": 3}]})

    items: Annotated[
        Queries | None, Field(description="Ids of items, whose nearest items are found.")
    ] = None
    users: Annotated[
        Queries | None, Field(description="Ids of users, whose nearest users are found.")
    ] = None
    n: N = 10


class AskedFoldIn(_Asked):
    """What a person likes whom the model does not know."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"likes": ["blue-train", "so-what"], "n": 3}]}
    )

    likes: Annotated[
        SomeIds,
        Field(description="Ids of the items that the person likes; they are not recommended."),
    ]
    n: N = 10
    items: Items = None
    filter_items: FilterItems = None
    unknown: Unknown = "error"


class FoundItem(BaseModel):
    """An item, and its Euclidean distance."""

    item: Id
    distance: float | None = Field(description="Null for popular items: they are near to nobody.")


class FoundUser(BaseModel):
    """A user, and the Euclidean distance."""

    user: Id
    distance: float


class Recommended(BaseModel):
    """What is recommended to a user, nearest first."""

    user: Id
    cold: bool = Field(description="Whether the user has no likes in training.")
    items: list[FoundItem]


class Recommendations(BaseModel):
    """The recommendations of each user, in the order of the request."""

    results: list[Recommended]


class ItemsOfItem(BaseModel):
    """The items nearest to an item, nearest first."""

    item: Id
    items: list[FoundItem]


class UsersOfUser(BaseModel):
    """The users nearest to a user, nearest first."""

    user: Id
    users: list[FoundUser]


class Neighbors(BaseModel):
    """The neighbours of each item or user, in the order of the request."""

    results: list[ItemsOfItem] | list[UsersOfUser]


class FoldedIn(BaseModel):
    """What is recommended to the person, nearest first."""

    items: list[FoundItem]


class Health(BaseModel):
    """What is served."""

    status: Literal["ok"]
    model: str = Field(description="A hash of the vectors, ids and counts of likes.")
    n_users: int
    n_items: int
    n_dims: int
    index: dict[str, Any] | None = Field(description="Model.index_info, null without an index.")
    version: str = Field(description="The release of cml_fast that made the model.")
    server_version: str = Field(description="The release of cml_fast that serves it.")
    loaded: str = Field(description="When the model was loaded: ISO 8601, UTC.")


class Refused(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="One sentence, which names the field.")
    field: str | None = Field(description="The field of the request, such as users[3].")
