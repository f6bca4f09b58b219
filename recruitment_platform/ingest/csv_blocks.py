"""CSV by the block: the records of a megabyte at once, wherever their form leaves nothing to judge.

What belongs here: telling a block that every reader of CSV reads alike from one that needs judgement, and reading the
former. What does not: the judgement, which is `records`' alone, line by line; both give the same rows and positions.
"""

import io
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from recruitment_platform.ingest import records

BLOCK_BYTES = 1 << 20
"""A row that needs judgement costs as many rows' speed as a block holds; smaller ones cost time by their number."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMMA, _QUOTE, _LINE_FEED, _RETURN = b',"\n\r'


def _those(*letters: int) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(letters)] = True
    return table


_BEFORE_AN_OPENING_QUOTE = _those(_COMMA, _LINE_FEED, _QUOTE)
_BEHIND_A_CLOSING_QUOTE = _those(_COMMA, _LINE_FEED, _RETURN, _QUOTE)


class CsvText:
    """A file's content, of which lines are taken as text, or blocks as the bytes that they are.

    Lines are those of a text file that keeps its line ends: UTF-8, U+FFFD for what is none, without a byte order mark.
    `offset` counts the bytes taken. Behind a line longer than its reader's limit only lines can be taken (`is_lines`),
    and they count no more. `ended` says that nothing follows what `block` shows.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._lines: deque[bytes] = deque()
        self._read = b""
        self._rest: io.TextIOWrapper | None = None
        self.offset = 0
        self.ended = False
        if self.block().startswith(_BYTE_ORDER_MARK):
            self.take(len(_BYTE_ORDER_MARK))

    @property
    def is_lines(self) -> bool:
        """Whether only lines can be taken any more."""
        return self._rest is not None

    def block(self) -> bytes:
        """What comes next; nothing at the end."""
        if self._lines:
            self._read = b"".join((*self._lines, self._read))
            self._lines.clear()
        if not self.is_lines and len(self._read) < BLOCK_BYTES:
            self._read_more(BLOCK_BYTES - len(self._read))
        return self._read

    def longer_block(self) -> bytes:
        """What comes next, and more of it than `block` shows, save at the end."""
        self._read_more(BLOCK_BYTES)
        return self._read

    def take(self, size: int) -> None:
        """Takes so many bytes of the block."""
        self._read = self._read[size:]
        self.offset += size

    def readline(self, limit: int) -> str:
        """Takes the next line, or so many characters of it; nothing at the end."""
        while not self._lines and self._rest is None:
            lines = self._read.splitlines(keepends=True)
            # The last line may go on; a return at its end may be half a line end.
            self._read = lines.pop() if lines and not self.ended else b""
            self._lines.extend(lines)
            if not lines:
                if self.ended:
                    return ""
                if len(self._read) > limit:
                    self._lines.append(self._read)
                else:
                    self._read_more(BLOCK_BYTES)
        if self._rest is None and len(self._lines[0]) > limit:
            # More bytes than that may still be fewer characters: whoever decodes must count.
            self._raw.seek(self.offset)
            self._lines.clear()
            self._read = b""
            self._rest = io.TextIOWrapper(self._raw, encoding="utf-8", errors="replace", newline="")
        if self._rest is not None:
            return self._rest.readline(limit)
        line = self._lines.popleft()
        self.offset += len(line)
        return line.decode(errors="replace")

    def _read_more(self, size: int) -> None:
        more = self._raw.read(size)
        self.ended = not more
        self._read += more


@dataclass(frozen=True)
class PlainRecords:
    """Records of `size` bytes and `lines` lines: `columns` (text) of each, and the line, from 0, on which it starts."""

    size: int
    lines: int
    starts: npt.NDArray[np.int64]
    columns: Sequence[pa.ChunkedArray]


@dataclass(frozen=True)
class _Form:
    size: int
    lines: int
    starts: npt.NDArray[np.int64]


def plain_records(text: CsvText, width: int, taken: Sequence[int]) -> PlainRecords | None:
    """The whole records at the beginning of the text's block, not yet taken; None where they need judgement.

    `taken` are the indexes, below `width`, of the columns wanted. Plain is what has `width` fields in each record,
    quotes only around whole values and doubled within them, line feeds with or without a return, and valid UTF-8.
    """
    block = text.block()
    form = _form(block, text.ended)
    while form is not None and not form.size and not text.ended:
        block = text.longer_block()
        form = _form(block, text.ended)
    if form is None or not form.size:
        return None
    columns = _columns(block, form, width, taken) if len(form.starts) else []
    return None if columns is None else PlainRecords(form.size, form.lines, form.starts, columns)


def _form(block: bytes, ended: bool) -> _Form | None:
    """Where whole records lie at the beginning of the block; None where its quotes or line ends need judgement.

    Where each odd quote stands at a value's beginning or behind a quote, and each even one at a value's end or before
    a quote, a line end is a record's exactly if the quotes before it are even in number: so says the strict grammar
    too, state by state.
    """
    # Nothing within the block can be longer than itself. pyarrow would drop the mark.
    if len(block) > min(records.LONGEST_LINE, records.LONGEST_FIELD) or block.startswith(_BYTE_ORDER_MARK):
        return None
    letters = np.frombuffer(block, np.uint8)
    line_ends = np.flatnonzero(letters == _LINE_FEED)
    if ended and block and not block.endswith(b"\n"):
        line_ends = np.append(line_ends, len(block))
    quotes = np.flatnonzero(letters == _QUOTE)
    ends_a_record = np.searchsorted(quotes, line_ends) % 2 == 0
    [ordinals] = np.nonzero(ends_a_record)
    ends = line_ends[ordinals]
    size = min(int(ends[-1]) + 1, len(block)) if len(ends) else 0
    # Where no record ends, one may begin, and be longer than the block: not behind a quote that is out of place.
    quotes = quotes[: np.searchsorted(quotes, size or len(block))]
    opening, closing = quotes[0::2], quotes[1::2]
    before = letters[opening[opening > 0] - 1]
    behind = letters[closing[closing < len(block) - 1] + 1]
    if not (_BEFORE_AN_OPENING_QUOTE[before].all() and _BEHIND_A_CLOSING_QUOTE[behind].all()):
        return None
    if not size:
        return _Form(0, 0, ordinals)
    is_return = letters[:size] == _RETURN
    if b"\0" in block or is_return[-1] or (letters[1:size][is_return[:-1]] != _LINE_FEED).any():
        return None
    starts, begins = np.zeros_like(ordinals), np.zeros_like(ends)
    starts[1:], begins[1:] = ordinals[:-1] + 1, ends[:-1] + 1
    length = ends - begins
    is_blank = (length == 0) | ((length == 1) & (letters[np.minimum(begins, size - 1)] == _RETURN))
    return _Form(size, int(ordinals[-1]) + 1, starts[~is_blank])


def _columns(block: bytes, form: _Form, width: int, taken: Sequence[int]) -> list[pa.ChunkedArray] | None:
    names = [str(index) for index in range(width)]
    wanted = [names[index] for index in taken]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(pa.py_buffer(block)[: form.size]),
            # All of it in one piece, which its own search for line ends need not cut.
            pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=form.size + 1),
            pyarrow.csv.ParseOptions(newlines_in_values=form.lines > len(form.starts)),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted),
        )
    except pa.ArrowInvalid:
        return None
    return table.columns if table.num_rows == len(form.starts) else None
