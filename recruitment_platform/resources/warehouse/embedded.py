"""The embedded warehouse: a DuckDB file.

What belongs here: opening the file for one short transaction at a time, the load of a day, the dimensions, the reads.
What does not: which manifest is to be loaded (`pipeline.publish`); the statements, which are in `sql/`.

DuckDB lets one program at a time hold the file (or several that only read). So each operation opens it, waits for
whoever holds it, and closes it at once.
"""

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.errors import InputError, ReconciliationError, StoreUnavailableError
from recruitment_platform.model.conformity import differences
from recruitment_platform.model.contract import (
    DIM_JOBS,
    DIM_PUBLISHERS,
    DIMENSION_VERSION,
    HOURLY_FACTS,
    LOAD_LEDGER,
)
from recruitment_platform.model.schemas import arrow_schema, duckdb_ddl
from recruitment_platform.resources.protocols import DayTotals, LedgerRow, ObjectStore
from recruitment_platform.resources.warehouse.loading import (
    NO_ROWS,
    dimension,
    is_already_loaded,
    ledger_row,
    ledger_values,
    reconcile,
)
from recruitment_platform.sql import connect_duckdb, load_sql

_TABLES = (HOURLY_FACTS, LOAD_LEDGER, DIM_JOBS, DIM_PUBLISHERS, DIMENSION_VERSION)

# Nothing is fetched from the network, whatever a statement names.
_CLOSED: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between two tries to open the file

# Within one process DuckDB shares one instance among all connections to a file, so its lock on the file does not keep
# threads apart: this one does.
_guards: dict[Path, threading.Lock] = {}
_guards_guard = threading.Lock()

Rows = TypeVar("Rows")


class DuckDBWarehouse:
    """Implements `Warehouse` in a DuckDB file, made at the first load."""

    def __init__(self, path: Path, wait: timedelta, store: ObjectStore) -> None:
        """`wait` is how long any operation waits for another program to let go; `store` holds the files to load."""
        self.path = path.absolute()
        self._wait = wait.total_seconds()
        self._store = store

    def load_day(self, row: LedgerRow, files: Sequence[str]) -> bool:
        """Replaces the day by the manifest's files (object store keys) in one transaction with its ledger row.

        Returns False, changing nothing, where that manifest is already loaded. Raises SupersededError where a newer one
        is, ReconciliationError where the files' columns or the rows, clicks or spend loaded are not what they should
        be, StoreUnavailableError where the warehouse is held, full or damaged: the day then keeps its former rows.
        """
        what = f"redshift_fact_events {row.day}"
        paths = [str(self._checked_file(key, what)) for key in files]
        with self._transaction(what) as connection:
            for manifest, digest in connection.execute(_sql("newest_load"), {"day": row.day}).fetchall():
                if is_already_loaded(what, row, manifest, digest):
                    return False
            connection.execute(_sql("delete_day"), {"day": row.day})
            inserted = 0
            if paths:
                [(inserted,)] = connection.execute(_sql("insert_day"), {"files": paths}).fetchall()
            reconcile(what, row, inserted, _totals(connection, [row.day])[row.day])
            connection.execute(_sql("forget_load"), {"day": row.day, "manifest": row.manifest})
            connection.execute(_sql("record_load"), ledger_values(row))
        return True

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
            connection.execute(load_sql("resources/warehouse/sql", "job_performance"))
            connection.execute(_sql("forget_dimension"), {"dimension": table})
            connection.execute(
                _sql("record_dimension"), {"dimension": table, "version": version, "rows": rows.num_rows}
            )
        return True

    def ledger(self, days: Iterable[date] | None = None) -> dict[date, LedgerRow]:
        """The newest ledger row of each day that was loaded, by day."""
        asked = None if days is None else list(days)
        found: list[LedgerRow] = self._read([], lambda connection: _loads(connection, "ledger", {"days": asked}))
        return {row.day: row for row in found}

    def loads(self, day: date) -> list[LedgerRow]:
        """Every load of the day that was committed, oldest first."""

        def read(connection: duckdb.DuckDBPyConnection) -> list[LedgerRow]:
            return _loads(connection, "loads", {"day": day})

        return self._read([], read)

    def totals(self, days: Iterable[date]) -> dict[date, DayTotals]:
        """What the fact table holds for each of the days, zeros where nothing."""
        asked = list(days)
        nothing = dict.fromkeys(asked, NO_ROWS)
        return self._read(nothing, lambda connection: _totals(connection, asked))

    def facts(self, first: date, last: date) -> pa.Table:
        """The fact rows of these days, both included, as `HOURLY_FACTS`, in the order of its key."""
        schema = arrow_schema(HOURLY_FACTS)

        def read(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            rows = connection.sql(_sql("facts"), params={"first": first, "last": last})
            return rows.to_arrow_table().cast(schema)

        return self._read(schema.empty_table(), read)

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
        with self._open(read_only=True, enable_external_access=False) as connection:
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

    def _read(self, nothing: Rows, read: Callable[[duckdb.DuckDBPyConnection], Rows]) -> Rows:
        if not self.path.exists():
            return nothing
        with self._open(read_only=True) as connection:
            try:
                return read(connection)
            except duckdb.Error as error:
                raise self._unusable(error) from error

    @contextmanager
    def _transaction(self, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction that writes: committed at the end, undone by whatever is raised or kills the process."""
        self._make()
        with self._open(read_only=False) as connection:
            try:
                connection.begin()
                yield connection
                connection.commit()
            except (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException) as error:
                raise ReconciliationError(
                    f"{what} cannot be loaded: {_first_line(error)}; what was loaded before stays in force"
                ) from error
            except duckdb.Error as error:
                raise self._unusable(error) from error

    @contextmanager
    def _open(self, *, read_only: bool, **config: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, held until the end of the block; waits for whoever holds it."""
        deadline = time.monotonic() + self._wait
        guard = _guard(self.path)
        if not guard.acquire(timeout=self._wait):
            raise self._held("another thread of this program")
        try:
            connection = self._connect(deadline, read_only, _CLOSED | config)
            try:
                yield connection
            finally:
                connection.close()
        finally:
            guard.release()

    def _connect(self, deadline: float, read_only: bool, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        pause = _FIRST_PAUSE
        while True:
            try:
                return connect_duckdb(self.path, read_only=read_only, config=config)
            except duckdb.Error as error:
                holder = _holder(error)
                if holder is None:
                    raise self._unusable(error) from error
                if time.monotonic() >= deadline:
                    raise self._held(holder) from error
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
                for table in _TABLES:
                    connection.execute(duckdb_ddl(table))
                connection.execute(load_sql("resources/warehouse/sql", "job_performance"))
            with suppress(FileExistsError):
                os.link(draft, self.path)
        except (OSError, duckdb.Error) as error:
            raise self._unusable(error) from error
        finally:
            for leftover in (draft, draft.with_name(f"{draft.name}.wal")):
                with suppress(OSError):
                    leftover.unlink()

    def _held(self, holder: str) -> StoreUnavailableError:
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
    if isinstance(error, duckdb.ConnectionException) and "different configuration" in str(error):
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


def _loads(connection: duckdb.DuckDBPyConnection, statement: str, parameters: dict[str, Any]) -> list[LedgerRow]:
    found = connection.sql(_sql(statement), params=parameters).to_arrow_table().to_pylist()
    return [ledger_row(columns) for columns in found]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
