"""Files of options: ``train --config`` and ``--write-config``, and what a model's folder keeps."""

import json

import numpy as np
import pytest

from cml_fast import Model
from cml_fast._cli.command import command_of
from cml_fast._cli.commands import train
from cml_fast._cli.config import settings_of, tomllib
from cml_fast.data import synthetic

QUICK = ("--n-dims=4", "--n-epochs=1", "--temperature=0.3", "--device=cpu")


@pytest.fixture
def file(tmp_path):
    likes = synthetic(40, 30, 300, n_tastes=3, random_state=1).interactions
    rows, columns = likes.matrix.nonzero()
    pairs = zip(likes.user_ids[rows], likes.item_ids[columns], strict=True)
    lines = ["who,what,stars", *(f"{user},{item},5" for user, item in pairs)]
    (tmp_path / "likes.csv").write_text("\n".join(lines) + "\n")
    return "likes.csv"


COLUMNS = ("--user-column=who", "--item-column=what", "--rating-column=stars", "--min-rating=4")
CONFIG = """
user-column = "who"
item-column = "what"
rating-column = "stars"
min-rating = 4
n-dims = 6
n-epochs = 1
temperature = 0.3
device = "cpu"
missing = ["NULL"]
"""


def test_a_written_config_has_every_option_with_its_default(run):
    code, out, err = run("train", "--write-config", "-")
    assert (code, err) == (0, "")
    settings = settings_of(command_of("train", train.run))
    lines = [line.removeprefix("# ") for line in out.splitlines()]
    found = {line.split(" = ")[0]: line for line in lines if " = " in line}
    assert set(found) == set(settings)
    assert not tomllib.loads(out)  # all of them are comments
    for key, param in settings.items():
        if param.default is not None and not callable(param.default):
            value = tomllib.loads(found[key])[key]
            assert value == param.default or value == list(param.default)
    assert "# Dimensions of the space." in out.splitlines()


def test_a_config_is_written_once(run, tmp_path):
    assert run("train", "--write-config", "train.toml")[0] == 0
    written = (tmp_path / "train.toml").read_bytes()
    code, out, err = run("train", "--write-config", "train.toml")
    assert (code, out) == (2, "") and "train.toml: the file exists" in err
    assert (tmp_path / "train.toml").read_bytes() == written
    code, _, err = run("train", "--write-config", "no/train.toml")
    assert code == 2 and "no/train.toml: No such file" in err


def test_options_come_from_the_file_and_those_given_win(run, file, tmp_path):
    (tmp_path / "train.toml").write_text(CONFIG)
    code, _, err = run("train", file, "--config=train.toml", "--out=a")
    assert code == 0, err
    plain = (*QUICK[1:], *COLUMNS, "--n-dims=6")
    assert run("train", file, *plain, "--out=b")[0] == 0
    a, b = (Model.load(tmp_path / name) for name in "ab")
    np.testing.assert_array_equal(a.item_vectors, b.item_vectors)
    assert a.item_vectors.shape[1] == 6 + 1
    for words in (["--n-dims=5", "--config=train.toml"], ["--config=train.toml", "--n-dims=5"]):
        assert run("train", file, *words, "--out=c", "--overwrite")[0] == 0
        assert Model.load(tmp_path / "c").item_vectors.shape[1] == 5 + 1


def test_arguments_may_be_in_the_file(run, file, tmp_path):
    (tmp_path / "train.toml").write_text(f'file = "{file}"\nout = "made"\n{CONFIG}')
    assert run("train", "--config=train.toml")[0] == 0
    assert Model.load(tmp_path / "made").item_vectors.shape[1] == 6 + 1


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("n_dims = 8", 2, ["train.toml has an unknown key 'n_dims'", "did you mean 'n-dims'"]),
        ("learnin-rate = 1", 2, ["unknown key 'learnin-rate'", "'learning-rate'"]),
        ("overwrite = true", 2, ["unknown key 'overwrite'"]),
        ("n-dims = 'many'", 2, ["train.toml: n-dims must be a whole number, got 'many'"]),
        ("n-dims = 8.0", 2, ["train.toml: n-dims must be a whole number, got 8.0"]),
        ("n-dims = true", 2, ["train.toml: n-dims must be a whole number, got True"]),
        ("n-dims = 0", 2, ["train.toml: n-dims must be between 1 and", "got 0"]),
        ("loss = 'sofmax'", 2, ["train.toml: loss", "softmax", "'sofmax'"]),
        ("format = 'xml'", 2, ["train.toml: format must be one of", "'xml'"]),
        ("user-column = 0", 2, ["train.toml: user-column must be a text in quotes, got 0"]),
        ("missing = 'NULL'", 2, ["missing must be a list, each a text in quotes, got 'NULL'"]),
        ("missing = [1]", 2, ["missing must be a list, each a text in quotes, got [1]"]),
        ("header = 'no'", 2, ["train.toml: header must be true or false, got 'no'"]),
        ("[training]\nn-dims = 8", 2, ["train.toml has an unknown key 'training'"]),
        ("n-dims 8", 3, ["train.toml is not valid TOML", "line 1"]),
        (None, 3, ["train.toml: No such file"]),
    ],
)
def test_files_that_cannot_be_used(run, file, tmp_path, text, code, words):
    if text is not None:
        (tmp_path / "train.toml").write_text(text)
    got, out, err = run("train", "absent.csv", "--config=train.toml", "--out=made")
    assert (got, out, err.count("\n")) == (code, "", 1), err
    for word in words:
        assert word in err
    assert not (tmp_path / "made").exists()


