"""The embedded lake under several processes at once, under processes that are killed, and on a full disk."""

import json
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.resources.lake.parquet import open_lake
from recruitment_platform.resources.protocols import EventLake, SourceState
from recruitment_platform_tests.resources.lake.process import BATCH
from recruitment_platform_tests.resources.lake_batches import (
    RULES,
    append_all,
    contents,
    events_in,
    events_of,
    hash_sum,
    through_door,
)
from recruitment_platform_tests.site import click

FILE, OTHER = "file:" + "a" * 64, "file:" + "b" * 64
ROWS = 40 * BATCH


@pytest.fixture(scope="module")
def events() -> pa.Table:
    noise = random.Random(11)
    return through_door(
        FILE,
        [click(f"2024-05-0{at % 3 + 6} 10:00", at, uid=str(at), ua=noise.randbytes(250).hex()) for at in range(ROWS)],
    )


@pytest.fixture(scope="module")
def events_file(events: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    pq.write_table(events, path)
    return path


def started(command: str, root: Path, events_file: Path, source: str = FILE) -> subprocess.Popen[str]:
    module = "recruitment_platform_tests.resources.lake.process"
    arguments = [sys.executable, "-m", module, command, str(root), str(events_file), source]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str], line: str = "") -> str:
    out, _ = process.communicate(line, timeout=120)
    assert process.returncode == 0
    return out


def assert_holds_once(lake: EventLake, source: str, events: pa.Table) -> None:
    """Every event of the source is in the lake, once, and the catalog's counts say so."""
    held = pa.concat_tables([events_of(lake, day) for day in lake.days()])
    held = held.filter(pa.compute.equal(held["source"], source)).sort_by("position")
    assert held["position"].to_pylist() == list(range(1, ROWS + 1))
    assert held["uid"].to_pylist() == events["uid"].to_pylist()
    states = [state for state in lake.day_states() if state.source == source]
    assert [state.rows for state in states] == [267, 267, 266]
    assert [state.hash_sum for state in states] == [
        hash_sum(held.filter(pa.compute.equal(held["event_date"], state.event_date))) for state in states
    ]
    assert SourceState(source, (), ROWS, ROWS, ROWS, 0) in lake.sources()


def test_processes_that_import_at_once_bring_every_event_in_once(
    tmp_path: Path, events: pa.Table, events_file: Path
) -> None:
    """Two bring the same source, one another; they also race for who creates the lake. A reader sees whole batches."""
    root = tmp_path / "lake"
    other_events = tmp_path / "other.parquet"
    sources = events.schema.get_field_index("source")
    pq.write_table(events.set_column(sources, events.field("source"), pa.array([OTHER] * ROWS)), other_events)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started("take", root, file, source))
            for file, source in ((events_file, FILE), (events_file, FILE), (other_events, OTHER))
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        lake = open_lake(root, RULES)
        looks = 0
        while any(process.poll() is None for process in processes):
            for day in lake.days():
                scan = lake.scan(day)
                assert events_in(scan).num_rows == scan.accepted
            assert sum(state.rows for state in lake.day_states()) % BATCH == 0
            looks += 1
        own = [int(answer(process)) for process in processes]
    assert looks > 0
    assert own[0] + own[1] == own[2] == ROWS / BATCH
    for source in (FILE, OTHER):
        assert_holds_once(lake, source, events)
    assert lake.clean(timedelta(0)) == 0


def test_a_writer_killed_at_any_moment_and_run_again_brings_every_event_in_once(
    tmp_path: Path, events: pa.Table, events_file: Path
) -> None:
    root = tmp_path / "lake"
    chance = random.Random(4711)
    progress = []
    for _ in range(5):
        with started("take", root, events_file) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            process.stdin.write("go\n")
            process.stdin.flush()
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
        lake = open_lake(root, RULES)
        progress.append(lake.progress(FILE))
        assert sum(state.rows for state in lake.day_states()) == progress[-1]
    assert progress == sorted(progress)
    while (after := lake.progress(FILE)) < ROWS:
        assert append_all(lake, FILE, events.slice(after, BATCH))
    assert_holds_once(lake, FILE, events)
    before = contents(lake)
    lake.clean(timedelta(0))
    assert contents(lake) == before


def test_a_writer_killed_at_each_of_its_steps_leaves_whole_batches(
    tmp_path: Path, events: pa.Table, events_file: Path
) -> None:
    root = tmp_path / "lake"
    with started("crash", root, events_file) as process:
        assert int(answer(process)) > 30
    lake = open_lake(root, RULES)
    while (after := lake.progress(FILE)) < ROWS:
        assert append_all(lake, FILE, events.slice(after, BATCH))
    assert_holds_once(lake, FILE, events)
    assert lake.clean(timedelta(0)) > 0
    assert_holds_once(lake, FILE, events)
    assert {path.suffix for path in root.rglob("*") if path.is_file()} <= {".parquet", ".sqlite"}


def test_on_a_full_disk_nothing_is_half_written_and_one_line_says_what_to_do(
    tmp_path: Path, events: pa.Table, events_file: Path
) -> None:
    root = tmp_path / "lake"
    with started("starve", root, events_file) as process:
        files, catalog, freely = json.loads(answer(process))
    for starved, cause in ((files, "File too large"), (catalog, "disk I/O error")):
        advice = "make room, or set RECRUITMENT_HOME to a folder on another disk"
        assert starved == {"error": f"the lake at {root} cannot be used: {cause}; {advice}", "files": []}
    assert freely == {"appended": True}
    lake = open_lake(root, RULES)
    assert lake.sources() == [SourceState(FILE, (), BATCH, BATCH, BATCH, 0)]
    assert list(lake.rejected()) == []
