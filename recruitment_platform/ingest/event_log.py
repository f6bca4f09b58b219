"""From the event log through the door into the lake: what is not yet in it, until the end or for as long as it comes.

The lake's own progress says where to begin, and its `append` takes a batch only where it follows on that: so may any
number of these run at once, be killed or lose a partition to another, and every message still gets in once. What Kafka
keeps of the group's offsets only tells its own tools how far we are. What belongs here: which messages are taken in,
when, and what is done where that fails. What does not: what messages say (`messages`), Kafka (`resources.kafka.log`).
"""

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.ingest.importer import ingest_date, refused_rows
from recruitment_platform.ingest.messages import read_messages
from recruitment_platform.ingest.readers import Batch
from recruitment_platform.ingest.rereading import JudgedRows, Reread, Unreadable
from recruitment_platform.model.door import LAKE_SCHEMA, REJECTED_SCHEMA, DoorResult, DoorRules, through
from recruitment_platform.resources.kafka.log import KafkaEventLog, LogReader, Topic
from recruitment_platform.resources.kafka.sources import position_of, shown_positions
from recruitment_platform.resources.protocols import EventLake

logger = logging.getLogger(__name__)

BATCH_ROWS = 50_000
BATCH_BYTES = 64 << 20
"""Messages, and bytes of them, in hand at most: reading stops until the lake has them."""

BATCH_SECONDS = 1.0
"""How long messages wait for others to come in with, where they come slowly."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts while a store is away, at most; the first ones follow sooner."""

_LOOK = 0.1


@dataclass(frozen=True)
class Ingested:
    """What came in: `received` = `accepted` + `rejected`. `lost` messages were deleted from the log before."""

    received: int = 0
    accepted: int = 0
    rejected: int = 0
    lost: int = 0


def drain(
    log: KafkaEventLog,
    lake: EventLake,
    rules: DoorRules,
    progress: Callable[[int], None] = lambda _: None,
) -> Ingested:
    """Takes in all that is in the log now and not in the lake; others may do the same meanwhile.

    `progress` is told how many more messages were received. Raises StoreUnavailableError where lake or log cannot be
    used, ReconciliationError where the log ends before what the lake has of it.
    """
    with log.reader(in_group=False) as reader:
        ingest = _Ingest(lake, rules, reader, progress)
        ingest.begin()
        while ingest.goes_on:
            ingest.read(until=lambda: not ingest.goes_on or reader.rebalanced or reader.is_silent)
            ingest.write()
            reader.check_heard()
            if reader.rebalanced:
                ingest.begin()
        return ingest.total


def follow(
    log: KafkaEventLog,
    lake: EventLake,
    rules: DoorRules,
    stopped: Callable[[], bool],
    progress: Callable[[int], None] = lambda _: None,
) -> Ingested:
    """Takes in what comes, as a member of the group, until `stopped`; what is not yet being written then is dropped.

    While lake or log are away it waits. Errors otherwise as `drain`, and at the start, if the log has no such topic.
    """
    with log.reader(in_group=True) as reader:
        reader.topic()
        ingest = _Ingest(lake, rules, reader, progress)
        failures = 0
        while not stopped():
            try:
                if reader.rebalanced:
                    ingest.begin(reader.partitions)
                ingest.read(until=lambda: stopped() or reader.rebalanced)
                if not (stopped() or reader.rebalanced):
                    ingest.write()
                failures = 0
            except StoreUnavailableError as error:
                pause = min(2.0**failures, LONGEST_PAUSE)
                failures += 1
                logger.warning("%s; trying again in %.0f s", error, pause)
                until = time.monotonic() + pause
                while time.monotonic() < until and not stopped():
                    reader.rest(_LOOK)
        return ingest.total


def reread(log: KafkaEventLog, rules: DoorRules, source: str, first: int, last: int) -> Reread | Unreadable:
    """The messages of the source partition at these positions, as far as the log still has them.

    StoreUnavailableError where the log cannot be asked.
    """
    topic = log.topic()
    number = next((number for number in topic.partitions if topic.source(number) == source), None)
    if number is None:
        return Unreadable(f"the topic {topic.name} has no such partition any more, or was made anew")
    oldest, end = log.ranges([number])[number]
    start, stop = max(first, position_of(oldest)), min(last, end)
    if start > stop:
        return Unreadable(f"expired: the log has no message before offset {oldest} any more")
    place = f"Kafka {topic.name}/{number}, {shown_positions(source, start, stop)}"
    return Reread(place, start, stop, _reread(log, topic, number, rules, start, stop), max(0, start - first))


