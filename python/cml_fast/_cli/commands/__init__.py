"""The commands of ``cml-fast``: a new one is a module here, and a line in ``COMMANDS``.

The module has the name of the command, and

- ``run``, a function whose parameters are the arguments and options, annotated as typer does:
  ``Annotated[int, typer.Option("--n", help="How many to show.")] = 10``. Names are those of the
  arguments of the library where these exist, because its messages are then translated to the
  options (see ``messages.in_options``). A parameter whose type is a dataclass, such as
  ``reading.Reading``, is a group of options that several commands have. Rare options are
  ``hidden=True``: they are shown by ``--help-all`` only. ``run`` returns an ``output.Outcome``;
  ``--json`` and ``--help-all`` come by themselves.
- ``EXAMPLE``: one or more whole command lines for ``--help``.

A module is imported when its command is called. What is slow to import (the model, the trainer,
pyarrow) is imported inside ``run`` where ``--help`` does not need it.
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """A command in the list of ``cml-fast --help``: its panel there, its name, and one line."""

    panel: str
    name: str
    help: str


LEARN, USE, SEE = "Learn a model", "Use a model", "Look at it"

COMMANDS = (
    Entry(LEARN, "split", "divide a file of interactions for training, validation and test"),
    Entry(LEARN, "prepare", "make a data set of files that do not fit in memory"),
    Entry(LEARN, "train", "learn a model from a file of interactions"),
    Entry(LEARN, "update", "go on with new interactions where a training ended"),
    Entry(LEARN, "tune", "search for hyper-parameters on validation data"),
    Entry(LEARN, "evaluate", "measure recall and NDCG on held-out interactions"),
    Entry(LEARN, "demo", "train on made-up likes or your own, compare with baselines, draw a map"),
    Entry(USE, "recommend", "recommend items to users, to a new person, or to all users"),
    Entry(USE, "similar", "find the items near an item, or the users near a user"),
    Entry(USE, "index", "give a model an index for approximate search"),
    Entry(USE, "export", "write the vectors, with ids and metadata, to a file or a database"),
    Entry(USE, "serve", "answer over HTTP: recommendations, neighbours, new people"),
    Entry(SEE, "map", "draw the learned space: a page for the browser"),
    Entry(SEE, "info", "show what this build can do, and what a model holds"),
    Entry(
        SEE, "report", "write a page on the data, the quality and the popularity bias of a model"
    ),
)
