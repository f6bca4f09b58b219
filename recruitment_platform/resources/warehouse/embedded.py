"""The embedded warehouse: a DuckDB file.

What belongs here: opening the file for one short transaction at a time, the load of a day, the dimensions, the reads.
What does not: which manifest is to be loaded (`pipeline.publish`); the statements, which are in `sql/`.

DuckDB lets one program at a time hold the file (or several that only read). So each operation opens it, waits for
whoever holds it, and closes it at once: it is attached to a DuckDB that the warehouse has for this, as to begin one
takes ten times as long.
"""

import itertools
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.errors import InputError, ReconciliationError, StoreUnavailableError
from recruitment_platform.model.conformity import differences
from recruitment_platform.model.contract import (
    FACT_ADJUSTMENTS,
    HOURLY_FACTS,
    JOB_ADJUSTMENTS,
    LOAD_LEDGER,
    WAREHOUSE_TABLES,
    Table,
)
from recruitment_platform.model.schemas import arrow_schema, duckdb_ddl
from recruitment_platform.resources.protocols import AdjustmentRow, DayTotals, LedgerRow, ObjectStore
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
from recruitment_platform.sql import another_connection, connect_duckdb, load_sql

logger = logging.getLogger(__name__)

# Nothing is fetched from the network, whatever a statement names.
_CLOSED: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1  # seconds between two tries to open the file

# Within one process DuckDB shares one instance among all connections to a file, so its lock on the file does not keep
# threads apart: this one does.
_guards: dict[Path, threading.Lock] = {}
_guards_guard = threading.Lock()

_names = map("warehouse_{}".format, itertools.count())

Rows = TypeVar("Rows")


