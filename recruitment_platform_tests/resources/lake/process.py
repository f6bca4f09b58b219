"""A process of its own that appends to an embedded lake: to be started several times at once, killed, starved of disk.

`python -m recruitment_platform_tests.resources.lake.process COMMAND ROOT EVENTS SOURCE`, where EVENTS is a Parquet file
of accepted events; answers on stdout.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from types import FrameType

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.lake.event_files import by_day
from recruitment_platform.resources.lake.parquet import ParquetLake, open_lake
from recruitment_platform_tests.resources.lake_batches import RULES, append_all, rejected_row

BATCH = 20
CALLS_BETWEEN_KILLS = 5


def take(root: Path, events: pa.Table, source: str) -> None:
    """Waits for a line on stdin, appends all that the lake does not have yet, answers how many batches were its own."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    lake = open_lake(root, RULES)
    own = 0
    while (after := lake.progress(source)) < events.num_rows:
        batch = events.slice(after, BATCH)
        last = after + batch.num_rows
        own += lake.append(
            source, accepted=batch, rejected=[], after=after, last_position=last, received=batch.num_rows
        )
    sys.stdout.write(f"{own}\n")


def crash(root: Path, events: pa.Table, source: str) -> None:
    """Kills an appending process ever later, until one comes through; answers with the number of kills.

    A child of this process stops dead before the n-th call that its Python code makes into C, which is what all of
    opening, writing, syncing, renaming and committing are.
    """
    lake = open_lake(root, RULES)
    # Compiled loops are loaded before: to load them takes more calls than all else together.
    assert len(list(by_day(events))) > 1
    kills = 0
    while True:
        child = os.fork()
        if child == 0:
            kill_before_call(kills * CALLS_BETWEEN_KILLS)
            append_all(lake, source, events.slice(lake.progress(source), BATCH))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert_whole(lake, source)
        if not os.WIFSIGNALED(status):
            break
        kills += 1
    sys.stdout.write(f"{kills}\n")


def kill_before_call(number: int) -> None:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        if event == "c_call":
            calls += 1
            if calls > number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def assert_whole(lake: ParquetLake, source: str) -> None:
    """Whatever is in the lake is whole batches, each once."""
    with lake.reading() as connection:
        listed = [lake.root / path for (path,) in connection.execute("SELECT path FROM files")]
    in_files = sum(pq.read_metadata(path).num_rows for path in listed)
    in_states = sum(state.rows for state in lake.day_states())
    assert in_files == in_states == lake.progress(source), (in_files, in_states, lake.progress(source))
    assert in_states % BATCH == 0, in_states


def starve(root: Path, events: pa.Table, source: str) -> None:
    """Appends where no file may grow beyond 64 kB, as on a full disk: first an event file would, then the catalog.

    Answers with both errors and the files that were left after each, and whether it goes well once there is room.
    """
    lake = open_lake(root, RULES)
    few = events.slice(0, BATCH)
    large = rejected_row(source, BATCH + 1, content=json.dumps({"ua": "x" * 1_000_000}))
    answers = []
    for batch, rejected in ((events, []), (few, [large])):
        resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, resource.RLIM_INFINITY))
        try:
            append_all(lake, source, batch, rejected)
        except StoreUnavailableError as error:
            answers.append({"error": str(error), "files": [path.name for path in root.glob("tracking/*/*")]})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    answers.append({"appended": append_all(lake, source, few)})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    command, root, events, source = sys.argv[1:]
    {"take": take, "crash": crash, "starve": starve}[command](Path(root), pq.read_table(events), source)
