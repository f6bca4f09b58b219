"""What goes wrong on the way, each fault with its truth: rows added to a block of the traffic.

- `duplicates`: rows that arrive again, on the same day and on the next one, partly spelled otherwise.
- `conflicts`: rows of the same id and event day with other content, on the same day and on the next one; the smallest
  `payload_hash` counts. Some have the same id on another event day: second events by design.
- `malformed`: rows that the door must reject, and rows with unreadable fields for which it must not.
- `late`, `clock_skew` (`times`), `unknown_jobs` (`events`), `job_changes` (`market`) alter what is there instead.

What does not belong here: the facts that all this must lead to (`truth`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh64_intdigest

from recruitment_platform.model.contract import TRACKING
from recruitment_platform.simulation.events import (
    CONFLICT,
    DUPLICATE,
    FIRST,
    INTENT,
    Block,
    blocks,
    intended,
    time_uuids,
)
from recruitment_platform.simulation.habits import CLICKS, KINDS
from recruitment_platform.simulation.market import NONE, Ints
from recruitment_platform.simulation.text import as_ints, picked, validity, whole, with_nulls
from recruitment_platform.simulation.times import DAY, HOUR, SECOND, event_times, local_days_hours, microseconds

MASK = 2**64 - 1
PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
"""XXH64's."""

_START = PRIMES[4] + 8 * len(TRACKING.columns)
"""Of the hash of a row's hashes of its columns."""

_START_OF_ONE = np.uint64(PRIMES[4] + 8)
"""Of the hash of a number."""

DUPLICATES, CONFLICTS, MALFORMED_SHARE = 0.02, 0.004, 0.01
"""Shares of a block's events of which there are as many again of that fault's own."""

MOST_ADDED = 4_000
"""Rows of a fault that a block gets at most: some are made on their own, in Python."""


def added(block: Block) -> list[pa.Table]:
    """The rows, as `INTENT`, that faults add to this block, those that come again from the day before included."""
    faults = block.simulation.faults
    tables = []
    if "duplicates" in faults:
        tables += _duplicates(block)
    if "conflicts" in faults:
        tables.append(_conflicts(block))
    if "malformed" in faults:
        tables.append(_malformed(block))
    return tables


def added_count(block: Block) -> int:
    """How many rows those are, without making them."""
    faults, eve = block.simulation.faults, _eve(block)
    rows = 0
    if "duplicates" in faults:
        events = _size(block, DUPLICATES)
        rows += events + events // 2
        if eve is not None:
            former = _size(eve, DUPLICATES)
            rows += former - former // 2
    if "conflicts" in faults:
        clicks = _size(block, CONFLICTS)
        rows += len(_contents_on_one_day(clicks)[0]) + len(_on_two_days(clicks))
        if eve is not None:
            rows += len(_on_two_days(_size(eve, CONFLICTS)))
    if "malformed" in faults:
        rows += _size(block, MALFORMED_SHARE)
    return rows


def _size(block: Block, share: float) -> int:
    return min(MOST_ADDED, max(len(MALFORMED), int(block.count * share)))


def _eve(block: Block) -> Block | None:
    """The block of this number of the day before; None before the opening, or where that day had fewer blocks."""
    if block.day <= block.simulation.opening:
        return None
    eve = blocks(block.simulation, block.market, block.day - timedelta(days=1))
    return eve[block.number] if block.number < len(eve) else None


