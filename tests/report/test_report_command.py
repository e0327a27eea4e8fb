"""``cml-fast report``: the page is that of the library, and errors name options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reports import fitted, map_like, read

from cml_fast._cli.app import main
from cml_fast.data import Interactions
from cml_fast.report import write_report

MODEL, TRAIN, VALIDATION, TEST = fitted()


def write(path: Path, part: Interactions) -> None:
    rows, columns = part.matrix.nonzero()
    users, items = part.user_ids[rows].tolist(), part.item_ids[columns].tolist()
    lines = (f"{user},{item}" for user, item in zip(users, items, strict=True))
    path.write_text("\n".join(["user,item", *lines, ""]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    MODEL.save(tmp_path / "model")
    for name, part in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        write(tmp_path / f"{name}.csv", part)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FILES = ("--train", "train.csv", "--test", "test.csv", "--exclude", "validation.csv")


def test_the_page_is_that_of_the_library(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    titles = "id,title\n" + "\n".join(f"{id},Song {id}" for id in MODEL.item_ids.tolist())
    Path("items.csv").write_text(titles)
    Path("users.csv").write_text(f"who,land\n{MODEL.user_ids[0]},Peru\nstranger,Chile\n")
    Path("map.html").write_text(map_like())
    given = ("--titles", "items.csv", "--user-groups", "users.csv", "--user-id-column", "who")
    given += ("--group-column", "land", "--map", "map.html", "--k", "5,20", "--title", "<Songs>")
    assert main(["report", "model", *FILES, *given, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == {"report": "report.html", "bytes": Path("report.html").stat().st_size}
    write_report(
        MODEL,
        TRAIN,
        TEST,
        out="expected.html",
        exclude=VALIDATION,
        ks=(5, 20),
        names=[f"Song {id}" for id in MODEL.item_ids.tolist()],
        user_groups={MODEL.user_ids[0]: "Peru"},
        map_page="map.html",
        title="<Songs>",
    )
    found, expected = (read(Path(f"{name}.html").read_bytes()) for name in ("report", "expected"))
    for title, rows in expected.tables.items():
        assert found.tables[title] == rows
    # Only the command knows what became of the lines of the files.
    more = found.tables.keys() - expected.tables.keys()
    assert more == {f"What reading the {name} data left out" for name in ("training", "test")}
    read_lines = dict(found.tables["What reading the training data left out"][1:])
    assert read_lines["pairs"] == f"{TRAIN.matrix.nnz:,}"


def test_a_map_is_drawn_unless_it_is_not_wanted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "model", *FILES, "--title", "Songs"]) == 0
    (frame,) = (
        found for tag, found in read(Path("report.html").read_bytes()).tags if tag == "iframe"
    )
    assert frame["data-page"].startswith("<!") and "WebGL" in frame["data-page"]
    assert main(["report", "model", *FILES, "--no-map", "--out", "plain.html"]) == 0
    assert "iframe" not in {tag for tag, _ in read(Path("plain.html").read_bytes()).tags}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "--train"),
        (("--train", "absent.csv"), 3, "absent.csv: No such file or directory"),
        (("--train", "train.csv", "--out", "there.html"), 3, "replace it with --overwrite"),
        (
            ("--train", "train.csv", "--out", "no/x.html"),
            3,
            "error: no/x.html cannot be written: there is no folder no",
        ),
        (("--train", "train.csv", "--map", "train.csv"), 3, "--map train.csv is not a page that"),
        (("--train", "train.csv", "--map", "a", "--no-map"), 2, "--no-map is not allowed with"),
        (("--train", "train.csv", "--k", "ten"), 2, "must be like 10,50,100, got 'ten'"),
        (("--train", "train.csv", "--test", "strangers.csv"), 3, "strangers.csv"),
        (("--train", "train.csv", "--user-groups", "train.csv"), 3, "--user-groups has no column"),
    ],
)
def test_errors(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("there.html").write_text("old")
    Path("strangers.csv").write_text("user,item\nstranger,nothing\n")
    before = sorted(folder.iterdir())
    assert main(["report", "model", *arguments]) == code
    message = capsys.readouterr().err
    assert words in message and "Traceback" not in message
    assert sorted(folder.iterdir()) == before and Path("there.html").read_text() == "old"
