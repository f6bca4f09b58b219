"""CSV, JSON lines and Parquet of the same events give the same rows in the lake, at the right positions."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recruitment_platform.ingest.files import look_at
from recruitment_platform.ingest.readers import read_tracking
from recruitment_platform.ingest.records import Number, compact_json
from recruitment_platform.model.door import DoorRules, through
from recruitment_platform_tests.ingest.event_files import (
    Row,
    event,
    time_uuid,
    write_csv,
    write_json_lines,
    write_parquet,
)
from recruitment_platform_tests.ingest.stores import Stores

RULES = DoorRules(time_zone="UTC", first_day=date(2020, 1, 1))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WRITERS: dict[str, Callable[[Path, Sequence[Row]], list[int]]] = {
    "csv": write_csv,
    "jsonl": write_json_lines,
    "parquet": write_parquet,
}

# Letters on which readers of lines and of CSV stumble come up often.
TEXT = st.text(
    st.sampled_from("\n\r\t\",;'\\|{}\x0b\x0c\x1c\x85\u2028\ufeff ä漢😀aZ0")
    | st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=12,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"create_time": st.integers(0, 2**48 - 1).map(time_uuid) | st.sampled_from(["", "no id"])},
        optional={
            "ua": TEXT,
            "dt": TEXT,
            "custom_track": TEXT,
            "ed": TEXT | st.sampled_from(['{"jobId":"5"}', '{"jobId":"x"}', '{"a":1,\n"publisherId":7}']),
            "job_id": st.sampled_from(["188.0", "188", "", "nan", "1.5", " 7 "]),
            "bid": st.sampled_from(["0.10", "2", "", "-1", "x"]),
            "ts": st.sampled_from(["2022-07-12 03:20:41.346", "1657596041", "never", ""]),
            "tz": st.sampled_from(["-420.0", "?", ""]),
        },
    ),
    min_size=1,
    max_size=15,
)


@dataclass(frozen=True)
class Judged:
    """What the door makes of a file: accepted rows without where they came from, reasons, and all positions."""

    accepted: list[dict[str, Any]]
    reasons: list[str]
    positions: list[int]


def judged(path: Path) -> Judged:
    (batch,) = read_tracking(look_at(path))
    assert batch.bad == ()
    result = through(batch.table, RULES, "s", batch.positions, NOW)
    rejected = dict(zip(*(result.rejected.column(name).to_pylist() for name in ("position", "reason")), strict=True))
    return Judged(
        accepted=result.accepted.drop_columns(["source", "position"]).to_pylist(),
        reasons=list(rejected.values()),
        positions=sorted([*result.accepted.column("position").to_pylist(), *rejected]),
    )


@FEW
@given(rows=ROWS)
def test_any_text_gives_the_same_rows_from_every_format_at_the_right_positions(
    tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    seen = {}
    for suffix, write in WRITERS.items():
        path = tmp_path / f"a.{suffix}"
        positions = write(path, rows)
        seen[suffix] = judged(path)
        assert seen[suffix].positions == positions
    assert seen["csv"].accepted == seen["jsonl"].accepted == seen["parquet"].accepted
    assert seen["csv"].reasons == seen["jsonl"].reasons == seen["parquet"].reasons
    assert len(seen["csv"].accepted) + len(seen["csv"].reasons) == len(rows)


TYPED = st.lists(
    st.fixed_dictionaries(
        {
            "job_id": st.none() | st.integers(0, 2**31 - 1),
            "bid": st.none() | st.decimals(0, 10**6, places=6, allow_nan=False),
            "ts": st.none() | st.datetimes(datetime(2022, 7, 10), datetime(2022, 7, 12)),
            "md": st.none() | st.booleans(),
            "ed": st.none() | st.fixed_dictionaries({"jobId": st.integers(0, 99), "note": TEXT}),
        }
    ),
    min_size=1,
    max_size=5,
)


@FEW
@given(rows=TYPED)
def test_numbers_times_and_objects_give_the_same_rows_from_every_format(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    ids = [time_uuid(number) for number in range(len(rows))]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["", "create_time", "job_id", "bid", "ts", "md", "ed"])
        for number, row in enumerate(rows):
            # As pandas writes columns of integers with holes in them.
            job = None if row["job_id"] is None else float(row["job_id"])
            ed = None if row["ed"] is None else compact_json(row["ed"])
            md = None if row["md"] is None else str(row["md"]).lower()
            writer.writerow([number, ids[number], job, row["bid"], row["ts"], md, ed])
    with (tmp_path / "a.jsonl").open("w", encoding="utf-8") as out:
        for identity, row in zip(ids, rows, strict=True):
            ts = None if row["ts"] is None else row["ts"].isoformat() + "Z"
            bid = None if row["bid"] is None else Number(row["bid"])
            out.write(compact_json({**row, "create_time": identity, "ts": ts, "bid": bid}) + "\n")
    types = {"job_id": pa.int64(), "bid": pa.decimal128(18, 6), "ts": pa.timestamp("us", tz="UTC"), "md": pa.bool_()}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    columns["ed"] = pa.array([None if row["ed"] is None else compact_json(row["ed"]) for row in rows], pa.string())
    pq.write_table(pa.table({"create_time": ids, **columns}), tmp_path / "a.parquet")
    seen = [judged(tmp_path / f"a.{suffix}") for suffix in WRITERS]
    assert seen[0].accepted == seen[1].accepted == seen[2].accepted
    assert seen[0].reasons == []
    for row, stored in zip(rows, seen[0].accepted, strict=True):
        assert stored["job_id"] == row["job_id"]
        assert stored["bid"] == row["bid"]
        assert stored["ts"] == (None if row["ts"] is None else row["ts"].replace(tzinfo=UTC))


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_imported_file_stands_in_the_lake_row_by_row(tmp_path: Path, suffix: str) -> None:
    stores = Stores(tmp_path / "home")
    noon = datetime(2022, 7, 11, 12)
    rows = [
        event(number, ts=str(noon - timedelta(hours=7 * number)), ua=f'a "b"\nc; {number}', bid="0.10")
        for number in range(20)
    ]
    path = tmp_path / f"a.{suffix}"
    positions = WRITERS[suffix](path, rows)
    result = stores.take("tracking", path)
    assert (result.received, result.accepted, result.already_known, result.rejected) == (20, 20, 0, 0)
    stored = stores.events()
    assert [row["position"] for row in stored] == positions
    assert [row["ua"] for row in stored] == [row["ua"] for row in rows]
    assert {row["source"] for row in stored} == {result.source}
    assert {row["bid_micros"] for row in stored} == {100_000}
    assert [row["resolved_job_id"] for row in stored] == [188] * 20
    assert {str(row["bid"]) for row in stored} == {str(Decimal("0.100000"))}
    assert json.loads(stored[0]["ed"]) == {"customEvent": "click", "jobId": "188"}
