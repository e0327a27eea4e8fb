"""The commands of ``cml-fast``: a new one is a module here, and a line in ``COMMANDS``."""

from . import demo, evaluate, export, info, recommend, similar, train

COMMANDS = (
    train.COMMAND,
    evaluate.COMMAND,
    recommend.COMMAND,
    similar.COMMAND,
    export.COMMAND,
    info.COMMAND,
    demo.COMMAND,
)
