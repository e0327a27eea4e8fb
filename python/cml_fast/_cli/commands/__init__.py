"""The commands of ``cml-fast``: a new one is a module here, and a line in ``COMMANDS``."""

from . import demo, evaluate, info, recommend, similar, train

COMMANDS = (
    train.COMMAND,
    evaluate.COMMAND,
    recommend.COMMAND,
    similar.COMMAND,
    info.COMMAND,
    demo.COMMAND,
)
