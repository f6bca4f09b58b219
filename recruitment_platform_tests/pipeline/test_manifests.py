"""Manifests: read back as they were written, numbered without gaps, and of many writers none is lost."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from recruitment_platform.errors import ReconciliationError, SupersededError
from recruitment_platform.pipeline.manifests import (
    DIM_MANIFESTS,
    DimManifest,
    FactsManifest,
    FileEntry,
    SnapshotManifest,
    facts_candidates,
    from_json,
    history,
    in_force,
    is_behind,
    manifest_key,
    publish,
    publish_next,
    snapshot_manifests,
    staged_manifests,
    to_json,
)
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform_tests.processes import at_once

DAY = date(2022, 7, 6)
NOW = datetime(2022, 7, 7, 1, 2, 3, 456789, tzinfo=UTC)
PREFIX = snapshot_manifests(DAY)

SNAPSHOT = SnapshotManifest(
    day=DAY,
    number=1,
    run_id="run-1",
    created_at=NOW,
    watermark={"file:b": 2, "file:a": 7},
    accepted=9,
    distinct=7,
    duplicates=1,
    conflicts=1,
    kinds={"not_countable": 3, "click": 4},
    click_micros=1_500_000,
    fallback_times=2,
    clicks_without_job=1,
    clicks_without_bid=0,
    ids_on_two_days=0,
    files=(FileEntry("raw_tracking/dt=2022-07-06/run-1.parquet", 1234, 7, 1_500_000),),
    rows=7,
    digest="ab" * 32,
    code_version="é1",
    positions={"file:a": (1, 7), "file:b": (2, 2)},
    listing=FileEntry("raw_tracking/dt=2022-07-06/run-1-listing.parquet", 99, 1, 0),
)
FACTS = FactsManifest(
    day=DAY,
    number=1,
    run_id="run-1",
    created_at=NOW,
    snapshot=3,
    watermark={"file:a": 7},
    dim_version=2,
    code_version="1",
    engine="spark",
    schema=(("job_id", "int"), ("dates", "date")),
    files=(),
    rows=0,
    clicks=0,
    conversion=0,
    qualified=0,
    disqualified=0,
    spend_micros=0,
    digest="cd" * 32,
)
DIMENSIONS = DimManifest(
    number=1,
    refresh=4,
    run_id="run-1",
    created_at=NOW,
    as_of=NOW,
    key="dim_jobs/1.parquet",
    rows=10,
    digest="ef" * 32,
    publishers_key="dim_publishers/1.parquet",
    publishers_rows=3,
    publishers_digest="01" * 32,
)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


def test_days_and_steps_have_their_own_numbers() -> None:
    prefixes = [
        prefix
        for day in (DAY, DAY + timedelta(days=1))
        for prefix in (snapshot_manifests(day), facts_candidates(day), staged_manifests(day))
    ]
    assert len({*prefixes, DIM_MANIFESTS}) == 7
    assert manifest_key(PREFIX, 1) == "raw_tracking/dt=2022-07-06/manifests/000001.json"


@pytest.mark.parametrize("manifest", [SNAPSHOT, FACTS, DIMENSIONS], ids=lambda manifest: type(manifest).__name__)
def test_a_manifest_is_read_back_as_it_was_written(manifest: Any) -> None:
    assert from_json(to_json(manifest), type(manifest), "key") == manifest


def test_a_snapshot_written_before_positions_were_kept_is_still_read() -> None:
    document = json.loads(to_json(SNAPSHOT))
    del document["positions"]
    assert from_json(json.dumps(document).encode(), SnapshotManifest, "key") == replace(SNAPSHOT, positions={})


def test_equal_manifests_are_equal_bytes_with_sorted_keys() -> None:
    other = replace(
        SNAPSHOT, watermark=dict(reversed(SNAPSHOT.watermark.items())), kinds=dict(reversed(SNAPSHOT.kinds.items()))
    )
    assert to_json(other) == to_json(SNAPSHOT)
    document = json.loads(to_json(SNAPSHOT))
    assert list(document) == sorted(document)
    assert list(document["watermark"]) == ["file:a", "file:b"]
    assert document["format"] == "raw_tracking snapshot 1"


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(to_json(SNAPSHOT)) | fields).encode()


def without(field: str) -> bytes:
    document = json.loads(to_json(SNAPSHOT))
    del document[field]
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is no JSON"),
        (to_json(SNAPSHOT)[:-30], "it is no JSON"),
        (b"\xff\xfe\x00", "it is no JSON"),
        (b"[]", "its format is None"),
        (to_json(FACTS), "its format is 'hourly facts 1', this version reads 'raw_tracking snapshot 1'"),
        (changed(format="raw_tracking snapshot 2"), "its format is 'raw_tracking snapshot 2'"),
        (changed(colour="red"), "unknown field colour"),
        (without("watermark"), "watermark: Field required"),
        (changed(rows="7"), "rows: Input should be a valid integer"),
        (changed(watermark={"file:a": 1.5}), "watermark.file:a: Input should be a valid integer"),
        (changed(created_at="2022-07-07T01:02:03"), "created_at: Input should have timezone info"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named_with_what_to_do(store: FolderStore, data: bytes, told: str) -> None:
    store.put_if_absent(manifest_key(PREFIX, 1), data)
    for read in (in_force, history):
        with pytest.raises(ReconciliationError) as caught:
            read(store, PREFIX, SnapshotManifest)
        assert str(caught.value).startswith(f"manifest {PREFIX}000001.json cannot be read: {told}")
        assert "materialize its partition again" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_manifest_under_another_number_is_not_believed(store: FolderStore) -> None:
    store.put_if_absent(manifest_key(PREFIX, 2), to_json(SNAPSHOT))
    with pytest.raises(ReconciliationError, match="it says that its number is 1"):
        in_force(store, PREFIX, SnapshotManifest)


def test_what_could_not_be_read_back_is_not_published(store: FolderStore) -> None:
    with pytest.raises(ReconciliationError, match="created_at"):
        publish(store, PREFIX, replace(SNAPSHOT, created_at=datetime(2022, 7, 7)))
    assert store.list("") == []


def test_an_instant_is_the_same_whatever_its_zone(store: FolderStore) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=7)))
    publish(store, PREFIX, replace(SNAPSHOT, created_at=elsewhere))
    assert in_force(store, PREFIX, SnapshotManifest) == SNAPSHOT


def test_the_highest_number_is_in_force_whatever_else_lies_there(store: FolderStore) -> None:
    assert in_force(store, PREFIX, SnapshotManifest) is None
    assert history(store, PREFIX, SnapshotManifest) == []
    for number in (999_999, 2, 1_000_000, 10):
        assert publish(store, PREFIX, replace(SNAPSHOT, number=number))
    for stray in ("notes.json", "00003.json", "9999999.json.bak", "old/9999999.json"):
        store.put_if_absent(PREFIX + stray, b"stray")
    current = in_force(store, PREFIX, SnapshotManifest)
    assert current is not None
    assert current.number == 1_000_000
    assert [manifest.number for manifest in history(store, PREFIX, SnapshotManifest)] == [2, 10, 999_999, 1_000_000]


def test_a_number_is_taken_once(store: FolderStore) -> None:
    assert publish(store, PREFIX, SNAPSHOT)
    assert not publish(store, PREFIX, replace(SNAPSHOT, run_id="run-2"))
    assert in_force(store, PREFIX, SnapshotManifest) == SNAPSHOT


def test_publishing_next_counts_from_one_and_is_given_the_one_in_force(store: FolderStore) -> None:
    seen = []

    def build(number: int, current: SnapshotManifest | None) -> SnapshotManifest:
        seen.append((number, current))
        return replace(SNAPSHOT, number=number, run_id=f"run-{number}")

    first = publish_next(store, PREFIX, SnapshotManifest, build)
    second = publish_next(store, PREFIX, SnapshotManifest, build)
    assert [first.number, second.number] == [1, 2]
    assert seen == [(1, None), (2, first)]
    assert in_force(store, PREFIX, SnapshotManifest) == second


def test_a_writer_may_keep_the_one_in_force_or_refuse(store: FolderStore) -> None:
    def refuse(number: int, current: SnapshotManifest | None) -> SnapshotManifest:
        raise SupersededError("older")

    with pytest.raises(ValueError, match="nothing is in force"):
        publish_next(store, PREFIX, SnapshotManifest, lambda number, current: None)
    publish(store, PREFIX, SNAPSHOT)
    assert publish_next(store, PREFIX, SnapshotManifest, lambda number, current: None) == SNAPSHOT
    with pytest.raises(SupersededError):
        publish_next(store, PREFIX, SnapshotManifest, refuse)
    with pytest.raises(ValueError, match="instead of 2"):
        publish_next(store, PREFIX, SnapshotManifest, lambda number, current: SNAPSHOT)
    assert history(store, PREFIX, SnapshotManifest) == [SNAPSHOT]


def test_a_writer_that_was_overtaken_decides_again(store: FolderStore) -> None:
    """The older of two is asked again against the newer, and can then refuse: it never lands on top of it."""
    asked = []

    def build(number: int, current: SnapshotManifest | None) -> SnapshotManifest:
        asked.append((number, current.run_id if current else None))
        if len(asked) == 1:
            publish(store, PREFIX, replace(SNAPSHOT, number=number, run_id="faster"))
        elif current is not None and current.run_id == "faster":
            raise SupersededError("a newer snapshot is in force")
        return replace(SNAPSHOT, number=number, run_id="slower")

    with pytest.raises(SupersededError):
        publish_next(store, PREFIX, SnapshotManifest, build)
    assert asked == [(1, None), (2, "faster")]
    assert [manifest.run_id for manifest in history(store, PREFIX, SnapshotManifest)] == ["faster"]


TIMES = 15


def publish_many(folder: Path, writer: int) -> list[int]:
    """Each writer adds one to its own position in the watermark, on top of whatever is in force."""
    store = FolderStore(folder)
    name = f"file:{writer}"

    def build(number: int, current: SnapshotManifest | None) -> SnapshotManifest:
        watermark = dict(current.watermark) if current else {}
        watermark[name] = watermark.get(name, 0) + 1
        return replace(SNAPSHOT, number=number, run_id=name, watermark=watermark)

    return [publish_next(store, PREFIX, SnapshotManifest, build).number for _ in range(TIMES)]


def test_of_many_processes_that_publish_at_once_no_work_is_lost_and_no_number_left_out(store: FolderStore) -> None:
    writers = range(4)
    numbers = at_once(publish_many, [(store.root, writer) for writer in writers])
    assert sorted(number for own in numbers for number in own) == list(range(1, len(writers) * TIMES + 1))
    kept = history(store, PREFIX, SnapshotManifest)
    assert [manifest.number for manifest in kept] == list(range(1, len(writers) * TIMES + 1))
    assert kept[-1].watermark == {f"file:{writer}": TIMES for writer in writers}
    assert all(is_behind(older.watermark, newer.watermark) for older, newer in pairwise(kept))
    overtaken = sum(own != list(range(own[0], own[0] + TIMES)) for own in numbers)
    assert overtaken, "the processes ran one after the other: nothing was raced for"


def read_many(folder: Path, reads: int) -> list[int]:
    store = FolderStore(folder)
    found = []
    for _ in range(reads):
        current = in_force(store, PREFIX, SnapshotManifest)
        assert current is not None
        found.append(current.number)
        history(store, PREFIX, SnapshotManifest)
    return found


def publish_and_remove(folder: Path, times: int) -> list[int]:
    store = FolderStore(folder)
    for number in range(2, times):
        publish(store, PREFIX, replace(SNAPSHOT, number=number))
        store.delete([manifest_key(PREFIX, number - 1)])
    return []


def run_role(role: str, folder: Path, times: int) -> list[int]:
    return {"reader": read_many, "writer": publish_and_remove}[role](folder, times)


def test_a_reader_finds_the_one_in_force_while_superseded_ones_are_removed(store: FolderStore) -> None:
    publish(store, PREFIX, SNAPSHOT)
    read, _ = at_once(run_role, [("reader", store.root, 400), ("writer", store.root, 150)])
    assert read == sorted(read)
    assert len(set(read)) > 1


def test_a_listing_that_missed_the_one_in_force_is_asked_again(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, PREFIX, SNAPSHOT)
    whole, missing = store.list, [True]
    monkeypatch.setattr(FolderStore, "list", lambda _, prefix: [] if missing and missing.pop() else whole(prefix))
    current = in_force(store, PREFIX, SnapshotManifest)
    assert current is not None
    assert in_force(store, "raw_tracking/dt=1999-01-01/", SnapshotManifest) is None


@pytest.mark.parametrize(
    ("new", "current", "behind"),
    [
        ({}, {}, []),
        ({"a": 1}, {}, []),
        ({"a": 1}, {"a": 1}, []),
        ({"a": 2, "b": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({}, {"b": 1, "a": 1}, ["a", "b"]),
        ({"a": 5, "b": 1}, {"a": 1, "b": 2}, ["b"]),
        ({}, {"a": 0}, ["a"]),
        ({"a": 0}, {"a": 0}, []),
    ],
)
def test_a_watermark_is_behind_where_any_source_is_lower_and_an_absent_one_is_lowest(
    new: Mapping[str, int], current: Mapping[str, int], behind: list[str]
) -> None:
    assert is_behind(new, current) == behind