# --- what is kept with the model ---------------------------------------------------------------


@pytest.fixture
def made(run, file, tmp_path):
    assert run("train", file, *QUICK, *COLUMNS, "--validation-share=0.2", "--out=made")[0] == 0
    return tmp_path / "made"


def items_of(outcome):
    code, out, err = outcome
    assert code == 0, err
    return {entry["item"] for entry in json.loads(out)["items"]}, err


def test_a_model_keeps_how_it_was_trained(run, file, tmp_path, made):
    kept = tomllib.loads((made / "train.toml").read_text())
    assert kept["file"] == str(tmp_path / file)
    assert (kept["n-dims"], kept["user-column"], kept["min-rating"]) == (4, "who", 4)
    code, _, err = run("train", "--config=made/train.toml", "--out=again")
    assert code == 0, err
    ours, theirs = (Model.load(path).item_vectors for path in (made, tmp_path / "again"))
    np.testing.assert_array_equal(ours, theirs)


def test_what_training_had_is_left_out(run, file, tmp_path, made):
    lines = (tmp_path / file).read_text().splitlines()[1:]
    user = lines[0].split(",")[0]
    liked = {line.split(",")[1] for line in lines if line.startswith(f"{user},")}
    asked = ("recommend", "made", "--user", user, "--n=30", "--json")
    found, _ = items_of(run(*asked))
    assert liked and len(found) == 30 - len(liked) and not found & liked
    assert liked <= items_of(run(*asked, "--include-training"))[0]
    named = items_of(run(*asked, "--exclude", file))
    assert named[0] == found and named[1].count("reading") == 1
    (tmp_path / file).rename(tmp_path / "moved.csv")
    found, err = items_of(run(*asked))
    assert liked <= found
    assert "warning" in err and f"{tmp_path / file}, which the model was trained on" in err


def test_files_are_read_as_in_training_unless_an_option_says_how(run, file, tmp_path, made):
    code, _, err = run("evaluate", "made", file, "--include-training", "--json")
    assert code == 0, err
    assert "files are read as in training" in err
    user, item, _ = (tmp_path / file).read_text().splitlines()[1].split(",")
    (tmp_path / "plain.csv").write_text(f"user,item\n{user},{item}\n")
    code, _, err = run("evaluate", "made", "plain.csv", "--json")
    assert code == 3 and "who" in err
    code, out, err = run(
        "evaluate", "made", "plain.csv", "--user-column=user", "--include-training", "--json"
    )
    assert code == 0 and json.loads(out)["users"] == 1
    assert "as in training" not in err


def test_another_model_in_the_folder_has_nothing_kept(run, file, tmp_path, made):
    model = Model.load(made)
    ids = {"user_ids": model.user_ids, "item_ids": model.item_ids}
    Model(model.user_vectors * 0.5, model.item_vectors, **ids).save(made)
    asked = ("recommend", "made", "--user", model.user_ids[0], "--n=30", "--json")
    found, err = items_of(run(*asked))
    assert len(found) == 30 and err == ""


def test_an_index_keeps_what_is_kept(run, file, made):
    code, out, err = run("index", "made", "--kind=exact", "--recall=0.9", "--n=5", "--json")
    assert code == 0, err
    assert json.loads(out)["index"]["kind"] == "exact"
    model = Model.load(made)
    assert model.index_info["n"] == 5
    asked = ("recommend", "made", "--user", model.user_ids[0], "--n=3", "--json")
    exact, approximate = (items_of(run(*asked, *more)) for more in ((), ("--approximate",)))
    assert exact[0] == approximate[0]
    assert "reading" in approximate[1]
    item = model.item_ids[0]
    code, out, _ = run("similar", "made", "--item", item, "--approximate", "--json")
    assert code == 0 and json.loads(out)["item"] == item


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("recommend", "made", "--user=x", "--approximate"), 2, ["cml-fast index made"]),
        (("index", "made", "--kind=tree"), 2, ["--kind", "exact", "'tree'"]),
        (("index", "made", "--recall=2"), 2, ["--recall must", "2"]),
        (("index", "made", "--kind=exact", "--n-threads=2"), 2, ["--n-threads", "exact"]),
        (("index", "absent"), 3, ["absent"]),
    ],
)
def test_indexes_that_cannot_be(run, made, command, code, words):
    before = {path: path.read_bytes() for path in made.iterdir()}
    got, out, err = run(*command)
    assert (got, out) == (code, "")
    for word in words:
        assert word in err.splitlines()[-1]
    assert {path: path.read_bytes() for path in made.iterdir()} == before
