"""The options that a model's folder keeps of its training, where somebody has changed them."""

import numpy as np
import pytest
import typer

from cml_fast import Model
from cml_fast._cli.app import _app
from cml_fast._cli.kept import NAME, keep, kept_with
from cml_fast.errors import DataError


@pytest.mark.parametrize(
    ("added", "match"),
    [
        (b"header = 3\n", "header must be true or false, got 3"),
        (b"where = [1]\n", "where must be a list, each a text in quotes"),
        (b"min-rating = 'x'\n", "min-rating must be a number, got 'x'"),
        (b"validation = 7\n", "validation must be a path in quotes, got 7"),
        (b"x = '\xff'\n", "is not valid TOML"),
    ],
)
def test_values_of_other_types_name_the_file(tmp_path, added, match):
    Model(np.zeros((1, 2)), np.ones((1, 2))).save(tmp_path)
    command = typer.main.get_command(_app(["train"])).commands["train"]
    keep(tmp_path, command, {"file": tmp_path / "likes.csv"})
    assert kept_with(tmp_path).files == (tmp_path / "likes.csv",)
    with (tmp_path / NAME).open("ab") as file:
        file.write(added)
    with pytest.raises(DataError, match=f"{NAME}.*{match}"):
        kept_with(tmp_path)
