"""What holds for every warehouse of closed days: they stay as they were billed, what comes later is booked beside."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recruitment_platform.errors import ClosedDayError, ReconciliationError
from recruitment_platform.model.contract import DIM_JOBS, DIM_PUBLISHERS, FACT_ADJUSTMENTS, JOB_ADJUSTMENTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.protocols import AdjustmentRow, LedgerRow, ObjectStore, Warehouse
from recruitment_platform_tests.processes import at_once, event, in_background
from recruitment_platform_tests.resources.warehouse_days import (
    DAY,
    OPENERS,
    adjust,
    adjust_on_and_on,
    adjustment_rows,
    booking,
    check_day,
    close,
    fact_rows,
    ledger_row,
    load,
    open_store,
    open_warehouse,
    staged,
    together,
)

NEXT_DAY = DAY + timedelta(days=1)
BILLED, CORRECTED = fact_rows(DAY, 20), fact_rows(DAY, 25, clicks=2)
MORE, FEWER = adjustment_rows(DAY, 3), adjustment_rows(DAY, 2, clicks=-1)
AT = datetime(2022, 8, 1, 9, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=sorted(OPENERS))
def kind(request: pytest.FixtureRequest) -> str:
    """The warehouse's kind; what a kind needs beside its folder is a fixture of its name."""
    if request.param != "duckdb":
        request.getfixturevalue(request.param)
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> ObjectStore:
    return open_store(kind, tmp_path)


@pytest.fixture
def warehouse(kind: str, tmp_path: Path) -> Warehouse:
    return open_warehouse(kind, tmp_path)


@pytest.fixture
def billed(store: ObjectStore, warehouse: Warehouse) -> LedgerRow:
    """The day is loaded, and closed since."""
    row, keys = staged(store, DAY, 1, BILLED)
    assert warehouse.load_day(row, keys)
    assert warehouse.close_through(DAY, AT)
    return row


def check_adjusted(warehouse: Warehouse, row: AdjustmentRow, rows: pa.Table) -> None:
    """The day's booking in force is that one, and its adjustments are these rows."""
    assert warehouse.adjusted() == warehouse.adjusted([row.day]) == {row.day: row}
    names = arrow_schema(FACT_ADJUSTMENTS).names
    order = [(name, "ascending") for name in FACT_ADJUSTMENTS.key]
    assert warehouse.adjustments(row.day, row.day).select(names).equals(rows.sort_by(order))


def test_before_the_first_close_nothing_is_closed_or_adjusted(warehouse: Warehouse) -> None:
    assert warehouse.closed_through() is None
    assert warehouse.adjusted() == warehouse.adjusted([DAY]) == warehouse.adjusted([]) == {}
    assert warehouse.bookings(DAY) == []
    assert warehouse.adjustments(date.min, date.max).equals(arrow_schema(JOB_ADJUSTMENTS).empty_table())


def test_the_furthest_close_holds_and_an_earlier_one_changes_nothing(warehouse: Warehouse) -> None:
    assert warehouse.close_through(DAY, AT)
    for day in (DAY, DAY - timedelta(days=30)):
        assert not warehouse.close_through(day, AT + timedelta(days=1))
        assert warehouse.closed_through() == DAY
    assert warehouse.close_through(NEXT_DAY, AT)
    assert warehouse.closed_through() == NEXT_DAY


def test_a_closed_day_keeps_its_facts_and_the_days_after_it_are_loaded(
    store: ObjectStore, warehouse: Warehouse, billed: LedgerRow
) -> None:
    assert not warehouse.load_day(billed, [])
    for day in (DAY, DAY - timedelta(days=1)):
        with pytest.raises(ClosedDayError, match=f"{day}: the days up to {DAY} are closed.*restate {day}"):
            warehouse.load_day(*staged(store, day, 2, fact_rows(day, 25)))
    check_day(warehouse, billed, BILLED)
    assert list(warehouse.ledger()) == [DAY]
    assert warehouse.load_day(*staged(store, NEXT_DAY, 1, fact_rows(NEXT_DAY, 5)))
    assert list(warehouse.ledger()) == [DAY, NEXT_DAY]


def test_adjustments_are_replaced_whole_and_every_booking_is_kept(warehouse: Warehouse, billed: LedgerRow) -> None:
    made = []
    for number, rows in enumerate((MORE, adjustment_rows(DAY, 0), FEWER), start=1):
        row = booking(DAY, 1, number, rows)
        assert warehouse.replace_adjustments(row, rows, together(BILLED, rows))
        made.append(row)
        check_adjusted(warehouse, row, rows)
        assert warehouse.bookings(DAY) == made
    check_day(warehouse, billed, BILLED)
    assert (warehouse.bookings(NEXT_DAY), warehouse.adjusted([NEXT_DAY])) == ([], {})


