"""Cassandra's native protocol without a Python object per value: pages of rows into Arrow, Arrow into batches.

What belongs here: the bytes, by numba. What does not: which columns a table has (`events`), and what is asked
of the server (`lake`). A value is a 32-bit length and its big-endian bytes; the length -1 is null, -2 "not set".
(Native protocol v5, sections 3, 4.1.7 and 4.2.5.2.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from cassandra import ConsistencyLevel
from cassandra.protocol import BatchMessage, ResultMessage, _ProtocolHandler
from cassandra.query import BatchStatement, BatchType

from recruitment_platform.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Wire = Literal["int", "bigint", "text", "timeuuid", "date"]

UUID_TEXT = 36
GREGORIAN_MICROS = 12_219_292_800_000_000
"""From 15 October 1582, where a TimeUUID's clock begins, to 1970, in microseconds."""


@compiled
def _locate(body: Bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32]) -> int:
    """Where each value of the rows lies, by column and row; returns where the rows end, -1 where they do not fit."""
    columns, rows = starts.shape
    at = 4
    end = len(body)
    for row in range(rows):
        for column in range(columns):
            if at + 4 > end:
                return -1
            length: Any = np.int64(0)
            for place in range(4):
                length = (length << 8) | np.int64(body[at + place])
            if length >= 2147483648:
                length -= 4294967296
            at += 4
            starts[column, row] = at
            lengths[column, row] = length
            if length > 0:
                at += length
                if at > end:
                    return -1
    return at


@compiled
def _take_numbers(body: Bytes, starts: Numbers, lengths: npt.NDArray[np.int32], out: Any) -> None:
    for row in range(len(starts)):
        number = np.int64(0)
        at = starts[row]
        for place in range(lengths[row]):
            number = (number << np.int64(8)) | np.int64(body[at + place])
        out[row] = number


@compiled
def _take_text(body: Bytes, starts: Numbers, offsets: npt.NDArray[np.int32], out: Bytes) -> None:
    for row in range(len(starts)):
        at = starts[row] - offsets[row]
        for place in range(offsets[row], offsets[row + 1]):
            out[place] = body[at + place]


@compiled
def _take_uuids(body: Bytes, starts: Numbers, out: Bytes) -> None:
    for row in range(len(starts)):
        at = starts[row]
        to = row * 36
        for place in range(16):
            if place == 4 or place == 6 or place == 8 or place == 10:
                out[to] = 45
                to += 1
            value = body[at + place]
            for digit in (value >> np.uint8(4), value & np.uint8(15)):
                out[to] = digit + (48 if digit < 10 else 87)
                to += 1


@compiled
def _take_clocks(body: Bytes, starts: Numbers, out: Numbers) -> None:
    for row in range(len(starts)):
        at = starts[row]
        ticks = np.int64(body[at + 6] & np.uint8(15))
        for place in (7, 4, 5, 0, 1, 2, 3):
            ticks = (ticks << np.int64(8)) | np.int64(body[at + place])
        out[row] = ticks // 10 - GREGORIAN_MICROS


@dataclass(frozen=True)
class Page:
    """One page of rows as the server sent it, each value found."""

    body: Bytes
    names: Sequence[str]
    starts: Numbers
    lengths: npt.NDArray[np.int32]

    @property
    def rows(self) -> int:
        """How many."""
        return int(self.starts.shape[1])

    def column(self, name: str, wire: Wire) -> pa.Array:
        """The column: int32, int64, text, the canonical text of an id, or the days of a date."""
        at = list(self.names).index(name)
        starts, lengths = self.starts[at], self.lengths[at]
        valid = lengths >= 0
        nulls = self.rows - int(np.count_nonzero(valid))
        bits = pa.py_buffer(np.packbits(valid, bitorder="little")) if nulls else None
        match wire:
            case "timeuuid":
                text = np.empty(self.rows * UUID_TEXT, np.uint8)
                _take_uuids(self.body, starts, text)
                offsets = np.arange(self.rows + 1, dtype=np.int32) * np.int32(UUID_TEXT)
                return pa.StringArray.from_buffers(self.rows, pa.py_buffer(offsets), pa.py_buffer(text), bits, nulls)
            case "text":
                offsets = np.zeros(self.rows + 1, np.int32)
                np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
                text = np.empty(offsets[-1], np.uint8)
                _take_text(self.body, starts, offsets, text)
                return pa.StringArray.from_buffers(self.rows, pa.py_buffer(offsets), pa.py_buffer(text), bits, nulls)
            case "bigint":
                numbers = np.empty(self.rows, np.int64)
                _take_numbers(self.body, starts, lengths, numbers)
                return pa.Array.from_buffers(pa.int64(), self.rows, [bits, pa.py_buffer(numbers)], nulls)
            case "int":
                integers = np.empty(self.rows, np.int32)
                _take_numbers(self.body, starts, lengths, integers)
                return pa.Array.from_buffers(pa.int32(), self.rows, [bits, pa.py_buffer(integers)], nulls)
            case "date":
                # Days, of which 2**31 is 1 January 1970.
                days = np.empty(self.rows, np.int64)
                _take_numbers(self.body, starts, lengths, days)
                shifted = (days - 2**31).astype(np.int32)
                return pa.Array.from_buffers(pa.date32(), self.rows, [bits, pa.py_buffer(shifted)], nulls)

    def clock(self, name: str) -> pa.Array:
        """The instants in a column of TimeUUIDs, UTC with microseconds, cut."""
        micros = np.empty(self.rows, np.int64)
        _take_clocks(self.body, self.starts[list(self.names).index(name)], micros)
        return pa.Array.from_buffers(pa.timestamp("us", tz="UTC"), self.rows, [None, pa.py_buffer(micros)], 0)


