"""What a day is made of: its sources, how they add up, what was left out, and every load with what it changed.

All is read from the stores as they are, nothing is remembered for it. What belongs here: collecting it. What does
not: adding up (`pipeline.reconciliation`), reading sources again (`pipeline.source_audit`), showing it (`cli`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import InputError
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.pipeline.manifests import FactsManifest, SnapshotManifest
from recruitment_platform.pipeline.publish import current_facts, snapshot_of
from recruitment_platform.pipeline.reconciliation import (
    LAKE_COLUMNS,
    REPLAYED,
    Booked,
    Comparison,
    HeldRows,
    KindOfSource,
    adjusted,
    comparisons,
    figures_of_lines,
    origin,
    reach_of,
    scanned,
)
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.kafka.sources import PREFIX as KAFKA
from recruitment_platform.resources.protocols import (
    AdjustmentRow,
    DayState,
    EventLake,
    LedgerRow,
    ObjectStore,
    SourceState,
    Warehouse,
    Watermark,
)

LISTED = 10
"""How many of the ids that rule 1 lists are told one by one, of each reason."""

_SHA256 = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")
_LISTED_REASONS = ("conflict", "id_on_two_days")
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
class Booking:
    """A booking of the closed day's adjustments; `in_force` is False for those that a later one replaced."""

    row: AdjustmentRow
    in_force: bool


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
    closed: bool
    bookings: tuple[Booking, ...]

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


def audit_day(lake: EventLake, store: ObjectStore, warehouse: Warehouse, day: date) -> DayAudit:
    """Collects and compares what the stores hold of the day; one scan of the day, which may be changing meanwhile.

    Raises InputError where the day never had a snapshot, ReconciliationError where a manifest cannot be read,
    StoreUnavailableError where a store cannot be.
    """
    facts = current_facts(store, day)
    newest = current_snapshot(store, day)
    snapshot = newest if facts is None else snapshot_of(store, facts)
    if snapshot is None or newest is None:
        raise InputError(
            f"{day} never had a snapshot, so there is nothing to explain; run it first: "
            f"recruitment-platform run --from {day} --to {day}"
        )
    before = {state.source: state for state in lake.sources()}
    states = lake.day_states()
    scan = lake.scan(day, LAKE_COLUMNS)
    reach, unclear = reach_of(scan.watermark, snapshot.watermark)
    found, kinds = scanned(scan, reach)
    settled = {state.source: state for state in lake.sources() if state == before.get(state.source)}
    booked = _booked(warehouse, day)
    held = {} if unclear else figures_of_lines(kinds, scan.duplicates)
    sources = tuple(
        replace(source, later_rows=None) if source.source in unclear else source
        for source in _sources_of_day(day, states, scan.watermark, found, before, settled)
    )
    return DayAudit(
        day=day,
        snapshot=snapshot,
        newer_snapshot=newest.number if newest.number > snapshot.number else None,
        facts=facts,
        later_rows=scan.accepted - snapshot.accepted,
        sources=sources,
        kinds=tuple(line for line in kinds if line.source not in unclear),
        comparisons=(*comparisons(held, snapshot, facts, booked), *adjusted(newest, booked)),
        unclear=unclear,
        rejected=_rejected(lake, {source.source for source in sources}),
        listed=_listed(store, snapshot),
        loads=with_changes(booked.loads),
        closed=booked.closed,
        bookings=tuple(Booking(row, row == booked.in_force) for row in booked.bookings),
    )


def with_changes(loads: Sequence[LedgerRow]) -> tuple[Load, ...]:
    """Every load of a day, oldest first, with the one before it."""
    return tuple(Load(row, before) for row, before in zip(loads, [None, *loads], strict=False))


def shown_source(text: str) -> str:
    """A text with names of sources for people: of a content's SHA-256, which names a file, the first digits."""
    return _SHA256.sub(r"\1…", text)


def kind_of(source: str) -> str:
    """`file`, `kafka`, `simulated`, or `other`."""
    return next((kind for prefix, kind in _KINDS_OF_SOURCES.items() if source.startswith(prefix)), "other")


def _sources_of_day(
    day: date,
    states: Iterable[DayState],
    watermark: Watermark,
    found: Mapping[str, HeldRows],
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
        here = found.get(source, HeldRows())
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


def _differing(found: HeldRows, parts: Iterable[DayState]) -> list[str]:
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


def _booked(warehouse: Warehouse, day: date) -> Booked:
    while True:
        loads = warehouse.loads(day)
        totals = warehouse.totals([day])[day] if loads else None
        closed = warehouse.closed_through()
        bookings = warehouse.bookings(day)
        in_force = warehouse.adjusted([day]).get(day)
        if (warehouse.loads(day), warehouse.bookings(day)) == (loads, bookings):
            return Booked(loads, totals, closed is not None and day <= closed, bookings, in_force)


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
    try:
        file = store.local(snapshot.listing.key)
    except FileNotFoundError:
        return ()  # a snapshot of which something is lost still tells its counts
    rows = pq.read_table(file, columns=columns, partitioning=None)
    found = (rows.filter(pc.equal(rows["reason"], reason)).slice(0, LISTED) for reason in _LISTED_REASONS)
    return tuple(ListedId(**row) for table in found for row in table.to_pylist())
