"""The stores' protocols, and the values that pass through them.

One small protocol a store; each has an embedded implementation and one for servers, and one conformance suite holds
for both. What belongs here: signatures, promises, the values exchanged. What does not: any store's details.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import duckdb
import pyarrow as pa

Watermark = Mapping[str, int]
"""Source partition to last position; a source partition that is absent is lower than any position."""


@dataclass(frozen=True)
class DayState:
    """What one source partition brought to one event day.

    `hash_sum` is the sum of the events' payload hashes modulo 2**64, as a signed 64-bit integer.
    """

    event_date: date
    source: str
    last_position: int
    rows: int
    hash_sum: int


@dataclass(frozen=True)
class SourceState:
    """How far one source was taken in: received = accepted + rejected (promise 1)."""

    source: str
    paths: tuple[str, ...]
    last_position: int
    received: int
    accepted: int
    rejected: int


@dataclass(frozen=True)
class RejectedRow:
    """A row the door refused: `content` is the row as it came, as a JSON object's text."""

    table: str
    source: str
    position: int
    reason: str
    content: str
    ingest_date: date
    path: str = ""


@dataclass(frozen=True)
class ParquetFiles:
    """Files of one table, which never change; one at least."""

    paths: Sequence[str]


@dataclass(frozen=True)
class LakeScan:
    """A day as the lake held it: the watermark and accepted count are read *before* `events` is.

    `events` has the columns of `LAKE_TRACKING` that were asked for, and may have the others, duplicates and conflicts
    included where the lake keeps them; a reader is read once. `duplicates` counts those that the lake itself has
    already dropped. `failures` are filled by a reader that fails.
    """

    watermark: dict[str, int]
    accepted: int
    events: ParquetFiles | pa.Table | pa.RecordBatchReader
    duplicates: int = 0
    failures: list[Exception] = field(default_factory=list)

    @contextmanager
    def read_by(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Within it, the connection has a view `events`, of which it reads the columns that its statements name.

        What ends the reading is raised as it is, and not as DuckDB wraps it.
        """
        if isinstance(self.events, ParquetFiles):
            connection.read_parquet(list(self.events.paths), hive_partitioning=False).create_view("events")
        else:
            connection.register("events", self.events)
        try:
            yield
        except Exception:
            if self.failures:
                raise self.failures[0] from None
            raise
        finally:
            connection.execute("DROP VIEW events")


@dataclass(frozen=True)
class LakeSplit:
    """A day for other processes to read, in pieces of which no two have events of one id.

    `read(piece)` yields the columns of `LAKE_TRACKING` that were asked for, of what the lake held when `watermark` and
    `accepted` were read; it and the pieces can be pickled. StoreUnavailableError where a piece cannot be read.
    """

    watermark: dict[str, int]
    accepted: int
    pieces: Sequence[int]
    read: Callable[[int], Iterator[pa.RecordBatch]]


class EventLake(Protocol):
    """Tracking events, each as received with the door's columns beside it. Appending a batch again changes nothing."""

    @property
    def name(self) -> str:
        """What facts' `sources` says: Parquet or Cassandra."""
        ...

    def progress(self, source: str) -> int:
        """Last position taken in from the source, 0 where none: positions are counted from 1."""
        ...

    def register_path(self, source: str, path: str) -> None:
        """Notes that the source's content was also found at this path."""
        ...

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
        """Takes in positions after `after` up to `last_position`: all of it or nothing, visible at once.

        `accepted` is as the door gives it, coded or not; so it is for `replay`. ValueError where it is anything else.
        Returns False, changing nothing, where the source's progress is no longer `after` (another writer was faster).
        Raises StoreUnavailableError where it cannot be written.
        """
        ...

    def days(self) -> list[date]:
        """Event days with at least one accepted event, ascending."""
        ...

    def day_states(self, days: Iterable[date] | None = None) -> list[DayState]:
        """Without a scan: what each source partition brought to each of the days (all days by default)."""
        ...

    def scan(self, day: date, columns: Sequence[str] | None = None) -> LakeScan:
        """The day's events, with these columns at least (all by default) and the watermark read before them."""
        ...

    def ids_on_two_days(self, first: date, last: date) -> pa.Table:
        """(create_time text, event_date date): events of these days whose id also stands on another day."""
        ...

    def sources(self) -> list[SourceState]:
        """Every source that was taken in."""
        ...

    def rejected(self, *, ingest_date: date | None = None, table: str | None = None) -> Iterator[RejectedRow]:
        """Rejected rows that were not yet replayed, by ingest day, source and position."""
        ...

    def rejected_by_ingest_day(self) -> dict[date, int]:
        """How many rejected rows, not yet replayed, each ingest day has."""
        ...

    def reject(self, rows: Sequence[RejectedRow]) -> int:
        """Keeps rejected rows of tables other than tracking; ones already known are not counted. Returns new ones."""
        ...

    def settle(self, rows: Sequence[RejectedRow]) -> int:
        """Drops rejected rows of tables other than tracking that are in use now; returns how many were still rejected.

        `reject` does not take them again, so that importing their file once more changes nothing.
        """
        ...

    def clean(self, older_than: timedelta) -> int:
        """Removes what killed writers left behind longer ago than that; returns how many files."""
        ...

    def replay(self, accepted: pa.Table) -> int:
        """Takes in mended rows under their own `source` and `position`; returns how many were still rejected before.

        A row whose source and position is not rejected (any more) is left alone. What is taken in counts in
        `day_states` under the source partition `replayed:<source>`, with a position that only grows.
        """
        ...


@runtime_checkable
class SplitLake(EventLake, Protocol):
    """A lake that other machines reach too."""

    def split(self, day: date, columns: Sequence[str]) -> LakeSplit:
        """What `scan` gives, in pieces."""
        ...


@dataclass(frozen=True)
class StoredObject:
    """An object in the store: bytes, and when it was last written (UTC)."""

    key: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """Immutable objects under keys with slashes."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Creates the object whole and durable; False, changing nothing, where the key exists."""
        ...

    def put_file(self, path: Path, key: str) -> int:
        """Moves (or uploads) a local file to a new key, durable on return; returns its size in bytes."""
        ...

    def get(self, key: str) -> bytes:
        """The object's content; FileNotFoundError where there is none."""
        ...

    def list(self, prefix: str) -> list[StoredObject]:
        """Objects whose key starts with the prefix (which ends with a slash), by key."""
        ...

    def local(self, key: str) -> Path:
        """A local file with the object's content (downloaded where the store is remote); FileNotFoundError if none."""
        ...

    def uri(self, key: str) -> str:
        """The object's address, for people and for the warehouse."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; ones that are absent are no error."""
        ...

    def clean(self, older_than: timedelta) -> int:
        """Removes what killed writers left behind longer ago than that; returns how many files."""
        ...


@dataclass(frozen=True)
class DimRefresh:
    """What a refresh of dim_jobs did. `version` grows by one with every refresh that changed a row."""

    version: int
    as_of: datetime
    opened: int
    closed: int
    rows: int
    changed: bool


class RelationalStore(Protocol):
    """The site's operational tables, dim_jobs, and `events`, the hourly facts for operational reports."""

    def upsert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Inserts or replaces operational rows by id, typed as `model.operational` says; returns how many changed."""
        ...

    def store_generic(self, table: str, rows: Sequence[str]) -> int:
        """Keeps rows (JSON objects' texts) of a table without contract, each once; returns how many were new."""
        ...

    def counts(self) -> dict[str, int]:
        """Rows of every table that has any."""
        ...

    def refresh_dim_jobs(self, as_of: datetime, currency: str, aliases: Mapping[str, str]) -> DimRefresh:
        """Brings dim_jobs up to the operational tables as of that instant, in one transaction, one refresh at a time.

        Raises InputError where `as_of` is older than the newest refresh, or campaigns are in another currency.
        """
        ...

    def dim_jobs(self) -> tuple[int, pa.Table]:
        """(version, rows as `DIM_JOBS`), of one transaction; version 0 and no rows before the first refresh."""
        ...

    def dim_publishers(self) -> pa.Table:
        """Rows as `DIM_PUBLISHERS`."""
        ...

    def replace_events(self, day: date, manifest: int, digest: str, rows: pa.Table) -> bool:
        """Replaces the day of `events` by the manifest's rows (as `HOURLY_FACTS`) in one transaction with its ledger.

        Returns False, changing nothing, where that manifest is already there; raises SupersededError where a newer one
        is, ReconciliationError where a row is of another day.
        """
        ...

    def events(self, first: date, last: date) -> pa.Table:
        """The rows of `events` of these days, as `HOURLY_FACTS`, in the order of its key."""
        ...


@dataclass(frozen=True)
class LedgerRow:
    """A load of a day (columns of `LOAD_LEDGER`); `spend_micros` in millionths."""

    day: date
    manifest: int
    digest: str
    rows: int
    clicks: int
    spend_micros: int
    watermark: dict[str, int]
    dim_version: int
    code_version: str
    run_id: str
    loaded_at: datetime


@dataclass(frozen=True)
class AdjustmentRow:
    """A booking of a closed day's adjustments (columns of `ADJUSTMENT_LEDGER`); `spend_micros` in millionths.

    `manifest` is the load that is adjusted, 0 where the day was never loaded; `number` counts its bookings from 1.
    `digest`, `watermark` and versions are those of the facts as computed: the load's, with the adjustments.
    """

    day: date
    manifest: int
    number: int
    digest: str
    rows: int
    clicks: int
    spend_micros: int
    watermark: dict[str, int]
    dim_version: int
    code_version: str
    run_id: str
    booked_at: datetime


@dataclass(frozen=True)
class DayTotals:
    """What the fact table holds for a day."""

    rows: int
    clicks: int
    conversion: int
    qualified: int
    disqualified: int
    spend_micros: int


class Warehouse(Protocol):
    """The fact table, its ledger, the dimensions and the analysts' view. Readers see a day's old or new rows."""

    def load_day(self, row: LedgerRow, files: Sequence[str], *, restate: bool = False) -> bool:
        """Replaces the day by the manifest's files (object store keys) in one transaction with its ledger row.

        The ledger is locked first. Returns False, changing nothing, where that manifest is already loaded; raises
        SupersededError where a newer one is, ClosedDayError where the day is closed, ReconciliationError where the rows
        loaded differ from `row.rows`, clicks or spend, StoreUnavailableError where the warehouse is held or down.

        With `restate` a closed day is replaced too, and its adjustments end with the former facts.
        """
        ...

    def close_through(self, day: date, closed_at: datetime) -> bool:
        """Closes the days up to that one, under the ledger's lock; False, changing nothing, where they are already."""
        ...

    def closed_through(self) -> date | None:
        """The last day that is closed, and all before it with it; None where nothing ever was."""
        ...

    def replace_adjustments(self, row: AdjustmentRow, rows: pa.Table, facts: DayTotals) -> bool:
        """Replaces the closed day's adjustments by the rows (`FACT_ADJUSTMENTS`) in one transaction with the booking.

        The ledger is locked first. Returns False, changing nothing, where `row.number` is not the next booking of
        `row.manifest`, or that is not the load in force: look again. Raises ReconciliationError where the day is not
        closed, or its facts and the rows do not add up to what `facts` says (its number of rows aside).
        """
        ...

    def adjustments(self, first: date, last: date) -> pa.Table:
        """The adjustments of these days, as `JOB_ADJUSTMENTS`, in the order of its key."""
        ...

    def adjusted(self, days: Iterable[date] | None = None) -> dict[date, AdjustmentRow]:
        """The booking in force of each of the days that has one."""
        ...

    def bookings(self, day: date) -> list[AdjustmentRow]:
        """Every booking of the day that was committed, oldest first, those that a restatement ended included."""
        ...

    def replace_dimension(self, table: str, rows: pa.Table, version: int) -> bool:
        """Replaces dim_jobs or dim_publishers whole, and the view; False where a newer version is already there."""
        ...

    def ledger(self, days: Iterable[date] | None = None) -> dict[date, LedgerRow]:
        """The newest ledger row of each day that was loaded."""
        ...

    def loads(self, day: date) -> list[LedgerRow]:
        """Every load of the day that was committed, oldest first: two in a row tell what the later one changed."""
        ...

    def totals(self, days: Iterable[date]) -> dict[date, DayTotals]:
        """What the fact table holds for each of the days (zeros where nothing)."""
        ...

    def facts(self, first: date, last: date) -> pa.Table:
        """The fact rows of these days, as `HOURLY_FACTS`, in the order of its key."""
        ...

    def query(self, sql: str) -> pa.Table:
        """The rows of one read-only statement over the warehouse's tables; InputError where it is anything else."""
        ...
