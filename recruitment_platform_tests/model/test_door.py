"""The door, rule by rule: which rows are rejected and why, what is noted, and that every format of an event agrees."""

import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from recruitment_platform.model.contract import LAKE_TRACKING, TRACKING
from recruitment_platform.model.door import LAKE_SCHEMA, DoorResult, DoorRules, is_for_lake, through, uncoded
from recruitment_platform.model.schemas import arrow_schema

RULES = DoorRules(time_zone="UTC", first_day=date(2020, 1, 1))
NOW = datetime(2022, 8, 1, tzinfo=UTC)
ID = "3ce54830-0cb0-11ed-a1c8-d08db82170b0"
RECEIVED = datetime(2022, 7, 26, 6, 57, 39, 379000, tzinfo=UTC)
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0.4664.45 Safari/537.36"
CLICK = {
    "create_time": ID,
    "bid": "0.5",
    "bn": "Chrome 103",
    "campaign_id": "222.0",
    "cd": "24.0",
    "custom_track": "click",
    "de": "UTF-8",
    "dl": "https://jobs.example.com/job/1?a=ü&b=;",
    "dt": "Köchin, 'Küche' 👩\u200d🍳",
    "ed": '{"customEvent":"click","jobId":"1527","publisherId":"1"}',
    "ev": "2.0",
    "group_id": "",
    "id": "",
    "job_id": "1527.0",
    "md": "true",
    "publisher_id": "1.0",
    "rl": "",
    "sr": "1366x768",
    "ts": "2022-07-26 06:57:41.074",
    "tz": "-420.0",
    "ua": AGENT,
    "uid": "1-5a1897a9-189e8574",
    "v": "1.0",
    "vp": "1366x625",
}


def taken(*rows: Mapping[str, str | None], rules: DoorRules = RULES) -> DoorResult:
    names = {name: None for row in rows for name in row}
    raw = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
    return through(raw, rules, "file:f", 2, NOW)


def accepted(row: Mapping[str, str | None], rules: DoorRules = RULES) -> dict[str, Any]:
    result = taken(row, rules=rules)
    assert result.rejected.to_pylist() == []
    (event,) = result.accepted.to_pylist()
    return dict(event)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"create_time": None}, "create_time is missing"),
        ({"create_time": " NaN "}, "create_time is missing"),
        ({"create_time": "1e0e8a6e-0f3a-4b6e-9f0a-2f6f1f0c9f11"}, "create_time is not a TimeUUID"),
        ({"create_time": ID.replace("-a1c8-", "-c1c8-")}, "create_time is not a TimeUUID"),
        ({"create_time": ID.replace("-", "")}, "create_time is not a TimeUUID"),
        ({"create_time": "3ce54830-1170-11ed-a1c8-d08db82170b0"}, None),
        ({"create_time": "3ce54830-1370-11ed-a1c8-d08db82170b0"}, "create_time lies in the future"),
        ({"campaign_id": "188.5"}, "campaign_id is not an integer"),
        ({"group_id": "4,1,2"}, "group_id is not an integer"),
        ({"job_id": "2147483648"}, "job_id is not an integer"),
        ({"publisher_id": "1e3"}, "publisher_id is not an integer"),
        ({"bid": "$1"}, "bid is not a number"),
        ({"bid": "1e-7"}, "bid has more than 6 decimals"),
        ({"bid": "-0.5"}, "bid is negative"),
        ({"bid": "0.0000001"}, "bid has more than 6 decimals"),
        ({"bid": "1000000000000"}, "bid is too large"),
        ({"job_id": "", "ed": '{"jobId":"4,1"}'}, "jobId in ed is not an integer"),
        ({"job_id": "", "ed": '{"jobId":18.5}'}, "jobId in ed is not an integer"),
        ({"job_id": "", "ed": '{"jobId":[188]}'}, "jobId in ed is not an integer"),
        ({"job_id": "1", "ed": '{"jobId":"4,1"}'}, None),
        ({"ed": '{"publisherId":"4,1,2,3,5"}'}, None),
        ({"cd": "x", "ev": "x", "tz": "x", "v": "x", "ts": "x", "ed": "x"}, None),
    ],
)
def test_a_row_is_rejected_for_what_the_facts_need_and_for_nothing_else(
    changes: dict[str, str | None], reason: str | None
) -> None:
    result = taken({**CLICK, **changes}, CLICK)
    rejected = [] if reason is None else [{"position": 2, "reason": reason}]
    assert result.rejected.to_pylist() == rejected
    assert result.accepted["position"].to_pylist() == ([2, 3] if reason is None else [3])


