"""What a day is made of: its sources, how they add up, what was left out, and every load with what it changed.

All is read from the stores as they are, nothing is remembered for it. What belongs here: collecting and comparing
(promise 1, by source and kind). What does not: showing it (`cli`), reading sources again (`pipeline.source_audit`).
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import InputError
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.pipeline.manifests import FactsManifest, SnapshotManifest
from recruitment_platform.pipeline.publish import current_facts, snapshot_of
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.pipeline.totals import KINDS
from recruitment_platform.resources.kafka.sources import PREFIX as KAFKA
from recruitment_platform.resources.protocols import (
    DayState,
    DayTotals,
    EventLake,
    LakeScan,
    LedgerRow,
    ObjectStore,
    SourceState,
    Warehouse,
    Watermark,
)
from recruitment_platform.sql import connect_duckdb, load_sql

REPLAYED = "replayed:"
"""In front of a source's name: the source partition of its rows that were rejected, mended and replayed."""

LISTED = 10
"""How many of the ids that rule 1 lists are told one by one, of each reason."""

LISTED_REASONS = ("conflict", "id_on_two_days")
COUNTS = ("accepted", "distinct", "duplicates", "conflicts")
SPEND = "spend in micros"

EVERY_POSITION = 2**63 - 1

Figures = Mapping[str, Mapping[str, int]]
"""By place the figures that it has."""

_COLUMNS = ("create_time", "payload_hash", "source", "position", "custom_track", "bid_micros")
_KINDS_OF_SOURCES = {"file:": "file", KAFKA: "kafka", "simulator:": "simulated"}


@dataclass(frozen=True)
class SourceOfDay:
    """What one source brought to the day, and the source as a whole (`received` and on, promise 1).

    `rows` came in at once, `replayed` after they were mended; `later_rows` are not yet in the snapshot, None where that
    cannot be told. Positions are those of its rows on the day, 0 where it has none. `problems` tell what does not
    add up.
    """

    source: str
    kind: str
    paths: tuple[str, ...]
    rows: int
    replayed: int
    later_rows: int | None
    first_position: int
    last_position: int
    received: int
    accepted: int
    rejected: int
    problems: tuple[str, ...]


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
class RejectedReason:
    """Rows of a source that were rejected for one reason on one ingest day, and are still."""

    ingest_date: date
    source: str
    reason: str
    rows: int
    first_position: int


@dataclass(frozen=True)
class ListedId:
    """An event that rule 1 lists: a `conflict` that does not count, or an `id_on_two_days`; where it first came."""

    reason: str
    create_time: str
    source: str
    position: int


@dataclass(frozen=True)
class Load:
    """A load of the day, and the one before it, None for the first."""

    row: LedgerRow
    before: LedgerRow | None

    @property
    def changes(self) -> tuple[int, int, int]:
        """By how many rows, clicks and micros of spend it changed what was loaded before."""
        now, then = self.row, self.before
        if then is None:
            return now.rows, now.clicks, now.spend_micros
        return now.rows - then.rows, now.clicks - then.clicks, now.spend_micros - then.spend_micros

    @property
    def why(self) -> tuple[str, ...]:
        """What was not as at the load before: events, dim_jobs, the code; `digest` tells whether any row differs."""
        now, then = self.row, self.before
        if then is None:
            return ("first load",)
        moved = sorted(source for source, position in now.watermark.items() if then.watermark.get(source) != position)
        told = {
            f"events from {moved[0] if len(moved) == 1 else f'{len(moved)} sources'}" if moved else "": bool(moved),
            f"dim_jobs {then.dim_version} → {now.dim_version}": now.dim_version != then.dim_version,
            f"code {then.code_version} → {now.code_version}": now.code_version != then.code_version,
            "no row changed": now.digest == then.digest,
        }
        return tuple(text for text, is_so in told.items() if is_so)


