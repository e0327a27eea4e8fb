"""How ids, names and other texts from files are shown to a person.

Such a text can hold anything: a newline that makes one row of a table two, or codes that move the
cursor of a terminal, colour it, or turn the direction of writing.
"""

from __future__ import annotations

# A longer text loses its middle, and so many characters of its end stay.
LONGEST, END = 60, 20


def shown(value: object) -> str:
    """Return a value as text of one line, without quotes, for tables and lists.

    Characters that are not printed (control and format characters, line separators, lone
    surrogates), and backslashes, are escaped as in a Python string. A long text is shortened.

    Examples
    --------
    >>> from cml_fast._validation.showing import shown
    >>> print(shown("Amélie"), shown(7), shown("a\\nb"), shown("\\x1b[31mred"))
    Amélie 7 a\\nb \\x1b[31mred
    >>> print(shown("x" * 100))
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxx
    """
    # Only the ends of a text of millions of characters are looked at.
    text = _shortened(_text(value), LONGEST)
    escaped = "".join(
        character if character.isprintable() and character != "\\" else _escape(character)
        for character in text
    )
    return _shortened(escaped, LONGEST)


def quoted(value: object) -> str:
    """Return a value as `shown` does, a str in quotes, for sentences.

    Examples
    --------
    >>> from cml_fast._validation.showing import quoted
    >>> print(quoted("a\\nb"), quoted(7))
    'a\\nb' 7
    """
    if isinstance(value, str):
        return _shortened(repr(_shortened(value, LONGEST)), LONGEST + len("''"))
    return shown(value)


def _text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no integer of thousands of digits
        return f"<{type(value).__name__}>"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest - END - len('...')]}...{text[-END:]}"
