"""What holds for the warehouse on Redshift alone: what its sessions survive, and what they tell.

Through Redshift's own driver, on a gate in front of a real PostgreSQL that refuses what Redshift refuses.
"""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from recruitment_platform.errors import (
    ClosedDayError,
    ReconciliationError,
    SettingsError,
    StoreUnavailableError,
    SupersededError,
)
from recruitment_platform.model.contract import DIM_JOBS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.protocols import LedgerRow, ObjectStore
from recruitment_platform.resources.redshift import session as redshift_session
from recruitment_platform.resources.redshift.warehouse import RedshiftWarehouse, open_redshift
from recruitment_platform_tests.processes import in_background
from recruitment_platform_tests.redshift_fixtures import (
    SERIALIZABLE,
    RedshiftPlace,
    at_the_same_time,
    open_gate,
    redshift_place,
    superuser,
)
from recruitment_platform_tests.redshift_gate.process import GateProcess
from recruitment_platform_tests.resources.warehouse_days import (
    DAY,
    adjustment_rows,
    booking,
    check_day,
    fact_rows,
    load,
    staged,
    together,
    totals_of,
)
from recruitment_platform_tests.servers_fixtures import Server, StartServer

FEW_OF = [fact_rows(DAY + timedelta(days=number), 20) for number in range(3)]
FEW, MANY = fact_rows(DAY, 20), fact_rows(DAY, 300, clicks=2)
STATEMENTS = (
    "LOCK TABLE load_ledger",
    "SELECT.*FROM load_ledger",
    "DELETE FROM redshift_fact_events",
    "COPY",
    "SELECT pg_last_copy_count",
    "INSERT INTO load_ledger",
    "COMMIT",
)
"""Statements of a load, as patterns that the gate knows them by."""


@pytest.fixture
def store(redshift: RedshiftPlace) -> ObjectStore:
    return redshift.store()


@pytest.fixture
def warehouse(redshift: RedshiftPlace, store: ObjectStore) -> RedshiftWarehouse:
    return open_redshift(redshift.address, store)


@pytest.fixture
def loaded(warehouse: RedshiftWarehouse, store: ObjectStore) -> LedgerRow:
    """The day is there already, with few rows."""
    row, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(row, keys)
    return row


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(redshift_session, "_PAUSES", (0.0,) * len(redshift_session._PAUSES))


# What breaks while a day is loaded


@pytest.mark.parametrize(
    ("statement", "code", "message"),
    [
        *((statement, "XX000", "1023") for statement in STATEMENTS),
        ("COMMIT", "40001", "could not serialize access"),
        ("LOCK TABLE load_ledger", "40P01", "deadlock detected"),
        ("COPY", "57P01", "terminating connection due to administrator command"),
    ],
)
def test_a_load_that_meets_another_transaction_or_a_restart_is_tried_again(
    redshift: RedshiftPlace,
    store: ObjectStore,
    warehouse: RedshiftWarehouse,
    loaded: LedgerRow,
    no_pauses: None,
    statement: str,
    code: str,
    message: str,
) -> None:
    row, keys = staged(store, DAY, 2, MANY)
    conflict = redshift.gate.fail(statement, code, message, times=2)
    assert warehouse.load_day(row, keys)
    assert redshift.gate.wait_until_reached(conflict)
    check_day(warehouse, row, MANY)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_load_whose_connection_breaks_is_done_once_wherever_it_broke(
    redshift: RedshiftPlace,
    store: ObjectStore,
    warehouse: RedshiftWarehouse,
    loaded: LedgerRow,
    no_pauses: None,
    statement: str,
    when: str,
) -> None:
    """The case that nobody can see from here is the break during COMMIT: the ledger tells what became of it."""
    row, keys = staged(store, DAY, 2, MANY)
    break_ = redshift.gate.drop(statement, when)
    assert warehouse.load_day(row, keys)
    assert redshift.gate.wait_until_reached(break_)
    check_day(warehouse, row, MANY)
    assert not warehouse.load_day(row, keys)


def test_a_dimension_whose_connection_breaks_during_commit_is_replaced_once(
    redshift: RedshiftPlace, warehouse: RedshiftWarehouse, no_pauses: None
) -> None:
    rows = arrow_schema(DIM_JOBS).empty_table()
    redshift.gate.drop("COMMIT", "after")
    assert warehouse.replace_dimension("dim_jobs", rows, 3)
    assert not warehouse.replace_dimension("dim_jobs", rows, 3)