@dataclass(frozen=True)
class DayAudit:
    """All that is known of a day.

    `snapshot` is the one behind the published facts, else the one in force; `newer_snapshot` the number in force where
    that is a later one. `unclear` sources moved on since the snapshot, and had rows replayed: which of their rows were
    in it cannot be told, so the lake's side of `comparisons` is left out. `listed` has the first ids of each reason.
    """

    day: date
    snapshot: SnapshotManifest
    newer_snapshot: int | None
    facts: FactsManifest | None
    later_rows: int
    sources: tuple[SourceOfDay, ...]
    kinds: tuple[KindOfSource, ...]
    comparisons: tuple[Comparison, ...]
    unclear: tuple[str, ...]
    rejected: tuple[RejectedReason, ...]
    listed: tuple[ListedId, ...]
    loads: tuple[Load, ...]

    @property
    def problems(self) -> list[str]:
        """Every line that does not hold."""
        lines = [f"{source.source}: {problem}" for source in self.sources for problem in source.problems]
        lines += [f"{line.source}, {line.kind}: does not add up" for line in self.kinds if not line.holds]
        for compared in self.comparisons:
            if not compared.holds:
                values = ", ".join(f"{value:,} by the {where}" for where, value in compared.values.items())
                lines.append(f"{compared.what}: {values}")
        return lines


@dataclass(frozen=True)
class _Found:
    """What a scan of the day found, by source."""

    rows: int = 0
    later_rows: int = 0
    first_position: int = 0
    last_position: int = 0
    hash_sum: int = 0


def audit_day(lake: EventLake, store: ObjectStore, warehouse: Warehouse, day: date) -> DayAudit:
    """Collects and compares what the stores hold of the day; one scan of the day, which may be changing meanwhile.

    Raises InputError where the day never had a snapshot, ReconciliationError where a manifest cannot be read,
    StoreUnavailableError where a store cannot be.
    """
    facts = current_facts(store, day)
    in_force = current_snapshot(store, day)
    snapshot = in_force if facts is None else snapshot_of(store, facts)
    if snapshot is None:
        raise InputError(
            f"{day} never had a snapshot, so there is nothing to explain; run it first: "
            f"recruitment-platform run --from {day} --to {day}"
        )
    before = {state.source: state for state in lake.sources()}
    states = lake.day_states()
    scan = lake.scan(day, _COLUMNS)
    reach, unclear = _reach(scan.watermark, snapshot.watermark)
    found, kinds = _scanned(scan, reach)
    settled = {state.source: state for state in lake.sources() if state == before.get(state.source)}
    loads, totals = _loads_and_totals(warehouse, day)
    held = {} if unclear else _of_lines(kinds, scan.duplicates)
    sources = tuple(
        replace(source, later_rows=None) if source.source in unclear else source
        for source in _sources_of_day(day, states, scan.watermark, found, before, settled)
    )
    return DayAudit(
        day=day,
        snapshot=snapshot,
        newer_snapshot=in_force.number if in_force is not None and in_force.number > snapshot.number else None,
        facts=facts,
        later_rows=scan.accepted - snapshot.accepted,
        sources=sources,
        kinds=tuple(line for line in kinds if line.source not in unclear),
        comparisons=tuple(_comparisons(held, snapshot, facts, loads[-1] if loads else None, totals)),
        unclear=unclear,
        rejected=_rejected(lake, {source.source for source in sources}),
        listed=_listed(store, snapshot),
        loads=tuple(Load(row, then) for row, then in zip(loads, [None, *loads], strict=False)),
    )


def origin(partition: str) -> str:
    """The source whose rows a source partition has: mended rows keep the source they were rejected from."""
    return partition.removeprefix(REPLAYED)


def kind_of(source: str) -> str:
    """`file`, `kafka`, `simulated`, or `other`."""
    return next((kind for prefix, kind in _KINDS_OF_SOURCES.items() if source.startswith(prefix)), "other")


