"""Readers of CSV, JSON lines and Parquet: a file becomes batches of raw columns with the position of every row.

What belongs here: which columns are taken, batches of bounded size, rows whose form is wrong. What does not: what
values mean (`model.door`, `model.operational`), and where rows go (`importer`).
"""

import csv
import json
import re
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.csv_blocks import CsvText, plain_records
from recruitment_platform.ingest.files import SourceFile
from recruitment_platform.ingest.records import (
    Lines,
    Malformed,
    compact_json,
    csv_header,
    csv_records,
    json_records,
    without_surrogates,
)
from recruitment_platform.model.contract import TRACKING

BATCH_ROWS = 50_000
BATCH_BYTES = 64 << 20
"""Rows, and characters of text (bytes of Parquet), after which a batch ends: memory does not grow with the file."""

UNPARSED = "unparsed"
"""Where the content of a malformed row keeps the record as it stands in the file."""

# Python's lists of so many rows fit the processor's caches: faster than whole batches, and far less memory.
_PIECE_ROWS = 2_000
_PIECE_CHARACTERS = 1 << 20

# An index that was written without a name: pandas calls it so when it reads the file back.
_INDEX = re.compile(r"(Unnamed: \d+)?")
_SHOWN_NAMES = 8

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class BadRow:
    """A row whose form is wrong; `content` is a JSON object's text: the fields as they fell, and `unparsed`."""

    position: int
    reason: str
    content: str


@dataclass(frozen=True)
class Batch:
    """Rows in the order of their positions. `table` has the file's columns, raw; `positions` (int64) are its rows'."""

    table: pa.Table
    positions: pa.Array
    bad: tuple[BadRow, ...]

    @property
    def received(self) -> int:
        """Rows, good and bad."""
        return len(self.positions) + len(self.bad)

    @property
    def last_position(self) -> int:
        """The highest position among good and bad rows."""
        last_good = self.positions[-1].as_py() if len(self.positions) else 0
        return max(last_good, self.bad[-1].position if self.bad else 0)

    def _first_positions(self) -> Iterator[int]:
        if len(self.positions):
            yield self.positions[0].as_py()
        if self.bad:
            yield self.bad[0].position

    def first(self, rows: int) -> "Batch":
        """The first so many rows, good and bad ones counted."""
        if self.received <= rows:
            return self
        if not self.bad:
            return Batch(self.table.slice(0, rows), self.positions.slice(0, rows), ())
        last = sorted([*self.positions.to_pylist(), *(row.position for row in self.bad)])[rows - 1]
        keep = pc.less_equal(self.positions, last)
        bad = tuple(row for row in self.bad if row.position <= last)
        return Batch(self.table.filter(keep), self.positions.filter(keep), bad)

    def after(self, position: int) -> "Batch":
        """The rows that lie after the position."""
        if self.received and min(self._first_positions()) > position:
            return self
        keep = pc.greater(self.positions, position)
        bad = tuple(row for row in self.bad if row.position > position)
        return Batch(self.table.filter(keep), self.positions.filter(keep), bad)


@dataclass(frozen=True)
class _Wanted:
    """Which columns are read: all that have a name where `names` is None. A file without `required` is refused."""

    names: frozenset[str] | None
    required: str | None

    def take(self, name: str) -> bool:
        return not _INDEX.fullmatch(name) and (self.names is None or name in self.names)

    def check(self, file: SourceFile, found: Sequence[str]) -> None:
        """Raises InputError where the required column is not found, a known one is found twice, or none is named."""
        twice = sorted({name for name in found if found.count(name) > 1 and self.take(name)})
        if twice:
            raise InputError(f"{file.path}: has the column {', '.join(twice)} twice; remove or rename one")
        if self.required is None or self.required in found:
            if not any(map(self.take, found)):
                raise InputError(f"{file.path}: has no column with a name")
            return
        shown = ", ".join(repr(name) for name in found[:_SHOWN_NAMES]) + (", …" if len(found) > _SHOWN_NAMES else "")
        hint = "; columns are separated by commas" if len(found) == 1 and re.search("[;\t|]", found[0]) else ""
        raise InputError(f"{file.path}: has no column {self.required}, found {shown or 'none'}{hint}")


def read_tracking(file: SourceFile, after: int = 0) -> Iterator[Batch]:
    """Batches of a file's tracking events behind the position `after`: columns of `TRACKING` that the file has.

    Columns are text, in Parquet typed as they are there. Positions: the line on which a record starts (CSV, JSON
    lines), or the row from 1 (Parquet). Raises InputError where the file has no column `create_time`, no row, or is
    broken.
    """
    return _read(file, after, _Wanted(frozenset(TRACKING.column_names), "create_time"))


def read_rows(file: SourceFile, required: str | None = None) -> Iterator[Batch]:
    """Batches of all named columns, as text; positions and errors as `read_tracking`."""
    for batch in _read(file, 0, _Wanted(None, required)):
        columns = {name: text_column(batch.table.column(name)) for name in batch.table.column_names}
        yield Batch(_table(columns, len(batch.positions)), batch.positions, batch.bad)