@pytest.mark.parametrize(("manifest", "number"), [(1, 1), (1, 3), (2, 1), (0, 2)], ids=str)
def test_a_booking_that_is_not_the_next_of_the_load_in_force_changes_nothing(
    warehouse: Warehouse, billed: LedgerRow, manifest: int, number: int
) -> None:
    """Another one was faster, or the day was restated: whoever computed it has to look again."""
    row = booking(DAY, 1, 1, MORE)
    assert warehouse.replace_adjustments(row, MORE, together(BILLED, MORE))
    assert not warehouse.replace_adjustments(booking(DAY, manifest, number, FEWER), FEWER, together(BILLED, FEWER))
    check_adjusted(warehouse, row, MORE)


def test_a_closed_day_that_was_never_loaded_is_adjusted_from_nothing(warehouse: Warehouse, billed: LedgerRow) -> None:
    day = DAY - timedelta(days=3)
    rows = adjustment_rows(day, 4)
    row = booking(day, 0, 1, rows)
    assert warehouse.replace_adjustments(row, rows, together(rows))
    check_adjusted(warehouse, row, rows)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda row, rows, facts: (replace(row, day=NEXT_DAY), rows, facts), "2022-07-07: the day is not closed"),
        (lambda row, rows, facts: (row, rows, replace(facts, clicks=24)), "clicks 23 instead of 24"),
        (lambda row, rows, facts: (row, rows, replace(facts, qualified=1)), "qualified_application 0 instead of 1"),
        (lambda row, rows, facts: (row, rows.slice(1), facts), "rows 2 instead of 3"),
        (lambda row, rows, facts: (replace(row, spend_micros=5), rows, facts), "spend adjusted.* instead of 5"),
        (lambda row, rows, facts: (row, rows.drop_columns(["hours"]), facts), "column hours is missing"),
        (lambda row, rows, facts: (row, adjustment_rows(NEXT_DAY, 3), facts), "clicks adjusted 0 instead of 3"),
    ],
)
def test_adjustments_that_do_not_add_up_change_nothing(
    warehouse: Warehouse, billed: LedgerRow, spoil: Callable[..., tuple[Any, ...]], told: str
) -> None:
    former = booking(DAY, 1, 1, FEWER)
    assert warehouse.replace_adjustments(former, FEWER, together(BILLED, FEWER))
    row = booking(DAY, 1, 2, MORE)
    with pytest.raises(ReconciliationError, match=told):
        warehouse.replace_adjustments(*spoil(row, MORE, together(BILLED, MORE)))
    check_adjusted(warehouse, former, FEWER)
    assert warehouse.bookings(NEXT_DAY) == []


def test_a_restatement_replaces_a_closed_day_and_ends_its_adjustments_alone(
    store: ObjectStore, warehouse: Warehouse, billed: LedgerRow
) -> None:
    other = DAY - timedelta(days=1)
    others = adjustment_rows(other, 2)
    kept = booking(other, 0, 1, others)
    assert warehouse.replace_adjustments(kept, others, together(others))
    ended = booking(DAY, 1, 1, MORE)
    assert warehouse.replace_adjustments(ended, MORE, together(BILLED, MORE))
    row, keys = staged(store, DAY, 2, CORRECTED)
    with pytest.raises(ClosedDayError):
        warehouse.load_day(row, keys)
    assert warehouse.load_day(row, keys, restate=True)
    check_day(warehouse, row, CORRECTED)
    check_adjusted(warehouse, kept, others)
    assert warehouse.adjustments(DAY, DAY).num_rows == 0
    assert warehouse.loads(DAY) == [billed, row]
    assert warehouse.bookings(DAY) == [ended]
    assert warehouse.closed_through() == DAY
    again = booking(DAY, 2, 1, FEWER)
    assert warehouse.replace_adjustments(again, FEWER, together(CORRECTED, FEWER))
    assert warehouse.adjusted([DAY]) == {DAY: again}
    assert warehouse.bookings(DAY) == [ended, again]


def test_a_manifest_restated_under_its_own_number_starts_without_bookings(
    store: ObjectStore, warehouse: Warehouse, billed: LedgerRow
) -> None:
    assert warehouse.replace_adjustments(booking(DAY, 1, 1, MORE), MORE, together(BILLED, MORE))
    store.delete([found.key for found in store.list("job_hourly_events/")])
    _, keys = staged(store, DAY, 1, CORRECTED)
    row = replace(ledger_row(DAY, 1, CORRECTED), digest="anew")
    assert warehouse.load_day(row, keys, restate=True)
    assert (warehouse.adjusted(), warehouse.bookings(DAY)) == ({}, [])
    check_day(warehouse, row, CORRECTED)


