"""The embedded lake's event files: what a day's Parquet file is like, and how it gets to the disk.

What belongs here: which rows are in a file, and how columns are encoded. What does not: which files there are, and what
counts of them (`parquet`).
"""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.model.door import LAKE_SCHEMA
from recruitment_platform.model.door_columns import taken
from recruitment_platform.resources.lake.catalog import sync_folder

_CLOSE = ("received_at", "event_time", "ts", "position")
"""The columns whose values are all different, and near those of the rows around."""

_UNIQUE = {"create_time", "payload_hash", *_CLOSE}
_REPEATED = [name for name in LAKE_SCHEMA.names if name not in _UNIQUE]
"""The columns whose values come often enough for a dictionary."""

_COMPARED = ["event_date", *_CLOSE]
"""The columns whose least and greatest values are noted: no query has a range of others."""

_DENSE = {"payload_hash", "received_at", "event_time"}
"""The columns that compression makes no smaller: hashes, and differences of a few bits packed together."""

_COMPRESSION = {name: "none" if name in _DENSE else "zstd" for name in LAKE_SCHEMA.names}
_ROWS_A_VALUE = 4
_PAGE_ROWS = 2**20
"""More than a page of a megabyte has: smaller pages are for readers of some rows, and ours read whole columns."""


def by_day(events: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """The events of each day, in their order, days ascending."""
    # As integers: NumPy needs ten times as long to tell dates apart.
    found, counts = np.unique(events["event_date"].to_numpy().view(np.int64), return_counts=True)
    days = found.view("datetime64[D]").tolist()
    if len(days) == 1:
        yield days[0], events
        return
    order = pc.sort_indices(events["event_date"]).cast(pa.int32())
    columns = [taken(column.combine_chunks(), order) for column in events.columns]
    start = 0
    for day, count in zip(days, counts.tolist(), strict=True):
        of_day = [_compact(column.slice(start, count)) for column in columns]
        yield day, pa.table(of_day, schema=events.schema)
        start += count


def _compact(column: pa.Array) -> pa.Array:
    """The column; where its dictionary is large, without the values that only rows of other days have."""
    if not pa.types.is_dictionary(column.type) or _ROWS_A_VALUE * len(column.dictionary) <= len(column):
        return column
    is_used = np.zeros(len(column.dictionary), bool)
    is_used[column.indices.drop_null().to_numpy()] = True
    numbers = pa.array(np.cumsum(is_used, dtype=np.int32) - np.int32(1))
    codes = pc.take(numbers, column.indices, boundscheck=False)
    return pa.DictionaryArray.from_arrays(codes, column.dictionary.filter(pa.array(is_used)), safe=False)


def write_durably(events: pa.Table, path: Path) -> None:
    """Writes the file under a temporary name, and names it when it is whole and on the disk."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        sync_folder(path.parent.parent)
    own = _own_texts(events.schema)
    unfinished = path.with_suffix(".new")
    try:
        with unfinished.open("wb") as file:
            pq.write_table(
                events,
                file,
                compression=_COMPRESSION,
                use_dictionary=[name for name in _REPEATED if name not in own],
                column_encoding={
                    **dict.fromkeys(_CLOSE, "DELTA_BINARY_PACKED"),
                    **dict.fromkeys(own, "DELTA_LENGTH_BYTE_ARRAY"),
                },
                write_statistics=_COMPARED,
                max_rows_per_page=_PAGE_ROWS,
                write_batch_size=_PAGE_ROWS,
                # Readers shall not see which texts came coded.
                store_schema=False,
            )
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)


def _own_texts(schema: pa.Schema) -> set[str]:
    """The columns that the door left as texts where it coded others, since their values hardly come again."""
    texts = {field.name for field in schema if pa.types.is_string(field.type)}
    is_coded = any(map(pa.types.is_dictionary, schema.types))
    return texts.intersection(_REPEATED) if is_coded else set()
