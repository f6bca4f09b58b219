"""Rejected rows of the Cassandra lake: those of tracking, which count with their source's progress, and the others.

What belongs here: keeping, listing and settling them. What does not: taking mended rows in (`lake`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from heapq import merge
from uuid import UUID, uuid4

from cassandra import ConsistencyLevel

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.resources.cassandra.session import Connected, Patience
from recruitment_platform.resources.cassandra.sources import EVENTS, REJECTED, STATEMENTS, Entry, all_entries
from recruitment_platform.resources.protocols import RejectedRow

_POSITIONS_AT_ONCE = 500


def write(connection: Connected, source: str, rows: Iterable[RejectedRow]) -> None:
    """Keeps rejected rows of tracking, unseen until the source's progress reaches them."""
    connection.write_all(
        connection.statement(
            STATEMENTS["add_rejected"],
            ingest_date=row.ingest_date,
            source=source,
            position=row.position,
            reason=row.reason,
            content=storable(row.content),
            path=storable(row.path),
        )
        for row in rows
    )


def listed(connection: Connected, ingest_date: date | None, table: str | None) -> Iterator[RejectedRow]:
    """Rejected rows that count, by ingest day, source and position."""
    groups: dict[tuple[date, str], list[RejectedRow]] = defaultdict(list)
    spans: dict[tuple[date, str], Entry] = {}
    settled: dict[str, set[int]] = defaultdict(set)
    if table is None or table == TRACKING.name:
        for entry in all_entries(connection):
            if entry.entry == REJECTED and entry.rows:
                spans[entry.day, entry.source] = entry
            elif entry.entry not in (REJECTED, EVENTS):
                settled[entry.source].update(entry.positions)
    if table != TRACKING.name:
        for row in _others(connection, table):
            groups[row.ingest_date, row.source].append(row)
    for day, source in sorted(spans.keys() | groups.keys()):
        if ingest_date is None or day == ingest_date:
            others = sorted(groups.get((day, source), ()), key=_position)
            entry = spans.get((day, source), Entry(source, day, REJECTED))
            yield from merge(_of_tracking(connection, entry, settled[source]), others, key=_position)


def counted(connection: Connected) -> dict[date, int]:
    """How many rejected rows count, by ingest day."""
    counts: dict[date, int] = defaultdict(int)
    for entry in all_entries(connection):
        if entry.entry == REJECTED:
            counts[entry.day] += entry.rows
    for row in _others(connection, None):
        counts[row.ingest_date] += 1
    return {day: rows for day, rows in sorted(counts.items()) if rows}


def rejected_positions(connection: Connected, entries: Iterable[Entry], positions: Sequence[int]) -> dict[int, date]:
    """Those of the source's positions that were rejected and not settled since, with their ingest day."""
    found: dict[int, date] = {}
    settled: set[int] = set()
    for entry in entries:
        if entry.entry == REJECTED and entry.rows:
            wanted = [position for position in positions if _within(entry, position)]
            asked = (
                connection.statement(
                    STATEMENTS["rejected_among"],
                    ingest_date=entry.day,
                    source=entry.source,
                    positions=wanted[at : at + _POSITIONS_AT_ONCE],
                )
                for at in range(0, len(wanted), _POSITIONS_AT_ONCE)
            )
            found.update((position, entry.day) for rows in connection.ask_all(asked) for (position,) in rows)
        elif entry.entry not in (REJECTED, EVENTS):
            settled.update(entry.positions)
    return {position: day for position, day in found.items() if position not in settled}


def reject_others(connection: Connected, rows: Iterable[RejectedRow]) -> int:
    """Keeps rejected rows of other tables; returns how many were not known."""
    mine = uuid4()
    return sum(
        _conditional(
            connection,
            STATEMENTS["add_other_rejected"],
            row,
            mine,
            ingest_date=row.ingest_date,
            reason=row.reason,
            content=storable(row.content),
            path=storable(row.path),
            rejected_by=mine,
        )
        for row in rows
    )


def settle_others(connection: Connected, rows: Iterable[RejectedRow]) -> int:
    """Settles rows of other tables for good; returns how many were rejected until now."""
    mine = uuid4()
    return sum(
        _conditional(connection, STATEMENTS["settle_other"], row, mine, settled_by=mine)
        and _was_rejected(connection, row)
        for row in rows
    )


def storable(text: str) -> str:
    """The text without lone surrogates (a path whose name is no UTF-8 has them), which UTF-8 cannot say."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def _conditional(connection: Connected, cql: str, row: RejectedRow, mine: UUID, **values: object) -> bool:
    """Whether the statement's condition held; where an earlier try of ours had come through, it did."""
    statement = connection.statement(cql, table_name=row.table, source=row.source, position=row.position, **values)
    patience = Patience(connection.address, connection.wait)
    while True:
        with patience.of_a_try():
            applied, *standing = next(iter(connection.rows.execute(statement)))
            return bool(applied or mine in standing)


def _was_rejected(connection: Connected, row: RejectedRow) -> bool:
    asked = connection.statement(
        STATEMENTS["rejected_by"], table_name=row.table, source=row.source, position=row.position
    )
    asked.consistency_level = ConsistencyLevel.LOCAL_SERIAL
    return any(rejected_by is not None for (rejected_by,) in connection.ask(asked))


def _others(connection: Connected, table: str | None) -> Iterator[RejectedRow]:
    for name, source, position, day, reason, content, path, rejected_by, settled_by in connection.ask(
        connection.statement(STATEMENTS["other_rejected"])
    ):
        if rejected_by is not None and settled_by is None and table in (None, name):
            yield RejectedRow(name, source, position, reason, content, day.date(), path)


def _of_tracking(connection: Connected, entry: Entry, settled: set[int]) -> Iterator[RejectedRow]:
    if not entry.rows:
        return
    asked = connection.statement(STATEMENTS["rejected"], ingest_date=entry.day, source=entry.source)
    for position, reason, content, path in connection.ask(asked):
        if _within(entry, position) and position not in settled:
            yield RejectedRow(TRACKING.name, entry.source, position, reason, content, entry.day, path)


def _within(entry: Entry, position: int) -> bool:
    return any(after < position <= last for after, last in entry.spans)


def _position(row: RejectedRow) -> int:
    return row.position