def page_of(body: bytes, names: Sequence[str]) -> Page:
    """Finds each value of a result's rows, which begin with their number; ValueError where the bytes do not fit."""
    data = np.frombuffer(body, np.uint8)
    rows = int.from_bytes(body[:4], "big")
    starts = np.empty((len(names), rows), np.int64)
    lengths = np.empty((len(names), rows), np.int32)
    if _locate(data, starts, lengths) != len(body):
        raise ValueError(f"{len(body)} bytes are not {rows} rows of {len(names)} columns")
    return Page(data, names, starts, lengths)


@compiled
def _parse_uuids(text: Bytes, offsets: npt.NDArray[np.int32], out: Bytes) -> None:
    for row in range(len(offsets) - 1):
        place = 0
        for at in range(offsets[row], offsets[row + 1]):
            digit = text[at]
            if digit == 45:
                continue
            value = digit - 48 if digit < 58 else (digit | 32) - 87
            if place & 1:
                out[row, place >> 1] |= value
            else:
                out[row, place >> 1] = value << 4
            place += 1


@compiled
def _put_constant(out: Bytes, at: Numbers, constant: Bytes) -> None:
    for row in range(len(at)):
        to = at[row]
        for place in range(len(constant)):
            out[to + place] = constant[place]
        at[row] = to + len(constant)


@compiled
def _put_length(out: Bytes, to: int, length: int) -> None:
    out[to] = (length >> 24) & 255
    out[to + 1] = (length >> 16) & 255
    out[to + 2] = (length >> 8) & 255
    out[to + 3] = length & 255


@compiled
def _put_numbers(out: Bytes, at: Numbers, values: Any, valid: Flags, width: int) -> None:
    for row in range(len(at)):
        to = at[row]
        if valid[row]:
            _put_length(out, to, width)
            value = np.int64(values[row])
            for place in range(width):
                out[to + 4 + place] = (value >> np.int64(8 * (width - 1 - place))) & np.int64(255)
            at[row] = to + 4 + width
        else:
            _put_length(out, to, -2)
            at[row] = to + 4


@compiled
def _put_text(out: Bytes, at: Numbers, text: Bytes, offsets: npt.NDArray[np.int32], valid: Flags) -> None:
    for row in range(len(at)):
        to = at[row]
        if valid[row]:
            length = offsets[row + 1] - offsets[row]
            _put_length(out, to, length)
            for place in range(length):
                out[to + 4 + place] = text[offsets[row] + place]
            at[row] = to + 4 + length
        else:
            _put_length(out, to, -2)
            at[row] = to + 4


@compiled
def _put_rows(out: Bytes, at: Numbers, values: Bytes) -> None:
    width = values.shape[1]
    for row in range(len(at)):
        to = at[row]
        _put_length(out, to, width)
        for place in range(width):
            out[to + 4 + place] = values[row, place]
        at[row] = to + 4 + width


def uuid_bytes(ids: pa.StringArray) -> Bytes:
    """The 16 bytes of each id, one row each; the texts are canonical and none is null."""
    offsets, text = _text_buffers(ids)
    if len(ids) and not np.all(np.diff(offsets) == UUID_TEXT):
        raise ValueError("ids are UUIDs in their canonical text")
    out = np.zeros((len(ids), 16), np.uint8)
    _parse_uuids(text, offsets, out)
    return out


@dataclass(frozen=True)
class EncodedRows:
    """Rows of one prepared statement, as a BATCH message holds them: `data[ends[i - 1]:ends[i]]` is the i-th."""

    data: bytes
    ends: Numbers
    query_id: bytes


