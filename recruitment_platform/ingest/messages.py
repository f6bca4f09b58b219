"""Messages of the event log: events as JSON, one object a message.

What belongs here: from raw columns to messages and back, and what is wrong with a message's form. What does not: where
messages come from or go (`resources.kafka.log`), and what values mean (`model.door`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.json as pj

from recruitment_platform.ingest.readers import UNPARSED, BadRow, Batch, row_content, text_column
from recruitment_platform.ingest.records import Malformed, json_record, shown
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.resources.kafka.sources import position_of
from recruitment_platform.sql import connect_duckdb, load_sql

_TEXTS = pa.schema([(name, pa.string()) for name in TRACKING.column_names])

# Of so many messages, one that must be read by itself makes no others slow; and they fit the processor's caches.
_PIECE = 2_000


@dataclass(frozen=True)
class Messages:
    """Messages to be written: `keys` are the visitors, so that the events of each stay in their order."""

    keys: list[bytes | None]
    values: list[bytes]


def as_messages(events: pa.Table) -> Messages:
    """The events (any of the tracking columns, any types) as JSON objects of texts, as they came, nulls left out."""
    rows = events.num_rows
    known = set(events.column_names)
    columns = {
        name: text_column(events.column(name)) if name in known else pa.nulls(rows, pa.string())
        for name in TRACKING.column_names
    }
    with connect_duckdb() as connection:
        connection.register("events", pa.table(columns))
        made = connection.sql(load_sql("ingest", "event_message")).to_arrow_table()
    return Messages(made["key"].to_pylist(), made["value"].to_pylist())


def read_messages(topic: str, partition: int, offsets: Sequence[int], values: Sequence[bytes | None]) -> Batch:
    """The messages' events: columns of `TRACKING` as text, as `read_tracking` gives them of JSON lines.

    Messages that are no JSON object in UTF-8 are the batch's bad rows.
    """
    tables, positions, bad = [_TEXTS.empty_table()], [], []
    for start in range(0, len(values), _PIECE):
        piece, places = values[start : start + _PIECE], offsets[start : start + _PIECE]
        table = _of_texts(piece)
        if table is not None:
            tables.append(table)
            positions += [position_of(offset) for offset in places]
            continue
        rows = []
        for offset, value in zip(places, piece, strict=True):
            record = _record(value)
            if isinstance(record, Malformed):
                reason = f"{record.reason} (topic {topic}, partition {partition}, offset {offset})"
                bad.append(BadRow(position_of(offset), reason, row_content({UNPARSED: record.text})))
            else:
                rows.append(record)
                positions.append(position_of(offset))
        columns = [pa.array([row.get(name) for row in rows], pa.string()) for name in _TEXTS.names]
        tables.append(pa.table(columns, schema=_TEXTS))
    return Batch(pa.concat_tables(tables), pa.array(positions, pa.int64()), tuple(bad))


def _of_texts(values: Sequence[bytes | None]) -> pa.Table | None:
    """The messages, all at once, where each is a flat object of known columns and texts; None where one is not.

    Arrow reads a stream of objects and not of messages. But a flat object can neither end in another message than it
    began in, nor can there be two in one without a row too many: what is open at a message's last brace is a text, and
    texts hold no line end.
    """
    if not all(value and value[:1] == b"{" and value[-1:] == b"}" for value in values):
        return None
    stream = b"\n".join(values)  # type: ignore[arg-type]
    try:
        if not stream.isascii():
            stream.decode()
        table = pj.read_json(
            pa.py_buffer(stream),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(stream) + 1),
            parse_options=pj.ParseOptions(explicit_schema=_TEXTS, unexpected_field_behavior="error"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return table.select(_TEXTS.names) if table.num_rows == len(values) else None


def _record(value: bytes | None) -> dict[str, str | None] | Malformed:
    if value is None:
        return Malformed("has no value", "")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return Malformed("is not UTF-8", shown(value.decode(errors="replace")))
    return json_record(text)
