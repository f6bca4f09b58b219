"""Sources, read again from where they came: what the door says of each row now, to be compared with the lake.

What belongs here: what can be read again, and files. What does not: messages (`event_log`), simulated traffic
(`simulation.again`), the comparison (`pipeline.source_audit`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.files import SourceFile, look_at
from recruitment_platform.ingest.importer import judge
from recruitment_platform.ingest.readers import read_tracking
from recruitment_platform.model.door import DoorRules
from recruitment_platform.resources.protocols import SourceState


@dataclass(frozen=True)
class JudgedRows:
    """Rows of a source: `accepted` as of `DoorResult`, and the positions (int64) of those that must be rejected."""

    accepted: pa.Table
    rejected: pa.ChunkedArray


@dataclass(frozen=True)
class Reread:
    """A source that can be read again: `batches` are its rows from `first` to `last` position, both included.

    `read_from` says where, for people. `expired` positions before `first` are there no more. Reading the batches raises
    InputError where the source turns out to be another one, StoreUnavailableError where its store is away.
    """

    read_from: str
    first: int
    last: int
    batches: Iterator[JudgedRows]
    expired: int = 0


@dataclass(frozen=True)
class Unreadable:
    """A source that cannot be read again, and why."""

    why: str


def reread_file(rules: DoorRules, state: SourceState) -> Reread | Unreadable:
    """The file, from the first of its known paths at which its content still lies."""
    found = []
    for path in state.paths:
        try:
            file = look_at(Path(path))
        except InputError as error:
            found.append(str(error))
            continue
        if file.source == state.source:
            return Reread(path, 1, state.last_position, _rows(rules, file))
        found.append(f"{path}: has other content now")
    return Unreadable(f"gone or changed: {'; '.join(found) or 'no path of it is known'}")


def _rows(rules: DoorRules, file: SourceFile) -> Iterator[JudgedRows]:
    now = datetime.now(UTC)
    for batch in read_tracking(file):
        judged = judge(batch, rules, file.source, now)
        bad = pa.array([row.position for row in batch.bad], pa.int64())
        yield JudgedRows(judged.accepted, pa.chunked_array([*judged.rejected["position"].chunks, bad], pa.int64()))
    file.check_unchanged()
