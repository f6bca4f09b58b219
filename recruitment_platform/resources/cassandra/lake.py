"""The lake on Cassandra: events in partitions by day and bucket, and a partition a source that says which ones count.

Rows of events are written first, each under its arrival; then one conditional batch moves their source on. What that
does not cover is never read, and is written over when the source's batch comes again. What belongs here: the lake's
promises. What does not: the bytes (`frames`), the columns (`events`), sources (`sources`)
and rejected rows (`rejected`), connecting (`session`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cassandra.query import BatchStatement, BatchType

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.errors import SettingsError, StoreUnavailableError
from recruitment_platform.model.door import LAKE_SCHEMA, DoorRules, uncoded
from recruitment_platform.resources.cassandra import rejected as rejected_rows
from recruitment_platform.resources.cassandra.events import STORED, batches
from recruitment_platform.resources.cassandra.ids import ids_on_two_days
from recruitment_platform.resources.cassandra.reading import whole_days
from recruitment_platform.resources.cassandra.session import (
    Connected,
    connected,
    require_datacenter,
    statements,
    told,
    where,
    without_keyspace,
)
from recruitment_platform.resources.cassandra.sources import (
    EVENTS,
    REJECTED,
    REPLAY,
    STATEMENTS,
    Change,
    Entry,
    Progress,
    arrival_of_replay,
    change,
    day_states,
    entries_of_source,
    entry_of,
    event_entries,
    progress_of,
    signed,
)
from recruitment_platform.resources.cassandra.split import read_bucket
from recruitment_platform.resources.lake.parquet import TRACKING, rules_settings
from recruitment_platform.resources.protocols import DayState, LakeScan, LakeSplit, RejectedRow, SourceState

_BUCKETS = "RECRUITMENT_CASSANDRA_BUCKETS"


def migrate_cassandra(address: CassandraAddress, rules: DoorRules) -> None:
    """Makes keyspace, tables and the lake's settings where they are missing; any number of times, also at once.

    Raises SettingsError where the lake was begun with other rules, StoreUnavailableError where it cannot be made.
    """
    with without_keyspace(address) as session, told(address):
        require_datacenter(address, session.cluster)
        nodes = [host for host in session.cluster.metadata.all_hosts() if host.datacenter == address.datacenter]
        # By one and the same node: two nodes that make a table at once give it two identities.
        node = min(nodes, key=lambda host: str(host.endpoint))
        for statement in statements("tables").values():
            session.execute(
                statement.format(
                    keyspace=address.keyspace,
                    datacenter=address.datacenter,
                    replication=address.replication or min(3, len(nodes)),
                    columns=",\n    ".join(f"{name} {kind}" for name, kind in STORED.items()),
                ),
                host=node,
                timeout=60,
            )
    lake = CassandraLake(address, rules, address.buckets)
    values = {**rules_settings(rules), _BUCKETS: str(address.buckets)}
    batch = BatchStatement(BatchType.LOGGED)
    for name, value in values.items():
        batch.add(lake.connection.statement(STATEMENTS["add_setting"], name=name, value=value))
    with told(address):
        lake.connection.rows.execute(batch)
    open_cassandra_lake(address, rules)


def open_cassandra_lake(address: CassandraAddress, rules: DoorRules) -> "CassandraLake":
    """The lake at the address, as `migrate_cassandra` made it.

    Raises SettingsError where it was begun with other rules, StoreUnavailableError where it cannot be read.
    """
    lake = CassandraLake(address, rules, address.buckets)
    stored = dict(lake.connection.ask(lake.connection.statement(STATEMENTS["settings"])))
    if not stored:
        raise StoreUnavailableError(
            f"keyspace {address.keyspace} of {where(address)} has no lake yet; run `recruitment-platform migrate`"
        )
    for name, value in rules_settings(rules).items():
        if stored.get(name) != value:
            raise SettingsError(
                f"{name} is {value}, but the lake in keyspace {address.keyspace} of {where(address)} was begun with"
                f" {stored.get(name)}, and its events were typed by that: set it back (the door's comes with the"
                f" platform's version), or import the sources again into a new RECRUITMENT_CASSANDRA_KEYSPACE"
            )
    return replace(lake, buckets=int(stored[_BUCKETS]))


@dataclass(frozen=True)
class CassandraLake:
    """An `EventLake` for any number of machines at once. Get one from `open_cassandra_lake`.

    It holds no connection: each process that uses it has its own. `wait` is for how long a statement is sent again
    while the server is away or busy.
    """

    address: CassandraAddress
    rules: DoorRules
    buckets: int
    wait: timedelta = timedelta(seconds=60)
    name: str = "Cassandra"

    @property
    def connection(self) -> Connected:
        """This process's connection."""
        return connected(self.address, self.wait)

    def progress(self, source: str) -> int:
        """Last position taken in from the source, 0 where none."""
        return progress_of(self.connection, source).last_position

    def register_path(self, source: str, path: str) -> None:
        """Notes that the source's content was also found at this path."""
        connection = self.connection
        path = rejected_rows.storable(path)
        connection.ask(connection.statement(STATEMENTS["add_path"], source=source, path=path))

    def append(
        self,
        source: str,
        *,
        accepted: pa.Table,
        rejected: Sequence[RejectedRow],
        after: int,
        last_position: int,
        received: int,
    ) -> bool:
        """Takes in a batch, all of it or nothing; False where the source's progress is no longer `after`.

        ValueError where `received` is not the sum of both kinds of rows, or rows are of another source or positions.
        """
        if received != accepted.num_rows + len(rejected) or last_position < after:
            raise ValueError(
                f"{source}: {received} rows received after position {after} up to {last_position}"
                f" are not {accepted.num_rows} accepted and {len(rejected)} rejected ones"
            )
        connection = self.connection
        if progress_of(connection, source).last_position != after:
            return False
        accepted = uncoded(accepted)
        positions = np.append(accepted["position"].to_numpy(), [row.position for row in rejected])
        if (
            np.any((positions <= after) | (positions > last_position))
            or pc.any(pc.not_equal(accepted["source"], source)).as_py()
        ):
            raise ValueError(f"{source}: rows are of another source, or not after {after} up to {last_position}")
        self._write(connection, accepted, source)
        rejected_rows.write(connection, source, rejected)
        brought = _brought(source, EVENTS, accepted)
        ingest_days = sorted({row.ingest_date for row in rejected})
        refused = [
            Entry(source, day, REJECTED, rows=sum(row.ingest_date == day for row in rejected)) for day in ingest_days
        ]

        def moved_on(now: Progress) -> Change | None:
            if now.last_position != after:
                return None
            new = [*brought, *refused]
            before = entry_of(connection, source, [(entry.day, entry.entry) for entry in new])
            return Change(
                replace(
                    now,
                    last_position=last_position,
                    received=now.received + received,
                    accepted=now.accepted + accepted.num_rows,
                    rejected=now.rejected + len(rejected),
                ),
                [_added(old, entry, after, last_position) for old, entry in zip(before, new, strict=True)],
            )

        return change(connection, source, moved_on)

    def days(self) -> list[date]:
        """Event days with at least one accepted event, ascending."""
        return sorted({entry.day for entry in event_entries(self.connection)})

    def day_states(self, days: Iterable[date] | None = None) -> list[DayState]:
        """What each source partition brought to each day, by day and source partition."""
        return day_states(event_entries(self.connection, days))

    def scan(self, day: date, columns: Sequence[str] | None = None) -> LakeScan:
        """The day's events, read while they are asked for; what came in after the watermark was read is left out.

        Where the server fails for longer than `wait`, reading on raises StoreUnavailableError.
        """
        connection = self.connection
        entries = event_entries(connection, [day])
        states = day_states(entries)
        wanted = LAKE_SCHEMA.names if columns is None else columns
        failures: list[Exception] = []
        return LakeScan(
            watermark={state.source: state.last_position for state in states},
            accepted=sum(state.rows for state in states),
            events=whole_days(connection, entries, wanted, self.buckets, failures),
            failures=failures,
        )

    def split(self, day: date, columns: Sequence[str]) -> LakeSplit:
        """The day's events, for other processes to read, a bucket each."""
        entries = tuple(event_entries(self.connection, [day]))
        states = day_states(entries)
        return LakeSplit(
            watermark={state.source: state.last_position for state in states},
            accepted=sum(state.rows for state in states),
            pieces=range(self.buckets),
            read=partial(read_bucket, self.address, self.wait, entries, tuple(columns)),
        )

    def ids_on_two_days(self, first: date, last: date) -> pa.Table:
        """(create_time, event_date) of these days' events whose id also stands on another day, in that order."""
        return ids_on_two_days(self.connection, self.rules, self.buckets, first, last)

    def sources(self) -> list[SourceState]:
        """Every source that was taken in, by name."""
        connection = self.connection
        paths: dict[str, list[str]] = {}
        for source, path in connection.ask(connection.statement(STATEMENTS["paths"])):
            paths.setdefault(source, []).append(path)
        rows = connection.ask(connection.statement(STATEMENTS["sources"]))
        return sorted(
            (SourceState(source, tuple(sorted(paths.get(source, ()))), *counts) for source, *counts in rows),
            key=lambda state: state.source,
        )

    def rejected(self, *, ingest_date: date | None = None, table: str | None = None) -> Iterator[RejectedRow]:
        """Rejected rows not yet replayed, by ingest day, source and position."""
        return rejected_rows.listed(self.connection, ingest_date, table)

    def rejected_by_ingest_day(self) -> dict[date, int]:
        """How many rejected rows, not yet replayed, each ingest day has."""
        return rejected_rows.counted(self.connection)

    def reject(self, rows: Sequence[RejectedRow]) -> int:
        """Keeps rejected rows of other tables than tracking; returns how many were not known."""
        if any(row.table == TRACKING for row in rows):
            raise ValueError("rejected tracking rows come in with their batch, by append")
        return rejected_rows.reject_others(self.connection, rows)

    def settle(self, rows: Sequence[RejectedRow]) -> int:
        """Drops rejected rows of other tables than tracking for good; returns how many were still rejected."""
        return rejected_rows.settle_others(self.connection, rows)

    def replay(self, accepted: pa.Table) -> int:
        """Takes in mended rows, under `replayed:<source>`, source by source; returns how many were still rejected."""
        accepted = uncoded(accepted)
        return sum(
            self._replay(source, accepted.filter(pc.equal(accepted["source"], source)))
            for source in pc.unique(accepted["source"]).to_pylist()
        )

    def clean(self, older_than: timedelta) -> int:
        """0: what killed writers leave is no file, is never read, and is written over by those that go on."""
        return 0

    def _replay(self, source: str, mended: pa.Table) -> int:
        """Takes in the source's mended rows that are still rejected; returns how many.

        Under a new arrival each time: rows of a try that failed must not count with those of another.
        """
        connection = self.connection
        taken = 0

        def settled(now: Progress) -> Change | None:
            nonlocal taken
            entry = f"{REPLAY}{uuid4().hex}"
            known = entries_of_source(connection, source)
            days = rejected_rows.rejected_positions(connection, known, mended["position"].to_pylist())
            events = _first_of_each(mended, days.keys())
            taken = events.num_rows
            if not taken:
                return None
            self._write(connection, events, arrival_of_replay(source, entry))
            refused = [
                replace(old, rows=old.rows - sum(day == old.day for day in days.values()))
                for old in known
                if old.entry == REJECTED and old.day in days.values()
            ]
            replayed = now.replayed + taken
            return Change(
                replace(now, accepted=now.accepted + taken, rejected=now.rejected - taken, replayed=replayed),
                [*(replace(new, position=replayed) for new in _brought(source, entry, events)), *refused],
            )

        return taken if change(connection, source, settled) else 0

    def _write(self, connection: Connected, events: pa.Table, arrival: str) -> None:
        insert = connection.prepare(
            STATEMENTS["add_event"].format(columns=", ".join(STORED), markers=", ".join(f":{name}" for name in STORED))
        )
        if events.num_rows:
            connection.write_all(batches(events, arrival, insert, self.buckets))


