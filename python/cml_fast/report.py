"""A report on a model: one page for people who do not read code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ._evaluation.held_out import Matrix
from ._evaluation.plan import check_plan
from ._persistence.one_file import check_folder, check_free, write_file
from ._validation.scalars import check_bool
from .data._ids import IdIndex
from .model import Model


def write_report(
    model: Model,
    train: Matrix,
    test: Matrix | None = None,
    *,
    out: str | os.PathLike[str],
    exclude: Matrix | Sequence[Matrix] | None = None,
    ks: Iterable[int] = (10, 50, 100),
    names: Any = None,
    user_groups: Any = None,
    map_page: str | os.PathLike[str] | None = None,
    unknown: str = "error",
    title: str = "Report on a recommender",
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
    n_threads: int | None = None,
) -> Path:
    """Write a report on a model: one HTML file, to be opened in a browser, sent or printed.

    It shows the data; how training went; recall, NDCG and hit rate beside those of the most popular
    items and of random ones, for all users, for groups of users and for groups of items; whether
    popular items are recommended too often; and what a few users like and get, and why. Each chart
    has a sentence that says how to read it, and a table of its figures. The file needs no network,
    and no program runs in it but the map.

    Parameters
    ----------
    model : Model
    train : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        The likes of training. The non-zero entries count, whatever their values.
    test : the same, optional
        The held-out likes. Without them the report does not say how good the model is.
    out : path
        The file, such as ``report.html``.
    exclude : one or a list or tuple of the same, optional
        Further items that are left out of a user's ranking, usually those of validation. Those of
        ``train`` always are.
    ks : iterable of int
        Lengths of the rankings, each at least 1. Charts are of the smallest, tables of all.
    names : dict or array_like of (n_items,), optional
        Names of items to show instead of their ids: a dict from ids to texts, or a text for each
        item, in the model's order.
    user_groups : dict or array_like of (n_users,), optional
        A group of each user, such as a country, to measure apart. None stands for no group.
    map_page : path, optional
        A page that `Model.map` wrote. It becomes part of the report, and is loaded when the reader
        opens it.
    unknown : str
        What to do with ids in these dicts that the model does not have: "error", or "drop".
    title : str
        The heading of the page.
    overwrite : bool
        Whether a file that is there already is replaced; else it is an error.
    progress : callable, optional
        Called with a line on each step before it begins.
    n_threads : int or None
        CPU threads, those of BLAS included; None uses all cores that this process may use. The file
        does not depend on it.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.
    DataError
        If a matrix has another shape or other ids than the model, ``train`` or ``test`` is empty,
        ``names`` or ``user_groups`` have another length or unknown ids, or ``map_page`` is none.
    FileExistsError
        If the file is there already, or is a folder.
    OSError
        If writing fails, for instance for lack of space. ``out`` is as it was before.

    Notes
    -----
    The figures are those of `evaluation.evaluate` with ``exclude=[train, ...]`` and
    ``train=train``. The intervals are 95% bootstrap intervals, see `metrics.Evaluation.intervals`.
    The same input gives the same file, byte for byte.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import split, synthetic
    >>> from cml_fast.report import write_report
    >>> train, test = split(synthetic(200, 100, 3000).interactions, (0.8, 0.2))
    >>> model = Trainer(n_dims=8, n_epochs=3, temperature=0.3, verbose=False).fit(train).model_
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(model, train, test, out=Path(folder, "report.html")).read_text()
    >>> page.count("<h2>")
    8
    """
    path = Path(out)
    check_free(path, check_bool("overwrite", overwrite))
    check_folder(path)
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    if not isinstance(title, str):
        raise TypeError(f"title must be a str, got {title!r}")
    from ._report.facts import METRICS, gather  # only now: the program starts faster
    from ._report.given import texts_by_row
    from ._report.map_page import read_map
    from ._report.page import build
    from ._report.sections import SECTIONS

    say = progress or (lambda message: None)
    lengths = check_plan(ks, METRICS, "include", "include", True).ks
    item_names = texts_by_row("names", names, IdIndex("item", model.item_ids), unknown)
    users = IdIndex("user", model.user_ids)
    groups = texts_by_row("user_groups", user_groups, users, unknown)
    left_out = list(exclude) if isinstance(exclude, list | tuple) else [exclude]
    say("measuring the model, and what it is compared with")
    facts = gather(
        model,
        train,
        test,
        [matrix for matrix in left_out if matrix is not None],
        lengths,
        stacklevel=3,
        item_names=item_names,
        user_groups=groups,
        map_page=None if map_page is None else read_map(map_page),
        n_threads=n_threads,
    )
    say("writing the report")
    contents = {(section.name, section.title): section.content(facts) for section in SECTIONS}
    write_file(path, build(title, facts, contents))
    return path
