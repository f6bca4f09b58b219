"""A day's events as they arrived, told apart as they stream by: which count, which repeat, which conflict (rule 1).

What belongs here: what a pass over the ordered events (`snapshot.sql`) keeps and counts. What does not: reading them,
and what is made of the counts (`snapshot`).
"""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

LISTING_SCHEMA = pa.schema(
    [
        ("create_time", pa.string()),
        ("payload_hash", pa.int64()),
        ("reason", pa.string()),
        ("source", pa.string()),
        ("position", pa.int64()),
    ]
)
"""What rule 1 lists: `reason` is `conflict` or `id_on_two_days`; source and position are the first arrival's."""


@dataclass
class Arrivals:
    """Counts of the batches so far. `ids_on_two_days` are the ids of the day that stand on another day too."""

    ids_on_two_days: pa.Array
    arrived: int = 0
    distinct: int = 0
    conflicts: int = 0
    fallback_times: int = 0
    clicks_without_job: int = 0
    clicks_without_bid: int = 0
    found_on_two_days: int = 0
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    _listed: list[pa.RecordBatch] = field(default_factory=list)
    _last: tuple[str, int] | None = None

    @property
    def duplicates(self) -> int:
        """How many arrivals only repeat a content."""
        return self.arrived - self.distinct - self.conflicts

    @property
    def listing(self) -> pa.Table:
        """`LISTING_SCHEMA`, by reason, id and content."""
        listed = pa.Table.from_batches(self._listed, LISTING_SCHEMA)
        by = ("reason", "create_time", "payload_hash")
        return listed.sort_by([(name, "ascending") for name in by])

    def distinct_of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Counts the next events in the order of `snapshot.sql`; returns those that count."""
        ids, hashes = batch["create_time"], batch["payload_hash"]
        if len(batch) == 0:
            return batch
        is_counted = self._differs(ids, 0)
        is_content = pc.or_(is_counted, self._differs(hashes, 1))
        self._last = ids[-1].as_py(), hashes[-1].as_py()
        contents = batch if pc.all(is_content).as_py() else batch.filter(is_content)
        counted = batch if pc.all(is_counted).as_py() else batch.filter(is_counted)
        self.arrived += len(batch)
        self.distinct += len(counted)
        self.conflicts += len(contents) - len(counted)
        self._note_positions(contents)
        if len(contents) > len(counted):
            self._list(batch.filter(pc.and_not(is_content, is_counted)), "conflict")
        if len(self.ids_on_two_days):
            twice = counted.filter(pc.is_in(counted["create_time"], self.ids_on_two_days))
            self.found_on_two_days += len(twice)
            self._list(twice, "id_on_two_days")
        self.fallback_times += _count(pc.equal(counted["time_source"], "create_time"))
        is_click = pc.equal(counted["kind"], "click")
        no_job = pc.equal(pc.fill_null(counted["resolved_job_id"], 0), 0)
        self.clicks_without_job += _count(pc.and_(is_click, no_job))
        self.clicks_without_bid += _count(pc.and_(is_click, counted["has_no_bid"]))
        return counted

    def _differs(self, values: pa.Array, at: int) -> pa.Array:
        """Whether each value is another than the one before it, that of the last batch included."""
        first = self._last is None or values[0].as_py() != self._last[at]
        return pa.concat_arrays([pa.array([first]), pc.not_equal(values[1:], values[:-1])])

    def _note_positions(self, contents: pa.RecordBatch) -> None:
        came = pa.table({"source": contents["source"], "position": contents["position"]})
        ranges = came.group_by("source", use_threads=False).aggregate([("position", "min"), ("position", "max")])
        for source, first, last in zip(*(ranges[name].to_pylist() for name in ranges.column_names), strict=True):
            before = self.positions.get(source, (first, last))
            self.positions[source] = min(first, before[0]), max(last, before[1])

    def _list(self, rows: pa.RecordBatch, reason: str) -> None:
        columns = [rows["create_time"], rows["payload_hash"], pa.repeat(reason, len(rows)), rows["source"]]
        self._listed.append(pa.record_batch([*columns, rows["position"]], schema=LISTING_SCHEMA))


def _count(is_so: pa.Array) -> int:
    return int(pc.sum(is_so).as_py() or 0)
