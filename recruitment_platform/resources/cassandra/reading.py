"""Events of days out of Cassandra: the buckets of the days at once, a page at a time, decoded into Arrow.

What belongs here: asking for pages, by how many threads, and what is held meanwhile. What does not: what a page's bytes
are (`frames`, `events`), and which days are read (`lake`).
"""

import queue
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from cassandra.query import BoundStatement

from recruitment_platform.resources.cassandra.events import Visible, columns_for, events_of, schema_of
from recruitment_platform.resources.cassandra.frames import page_of
from recruitment_platform.resources.cassandra.session import Connected, Patience
from recruitment_platform.resources.cassandra.sources import STATEMENTS, Entry, visible_of

_READERS = 4
"""Threads that ask and decode: more did not read faster, from one node or three."""
_PAGES_HELD = 16


@dataclass(frozen=True)
class Part:
    """A statement that selects rows of one day's partitions, and which of them count."""

    asked: BoundStatement
    day: date
    visible: Visible


def whole_days(
    connection: Connected, entries: Iterable[Entry], wanted: Sequence[str], buckets: int, failures: list[Exception]
) -> pa.RecordBatchReader:
    """The events that the entries cover, as these columns of `LAKE_TRACKING`, read while they are asked for."""
    cql = select("events", wanted)
    parts = (
        Part(connection.statement(cql, event_date=day, bucket=bucket), day, visible)
        for day, visible in visible_by_day(entries).items()
        for bucket in range(buckets)
    )
    return read(connection, list(parts), wanted, failures)


def visible_by_day(entries: Iterable[Entry]) -> dict[date, Visible]:
    """Which arrivals count on each day, days ascending."""
    entries_of: dict[date, list[Entry]] = defaultdict(list)
    for entry in entries:
        entries_of[entry.day].append(entry)
    return {day: visible_of(entries_of[day]) for day in sorted(entries_of)}


def select(statement: str, wanted: Sequence[str]) -> str:
    """The statement of that name with the columns that these of `LAKE_TRACKING` are made of."""
    return STATEMENTS[statement].format(columns=", ".join(columns_for(wanted)))


def read(
    connection: Connected, parts: Sequence[Part], wanted: Sequence[str], failures: list[Exception] | None = None
) -> pa.RecordBatchReader:
    """The visible events of the parts, some of which are read at once; they come in no order.

    What ends the reading is raised, and appended to `failures`, because engines that read wrap it.
    """
    return pa.RecordBatchReader.from_batches(
        schema_of(wanted), _batches(connection, parts, wanted, [] if failures is None else failures)
    )


def read_part(connection: Connected, part: Part, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The visible events of one part; the next page is on its way while one is decoded."""
    asked, names = part.asked, columns_for(wanted)
    patience = Patience(connection.address, connection.wait)
    state = None
    future = connection.frames.execute_async(asked)
    while future is not None:
        body = None
        while body is None:
            with patience.of_a_try():
                answer = future.result()
                (body,) = answer.current_rows
                patience.renew()
            if body is None:
                future = connection.frames.execute_async(asked, paging_state=state)
        state = answer.paging_state
        future = connection.frames.execute_async(asked, paging_state=state) if answer.has_more_pages else None
        batch = events_of(page_of(body, names), part.day, wanted, part.visible)
        if batch.num_rows:
            yield batch


def _batches(
    connection: Connected, parts: Sequence[Part], wanted: Sequence[str], failures: list[Exception]
) -> Iterator[pa.RecordBatch]:
    if not parts:
        return
    pages: queue.Queue[pa.RecordBatch | Exception | None] = queue.Queue(_PAGES_HELD)
    stopped = threading.Event()

    def put(page: pa.RecordBatch | Exception | None) -> bool:
        while not stopped.is_set():
            try:
                pages.put(page, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read_one(part: Part) -> None:
        try:
            for batch in read_part(connection, part, wanted):
                if not put(batch):
                    return
        except Exception as error:  # noqa: BLE001
            put(error)
        else:
            put(None)

    left = len(parts)
    readers = ThreadPoolExecutor(min(_READERS, left), thread_name_prefix="cassandra")
    try:
        for part in parts:
            readers.submit(read_one, part)
        while left:
            page = pages.get()
            if isinstance(page, Exception):
                failures.append(page)
                raise page
            if page is None:
                left -= 1
            else:
                yield page
    finally:
        stopped.set()
        readers.shutdown(cancel_futures=True)