def _reach(now: Watermark, then: Watermark) -> tuple[dict[str, int], tuple[str, ...]]:
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


def _scanned(scan: LakeScan, reach: Mapping[str, int]) -> tuple[dict[str, _Found], tuple[KindOfSource, ...]]:
    with (
        tempfile.TemporaryDirectory(prefix="audit-") as scratch,
        connect_duckdb(config={"temp_directory": scratch}) as connection,
    ):
        connection.register("events", scan.events)
        connection.register(
            "reach",
            pa.table(
                {
                    "source": pa.array(reach.keys(), pa.string()),
                    "last_position": pa.array(reach.values(), pa.int64()),
                }
            ),
        )
        with scan.reading():
            connection.execute(load_sql("pipeline", "audit_arrivals"))
        return _by_source(connection), _by_kind(connection)


def _by_source(connection: duckdb.DuckDBPyConnection) -> dict[str, _Found]:
    rows = connection.sql(load_sql("pipeline", "audit_sources")).to_arrow_table().to_pylist()
    return {row.pop("source"): _Found(**row | {"hash_sum": int(row["hash_sum"])}) for row in rows}


def _by_kind(connection: duckdb.DuckDBPyConnection) -> tuple[KindOfSource, ...]:
    rows = connection.sql(load_sql("pipeline", "reconciliation")).to_arrow_table().to_pylist()
    return tuple(sorted((KindOfSource(**row) for row in rows), key=lambda line: (line.source, KINDS.index(line.kind))))


def _sources_of_day(
    day: date,
    states: Iterable[DayState],
    watermark: Watermark,
    found: Mapping[str, _Found],
    known: Mapping[str, SourceState],
    settled: Mapping[str, SourceState],
) -> tuple[SourceOfDay, ...]:
    brought: dict[str, int] = defaultdict(int)
    of_day: dict[str, DayState] = {}
    for state in states:
        brought[origin(state.source)] += state.rows
        if state.event_date == day:
            of_day[state.source] = state
    sources = []
    for source in sorted({origin(partition) for partition in watermark} | found.keys()):
        here = found.get(source, _Found())
        parts = [of_day[partition] for partition in (source, REPLAYED + source) if partition in of_day]
        problems = []
        # Where a writer was faster than our look at the states, they are not those of the scan.
        if {part.source: part.last_position for part in parts} == {
            partition: position for partition, position in watermark.items() if origin(partition) == source
        }:
            problems += _differing(here, parts)
        whole = known.get(source, SourceState(source, (), 0, 0, 0, 0))
        if source in settled:
            problems += _unsound(whole, brought[source])
        sources.append(
            SourceOfDay(
                source=source,
                kind=kind_of(source),
                paths=whole.paths,
                rows=sum(part.rows for part in parts if part.source == source),
                replayed=sum(part.rows for part in parts if part.source != source),
                later_rows=here.later_rows,
                first_position=here.first_position,
                last_position=here.last_position,
                received=whole.received,
                accepted=whole.accepted,
                rejected=whole.rejected,
                problems=tuple(problems),
            )
        )
    return tuple(sources)


def _differing(found: _Found, parts: Iterable[DayState]) -> list[str]:
    """What the day's rows are not, that their writers counted."""
    rows, hash_sum = 0, 0
    for part in parts:
        rows, hash_sum = rows + part.rows, hash_sum + part.hash_sum
    if found.rows != rows:
        return [f"the lake holds {found.rows:,} rows of the day, {rows:,} were written"]
    if (found.hash_sum - hash_sum) % 2**64:
        return [f"the lake's {rows:,} rows of the day are not those that were written: their hashes differ"]
    return []


def _unsound(whole: SourceState, brought: int) -> list[str]:
    """What the source as a whole is not."""
    problems = []
    if whole.received != whole.accepted + whole.rejected:
        problems.append(f"{whole.received:,} received are not {whole.accepted:,} accepted, {whole.rejected:,} rejected")
    if whole.accepted != brought:
        problems.append(f"{whole.accepted:,} rows were accepted, {brought:,} are in the days")
    return problems


