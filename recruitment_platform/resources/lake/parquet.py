"""The embedded lake: tracking events as immutable Parquet files in a folder, and a SQLite catalog of those that count.

Readers see only files that the catalog lists, so a batch becomes visible, whole, with one transaction of the catalog;
what a killed writer left behind is never read. What belongs here: how events are kept and found. What does not: what an
event is (`model.door`), and where batches come from (`ingest`, `simulation`).
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.errors import SettingsError, StoreUnavailableError
from recruitment_platform.model.door import DOOR_VERSION, LAKE_SCHEMA, DoorRules, is_for_lake
from recruitment_platform.resources.lake.catalog import (
    STATEMENTS,
    connected,
    create,
    one_change,
    one_instant,
    reported,
)
from recruitment_platform.resources.lake.event_files import by_day, write_durably
from recruitment_platform.resources.protocols import DayState, LakeScan, ParquetFiles, RejectedRow, SourceState
from recruitment_platform.sql import connect_duckdb, load_sql, spilling

TRACKING = "tracking"
REPLAYED = "replayed:"
_ZONES_MAY_DIFFER_BY = timedelta(hours=3)
"""Time zones' rules may be of another year where an event is looked for than they were at the door."""
_MEGABYTES = 400  # looking for ids spills to disk beyond this
IDS_SCHEMA = pa.schema([("create_time", pa.string()), ("event_date", pa.date32())])


@dataclass(frozen=True)
class _DayFile:
    """A file that is not yet in the catalog, by its path within the lake, and what it adds to its day."""

    name: str
    day: date
    last_position: int
    rows: int
    hash_sum: int


@dataclass(frozen=True)
class UnlistedEvents:
    """Events in files that the catalog does not list yet, so that no reader sees them."""

    num_rows: int
    files: tuple[_DayFile, ...]


def open_lake(root: Path, rules: DoorRules) -> "ParquetLake":
    """The lake in the folder, created where there is none.

    Raises SettingsError where it was begun with other rules, StoreUnavailableError where it cannot be read or created.
    """
    lake = ParquetLake(root.absolute(), rules)
    with reported(lake.root):
        if not lake.catalog.exists():
            lake.root.mkdir(parents=True, exist_ok=True)
            if next(lake.root.glob(f"{TRACKING}/*/*.parquet"), None):
                raise StoreUnavailableError(
                    f"the lake at {lake.root} has event files but no {lake.catalog.name}:"
                    " put that file back from a backup, or move the folder away and import the sources again"
                )
            create(lake.catalog, rules_settings(rules))
    with lake.reading() as connection:
        stored = dict(connection.execute(STATEMENTS["settings"]).fetchall())
    for name, value in rules_settings(rules).items():
        if stored.get(name) != value:
            raise SettingsError(
                f"{name} is {value}, but the lake at {lake.root} was begun with {stored.get(name)}, and its events were"
                f" typed by that: set it back (the door's comes with the platform's version),"
                f" or import the sources again into a new RECRUITMENT_HOME"
            )
    return lake


