"""Files of tracking events for tests. What belongs here: making and writing rows. What does not: assertions."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.model.contract import TRACKING

Row = Mapping[str, str | None]


def time_uuid(number: int) -> str:
    """A TimeUUID of 12 July 2022, 03:20:41 UTC, another for each number up to 2**48."""
    return f"9c1b1660-0191-11ed-8872-{number:012x}"


def event(number: int, **fields: str | None) -> dict[str, str | None]:
    """A click, as an export's CSV would hold it."""
    row: dict[str, str | None] = {
        "create_time": time_uuid(number),
        "ts": "2022-07-12 03:20:41.346",
        "custom_track": "click",
        "bid": "1.5",
        "job_id": "188.0",
        "ua": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)",
        "ed": '{"customEvent":"click","jobId":"188"}',
    }
    return row | fields


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str] = TRACKING.column_names) -> list[int]:
    """Writes a CSV; returns the line on which each row starts."""
    positions = []
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        line = 2
        for row in rows:
            fields = [row.get(name) or "" for name in columns]
            positions.append(line)
            writer.writerow(fields)
            line += 1 + sum(_line_ends(field) for field in fields)
    return positions


def _line_ends(text: str) -> int:
    return text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


def write_json_lines(path: Path, rows: Sequence[Row]) -> list[int]:
    """Writes JSON lines; returns each row's line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="")
    return list(range(1, len(rows) + 1))


def write_parquet(path: Path, rows: Sequence[Row]) -> list[int]:
    """Writes Parquet with text columns; returns each row's number, from 1."""
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in TRACKING.column_names}
    pq.write_table(pa.table(columns), path, row_group_size=max(1, len(rows) // 2))
    return list(range(1, len(rows) + 1))
