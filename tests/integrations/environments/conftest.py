"""Data for the checks: ml-latest-small, or made-up data in its format.

The checks run in a folder outside the checkout. LensKit's own tests look for
data/ml-latest-small there.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cml_fast.data import synthetic

VARIABLE = "CML_FAST_MOVIELENS"
FOLDER = Path("data/ml-latest-small")
HERE = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    for mark in ("slow", "eval"):  # of LensKit's tests
        config.addinivalue_line("markers", mark)
    if Path.cwd() != HERE:  # the tests of the checkout run, none of these
        return
    FOLDER.parent.mkdir(exist_ok=True)
    if FOLDER.exists():
        return
    if os.environ.get(VARIABLE):
        FOLDER.symlink_to(os.environ[VARIABLE], target_is_directory=True)
    else:
        FOLDER.mkdir()
        write_made_up()


def write_made_up() -> None:
    """Ratings, films and a tag in the format of MovieLens; LensKit wants all three."""
    likes = synthetic(300, 400, 12000, n_tastes=8, random_state=0).interactions.matrix
    users, films = likes.nonzero()
    # At random, so that a split by time leaves everybody some likes.
    times = np.random.default_rng(0).permutation(len(users)) + 1_000_000_000
    with (FOLDER / "ratings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        for user, film, time in zip(users, films, times, strict=True):
            writer.writerow([user + 1, film + 1, 4 + time % 2, time])
    with (FOLDER / "movies.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["movieId", "title", "genres"])
        writer.writerows([film + 1, f"Film {film}", "Drama"] for film in range(likes.shape[1]))
    (FOLDER / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,funny,1000000000\n")


@pytest.fixture(scope="session")
def ratings() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "ratings.csv")
