"""dim_jobs holds, for every instant, the jobs as the operational tables were at the last refresh before it.

A conformance suite: it runs on every relational store.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from recruitment_platform.errors import InputError
from recruitment_platform.model.contract import DIM_JOBS
from recruitment_platform.model.operational import OPERATIONAL_TABLES
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.protocols import DimRefresh
from recruitment_platform.resources.relational.dim_jobs import BEGINNING
from recruitment_platform.resources.relational.store import SqlRelationalStore
from recruitment_platform.sql import load_sql
from recruitment_platform_tests.resources.relational.process import refresh_and_die, refresh_at_once
from recruitment_platform_tests.resources.relational_stores import (
    ALIASES,
    FIRST,
    OPENERS,
    chosen,
    delete,
    empty,
    table_rows,
    versions,
)

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(params=sorted(OPENERS))
def store_name(request: pytest.FixtureRequest) -> str:
    return chosen(request)


@pytest.fixture
def store(store_name: str, tmp_path: Path) -> SqlRelationalStore:
    store = OPENERS[store_name](tmp_path)
    empty(store)
    return store


def refresh(store: SqlRelationalStore, as_of: datetime) -> DimRefresh:
    return store.refresh_dim_jobs(as_of, "USD", ALIASES)


# The property: against a reference that keeps a copy of everything at each refresh.

Attributes = tuple[str | None, int | None, str | None]
"""title, company_id, company_name"""


@dataclass
class Reference:
    """The naive dimension: what the jobs were at each refresh, whole."""

    refreshes: list[tuple[datetime, dict[int, Attributes]]] = field(default_factory=list)

    def refresh(self, as_of: datetime, jobs: Mapping[int, Attributes]) -> bool:
        if self.refreshes and as_of < self.refreshes[-1][0]:
            return False
        if self.refreshes and as_of == self.refreshes[-1][0]:
            self.refreshes.pop()
        known = self.refreshes[-1][1] if self.refreshes else {}
        self.refreshes.append((as_of, {**known, **jobs}))
        return True

    def known(self) -> set[int]:
        return set(self.refreshes[-1][1]) if self.refreshes else set()

    def at(self, job_id: int, instant: datetime) -> Attributes:
        with_job = [(as_of, jobs[job_id]) for as_of, jobs in self.refreshes if job_id in jobs]
        past = [attributes for as_of, attributes in with_job if as_of <= instant]
        return past[-1] if past else with_job[0][1]


def holding(rows: list[dict[str, Any]], job_id: int, instant: datetime) -> list[Attributes]:
    return [
        (row["title"], row["company_id"], row["company_name"])
        for row in rows
        if row["job_id"] == job_id
        and row["valid_from"] <= instant
        and (row["valid_to"] is None or instant < row["valid_to"])
    ]


def instants_around(rows: list[dict[str, Any]], reference: Reference) -> set[datetime]:
    bounds = {row["valid_from"] for row in rows} | {row["valid_to"] for row in rows if row["valid_to"]}
    bounds |= {as_of for as_of, _ in reference.refreshes}
    after = {bound + MICROSECOND for bound in bounds}
    before = {bound - MICROSECOND for bound in bounds if bound > BEGINNING}
    return bounds | before | after | {BEGINNING, FIRST + timedelta(days=9999)}


change_job = st.tuples(
    st.just("job"), st.integers(1, 4), st.sampled_from(["Cook", "cook", None]), st.sampled_from([None, 1, 2])
)
remove_job = st.tuples(st.just("remove"), st.integers(1, 4))
change_company = st.tuples(st.just("company"), st.integers(1, 2), st.sampled_from(["Café", "Bar"]))
refresh_at = st.tuples(st.just("refresh"), st.sampled_from([1, 1, 1, 0, 0, 2, -1]))
steps = st.lists(st.one_of(change_job, change_job, remove_job, change_company, refresh_at, refresh_at), max_size=16)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_at_any_instant_each_known_job_has_the_one_version_of_the_last_refresh_before(
    store: SqlRelationalStore, steps: list[tuple[Any, ...]]
) -> None:
    empty(store)
    reference = Reference()
    jobs: dict[int, tuple[str | None, int | None]] = {}
    companies: dict[int, str] = {}
    as_of = FIRST
    for step in steps:
        match step:
            case ("job", job_id, title, company_id):
                jobs[job_id] = (title, company_id)
                store.upsert("job", [{"id": job_id, "title": title, "company_id": company_id}])
            case ("remove", job_id):
                jobs.pop(job_id, None)
                delete(store, "job", job_id)
            case ("company", company_id, name):
                companies[company_id] = name
                store.upsert("company", [{"id": company_id, "name": name}])
            case ("refresh", hours):
                version, table = store.dim_jobs()
                before = table.to_pylist()
                held = {
                    job_id: (title, company_id, companies.get(company_id or 0))
                    for job_id, (title, company_id) in jobs.items()
                }
                newest = reference.refreshes[-1][0] if reference.refreshes else None
                if reference.refresh(as_of + hours * HOUR, held):
                    as_of += hours * HOUR
                    done = refresh(store, as_of)
                    after = versions(store)
                    assert done.changed == (after != before)
                    assert done.version == version + done.changed == store.dim_jobs()[0]
                    assert done.rows == len(after)
                    check_history(after, reference)
                    if newest is None or newest < as_of:
                        check_past(before, after, as_of)
                else:
                    with pytest.raises(InputError):
                        refresh(store, as_of + hours * HOUR)
                    assert store.dim_jobs() == (version, table)


def check_history(rows: list[dict[str, Any]], reference: Reference) -> None:
    assert {row["job_id"] for row in rows} == reference.known()
    for instant in instants_around(rows, reference):
        for job_id in reference.known():
            assert holding(rows, job_id, instant) == [reference.at(job_id, instant)], (job_id, instant)
    for row in rows:
        assert row["is_current"] == (row["valid_to"] is None)
    for earlier, later in pairwise(rows):
        if earlier["job_id"] == later["job_id"]:
            differing = {name for name in earlier if earlier[name] != later[name]}
            assert differing - {"valid_from", "valid_to", "is_current"}, "a version without a change"


def check_past(before: list[dict[str, Any]], after: list[dict[str, Any]], as_of: datetime) -> None:
    def past(rows: list[dict[str, Any]]) -> dict[tuple[int, datetime], dict[str, Any]]:
        return {
            (row["job_id"], row["valid_from"]): {
                **row,
                "valid_to": row["valid_to"] if row["valid_to"] and row["valid_to"] < as_of else None,
                "is_current": None,
            }
            for row in rows
            if row["valid_from"] < as_of
        }

    known = {row["job_id"] for row in before}
    assert past(before) == {key: row for key, row in past(after).items() if key[0] in known}


# What a version says.

FULL_MARKET: Mapping[str, list[dict[str, Any]]] = {
    "company": [{"id": 1, "name": "Diner"}, {"id": 2, "name": "Agency"}],
    "campaign": [
        {"id": 5, "campaign_name": "Spring", "unit_budget": "$", "company_id": 2},
        {"id": 6, "campaign_name": "Autumn", "unit_budget": None, "company_id": 2},
    ],
    "group": [{"id": 7, "name": "Kitchen", "campaign_id": 6}],
    "master_major_category": [{"id": 1, "major_category_name": "Food"}],
    "master_minor_category": [{"id": 3, "minor_category_name": "Cooking", "major_id": 1}],
    "master_city": [{"id": 1, "city_name": "Huế"}, {"id": 2, "city_name": "Lyon"}],
    "job_location": [{"id": 12, "job_id": 10, "city_id": 1}, {"id": 11, "job_id": 10, "city_id": 2}],
}


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (
            {"title": "Cook", "status": 1, "company_id": 1, "campaign_id": 5, "group_id": 7, "minor_id": 3}
            | {"budget": Decimal("12.345678")},
            {"title": "Cook", "status": 1, "company_id": 1, "company_name": "Diner"}
            | {"campaign_id": 5, "campaign_name": "Spring", "group_id": 7, "group_name": "Kitchen"}
            | {"major_category": "Food", "minor_category": "Cooking", "city": "Lyon", "budget": Decimal("12.345678")},
        ),
        (
            {"campaign_id": 5},
            {"company_id": 2, "company_name": "Agency", "campaign_id": 5, "campaign_name": "Spring"} | {"city": "Lyon"},
        ),
        (
            {"group_id": 7},
            {"company_id": 2, "company_name": "Agency", "campaign_id": 6, "campaign_name": "Autumn"}
            | {"group_id": 7, "group_name": "Kitchen", "city": "Lyon"},
        ),
        (
            {"company_id": 9, "campaign_id": 9, "group_id": 9, "minor_id": 9},
            {"company_id": 9, "campaign_id": 9, "group_id": 9, "city": "Lyon"},
        ),
    ],
    ids=["all of its own", "company of its campaign", "campaign of its group", "ids that lead nowhere"],
)
def test_a_version_names_what_the_job_belongs_to(
    store: SqlRelationalStore, job: dict[str, Any], expected: dict[str, Any]
) -> None:
    for table, rows in FULL_MARKET.items():
        store.upsert(table, rows)
    store.upsert("job", [{"id": 10, **job}])
    refresh(store, FIRST)
    (version,) = versions(store)
    assert version == {
        **dict.fromkeys(DIM_JOBS.column_names),
        **expected,
        "job_id": 10,
        "currency": "USD",
        "valid_from": BEGINNING,
        "is_current": 1,
    }


def test_the_dimension_needs_no_table_but_job(store: SqlRelationalStore) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook", "campaign_id": 5, "group_id": 7, "minor_id": 3}])
    refresh(store, FIRST)
    _, table = store.dim_jobs()
    assert table.schema == arrow_schema(DIM_JOBS)
    (version,) = table.to_pylist()
    assert (version["campaign_id"], version["campaign_name"], version["group_name"]) == (5, None, None)


def test_before_the_first_refresh_the_version_is_0_and_there_are_no_rows(store: SqlRelationalStore) -> None:
    store.upsert("job", [{"id": 1}])
    version, table = store.dim_jobs()
    assert (version, table.num_rows, table.schema) == (0, 0, arrow_schema(DIM_JOBS))


def test_the_sql_gives_the_columns_of_the_contract_and_reads_those_called_needed() -> None:
    query = sqlglot.parse_one(load_sql("transforms", "dim_jobs"))
    assert isinstance(query, exp.Select)
    history = ("valid_from", "valid_to", "is_current")
    assert tuple(query.named_selects) == tuple(name for name in DIM_JOBS.column_names if name not in history)
    read = {(column.table, column.name) for column in query.find_all(exp.Column)}
    for name, table in OPERATIONAL_TABLES.items():
        if name == "master_publisher":
            continue
        columns = {column for source, column in read if source == table.physical_name}
        # The currency of a campaign is read by the refresh itself, which refuses all but one.
        assert columns | ({"unit_budget"} if name == "campaign" else set()) == table.needed, name


# Instants.


@pytest.mark.parametrize("changes", [True, False], ids=["after a change", "after a refresh that changed nothing"])
def test_an_older_as_of_is_refused_telling_both_instants(store: SqlRelationalStore, changes: bool) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    refresh(store, FIRST)
    if changes:
        store.upsert("job", [{"id": 1, "title": "Chef"}])
    assert refresh(store, FIRST + 2 * HOUR).changed == changes
    before = store.dim_jobs()
    store.upsert("job", [{"id": 1, "title": "Baker"}])
    with pytest.raises(InputError, match=r"2024-03-01T01:00:00Z is older .* 2024-03-01T02:00:00Z"):
        refresh(store, FIRST + HOUR)
    assert store.dim_jobs() == before


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        (datetime(2024, 3, 1), "has no time zone"),
        (BEGINNING - MICROSECOND, "1969-12-31T23:59:59.999999Z lies before 1970-01-01T00:00:00Z"),
    ],
)
def test_an_as_of_that_is_no_instant_of_the_history_is_refused(
    store: SqlRelationalStore, as_of: datetime, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        refresh(store, as_of)


def test_an_instant_is_the_same_in_every_time_zone_and_keeps_its_microseconds(store: SqlRelationalStore) -> None:
    instant = datetime(2024, 3, 1, 7, 0, 0, 123456, tzinfo=timezone(timedelta(hours=7)))
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    refresh(store, FIRST)
    store.upsert("job", [{"id": 1, "title": "Chef"}])
    refresh(store, instant)
    assert not refresh(store, instant.astimezone(UTC)).changed
    assert [row["valid_from"] for row in versions(store)] == [BEGINNING, instant]


def test_the_same_as_of_again_takes_back_what_no_longer_holds(store: SqlRelationalStore) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}, {"id": 2, "title": "Waiter"}])
    refresh(store, FIRST)
    first = versions(store)
    store.upsert("job", [{"id": 1, "title": "Chef"}, {"id": 3, "title": "Mistake"}])
    delete(store, "job", 2)
    refresh(store, FIRST + HOUR)
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    delete(store, "job", 3)
    undone = refresh(store, FIRST + HOUR)
    assert versions(store) == first
    assert (undone.version, undone.opened, undone.closed, undone.rows, undone.changed) == (3, 0, 0, 2, True)


def test_every_refresh_is_logged_and_only_those_that_change_a_row_raise_the_version(store: SqlRelationalStore) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}, {"id": 2, "title": "Waiter"}])
    refresh(store, FIRST)
    refresh(store, FIRST + HOUR)
    store.upsert("job", [{"id": 1, "title": "Chef"}, {"id": 3, "title": "Baker"}])
    refresh(store, FIRST + 2 * HOUR)
    names = ("refresh", "version", "as_of", "opened", "closed", "total_rows")
    assert [tuple(row[name] for name in names) for row in table_rows(store, "dim_jobs_refresh")] == [
        (1, 1, FIRST, 2, 0, 2),
        (2, 1, FIRST + HOUR, 0, 0, 2),
        (3, 2, FIRST + 2 * HOUR, 2, 1, 4),
    ]


# Currencies.


@pytest.mark.parametrize("unit", [None, "", " ", "USD", "usd", " Usd ", "$", "us$ ", "Dollar"])
def test_spellings_of_the_platform_s_currency_are_taken(store: SqlRelationalStore, unit: str | None) -> None:
    store.upsert("campaign", [{"id": 1, "unit_budget": unit}])
    store.upsert("job", [{"id": 1, "campaign_id": 1}])
    store.refresh_dim_jobs(FIRST, "USD", {**ALIASES, " dollar": "usd"})
    assert [row["currency"] for row in versions(store)] == ["USD"]


def test_campaigns_in_another_currency_are_named_and_nothing_changes(store: SqlRelationalStore) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    refresh(store, FIRST)
    before = store.dim_jobs()
    store.upsert("job", [{"id": 1, "title": "Chef"}])
    store.upsert("campaign", [{"id": number, "unit_budget": "€" if number % 2 else "vnd"} for number in range(1, 13)])
    store.upsert("campaign", [{"id": 2, "unit_budget": "$"}])
    with pytest.raises(InputError, match="the platform's currency is USD") as refused:
        refresh(store, FIRST + HOUR)
    message = str(refused.value)
    assert (
        "campaign 1 (€), 3 (€), 4 (vnd), 5 (€), 6 (vnd), 7 (€), 8 (vnd), 9 (€), 10 (vnd), 11 (€) and 1 more" in message
    )
    assert store.dim_jobs() == before
    assert len(table_rows(store, "dim_jobs_refresh")) == 1
    store.upsert("campaign", [{"id": number} for number in range(1, 13)])
    assert refresh(store, FIRST + MICROSECOND).changed, "the refused refresh left no trace"


# Size, and other processes.


def test_a_refresh_makes_no_round_trip_for_each_job(store: SqlRelationalStore) -> None:
    store.upsert("job", [{"id": number, "title": "Cook"} for number in range(1, 5001)])
    statements: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda _c, _cur, statement, *_: statements.append(statement))
    assert refresh(store, FIRST).opened == 5000
    store.upsert("job", [{"id": number, "title": "Chef"} for number in range(1, 5001)])
    assert refresh(store, FIRST + HOUR).closed == 5000
    assert len(statements) < 100


def test_refreshes_of_many_processes_at_once_end_in_one_history(
    store: SqlRelationalStore, store_name: str, tmp_path: Path
) -> None:
    store.upsert("job", [{"id": number, "title": "Cook"} for number in range(1, 3001)])
    refresh(store, FIRST)
    store.upsert("job", [{"id": number, "title": "Chef"} for number in range(1, 2001)])
    as_ofs = [FIRST + HOUR, FIRST + HOUR, FIRST + 2 * HOUR, FIRST + 2 * HOUR]
    outcomes = refresh_at_once(store_name, tmp_path, as_ofs)
    refused = [outcome for outcome in outcomes if not isinstance(outcome, DimRefresh)]
    assert {type(outcome) for outcome in refused} <= {InputError}, refused
    assert [outcome.changed for outcome in outcomes if isinstance(outcome, DimRefresh)].count(True) == 1
    rows = versions(store)
    assert len(rows) == 3000 + 2000
    (changed_at,) = {row["valid_to"] for row in rows if row["valid_to"]}
    assert changed_at in as_ofs
    found = {(row["job_id"], row["valid_from"], row["valid_to"], row["title"], row["is_current"]) for row in rows}
    assert found == set(two_versions(changed_at))


def two_versions(changed_at: datetime) -> Iterator[tuple[int, datetime, datetime | None, str, int]]:
    for number in range(1, 3001):
        if number <= 2000:
            yield number, BEGINNING, changed_at, "Cook", 0
            yield number, changed_at, None, "Chef", 1
        else:
            yield number, BEGINNING, None, "Cook", 1


def test_a_refresh_killed_at_any_statement_leaves_no_trace_and_can_be_run_again(
    store: SqlRelationalStore, store_name: str, tmp_path: Path
) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}, {"id": 2, "title": "Waiter"}])
    refresh(store, FIRST)
    before = store.dim_jobs()
    store.upsert("job", [{"id": 1, "title": "Chef"}, {"id": 3, "title": "Baker"}])
    for kill_after in count(1):
        done = refresh_and_die(store_name, tmp_path, FIRST + HOUR, kill_after)
        if done is not None:
            break
        assert store.dim_jobs() == before
        assert store.upsert("job", []) == 0, "nobody holds the lock"
    assert (done.version, done.opened, done.changed) == (2, 2, True)
    assert kill_after > 6
    assert [(row["job_id"], row["title"], row["valid_from"]) for row in versions(store)] == [
        (1, "Cook", BEGINNING),
        (1, "Chef", FIRST + HOUR),
        (2, "Waiter", BEGINNING),
        (3, "Baker", BEGINNING),
    ]
