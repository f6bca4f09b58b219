"""Nothing lost, nothing twice: imports that are killed and run again, and imports of one file at once."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from recruitment_platform_tests.ingest.event_files import event, write_csv
from recruitment_platform_tests.ingest.stores import Stores

ROWS = 2_000
BAD_ROWS = ROWS // 7 + 1


def start(stores: Stores, table: str, path: Path, *kill_after: str) -> subprocess.Popen[str]:
    """An import that waits for `go`."""
    module = "recruitment_platform_tests.ingest.import_process"
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(stores.home), table, str(path), *kill_after],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def write_events(path: Path) -> None:
    """Events of three days and rejected rows among them, some records longer than a line."""
    write_csv(
        path,
        [
            event(
                number,
                ts=f"2022-07-{9 + number % 3:02d} 10:00:00",
                bid="-1" if number % 7 == 0 else "0.5",
                ua="two\nlines" if number % 5 == 0 else "one",
            )
            for number in range(ROWS)
        ],
    )


def write_jobs(path: Path) -> None:
    rows = (f"{number},Job {number},{'x' if number % 7 == 0 else number}" for number in range(ROWS))
    path.write_text("\n".join(["id,title,company_id", *rows]) + "\n")


def content(stores: Stores) -> dict[str, Any]:
    """What must be the same however it got there: names of files, sizes and the day of ingest are not."""
    dump = stores.dump()
    return {
        "events": stores.events(),
        "day_states": stores.lake.day_states(),
        "sources": stores.lake.sources(),
        "rejected": [(row.table, row.source, row.position, row.reason, row.content) for row in stores.lake.rejected()],
        "job": dump["job"],
    }


def assert_adds_up(stores: Stores, table: str) -> None:
    """At any time: what is received is accepted or rejected, in the lake as in its books."""
    if table == "tracking":
        events = stores.events()
        for state in stores.lake.sources():
            assert state.received == state.accepted + state.rejected
            assert len(events) == state.accepted
            assert len(list(stores.lake.rejected())) == state.rejected
        assert sum(state.rows for state in stores.lake.day_states()) == len(events)
        assert len({row["position"] for row in events}) == len(events)
    else:
        assert stores.relational.counts().get(table, 0) in (0, ROWS - BAD_ROWS)


# When to kill: an int is a number of files and databases touched, a float is seconds.
KILLS: dict[str, list[int | float]] = {
    "tracking": [23, 0.25, 28, 0.1, 7, 0.2, 9, 0.05],
    # The fifth touch lies between what is rejected and what is stored.
    "job": [3, 4, 5, 0.02],
}


@pytest.mark.parametrize("table", KILLS)
def test_an_import_killed_anywhere_and_run_again_takes_every_row_in_once(tmp_path: Path, table: str) -> None:
    path = tmp_path / "a.csv"
    (write_events if table == "tracking" else write_jobs)(path)
    whole = Stores(tmp_path / "whole")
    assert whole.take(table, path).rejected == BAD_ROWS
    stores = Stores(tmp_path / "killed")
    killed = 0
    for moment in KILLS[table]:
        process = start(stores, table, path, *([str(moment)] if isinstance(moment, int) else []))
        go(process)
        if isinstance(moment, float):
            time.sleep(moment)
            process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        assert_adds_up(stores, table)
    assert killed >= 3
    last = start(stores, table, path)
    go(last)
    result = json.loads(last.communicate()[0])
    assert last.returncode == 0
    assert result["received"] == ROWS
    assert content(stores) == content(whole)


def test_two_imports_of_one_file_at_once_take_every_row_in_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_events(path)
    whole = Stores(tmp_path / "whole")
    whole.take("tracking", path)
    stores = Stores(tmp_path / "shared")
    processes = [start(stores, "tracking", path) for _ in range(2)]
    for process in processes:
        go(process)
    results = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert total(results, "accepted") == ROWS - BAD_ROWS
    assert all(result["received"] == ROWS for result in results)
    assert all(result["known"] == ROWS - BAD_ROWS - result["accepted"] for result in results)
    assert content(stores) == content(whole)


def total(results: Iterable[dict[str, int]], name: str) -> int:
    return sum(result[name] for result in results)
