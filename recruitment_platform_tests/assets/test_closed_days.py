"""Closed days keep the facts that were billed; with their adjustments they are what their events say now."""

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.model.contract import FACT_ADJUSTMENTS, FACT_KEY
from recruitment_platform.model.operational import parse_row
from recruitment_platform.pipeline.billing import accounted
from recruitment_platform.pipeline.status import day_statuses
from recruitment_platform_tests.operations import watched_stores
from recruitment_platform_tests.runs import a_site, check_results, day, materializations, run
from recruitment_platform_tests.site import Site, click, event

AT = datetime(2024, 4, 1, 8, tzinfo=UTC)
MEASURES = FACT_ADJUSTMENTS.column_names[7:]
NEW_JOB = {"id": "3", "title": "Smith", "status": "1", "campaign_id": "12", "company_id": "102"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def closed(tmp_path: Path, instance: dg.DagsterInstance) -> Site:
    """Three days are published, and the first two of them are closed."""
    site = a_site(tmp_path / "closed", 3)
    assert run(site, instance, 3).success
    assert site.warehouse.close_through(day(1), AT)
    return site


def send_late(site: Site, number: int, clicks: int = 1, **columns: str) -> None:
    """Clicks of that day which come in afterwards."""
    at = datetime(2024, 3, 1, 22, tzinfo=UTC) + timedelta(days=number)
    source = f"test:late:{number}"
    came = site.lake.progress(source)
    site.send([click(at, 500 + came + n, **columns) for n in range(clicks)], source)


def sums(*tables: pa.Table) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What the tables add up to by the facts' key, keys that come to nothing left out."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for table in tables:
        for row in table.to_pylist():
            of_key = found.setdefault(tuple(row[name] for name in FACT_KEY), [0] * len(MEASURES))
            for number, measure in enumerate(MEASURES):
                of_key[number] += row[measure]
    return {key: tuple(values) for key, values in found.items() if any(values)}


def published(site: Site) -> dict[str, Any]:
    """What every store publishes of the closed days."""
    return {
        "facts": site.warehouse.facts(day(0), day(1)),
        "ledger": site.warehouse.ledger([day(0), day(1)]),
        "events": site.relational.events(day(0), day(1)),
        "manifests": [
            found.key
            for number in (0, 1)
            for found in site.objects.list(f"s3_staged_events/dt={day(number)}/manifests/")
        ],
    }


def status(site: Site, number: int) -> tuple[str, str]:
    [found] = day_statuses(site.lake, site.objects, site.warehouse, day(10), day(number), day(number))
    return found.state, found.reason


@pytest.mark.parametrize("seed", range(2))
def test_facts_and_adjustments_of_closed_days_are_what_an_open_site_publishes(
    tmp_path: Path, instance: dg.DagsterInstance, closed: Site, seed: int
) -> None:
    """Whatever comes late, in any number of runs: events of every kind, other contents, jobs that become known."""
    other = a_site(tmp_path / "open", 3)
    assert run(other, instance, 3).success
    before = published(closed)
    chance = random.Random(seed)
    for turn in range(3):
        events = [
            event(
                datetime(2024, 3, 1 + chance.randrange(3), chance.randrange(24), tzinfo=UTC),
                chance.randrange(8),
                custom_track=chance.choice(["click", "click", "conversion", "qualified", "unqualified", "alive"]),
                job_id=str(chance.randrange(1, 4)),
                bid=chance.choice(["", "0.000001", "1.25", "7"]),
            )
            for _ in range(chance.randrange(1, 12))
        ]
        for site in (closed, other):
            site.send(events, f"test:late:{turn}")
            if turn == 1:
                site.relational.upsert("job", [parse_row("job", NEW_JOB)])
            assert run(site, instance, 3).success
        adjustments = closed.warehouse.adjustments(date.min, date.max)
        assert sums(closed.warehouse.facts(day(0), day(2)), adjustments) == sums(other.warehouse.facts(day(0), day(2)))
        assert set(adjustments["dates"].to_pylist()) <= {day(0), day(1)}
        assert all(any(row[measure] for measure in MEASURES) for row in adjustments.to_pylist())
        assert published(closed) == before
        digests = {found: row.digest for found, row in accounted(other.warehouse).items()}
        assert {found: row.digest for found, row in accounted(closed.warehouse).items()} == digests
        assert [status(closed, number)[0] for number in range(3)] == ["published"] * 3


def test_a_job_that_became_known_moves_its_clicks_and_their_spend_between_keys(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    site = a_site(tmp_path, 1)
    send_late(site, 0, 2, job_id="3")
    assert run(site, instance, 1).success
    site.warehouse.close_through(day(0), AT)
    site.relational.upsert("job", [parse_row("job", NEW_JOB)])
    assert run(site, instance, 1).success
    found = site.warehouse.adjustments(day(0), day(0)).to_pylist()
    assert {(row["company_id"], row["campaign_id"], row["clicks"], str(row["spend_hour"])) for row in found} == {
        (0, 0, -2, "-0.500000"),
        (102, 12, 2, "0.500000"),
    }
    assert status(site, 0) == ("published", "closed; 0 clicks, 0.00 adjusted")


def test_a_booked_day_is_a_good_day_that_tells_what_is_adjusted(instance: dg.DagsterInstance, closed: Site) -> None:
    before = published(closed)
    send_late(closed, 0, 2)
    send_late(closed, 2)
    assert status(closed, 0)[0] == "stale"
    outcome = run(closed, instance, 3)
    assert outcome.success
    told = materializations(instance, outcome.run_id)
    facts = {number: told["redshift_fact_events", str(day(number))] for number in range(3)}
    assert [facts[0].metadata[name].value for name in ("closed", "adjustment_rows", "adjustment_clicks")] == [
        True,
        1,
        2,
    ]
    assert facts[0].metadata["adjustment_spend"].value == "0.500000 USD"
    assert facts[0].metadata["clicks"].value == 3
    assert facts[1].metadata["adjustment_rows"].value == 0
    assert "closed" not in facts[2].metadata
    assert [next(iter(facts[n].metadata)) for n in range(3)] == ["plot"] * 3
    assert facts[0].tags["dagster/data_version"] == before["ledger"][day(0)].digest
    assert {partition for asset, partition in told if asset == "s3_staged_events"} == {str(day(n)) for n in range(3)}
    assert all(check.passed for check in check_results(instance, outcome.run_id).values())
    assert published(closed) == before
    assert closed.warehouse.ledger()[day(2)].manifest == 2
    assert status(closed, 0) == ("published", "closed; 2 clicks, 0.50 adjusted")
    assert status(closed, 1) == ("published", "closed")
    assert status(closed, 2) == ("published", "")


def test_what_is_booked_already_is_not_booked_again_and_later_events_replace_it(
    instance: dg.DagsterInstance, closed: Site
) -> None:
    send_late(closed, 0)
    for _ in range(2):
        assert run(closed, instance, 2).success
        assert [row.clicks for row in closed.warehouse.bookings(day(0))] == [1]
    send_late(closed, 0, 2)
    assert run(closed, instance, 2).success
    assert [(row.number, row.clicks) for row in closed.warehouse.bookings(day(0))] == [(1, 1), (2, 3)]
    assert closed.warehouse.bookings(day(1)) == []


def test_events_that_count_for_nothing_are_accounted_for_and_adjust_nothing(
    instance: dg.DagsterInstance, closed: Site
) -> None:
    closed.send([event(datetime(2024, 3, 1, 9, tzinfo=UTC), 800)], "test:views")
    assert status(closed, 0)[0] == "stale"
    assert run(closed, instance, 2).success
    assert status(closed, 0) == ("published", "closed")
    assert closed.warehouse.adjusted()[day(0)].rows == 0
    assert accounted(closed.warehouse)[day(0)].watermark["test:views"] == 1


def test_a_closed_day_that_does_not_reconcile_is_not_booked(instance: dg.DagsterInstance, closed: Site) -> None:
    send_late(closed, 0)
    send_late(closed, 1)
    with closed.lake.writing() as connection:
        connection.execute("UPDATE day_state SET rows = rows + 1 WHERE event_date = ? LIMIT 1", [str(day(0))])
    outcome = run(closed, instance, 2)
    assert list(outcome.failed_days) == [day(0)]
    assert outcome.exit_code == ReconciliationError.exit_code
    assert list(closed.warehouse.adjusted()) == [day(1)]


def test_a_closed_day_whose_facts_were_changed_by_hand_is_named_and_not_booked(
    instance: dg.DagsterInstance, closed: Site
) -> None:
    with duckdb.connect(str(closed.warehouse.path)) as connection:
        connection.execute("DELETE FROM redshift_fact_events WHERE dates = ? AND hours = 0", [day(0)])
    send_late(closed, 0)
    outcome = run(closed, instance, 2)
    assert list(outcome.failed_days) == [day(0)]
    assert "changed by something else than a load" in outcome.failed_days[day(0)]
    assert not check_results(instance, outcome.run_id)["table_matches_manifest"].passed
    assert closed.warehouse.adjusted() == {}


def test_a_closed_day_that_was_never_published_is_booked_whole(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Events of before the lake's first day, which was closed with the days after it."""
    site = a_site(tmp_path, 3)
    assert run(site, instance, 2, first=1).success
    assert site.warehouse.close_through(day(1), AT)
    outcome = run(site, instance, 2)
    assert outcome.success
    assert list(site.warehouse.ledger()) == [day(1), day(2)]
    assert site.warehouse.adjusted()[day(0)].clicks == 3
    assert status(site, 0) == ("published", "closed; 3 clicks, 1.50 adjusted")
    assert site.relational.events(day(0), day(0)).num_rows == 0


def test_a_restatement_takes_the_events_into_the_facts_and_ends_the_adjustments(
    instance: dg.DagsterInstance, closed: Site
) -> None:
    for number in (0, 1):
        send_late(closed, number, 2)
    assert run(closed, instance, 2).success
    kept = closed.warehouse.adjusted()[day(1)]
    assert run(closed, instance, 1, restate=True).success
    assert closed.warehouse.adjusted() == {day(1): kept}
    assert [row.clicks for row in closed.warehouse.loads(day(0))] == [3, 5]
    assert closed.warehouse.totals([day(0)])[day(0)].clicks == 5
    assert closed.relational.events(day(0), day(0)).equals(closed.warehouse.facts(day(0), day(0)))
    assert status(closed, 0) == ("published", "closed")
    send_late(closed, 0)
    assert run(closed, instance, 2).success
    assert (closed.warehouse.adjusted()[day(0)].manifest, closed.warehouse.adjusted()[day(0)].clicks) == (2, 1)


def test_a_day_that_is_closed_while_it_is_being_published_is_adjusted(
    instance: dg.DagsterInstance, closed: Site
) -> None:
    """Between the run's look at the close and its load."""
    send_late(closed, 2)
    before = {"facts": closed.warehouse.facts(day(2), day(2)), "events": closed.relational.events(day(2), day(2))}

    def close(moment: str, operation: str) -> None:
        if (moment, operation) == ("before", "warehouse.load_day"):
            closed.warehouse.close_through(day(2), AT)

    assert run(closed, instance, 1, first=2, overrides=some_of(watched_stores(closed, close), "warehouse")).success
    assert closed.warehouse.facts(day(2), day(2)).equals(before["facts"])
    assert closed.relational.events(day(2), day(2)).equals(before["events"])
    assert closed.warehouse.adjusted()[day(2)].clicks == 1
    assert status(closed, 2) == ("published", "closed; 1 clicks, 0.25 adjusted")


def test_while_the_warehouse_cannot_tell_what_is_closed_nothing_that_is_published_is_replaced(
    instance: dg.DagsterInstance, closed: Site
) -> None:
    def away(moment: str, operation: str) -> None:
        if (moment, operation) == ("before", "warehouse.closed_through"):
            raise StoreUnavailableError("the warehouse is away")

    before = published(closed)
    send_late(closed, 0)
    closed.send([click(datetime(2024, 3, 4, 9, tzinfo=UTC), 1)], "test:next")
    outcome = run(closed, instance, 4, overrides=some_of(watched_stores(closed, away), "warehouse", "relational"))
    assert outcome.exit_code == StoreUnavailableError.exit_code
    assert set(outcome.failed_days.values()) == {"the warehouse is away"}
    assert published(closed) == before
    staged = {
        partition for asset, partition in materializations(instance, outcome.run_id) if asset == "s3_staged_events"
    }
    assert staged == {str(day(number)) for number in (1, 2, 3)}
    assert run(closed, instance, 4).success
    assert closed.warehouse.adjusted()[day(0)].clicks == 1


def some_of(stores: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: stores[name] for name in names}
