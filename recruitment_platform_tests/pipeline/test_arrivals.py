"""Rule 1 as events stream by in batches of any size, against plain Python over all of them at once."""

from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recruitment_platform.model.contract import RAW_TRACKING
from recruitment_platform.pipeline import snapshot
from recruitment_platform.pipeline.arrivals import LISTING_SCHEMA, Arrivals
from recruitment_platform.pipeline.digest import digest
from recruitment_platform_tests.pipeline.test_snapshot import rows
from recruitment_platform_tests.pipeline.test_snapshot import snapshot as taken_of
from recruitment_platform_tests.site import Site, click

SCHEMA = pa.schema(
    [
        ("create_time", pa.string()),
        ("payload_hash", pa.int64()),
        ("time_source", pa.dictionary(pa.uint8(), pa.string())),
        ("kind", pa.dictionary(pa.uint8(), pa.string())),
        ("resolved_job_id", pa.int32()),
        ("has_no_bid", pa.bool_()),
        ("source", pa.string()),
        ("position", pa.int64()),
    ]
)
IDS = ["a", "b", "c", "d"]

Row = dict[str, Any]


def content(create_time: str, payload_hash: int) -> Row:
    """The columns that are functions of an event's content."""
    mixed = IDS.index(create_time) + payload_hash
    return {
        "create_time": create_time,
        "payload_hash": payload_hash,
        "time_source": ("ts", "create_time")[mixed % 2],
        "kind": ("click", "conversion", "not_countable")[mixed % 3],
        "resolved_job_id": (None, 0, 5)[mixed // 2 % 3],
        "has_no_bid": mixed % 4 == 0,
    }


ROWS = st.lists(st.tuples(st.sampled_from(IDS), st.integers(-2, 2), st.sampled_from(["one", "two"])), max_size=24).map(
    lambda drawn: sorted(
        (content(*event) | {"source": source, "position": at} for at, (*event, source) in enumerate(drawn, 1)),
        key=lambda row: (row["create_time"], row["payload_hash"], row["source"], row["position"]),
    )
)


@given(ROWS, st.sets(st.sampled_from(IDS)), st.integers(1, 7))
def test_what_counts_is_the_smallest_hash_of_each_id_however_the_batches_fall(
    events: list[Row], on_two_days: set[str], size: int
) -> None:
    counts = Arrivals(pa.array(sorted(on_two_days), pa.string()))
    batches = [pa.RecordBatch.from_pylist(events[at : at + size], SCHEMA) for at in range(0, len(events), size)] or [
        pa.RecordBatch.from_pylist([], SCHEMA)
    ]
    kept = [row for batch in batches for row in counts.distinct_of(batch).to_pylist()]

    contents: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in events:
        contents[row["create_time"], row["payload_hash"]].append(row)
    smallest = {create_time: min(h for c, h in contents if c == create_time) for create_time, _ in contents}
    first = {key: min(came, key=lambda row: (row["source"], row["position"])) for key, came in contents.items()}
    counted = [row for key, row in first.items() if smallest[key[0]] == key[1]]
    clicks = [row for row in counted if row["kind"] == "click"]
    twice = [row for row in counted if row["create_time"] in on_two_days]
    assert kept == counted
    assert (counts.arrived, counts.distinct, counts.duplicates, counts.conflicts) == (
        len(events),
        len(counted),
        len(events) - len(contents),
        len(contents) - len(counted),
    )
    assert counts.fallback_times == sum(row["time_source"] == "create_time" for row in counted)
    assert counts.clicks_without_job == sum(not row["resolved_job_id"] for row in clicks)
    assert counts.clicks_without_bid == sum(row["has_no_bid"] for row in clicks)
    assert counts.found_on_two_days == len(twice)
    assert counts.positions == {
        source: (min(positions), max(positions))
        for source in ("one", "two")
        if (positions := [row["position"] for row in first.values() if row["source"] == source])
    }
    assert counts.listing.to_pylist() == [
        {name: (row | {"reason": reason})[name] for name in LISTING_SCHEMA.names}
        for reason, listed in (
            ("conflict", [row for row in first.values() if row not in counted]),
            ("id_on_two_days", twice),
        )
        for row in listed
    ]


def test_a_snapshot_of_many_batches_and_row_groups_has_each_event_once_in_order_and_the_files_digest(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_BATCH_ROWS", 7)
    monkeypatch.setattr(snapshot, "_ROW_GROUP_ROWS", 20)
    events = [click(f"2025-06-02 {at % 24:02}:{at % 60:02}", at) for at in range(100)]
    site.send([*events, *events[::3], *({**event, "bid": "2"} for event in events[::5])])
    taken = taken_of(site)
    assert (taken.distinct, taken.duplicates, taken.conflicts) == (100, 34, 20)
    found = [row["create_time"] for row in rows(site, taken)]
    assert found == sorted(str(event["create_time"]) for event in events)
    files = [site.objects.local(file.key) for file in taken.files]
    assert (taken.digest, taken.rows) == ((hashed := digest(files, RAW_TRACKING)).sha256, hashed.rows)