class DuckDBWarehouse:
    """Implements `Warehouse` in a DuckDB file, made at the first load."""

    def __init__(self, path: Path, wait: timedelta, store: ObjectStore) -> None:
        """`wait` is how long any operation waits for another program to let go; `store` holds the files to load."""
        self.path = path.absolute()
        self._wait = wait.total_seconds()
        self._store = store
        self._engine: duckdb.DuckDBPyConnection | None = None

    def load_day(self, row: LedgerRow, files: Sequence[str], *, restate: bool = False) -> bool:
        """Replaces the day by the manifest's files (object store keys) in one transaction with its ledger row.

        Returns False, changing nothing, where that manifest is already loaded. Raises SupersededError where a newer one
        is, ClosedDayError where the day is closed and this is no restatement, ReconciliationError where the files'
        columns or the rows, clicks or spend loaded are not what they should be, StoreUnavailableError where the
        warehouse is held, full or damaged: the day then keeps its former rows.
        """
        what = f"redshift_fact_events {row.day}"
        paths = [str(self._checked_file(key, what)) for key in files]
        with self._transaction(what) as connection:
            for manifest, digest in connection.execute(_sql("newest_load"), {"day": row.day}).fetchall():
                if is_already_loaded(what, row, manifest, digest):
                    return False
            if restate:
                connection.execute(_sql("delete_adjustments"), {"day": row.day})
                connection.execute(_sql("forget_bookings"), {"day": row.day, "manifest": row.manifest})
            else:
                refuse_closed(what, row.day, _closed_through(connection))
            connection.execute(_sql("delete_day"), {"day": row.day})
            inserted = 0
            if paths:
                [(inserted,)] = connection.execute(_sql("insert_day"), {"files": paths}).fetchall()
            reconcile(what, row, inserted, _totals(connection, [row.day])[row.day])
            connection.execute(_sql("forget_load"), {"day": row.day, "manifest": row.manifest})
            connection.execute(_sql("record_load"), ledger_values(row))
        return True

    def close_through(self, day: date, closed_at: datetime) -> bool:
        """Closes the days up to that one; False, changing nothing, where they are closed already.

        Raises StoreUnavailableError where the warehouse is held, full or damaged.
        """
        with self._transaction(f"the close through {day}") as connection:
            closed = _closed_through(connection)
            if closed is not None and closed >= day:
                return False
            connection.execute(_sql("close_through"), {"day": day, "closed_at": closed_at})
        return True

    def closed_through(self) -> date | None:
        """The last day that is closed, and all before it with it; None where nothing ever was."""
        return self._read(None, _closed_through)

    def replace_adjustments(self, row: AdjustmentRow, rows: pa.Table, facts: DayTotals) -> bool:
        """Replaces the closed day's adjustments in one transaction with the booking; False where it is not the next.

        Raises ReconciliationError where the day is not closed, the rows are not as the contract says, or they and the
        day's facts do not add up to `facts`; StoreUnavailableError where the warehouse is held, full or damaged.
        """
        what = f"fact_adjustments {row.day}"
        problems = differences(rows.schema, FACT_ADJUSTMENTS)
        if problems:
            raise ReconciliationError(f"{what}: {'; '.join(problems)}; the former ones stay in force")
        day = {"day": row.day}
        with self._transaction(what) as connection:
            refuse_open(what, row.day, _closed_through(connection))
            loads = connection.execute(_sql("newest_load"), day).fetchall()
            booked = connection.execute(_sql("newest_booking"), day | {"manifest": row.manifest}).fetchall()
            if (row.manifest, row.number) != (loads[0][0] if loads else 0, booked[0][0] + 1 if booked else 1):
                return False
            connection.execute(_sql("delete_adjustments"), day)
            connection.register("incoming", rows.cast(arrow_schema(FACT_ADJUSTMENTS)))
            [(inserted,)] = connection.execute(_sql("insert_adjustments")).fetchall()
            connection.unregister("incoming")
            sums = connection.execute(_sql("adjustment_totals"), day).fetchall()
            adjusted = DayTotals(*sums[0]) if sums else NO_ROWS
            reconcile_adjustments(what, row, inserted, _totals(connection, [row.day])[row.day], adjusted, facts)
            connection.execute(_sql("record_booking"), booking_values(row))
        return True

    def adjustments(self, first: date, last: date) -> pa.Table:
        """The adjustments of these days, both included, as `JOB_ADJUSTMENTS`, in the order of its key."""
        return self._window("adjustments", JOB_ADJUSTMENTS, first, last)

    def adjusted(self, days: Iterable[date] | None = None) -> dict[date, AdjustmentRow]:
        """The booking in force of each of the days that has one, by day."""
        asked = None if days is None else list(days)
        return {row.day: row for row in map(booking, self._rows("adjusted", {"days": asked}))}

    def bookings(self, day: date) -> list[AdjustmentRow]:
        """Every booking of the day that was committed, oldest first."""
        return [booking(row) for row in self._rows("bookings", {"day": day})]

    def replace_dimension(self, table: str, rows: pa.Table, version: int) -> bool:
        """Replaces dim_jobs or dim_publishers whole; False, changing nothing, where that version or a newer is there.

        Raises ReconciliationError where the rows are not as the contract says, StoreUnavailableError where the
        warehouse is held, full or damaged.
        """
        contract = dimension(table)
        problems = differences(rows.schema, contract)
        if problems:
            raise ReconciliationError(
                f"{table} version {version}: {'; '.join(problems)}; the former one stays in force"
            )
        with self._transaction(f"{table} version {version}") as connection:
            current = connection.execute(_sql("dimension_version"), {"dimension": table}).fetchall()
            if any(loaded >= version for (loaded,) in current):
                return False
            connection.register("incoming", rows.cast(arrow_schema(contract)))
            connection.execute(_sql(f"replace_{table}"))
            connection.unregister("incoming")
            for view in VIEWS:
                connection.execute(_sql(view))
            connection.execute(_sql("forget_dimension"), {"dimension": table})
            connection.execute(
                _sql("record_dimension"), {"dimension": table, "version": version, "rows": rows.num_rows}
            )
        return True

    def ledger(self, days: Iterable[date] | None = None) -> dict[date, LedgerRow]:
        """The newest ledger row of each day that was loaded, by day."""
        asked = None if days is None else list(days)
        return {row.day: row for row in map(ledger_row, self._rows("ledger", {"days": asked}))}

    def loads(self, day: date) -> list[LedgerRow]:
        """Every load of the day that was committed, oldest first."""
        return [ledger_row(row) for row in self._rows("loads", {"day": day})]

    def totals(self, days: Iterable[date]) -> dict[date, DayTotals]:
        """What the fact table holds for each of the days, zeros where nothing."""
        asked = list(days)
        nothing = dict.fromkeys(asked, NO_ROWS)
        return self._read(nothing, lambda connection: _totals(connection, asked))

    def facts(self, first: date, last: date) -> pa.Table:
        """The fact rows of these days, both included, as `HOURLY_FACTS`, in the order of its key."""
        return self._window("facts", HOURLY_FACTS, first, last)

    def query(self, sql: str) -> pa.Table:
        """The rows of one SELECT over the warehouse's tables; timestamps are UTC.

        The statement reaches neither files nor network nor settings, and cannot write. Raises InputError where it is
        anything else, fails, or nothing is loaded yet; StoreUnavailableError where the warehouse is held or damaged.
        """
        if not self.path.exists():
            raise InputError(
                "nothing is loaded yet, so there is nothing to query; load days first: "
                "recruitment-platform run --from DAY --to DAY"
            )
        # a DuckDB of its own: what is set for the statement cannot be taken back
        closed = _CLOSED | {"enable_external_access": False}
        with self._held(partial(connect_duckdb, self.path, read_only=True, config=closed)) as connection, connection:
            connection.execute("SET lock_configuration = true")  # a second lock: SET is no SELECT, and refused below
            try:
                statements = connection.extract_statements(sql)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise InputError("only one statement that reads (SELECT … or WITH … SELECT …) can be queried")
                return connection.sql(statements[0]).to_arrow_table()
            except (duckdb.FatalException, duckdb.InternalException) as error:
                raise self._unusable(error) from error
            except duckdb.Error as error:
                raise InputError(f"the query failed: {_first_line(error)}") from error

    def _checked_file(self, key: str, what: str) -> Path:
        try:
            path = self._store.local(key)
            problems = differences(pq.read_schema(path), HOURLY_FACTS)
        except FileNotFoundError as error:
            raise ReconciliationError(f"{what}: the staged file {key} is gone; materialize the day again") from error
        except pa.ArrowInvalid as error:
            raise ReconciliationError(f"{what}: the staged file {key} is no whole Parquet file: {error}") from error
        if problems:
            raise ReconciliationError(
                f"{what}: the staged file {key} is not as the contract says: {'; '.join(problems)}; "
                "materialize the day again"
            )
        return path

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        def read(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = connection.sql(_sql(statement), params=parameters).to_arrow_table().to_pylist()
            return rows

        return self._read([], read)

    def _window(self, statement: str, table: Table, first: date, last: date) -> pa.Table:
        schema = arrow_schema(table)

        def read(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            rows = connection.sql(_sql(statement), params={"first": first, "last": last})
            return rows.to_arrow_table().cast(schema)

        return self._read(schema.empty_table(), read)

    def _read(self, nothing: Rows, read: Callable[[duckdb.DuckDBPyConnection], Rows]) -> Rows:
        if not self.path.exists():
            return nothing
        with suppress(duckdb.CatalogException), self._open(read_only=True) as connection:
            try:
                return read(connection)
            except duckdb.CatalogException:
                raise  # the file may be of a version that had fewer tables
            except duckdb.Error as error:
                raise self._unusable(error) from error
        with self._transaction("its tables") as connection:
            return read(connection)

    @contextmanager
    def _transaction(self, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction that writes: committed at the end, undone by whatever is raised or kills the process."""
        self._make()
        with self._open(read_only=False) as connection:
            try:
                connection.begin()
                _complete(connection)
                yield connection
                connection.commit()
            except (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException) as error:
                raise ReconciliationError(
                    f"{what} cannot be loaded: {_first_line(error)}; what was loaded before stays in force"
                ) from error
            except duckdb.Error as error:
                raise self._unusable(error) from error

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, held until the end of the block; waits for whoever holds it."""
        name = next(_names)
        with self._held(partial(self._attached, name, read_only)) as connection:
            try:
                yield connection
            finally:
                connection.close()
                self._detach(name)

    def _attached(self, name: str, read_only: bool) -> duckdb.DuckDBPyConnection:
        """A connection whose tables are the file's."""
        # Not the process's: let go as Python ends, it could wait for a thread that is gone.
        self._engine = self._engine or connect_duckdb(config=_CLOSED)
        connection = another_connection(self._engine)
        try:
            connection.execute(_sql("attach").format(name=name), {"path": str(self.path), "read_only": read_only})
            connection.execute(_sql("use").format(name=name))
        except BaseException:
            connection.close()
            raise
        return connection

    def _detach(self, name: str) -> None:
        """Lets the file go. Where its log cannot be merged into it, the next opening reads it."""
        try:
            if self._engine is not None:
                self._engine.execute(_sql("detach").format(name=name))
        except duckdb.IOException as error:
            logger.warning("what was committed to the warehouse stays in its log for now: %s", _first_line(error))

    @contextmanager
    def _held(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the file once nobody else holds it, in no other thread until the end of the block."""
        deadline = time.monotonic() + self._wait
        guard = _guard(self.path)
        if not guard.acquire(timeout=self._wait):
            raise self._is_held("another thread of this program")
        try:
            yield self._once_free(connect, deadline)
        finally:
            guard.release()

    def _once_free(
        self, connect: Callable[[], duckdb.DuckDBPyConnection], deadline: float
    ) -> duckdb.DuckDBPyConnection:
        pause = _FIRST_PAUSE
        while True:
            try:
                return connect()
            except duckdb.Error as error:
                holder = _holder(error)
                if holder is None:
                    raise self._unusable(error) from error
                if time.monotonic() >= deadline:
                    raise self._is_held(holder) from error
            # random, so that several that wait do not try in step for ever
            time.sleep(min(pause * random.uniform(0.5, 1), max(deadline - time.monotonic(), 0)))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _make(self) -> None:
        """Makes the file whole or not at all: DuckDB itself would leave half a file on a full disk."""
        if self.path.exists():
            return
        draft = self.path.with_name(f".{self.path.name}-{uuid4().hex}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with connect_duckdb(draft, config=_CLOSED) as connection:
                _create(connection)
            with suppress(FileExistsError):
                os.link(draft, self.path)
        except (OSError, duckdb.Error) as error:
            raise self._unusable(error) from error
        finally:
            for leftover in (draft, draft.with_name(f"{draft.name}.wal")):
                with suppress(OSError):
                    leftover.unlink()

    def _is_held(self, holder: str) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the warehouse {self.path} is held by {holder} and was not let go within {self._wait:g} s; "
            "nothing was changed. Close it there, then try again"
        )

    def _unusable(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the warehouse {self.path} cannot be used: {_first_line(error)}; nothing was changed"
        )


def _guard(path: Path) -> threading.Lock:
    with _guards_guard:
        return _guards.setdefault(path, threading.Lock())


def _holder(error: duckdb.Error) -> str | None:
    """Who holds the file, where that is what the error tells."""
    if "different configuration" in str(error) or "Unique file handle conflict" in str(error):
        return "another connection of this program"
    if "Could not set lock on file" not in str(error):
        return None
    holder = _HOLDER.search(str(error))
    return f"{holder['program']} (PID {holder['pid']})" if holder else "another program"


def _sql(name: str) -> str:
    return load_sql("resources/warehouse/sql", name)


def _totals(connection: duckdb.DuckDBPyConnection, days: list[date]) -> dict[date, DayTotals]:
    found = connection.execute(_sql("totals"), {"days": days}).fetchall()
    return dict.fromkeys(days, NO_ROWS) | {day: DayTotals(*counts) for day, *counts in found}


def _closed_through(connection: duckdb.DuckDBPyConnection) -> date | None:
    [(day,)] = connection.execute(_sql("closed_through")).fetchall()
    closed: date | None = day
    return closed


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    for table in WAREHOUSE_TABLES:
        connection.execute(duckdb_ddl(table))
    for view in VIEWS:
        connection.execute(_sql(view))


def _complete(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes what a warehouse of an older version does not have; a file that is no warehouse is left alone.

    A database without any table is taken as ours: whoever opens the file before the first load makes one.
    """
    there = {name for (name,) in connection.execute(_sql("tables")).fetchall()}
    ours = not there or LOAD_LEDGER.name in there
    if ours and any(table.name not in there for table in WAREHOUSE_TABLES):
        _create(connection)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