def _duplicates(block: Block) -> list[pa.Table]:
    """Half of the stream's events come again on their day, the others on the next one."""

    def again(rows: pa.Table, arrived: npt.NDArray[np.int64]) -> pa.Table:
        return _changed(rows, arrived=arrived, arrival=DUPLICATE, spend=0)

    events = intended(block, "duplicates", _size(block, DUPLICATES))
    half = len(events) // 2
    # Every other one follows at once, the rest within the hour.
    delay = np.where(np.arange(half) % 2 == 0, 1, np.arange(half) * SECOND % HOUR)
    same_day = events.slice(0, half)
    tables = [events, again(same_day, same_day["received"].to_numpy() + delay)]
    eve = _eve(block)
    if eve is not None:
        former = intended(eve, "duplicates", _size(eve, DUPLICATES))
        next_day = former.slice(len(former) // 2)
        tables.append(again(next_day, next_day["received"].to_numpy() + DAY))
    return tables


def _changed(rows: pa.Table, **columns: pa.Array | npt.NDArray[np.int64] | str | int) -> pa.Table:
    """The rows with these values in these columns, `NONE` for null, or this one in all of them."""
    changed = dict(zip(rows.column_names, rows.columns, strict=True))
    for name, values in columns.items():
        if isinstance(values, str | int):
            values = pa.repeat(values, len(rows))
        elif isinstance(values, np.ndarray):
            values = with_nulls(values, values != NONE)
        kind = INTENT.field(name).type
        changed[name] = values if values.type == kind else values.cast(kind)
    return pa.table(changed, schema=INTENT)


def _clicks(rows: pa.Table) -> pa.Table:
    bid = as_ints(rows["bid"])
    return _changed(rows, custom_track="click", kind=CLICKS[0], spend=np.where(bid == NONE, 0, bid))


CLICK, DEARER, OTHER_JOB, ALIVE, HOURS_BEFORE, A_DAY_BEFORE = range(6)
"""Versions of a click: as it is, with a higher bid, without its job, as another event, with an earlier time."""

SAME_DAY = ((CLICK, DEARER), (CLICK, OTHER_JOB, ALIVE), (ALIVE, DEARER), (CLICK, HOURS_BEFORE), (CLICK, A_DAY_BEFORE))
"""The contents of one id that arrive on one day, click by click in turn; those of every sixth one arrive on two."""

_TURNS = len(SAME_DAY) + 1


def _conflicts(block: Block) -> pa.Table:
    clicks = _clicks_of_conflicts(block)
    tables = [_on_one_day(block, clicks), clicks.take(_on_two_days(len(clicks)))]
    eve = _eve(block)
    if eve is not None:
        tables.append(_on_the_next_day(eve, _clicks_of_conflicts(eve)))
    return pa.concat_tables(tables)


def _clicks_of_conflicts(block: Block) -> pa.Table:
    return _clicks(intended(block, "conflicts", _size(block, CONFLICTS)))


def _on_two_days(clicks: int) -> Ints:
    """The numbers, among so many clicks, of those that have a second content on the next day."""
    return np.arange(len(SAME_DAY), clicks, _TURNS)


def _contents_on_one_day(clicks: int) -> tuple[Ints, Ints]:
    """(number, version) of each content, of so many clicks, that arrives on one day."""
    contents = [
        (number, version)
        for number in range(clicks)
        if number % _TURNS < len(SAME_DAY)
        for version in SAME_DAY[number % _TURNS]
    ]
    numbers, versions = np.array(contents, np.int64).reshape(-1, 2).T
    return numbers, versions


def _on_one_day(block: Block, clicks: pa.Table) -> pa.Table:
    """Contents of one id that arrive on one day, by rule 1: of each event day, the smallest hash counts."""
    numbers, versions = _contents_on_one_day(len(clicks))
    rows = _versions(block, clicks, numbers, versions)
    days, _ = local_days_hours(rows["event"].to_numpy(), block.simulation.zone)
    arrival = arrivals_of(numbers, days, payload_hashes(rows))
    return _changed(rows, arrival=arrival, spend=np.where(arrival == FIRST, rows["spend"].to_numpy(), 0))


def arrivals_of(numbers: Ints, days: Ints, hashes: Ints) -> Ints:
    """What the arrivals of contents are to their events: of these ids and event days, with these hashes."""
    # By event, by hash, and in the order in which they arrive.
    order = np.lexsort((hashes, days, numbers))
    is_same = [values[order][1:] == values[order][:-1] for values in (numbers, days, hashes)]
    arrival = np.full(len(order), FIRST)
    of_same_event = is_same[0] & is_same[1]
    arrival[order[1:]] = np.where(of_same_event, np.where(is_same[2], DUPLICATE, CONFLICT), FIRST)
    return arrival


def _on_the_next_day(block: Block, clicks: pa.Table) -> pa.Table:
    """Contents that differ by the bid alone from those of the clicks, a day after them, by rule 1.

    Until then the first ones count. Where the second one wins, it adds what its bid is more than the first one's:
    truths of receive days add up, whatever days are simulated so far.
    """
    numbers = _on_two_days(len(clicks))
    both = _versions(block, clicks, np.tile(numbers, 2), np.repeat([CLICK, DEARER], len(numbers)))
    first, second = both.slice(0, len(numbers)), both.slice(len(numbers))
    former, later = np.split(payload_hashes(both), 2)
    more = np.where(later < former, second["spend"].to_numpy() - first["spend"].to_numpy(), 0)
    return _changed(second, arrived=second["arrived"].to_numpy() + DAY, arrival=CONFLICT, spend=more)


def _versions(block: Block, clicks: pa.Table, numbers: Ints, versions: Ints) -> pa.Table:
    """The given versions of the clicks of these numbers."""
    rows = clicks.take(pa.array(numbers))
    bid, client, event = as_ints(rows["bid"]), as_ints(rows["ts"]), rows["event"].to_numpy()
    dearer, alive, other = versions == DEARER, versions == ALIVE, versions == OTHER_JOB
    bid = np.where(dearer, np.where(bid == NONE, 0, bid) + 1_250_000 + numbers, bid)
    hours = np.select([versions == HOURS_BEFORE, versions == A_DAY_BEFORE], [2, 26], 0)
    # Not before the opening.
    earlier = np.maximum(event - hours * HOUR, microseconds(block.simulation.opened_at))
    client = np.where(hours > 0, earlier, client)
    return _changed(
        rows,
        bid=bid,
        spend=np.where(alive | (bid == NONE), 0, bid),
        ts=client,
        event=event_times(block.simulation, client, rows["received"].to_numpy()),
        custom_track=pc.if_else(pa.array(alive), "alive", whole(rows["custom_track"]).cast(pa.string())),
        kind=np.where(alive, KINDS.index("alive"), CLICKS[0]),
        job_id=np.where(other, 0, as_ints(rows["job_id"])),
        job=np.where(other, 0, as_ints(rows["job"])),
        ua=pc.if_else(pa.array(other), "curl/8.4.0", whole(rows["ua"]).cast(pa.string())),
    )


def payload_hashes(rows: pa.Table) -> Ints:
    """The `payload_hash` of each row, by the column."""
    state = np.full(len(rows), _START, np.uint64)
    for column in TRACKING.columns:
        values = whole(rows[column.name])
        if column.type.kind == "text":
            different = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
            texts = [*different.dictionary.cast(pa.binary()).to_pylist(), None]
            hashed = np.array([xxh64_intdigest(text) if text else 0 for text in texts], np.uint64)
            words = hashed[different.indices.fill_null(-1).to_numpy()]
        else:
            numbers = as_ints(values).view(np.uint64)
            words = np.where(validity(values), _avalanche(_with_word(_START_OF_ONE, numbers)), np.uint64(0))
        state = _with_word(state, words)
    hashes: Ints = _avalanche(state).view(np.int64)
    return hashes


def payload_hash(row: Mapping[str, Any]) -> int:
    """Rule 1's hash of an intent's 29 columns, as a signed 64-bit integer.

    What `model.door_hash` defines, in plain Python, written apart from it, so that one shows what is wrong with the
    other. Money is in micros, time in microseconds since 1970.
    """
    state = _START
    for column in TRACKING.columns:
        state = _with_word(state, _value_hash(row[column.name]))
    hashed: int = _avalanche(state)
    return hashed - 2**64 if hashed >= 2**63 else hashed


def _value_hash(value: str | int | None) -> int:
    if value is None or value == "":
        return 0
    return xxh64_intdigest(value.encode() if isinstance(value, str) else value.to_bytes(8, "little", signed=True))


# What follows is for integers of Python, and for arrays of 64 bits alike.


def _with_word(state: Any, word: Any) -> Any:
    mixed = _rotated(word * PRIMES[1], 31) * PRIMES[0] & MASK
    return _rotated(state ^ mixed, 27) * PRIMES[0] + PRIMES[3] & MASK


def _rotated(number: Any, bits: int) -> Any:
    number = number & MASK
    return (number << bits | number >> 64 - bits) & MASK


def _avalanche(state: Any) -> Any:
    for bits, prime in ((33, PRIMES[1]), (29, PRIMES[2]), (32, 1)):
        state = state & MASK
        state = (state ^ state >> bits) * prime
    return state & MASK


@dataclass(frozen=True)
class Malady:
    """A text in a column that cannot be taken as it is; `reason` is why the row must be rejected, None where not.

    `needs` are intents that the row must have for this.
    """

    column: str
    text: str
    reason: str | None = None
    needs: Mapping[str, Any] | None = None


def _ed(text: str, *, job_id: int | None, reason: str | None = None) -> Malady:
    """An `ed` that names no job or publisher, in an event whose `job_id` is this."""
    resolved = {"ed": text, "job_id": job_id, "job": job_id, "publisher_id": None, "publisher": None}
    return Malady("ed", text, reason, resolved)


def _uuid_of(year: int) -> str:
    ticks = microseconds(datetime(year, 2, 3, 4, 5, tzinfo=UTC)) * 10
    return str(time_uuids(np.array([ticks]), 77, np.array([0x0123456789AB], np.uint64))[0])


NOT_A_TIME_UUID = "create_time is not a TimeUUID"

MALFORMED = (
    Malady("create_time", "", "create_time is missing"),
    Malady("create_time", "not an id", NOT_A_TIME_UUID),
    Malady("create_time", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", NOT_A_TIME_UUID),
    Malady("create_time", "6ba7b810-9dad-11d1-c0b4-00c04fd430c8", NOT_A_TIME_UUID),
    Malady("create_time", "6ba7b8109dad11d180b400c04fd430c8", NOT_A_TIME_UUID),
    Malady("create_time", _uuid_of(2600), "create_time lies in the future"),
    Malady("create_time", _uuid_of(1601), "event day is before the first day"),
    Malady("job_id", "abc", "job_id is not an integer"),
    Malady("job_id", "12.5", "job_id is not an integer"),
    Malady("job_id", "99999999999", "job_id is not an integer"),
    Malady("publisher_id", "4,1,2,3,5", "publisher_id is not an integer"),
    Malady("campaign_id", "1e3", "campaign_id is not an integer"),
    Malady("group_id", "true", "group_id is not an integer"),
    Malady("bid", "-1.0", "bid is negative"),
    Malady("bid", "0.1234567", "bid has more than 6 decimals"),
    Malady("bid", "free", "bid is not a number"),
    Malady("bid", "1000000000000", "bid is too large"),
    _ed('{"customEvent":"click","jobId":"abc"}', job_id=None, reason="jobId in ed is not an integer"),
    _ed('{"customEvent":"click","jobId":"1.5"}', job_id=None, reason="jobId in ed is not an integer"),
    _ed('{"customEvent":"click","jobId":"abc"}', job_id=7),
    _ed('{"customEvent":"click","jobId":', job_id=7),
    _ed('["jobId", 9]', job_id=None),
    _ed("click", job_id=None),
    Malady("bid", "-0.0", needs={"bid": 0, "spend": 0}),
    Malady("tz", "UTC+7"),
    Malady("v", "one"),
    Malady("cd", "24 bit"),
    Malady("ev", "1e400"),
    Malady("ua", "Mozilla/5.0 (compatible; ĉrawler; " + "x" * 3_000 + ")"),
    Malady("ts", "yesterday", needs={"ts": None}),
    Malady("ts", "2024-13-45 25:61:00", needs={"ts": None}),
    Malady("ts", "99999999999999999999999", needs={"ts": None}),
)


_NEEDED = sorted({name for malady in MALFORMED for name in malady.needs or {}})


def _malformed(block: Block) -> pa.Table:
    rows = _clicks(intended(block, "malformed", _size(block, MALFORMED_SHARE)))
    ill = np.arange(len(rows)) % len(MALFORMED)
    needed = {name: whole(rows[name]).cast(_plain(name)) for name in _NEEDED}
    for number, malady in enumerate(MALFORMED):
        for name, value in (malady.needs or {}).items():
            needed[name] = pc.if_else(pa.array(ill == number), pa.scalar(value, _plain(name)), needed[name])
    rows = _changed(
        rows,
        **needed,
        raw_column=picked([malady.column for malady in MALFORMED], ill),
        raw_text=picked([malady.text for malady in MALFORMED], ill),
        reason=picked([malady.reason for malady in MALFORMED], ill),
    )
    event = event_times(block.simulation, as_ints(rows["ts"]), rows["received"].to_numpy())
    return _changed(rows, event=event)


def _plain(name: str) -> pa.DataType:
    kind = INTENT.field(name).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind
