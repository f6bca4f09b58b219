"""The warehouse on Amazon Redshift.

What belongs here: the load of a day, the dimensions, the reads, the tables, and what is told where they fail. What does
not: the driver and its retries (`session`), the files' way in (`copying`), the statements (`sql/`).

A load locks the ledger before all else. Redshift takes the snapshot that a transaction sees at its first statement that
reads or writes: after the lock, so two loads of one day never both find it empty. Whoever reads the ledger meanwhile
waits for the load's end.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

from recruitment_platform.addresses import RedshiftAddress
from recruitment_platform.errors import InputError, ReconciliationError, SettingsError, StoreUnavailableError
from recruitment_platform.model.conformity import differences
from recruitment_platform.model.contract import (
    ADJUSTMENT_LEDGER,
    FACT_ADJUSTMENTS,
    HOURLY_FACTS,
    JOB_ADJUSTMENTS,
    LOAD_LEDGER,
    WAREHOUSE_TABLES,
    Table,
)
from recruitment_platform.model.schemas import arrow_schema, redshift_bytes, redshift_ddl
from recruitment_platform.resources.protocols import AdjustmentRow, DayTotals, LedgerRow, ObjectStore
from recruitment_platform.resources.redshift.copying import checked_files, copy, copy_manifest
from recruitment_platform.resources.redshift.session import (
    LostConnectionError,
    RefusedError,
    Session,
    UnreachableError,
    comment_of,
    in_transaction,
)
from recruitment_platform.resources.warehouse.loading import (
    NO_ROWS,
    VIEWS,
    booking,
    booking_values,
    dimension,
    is_already_loaded,
    ledger_row,
    ledger_values,
    reconcile,
    reconcile_adjustments,
    refuse_closed,
    refuse_open,
)
from recruitment_platform.sql import load_sql

_COPIES = "copies/"
_ROW_GROUP = 100_000

_NO_TABLE = "42P01"

Done = TypeVar("Done")


def open_redshift(address: RedshiftAddress, store: ObjectStore) -> "RedshiftWarehouse":
    """The warehouse at the address, which loads from `store`. Nothing is asked of it yet.

    Raises SettingsError where the store is no bucket, or no role is given by which COPY reads it.
    """
    if not store.uri("probe").startswith("s3://"):
        raise SettingsError("Redshift loads from S3 only; set RECRUITMENT_PROFILE to servers or aws")
    if not address.iam_role:
        raise SettingsError("needed is RECRUITMENT_REDSHIFT_IAM_ROLE, by which COPY reads the bucket")
    return RedshiftWarehouse(address, address.iam_role, store)


class RedshiftWarehouse:
    """Implements `Warehouse` on Redshift, a session for each operation."""

    def __init__(self, address: RedshiftAddress, role: str, store: ObjectStore) -> None:
        """`role` is the one by which COPY reads `store`, which holds the files to load."""
        self._address = address
        self._role = role
        self._store = store
        self._place = f"the warehouse {address.database} on {address.cluster or f'{address.host}:{address.port}'}"

    def create_tables(self) -> None:
        """Makes the tables that are not there, and the analysts' views as they are now; again, it changes nothing.

        Raises SettingsError where the schema is not there, StoreUnavailableError where the warehouse cannot be reached
        or does not let us.
        """

        def create(session: Session, in_doubt: bool) -> None:
            for table in WAREHOUSE_TABLES:
                session.execute(redshift_ddl(table))
            for view in VIEWS:
                session.execute(load_sql("resources/warehouse/sql", view))

        self._transact("its tables", comment_of(asset="migrate"), create)

    def load_day(self, row: LedgerRow, files: Sequence[str], *, restate: bool = False) -> bool:
        """Replaces the day by the manifest's files (object store keys) in one transaction with its ledger row.

        Returns False, changing nothing, where that manifest is already loaded. Raises SupersededError where a newer one
        is, ClosedDayError where the day is closed and this is no restatement, ReconciliationError where the files'
        columns or the rows, clicks or spend loaded are not what they should be, StoreUnavailableError where the
        warehouse is down or its ledger held: the day then keeps its former rows.
        """
        what = f"redshift_fact_events {row.day}"
        values = ledger_values(row) | {"loaded_at": _plain_utc(row.loaded_at)}
        _check_lengths(what, LOAD_LEDGER, values)
        staged = checked_files(self._store, files, HOURLY_FACTS, what)
        folder = f"{_COPIES}redshift_fact_events/dt={row.day}/"
        with copy_manifest(self._store, folder, staged) if staged else nullcontext() as manifest:
            return self._transact(
                what,
                comment_of(run=row.run_id, asset="redshift_fact_events", day=str(row.day)),
                partial(self._replace_day, what, row, values, manifest, restate),
            )

    def close_through(self, day: date, closed_at: datetime) -> bool:
        """Closes the days up to that one; False, changing nothing, where they are closed already.

        Raises StoreUnavailableError where the warehouse is down or its ledger held.
        """
        values = {"day": day, "closed_at": _plain_utc(closed_at)}

        def close(session: Session, in_doubt: bool) -> bool:
            session.run("lock_ledger")
            for closed, at in session.run("newest_close"):
                if closed >= day:
                    return in_doubt and (closed, at) == (day, values["closed_at"])
            session.run("close_through", **values)
            return True

        return self._transact(f"the close through {day}", comment_of(asset="close", day=str(day)), close)

    def closed_through(self) -> date | None:
        """The last day that is closed, and all before it with it; None where nothing ever was."""
        return self._transact("billing_close", _READING, _closed_through, read_only=True)

    def replace_adjustments(self, row: AdjustmentRow, rows: pa.Table, facts: DayTotals) -> bool:
        """Replaces the closed day's adjustments in one transaction with the booking; False where it is not the next.

        Raises ReconciliationError where the day is not closed, the rows are not as the contract says, or they and the
        day's facts do not add up to `facts`; StoreUnavailableError where the warehouse is down or its ledger held.
        """
        what = f"fact_adjustments {row.day}"
        values = booking_values(row) | {"booked_at": _plain_utc(row.booked_at)}
        _check_lengths(what, ADJUSTMENT_LEDGER, values)
        with self._copied(what, f"{_COPIES}fact_adjustments/dt={row.day}/", FACT_ADJUSTMENTS, rows) as manifest:
            return self._transact(
                what,
                comment_of(run=row.run_id, asset="fact_adjustments", day=str(row.day)),
                partial(self._replace_adjustments, what, row, values, manifest, facts),
            )

    def adjustments(self, first: date, last: date) -> pa.Table:
        """The adjustments of these days, both included, as `JOB_ADJUSTMENTS`, in the order of its key."""
        found = self._read("job_adjustments", "adjustments", {"first": first, "last": last})
        return found.cast(arrow_schema(JOB_ADJUSTMENTS))

    def adjusted(self, days: Iterable[date] | None = None) -> dict[date, AdjustmentRow]:
        """The booking in force of each of the days that has one, by day."""
        asked = None if days is None else set(days)
        if asked is not None and not asked:
            return {}
        rows = map(booking, self._read("adjustment_ledger", "adjusted", _window(asked)).to_pylist())
        return {row.day: row for row in rows if asked is None or row.day in asked}

    def bookings(self, day: date) -> list[AdjustmentRow]:
        """Every booking of the day that was committed, oldest first."""
        return [booking(columns) for columns in self._read("adjustment_ledger", "bookings", {"day": day}).to_pylist()]

    def replace_dimension(self, table: str, rows: pa.Table, version: int) -> bool:
        """Replaces dim_jobs or dim_publishers whole; False, changing nothing, where that version or a newer is there.

        Raises ReconciliationError where the rows are not as the contract says, StoreUnavailableError where the
        warehouse is down.
        """
        what = f"{table} version {version}"
        with self._copied(what, f"{_COPIES}{table}/", dimension(table), rows) as manifest:
            return self._transact(
                what,
                comment_of(asset=table, version=str(version)),
                partial(self._replace_rows, what, table, version, rows.num_rows, datetime.now(UTC), manifest),
            )

    def ledger(self, days: Iterable[date] | None = None) -> dict[date, LedgerRow]:
        """The newest ledger row of each day that was loaded, by day."""
        asked = None if days is None else set(days)
        if asked is not None and not asked:
            return {}
        found = self._read("load_ledger", "ledger", _window(asked))
        rows = [ledger_row(columns) for columns in found.to_pylist()]
        return {row.day: row for row in rows if asked is None or row.day in asked}

    def loads(self, day: date) -> list[LedgerRow]:
        """Every load of the day that was committed, oldest first."""
        return [ledger_row(columns) for columns in self._read("load_ledger", "loads", {"day": day}).to_pylist()]

    def totals(self, days: Iterable[date]) -> dict[date, DayTotals]:
        """What the fact table holds for each of the days, zeros where nothing."""
        asked = list(days)
        if not asked:
            return {}
        window = _window(asked)

        def read(session: Session, in_doubt: bool) -> dict[date, DayTotals]:
            return _totals(session, window)

        found = self._transact("redshift_fact_events", _READING, read, read_only=True)
        return {day: found.get(day, NO_ROWS) for day in asked}

    def facts(self, first: date, last: date) -> pa.Table:
        """The fact rows of these days, both included, as `HOURLY_FACTS`, in the order of its key."""
        found = self._read("redshift_fact_events", "facts", {"first": first, "last": last})
        return found.cast(arrow_schema(HOURLY_FACTS))

    def query(self, sql: str) -> pa.Table:
        """The rows of one SELECT over the warehouse's tables; timestamps are UTC.

        It runs in a transaction that only reads. Raises InputError where the statement is anything but one SELECT, or
        fails; StoreUnavailableError where the warehouse is down, SettingsError where its tables are missing.
        """
        _check_reads_only(sql)

        def ask(session: Session, in_doubt: bool) -> pa.Table:
            session.run("take_time")
            try:
                return session.ask(sql)
            except RefusedError as error:
                if error.is_conflict or _names_a_table_of_ours(error):
                    raise
                raise InputError(f"the query failed: {error}") from None

        return self._transact("the query", _READING, ask, read_only=True)

    @contextmanager
    def _copied(self, what: str, folder: str, table: Table, rows: pa.Table) -> Iterator[str]:
        """The address of a COPY manifest of these rows, put into the object store for the block alone.

        ReconciliationError where they are not as the contract says.
        """
        problems = differences(rows.schema, table)
        if problems:
            raise ReconciliationError(f"{what}: {'; '.join(problems)}; the former one stays in force")
        with tempfile.TemporaryDirectory(prefix="recruitment-rows-") as scratch:
            path = Path(scratch) / "rows.parquet"
            pq.write_table(rows.cast(arrow_schema(table)), path, row_group_size=_ROW_GROUP)
            key = f"{folder}{Path(scratch).name}.parquet"
            self._store.put_file(path, key)
        try:
            with copy_manifest(self._store, folder, checked_files(self._store, [key], table, what)) as manifest:
                yield manifest
        finally:
            self._store.delete([key])

    def _replace_day(
        self,
        what: str,
        row: LedgerRow,
        values: dict[str, Any],
        manifest: str | None,
        restate: bool,
        session: Session,
        in_doubt: bool,
    ) -> bool:
        session.run("lock_ledger")
        session.run("take_time")
        for number, digest, run_id, loaded_at in session.run("newest_load", day=row.day):
            if is_already_loaded(what, row, number, digest):
                # by an earlier try of this very load, or by another one?
                return in_doubt and (run_id, loaded_at) == (row.run_id, values["loaded_at"])
        if restate:
            session.run("delete_adjustments", day=row.day)
            session.run("forget_bookings", day=row.day, manifest=row.manifest)
        else:
            refuse_closed(what, row.day, _closed_through(session))
        session.run("delete_day", day=row.day)
        inserted = 0
        if manifest is not None:
            inserted = copy(session, HOURLY_FACTS.name, manifest, self._role, what)
        found = _totals(session, {"first": row.day, "last": row.day}).get(row.day, NO_ROWS)
        reconcile(what, row, inserted, found)
        session.run("forget_load", day=row.day, manifest=row.manifest)
        session.run("record_load", **values)
        return True

    def _replace_adjustments(
        self,
        what: str,
        row: AdjustmentRow,
        values: dict[str, Any],
        manifest: str,
        facts: DayTotals,
        session: Session,
        in_doubt: bool,
    ) -> bool:
        session.run("lock_ledger")
        session.run("take_time")
        refuse_open(what, row.day, _closed_through(session))
        load = next((number for number, *_ in session.run("newest_load", day=row.day)), 0)
        booked = 0
        for number, run_id, booked_at in session.run("newest_booking", day=row.day, manifest=row.manifest):
            if in_doubt and (number, run_id, booked_at) == (row.number, row.run_id, values["booked_at"]):
                return True  # by an earlier try of this very booking
            booked = number
        if (row.manifest, row.number) != (load, booked + 1):
            return False
        session.run("delete_adjustments", day=row.day)
        copied = copy(session, FACT_ADJUSTMENTS.name, manifest, self._role, what)
        sums = session.run("adjustment_totals", day=row.day)
        adjusted = DayTotals(*sums[0]) if sums else NO_ROWS
        loaded = _totals(session, {"first": row.day, "last": row.day}).get(row.day, NO_ROWS)
        reconcile_adjustments(what, row, copied, loaded, adjusted, facts)
        session.run("record_booking", **values)
        return True

    def _replace_rows(
        self,
        what: str,
        table: str,
        version: int,
        rows: int,
        now: datetime,
        manifest: str,
        session: Session,
        in_doubt: bool,
    ) -> bool:
        loaded_at = now.replace(tzinfo=None)
        session.run("lock_dimensions")
        session.run("take_time")
        for loaded, at in session.run("dimension_version", dimension=table):
            if loaded >= version:
                return in_doubt and (loaded, at) == (version, loaded_at)
        session.run(f"delete_{table}")
        copied = copy(session, table, manifest, self._role, what)
        if copied != rows:
            raise ReconciliationError(f"{what}: {copied} rows were copied instead of {rows}; nothing was changed")
        session.run("forget_dimension", dimension=table)
        session.run("record_dimension", dimension=table, version=version, rows=rows, loaded_at=loaded_at)
        return True

    def _read(self, what: str, statement: str, parameters: dict[str, Any]) -> pa.Table:
        def read(session: Session, in_doubt: bool) -> pa.Table:
            return session.table(statement, **parameters)

        return self._transact(what, _READING, read, read_only=True)

    def _transact(
        self, what: str, comment: str, work: Callable[[Session, bool], Done], *, read_only: bool = False
    ) -> Done:
        """The work in one transaction, its failures told as the platform's own errors."""
        told: Exception
        try:
            return in_transaction(self._address, comment, work, read_only=read_only)
        except UnreachableError as error:
            told = StoreUnavailableError(f"{self._place} cannot be reached: {error}; nothing was changed")
        except LostConnectionError as error:
            outcome = "nothing was changed"
            if error.committing:
                outcome = "whether it was committed is not known. Do it again: what was done is not done twice"
            told = StoreUnavailableError(f"{what}: the connection to {self._place} was lost ({error}); {outcome}")
        except RefusedError as error:
            told = self._told(what, error)
        raise told

    def _told(self, what: str, error: RefusedError) -> Exception:
        match error.code:
            case _ if error.is_conflict:
                return StoreUnavailableError(
                    f"{what}: other transactions came in between each time ({error}); nothing was changed. Try again"
                )
            case "57014":
                return StoreUnavailableError(
                    f"{what}: another load holds {self._place} and did not let go within {self._address.wait} s; "
                    "nothing was changed. Try again when it has ended, or raise RECRUITMENT_REDSHIFT_WAIT"
                )
            case "3F000":
                schema = self._address.schema_name
                return SettingsError(
                    f"{self._place} has no schema {schema}; CREATE SCHEMA {schema} there, or set "
                    "RECRUITMENT_REDSHIFT_SCHEMA_NAME to one that it has"
                )
            case "42P01":
                return SettingsError(
                    f"{self._place} has no such table in the schema {self._address.schema_name} ({error}); "
                    "run recruitment-platform migrate"
                )
            case _:
                return StoreUnavailableError(f"{what}: {self._place} refused: {error}; nothing was changed")