def test_a_close_and_a_booking_whose_connection_breaks_during_commit_are_made_once(
    redshift: RedshiftPlace, warehouse: RedshiftWarehouse, loaded: LedgerRow, no_pauses: None
) -> None:
    """Each finds itself in the warehouse when it is tried again, and is told from what another one did."""
    redshift.gate.drop("COMMIT", "after")
    assert warehouse.close_through(DAY, loaded.loaded_at)
    assert not warehouse.close_through(DAY, loaded.loaded_at)
    rows = adjustment_rows(DAY, 3)
    redshift.gate.drop("COMMIT", "after")
    assert warehouse.replace_adjustments(booking(DAY, 1, 1, rows), rows, together(FEW, rows))
    assert not warehouse.replace_adjustments(booking(DAY, 1, 1, rows), rows, together(FEW, rows))
    assert warehouse.bookings(DAY) == [booking(DAY, 1, 1, rows)]
    assert warehouse.adjustments(DAY, DAY).num_rows == 3


def test_conflicts_without_end_are_told_and_change_nothing(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow, no_pauses: None
) -> None:
    row, keys = staged(store, DAY, 2, MANY)
    redshift.gate.fail("COPY", "40001", "1023", times=1000)
    with pytest.raises(StoreUnavailableError, match=r"came in between each time \(1023\); nothing was changed"):
        warehouse.load_day(row, keys)
    check_day(warehouse, loaded, FEW)


@pytest.mark.parametrize(("statement", "told"), [("COPY", "nothing was changed"), ("COMMIT", "is not known")])
def test_a_cluster_that_stays_away_is_told_and_so_is_a_commit_of_which_nobody_knows(
    redshift: RedshiftPlace,
    store: ObjectStore,
    warehouse: RedshiftWarehouse,
    loaded: LedgerRow,
    no_pauses: None,
    statement: str,
    told: str,
) -> None:
    row, keys = staged(store, DAY, 2, MANY)
    redshift.gate.drop(statement, "before")
    began = redshift.gate.hold("LOCK", "after")
    with at_the_same_time(warehouse.load_day, row, keys) as result:
        assert redshift.gate.wait_until_reached(began)
        redshift.gate.drop(r"SELECT\s+set_config\('search_path'", "before", 1000)
        redshift.gate.release(began)
        with pytest.raises(StoreUnavailableError, match=told) as caught:
            result()
    assert "was lost" in str(caught.value)
    assert "\n" not in str(caught.value)
    redshift.gate.forget_faults()
    check_day(warehouse, loaded, FEW)
    assert warehouse.load_day(row, keys)


@pytest.mark.parametrize("statement", ["COPY", "INSERT INTO load_ledger"])
def test_a_day_is_old_or_new_where_the_database_is_killed_between_copy_and_commit(
    gate_process: GateProcess,
    s3_server: Server,
    server_start: StartServer,
    tmp_path: Path,
    statement: str,
) -> None:
    postgres = server_start("postgres")
    place = redshift_place(open_gate(gate_process, postgres, s3_server), postgres, s3_server, tmp_path / "cache")
    store = place.store()
    warehouse = open_redshift(place.address, store)
    former, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(former, keys)
    row, keys = staged(store, DAY, 2, MANY)
    held = place.gate.hold(statement, "after")
    with at_the_same_time(warehouse.load_day, row, keys) as result:
        assert place.gate.wait_until_reached(held)
        postgres.kill()
        postgres.restart()
        check_day(warehouse, former, FEW)
        place.gate.release(held)
        assert result()
    check_day(warehouse, row, MANY)


@pytest.mark.parametrize(
    ("statement", "is_new"), [("INSERT INTO load_ledger", False), ("COMMIT", True)], ids=["before", "after"]
)
def test_a_day_is_old_or_new_where_the_loader_is_killed_just_before_or_after_commit(
    redshift: RedshiftPlace,
    store: ObjectStore,
    warehouse: RedshiftWarehouse,
    loaded: LedgerRow,
    tmp_path: Path,
    statement: str,
    is_new: bool,
) -> None:
    row, keys = staged(store, DAY, 2, MANY)
    held = redshift.gate.hold(statement, "after")
    loader = in_background(load, "redshift", tmp_path, row, keys)
    assert redshift.gate.wait_until_reached(held)
    loader.kill()
    loader.join(60)
    assert loader.exitcode == -signal.SIGKILL
    redshift.gate.release(held)
    if is_new:
        check_day(warehouse, row, MANY)
    else:
        check_day(warehouse, loaded, FEW)
    assert warehouse.load_day(row, keys) is not is_new
    check_day(warehouse, row, MANY)