def test_of_several_reasons_the_first_in_a_fixed_order_is_given() -> None:
    first_day = DoorRules(time_zone="UTC", first_day=date(2022, 7, 27))
    bad = {
        "create_time": "x",
        "campaign_id": "x",
        "group_id": "x",
        "job_id": "x",
        "publisher_id": "x",
        "bid": "x",
        "ed": '{"jobId":"x"}',
    }
    reasons = []
    row = {**CLICK, **bad}
    for name in bad:
        reasons += taken(row, rules=first_day).rejected["reason"].to_pylist()
        row[name] = None if name == "job_id" else CLICK[name]
    reasons += taken(row, rules=first_day).rejected["reason"].to_pylist()
    assert reasons == [
        "create_time is not a TimeUUID",
        "campaign_id is not an integer",
        "group_id is not an integer",
        "job_id is not an integer",
        "publisher_id is not an integer",
        "bid is not a number",
        "jobId in ed is not an integer",
        "event day is before the first day 2022-07-27",
    ]


@pytest.mark.parametrize(
    ("changes", "flags", "stored"),
    [
        ({}, None, {}),
        ({"tz": "+07:00"}, "tz unreadable", {"tz": None}),
        ({"ts": "yesterday"}, "ts unreadable", {"ts": None, "event_time": RECEIVED, "time_source": "create_time"}),
        ({"ed": "{jobId:1}"}, "ed unreadable", {"ed": "{jobId:1}", "resolved_job_id": 1527}),
        ({"ed": "[1]"}, "ed unreadable", {"ed": "[1]"}),
        ({"vp": "é" * 33}, "vp cut", {"vp": "é" * 32}),
        ({"vp": "👩" * 32}, None, {"vp": "👩" * 32}),
        ({"ed": "x" * 65536}, "ed unreadable; ed cut", {"ed": "x" * 65535}),
        ({"v": "x", "bn": "y" * 129, "cd": "1.5"}, "bn cut; cd unreadable; v unreadable", {"v": None, "cd": None}),
        ({"uid": "nan", "bn": " "}, None, {"uid": "nan", "bn": " "}),
        ({"uid": "a\0b"}, None, {"uid": "a\0b"}),
        (
            {"v": "\\N", "tz": "None", "ts": "NaT", "bid": "null"},
            None,
            {"v": None, "tz": None, "ts": None, "bid": None},
        ),
    ],
)
def test_what_the_facts_do_not_use_is_nulled_or_cut_and_noted(
    changes: dict[str, str], flags: str | None, stored: dict[str, Any]
) -> None:
    event = accepted({**CLICK, **changes})
    assert event["flags"] == flags
    assert {name: event[name] for name in stored} == stored


def test_flags_never_outgrow_their_column() -> None:
    long = {column.name: "x" * (column.type.length + 1) for column in TRACKING.columns if column.type.kind == "text"}
    event = accepted({**long, "create_time": ID, "cd": "x", "ev": "x", "ts": "x", "tz": "x", "v": "x"})
    assert event["flags"].count(";") == 23
    assert len(event["flags"]) <= LAKE_TRACKING.column("flags").type.length


@pytest.mark.parametrize(
    ("job_id", "publisher_id", "ed", "resolved"),
    [
        ("1", "2", '{"jobId":3,"publisherId":4}', (1, 2)),
        ("0", "0", '{"jobId":3,"publisherId":4}', (0, 0)),
        ("", "", '{"jobId":3,"publisherId":4}', (3, 4)),
        ("nan", None, '{"jobId":"3","publisherId":"4.0"}', (3, 4)),
        ("", "", '{"jobId":null,"publisherId":""}', (None, None)),
        ("", "", '{"jobId":3,"publisherId":"4,1,2"}', (3, None)),
        ("", "", '{"event":{"jobId":3}}', (None, None)),
        ("", "", '{"jobId":3,"jobId":5}', (3, None)),
        ("", "", '{"jobId":NaN,"publisherId":1e2,}', (None, 100)),
        ("", "", "", (None, None)),
        ("", "", '[{"jobId":3}]', (None, None)),
    ],
)
def test_what_the_event_says_itself_wins_over_ed_and_only_null_falls_through(
    job_id: str | None, publisher_id: str | None, ed: str, resolved: tuple[int | None, int | None]
) -> None:
    event = accepted({**CLICK, "job_id": job_id, "publisher_id": publisher_id, "ed": ed})
    assert (event["resolved_job_id"], event["resolved_publisher_id"]) == resolved


