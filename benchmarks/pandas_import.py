"""The import of an export as a data engineer would write it: pandas in chunks, whole columns at a time, to Parquet.

`python -m benchmarks.pandas_import EXPORT FOLDER` writes `accepted-*.parquet`, the columns as they came (ids as ints)
and those derived for the facts, and `rejected-*.parquet`, the rows as they came with position and reason. The rules are
those of the door as far as exports of the simulator show them. What does not belong here: measuring (`lines`).
"""

import json
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

CHUNK_ROWS = 250_000
FIRST_DAY = pd.Timestamp("2020-01-01")
MAX_AGE, MAX_AHEAD = timedelta(days=7), timedelta(minutes=5)
NULLS = ["", "nan", "null", "none", "\\n", "nat"]
IDS = ("campaign_id", "group_id", "job_id", "publisher_id")
INTS = (*IDS, "cd", "ev", "tz", "v")
TIME_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
GREGORIAN_MICROS = 12_219_292_800_000_000
"""From the epoch of TimeUUIDs, 15 October 1582, to 1970."""


def main(export: Path, folder: Path) -> None:
    """Reads the export, judges each chunk, writes what was accepted and what was not."""
    chunks = pd.read_csv(export, dtype="string[pyarrow]", na_filter=False, chunksize=CHUNK_ROWS)
    for number, chunk in enumerate(chunks):
        # The export's first row stands on its line 2.
        events, reason = judged(chunk.assign(position=chunk.index + 2))
        good = reason.isna()
        events[good].to_parquet(folder / f"accepted-{number:05}.parquet", compression="zstd", index=False)
        refused = chunk[~good].assign(position=events["position"][~good], reason=reason[~good])
        refused.to_parquet(folder / f"rejected-{number:05}.parquet", compression="zstd", index=False)


def judged(raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The rows with what is derived of them, and why each is rejected, null where it is not."""
    texts = {name: _cleaned(raw[name]) for name in (*INTS, "create_time", "ts", "bid")}
    events = raw.assign(**{name: _as_int(texts[name]) for name in INTS})
    create_time = texts["create_time"].str.lower()
    is_id = create_time.str.fullmatch(TIME_UUID).fillna(False).astype(bool)
    received = pd.Series(pd.NaT, index=raw.index, dtype="datetime64[us]")
    received[is_id] = _received_at(create_time[is_id])
    ts = _clock(texts["ts"])
    age = received - ts
    believed = age.le(MAX_AGE) & age.ge(-MAX_AHEAD)
    event_time = ts.where(believed, received)
    bid = pd.to_numeric(texts["bid"], errors="coerce").astype("float64")
    ed_job, ed_publisher = _ids_in(raw["ed"])
    ed_job_id, ed_publisher_id = _as_int(_cleaned(ed_job)), _as_int(_cleaned(ed_publisher))
    future = pd.Timestamp.now() + timedelta(days=1)
    problems = [
        (texts["create_time"].isna(), "create_time is missing"),
        (~is_id, "create_time is not a TimeUUID"),
        (received.gt(future), "create_time lies in the future"),
        *((texts[name].notna() & events[name].isna(), f"{name} is not an integer") for name in IDS),
        (texts["bid"].notna() & bid.isna(), "bid is not a number"),
        (bid.lt(0), "bid is negative"),
        (texts["bid"].str.contains(r"\.[0-9]{6}[0-9]*[1-9][0-9]*$").fillna(False), "bid has more than 6 decimals"),
        (bid.ge(1e12), "bid is too large"),
        (
            texts["job_id"].isna() & _cleaned(ed_job).notna() & ed_job_id.isna(),
            "jobId in ed is not an integer",
        ),
        (event_time.lt(FIRST_DAY), f"event day is before the first day {date(2020, 1, 1)}"),
    ]
    reason = np.select([problem.to_numpy(bool) for problem, _ in problems], [text for _, text in problems], "")
    return events.assign(
        create_time=create_time,
        custom_track=raw["custom_track"].mask(raw["custom_track"] == ""),
        received_at=received,
        event_time=event_time,
        event_date=event_time.dt.normalize(),
        time_source=np.where(believed, "ts", "create_time"),
        resolved_job_id=events["job_id"].fillna(ed_job_id),
        resolved_publisher_id=events["publisher_id"].fillna(ed_publisher_id),
        # What is too large is rejected, and has no business in an integer.
        bid_micros=(bid.where(bid.lt(1e12)).fillna(0) * 1e6).round().astype("int64"),
        payload_hash=pd.util.hash_pandas_object(raw.drop(columns="position"), index=False),
    ), pd.Series(reason, index=raw.index).replace("", None)


def _cleaned(text: pd.Series) -> pd.Series:
    stripped = text.str.strip()
    return stripped.mask(stripped.str.lower().isin(NULLS))


def _as_int(text: pd.Series) -> pd.Series:
    whole = text.str.fullmatch(r"[+-]?[0-9]+(?:\.0*)?").fillna(False).astype(bool)
    number = pd.to_numeric(text.where(whole), errors="coerce").astype("float64")
    return number.where(number.between(-(2**31), 2**31 - 1)).astype("Int32")


def _received_at(create_time: pd.Series) -> pd.Series:
    """The 60 bits of 100 ns, put together for all rows at once."""
    digits = "0" + create_time.str[15:18] + create_time.str[9:13] + create_time.str[0:8]
    ticks = np.frombuffer(bytes.fromhex(digits.str.cat()), dtype=">u8").astype("int64")
    return pd.Series((ticks // 10 - GREGORIAN_MICROS).view("datetime64[us]"), index=create_time.index)


def _clock(text: pd.Series) -> pd.Series:
    """Clock times with or without an offset, or seconds, milli- or microseconds since 1970, as UTC."""
    is_number = text.str.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]*)?").fillna(False).astype(bool)
    clock = text[~is_number].dropna().str.removesuffix(" UTC")
    has_offset = clock.str.contains(r":.*(?:Z|[+-][0-9:]+)$").astype(bool)
    number = pd.to_numeric(text[is_number], errors="coerce").astype("float64")
    number = number[number.abs() < 1e17]
    size = number.abs()
    micros = np.select([size <= 99_999_999_999, size <= 99_999_999_999_999], [number * 1e6, number * 1e3], number)
    found = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    # Apart: pandas 2 gives a time without an offset that of the row before.
    for some in (clock[has_offset], clock[~has_offset]):
        times = pd.to_datetime(some.astype(object), format="ISO8601", utc=True, errors="coerce")
        found.loc[some.index] = times.dt.tz_localize(None).astype("datetime64[us]")
    # A double cannot hold all microseconds of a fraction of seconds: those have milliseconds at most.
    found.loc[number.index] = np.round(micros).astype("int64").view("datetime64[us]")
    return found


def _ids_in(ed: pd.Series) -> tuple[pd.Series, pd.Series]:
    """jobId and publisherId of the custom event, as text; each different JSON is parsed once."""
    codes, distinct = pd.factorize(ed)
    parsed = [_ids(text) for text in distinct]
    jobs = np.array([job for job, _ in parsed], object)[codes]
    publishers = np.array([publisher for _, publisher in parsed], object)[codes]
    return tuple(pd.Series(found, index=ed.index, dtype="string[pyarrow]") for found in (jobs, publishers))


def _ids(text: str) -> tuple[str | None, str | None]:
    try:
        event = json.loads(text) if text.startswith("{") else {}
    except ValueError:
        return None, None
    return tuple(None if event.get(key) is None else str(event[key]) for key in ("jobId", "publisherId"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