# Who waits for whom


def test_loads_and_readers_at_once_all_come_through_where_the_cluster_is_serializable(
    redshift: RedshiftPlace, gate_process: GateProcess, s3_server: Server, store: ObjectStore
) -> None:
    gate = open_gate(gate_process, redshift.server, s3_server, isolation=SERIALIZABLE)
    warehouse = open_redshift(redshift.address.model_copy(update={"port": gate.port()}), store)
    loads = [staged(store, DAY + timedelta(days=number % 3), 1 + number, FEW_OF[number % 3]) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        reading = [pool.submit(lambda: (warehouse.totals([DAY]), warehouse.ledger())) for _ in range(6)]
        for loading in [pool.submit(warehouse.load_day, *given) for given in loads]:
            assert loading.exception(60) is None or isinstance(loading.exception(), SupersededError)
        assert all(totals[DAY].rows in (0, 20) for totals, _ in (found.result(60) for found in reading))
    for (row, _), rows in zip(loads[3:], FEW_OF, strict=True):
        check_day(warehouse, row, rows)


def test_a_schema_of_before_days_could_be_closed_is_told_to_be_migrated_and_then_holds_what_it_held(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow
) -> None:
    name = redshift.address.schema_name
    with superuser(redshift.server) as connection:
        for table in ("billing_close", "fact_adjustments", "adjustment_ledger"):
            connection.execute(f"DROP TABLE {name}.{table} CASCADE")
    row, keys = staged(store, DAY, 2, MANY)
    for action in (warehouse.closed_through, warehouse.adjusted, lambda: warehouse.load_day(row, keys)):
        with pytest.raises(SettingsError, match="run recruitment-platform migrate"):
            action()
    check_day(warehouse, loaded, FEW)
    warehouse.create_tables()
    assert warehouse.load_day(row, keys)
    assert warehouse.close_through(DAY, loaded.loaded_at)
    check_day(warehouse, row, MANY)


def someone_waits(redshift: RedshiftPlace) -> bool:
    """Whether a transaction comes to wait for the ledger, within a minute."""
    until = time.monotonic() + 60
    ledger = f"'{redshift.address.schema_name}.load_ledger'::regclass"
    with superuser(redshift.server) as observer:
        while time.monotonic() < until:
            if observer.execute(f"SELECT 1 FROM pg_locks WHERE NOT granted AND relation = {ledger}").fetchone():
                return True
            time.sleep(0.05)
    return False


def test_of_a_close_and_a_load_the_later_one_waits_for_the_other(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow
) -> None:
    row, keys = staged(store, DAY, 2, MANY)
    copied = redshift.gate.hold("COPY", "after")
    with at_the_same_time(warehouse.load_day, row, keys) as load_result:
        assert redshift.gate.wait_until_reached(copied)
        with at_the_same_time(warehouse.close_through, DAY - timedelta(days=1), loaded.loaded_at) as close_result:
            assert someone_waits(redshift)
            redshift.gate.release(copied)
            assert (load_result(), close_result()) == (True, True)
    closing = redshift.gate.hold("INSERT INTO billing_close", "after")
    with at_the_same_time(warehouse.close_through, DAY, loaded.loaded_at) as close_result:
        assert redshift.gate.wait_until_reached(closing)
        with at_the_same_time(warehouse.load_day, *staged(store, DAY, 3, FEW)) as load_result:
            assert someone_waits(redshift)
            redshift.gate.release(closing)
            assert close_result()
            with pytest.raises(ClosedDayError, match=f"the days up to {DAY} are closed"):
                load_result()
    check_day(warehouse, row, MANY)


def test_a_load_waits_for_the_ledger_as_long_as_it_is_told_and_then_says_so(
    redshift: RedshiftPlace, store: ObjectStore, loaded: LedgerRow
) -> None:
    warehouse = open_redshift(redshift.address.model_copy(update={"wait": 1}), store)
    row, keys = staged(store, DAY, 2, MANY)
    with superuser(redshift.server) as holder, holder.transaction():
        holder.execute(f"LOCK TABLE {redshift.address.schema_name}.load_ledger")
        for action in (lambda: warehouse.load_day(row, keys), warehouse.ledger):
            with pytest.raises(StoreUnavailableError, match="did not let go within 1 s; nothing was changed") as caught:
                action()
            assert "\n" not in str(caught.value)
    check_day(warehouse, loaded, FEW)
    assert warehouse.load_day(row, keys)


def test_only_the_wait_for_the_lock_is_limited_and_not_the_copy(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse
) -> None:
    before = len(redshift.gate.statements())
    warehouse.load_day(*staged(store, DAY, 1, FEW))
    sent = [statement.partition("*/ ")[2] for statement in redshift.gate.statements(before)]
    firsts = [next(line for line in statement.splitlines() if not line.startswith("--")) for statement in sent]
    assert firsts[1:3] == ["BEGIN", "LOCK TABLE load_ledger"]
    assert "'statement_timeout', '0'" in sent[3]
    assert firsts[-1] == "COMMIT"


# What is told, and what is left


def test_every_statement_names_its_run_whatever_the_run_is_called(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse
) -> None:
    row, keys = staged(store, DAY, 1, FEW)
    before = len(redshift.gate.statements())
    assert warehouse.load_day(replace(row, run_id="a'b */ DROP -- :x"), keys)
    sent = redshift.gate.statements(before)
    start = f"/* recruitment_platform run=a_b_DROP_--_x asset=redshift_fact_events day={DAY} */ "
    assert sent
    assert all(statement.startswith(start) for statement in sent)
    assert warehouse.ledger()[DAY].run_id == "a'b */ DROP -- :x"


def test_every_statement_is_redshifts_by_the_judgement_of_sqlfluff(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse
) -> None:
    before = len(redshift.gate.statements())
    warehouse.create_tables()
    warehouse.load_day(*staged(store, DAY, 1, FEW))
    warehouse.load_day(*staged(store, DAY, 2, FEW.slice(0, 0)))
    for table in ("dim_jobs", "dim_publishers"):
        warehouse.query(f"SELECT count(*) FROM {table}")
    warehouse.replace_dimension("dim_jobs", arrow_schema(DIM_JOBS).empty_table(), 1)
    check_day(warehouse, warehouse.ledger()[DAY], FEW.slice(0, 0))
    assert len(warehouse.loads(DAY)) == 2
    warehouse.close_through(DAY, warehouse.ledger()[DAY].loaded_at)
    rows = adjustment_rows(DAY, 3)
    assert warehouse.replace_adjustments(booking(DAY, 2, 1, rows), rows, together(rows))
    assert warehouse.adjusted()[DAY] == warehouse.bookings(DAY)[0]
    assert warehouse.adjustments(DAY, DAY).num_rows == 3
    assert warehouse.load_day(*staged(store, DAY, 3, FEW), restate=True)
    assert warehouse.closed_through() == DAY
    sent = redshift.gate.statements(before)
    assert len(sent) > 80
    assert {statement: redshift.gate.syntax_error(statement) for statement in sent} == dict.fromkeys(sent, "")


def test_tables_can_be_made_twice_and_keep_their_rows(
    store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow
) -> None:
    warehouse.create_tables()
    check_day(warehouse, loaded, FEW)


def test_a_watermark_longer_than_its_column_is_refused_before_the_load(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow
) -> None:
    row, keys = staged(store, DAY, 2, MANY)
    before = len(redshift.gate.statements())
    with pytest.raises(ReconciliationError, match=r"its watermark has \d+ bytes, and load_ledger .* holds 65535"):
        warehouse.load_day(replace(row, watermark={f"file:{number:064}": 1 for number in range(1000)}), keys)
    assert redshift.gate.statements(before) == []
    check_day(warehouse, loaded, FEW)


def test_days_that_are_far_apart_are_asked_for_at_once(store: ObjectStore, warehouse: RedshiftWarehouse) -> None:
    later = DAY + timedelta(days=400)
    rows = {day: fact_rows(day, 3) for day in (DAY, DAY + timedelta(days=1), later)}
    for day in rows:
        warehouse.load_day(*staged(store, day, 1, rows[day]))
    assert list(warehouse.ledger([later, DAY])) == [DAY, later]
    assert warehouse.totals([later, DAY]) == {day: totals_of(rows[day]) for day in (later, DAY)}