_READING = comment_of(asset="read")


def _window(days: Iterable[date] | None) -> dict[str, date]:
    """First and last of the days; of all days where none are given."""
    if days is None:
        return {"first": date.min, "last": date.max}
    asked = list(days)
    return {"first": min(asked), "last": max(asked)}


def _closed_through(session: Session, in_doubt: bool = False) -> date | None:
    [[day]] = session.run("closed_through")
    closed: date | None = day
    return closed


def _plain_utc(at: datetime) -> datetime:
    """As Redshift's TIMESTAMP keeps it: UTC, without saying so."""
    return at.astimezone(UTC).replace(tzinfo=None)


def _totals(session: Session, window: dict[str, date]) -> dict[date, DayTotals]:
    return {day: DayTotals(*counts) for day, *counts in session.run("totals", **window)}


def _check_lengths(what: str, ledger: Table, values: dict[str, Any]) -> None:
    """ReconciliationError where a text of the ledger's row is longer than its column."""
    for column in ledger.columns:
        if column.type.kind == "text":
            length, room = len(values[column.name].encode()), redshift_bytes(column.type)
            if length > room:
                raise ReconciliationError(
                    f"{what}: its {column.name} has {length} bytes, and {ledger.name} on Redshift holds {room}; the "
                    "day keeps its former rows"
                )


def _check_reads_only(sql: str) -> None:
    """InputError where the text is not one SELECT. The cluster would refuse to write, but not to set or to explain."""
    try:
        statements = [statement for statement in sqlglot.parse(sql, dialect="redshift") if statement is not None]
    except sqlglot.errors.SqlglotError as error:
        raise InputError(f"the query failed: {_plain(str(error))}") from None
    if (
        len(statements) != 1
        or not isinstance(statements[0], exp.Query)
        or statements[0].find(exp.DML, exp.DDL, exp.Into, exp.Command)
    ):
        raise InputError("only one statement that reads (SELECT … or WITH … SELECT …) can be queried")


def _plain(message: str) -> str:
    """sqlglot's message without its underlining, in one line."""
    return " ".join(message.replace("\x1b[4m", "").replace("\x1b[0m", "").split())


def _names_a_table_of_ours(error: RefusedError) -> bool:
    return error.code == _NO_TABLE and any(f'"{table.name}"' in str(error) for table in WAREHOUSE_TABLES)