def test_ids_are_resolved_before_ed_is_cut_and_what_is_cut_is_other_content() -> None:
    padding = '"note":"' + "x" * 65535
    first, second = (
        accepted({**CLICK, "job_id": "", "ed": f'{{{padding}","jobId":{job_id}}}'}) for job_id in (188, 189)
    )
    assert (first["resolved_job_id"], second["resolved_job_id"]) == (188, 189)
    assert first["ed"] == second["ed"] == ("{" + padding)[:65535]
    assert first["payload_hash"] != second["payload_hash"]


@pytest.mark.parametrize(
    ("ts", "event_time"),
    [
        ("2022-07-19 06:57:39.379", RECEIVED - timedelta(days=7)),
        ("2022-07-19 06:57:39.378999", None),
        ("2022-07-26 07:02:39.379", RECEIVED + timedelta(minutes=5)),
        ("2022-07-26 07:02:39.379001", None),
        ("2022-07-26T13:57:41.0749999+07:00", RECEIVED + timedelta(seconds=1, microseconds=695999)),
        ("2022-07-26 06:57 Z", RECEIVED.replace(second=0, microsecond=0)),
        ("1658818661", datetime(2022, 7, 26, 6, 57, 41, tzinfo=UTC)),
        ("1658818661074.5", datetime(2022, 7, 26, 6, 57, 41, 74500, tzinfo=UTC)),
        ("1658818661074001.0", datetime(2022, 7, 26, 6, 57, 41, 74001, tzinfo=UTC)),
        ("-9223372036854775808", None),
        ("99999999999999999999999999", None),
    ],
)
def test_event_time_is_ts_where_it_can_be_believed_else_the_receive_time(ts: str, event_time: datetime | None) -> None:
    event = accepted({**CLICK, "ts": ts})
    assert event["received_at"] == RECEIVED
    assert event["event_time"] == (event_time or RECEIVED)
    assert event["time_source"] == ("create_time" if event_time is None else "ts")


def test_the_windows_of_what_is_believed_are_rules_not_constants() -> None:
    rules = DoorRules("UTC", date(2020, 1, 1), max_age=timedelta(0), max_ahead=timedelta(microseconds=1))
    believed = [
        accepted({**CLICK, "ts": ts}, rules)["time_source"] == "ts"
        for ts in ("2022-07-26 06:57:39.378999", "2022-07-26 06:57:39.379", "2022-07-26 06:57:39.379001", CLICK["ts"])
    ]
    assert believed == [False, True, True, False]


@pytest.mark.parametrize(
    ("time_zone", "event_date"),
    [
        ("UTC", date(2022, 7, 25)),
        ("Asia/Ho_Chi_Minh", date(2022, 7, 26)),
        ("America/St_Johns", date(2022, 7, 25)),
        ("Pacific/Kiritimati", date(2022, 7, 26)),
    ],
)
def test_the_platforms_time_zone_decides_the_day(time_zone: str, event_date: date) -> None:
    event = accepted({**CLICK, "ts": "2022-07-25 23:30:00"}, DoorRules(time_zone, date(2020, 1, 1)))
    assert event["event_date"] == event_date


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Ho_Chi_Minh"])
def test_the_first_day_itself_is_taken_in_in_the_platforms_time_zone(time_zone: str) -> None:
    event_date = accepted({**CLICK, "ts": "2022-07-25 23:30:00"}, DoorRules(time_zone, date(2020, 1, 1)))["event_date"]
    for first_day, rejected in ((event_date, 0), (event_date + timedelta(days=1), 1)):
        result = taken({**CLICK, "ts": "2022-07-25 23:30:00"}, rules=DoorRules(time_zone, first_day))
        assert result.rejected.num_rows == rejected


@pytest.mark.parametrize(
    ("changes", "payload_hash"),
    [
        ({}, -8138129323262684583),
        ({"bid": None, "ts": None, "ed": None, "custom_track": None}, -1629258297774366148),
        ({"dt": "👩\u200d🍳\0", "ts": "1969-12-31 23:59:59.5", "tz": "-0", "bid": "0"}, -8614500784997219635),
    ],
)
def test_payload_hashes_stay_what_they_were(changes: dict[str, str | None], payload_hash: int) -> None:
    """Lakes keep hashes: a library's new version that changed one would make duplicates into conflicts."""
    assert accepted({**CLICK, **changes})["payload_hash"] == payload_hash


