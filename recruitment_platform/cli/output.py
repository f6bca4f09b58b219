"""How data is written to stdout: a table for people, CSV and JSON for programs.

What belongs here: text forms of values, and the three formats. What does not: where the rows come from.
"""

import csv
import io
import json
import math
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, TextIO, get_args

import pyarrow as pa

from recruitment_platform.errors import InputError

Format = Literal["table", "csv", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)

_BATCH_ROWS = 10_000
_WIDE = 2


def stdout() -> TextIO:
    """Standard output as UTF-8 whatever the locale is, line ends as they are written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout


def money(micros: Sequence[int]) -> list[str]:
    """Exact, all with as many decimals as the one that has the most, at least two."""
    parts = [f"{Decimal(amount).scaleb(-6):,.6f}".split(".") for amount in micros]
    decimals = max((len(fraction.rstrip("0")) for _, fraction in parts), default=0)
    return [f"{whole}.{fraction[: max(2, decimals)]}" for whole, fraction in parts]


def write(table: pa.Table, style: Format, out: TextIO) -> None:
    """Writes the rows.

    `csv` is as RFC 4180 says: a header, lines ended by CR LF, null as nothing. `json` is an array of objects: money and
    other decimals are strings, so that no reader makes them inexact; whole numbers are numbers. Days and times are ISO
    8601, UTC. `table` is for people, and may change. InputError where two columns share a name in `json`.
    """
    match style:
        case "csv":
            _write_csv(table, out)
        case "json":
            _write_json(table, out)
        case "table":
            rows = [[_text(value) for value in row] for row in _rows(table)]
            numeric = [_is_number(field.type) for field in table.schema]
            write_aligned(table.column_names, rows, numeric, out)


def write_aligned(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], out: TextIO) -> None:
    """Writes columns as wide as their widest value, never cut; those of numbers are aligned to the right."""
    shown = [[_one_line(text) for text in row] for row in (names, *rows)]
    widths = [max(map(_width, column)) for column in zip(*shown, strict=True)]
    for number, row in enumerate(shown):
        cells = (
            " " * (width - _width(text)) + text if to_right else text + " " * (width - _width(text))
            for text, width, to_right in zip(row, widths, right, strict=True)
        )
        out.write("  ".join(cells).rstrip() + "\n")
        if number == 0:
            out.write("  ".join("─" * width for width in widths) + "\n")


def _write_csv(table: pa.Table, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(table.column_names)
    writer.writerows([_text(value) for value in row] for row in _rows(table))


def _write_json(table: pa.Table, out: TextIO) -> None:
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two columns are named {', '.join(twice)}; give them names of their own with AS")
    separator = "[\n"
    for row in _rows(table):
        plain = {name: _plain(value) for name, value in zip(names, row, strict=True)}
        out.write(separator + json.dumps(plain, ensure_ascii=False, allow_nan=False))
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def _rows(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    """Rows as Python values, a batch at a time: what is written needs no second copy of the whole."""
    for batch in table.to_batches(_BATCH_ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _plain(value: Any) -> Any:
    """The value as JSON knows it."""
    match value:
        case Decimal():
            return int(value) if value.as_tuple().exponent == 0 else format(value, "f")
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bytes():
            return value.hex()
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case None | bool() | int():
            return value
        case _:
            return str(value)


def _text(value: Any) -> str:
    """The value in CSV and tables."""
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, bool | dict | list):
        return json.dumps(plain, ensure_ascii=False)
    return str(plain)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind))


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _width(text: str) -> int:
    """Columns of a terminal: characters of East Asia take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else _WIDE if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