def _reread(
    log: KafkaEventLog, topic: Topic, number: int, rules: DoorRules, first: int, last: int
) -> Iterator[JudgedRows]:
    now = datetime.now(UTC)
    with log.reader(in_group=False) as reader:
        partition = _Partition(topic.source(number), end=last, ended=False)
        reader.begin({number: first - 1})
        while not partition.ended:
            size = 0
            while not partition.ended and len(partition.offsets) < BATCH_ROWS and size < BATCH_BYTES:
                fetched = reader.read(_LOOK)
                for offsets, values in fetched.messages.values():
                    partition.add(offsets, values)
                    size += sum(len(value) for value in values if value is not None)
                if fetched.displaced:
                    raise StoreUnavailableError(
                        f"{partition.source}: messages were deleted from the log while they were read; audit it again"
                    )
                partition.ended |= number in fetched.ended
                reader.check_heard()
            for judged in _judged(topic, {number: partition}, rules, now).values():
                bad = pa.array([row.position for row in judged.batch.bad], pa.int64())
                rejected = pa.chunked_array([*judged.rejected["position"].chunks, bad], pa.int64())
                yield JudgedRows(judged.accepted, rejected)
            partition.offsets, partition.values = [], []


@dataclass
class _Partition:
    """A partition being read: up to the offset `end`, None for no end. Messages in hand are ascending."""

    source: str
    end: int | None
    ended: bool
    offsets: list[int] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def add(self, offsets: list[int], values: list[bytes | None]) -> None:
        if self.end is not None and offsets[-1] >= self.end - 1:
            self.ended = True
            kept = bisect_left(offsets, self.end)
            offsets, values = offsets[:kept], values[:kept]
        self.offsets += offsets
        self.values += values

    def forget(self, before: int) -> None:
        """Drops the messages before that offset."""
        known = bisect_left(self.offsets, before)
        del self.offsets[:known], self.values[:known]


@dataclass
class _Ingest:
    """One run: partitions being read, what is in hand, what came of it so far."""

    lake: EventLake
    rules: DoorRules
    reader: LogReader
    progress: Callable[[int], None]
    total: Ingested = field(default_factory=Ingested)
    topic: Topic | None = None
    partitions: dict[int, _Partition] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    size: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether there is more to read before the partitions' ends."""
        return not all(partition.ended for partition in self.partitions.values())

    def begin(self, assigned: Sequence[int] | None = None) -> None:
        """Reads from where the lake is: these partitions without end, or all of them up to their ends as of now."""
        self._drop()
        self.partitions = {}
        self.topic = self.reader.topic()
        wanted = self.topic.partitions if assigned is None else sorted({*assigned} & {*self.topic.partitions})
        starts = {}
        for number, (first, end) in self.reader.ranges(wanted).items():
            source = self.topic.source(number)
            known = self.lake.progress(source)
            if known > end:
                raise ReconciliationError(
                    f"the lake has taken in {source} up to offset {known - 1}, but the log ends at {end - 1}: it has "
                    "lost messages, and new ones would pass for known. Delete the topic and make it again, by "
                    "recruitment-platform migrate: the lake then takes it for a new source"
                )
            if known < first:
                self._tell_lost(source, known, first)
            starts[number] = max(known, first)
            ended = assigned is None and starts[number] >= end
            self.partitions[number] = _Partition(source, end if assigned is None else None, ended)
        self.reader.begin({number: start for number, start in starts.items() if not self.partitions[number].ended})

    def read(self, until: Callable[[], object]) -> None:
        """Reads until there is a batch in hand, or `until` is true."""
        deadline = None
        while self.rows < BATCH_ROWS and self.size < BATCH_BYTES and not until():
            fetched = self.reader.read(_LOOK)
            for number, (offsets, values) in fetched.messages.items():
                partition = self.partitions.get(number)
                if partition is not None and not partition.ended:
                    partition.add(offsets, values)
                    self.rows += len(offsets)
                    self.size += sum(len(value) for value in values if value is not None)
            for number in fetched.ended & self.partitions.keys():
                # An end before the one we saw: a transaction that is open, whose messages nobody may read yet.
                self.partitions[number].ended |= self.partitions[number].end is not None
            if fetched.displaced:
                self.reader.rebalanced = True
            if self.rows:
                now = time.monotonic()
                deadline = deadline or now + BATCH_SECONDS
                if now >= deadline:
                    return

    def write(self) -> None:
        """Takes in what is in hand; what another was faster with is dropped. Then Kafka is told how far we are."""
        if not self.rows or self.topic is None:
            return
        if self.reader.topic().id != self.topic.id:
            # Whatever is in hand was read before we looked, but maybe from the new one under the old one's name.
            logger.warning("the topic %s was made anew; what was unread in the former one is lost", self.topic.name)
            self._drop()
            self.reader.rebalanced = True
            return
        self._forget_known()
        now = datetime.now(UTC)
        written = {}
        for number, batch in _judged(self.topic, self.partitions, self.rules, now).items():
            written[number] = self._append(number, batch, ingest_date(self.rules.time_zone, now))
        self._drop()
        self.reader.commit(written)

    def _forget_known(self) -> None:
        """Drops what another one has taken in meanwhile."""
        for partition in self.partitions.values():
            if partition.offsets:
                partition.forget(before=self.lake.progress(partition.source))
                # Where all of it is known, what would be read next is too.
                self.reader.rebalanced |= not partition.offsets

    def _append(self, number: int, judged: "_Judged", day: date) -> int:
        """Takes in a partition's messages; returns the offset up to which the lake now has them."""
        assert self.topic is not None
        source, last = self.partitions[number].source, judged.batch.last_position
        while (after := self.lake.progress(source)) < last:
            batch, accepted = judged.after(after)
            refused = [
                replace(row, path=f"{self.topic.name}/{number} offset {row.position - 1}")
                for row in refused_rows(judged.batch, judged.rejected, source, "", day)
                if row.position > after
            ]
            if self.lake.append(
                source,
                accepted=accepted,
                rejected=refused,
                after=after,
                last_position=last,
                received=batch.received,
            ):
                self.total = replace(
                    self.total,
                    received=self.total.received + batch.received,
                    accepted=self.total.accepted + accepted.num_rows,
                    rejected=self.total.rejected + len(refused),
                )
                self.progress(batch.received)
                return last
        self.reader.rebalanced |= after > last
        return after

    def _tell_lost(self, source: str, known: int, first: int) -> None:
        if self.lost.get(source) != first - known:
            self.lost[source] = first - known
            logger.warning(
                "%s: %s messages are lost, from offset %s to %s: the log deleted them before they were taken in; "
                "take them in from a backup by import, and let the topic keep messages for longer",
                *(source, f"{first - known:,}", known, first - 1),
            )
            self.total = replace(self.total, lost=sum(self.lost.values()))

    def _drop(self) -> None:
        for partition in self.partitions.values():
            partition.offsets, partition.values = [], []
        self.rows = self.size = 0


