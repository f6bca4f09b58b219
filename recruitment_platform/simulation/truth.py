"""The truth: the facts that the simulator's events must lead to, computed from what it intended, not from what it sent.

Each block of the traffic leaves a *partial*, and partials add up: the truth of an event day is the sum over all blocks
that are simulated so far. What belongs here: rules 1 to 5, in NumPy, apart from the pipeline's door and SQL. What does
not: comparing the pipeline with it (`score`).
"""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.model.contract import FACT_KEY, HOURLY_FACTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.simulation.events import CONFLICT, DUPLICATE, FIRST, Block
from recruitment_platform.simulation.habits import CLICKS, KINDS
from recruitment_platform.simulation.market import NONE, Ints, terms_at
from recruitment_platform.simulation.record import write_durably
from recruitment_platform.simulation.text import as_ints, validity, whole
from recruitment_platform.simulation.times import EPOCH, local_days_hours, microseconds

COUNTS = ("clicks", "conversion", "qualified_application", "disqualified_application")

PARTIAL = pa.schema(
    [
        *(pa.field(name, pa.date32() if name == "dates" else pa.int64()) for name in FACT_KEY),
        *(pa.field(name, pa.int64()) for name in COUNTS),
        pa.field("spend_micros", pa.int64()),
        pa.field("latest", pa.int64()),  # microseconds since 1970
    ],
)
"""Measures that add up (`latest` is a maximum), keyed as the facts are."""

_COUNTED = ("click", "clicks", "conversion", "qualified", "unqualified")
"""Kinds of event that a fact counts."""

_ARRIVALS = len((FIRST, DUPLICATE, CONFLICT))
"""As many things can an arrival be; they are numbered from 0, in the order of `DayCounts`."""

FOLDER = "received="
COUNTS_KEY = b"counts"

TRUTH = pa.schema(field for field in arrow_schema(HOURLY_FACTS) if field.name != "sources")


@dataclass(frozen=True)
class DayCounts:
    """Rows of an event day: accepted = distinct + duplicates + conflicts."""

    accepted: int = 0
    distinct: int = 0
    duplicates: int = 0
    conflicts: int = 0

    def __add__(self, other: "DayCounts") -> "DayCounts":
        return DayCounts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(DayCounts)))


@dataclass(frozen=True)
class Partial:
    """What one block adds to the truth: `facts` as `PARTIAL`, rows sent and rejected, rows by event day."""

    facts: pa.Table
    received: int
    rejected: int
    days: Mapping[date, DayCounts]


def partial_of(block: Block, intents: pa.Table) -> Partial:
    """The partial of a block with these intents (`INTENT`)."""
    is_accepted = ~validity(whole(intents["reason"]))
    day, hour = local_days_hours(intents["event"].to_numpy(), block.simulation.zone)
    rows = np.flatnonzero(is_accepted & _adds(intents))
    return Partial(
        facts=_added_up(_facts(block, intents, rows, day[rows], hour[rows])),
        received=len(intents),
        rejected=len(intents) - int(is_accepted.sum()),
        days=_day_counts(day[is_accepted], intents["arrival"].to_numpy()[is_accepted]),
    )


def write_partial(truth_path: Path, block: Block, partial: Partial) -> None:
    """Keeps the partial, durably; one that is there already must be the same.

    Raises InputError where it is not: the traffic of that day can no longer be made as it was.
    """
    path = _path(truth_path, block)
    content = _encoded(partial)
    if not path.exists():
        write_durably(path, content, replacing=False)
    # What this process wrote is not decoded again; what was there may be in other bytes.
    if _octets(path) != content and _read(path) != partial:
        raise InputError(
            f"the traffic simulated for {block.day} is not what it was: NumPy, Faker or the simulator has changed "
            "since; use another RECRUITMENT_HOME",
        )


def read_partial(truth_path: Path, block: Block) -> Partial | None:
    """The partial of that block; None where it was not simulated yet."""
    path = _path(truth_path, block)
    return _read(path) if path.exists() else None


