"""What each source brought to the Cassandra lake: one partition a source, which decides what is in the lake.

A source's partition changes by one conditional batch, so that what a batch of events brought becomes visible at once,
whole, and two writers never both count. What belongs here: reading and changing these partitions. What does not: the
events and rejected rows themselves (`lake`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from cassandra import ConsistencyLevel
from cassandra.query import BatchStatement, BatchType

from recruitment_platform.resources.cassandra.events import Visible
from recruitment_platform.resources.cassandra.session import Connected, Patience, statements
from recruitment_platform.resources.protocols import DayState

STATEMENTS = statements("statements")
EVENTS, REJECTED, REPLAY = "events", "rejected", "replay:"
REPLAYED = "replayed:"
EVERY_POSITION = 2**63 - 1
_CHANGES_KEPT = 16
"""So many changes of others may come between a change whose outcome is unknown and the look at it."""


@dataclass(frozen=True)
class Entry:
    """What a source brought to a day; see `tables.cql` for the kinds of `entry`, and what `positions` are in each."""

    source: str
    day: date
    entry: str
    position: int = 0
    rows: int = 0
    hash_sum: int = 0
    positions: tuple[int, ...] = ()

    @property
    def partition(self) -> str:
        """The source partition under which watermarks name it."""
        return self.source if self.entry == EVENTS else REPLAYED + self.source

    @property
    def arrival(self) -> str:
        """The arrival of its events in `tracking`."""
        return self.source if self.entry == EVENTS else arrival_of_replay(self.source, self.entry)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Of rejected rows: after which position, and up to which, they were committed under this ingest day."""
        return list(zip(self.positions[::2], self.positions[1::2], strict=True))


@dataclass(frozen=True)
class Progress:
    """A source's counts; `changes` are its newest changes, newest first, None where there was none."""

    source: str
    changes: tuple[UUID, ...] | None = None
    last_position: int = 0
    received: int = 0
    accepted: int = 0
    rejected: int = 0
    replayed: int = 0


@dataclass(frozen=True)
class Change:
    """What a change makes of a source: its new counts, and the entries that are put in place of theirs."""

    progress: Progress
    entries: list[Entry] = field(default_factory=list)


def arrival_of_replay(source: str, entry: str) -> str:
    """The arrival of what a replay brings: its own, so that one that was killed never counts with another."""
    return f"{entry}:{source}"


def progress_of(connection: Connected, source: str, *, settled: bool = False) -> Progress:
    """The source's counts; with `settled`, changes that were under way are finished, or undone, before."""
    asked = connection.statement(STATEMENTS["progress"], source=source)
    if settled:
        asked.consistency_level = ConsistencyLevel.LOCAL_SERIAL
    rows = connection.ask(asked)
    if not rows or rows[0][1] is None:
        return Progress(source)
    name, changes, *counts = rows[0]
    return Progress(name, tuple(changes), *counts)


def change(connection: Connected, source: str, wanted: Callable[[Progress], Change | None]) -> bool:
    """Changes the source from what it is to what `wanted` makes of that; False where that is None.

    Where it has changed meanwhile, `wanted` is asked again. Where the outcome of a try is unknown, it is looked up.
    """
    mine = uuid4()
    patience = Patience(connection.address, connection.wait)
    while True:
        with patience.of_a_try():
            now = progress_of(connection, source, settled=True)
            if mine in (now.changes or ()):
                return True
            change = wanted(now)
            if change is None:
                return False
            progress = replace(change.progress, changes=(mine, *(now.changes or ())[: _CHANGES_KEPT - 1]))
            connection.rows.execute(_batch(connection, now, progress, change.entries))


def _batch(connection: Connected, before: Progress, after: Progress, entries: Iterable[Entry]) -> BatchStatement:
    batch = BatchStatement(BatchType.LOGGED)
    batch.add(
        connection.statement(
            STATEMENTS["put_progress"],
            source=after.source,
            changes=after.changes,
            last_position=after.last_position,
            received=after.received,
            accepted=after.accepted,
            rejected=after.rejected,
            replayed=after.replayed,
            before=before.changes,
        )
    )
    for entry in entries:
        batch.add(
            connection.statement(
                STATEMENTS["put_entry"],
                source=entry.source,
                event_date=entry.day,
                entry=entry.entry,
                position=entry.position,
                rows=entry.rows,
                hash_sum=entry.hash_sum,
                positions=entry.positions,
            )
        )
    return batch


def entry_of(connection: Connected, source: str, keys: Sequence[tuple[date, str]]) -> Iterator[Entry]:
    """The entry of each (day, kind), empty where there is none."""
    asked = [connection.statement(STATEMENTS["entry"], source=source, event_date=day, entry=kind) for day, kind in keys]
    for (day, kind), rows in zip(keys, connection.ask_all(asked), strict=True):
        yield _entry(*rows[0]) if rows else Entry(source, day, kind)


def entries_of_source(connection: Connected, source: str) -> list[Entry]:
    """All that the source brought."""
    return list(_entries(connection.ask(connection.statement(STATEMENTS["entries_of_source"], source=source))))


def all_entries(connection: Connected) -> list[Entry]:
    """All that any source brought."""
    return list(_entries(connection.ask(connection.statement(STATEMENTS["entries"]))))


def event_entries(connection: Connected, days: Iterable[date] | None = None) -> list[Entry]:
    """What the sources brought to these event days, or to all."""
    if days is None:
        return [entry for entry in all_entries(connection) if entry.entry != REJECTED]
    wanted = set(days)
    if not wanted:
        return []
    first, last = min(wanted), max(wanted)
    asked = (
        connection.statement(STATEMENTS["entries_of_days"], source=source, first=first, last=last)
        for source, *_ in connection.ask(connection.statement(STATEMENTS["sources"]))
    )
    return [
        entry
        for rows in connection.ask_all(asked)
        for entry in _entries(rows)
        if entry.entry != REJECTED and entry.day in wanted
    ]


def day_states(entries: Iterable[Entry]) -> list[DayState]:
    """By day and source partition; the replays of a source are one partition."""
    found: dict[tuple[date, str], DayState] = {}
    for entry in entries:
        key = (entry.day, entry.partition)
        known = found.get(key, DayState(entry.day, entry.partition, 0, 0, 0))
        found[key] = DayState(
            entry.day,
            entry.partition,
            max(known.last_position, entry.position),
            known.rows + entry.rows,
            signed(known.hash_sum + entry.hash_sum),
        )
    return [found[key] for key in sorted(found)]


def visible_of(entries: Iterable[Entry]) -> Visible:
    """Which arrivals count, of one day or several."""
    limits: dict[str, int] = defaultdict(int)
    sources: dict[str, str] = {}
    for entry in entries:
        # All that a replay wrote was committed with it.
        limit = entry.position if entry.entry == EVENTS else EVERY_POSITION
        limits[entry.arrival] = max(limits[entry.arrival], limit)
        sources[entry.arrival] = entry.source
    return Visible.of({arrival: (limit, sources[arrival]) for arrival, limit in limits.items()})


def signed(number: int) -> int:
    """The number modulo 2**64, as a signed 64-bit integer."""
    return (number + 2**63) % 2**64 - 2**63


def _entries(rows: Iterable[Sequence[Any]]) -> Iterator[Entry]:
    # A source without any entry is one row, of its counts alone.
    return (_entry(*row) for row in rows if row[1] is not None)


def _entry(source: str, day: Any, entry: str, position: int, rows: int, hash_sum: int, positions: Any) -> Entry:
    return Entry(source, day.date(), entry, position, rows, hash_sum, tuple(positions or ()))
