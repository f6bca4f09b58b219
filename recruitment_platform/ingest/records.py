"""Records of text files: CSV and JSON lines, one record at a time, each with the line on which it starts.

What belongs here: where a record begins and ends, and what is wrong with its form; a record that is wrong never takes
good ones with it. What does not: which columns are wanted, and what their values mean.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

LONGEST_LINE = 16 << 20
"""Characters. A longer line is a bad record: it bounds the memory that a file without line ends can take."""

LONGEST_FIELD = 8 << 20
"""Characters of a CSV field. It bounds how far a quote that is never closed is followed."""

_SHOWN = 1 << 20
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Malformed:
    """A record whose form is wrong: `text` is the record (of an overlong line the beginning)."""

    reason: str
    text: str
    fields: tuple[str, ...] = ()


class ReadsLines(Protocol):
    """A text file, as far as `Lines` reads it."""

    def readline(self, limit: int, /) -> str:
        """The next line with its line end, or so many characters of it; nothing at the end."""
        ...


class Lines:
    """A text file's lines, which remembers those of the record being read and can take all but its first back.

    `number` is the last line handed out, from 1; `characters` counts what was read since it was last set.
    """

    def __init__(self, handle: ReadsLines) -> None:
        self._read = handle.readline
        self._returned: deque[str] = deque()
        self._overlong: set[int] = set()
        self.number = 0
        self.characters = 0
        self.record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else self._read(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self.characters += len(line)
        self.record.append(line)
        if len(line) >= LONGEST_LINE and not line.endswith("\n"):
            self._skip_rest()
        if self._overlong and self.number in self._overlong:
            # csv hands its own error type through as it is.
            raise csv.Error(f"a line is longer than {LONGEST_LINE} characters")
        return line

    @property
    def has_returned(self) -> bool:
        """Whether lines that were taken back are still to be handed out."""
        return bool(self._returned)

    def start_record(self) -> int:
        """Forgets the last record; returns the line on which the next one starts."""
        self.record = []
        return self.number + 1

    def give_back(self) -> None:
        """Hands all lines of the record but its first out again."""
        lines = self.record[1:]
        del self.record[1:]
        self.number -= len(lines)
        self._returned.extendleft(reversed(lines))

    def _skip_rest(self) -> None:
        while (rest := self._read(LONGEST_LINE)) and not rest.endswith("\n"):
            pass
        self.record[-1] = self.record[-1][:_SHOWN]
        self._overlong.add(self.number)

    def text(self) -> str:
        """The record's text without its last line end."""
        return shown("".join(self.record))


def csv_header(lines: Lines) -> list[str]:
    """The first record that is not blank, its names trimmed; no names where there is none. Raises csv.Error."""
    csv.field_size_limit(LONGEST_FIELD)
    lines.start_record()
    for fields in csv.reader(lines, strict=True):
        if fields:
            return [name.strip() for name in fields]
    return []


def csv_records(lines: Lines, width: int) -> Iterator[tuple[int, list[str] | Malformed]]:
    """(line on which it starts, `width` fields) for each record; blank lines are none.

    Quotes are taken strictly. Where a record breaks off, only its first line is given up, and reading goes on with the
    next line: so does a stray quote, which would otherwise swallow good rows up to the next quote, cost its own line.
    """
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(lines, strict=True)
    while True:
        position = lines.start_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.give_back()
            yield position, Malformed(f"is not valid CSV: {error}", lines.text())
            continue
        if len(fields) == width:
            yield position, fields
        elif fields:
            if _has_swallowed_a_record(lines.record, width):
                lines.give_back()
                yield position, Malformed("is not valid CSV: a quote is not closed", lines.text())
            else:
                reason = f"has {len(fields)} fields where the header has {width}"
                yield position, Malformed(reason, lines.text(), tuple(fields))


def _has_swallowed_a_record(record: list[str], width: int) -> bool:
    """Whether one of the lines after a record's first would be a whole record by itself."""
    for line in record[1:]:
        # The rest of a quoted value has one quote too many.
        if line.count('"') % 2:
            continue
        try:
            if len(next(csv.reader([line], strict=True))) == width:
                return True
        except csv.Error:
            continue
    return False


class Number(str):
    """A JSON number as its digits stand in the file: money stays exact."""

    __slots__ = ()


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=Number)


def json_records(lines: Lines) -> Iterator[tuple[int, dict[str, str | None] | Malformed]]:
    """(line, values as text) for each line that is a JSON object; blank lines are none."""
    while True:
        position = lines.start_record()
        try:
            line = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield position, Malformed(str(error), lines.text())
            continue
        if not line.isspace():
            yield position, json_record(line.removesuffix("\n"))


def json_record(text: str) -> dict[str, str | None] | Malformed:
    """The values of a JSON object as text: numbers keep their digits, nested values are compact JSON text."""
    try:
        value = _DECODER.decode(text)
        if isinstance(value, dict):
            return {name: json_value_text(item) for name, item in value.items()}
    except RecursionError:
        return Malformed("is nested too deeply", shown(text))
    except json.JSONDecodeError as error:
        return Malformed(f"is not valid JSON: {error.msg} at character {error.colno}", shown(text))
    return Malformed("is not a JSON object", shown(text))


def shown(text: str) -> str:
    """As much of a record's text as is kept, without its last line end."""
    return text.rstrip("\r\n")[:_SHOWN]


def json_value_text(value: Any) -> str | None:
    """A JSON value as the text of a field: null is None, text is itself, anything nested is compact JSON."""
    if value is None:
        return None
    if isinstance(value, str):
        return without_surrogates(str(value))
    return without_surrogates(compact_json(value))


def compact_json(value: Any) -> str:
    """Compact JSON text in which a `Number` and a `Decimal` keep their digits and other letters stay readable."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        members = (f"{json.dumps(str(key), ensure_ascii=False)}:{compact_json(item)}" for key, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(compact_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