@dataclass(frozen=True)
class ParquetLake:
    """An `EventLake` of one machine, for any number of processes and threads at once. Get one from `open_lake`.

    `wait` is for how long a write waits for others, of which each holds the catalog for one short change only.
    """

    root: Path
    rules: DoorRules
    wait: timedelta = timedelta(seconds=60)
    name: str = "Parquet"

    @property
    def catalog(self) -> Path:
        """The SQLite file that says what is in the lake."""
        return self.root / "catalog.sqlite"

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The catalog at one instant."""
        with connected(self.catalog, self.wait) as connection, one_instant(connection):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The catalog for one change: visible at once at the end, undone by an error."""
        with connected(self.catalog, self.wait) as connection, one_change(connection):
            yield connection

    def progress(self, source: str) -> int:
        """Last position taken in from the source, 0 where none."""
        with self.reading() as connection:
            return _progress(connection, source)

    def register_path(self, source: str, path: str) -> None:
        """Notes that the source's content was also found at this path."""
        with self.writing() as connection:
            connection.execute(STATEMENTS["add_path"], {"source": source, "path": _storable(path)})

    def append(
        self,
        source: str,
        *,
        accepted: pa.Table | UnlistedEvents,
        rejected: Sequence[RejectedRow],
        after: int,
        last_position: int,
        received: int,
    ) -> bool:
        """Takes in a batch, all of it or nothing; False where the source's progress is no longer `after`.

        Unlisted events that it does not take in are left to `drop`. ValueError where `received` is not the sum of both
        kinds of rows, or positions go back.
        """
        if received != accepted.num_rows + len(rejected) or last_position < after:
            raise ValueError(
                f"{source}: {received} rows received after position {after} up to {last_position}"
                f" are not {accepted.num_rows} accepted and {len(rejected)} rejected ones"
            )
        # One connection from before the files to after them: on a full disk a new one could not be had to tidy up by.
        with connected(self.catalog, self.wait) as connection:
            if _progress(connection, source) != after:
                return False
            with self._new_files(connection) as written:
                if isinstance(accepted, pa.Table):
                    self._write(accepted, written)
                with one_change(connection):
                    if _progress(connection, source) != after:
                        return False
                    self._register(connection, source, written if isinstance(accepted, pa.Table) else accepted.files)
                    connection.executemany(STATEMENTS["add_rejected"], map(_rejected_values, rejected))
                    connection.execute(
                        STATEMENTS["advance_source"],
                        {
                            "source": source,
                            "last_position": last_position,
                            "received": received,
                            "accepted": accepted.num_rows,
                            "rejected": len(rejected),
                        },
                    )
        return True

    def write(self, accepted: pa.Table) -> UnlistedEvents:
        """Writes events, at the same time as others, for an `append` that then only has to list them."""
        written: list[_DayFile] = []
        try:
            self._write(accepted, written)
        except BaseException:
            self._remove(written)
            raise
        return UnlistedEvents(accepted.num_rows, tuple(written))

    def drop(self, unlisted: UnlistedEvents) -> None:
        """Removes the files of those that are not listed; nothing where the catalog cannot be read."""
        with suppress(StoreUnavailableError), self.reading() as connection:
            self._remove_unlisted(connection, unlisted.files)

    def days(self) -> list[date]:
        """Event days with at least one accepted event, ascending."""
        with self.reading() as connection:
            return [date.fromisoformat(day) for (day,) in connection.execute(STATEMENTS["days"])]

    def day_states(self, days: Iterable[date] | None = None) -> list[DayState]:
        """What each source partition brought to each day, by day and source partition."""
        with self.reading() as connection:
            return _day_states(connection, days)

    def scan(self, day: date, columns: Sequence[str] | None = None) -> LakeScan:
        """The day's files, watermark and count, all of one instant: files never change, so the events do not either.

        The columns are of no account: whoever queries the files reads those that the query names.
        """
        with self.reading() as connection:
            states = _day_states(connection, [day])
            paths = self._files(connection, day, day)
        return LakeScan(
            watermark={state.source: state.last_position for state in states},
            accepted=sum(state.rows for state in states),
            events=ParquetFiles(paths) if paths else LAKE_SCHEMA.empty_table(),
        )

    def ids_on_two_days(self, first: date, last: date) -> pa.Table:
        """(create_time, event_date) of these days' events whose id also stands on another day, in that order."""
        with self.reading() as connection:
            reach = days_of_one_id(self.rules)
            paths = self._files(connection, first - reach, last + reach)
        if not paths:
            return IDS_SCHEMA.empty_table()
        with (
            TemporaryDirectory(prefix="lake-") as scratch,
            connect_duckdb(config=spilling(scratch, _MEGABYTES)) as engine,
        ):
            found = engine.sql(
                load_sql("resources/lake/sql", "ids_on_two_days"),
                params={
                    "files": paths,
                    "first_of_files": first - reach,
                    "last_of_files": last + reach,
                    "first": first,
                    "last": last,
                    "time_zone": self.rules.time_zone,
                    "margin": as_good_as_over(self.rules),
                },
            )
            return found.to_arrow_table().cast(IDS_SCHEMA)

    def sources(self) -> list[SourceState]:
        """Every source that was taken in, by name."""
        with self.reading() as connection:
            return [
                SourceState(source, tuple(json.loads(paths)), *counts)
                for source, *counts, paths in connection.execute(STATEMENTS["sources"])
            ]

    def rejected(self, *, ingest_date: date | None = None, table: str | None = None) -> Iterator[RejectedRow]:
        """Rejected rows not yet replayed, by ingest day, source and position."""
        asked = {"ingest_date": None if ingest_date is None else ingest_date.isoformat(), "table": table}
        with self.reading() as connection:
            for name, source, position, reason, content, day, path in connection.execute(STATEMENTS["rejected"], asked):
                yield RejectedRow(name, source, position, reason, content, date.fromisoformat(day), path)

    def rejected_by_ingest_day(self) -> dict[date, int]:
        """How many rejected rows, not yet replayed, each ingest day has."""
        with self.reading() as connection:
            counts = connection.execute(STATEMENTS["rejected_by_ingest_day"])
            return {date.fromisoformat(day): rows for day, rows in counts}

    def reject(self, rows: Sequence[RejectedRow]) -> int:
        """Keeps rejected rows of other tables than tracking; returns how many were not known."""
        if any(row.table == TRACKING for row in rows):
            raise ValueError("rejected tracking rows come in with their batch, by append")
        with self.writing() as connection:
            return connection.executemany(STATEMENTS["add_rejected_if_new"], map(_rejected_values, rows)).rowcount

    def settle(self, rows: Sequence[RejectedRow]) -> int:
        """Drops rejected rows of other tables than tracking for good; returns how many were still rejected."""
        with self.writing() as connection:
            connection.executemany(STATEMENTS["add_settled"], map(_rejected_values, rows))
            return connection.executemany(STATEMENTS["drop_rejected"], map(_rejected_values, rows)).rowcount

    def replay(self, accepted: pa.Table) -> int:
        """Takes in mended rows, under `replayed:<source>`; returns how many were still rejected."""
        # The catalog is held from the first look to the last: mended rows are few, and what is looked up stays true.
        with (
            connected(self.catalog, self.wait) as connection,
            self._new_files(connection) as written,
            one_change(connection),
        ):
            still_rejected = [
                connection.execute(STATEMENTS["drop_rejected"], {"table": TRACKING, **row}).rowcount == 1
                for row in accepted.select(["source", "position"]).to_pylist()
            ]
            mended = accepted.filter(pa.array(still_rejected, pa.bool_()))
            for source in pc.unique(mended["source"]).to_pylist():
                events = mended.filter(pc.equal(mended["source"], source))
                counted = {"source": source, "rows": events.num_rows}
                (replayed,) = connection.execute(STATEMENTS["replay_in_source"], counted).fetchone()
                day_files = self._write(events, written)
                self._register(
                    connection, REPLAYED + source, [replace(file, last_position=replayed) for file in day_files]
                )
        return int(mended.num_rows)

    def clean(self, older_than: timedelta) -> int:
        """Removes files of killed writers, last touched longer ago than that; returns how many.

        No writer may need that long for one batch: one that does finds its files gone, and fails without a trace.
        """
        oldest = time() - older_than.total_seconds()
        removed = 0
        with self.writing() as connection:
            listed = {name for (name,) in connection.execute(STATEMENTS["files"])}
            for path in (*self.root.glob(f"{self.catalog.name}.*.new*"), *self.root.glob(f"{TRACKING}/*/*")):
                # A writer that fails removes its own files, maybe at this moment.
                with suppress(FileNotFoundError):
                    if path.relative_to(self.root).as_posix() not in listed and path.stat().st_mtime < oldest:
                        path.unlink()
                        removed += 1
        return removed

    def _files(self, connection: sqlite3.Connection, first: date, last: date) -> list[str]:
        """The event files of these days, each seen to be there whole."""
        paths = []
        asked = {"first": first.isoformat(), "last": last.isoformat()}
        for name, size in connection.execute(STATEMENTS["files_of_days"], asked):
            path = self.root / name
            if not path.is_file() or path.stat().st_size != size:
                raise StoreUnavailableError(
                    f"the lake at {self.root} has lost or damaged {name}:"
                    f" put that file back from a backup, or import the sources again into a new RECRUITMENT_HOME"
                )
            paths.append(str(path))
        return paths

    @contextmanager
    def _new_files(self, connection: sqlite3.Connection) -> Iterator[list[_DayFile]]:
        """A list for files that are written; those that did not get into the catalog are removed at the end."""
        written: list[_DayFile] = []
        try:
            yield written
        finally:
            # Where the catalog cannot even be read, nothing may be removed: `clean` will do it.
            with suppress(sqlite3.DatabaseError):
                self._remove_unlisted(connection, written)

    def _remove_unlisted(self, connection: sqlite3.Connection, files: Sequence[_DayFile]) -> None:
        among = {"paths": json.dumps([file.name for file in files])}
        listed = {name for (name,) in connection.execute(STATEMENTS["files_among"], among)}
        self._remove(file for file in files if file.name not in listed)

    def _remove(self, files: Iterable[_DayFile]) -> None:
        for file in files:
            (self.root / file.name).unlink(missing_ok=True)

    def _write(self, events: pa.Table, written: list[_DayFile]) -> list[_DayFile]:
        """Writes the events, one durable file for each of their days, and notes each in `written` at once."""
        if not is_for_lake(events):
            raise ValueError("events for the lake are what the door returns as accepted")
        day_files = []
        with reported(self.root):
            for day, rows in by_day(events):
                hashes = rows["payload_hash"].to_numpy().view(np.uint64)
                file = _DayFile(
                    name=f"{TRACKING}/event_date={day}/{uuid4().hex}.parquet",
                    day=day,
                    last_position=pc.max(rows["position"]).as_py(),
                    rows=rows.num_rows,
                    hash_sum=_signed(int(hashes.sum(dtype=np.uint64))),
                )
                written.append(file)
                day_files.append(file)
                write_durably(rows, self.root / file.name)
        return day_files

    def _register(self, connection: sqlite3.Connection, source: str, day_files: Iterable[_DayFile]) -> None:
        """Lists the files, and adds them to what the source partition has brought to their days."""
        for file in day_files:
            day = file.day.isoformat()
            # `clean` holds the catalog while it removes files: what is here now will stay.
            size = (self.root / file.name).stat().st_size
            connection.execute(STATEMENTS["add_file"], {"path": file.name, "event_date": day, "size": size})
            asked = {"event_date": day, "source": source}
            rows, hash_sum = connection.execute(STATEMENTS["source_of_day"], asked).fetchone() or (0, 0)
            connection.execute(
                STATEMENTS["put_day_state"],
                {
                    **asked,
                    "last_position": file.last_position,
                    "rows": rows + file.rows,
                    "hash_sum": _signed(hash_sum + file.hash_sum),
                },
            )


