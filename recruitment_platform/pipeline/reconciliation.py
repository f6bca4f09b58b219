"""Promise 1 as a table: the rows that the lake has of a day, by source and kind, against what was published of them.

What belongs here: counting the lake's rows up to a snapshot's watermark, and comparing figures. What does not:
collecting the rest that is known of a day (`pipeline.audit`), the gate before publishing (`pipeline.publish`).
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from recruitment_platform.pipeline.manifests import FactsManifest, SnapshotManifest
from recruitment_platform.pipeline.totals import KINDS
from recruitment_platform.resources.protocols import AdjustmentRow, DayTotals, LakeScan, LedgerRow, Watermark
from recruitment_platform.sql import connect_duckdb, load_sql

REPLAYED = "replayed:"
"""In front of a source's name: the source partition of its rows that were rejected, mended and replayed."""

LAKE_COLUMNS = ("create_time", "payload_hash", "source", "position", "custom_track", "bid_micros")
"""What is read of the lake."""

COUNTS = ("accepted", "distinct", "duplicates", "conflicts")
SPEND = "spend in micros"

EVERY_POSITION = 2**63 - 1

MEMORY = "1GB"
"""What an audit holds at most of a day's rows in memory, others lie on the disk."""

Figures = Mapping[str, Mapping[str, int]]
"""By place the figures that it has."""


@dataclass(frozen=True)
class KindOfSource:
    """Rows of one source and kind in the snapshot: accepted = distinct + duplicates + conflicts.

    `click_micros` is what its distinct clicks cost.
    """

    source: str
    kind: str
    accepted: int
    distinct: int
    duplicates: int
    conflicts: int
    click_micros: int

    @property
    def holds(self) -> bool:
        """Whether it adds up."""
        return self.accepted == self.distinct + self.duplicates + self.conflicts