@dataclass(frozen=True)
class _Judged:
    """A partition's messages, and what the door says of those that are events: tables as of `DoorResult`."""

    batch: Batch
    accepted: pa.Table
    rejected: pa.Table

    def after(self, position: int) -> tuple[Batch, pa.Table]:
        """The messages behind that position, and the accepted ones of them."""
        rest = self.batch.after(position)
        if rest is self.batch:
            return rest, self.accepted
        return rest, self.accepted.filter(pc.greater(self.accepted["position"], position))


def _judged(topic: Topic, partitions: Mapping[int, _Partition], rules: DoorRules, now: datetime) -> dict[int, _Judged]:
    """What is in hand of each partition, judged in one go: each has but a share of a batch."""
    batches = {
        number: read_messages(topic.name, number, partition.offsets, partition.values)
        for number, partition in partitions.items()
        if partition.offsets
    }
    if not batches:
        return {}
    whole = pa.concat_tables([batch.table for batch in batches.values()])
    judged = _through(whole, rules, 0, now)
    judged_numbers = [table["position"].to_numpy() for table in (judged.accepted, judged.rejected)]
    found = {}
    first = 0
    for number, batch in batches.items():
        end = first + batch.table.num_rows
        tables = []
        for table, numbers in zip((judged.accepted, judged.rejected), judged_numbers, strict=True):
            start, stop = np.searchsorted(numbers, (first, end))
            positions = batch.positions.take(pa.array(numbers[start:stop] - first))
            tables.append(_with(table.slice(start, stop - start), position=positions))
        source = pa.repeat(partitions[number].source, len(tables[0]))
        found[number] = _Judged(batch, _with(tables[0], source=source), tables[1])
        first = end
    return found


def _with(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(index), values)
    return table


def _through(events: pa.Table, rules: DoorRules, first: int, now: datetime) -> DoorResult:
    """What the door says, positions counted from `first`.

    An event on which the door itself breaks is rejected, so that it does not hold up all that follow for ever.
    """
    try:
        return through(events, rules, "", first, now)
    except (duckdb.DataError, duckdb.ProgrammingError, duckdb.InternalError, pa.ArrowException, ValueError) as error:
        if events.num_rows == 1:
            reason = f"cannot be judged: {str(error).partition(chr(10))[0]}"
            return DoorResult(LAKE_SCHEMA.empty_table(), pa.table([[first], [reason]], schema=REJECTED_SCHEMA))
    half = events.num_rows // 2
    parts = [_through(events.slice(0, half), rules, first, now), _through(events.slice(half), rules, first + half, now)]
    return DoorResult(
        pa.concat_tables([part.accepted for part in parts]), pa.concat_tables([part.rejected for part in parts])
    )