def as_csv() -> pa.Table:
    names = list(CLICK)
    cells = ",".join('"' + value.replace('"', '""') + '"' if value else "" for value in CLICK.values())
    read = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pyarrow.csv.read_csv(io.BytesIO(f"{','.join(names)}\n{cells}\n".encode()), convert_options=read)


def as_json() -> pa.Table:
    numbers = {
        "bid": 0.50,
        "campaign_id": 222,
        "cd": 24,
        "ev": 2,
        "job_id": 1527,
        "publisher_id": 1,
        "tz": -420,
        "v": 1,
    }
    line = json.dumps({**{name: value or None for name, value in CLICK.items()}, **numbers, "ts": 1658818661074})
    return pa.table({name: [None if value is None else str(value)] for name, value in json.loads(line).items()})


def parquet_of(typed: Mapping[str, pa.Array]) -> pa.Table:
    texts = {name: pa.array([value or None]) for name, value in CLICK.items()}
    file = io.BytesIO()
    pq.write_table(pa.table({**texts, **typed}), file)
    return pq.read_table(io.BytesIO(file.getvalue()))


TS = datetime(2022, 7, 26, 6, 57, 41, 74000)
DTYPES: dict[str, dict[str, pa.Array]] = {
    "ints, money and time of their own types": {
        **{
            name: pa.array([int(float(CLICK[name]))], pa.int32()) for name in ("campaign_id", "cd", "ev", "job_id", "v")
        },
        "bid": pa.array([Decimal("0.50")], pa.decimal128(9, 2)),
        "ts": pa.array([TS], pa.timestamp("ms")),
        "md": pa.array([True]),
    },
    "floats as pandas has them": {
        **{name: pa.array([float(CLICK[name])]) for name in ("bid", "campaign_id", "job_id", "publisher_id", "tz")},
        "group_id": pa.array([float("nan")]),
        "ts": pa.array([1658818661074.0]),
    },
    "binary ids, times with a zone, dictionaries": {
        "create_time": pa.array([UUID(ID).bytes], pa.binary(16)),
        "ts": pa.array([TS.replace(tzinfo=UTC)], pa.timestamp("ns", "Asia/Ho_Chi_Minh")),
        "ua": pa.array([AGENT]).dictionary_encode(),
        "custom_track": pa.array([b"click"]),
        "dl": pa.array([CLICK["dl"]], pa.large_string()),
        "bid": pa.array([Decimal("0.5")], pa.decimal256(50, 3)),
        "rl": pa.nulls(1),
    },
    "uuids, structs, views": {
        "create_time": pa.array([UUID(ID).bytes], pa.uuid()),
        "ed": pa.array([{"customEvent": "click", "jobId": "1527", "publisherId": "1"}]),
        "ua": pa.array([AGENT], pa.string_view()),
        "uid": pa.array([CLICK["uid"].encode()], pa.binary_view()),
        "ts": pa.array([TS], pa.timestamp("us")),
        "job_id": pa.array([1527], pa.uint64()),
    },
}


@pytest.mark.parametrize("raw", [as_csv(), as_json(), *map(parquet_of, DTYPES.values())], ids=["csv", "json", *DTYPES])
def test_one_event_gives_one_row_whatever_format_it_comes_in(raw: pa.Table) -> None:
    result = through(raw, RULES, "file:f", 2, NOW)
    assert result.rejected.to_pylist() == []
    assert result.accepted.to_pylist() == [accepted(CLICK)]


def test_times_out_of_all_range_are_unreadable_not_fatal() -> None:
    columns: Sequence[pa.Array] = [
        pa.array([2**62, -(2**62), 1658818661], pa.int64()).cast(pa.timestamp("s")),
        pa.array([2**62, -(2**62), 1658818661074], pa.int64()).cast(pa.timestamp("ms", "UTC")),
        pa.array([2**63 - 1, -(2**63) + 1, 1658818661074000], pa.int64()).cast(pa.timestamp("us")),
    ]
    for column in columns:
        result = through(pa.table({"create_time": [ID] * 3, "ts": column}), RULES, "file:f", 1, NOW)
        assert result.accepted["flags"].to_pylist() == ["ts unreadable", "ts unreadable", None]
        assert result.accepted["time_source"].to_pylist() == ["create_time", "create_time", "ts"]


