"""A day's events as they arrived, told apart as they stream by: which count, which repeat, which conflict (rule 1).

What belongs here: what a pass over the ordered events (`snapshot.sql`) keeps and counts. What does not: reading them,
and what is made of the counts (`snapshot`).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]

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
        if len(batch) == 0:
            return batch
        is_content, is_counted = self._told_apart(batch)
        counted = _those(batch, is_counted)
        self.arrived += len(batch)
        self.distinct += len(counted)
        self.conflicts += int(is_content.sum()) - len(counted)
        self._note_positions(_those(batch.select(["source", "position"]), is_content))
        is_conflict = is_content & ~is_counted
        if is_conflict.any():
            self._list(_those(batch, is_conflict), "conflict")
        if len(self.ids_on_two_days):
            twice = counted.filter(pc.is_in(counted["create_time"], self.ids_on_two_days))
            self.found_on_two_days += len(twice)
            self._list(twice, "id_on_two_days")
        self.fallback_times += int(_is(counted["time_source"], "create_time").sum())
        is_click = _is(counted["kind"], "click")
        no_job = counted["resolved_job_id"].fill_null(0).to_numpy() == 0
        no_bid = counted["has_no_bid"].to_numpy(zero_copy_only=False)
        self.clicks_without_job += int((is_click & no_job).sum())
        self.clicks_without_bid += int((is_click & no_bid).sum())
        return counted

    def _told_apart(self, batch: pa.RecordBatch) -> tuple[Flags, Flags]:
        """Whether each event is another content than the one before it, and whether it is another id as well."""
        # Not above: numba takes long to load.
        from recruitment_platform.pipeline.row_bytes import told_apart

        ids, hashes = batch["create_time"], batch["payload_hash"]
        is_content, is_counted = told_apart(ids, hashes)
        if self._last is not None:
            last_id, last_hash = self._last
            is_counted[0] = ids[0].as_py() != last_id
            is_content[0] = is_counted[0] or hashes[0].as_py() != last_hash
        self._last = ids[-1].as_py(), hashes[-1].as_py()
        return is_content, is_counted

    def _note_positions(self, contents: pa.RecordBatch) -> None:
        came = pa.table({"source": contents["source"], "position": contents["position"]})
        ranges = came.group_by("source", use_threads=False).aggregate([("position", "min"), ("position", "max")])
        for source, first, last in zip(*(ranges[name].to_pylist() for name in ranges.column_names), strict=True):
            before = self.positions.get(source, (first, last))
            self.positions[source] = min(first, before[0]), max(last, before[1])

    def _list(self, rows: pa.RecordBatch, reason: str) -> None:
        columns = [rows["create_time"], rows["payload_hash"], pa.repeat(reason, len(rows)), rows["source"]]
        self._listed.append(pa.record_batch([*columns, rows["position"]], schema=LISTING_SCHEMA))


def _those(batch: pa.RecordBatch, wanted: Flags) -> pa.RecordBatch:
    return batch if wanted.all() else batch.filter(pa.array(wanted))


def _is(column: pa.DictionaryArray, value: str) -> Flags:
    """Whether each row, of which none is null, has this value."""
    values = column.dictionary.to_pylist()
    code = values.index(value) if value in values else len(values)
    is_so: Flags = column.indices.to_numpy() == code
    return is_so