def encode(query_id: bytes, columns: Sequence[tuple[Wire, Any]], order: npt.NDArray[np.intp]) -> EncodedRows:
    """The rows, in that order, as a BATCH message holds statements with their values; nulls are left unset.

    A column's values are an Arrow array, save for `timeuuid`, which comes as `uuid_bytes` made it.
    """
    rows = len(order)
    head = b"\x01" + len(query_id).to_bytes(2, "big") + query_id + len(columns).to_bytes(2, "big")
    writers: list[Callable[[Bytes, Numbers], None]] = []
    sizes = np.full(rows, len(head) + 4 * len(columns), np.int64)
    for wire, values in columns:
        sizes += _prepared(wire, values, writers)
    ends = np.cumsum(sizes[order])
    at = np.empty(rows, np.int64)
    at[order] = ends - sizes[order]
    out = np.empty(int(ends[-1]) if rows else 0, np.uint8)
    _put_constant(out, at, np.frombuffer(head, np.uint8))
    for write in writers:
        write(out, at)
    return EncodedRows(out.tobytes(), ends, query_id)


def _prepared(wire: Wire, values: Any, writers: list[Callable[[Bytes, Numbers], None]]) -> Any:
    """Adds what writes the column; returns how many bytes each of its values has, without the length."""
    if wire == "timeuuid":
        writers.append(lambda out, at: _put_rows(out, at, values))
        return 16
    valid = pc.is_valid(values).to_numpy(zero_copy_only=False)
    if wire == "text":
        offsets, text = _text_buffers(values)
        writers.append(lambda out, at: _put_text(out, at, text, offsets, valid))
        return np.where(valid, np.diff(offsets), 0)
    if wire == "date":
        numbers = pc.fill_null(values.cast(pa.int32()), 0).to_numpy().astype(np.int64) + 2**31
    else:
        numbers = pc.fill_null(values, 0).to_numpy()
    width = 8 if wire == "bigint" else 4
    writers.append(lambda out, at: _put_numbers(out, at, numbers, valid, width))
    return np.where(valid, width, 0)


def _text_buffers(values: pa.StringArray) -> tuple[npt.NDArray[np.int32], Bytes]:
    _, offsets, text = values.buffers()
    if offsets is None:
        return np.zeros(len(values) + 1, np.int32), np.empty(0, np.uint8)
    found = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return found, np.frombuffer(text, np.uint8) if text is not None else np.empty(0, np.uint8)


class _RawRows(ResultMessage):  # type: ignore[misc]
    """A result whose rows stay the bytes that came: `parsed_rows` is these bytes alone."""

    type_codes = ResultMessage.type_codes

    def recv_results_rows(
        self, f: Any, protocol_version: int, user_type_map: Any, result_metadata: Any, column_encryption_policy: Any
    ) -> None:
        """Keeps the rows' bytes."""
        self.recv_results_metadata(f, user_type_map)
        described = self.column_metadata or result_metadata
        self.column_names = [column[2] for column in described]
        self.column_types = [column[3] for column in described]
        self.parsed_rows = [f.read()]


@dataclass(frozen=True)
class _Queries:
    """What a batch message holds in place of its list of statements."""

    rows: int
    data: bytes

    def __len__(self) -> int:
        return self.rows


class FrameHandler(_ProtocolHandler):  # type: ignore[misc]
    """The protocol of a session whose results are raw pages, and whose batches may be encoded ones."""

    message_types_by_opcode = {**_ProtocolHandler.message_types_by_opcode, ResultMessage.opcode: _RawRows}  # noqa: RUF012

    @classmethod
    def encode_message(
        cls, msg: Any, stream_id: int, protocol_version: int, compressor: Any, allow_beta_protocol_version: bool
    ) -> Any:
        """The frame's bytes."""
        if isinstance(msg, BatchMessage) and isinstance(msg.queries, _Queries):
            msg = _EncodedMessage(msg)
        return super().encode_message(msg, stream_id, protocol_version, compressor, allow_beta_protocol_version)


class _EncodedMessage:
    """A batch message whose statements are bytes already; all else is the driver's."""

    opcode = BatchMessage.opcode

    def __init__(self, message: BatchMessage) -> None:
        self.message = message
        self.custom_payload = message.custom_payload
        self.tracing = message.tracing

    def send_body(self, f: Any, protocol_version: int) -> None:
        """Writes it: type, number of statements, the statements, and what the driver puts after them."""
        queries = self.message.queries
        empty = BytesIO()
        try:
            self.message.queries = []
            self.message.send_body(empty, protocol_version)
        finally:
            self.message.queries = queries
        written = empty.getvalue()
        f.write(written[:1] + queries.rows.to_bytes(2, "big") + queries.data + written[3:])


def batch_of(rows: EncodedRows, first: int, last: int, routing_key: Sequence[bytes]) -> BatchStatement:
    """An unlogged batch of rows `first` to `last` (exclusive), all of the partition that `routing_key` is."""
    start = int(rows.ends[first - 1]) if first else 0
    batch = BatchStatement(BatchType.UNLOGGED, consistency_level=ConsistencyLevel.LOCAL_QUORUM)
    batch.is_idempotent = True
    batch.routing_key = list(routing_key)
    batch._statements_and_parameters = _Queries(last - first, rows.data[start : int(rows.ends[last - 1])])
    return batch
