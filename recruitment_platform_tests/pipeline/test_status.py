"""How days stand, derived from real stores brought into each state by the steps themselves."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from recruitment_platform.errors import ReconciliationError
from recruitment_platform.pipeline import facts
from recruitment_platform.pipeline.publish import stage_day
from recruitment_platform.pipeline.status import DayStatus, day_statuses
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform_tests.pipeline.steps import compute, fail, materialize
from recruitment_platform_tests.site import JOBS, NOW, Site, click, event

DAY = date(2025, 6, 2)
TODAY = DAY + timedelta(days=3)


def statuses(site: Site, first: date | None = None, last: date | None = None) -> dict[date, DayStatus]:
    found = day_statuses(site.lake, site.objects, site.warehouse, TODAY, first, last)
    return {status.day: status for status in found}


def state_of(site: Site, day: date = DAY) -> str:
    return statuses(site)[day].state


def send_clicks(site: Site, *days: date, number: int = 1, job_id: str = "1") -> None:
    site.send([click(f"{day} 10:00", number, job_id=job_id) for day in days])


@pytest.fixture
def clicked(site: Site) -> Site:
    site.employ()
    send_clicks(site, DAY)
    return site


def test_an_empty_home_has_no_days(site: Site) -> None:
    assert statuses(site) == {}


def test_days_are_expected_from_the_lakes_first_to_yesterday(clicked: Site) -> None:
    asked = statuses(clicked, DAY - timedelta(days=1), TODAY)
    assert {day.day: status.state for day, status in asked.items()} == {
        1: "not expected",
        2: "missing",
        3: "missing",
        4: "missing",
        5: "not expected",
    }
    assert list(statuses(clicked)) == [DAY + timedelta(days=n) for n in range(3)]


def test_a_published_day_shows_what_the_lake_the_snapshot_and_the_table_hold(clicked: Site) -> None:
    clicked.send([click(f"{DAY} 10:00", 1), event(f"{DAY} 11:00", 2)])
    materialize(clicked, DAY)
    assert statuses(clicked)[DAY] == DayStatus(
        DAY, accepted=3, distinct=2, rows=1, clicks=1, spend_micros=250_000, state="published"
    )


def test_a_day_without_events_is_published_empty(clicked: Site) -> None:
    materialize(clicked, DAY, DAY + timedelta(days=1))
    assert state_of(clicked, DAY + timedelta(days=1)) == "empty"


def test_late_events_make_exactly_their_own_days_stale_until_they_are_computed(clicked: Site) -> None:
    other = DAY + timedelta(days=1)
    send_clicks(clicked, other)
    materialize(clicked, DAY, other)
    clicked.send([click(f"{DAY} 23:00", 9)], source="test:late")
    found = statuses(clicked)
    assert (found[DAY].state, found[other].state) == ("stale", "published")
    assert "test:late" in found[DAY].reason
    materialize(clicked, DAY, run_id="again")
    assert state_of(clicked) == "published"


def test_a_day_staged_and_not_loaded_is_stale(clicked: Site) -> None:
    materialize(clicked, DAY)
    clicked.employ([{**JOBS[0], "campaign_id": "12"}], as_of=NOW)
    assert state_of(clicked) == "published"
    compute(clicked, [DAY], "second")
    stage_day(clicked.objects, DAY, "second")
    found = statuses(clicked)[DAY]
    assert (found.state, found.reason) == ("stale", "manifest 2 is staged, 1 is loaded")


def test_days_whose_jobs_became_known_later_are_stale_and_no_others(site: Site) -> None:
    other = DAY + timedelta(days=1)
    site.employ(JOBS[:1])
    send_clicks(site, DAY, job_id="2")
    send_clicks(site, other, job_id="1")
    materialize(site, DAY, other)
    site.employ(JOBS, as_of=NOW)
    found = statuses(site)
    assert (found[DAY].state, found[other].state) == ("stale", "published")
    assert "became known" in found[DAY].reason
    materialize(site, DAY, run_id="again")
    assert state_of(site) == "published"


def test_days_computed_by_other_code_are_listed_as_stale_save_for_empty_ones(
    clicked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = DAY + timedelta(days=1)
    monkeypatch.setattr(facts, "CODE_VERSION", "former")
    materialize(clicked, DAY, empty)
    monkeypatch.undo()
    found = statuses(clicked)
    assert {day: (found[day].state, found[day].cause) for day in (DAY, empty)} == {
        DAY: ("stale", "code"),
        empty: ("empty", ""),
    }
    assert "-former; now " in found[DAY].reason
    materialize(clicked, DAY, run_id="again")
    assert state_of(clicked) == "published"


class Counted:
    """An object store whose calls are counted by what they ask."""

    def __init__(self, objects: FolderStore) -> None:
        self.objects = objects
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.objects, name)


def test_a_look_at_many_days_lists_no_more_than_one_at_a_few(site: Site) -> None:
    site.employ()
    days = [DAY - timedelta(days=number) for number in range(8)]
    send_clicks(site, *days)
    materialize(site, *days)
    calls = []
    for few in (2, 8):
        store = Counted(site.objects)
        found = day_statuses(site.lake, store, site.warehouse, TODAY, days[few - 1], DAY)  # type: ignore[arg-type]
        assert [status.state for status in found] == ["published"] * few
        calls.append(store.calls)
    assert calls[0]["list"] == calls[1]["list"]
    # Of each day its snapshot is read, and nothing else.
    assert calls[1]["get"] - calls[0]["get"] == 6


def test_a_day_that_could_not_be_published_has_failed_until_a_run_publishes_it(clicked: Site) -> None:
    materialize(clicked, DAY)
    send_clicks(clicked, DAY, number=2)
    fail(clicked, DAY)
    found = statuses(clicked)[DAY]
    assert (found.state, found.clicks) == ("failed", 1)
    assert "kinds" in found.reason
    clicked.objects.delete([f"raw_tracking/dt={DAY}/manifests/000002.json"])
    materialize(clicked, DAY, run_id="good")
    assert state_of(clicked) == "published"


def test_a_day_whose_snapshot_could_not_be_taken_has_failed(site: Site) -> None:
    site.employ()
    send_clicks(site, DAY)
    with site.lake.writing() as connection:
        connection.execute("UPDATE day_state SET rows = rows + 1")
    compute(site, [DAY], "bad")
    with pytest.raises(ReconciliationError):
        stage_day(site.objects, DAY, "bad")
    found = statuses(site)[DAY]
    assert (found.state, found.rows) == ("failed", None)
    assert "day_state" in found.reason
