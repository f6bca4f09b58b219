"""What the door's rules say of the values of each column, asked once of every value that comes again.

What belongs here: from texts to Arrow, and what is noted of each value or makes its row rejected. What does not: which
text a value is (`door_columns`), how one is read (`door_kernels`, `door_eds.sql`), rules about rows (`door`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.model import door_kernels as kernels
from recruitment_platform.model.contract import LAKE_TRACKING, TRACKING
from recruitment_platform.model.door_hash import Hashes, number_hashes, read_only, text_hashes
from recruitment_platform.model.door_json import pieces, plain_members
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.sql import load_sql

_TYPES = {field.name: field.type for field in arrow_schema(LAKE_TRACKING)}
_LENGTHS = {column.name: column.type.length for column in TRACKING.columns if column.type.kind == "text"}
_REJECTING = {"campaign_id", "group_id", "job_id", "publisher_id"}
_ROWS_AT_ONCE = 10 * 2048
_KEYS_IN_ED = np.frombuffer(b"jobIdpublisherId", np.uint8), np.array([0, 5, 16])


@dataclass(frozen=True)
class Judged:
    """Of each value of a column: itself as the lake keeps it, its hash, and what follows from it.

    `flag` is what is noted, `reason` why a row is rejected, both as dictionaries; None where there is neither in all
    the column. `derived` has, by column, what the lake keeps beside it: `received_at` (create_time), `bid_micros`
    (bid), `resolved_job_id` and `resolved_publisher_id` (ed).
    """

    value: pa.Array
    hashes: Hashes
    flag: pa.Array | None = None
    reason: pa.Array | None = None
    derived: Mapping[str, pa.Array] = field(default_factory=dict)

    def kept(self, wanted: pa.Array) -> "Judged":
        """What is said of the values that are wanted (bool), with no reason against any of them."""
        return Judged(
            value=self.value.filter(wanted),
            hashes=self.hashes[wanted.to_numpy(zero_copy_only=False)],
            flag=None if self.flag is None else self.flag.filter(wanted),
            derived={name: column.filter(wanted) for name, column in self.derived.items()},
        )


def judged_values(
    connection: duckdb.DuckDBPyConnection, values: Mapping[str, pa.Array], newest: int
) -> Mapping[str, Judged]:
    """What is said of the values (`large_string`) of the 29 columns; `newest` is the latest time of receipt that is
    believed, in microseconds since 1970 UTC.
    """
    judged: dict[str, Judged] = {}
    for column in TRACKING.columns:
        name = column.name
        match name, column.type.kind:
            case "create_time", _:
                judged[name] = _create_times(values[name], newest)
            case "ed", _:
                judged[name] = _eds(connection, values[name])
            case _, "text":
                judged[name], _ = _texts(name, values[name])
            case _, "int":
                judged[name] = _ints(name, values[name])
            case _, "decimal":
                judged[name] = _bids(values[name])
            case _:
                judged[name] = _client_times(values[name])
    return judged


def _create_times(values: pa.Array, newest: int) -> Judged:
    data, offsets = _buffers(values)
    count = len(values)
    texts = np.empty((count, kernels.UUID_TEXT), np.uint8)
    received, states = np.empty(count, np.int64), np.empty(count, np.uint8)
    kernels.read_time_uuids(read_only(data), read_only(offsets), newest, texts, received, states)
    ends = np.arange(0, (count + 1) * kernels.UUID_TEXT, kernels.UUID_TEXT)
    reasons = {
        kernels.MISSING: "create_time is missing",
        kernels.UNREADABLE: "create_time is not a TimeUUID",
        kernels.IN_FUTURE: "create_time lies in the future",
    }
    return Judged(
        value=pa.Array.from_buffers(pa.large_string(), count, [None, pa.py_buffer(ends), pa.py_buffer(texts)]).cast(
            pa.string()
        ),
        hashes=text_hashes(texts.reshape(-1), ends),
        reason=_said(states, reasons),
        derived={"received_at": pa.array(received).view(_TYPES["received_at"])},
    )


def _ints(name: str, values: pa.Array) -> Judged:
    numbers, states = _read(kernels.read_ints, *_buffers(values))
    is_null = states != kernels.READ
    rejects = name in _REJECTING
    return Judged(
        value=pa.array(numbers.astype(np.int32), mask=is_null),
        hashes=number_hashes(numbers, is_null),
        flag=None if rejects else _said(states, {kernels.UNREADABLE: f"{name} unreadable"}),
        reason=_said(states, {kernels.UNREADABLE: f"{name} is not an integer"}) if rejects else None,
    )


def _bids(values: pa.Array) -> Judged:
    micros, states = _read(kernels.read_money, *_buffers(values))
    is_null = states != kernels.READ
    # 128 bits, the upper half of which is zeros: no bid is negative.
    words = np.zeros((len(micros), 2), np.int64)
    words[:, 0] = micros
    validity = pa.array(micros, mask=is_null).buffers()[0]
    reasons = {
        kernels.UNREADABLE: "bid is not a number",
        kernels.NEGATIVE: "bid is negative",
        kernels.TOO_FINE: "bid has more than 6 decimals",
        kernels.TOO_LARGE: "bid is too large",
    }
    return Judged(
        value=pa.Array.from_buffers(_TYPES["bid"], len(micros), [validity, pa.py_buffer(words)]),
        hashes=number_hashes(micros, is_null),
        reason=_said(states, reasons),
        derived={"bid_micros": pa.array(micros)},
    )


def _client_times(values: pa.Array) -> Judged:
    micros, states = _read(kernels.read_times, *_buffers(values))
    is_null = states != kernels.READ
    return Judged(
        value=pa.array(micros, mask=is_null).view(_TYPES["ts"]),
        hashes=number_hashes(micros, is_null),
        flag=_said(states, {kernels.UNREADABLE: "ts unreadable"}),
    )


def _texts(name: str, values: pa.Array) -> tuple[Judged, npt.NDArray[np.bool_]]:
    """What is said of a text column's values, and which of them are too long.

    The hash is of the whole text, before it is cut: what the other columns say is then a function of what was hashed.
    """
    data, offsets = _buffers(values)
    lengths = np.diff(offsets)
    buffers = [np.packbits(lengths > 0, bitorder="little"), offsets, data]
    value = pa.Array.from_buffers(pa.large_string(), len(values), list(map(pa.py_buffer, buffers))).cast(pa.string())
    cut = lengths > _LENGTHS[name]
    if cut.any():
        cut = pc.fill_null(pc.greater(pc.utf8_length(value), _LENGTHS[name]), False).to_numpy(zero_copy_only=False)
        value = pc.utf8_slice_codeunits(value, 0, _LENGTHS[name])
    return Judged(value, text_hashes(data, offsets), flag=_said(cut.view(np.uint8), {1: f"{name} cut"})), cut


def _eds(connection: duckdb.DuckDBPyConnection, values: pa.Array) -> Judged:
    judged, cut = _texts("ed", values)
    data, offsets = map(read_only, _buffers(values))
    is_plain, starts, ends = plain_members(data, offsets, *_KEYS_IN_ED)
    members = [_read(kernels.read_ints, *pieces(data, starts[key], ends[key])) for key in range(2)]
    is_no_object = np.zeros(len(values), np.bool_)
    others = np.flatnonzero(~is_plain)
    if len(others):
        answer = _asked_eds(connection, values.take(pa.array(others)))
        is_no_object[others] = answer["is_no_object"].to_numpy()
        for (numbers, states), name in zip(members, ("job_id", "publisher_id"), strict=True):
            numbers[others], states[others] = _read(kernels.read_ints, *_buffers(answer[name].combine_chunks()))
    (jobs, jobs_states), (publishers, publishers_states) = members
    noted = {1: "ed unreadable", 2: "ed cut", 3: "ed unreadable; ed cut"}
    return Judged(
        judged.value,
        judged.hashes,
        flag=_said(is_no_object.astype(np.uint8) + 2 * cut.astype(np.uint8), noted),
        reason=_said(jobs_states, {kernels.UNREADABLE: "jobId in ed is not an integer"}),
        derived={
            "resolved_job_id": pa.array(jobs.astype(np.int32), mask=jobs_states != kernels.READ),
            "resolved_publisher_id": pa.array(publishers.astype(np.int32), mask=publishers_states != kernels.READ),
        },
    )


def _asked_eds(connection: duckdb.DuckDBPyConnection, values: pa.Array) -> pa.Table:
    """What DuckDB's parser says of custom events (`door_eds.sql`)."""
    # DuckDB's threads share out whole record batches.
    asked = pa.table({"value": values})
    connection.register("eds", pa.Table.from_batches(asked.to_batches(max_chunksize=_ROWS_AT_ONCE), asked.schema))
    try:
        return connection.sql(load_sql("model", "door_eds")).to_arrow_table().combine_chunks()
    finally:
        connection.unregister("eds")


def _read(
    kernel: Callable[..., Any], data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The number that the kernel reads in each text, and what it says of that."""
    numbers, states = np.empty(len(offsets) - 1, np.int64), np.empty(len(offsets) - 1, np.uint8)
    kernel(read_only(data), read_only(offsets), numbers, states)
    return numbers, states


def _buffers(values: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of the texts and where each begins and ends among them; where there is none, it is empty."""
    whole = values.cast(pa.large_string())
    if whole.null_count:
        whole = whole.fill_null("")
    _, offsets, data = whole.buffers()
    if not len(whole):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    found = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8), found


def _said(states: npt.NDArray[np.uint8], texts: Mapping[int, str]) -> pa.Array | None:
    """The text for each of the states as a dictionary, null where it has none; None where none has."""
    highest = int(states.max(initial=0))
    is_said = np.array([state in texts for state in range(highest + 1)])[states]
    if not is_said.any():
        return None
    said = [texts.get(state, "") for state in range(highest + 1)]
    return pa.DictionaryArray.from_arrays(pa.array(states, mask=~is_said), pa.array(said, pa.string()))
