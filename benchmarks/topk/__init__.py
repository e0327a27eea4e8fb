"""Time of a top-K query against recall; see ``__main__.py`` for the command."""
