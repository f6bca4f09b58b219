"""The platform's figures, counted from real stores brought into each state by the steps themselves."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recruitment_platform.pipeline.metrics import (
    DayFigures,
    Rows,
    WarehouseReading,
    day_figures,
    last_load,
    read_lake,
    read_warehouse,
    rows_by_kind,
)
from recruitment_platform.pipeline.status import standing_errors
from recruitment_platform.resources.protocols import SourceState
from recruitment_platform_tests.pipeline.steps import adjust, fail, materialize
from recruitment_platform_tests.site import Site, click, event

FIRST = date(2025, 6, 2)
LATER = datetime(2030, 1, 1, 6, tzinfo=UTC)
"""Now, for the figures: long after every load of this test."""


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def figures(site: Site, now: datetime = LATER, **away: None) -> dict[int, DayFigures]:
    """The figures of the first days by their number; the stores named are away."""
    readings = {
        "lake": read_lake(site.lake),
        "warehouse": read_warehouse(site.warehouse),
        "errors": standing_errors(site.objects),
        **away,
    }
    found = day_figures(**readings, now=now, time_zone=site.rules.time_zone)  # type: ignore[arg-type]
    return {(of.day - FIRST).days: of for of in found if of.day < day(10)}


def loaded_at(site: Site, number: int) -> datetime:
    return site.warehouse.ledger()[day(number)].loaded_at


@pytest.fixture(scope="module")
def site_of_five(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Of five days from the first: published, empty, then late events, a failed run, and one that was never run."""
    site = Site(tmp_path_factory.mktemp("five"))
    site.employ()
    site.send([click(f"{day(number)} 10:00", number, bid="0.50") for number in (0, 2, 3, 4)])
    site.send([click(f"{day(0)} 11:00", 9), event(f"{day(0)} 12:00", 9, custom_track="alive")])
    materialize(site, day(0), day(1), day(2), day(3))
    site.send([click(f"{day(2)} 23:00", 8), click(f"{day(3)} 23:00", 8)], source="file:late")
    fail(site, day(3))
    return site


@pytest.fixture
def copy_of_five(site_of_five: Site, tmp_path: Path) -> Site:
    """The same, to be changed."""
    return Site(shutil.copytree(site_of_five.home, tmp_path / "copy"))


def test_each_day_has_the_state_that_it_is_in(site_of_five: Site) -> None:
    found = figures(site_of_five)
    assert [found[number].state for number in range(6)] == [
        "published",
        "empty",
        "stale",
        "failed",
        "missing",
        "missing",
    ]


def test_the_lag_is_nothing_or_since_the_load_or_since_the_days_end(site_of_five: Site) -> None:
    found = figures(site_of_five)
    assert [found[number].lag for number in range(5)] == [
        timedelta(0),
        timedelta(0),
        LATER - loaded_at(site_of_five, 2),
        LATER - loaded_at(site_of_five, 3),
        LATER - datetime(2025, 6, 7, tzinfo=UTC),
    ]


def test_late_events_that_are_loaded_are_no_lag_any_more(copy_of_five: Site) -> None:
    materialize(copy_of_five, day(2), run_id="again")
    found = figures(copy_of_five)[2]
    assert (found.state, found.lag) == ("published", timedelta(0))


def test_the_counts_are_those_of_the_lake_and_of_the_loads(site_of_five: Site) -> None:
    found = figures(site_of_five)
    assert [(of.accepted, of.clicks, of.spend_micros) for of in (found[number] for number in range(5))] == [
        (3, 2, 750_000),
        (0, 0, 0),
        (2, 1, 500_000),
        (2, 1, 500_000),
        (1, None, None),
    ]
    assert last_load(read_warehouse(site_of_five.warehouse)) == loaded_at(site_of_five, 3)


def test_a_closed_day_is_behind_until_its_late_events_are_booked_beside_its_facts(copy_of_five: Site) -> None:
    copy_of_five.warehouse.close_through(day(2), LATER)
    assert figures(copy_of_five)[2].state == "stale"
    adjust(copy_of_five, day(2), "adjusting")
    found = figures(copy_of_five)[2]
    assert (found.state, found.lag) == ("published", timedelta(0))
    assert (found.clicks, found.spend_micros, found.adjusted_micros) == (1, 500_000, 250_000)
    assert read_warehouse(copy_of_five.warehouse).closed_through == day(2)


def test_a_day_ends_with_its_midnight_in_the_platforms_time_zone(site: Site) -> None:
    site.employ()
    site.send([click(f"{day(0)} 10:00")])
    lake, now = read_lake(site.lake), datetime(2025, 6, 2, 18, tzinfo=UTC)
    nothing = WarehouseReading({}, None)
    (found,) = day_figures(lake, nothing, {}, now, "Asia/Ho_Chi_Minh")
    assert (found.state, found.lag) == ("missing", timedelta(hours=1))
    (found,) = day_figures(lake, nothing, {}, now, "UTC")
    assert (found.state, found.lag) == ("not expected", None)
    # 25 hours: Berlin's clocks go back on that day.
    autumn = day_figures(lake, nothing, {}, datetime(2025, 10, 27, tzinfo=UTC), "Europe/Berlin")[-1]
    assert (autumn.day, autumn.lag) == (date(2025, 10, 26), timedelta(hours=1))


@pytest.mark.parametrize(
    ("away", "known"),
    [
        ("lake", "clicks spend_micros"),
        ("warehouse", "accepted"),
        ("errors", "lag accepted clicks spend_micros"),
        ("lake warehouse", ""),
    ],
)
def test_what_a_store_that_is_away_would_tell_is_not_known(site_of_five: Site, away: str, known: str) -> None:
    found = figures(site_of_five, **dict.fromkeys(away.split())).get(0, DayFigures(day(0)))
    told = ("state", "lag", "accepted", "clicks", "spend_micros")
    assert [name for name in told if getattr(found, name) is not None] == known.split()


class Recorded:
    """A store that notes what it is asked."""

    def __init__(self, store: Any, asked: list[str]) -> None:
        self._store = store
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any) -> Any:
            self._asked.append(" ".join((name, *map(str, arguments))))
            return getattr(self._store, name)(*arguments)

        return ask


def test_each_store_is_asked_once_whatever_the_number_of_days_but_for_those_with_an_error(site_of_five: Site) -> None:
    asked: list[str] = []
    lake, warehouse, objects = (
        Recorded(store, asked) for store in (site_of_five.lake, site_of_five.warehouse, site_of_five.objects)
    )
    day_figures(read_lake(lake), read_warehouse(warehouse), standing_errors(objects), LATER, "UTC")
    of_all = ["day_states", "sources", "rejected_by_ingest_day", "ledger None", "closed_through", "closed_through"]
    assert asked[:7] == [*of_all, "list day_errors/"]
    assert [question for question in asked[7:] if str(day(3)) not in question] == []
    assert len(asked) <= 9


def test_rows_are_counted_by_the_kind_of_their_source() -> None:
    sources = [
        SourceState("file:0a", ("a.csv",), 9, received=9, accepted=7, rejected=2),
        SourceState("file:0b", ("b.csv",), 4, received=4, accepted=4, rejected=0),
        SourceState("kafka:tracking/0@x", (), 5, received=5, accepted=5, rejected=0),
        SourceState("filed", (), 1, received=1, accepted=0, rejected=1),
    ]
    assert rows_by_kind(sources) == {"file": Rows(13, 11, 2), "kafka": Rows(5, 5, 0), "other": Rows(1, 0, 1)}