def rules_settings(rules: DoorRules) -> dict[str, str]:
    """The rules under the names by which a user sets them."""
    return {
        "RECRUITMENT_TIME_ZONE": rules.time_zone,
        "RECRUITMENT_FIRST_DAY": rules.first_day.isoformat(),
        "RECRUITMENT_MAX_EVENT_AGE": str(rules.max_age),
        "RECRUITMENT_MAX_EVENT_AHEAD": str(rules.max_ahead),
        "version of the door": DOOR_VERSION,
    }


def _progress(connection: sqlite3.Connection, source: str) -> int:
    row = connection.execute(STATEMENTS["progress"], {"source": source}).fetchone()
    return 0 if row is None else int(row[0])


def _day_states(connection: sqlite3.Connection, days: Iterable[date] | None) -> list[DayState]:
    if days is None:
        rows = connection.execute(STATEMENTS["day_states"])
    else:
        asked = json.dumps([day.isoformat() for day in days])
        rows = connection.execute(STATEMENTS["day_states_of"], {"days": asked})
    return [DayState(date.fromisoformat(day), *values) for day, *values in rows]


def _rejected_values(row: RejectedRow) -> dict[str, str | int]:
    return {
        "table": row.table,
        "source": row.source,
        "position": row.position,
        "reason": row.reason,
        "content": _storable(row.content),
        "ingest_date": row.ingest_date.isoformat(),
        "path": _storable(row.path),
    }


def _storable(text: str) -> str:
    """The text without lone surrogates (a path whose name is no UTF-8 has them), which SQLite cannot hold."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def _signed(number: int) -> int:
    """The number modulo 2**64, as a signed 64-bit integer."""
    return (number + 2**63) % 2**64 - 2**63


def as_good_as_over(rules: DoorRules) -> timedelta:
    """How long before a day ends by our clock an event of the next one may be received."""
    return rules.max_ahead + (timedelta(0) if rules.time_zone == "UTC" else _ZONES_MAY_DIFFER_BY)


def days_of_one_id(rules: DoorRules) -> timedelta:
    """How far apart, in whole days, the days of two events with one id can lie.

    Both believed times lie within the window about the one receive time; a change of the clocks can add up to a day.
    """
    return timedelta(days=(rules.max_age + rules.max_ahead + timedelta(days=1)) // timedelta(days=1) + 1)