def _comparisons(
    lake: Mapping[str, int],
    snapshot: SnapshotManifest,
    facts: FactsManifest | None,
    load: LedgerRow | None,
    table: DayTotals | None,
) -> Iterator[Comparison]:
    """Ledger and table are compared with the facts where these are what is loaded, else with each other."""
    made = {} if facts is None else _of_totals(facts)
    loaded = {} if load is None else {"click": load.clicks, "rows": load.rows, SPEND: load.spend_micros}
    in_warehouse: Figures = {"ledger": loaded, "table": {} if table is None else _of_totals(table)}
    published: Figures = {"lake": lake, "snapshot": _of_snapshot(snapshot), "facts": made}
    if facts is not None and load is not None and load.manifest != facts.number:
        groups = {"": published, ", as loaded": in_warehouse}
    else:
        groups = {"": {**published, **in_warehouse}}
    for suffix, places in groups.items():
        for what in (*COUNTS, *KINDS, SPEND, "rows"):
            values = {where: figures[what] for where, figures in places.items() if what in figures}
            if values:
                yield Comparison(what + suffix, values)


def _of_lines(lines: Sequence[KindOfSource], dropped: int) -> dict[str, int]:
    """`dropped` are duplicates that the lake itself has left out already."""
    counts = {what: sum(getattr(line, what) for line in lines) for what in COUNTS}
    counts["accepted"] += dropped
    counts["duplicates"] += dropped
    kinds = {kind: sum(line.distinct for line in lines if line.kind == kind) for kind in KINDS}
    return counts | kinds | {SPEND: sum(line.click_micros for line in lines)}


def _of_snapshot(snapshot: SnapshotManifest) -> dict[str, int]:
    counts = {what: int(getattr(snapshot, what)) for what in COUNTS}
    return counts | {kind: snapshot.kinds.get(kind, 0) for kind in KINDS} | {SPEND: snapshot.click_micros}


def _of_totals(totals: FactsManifest | DayTotals) -> dict[str, int]:
    return {
        "click": totals.clicks,
        "conversion": totals.conversion,
        "qualified": totals.qualified,
        "unqualified": totals.disqualified,
        "rows": totals.rows,
        SPEND: totals.spend_micros,
    }


def _loads_and_totals(warehouse: Warehouse, day: date) -> tuple[list[LedgerRow], DayTotals | None]:
    """Every load of the day, and what the table holds by the newest of them."""
    while True:
        loads = warehouse.loads(day)
        totals = warehouse.totals([day])[day] if loads else None
        if warehouse.loads(day) == loads:
            return loads, totals


def _rejected(lake: EventLake, sources: set[str]) -> tuple[RejectedReason, ...]:
    counts: Counter[tuple[date, str, str]] = Counter()
    first: dict[tuple[date, str, str], int] = {}
    for row in lake.rejected(table=TRACKING.name):
        if row.source in sources:
            # A message's reason ends with its place, which is another for each.
            key = (row.ingest_date, row.source, row.reason.partition(" (topic ")[0])
            counts[key] += 1
            first[key] = min(first.get(key, row.position), row.position)
    return tuple(RejectedReason(*key, rows=counts[key], first_position=first[key]) for key in sorted(counts))


def _listed(store: ObjectStore, snapshot: SnapshotManifest) -> tuple[ListedId, ...]:
    if snapshot.listing is None:
        return ()
    columns = ["reason", "create_time", "source", "position"]
    rows = pq.read_table(store.local(snapshot.listing.key), columns=columns, partitioning=None)
    found = (rows.filter(pc.equal(rows["reason"], reason)).slice(0, LISTED) for reason in LISTED_REASONS)
    return tuple(ListedId(**row) for table in found for row in table.to_pylist())
