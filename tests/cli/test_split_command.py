"""``cml-fast split``: each kind of split, as the functions of the library do it."""

import json

import pyarrow.parquet
import pytest

from cml_fast import data
from cml_fast._cli.commands.split import KINDS
from cml_fast.data import load_interactions, synthetic


@pytest.fixture
def likes(tmp_path):
    made = synthetic(60, 40, 600, random_state=3).interactions
    rows, columns = made.matrix.nonzero()
    lines = [
        f"{user},{item},{1 + at % 3},{at * 7 % 599}"
        for at, (user, item) in enumerate(
            zip(made.user_ids[rows], made.item_ids[columns], strict=True)
        )
    ]
    (tmp_path / "likes.csv").write_text("\n".join(["who,what,plays,time", *lines]) + "\n")
    return load_interactions(tmp_path / "likes.csv", **COLUMNS)


COLUMNS = {"user": "who", "item": "what", "weight": "plays", "timestamp": "time"}
OPTIONS = ("--user-column=who", "--item-column=what", "--weight-column=plays")
OPTIONS += ("--timestamp-column=time",)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ((), {}),
        (("--fractions=0.7,0.3", "--random-state=5"), {"fractions": (0.7, 0.3), "random_state": 5}),
        (("--kind=time", "--test-size=0.25"), {"test_size": 0.25}),
        (("--kind=last", "--test-size=2"), {"test_size": 2}),
        (("--kind=leave-one-out",), {}),
        (("--kind=users", "--test-size=0.3"), {"test_size": 0.3}),
        (
            ("--kind=items", "--test-size=5", "--random-state=1"),
            {"test_size": 5, "random_state": 1},
        ),
    ],
)
@pytest.mark.parametrize("to", ["csv", "parquet"])
def test_parts_are_those_of_the_library(run, tmp_path, likes, options, arguments, to):
    code, out, err = run(
        "split", "likes.csv", *OPTIONS, *options, "--out=p", f"--to={to}", "--json"
    )
    assert code == 0, err
    kind = next((word.split("=")[1] for word in options if "kind" in word), "random")
    parts = getattr(data, KINDS[kind])(likes, **arguments)
    names = parts.report.names
    result = json.loads(out)
    assert list(result["files"]) == list(names)
    assert {path.name for path in (tmp_path / "p").iterdir()} == {f"{name}.{to}" for name in names}
    for name, part in zip(names, parts, strict=True):
        found = load_interactions(
            tmp_path / "p" / f"{name}.{to}",
            weight="weight",
            timestamp="timestamp",
            user_ids=likes.user_ids,
            item_ids=likes.item_ids,
        )
        assert (found.matrix != part.matrix).nnz == 0
        assert found.timestamps.tolist() == part.timestamps.tolist()
        assert result["interactions"][name] == part.matrix.nnz


def test_plain_likes_have_two_columns(run, tmp_path, likes):
    assert run("split", "likes.csv", *OPTIONS[:2], "--out=p", "--to=parquet")[0] == 0
    assert pyarrow.parquet.read_table(tmp_path / "p" / "test.parquet").column_names == [
        "user",
        "item",
    ]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--kind=users", "--fractions=.8,.2"], 2, ["--fractions is not for --kind users"]),
        (["--test-size=.2"], 2, ["--test-size is not for --kind random"]),
        (["--fractions=.8,x"], 2, ["--fractions", "'.8,x'"]),
        (["--fractions=.8,.3"], 2, ["--fractions must"]),
        (["--kind=last", "--test-size=some"], 2, ["--test-size", "'some'"]),
        (["--kind=odd"], 2, ["--kind", "leave-one-out", "'odd'"]),
        (["--out=full"], 3, ["full/train.csv exists", "--overwrite"]),
        (["--out=likes.csv"], 3, ["likes.csv"]),
    ],
)
def test_splits_that_cannot_be(run, tmp_path, likes, options, code, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "train.csv").write_text("mine")
    out = [] if any("--out" in word for word in options) else ["--out=p"]
    got, printed, err = run("split", "likes.csv", *OPTIONS[:2], *out, *options)
    assert (got, printed) == (code, "")
    for word in words:
        assert word in err.splitlines()[-1]
    assert not (tmp_path / "p").exists()
    assert (tmp_path / "full" / "train.csv").read_text() == "mine"


def test_overwriting(run, tmp_path, likes):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "train.csv").write_text("mine")
    assert run("split", "likes.csv", *OPTIONS[:2], "--out=p", "--overwrite")[0] == 0
    assert (tmp_path / "p" / "train.csv").read_text().startswith('"user","item"')
