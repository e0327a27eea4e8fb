"""Every code block of the README, the guide and the other pages runs and prints what is shown.

Blocks of a page run in order, in one namespace and one temporary folder, where some files lie:

- ``python``: executed;
- ``console``: each line ``$ cml-fast ...`` is a call of the command;
- ``text``, right after one of these or as the rest of a ``console`` block: the expected output;
- ``sh``, ``cpp``, ``make``, ``json``, ``ini``, ``nginx``: installing, building, excerpts; not run.

``<!-- not run: REASON -->`` before a fence excuses a block; REASONS lists the accepted reasons.
"""

from __future__ import annotations

import contextlib
import csv
import doctest
import io
import shlex
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from markdown_pages import ROOT, Block, blocks, name_of, pages

from cml_fast._cli.app import main
from cml_fast.data import load_interactions, split, synthetic

RUN = {"python", "console"}
NOT_RUN = {"sh", "cpp", "json", "ini", "nginx", ""}
REASONS = {"needs a GPU", "needs LightFM", "an excerpt"}
# tests/integrations runs these where the tool is.
REASONS |= {f"needs {tool}" for tool in ("implicit", "LensKit", "RecTools", "Cornac")}
REASONS |= {"needs MLflow", "needs tensorboardX", "starts a Ray cluster"}
# What these pages show is the output for the real files of MovieLens.
MOVIELENS_PAGES = {"docs/getting-started.md"}
MOVIELENS_FILES = ("ratings.csv", "movies.csv")
# What these pages need besides the dependencies of the package, and the extra that has it. The
# databases, one of which is a server, are installed by `make check`.
DATABASES = "docs/user-guide/databases.md"
NEEDED = {
    "docs/user-guide/scikit-learn.md": (("sklearn", "optuna"), "test"),
    "docs/user-guide/serving.md": (("fastapi", "uvicorn"), "server"),
    DATABASES: (("duckdb", "lancedb", "qdrant_client", "psycopg"), "databases"),
}
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def movielens_like(folder: Path) -> None:
    """Made-up files in the format of MovieLens, with the films that the pages name."""
    named = {1: "Toy Story", 260: "Star Wars", 1196: "Empire", 1210: "Jedi"}
    likes = synthetic(200, 300, 6000).interactions.matrix
    films = [*named, *(film for film in range(2, 1000) if film not in named)][: likes.shape[1]]
    users, columns = likes.nonzero()
    with (folder / "ratings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        for user, column in zip(users.tolist(), columns.tolist(), strict=True):
            writer.writerow([user + 1, films[column], 4 + user % 2, 0])
    with (folder / "movies.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["movieId", "title", "genres"])
        for film in films:
            writer.writerow([film, named.get(film, f"Film {film}"), "Comedy|Drama"])


def write_likes(folder: Path) -> None:
    """likes.csv, test.csv, tags.csv and items.csv, which the pages of the guide read."""
    made_up = synthetic(300, 200, 6000)
    likes = made_up.interactions
    parts = split(likes, (0.8, 0.2), random_state=0)
    for file_name, part in zip(("likes.csv", "test.csv"), parts, strict=True):
        users, items = part.matrix.nonzero()
        with (folder / file_name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["user", "item"])
            writer.writerows(zip(likes.user_ids[users], likes.item_ids[items], strict=True))
    with (folder / "tags.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "tag"])
        for item, taste in zip(likes.item_ids, made_up.item_tastes, strict=True):
            writer.writerow([item, made_up.taste_names[taste]])
            writer.writerow([item, "popular" if item.endswith(("0", "1", "2")) else "rare"])
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "genre"])
        for item in likes.item_ids:
            genre, number = item.split("-")
            writer.writerow([item, f"{genre.title()} No. {int(number)}", genre])


def runnable(page: Path) -> list[Block]:
    """The blocks that run and the outputs shown after them; none where nothing runs."""
    found = [block for block in blocks(page.read_text()) if block.not_run is None]
    return found if any(block.language in RUN for block in found) else []


def run_python(block: Block, page: str, namespace: dict[str, Any]) -> str:
    """Execute a block; return what it printed."""
    source = "\n" * (block.line - 1) + block.text  # so that tracebacks give the page's lines
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a page may show what warns, and say so
        exec(compile(source, page, "exec"), namespace)
    return printed.getvalue()


def console_calls(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown after it."""
    calls: list[tuple[str, str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            calls.append((line[2:], ""))
        else:
            command, output = calls[-1]
            calls[-1] = (command, output + line + "\n")
    return calls


def run_command(command: str, page: str) -> str:
    """Run a line of a console block; return what it printed on stdout."""
    program, *arguments = shlex.split(command)
    assert program == "cml-fast", f"{page}: a console block runs {program}; use sh for it"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(arguments)
    assert code == 0, f"{page}: {command} ended with exit code {code}"
    return printed.getvalue()


def check_output(page: str, line: int, wanted: str, printed: str) -> None:
    checker = doctest.OutputChecker()
    if not checker.check_output(wanted, printed, ELLIPSIS):
        example = doctest.Example("", wanted)
        difference = checker.output_difference(example, printed, ELLIPSIS | doctest.REPORT_NDIFF)
        pytest.fail(f"{page}, line {line}, shows another output:\n{difference}", pytrace=False)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_blocks_have_a_language_and_a_reason(page: Path) -> None:
    for block in blocks(page.read_text()):
        place = f"{name_of(page)}, line {block.line}"
        assert block.language in RUN | NOT_RUN | {"text"}, place
        assert block.not_run is None or block.not_run in REASONS, place
        if block.language == "text":
            assert block.follows, f"{place}: an output follows the block that prints it"


def run_pages() -> list[Any]:
    """The pages that run, as parameters of a test."""
    return [
        pytest.param(page, marks=[pytest.mark.slow] if name_of(page) == DATABASES else [])
        for page in pages()
        if runnable(page)
    ]


@pytest.mark.parametrize("page", run_pages(), ids=name_of)
def test_blocks_run_and_print_what_is_shown(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    name = name_of(page)
    packages, extra = NEEDED.get(name, ((), ""))
    for package in packages:
        pytest.importorskip(package, reason=f"{name} needs {package}: cml-fast[{extra}] has it")
    monkeypatch.chdir(tmp_path)
    if name == DATABASES:
        start_databases(request, monkeypatch)
    compare = prepare_files(name, tmp_path, request)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in runnable(page):
        if block.language == "python":
            printed = run_python(block, name, namespace)
        elif block.language == "console":
            for command, wanted in console_calls(block.text):
                printed = run_command(command, name)
                if wanted.strip() and compare:
                    check_output(name, block.line, wanted, printed)
        elif block.language == "text" and compare:
            check_output(name, block.line, block.text + "\n", printed)


def start_databases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``postgresql:///shop`` the address of a new database."""
    server = request.getfixturevalue("postgresql_server")
    for variable, value in server.variables().items():
        monkeypatch.setenv(variable, value)
    server.create("shop")


def prepare_files(name: str, folder: Path, request: pytest.FixtureRequest) -> bool:
    """Write the files that a page reads; return whether its outputs are to be compared."""
    write_likes(folder)
    movielens = folder / "ml-latest-small"
    movielens.mkdir()
    if name in MOVIELENS_PAGES:
        with contextlib.suppress(pytest.skip.Exception):  # the real files are not here
            real = request.getfixturevalue("shared_data") / movielens.name
            for file in MOVIELENS_FILES:
                shutil.copy(real / file, movielens / file)
            return True
    movielens_like(movielens)
    return name not in MOVIELENS_PAGES


def test_the_readme_and_every_page_of_the_guide_are_run() -> None:
    wanted = {"README.md", "docs/getting-started.md"}
    wanted |= {name_of(page) for page in (ROOT / "docs" / "user-guide").glob("*.md")}
    wanted.remove("docs/user-guide/index.md")
    # It starts Ray, whose threads would stay in this process; tests/distributed makes its calls.
    wanted.remove("docs/user-guide/many-workers.md")
    assert wanted <= {name_of(page) for page in pages() if runnable(page)}


def test_the_stand_in_for_movielens_is_read_as_the_real_files_are(tmp_path: Path) -> None:
    movielens_like(tmp_path)
    likes = load_interactions(
        tmp_path / "ratings.csv", user="userId", item="movieId", rating="rating", min_rating=4
    )
    assert likes.matrix.nnz == 6000
