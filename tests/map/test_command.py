"""``cml-fast map``: the options reach the map, and errors name them."""

import json

import pytest
from pages import content_of, small_model

from cml_fast._cli.app import main


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, likes = small_model()
    model.save("model")
    lines = ["id,title,genres,year"]
    lines += [f'item-{row:03},"Song, {row}",rock|jazz,{1800 + row}' for row in range(180)]
    (tmp_path / "items.csv").write_text("\n".join([*lines, "other,Other,soul,1"]) + "\n")
    users, items = likes.nonzero()
    pairs = [
        f"{model.user_ids[user]},{model.item_ids[item]}"
        for user, item in zip(users, items, strict=True)
    ]
    (tmp_path / "likes.csv").write_text("\n".join(["user,item", *pairs]) + "\n")
    (tmp_path / "tags.csv").write_text(
        "id,tag\n" + "".join(f"item-{row:03},tag {row // 15}\n" for row in range(180))
    )

    def run(*argv):
        code = main(["map", "model", "--method", "pca", *argv])
        return code, *capsys.readouterr()

    return run


def test_options_reach_the_map(run, tmp_path):
    columns = ["--names", "title", "--tags", "genres", "--dates", "year"]
    files = ["--item-metadata", "items.csv", "--likes", "likes.csv", "--features", "tags.csv"]
    code, out, err = run("--out", "m.html", *files, *columns, "--n-users", "5", "--json")
    assert code == 0, err
    assert json.loads(out)["items"] == 180 and json.loads(out)["users"] == 5
    header, arrays = content_of(tmp_path / "m.html")
    assert header["names"][7] == "Song, 7" and header["tags"] == ["jazz", "rock"]
    assert arrays["dates"][7] == 1807 and len(arrays["raw rows"]) == 180
    assert "liked" in arrays
    assert "1 rows of --item-metadata are of ids that the model does not have" in err


def test_a_page_that_is_there_is_kept(run, tmp_path):
    code, out, _ = run()
    assert code == 0 and out.startswith("map.html: 180 items and 30 users by pca, ")
    before = (tmp_path / "map.html").read_bytes()
    code, out, err = run("--n-users", "0")
    assert (code, out) == (3, "")
    assert "map.html exists already: replace it with --overwrite" in err
    assert (tmp_path / "map.html").read_bytes() == before
    assert run("--n-users", "0", "--overwrite")[0] == 0
    assert (tmp_path / "map.html").read_bytes() != before


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--names", "title"], 2, "--names title is the name of a column: give the table with"),
        (["--item-metadata", "items.csv", "--names", "x"], 3, "no column 'x' for names"),
        (["--n-users", "-1"], 2, "--n-users must be between 0 and 20000, got -1"),
        (["--colour", "tag"], 2, "--colour tag needs"),
        (["--out", "absent/m.html"], 3, "m.html cannot be written: there is no folder absent"),
        (["--features", "absent.csv"], 3, "absent.csv"),
    ],
)
def test_errors_name_the_option(run, tmp_path, argv, code, message):
    found, out, err = run(*argv)
    assert (found, out) == (code, "") and message in err and "Traceback" not in err
    assert not (tmp_path / "map.html").exists()