def _brought(source: str, entry: str, events: pa.Table) -> list[Entry]:
    """What the events bring to each of their days."""
    days = events["event_date"].cast(pa.int32()).to_numpy()
    positions = events["position"].to_numpy()
    hashes = events["payload_hash"].to_numpy().view(np.uint64)
    found = []
    for number in np.unique(days):
        of_day = days == number
        found.append(
            Entry(
                source,
                pa.scalar(int(number), pa.int32()).cast(pa.date32()).as_py(),
                entry,
                position=int(positions[of_day].max()),
                rows=int(of_day.sum()),
                hash_sum=signed(int(hashes[of_day].sum(dtype=np.uint64))),
                positions=() if entry == EVENTS else tuple(positions[of_day].tolist()),
            )
        )
    return found


def _added(old: Entry, new: Entry, after: int, last_position: int) -> Entry:
    """The entry with what a batch brought to it."""
    positions = old.positions
    if new.entry == REJECTED:
        if positions and positions[-1] == after:
            positions = (*positions[:-1], last_position)
        else:
            positions = (*positions, after, last_position)
    return replace(
        old,
        position=max(old.position, new.position),
        rows=old.rows + new.rows,
        hash_sum=signed(old.hash_sum + new.hash_sum),
        positions=positions,
    )


def _first_of_each(mended: pa.Table, positions: Iterable[int]) -> pa.Table:
    """The first row at each of the positions."""
    wanted = set(positions)
    rows = []
    for row, position in enumerate(mended["position"].to_pylist()):
        if position in wanted:
            wanted.remove(position)
            rows.append(row)
    return mended.take(pa.array(rows, pa.int64()))
