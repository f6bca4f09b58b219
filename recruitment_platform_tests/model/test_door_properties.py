"""The door against its rules in plain Python: every spelling of each field, and messy rows, compared whole."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import _WHOLE_MINUTES_FROM, DoorRules, through, uncoded
from recruitment_platform_tests.model.door_reference import INT_COLUMNS, judge
from recruitment_platform_tests.model.door_texts import (
    BIDS,
    CLOCK_CHANGES,
    EDS,
    INTS,
    NOT_NULLS,
    NOW,
    NULLS,
    client_times,
    create_times,
    padded,
    time_uuid,
)

TEXT_COLUMNS = [column for column in TRACKING.columns if column.type.kind == "text" and column.name != "create_time"]
RECEIVED = datetime(2022, 7, 27, 3, 58, 22, 542123, tzinfo=UTC)
GOOD = {"create_time": time_uuid(RECEIVED), "ts": "2022-07-27 03:58:22.500", "job_id": "", "bid": "1"}


def rules_of_zone(time_zone: str = "UTC") -> DoorRules:
    return DoorRules(time_zone=time_zone, first_day=date(2022, 1, 1))


def assert_judged_alike(rows: Sequence[Mapping[str, str | None]], rules: DoorRules) -> None:
    table = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in TRACKING.column_names})
    result = through(table, rules, "file:f", 2, NOW)
    found: dict[int, Any] = {row["position"]: row for row in result.accepted.to_pylist()}
    found |= {row["position"]: row["reason"] for row in result.rejected.to_pylist()}
    assert len(found) == len(rows)
    for position, row in enumerate(rows, start=2):
        assert found[position] == judge(row, rules, "file:f", position, NOW), row


@pytest.mark.parametrize(
    ("field", "spellings"),
    [
        ("create_time", create_times(RECEIVED)),
        ("ts", client_times(RECEIVED)),
        ("bid", BIDS),
        ("ed", EDS),
        *((name, INTS) for name in INT_COLUMNS),
    ],
)
def test_every_spelling_of_a_field_is_read_as_the_rules_say(field: str, spellings: Sequence[str]) -> None:
    assert_judged_alike([{**GOOD, field: spelling} for spelling in spellings], rules_of_zone())


@pytest.mark.parametrize("text", ["a", "é", "\U0001f9d1", "\x00", "e\u0301"])
def test_texts_about_their_longest_are_kept_or_cut_by_characters(text: str) -> None:
    rows = [
        {**GOOD, column.name: (text * length)[:length]}
        for column in TEXT_COLUMNS
        for length in (column.type.length - 1, column.type.length, column.type.length + 1)
    ]
    assert_judged_alike(
        [*rows, *({**GOOD, "uid": marker, "ua": marker} for marker in (*NULLS, *NOT_NULLS))], rules_of_zone()
    )


@pytest.mark.parametrize("time_zone", CLOCK_CHANGES)
def test_events_fall_on_their_local_day_also_when_the_clocks_are_changed(time_zone: str) -> None:
    instants = [
        datetime.fromisoformat(f"{day}T00:00Z") + timedelta(minutes=15 * quarters, microseconds=-1)
        for days in CLOCK_CHANGES.values()
        for day in days
        for quarters in range(-62, 159)
    ]
    assert_judged_alike([{"create_time": time_uuid(at)} for at in instants], rules_of_zone(time_zone))


@pytest.mark.parametrize(
    ("time_zone", "midnight"),
    [
        ("Africa/Monrovia", "1971-06-01T00:44:30Z"),
        ("America/Guyana", "1975-01-01T03:45Z"),
        ("Pacific/Kiritimati", "1979-06-01T10:40Z"),
        ("Asia/Kathmandu", "2022-06-30T18:15Z"),
    ],
)
def test_days_begin_to_the_second_where_time_zones_are_no_whole_hours(time_zone: str, midnight: str) -> None:
    rules = DoorRules(time_zone, date(1900, 1, 1))
    seconds = range(-90, 91, 15)
    rows = [{"create_time": time_uuid(datetime.fromisoformat(midnight) + timedelta(seconds=at))} for at in seconds]
    assert_judged_alike(rows, rules)
    assert len({judge(row, rules, "file:f", 1, NOW)["event_date"] for row in rows}) == 2


def test_time_zones_that_are_asked_by_the_minute_differ_from_utc_by_whole_minutes() -> None:
    since = datetime.fromtimestamp(_WHOLE_MINUTES_FROM / 1_000_000, UTC)
    for name in available_timezones():
        zone = ZoneInfo(name)
        for quarter in range(4 * 60):
            offset = (since + timedelta(days=91) * quarter).astimezone(zone).utcoffset()
            assert offset is not None
            assert offset % timedelta(minutes=1) == timedelta(0), name


@pytest.mark.parametrize("field", ["create_time", "ts", "bid", "ed", "job_id", "cd", "ua"])
def test_a_value_that_comes_again_is_judged_as_if_it_came_alone(field: str) -> None:
    spellings: dict[str, Sequence[str]] = {
        "create_time": create_times(RECEIVED),
        "ts": client_times(RECEIVED),
        "bid": BIDS,
        "ed": EDS,
        "ua": [*NULLS, *NOT_NULLS, "a" * 1024, "a" * 1025, "é" * 1025],
    }
    values = pa.array([*spellings.get(field, INTS), None])
    count = len(values)
    alone = pa.table({**{name: pa.array([text] * count) for name, text in GOOD.items()}, field: values})
    again = pa.concat_tables([alone] * 3)
    one_dictionary = pa.DictionaryArray.from_arrays(pa.array([*range(count)] * 3), values)
    dictionaries = pa.chunked_array([values.dictionary_encode()] * 2 + [values.dictionary_encode("encode")])
    column = alone.schema.get_field_index(field)
    expected = through(alone, rules_of_zone(), "file:f", 0, NOW)
    expected_of_few = through(alone.slice(5, 3), rules_of_zone(), "file:f", 5, NOW)
    for given_values in (again[field], one_dictionary, dictionaries):
        table = again.set_column(column, field, given_values)
        found = through(table, rules_of_zone(), "file:f", pa.array([*range(count)] * 3), NOW)
        assert found.accepted.equals(pa.concat_tables([expected.accepted] * 3))
        assert found.rejected.equals(pa.concat_tables([expected.rejected] * 3))
        coded = through(table, rules_of_zone(), "file:f", pa.array([*range(count)] * 3), NOW, coded=True)
        assert uncoded(coded.accepted).equals(found.accepted)
        assert coded.rejected.equals(found.rejected)
        texts = [column.chunk(0).dictionary for column in coded.accepted.columns if pa.types.is_dictionary(column.type)]
        assert all(values.null_count == 0 and len(values.unique()) == len(values) for values in texts)
        # Fewer rows than the dictionary has values.
        found_of_few = through(table.slice(5, 3), rules_of_zone(), "file:f", 5, NOW)
        assert found_of_few.accepted.equals(expected_of_few.accepted)
        assert found_of_few.rejected.equals(expected_of_few.rejected)


messy = st.text(st.characters(codec="utf-8"), max_size=8)
nulls = st.sampled_from(NULLS) | st.none()
good_ints = st.sampled_from(["188.0", "0", "-420.0", "+7", "0188", "5.", "2147483647", *padded("3")[:6]])
good_bids = st.sampled_from(["0.0", "1", "2.5", ".5", "7.", "-0.0", "0.000001", "12.345678000", "999999999999.999999"])
good_eds = st.sampled_from(
    ['{"customEvent":"click","jobId":"188","publisherId":"4,1"}', '{"publisherId":7,"userId":1}']
)
instants = st.builds(
    lambda day, quarters: datetime.fromisoformat(f"{day}T00:00Z") + timedelta(minutes=15 * quarters),
    st.sampled_from(sorted({day for days in CLOCK_CHANGES.values() for day in days})),
    st.integers(-62, 158),
)
any_instants = st.datetimes(datetime(1583, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@st.composite
def messy_rows(draw: st.DrawFn) -> dict[str, str | None]:
    """A row with trouble in at most one of the fields for which rows are rejected, and in any number of the others."""
    trouble = draw(st.sampled_from(["", "", "", "create_time", "instant", "job_id", "group_id", "bid", "ed"]))
    received = draw(any_instants if trouble == "instant" else instants)
    good = {
        **dict.fromkeys(INT_COLUMNS, good_ints | nulls),
        **{column.name: messy | nulls for column in TEXT_COLUMNS},
        **dict.fromkeys(("cd", "ev", "tz", "v"), st.sampled_from(INTS) | messy),
        "create_time": st.just(time_uuid(received)),
        "bid": good_bids | nulls,
        "ed": good_eds | messy | nulls,
        "ts": st.sampled_from(client_times(received)),
    }
    bad = {
        **dict.fromkeys(("job_id", "group_id"), st.sampled_from(INTS) | messy),
        "create_time": st.sampled_from(create_times(received)) | messy | st.uuids().map(str) | st.none(),
        "bid": st.sampled_from(BIDS) | messy,
        "ed": st.sampled_from(EDS) | messy,
    }
    return {name: draw((bad if name == trouble else good)[name]) for name in TRACKING.column_names}


@pytest.mark.parametrize("time_zone", ["Europe/Berlin", "Australia/Lord_Howe"])
@given(rows=st.lists(messy_rows(), min_size=1, max_size=12))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_messy_row_is_judged_typed_and_hashed_as_the_rules_say(
    time_zone: str, rows: list[dict[str, str | None]]
) -> None:
    assert_judged_alike(rows, rules_of_zone(time_zone))
