"""Whether the lake has of a day exactly what its sources have: they are read again, and the sets of ids compared.

A loss could hide among duplicates, where only counts are compared. What belongs here: the comparison. What does not:
reading a source again (`ingest.rereading`, `ingest.event_log`, `simulation.again`).
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date

import duckdb
import pyarrow as pa

from recruitment_platform.errors import InputError
from recruitment_platform.ingest.rereading import Reread, Unreadable
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.pipeline.reconciliation import MEMORY, REPLAYED, origin
from recruitment_platform.resources.protocols import EventLake, SourceState
from recruitment_platform.sql import connect_duckdb, load_sql

LISTED = 10
"""How many differing rows of a source are told one by one, of each kind."""

MARGIN = 50_000
"""So many positions before a day's first and after its last row are read again too, where not all of a source is: what
was lost there would lie beyond the rows that the lake knows."""

_COLUMNS = ["create_time", "payload_hash", "event_date", "position"]

ReadAgain = Callable[[SourceState, int, int], Reread | Unreadable]
"""Reads a source again: all of it, or the positions from the first to the last one given."""


@dataclass(frozen=True)
class DifferingRow:
    """A row that is `missing` in the lake, or `extra`: in the lake, but not in the source."""

    what: str
    create_time: str
    position: int


@dataclass(frozen=True)
class ComparedSource:
    """A source's rows of the day, each known by id, content and position: `missing` and `extra` must be 0.

    `in_lake` counts those within the positions that were read again; `mended` ones of them were rejected, mended and
    replayed: they have no like in the source. Where it could not be read, `unreadable` says why, and nothing is
    compared. `expired` positions were there no more. `problem` is empty where all is as it must be.
    """

    source: str
    read_from: str = ""
    unreadable: str = ""
    in_source: int = 0
    in_lake: int = 0
    mended: int = 0
    missing: int = 0
    extra: int = 0
    expired: int = 0
    rows: tuple[DifferingRow, ...] = ()

    @property
    def problem(self) -> str:
        """What is wrong."""
        missing = f"{self.missing:,} rows of it are missing in the lake" if self.missing else ""
        extra = f"{self.extra:,} rows in the lake are not in it" if self.extra else ""
        return ", ".join(filter(None, (missing, extra)))


def audit_sources(
    lake: EventLake, day: date, read_again: ReadAgain, progress: Callable[[int], None]
) -> list[ComparedSource]:
    """Compares the day's sources with the lake, by name; `progress` is told how many more rows were read again.

    Raises StoreUnavailableError where lake or log cannot be read.
    """
    # Before the scan: what a source had brought by now must be there.
    known = {state.source: state for state in lake.sources()}
    refused: dict[str, list[int]] = defaultdict(list)
    for row in lake.rejected(table=TRACKING.name):
        refused[row.source].append(row.position)
    scan = lake.scan(day, ("create_time", "payload_hash", "source", "position"))
    with _connection() as connection:
        with scan.read_by(connection):
            connection.execute(load_sql("pipeline", "source_audit_lake"))
        taken_in = {state.source: state.last_position for state in lake.sources()}
        ranges = {name: of for name, *of in connection.sql(load_sql("pipeline", "source_audit_ranges")).fetchall()}
        replayed = {origin(state.source): state.rows for state in lake.day_states([day]) if REPLAYED in state.source}
        compared = []
        for source in sorted({origin(partition) for partition in scan.watermark} | ranges.keys()):
            state = known.get(source, SourceState(source, (), 0, 0, 0, 0))
            rows, first, last = ranges.get(source, (0, 1, scan.watermark.get(source, 0)))
            last = max(last, scan.watermark.get(source, 0)) + MARGIN
            again = read_again(state, max(1, first - MARGIN), min(last, state.last_position))
            if isinstance(again, Reread):
                limits = _Limits(again.first, again.last, taken_in.get(source, 0))
                found = _compared(connection, day, source, again, limits, refused[source], progress)
            else:
                found = ComparedSource(source, unreadable=again.why, in_lake=rows)
            invented = max(0, found.mended - replayed.get(source, 0))
            compared.append(replace(found, mended=found.mended - invented, extra=found.extra + invented))
        return compared


@dataclass(frozen=True)
class _Limits:
    """Positions of a source that were read again, and how far the lake had taken it in once it was scanned."""

    first: int
    last: int
    taken_in: int


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with (
        tempfile.TemporaryDirectory(prefix="audit-") as scratch,
        connect_duckdb(config={"memory_limit": MEMORY, "temp_directory": scratch}) as connection,
    ):
        yield connection


def _compared(
    connection: duckdb.DuckDBPyConnection,
    day: date,
    source: str,
    again: Reread,
    limits: _Limits,
    refused: list[int],
    progress: Callable[[int], None],
) -> ComparedSource:
    covered = {"first": limits.first, "last": limits.last}
    connection.execute(load_sql("pipeline", "source_audit_forget"))
    try:
        for judged in again.batches:
            connection.register("batch", judged.accepted.select(_COLUMNS))
            connection.execute(load_sql("pipeline", "source_audit_rows"), {"day": day, **covered})
            connection.register("rejected", pa.table({"position": judged.rejected}))
            connection.execute(load_sql("pipeline", "source_audit_rejected"))
            progress(judged.accepted.num_rows + len(judged.rejected))
    except InputError as error:
        return ComparedSource(source, unreadable=str(error))
    connection.register("refused", pa.table({"position": pa.array(refused, pa.int64())}))
    counted = connection.execute(load_sql("pipeline", "source_audit_counts"), {"source": source, **covered}).fetchall()
    differing = connection.execute(
        load_sql("pipeline", "source_audit_differences"), {"source": source, "listed": LISTED, **asdict(limits)}
    ).fetchall()
    totals = {what: total for what, _, _, total in differing}
    ((in_source, in_lake, mended),) = counted
    return ComparedSource(
        source=source,
        read_from=again.read_from,
        in_source=in_source,
        in_lake=in_lake,
        mended=mended,
        missing=totals.get("missing", 0),
        extra=totals.get("extra", 0),
        expired=again.expired,
        rows=tuple(DifferingRow(what, create_time, position) for what, create_time, position, _ in differing),
    )