def test_adjustments_carry_the_names_that_the_facts_have(warehouse: Warehouse, billed: LedgerRow) -> None:
    job = {"job_id": 1, "title": "Cook", "company_id": 100, "company_name": "Inn", "campaign_id": 10}
    more = {"campaign_name": "Spring", "currency": "USD", "valid_from": AT, "is_current": 1}
    warehouse.replace_dimension("dim_jobs", pa.Table.from_pylist([job | more], arrow_schema(DIM_JOBS)), 1)
    publishers = pa.Table.from_pylist([{"publisher_id": 2, "publisher_name": "Board"}], arrow_schema(DIM_PUBLISHERS))
    warehouse.replace_dimension("dim_publishers", publishers, 1)
    assert warehouse.replace_adjustments(booking(DAY, 1, 1, MORE), MORE, together(BILLED, MORE))
    found = warehouse.adjustments(DAY, DAY)
    assert found.schema.equals(arrow_schema(JOB_ADJUSTMENTS))
    assert found["job_title"].to_pylist() == ["Cook"] * 3
    assert found["company_name"].to_pylist() == ["Inn"] * 3
    assert found["campaign_name"].to_pylist() == ["Spring"] * 3
    assert found["publisher_name"].to_pylist() == [None, None, "Board"]
    assert warehouse.adjustments(NEXT_DAY, NEXT_DAY).num_rows == 0


# Several at once, and killed


def test_a_close_and_a_load_at_once_have_one_order(store: ObjectStore, kind: str, tmp_path: Path) -> None:
    """Either the load was first and its facts are what is closed, or it is refused and the former ones are."""
    warehouse = open_warehouse(kind, tmp_path)
    orders = set()
    for number in range(4):
        day = DAY + timedelta(days=number)
        former, keys = staged(store, day, 1, fact_rows(day, 20))
        assert warehouse.load_day(former, keys)
        row, keys = staged(store, day, 2, fact_rows(day, 30))
        closed, loaded = at_once(_close_or_load, [(kind, tmp_path, day, None, None), (kind, tmp_path, day, row, keys)])
        assert closed is True
        orders.add(loaded)
        assert warehouse.closed_through() == day
        check_day(warehouse, *((row, fact_rows(day, 30)) if loaded is True else (former, fact_rows(day, 20))))
        with pytest.raises(ClosedDayError):
            warehouse.load_day(*staged(store, day, 3, fact_rows(day, 40)))
    assert orders <= {True, "closed"}


def _close_or_load(kind: str, folder: Path, day: date, row: LedgerRow | None, keys: list[str] | None) -> bool | str:
    if row is None or keys is None:
        return close(kind, folder, day, AT)
    try:
        return load(kind, folder, row, keys)
    except ClosedDayError:
        return "closed"


def test_of_bookings_at_once_one_is_made_and_the_others_have_to_look_again(
    kind: str, tmp_path: Path, warehouse: Warehouse, billed: LedgerRow
) -> None:
    offered = [(booking(DAY, 1, 1, rows), rows, together(BILLED, rows)) for rows in (MORE, FEWER, MORE.slice(1))]
    made = at_once(adjust, [(kind, tmp_path, *given) for given in offered])
    assert sorted(made) == [False, False, True]
    row, rows, _ = offered[made.index(True)]
    check_adjusted(warehouse, row, rows)


@pytest.mark.parametrize("seed", range(2))
def test_a_booking_killed_at_any_moment_leaves_whole_adjustments(
    kind: str, tmp_path: Path, warehouse: Warehouse, billed: LedgerRow, seed: int
) -> None:
    offered = [(booking(DAY, 1, 1, rows), rows, together(BILLED, rows)) for rows in (MORE, FEWER)]
    started = event()
    booker = in_background(adjust_on_and_on, kind, tmp_path, offered, started)
    assert started.wait(60)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    booker.kill()
    booker.join(60)
    assert booker.exitcode == -signal.SIGKILL
    found = warehouse.adjusted()[DAY]
    row, rows, _ = offered[found.number % 2]
    check_adjusted(warehouse, replace(row, number=found.number), rows)
    assert pc.sum(warehouse.adjustments(DAY, DAY)["clicks"]).as_py() == found.clicks
    check_day(warehouse, billed, BILLED)
    again = replace(offered[(found.number + 1) % 2][0], number=found.number + 1)
    assert warehouse.replace_adjustments(again, *offered[(found.number + 1) % 2][1:])