@dataclass(frozen=True)
class Comparison:
    """A figure as several of lake, snapshot, facts, ledger and table have it: all must be equal."""

    what: str
    values: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether all are equal."""
        return len(set(self.values.values())) <= 1


@dataclass(frozen=True)
class HeldRows:
    """What a scan of the day found of a source; `later_rows` lie beyond the reach."""

    rows: int = 0
    later_rows: int = 0
    first_position: int = 0
    last_position: int = 0
    hash_sum: int = 0


@dataclass(frozen=True)
class Booked:
    """What the warehouse tells of the day: every load and booking, and what the table holds by the newest load."""

    loads: list[LedgerRow]
    table: DayTotals | None
    closed: bool
    bookings: list[AdjustmentRow]
    in_force: AdjustmentRow | None


def origin(partition: str) -> str:
    """The source whose rows a source partition has: mended rows keep the source they were rejected from."""
    return partition.removeprefix(REPLAYED)


def reach_of(now: Watermark, then: Watermark) -> tuple[dict[str, int], tuple[str, ...]]:
    """Up to which position of each source the snapshot goes, and the sources of which that cannot be told.

    A mended row keeps its position: where a source had rows replayed, and has moved on, positions do not tell.
    """
    reach: dict[str, int] = {}
    unclear = []
    for source in sorted({origin(partition) for partition in now}):
        partitions = (source, REPLAYED + source)
        if all(now.get(partition) == then.get(partition) for partition in partitions):
            reach[source] = EVERY_POSITION
        elif not any(partition in then for partition in partitions):
            reach[source] = 0
        elif partitions[1] not in now:
            reach[source] = then[source]
        else:
            unclear.append(source)
            reach[source] = then.get(source, 0)
    return reach, tuple(unclear)


def scanned(scan: LakeScan, reach: Mapping[str, int]) -> tuple[dict[str, HeldRows], tuple[KindOfSource, ...]]:
    """What the scan (of `LAKE_COLUMNS`) has of each source, and by source and kind what lies within the reach."""
    with (
        tempfile.TemporaryDirectory(prefix="audit-") as scratch,
        connect_duckdb(config={"memory_limit": MEMORY, "temp_directory": scratch}) as connection,
    ):
        connection.register(
            "reach",
            pa.table(
                {
                    "source": pa.array(reach.keys(), pa.string()),
                    "last_position": pa.array(reach.values(), pa.int64()),
                }
            ),
        )
        with scan.read_by(connection):
            connection.execute(load_sql("pipeline", "audit_arrivals"))
        return _by_source(connection), _by_kind(connection)


def _by_source(connection: duckdb.DuckDBPyConnection) -> dict[str, HeldRows]:
    rows = connection.sql(load_sql("pipeline", "audit_sources")).to_arrow_table().to_pylist()
    return {row.pop("source"): HeldRows(**row | {"hash_sum": int(row["hash_sum"])}) for row in rows}


def _by_kind(connection: duckdb.DuckDBPyConnection) -> tuple[KindOfSource, ...]:
    rows = connection.sql(load_sql("pipeline", "reconciliation")).to_arrow_table().to_pylist()
    return tuple(sorted((KindOfSource(**row) for row in rows), key=lambda line: (line.source, KINDS.index(line.kind))))


def comparisons(
    lake: Mapping[str, int], snapshot: SnapshotManifest, facts: FactsManifest | None, booked: Booked
) -> Iterator[Comparison]:
    """Figures that must be equal; `lake` is empty where its side cannot be told.

    Ledger and table are compared with the facts where these are what is loaded, else with each other.
    """
    load = booked.loads[-1] if booked.loads else None
    published: Figures = {"lake": lake, "snapshot": _of_snapshot(snapshot), "facts": _of_totals(facts)}
    loaded = {} if load is None else {"click": load.clicks, "rows": load.rows, SPEND: load.spend_micros}
    in_warehouse: Figures = {"ledger": loaded, "table": _of_totals(booked.table)}
    if facts is None or load is None or load.manifest == facts.number:
        groups: dict[str, Figures] = {"": {**published, **in_warehouse}}
    else:
        groups = {"": published, ", as loaded": in_warehouse}
    for suffix, places in groups.items():
        for what in (*COUNTS, *KINDS, SPEND, "rows"):
            values = {where: figures[what] for where, figures in places.items() if what in figures}
            if values:
                yield Comparison(what + suffix, values)


def adjusted(newest: SnapshotManifest, booked: Booked) -> Iterator[Comparison]:
    """Of a closed day: the newest snapshot is what was billed and what is adjusted, where that was computed of it."""
    booking = booked.in_force
    if booking is None or booking.watermark != newest.watermark:
        return
    table = _of_totals(booked.table)
    for what, more in (("click", booking.clicks), (SPEND, booking.spend_micros)):
        values = {"snapshot": _of_snapshot(newest)[what], "table and adjustments": table.get(what, 0) + more}
        yield Comparison(f"{what}, adjusted", values)


def figures_of_lines(lines: Sequence[KindOfSource], dropped: int) -> dict[str, int]:
    """What the lines add up to; `dropped` are duplicates that the lake itself has left out already."""
    counts = {what: sum(getattr(line, what) for line in lines) for what in COUNTS}
    counts["accepted"] += dropped
    counts["duplicates"] += dropped
    kinds = {kind: sum(line.distinct for line in lines if line.kind == kind) for kind in KINDS}
    return counts | kinds | {SPEND: sum(line.click_micros for line in lines)}


def _of_snapshot(snapshot: SnapshotManifest) -> dict[str, int]:
    counts = {what: int(getattr(snapshot, what)) for what in COUNTS}
    return counts | {kind: snapshot.kinds.get(kind, 0) for kind in KINDS} | {SPEND: snapshot.click_micros}


def _of_totals(totals: FactsManifest | DayTotals | None) -> dict[str, int]:
    if totals is None:
        return {}
    return {
        "click": totals.clicks,
        "conversion": totals.conversion,
        "qualified": totals.qualified,
        "unqualified": totals.disqualified,
        "rows": totals.rows,
        SPEND: totals.spend_micros,
    }
