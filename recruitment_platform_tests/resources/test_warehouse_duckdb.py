"""What holds for the embedded warehouse alone: a file that one program holds, in which all can go wrong."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from recruitment_platform.errors import InputError, PlatformError, StoreUnavailableError
from recruitment_platform.resources.protocols import LedgerRow, ObjectStore
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse
from recruitment_platform_tests.processes import at_once, event, in_background
from recruitment_platform_tests.resources.duckdb_holder import hold
from recruitment_platform_tests.resources.warehouse_days import (
    DAY,
    check_day,
    fact_rows,
    load_once_there_is_room,
    load_with_room,
    open_store,
    staged,
    totals_of,
)

FEW, MANY = fact_rows(DAY, 20), fact_rows(DAY, 20_000)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store("duckdb", tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


def opened(path: Path, store: ObjectStore, wait: float = 0) -> DuckDBWarehouse:
    return DuckDBWarehouse(path, timedelta(seconds=wait), store)


@contextmanager
def held(path: Path, *, read_only: bool, seconds: float = 60) -> Iterator[int]:
    """Another program holds the file, for that long at most; gives its process id."""
    taken, release = event(), event()
    holder = in_background(hold, path, read_only, taken, release, seconds)
    assert taken.wait(60)
    try:
        assert holder.pid is not None
        yield holder.pid
    finally:
        release.set()
        holder.join(60)


def test_a_query_before_the_first_load_is_told_what_to_do(path: Path, store: ObjectStore) -> None:
    with pytest.raises(InputError, match=r"nothing is loaded yet.*recruitment-platform run --from DAY --to DAY"):
        opened(path, store).query("SELECT 1")


@pytest.mark.parametrize("first", ["closed_through", "adjusted", "close", "load"])
def test_a_warehouse_made_before_days_could_be_closed_gets_the_tables(
    path: Path, store: ObjectStore, first: str
) -> None:
    warehouse = opened(path, store)
    row, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(row, keys)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "DROP VIEW job_adjustments; DROP TABLE fact_adjustments; DROP TABLE adjustment_ledger;"
            "DROP TABLE billing_close"
        )
    firsts: dict[str, Callable[[], object]] = {
        "closed_through": warehouse.closed_through,
        "adjusted": warehouse.adjusted,
        "close": lambda: warehouse.close_through(DAY, row.loaded_at),
        "load": lambda: warehouse.load_day(*staged(store, DAY, 2, MANY)),
    }
    assert firsts[first]() in (None, {}, True)
    assert warehouse.closed_through() == (DAY if first == "close" else None)
    assert warehouse.query("SELECT * FROM job_adjustments").num_rows == 0
    assert warehouse.totals([DAY]) == {DAY: totals_of(MANY if first == "load" else FEW)}


@pytest.mark.parametrize("read_first", [False, True])
def test_a_file_that_someone_opened_before_the_first_load_becomes_the_warehouse(
    path: Path, store: ObjectStore, read_first: bool
) -> None:
    duckdb.connect(path).close()
    warehouse = opened(path, store)
    if read_first:
        assert warehouse.ledger() == {}
    row, keys = staged(store, DAY, 1, FEW)
    assert warehouse.load_day(row, keys)
    assert warehouse.totals([DAY]) == {DAY: totals_of(FEW)}


@pytest.mark.parametrize("read_only", [False, True])
def test_a_load_that_finds_the_file_held_names_the_holder_and_changes_nothing(
    path: Path, store: ObjectStore, read_only: bool
) -> None:
    warehouse = opened(path, store, wait=0.3)
    warehouse.load_day(*staged(store, DAY, 1, FEW))
    before = path.read_bytes()
    row, keys = staged(store, DAY, 2, MANY)
    with held(path, read_only=read_only) as holder:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            warehouse.load_day(row, keys)
        assert 0.3 <= time.monotonic() - began < 5
        assert path.read_bytes() == before
    message = str(caught.value)
    assert f"{path} is held by {Path(sys.executable).resolve()} (PID {holder})" in message
    assert "was not let go within 0.3 s; nothing was changed" in message
    assert "\n" not in message
    assert warehouse.totals([DAY]) == {DAY: totals_of(FEW)}
    assert warehouse.load_day(row, keys)


def test_loads_and_reads_wait_for_the_holder_and_then_go_on(path: Path, store: ObjectStore) -> None:
    warehouse = opened(path, store, wait=30)
    first, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(first, keys)
    with held(path, read_only=False, seconds=0.5):
        assert warehouse.ledger() == {DAY: first}
    row, keys = staged(store, DAY, 2, MANY)
    with held(path, read_only=True, seconds=0.5):
        assert warehouse.load_day(row, keys)
    assert warehouse.totals([DAY]) == {DAY: totals_of(MANY)}


def test_readers_read_beside_readers_and_name_a_writer_that_holds_the_file(path: Path, store: ObjectStore) -> None:
    warehouse = opened(path, store)
    row, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(row, keys)
    reads: tuple[Callable[[DuckDBWarehouse], object], ...] = (
        DuckDBWarehouse.ledger,
        lambda warehouse: warehouse.totals([DAY]),
        lambda warehouse: warehouse.facts(DAY, DAY),
        lambda warehouse: warehouse.query("SELECT 1"),
    )
    with held(path, read_only=True):
        assert warehouse.ledger() == {DAY: row}
        assert warehouse.query("SELECT count(*) AS n FROM redshift_fact_events").to_pylist() == [{"n": 20}]
    with held(path, read_only=False) as holder:
        for read in reads:
            with pytest.raises(StoreUnavailableError, match=rf"held by .* \(PID {holder}\)"):
                read(warehouse)


def test_a_file_held_by_this_very_program_is_told_as_well(path: Path, store: ObjectStore) -> None:
    warehouse = opened(path, store)
    warehouse.load_day(*staged(store, DAY, 1, FEW))
    with duckdb.connect(path), pytest.raises(StoreUnavailableError, match="held by another connection of this program"):
        warehouse.ledger()
    assert list(warehouse.ledger()) == [DAY]


# The room that the file has grown by where the write fails: from the first bytes of the log to the last of the rows.
ROOMS = (0, 4096, 300_000)


@pytest.fixture
def loaded(path: Path, store: ObjectStore) -> tuple[DuckDBWarehouse, LedgerRow]:
    warehouse = opened(path, store)
    row, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(row, keys)
    return warehouse, row


@pytest.mark.parametrize("room", ROOMS)
def test_a_full_disk_keeps_the_former_day(
    tmp_path: Path, store: ObjectStore, loaded: tuple[DuckDBWarehouse, LedgerRow], room: int
) -> None:
    warehouse, former = loaded
    row, keys = staged(store, DAY, 2, MANY)
    [result] = at_once(load_with_room, [("duckdb", tmp_path, row, keys, room, False)])
    assert isinstance(result, StoreUnavailableError)
    assert "File too large" in str(result)
    assert str(result).endswith("nothing was changed")
    assert "\n" not in str(result)
    assert warehouse.ledger() == {DAY: former}
    assert warehouse.totals([DAY]) == {DAY: totals_of(FEW)}
    assert warehouse.load_day(row, keys)
    assert warehouse.totals([DAY]) == {DAY: totals_of(MANY)}


def test_a_load_that_fits_the_log_but_not_the_file_is_loaded(
    tmp_path: Path, path: Path, store: ObjectStore, loaded: tuple[DuckDBWarehouse, LedgerRow]
) -> None:
    warehouse, _ = loaded
    some = fact_rows(DAY, 30)
    row, keys = staged(store, DAY, 2, some)
    assert at_once(load_with_room, [("duckdb", tmp_path, row, keys, 100_000, False)]) == [True]
    assert path.with_name(f"{path.name}.wal").exists()
    assert warehouse.ledger() == {DAY: row}
    assert warehouse.totals([DAY]) == {DAY: totals_of(some)}
    row, keys = staged(store, DAY, 3, MANY)
    assert warehouse.load_day(row, keys)
    assert warehouse.totals([DAY]) == {DAY: totals_of(MANY)}
    assert not path.with_name(f"{path.name}.wal").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_a_process_goes_on_once_the_disk_has_room_again(
    tmp_path: Path, store: ObjectStore, loaded: tuple[DuckDBWarehouse, LedgerRow], room: int
) -> None:
    warehouse, _ = loaded
    row, keys = staged(store, DAY, 2, MANY)
    assert at_once(load_once_there_is_room, [(tmp_path, row, keys, room)]) == [True]
    assert warehouse.ledger() == {DAY: row}
    assert warehouse.totals([DAY]) == {DAY: totals_of(MANY)}


@pytest.mark.parametrize("room", ROOMS)
def test_a_load_killed_in_mid_write_keeps_the_former_day(
    tmp_path: Path, store: ObjectStore, loaded: tuple[DuckDBWarehouse, LedgerRow], room: int
) -> None:
    warehouse, former = loaded
    row, keys = staged(store, DAY, 2, MANY)
    loader = in_background(load_with_room, "duckdb", tmp_path, row, keys, room, True)
    loader.join(60)
    assert loader.exitcode == -signal.SIGXFSZ
    assert warehouse.query("SELECT count(*) AS n FROM job_performance").to_pylist() == [{"n": 20}]
    assert warehouse.ledger() == {DAY: former}
    assert warehouse.totals([DAY]) == {DAY: totals_of(FEW)}
    assert warehouse.load_day(row, keys)
    assert warehouse.totals([DAY]) == {DAY: totals_of(MANY)}


@pytest.mark.parametrize("deadly", [False, True])
@pytest.mark.parametrize("room", [0, 5000])
def test_a_warehouse_is_made_whole_or_not_at_all(
    tmp_path: Path, path: Path, store: ObjectStore, room: int, deadly: bool
) -> None:
    row, keys = staged(store, DAY, 1, FEW)
    loader = in_background(load_with_room, "duckdb", tmp_path, row, keys, room, deadly)
    loader.join(60)
    assert loader.exitcode == (-signal.SIGXFSZ if deadly else 1)
    assert not path.exists()
    warehouse = opened(path, store)
    assert warehouse.ledger() == {}
    assert warehouse.load_day(row, keys)
    assert warehouse.ledger() == {DAY: row}


def an_empty_file(path: Path) -> None:
    path.touch()


def another_format(path: Path) -> None:
    path.write_bytes(b"not a warehouse\n" * 1000)


def a_damaged_file(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE load_ledger AS SELECT range AS dates FROM range(10000)")
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE load_ledger AS SELECT range AS dates FROM range(10000)")
    path.write_bytes(path.read_bytes()[:5000])


def another_database(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS x")


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [an_empty_file, another_format, a_damaged_file, cut_short, another_database, a_folder])
def test_a_file_that_is_no_warehouse_is_told_in_one_line_and_left_alone(
    path: Path, store: ObjectStore, make: Callable[[Path], None]
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    row, keys = staged(store, DAY, 1, FEW)
    warehouse = opened(path, store)
    actions: tuple[Callable[[], object], ...] = (
        warehouse.ledger,
        lambda: warehouse.totals([DAY]),
        lambda: warehouse.facts(DAY, DAY),
        lambda: warehouse.query("SELECT * FROM load_ledger"),
        lambda: warehouse.load_day(row, keys),
    )
    for action in actions:
        with pytest.raises(PlatformError) as caught:
            action()
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, StoreUnavailableError) or make is another_database
    assert (path.read_bytes() if path.is_file() else b"") == before


def a_place_that_is_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "warehouse.duckdb"


def a_place_of_the_kernel(folder: Path) -> Path:
    return Path(os.sep) / "proc" / "recruitment" / "warehouse.duckdb"


@pytest.mark.parametrize("place", [a_place_that_is_a_file, a_place_of_the_kernel])
def test_a_place_where_no_file_can_be_made_is_told_in_one_line(
    tmp_path: Path, store: ObjectStore, place: Callable[[Path], Path]
) -> None:
    row, keys = staged(store, DAY, 1, FEW)
    path = place(tmp_path)
    with pytest.raises(StoreUnavailableError, match="cannot be used") as caught:
        opened(path, store).load_day(row, keys)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_warehouse_leaves_nothing_beside_its_file(tmp_path: Path, path: Path, store: ObjectStore) -> None:
    opened(path, store).load_day(*staged(store, DAY, 1, FEW))
    assert sorted(found.name for found in tmp_path.iterdir()) == ["objects", "warehouse.duckdb"]


@pytest.mark.parametrize(
    "statement",
    [
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA enable_profiling",
        "CALL pragma_version()",
        "ATTACH ':memory:' AS mine",
        "LOAD json",
        "INSTALL httpfs",
        "EXPORT DATABASE 'copy'",
        "SELECT * FROM read_text('pyproject.toml')",
        "SELECT * FROM glob('*')",
        "SELECT * FROM 'pyproject.toml'",
        "SELECT * FROM 'http://127.0.0.1:9/facts.parquet'",
        "SELECT * FROM sqlite_scan('a', 'b')",
    ],
)
def test_a_query_reaches_neither_files_nor_network_nor_settings(
    tmp_path: Path, path: Path, store: ObjectStore, statement: str
) -> None:
    warehouse = opened(path, store)
    row, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(row, keys)
    files = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        warehouse.query(statement)
    assert "\n" not in str(caught.value)
    check_day(warehouse, row, FEW)
    assert sorted(tmp_path.rglob("*")) == files
