"""`events`, the hourly facts for operational reports, is replaced by day; a conformance suite for every store."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recruitment_platform.errors import ReconciliationError, SupersededError
from recruitment_platform.model.contract import FACT_KEY, HOURLY_FACTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.relational.store import SqlRelationalStore
from recruitment_platform_tests.resources.relational_stores import OPENERS, chosen, empty, table_rows
from recruitment_platform_tests.resources.warehouse_days import DAY, fact_rows

NEXT = DAY + timedelta(days=1)
NOTHING = arrow_schema(HOURLY_FACTS).empty_table()


@pytest.fixture(params=sorted(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SqlRelationalStore:
    store = OPENERS[chosen(request)](tmp_path)
    empty(store)
    return store


def by_key(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in FACT_KEY])


def loads(store: SqlRelationalStore) -> dict[date, tuple[int, str, int]]:
    """The ledger: each day's manifest, digest and rows."""
    return {
        row["dates"]: (row["manifest"], row["digest"], row["rows_loaded"]) for row in table_rows(store, "events_load")
    }


@pytest.mark.parametrize("count", [1, 24, 2500], ids=["a row", "a few", "many"])
def test_a_day_is_read_back_in_the_order_of_its_key_with_every_value(store: SqlRelationalStore, count: int) -> None:
    rows = fact_rows(DAY, count, clicks=7)
    before = datetime.now(UTC) - timedelta(seconds=2)
    assert store.replace_events(DAY, 1, "a" * 64, rows)
    found = store.events(DAY, DAY)
    assert found.equals(by_key(rows))
    assert found.schema == arrow_schema(HOURLY_FACTS)
    assert loads(store) == {DAY: (1, "a" * 64, count)}
    (ledger,) = table_rows(store, "events_load")
    assert before < ledger["loaded_at"] < datetime.now(UTC) + timedelta(seconds=2)


def test_values_at_the_edges_of_their_types_are_kept(store: SqlRelationalStore) -> None:
    (row,) = fact_rows(DAY, 1).to_pylist()
    row |= {
        "job_id": 2**31 - 1,
        "clicks": 2**63 - 1,
        "spend_hour": Decimal("999999999999.999999"),
        "bid_set": Decimal("-0.01"),
        "impressions": 0,
        "latest_update_time": datetime(2022, 7, 6, 23, 59, 59, 999999, tzinfo=UTC),
    }
    rows = pa.Table.from_pylist([row], arrow_schema(HOURLY_FACTS))
    assert store.replace_events(DAY, 1, "a", rows)
    assert store.events(DAY, DAY).equals(rows)


def test_a_day_is_replaced_whole_and_no_other(store: SqlRelationalStore) -> None:
    days = [DAY - timedelta(days=1), DAY, NEXT]
    for day in days:
        store.replace_events(day, 1, "a", fact_rows(day, 30))
    assert store.replace_events(DAY, 2, "b", fact_rows(DAY, 3, clicks=5))
    expected = [fact_rows(days[0], 30), fact_rows(DAY, 3, clicks=5), fact_rows(NEXT, 30)]
    assert store.events(days[0], NEXT).equals(by_key(pa.concat_tables(expected)))
    assert store.events(DAY, DAY).equals(by_key(expected[1]))
    assert loads(store) == {days[0]: (1, "a", 30), DAY: (2, "b", 3), NEXT: (1, "a", 30)}


def test_an_empty_day_ends_empty(store: SqlRelationalStore) -> None:
    assert store.events(DAY, NEXT).equals(NOTHING)
    store.replace_events(DAY, 1, "a", fact_rows(DAY, 30))
    assert store.replace_events(DAY, 2, "b", NOTHING)
    assert store.events(DAY, DAY).equals(NOTHING)
    assert loads(store) == {DAY: (2, "b", 0)}


def test_the_same_manifest_again_changes_nothing(store: SqlRelationalStore) -> None:
    assert store.replace_events(DAY, 3, "a", fact_rows(DAY, 30))
    before = table_rows(store, "events_load")
    assert not store.replace_events(DAY, 3, "a", NOTHING)
    assert store.events(DAY, DAY).num_rows == 30
    assert table_rows(store, "events_load") == before
    assert store.replace_events(DAY, 3, "another", fact_rows(DAY, 2)), "its number was given away again"
    assert store.events(DAY, DAY).num_rows == 2


def test_an_older_manifest_replaces_no_newer_one(store: SqlRelationalStore) -> None:
    store.replace_events(DAY, 3, "c", fact_rows(DAY, 30))
    with pytest.raises(SupersededError, match="mysql_events 2022-07-06: manifest 3 is already there; 2 is older"):
        store.replace_events(DAY, 2, "b", NOTHING)
    assert store.events(DAY, DAY).num_rows == 30
    assert store.replace_events(NEXT, 2, "b", fact_rows(NEXT, 1)), "each day has its own"


def test_of_writers_at_once_the_newest_wins_whole(store: SqlRelationalStore) -> None:
    def write(manifest: int) -> bool | str:
        try:
            return store.replace_events(DAY, manifest, str(manifest), fact_rows(DAY, 40 + manifest, clicks=manifest))
        except SupersededError:
            return "superseded"

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(write, [3, 1, 6, 2, 5, 4])) <= {True, "superseded"}
    assert store.events(DAY, DAY).equals(by_key(fact_rows(DAY, 46, clicks=6)))
    assert loads(store) == {DAY: (6, "6", 46)}


@pytest.mark.parametrize("count", [3, 1500])
def test_what_does_not_fit_leaves_the_former_rows(store: SqlRelationalStore, count: int) -> None:
    former = fact_rows(DAY, 5)
    store.replace_events(DAY, 1, "a", former)
    with pytest.raises(ReconciliationError, match="mysql_events 2022-07-06: rows of 2022-07-07 are among its own"):
        store.replace_events(DAY, 2, "b", pa.concat_tables([fact_rows(DAY, count), fact_rows(NEXT, 1)]))
    repeated = pa.concat_tables([fact_rows(DAY, count), fact_rows(DAY, 1)])
    assert pc.count_distinct(repeated["job_id"]).as_py() < repeated.num_rows
    with pytest.raises(ReconciliationError, match="two rows share a key"):
        store.replace_events(DAY, 2, "b", repeated)
    assert store.events(DAY, NEXT).equals(by_key(former))
    assert loads(store) == {DAY: (1, "a", 5)}


def test_reports_find_exact_money_and_plain_columns(store: SqlRelationalStore) -> None:
    store.replace_events(DAY, 1, "a", fact_rows(DAY, 24))
    rows = table_rows(store, "events")
    assert list(rows[0]) == list(HOURLY_FACTS.column_names)
    assert sum(row["spend_hour"] for row in rows) == 24 * Decimal("0.250001")