_as_json = json.JSONEncoder(ensure_ascii=False).encode


def row_texts(table: pa.Table) -> Iterator[dict[str, str]]:
    """Each row's values that are neither null nor empty, as text."""
    columns = [(name, text_column(table.column(name)).to_pylist()) for name in table.column_names]
    for index in range(table.num_rows):
        yield {name: values[index] for name, values in columns if values[index]}


def unparsed(row: BadRow) -> str:
    """The record of a malformed row as it stands in the file."""
    text: str = json.loads(row.content)[UNPARSED]
    return text


def row_content(values: Mapping[str, str]) -> str:
    """A row's values as the JSON text that is kept of it."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def row_contents(table: pa.Table) -> list[str]:
    """`row_content` of each of the `row_texts`, in two thirds of the time."""
    members = []
    for name in table.column_names:
        key = _as_json(name)
        texts = text_column(table.column(name)).to_pylist()
        members.append([f"{key}:{_as_json(text)}" if text else None for text in texts])
    return [f"{{{','.join(filter(None, of_row))}}}" for of_row in zip(*members, strict=True)]


def _read(file: SourceFile, after: int, wanted: _Wanted) -> Iterator[Batch]:
    readers: dict[str, Callable[[SourceFile, int, _Wanted], Iterator[Batch]]] = {
        "csv": _read_csv,
        "jsonl": _read_json_lines,
        "parquet": _read_parquet,
    }
    try:
        yield from readers[file.format](file, after, wanted)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        # `look_at` has read the file to its end: what cannot be read now is a broken Parquet, disk or share.
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"{file.path}: cannot be read as {file.format} ({reason})") from error


def _read_csv(file: SourceFile, after: int, wanted: _Wanted) -> Iterator[Batch]:
    with file.open_bytes() as raw:
        text = CsvText(raw)
        lines = Lines(text)
        try:
            header = csv_header(lines)
        except csv.Error as error:
            raise InputError(f"{file.path}: its header is not valid CSV ({error})") from error
        wanted.check(file, header)
        taken = [(index, name) for index, name in enumerate(header) if wanted.take(name)]
        yield from _in_batches(file, after, _csv_pieces(text, lines, len(header), taken))


def _csv_pieces(
    text: CsvText, lines: Lines, width: int, taken: Sequence[tuple[int, str]]
) -> Iterator[tuple[Batch, int]]:
    def bad_row(position: int, problem: Malformed) -> BadRow:
        values = {name: problem.fields[index] for index, name in taken if index < len(problem.fields)}
        return _bad_row(position, problem, values)

    def table(rows: list[list[str]]) -> pa.Table:
        columns = list(zip(*rows, strict=True)) or [()] * width
        return _table({name: pa.array(columns[index], pa.string()) for index, name in taken}, len(rows))

    while (block := text.block()) or text.is_lines:
        plain = plain_records(text, width, [index for index, _ in taken])
        if plain is not None:
            positions = pa.array(plain.starts + (lines.number + 1), pa.int64())
            if len(positions):
                columns = {name: column for (_, name), column in zip(taken, plain.columns, strict=True)}
                yield Batch(_table(columns, len(positions)), positions, ()), plain.size
            text.take(plain.size)
            lines.number += plain.lines
            continue
        # Line by line through the block, and on to where no line is still to be read a second time.
        end = text.offset + len(block)
        until = partial(_is_behind, text, lines, end)
        yield from _pieces(lines, csv_records(lines, width), bad_row, table, until)
        if text.is_lines:
            return


def _is_behind(text: CsvText, lines: Lines, end: int) -> bool:
    return text.offset >= end and not text.is_lines and not lines.has_returned


def _read_json_lines(file: SourceFile, after: int, wanted: _Wanted) -> Iterator[Batch]:
    found: set[str] = set()

    def bad_row(position: int, problem: Malformed) -> BadRow:
        return _bad_row(position, problem, {})

    def table(rows: list[dict[str, str | None]]) -> pa.Table:
        names = sorted(set().union(*rows))
        found.update(names)
        columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names if wanted.take(name)}
        return _table(columns, len(rows))

    with file.open_text(newline="\n") as handle:
        lines = Lines(handle)
        pieces = _pieces(lines, json_records(lines), bad_row, table, lambda: False)
        for number, batch in enumerate(_in_batches(file, after, pieces)):
            # A file of another kind is told from one with some bad rows by its beginning.
            if number == 0 and after == 0:
                if batch.table.num_rows == 0:
                    reason = batch.bad[0].reason
                    raise InputError(f"{file.path}: none of its first {len(batch.bad)} lines is JSON ({reason})")
                wanted.check(file, sorted(found))
            yield batch


def _bad_row(position: int, problem: Malformed, values: Mapping[str, str]) -> BadRow:
    filled = {name: value for name, value in values.items() if value}
    return BadRow(position, problem.reason, row_content({**filled, UNPARSED: problem.text}))


def _pieces(
    lines: Lines,
    records: Iterator[tuple[int, _Row | Malformed]],
    bad_row: Callable[[int, Malformed], BadRow],
    table: Callable[[list[_Row]], pa.Table],
    until: Callable[[], bool],
) -> Iterator[tuple[Batch, int]]:
    """Gathers records, up to the end or one behind which `until` holds, into small batches, each with its characters.

    They end where those of `BATCH_ROWS` end.
    """
    positions: list[int] = []
    bad: list[BadRow] = []
    rows: list[_Row] = []
    lines.characters = 0
    for received, (position, record) in enumerate(records, 1):
        if isinstance(record, Malformed):
            bad.append(bad_row(position, record))
        else:
            positions.append(position)
            rows.append(record)
        is_last = until()
        is_full = len(positions) + len(bad) == _PIECE_ROWS or received % BATCH_ROWS == 0
        if is_full or is_last or lines.characters >= _PIECE_CHARACTERS:
            yield Batch(table(rows), pa.array(positions, pa.int64()), tuple(bad)), lines.characters
            positions, bad, rows = [], [], []
            lines.characters = 0
        if is_last:
            return
    if positions or bad:
        yield Batch(table(rows), pa.array(positions, pa.int64()), tuple(bad)), lines.characters


def _in_batches(file: SourceFile, after: int, pieces: Iterator[tuple[Batch, int]]) -> Iterator[Batch]:
    """Gathers pieces, each with its size, into batches; skips rows up to `after`."""
    any_record = False
    gathered: list[Batch] = []
    received = size = 0
    for piece, piece_size in pieces:
        any_record = True
        rest = piece.after(after)
        while rest.received:
            head = rest.first(BATCH_ROWS - received)
            rest = rest.after(head.last_position)
            gathered.append(head)
            received += head.received
            size += piece_size
            piece_size = 0
            if received == BATCH_ROWS or size >= BATCH_BYTES:
                yield _joined(gathered)
                gathered = []
                received = size = 0
    if gathered:
        yield _joined(gathered)
    if not any_record:
        raise InputError(f"{file.path}: has a header but no rows")


def _joined(batches: Sequence[Batch]) -> Batch:
    tables = [batch.table for batch in batches if batch.table.num_rows] or [batches[0].table]
    return Batch(
        # In one piece: the door takes a 20th longer over many small ones.
        pa.concat_tables(tables, promote_options="default").combine_chunks(),
        pa.concat_arrays([batch.positions for batch in batches]),
        tuple(row for batch in batches for row in batch.bad),
    )


def _read_parquet(file: SourceFile, after: int, wanted: _Wanted) -> Iterator[Batch]:
    with file.path.open("rb") as handle, pq.ParquetFile(handle) as parquet:
        names = parquet.schema_arrow.names
        wanted.check(file, names)
        total = parquet.metadata.num_rows
        if total == 0:
            raise InputError(f"{file.path}: has columns but no rows")
        size = sum(parquet.metadata.row_group(index).total_byte_size for index in range(parquet.num_row_groups))
        rows_of_a_batch = max(1, min(BATCH_ROWS, BATCH_BYTES * total // max(size, 1)))
        first = 1
        for rows in parquet.iter_batches(rows_of_a_batch, columns=[name for name in names if wanted.take(name)]):
            count = rows.num_rows
            known = min(max(after - first + 1, 0), count)
            if known < count:
                new = rows.slice(known)
                positions = pa.array(range(first + known, first + count), pa.int64())
                yield Batch(pa.Table.from_batches([new]), positions, ())
            first += count


def text_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column's values as text: a 16-byte value as the UUID it is, nested ones as JSON, U+FFFD for bytes of none."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return text_column(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_dictionary(kind):
        return text_column(column.cast(kind.value_type))
    if pa.types.is_nested(kind):
        return _mapped(column, lambda value: without_surrogates(compact_json(value)))
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        return _mapped(column, lambda value: str(uuid.UUID(bytes=value)))
    try:
        text = column.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowNotImplementedError:
        return _mapped(column, str)
    except pa.ArrowInvalid:
        return _mapped(column.cast(pa.binary()), lambda value: value.decode("utf-8", errors="replace"))
    return text


def _mapped(column: pa.ChunkedArray, text: Callable[[Any], str]) -> pa.ChunkedArray:
    values = [None if value is None else text(value) for value in column.to_pylist(maps_as_pydicts="lossy")]
    return pa.chunked_array([pa.array(values, pa.string())])


def _table(columns: Mapping[str, pa.Array | pa.ChunkedArray], rows: int) -> pa.Table:
    # A batch of nothing but malformed rows, or of objects without a known key, still has a number of rows.
    if columns:
        return pa.table(dict(columns))
    return pa.table({"create_time": pa.nulls(rows, pa.string())})