def test_bytes_that_are_no_utf8_are_replaced_not_fatal() -> None:
    unsound = pa.array([b"a\xffb", b"c"]).view(pa.string())
    for column in (unsound, unsound.cast(pa.binary()), pa.array([b"a\xffb", b"c"])):
        result = through(pa.table({"create_time": [ID, ID], "ua": column}), RULES, "file:f", 1, NOW)
        assert result.accepted["ua"].to_pylist() == ["a\ufffdb", "c"]


def test_the_accepted_table_has_exactly_the_lakes_schema_even_without_rows() -> None:
    raw = pa.table({name: pa.array([value]) for name, value in CLICK.items()})
    for table in (raw, raw.slice(0, 0), pa.table({"create_time": pa.array([], pa.string())})):
        result = through(table, RULES, "file:f", 1, NOW)
        assert result.accepted.schema.equals(arrow_schema(LAKE_TRACKING), check_metadata=True)
        assert result.accepted.num_rows == table.num_rows
        assert result.rejected.schema.names == ["position", "reason"]


def test_texts_that_come_again_are_dictionaries_where_asked_for_and_the_rows_are_the_same() -> None:
    rows = 6000
    raw = pa.table(
        {
            "create_time": [f"{at:08x}{ID[8:]}" if at % 7 else "" for at in range(rows)],
            "uid": [f"visitor {at}" for at in range(rows)],
            "ua": pa.array([AGENT, "", "a" * 1025, "a" * 1026] * (rows // 4)).dictionary_encode(),
            "dl": ["https://a", "https://b", None] * (rows // 3),
            "ed": ['{"jobId":1}', '{"jobId":1}', "nothing", '{"jobId":"x"}'] * (rows // 4),
            "ts": ["x", "2022-07-27 03:58:22"] * (rows // 2),
        }
    )
    for table in (raw, raw.slice(0, 0), raw.slice(0, 1), raw.slice(8, 8)):
        plain, coded = (through(table, RULES, "file:f", 1, NOW, coded=is_coded) for is_coded in (False, True))
        assert plain.accepted.schema.equals(LAKE_SCHEMA)
        assert coded.accepted.schema.names == LAKE_SCHEMA.names
        assert is_for_lake(coded.accepted)
        assert uncoded(coded.accepted).equals(plain.accepted)
        assert coded.rejected.equals(plain.rejected)
        assert uncoded(plain.accepted).equals(plain.accepted)
        coded.accepted.validate(full=True)
    kinds = through(raw, RULES, "file:f", 1, NOW, coded=True).accepted.schema
    names = [field.name for field in kinds if pa.types.is_string(field.type)]
    assert names == ["create_time", "uid"]
    for other in (raw, plain.accepted.drop_columns("flags")):
        with pytest.raises(ValueError, match="what the door returns as accepted"):
            uncoded(other)


def test_columns_come_in_any_order_unknown_ones_are_ignored_missing_ones_are_null() -> None:
    raw = pa.table({"": ["0"], "v": ["1"], "position": ["9"], "reason": ["x"], "source": ["y"], "create_time": [ID]})
    (event,) = through(raw, RULES, "file:f", 7, NOW).accepted.to_pylist()
    assert (event["v"], event["source"], event["position"], event["job_id"]) == (1, "file:f", 7, None)


def test_rows_keep_their_order_and_positions_through_all_threads() -> None:
    rows = 100_000
    jobs = np.arange(rows)
    raw = pa.table(
        {"create_time": [ID] * rows, "job_id": np.where(jobs % 1000 == 7, -(2.0**40), jobs), "ua": [AGENT] * rows}
    )
    by_first = through(raw, RULES, "file:f", 5, NOW)
    assert by_first.rejected["position"].to_pylist() == list(range(12, rows + 5, 1000))
    assert by_first.accepted["position"].to_pylist() == [at + 5 for at in range(rows) if at % 1000 != 7]
    assert by_first.accepted["job_id"].to_pylist() == [at for at in range(rows) if at % 1000 != 7]
    own = pa.chunked_array([jobs[:10][::-1] * 3, jobs[10:] * 3])
    by_own = through(raw, RULES, "file:f", own, NOW)
    assert by_own.accepted["position"].to_pylist()[:11] == [27, 24, 21, 18, 15, 12, 9, 3, 0, 30, 33]