def truth_for(truth_path: Path, days: Iterable[date]) -> pa.Table:
    """The facts of these event days (`HOURLY_FACTS` without `sources`), in the order of the key."""
    wanted = pa.array(sorted(set(days)), pa.date32())
    partials = [PARTIAL.empty_table()]
    for path in _paths(truth_path):
        facts = _read(path).facts
        partials.append(facts.filter(pc.is_in(facts["dates"], wanted)))
    facts = _added_up(pa.concat_tables(partials))
    counted = [facts[name].to_numpy() for name in COUNTS]
    facts = facts.filter(pa.array(np.sum(counted, axis=0, dtype=np.int64) > 0))
    clicks, micros = facts["clicks"].to_numpy(), facts["spend_micros"].to_numpy()
    # Half up, from integers: micros / clicks in cents, and a half.
    cents = np.where(clicks > 0, (2 * micros + 10_000 * clicks) // np.maximum(20_000 * clicks, 1), 0)
    computed = {
        "spend_hour": _decimals(micros, pa.decimal128(18, 6)),
        "bid_set": _decimals(cents, pa.decimal128(18, 2)),
        "impressions": pa.nulls(len(facts), pa.int64()),
        "latest_update_time": facts["latest"].cast(pa.timestamp("us", tz="UTC")),
    }
    columns = {name: computed[name] if name in computed else facts[name] for name in TRUTH.names}
    return pa.table(columns).cast(TRUTH)


def day_counts(truth_path: Path) -> dict[date, DayCounts]:
    """Rows of every event day that has any."""
    days: dict[date, DayCounts] = {}
    for path in _paths(truth_path):
        for day, counts in _read(path).days.items():
            days[day] = days.get(day, DayCounts()) + counts
    return dict(sorted(days.items()))


def rejected_by_receive_day(truth_path: Path) -> dict[date, int]:
    """How many rows of each receive day must be rejected; days without any are left out."""
    days: dict[date, int] = {}
    for path in _paths(truth_path):
        rejected = _read(path).rejected
        if rejected:
            day = date.fromisoformat(path.parent.name.removeprefix(FOLDER))
            days[day] = days.get(day, 0) + rejected
    return days


def _adds(intents: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether each arrival, where it is accepted, adds something to a fact."""
    kind = intents["kind"].to_numpy()
    is_counted = (intents["arrival"].to_numpy() == FIRST) & np.isin(KINDS, _COUNTED)[kind]
    adds: npt.NDArray[np.bool_] = is_counted | (_is_click(kind) & (intents["spend"].to_numpy() != 0))
    return adds


def _is_click(kind: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    is_click: npt.NDArray[np.bool_] = np.isin(np.arange(len(KINDS)), CLICKS)[kind]
    return is_click


def _facts(block: Block, intents: pa.Table, rows: Ints, day: Ints, hour: Ints) -> pa.Table:
    """One row, as `PARTIAL`, for each of the arrivals in these rows (rules 3, 4 and 5)."""
    kind, arrival, event, received, spend = (
        intents[name].to_numpy()[rows] for name in ("kind", "arrival", "event", "received", "spend")
    )
    job, publisher, campaign, group = (
        as_ints(intents[name])[rows] for name in ("job", "publisher", "campaign_id", "group_id")
    )
    first, click = arrival == FIRST, _is_click(kind)
    changed_at = block.simulation.changed_at
    changed = np.zeros(len(event), bool) if changed_at is None else event >= microseconds(changed_at)
    terms = terms_at(block.market, job, changed)
    columns = {
        "dates": pa.array(day.astype(np.int32), pa.date32()),
        "hours": hour,
        "job_id": _known(job),
        "publisher_id": _known(publisher),
        "campaign_id": _known(np.where(campaign == NONE, terms.campaign_id, campaign)),
        "group_id": _known(np.where(group == NONE, terms.group_id, group)),
        "company_id": _known(terms.company_id),
        "clicks": first & click,
        "conversion": first & (kind == KINDS.index("conversion")),
        "qualified_application": first & (kind == KINDS.index("qualified")),
        "disqualified_application": first & (kind == KINDS.index("unqualified")),
        "spend_micros": spend * click,
        "latest": received,
    }
    return pa.table([_as_column(columns[name]) for name in PARTIAL.names], schema=PARTIAL)


def _as_column(values: pa.Array | npt.NDArray[np.generic]) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values.astype(np.int64, copy=False))


def _known(ids: Ints) -> Ints:
    """0 is 'unknown'."""
    known: Ints = ids * (ids != NONE)
    return known


def _added_up(facts: pa.Table) -> pa.Table:
    """One row for each key, in its order."""
    measures = [*COUNTS, "spend_micros"]
    grouped = facts.group_by(list(FACT_KEY), use_threads=False).aggregate(
        [*((name, "sum") for name in measures), ("latest", "max")]
    )
    renamed = grouped.rename_columns([*FACT_KEY, *measures, "latest"])
    return renamed.sort_by([(name, "ascending") for name in FACT_KEY]).select(PARTIAL.names).cast(PARTIAL)


def _day_counts(day: Ints, arrival: npt.NDArray[np.int8]) -> dict[date, DayCounts]:
    if not len(day):
        return {}
    first, last = int(day.min()), int(day.max())
    arrivals = np.bincount((day - first) * _ARRIVALS + arrival, minlength=(last - first + 1) * _ARRIVALS)
    return {
        date.fromordinal(EPOCH.toordinal() + first + number): DayCounts(sum(counts), *counts)
        for number, counts in enumerate(arrivals.reshape(-1, _ARRIVALS).tolist())
        if any(counts)
    }


def _decimals(units: Ints, kind: pa.DataType) -> pa.Array:
    """Integers of the last decimal place as decimals: 128 bits, the upper 64 of which are the sign's."""
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0], words[:, 1] = units, units >> 63
    return pa.Array.from_buffers(kind, len(units), [None, pa.py_buffer(words.tobytes())])


def _encoded(partial: Partial) -> bytes:
    content = io.BytesIO()
    pq.write_table(partial.facts.replace_schema_metadata({COUNTS_KEY: _to_json(partial)}), content)
    return content.getvalue()


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> Partial:
    try:
        facts = pq.read_table(path, partitioning=None)
        counts = json.loads(facts.schema.metadata[COUNTS_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error
    days = {date.fromisoformat(day): DayCounts(**rows) for day, rows in counts["days"].items()}
    return Partial(facts.replace_schema_metadata(None), counts["received"], counts["rejected"], days)


def _unreadable(path: Path, error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"cannot read the truth in {path}: {error}; use another RECRUITMENT_HOME")


def _to_json(partial: Partial) -> str:
    days = {day.isoformat(): vars(counts) for day, counts in partial.days.items()}
    return json.dumps({"received": partial.received, "rejected": partial.rejected, "days": days})


def _path(truth_path: Path, block: Block) -> Path:
    return truth_path / f"{FOLDER}{block.day}" / f"{block.number:06}.parquet"


def _paths(truth_path: Path) -> list[Path]:
    return sorted(truth_path.glob(f"{FOLDER}*/*.parquet"))
