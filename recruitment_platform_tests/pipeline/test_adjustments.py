"""Which booking of a closed day holds, and what a day is accounted for by."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from recruitment_platform.errors import InputError
from recruitment_platform.pipeline.adjustments import book_day, differences, with_adjustments
from recruitment_platform.pipeline.billing import accounted
from recruitment_platform.pipeline.closing import close_days
from recruitment_platform.pipeline.facts import compute_facts
from recruitment_platform.pipeline.manifests import FactsManifest
from recruitment_platform.pipeline.publish import load_day, stage_day
from recruitment_platform.pipeline.snapshot import take_snapshots
from recruitment_platform.transforms.engines import DuckDBEngine
from recruitment_platform_tests.processes import at_once
from recruitment_platform_tests.resources.warehouse_days import fact_rows
from recruitment_platform_tests.site import NOW, Site, click

DAY = date(2025, 6, 2)
TODAY = DAY + timedelta(days=1)


def compute(site: Site, run_id: str) -> FactsManifest:
    """The facts of the day as its events say now."""
    for _ in take_snapshots(site.lake, site.objects, [DAY], time_zone="UTC", run_id=run_id):
        pass
    [(_, found)] = compute_facts(site.objects, DuckDBEngine(), [DAY], lake_name=site.lake.name, run_id=run_id)
    assert isinstance(found, FactsManifest)
    return found


def close(site: Site) -> bool:
    return close_days(site.lake, site.objects, site.warehouse, DAY, TODAY)


@pytest.fixture
def closed(site: Site) -> Site:
    """The day has one click, is published, and closed."""
    site.employ()
    site.send([click(f"{DAY} 10:00", 1)])
    compute(site, "run")
    stage_day(site.objects, DAY, "run")
    load_day(site.objects, site.warehouse, DAY, "run")
    assert close(site)
    return site


def late(site: Site, number: int, run_id: str) -> FactsManifest:
    """The facts with one more click."""
    site.send([click(f"{DAY} 11:00", number)])
    return compute(site, run_id)


def book(site: Site, candidate: FactsManifest, run_id: str = "run") -> bool:
    return book_day(site.objects, site.warehouse, candidate, run_id).new


def book_in(home: Path, candidate: FactsManifest) -> bool:
    """For a process of its own."""
    return book(Site(home), candidate, candidate.run_id)


def test_what_is_accounted_for_is_the_load_until_something_is_booked(closed: Site) -> None:
    [load] = closed.warehouse.loads(DAY)
    before = accounted(closed.warehouse)[DAY]
    assert (before.watermark, before.digest, before.at) == (load.watermark, load.digest, load.loaded_at)
    assert (before.closed, before.load, before.adjustment) == (True, load, None)
    candidate = late(closed, 2, "late")
    assert book(closed, candidate)
    found = accounted(closed.warehouse, [DAY])[DAY]
    assert (found.watermark, found.digest) == (candidate.watermark, candidate.digest)
    assert (found.load, found.adjustment) == (load, closed.warehouse.adjusted()[DAY])
    assert accounted(closed.warehouse, [TODAY]) == accounted(closed.warehouse, []) == {}


def test_of_two_bookings_the_one_of_the_newer_snapshot_holds_whatever_their_order(closed: Site) -> None:
    older, newer = late(closed, 2, "older"), late(closed, 3, "newer")
    assert book(closed, newer)
    for candidate in (older, newer, replace(newer, dim_version=newer.dim_version - 1)):
        assert not book(closed, candidate)
    assert closed.warehouse.adjusted()[DAY].clicks == 2
    assert len(closed.warehouse.bookings(DAY)) == 1


def test_of_bookings_at_once_the_newest_snapshot_holds(closed: Site) -> None:
    """Whoever finds that another one was faster looks again, and decides against what is booked then."""
    candidates = [late(closed, number, f"run-{number}") for number in range(2, 5)]
    made = at_once(book_in, [(closed.home, candidate) for candidate in candidates])
    assert made[-1] is True
    assert set(made) <= {True, False}
    assert closed.warehouse.adjusted()[DAY].digest == candidates[-1].digest
    assert len(closed.warehouse.bookings(DAY)) == made.count(True)


def test_what_was_billed_is_booked_away_where_events_are_no_longer_so(closed: Site) -> None:
    """The same id with other content: another one counts now, of another job at another price."""
    closed.send([click(f"{DAY} 10:00", 1, job_id=str(job), bid="9.000001") for job in range(2, 12)], "test:conflicts")
    candidate = compute(closed, "conflicts")
    assert book(closed, candidate)
    found = closed.warehouse.adjustments(DAY, DAY)
    assert sorted(found["clicks"].to_pylist()) == [-1, 1]
    assert sum(found["spend_hour"].to_pylist()) == Decimal("8.750001")


def test_differences_and_their_sum_undo_each_other() -> None:
    few, many = fact_rows(DAY, 40), fact_rows(DAY, 60, clicks=3).slice(10)
    for billed, computed in ((few, many), (many, few), (few, few), (few.slice(0, 0), many), (few, many.slice(0, 0))):
        found = differences(computed, billed)
        order = [(name, "ascending") for name in found.schema.names]
        expected = with_adjustments(computed, found.slice(0, 0)).sort_by(order)
        assert with_adjustments(billed, found).sort_by(order).equals(expected)
        assert found.num_rows == (0 if billed is computed else len({*_keys(billed), *_keys(computed)}))


def _keys(rows: object) -> list[tuple[int, int, int]]:
    return [(row["job_id"], row["publisher_id"], row["hours"]) for row in rows.to_pylist()]  # type: ignore[attr-defined]


def test_a_day_is_closed_once_it_is_published_as_the_lake_has_it(site: Site) -> None:
    site.employ()
    site.send([click(f"{DAY} 10:00", 1)])
    with pytest.raises(InputError, match=f"1 days up to {DAY} .*: {DAY} missing; nothing was closed"):
        close(site)
    with pytest.raises(InputError, match=f"{TODAY} is not over yet; the last day that can be closed is {DAY}"):
        close_days(site.lake, site.objects, site.warehouse, TODAY, TODAY)
    assert site.warehouse.closed_through() is None
    compute(site, "run")
    stage_day(site.objects, DAY, "run")
    load_day(site.objects, site.warehouse, DAY, "run")
    site.send([click(f"{DAY} 12:00", 2)])
    with pytest.raises(InputError, match=f"{DAY} stale"):
        close(site)
    compute(site, "again")
    stage_day(site.objects, DAY, "again")
    load_day(site.objects, site.warehouse, DAY, "again")
    began = datetime.now(UTC)
    assert close(site)
    assert not close(site)
    [found] = site.warehouse.query("SELECT * FROM billing_close").to_pylist()
    assert (found["closed_through"], found["closed_at"] >= began) == (DAY, True)


def test_days_that_are_closed_already_do_not_hold_up_the_next_close(closed: Site) -> None:
    """What came late for them is adjusted, not billed again."""
    next_day = TODAY
    closed.send([click(f"{DAY} 12:00", 2), click(f"{next_day} 12:00", 3)])
    for _ in take_snapshots(closed.lake, closed.objects, [next_day], time_zone="UTC", run_id="next"):
        pass
    for _ in compute_facts(closed.objects, DuckDBEngine(), [next_day], lake_name="Parquet", run_id="next"):
        pass
    stage_day(closed.objects, next_day, "next")
    load_day(closed.objects, closed.warehouse, next_day, "next")
    assert close_days(closed.lake, closed.objects, closed.warehouse, next_day, NOW.date())
    assert closed.warehouse.closed_through() == next_day
