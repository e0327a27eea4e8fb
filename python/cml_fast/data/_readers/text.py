"""Text tables: every line is a record, is counted, or is an error that names it.

A file is read in blocks of whole lines. pyarrow parses a block where it is certain that it sees the
same records in it as the rules below do; a count of its rows makes sure. All other blocks, those
with a fault or with unusual quotes, are parsed here line by line. That is slower, and knows the
line of everything.

The rules: a line ends with \\n, \\r\\n or \\r; an empty line is no record; all records have as many
fields as the first one. With quotes, a field that begins with a double quote ends with one, before
the next delimiter or the end of the line; two double quotes in it stand for one; elsewhere a double
quote is a character like any other.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ..._memory import check_room, check_room_for_lines
from ..._threads import can_start_threads
from ...errors import DataError
from .files import NO_THREAD
from .report import Tally

# Bytes that are parsed together, and the longest line there may be.
BLOCK_BYTES = 1 << 22
# Bytes that are parsed together line by line: objects of Python take many times as much.
PIECE_BYTES = 1 << 17
LONGEST_LINE = 1 << 26
# A quoted field may go on over so many lines.
LONGEST_FIELD_LINES = 1000

_QUOTE, _NEWLINE = ord('"'), ord("\n")
# Stands for delimiters of several characters, as pyarrow knows only those of one.
_UNIT_SEPARATOR = b"\x1f"
_ONLY_QUOTE, _QUOTE_OR_BACKSLASH = re.compile('"'), re.compile(r'["\\]')
# What Python takes for a line as bytes, besides these.
_BYTES_FOR_LINES = 64
_ESCAPED = re.compile(r'\\(.)|"(")', re.DOTALL)
_UTF8_MARK = b"\xef\xbb\xbf"
# Besides those of the processor, pyarrow reads in a thread of its own, and ahead in another.
_READING_THREADS = 2
# What pyarrow takes at most for a byte of a block. It ends the process where it gets no memory.
_BYTES_FOR_A_BYTE = 16
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Dialect(NamedTuple):
    """How a text table is written.

    Attributes
    ----------
    delimiter : str
        What stands between fields: a character, or several.
    quoting : {"minimal", "multiline", "backslash", "none"}
        "none": a double quote is a character like any other. Otherwise fields may be quoted, and
        "multiline" says that quoted fields with line breaks are to be expected. They are read with
        "minimal" as well, unless a line within the quotes looks like a record. "backslash" is
        "minimal", and within quotes a backslash makes an ordinary character of the next one.
    encoding : str
        The name of the encoding in Python.
    """

    delimiter: str
    quoting: str = "minimal"
    encoding: str = "utf-8"


class Batch(NamedTuple):
    """Records in the order of the file, and where each of them is.

    Attributes
    ----------
    columns : list of pyarrow.Array, (n_records,)
        The columns asked for.
    lines : function
        Returns the number of the line on which each record begins, (n_records,), int64.
    """

    columns: list[pa.Array]
    lines: Callable[[], np.ndarray]

    def place(self, record: int) -> str:
        """Return where a record is, such as "line 7"."""
        return f"line {self.lines()[record]}"


class BadLine(Exception):
    """What is wrong with one line; the table decides whether that is an error."""


class NoRecords(DataError):
    """A text table has only empty lines."""


class _Incomplete(Exception):
    """A quoted field goes on in the next block."""


class Block(NamedTuple):
    """Whole lines, each ending with \\n."""

    first_line: int  # number of the first line, from 1
    data: bytes  # whole lines, each ending with \n
    is_last: bool


class Chunks(Protocol):
    """What text is read from: a `Source`, or what stands between it and a table."""

    name: str

    def chunks(self, size: int, /) -> Iterator[bytes]:
        """Yield bytes, about ``size`` at a time."""


class TextTable:
    """A text table that is read once.

    Reading begins with the first record, which says how many fields a record has and perhaps what
    they are called.

    Attributes
    ----------
    first : list of str
        The fields of the first record.
    first_place : str
        Where that is, such as "line 1".
    """

    def __init__(self, source: Chunks, dialect: Dialect, tally: Tally) -> None:
        self._source, self._dialect, self._tally = source, dialect, tally
        self._delimiter = dialect.delimiter
        self._escapes = dialect.quoting == "backslash"
        self._width = 0  # not known yet
        self._blocks = line_blocks(source, dialect.encoding)
        self._block = next(self._blocks, Block(1, b"", True))
        self.first, begin, self._header_end = self._first_record()
        self._header_begin = begin
        self.first_place = f"line {self._block.first_line + begin}"
        self._width = len(self.first)

    def _first_record(self) -> tuple[list[str], int, int]:
        """Return the fields of the first record, and in which lines of the first block it is."""
        while True:
            lines = _split_lines(self._block.data)
            at = next((at for at, line in enumerate(lines) if line), len(lines))
            try:
                if at < len(lines):
                    fields, end = self._record(lines, at)
                    if not _is_utf8(fields):
                        raise BadLine(_not_utf8())
                    return fields, at, end
            except BadLine as error:
                raise DataError(f"{self._named(at)} {error}") from None
            except _Incomplete:
                if self._block.is_last:
                    raise DataError(f"{self._named(at)} {_UNCLOSED}") from None
            if self._block.is_last:
                raise NoRecords(f"{self._source.name} has only empty lines")
            more = next(self._blocks)
            self._block = Block(self._block.first_line, self._block.data + more.data, more.is_last)

    def skip_header(self) -> None:
        """Take the first record for the names of the columns."""
        lines = _split_lines(self._block.data)
        skipped = lines[: self._header_end]
        self._tally.lines += self._header_end
        self._tally.empty += self._header_begin
        self._tally.header += self._header_end - self._header_begin
        size = sum(len(line) + 1 for line in skipped)
        first, data, is_last = self._block
        self._block = Block(first + self._header_end, data[size:], is_last)

    def batches(self, positions: list[int]) -> Iterator[Batch]:
        """Yield the columns at these positions, all of them as text."""
        rest = b""
        for first_line, data, is_last in self._all_blocks():
            block = Block(first_line - rest.count(b"\n"), rest + data, is_last)
            rest = b""
            batch = self._parse_fast(block, positions)
            if batch is not None:
                yield batch
            else:
                rest = yield from self._parse_in_pieces(block, positions)

    def _all_blocks(self) -> Iterator[Block]:
        yield self._block
        if not self._block.is_last:
            yield from self._blocks

    def _named(self, at: int) -> str:
        return f"{self._source.name}: line {self._block.first_line + at}"

    # --- pyarrow -------------------------------------------------------------------------------

    def _parse_fast(self, block: Block, positions: list[int]) -> Batch | None:
        """Return the records that pyarrow finds, or None where it may see others than we would."""
        data, delimiter = block.data, self._delimiter.encode()
        if b"\0" in data or data.startswith(_UTF8_MARK):  # which pyarrow would drop
            return None
        quoted = self._dialect.quoting != "none" and b'"' in data
        if len(delimiter) > 1:
            if _UNIT_SEPARATOR in data or quoted:  # a quoted field may have the delimiter in it
                return None
            data, delimiter = data.replace(delimiter, _UNIT_SEPARATOR), _UNIT_SEPARATOR
        codes = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(codes == _NEWLINE)
        lengths = np.diff(ends, prepend=-1) - 1
        if quoted and not _quotes_are_plain(codes, ends, delimiter[0]):
            return None
        if quoted and self._escapes and b"\\" in data:
            return None
        n_bytes = _BYTES_FOR_A_BYTE * len(data)
        use_threads = can_start_threads(pa.cpu_count() + _READING_THREADS, n_bytes)
        if not use_threads and not can_start_threads(_READING_THREADS, n_bytes):
            return None
        names = [str(at) for at in range(self._width)]
        wanted = list(dict.fromkeys(str(at) for at in positions))
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(data),
                pyarrow.csv.ReadOptions(column_names=names, use_threads=use_threads),
                pyarrow.csv.ParseOptions(
                    delimiter=delimiter.decode(), quote_char='"' if quoted else False
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted
                ),
            )
        except pa.ArrowInvalid:
            return None
        except pa.ArrowException as error:
            if NO_THREAD not in str(error):
                raise
            return None
        n_empty = np.count_nonzero(lengths == 0)
        if len(table) != len(ends) - n_empty:
            return None
        self._tally.lines += len(ends)
        self._tally.empty += n_empty

        def numbers() -> np.ndarray:
            return block.first_line + np.flatnonzero(lengths)

        return Batch([_whole(table[str(at)]) for at in positions], numbers)

    # --- line by line --------------------------------------------------------------------------

    def _parse_in_pieces(self, block: Block, positions: list[int]) -> Generator[Batch, None, bytes]:
        """Yield the records of a block, and return the lines to be read with the next one."""
        line, begin, rest = block.first_line, 0, b""
        while True:
            # As long as what is read again with it, so that no line is read again often.
            end = piece_end(block.data, begin + max(PIECE_BYTES, len(rest)))
            data, is_end = rest + block.data[begin:end], end == len(block.data)
            piece = Block(line, data, block.is_last and is_end)
            rest = yield from self._parse_slowly(piece, positions)
            line += data.count(b"\n") - rest.count(b"\n")
            begin = end
            if is_end:
                return rest

    def _parse_slowly(self, block: Block, positions: list[int]) -> Generator[Batch, None, bytes]:
        """Yield the records of a block, and return the lines to be read with the next one."""
        check_room_for_lines(self._source.name, block.data.count(b"\n"), len(block.data))
        lines, tally = _split_lines(block.data), self._tally
        numbers: list[int] = []
        columns: list[list[str]] = [[] for _ in positions]
        at = 0
        while at < len(lines):
            number, end = block.first_line + at, at + 1
            fault = None
            if not lines[at]:
                tally.empty += 1
            else:
                try:
                    fields, end = self._record(lines, at)
                    self._check(fields, positions)
                except BadLine as error:
                    fault, end = str(error), at + 1
                except _Incomplete:
                    if not block.is_last:
                        yield self._batch(columns, numbers)
                        return b"".join(line + b"\n" for line in lines[at:])
                    fault = _UNCLOSED
                else:
                    tally.continue_record(f"{self._source.name}: line {number}", end - at - 1)
                    numbers.append(number)
                    for column, position in zip(columns, positions, strict=True):
                        column.append(fields[position])
            if fault is not None:
                if tally.first_bad is None:  # a line before this one may be bad for other reasons
                    yield self._batch(columns, numbers)
                    numbers, columns = [], [[] for _ in positions]
                tally.bad_line(f"{self._source.name}: line {number}", fault)
            tally.lines += end - at
            at = end
        yield self._batch(columns, numbers)
        return b""

    def _batch(self, columns: list[list[str]], numbers: list[int]) -> Batch:
        arrays = [pa.array(column, pa.string()) for column in columns]
        return Batch(arrays, lambda: np.array(numbers, dtype=np.int64))

    def _check(self, fields: list[str], positions: list[int]) -> None:
        if len(fields) != self._width:
            raise BadLine(f"has {len(fields)} fields, expected {self._width}")
        if not _is_utf8([fields[at] for at in positions]):
            raise BadLine(_not_utf8())

    def _record(self, lines: list[bytes], at: int) -> tuple[list[str], int]:
        """Return the fields of the record that begins at a line, and where the next one begins."""
        line = _text(lines[at])
        if self._dialect.quoting == "none" or '"' not in line:
            return line.split(self._delimiter), at + 1
        fields, position, end = [], 0, at + 1
        while True:
            if not line.startswith('"', position):
                stop = line.find(self._delimiter, position)
                fields.append(line[position : stop if stop >= 0 else None])
            else:
                while (closing := _closing_quote(line, position + 1, self._escapes)) is None:
                    line += "\n" + self._next_line(lines, at, end)
                    end += 1
                fields.append(_unquoted(line[position + 1 : closing], self._escapes))
                stop = closing + 1
                if stop == len(line):
                    stop = -1
                elif not line.startswith(self._delimiter, stop):
                    raise BadLine(
                        f"has {line[stop : stop + 1]!r} after a quoted field; {_NO_QUOTES}"
                    )
            if stop < 0:
                return fields, end
            position = stop + len(self._delimiter)

    def _next_line(self, lines: list[bytes], begin: int, at: int) -> str:
        """Return a line that continues a quoted field of the record that began at ``begin``."""
        if at - begin >= LONGEST_FIELD_LINES:
            raise BadLine(_UNCLOSED)
        if at == len(lines):
            raise _Incomplete
        line = _text(lines[at])
        within = line[: _closing_quote(line, 0, self._escapes)]
        looks_like_a_record = within.count(self._delimiter) + 1 >= max(self._width, 2)
        if self._dialect.quoting != "multiline" and looks_like_a_record:
            raise BadLine(_UNCLOSED)
        return line


_NO_QUOTES = "if double quotes are ordinary characters in this file, pass quoting='none'"
_UNCLOSED = (
    f"has a double quote that is not closed on this line; {_NO_QUOTES}, and if quoted fields have "
    "line breaks in them, quoting='multiline'"
)


def _not_utf8() -> str:
    return "is not UTF-8 text; if it is in another encoding, pass it, such as encoding='latin-1'"


def _text(line: bytes) -> str:
    if b"\0" in line:
        raise BadLine(
            "has a NUL byte, as no text has; if the file is UTF-16, pass encoding='utf-16'"
        )
    return line.decode("utf-8", errors="surrogateescape")


def _is_utf8(fields: list[str]) -> bool:
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:  # a surrogate, which stands for a byte that is not UTF-8
        return False
    return True


def _split_lines(data: bytes) -> list[bytes]:
    check_room("a block of lines", data.count(b"\n") * _BYTES_FOR_LINES + len(data))
    return data.split(b"\n")[:-1]


def piece_end(data: bytes, at: int) -> int:
    """Return where the line ends in which the byte ``at`` is, or the data."""
    return data.find(b"\n", at) + 1 or len(data)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined: Any = column.combine_chunks()
    return combined


def _closing_quote(line: str, begin: int, escapes: bool) -> int | None:
    """Return where the quoted field ends whose text begins here; None: not on this line."""
    while found := (_QUOTE_OR_BACKSLASH if escapes else _ONLY_QUOTE).search(line, begin):
        at = found.start()
        if line[at] == '"' and not line.startswith('"', at + 1):
            return at
        begin = at + 2
    return None


def _unquoted(text: str, escapes: bool) -> str:
    """Return the text of a quoted field."""
    return _ESCAPED.sub(r"\1\2", text) if escapes else text.replace('""', '"')


def _quotes_are_plain(codes: np.ndarray, line_ends: np.ndarray, delimiter: int) -> bool:
    """Whether every quote opens or closes a field that ends on its line, or is doubled in one."""
    quotes = np.flatnonzero(codes == _QUOTE)
    if quotes.size % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before, after = codes[opening - 1], codes[closing + 1]  # [-1] is the end of the last line
    opens = (before == delimiter) | (before == _NEWLINE) | (before == _QUOTE)
    closes = (after == delimiter) | (after == _NEWLINE) | (after == _QUOTE)
    if not (opens.all() and closes.all()):
        return False
    return bool((np.searchsorted(line_ends, opening) == np.searchsorted(line_ends, closing)).all())


def line_blocks(source: Chunks, encoding: str) -> Iterator[Block]:
    """Yield whole lines as UTF-8, each ending with a newline; at least one block."""
    number, rest, waiting = 1, b"", None
    for chunk in _newlines(_utf8_chunks(source, encoding)):
        rest += chunk
        end = rest.rfind(b"\n") + 1
        if end:
            if waiting is not None:
                yield waiting
            waiting = Block(number, rest[:end], False)
            number += waiting.data.count(b"\n")
            rest = rest[end:]
        if len(rest) > LONGEST_LINE:
            raise DataError(
                f"{source.name}: line {number} is longer than {LONGEST_LINE >> 20} MiB; is this a "
                "text file?"
            )
    if rest:
        if waiting is not None:
            yield waiting
        waiting = Block(number, rest + b"\n", False)
    if waiting is not None:
        yield waiting._replace(is_last=True)


def _newlines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Turn all ends of lines into newlines."""
    held = b""
    for chunk in chunks:
        chunk = held + chunk
        held = chunk[-1:] if chunk.endswith(b"\r") else b""  # the newline may be in the next chunk
        if held:
            chunk = chunk[:-1]
        yield chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in chunk else chunk
    if held:
        yield b"\n"


def _utf8_chunks(source: Chunks, encoding: str) -> Iterator[bytes]:
    """Yield the bytes of a text file as UTF-8, without a byte order mark."""
    chunks = source.chunks(BLOCK_BYTES)
    if codecs.lookup(encoding).name == "utf-8":
        for at, chunk in enumerate(chunks):
            if at == 0 and chunk.startswith(_UTF16_MARKS):
                raise DataError(f"{source.name} is UTF-16 text; pass encoding='utf-16'")
            yield chunk.removeprefix(_UTF8_MARK) if at == 0 else chunk
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 0
    for chunk in _and_end(chunks):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            # UTF-16 and UTF-32 that do not say their byte order are no UnicodeDecodeError.
            begin = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
            before = begin.decode(encoding, errors="replace")
            raise DataError(
                f"{source.name}: line {lines + before.count(chr(_NEWLINE)) + 1} is not {encoding} "
                "text; pass the right encoding="
            ) from error
        lines += text.count("\n")
        yield text.encode(errors="surrogatepass")


def _and_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from chunks
    yield b""
