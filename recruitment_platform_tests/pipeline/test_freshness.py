"""What each day needs: exactly the days whose states differ, whatever is missing, failed or late."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recruitment_platform.pipeline import freshness
from recruitment_platform.pipeline.billing import Accounted
from recruitment_platform.pipeline.freshness import (
    DayNeed,
    Window,
    day_needs,
    for_freshness,
    for_late_data,
)
from recruitment_platform.resources.protocols import DayState

FIRST = date(2025, 6, 1)
TODAY = date(2025, 6, 11)
NOW = datetime(2025, 6, 11, 12, tzinfo=UTC)
LOADED_AT = NOW - timedelta(hours=1)
WINDOW = Window(first=FIRST, today=TODAY, expected=TODAY - timedelta(days=1), look_back=365)
GRACE = timedelta(hours=7)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def state(number: int, position: int = 10, source: str = "site", rows: int = 5, hash_sum: int = 77) -> DayState:
    return DayState(day(number), source, position, rows, hash_sum)


def made_from(position: int | None = 10, source: str = "site", at: datetime = LOADED_AT) -> Accounted:
    return accounted_by({} if position is None else {source: position}, at)


def accounted_by(watermark: dict[str, int], at: datetime = LOADED_AT) -> Accounted:
    return Accounted(watermark, dim_version=1, code_version="1", digest="d", at=at, closed=False)


def all_loaded(last: int = 9) -> tuple[list[DayState], dict[date, Accounted]]:
    return [state(n) for n in range(last + 1)], {day(n): made_from() for n in range(last + 1)}


def wanted(needs: Iterable[DayNeed]) -> dict[int, str]:
    return {(found.day - FIRST).days: found.need for found in needs if found.need != "none"}


def test_where_all_is_loaded_nothing_is_needed() -> None:
    states, accounted = all_loaded()
    needs = day_needs(states, accounted, (), WINDOW)
    assert [found.day for found in needs] == [day(n) for n in range(10)]
    assert wanted(needs) == {}


@pytest.mark.parametrize(
    ("states", "accounted", "failed", "window", "expected"),
    [
        pytest.param([], {}, [], {}, {}, id="an empty lake expects nothing"),
        pytest.param([state(8)], {}, [], {}, {8: "missing", 9: "missing"}, id="from the lake's first day on"),
        pytest.param([state(8), state(10)], {day(8): made_from()}, [], {}, {9: "missing", 10: "behind"}, id="today"),
        pytest.param([state(8)], {}, [], {"expected": day(8)}, {8: "missing"}, id="within the grace"),
        pytest.param([state(9)], {}, [], {"expected": day(8)}, {9: "behind"}, id="events of a day not expected yet"),
        pytest.param([state(0)], {}, [], {"look_back": 2}, {0: "behind", 8: "missing", 9: "missing"}, id="look-back"),
        pytest.param([state(0, 11)], {day(0): made_from()}, [], {"expected": FIRST}, {0: "behind"}, id="late events"),
        pytest.param(
            [state(0), state(0, 1, "other")],
            {day(0): made_from()},
            [],
            {"expected": FIRST},
            {0: "behind"},
            id="another source",
        ),
        pytest.param(
            [state(0, 9)], {day(0): made_from()}, [], {"expected": FIRST}, {0: "behind"}, id="the lake was put back"
        ),
        pytest.param([state(9)], {day(9): made_from()}, [day(9)], {}, {9: "failed"}, id="its newest run failed"),
        pytest.param([state(9)], {}, [day(9)], {}, {9: "missing"}, id="failed and never loaded"),
        pytest.param([state(9, 11)], {day(9): made_from()}, [day(9)], {}, {9: "behind"}, id="failed and behind"),
        pytest.param([state(10)], {day(10): made_from()}, [day(10)], {}, {}, id="today failed, and has all"),
        pytest.param([state(9)], {day(9): made_from(), day(8): made_from(None)}, [], {}, {}, id="loaded empty"),
        pytest.param([state(11)], {}, [], {}, {}, id="tomorrow is no partition yet"),
        pytest.param(
            [replace(state(0), event_date=day(-1))], {}, [], {}, {}, id="before the first partition is none either"
        ),
    ],
)
def test_what_a_day_needs(
    states: list[DayState],
    accounted: dict[date, Accounted],
    failed: list[date],
    window: dict[str, object],
    expected: dict[int, str],
) -> None:
    assert wanted(day_needs(states, accounted, failed, replace(WINDOW, **window))) == expected


def test_a_backfill_of_old_days_does_not_hide_that_yesterday_is_missing() -> None:
    states = [state(n) for n in range(10)]
    accounted = {day(n): made_from(at=NOW) for n in range(5)}
    assert wanted(for_freshness(day_needs(states, accounted, (), WINDOW), NOW, GRACE)) == dict.fromkeys(
        range(5, 10), "missing"
    )


def test_a_day_that_is_behind_is_overdue_once_its_facts_are_older_than_the_grace() -> None:
    states = [state(8, 11), state(9, 11)]
    accounted = {day(8): made_from(at=NOW - GRACE), day(9): made_from(at=NOW - GRACE + timedelta(seconds=1))}
    needs = day_needs(states, accounted, (), WINDOW)
    assert wanted(for_late_data(needs)) == {8: "behind", 9: "behind"}
    assert wanted(for_freshness(needs, NOW, GRACE)) == {8: "behind"}


def input_of(states: list[DayState], accounted: Accounted | None = None) -> str:
    (found,) = day_needs(states, {day(9): accounted} if accounted else {}, (), WINDOW)
    return found.input


def test_the_input_changes_with_the_lakes_state_the_load_and_the_code_and_with_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = input_of([state(9)])
    assert input_of([state(9)]) == base
    assert input_of([state(9), state(9, 3, "b")]) == input_of([state(9, 3, "b"), state(9)])
    others = [
        input_of([state(9, 11)]),
        input_of([state(9, rows=6)]),
        input_of([state(9, hash_sum=78)]),
        input_of([state(9, source="other")]),
        input_of([state(9)], made_from()),
        input_of([state(9)], made_from(at=NOW)),
    ]
    monkeypatch.setattr(freshness, "CODE_VERSION", "another")
    others.append(input_of([state(9)]))
    assert len({base, *others}) == len(others) + 1


def test_a_reason_names_the_source_that_came_late() -> None:
    late = [state(9, 11, source) for source in ("b", "c")]
    (found,) = day_needs([state(9), *late], {day(9): made_from()}, (), WINDOW)
    assert found.reason == "events came in after it was loaded, from b and 1 more"


positions = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 3), max_size=3)
days = st.integers(-2, 12)


@given(
    lake=st.dictionaries(days, positions),
    loaded=st.dictionaries(days, positions),
    failed=st.sets(days),
    expected=st.integers(-1, 9),
    look_back=st.integers(1, 15),
)
def test_exactly_the_days_whose_states_differ_are_planned(
    lake: dict[int, dict[str, int]],
    loaded: dict[int, dict[str, int]],
    failed: set[int],
    expected: int,
    look_back: int,
) -> None:
    states = [state(n, position, source) for n, of_day in lake.items() for source, position in of_day.items()]
    accounted = {day(n): accounted_by(watermark) for n, watermark in loaded.items()}
    window = replace(WINDOW, expected=day(expected), look_back=look_back)
    needs = day_needs(states, accounted, {day(n) for n in failed}, window)

    partitions = range(11)
    with_events = [n for n in partitions if lake.get(n)]
    must_be_there = set(range(max(min(with_events), expected - look_back + 1), expected + 1)) if with_events else set()
    differing = {n for n in partitions if lake.get(n, {}) != loaded.get(n, {})}
    never_loaded = must_be_there - loaded.keys()
    assert set(wanted(needs)) == differing | never_loaded | (failed & must_be_there)
    assert set(wanted(for_late_data(needs))) == differing - never_loaded
    assert set(wanted(for_freshness(needs, NOW, GRACE))) == never_loaded | (failed & must_be_there - differing)
