"""The door against its rules in plain Python: messy rows of every kind, compared whole, hash included."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.model.door import DoorRules, through
from recruitment_platform_tests.model.door_reference import (
    EPOCH,
    ID_COLUMNS,
    INT_COLUMNS,
    MICROSECOND,
    judge,
    unmarked,
)

NOW = datetime(2023, 1, 20, 12, 0, tzinfo=UTC)
# Days on which these zones' clocks were changed, by an hour or (Lord Howe) by half an hour; one zone never does.
CLOCK_CHANGES = {
    "UTC": ["2022-03-27", "2022-12-31"],
    "Europe/Berlin": ["2022-03-27", "2022-10-30"],
    "Asia/Ho_Chi_Minh": ["2022-07-27", "2022-12-31"],
    "America/St_Johns": ["2022-03-13", "2022-11-06"],
    "Australia/Lord_Howe": ["2022-04-03", "2022-10-02"],
}
TEXT_COLUMNS = [column for column in TRACKING.columns if column.type.kind == "text" and column.name != "create_time"]

messy = st.text(st.characters(codec="utf-8"), max_size=8)
white = st.text(" \t\n\v\f\r\u00a0", max_size=2)
markers = st.sampled_from(["", "NaN", "null", "None", "\\N", "NaT", " ", "\t null\n", "nil", "inf", "-", "\x00"])


def padded(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(values, st.tuples(white, values, white).map("".join))


digits = st.text("0123456789", min_size=1, max_size=12)
signs = st.sampled_from(["", "", "", "+", "-"])
near_32_bits = st.integers(-3, 3).flatmap(
    lambda step: st.sampled_from([step, 2**31 + step, -(2**31) + step, 2**63 + step, -(2**63) + step, 2**64 + step])
)
ints = st.one_of(
    near_32_bits.map(str),
    st.tuples(signs, digits, st.sampled_from(["", "", ".", ".0", ".000000000000", ".5", ".00001", "e2", "_0"])).map(
        "".join
    ),
    st.sampled_from(["0x1F", "1,000", "4,1,2", "\u0663", "1 2", "--1", "+", ".0", "true", "1e3", "188.0", "0188"]),
)
good_ints = padded(
    st.one_of(
        st.sampled_from(["188.0", "0", "-420.0", "+7", "0188", "5.", "2147483647", "-2147483648.00"]),
        digits.map(lambda d: d[:9]),
    )
)

money = st.one_of(
    st.tuples(signs, digits, st.sampled_from(["", ".", ".5", ".000001", ".0000001", ".123456000", ".1234560001"])).map(
        "".join
    ),
    st.sampled_from(["-0", "-0.0", "-0.0000001", ".5", ".", "-", "1e2", "999999999999.999999", "1000000000000", "$1"]),
    st.sampled_from(["0" * 60 + "1.5" + "0" * 60, "9" * 60, "999999999999.9999991", "1000000000000.0000001"]),
)
good_money = padded(
    st.sampled_from(
        ["0.0", "1", "2.5", ".5", "7.", "-0.0", "0.000001", "12.345678000", "999999999999.999999", "0" * 60 + "1.5"]
    )
)

instants = st.builds(
    lambda day, quarters, step: (
        datetime.fromisoformat(f"{day}T00:00Z") + timedelta(minutes=15 * quarters, microseconds=step)
    ),
    st.sampled_from(sorted({day for days in CLOCK_CHANGES.values() for day in days})),
    st.integers(-62, 158),
    st.integers(-2, 2),
)
odd_instants = st.one_of(
    st.datetimes(datetime(1583, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    st.integers(-2, 2).map(lambda step: NOW + timedelta(days=1, microseconds=step)),
    st.integers(-50, 50).map(lambda hours: datetime(2022, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
)


def time_uuid(received: datetime, tenths: int, rest: str) -> str:
    ticks = (received - EPOCH) // MICROSECOND * 10 + 122192928000000000 + tenths
    low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48
    return f"{low:08x}-{middle:04x}-1{high:03x}-{rest}"


def as_clock(at: datetime, separator: str, style: str, fraction: str, zone: str) -> str:
    hours = {"+05:30": 5.5, "+0700": 7, "-03": -3, "-02:30": -2.5, "+14:00": 14, "-23:59": -(23 + 59 / 60)}
    local = at + timedelta(hours=hours.get(zone.strip(), 0))
    return local.strftime(f"%Y-%m-%d{separator}{style}").replace("%%", f"{local:%f}") + fraction + zone


clocks_of_styles = st.tuples(
    st.sampled_from([" ", "T"]),
    st.sampled_from(["%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S.%f"]),
    st.sampled_from(["", "", "", "999", "000000001", "x"]),
    st.sampled_from(["", "", "Z", " Z", "UTC", " UTC", "+05:30", "+0700", "-03", " -02:30", "+14:00", "-23:59", "z"]),
)
unreadable_clocks = st.sampled_from(
    [
        "2022-02-29 10:00",
        "2022-02-30 10:00:00",
        "2022-13-01 10:00",
        "2022-00-10 10:00",
        "2022-04-31T10:00",
        "2022-07-27",
        "2022-07-27 24:00",
        "2022-07-27 23:60",
        "2022-07-27 23:59:60",
        "2022-07-27 10:00:00.",
        "2022-07-27  10:00",
        "2022-07-27 10:00 +1",
        "2022-07-27 10:00+24:00",
        "2022-07-27 10:00+05:60",
        "2022-7-27 10:00",
        "22-07-27 10:00",
        "27.07.2022 10:00",
        "0000-01-01 00:00",
        "0001-01-01 00:00+00:01",
        "0001-01-01 00:00-00:01",
        "9999-12-31 23:59:59.999999-00:01",
        "9999-12-31 23:59:59.9999999",
        "infinity",
        "epoch",
        "now",
        "2022-07-27 10:00:00 Europe/Berlin",
        "2022-07-27 10:00:00,5",
        "\uff12\uff10\uff12\uff12-07-27 10:00",
    ]
)
epoch_borders = st.tuples(
    st.sampled_from([0, 10**11, 10**14, 253402300800, 253402300800 * 10**3, 253402300800 * 10**6, 62135596800 * 10**6]),
    st.integers(-2, 2),
    st.sampled_from(["", ".", ".5", ".999999999", ".0000009"]),
    st.sampled_from(["", "", "-", "+"]),
).map(lambda border: f"{border[3]}{abs(border[0] + border[1])}{border[2]}")


@st.composite
def client_times(draw: st.DrawFn, received: datetime) -> str:
    """Texts of times about the receive time and about the borders of what is believed."""
    away = draw(st.sampled_from([timedelta(0), timedelta(days=-7), timedelta(minutes=5), timedelta(hours=-9)]))
    at = received + away + draw(st.integers(-2, 2)) * MICROSECOND
    micros = (at - EPOCH) // MICROSECOND
    return draw(
        st.one_of(
            clocks_of_styles.map(lambda style: as_clock(at, *style)),
            st.sampled_from(
                [str(micros), f"{micros}.0", f"{micros // 1000}.{micros % 1000:03d}", str(micros // 10**6)]
            ),
            st.just(f"{micros // 10**6}.{micros % 10**6:06d}"),
            st.one_of(unreadable_clocks, epoch_borders, digits),
        )
    )


json_ids = st.one_of(
    near_32_bits,
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.sampled_from([188.0, -0.0, 1e2, 1e300, 2147483647.0, 2147483648.0, True, None, "", "188", " 7.0 ", "NaN"]),
    ints,
    markers,
    messy,
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.just("jobId"), st.integers(), max_size=1),
)
json_names = st.one_of(
    st.sampled_from(["jobId", "publisherId", "jobid", "customEvent", "userId", "", "$.jobId"]), messy
)
json_objects = st.lists(st.tuples(json_names, json_ids), max_size=4).flatmap(
    lambda members: st.sampled_from([False, True]).map(
        lambda ascii_only: (
            "{" + ", ".join(f"{json.dumps(n, ensure_ascii=ascii_only)}:{json.dumps(v)}" for n, v in members) + "}"
        )
    )
)
good_json_ids = st.sampled_from(
    [188, "188", 188.0, 1e2, None, "", "NaN", "null", " 7.0 ", -0.0, 0, 2147483647, -2147483648.0]
)
events_of_sites = st.tuples(good_json_ids, json_ids).map(
    lambda ids: json.dumps({"customEvent": "click", "jobId": ids[0], "publisherId": ids[1]})
)
json_texts = st.one_of(
    json_objects,
    json_objects.map(lambda text: f" \n{text}\t"),
    json_objects.map(lambda text: text[:-1]),
    json_objects.map(lambda text: text + "x"),
    json_objects.map(lambda text: f"[{text}]"),
    json_objects.map(lambda text: f"\v{text}"),
    st.sampled_from(
        ['{"jobId":1,"jobId":2}', '{"job\\u0049d":7}', '{"jobId":"\\ud83d"}', '{"jobId":01}', "{'jobId':1}"]
    ),
    st.sampled_from(['{"jobId":1e400}', '{"jobId":1e-400}', '{"jobId":NaN}', '{"jobId":-0}', '{"jobId":"1\\u0000"}']),
    st.sampled_from(["null", "188", '"{}"', "{", "{}", "[]", "\ufeff{}", '{"a":"\t"}', '{"jobId":{"jobId":1}}']),
)


def texts_of(length: int) -> st.SearchStrategy[str | None]:
    around = st.sampled_from([length - 1, length, length + 1])
    long = st.tuples(st.sampled_from(["a", "é", "\U0001f9d1", "\x00", "e\u0301"]), around).map(
        lambda pair: (pair[0] * pair[1])[: pair[1]]
    )
    return st.one_of(st.none(), st.none(), messy, markers, long) if length < 4096 else st.one_of(st.none(), messy)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, str | None]:
    """A row with trouble in at most one of the fields for which rows are rejected, and in any number of the others."""
    trouble = draw(st.sampled_from(["", "", "", "create_time", "instant", "ids", "bid", "ed"]))
    received = draw(odd_instants if trouble == "instant" else instants)
    rest = draw(st.sampled_from(["8872-72e1f40ca1d2", "84f7-2d4940c4b8bc", "b000-000000000000", "bfff-ffffffffffff"]))
    good_id = time_uuid(received, draw(st.sampled_from([0, 0, 9])), rest)
    bad_ids = st.one_of(
        st.sampled_from([good_id[:-1], good_id.replace("-", ""), f"{{{good_id}}}", f"{good_id[:19]}7{good_id[20:]}"]),
        st.sampled_from(
            [f"{good_id[:19]}c{good_id[20:]}", f"{good_id[:14]}4{good_id[15:]}", good_id.replace("1", "g")]
        ),
        st.uuids().map(str),
        markers,
        messy,
        st.none(),
    )
    good_ids = st.sampled_from([good_id, good_id, good_id.upper(), f" {good_id}\n"])
    bad_ints = st.one_of(st.none(), padded(ints), markers, messy)
    bad_bids = st.one_of(padded(money), messy)
    event_texts = st.one_of(st.none(), messy, events_of_sites, events_of_sites)
    times = client_times(received)
    ids = bad_ints if trouble == "ids" else st.one_of(st.none(), st.none(), good_ints, markers.filter(_is_null))
    return {
        "create_time": draw(bad_ids if trouble == "create_time" else good_ids),
        "bid": draw(bad_bids if trouble == "bid" else st.one_of(st.none(), good_money, markers.filter(_is_null))),
        "ed": draw(json_texts if trouble == "ed" else event_texts),
        "ts": draw(
            st.one_of(
                times, times, times, times, times.flatmap(lambda said: padded(st.just(said))), markers | st.none()
            )
        ),
        **{name: draw(ids if name in ID_COLUMNS else bad_ints) for name in INT_COLUMNS},
        **{column.name: draw(texts_of(column.type.length)) for column in TEXT_COLUMNS if column.name != "ed"},
    }


def _is_null(marker: str) -> bool:
    return unmarked(marker) is None


def assert_judged_alike(raw: list[Mapping[str, str | None]], rules: DoorRules) -> None:
    table = pa.table({name: pa.array([row.get(name) for row in raw], pa.string()) for name in TRACKING.column_names})
    result = through(table, rules, "file:f", 2, NOW)
    expected: dict[int, Any] = {at: judge(row, rules, "file:f", at, NOW) for at, row in enumerate(raw, start=2)}
    found: dict[int, Any] = {row["position"]: row for row in result.accepted.to_pylist()}
    found |= {row["position"]: row["reason"] for row in result.rejected.to_pylist()}
    assert found == expected
    assert result.accepted["position"].to_pylist() == sorted(result.accepted["position"].to_pylist())


@pytest.mark.parametrize("time_zone", CLOCK_CHANGES)
@given(raw=st.lists(rows(), min_size=1, max_size=12))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_row_of_any_text_is_judged_typed_and_hashed_as_the_rules_say(
    time_zone: str, raw: list[dict[str, str | None]]
) -> None:
    assert_judged_alike(raw, DoorRules(time_zone=time_zone, first_day=date(2022, 1, 1)))
